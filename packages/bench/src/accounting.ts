/**
 * What replication costs in memory: counted by walking every kernel root, and worked out from sizes alone; the two must agree.
 *
 * Invariant I3: extra = (holders - 1) * (text + rodata) + holders * their own table pages.
 */
import { type Frame, frameOf, isLeaf, isPresent, leafFrame, type NodeId, tableIndex } from "@kreplica/hw-x86";
import { bootRoot, imageAddress, imageFrame, type KernelImage, pagesOf, tableAt } from "@kreplica/mm-core";
import type { BootParts } from "./boot-parts.js";

const PAGE = 4096;
const LARGE = 0x20_0000n;

export interface NodeMemory { readonly node: NodeId; readonly textBytes: number; readonly rodataBytes: number; readonly tableBytes: number }
export interface MemoryAccount {
  /** Every node of the machine. Text, rodata: bytes some root maps there. Tables: pages some kernel root reaches there. */
  readonly perNode: readonly NodeMemory[];
  /** Bytes a kernel with one copy would not have. Counted. */
  readonly extraBytes: number;
  /** The same from the sizes of text, rodata and tables and the number of holders. Computed, without looking at a table. */
  readonly closedForm: number;
}

export function measureMemory(parts: BootParts): MemoryAccount {
  const { machine, image, layout, view, entries } = parts;
  const frames = { text: new Set<Frame>(), rodata: new Set<Frame>() };
  const own = new Set<Frame>();
  // What one copy would have too, whether or not the policy keeps the boot table in step (defect D4).
  const boot = reachable(parts, bootRoot(layout, image));
  for (const { root } of view.roots) {
    for (const table of reachable(parts, root)) own.add(table);
    collect(parts, root, image.stext, image.etext, frames.text);
    collect(parts, root, image.startRodata, image.endRodata, frames.rodata);
  }
  const on = (set: ReadonlySet<Frame>, node: NodeId): number => [...set].filter((frame) => entries.memory.nodeOf(frame) === node).length * PAGE;
  const tables = new Set([...boot, ...own]);
  const first = imageFrame(layout, image.stext, image.stext);
  const end = first + pagesOf(image.stext, image.end);
  const copies = [...frames.text, ...frames.rodata].filter((frame) => frame < first || frame >= end).length;
  return {
    perNode: machine.nodes.map((node) => ({ node, textBytes: on(frames.text, node), rodataBytes: on(frames.rodata, node), tableBytes: on(tables, node) })),
    extraBytes: (copies + [...own].filter((table) => !boot.has(table)).length) * PAGE,
    closedForm: closedForm(parts),
  };
}

/** Tables below both halves of a root, the root with its user half included. */
function reachable({ entries, layout }: BootParts, root: Frame): Set<Frame> {
  const seen = new Set<Frame>();
  const visit = (table: Frame, level: number, from: number): void => {
    if (seen.has(table)) return;
    seen.add(table);
    if (level === 1) return;
    for (let index = from; index < 512; index++) {
      const lo = entries.low(table, index);
      if (isPresent(lo) && !isLeaf(lo, level)) visit(frameOf(lo, entries.high(table, index)), level - 1, 0);
    }
  };
  visit(root, layout.levels, layout.kernelBoundary);
  if (layout.pti) visit(root + 1, layout.levels, layout.kernelBoundary);
  return seen;
}

/** Frames a root maps in a part of the image. */
function collect({ entries, layout }: BootParts, root: Frame, start: bigint, end: bigint, into: Set<Frame>): void {
  const pages = pagesOf(start, end);
  for (let page = 0; page < pages;) {
    const address = imageAddress(layout, start) + BigInt(page) * 4096n;
    const pmd = tableAt(entries.memory, root, layout.levels, address, 2);
    if (pmd === undefined) { page++; continue; }
    const index = tableIndex(address, 2);
    const lo = entries.low(pmd, index);
    if (isLeaf(lo, 2)) {
      const frame = leafFrame(lo, entries.high(pmd, index), 2);
      const within = Number((address >> 12n) & 511n);
      for (let each = within; each < 512 && page < pages; each++, page++) into.add(frame + each);
    } else {
      const pte = frameOf(lo, entries.high(pmd, index));
      const small = tableIndex(address, 1);
      if (isPresent(entries.low(pte, small))) into.add(frameOf(entries.low(pte, small), entries.high(pte, small)));
      page++;
    }
  }
}

/** Nothing but arithmetic on the image's symbols and the layout: an independent account. */
function closedForm({ view, layout, image }: BootParts): number {
  const holders = view.holders.length;
  if (holders < 2) return 0;
  const copied = view.copies;
  const content = (copied.text ? pagesOf(image.stext, image.etext) : 0) + (copied.rodata ? pagesOf(image.startRodata, image.endRodata) : 0);
  const pgd = layout.pti ? 2 : 1;
  // P4D with 5 levels, PUD, two PMD pages; under KPTI the user half's P4D, PUD and one PMD page.
  const path = (layout.levels === 5 ? 1 : 0) + 1 + 2;
  const userPath = layout.pti && copied.userTables !== false ? (layout.levels === 5 ? 1 : 0) + 1 + 1 : 0;
  const tables = path + userPath + splitLeaves(image);
  // The master keeps its booted tables below a PGD of its own; where the series clones them, the boot table is no root any more (D4).
  const cloned = view.roots.some(({ kind }) => kind === "boot") ? holders - 1 : holders;
  return PAGE * ((holders - 1) * content + holders * pgd + cloned * tables);
}

/** 2 MiB leaves of the image a protection border falls into: each costs a PTE page in every root. */
function splitLeaves(image: KernelImage): number {
  const up = (address: bigint): bigint => (address + 4095n) & ~4095n;
  const idt = image.symbol("idt_table");
  const unused = image.symbol("__start_bss_decrypted_unused");
  const unusedEnd = image.symbol("__end_bss_decrypted");
  const borders = [
    up(image.etext), up(image.endRodata), image.initBegin, image.initEnd,
    ...(idt === undefined ? [] : [idt, idt + 4096n]),
    ...(unused === undefined || unusedEnd === undefined || unusedEnd <= unused ? [] : [unused, unusedEnd]),
  ];
  return new Set(borders.filter((border) => border % LARGE !== 0n).map((border) => border / LARGE)).size;
}
