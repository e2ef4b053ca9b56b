/**
 * What each part of replication promises alone: cloned tables, rooms, leaves of a copy, the direct map's view of it, a
 * policy's plugin, and counts of more than one node.
 */
import { bind, bindFactory, plugin } from "@kreplica/di";
import { entryHigh, entryLow, type Frame, frameOf, LARGE, LARGE_PAGES, NONE, PAGE } from "@kreplica/hw-x86/api";
import {
  BuildContext,
  type ChooseHolders,
  directAddress,
  imageAddress,
  KERNEL_DATA,
  lookup,
  PgdPlan,
  walk,
} from "@kreplica/mm-core/api";
import {
  fixedHolders,
  stubMachine,
  testKernel,
  type TestKernel,
  type TestKernelOptions,
} from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import { cloneRoot, countBelow } from "../src/clone-tables.js";
import { copyPages } from "../src/copy-pages.js";
import { CountedCopies } from "../src/counted-copies.js";
import {
  byGroups,
  CopiesNow,
  cloneBelow,
  DemandCopies,
  everyNth,
  groupsThatPay,
  hotSubset,
  numaReplication,
  perDistance,
  PER_NODE,
  perSocket,
  replicationBy,
  TEXT_ONLY,
  whenItPays,
} from "../src/index.js";
import { countAliasTables, protectAlias } from "../src/linear-alias.js";
import { type CopiedPart, placesOf } from "../src/placement.js";
import { memoryNodes, runsOf } from "../src/policy.js";
import { countPartTables, repointPart } from "../src/repoint.js";
import { reserveRooms, type RoomPlan } from "../src/reserve.js";

const nodes = [0, 1, 2].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));

describe("cloned tables", () => {
  const [TABLE, LEAF, NX] = [0x67, 0x1e3, 0x8000_0000];

  /**
   * A PGD that leads to a PUD with two PMD pages in the window and one below it, each with one PTE page and one leaf.
   */
  function tree(levels: 4 | 5) {
    const { entries, allocator } = testKernel();
    const made: Frame[] = [];
    const make = (): Frame => {
      const frame = allocator.allocate(1, 0, { purpose: "page-table", zero: true });
      made.push(frame);
      return frame;
    };
    const link = (table: Frame, index: number, frame: Frame, bits = TABLE, hi = 0): void => {
      entries.write(table, index, entryLow(frame, bits), (entryHigh(frame, false) | hi) >>> 0);
    };
    const [pgd, pud, target] = [make(), make(), make()];
    if (levels === 5) {
      const p4d = make();
      link(pgd, 511, p4d, 0x63);
      link(p4d, 511, pud);
      link(p4d, 300, 0x777);
    } else link(pgd, 511, pud, 0x63);
    link(pgd, 3, 0x333);
    link(pgd, 300, 0x444);
    const pmds = [509, 510, 511].map((index) => {
      const pmd = make();
      link(pud, index, pmd, TABLE, index === 510 ? NX : 0);
      link(pmd, 0, make());
      link(pmd, 7, 0x4000, LEAF, NX);
      return pmd;
    });
    made.length = 0;
    const words = (table: Frame): string[] =>
      Array.from({ length: 512 }, (_, index) => `${entries.high(table, index)}:${entries.low(table, index)}`);
    const at = (table: Frame, index: number): Frame => frameOf(entries.low(table, index), entries.high(table, index));
    return { entries, pgd, pud, pmds, target, make, made, words, at, link };
  }

  test.each([4, 5] as const)(
    "%i levels: what leads to the window is the holder's own, and nothing else is",
    (levels) => {
      const { entries, pgd, pmds, target, make, made, words, at } = tree(levels);
      const before = words(pgd);
      cloneRoot(entries, levels, 256, pgd, target, make);
      expect(made.length).toBe(levels - 1);
      expect(countBelow(entries, levels, pgd)).toBe(made.length);
      expect(words(pgd)).toEqual(before);
      // The kernel half only.
      expect(words(target).slice(0, 511)).toEqual([...Array<string>(256).fill("0:0"), ...before.slice(256, 511)]);
      expect([at(target, 511), entries.low(target, 511) & 0xfff]).toEqual([made[0], 0x63]);
      const pud = levels === 5 ? at(made[0]!, 511) : made[0]!;
      expect(made).toContain(pud);
      expect(at(pud, 509)).toBe(pmds[0]);
      for (const [nth, index] of [510, 511].entries()) {
        const pmd = at(pud, index);
        expect(made).toContain(pmd);
        // PTE pages and leaves are what they were.
        expect(words(pmd)).toEqual(words(pmds[nth + 1]!));
        expect([entries.low(pud, index) & 0xfff, entries.high(pud, index) >>> 31]).toEqual([
          TABLE,
          index === 510 ? 1 : 0,
        ]);
      }
      if (levels === 5) expect(at(made[0]!, 300)).toBe(0x777);
    },
  );

  test("an entry that is absent, or a leaf of 1 GiB, leads to no table", () => {
    const { entries, pgd, pud, target, make, made, words, link } = tree(4);
    link(pud, 510, 0x40000, LEAF);
    link(pud, 511, 0x888, 0x66);
    cloneRoot(entries, 4, 256, pgd, target, make);
    expect([made.length, countBelow(entries, 4, pgd)]).toEqual([1, 1]);
    expect(words(made[0]!)).toEqual(words(pud));
  });

  test("below a PUD of one's own PMD pages are made, and below a PMD page nothing", () => {
    const { entries, pud, pmds, make, made, at } = tree(4);
    const { length } = pmds;
    cloneBelow(entries, 3, pud, make);
    expect(made).toEqual([at(pud, 510), at(pud, 511)]);
    expect([countBelow(entries, 3, pud), countBelow(entries, 2, pmds[length - 1]!)]).toEqual([2, 0]);
    cloneBelow(entries, 2, pmds[length - 1]!, make);
    expect(made).toHaveLength(2);
  });
});

describe("rooms", () => {
  const machine = stubMachine(nodes);
  const partOf = (purpose: "text" | "rodata", pages: number, original: Frame): CopiedPart => {
    const places = placesOf(pages);
    return { purpose, start: 0n, pages, original, places, copied: pages };
  };
  const PLAN: RoomPlan = {
    parts: [partOf("text", 700, 77), partOf("rodata", 3, 99)],
    rootFrames: 2,
    tables: 3,
    master: 0,
  };

  /** Takes rooms from memory that refuses what `refused` says, by node and number of the request. */
  function taking(plan: Partial<RoomPlan>, refused: (node: number, nth: number) => boolean = () => false) {
    const asked: [number, number, number, string, boolean | undefined][] = [];
    const held = new Map<Frame, string>();
    const count = [0, 0, 0];
    let next = 0x1000;
    const rooms = reserveRooms(
      {
        allocate: (node, frames, align, purpose, exact) => {
          asked.push([node, frames, align, purpose, exact]);
          if (refused(node, ++count[node]!)) return NONE;
          const first = Math.ceil(next / align) * align;
          next = first + frames;
          held.set(first, `${frames} ${purpose}`);
          return first;
        },
        release: (first, frames, purpose) => {
          expect(held.get(first)).toBe(`${frames} ${purpose}`);
          held.delete(first);
        },
        reserve: () => undefined,
        freeFrames: () => 0,
        usedFrames: () => 0,
        handOver: () => [],
        active: true,
      },
      machine,
      [2, 0, 1],
      { ...PLAN, ...plan },
    );
    return { rooms, asked, held };
  }

  test("each node is asked for a run a part, a PGD and tables one by one, in order; the master for no copy", () => {
    const { rooms, asked, held } = taking({});
    const tables = (node: number) => [
      [node, 2, 2, "page-table", true],
      ...Array.from({ length: 3 }, () => [node, 1, 1, "page-table", true]),
    ];
    const copies = (node: number) => [
      [node, 700, LARGE_PAGES, "text", true],
      [node, 3, LARGE_PAGES, "rodata", true],
    ];
    expect(asked).toEqual([...tables(0), ...copies(1), ...tables(1), ...copies(2), ...tables(2)]);
    expect(rooms.map(({ node }) => node)).toEqual([0, 1, 2]);
    expect([rooms[0]!.text, rooms[0]!.rodata]).toEqual([77, 99]);
    for (const { text, rodata, root, tables: own } of rooms.slice(1)) {
      expect([text, rodata, root].map((frame) => held.get(frame))).toEqual(["700 text", "3 rodata", "2 page-table"]);
      expect(own.map((frame) => held.get(frame))).toEqual(Array(3).fill("1 page-table"));
    }
    expect(taking({ anyNode: true }).asked.every((each) => each[4] === false)).toBe(true);
  });

  test("a master that keeps its tables takes none, and a PGD only where it was given none", () => {
    const given = taking({ masterRoot: 0x500 });
    expect(given.asked.filter(([node]) => node === 0)).toEqual([]);
    expect(given.rooms[0]).toEqual({ node: 0, root: 0x500, tables: [], text: 77, rodata: 99 });
    expect(given.rooms[1]!.root).not.toBe(0x500);
    const none = taking({ masterRoot: NONE });
    expect(none.asked.filter(([node]) => node === 0)).toEqual([[0, 2, 2, "page-table", true]]);
    expect(none.held.get(none.rooms[0]!.root)).toBe("2 page-table");
  });

  test("copies that come later are the master's frames, and of what is not copied there is no frame", () => {
    const { rooms, asked } = taking({ later: true, parts: PLAN.parts.slice(0, 1) });
    expect(rooms.map(({ text, rodata }) => [text, rodata])).toEqual(Array(3).fill([77, NONE]));
    expect(asked.every(([, , , purpose]) => purpose === "page-table")).toBe(true);
    expect(taking({ parts: PLAN.parts.slice(1) }).rooms.map(({ text }) => text)).toEqual([NONE, NONE, NONE]);
  });

  test("without the master, or with one node alone, there are none, and all is back", () => {
    for (const refused of [
      (node: number) => node === 0,
      (node: number) => node > 0,
      (_: number, nth: number) => nth === 2,
    ]) {
      const { rooms, held } = taking({}, refused);
      expect([rooms, held.size]).toEqual([[], 0]);
    }
    const { rooms, held } = taking({}, (node, nth) => node === 1 && nth === 5);
    expect(rooms.map(({ node }) => node)).toEqual([0, 2]);
    expect(held.size).toBe(4 + 6);
  });

  test("every page of a PGD and every table comes out empty, and nothing else is touched", () => {
    const { memory } = machine;
    for (let frame = 0x1000; frame < 0x1800; frame++) memory.write32(frame, 9, 0xbad);
    const { rooms } = taking({ parts: [] });
    for (const { root, tables } of rooms) {
      const seen = [root, root + 1, ...tables].map((frame) => memory.read32(frame, 9));
      expect(seen).toEqual([0, 0, 0, 0, 0]);
    }
    const used = new Set(rooms.flatMap(({ root, tables }) => [root, root + 1, ...tables]));
    for (let frame = 0x1000; frame < 0x1800; frame++) if (!used.has(frame)) expect(memory.read32(frame, 9)).toBe(0xbad);
  });
});

describe("pages of a copy", () => {
  test("are copied to their places, and none onto itself", () => {
    const { memory } = stubMachine(nodes);
    const places = placesOf(4, [
      { first: 1, pages: 1 },
      { first: 3, pages: 1 },
    ]);
    const part: CopiedPart = { purpose: "text", start: 0n, pages: 4, original: 0x100, places, copied: 2 };
    for (let page = 0; page < 4; page++) memory.write32(0x100 + page, 0, 10 + page);
    copyPages(memory, part, 0x200);
    expect([0, 1, 2].map((place) => memory.read32(0x200 + place, 0))).toEqual([11, 13, 0]);
    copyPages(memory, part, 0x100);
    expect([0, 1, 2, 3].map((page) => memory.read32(0x100 + page, 0))).toEqual([10, 11, 12, 13]);
  });
});

describe("leaves of a copy", () => {
  const START = 0xffff_ffff_c000_0000n;
  const [BOOTED, COPY] = [0x2000, 0x3000];
  const text = { ...KERNEL_DATA, writable: false, executable: true };

  /** Two roots over 4 MiB: a leaf of 2 MiB, and small leaves of which page 5 is absent, each root's own. */
  function mapped() {
    const kernel = testKernel({ nodes, view: fixedHolders(0, 1) });
    kernel.tables.edit((editor) => {
      editor.map(START, { ...text, level: 2, frame: BOOTED });
      for (let page = 0; page < 512; page++)
        if (page !== 5) {
          const leaf = page === 6 ? { ...text, executable: false, writable: true } : text;
          editor.map(START + LARGE + BigInt(page) * PAGE, { ...leaf, level: 1, frame: BOOTED + 512 + page });
        }
    });
    const [boot, root] = [kernel.view.roots[0]!.root, kernel.view.kernelRoot(1)];
    const look = (of: Frame, page: number) => {
      const found = lookup(kernel.entries.memory, of, 4, START + BigInt(page) * PAGE);
      return found && { ...found, level: 1, frame: found.level === 1 ? found.frame : found.frame + (page % 512) };
    };
    return { ...kernel, bootTable: boot, root, look };
  }
  const part = (pages: number, runs?: Parameters<typeof placesOf>[1]): CopiedPart => {
    const places = placesOf(pages, runs);
    return {
      purpose: "text",
      start: START,
      pages,
      original: BOOTED,
      places,
      copied: places.filter((at) => at !== -1).length,
    };
  };

  test.each<[string, CopiedPart, number]>([
    ["all", part(1024), 0],
    ["all of the first leaf", part(512), 0],
    ["a part of the first leaf", part(100), 1],
    ["pages of both", part(1024, [{ first: 500, pages: 30 }]), 1],
    ["small leaves alone", part(1024, [{ first: 512, pages: 512 }]), 0],
    ["nothing", part(1024, []), 0],
  ])(
    "%s: they say what they said, of the holder's frames; the boot table's and absent ones are left",
    (_, of, pages) => {
      const { entries, bootTable, root, look, allocator } = mapped();
      const before = Array.from({ length: 1024 }, (__, page) => look(root, page));
      const booted = Array.from({ length: 1024 }, (__, page) => look(bootTable, page));
      expect(countPartTables(entries, 4, root, bootTable, of)).toBe(pages);
      let made = 0;
      repointPart(entries, 4, root, bootTable, of, COPY, () => {
        made++;
        return allocator.allocate(1, 0, { purpose: "page-table", zero: true });
      });
      expect(made).toBe(pages);
      const wanted = before.map((leaf, page) => {
        const place = of.places[page] ?? -1;
        return leaf && { ...leaf, frame: place === -1 ? leaf.frame : COPY + place };
      });
      expect(Array.from({ length: 1024 }, (__, page) => look(root, page))).toEqual(wanted);
      expect(Array.from({ length: 1024 }, (__, page) => look(bootTable, page))).toEqual(booted);
      // Done once, nothing is left that would need a table.
      expect(countPartTables(entries, 4, root, bootTable, of)).toBe(0);
    },
  );

  test("a leaf that can stay large does, and one in part becomes a table with all rights", () => {
    const { entries, bootTable, root, allocator } = mapped();
    const make = () => allocator.allocate(1, 0, { purpose: "page-table", zero: true });
    repointPart(entries, 4, root, bootTable, part(512), COPY, make);
    expect(walk(entries.memory, root, 4, START).level).toBe(2);
    repointPart(entries, 4, root, bootTable, part(3), COPY + 512, make);
    const { lo, hi } = walk(entries.memory, root, 4, START, 2);
    expect([(lo & 3) === 3, (lo & 0x80) === 0, hi >>> 31]).toEqual([true, true, 0]);
    expect(lookup(entries.memory, root, 4, START + 3n * PAGE)!.frame).toBe(COPY + 3);
  });

  test("where no PMD page leads, the address is named", () => {
    const { entries, root, bootTable } = mapped();
    const nowhere = { ...part(1), start: 0xffff_ffff_0000_0000n };
    expect(() => countPartTables(entries, 4, root, bootTable, nowhere)).toThrow("no PMD page for 0xffffffff00000000");
  });
});

describe("the direct map's view of a copy in a leaf of 1 GiB", () => {
  test.each([
    [0, 512 * 512, 0],
    [512, 512, 1],
    [0, 100, 2],
    [700, 100, 2],
    [1000, 100, 3],
    [700, 1024, 3],
    [512, 700, 2],
    [600, 424, 2],
    [512 * 511, 513, 1],
  ])("from page %i, %i pages: as many tables as were counted, and exactly these read-only", (from, frames, wanted) => {
    const kernel = testKernel({ view: fixedHolders(0, 1) });
    const { entries, layout, allocator, tables, view } = kernel;
    const context = kernel.assembly.get(BuildContext);
    const first = 4 * 512 * 512;
    tables.edit((editor) => editor.map(directAddress(layout, first), { ...KERNEL_DATA, level: 3, frame: first }));
    const root = view.roots[0]!.root;
    const run = { first: first + from, frames: Math.min(frames, 512 * 512 - from) };
    expect(countAliasTables(context, root, run, new Set())).toBe(wanted);
    let made = 0;
    protectAlias(context, root, run, () => {
      made++;
      return allocator.allocate(0, 0, { purpose: "page-table", zero: true });
    });
    expect(made).toBe(wanted);
    const writable = (page: number) => lookup(entries.memory, root, 4, directAddress(layout, first + page))?.writable;
    const end = from + run.frames;
    const looked = [
      0,
      1,
      from - 1,
      from,
      from + 1,
      from + 511,
      from + 512,
      end - 1,
      end,
      end + 511,
      end + 512,
      512 * 512 - 1,
    ];
    for (const page of looked.filter((each) => each >= 0 && each < 512 * 512))
      expect([page, writable(page)]).toEqual([page, page < from || page >= end]);
  });
});

describe("a policy's plugin", () => {
  test("has the policy's name, its sentence and where text ends; who holds copies is the policy's to say", () => {
    expect(numaReplication).toMatchObject({ name: "per-node", summary: PER_NODE.summary, alignment: "patch-06" });
    expect(replicationBy(hotSubset([]))).toMatchObject({ name: "hot-subset", alignment: "recorded" });
    const asked: unknown[] = [];
    const policy = replicationBy({ ...PER_NODE, chooseHolders: (...given) => (asked.push(...given), [7]) });
    const machine = stubMachine(nodes);
    expect((policy.holders as ChooseHolders)(machine, 2, 4096)).toEqual([7]);
    expect(asked).toEqual([machine, 2, 4096]);
  });

  test("binds the plan for PGDs it is given", () => {
    const plan = { ...testKernel({ view: numaReplication }).assembly.get(PgdPlan), name: "another" };
    expect(testKernel({ view: replicationBy(PER_NODE, plan) }).assembly.get(PgdPlan)).toBe(plan);
  });

  test("two kernels of one plugin know nothing of each other's copies", () => {
    const view = replicationBy(whenItPays({ price: () => 1, keep: 0 }));
    const [one, other] = [testKernel({ nodes, view }), testKernel({ nodes, view })];
    one.boot.run();
    other.boot.run();
    expect(one.assembly.get(DemandCopies).give(1)).toBe(true);
    expect([one.view.copyHolders, other.view.copyHolders]).toEqual([[0, 1], [0]]);
  });

  test("without terms a copy costs more than any wait, and none goes for saving little", () => {
    const counts = plugin("counts", [bindFactory(CopiesNow, () => ({ nodes: [] })), bind(DemandCopies, CountedCopies)]);
    const demand = testKernel({ nodes, view: replicationBy(TEXT_ONLY), plugins: [counts] }).assembly.get(DemandCopies);
    expect([demand.price(1), demand.keep, demand.waited(1)]).toEqual([Infinity, 0, 0]);
  });
});

describe("numbers of two digits", () => {
  const many = [0, 2, 10, 9, 100].map((id) => ({ id, memoryMiB: 64, cpus: 1, socket: id }));
  const machine = stubMachine(many);

  test("come in the order of numbers: pages, nodes, groups", () => {
    expect(runsOf([100, 9, 10, 2])).toEqual([
      { first: 2, pages: 1 },
      { first: 9, pages: 2 },
      { first: 100, pages: 1 },
    ]);
    const ascending = [0, 2, 9, 10, 100];
    expect(memoryNodes(machine)).toEqual(ascending);
    expect(everyNth(2).chooseHolders(machine, 9, 0)).toEqual([0, 9, 100]);
    expect(perSocket().chooseHolders(machine, 9, 0)).toEqual([9, 0, 2, 10, 100]);
    expect(byGroups([[100, 10, 2, 9]]).chooseHolders(machine, 0, 0)).toEqual([2]);
    expect(perDistance(254).groups!(machine, 0, 0)).toEqual([ascending]);
    expect(groupsThatPay(machine, 0, 1)).toEqual(ascending.map((id) => [id]));
    expect(groupsThatPay(machine, 0, 320 << 20)).toEqual([ascending]);
  });

  test("holders, and nodes with a copy", () => {
    const view = replicationBy(whenItPays({ price: () => 100, keep: 0 }));
    const kernel = testKernel({ nodes: many.slice(0, 4), view });
    kernel.boot.run();
    const demand = kernel.assembly.get(DemandCopies);
    expect(kernel.view.holders).toEqual([0, 2, 9, 10]);
    expect([demand.give(10), demand.give(2), demand.give(9)]).toEqual([true, true, true]);
    expect([kernel.assembly.get(CopiesNow).nodes, kernel.view.copyHolders]).toEqual([
      [2, 9, 10],
      [0, 2, 9, 10],
    ]);
  });
});

describe("copies of several nodes", () => {
  const four = [...nodes, { id: 3, memoryMiB: 0, cpus: 1 }];
  const distance = [0, 1, 2, 3].map((a) => [0, 1, 2, 3].map((b) => (a === b ? 10 : (a ^ b) === 1 ? 12 : 20)));
  function boot(options: TestKernelOptions = {}): TestKernel & { readonly demand: DemandCopies } {
    const view = replicationBy(whenItPays({ price: () => 100, keep: 10 }));
    const kernel = testKernel({ nodes: four, distance, alignment: "recorded", ...options, view });
    kernel.boot.run();
    return { ...kernel, demand: kernel.assembly.get(DemandCopies) };
  }
  const from = ({ machine, view, layout, image }: TestKernel, at: Frame): number =>
    machine.memory.nodeOf(lookup(view && machine.memory, at, layout.levels, imageAddress(layout, image.stext))!.frame);

  test("come and go one by one, whatever their order, and are said to be there while any is", () => {
    const { demand, view } = boot();
    expect(view.copies.text).toBe(false);
    expect([demand.give(2), demand.give(1)]).toEqual([true, true]);
    expect([view.copyHolders, view.copies.text]).toEqual([[0, 1, 2], true]);
    expect(demand.giveBack(2)).toBe(true);
    expect([view.copyHolders, view.copies.text]).toEqual([[0, 1], true]);
    expect([demand.giveBack(2), demand.giveBack(1)]).toEqual([false, true]);
    expect([view.copyHolders, view.copies.text]).toEqual([[0], false]);
  });

  test("are its tables' to a node that another serves: what it waits is that one's, and by itself it has none", () => {
    const { demand, view } = boot();
    expect(view.nearest(3)).toBe(2);
    expect([demand.counted(3, 60), demand.waited(3), demand.waited(2)]).toEqual(["waits", 0, 60]);
    expect([demand.give(3), demand.giveBack(3)]).toEqual([false, false]);
    expect([demand.counted(3, 40), view.copyHolders]).toEqual(["copied", [0, 2]]);
    expect([demand.counted(2, 10), demand.counted(3, 9), view.copyHolders]).toEqual(["kept", "given back", [0]]);
    expect(demand.counted(1, 100)).toBe("copied");
  });

  test("are not for a node that another's tables serve, though it has memory: nothing is taken of it", () => {
    const terms = whenItPays({ price: () => 100, keep: 10 });
    const kernel = testKernel({ nodes, view: replicationBy({ ...terms, chooseHolders: () => [0, 2] }) });
    kernel.boot.run();
    const demand = kernel.assembly.get(DemandCopies);
    expect([kernel.view.holders, kernel.view.nearest(1)]).toEqual([[0, 2], 0]);
    expect([demand.give(1), demand.counted(1, 1000), demand.giveBack(1)]).toEqual([false, undefined, false]);
    expect([kernel.allocator.usedFrames(1, "text"), kernel.view.copyHolders]).toEqual([0, [0]]);
  });

  test("take whole 2 MiB of the node's memory while they fit, then the largest runs that do", () => {
    for (const refused of [1, 2, undefined]) {
      const { demand, allocator } = boot();
      const asked: unknown[] = [];
      const given: [Frame, number][] = [];
      const freed: [Frame, number][] = [];
      const [allocate, free] = [allocator.allocate.bind(allocator), allocator.free.bind(allocator)];
      allocator.allocate = (node, order, request) => {
        if (request.purpose !== "text") return allocate(node, order, request);
        asked.push([node, order, request.thisNode]);
        const first = asked.length === refused ? NONE : allocate(node, order, request);
        if (first !== NONE) given.push([first, order]);
        return first;
      };
      allocator.free = (first, order) => {
        freed.push([first, order]);
        free(first, order);
      };
      expect(demand.counted(1, 100)).toBe(refused === undefined ? "copied" : "refused");
      // 514 pages.
      expect(asked).toEqual(
        [
          [1, 9, true],
          [1, 1, true],
        ].slice(0, refused),
      );
      expect(freed).toEqual(refused === undefined ? [] : given);
      if (refused !== undefined) continue;
      expect(demand.giveBack(1)).toBe(true);
      expect(freed).toEqual(given);
    }
  });

  test.each([
    [true, {}],
    [false, {}],
    [false, { levels: 5 as const }],
  ])("are led to by the user half as by the kernel's, and no more when they went: KPTI, PCIDs %s", (pcid, more) => {
    const kernel = boot({ pti: true, pcid, ...more });
    const { demand, view, entries } = kernel;
    const halves = (node: number) => [0, 1].map((half) => from(kernel, view.kernelRoot(node) + half));
    expect(halves(1)).toEqual([0, 0]);
    const [stores, ofCopies] = [entries.stores, entries.replicaStores];
    expect(demand.give(1)).toBe(true);
    expect([halves(0), halves(1), halves(2)]).toEqual([
      [0, 0],
      [1, 1],
      [0, 0],
    ]);
    expect(demand.giveBack(1)).toBe(true);
    expect(halves(1)).toEqual([0, 0]);
    // A kernel with a single copy would have stored none of it.
    expect(entries.stores).toBeGreaterThan(stores);
    expect(entries.replicaStores - ofCopies).toBe(entries.stores - stores);
  });
});
