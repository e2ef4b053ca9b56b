/** Memory of a node plugged in while processes run: seen by all of them, on every node, or not at all. */
import { highOf, lowOf, type MachineSpec, NONE, tableIndex } from "@kreplica/hw-x86";
import {
  AddressSpaces,
  directAddress,
  frameAt,
  KERNEL_DATA,
  lookup,
  MemoryHotplug,
  PageAllocator,
  Processes,
  shadowLeaves,
  shadowOf,
  SwitchMm,
} from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { boot, type Booted, type BootOptions } from "../src/boot.js";
import { smallImage, smallMachine } from "../src/small-kernel.js";

const MIB = 2 ** 20;
/** Three nodes; the last one's memory lies behind others' top-level slot of the direct map, 512 GiB with 4 levels. */
const spec: MachineSpec = (() => {
  const small = smallMachine(3);
  return {
    ...small,
    physicalBits: 46,
    nodes: [
      { id: 0, memoryBytes: 64 * MIB, startAddress: 0 },
      { id: 1, memoryBytes: 64 * MIB, startAddress: 2 ** 30 },
      { id: 2, memoryBytes: 160 * MIB, startAddress: 2 ** 40 },
    ],
  };
})();
const LATE = 2;
const kernelWith = (options: Partial<BootOptions> = {}): Booted =>
  boot({ spec, policy: "per-node", image: smallImage(), offlineMemory: [LATE], ...options });
const hotplug = (kernel: Booted): MemoryHotplug => kernel.assembly.get(MemoryHotplug);
const range = (kernel: Booted) => kernel.machine.memory.ranges.find(({ node }) => node === LATE)!;
/** Top-level tables a CPU may be on: roots of init_mm, the boot table, every process's. */
const allRoots = (kernel: Booted): number[] => [
  ...kernel.view.roots.map(({ root }) => root),
  ...[...kernel.spaces.all].flatMap((space) => kernel.view.holders.map((node) => space.pgd(node))),
];

describe.each([
  [4, false],
  [4, true],
  [5, false],
  [5, true],
] as const)("with %i levels, KPTI %j", (levels, pti) => {
  test("before, nobody has any of it; afterwards everybody sees all of it", () => {
    const kernel = kernelWith({ levels, pti });
    const { machine, layout, view, allocator } = kernel;
    const processes = kernel.assembly.get(Processes);
    const cpus = machine.nodes.map((node) => machine.cpuIds.find((cpu) => machine.nodeOfCpu(cpu) === node)!);
    const old = processes.spawn(cpus[0]!)!;
    for (const cpu of cpus) processes.run(old, cpu);
    const { first, frames } = range(kernel);
    const last = first + frames - 1;
    expect(allocator.freeFrames(LATE)).toBe(0);
    expect(view.holders).toEqual([0, 1]);
    for (const root of allRoots(kernel))
      expect(frameAt(machine.memory, root, levels, directAddress(layout, first))).toBeUndefined();
    expect(allocator.allocate(LATE, 0, { purpose: "user", thisNode: true })).toBe(NONE);

    expect(hotplug(kernel).online(LATE)).toBe(true);
    expect(allRoots(kernel).length).toBeGreaterThanOrEqual(5);
    for (const root of allRoots(kernel)) {
      for (const frame of [first, first + 1234, last]) {
        expect(frameAt(machine.memory, root, levels, directAddress(layout, frame))).toBe(frame);
        const descriptor = frameAt(machine.memory, root, levels, layout.vmemmapStart + BigInt(frame) * 64n)!;
        expect(machine.memory.nodeOf(descriptor)).not.toBe(LATE);
      }
    }
    // CPUs that have been on the old process's tables all the time need do nothing.
    for (const cpu of cpus) {
      kernel.assembly.get(SwitchMm).enterKernel(cpu);
      const address = directAddress(layout, last);
      expect(machine.cpu(cpu).store(lowOf(address), highOf(address))).toBe(0);
      expect(machine.cpu(cpu).lastFrame).toBe(last);
    }
    const given = allocator.allocate(LATE, 0, { purpose: "user", thisNode: true });
    expect(machine.memory.nodeOf(given)).toBe(LATE);
    expect(allocator.freeFrames(LATE)).toBe(frames - 1);
  });

  test("who holds copies was settled at boot: the node goes on with its nearest, and every rule holds", () => {
    const kernel = kernelWith({ levels, pti });
    const nearest = kernel.view.nearest(LATE);
    hotplug(kernel).online(LATE);
    expect([kernel.view.holders, kernel.view.nearest(LATE)]).toEqual([[0, 1], nearest]);
    const report = kernel.checkInvariants();
    expect(report.violated).toEqual([]);
    const { extraBytes, closedForm } = kernel.memory();
    expect(extraBytes).toBe(closedForm);
  });
});

test("with 4 levels the direct map grows into another top-level slot, which processes made before take over", () => {
  const kernel = kernelWith();
  const slot = tableIndex(directAddress(kernel.layout, range(kernel).first), 4);
  expect(slot).toBe(275);
  const space = kernel.assembly.get(AddressSpaces).create(1)!;
  const entry = (pgd: number): number => kernel.machine.memory.read32(pgd, slot * 2);
  expect([0, 1].map((node) => entry(space.pgd(node)))).toEqual([0, 0]);
  const { replicaStores } = kernel.entries;
  hotplug(kernel).online(LATE);
  expect([0, 1].map((node) => entry(space.pgd(node)))).toEqual([
    entry(kernel.view.kernelRoot(0)),
    entry(kernel.view.kernelRoot(0)),
  ]);
  // One slot in two further roots (boot, two nodes), and in one further PGD of the process.
  expect(kernel.entries.replicaStores - replicaStores).toBe(2 + 1);
});

test("the n-th allocation refused, for every n: nothing has changed, and it works the next time", () => {
  const plain = kernelWith({ pti: true });
  const before = plain.allocator.requests;
  hotplug(plain).online(LATE);
  const needed = plain.allocator.requests - before;
  expect(needed).toBeGreaterThan(3);
  for (let nth = 1; nth <= needed; nth++) {
    const kernel = kernelWith({ pti: true });
    const { allocator, machine, layout } = kernel;
    const space = kernel.assembly.get(AddressSpaces).create(0)!;
    const free = (): number[] => machine.nodes.map((node) => allocator.freeFrames(node));
    const was = free();
    kernel.assembly.get(PageAllocator).refuse(nth);
    expect(hotplug(kernel).online(LATE)).toBe(false);
    allocator.refuse(0);
    expect(free()).toEqual(was);
    for (const root of [...allRoots(kernel), space.pgd(1)])
      expect(frameAt(machine.memory, root, 4, directAddress(layout, range(kernel).first))).toBeUndefined();
    expect(hotplug(kernel).online(LATE)).toBe(true);
    expect(kernel.checkInvariants().violated).toEqual([]);
  }
});

test("frames a recording uses stay its own", () => {
  const start = 2 ** 40 / 4096 + 512;
  const kernel = kernelWith({ reserved: [{ first: start, frames: 1024 }] });
  hotplug(kernel).online(LATE);
  expect(kernel.allocator.freeFrames(LATE)).toBe(range(kernel).frames - 1024);
  expect([start - 1, start, start + 1023, start + 1024].map((frame) => kernel.allocator.claim(frame, "user"))).toEqual([
    true,
    false,
    false,
    true,
  ]);
});

test("a node is plugged in once, and the image's node is there from the start", () => {
  const kernel = kernelWith();
  hotplug(kernel).online(LATE);
  expect(() => hotplug(kernel).online(LATE)).toThrow(/memory of node 2 is in use already/);
  expect(() => hotplug(kernel).online(0)).toThrow(/memory of node 0 is in use already/);
  expect(() => kernelWith({ offlineMemory: [0] })).toThrow(/the node that holds the image cannot be without memory/);
});

describe.each([
  [5, true],
  [4, "without vmalloc"],
] as const)("KASAN, %i levels, %s", (levels, kasan) => {
  test("shadow comes with memory, in every root and process, and goes with it", () => {
    const kernel = kernelWith({ kasan, levels });
    const process = kernel.assembly.get(Processes).spawn(0)!;
    const { first, frames } = range(kernel);
    const edges = [first, first + frames - 1].map((frame) => shadowOf(directAddress(kernel.layout, frame)));
    const mapped = (): unknown =>
      edges.flatMap((address) =>
        [...kernel.view.holders.map((node) => kernel.view.kernelRoot(node)), process.space.pgd(0)].map(
          (root) => lookup(kernel.entries.memory, root, levels, address)?.writable,
        ),
      );
    const holders = kernel.view.holders.length + 1;
    const free = kernel.allocator.freeFrames(0) + kernel.allocator.freeFrames(1);
    for (let round = 0; round < 2; round++) {
      expect(mapped()).toEqual(Array(2 * holders).fill(undefined));
      expect(hotplug(kernel).online(LATE)).toBe(true);
      expect(mapped()).toEqual(Array(2 * holders).fill(true));
      if (round === 1) expect(kernel.checkInvariants().violated).toEqual([]);
      expect(hotplug(kernel).remove(LATE, 0)).toBe("done");
      expect(mapped()).toEqual(Array(2 * holders).fill(undefined));
      expect(kernel.checkInvariants().violated).toEqual([]);
    }
    expect(kernel.checkInvariants().notReached).not.toContain("B12");
    // The memory itself is on neither; tables stay.
    expect(free - kernel.allocator.freeFrames(0) - kernel.allocator.freeFrames(1)).toBeLessThan(8);
  });

  test("B12 tells of shadow that is missing, read-only, or left behind", () => {
    const kernel = kernelWith({ kasan, levels });
    const [address] = shadowLeaves(kernel.layout, range(kernel));
    const { tables } = kernel;
    const said = (): unknown =>
      kernel
        .checkInvariants()
        .violated.filter(({ id }) => id === "B12")
        .map(({ detail }) => /is (missing|read-only|frame)/.exec(detail)?.[1]);
    hotplug(kernel).online(LATE);
    const { frame } = tables.lookup(0, address!)!;
    tables.edit((editor) => editor.protect({ start: address!, pages: 512 }, { writable: false }));
    expect(said()).toEqual(["read-only"]);
    tables.edit((editor) => editor.unmap(address!, 2));
    expect(said()).toEqual(["missing"]);
    tables.edit((editor) => editor.map(address!, { ...KERNEL_DATA, global: true, frame, level: 2 }));
    expect(said()).toEqual([]);
    hotplug(kernel).remove(LATE, 0);
    tables.edit((editor) => editor.map(address!, { ...KERNEL_DATA, global: true, frame, level: 2 }));
    expect(said()).toEqual(["frame"]);
  });
});
