/** Walks for what nobody accesses: what is kept of them, up to each level, and that nothing else changes. */
import { assemble } from "@kreplica/di";
import { describe, expect, test } from "vitest";
import { Cr0, Cr4, cr3Value, Efer, FAULT, hwX86, Machine } from "../src/index.js";
import { tinyMachine } from "../src/testing.js";

/** Frames of the tables of levels 4 to 1, and of the page. */
const [ROOT, PUD, PMD, PTE, PAGE] = [0x100, 0x101, 0x102, 0x103, 0x200] as const;
const ADDRESS = 0x1000;
const TABLE = 0x07n;

function scene(leaf = 0x07n) {
  const machine = assemble([hwX86(tinyMachine())]).get(Machine);
  const { memory } = machine;
  const set = (table: number, index: number, frame: number, bits: bigint): void => {
    memory.write64(BigInt(table) * 4096n + BigInt(index) * 8n, (BigInt(frame) << 12n) | bits);
  };
  set(ROOT, 0, PUD, TABLE);
  set(PUD, 0, PMD, TABLE);
  set(PMD, 0, PTE, TABLE);
  set(PTE, 1, PAGE, leaf);
  const cpu = machine.cpu(0);
  cpu.cr4 = Cr4.PhysicalAddressExtension;
  cpu.writeCr3(cr3Value(ROOT));
  cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
  cpu.cr0 = Cr0.Paging;
  /** What is cached: tables by level, and `page`. */
  const cached = (): readonly (number | string)[] => {
    const found = new Set<number | string>();
    cpu.cached.forEach(({ structure, level }) => found.add(structure ? level : "page"));
    return [...found].sort();
  };
  return { machine, memory, set, cpu, cached };
}

test.each([
  [1, [1, 2, 3, "page"]],
  [2, [1, 2, 3]],
  [3, [2, 3]],
  [4, [3]],
  [5, []],
])("a walk that has read its entry of level %i", (level, kept) => {
  const { cpu, cached } = scene();
  const { fills } = cpu.cached;
  cpu.walkAhead(ADDRESS, 0, level);
  expect(cached()).toEqual(kept);
  expect(cpu.cached.fills).not.toBe(fills);
});

test("goes on from the table it has read: what a higher entry says by then is not seen", () => {
  const { cpu, set, memory } = scene();
  cpu.walkAhead(ADDRESS, 0, 2);
  set(PMD, 0, 0x104, TABLE);
  set(0x104, 1, 0x300, 0x07n);
  set(PTE, 1, 0x201, 0x07n);
  expect([cpu.load(ADDRESS, 0), cpu.lastFrame]).toEqual([0, 0x201]);
  // A says that it was read, D that nothing was stored.
  expect(memory.read32(PTE, 2) & 0x60).toBe(0x20);
});

test("nothing is walked for that a TLB has, whatever the tables say by now", () => {
  const { cpu, set } = scene();
  cpu.walkAhead(ADDRESS, 0, 1);
  set(PTE, 1, 0x300, 0x07n);
  cpu.walkAhead(ADDRESS, 0, 1);
  expect([cpu.load(ADDRESS, 0), cpu.lastFrame]).toEqual([0, PAGE]);
});

test("what is not there is no fault, and forgets nothing", () => {
  const { cpu, cached } = scene(0n);
  cpu.walkAhead(ADDRESS, 0, 1);
  expect(cached()).toEqual([1, 2, 3]);
  cpu.walkAhead(ADDRESS, 1 << 30, 1);
  expect(cached()).toEqual([1, 2, 3]);
  expect(cpu.load(ADDRESS, 0) & FAULT).not.toBe(0);
});

describe("rights are those of the way", () => {
  test("a page of the other privilege is kept, and refused to who accesses it", () => {
    const { cpu, cached } = scene(0x03n);
    cpu.privilege = 3;
    cpu.walkAhead(ADDRESS, 0, 1);
    expect(cached()).toEqual([1, 2, 3, "page"]);
    expect(cpu.load(ADDRESS, 0) & FAULT).not.toBe(0);
  });
});
