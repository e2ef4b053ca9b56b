/// <reference types="node" />
/** The day's real kernel repacked by every tool that packs kernels. */
import { readFileSync } from "node:fs";
import { unpackKernel } from "@kreplica/kernel-files";
import { expect, test } from "vitest";
import { fetchKernel } from "../../../scripts/fetch-kernel.mjs";
import { bzImage, have, PACKERS } from "./fixtures/kernel-files.js";

let real: { vmlinuz: string } | undefined;
try {
  real = fetchKernel("cloud-amd64");
} catch (error) {
  console.error(`SKIPPED: no real kernel to read: ${(error as Error).message}`);
}

test.skipIf(!real)("the day's Debian kernel repacked with every method Linux knows is the same kernel", async () => {
  const { elf } = await unpackKernel(readFileSync(real!.vmlinuz), "real");
  for (const packing of Object.keys(PACKERS) as (keyof typeof PACKERS)[]) {
    if (!have(PACKERS[packing][0])) {
      console.error(`SKIPPED: ${PACKERS[packing][0]} is not installed`);
      continue;
    }
    const again = await unpackKernel(bzImage(elf, packing), packing);
    expect(Buffer.compare(again.elf, elf)).toBe(0);
  }
});
