/**
 * What a policy, a place and a count come to at their edges: the first and last of everything, and what is of nobody.
 */
import { LARGE_PAGES, NONE, PAGE, pagesBetween } from "@kreplica/hw-x86/api";
import {
  BOOT_STEPS,
  BuildContext,
  directAddress,
  imageAddress,
  imageFrame,
  KERNEL_DATA,
  KernelBoot,
  lookup,
  MmError,
} from "@kreplica/mm-core/api";
import { fixedHolders, stubMachine, testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import {
  byGroups,
  DemandCopies,
  everyNth,
  groupsThatPay,
  hotSubset,
  perDistance,
  PER_NODE,
  perSocket,
  replicationBy,
  type ReplicationPolicy,
  TEXT_ONLY,
  whenItPays,
  WINDOW_START,
  withinBudget,
} from "../src/index.js";
import { countAliasTables, protectAlias } from "../src/linear-alias.js";
import { copiedRanges, isCopiedBelow, isLargeCopy, placesOf } from "../src/placement.js";
import { memoryNodes, runsOf } from "../src/policy.js";
import { nextPage, takeTablePages } from "../src/table-pages.js";

const node = (id: number, memoryMiB = 64, cpus = 1, socket = id) => ({ id, memoryMiB, cpus, socket });
const MIB = 1 << 20;

describe("who holds copies", () => {
  const six = stubMachine([0, 1, 2, 3, 4, 5].map((id) => node(id, id === 3 ? 0 : 64)));

  test("nodes with memory, each once and in order", () => {
    expect(memoryNodes(six)).toEqual([0, 1, 2, 4, 5]);
    expect(memoryNodes(stubMachine([node(5), node(2), node(7, 0)]))).toEqual([2, 5]);
  });

  test("every n-th of them, counted from the master in both directions", () => {
    const holders = (nth: number, master: number) => everyNth(nth).chooseHolders(six, master, 0);
    expect(holders(1, 2)).toEqual([0, 1, 2, 4, 5]);
    expect(holders(2, 0)).toEqual([0, 2, 5]);
    expect(holders(2, 1)).toEqual([1, 4]);
    expect(holders(3, 4)).toEqual([0, 4]);
    expect(holders(3, 5)).toEqual([1, 5]);
    expect(holders(9, 2)).toEqual([2]);
  });

  test("one a socket that has CPUs, the master for its own, whatever other nodes that has", () => {
    const machine = stubMachine([
      node(0, 64, 1, 0),
      node(1, 64, 1, 0),
      node(2, 64, 0, 1),
      node(3, 0, 1, 2),
      node(4, 64, 2, 1),
      node(5, 64, 1, 1),
    ]);
    const holders = (master: number): number[] => [...perSocket().chooseHolders(machine, master, 0)];
    expect(holders(0)).toEqual([0, 4]);
    expect(holders(1)).toEqual([1, 4]);
    expect(holders(5)).toEqual([5, 0]);
    // A master without CPUs serves no socket.
    expect(holders(2)).toEqual([2, 0, 4]);
  });

  test("one a socket by distance: nodes that only others reach in either direction are not of it", () => {
    const distance = [
      [10, 12, 40],
      [12, 10, 12],
      [40, 13, 10],
    ];
    const machine = stubMachine([node(2), node(0), node(1)], distance);
    const groups = (most: number) => perDistance(most).groups!(machine, 0, 0);
    expect(groups(12)).toEqual([[0, 2], [1]]);
    expect(groups(13)).toEqual([[0, 1, 2]]);
    expect(groups(11)).toEqual([[2], [0], [1]]);
  });

  test("in a group, the first node with memory, or the master; in one without memory nobody", () => {
    const machine = stubMachine([node(0), node(1, 0), node(2), node(3, 0), node(4)]);
    const holders = (master: number) => byGroups([[4, 2], [0, 1], [3]]).chooseHolders(machine, master, 0);
    expect(holders(0)).toEqual([2, 0]);
    expect(holders(4)).toEqual([4, 0]);
  });

  test("within a budget: exactly enough is enough, of two alike the first is joined, and the richest holds", () => {
    const machine = stubMachine([64, 32, 32, 64].map((memory, id) => node(id, memory)));
    expect(groupsThatPay(machine, 0, 32 * MIB)).toEqual([[0], [1], [2], [3]]);
    expect(groupsThatPay(machine, 0, 32 * MIB + 1)).toEqual([[0, 1, 2], [3]]);
    expect(groupsThatPay(machine, 3, 128 * MIB + 1)).toEqual([[0, 1, 2, 3]]);
    const budget = withinBudget(50);
    // A copy of 32 MiB is half of 64.
    expect(budget.chooseHolders(machine, 0, 32 * MIB)).toEqual([0, 3]);
    expect(budget.groups!(machine, 0, 32 * MIB)).toEqual([[0, 1, 2], [3]]);
    expect(budget.chooseHolders(machine, 3, 32 * MIB)).toEqual([0, 3]);
    expect(withinBudget(100).chooseHolders(machine, 0, 32 * MIB)).toEqual([0, 1, 2, 3]);
  });

  test("of two groups alike in what they lack the first joins, and whatever order nodes come in, groups ascend", () => {
    const distance = [
      [10, 30, 12],
      [30, 10, 15],
      [12, 15, 10],
    ];
    // Node 1 joins node 2, and both have enough; the other way round node 2 would join node 0.
    const alike = stubMachine([node(0), node(1, 16), node(2, 16)], distance);
    expect(groupsThatPay(alike, 0, 32 * MIB)).toEqual([[0], [1, 2]]);
    const even = stubMachine([node(4), node(0), node(2, 16), node(1, 16)]);
    expect(groupsThatPay(even, 0, 16 * MIB)).toEqual([[0], [1], [2], [4]]);
    expect(groupsThatPay(even, 0, 20 * MIB)).toEqual([[0, 1, 2], [4]]);
  });

  test("joins the nearest by the longer way of two, and by the shortest of a group's", () => {
    const distance = [
      [10, 30, 15, 30],
      [30, 10, 20, 18],
      [40, 20, 10, 30],
      [30, 18, 30, 10],
    ];
    const machine = stubMachine([node(0), node(1), node(2, 16), node(3)], distance);
    expect(groupsThatPay(machine, 0, 64 * MIB)).toEqual([[0], [1, 2], [3]]);
    // Node 2 is poorest and joins node 1; what the two have is not enough, and 3 is nearer to node 1 than 0 is.
    expect(groupsThatPay(machine, 0, 81 * MIB)).toEqual([[0], [1, 2, 3]]);
  });

  test("a policy says by its name and one sentence what it is, with its number in it", () => {
    const named: readonly [ReplicationPolicy, string, string, { text: boolean; rodata: boolean }][] = [
      [PER_NODE, "per-node", "every node with memory", { text: true, rodata: true }],
      [TEXT_ONLY, "text-only", "one rodata for all", { text: true, rodata: false }],
      [everyNth(3), "every-nth", "one in 3 nodes", { text: true, rodata: true }],
      [perSocket(), "per-socket", "one copy a socket", { text: true, rodata: true }],
      [perDistance(17), "per-socket", "within a SLIT distance of 17", { text: true, rodata: true }],
      [byGroups([[0, 1], [2]]), "groups", ": 0+1, 2", { text: true, rodata: true }],
      [withinBudget(7), "budget", "at most 7 %", { text: true, rodata: true }],
      [hotSubset([]), "hot-subset", "of the pages of text alone that are named", { text: true, rodata: false }],
      [whenItPays({ price: () => 1, keep: 0 }), "on-demand", "longer than a copy costs", { text: true, rodata: false }],
    ];
    for (const [policy, name, part, copies] of named) {
      expect(policy.name).toBe(name);
      expect(policy.summary).toContain(part);
      expect(policy.copies).toEqual(copies);
    }
    expect(replicationBy(hotSubset([])).name).toBe("hot-subset");
  });
});

describe("places of a copy", () => {
  const partOf = (pages: number, runs?: Parameters<typeof placesOf>[1]) => {
    const places = placesOf(pages, runs);
    return { purpose: "text", start: WINDOW_START, pages, original: 0, places, copied: 0 } as const;
  };

  test("pages as runs: whatever their order, and neighbours together", () => {
    expect(runsOf([7, 2, 3, 9, 8])).toEqual([
      { first: 2, pages: 2 },
      { first: 7, pages: 3 },
    ]);
    expect(runsOf([])).toEqual([]);
  });

  test("2 MiB are a leaf's only where all of them are there, behind one another and from 2 MiB on", () => {
    expect(isLargeCopy(partOf(LARGE_PAGES), 0)).toBe(true);
    expect(isLargeCopy(partOf(LARGE_PAGES - 1), 0)).toBe(false);
    expect(isLargeCopy(partOf(2 * LARGE_PAGES), LARGE_PAGES)).toBe(true);
    for (const missing of [0, 1, 511]) {
      const part = partOf(LARGE_PAGES);
      part.places[missing] = -1;
      expect(isLargeCopy(part, 0), `without page ${missing}`).toBe(false);
    }
    const beside = partOf(LARGE_PAGES);
    beside.places.forEach((place, page) => (beside.places[page] = place + 1));
    expect(isLargeCopy(beside, 0)).toBe(false);
  });

  test("something is copied below an entry that has one page of it, and nothing below its neighbours", () => {
    const part = partOf(3 * LARGE_PAGES, [{ first: 2 * LARGE_PAGES - 1, pages: 1 }]);
    expect([0, 1, 2].map((large) => isCopiedBelow(part, large * LARGE_PAGES))).toEqual([false, true, false]);
    const first = partOf(3 * LARGE_PAGES, [{ first: LARGE_PAGES, pages: 1 }]);
    expect([0, 1, 2].map((large) => isCopiedBelow(first, large * LARGE_PAGES))).toEqual([false, true, false]);
    expect(copiedRanges(part)).toEqual([{ start: WINDOW_START + BigInt(2 * LARGE_PAGES - 1) * PAGE, pages: 1 }]);
  });
});

describe("table pages set aside", () => {
  test("come cleared from their nodes in the order they were taken, and no more than were asked for", () => {
    const { allocator, machine } = testKernel();
    const [here, there] = takeTablePages(allocator, [
      { node: 0, pages: 2, exact: true },
      { node: 1, pages: 1, exact: false },
    ]);
    expect([here!.length, there!.length]).toEqual([2, 1]);
    expect([...here!, ...there!].map((frame) => machine.memory.nodeOf(frame))).toEqual([0, 0, 1]);
    expect(allocator.usedFrames(1, "page-table")).toBeGreaterThan(0);
    const [second, first] = here!;
    expect([nextPage(here!), nextPage(here!)]).toEqual([first, second]);
    expect(() => nextPage(here!)).toThrow("more tables are made than were set aside");
  });

  test("refused at any, all others are back, and the node is named", () => {
    for (const nth of [1, 2, 3]) {
      const { allocator } = testKernel();
      const free = [0, 1].map((each) => allocator.freeFrames(each));
      allocator.refuse(nth, true);
      const wishes = [
        { node: 0, pages: 2, exact: true },
        { node: 1, pages: 1, exact: true },
      ];
      const act = (): unknown => takeTablePages(allocator, wishes);
      expect(act).toThrow(MmError);
      allocator.refuse(nth);
      expect(act).toThrow(`out-of-frames: 0x0: no page for a table of the copies on node ${nth > 2 ? 1 : 0}`);
      expect([0, 1].map((each) => allocator.freeFrames(each))).toEqual(free);
    }
  });
});

describe("the direct map's view of a copy", () => {
  /** 8 MiB of memory of node 1 by leaves of 2 MiB. */
  function mapped(): TestKernel & { readonly context: BuildContext; readonly root: number; readonly first: number } {
    const kernel = testKernel({ view: fixedHolders(0, 1) });
    const first = kernel.machine.memory.ranges[1]!.first;
    kernel.tables.edit((editor) => {
      for (let leaf = 0; leaf < 4; leaf++)
        editor.map(directAddress(kernel.layout, first + leaf * 512), {
          ...KERNEL_DATA,
          level: 2,
          frame: first + leaf * 512,
        });
    });
    return { ...kernel, first, root: kernel.view.roots[0]!.root, context: kernel.assembly.get(BuildContext) };
  }

  test.each([
    [0, 512, 0],
    [0, 513, 1],
    [1, 511, 1],
    [511, 2, 2],
    [512, 1024, 0],
    [100, 10, 1],
    [5, 1600, 2],
  ])(
    "from frame %i, %i frames: exactly these are read-only, with as many table pages as were counted",
    (from, frames, tables) => {
      const { context, root, first, allocator, entries, layout } = mapped();
      const run = { first: first + from, frames };
      const divided = new Set<string>();
      expect(countAliasTables(context, root, run, divided)).toBe(tables);
      // What another run divides already is not counted twice.
      expect(countAliasTables(context, root, run, divided)).toBe(0);
      let made = 0;
      const protect = (): void => {
        protectAlias(context, root, run, () => {
          made++;
          return allocator.allocate(0, 0, { purpose: "page-table", zero: true });
        });
      };
      protect();
      const seen = Array.from({ length: 2048 }, (_, at) =>
        lookup(entries.memory, root, 4, directAddress(layout, first + at)),
      );
      const wrong = seen.flatMap((leaf, at) => (leaf?.writable === (at < from || at >= from + frames) ? [] : [at]));
      expect(wrong).toEqual([]);
      expect(made).toBe(tables);
      expect(new Set(seen.map((leaf) => `${leaf!.executable} ${leaf!.global} ${leaf!.present}`)).size).toBe(1);
      // Read-only already: nothing is divided, and nothing stored.
      let stores = 0;
      entries.observe(() => stores++);
      protect();
      entries.observe(undefined);
      expect([countAliasTables(context, root, run, new Set()), made, stores]).toEqual([0, tables, 0]);
    },
  );
});

describe("booted", () => {
  const nodes = [node(0), node(1), node(2, 0)];
  const make = (policy: ReplicationPolicy): TestKernel =>
    testKernel({ nodes, alignment: "recorded", view: replicationBy(policy) });

  test("until there are copies all run one table, nothing is private, and no address lies in a replica", () => {
    const kernel = make(PER_NODE);
    kernel.boot.runTo("numa-reserve-memory");
    const { view, layout, image } = kernel;
    expect([0, 1, 2].map((each) => view.kernelRoot(each))).toEqual(Array(3).fill(view.roots[0]!.root));
    expect([view.isPrivate(WINDOW_START), view.copies]).toEqual([false, { text: false, rodata: false }]);
    expect(view.addressInReplica(imageAddress(layout, image.stext), 0)).toBeUndefined();
  });

  test("addresses in replicas: of each page of text, of the holders alone, until they are forgotten", () => {
    const kernel = make(PER_NODE);
    kernel.boot.runTo("numa-replicate-kernel");
    const { view, layout, image } = kernel;
    const [start, { pages }] = [imageAddress(layout, image.stext), pagesBetween(image.stext, image.etext)];
    const end = start + BigInt(pages) * PAGE;
    for (const address of [start, start + 0x1abcn, end - 1n])
      for (const each of [0, 1])
        expect(view.addressInReplica(address, each)).toBe(
          directAddress(layout, view.replicaFrame(address, each)!) + (address & (PAGE - 1n)),
        );
    expect(view.addressInReplica(start, 0)).toBe(directAddress(layout, imageFrame(layout, image.stext, image.stext)));
    for (const [address, each] of [
      [start - 1n, 1],
      [end, 1],
      [start, 2],
    ] as const)
      expect(view.addressInReplica(address, each)).toBeUndefined();
    expect([view.isPrivate(WINDOW_START), view.isPrivate(WINDOW_START - 1n)]).toEqual([true, false]);
    view.clearLinearAddresses();
    expect(view.addressInReplica(start, 1)).toBeUndefined();
  });

  test("of some pages, the address of one that is not copied is the master's", () => {
    const kernel = make(hotSubset([{ first: 1, pages: 1 }]));
    kernel.boot.runTo("numa-replicate-kernel");
    const { view, layout, image, machine } = kernel;
    const start = imageAddress(layout, image.stext);
    const on = (page: bigint): number =>
      machine.memory.nodeOf(Number((view.addressInReplica(start + page * PAGE, 1)! - layout.pageOffset) >> 12n));
    expect([on(0n), on(1n), on(2n)]).toEqual([0, 1, 0]);
    expect(view.copies).toEqual({
      text: true,
      rodata: false,
      textRanges: [{ start: start + PAGE, pages: 1 }],
      userTables: true,
    });
  });

  test("counts mean something only of holders other than the master, and once the kernel runs", () => {
    const kernel = make(
      whenItPays({ price: (_machine, each, master, pages) => 1000 * each + 100 * master + pages, keep: 7 }),
    );
    const demand = kernel.assembly.get(DemandCopies);
    expect(demand.counted(1, 1e9)).toBeUndefined();
    kernel.boot.run();
    const { pages } = pagesBetween(kernel.image.stext, kernel.image.etext);
    expect(kernel.assembly.get(KernelBoot).reached).toBe("running");
    expect([demand.keep, demand.price(1), demand.waited(1)]).toEqual([7, 1000 + pages, 0]);
    expect([demand.counted(0, 1e9), demand.giveBack(1)]).toEqual([undefined, false]);
    expect([demand.counted(1, 999), demand.waited(1)]).toEqual(["waits", 999]);
    expect([demand.counted(1, pages), demand.waited(1)]).toEqual(["waits", 999 + pages]);
    expect([demand.counted(1, 1), demand.waited(1)]).toEqual(["copied", 0]);
    expect([demand.counted(1, 7), demand.counted(1, 6)]).toEqual(["kept", "given back"]);
    expect(demand.counted(1, 999 + pages)).toBe("waits");
  });

  test("a copy that is asked for comes at once, told page by page; none to the master, none before the boot, none twice", () => {
    const kernel = make(whenItPays({ price: () => 1000, keep: 0 }));
    const demand = kernel.assembly.get(DemandCopies);
    expect(demand.give(1)).toBe(false);
    kernel.boot.run();
    expect(demand.give(0)).toBe(false);
    const told: [number, number][] = [];
    expect(demand.counted(1, 7)).toBe("waits");
    expect(demand.give(1, (from, to) => told.push([from, to]))).toBe(true);
    const { view, layout, image } = kernel;
    const { pages } = pagesBetween(image.stext, image.etext);
    const frames = (node: number): number[] =>
      Array.from({ length: pages }, (_, page) =>
        view.replicaFrame(imageAddress(layout, image.stext) + BigInt(page) * PAGE, node)!,
      );
    expect(told).toEqual(frames(1).map((to, page) => [frames(0)[page], to]));
    expect(view.copyHolders).toEqual([0, 1]);
    expect([demand.give(1), demand.waited(1)]).toEqual([false, 0]);
    expect([demand.giveBack(1), demand.give(1)]).toEqual([true, true]);
  });

  test("a copy is of text that nobody can write by the direct map while it is one", () => {
    const kernel = make(whenItPays({ price: () => 1, keep: 0 }));
    kernel.boot.run();
    const { view, layout, image, entries } = kernel;
    const demand = kernel.assembly.get(DemandCopies);
    expect(demand.counted(1, 1)).toBe("copied");
    const { pages } = pagesBetween(image.stext, image.etext);
    const frames = Array.from({ length: pages }, (_, page) =>
      view.replicaFrame(imageAddress(layout, image.stext) + BigInt(page) * PAGE, 1)!,
    );
    const writable = (): number =>
      frames.filter(
        (frame) => lookup(entries.memory, view.kernelRoot(0), layout.levels, directAddress(layout, frame))!.writable,
      ).length;
    expect(writable()).toBe(0);
    expect(demand.giveBack(1)).toBe(true);
    expect(writable()).toBe(pages);
  });

  test.each([
    [PER_NODE, ["text", "rodata"]],
    [TEXT_ONLY, ["text"]],
  ] as const)(
    "when rodata is final, the direct map's view of copies is sealed, and of nothing else: $name",
    (policy, parts) => {
      const kernel = make(policy);
      kernel.boot.runTo(BOOT_STEPS[BOOT_STEPS.indexOf("numa-replicate-rodata") - 1]!);
      const { view, layout, image, entries, machine } = kernel;
      const writable = (): Set<number> => {
        const seen = new Set<number>();
        // All of the holder's memory, and where frames would be that nobody was given.
        for (const { node: of, first, frames } of machine.memory.ranges)
          for (let frame = first; frame < first + (of === 0 ? 1024 : frames); frame++)
            if (lookup(entries.memory, view.kernelRoot(0), layout.levels, directAddress(layout, frame))?.writable)
              seen.add(frame);
        return seen;
      };
      const before = writable();
      view.replicateRodata();
      const after = writable();
      const copies = parts.flatMap((part) => {
        const [start, end] = part === "text" ? [image.stext, image.etext] : [image.startRodata, image.endRodata];
        return Array.from({ length: pagesBetween(start, end).pages }, (_, page) =>
          view.replicaFrame(imageAddress(layout, start) + BigInt(page) * PAGE, 1)!,
        );
      });
      expect([...before].filter((frame) => !after.has(frame)).sort((a, b) => a - b)).toEqual(
        copies.filter((frame) => before.has(frame)).sort((a, b) => a - b),
      );
      // Text's copies have been sealed with the text; frames that nobody was given, with nothing.
      expect(copies.some((frame) => before.has(frame))).toBe(policy.copies.rodata);
      expect(copies.every((frame) => !after.has(frame)) && after.has(0)).toBe(true);
    },
  );

  test("a node whose tables are nobody's has no root", () => {
    const kernel = make(PER_NODE);
    kernel.boot.run();
    const { view } = kernel;
    expect(view.kernelRoot(2)).toBe(view.kernelRoot(0));
    expect(view.nearest(77)).toBe(0);
    expect(view.kernelRoot(1)).not.toBe(NONE);
  });
});
