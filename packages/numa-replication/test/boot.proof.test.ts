/** Boots with copies on every node: all invariants hold. */
import { frameOf, fromHalves, isLeaf, isPresent } from "@kreplica/hw-x86/api";
import { BootWitness, checkInvariants, KERNEL_INVARIANTS } from "@kreplica/invariants";
import { describe, expect, test } from "vitest";
import { BOOT_STEPS } from "@kreplica/mm-core/api";
import { testKernel, type TestKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import type { AddressSpaces } from "@kreplica/mm-core/api";
import { everyNth, PER_NODE, perSocket, replicationBy, type ReplicationPolicy, TEXT_ONLY } from "../src/index.js";

const noSpaces = { all: new Set<never>(), create: () => undefined } as unknown as AddressSpaces;
const nodes = (count: number) => Array.from({ length: count }, (_, id) => ({ id, memoryMiB: 64, cpus: 2 }));

function boot(
  options: TestKernelOptions & { policy?: ReplicationPolicy },
): TestKernel & { report: ReturnType<typeof checkInvariants> } {
  const kernel = testKernel({ ...options, view: replicationBy(options.policy ?? PER_NODE) });
  const witness = BootWitness.of(kernel);
  kernel.boot.run();
  return { ...kernel, report: checkInvariants({ ...kernel, spaces: noSpaces, reached: kernel.boot.reached, witness }) };
}

describe.each([1, 2, 3, 8])("%i nodes", (count) => {
  test.each([
    [4, false, true],
    [4, true, true],
    [4, true, false],
    [5, false, true],
    [5, true, true],
    [5, true, false],
  ] as const)("%i levels, pti=%s, pcid=%s, every alignment and master", (levels, pti, pcid) => {
    for (const alignment of ["recorded", "patch-06"] as const) {
      for (const master of new Set([0, count - 1])) {
        const { report, view } = boot({ nodes: nodes(count), levels, pti, pcid, alignment, master, bootCpu: count });
        expect(report.violated).toEqual([]);
        expect(view.holders).toHaveLength(count);
        expect(report.checked.length + report.notReached.length).toBe(KERNEL_INVARIANTS.length);
        expect(report.checked.length).toBe((count === 1 ? 17 : 37) + (pti ? 3 : 0) + (pti && count > 1 ? 1 : 0));
      }
    }
  });
});

test("every CPU ends on its node's root, a memoryless node on that of the nearest", () => {
  const distance = [
    [10, 20, 30],
    [20, 10, 40],
    [15, 12, 10],
  ];
  const { report, view, machine } = boot({
    nodes: [
      { id: 0, memoryMiB: 64, cpus: 1 },
      { id: 1, memoryMiB: 64, cpus: 1 },
      { id: 2, memoryMiB: 0, cpus: 1 },
    ],
    distance,
  });
  expect(report.violated).toEqual([]);
  expect(view.holders).toEqual([0, 1]);
  expect(view.nearest(2)).toBe(1);
  for (const cpu of machine.cpuIds) expect(machine.cpu(cpu).rootFrame).toBe(view.kernelRoot(machine.nodeOfCpu(cpu)));
  expect(machine.cpu(2).rootFrame).toBe(machine.cpu(1).rootFrame);
});

test("a node too small for its copy holds none, and nothing is left behind on it", () => {
  const { report, view, allocator } = boot({
    nodes: [
      { id: 0, memoryMiB: 64, cpus: 1 },
      { id: 1, memoryMiB: 4, cpus: 1 },
      { id: 2, memoryMiB: 64, cpus: 1 },
    ],
  });
  expect(view.holders).toEqual([0, 2]);
  expect([view.nearest(1), allocator.usedFrames(1, "text"), allocator.usedFrames(1, "rodata")]).toEqual([0, 0, 0]);
  expect(report.violated).toEqual([]);
});

describe("policies", () => {
  // Two sockets of two nodes, at distances that a rule of thumb would take for four.
  const four = nodes(4).map((node) => ({ ...node, socket: node.id >> 1 }));
  const distance = [
    [10, 17, 21, 28],
    [17, 10, 21, 21],
    [21, 21, 10, 17],
    [28, 21, 17, 10],
  ];
  test.each([
    ["per-node", PER_NODE, [0, 1, 2, 3]],
    ["text-only", TEXT_ONLY, [0, 1, 2, 3]],
    ["every second", everyNth(2), [1, 3]],
    ["per socket", perSocket(), [1, 2]],
  ] as const)("%s", (_name, policy, holders) => {
    const { report, view, allocator } = boot({ nodes: four, distance, master: 1, policy });
    expect(view.holders).toEqual(holders);
    expect(report.violated).toEqual([]);
    const copied = (purpose: "text" | "rodata") =>
      [0, 1, 2, 3].filter((node) => allocator.usedFrames(node, purpose) > 0);
    expect(copied("text")).toEqual(holders.filter((node) => node !== 1));
    expect(copied("rodata")).toEqual(policy.copies.rodata ? holders.filter((node) => node !== 1) : []);
  });

  test("per socket: a node without CPUs holds no copy, whatever its distance, and a socket that spans nodes one", () => {
    const { report, view } = boot({
      nodes: [
        { id: 0, memoryMiB: 64, cpus: 0 },
        { id: 1, memoryMiB: 64, cpus: 1, socket: 7 },
        { id: 2, memoryMiB: 64, cpus: 1, socket: 3 },
        { id: 5, memoryMiB: 64, cpus: 1, socket: 7 },
      ],
      master: 1,
      policy: perSocket(),
    });
    expect(view.holders).toEqual([1, 2]);
    expect(report.violated).toEqual([]);
  });

  test("on one node every policy is a single copy", () => {
    for (const policy of [PER_NODE, TEXT_ONLY, everyNth(2), perSocket()]) {
      const single = testKernel({ nodes: nodes(1) });
      single.boot.run();
      const { allocator, view, tables } = boot({ nodes: nodes(1), policy });
      expect(view.roots).toHaveLength(1);
      expect(tables.stores.replica).toBe(0);
      expect(allocator.freeFrames(0)).toBe(single.allocator.freeFrames(0));
    }
  });
});

test("a remote private PTE page is caught by B2", () => {
  const kernel = boot({ nodes: nodes(2) });
  const { entries } = kernel;
  // tinyImage's text ends inside PMD 9.
  const pmd = entries.low(entriesPud(kernel, 1), 510) >>> 12;
  const remote = kernel.allocator.allocate(0, 0, { purpose: "page-table", zero: true });
  entries.copy(entries.low(pmd, 9) >>> 12, remote, 0, 512);
  entries.write(pmd, 9, (remote << 12) | 0x63, 0);
  const report = checkInvariants({ ...kernel, spaces: noSpaces, reached: "running" });
  expect(report.violated.map((each) => each.id)).toEqual(["B2"]);
});

const entriesPud = ({ entries, view }: TestKernel, node: number): number =>
  entries.low(view.kernelRoot(node), 511) >>> 12;

test("between the steps: text is copied at one, rodata only at the other, and sees what was written before", () => {
  const kernel = testKernel({ nodes: nodes(2), view: replicationBy(PER_NODE) });
  const rodata = 0xffff_ffff_8140_0000n;
  kernel.boot.runTo("mm-core-init");
  expect(kernel.view.holders).toEqual([0]);
  kernel.boot.runTo("initcalls");
  const text = (node: number) => kernel.tables.lookup(node, 0xffff_ffff_8100_0000n)!.frame;
  expect(text(0)).not.toBe(text(1));
  expect(kernel.tables.lookup(0, rodata)).toEqual(kernel.tables.lookup(1, rodata));
  kernel.boot.runTo("numa-replicate-rodata");
  const mine = kernel.tables.lookup(1, rodata)!.frame + 3;
  expect(mine).not.toBe(kernel.tables.lookup(0, rodata)!.frame + 3);
  // __ro_after_init was written by then: a copy made earlier would lack it.
  expect(kernel.entries.memory.equalFrames(mine, kernel.tables.lookup(0, rodata)!.frame + 3)).toBe(true);
  expect(BOOT_STEPS.indexOf("numa-replicate-rodata")).toBeGreaterThan(BOOT_STEPS.indexOf("mark-rodata-ro"));
});

describe.each([1, 2, 3])(
  "%i nodes: of the stores of a step, those not counted for copies are what a single copy stores",
  (count) => {
    test.each([
      [4, false, true],
      [4, true, true],
      [4, true, false],
      [5, true, false],
    ] as const)("%i levels, pti=%s, pcid=%s", (levels, pti, pcid) => {
      for (const alignment of ["recorded", "patch-06"] as const) {
        const options = { nodes: nodes(count), levels, pti, pcid, alignment };
        const single = testKernel(options);
        single.boot.run();
        const own = (kernel: TestKernel) =>
          kernel.boot.timeline.map(({ step, stores, replicaStores }) => `${step}: ${stores - replicaStores}`);
        expect(own(boot(options))).toEqual(own(single));
        expect(own(boot({ ...options, policy: TEXT_ONLY }))).toEqual(own(single));
      }
    });
  },
);

test("the same machine and image give the same tables, word for word", () => {
  const dump = () => {
    const { entries, view, layout } = boot({ nodes: nodes(3), pti: true });
    const words = new Map<number, bigint[]>();
    const visit = (table: number, level: number): void => {
      if (words.has(table)) return;
      const own: bigint[] = [];
      words.set(table, own);
      for (let index = 0; index < 512; index++) {
        const [lo, hi] = [entries.low(table, index), entries.high(table, index)];
        own.push(fromHalves(lo, hi));
        if (isPresent(lo) && !isLeaf(lo, level)) visit(frameOf(lo, hi), level - 1);
      }
    };
    for (const { root } of view.roots) for (const half of [root, root + 1]) visit(half, layout.levels);
    // Both halves of four PGDs, and what of each is its own below.
    expect(words.size).toBeGreaterThan(8 + 4 * 3);
    return { words, stores: entries.stores, replicaStores: entries.replicaStores };
  };
  expect(dump()).toEqual(dump());
});
