/// <reference types="node" />
/**
 * Instructions a second of processor time on functions of the day's Debian kernel, executed from the replica of the
 * CPU's node: translations and caches off the fast path but exact, and with TLBs, caches and cycles for every access.
 *
 * In packages/bench: npm run micro -- isa-kernel [function | all [exact | accounted | all [warm [round [vmlinuz]]]]]
 *
 * with seconds of it before anything is measured, and of a round. Measured: docs/speed.md, "Instructions".
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { readKernelFile } from "../src/inputs/kernel-file.js";
import { KernelCaller, Scratch } from "../test/real/kernel-calls.js";
import { bootPatched } from "../test/real/patched-kernel.js";
import { optimizeLarge } from "../src/inlining.js";
import { bestRate, chosen } from "./timing.js";

// As the command has it.
optimizeLarge();

const kernel = await readKernelFile(
  process.argv[6] ??
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

const only = chosen(process.argv[2]);
const onlyOn = chosen(process.argv[3]);
const WARM = Number(process.argv[4] ?? 0.5),
  ROUND = Number(process.argv[5] ?? 0.1),
  ROUNDS = 7;

for (const timed of [false, true]) {
  if (onlyOn !== undefined && (onlyOn === "accounted") !== timed) continue;
  const caller = new KernelCaller(booted, scratch, booted.machine.cpuIds[1]!, timed);
  for (const [name, prepare] of Object.entries(CALLS)) {
    if (kernel.symbol(name) === undefined || (only !== undefined && only !== name)) continue;
    const best = bestRate(ROUNDS, WARM, ROUND, () => {
      const before = caller.interpreter.executed;
      caller.call(symbol(name), prepare(), 1e9);
      return caller.interpreter.executed - before;
    });
    console.log(`${timed ? "accounted" : "exact"}  ${name.padEnd(16)} ${best.toFixed(1).padStart(6)} million/s`);
  }
}
