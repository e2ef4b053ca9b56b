/**
 * What replication costs in memory: copies and tables, counted by walking every kernel root and worked out from sizes
 * alone, which must agree; and all of it, counted as what is free less than after a boot with one copy.
 *
 * Invariant I3: extra = (holders - 1) * (text + rodata) + holders * their own table pages. It is not all: patch 06
 * keeps the ends of text and rodata from the page allocator, and leaves of the direct map are split over the copies, in
 * tables that all nodes share.
 */
import {
  type AddressRange,
  alignUp,
  endOf,
  entryPages,
  type Frame,
  LARGE,
  leafFrame,
  type NodeId,
  PAGE,
  PAGE_BYTES,
  pagesBetween,
  slotRange,
  walkRange,
} from "@kreplica/hw-x86/api";
import { bootRoot, imageFrame, type KernelImage, PGD_PAGES } from "@kreplica/mm-core";
import { imageRange } from "@kreplica/mm-core/api";
import type { BootParts } from "./boot-parts.js";

/** Bytes of the kernel on one node, read from its tables. */
export interface NodeMemory {
  readonly node: NodeId;
  readonly textBytes: number;
  readonly rodataBytes: number;
  readonly tableBytes: number;
}
/** What replication costs in memory, counted in the roots' tables and worked out from sizes. */
export interface MemoryAccount {
  /**
   * Every node of the machine. Text, rodata: bytes some root maps there. Tables: pages some kernel root reaches there.
   */
  readonly perNode: readonly NodeMemory[];
  /** Bytes of copies and of their roots' own tables. Counted. {@link MemoryCost} has what else replication costs. */
  readonly extraBytes: number;
  /**
   * The same from the sizes of text, rodata and tables and the number of holders. Computed, without looking at a table.
   */
  readonly closedForm: number;
}

export function measureMemory(parts: BootParts): MemoryAccount {
  const { machine, entries } = parts;
  const { frames, tables, extraBytes } = countExtra(parts);
  const on = (set: ReadonlySet<Frame>, node: NodeId): number =>
    [...set].filter((frame) => entries.memory.nodeOf(frame) === node).length * PAGE_BYTES;
  return {
    perNode: machine.nodes.map((node) => ({
      node,
      textBytes: on(frames.text, node),
      rodataBytes: on(frames.rodata, node),
      tableBytes: on(tables, node),
    })),
    extraBytes,
    closedForm: closedForm(parts),
  };
}

function countExtra(parts: BootParts) {
  const { image, layout, view } = parts;
  const frames = { text: new Set<Frame>(), rodata: new Set<Frame>() };
  const own = new Set<Frame>();
  // What one copy would have too, whether or not the policy keeps the boot table in step (defect D4).
  const sharedTables = reachable(parts, bootRoot(layout, image));
  for (const { root } of view.roots) {
    for (const table of reachable(parts, root).keys()) own.add(table);
    collect(parts, root, { start: image.stext, end: image.etext }, frames.text);
    collect(parts, root, { start: image.startRodata, end: image.endRodata }, frames.rodata);
  }
  const first = imageFrame(layout, image.stext, image.stext);
  const end = first + pagesBetween(image.stext, image.end).pages;
  const copies =
    [...frames.text, ...frames.rodata].filter((frame) => frame < first || frame >= end).length * PAGE_BYTES;
  const tables = new Set([...sharedTables.keys(), ...own]);
  // Not simply in the image: what it gave back may have been taken for tables again.
  const brk = imageFrame(layout, image.stext, image.symbol("__brk_base") ?? image.end);
  const inImage =
    [...own].filter((table) => !sharedTables.has(table) && table >= brk && table < end).length * PAGE_BYTES;
  return {
    frames,
    sharedTables,
    tables,
    copies,
    inImage,
    extraBytes: copies + (tables.size - sharedTables.size) * PAGE_BYTES,
  };
}

/** What a kernel has taken; to be looked at before it does anything further. */
export interface Footprint {
  readonly freeBytes: number;
  /** Copies, and tables that no kernel with one copy would have: together the account's extraBytes. */
  readonly copies: number;
  readonly ownTables: number;
  /** Those of them that lie in the image, in room it has for tables (.brk). */
  readonly inImage: number;
  /** Tables that the boot root reaches, by their place below it. */
  readonly sharedTables: ReadonlySet<string>;
  /** Frames given out for tables, of which some may be in no root: set aside and not needed. */
  readonly tableBytes: number;
  /** Behind text and rodata up to the next 2 MiB: given back once both are protected. */
  readonly tails: number;
}

/** What replication costs a booted kernel in memory, against the same with one copy; bytes. */
export interface MemoryCost {
  /** Bytes that are free less. Counted by the page allocators. */
  readonly lessFree: number;
  /** Copies of text and rodata, the booted ones aside. */
  readonly copies: number;
  /** Tables of the copies' roots. */
  readonly tables: number;
  /** Those of them that lie in the image, in room it has for tables (.brk): no memory that was free before. */
  readonly inImage: number;
  /**
   * Tails of text and rodata that patch 06 fills, less tables that only one copy has: those that cut tails off, and all
   * splits of a boot table not kept in step (defect D4).
   */
  readonly tails: number;
  /** Tables all nodes share, to split leaves of the direct map over the copies. */
  readonly splits: number;
  /** Frames set aside for tables that turned out not to be needed. */
  readonly spare: number;
  /** What the parts leave of the first figure: 0, or something is not accounted for. */
  readonly unexplained: number;
}

/** Looks at a kernel that has just come up. */
export function takeFootprint(parts: BootParts): Footprint {
  const { machine, allocator, image } = parts;
  const { extraBytes, copies, inImage, sharedTables } = countExtra(parts);
  const onAll = (frames: (node: NodeId) => number): number =>
    machine.nodes.reduce((sum, node) => sum + frames(node), 0) * PAGE_BYTES;
  return {
    freeBytes: onAll((node) => allocator.freeFrames(node)),
    tableBytes: onAll((node) => allocator.usedFrames(node, "page-table")),
    copies,
    ownTables: extraBytes - copies,
    inImage,
    sharedTables: new Set(sharedTables.values()),
    tails:
      (tailOf(image.etext, image.startRodata) +
        tailOf(image.endRodata, (image.endRodata + LARGE - 1n) & ~(LARGE - 1n))) *
      PAGE_BYTES,
  };
}

const tailOf = (end: bigint, next: bigint): number => pagesBetween((end + PAGE - 1n) & ~(PAGE - 1n), next).pages;

/** @param single the same kernel on the same machine without the series */
export function memoryCost(single: Footprint, kernel: Footprint): MemoryCost {
  const onlyIn = (one: Footprint, other: Footprint): number =>
    [...one.sharedTables].filter((table) => !other.sharedTables.has(table)).length * PAGE_BYTES;
  const lessFree = single.freeBytes - kernel.freeBytes;
  const copies = kernel.copies - single.copies;
  const tables = kernel.ownTables - single.ownTables;
  const inImage = kernel.inImage - single.inImage;
  const tails = single.tails - kernel.tails - onlyIn(single, kernel);
  const splits = onlyIn(kernel, single);
  // What lies in the image or was there before the allocators is the same in both.
  const inNoRoot = ({ tableBytes, ownTables, inImage: there, sharedTables }: Footprint): number =>
    tableBytes - (ownTables - there) - sharedTables.size * PAGE_BYTES;
  const spare = inNoRoot(kernel) - inNoRoot(single);
  return {
    lessFree,
    copies,
    tables,
    inImage,
    tails,
    splits,
    spare,
    unexplained: lessFree - copies - (tables - inImage) - tails - splits - spare,
  };
}

/**
 * Tables below both halves of a root, the root with its user half included, each with its place: half, level and the
 * index in the table above.
 */
function reachable({ entries, layout }: BootParts, root: Frame): Map<Frame, string> {
  const { levels, kernelBoundary } = layout;
  const seen = new Map<Frame, string>();
  const half = (top: Frame, place: string, walked: boolean): void => {
    if (seen.has(top)) return;
    seen.set(top, place);
    if (!walked) return;
    walkRange(entries.memory, top, levels, slotRange(levels, kernelBoundary, 511), {
      table(_address, level, lower, table, index) {
        if (seen.has(lower)) return false;
        seen.set(lower, `${seen.get(table)!}/${index}`);
        return level > 2;
      },
    });
  };
  half(root, "kernel", true);
  // Without KPTI the second page stays empty, and is the root's all the same.
  half(root + 1, "user", layout.pti);
  return seen;
}

/** Frames a root maps in a part of the image. */
function collect({ entries, layout }: BootParts, root: Frame, part: AddressRange, into: Set<Frame>): void {
  const range = imageRange(layout, part);
  walkRange(entries.memory, root, layout.levels, range, {
    leaf(address, level, lo, hi) {
      const leaf = { start: address, pages: entryPages(level) };
      const first = leafFrame(lo, hi, level);
      const from = address > range.start ? address : range.start;
      const shared = pagesBetween(from, endOf(leaf) < endOf(range) ? endOf(leaf) : endOf(range));
      const at = first + pagesBetween(address, from).pages;
      for (let page = 0; page < shared.pages; page++) into.add(at + page);
    },
  });
}

/** Nothing but arithmetic on the image's symbols and the layout: an independent account. */
function closedForm({ view, layout, image }: BootParts): number {
  const holders = view.holders.length;
  if (holders < 2) return 0;
  const copied = view.copies;
  const text = imageRange(layout, { start: image.stext, end: image.etext });
  const ranges = copied.textRanges ?? [text];
  const content =
    (copied.text ? ranges.reduce((sum, { pages }) => sum + pages, 0) : 0) +
    (copied.rodata ? pagesBetween(image.startRodata, image.endRodata).pages : 0);
  const pgd = PGD_PAGES;
  // P4D with 5 levels, PUD, two PMD pages; under KPTI the user half's P4D, PUD and one PMD page.
  const path = (layout.levels === 5 ? 1 : 0) + 1 + 2;
  const userPath = layout.pti && copied.userTables !== false ? (layout.levels === 5 ? 1 : 0) + 1 + 1 : 0;
  // Where only some pages are copied, a leaf with some and others is divided.
  const parts = copied.text && copied.textRanges ? ranges.flatMap((range) => [range.start, endOf(range)]) : [];
  const tables =
    path +
    userPath +
    splitLeaves(
      image,
      parts.map((address) => address - text.start + image.stext),
    );
  // The master keeps its booted tables below a PGD of its own; where the series clones them, the boot table is no root
  // any more (D4).
  const cloned = view.roots.some(({ kind }) => kind === "boot") ? holders - 1 : holders;
  const copies = (view.copyHolders?.length ?? holders) - 1;
  return PAGE_BYTES * (copies * content + holders * pgd + cloned * tables);
}

/**
 * 2 MiB leaves of the image that a border of protection or of what is copied falls into: each costs a PTE page in every
 * root.
 */
function splitLeaves(image: KernelImage, copied: readonly bigint[]): number {
  const idt = image.symbol("idt_table");
  const unused = image.symbol("__start_bss_decrypted_unused");
  const unusedEnd = image.symbol("__end_bss_decrypted");
  const borders = [
    ...copied,
    alignUp(image.etext, PAGE),
    alignUp(image.endRodata, PAGE),
    image.initBegin,
    image.initEnd,
    ...(idt === undefined ? [] : [idt, idt + PAGE]),
    ...(unused === undefined || unusedEnd === undefined || unusedEnd <= unused ? [] : [unused, unusedEnd]),
  ];
  return new Set(borders.filter((border) => border % LARGE !== 0n).map((border) => border / LARGE)).size;
}
