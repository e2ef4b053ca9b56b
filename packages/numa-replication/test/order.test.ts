/**
 * What would be seen in the middle of replication, at every store; and rooms that are refused, with what they leave.
 */
import { bindValue } from "@kreplica/di";
import { type Frame, NONE, PAGE, pagesBetween } from "@kreplica/hw-x86/api";
import { BOOT_STEPS, directAddress, frameAt, imageAddress, imageFrame, lookup } from "@kreplica/mm-core/api";
import { testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import { CopySteps, OWN_STEPS, PER_NODE, replicationBy } from "../src/index.js";

const nodes = [0, 1, 2].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
const make = (): TestKernel => testKernel({ nodes, alignment: "recorded", view: replicationBy(PER_NODE) });
const before = (step: (typeof BOOT_STEPS)[number]) => BOOT_STEPS[BOOT_STEPS.indexOf(step) - 1]!;

describe("rooms", () => {
  /** Boots, with a node's requests refused while room is reserved: all of them, or the nth. */
  function booted(steps: CopySteps, node: number, nth?: number) {
    const kernel = testKernel({
      nodes,
      alignment: "recorded",
      view: replicationBy(PER_NODE),
      instead: [bindValue(CopySteps, steps)],
    });
    kernel.boot.runTo("setup-arch");
    const { early, machine, allocator } = kernel;
    const free = machine.nodes.map((each) => allocator.freeFrames(each));
    const allocate = early.allocate.bind(early);
    let asked = 0;
    early.allocate = (wanted, ...given) =>
      wanted === node && (++asked === nth || nth === undefined) ? NONE : allocate(wanted, ...given);
    kernel.boot.runTo("numa-reserve-memory");
    early.allocate = allocate;
    const after = machine.nodes.map((each) => allocator.freeFrames(each));
    kernel.boot.run();
    return { kernel, free, after, asked };
  }

  test("where the master gets none, nobody holds a copy, and all memory is back", () => {
    // A master that keeps its booted tables asks for nothing that could be refused.
    const { kernel, free, after } = booted({ ...OWN_STEPS, master: "cloned tables" }, 0);
    expect(after).toEqual(free);
    expect(kernel.view.holders).toEqual([0]);
    for (const node of kernel.machine.nodes) expect(kernel.view.kernelRoot(node)).not.toBe(NONE);
  });

  test("a node that is refused anything has all its memory back, whichever request it was", () => {
    for (let nth = 1; ; nth++) {
      const { kernel, free, after, asked } = booted(OWN_STEPS, 1, nth);
      if (asked < nth) break;
      expect(after[1], `the ${nth}. request of node 1`).toBe(free[1]);
      expect(kernel.view.holders).toEqual([0, 2]);
    }
  });

  test("tables come out empty, whatever lay in their frames", () => {
    const kernel = make();
    kernel.boot.runTo("setup-arch");
    const allocate = kernel.early.allocate.bind(kernel.early);
    const dirty: Frame[] = [];
    kernel.early.allocate = (node, frames, align, purpose, ...more) => {
      const first = allocate(node, frames, align, purpose, ...more);
      if (first !== NONE && purpose === "page-table")
        for (let frame = first; frame < first + frames; frame++) {
          dirty.push(frame);
          for (let word = 0; word < 1024; word++) kernel.machine.memory.write32(frame, word, 0xdead_beef);
        }
      return first;
    };
    kernel.view.reserve();
    kernel.early.allocate = allocate;
    expect(dirty.length).toBeGreaterThan(4);
    for (const frame of dirty) {
      const words = new Set(Array.from({ length: 1024 }, (_, word) => kernel.machine.memory.read32(frame, word)));
      expect([...words], `frame ${frame} of a table`).toEqual([0]);
    }
  });
});

/** Bytes behind a page of the image on a node now, told apart by the first words; undefined for a hole. */
function bytes({ entries, layout, machine }: TestKernel, root: Frame, address: bigint): string | undefined {
  const frame = frameAt(entries.memory, root, layout.levels, address);
  return frame === undefined ? undefined : [0, 1, 7].map((word) => machine.memory.read32(frame, word)).join(":");
}

test.each([
  ["text", "numa-replicate-kernel"],
  ["rodata", "numa-replicate-rodata"],
] as const)(
  "at every store of the step that copies %s, every root in use reads the bytes it read before",
  (part, step) => {
    const kernel = make();
    const { image, layout, entries, view, machine } = kernel;
    kernel.boot.runTo(before(step));
    const [first, end] = part === "text" ? [image.stext, image.etext] : [image.startRodata, image.endRodata];
    const pages = pagesBetween(first, end).pages;
    const addresses = [0, 1, 511, 512, pages - 1]
      .filter((page) => page < pages)
      .map((page) => imageAddress(layout, first) + BigInt(page) * PAGE);
    addresses.forEach((address, nth) =>
      machine.memory.write32(imageFrame(layout, image.stext, address - layout.imageOffset), 0, 0x1000 + nth),
    );
    const roots = (): Frame[] => [...new Set(machine.nodes.map((node) => view.kernelRoot(node)))];
    const known = addresses.map((address) => bytes(kernel, view.kernelRoot(0), address));
    let stores = 0;
    const wrong = new Set<string>();
    entries.observe(() => {
      stores++;
      for (const root of roots())
        addresses.forEach((address, nth) => {
          if (bytes(kernel, root, address) !== known[nth]) wrong.add(`page ${nth} of root ${root}`);
        });
    });
    if (part === "text") view.replicateKernel();
    else view.replicateRodata();
    entries.observe(undefined);
    expect(stores).toBeGreaterThan(10);
    expect([...wrong]).toEqual([]);
    expect(roots()).toHaveLength(3);
    addresses.forEach((address, nth) => {
      for (const root of roots()) expect(bytes(kernel, root, address)).toBe(known[nth]);
    });
  },
);

test("while aliases of the copies are sealed, the direct map shows every frame at every store", () => {
  const kernel = make();
  const { layout, entries, view } = kernel;
  kernel.boot.runTo(before("numa-replicate-rodata"));
  // Text copies and their neighbours, by the direct map.
  const frames = view.holders.slice(1).flatMap((node) => {
    const frame = view.replicaFrame(imageAddress(layout, kernel.image.stext), node)!;
    return [frame - 1, frame, frame + 1, frame + 600];
  });
  const wrong = new Set<Frame>();
  entries.observe(() => {
    for (const frame of frames)
      if (frameAt(entries.memory, view.kernelRoot(0), layout.levels, directAddress(layout, frame)) !== frame)
        wrong.add(frame);
  });
  view.replicateRodata();
  entries.observe(undefined);
  expect(frames.length).toBe(8);
  expect([...wrong]).toEqual([]);
});

test("the boot table's small leaves stay its own: a holder that needs others gets a PTE page of its own", () => {
  const kernel = make();
  const { image, layout, entries, view } = kernel;
  kernel.boot.runTo(before("numa-replicate-rodata"));
  const boot = view.roots[0]!.root;
  const [start, pages] = [
    imageAddress(layout, image.startRodata),
    pagesBetween(image.startRodata, image.endRodata).pages,
  ];
  const says = () =>
    Array.from({ length: pages }, (_, page) =>
      lookup(entries.memory, boot, layout.levels, start + BigInt(page) * PAGE),
    );
  const known = says();
  view.replicateRodata();
  expect(says()).toEqual(known);
});
