/**
 * A kernel with two holders as rows see one: booted with a single copy, and given a second root with copies of text and
 * rodata afterwards, by hand. Nothing here is a policy's: rows read tables, and know no view.
 */
import { entryHigh, entryLow, type Frame, frameOf, isLeaf, isPresent, PAGE } from "@kreplica/hw-x86/api";
import {
  type AddressSpaces,
  bootRoot,
  directAddress,
  imageAddress,
  ldtAddress,
  PGD_ORDER,
  type ReplicaView,
  walk,
} from "@kreplica/mm-core/api";
import { stubMachine, testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { BootWitness, type CheckedKernel, type StepSeen } from "../src/index.js";

/** First address of the tables that each holder has for itself. */
const WINDOW = 0xffff_ffff_8000_0000n;

export interface TwoHolders extends CheckedKernel {
  readonly kernel: TestKernel;
  readonly witness: BootWitness & { steps: StepSeen[] };
  /** Changes an entry on the way to an address below a root, and remembers it for {@link undo}. */
  change(
    root: Frame,
    address: bigint,
    level: number,
    next: (lo: number, hi: number) => readonly [number, number],
  ): void;
  /** Puts a copy of the table that such an entry names, on a node, in its place. @returns its frame */
  move(root: Frame, address: bigint, level: number, node: number): Frame;
  /** Writes a word of a frame. */
  poke(frame: Frame, word: number, value: number): void;
  /** Takes all changes back, the last first. */
  undo(): void;
}

/** The usual machine of a test's kernel, its memory encrypted. */
function encrypting(encryptionBit: 47 | 51) {
  const machine = stubMachine([0, 1].map((id) => ({ id, memoryMiB: 64, cpus: 2 })));
  return { machine: { ...machine, spec: { ...machine.spec, encryptionBit } } };
}

/**
 * @param levels of the tables; nodes 0 and 1 hold copies, 0 has the image; CPUs 0 and 1 are node 0's, 2 and 3 node 1's
 */
export function twoHolders({
  levels = 4,
  pti = true,
  encryptionBit,
}: { readonly levels?: 4 | 5; readonly pti?: boolean; readonly encryptionBit?: 47 | 51 } = {}): TwoHolders {
  const kernel = testKernel({ levels, pti, ...(encryptionBit === undefined ? {} : encrypting(encryptionBit)) });
  const witness = BootWitness.of(kernel);
  kernel.boot.run();
  const { entries, allocator, layout, image, tables, machine } = kernel;
  const { memory } = entries;
  const boot = bootRoot(layout, image);
  const table = (node: number): Frame =>
    allocator.allocate(node, 0, { purpose: "page-table", zero: true, thisNode: true });
  const parts = [
    { purpose: "text" as const, start: image.stext, end: image.etext },
    { purpose: "rodata" as const, start: image.startRodata, end: image.endRodata },
  ].map(({ purpose, start, end }) => {
    const pages = Number((end - start + PAGE - 1n) / PAGE);
    const frames: Frame[] = [];
    const blocks: { readonly first: Frame; readonly pages: number }[] = [];
    while (frames.length < pages) {
      const order = pages - frames.length >= 512 ? 9 : 0;
      const first = allocator.allocate(1, order, { purpose, zero: false, thisNode: true });
      blocks.push({ first, pages: 1 << order });
      for (let each = 0; each < 1 << order; each++) frames.push(first + each);
    }
    return { start: imageAddress(layout, start), frames, blocks };
  });
  // The direct map is everybody's, so that its views of the copies are made read-only once.
  for (const { blocks } of parts)
    for (const { first, pages } of blocks)
      tables.edit((editor) => {
        editor.protect({ start: directAddress(layout, first), pages }, { writable: false });
      });

  /** A table of node 1's own in the place of the one an entry names, saying the same. */
  const own = (at: Frame, index: number): Frame => {
    const [lo, hi] = [entries.low(at, index), entries.high(at, index)];
    const copy = table(1);
    entries.copy(frameOf(lo, hi), copy, 0, 512);
    entries.write(at, index, entryLow(copy, lo & 0xfff), (entryHigh(copy, false) | (hi & 0x8000_0000)) >>> 0);
    return copy;
  };
  /** Gives a root its own tables down to the PMD pages of the window. */
  const ownPath = (at: Frame, level: number): void => {
    const first = Number((WINDOW >> BigInt(12 + 9 * (level - 1))) & 511n);
    for (let index = first; index < 512 && level > 2; index++) {
      const lo = entries.low(at, index);
      if (isPresent(lo) && !isLeaf(lo, level)) ownPath(own(at, index), level - 1);
    }
  };
  const leadToCopies = (root: Frame): void => {
    for (const { start, frames } of parts)
      for (let page = 0; page < frames.length;) {
        const address = start + BigInt(page) * PAGE;
        let end = walk(memory, root, levels, address);
        if (end.present && end.level === 1 && memory.nodeOf(end.table) !== 1) {
          const { table: at, index } = walk(memory, root, levels, address, 2);
          own(at, index);
          end = walk(memory, root, levels, address);
        }
        if (end.present) {
          const frame = frames[page]!;
          // Bit 12 of a large leaf is its PAT bit, which kernel text has not.
          entries.write(
            end.table,
            end.index,
            entryLow(frame, end.lo & 0xfff),
            (entryHigh(frame, false) | (end.hi & 0x8000_0000)) >>> 0,
          );
        }
        page += end.level === 2 ? 512 : 1;
      }
  };
  const originals = parts.map(({ start }) => walk(memory, boot, levels, start).lo >>> 12);
  parts.forEach(({ frames }, part) => {
    frames.forEach((frame, page) => {
      memory.copyFrame(originals[part]! + page, frame);
    });
  });
  const roots = [0, 1].map((node) => {
    const root = allocator.allocate(node, PGD_ORDER, { purpose: "page-table", zero: true, thisNode: true });
    for (const half of pti ? [0, 1] : [0]) {
      entries.copy(boot + half, root + half, layout.kernelBoundary, 512);
      if (node === 0) continue;
      ownPath(root + half, levels);
      leadToCopies(root + half);
    }
    return root;
  });
  const view: ReplicaView = Object.assign(Object.create(kernel.view) as ReplicaView, {
    holders: [0, 1],
    copies: { text: true, rodata: true, userTables: true },
    roots: [{ node: 0, root: boot, kind: "boot" }, ...roots.map((root, node) => ({ node, root, kind: "node" }))],
    nearest: (node: number) => node,
    kernelRoot: (node: number) => roots[node]!,
    isPrivate: (address: bigint) => address >= WINDOW,
  });
  for (const cpu of machine.cpuIds) machine.cpu(cpu).writeCr3(entries.cr3(roots[machine.nodeOfCpu(cpu)]!));
  // What a witness would have seen of a boot that made these copies where the series does.
  const step = (name: string) => witness.steps.findIndex((each) => each.step === name);
  const [reserved, replicated, sealed] = ["numa-reserve-memory", "numa-replicate-kernel", "numa-replicate-rodata"].map(
    step,
  ) as [number, number, number];
  witness.steps.forEach((each, at) => {
    Object.assign(each, {
      holders: at < replicated ? [0] : [0, 1],
      ownText: at >= replicated,
      ownRodata: at >= sealed,
      sameRodata: at < sealed,
      equalText: true,
      copyFrames: at < reserved ? 0 : parts.reduce((sum, { frames }) => sum + frames.length, 0),
    });
  });
  for (const node of [0, 1]) witness.tablesAfterClone.set(node, levels);

  const spaces = [1, 2].map((id) => {
    const pgds = roots.map((root, node) => {
      const pgd = allocator.allocate(node, PGD_ORDER, { purpose: "page-table", zero: true, thisNode: true });
      for (const half of pti ? [0, 1] : [0]) entries.copy(root + half, pgd + half, layout.kernelBoundary, 512);
      return pgd;
    });
    /** Maps a page in both halves of both PGDs, by tables of its own. */
    const map = (address: bigint, frame: Frame, flags: number, high: number, kernelHigh: number): void => {
      const at = (level: number) => Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
      let below = frame;
      for (let level = 1; level < levels; level++) {
        const made = table(0);
        entries.write(
          made,
          at(level),
          entryLow(below, level === 1 ? flags : 0x67),
          (entryHigh(below, false) | (level === 1 ? high : 0)) >>> 0,
        );
        below = made;
      }
      for (const pgd of pgds)
        for (const half of pti ? [0, 1] : [0])
          entries.write(
            pgd + half,
            at(levels),
            entryLow(below, 0x67),
            (entryHigh(below, false) | (half === 0 ? kernelHigh : 0)) >>> 0,
          );
    };
    map(0x1000n, allocator.allocate(0, 0, { purpose: "user" }), 0x67, 0, pti ? 0x8000_0000 : 0);
    if (pti) map(ldtAddress(levels, 0), allocator.allocate(0, 0, { purpose: "kernel" }), 0x61, 0x8000_0000, 0);
    return { id, pgdNodes: [0, 1], pgd: (node: number) => pgds[node]! };
  });

  const undoing: (() => void)[] = [];
  return {
    ...kernel,
    kernel,
    view,
    spaces: { all: new Set(spaces) } as unknown as AddressSpaces,
    witness,
    reached: "running",
    change(root, address, level, next) {
      const end = walk(memory, root, levels, address, level);
      const [lo, hi] = [entries.low(end.table, end.index), entries.high(end.table, end.index)];
      undoing.push(() => {
        entries.write(end.table, end.index, lo, hi);
      });
      const [low, high] = next(lo, hi);
      entries.write(end.table, end.index, low >>> 0, high >>> 0);
    },
    move(root, address, level, node) {
      const { lo, hi } = walk(memory, root, levels, address, level);
      const copy = table(node);
      entries.copy(frameOf(lo, hi), copy, 0, 512);
      this.change(root, address, level, () => [
        entryLow(copy, lo & 0xfff),
        (entryHigh(copy, false) | (hi & 0x8000_0000)) >>> 0,
      ]);
      return copy;
    },
    poke(frame, word, value) {
      const was = memory.read32(frame, word);
      undoing.push(() => {
        memory.write32(frame, word, was);
      });
      memory.write32(frame, word, value);
    },
    undo() {
      for (const each of undoing.splice(0).reverse()) each();
    },
  };
}
