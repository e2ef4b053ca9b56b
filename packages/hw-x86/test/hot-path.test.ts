/// <reference types="node" />
/**
 * What the hot path promises: it allocates nothing, it knows no operating system, and its literals are those of the
 * public enums.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { assemble } from "@kreplica/di";
import { expect, test } from "vitest";
import type { NumaMachine } from "../src/index.js";
import { Counters, Machine, hwX86 } from "../src/index.js";
import { BATCH_FETCH, BATCH_LOAD, BATCH_STORE } from "../src/api.js";
import { goldenMachine, identityMap } from "../src/testing.js";

test("100,000 accesses of every kind allocate next to nothing", () => {
  const machine = assemble([hwX86(goldenMachine("inclusive"))]).get(Machine);
  const cpu = machine.cpu(0);
  const other = machine.cpu(1);
  identityMap(machine.memory, cpu);
  let seed = 1;
  const round = (): void => {
    for (let n = 0; n < 100_000; n++) {
      seed = (Math.imul(seed, 1103515245) + 12345) | 0;
      // 448 MiB, so that every level misses and lines are written back; some addresses fault.
      const address = (seed >>> 4) % 0x1c00_0000;
      if ((n & 3) === 0) cpu.fetch(address, 0);
      else if ((n & 3) === 1) cpu.store(address, 0);
      else cpu.load(address, (n & 0x3fff) === 2 ? -1 : 0);
      if ((n & 15) === 0) other.storePhysical(address >>> 12, address & 63);
    }
  };
  expect(mostAllocated(round)).toBeLessThan(LITTLE);
});

test("100,000 accesses in batches allocate next to nothing, whatever they ask of the model", () => {
  const machine = assemble([hwX86(goldenMachine("inclusive"))]).get(Machine);
  const cpu = machine.cpu(0);
  const other = machine.cpu(1);
  identityMap(machine.memory, cpu);
  const batch = cpu.batch?.();
  if (batch === undefined) throw new Error("this host's WebAssembly runs no batches");
  const kinds = [BATCH_FETCH, BATCH_STORE, BATCH_LOAD, BATCH_LOAD] as const;
  let seed = 1;
  const round = (): void => {
    for (let done = 0; done < 100_000; done += batch.capacity) {
      for (let n = 0; n < batch.capacity; n++) {
        seed = (Math.imul(seed, 1103515245) + 12345) | 0;
        const address = (seed >>> 4) % 0x1c00_0000;
        batch.input[2 * n] = (address & ~63) | kinds[n & 3]!;
        batch.input[2 * n + 1] = (n & 0x3fff) === 2 ? -1 : 0;
        if ((n & 15) === 0) other.storePhysical(address >>> 12, address & 63);
      }
      // A fault ends it: on behind.
      for (let at = 0; at < batch.capacity; at++) at = batch.run(at, batch.capacity);
    }
  };
  expect(mostAllocated(round)).toBeLessThan(LITTLE);
});

/** Bytes: one object of 16 bytes an access would be 1.6 MB. */
const LITTLE = 100_000;

/** Bytes of V8's heap that a round takes, once it is warm. */
function mostAllocated(round: () => void): number {
  for (let warm = 0; warm < 20; warm++) round();
  // The largest of five rounds: a collection in between can hide one.
  let most = 0;
  for (let n = 0; n < 5; n++) {
    const before = process.memoryUsage().heapUsed;
    round();
    most = Math.max(most, process.memoryUsage().heapUsed - before);
  }
  return most;
}

test("memory per CPU is what the documentation says", () => {
  const assembly = assemble([hwX86(goldenMachine())]);
  const machine = assembly.get(Machine) as NumaMachine;
  const withoutL3 = (): number =>
    machine.hostBytes - machine.domains.reduce((sum, domain) => sum + domain.hostBytes, 0);
  expect(machine.hostBytes).toBe(0);
  machine.cpu(0).load(0, 0);
  const counters = assembly.get(Counters).layout.length * 8;
  expect(Math.round(counters / 100)).toBe(61);
  // 32 KiB + 32 KiB + 256 KiB of caches, and TLBs; the rest is the 32 MiB L3, shared by a socket.
  const core = withoutL3() - counters;
  expect(Math.round(core / 1000)).toBe(68);
  expect(machine.domains[0]!.hostBytes).toBe(32768 * 16 * 2);
  machine.cpu(1).load(0, 0);
  expect(withoutL3()).toBe(2 * (core + counters + 32 * 1024));
});

test("the hardware has never heard of what runs on it", () => {
  const folder = new URL("../src/", import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  expect(files.length).toBeGreaterThan(20);
  for (const file of files) {
    const lines = readFileSync(new URL(file, folder), "utf8").split("\n");
    // WebAssembly calls what it compiles by one of the words.
    const own = file === join("wasm", "host.ts") ? "Module" : "";
    lines.forEach((line, number) =>
      expect(
        /\b(linux|kernels?|modules?|replicat\w*|replicas?)\b/i.test(own === "" ? line : line.replaceAll(own, "")),
        `${file}:${number + 1}: ${line}`,
      ).toBe(false),
    );
  }
});
