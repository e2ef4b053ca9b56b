/**
 * How a holder gets its tables and copies, by each choice that another design may take: what is set aside, what leads
 * where afterwards, and whose stores these are.
 */
import { bindValue } from "@kreplica/di";
import {
  type Frame,
  isLeaf,
  isPresent,
  frameOf,
  LARGE_PAGES,
  NONE,
  PAGE,
  PAGE_BYTES,
  pagesBetween,
} from "@kreplica/hw-x86/api";
import {
  BOOT_STEPS,
  bootRoot,
  brkRoom,
  directAddress,
  imageAddress,
  imageFrame,
  lookup,
  PGD_PAGES,
  tableAt,
} from "@kreplica/mm-core/api";
import { testKernel, type TestKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import {
  byGroups,
  CopySteps,
  hotSubset,
  OWN_STEPS,
  PER_NODE,
  replicationBy,
  type ReplicationPolicy,
  TEXT_ONLY,
  whenItPays,
  WINDOW_START,
} from "../src/index.js";

const nodes = [0, 1, 2].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
const RODATA_ONLY: ReplicationPolicy = { ...PER_NODE, name: "rodata-only", copies: { text: false, rodata: true } };

function make(
  steps: Partial<CopySteps> = {},
  policy: ReplicationPolicy = PER_NODE,
  options: TestKernelOptions = {},
): TestKernel {
  return testKernel({
    nodes,
    alignment: "recorded",
    view: replicationBy(policy),
    instead: [bindValue(CopySteps, { ...OWN_STEPS, ...steps })],
    ...options,
  });
}
const before = (step: (typeof BOOT_STEPS)[number]) => BOOT_STEPS[BOOT_STEPS.indexOf(step) - 1]!;
const bootRootOf = ({ layout, image }: TestKernel): Frame => bootRoot(layout, image);

/** Entries of a table as pairs of words. */
const words = ({ entries }: TestKernel, table: Frame, from = 0, to = 512): string[] =>
  Array.from({ length: to - from }, (_, nth) => `${entries.high(table, from + nth)}:${entries.low(table, from + nth)}`);

/** A root and all tables below it. */
function tablesOf({ entries, layout }: TestKernel, top: Frame): Set<Frame> {
  const seen = new Set<Frame>();
  const visit = (table: Frame, level: number): void => {
    if (seen.has(table)) return;
    seen.add(table);
    for (let index = 0; level > 1 && index < 512; index++) {
      const [lo, hi] = [entries.low(table, index), entries.high(table, index)];
      if (isPresent(lo) && !isLeaf(lo, level)) visit(frameOf(lo, hi), level - 1);
    }
  };
  visit(top, layout.levels);
  return seen;
}

const pagesOf = ({ layout, image }: TestKernel, part: "text" | "rodata") => {
  const [start, end] = part === "text" ? [image.stext, image.etext] : [image.startRodata, image.endRodata];
  return { start: imageAddress(layout, start), pages: pagesBetween(start, end).pages };
};
/** Frames of all pages of a part on a node. */
const framesOf = (kernel: TestKernel, part: "text" | "rodata", node: number): Frame[] => {
  const { start, pages } = pagesOf(kernel, part);
  return Array.from({ length: pages }, (_, page) => kernel.view.replicaFrame(start + BigInt(page) * PAGE, node)!);
};

interface Request {
  readonly node: number;
  readonly frames: number;
  readonly align: number;
  readonly purpose: string;
  readonly exact: boolean;
  readonly first: Frame;
}

/** Boots up to the step that reserves, and says what that asks the boot allocator for. */
function reserving(kernel: TestKernel): Request[] {
  const asked: Request[] = [];
  kernel.boot.runTo(before("numa-reserve-memory"));
  const allocate = kernel.early.allocate.bind(kernel.early);
  kernel.early.allocate = (node, frames, align, purpose, exact) => {
    const first = allocate(node, frames, align, purpose, exact);
    asked.push({ node, frames, align, purpose, exact: exact === true, first });
    return first;
  };
  kernel.boot.runTo("numa-reserve-memory");
  kernel.early.allocate = allocate;
  return asked;
}

const KINDS: readonly (readonly [string, TestKernelOptions])[] = [
  ["plain", {}],
  ["KPTI, 5 levels", { pti: true, levels: 5 }],
  ["KPTI, ends on 2 MiB", { pti: true, alignment: "patch-06" }],
];

describe("what is set aside", () => {
  test.each<[string, Partial<CopySteps>, ReplicationPolicy, TestKernelOptions]>([
    ["all its own", {}, PER_NODE, {}],
    ["all its own, KPTI, 5 levels", {}, PER_NODE, { pti: true, levels: 5 }],
    ["text alone, that ends on 2 MiB", {}, TEXT_ONLY, { alignment: "patch-06" }],
    ["rodata alone", {}, RODATA_ONLY, {}],
    ["the master cloned, KPTI", { master: "cloned tables" }, TEXT_ONLY, { pti: true }],
    ["user halves shared, KPTI", { userHalf: "the boot table's" }, PER_NODE, { pti: true }],
    ["any memory", { memory: "any node's" }, RODATA_ONLY, { levels: 5 }],
  ])("%s: a run for each part, a PGD, and no table more than the node is given", (__, steps, policy, options) => {
    const kernel = make(steps, policy, options);
    const asked = reserving(kernel);
    const cloned = steps.master === "cloned tables";
    expect([...new Set(asked.map(({ node }) => node))]).toEqual(cloned ? [0, 1, 2] : [1, 2]);
    expect(new Set(asked.map(({ exact }) => exact))).toEqual(new Set([steps.memory === undefined]));
    const parts = (["text", "rodata"] as const).filter((part) => policy.copies[part]);
    for (const node of [1, 2]) {
      const of = asked.filter((each) => each.node === node);
      expect(of.slice(0, parts.length + 1).map(({ frames, align, purpose }) => [purpose, frames, align])).toEqual([
        ...parts.map((part) => [part, pagesOf(kernel, part).pages, LARGE_PAGES]),
        ["page-table", PGD_PAGES, PGD_PAGES],
      ]);
      for (const { frames, align, purpose } of of.slice(parts.length + 1))
        expect([purpose, frames, align]).toEqual(["page-table", 1, 1]);
    }
    kernel.boot.runTo("numa-replicate-kernel");
    const { view, layout } = kernel;
    for (const node of cloned ? [0, 1, 2] : [1, 2]) {
      const root = view.kernelRoot(node);
      const used = [root, ...(layout.pti ? [root + 1] : [])].flatMap((top) => [...tablesOf(kernel, top)]);
      const tables = asked.filter((each) => each.node === node && each.purpose === "page-table");
      expect(tables.find(({ frames }) => frames === PGD_PAGES)!.first).toBe(root);
      const idle = tables.filter(({ frames, first }) => frames === 1 && !used.includes(first)).length;
      // The master's tail of text names what it names anyhow.
      expect(idle).toBe(node === 0 && policy.copies.text && options.alignment !== "patch-06" ? 1 : 0);
    }
  });
});

describe.each(KINDS)("replicated: %s", (_, options) => {
  test.each(["booted tables", "cloned tables"] as const)("the master runs on %s", (master) => {
    const kernel = make({ master }, PER_NODE, options);
    const { layout, image, entries, view } = kernel;
    const [boot, clones] = [bootRootOf(kernel), master === "cloned tables"];
    kernel.boot.runTo("numa-replicate-kernel");
    const root = view.kernelRoot(0);
    expect(root === brkRoom(layout, image, PGD_PAGES)).toBe(!clones);
    expect(view.roots).toEqual([
      ...(clones ? [] : [{ node: 0, root: boot, kind: "boot" }]),
      ...[0, 1, 2].map((node) => ({ node, root: view.kernelRoot(node), kind: "node" })),
    ]);
    // Below the top-level tables: the booted ones, or others that say the same.
    const { start } = pagesOf(kernel, "text");
    for (const half of layout.pti ? [0, 1] : [0]) {
      expect(words(kernel, root + half, 0, layout.kernelBoundary)).toEqual(Array(layout.kernelBoundary).fill("0:0"));
      if (!clones)
        expect(words(kernel, root + half, layout.kernelBoundary)).toEqual(
          words(kernel, boot + half, layout.kernelBoundary),
        );
      const pmds = [root, boot].map((top) => tableAt(entries.memory, top + half, layout.levels, start, 2)!);
      expect(pmds[0] === pmds[1]).toBe(!clones);
      expect(words(kernel, pmds[0]!)).toEqual(words(kernel, pmds[1]!));
    }
    if (!layout.pti) expect(new Set(words(kernel, root + 1))).toEqual(new Set(["0:0"]));
    // What a single copy would have stored in its one table goes to the master's clones, and is no copy's.
    for (const node of [0, 1, 2])
      for (const level of [layout.levels, 3, 2])
        expect(entries.isCopy(tableAt(entries.memory, view.kernelRoot(node), layout.levels, start, level)!)).toBe(
          node > 0 || (level === layout.levels && !clones),
        );
    kernel.boot.run();
    expect(framesOf(kernel, "text", 0)[0]).toBe(imageFrame(layout, image.stext, image.stext));
  });

  test("each store of both steps is for a copy, and nobody sees a holder before the last", () => {
    const kernel = make({}, PER_NODE, options);
    const { entries, view } = kernel;
    kernel.boot.runTo(before("numa-replicate-kernel"));
    const boot = view.roots;
    const [stores, ofCopies] = [entries.stores, entries.replicaStores];
    let seen = 0;
    entries.observe(() => {
      if (view.holders.length > 1 || view.roots !== boot || view.copies.text || view.isPrivate(WINDOW_START)) seen++;
    });
    view.replicateKernel();
    entries.observe(undefined);
    expect([seen, view.holders]).toEqual([0, [0, 1, 2]]);
    expect(entries.stores - stores).toBeGreaterThan(512);
    expect(entries.replicaStores - ofCopies).toBe(entries.stores - stores);
    const later = make({}, PER_NODE, options);
    later.boot.runTo(before("numa-replicate-rodata"));
    const [laterStores, laterOfCopies] = [later.entries.stores, later.entries.replicaStores];
    later.view.replicateRodata();
    expect(later.entries.stores - laterStores).toBeGreaterThan(0);
    expect(later.entries.replicaStores - laterOfCopies).toBe(later.entries.stores - laterStores);
  });
});

describe("KPTI: where the kernel's part of a user half leads", () => {
  test.each(["its own", "the boot table's"] as const)("to tables that are %s", (userHalf) => {
    const kernel = make({ userHalf }, PER_NODE, { pti: true });
    const { layout, entries, view, machine } = kernel;
    kernel.boot.runTo("numa-replicate-kernel");
    const { start } = pagesOf(kernel, "text");
    const boot = bootRootOf(kernel);
    const own = userHalf === "its own";
    for (const node of [1, 2]) {
      const user = view.kernelRoot(node) + 1;
      const pmd = (top: Frame) => tableAt(entries.memory, top, 4, start, 2);
      expect(pmd(user) === pmd(boot + 1)).toBe(!own);
      if (!own)
        expect(words(kernel, user, layout.kernelBoundary)).toEqual(words(kernel, boot + 1, layout.kernelBoundary));
      const entry = lookup(entries.memory, user, 4, start)!;
      expect(machine.memory.nodeOf(entry.frame)).toBe(own ? node : 0);
      expect(words(kernel, user, 0, layout.kernelBoundary)).toEqual(Array(layout.kernelBoundary).fill("0:0"));
    }
    expect(view.copies.userTables).toBe(own);
  });
});

describe("copies", () => {
  test.each([
    [PER_NODE, ["text", "rodata"]],
    [TEXT_ONLY, ["text"]],
    [RODATA_ONLY, ["rodata"]],
  ] as const)("of what the policy says and of nothing else: $name", (policy, parts) => {
    const kernel = make({}, policy);
    kernel.boot.run();
    const { machine, allocator, view } = kernel;
    for (const part of ["text", "rodata"] as const) {
      const copied = (parts as readonly string[]).includes(part);
      expect(view.copies[part]).toBe(copied);
      for (const node of [1, 2]) {
        const frames = framesOf(kernel, part, node);
        expect(new Set(frames.map((frame) => machine.memory.nodeOf(frame)))).toEqual(new Set([copied ? node : 0]));
        expect(allocator.usedFrames(node, part)).toBe(copied ? frames.length : 0);
      }
    }
  });

  test("that come later have no run yet, and leaves lead to the master's", () => {
    const kernel = make({}, whenItPays({ price: () => 1, keep: 0 }));
    expect(reserving(kernel).filter(({ purpose }) => purpose !== "page-table")).toEqual([]);
    kernel.boot.run();
    expect(framesOf(kernel, "text", 1)).toEqual(framesOf(kernel, "text", 0));
    expect([kernel.view.holders, kernel.view.copies.text]).toEqual([[0, 1, 2], false]);
  });

  test("of rodata alone: the address of text in a node's replica is the master's", () => {
    const kernel = make({}, RODATA_ONLY);
    kernel.boot.runTo("numa-replicate-kernel");
    const { layout, view } = kernel;
    const { start, pages } = pagesOf(kernel, "text");
    const first = framesOf(kernel, "text", 0)[0]!;
    for (const page of [0, 1, pages - 1])
      expect(view.addressInReplica(start + BigInt(page) * PAGE, 2)).toBe(directAddress(layout, first + page));
  });

  test("that are made and not mapped: leaves name the master's frames, and the bytes are there", () => {
    const kernel = make({ mapsCopies: false });
    kernel.boot.runTo("numa-replicate-kernel");
    const { view, layout, machine } = kernel;
    const { start } = pagesOf(kernel, "text");
    const frames = framesOf(kernel, "text", 0);
    for (const node of [1, 2]) {
      expect(framesOf(kernel, "text", node)).toEqual(frames);
      const copy = Number((view.addressInReplica(start, node)! - layout.pageOffset) / PAGE);
      expect(machine.memory.nodeOf(copy)).toBe(node);
    }
    kernel.boot.runTo("numa-replicate-rodata");
    expect(framesOf(kernel, "rodata", 1)).toEqual(framesOf(kernel, "rodata", 0));
  });

  test.each([
    ["both, as decided", true, true, {}],
    ["text's", true, false, { sealed: { text: true, rodata: false } }],
    ["rodata's", false, true, { sealed: { text: false, rodata: true } }],
    ["none", false, false, { sealed: { text: false, rodata: false } }],
  ] as const)("sealed in the direct map: %s", (_, text, rodata, steps) => {
    const kernel = make(steps);
    const { view, layout, entries } = kernel;
    kernel.boot.runTo(before("numa-replicate-rodata"));
    const writable = (frame: Frame): boolean =>
      lookup(entries.memory, view.kernelRoot(0), 4, directAddress(layout, frame))!.writable;
    // Text's were sealed with text's own: opened again, to see what this step does.
    const texts = [1, 2].flatMap((node) => framesOf(kernel, "text", node));
    kernel.tables.edit((editor) => {
      for (const frame of texts) editor.protect({ start: directAddress(layout, frame), pages: 1 }, { writable: true });
    });
    expect(texts.every(writable)).toBe(true);
    view.replicateRodata();
    expect(new Set(texts.map(writable))).toEqual(new Set([!text]));
    const rodatas = [1, 2].flatMap((node) => framesOf(kernel, "rodata", node));
    expect(new Set(rodatas.map(writable))).toEqual(new Set([!rodata]));
  });

  test("of rodata alone: nothing but they is sealed, and of text, which has none, no frame is", () => {
    const kernel = make({}, RODATA_ONLY);
    const { view, layout, entries } = kernel;
    kernel.boot.runTo(before("numa-replicate-rodata"));
    const sealed = (): Frame[] =>
      Array.from({ length: 1024 }, (_, frame) => frame).filter(
        (frame) => !lookup(entries.memory, view.kernelRoot(0), 4, directAddress(layout, frame))!.writable,
      );
    const [known, stores] = [sealed(), entries.stores];
    view.replicateRodata();
    expect(entries.stores).toBeGreaterThan(stores);
    expect(sealed()).toEqual(known);
  });

  test("of rodata: a table that serves one node comes from it alone, one for all from wherever there is memory", () => {
    const kernel = make();
    kernel.boot.runTo(before("numa-replicate-rodata"));
    const { allocator, view, entries, machine } = kernel;
    const { start, pages } = pagesOf(kernel, "rodata");
    // The tail of rodata is behind its whole 2 MiB. Here both roots use one PTE page for it.
    const tail = start + BigInt(pages - 1) * PAGE;
    const pmds = [0, 1, 2].map((node) => tableAt(entries.memory, view.kernelRoot(node), 4, tail, 2)!);
    const index = Number((tail >> 21n) & 511n);
    for (const pmd of pmds.slice(1)) entries.copy(pmds[0]!, pmd, index, index + 1);
    const asked: { node: number; exact: boolean; frame: Frame }[] = [];
    const allocate = allocator.allocate.bind(allocator);
    allocator.allocate = (node, order, request) => {
      const frame = allocate(node, order, request);
      expect([order, request.purpose, request.zero]).toEqual([0, "page-table", true]);
      asked.push({ node, exact: request.thisNode === true, frame });
      return frame;
    };
    view.replicateRodata();
    for (const node of [1, 2]) {
      const own = tableAt(entries.memory, view.kernelRoot(node), 4, tail, 1)!;
      expect(asked.filter((each) => each.node === node && each.exact).map(({ frame }) => frame)).toEqual([own]);
      expect([entries.isCopy(own), machine.memory.nodeOf(own)]).toEqual([true, node]);
      expect(asked.some((each) => each.node === node && !each.exact)).toBe(true);
    }
    const common = tablesOf(kernel, view.kernelRoot(0));
    for (const { exact, frame } of asked) expect([common.has(frame), entries.isCopy(frame)]).toEqual([!exact, exact]);
  });
});

describe("who", () => {
  test.each<[string, ReplicationPolicy, number]>([
    ["text and rodata", PER_NODE, 514 + 515],
    ["text", TEXT_ONLY, 514],
    ["rodata", RODATA_ONLY, 515],
    ["some pages", hotSubset([{ first: 510, pages: 90 }]), 4],
    ["no page of this kernel", hotSubset([{ first: 5000, pages: 9 }]), 0],
  ])(
    "holds is asked with the bytes of a copy of %s, once when room is taken and once for groups",
    (_, policy, pages) => {
      const bytes: number[] = [];
      const kernel = make(
        {},
        {
          ...policy,
          chooseHolders: (machine, master, copyBytes) => {
            expect([machine, master]).toEqual([kernel.machine, 0]);
            bytes.push(copyBytes);
            return [1, 2];
          },
          groups: (_machine, _master, copyBytes) => (bytes.push(copyBytes), [[1], [0, 2]]),
        },
      );
      kernel.boot.run();
      expect(bytes).toEqual([pages * PAGE_BYTES, pages * PAGE_BYTES]);
      expect(kernel.view.holders).toEqual([0, 1, 2]);
      expect(kernel.view.groups).toEqual([[1], [0, 2]]);
      expect(kernel.view.copies.text).toBe(policy.copies.text && pages > 0);
    },
  );

  test("holds is of those with memory, in order, the master always; alone it copies nothing and takes nothing", () => {
    const choose = (...chosen: number[]): ReplicationPolicy => ({ ...PER_NODE, chooseHolders: () => chosen });
    const four = [...nodes, { id: 3, memoryMiB: 0, cpus: 1 }];
    const many = make({}, choose(3, 2, 2), { nodes: four });
    many.boot.run();
    expect(many.view.holders).toEqual([0, 2]);
    for (const chosen of [[], [0], [3], [3, 0]]) {
      const kernel = make({}, choose(...chosen), { nodes: four });
      expect(reserving(kernel)).toEqual([]);
      kernel.boot.runTo(before("numa-replicate-kernel"));
      const { stores } = kernel.entries;
      kernel.view.replicateKernel();
      kernel.view.replicateRodata();
      expect(kernel.entries.stores).toBe(stores);
      kernel.boot.run();
      const { view } = kernel;
      expect(view.roots).toEqual([{ node: 0, root: bootRootOf(kernel), kind: "boot" }]);
      expect([view.holders, view.groups, view.copies, view.isPrivate(WINDOW_START)]).toEqual([
        [0],
        [],
        { text: false, rodata: false },
        false,
      ]);
    }
  });

  test("serves a node: the nearest to it, the first of those alike; in a group that has a holder, one of that", () => {
    const five = [0, 1, 2, 3, 4].map((id) => ({ id, memoryMiB: id > 2 ? 0 : 64, cpus: 1 }));
    const distance = [
      [10, 20, 20, 50, 50],
      [20, 10, 20, 11, 50],
      [20, 20, 10, 50, 50],
      // Nearest by its own way is 2, though 1 has a shorter way to it; 4 is as far from 1 as from 2.
      [40, 40, 30, 10, 50],
      [40, 30, 30, 50, 10],
    ];
    const uses = (policy: ReplicationPolicy): number[] => {
      const kernel = make({}, policy, { nodes: five, distance });
      kernel.boot.run();
      for (const cpu of kernel.machine.cpuIds) {
        const node = kernel.machine.nodeOfCpu(cpu);
        expect(kernel.machine.cpu(cpu).rootFrame).toBe(kernel.view.kernelRoot(node));
        expect(kernel.view.kernelRoot(node)).toBe(kernel.view.kernelRoot(kernel.view.nearest(node)));
      }
      return kernel.machine.nodes.map((node) => kernel.view.nearest(node));
    };
    expect(uses(PER_NODE)).toEqual([0, 1, 2, 2, 1]);
    expect(uses(byGroups([[0, 3], [1], [2]]))).toEqual([0, 1, 2, 0, 1]);
    // A group without a holder is as none.
    expect(uses(byGroups([[0], [1], [2], [3, 4]]))).toEqual([0, 1, 2, 2, 1]);
  });

  test("has no memory left: its copy lies elsewhere where any memory will do, and it holds none where not", () => {
    const small = [nodes[0]!, { id: 1, memoryMiB: 2, cpus: 1 }, nodes[2]!];
    for (const memory of ["any node's", "the holder's"] as const) {
      const kernel = make({ memory }, PER_NODE, { nodes: small });
      kernel.boot.runTo("numa-replicate-kernel");
      expect(kernel.view.holders).toEqual(memory === "any node's" ? [0, 1, 2] : [0, 2]);
      expect(kernel.machine.memory.nodeOf(framesOf(kernel, "text", 1)[0]!)).not.toBe(1);
      expect(kernel.view.kernelRoot(1)).not.toBe(NONE);
    }
  });
});
