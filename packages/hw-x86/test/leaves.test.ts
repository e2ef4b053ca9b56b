/** The leaf reader against the walker: a page is listed with the rights an access meets. */
import { assemble } from "@kreplica/di";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  Cr0,
  Cr4,
  Efer,
  FAULT,
  LEAF_BYTES,
  Machine,
  SparseMemory,
  cr3Value,
  highOf,
  hwX86,
  leaves,
  lowOf,
} from "../src/index.js";
import { tinyMachine } from "../src/testing.js";

const INDICES = [0, 3, 255, 256, 511];
/** Table pages 0x100 (root) to 0x104, one a level, so that nothing leads back up. */
const tableOf = (levels: number, level: number): number => 0x100 + levels - level;

const entry = fc.record({
  present: fc.nat(5),
  leaf: fc.nat(3),
  writable: fc.boolean(),
  user: fc.boolean(),
  noExecute: fc.boolean(),
  global: fc.boolean(),
  accessed: fc.boolean(),
  dirty: fc.boolean(),
  frame: fc.nat(7),
});
const tables = fc.array(fc.tuple(fc.constantFrom(1, 2, 3, 4, 5), fc.constantFrom(...INDICES), entry), {
  maxLength: 40,
  size: "max",
});

test.each([4, 5] as const)(
  "%d levels: every leaf and no other page can be reached, with the rights listed",
  (levels) => {
    fc.assert(
      fc.property(tables, (entries) => {
        const machine = assemble([hwX86(tinyMachine({ nodes: 1 }))]).get(Machine);
        for (const [level, index, each] of entries) {
          if (level > levels) continue;
          const isLeaf = level === 1 || (level <= 3 && each.leaf === 0);
          const frame = isLeaf
            ? each.frame * Number(LEAF_BYTES[level as 1 | 2 | 3] / 4096n)
            : tableOf(levels, level - 1);
          const bits =
            (each.present > 0 ? 1 : 0) |
            (each.writable ? 2 : 0) |
            (each.user ? 4 : 0) |
            (isLeaf && level > 1 ? 0x80 : 0) |
            (each.global ? 0x100 : 0) |
            (each.accessed ? 0x20 : 0) |
            (each.dirty ? 0x40 : 0);
          machine.memory.write64(
            BigInt(tableOf(levels, level)) * 4096n + BigInt(index) * 8n,
            (BigInt(frame) << 12n) | BigInt(bits) | (each.noExecute ? 1n << 63n : 0n),
          );
        }
        const listed = [...leaves(machine.memory, 0x100, levels)];
        const indices = listed.map(({ address }) => BigInt.asUintN(levels === 5 ? 57 : 48, address));
        expect(indices).toEqual([...indices].sort((a, b) => (a < b ? -1 : 1)));

        const cpu = machine.cpu(0);
        cpu.cr4 = Cr4.PhysicalAddressExtension | (levels === 5 ? Cr4.FiveLevels : 0);
        cpu.writeCr3(cr3Value(0x100));
        cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
        cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;
        const reach = (access: "load" | "store" | "fetch", address: bigint): boolean =>
          (cpu[access](lowOf(address) | 0, highOf(address) | 0) & FAULT) === 0;
        for (const leaf of listed) {
          const last = leaf.address + LEAF_BYTES[leaf.level as 1 | 2 | 3] - 64n;
          cpu.privilege = 0;
          expect([reach("load", last), reach("store", last), reach("fetch", last)]).toEqual([
            true,
            leaf.writable,
            leaf.executable,
          ]);
          expect(reach("load", leaf.address)).toBe(true);
          expect(cpu.lastFrame).toBe(leaf.frame);
          cpu.privilege = 3;
          expect(reach("load", leaf.address)).toBe(leaf.user);
        }
        cpu.privilege = 0;
        for (const at of cornerAddresses(levels)) {
          const inside = listed.some(
            ({ address, level }) => address <= at && at < address + LEAF_BYTES[level as 1 | 2 | 3],
          );
          expect(reach("load", at)).toBe(inside);
        }
      }),
      { numRuns: 60 },
    );
  },
);

/** One address for each choice of indices out of three. */
function* cornerAddresses(levels: 4 | 5): Generator<bigint> {
  const some = [0n, 3n, 511n];
  for (let n = 0; n < 3 ** levels; n++) {
    let low = 0n;
    for (let level = 0, rest = n; level < levels; level++, rest = Math.floor(rest / 3))
      low |= some[rest % 3]! << BigInt(12 + 9 * level);
    yield BigInt.asUintN(64, BigInt.asIntN(levels === 5 ? 57 : 48, low));
  }
}

test("top entries can be chosen", () => {
  const memory = new SparseMemory([]);
  for (const index of [0, 256, 511]) memory.write64(0x1000n + BigInt(index) * 8n, 0x2003n);
  memory.write64(0x2000n, 0x83n);
  expect([...leaves(memory, 1, 4, [256, 511])].map(({ address, level }) => [address, level])).toEqual([
    [0xffff_8000_0000_0000n, 3],
    [0xffff_ff80_0000_0000n, 3],
  ]);
});
