/** Places that control came to, and those of them that begin functions. */
import { expect, test } from "vitest";
import { EntryPlaces, readTraceBytes, TraceEncoder } from "../src/index.js";

test("each place counts once, in the kernel's top 2 GiB; a function once, if control came to its first byte", () => {
  const encoder = new TraceEncoder();
  encoder.mark(0x5eed0601);
  for (const address of [
    0xffff_ffff_8100_0000n,
    0xffff_ffff_8100_0040n,
    0xffff_ffff_8100_0000n,
    0xffff_8880_0000_1000n,
  ])
    encoder.fetch(address, 1, 4, 0x1001n);
  encoder.access(false, 0xffff_ffff_8100_0080n, 8, 0x1001n);
  encoder.mark(0x5eed0602);
  encoder.end();
  const places = new EntryPlaces();
  readTraceBytes("mine.kt", encoder.bytes(), (batch) => places.add(batch));
  const functions = [0xffff_ffff_8100_0000n, 0xffff_ffff_8100_0000n, 0xffff_ffff_8100_0080n, 0x8100_0040n];
  expect([places.size, places.ofFunctions(functions)]).toEqual([2, 1]);
  expect([places.size, places.ofFunctions([])]).toEqual([2, 0]);
});
