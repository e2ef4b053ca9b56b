/// <reference types="node" />
/** How many calls the shipped recordings make: what their tests are called after. */
import { dataFile } from "@kreplica/recordings";
import { CallCounter, readTraceBytes, TraceEncoder } from "@kreplica/trace";
import { expect, test } from "vitest";
import { loadFile } from "../load-file.js";

test.each([
  ["fork1", 1],
  ["forkN", 1024],
  ["mmap", 1024],
  ["open", 1024],
  ["kill", 1],
  ["mount", 1],
  ["poke", undefined],
])("%s: %s", (key, calls) => {
  expect(loadFile(dataFile(`traces/hsw-${key}.kt.zst`), (address) => address).calls).toBe(calls);
});

test("calls count on the CPU of the start marker, between the markers, when they begin at the first byte", () => {
  const encoder = new TraceEncoder();
  const call = (address = 0xffff_ffff_8100_1000n): void => {
    encoder.fetch(address, 1, 4);
    encoder.fetch(0xffff_ffff_8100_2000n, 1, 4);
  };
  encoder.vcpu(2);
  call();
  encoder.mark(0x5eed0301);
  call();
  call(0xffff_ffff_8100_1001n);
  call(0x8100_1000n);
  encoder.vcpu(1);
  call();
  encoder.vcpu(2);
  encoder.mark(0x5eed0303);
  call();
  call();
  encoder.mark(0x5eed0302);
  call();
  encoder.end();
  const counter = new CallCounter(0x8100_1000);
  readTraceBytes("calls.kt", encoder.bytes(), (batch) => counter.add(batch));
  expect([counter.stretches, counter.total]).toEqual([[1, 2], 3]);
});
