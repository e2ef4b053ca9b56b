/**
 * KASAN's shadow: every byte of the kernel's half has one, on every node, with 4 and 5 levels; what comes late reaches
 * all nodes.
 */
import { isLeaf, isPresent, type MachineSpec, NONE, tableIndex } from "@kreplica/hw-x86";
import { type Booted, smallImage, smallMachine } from "@kreplica/kernel";
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { directAddress, imageAddress, lookup, shadowOf, shadowRange, tableAt, walk } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { boot, type BootOptions, prepare } from "../src/boot.js";
import { ptdump } from "../src/report/ptdump.js";

const small = (options: Partial<BootOptions> = {}): Booted =>
  boot({ spec: smallMachine(2), policy: "per-node", image: smallImage(), kasan: true, ...options });

test("the shadow lies where the documentation has it", () => {
  // Documentation/arch/x86/x86_64/mm.rst: ffffec0000000000 and, with 5 levels, ffdf000000000000 (where its PGD slot
  // begins), both to fffffbffffffffff.
  expect(shadowRange(4)).toEqual({ start: 0xffff_ec00_0000_0000n, end: 0xffff_fbff_ffff_ffffn });
  expect(shadowRange(5).start >> 48n).toBe(0xffdfn);
  expect(shadowRange(5).end).toBe(0xffff_fbff_ffff_ffffn);
  expect(shadowOf(0xffff_8000_0000_0000n)).toBe(shadowRange(4).start);
  expect(shadowOf(0xffff_ffff_ffff_ffffn)).toBe(shadowRange(4).end);
});

test.each([4, 5] as const)(
  "without KASAN_VMALLOC vmalloc's shadow is the page of zeroes, the modules' still comes late; %i levels",
  (levels) => {
    const kernel = small({ levels, kasan: "without vmalloc" });
    const { layout, machine, view } = kernel;
    const at = (node: number, address: bigint) =>
      lookup(machine.memory, view.kernelRoot(node), levels, shadowOf(address));
    const zero = at(0, layout.vmemmapStart)!.frame;
    for (const node of view.holders) {
      for (const address of [layout.vmallocStart, layout.vmallocStart + (1n << 40n), layout.vmallocEnd - 1n])
        expect(at(node, address)).toMatchObject({ writable: false, level: 1, frame: zero });
      expect(at(node, layout.modulesStart + 0x10_0000n)).toBeUndefined();
    }
    expect(kernel.checkInvariants().violated).toEqual([]);
  },
);

describe.each([
  [4, false],
  [4, true],
  [5, false],
  [5, true],
] as const)("with %i levels, KPTI %j", (levels, pti) => {
  const kernel = small({ levels, pti });
  const { layout, machine, view, image } = kernel;
  const at = (node: number, address: bigint) =>
    lookup(machine.memory, view.kernelRoot(node), levels, shadowOf(address));

  test("memory's shadow can be written and lies on the memory's node; image and cpu_entry_area have their own too", () => {
    for (const { node, first, frames } of machine.memory.ranges) {
      for (const frame of [first, first + (frames >> 1), first + frames - 1]) {
        for (const holder of view.holders) {
          const found = at(holder, directAddress(layout, frame))!;
          expect(found).toMatchObject({ writable: true, executable: false, level: 2, global: !pti });
          // 16 MiB of memory to a leaf: nodes are larger, so that none is shared.
          expect(machine.memory.nodeOf(found.frame)).toBe(node);
        }
      }
    }
    for (const address of [
      imageAddress(layout, image.stext),
      imageAddress(layout, image.end - 1n),
      layout.cpuEntryArea,
    ]) {
      expect(at(0, address)).toMatchObject({ writable: true, level: 1 });
      expect(at(1, address)!.frame).toBe(at(0, address)!.frame);
    }
  });

  test("what no object lies in shares one read-only page of zeroes, the same on every node; late shadow is a hole", () => {
    const nothing = [
      layout.pageOffset + (1n << 42n),
      layout.vmemmapStart,
      layout.cpuEntryArea + (1n << 38n),
      0xffff_ffff_ff60_0000n,
    ];
    const frames = nothing.flatMap((address) =>
      view.holders.map((node) => {
        const found = at(node, address)!;
        expect(found).toMatchObject({ writable: false, executable: false, level: 1 });
        return found.frame;
      }),
    );
    expect(new Set(frames).size).toBe(1);
    for (let word = 0; word < 1024; word++) expect(machine.memory.read32(frames[0]!, word)).toBe(0);
    for (const address of [layout.vmallocStart, layout.vmallocEnd - 1n, layout.modulesStart + 0x10_0000n])
      expect([at(0, address), at(1, address)]).toEqual([undefined, undefined]);
  });

  test("every slot of the shadow at the top level is there before any process copies it, alike in all roots", () => {
    const { start, end } = layout.kasan!;
    for (let slot = tableIndex(start, levels); slot <= tableIndex(end, levels); slot++) {
      const entries = view.roots.map(({ root }) => machine.memory.read32(root, slot * 2));
      expect(entries.every(isPresent)).toBe(true);
      if (!(levels === 5 && slot === 511)) expect(new Set(entries).size).toBe(1);
    }
    expect(kernel.checkInvariants().violated).toEqual([]);
    const { extraBytes, closedForm } = kernel.memory();
    expect(extraBytes).toBe(closedForm);
  });

  test("shadow that comes late is seen from every node, through tables all share", () => {
    const address = shadowOf(layout.modulesStart + 0x10_0000n) & ~4095n;
    const frame = kernel.allocator.allocate(1, 0, { purpose: "kernel", zero: true });
    expect(frame).not.toBe(NONE);
    const { replicaStores } = kernel.entries;
    expect(
      kernel.tables.edit((editor) =>
        editor.map(address, {
          frame,
          level: 1,
          present: true,
          writable: true,
          executable: false,
          global: !pti,
          user: false,
          cache: "wb",
        }),
      ),
    ).toBe(true);
    for (const { root } of view.roots) expect(lookup(machine.memory, root, levels, address)?.frame).toBe(frame);
    expect(new Set(view.roots.map(({ root }) => tableAt(machine.memory, root, levels, address, 1))).size).toBe(1);
    expect(kernel.entries.replicaStores).toBe(replicaStores);
    expect(kernel.checkInvariants().violated).toEqual([]);
  });

  test("with 5 levels the last of the shadow is under the slot each node has for itself, and all the same shared below", () => {
    const last = layout.kasan!.end & ~4095n;
    const tables = (level: number): number =>
      new Set(view.holders.map((node) => tableAt(machine.memory, view.kernelRoot(node), levels, last, level))).size;
    expect([tables(levels), tables(3)]).toEqual([2, 1]);
    if (levels === 5) expect(tables(4)).toBe(2);
  });

  test("the dump names it, and ends though its leaves are 2^36", () => {
    const lines = ptdump(machine.memory, view.kernelRoot(1), layout);
    const from = lines.indexOf("---[ KASAN shadow ]---");
    expect(from).toBeGreaterThan(0);
    expect(lines.indexOf("---[ KASAN shadow end ]---")).toBeGreaterThan(from);
    expect(
      lines.slice(from, lines.indexOf("---[ KASAN shadow end ]---")).some((line) => /ro .*NX pte/.test(line)),
    ).toBe(true);
    // Runs follow one another without a gap.
    const runs = lines.filter((line) => line.startsWith("0x")).map((line) => line.slice(0, 37).split("-"));
    for (let i = 1; i < runs.length; i++) expect(runs[i]![0]).toBe(runs[i - 1]![1]!.trim());
  });
});

test("a real image on a machine of its time boots with it: an eighth of memory and nothing else is taken", () => {
  const shadowed = boot({ spec: e52690v3, policy: "per-node", kasan: true });
  const plain = boot({ spec: e52690v3, policy: "per-node" });
  const free = ({ allocator, machine }: Booted): number =>
    machine.nodes.reduce((sum, node) => sum + allocator.freeFrames(node), 0);
  const memory = e52690v3.nodes.reduce((sum, node) => sum + node.memoryBytes, 0) / 4096;
  const taken = free(plain) - free(shadowed);
  expect(taken).toBeGreaterThan(memory / 8);
  expect(taken).toBeLessThan(memory / 8 + 4096);
  expect(shadowed.memory().extraBytes).toBe(plain.memory().extraBytes);
  expect(shadowed.checkInvariants().violated).toEqual([]);
});

test("a walk of the shadow ends at a leaf wherever it begins: nothing but late shadow is a hole", () => {
  const { machine, view, layout } = small({ levels: 5 });
  const { start, end } = layout.kasan!;
  const late = (address: bigint): boolean =>
    [
      [layout.vmallocStart, layout.vmallocEnd],
      [layout.modulesStart, layout.modulesEnd + 0x8000n],
    ].some(([from, to]) => address >= (shadowOf(from!) & ~4095n) && address <= (shadowOf(to!) | 4095n));
  for (let i = 0n; i < 5000n; i++) {
    const address = start + ((((end - start) * i * 7919n) / 39_595_000n) & ~4095n);
    const found = walk(machine.memory, view.kernelRoot(0), 5, address);
    expect(found.present && isLeaf(found.lo, found.level)).toBe(!late(address));
  }
});

describe("bad combinations end in one line", () => {
  const five: MachineSpec = { ...tiny2Node, virtualBits: 57 };
  test.each<[Partial<BootOptions>, RegExp]>([
    [{ kaslr: { memory: true } }, /--kasan: the compiler knows where the shadow .* Choose --kaslr text or off/],
    [{ levels: 5, policy: "rfc-v1" }, /--kasan: the series as posted cannot be configured with KASAN and 5 levels/],
  ])("%j", (options, message) => {
    expect(() => prepare({ spec: five, policy: "per-node", kasan: true, ...options })).toThrow(message);
  });

  test("no room for the shadow", () => {
    const spec: MachineSpec = {
      ...tiny2Node,
      nodes: [
        { id: 0, memoryBytes: 2 ** 29, startAddress: 0 },
        { id: 1, memoryBytes: 2 ** 21, startAddress: 2 ** 29 },
      ],
    };
    expect(() => boot({ spec, policy: "single-copy", kasan: true })).toThrow(
      /node 1 has no room for KASAN's shadow of its own memory/,
    );
  });
});
