/**
 * What is looked at of each process, beside what it was that population.test.ts breaks: all processes, all kinds of
 * pages, each outcome of an access; and what a run begins with.
 */
import { ldtAddress, LDT_PAGES, LDT_SLOT } from "@kreplica/mm-core";
import { addressOfFrame } from "@kreplica/hw-x86/api";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { beforeEach, describe, expect, test } from "vitest";
import { CheckedSystem } from "../src/checked-system.js";
import { FAMILIES } from "../src/families.js";
import { FILE_PAGES, FILES, Population } from "../src/population.js";
import type { TableWatch } from "../src/table-watch.js";
import { pageNumber, UserModel, WORDS } from "../src/user-model.js";
import * as behind from "./behind.js";
import { entryOf, found, foundInTurn } from "./behind.js";
import type { Given } from "./met.js";

const boot = (pti: boolean) =>
  new CheckedSystem({ spec: smallMachine(2), policy: "per-node", pti, image: smallImage() }, { families: FAMILIES });
const system = boot(true);
const { population, parts } = system;
const { entries, machine, allocator } = parts;
const perform = (...operations: readonly Given[]): void => {
  behind.perform(system, ...operations);
};
const compare = () =>
  found(() => {
    population.compare();
  });
const access = (address: bigint, kind: "read" | "write" | "execute", value: number, cpu = 0) =>
  found(() => {
    population.access(cpu, address, kind, value);
  });
const live = (index = 0) => population.live[index]!;
const frameOf = (address: bigint, index = 0) => live(index).process.space.lookup(address)!.frame;
const FIRST = 0x20_0000n;
const LARGE = 0x40_0000n;
const area = { p: 0, cpu: 0, locked: false, policy: 0, large: false, writable: true };
const fileArea = { p: 0, cpu: 0, page: 6, pages: 2, writable: true, file: 0, offset: 0, shared: true };
const touch = (page: number, kind: string, value: number, cpu = 0): Given => ({ op: "touch", cpu, page, kind, value });
const hexOf = (address: bigint) => `0x${pageNumber(address).toString(16)}`;
/** What a look finds while an entry, behind the kernel's back, is another. */
const whileEntry = (address: bigint, lo: (was: number) => number, look: () => string | undefined, level = 1) => {
  const entry = entryOf(system, live().process, address, level);
  entries.write(entry.table, entry.index, lo(entry.lo) >>> 0, entry.hi);
  const failure = look();
  entries.write(entry.table, entry.index, entry.lo, entry.hi);
  return failure;
};
const framed = (frame: number) => (was: number) => (was & 0xfff) | (frame << 12);

beforeEach(() => {
  population.clear();
  perform({ op: "spawn", cpu: 0 }, { op: "mmap", ...area, page: 0, pages: 3 }, touch(0, "write", 77));
  expect(compare()).toBeUndefined();
});

describe("an access", () => {
  test("is of the word that its value comes to, and leaves all others", () => {
    for (let value = 100; value < 104; value++) expect(access(FIRST, "write", value)).toBeUndefined();
    const words = Array.from({ length: WORDS }, (_, word) => machine.memory.read32(frameOf(FIRST), word * 256));
    expect(words).toEqual([100, 101, 102, 103]);
    expect(live().model.read(0x200)).toEqual(words);
    for (let value = 0; value < 8; value++) expect(access(FIRST, "read", value)).toBeUndefined();
    live().model.write(0x200, 2, 9);
    expect([4, 5, 6, 7].map((value) => access(FIRST, "read", value))).toEqual([
      undefined,
      undefined,
      "F7: 0x200000 on CPU 0 reads 102, was written 9",
      undefined,
    ]);
  });

  test("of a page that nobody wrote to reads nothing", () => {
    const address = FIRST + 0x1000n;
    expect(access(address, "read", 1)).toBeUndefined();
    machine.memory.write32(frameOf(address), 256, 9);
    expect(access(address, "read", 1)).toBe("F7: 0x201000 on CPU 0 reads 9, was written 0");
    machine.memory.write32(frameOf(address), 256, 0);
  });

  test("fetches what was written, too", () => {
    perform({ op: "mprotect", p: 0, cpu: 0, page: 0, pages: 1, writable: true, executable: true });
    expect(access(FIRST, "execute", 1)).toBeUndefined();
    live().model.write(0x200, 1, 78);
    expect(access(FIRST, "execute", 1)).toBe("F7: 0x200000 on CPU 0 reads 77, was written 78");
  });

  test("behind the end of a file is no access, and before it is one", () => {
    perform({ op: "map-file", ...fileArea, offset: 2 });
    const [before, behind] = [system.address(6), system.address(7)];
    const { model } = population.file(0);
    expect([access(before, "write", 4), access(behind, "read", 4)]).toEqual([undefined, undefined]);
    model.resize(2);
    const where = (address: bigint) => `F4: read of 0x${address.toString(16)} on CPU 0 came to`;
    expect(access(before, "read", 0)).toBe(`${where(before)} ok, and lies behind the end of the file`);
    model.resize(4);
    expect(access(behind, "read", 0)).toBe(`${where(behind)} sigbus, and is allowed`);
    model.resize(3);
    live().model.unmap({ start: behind, pages: 1 });
    expect(access(behind, "read", 0)).toBe(`${where(behind)} sigbus, and is not allowed`);
  });

  test("that is refused leaves the words as they were, for want of rights or of memory", () => {
    perform({ op: "mprotect", p: 0, cpu: 0, page: 0, pages: 1, writable: false, executable: false });
    expect(access(FIRST, "write", 9)).toBeUndefined();
    expect(live().model.read(0x200)).toEqual([0, 77, 0, 0]);
    allocator.refuse(1);
    expect(access(FIRST + 0x1000n, "write", 9)).toBeUndefined();
    allocator.refuse(0);
    expect(live().model.read(0x201)).toEqual([0, 0, 0, 0]);
    expect(live().process.space.lookup(FIRST + 0x1000n)).toBeUndefined();
    expect(compare()).toBeUndefined();
    expect(access(FIRST + 0x1000n, "write", 9)).toBeUndefined();
    expect(live().model.read(0x201)).toEqual([0, 9, 0, 0]);
  });

  test("below a stack has it grow", () => {
    perform({ op: "munmap", p: 0, cpu: 0, page: 0, pages: 3 }, { op: "stack", p: 0, cpu: 0, page: 2, pages: 1 });
    expect(access(FIRST, "write", 9)).toBeUndefined();
    expect([0x1ff, 0x200, 0x201].map((page) => live().model.read(page)?.[1])).toEqual([undefined, 9, 0]);
    expect(compare()).toBeUndefined();
  });

  test("reaches the frame that the tables name, and one where they name any; in a large page, of the small one", () => {
    expect(access(FIRST, "read", 1)).toBeUndefined();
    const frame = frameOf(FIRST);
    expect(
      whileEntry(
        FIRST,
        () => 0,
        () => access(FIRST, "read", 1),
      ),
    ).toBe(`G6: CPU 0 reached frame ${frame} for 0x200000, the tables say nothing`);
    perform({ op: "mmap", ...area, page: 5, pages: 512, large: true }, touch(5, "write", 8));
    const large = frameOf(LARGE);
    expect(live().process.space.lookup(LARGE)!.level).toBe(2);
    expect(access(LARGE + 0x7000n, "read", 1)).toBeUndefined();
    const moved = (was: number) => was + (512 << 12);
    expect(whileEntry(LARGE, moved, () => access(LARGE + 0x7000n, "read", 1), 2)).toBe(
      `G6: CPU 0 reached frame ${large + 7} for 0x407000, the tables say ${large + 512 + 7}`,
    );
  });

  test("is of whatever runs on the CPU; where nothing does, of the process that the CPU's number stands for", () => {
    perform({ op: "fork", p: 0, cpu: 1 }, { op: "run", p: 0, cpu: 1 });
    for (const cpu of [2, 3]) {
      expect(population.runningOn(cpu)).toBeUndefined();
      expect(access(FIRST, "write", 5, cpu)).toBeUndefined();
      expect(population.runningOn(cpu)).toBe(live(cpu % 2));
    }
    expect(access(FIRST, "write", 6, 1)).toBeUndefined();
    expect(population.live.map(({ model }) => model.read(0x200))).toEqual([
      [0, 5, 6, 0],
      [0, 5, 0, 0],
    ]);
    expect(population.runningOn(1)).toBe(live());
    perform({ op: "idle", cpu: 1 });
    expect(population.runningOn(1)).toBeUndefined();
    const { processes } = population;
    const stranger = processes.spawn(1)!;
    processes.run(stranger, 1);
    expect(population.runningOn(1)).toBeUndefined();
    processes.exit(stranger);
  });
});

describe("a process that is taken in", () => {
  const touched: unknown[] = [];
  const own = new Population(parts, { touch: (space: unknown) => touched.push(space) } as unknown as TableWatch);

  test("runs, is looked at and is the last of all; it leaves without the others", () => {
    const [one, two] = [own.processes.spawn(0)!, own.processes.spawn(1)!];
    own.add(one, new UserModel(), 2);
    const model = new UserModel();
    own.add(two, model, 3);
    expect(own.live.map(({ process }) => process)).toEqual([one, two]);
    expect([touched, own.live[1]!.model === model]).toEqual([[one.space, two.space], true]);
    expect([2, 3].map((cpu) => own.runningOn(cpu))).toEqual(own.live);
    own.remove(own.live[0]!);
    expect([one.alive, two.alive, own.live.map(({ process }) => process)]).toEqual([false, true, [two]]);
    expect(own.runningOn(2)).toBeUndefined();
    own.remove(own.live[0]!);
    expect(own.live).toEqual([]);
  });

  test("has the kernel's slots of each node's root, and may have any below", () => {
    const wrong = own.processes.spawn(0)!;
    const pgd = wrong.space.pgd(1);
    const slot = parts.layout.kernelBoundary;
    const [lo, hi] = [entries.low(pgd, slot), entries.high(pgd, slot)];
    entries.write(pgd, slot, lo ^ 0x200, hi);
    const taken = found(() => {
      own.add(wrong, new UserModel(), 0);
    });
    expect(taken).toBe(`F2: kernel slot ${slot} of a PGD differs from node 1's root`);
    entries.write(pgd, slot, lo, hi);
    entries.write(pgd, slot - 1, 0x200, 0);
    own.checkKernelSlots();
    entries.write(pgd, slot - 1, 0, 0);
    own.clear();
  });
});

describe("of every process", () => {
  beforeEach(() => {
    perform({ op: "fork", p: 0, cpu: 1 }, touch(0, "write", 5, 1), { op: "ldt", p: 1, cpu: 1, entry: 0, value: 5 });
    expect(compare()).toBeUndefined();
  });

  test("pages, descriptors and counts are compared, not those of the first alone", () => {
    const { process, model } = live(1);
    const says = `process ${process.id}`;
    machine.memory.write32(frameOf(FIRST, 1), 0, 9);
    expect(compare()).toBe("F7: page 0x200 holds 9, was written 0");
    machine.memory.write32(frameOf(FIRST, 1), 0, 0);
    model.descriptors.set(0, 6n);
    expect(compare()).toBe(`F7: entry 0 of the LDT of ${says}, in memory, is 0x5, was set to 0x6`);
    model.descriptors.set(0, 5n);
    process.rss++;
    expect(compare()).toBe(`F8: ${says} counts 2 pages, its tables map 1`);
    process.rss--;
    process.locked++;
    expect(compare()).toBe(`F8: ${says} counts 1 locked pages, its areas 0`);
    process.locked--;
    expect(compare()).toBeUndefined();
  });

  test("pages of files are, also where the first has none", () => {
    perform({ op: "map-file", ...fileArea, p: 1 }, touch(6, "read", 0, 1));
    const { process } = live(1);
    const address = system.address(6);
    expect(population.pageCache.find(population.file(0).file, 0)).toBe(frameOf(address, 1));
    expect(compare()).toBeUndefined();
    const { table, index, lo, hi } = entryOf(system, process, address);
    const [own, other] = [lo >>> 12, frameOf(FIRST, 1)];
    entries.write(table, index, framed(other)(lo) >>> 0, hi);
    const failure = compare();
    entries.write(table, index, lo, hi);
    expect(failure).toBe(
      `F10: page ${hexOf(address)} of process ${process.id}, page 0 of a file, is frame ${other}, the file's is ${own}`,
    );
  });

  test("locked pages are compared in turn, and now and then what is mapped", () => {
    const steps = (count: number) => foundInTurn(population, count);
    for (const { process } of population.live) {
      process.locked += 2;
      expect(new Set(steps(4))).toEqual(new Set([`F8: process ${process.id} counts 2 locked pages, its areas 0`]));
      process.locked -= 2;
      process.rss += 2;
      expect(new Set(steps(100))).toEqual(new Set([`F8: process ${process.id} counts 3 pages, its tables map 1`]));
      process.rss -= 2;
    }
    expect(steps(100)).toEqual([]);
  });
});

describe("pages of files:", () => {
  const { pageCache } = population;

  test("a page that the cache alone has is compared there; behind the file's end nothing is", () => {
    perform(
      { op: "map-file", ...fileArea },
      touch(7, "write", 6),
      { op: "fork", p: 0, cpu: 1 },
      { op: "munmap", p: 0, cpu: 0, page: 6, pages: 2 },
    );
    const address = system.address(7);
    const { file } = population.file(0);
    const frame = pageCache.find(file, 1)!;
    expect(live(1).process.space.lookup(address)).toBeUndefined();
    expect(compare()).toBeUndefined();
    for (const [word, was] of [0, 0, 6, 0].entries()) {
      machine.memory.write32(frame, word * 256, 9);
      expect(compare()).toBe(`F8: page ${hexOf(address)} is not mapped, was written ${was}`);
      machine.memory.write32(frame, word * 256, was);
    }
    perform({ op: "truncate", file: 0, pages: 1, cpu: 0 });
    expect(compare()).toBeUndefined();
  });

  test("a copy that is gone is not made up for by the file's page", () => {
    perform({ op: "map-file", ...fileArea, shared: false }, touch(6, "write", 6));
    const address = system.address(6);
    expect(compare()).toBeUndefined();
    const { file } = population.file(0);
    const frame = pageCache.find(file, 0);
    if (frame !== undefined) machine.memory.write32(frame, 2 * 256, 6);
    expect(whileEntry(address, () => 0, compare)).toBe(`F8: page ${hexOf(address)} is not mapped, was written 6`);
  });

  test("a process has a copy where it has a page, and that is not the file's at the area's offset", () => {
    perform({ op: "map-file", ...fileArea, offset: 1, shared: false }, touch(6, "read", 6), touch(7, "read", 6));
    const { process } = live();
    const copies = () => [6, 7].map((page) => population.hasCopy(process, pageNumber(system.address(page))));
    expect([1, 2].map((index) => pageCache.find(population.file(0).file, index))).toEqual(
      [6, 7].map((page) => frameOf(system.address(page))),
    );
    expect(copies()).toEqual([false, false]);
    perform(touch(7, "write", 6));
    expect(copies()).toEqual([false, true]);
    expect([0x200, 0x201, 0x7_0000].map((page) => population.hasCopy(process, page))).toEqual([true, false, false]);
    expect(compare()).toBeUndefined();
  });

  test("a page that the file has not is no file's", () => {
    perform({ op: "map-file", ...fileArea }, touch(6, "write", 6));
    const address = system.address(6);
    const { pageCache: cache } = population;
    const find = cache.find.bind(cache);
    cache.find = () => undefined;
    const failure = compare();
    cache.find = find;
    expect(failure).toBe(
      `F10: page ${hexOf(address)} of process ${live().process.id}, page 0 of a file, is frame ${frameOf(address)}, the file's is none`,
    );
  });
});

describe("descriptors", () => {
  const set = (...list: readonly number[]) => {
    perform(...list.map((entry) => ({ op: "ldt", p: 0, cpu: 0, entry, value: entry + 5 })));
  };
  const entrySays = (entry: number, where: string, value: bigint, was: bigint) =>
    `F7: entry ${entry} of the LDT of process ${live().process.id}, ${where}, is 0x${value.toString(16)}, was set to 0x${was.toString(16)}`;

  test("are compared in both halves of a word, set or not", () => {
    set(0, 511);
    const at = (entry: number) => addressOfFrame(live().process.ldt!.frames[0]!) + BigInt(entry * 8);
    for (const [entry, was] of [
      [0, 5n],
      [1, 0n],
      [511, 516n],
    ] as const)
      for (const value of [0n, 7n, 5n << 32n, was | (1n << 63n)]) {
        if (value === was) continue;
        machine.memory.write64(at(entry), value);
        expect(compare()).toBe(entrySays(entry, "in memory", value, was));
        machine.memory.write64(at(entry), was);
      }
    expect(compare()).toBeUndefined();
  });

  test("are as many pages as the highest that was ever set needs, whatever it is now", () => {
    for (const entry of [510, 511, 512, 1023, 1024]) {
      set(entry);
      expect(live().process.ldt!.frames).toHaveLength(Math.floor(entry / 512) + 1);
      expect(compare()).toBeUndefined();
    }
    perform({ op: "ldt", p: 0, cpu: 0, entry: 1024, value: 0 });
    expect(compare()).toBeUndefined();
  });

  test("under KPTI are mapped once, by their own pages in their order, at either place", () => {
    for (let turn = 0; turn < 2; turn++) {
      set(0, 512);
      const { process } = live();
      const { place, frames } = process.ldt!;
      const address = ldtAddress(parts.layout.levels, place);
      const { table, index, lo, hi } = entryOf(system, process, address);
      expect([0, 1].map((page) => entries.low(table, index + page) >>> 12)).toEqual(frames);
      entries.write(table, index, framed(frames[1]!)(lo) >>> 0, hi);
      expect(compare()).toBe(entrySays(0, "in the kernel half on node 0", 0x205n, 5n));
      entries.write(table, index, lo, hi);
      // The last page of the other place.
      const other = (place === 0 ? 2 * LDT_PAGES : LDT_PAGES) - 1 + (index - place * LDT_PAGES);
      entries.write(table, other, lo, hi);
      expect(compare()).toBe(
        `F7: the LDT of process ${process.id}, in the kernel half on node 0, has 3 pages, and should have 2`,
      );
      entries.write(table, other, 0, 0);
      expect(compare()).toBeUndefined();
    }
  });

  test("without KPTI are mapped nowhere", () => {
    const plain = boot(false);
    behind.perform(plain, { op: "spawn", cpu: 0 }, { op: "ldt", p: 0, cpu: 0, entry: 512, value: 5 });
    const { process } = plain.population.live[0]!;
    expect(plain.parts.entries.low(process.space.pgd(0), LDT_SLOT)).toBe(0);
    plain.population.compare();
    expect(process.ldt!.frames).toHaveLength(2);
  });
});

test("a large page can be too much to write to, and is as many pages as small ones", () => {
  perform({ op: "mmap", ...area, page: 5, pages: 512, large: true }, touch(5, "write", 8));
  const { process, model } = live();
  process.rss++;
  expect(compare()).toBe(`F8: process ${process.id} counts 514 pages, its tables map 513`);
  process.rss--;
  model.protect({ start: LARGE + 0x9000n, pages: 1 }, false, false);
  expect(compare()).toBe("F8: page 0x409 is writable and should not be");
});

test("a run begins with files of some pages without contents, no faults, nobody, and every CPU on its node's root", () => {
  const fresh = () => {
    expect(population.files.map(({ file, model }) => [file.pages, model.pages])).toEqual(
      Array.from({ length: FILES }, () => [FILE_PAGES, FILE_PAGES]),
    );
    for (const { file, model } of population.files)
      for (let index = 0; index < FILE_PAGES; index++)
        expect([population.pageCache.find(file, index), model.read(index)]).toEqual([undefined, [0, 0, 0, 0]]);
    expect(population.faultsOfRun).toEqual({ taken: 0, spurious: 0 });
    expect([population.live, population.probed.size]).toEqual([[], 0]);
    for (const cpu of machine.cpuIds) {
      expect(parts.cpus.online.has(cpu)).toBe(true);
      expect(population.switcher.loaded(cpu)).toBeUndefined();
      expect(machine.cpu(cpu).rootFrame).toBe(parts.view.kernelRoot(machine.nodeOfCpu(cpu)));
    }
  };
  population.clear();
  fresh();
  const { process } = (perform({ op: "spawn", cpu: 2 }), live());
  perform(
    ...[0, 1].map((file) => ({ op: "map-file", ...fileArea, page: 6 + 3 * file, cpu: 2, file })),
    ...[6, 9].map((page) => touch(page, "write", page, 2)),
    { op: "truncate", file: 1, pages: 5, cpu: 0 },
  );
  expect(population.faultsOfRun).toEqual({ taken: 2, spurious: 0 });
  (population.processes.faults as { spurious: number }).spurious += 3;
  expect(population.faultsOfRun).toEqual({ taken: 2, spurious: 3 });
  population.probed.add(6n);
  population.processes.offline(1);
  // Nobody's: it does not end, and is on no CPU.
  const stranger = population.processes.spawn(3)!;
  population.processes.run(stranger, 3);
  population.clear();
  expect([process.alive, stranger.alive]).toEqual([false, true]);
  fresh();
  population.processes.exit(stranger);
});
