/// <reference types="node" />
/**
 * The table of the traced kernel's no-ops is what boot patching leaves on a CPU like the recorded guest's; skipped
 * where another build is at hand.
 */
import { type KernelFile, noOpsOf } from "@kreplica/kernel-files";
import { expect, test } from "vitest";
import { noOpRuns } from "@kreplica/text-patch";
import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";
import { readKernelFile } from "../../src/inputs/kernel-file.js";
import { tracedKernel } from "../../src/traced-kernel.js";
import { bootPatched } from "./patched-kernel.js";

let kernel: KernelFile | undefined;
try {
  kernel = await readKernelFile((fetchKernel("cloud-amd64") as { vmlinuz: string }).vmlinuz);
} catch (error) {
  console.error(`SKIPPED: no real kernel: ${(error as Error).message}`);
}
const traced = kernel !== undefined && tracedKernel("recorded").name === `Linux ${kernel.release}`;
if (!traced) console.error("SKIPPED: the kernel at hand is not the traced one");

/**
 * X86_FEATURE_* of `-cpu Haswell-noTSX` under Linux 6.1, by word of arch/x86/include/asm/cpufeatures.h. No SMAP: stac
 * and clac stay no-ops.
 */
const HASWELL = new Set(
  Object.entries({
    0: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26],
    1: [11, 20, 27, 29],
    3: [16, 18, 20, 21, 25],
    4: [0, 1, 9, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31],
    6: [0, 5],
    7: [7, 11],
    9: [0, 3, 5, 7, 8, 9, 10],
    10: [0],
    11: [12, 14],
  }).flatMap(([word, bits]) => bits.map((bit) => Number(word) * 32 + bit)),
);

test.skipIf(!traced)("run for run", () => {
  const sites = new Map<bigint, number>();
  const booted = bootPatched(kernel!, {
    n1: true,
    features: (feature) => HASWELL.has(feature),
    onN1: (address, bytes) => {
      sites.set(address, bytes.length);
    },
  });
  const found = [...sites]
    .flatMap(([address, length]) => {
      const before = new Uint8Array(length);
      booted.machine.memory.readBytes(
        (BigInt(booted.view.replicaFrame(address, booted.view.holders[1]!)!) << 12n) + (address & 4095n),
        before,
      );
      return noOpRuns(before)
        .filter(({ at, end }) => end - at > 1)
        .map(({ at, end }) => ({ address: address + BigInt(at), bytes: end - at }));
    })
    .sort((a, b) => (a.address < b.address ? -1 : 1));
  expect(tracedKernel("patch-06").noOps).toEqual(found);
});

test.skipIf(!kernel)("a kernel's own file says where its padding is: nearly where patching found it", () => {
  const runs = noOpsOf(kernel!);
  expect(runs.length).toBeGreaterThan(1000);
  if (traced) {
    const known = new Set(tracedKernel("patch-06").noOps!.map(({ address }) => address));
    expect(runs.filter(({ address }) => known.has(address)).length).toBeGreaterThan(0.9 * known.size);
  }
  expect(runs.every(({ address }, i) => i === 0 || runs[i - 1]!.address < address)).toBe(true);
});
