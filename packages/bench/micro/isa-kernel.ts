/// <reference types="node" />
/**
 * Instructions a second of user time on functions of the day's Debian kernel, executed from the replica of the CPU's
 * node: translations and caches off the fast path but exact, and with TLBs, caches and cycles for every access.
 *
 * In packages/bench: npm run micro -- isa-kernel [vmlinuz]
 *
 * Measured 2026-11-29 on Debian's 6.1 cloud-amd64 (Node 20.20.2, 2 shared cores, best of seven rounds), million a
 * second, and interpreted the same day:
 *   exact                   sha256 601 (63), crc32_le 903 (44), xxh64 651 (38), memchr_inv 361 (39), __bitmap_weight 190 (50)
 *   every access accounted  sha256 113 (46), crc32_le 68 (24), xxh64 97 (24), memchr_inv 42 (15), __bitmap_weight 71 (27)
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { readKernelFile } from "../src/inputs/kernel-file.js";
import { KernelCaller, Scratch } from "../test/real/kernel-calls.js";
import { bootPatched } from "../test/real/patched-kernel.js";
import { optimizeLarge } from "../src/inlining.js";

// As the command has it.
optimizeLarge();

const kernel = await readKernelFile(
  process.argv[2] ??
    (
      JSON.parse(
        execFileSync("node", [join(import.meta.dirname, "../../../scripts/fetch-kernel.mjs")], { encoding: "utf8" }),
      ) as { vmlinuz: string }
    ).vmlinuz,
);
const booted = bootPatched(kernel, { nodes: 2 });
const scratch = new Scratch(booted, booted.view.master);
const BYTES = 1 << 16;
const data = scratch.put(Uint8Array.from({ length: BYTES }, (_, i) => (i * 31 + (i >> 8)) & 255));
const out = scratch.take(BYTES);

/** Arguments for one call that takes some 100,000 instructions; what it destroys is written again. */
const CALLS: Readonly<Record<string, () => readonly (bigint | number)[]>> = {
  sha256: () => [data, 4096, out],
  crc32_le: () => [0, data, BYTES],
  xxh64: () => [data, BYTES, 0],
  memchr_inv: () => {
    scratch.write(out, new Uint8Array(BYTES));
    return [out, 0, BYTES];
  },
  __bitmap_weight: () => [data, BYTES * 8],
};
function symbol(name: string): bigint {
  return (kernel.symbol(name) ?? 0n) + booted.layout.imageOffset;
}

for (const timed of [false, true]) {
  const caller = new KernelCaller(booted, scratch, booted.machine.cpuIds[1]!, timed);
  for (const [name, prepare] of Object.entries(CALLS)) {
    if (kernel.symbol(name) === undefined) continue;
    let best = 0;
    for (let round = 0; round < 7; round++) {
      const before = caller.interpreter.executed;
      const start = process.cpuUsage().user;
      while (process.cpuUsage().user - start < 100_000) caller.call(symbol(name), prepare(), 1e9);
      best = Math.max(best, (caller.interpreter.executed - before) / (process.cpuUsage().user - start));
    }
    console.log(
      `${timed ? "every access accounted" : "exact"}  ${name.padEnd(16)} ${best.toFixed(1).padStart(6)} million/s`,
    );
  }
}
