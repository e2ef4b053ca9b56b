/**
 * What a user reads, and what is counted, against the slow model: whatever the kernel gets wrong is named, by the
 * sentence it breaks. What is sound is passed.
 */
import { addressOfFrame } from "@kreplica/hw-x86/api";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { LDT_SLOT } from "@kreplica/mm-core";
import { beforeEach, describe, expect, test } from "vitest";
import { CheckedSystem } from "../src/checked-system.js";
import { FAMILIES } from "../src/families.js";
import type { Live } from "../src/population.js";
import { pageNumber } from "../src/user-model.js";
import * as behind from "./behind.js";
import { found, foundInTurn } from "./behind.js";
import type { Given } from "./met.js";

const FIRST = 0x20_0000n;
/** Of the area that has a large page. */
const LARGE = 0x40_0000n;
const system = new CheckedSystem(
  { spec: smallMachine(2), policy: "per-node", pti: true, image: smallImage() },
  { families: FAMILIES },
);
const { population, parts } = system;
const perform = (...operations: readonly Given[]): void => {
  behind.perform(system, ...operations);
};
const compare = () => {
  population.compare();
};
const first = (): Live => population.live[0]!;
const frameOf = (address: bigint) => first().process.space.lookup(address)!.frame;
const areaOf = { p: 0, cpu: 0, locked: false, policy: 0, large: false };

beforeEach(() => {
  population.clear();
  perform(
    { op: "spawn", cpu: 0 },
    { op: "mmap", ...areaOf, page: 0, pages: 3, writable: true, locked: true },
    { op: "mmap", ...areaOf, page: 5, pages: 512, writable: true, large: true },
    ...[0, 1, 5].map((page) => ({ op: "touch", cpu: 0, page, kind: "write", value: 77 + page })),
    ...[0, 512].map((entry) => ({ op: "ldt", p: 0, cpu: 0, entry, value: 5 })),
  );
});

test("a process whose pages, descriptors and counts are as the model says is passed", () => {
  expect(first().process.space.lookup(LARGE)!.level).toBe(2);
  expect(found(compare)).toBeUndefined();
});

describe("pages:", () => {
  test("any of the words that are looked at, of a page that was written or was not, small or large", () => {
    for (const [address, was] of [
      [FIRST, [0, 77, 0, 0]],
      [FIRST + 0x2000n, [0, 0, 0, 0]],
      [LARGE, [0, 0, 82, 0]],
      [LARGE + 0x5000n, [0, 0, 0, 0]],
    ] as const) {
      const leaf = first().process.space.lookup(address)!;
      const frame = leaf.frame + (leaf.level === 2 ? pageNumber(address) % 512 : 0);
      was.forEach((held, word) => {
        parts.machine.memory.write32(frame, word * 256, 9);
        const page = pageNumber(address).toString(16);
        expect(found(compare)).toBe(`F7: page 0x${page} holds 9, was written ${held}`);
        parts.machine.memory.write32(frame, word * 256, held);
      });
    }
    expect(found(compare)).toBeUndefined();
  });

  test("a page that was written and is not mapped", () => {
    const { model } = first();
    model.map({ start: FIRST + 0x10_0000n, pages: 1 }, true);
    expect(found(compare)).toBeUndefined();
    model.write(0x300, 3, 4);
    expect(found(compare)).toBe("F8: page 0x300 is not mapped, was written 4");
  });

  test("a page that can be written and must not be, not one that could be and cannot yet", () => {
    first().model.protect({ start: FIRST + 0x1000n, pages: 1 }, false, false);
    expect(found(compare)).toBe("F8: page 0x201 is writable and should not be");
    perform({ op: "mprotect", p: 0, cpu: 0, page: 1, pages: 1, writable: false, executable: false });
    expect(found(compare)).toBeUndefined();
    first().model.protect({ start: FIRST + 0x1000n, pages: 1 }, true, false);
    expect(found(compare)).toBeUndefined();
  });

  test("a page that is counted and not mapped, or mapped and not counted; and of those that are locked", () => {
    const { process } = first();
    for (const by of [1, -1]) {
      process.rss += by;
      expect(found(compare)).toBe(
        `F8: process ${process.id} counts ${process.rss} pages, its tables map ${process.rss - by}`,
      );
      process.rss -= by;
      process.locked += by;
      expect(found(compare)).toBe(`F8: process ${process.id} counts ${process.locked} locked pages, its areas 3`);
      process.locked -= by;
    }
    expect(process.rss).toBe(3 + 512);
  });
});

describe("the LDT:", () => {
  test("an entry that is another, the first or last of a page or beside one", () => {
    const { ldt } = first().process;
    for (const entry of [0, 1, 510, 511, 512, 513, 1022, 1023]) {
      const at = addressOfFrame(ldt!.frames[Math.floor(entry / 512)]!) + BigInt((entry % 512) * 8);
      const was = entry % 512 === 0 ? 5n : 0n;
      parts.machine.memory.write64(at, 0x1234n);
      expect(found(compare)).toBe(
        `F7: entry ${entry} of the LDT of process ${first().process.id}, in memory, is 0x1234, was set to 0x${was.toString(16)}`,
      );
      parts.machine.memory.write64(at, was);
    }
    expect(found(compare)).toBeUndefined();
  });

  test("a page too few or too many, none where nothing was set", () => {
    const { model, process } = first();
    const says = (have: number, want: number) =>
      `F7: the LDT of process ${process.id}, in memory, has ${have} pages, and should have ${want}`;
    model.descriptors.delete(512);
    expect(found(compare)).toBe(says(2, 1));
    model.descriptors.set(1024, 1n);
    expect(found(compare)).toBe(says(2, 3));
    model.descriptors.clear();
    expect(found(compare)).toBe(says(2, 0));
    perform({ op: "exec", p: 0, cpu: 0 });
    expect(found(compare)).toBeUndefined();
    model.descriptors.set(511, 1n);
    expect(found(compare)).toBe(says(0, 1));
  });

  test("a half of a node's pair that does not lead to it", () => {
    const { space, id } = first().process;
    for (const node of space.pgdNodes)
      for (const half of [0, 1]) {
        const pgd = space.pgd(node) + half;
        const [lo, hi] = [parts.entries.low(pgd, LDT_SLOT), parts.entries.high(pgd, LDT_SLOT)];
        parts.entries.write(pgd, LDT_SLOT, 0, 0);
        expect(found(compare)).toBe(
          `F7: the LDT of process ${id}, in the ${half ? "user" : "kernel"} half on node ${node}, has 0 pages, and should have 2`,
        );
        parts.entries.write(pgd, LDT_SLOT, lo, hi);
      }
    expect(found(compare)).toBeUndefined();
  });
});

describe("an access:", () => {
  const access = (address: bigint, kind: "read" | "write" | "execute", value: number, cpu = 0) =>
    found(() => {
      population.access(cpu, address, kind, value);
    });

  test("is passed where it comes to what the model allows, and a store is the model's too", () => {
    expect(access(FIRST, "write", 6)).toBeUndefined();
    expect(first().model.pages.get(0x200)!.values).toEqual([0, 77, 6, 0]);
    expect(access(FIRST, "read", 6)).toBeUndefined();
    expect(access(FIRST, "execute", 6)).toBeUndefined();
    expect(access(0x50_0000n, "write", 6)).toBeUndefined();
    expect(access(LARGE + 0x7000n, "write", 3)).toBeUndefined();
    expect(found(compare)).toBeUndefined();
  });

  test("that is allowed and does not come about, or the other way round", () => {
    const { model } = first();
    model.map({ start: 0x50_0000n, pages: 1 }, true);
    expect(access(0x70_0000n, "read", 1)).toBeUndefined();
    expect(access(FIRST, "read", 0)).toBeUndefined();
    model.unmap({ start: FIRST, pages: 1 });
    expect(access(FIRST, "read", 0)).toBe("F4: read of 0x200000 on CPU 0 came to ok, and is not allowed");
    const beyond = 0x80_0000n;
    model.map({ start: beyond, pages: 1 }, true);
    expect(access(beyond, "write", 0)).toMatch(/^F4: write of 0x800000 on CPU 0 came to (?!ok).*, and is allowed$/);
  });

  test("that reads another word than was written", () => {
    first().model.write(0x200, 1, 78);
    expect(access(FIRST, "read", 1)).toBe("F7: 0x200000 on CPU 0 reads 77, was written 78");
    expect(access(FIRST, "read", 2)).toBeUndefined();
  });

  test("that reaches another frame than the tables say", () => {
    expect(access(FIRST, "read", 1)).toBeUndefined();
    const [was, other] = [frameOf(FIRST), frameOf(FIRST + 0x1000n)];
    const { space } = first().process;
    let table = space.pgd(0);
    for (let level = 4; level > 1; level--)
      table = parts.entries.low(table, Number((FIRST >> BigInt(12 + 9 * (level - 1))) & 511n)) >>> 12;
    const [lo, hi] = [parts.entries.low(table, 0), parts.entries.high(table, 0)];
    // Behind the kernel's back, so that the CPU keeps what it has cached.
    parts.entries.write(table, 0, (lo & 0xfff) | (other << 12), hi);
    expect(access(FIRST, "read", 1)).toBe(`G6: CPU 0 reached frame ${was} for 0x200000, the tables say ${other}`);
    parts.entries.write(table, 0, lo, hi);
  });

  test("is of what runs on the CPU, or of a process put there; of nobody where none is alive", () => {
    perform({ op: "fork", p: 0, cpu: 1 }, { op: "idle", cpu: 1 });
    const child = population.live[1]!;
    expect(population.runningOn(1)).toBeUndefined();
    expect(access(FIRST, "write", 4, 1)).toBeUndefined();
    expect(population.runningOn(1)).toBe(child);
    expect([first(), child].map(({ model }) => model.pages.get(0x200)!.values[0])).toEqual([0, 4]);
    expect(population.runningOn(0)).toBe(first());
    population.clear();
    expect(access(FIRST, "write", 4)).toBeUndefined();
  });
});

test("F10: a page of a file is the file's frame without a copy, another with one, and none behind the end", () => {
  const place = 9;
  perform(
    { op: "map-file", p: 0, cpu: 0, page: place, pages: 2, writable: true, file: 0, offset: 0, shared: false },
    { op: "touch", cpu: 0, page: place, kind: "read", value: 0 },
    { op: "touch", cpu: 0, page: place + 1, kind: "write", value: 6 },
  );
  expect(found(compare)).toBeUndefined();
  const [one, copy] = [system.address(place), system.address(place + 1)];
  const { process } = first();
  const [file, { model }] = [population.file(0).file, population.file(0)];
  const cached = (index: number) => population.pageCache.find(file, index)!;
  const [shown, copied] = [frameOf(one), frameOf(copy)];
  expect([shown, copied === cached(1)]).toEqual([cached(0), false]);
  const where = (address: bigint, index: number) =>
    `F10: page 0x${pageNumber(address).toString(16)} of process ${process.id}, page ${index} of a file`;
  const pointed = (address: bigint, frame: number): string | undefined => {
    const { entries } = parts;
    let table = process.space.pgd(0);
    for (let level = 4; level > 1; level--)
      table = entries.low(table, Number((address >> BigInt(12 + 9 * (level - 1))) & 511n)) >>> 12;
    const index = Number((address >> 12n) & 511n);
    const [lo, hi] = [entries.low(table, index), entries.high(table, index)];
    entries.write(table, index, (lo & 0xfff) | (frame << 12), hi);
    const failure = found(compare);
    entries.write(table, index, lo, hi);
    return failure;
  };
  expect(pointed(one, copied)).toBe(`${where(one, 0)}, is frame ${copied}, the file's is ${shown}`);
  expect(pointed(copy, cached(1))).toBe(`${where(copy, 1)}, was copied, and is the file's frame ${cached(1)}`);
  model.resize(1);
  expect(found(compare)).toBe(`${where(copy, 1)} that has 1, is frame ${copied}`);
  model.resize(3);
  expect(found(compare)).toBeUndefined();
});

test("a process that ends leaves the others where they are", () => {
  perform({ op: "fork", p: 0, cpu: 1 }, { op: "fork", p: 0, cpu: 2 });
  const [one, two, three] = population.live;
  population.remove(two!);
  expect(population.live).toEqual([one, three]);
  expect(found(compare)).toBeUndefined();
});

test("numbers stand for processes in turn, and for none where none is alive", () => {
  perform({ op: "fork", p: 0, cpu: 1 });
  const [one, two] = population.live;
  expect([0, 1, 2, 3].map((p) => population.pick(p))).toEqual([one, two, one, two]);
  const [a, b] = population.files;
  expect([0, 1, 2, 3].map((number) => population.file(number))).toEqual([a, b, a, b]);
  expect(a!.file).not.toBe(b!.file);
  population.remove(one!);
  expect(population.live).toEqual([two]);
  population.clear();
  expect(population.pick(0)).toBeUndefined();
});

test("F2: a kernel slot of any process's PGD that is not its node's root's, from the first kernel slot on", () => {
  perform({ op: "fork", p: 0, cpu: 1 });
  const slots = () =>
    found(() => {
      population.checkKernelSlots();
    });
  expect(slots()).toBeUndefined();
  const { kernelBoundary } = parts.layout;
  for (const { process } of population.live)
    for (const node of process.space.pgdNodes)
      for (const slot of [kernelBoundary, 511]) {
        const pgd = process.space.pgd(node);
        const [lo, hi] = [parts.entries.low(pgd, slot), parts.entries.high(pgd, slot)];
        parts.entries.write(pgd, slot, lo ^ 0x200, hi);
        expect(slots()).toBe(`F2: kernel slot ${slot} of a PGD differs from node ${node}'s root`);
        parts.entries.write(pgd, slot, lo, hi);
      }
  expect(slots()).toBeUndefined();
});

test("in turn: each process's locked pages after as many steps as there are processes, and its pages now and then", () => {
  perform({ op: "fork", p: 0, cpu: 1 });
  const steps = (count: number) => foundInTurn(population, count);
  for (const { process } of population.live) {
    process.locked++;
    expect(steps(2), "locked").toHaveLength(1);
    process.locked--;
    process.rss++;
    const noticed = steps(100);
    expect(noticed.length).toBeGreaterThan(0);
    expect(noticed.length).toBeLessThan(5);
    process.rss--;
  }
  population.clear();
  expect(steps(2)).toEqual([]);
});

test("a run's faults are counted from its beginning; afterwards all is gone and every CPU is back", () => {
  expect(population.faultsOfRun.taken).toBeGreaterThan(0);
  population.probed.add(1n);
  population.processes.offline(3);
  population.clear();
  expect(population.faultsOfRun).toEqual({ taken: 0, spurious: 0 });
  expect([population.live, [...population.probed]]).toEqual([[], []]);
  for (const cpu of parts.machine.cpuIds) {
    expect(parts.cpus.online.has(cpu)).toBe(true);
    expect(parts.machine.cpu(cpu).rootFrame).toBe(parts.view.kernelRoot(parts.machine.nodeOfCpu(cpu)));
  }
});
