/// <reference types="node" />
/** The booted tables against those a real kernel had at the end of its boot: every leaf of the image, bit for bit. */
import { readFileSync } from "node:fs";
import type { Booted } from "@kreplica/kernel";
import { recordedGuest } from "@kreplica/machines";
import { beforeAll, describe, expect, test } from "vitest";
import { type AddressRange, frameOf, isLeaf, isPresent } from "@kreplica/hw-x86";
import { boot } from "../src/boot.js";

const golden = (name: string): string[] =>
  readFileSync(new URL(`fixtures/picture/${name}.txt`, import.meta.url), "utf8")
    .trimEnd()
    .split("\n");

interface Run {
  at: bigint;
  level: number;
  count: number;
  value: bigint;
  bits: number;
  kind: "X" | "NX" | "table" | "absent";
}

/** Lists a root as the fixtures do. */
function list({ entries }: Booted, root: number, { start, end }: AddressRange): string[] {
  const runs: Run[] = [];
  const add = (run: Run): void => {
    const last = runs.at(-1);
    const step = 1n << BigInt(12 + 9 * (run.level - 1));
    if (
      last &&
      last.level === run.level &&
      last.kind === run.kind &&
      last.bits === run.bits &&
      run.kind !== "table" &&
      last.at + BigInt(last.count) * step === run.at &&
      (run.kind === "absent"
        ? last.value - BigInt(last.count) * step === run.value
        : last.value + BigInt(last.count) * step === run.value)
    )
      last.count++;
    else runs.push(run);
  };
  const visit = (table: number, level: number, base: bigint): void => {
    const size = 1n << BigInt(12 + 9 * (level - 1));
    for (let index = 0; index < 512; index++) {
      const lo = entries.low(table, index);
      const hi = entries.high(table, index);
      const at = BigInt.asUintN(64, BigInt.asIntN(48, base + BigInt(index) * size));
      if (at + size - 1n < start || at > end || (lo === 0 && hi === 0)) continue;
      const raw = (BigInt(hi) << 32n) | BigInt(lo);
      if (!isPresent(lo)) add({ at, level, count: 1, value: raw & 0x000f_ffff_ffff_f000n, bits: 0, kind: "absent" });
      else if (isLeaf(lo, level))
        add({
          at,
          level,
          count: 1,
          value: BigInt(frameOf(lo, hi)) << 12n,
          bits: lo & 0xf9f,
          kind: hi >>> 31 ? "NX" : "X",
        });
      else {
        if (at >= start) add({ at, level, count: 1, value: 0n, bits: lo & 0xf9f, kind: "table" });
        visit(frameOf(lo, hi), level - 1, base + BigInt(index) * size);
      }
    }
  };
  visit(root, 4, 0n);
  return runs.map(
    (run) =>
      `${run.at.toString(16)} L${run.level} x${run.count} ${run.kind === "table" ? "-" : run.kind === "absent" ? (run.value | 0x8000_0000_0000_0062n).toString(16) : run.value.toString(16)} ${run.bits.toString(16)} ${run.kind}`,
  );
}

const IMAGE: AddressRange = { start: 0xffff_ffff_8000_0000n, end: 0xffff_ffff_bfff_ffffn };
const DIRECT: AddressRange = { start: 0xffff_8880_0100_0000n, end: 0xffff_8880_03bf_ffffn };
const FIXMAP: AddressRange = { start: 0xffff_ffff_ff20_0000n, end: 0xffff_ffff_ffff_ffffn };
const ENTRY: AddressRange = { start: 0xffff_fe00_0000_0000n, end: 0xffff_fe7f_ffff_ffffn };

describe("without KPTI (p4)", () => {
  let kernel: Booted;
  beforeAll(() => {
    kernel = boot({ spec: recordedGuest, policy: "single-copy" });
  });
  const root = (): number => kernel.view.kernelRoot(0);

  test("the boot table is at the recorded address", () => expect(root()).toBe(0x2a10));
  test("image", () => expect(list(kernel, root(), IMAGE)).toEqual(golden("p4-image")));
  test("the image's direct-map view", () => expect(list(kernel, root(), DIRECT)).toEqual(golden("p4-direct")));
  test("fixmap", () => expect(list(kernel, root(), FIXMAP)).toEqual(golden("p4-fixmap")));
  test("cpu_entry_area, frames relative to each CPU's 1 MiB unit", () => {
    const within = (lines: string[]): string[] =>
      lines.map((line) =>
        line.replace(
          / ([0-9a-f]+) (\w+) (NX|X)$/,
          (_, frame: string, bits: string, kind: string) =>
            ` ${(parseInt(frame, 16) & 0xfffff).toString(16)} ${bits} ${kind}`,
        ),
      );
    expect(within(list(kernel, root(), ENTRY))).toEqual(within(golden("p4-entry")));
  });
  test("tables in the image and in brk lie where they lay", () => {
    const named = (slot: number): number =>
      frameOf(kernel.entries.low(root(), slot), kernel.entries.high(root(), slot));
    expect([named(273), named(511)]).toEqual([0x3801, 0x2a15]);
    expect([510, 511].map((slot) => kernel.entries.low(0x2a15, slot))).toEqual([0x2a1_6063, 0x2a1_7067]);
    expect([505, 506, 507].map((slot) => kernel.entries.low(0x2a17, slot))).toEqual([
      0x32b_5067, 0x2a1_8067, 0x2a1_9067,
    ]);
    const slots = Array.from({ length: 512 }, (_, slot) => slot).filter((slot) =>
      isPresent(kernel.entries.low(root(), slot)),
    );
    expect(slots).toEqual([273, ...Array.from({ length: 64 }, (_, each) => 402 + each), 468, 508, 511]);
  });
});

describe("with KPTI and no PCIDs (hsw)", () => {
  let kernel: Booted;
  beforeAll(() => {
    kernel = boot({ spec: recordedGuest, policy: "single-copy", pti: true, pcid: false });
  });
  const root = (): number => kernel.view.kernelRoot(0);

  test("image, freed parts inverted and absent", () =>
    expect(list(kernel, root(), IMAGE)).toEqual(golden("hsw-image")));
  test("the image's direct-map view", () => expect(list(kernel, root(), DIRECT)).toEqual(golden("hsw-direct")));
  test("fixmap", () => expect(list(kernel, root(), FIXMAP)).toEqual(golden("hsw-fixmap")));
  test("what user mode maps of the image", () =>
    expect(list(kernel, root() + 1, IMAGE)).toEqual(golden("hsw-user-image")));
  test("user slots: TSS pages, cpu_entry_area, image", () => {
    const slots = Array.from({ length: 512 }, (_, slot) => slot).filter((slot) =>
      isPresent(kernel.entries.low(root() + 1, slot)),
    );
    expect(slots).toEqual([273, 508, 511]);
  });
});

test("with PCIDs only the entry text, PMD 14, stays global and in the user half", () => {
  const kernel = boot({ spec: recordedGuest, policy: "single-copy", pti: true });
  const root = kernel.view.kernelRoot(0);
  expect(list(kernel, root + 1, IMAGE).filter((line) => line.includes(" L2 "))).toEqual([
    "ffffffff81c00000 L2 x1 1c00000 181 X",
  ]);
  expect(list(kernel, root, { start: 0xffff_ffff_8100_0000n, end: 0xffff_ffff_81df_ffffn })).toEqual([
    "ffffffff81000000 L2 x6 1000000 81 X",
    "ffffffff81c00000 L2 x1 1c00000 181 X",
  ]);
});

test("a replicated kernel keeps the same picture on its master and the same flags on the other node", () => {
  const single = boot({ spec: recordedGuest, policy: "single-copy" });
  const both = boot({ spec: recordedGuest, policy: "per-node", alignment: "recorded" });
  const flags = (lines: string[]): string[] =>
    lines.map((line) => line.replace(/ (?!-)[0-9a-f]+ (\w+) (NX|X)$/, " $1 $2"));
  expect(list(both, both.view.kernelRoot(0), IMAGE)).toEqual(list(single, single.view.kernelRoot(0), IMAGE));
  expect(flags(list(both, both.view.kernelRoot(1), IMAGE))).toEqual(flags(golden("p4-image")));
  const leaf = (address: bigint) => both.tables.lookup(1, address)!;
  expect(both.machine.memory.nodeOf(leaf(0xffff_ffff_81e0_1000n).frame)).toBe(1);
  expect(leaf(0xffff_ffff_81e0_2000n).frame).toBe(0x1e02);
});
