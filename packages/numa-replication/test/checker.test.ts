/** The checker sees: for each invariant it checks, a kernel whose bytes break it and only what follows from it. */
import { describe, expect, test } from "vitest";
import { tableIndex } from "@kreplica/hw-x86/api";
import { BootWitness, checkInvariants, KERNEL_INVARIANTS, type StepSeen } from "@kreplica/invariants";
import {
  type AddressSpaces,
  descriptorAddress,
  directAddress,
  ldtAddress,
  PGD_ORDER,
  symbolFrame,
  walk,
  KERNEL_DATA,
} from "@kreplica/mm-core/api";
import { testKernel, type TestKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import { PER_NODE, replicationBy } from "../src/index.js";

const TEXT = 0xffff_ffff_8100_0000n;
const RODATA = TEXT + 0x40_0000n;
const DATA = TEXT + 0x80_0000n;
const spaces = { all: new Set<never>() } as unknown as AddressSpaces;

interface Kernel extends TestKernel {
  readonly witness: BootWitness;
}

function boot(options: TestKernelOptions): Kernel {
  const kernel = testKernel({ alignment: "patch-06", ...options, view: replicationBy(PER_NODE) });
  const witness = BootWitness.of(kernel);
  kernel.boot.run();
  return { ...kernel, witness };
}

/** The entry of a level over an address in a node's root, or the boot table's with node -1. */
function entry(
  { entries, view, layout }: Kernel,
  node: number,
  address: bigint,
  level: number,
): { table: number; index: number; lo: number; hi: number } {
  let table = node === -1 ? view.roots[0]!.root : view.kernelRoot(node);
  for (let at: number = layout.levels; ; at--) {
    const index = Number((address >> BigInt(12 + 9 * (at - 1))) & 511n);
    const lo = entries.low(table, index);
    const hi = entries.high(table, index);
    if (at === level) return { table, index, lo, hi };
    table = ((lo >>> 12) | ((hi & 0xfffff) << 20)) >>> 0;
  }
}

function change(
  kernel: Kernel,
  node: number,
  address: bigint,
  level: number,
  next: (lo: number, hi: number) => [number, number],
): void {
  const { table, index, lo, hi } = entry(kernel, node, address, level);
  const [low, high] = next(lo, hi);
  kernel.entries.write(table, index, low >>> 0, high >>> 0);
}

const rwx = (lo: number, hi: number): [number, number] => [lo | 2, hi & 0x7fff_ffff];
const frame =
  (to: number) =>
  (lo: number, hi: number): [number, number] => [(to << 12) | (lo & 0xfff), hi];

const cases: readonly [string, string, (kernel: Kernel) => void, TestKernelOptions?][] = [
  [
    "A1",
    "one byte of a text copy",
    (kernel) => kernel.entries.memory.write32(kernel.tables.lookup(1, TEXT)!.frame + 3, 9, 1),
  ],
  ["A1", "a hole in text", (kernel) => change(kernel, 1, TEXT, 2, (lo, hi) => [lo & ~1, hi])],
  ["A2", "a copy on another node", (kernel) => change(kernel, 1, TEXT, 2, frame(0x2000))],
  ["A3", "the source mapped in place of the copy", (kernel) => change(kernel, 1, RODATA, 2, frame(0x1400))],
  ["A4", "data that only one node maps elsewhere", (kernel) => change(kernel, 1, DATA, 2, frame(0x2200))],
  [
    "A4",
    "a mapping in the module area on one node alone",
    (kernel) => {
      const page = 0xffff_ffff_c000_0000n;
      kernel.tables.edit((editor) => editor.map(page, { ...KERNEL_DATA, frame: 9, level: 1 }));
      for (const node of [-1, 0]) change(kernel, node, page, 1, () => [0, 0]);
    },
  ],
  [
    "A5",
    "a stray write to one copy of rodata",
    (kernel) => kernel.entries.memory.write32(kernel.tables.lookup(1, RODATA)!.frame, 0, 7),
  ],
  [
    "A5",
    "a write to every copy of rodata",
    (kernel) => {
      for (const node of [0, 1]) kernel.entries.memory.write32(kernel.tables.lookup(node, RODATA)!.frame, 0, 7);
    },
  ],
  ["A6", "a master that runs a copy", (kernel) => change(kernel, 0, TEXT, 2, frame(0x2000))],
  ["A7", "a copy of data", (kernel) => change(kernel, 1, DATA, 2, frame(0x2200))],
  [
    "A7",
    "data moved on every root",
    (kernel) => {
      for (const node of [-1, 0, 1]) change(kernel, node, DATA, 2, frame(0x2200));
    },
  ],
  ["A9", "a large leaf off 2 MiB", (kernel) => change(kernel, 1, TEXT, 2, (lo, hi) => [lo | 0x2000, hi])],
  [
    "A10",
    "a direct map that leads elsewhere from __pa",
    (kernel) => change(kernel, 0, directAddress(kernel.layout, 0x1000), 2, frame(0x2000)),
  ],
  ["A10", "a direct map that a node lacks", (kernel) => change(kernel, 1, kernel.layout.pageOffset, 4, () => [0, 0])],
  [
    "A10",
    "a descriptor that is missing",
    (kernel) => change(kernel, 0, descriptorAddress(kernel.layout, 0x1000), 2, () => [0, 0]),
  ],
  [
    "A10",
    "a node with a descriptor of its own for the same frame",
    (kernel) => {
      for (const level of [4, 3]) move(kernel, 1, kernel.layout.vmemmapStart, level, 1);
      change(kernel, 1, descriptorAddress(kernel.layout, 0x1000), 2, frame(0x2000));
    },
  ],
  [
    "B1",
    "one PMD page for two",
    (kernel) => {
      const theirs = entry(kernel, 0, TEXT, 3);
      change(kernel, 1, TEXT, 3, () => [theirs.lo, theirs.hi]);
    },
  ],
  ["B2", "a PMD page on another node", (kernel) => move(kernel, 1, TEXT, 3, 0)],
  [
    "B3",
    "a direct map slot of one node alone",
    (kernel) => change(kernel, 1, kernel.layout.pageOffset + (1n << 39n), 4, () => [0x2063, 0]),
  ],
  ["B4", "a PUD slot of one node alone", (kernel) => change(kernel, 1, 0xffff_ffef_0000_0000n, 3, () => [0x2063, 0])],
  ["B5", "a fixmap page of one node's own", (kernel) => move(kernel, 1, kernel.layout.fixmapStart + 0x20_0000n, 2, 1)],
  [
    "B6",
    "idt_table writable on one node (N2)",
    (kernel) => change(kernel, 1, idt(kernel), 1, (lo, hi) => [lo | 2, hi]),
  ],
  [
    "B8",
    "a CPU left on the boot table",
    (kernel) => kernel.machine.cpu(3).writeCr3(BigInt(kernel.view.roots[0]!.root) << 12n),
  ],
  ["C1", "text writable on one node", (kernel) => change(kernel, 1, TEXT, 2, (lo, hi) => [lo | 2, hi])],
  [
    "C1",
    "data read-only on every root",
    (kernel) => {
      for (const node of [-1, 0, 1]) change(kernel, node, DATA, 2, (lo, hi) => [lo & ~2, hi]);
    },
  ],
  [
    "C1",
    "the page beside idt_table read-only",
    (kernel) => {
      for (const node of [-1, 0, 1]) change(kernel, node, idt(kernel) + 0x1000n, 1, (lo, hi) => [lo & ~2, hi]);
    },
  ],
  [
    "C1",
    "the tail of text still executable",
    (kernel) => {
      for (const node of [-1, 0, 1])
        change(kernel, node, TEXT + 0x20_3000n, 1, (lo, hi) => [lo & ~2, hi & 0x7fff_ffff]);
    },
    { alignment: "recorded" },
  ],
  [
    "C1",
    "writable and executable outside the image",
    (kernel) => change(kernel, 0, kernel.layout.pageOffset + 0x20_0000n, 2, rwx),
  ],
  ["C2", "the boot table kept as it was", (kernel) => change(kernel, -1, TEXT, 2, (lo, hi) => [lo | 2, hi])],
  ["C2", "data executable through the boot table", (kernel) => change(kernel, -1, DATA, 2, rwx)],
  ["C2", "data read-only through the boot table", (kernel) => change(kernel, -1, DATA, 2, (lo, hi) => [lo & ~2, hi])],
  [
    "C3",
    "a copy writable through the direct map",
    (kernel) =>
      change(kernel, 0, directAddress(kernel.layout, kernel.tables.lookup(1, RODATA)!.frame), 2, (lo, hi) => [
        lo | 2,
        hi,
      ]),
  ],
  [
    "C4",
    "freed init text executable on one node",
    (kernel) => change(kernel, 1, TEXT + 0xa0_3000n, 1, (lo, hi) => [lo, hi & 0x7fff_ffff]),
  ],
  [
    "G1",
    "a CPU on a frame that is nobody's root",
    (kernel) => kernel.machine.cpu(1).writeCr3(BigInt(kernel.view.kernelRoot(0) + 0x40) << 12n),
  ],
  [
    "G10",
    "a CPU that fetches text from another node",
    (kernel) => change(kernel, 1, TEXT, 2, frame(kernel.tables.lookup(0, TEXT)!.frame)),
  ],
  [
    "H5",
    "other bytes for user mode",
    (kernel) => {
      const pmd = userPmd(kernel);
      const index = Number((TEXT >> 21n) & 511n);
      kernel.entries.write(pmd, index, (0x2200 << 12) | (kernel.entries.low(pmd, index) & 0xfff), 0);
    },
    { pti: true },
  ],
  [
    "G11",
    "entry text of another node in a user half",
    (kernel) => {
      const pmd = userPmd(kernel);
      kernel.entries.write(
        pmd,
        Number((TEXT >> 21n) & 511n),
        (kernel.tables.lookup(0, TEXT)!.frame << 12) | (kernel.entries.low(pmd, Number((TEXT >> 21n) & 511n)) & 0xfff),
        0,
      );
    },
    { pti: true },
  ],
  [
    "I3",
    "a frame too many for copies",
    (kernel) => {
      kernel.allocator.allocate(1, 0, { purpose: "rodata" });
    },
  ],
  [
    "C6",
    "kernel data in the user half",
    (kernel) => {
      const pud = entry(kernel, 1, TEXT, 4);
      change(
        { ...kernel, view: { ...kernel.view, kernelRoot: (node) => kernel.view.kernelRoot(node) + 1 } } as Kernel,
        1,
        DATA,
        2,
        () => [0x1800_0e3, 0],
      );
      expect(pud.lo & 1).toBe(1);
    },
    { pti: true },
  ],
];

/** The PMD page through which user mode reaches the entry text, on node 1. */
function userPmd({ entries, view, layout }: Kernel): number {
  let table = view.kernelRoot(1) + 1;
  for (let level: number = layout.levels; level > 2; level--)
    table = entries.low(table, Number((TEXT >> BigInt(12 + 9 * (level - 1))) & 511n)) >>> 12;
  return table;
}

const idt = ({ image }: Kernel): bigint => image.symbol("idt_table")!;

/** Puts a copy of a lower table in the place of the one an entry names, on a node. */
function move(kernel: Kernel, node: number, address: bigint, level: number, to: number): void {
  const copy = kernel.allocator.allocate(to, 0, { purpose: "page-table", zero: true });
  const { lo } = entry(kernel, node, address, level);
  kernel.entries.copy(lo >>> 12, copy, 0, 512);
  change(kernel, node, address, level, frame(copy));
}

const ids = (kernel: Kernel): string[] =>
  checkInvariants({ ...kernel, spaces, reached: "running" }).violated.map((each) => each.id);

describe("broken bytes", () => {
  test.each(cases)("%s sees %s", (id, _what, corrupt, options = {}) => {
    const kernel = boot(options);
    expect(ids(kernel)).toEqual([]);
    corrupt(kernel);
    expect(ids(kernel)).toContain(id);
  });
});

test("bytes are equal and nothing else is broken where a user half leads to another node's copy: G11 sees it, and C8, as the halves differ", () => {
  for (const pcid of [true, false]) {
    const kernel = boot({ pti: true, pcid });
    const space = kernel.spaces.create(1)!;
    const found = () => checkInvariants({ ...kernel, reached: "running" });
    expect(found().checked).toContain("G11");
    expect(found().violated).toEqual([]);
    // The process's own user half on node 1, in the slot of the image: the table node 0's leads to.
    kernel.entries.write(
      space.pgd(1) + 1,
      511,
      kernel.entries.low(kernel.view.kernelRoot(0) + 1, 511),
      kernel.entries.high(kernel.view.kernelRoot(0) + 1, 511),
    );
    expect(found().violated.map(({ id, detail }) => [id, detail])).toEqual([
      ["C8", expect.any(String)],
      ["G11", expect.stringMatching(/the user half of space 1 on node 1 leads to node 0 at 0xffffffff81000000/)],
    ]);
  }
  expect(checkInvariants({ ...boot({}), spaces, reached: "running" }).notReached).toContain("G11");
});

test("a root of the firmware's that kept what the kernel made read-only is seen by C2, with one copy too", () => {
  for (const count of [1, 2]) {
    const kernel = boot({ nodes: Array.from({ length: count }, (_, id) => ({ id, memoryMiB: 64, cpus: 1 })) });
    const root = kernel.allocator.allocate(0, PGD_ORDER, { purpose: "page-table", zero: true });
    kernel.entries.copy(kernel.view.kernelRoot(0), root, 0, 512);
    const found = () =>
      checkInvariants({ ...kernel, spaces, reached: "running", otherRoots: [{ name: "EFI's root", root }] });
    expect(found().violated).toEqual([]);
    expect(found().checked).toContain("C2");
    // From its own PMD page on, the way it was before mark_rodata_ro.
    const firmware = { ...kernel, view: { ...kernel.view, kernelRoot: () => root } } as Kernel;
    for (const level of [4, 3]) move(firmware, 0, TEXT, level, 0);
    change(firmware, 0, TEXT, 2, (lo, hi) => [lo | 2, hi]);
    expect(found().violated.map(({ id, detail }) => [id, detail])).toEqual([
      ["C2", expect.stringContaining("EFI's root: text at 0xffffffff81000000 is RWX")],
    ]);
  }
});

test("a memoryless node on a root that is not its nearest's is seen by A8", () => {
  const kernel = boot({
    nodes: [0, 1, 2].map((id) => ({ id, memoryMiB: id === 2 ? 0 : 64, cpus: 1 })),
    distance: [
      [10, 20, 20],
      [20, 10, 15],
      [20, 15, 10],
    ],
  });
  expect(ids(kernel)).toEqual([]);
  const lying = new Proxy(kernel.view, {
    get: (view, key) =>
      key === "kernelRoot" ? (node: number) => view.kernelRoot(node === 2 ? 0 : node) : Reflect.get(view, key),
  });
  expect(ids({ ...kernel, view: lying })).toEqual(["A8", "G1"]);
});

test("one holder that costs a frame is seen by A11", () => {
  const kernel = boot({ nodes: [{ id: 0, memoryMiB: 64, cpus: 1 }] });
  expect(ids(kernel)).toEqual([]);
  kernel.allocator.allocate(0, 0, { purpose: "text" });
  expect(ids(kernel)).toEqual(["A11", "I3"]);
});

test("what can only be witnessed is judged by what was witnessed: B7, B9, B10", () => {
  const kernel = boot({});
  kernel.witness.earlyRoots.push({ step: "trap-init", node: 1, root: -1 });
  kernel.witness.tablesAfterClone.set(1, 9);
  kernel.witness.changeByReplication.push("page 0");
  expect(ids(kernel)).toEqual(["B7", "B9", "B10"]);
});

describe("the order of the boot is judged by what was seen at each step", () => {
  test.each<[string, string, Partial<StepSeen>, string]>([
    ["H1", "text is some node's own before the step", { ownText: true }, "trap-init"],
    ["H1", "text is not every node's own afterwards", { ownText: false }, "smp-init"],
    ["H1", "frames for copies are taken later", { copyFrames: 7 }, "initcalls"],
    ["H2", "rodata is copied while it can be written", { ownRodata: true }, "initcalls"],
    ["H2", "rodata is common again", { ownRodata: false }, "running"],
    ["H3", "two frames for one rodata while booting", { sameRodata: false }, "alternatives"],
    ["H4", "holders before there are copies", { holders: [0, 1] }, "setup-arch"],
    ["H4", "no holders any more", { holders: [0] }, "running"],
    ["H4", "a copy given out before it was filled", { equalText: false }, "numa-replicate-kernel"],
    ["I4", "a holder that joined", { holders: [0] }, "numa-replicate-kernel"],
  ])("%s: %s", (id, _what, seen, step) => {
    const kernel = boot({});
    expect(checkInvariants({ ...kernel, spaces, reached: "running" }).violated).toEqual([]);
    const { steps } = kernel.witness;
    const at = steps.findIndex((each) => each.step === step);
    steps[at] = { ...steps[at]!, ...seen };
    expect(ids(kernel)).toContain(id);
  });
});

test("a CPU on the PGD of a process it does not run is seen by G1, and so is one that did not take its process's", () => {
  const kernel = boot({ pti: true });
  const [space, other] = [kernel.spaces.create(0)!, kernel.spaces.create(1)!];
  const found = (): string[] => checkInvariants({ ...kernel, reached: "running" }, ["G1"]).violated.map(({ id }) => id);
  const cpu = kernel.machine.cpu(0);
  const own = cpu.cr3;
  cpu.writeCr3(BigInt(space.pgd(0)) << 12n);
  expect(found()).toEqual(["G1"]);
  cpu.writeCr3(own);
  expect(found()).toEqual([]);
  kernel.switcher.switchTo(0, space);
  expect(found()).toEqual([]);
  kernel.switcher.enterUser(0);
  expect(found()).toEqual([]);
  cpu.writeCr3(BigInt(other.pgd(0) + 1) << 12n);
  expect(found()).toEqual(["G1"]);
  // The other node's PGD of its own process.
  cpu.writeCr3(BigInt(space.pgd(1) + 1) << 12n);
  expect(found()).toEqual(["G1"]);
  kernel.switcher.leave(0);
  expect(found()).toEqual([]);
});

describe("address spaces", () => {
  const set = (kernel: Kernel) => {
    const space = kernel.spaces.create(0)!;
    space.set(
      0x1000n,
      { frame: 5, level: 1, present: true, writable: true, executable: false, global: false, user: true, cache: "wb" },
      0,
    );
    space.mapLdt([kernel.allocator.allocate(0, 0, { purpose: "kernel" })], 0, 0);
    return space;
  };
  const found = (kernel: Kernel): string[] =>
    checkInvariants({ ...kernel, reached: "running" }).violated.map((each) => each.id);
  test.each<[string, string, (kernel: Kernel, pgd: (node: number) => number) => void]>([
    [
      "F1",
      "a slot that one node lacks",
      ({ entries }, pgd) => {
        entries.write(pgd(1), 0, 0, 0);
      },
    ],
    [
      "F1",
      "a slot that leads elsewhere in a user half",
      ({ entries }, pgd) => {
        entries.write(pgd(1) + 1, 0, 0x9067, 0);
      },
    ],
    [
      "F2",
      "a kernel slot that is another's",
      ({ entries }, pgd) => {
        entries.write(pgd(1), 511, entries.low(pgd(0), 511), entries.high(pgd(0), 511));
      },
    ],
    [
      "F3",
      "a slot the canonical PGD lacks",
      ({ entries }, pgd) => {
        entries.write(pgd(1), 7, 0x9067, 0x8000_0000);
      },
    ],
    [
      "F6",
      "a PGD that was freed",
      ({ allocator }, pgd) => {
        allocator.free(pgd(1), 1);
      },
    ],
    [
      "F9",
      "an LDT in one user half alone (D11)",
      ({ entries }, pgd) => {
        entries.write(pgd(1) + 1, 272, 0, 0);
      },
    ],
    [
      "C6",
      "an LDT that leads to kernel text",
      ({ entries, image, layout }, pgd) => {
        const { table, index } = walk(entries.memory, pgd(0) + 1, layout.levels, ldtAddress(layout.levels, 0));
        entries.write(table, index, ((symbolFrame(layout, image, "_text") << 12) | 0x61) >>> 0, 0x8000_0000);
      },
    ],
    [
      "C6",
      "an LDT that user mode may write",
      ({ entries, layout }, pgd) => {
        const { table, index, lo, hi } = walk(entries.memory, pgd(0) + 1, layout.levels, ldtAddress(layout.levels, 0));
        entries.write(table, index, lo | 6, hi);
      },
    ],
    [
      "C6",
      "an LDT that is another process's",
      ({ spaces: given, entries, layout }, pgd) => {
        const { lo } = walk(entries.memory, pgd(0) + 1, layout.levels, ldtAddress(layout.levels, 0));
        given.create(0)!.mapLdt([lo >>> 12], 0, 0);
      },
    ],
    [
      "C6",
      "kernel data in a process's user half alone",
      ({ entries, layout }, pgd) => {
        entries.write(
          pgd(1) + 1,
          tableIndex(layout.vmemmapStart, 4),
          entries.low(pgd(1), tableIndex(layout.pageOffset, 4)),
          0,
        );
      },
    ],
    [
      "C7",
      "a user slot that the kernel may execute",
      ({ entries }, pgd) => {
        for (const node of [0, 1]) entries.write(pgd(node), 0, entries.low(pgd(node), 0), 0);
      },
    ],
  ])("%s sees %s", (id, _what, corrupt) => {
    const kernel = boot({ pti: true });
    const space = set(kernel);
    expect(found(kernel)).toEqual([]);
    corrupt(kernel, (node) => space.pgd(node));
    expect(found(kernel)).toContain(id);
  });
});

test("the catalogue says for each where it is checked, and the checker keeps its word", () => {
  const kernel = boot({ pti: true });
  const space = kernel.spaces.create(0)!;
  const report = checkInvariants({ ...kernel, reached: "running" });
  const here = KERNEL_INVARIANTS.filter(({ where }) => where.includes("state") || where.includes("boot")).map(
    ({ id }) => id,
  );
  // A11 is about one holder, B12 about KASAN where memory comes late, C9 about memory that is encrypted, P15 about CPUs
  // that keep what they fetch.
  expect(report.checked).toEqual(here.filter((id) => !["A11", "B12", "C9", "P15"].includes(id)));
  space.free();
});

test("every invariant is named once: checked or not reached", () => {
  const kernel = boot({ pti: true });
  const report = checkInvariants({ ...kernel, spaces, reached: "running" });
  const all = [...report.checked, ...report.notReached];
  expect(new Set(all).size).toBe(KERNEL_INVARIANTS.length);
  expect(all).toHaveLength(KERNEL_INVARIANTS.length);
  expect(report.notReached.filter((id) => /^[ABC]\d/.test(id))).toEqual(["A11", "B12", "C5", "C7", "C9"]);
});
