/** What was not asked before: mutants of the boot, of images and of early memory survived here. */
import { describe, expect, test } from "vitest";
import { PAGE } from "@kreplica/hw-x86/api";
import { InvariantError, sameBytes } from "../src/api.js";
import { kernelImage, Memblock, MmError, NodePageAllocator } from "../src/index.js";
import { stubMachine, testKernel, tinyImage } from "../src/testing.js";

const TEXT = 0xffff_ffff_8100_0000n;

describe("the timeline of the boot", () => {
  test("has each step's row of the table, from the first on, none before an earlier one's", () => {
    const { boot } = testKernel({});
    boot.run();
    const rows = boot.timeline.map(({ row }) => row);
    expect([rows[0], rows.at(-1)]).toEqual([1, 17]);
    expect(rows).toEqual([...rows].sort((a, b) => a - b));
    expect(new Set(rows).size).toBe(17);
  });
  test("says nothing of work that says nothing", () => {
    const [plain, more] = [testKernel({}), testKernel({})];
    more.boot.during("initcalls", () => "");
    for (const { boot } of [plain, more]) boot.run();
    expect(more.boot.timeline.map(({ did }) => did)).toEqual(plain.boot.timeline.map(({ did }) => did));
  });
});

test("what encryption left unused of bss is given back with init memory, and nothing where there is none", () => {
  const freedWith = (unused: readonly [bigint, bigint] | undefined): number => {
    const plain = tinyImage();
    const image = {
      ...plain,
      symbol: (name: string) =>
        unused && name === "__start_bss_decrypted_unused"
          ? unused[0]
          : unused && name === "__end_bss_decrypted"
            ? unused[1]
            : plain.symbol(name),
    };
    const { boot } = testKernel({ image });
    boot.run();
    return Number(/^\d+/.exec(boot.timeline.find(({ step }) => step === "free-initmem")!.did)![0]);
  };
  const at = TEXT + 0xb0_0000n;
  const init = freedWith(undefined);
  expect(init).toBeGreaterThan(0);
  expect(freedWith([at, at + 5n * PAGE])).toBe(init + 5);
  expect(freedWith([at, at])).toBe(init);
});

test("an image whose parts do not ascend is refused, with the first that is too low", () => {
  const bounds: readonly (readonly [string, bigint])[] = [
    ["_stext", TEXT],
    ["_etext", TEXT + 0x20_0000n],
    ["__start_rodata", TEXT + 0x40_0000n],
    ["__end_rodata", TEXT + 0x60_0000n],
    ["__init_begin", TEXT + 0x80_0000n],
    ["__init_end", TEXT + 0x90_0000n],
    ["__bss_start", TEXT + 0xa0_0000n],
    ["__brk_base", TEXT + 0xb0_0000n],
    ["_end", TEXT + 0xc0_0000n],
  ];
  const code = (name: string, address: bigint): string => {
    const symbols = new Map([...bounds, [name, address] as const]);
    try {
      kernelImage({ name: "made", alignment: "recorded", sections: [], symbols });
    } catch (error) {
      if (error instanceof MmError) return `${error.code} ${error.address.toString(16)}`;
      throw error;
    }
    return "none";
  };
  expect(code("_end", TEXT + 0xb0_0000n)).not.toMatch("bad-image");
  for (const [name, address] of [
    ["_etext", TEXT - 1n],
    ["__init_end", TEXT + 0x70_0000n],
    ["_end", TEXT + 0x10_0000n],
  ] as const)
    expect(code(name, address), name).toBe(`bad-image ${address.toString(16)}`);
});

test("two frames are the same only if every byte outside the open places is", () => {
  const { memory } = stubMachine([{ id: 0, memoryMiB: 8, cpus: 1 }]);
  const [mine, theirs] = [100, 101];
  const byte = (at: number): void => memory.writeBytes((BigInt(theirs) << 12n) + BigInt(at), Uint8Array.of(0xcc));
  const open = [{ start: TEXT + 16n, end: TEXT + 21n }];
  const same = (places = open): boolean => sameBytes(memory, mine, theirs, TEXT, places);
  expect(same()).toBe(true);
  byte(16);
  byte(20);
  expect([same(), same([]), same([{ start: TEXT + PAGE, end: TEXT + PAGE + 5n }])]).toEqual([true, false, false]);
  byte(21);
  expect(same()).toBe(false);
});

describe("memory", () => {
  const machine = stubMachine([{ id: 0, memoryMiB: 8, cpus: 1 }]);
  test("what is reserved is the kernel's, unless somebody else's is said", () => {
    const early = new Memblock(machine);
    const before = early.usedFrames(0, "kernel");
    early.reserve(64, 3);
    early.reserve(128, 5, "data");
    expect([early.usedFrames(0, "kernel") - before, early.usedFrames(0, "data")]).toEqual([3, 5]);
  });
  test.each([-1, 11, 64])("no block has order %i: refused, and no request is counted", (order) => {
    const allocator = new NodePageAllocator(machine, new Memblock(machine));
    expect(() => allocator.allocate(0, order, { purpose: "data" })).toThrow(InvariantError);
    expect(allocator.requests).toBe(0);
  });
});

test.each([false, true])("tables forbid no execution, leaves do; KPTI %s", (pti) => {
  const kernel = testKernel({ pti });
  kernel.boot.run();
  const { entries, layout, view } = kernel;
  const forbidding: string[] = [];
  const seen = new Set<number>();
  const look = (table: number, level: number): void => {
    if (seen.has(table)) return;
    seen.add(table);
    for (let index = level === layout.levels ? 256 : 0; index < 512; index++) {
      const [lo, hi] = [entries.low(table, index), entries.high(table, index)];
      if ((lo & 1) === 0 || level === 1 || (lo & 0x80) !== 0) continue;
      if (hi >>> 31 === 1) forbidding.push(`level ${level}, entry ${index}`);
      look(Math.floor(lo / 4096) + (hi & 0xfffff) * 2 ** 20, level - 1);
    }
  };
  for (const { root } of view.roots) for (const half of pti ? [root, root + 1] : [root]) look(half, layout.levels);
  expect(forbidding).toEqual([]);
  expect(seen.size).toBeGreaterThan(8);
});
