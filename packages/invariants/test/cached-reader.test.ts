/**
 * What a CPU has cached against tables made by hand: each thing that an entry may say otherwise than they do is named,
 * each window that the kernel's rules leave open stays open.
 */
import { type CachedEntry, LARGE, NONE, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import { StubMemory } from "@kreplica/mm-core/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { CachedReader, type CachingKernel } from "../src/cached-reader.js";

// An entry's bits, by the manual's names; user pages that were written, unless a case says otherwise.
const [P, W, U, D, PS, G] = [1, 2, 4, 0x40, 0x80, 0x100];
const NX = 0x8000_0000;
const ALL = P | W | U;
/** Frames of tables by what they are, and of pages. */
const [ROOT, P4D, PUD, PMD, PTE, OTHER, FREED] = [1, 2, 3, 4, 5, 6, 7];
const FRAME = 0x10_0123;
const PCID = 3;
/** Every level's index differs, and so do the two halves of its page number. */
const ADDRESS = 0x0000_7a12_3456_7000n;

let memory = new StubMemory([]);
let levels: 4 | 5 = 4;
let use: "used" | "lazy" | "owed" = "used";
let unflushed: PageRange[] = [];
let roots = [ROOT];
let keptFrom = NONE;
/** The machine's encryption bit, where it has one. */
let encryption = 0;

const index = (address: bigint, level: number): number => Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
/** Makes the entry of a table of a level on the way to an address. */
function enter(table: number, level: number, frame: number, flags: number, address = ADDRESS, high = 0): void {
  const at = index(address, level) * 2;
  memory.write32(table, at, (((frame & 0xf_ffff) << 12) | flags) >>> 0);
  memory.write32(table, at + 1, ((frame / 0x10_0000) | high) >>> 0);
}
/** Leads from a root to the PTE page over an address. */
function way(address = ADDRESS, flags = ALL): void {
  if (levels === 5) enter(ROOT, 5, P4D, flags, address);
  enter(levels === 5 ? P4D : ROOT, 4, PUD, flags, address);
  enter(PUD, 3, PMD, flags, address);
  enter(PMD, 2, PTE, flags, address);
}

const entryOf = (more: Partial<CachedEntry> = {}, address = ADDRESS): CachedEntry => ({
  page: Number(BigInt.asUintN(32, address >> 12n)),
  pageHigh: Number((address >> 44n) & 0x1fffn),
  structure: false,
  level: 1,
  pcid: PCID,
  global: false,
  frame: FRAME,
  writable: true,
  user: true,
  executable: true,
  dirty: true,
  encrypted: true,
  ...more,
});

/** What is said of CPU 9 of node 0, which holds these entries. */
function said(...cached: readonly CachedEntry[]): string[] {
  const kernel = {
    machine: {
      nodeOfCpu: () => 0,
      cpu: () => ({
        cached: {
          forEach: (visit: (entry: CachedEntry) => void) => {
            cached.forEach(visit);
          },
          rootOf: (pcid: number) => (pcid === PCID ? ROOT : OTHER),
          keptFrom: (pcid: number) => (pcid === PCID ? keptFrom : NONE),
        },
      }),
    },
    entries: { memory, encryption },
    layout: { levels },
    view: { holders: roots.map((_, node) => node), kernelRoot: (node: number) => roots[node]! },
    allocator: {
      purposeOf: (frame: number) => (frame === FREED ? "free" : frame === FREED + 1 ? "user" : "page-table"),
    },
    switcher: { useOf: (_cpu: number, pcid: number) => (pcid === PCID ? use : "used") },
    tables: { unflushed },
  } as unknown as CachingKernel;
  const found: string[] = [];
  new CachedReader(kernel).look(9, (rule, detail) => {
    found.push(`${rule}: ${detail}`);
  });
  return found;
}

beforeEach(() => {
  memory = new StubMemory([]);
  [levels, use, unflushed, roots, keptFrom, encryption] = [4, "used", [], [ROOT], NONE, 0];
  way();
  enter(PTE, 1, FRAME, ALL | D);
});

describe("G12: a translation", () => {
  test("that says what the tables say is passed, whatever it says less", () => {
    expect(said(entryOf())).toEqual([]);
    expect(said(entryOf({ writable: false, executable: false, dirty: false }))).toEqual([]);
  });

  const words = `G12: CPU 9 has cached 0x7a1234567000 as frame ${FRAME} under PCID ${PCID}, `;
  test.each<[why: string, leaf: number, high?: number, frame?: number]>([
    ["the tables map nothing there", 0],
    [`the tables say frame ${FRAME + 1}`, ALL | D, 0, FRAME + 1],
    [`the tables say frame ${FRAME - 0x10_0000}`, ALL | D, 0, FRAME - 0x10_0000],
    ["writable, the tables say read-only", P | U | D],
    ["executable, the tables say NX", ALL | D, NX],
    ["for user mode, the tables say the kernel's alone", P | W | D],
    ["dirty, so that a store would set no D, which the tables have clear", ALL],
  ])("%s", (why, leaf, high = 0, frame = FRAME) => {
    enter(PTE, 1, frame, leaf, ADDRESS, high);
    expect(said(entryOf())).toEqual([words + why]);
  });

  test("of a page that is shared by now, or encrypted", () => {
    encryption = 1 << 19;
    for (const [high, encrypted, why] of [
      [0, true, ["encrypted, the tables say shared"]],
      [encryption, false, ["shared, the tables say encrypted"]],
      [0, false, []],
      [encryption, true, []],
    ] as const) {
      enter(PTE, 1, FRAME, ALL | D, ADDRESS, high);
      expect(said(entryOf({ encrypted }))).toEqual(why.map((each) => words + each));
    }
  });

  test("for the kernel alone where the tables say user", () => {
    expect(said(entryOf({ user: false }))).toEqual([`${words}the kernel's alone, the tables say user`]);
  });

  test("a right counts where every level of the way gives it", () => {
    for (const [table, level, to] of [
      [ROOT, 4, PUD],
      [PUD, 3, PMD],
      [PMD, 2, PTE],
    ] as const) {
      for (const [flags, high, why] of [
        [P | U, 0, "writable, the tables say read-only"],
        [P | W, 0, "for user mode, the tables say the kernel's alone"],
        [ALL, NX, "executable, the tables say NX"],
        [0, 0, "the tables map nothing there"],
      ] as const) {
        enter(table, level, to, flags, ADDRESS, high);
        expect(said(entryOf()), `level ${level}`).toEqual([words + why]);
      }
      enter(table, level, to, ALL);
    }
    expect(said(entryOf())).toEqual([]);
  });

  test("of another size than the tables' page; large pages by their first frame, whatever lies below it", () => {
    const large = ADDRESS & ~(LARGE - 1n);
    const huge = ADDRESS & ~((1n << 30n) - 1n);
    enter(PMD, 2, 512 * 9 + 1, ALL | D | PS);
    expect(said(entryOf())).toEqual([`${words}the tables have a 2 MiB page there`]);
    expect(said(entryOf({ level: 2, frame: 512 * 9 }, large))).toEqual([]);
    expect(said(entryOf({ level: 2, frame: 512 * 8 }, large))).toEqual([
      `G12: CPU 9 has cached 0x${large.toString(16)} as 2 MiB at frame 4096 under PCID 3, the tables say frame 4608`,
    ]);
    enter(PUD, 3, 0x4_0000 * 5 + 512, ALL | D | PS);
    expect(said(entryOf({ level: 3, frame: 0x4_0000 * 5 }, huge))).toEqual([]);
    expect(said(entryOf({ level: 2, frame: 512 * 9 }, large))).toEqual([
      `G12: CPU 9 has cached 0x${large.toString(16)} as 2 MiB at frame 4608 under PCID 3, the tables have a 1 GiB page there`,
    ]);
    expect(said(entryOf({ level: 3, frame: 0x4_0000 * 6 }, huge))[0]).toContain("as 1 GiB at frame");
    way();
    expect(said(entryOf({ level: 2, frame: 512 * 9 }, large))[0]).toContain("the tables map nothing there");
  });

  test("with five levels and in the upper half as well", () => {
    levels = 5;
    for (const address of [0x00fe_7a12_3456_7000n, 0xff0f_ff12_3456_7000n]) {
      memory = new StubMemory([]);
      way(address);
      enter(PTE, 1, FRAME, ALL | D, address);
      expect(said(entryOf({}, address))).toEqual([]);
      enter(PTE, 1, FRAME, P | U | D, address);
      expect(said(entryOf({}, address))).toEqual([
        `G12: CPU 9 has cached 0x${address.toString(16)} as frame ${FRAME} under PCID 3, writable, the tables say read-only`,
      ]);
      enter(P4D, 4, PUD, 0, address);
      expect(said(entryOf({}, address))[0]).toContain("the tables map nothing there");
    }
  });

  test("may be out of date on a lazy CPU, under a PCID that owes a flush, and in a range that is not flushed yet", () => {
    enter(PTE, 1, FRAME + 1, ALL | D);
    use = "lazy";
    expect(said(entryOf())).toEqual([]);
    use = "owed";
    expect(said(entryOf())).toEqual([]);
    use = "used";
    expect(said(entryOf())).toHaveLength(1);
    for (const [start, pages, count] of [
      [ADDRESS, 1, 0],
      [ADDRESS - 4n * PAGE, 5, 0],
      [ADDRESS - 4n * PAGE, 4, 1],
      [ADDRESS + PAGE, 4, 1],
    ] as const) {
      unflushed = [
        { start: 0x1000n, pages: 1 },
        { start, pages },
      ];
      expect(said(entryOf()), `${pages} from ${start}`).toHaveLength(count);
    }
    // A large page is in it where any of its own is.
    enter(PMD, 2, 512 * 9, ALL | D | PS);
    const large = entryOf({ level: 2, frame: 512 * 8 }, ADDRESS & ~(LARGE - 1n));
    unflushed = [{ start: ADDRESS, pages: 1 }];
    expect(said(large)).toEqual([]);
    unflushed = [{ start: ADDRESS + LARGE, pages: 1 }];
    expect(said(large)).toHaveLength(1);
  });

  test("of each PCID is held against the root that this stands for", () => {
    expect(said(entryOf(), entryOf({ pcid: 4 }), entryOf())).toEqual([
      `G12: CPU 9 has cached 0x7a1234567000 as frame ${FRAME} under PCID 4, the tables map nothing there`,
    ]);
    use = "owed";
    expect(said(entryOf({ pcid: 4 }), entryOf({ frame: 1 }))).toHaveLength(1);
  });
});

describe("G12: a global translation", () => {
  const global = entryOf({ global: true, pcid: 0 });

  test("is its node's root's, or any holder's, and says no PCID", () => {
    enter(PTE, 1, FRAME, ALL | D | G);
    expect(said(global)).toEqual([]);
    roots = [OTHER, ROOT];
    expect(said(global)).toEqual([]);
    roots = [OTHER, OTHER];
    expect(said(global)).toEqual([
      `G12: CPU 9 has cached 0x7a1234567000 as frame ${FRAME}, the tables map nothing there`,
    ]);
  });

  test("is told by what its own node's root says; is not global where no table says so; may be unflushed", () => {
    roots = [ROOT, OTHER];
    expect(said(global)).toEqual([
      `G12: CPU 9 has cached 0x7a1234567000 as frame ${FRAME}, global, the tables say it is not`,
    ]);
    unflushed = [{ start: ADDRESS, pages: 1 }];
    expect(said(global)).toEqual([]);
    unflushed = [];
    enter(PTE, 1, FRAME, ALL | D | G);
    expect(said(entryOf())).toEqual([]);
    // A CPU that is lazy, or owes a flush, uses it all the same.
    use = "owed";
    expect(said(entryOf({ global: true, pcid: PCID, frame: 1 }))).toHaveLength(1);
    use = "lazy";
    expect(said(entryOf({ global: true, pcid: PCID, frame: 1 }))).toHaveLength(1);
  });
});

describe("G13: a paging-structure entry", () => {
  const structure = (level: 1 | 2 | 3, more: Partial<CachedEntry> = {}) =>
    entryOf({ structure: true, level, frame: [0, PTE, PMD, PUD][level]!, ...more });
  const leads = (level: number, table: number) =>
    `G13: CPU 9 has cached the way to table ${table} of level ${level} for 0x7a1234567000 under PCID ${PCID}`;

  test("that names the table that the tables do is passed, at every level", () => {
    for (const level of [1, 2, 3] as const) expect(said(structure(level))).toEqual([]);
    expect(said(structure(1, { writable: false, user: false, executable: false }))).toEqual([]);
  });

  test("that names another, or a table where there is none, or a page", () => {
    for (const level of [1, 2, 3] as const) {
      const own = [0, PTE, PMD, PUD][level]!;
      expect(said(structure(level, { frame: OTHER }))).toEqual([
        `${leads(level, OTHER)}, the tables lead to table ${own}`,
      ]);
      const [table, at] = ([[], [PMD, 2], [PUD, 3], [ROOT, 4]] as const)[level] as [number, number];
      enter(table, at, own, 0);
      expect(said(structure(level))).toEqual([`${leads(level, own)}, the tables lead to none there`]);
      enter(table, at, own, ALL);
    }
    enter(PMD, 2, 512, ALL | PS);
    expect(said(structure(1))).toEqual([`${leads(1, PTE)}, the tables lead to none there`]);
  });

  test("with a right that the tables no longer give on the way to it; what stands below it is not asked", () => {
    enter(PTE, 1, FRAME, 0);
    expect(said(structure(1))).toEqual([]);
    for (const [flags, high] of [
      [P | U, 0],
      [P | W, 0],
      [ALL, NX],
    ] as const) {
      enter(PMD, 2, PTE, flags, ADDRESS, high);
      expect(said(structure(1))).toEqual([`${leads(1, PTE)} with a right that the tables no longer give on it`]);
      expect(said(structure(2))).toEqual([]);
      use = "lazy";
      expect(said(structure(1))).toEqual([]);
      use = "used";
    }
  });

  test("may be out of date on a lazy CPU, and yet names no table that was given back, by whomever it is used now", () => {
    use = "lazy";
    expect(said(structure(1, { frame: OTHER }))).toEqual([]);
    for (const each of ["lazy", "used"] as const) {
      use = each;
      expect(said(structure(1, { frame: FREED }))).toEqual([`${leads(1, FREED)}, which is free`]);
      expect(said(structure(1, { frame: FREED + 1 }))).toEqual([`${leads(1, FREED + 1)}, which is handed out as user`]);
    }
    use = "owed";
    expect(said(structure(1, { frame: FREED }))).toEqual([]);
  });
});

test("G14: what was cached under a PCID before another root was loaded under it is told once a PCID, and nothing else of it", () => {
  keptFrom = 77;
  const what = (entry: string) =>
    `G14: CPU 9 keeps ${entry}, cached under PCID ${PCID}, which stood for root 77 and now stands for ${ROOT}`;
  expect(said(entryOf({ frame: 1 }), entryOf())).toEqual([what("0x7a1234567000 as frame 1")]);
  const structure = entryOf({ structure: true, level: 1, frame: FREED });
  expect(said(structure)).toEqual([what(`the way to table ${FREED} for 0x7a1234567000`)]);
  expect(said(entryOf(), entryOf({ pcid: 4 }), entryOf()).map((each) => each.slice(0, 3))).toEqual(["G14", "G12"]);
  use = "owed";
  expect(said(entryOf())).toEqual([]);
});
