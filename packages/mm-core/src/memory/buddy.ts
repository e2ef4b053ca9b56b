/**
 * The free lists of one zone: blocks of 2^0 to 2^10 frames, split on demand and merged with their buddy when freed.
 *
 * Memory nobody touched yet stays in runs of whole top-order blocks, so that a terabyte costs a few numbers.
 * Order of service is part of the model: the last block freed goes out first, untouched memory in ascending order.
 */
import { type Frame, NONE } from "@kreplica/hw-x86/api";
import { invariant } from "../errors.js";

/** Largest order: 4 MiB blocks (MAX_ORDER in Linux 6.5). */
export const MAX_ORDER = 10;
const TOP = 1 << MAX_ORDER;

/** The free lists of one zone: blocks of 2^0 to 2^10 frames, split on demand and merged with their buddy when freed. */
export class BuddyZone {
  /** Free frames, in lists and untouched runs together. */
  freeFrames = 0;
  private readonly lists: Frame[][] = Array.from({ length: MAX_ORDER + 1 }, () => []);
  /** First frame of a listed block -> position in its list * 16 + order. */
  private readonly where = new Map<Frame, number>();
  /** Untouched top-order blocks [next, end), ascending. */
  private readonly runs: { next: Frame; end: Frame }[] = [];

  /** Adds frames that are free and in no list. */
  add(first: Frame, frames: number): void {
    const end = first + frames;
    this.freeFrames += frames;
    let at = first;
    while (at < end) {
      if (at % TOP === 0 && end - at >= TOP) {
        const whole = Math.floor((end - at) / TOP) * TOP;
        this.runs.push({ next: at, end: at + whole });
        at += whole;
        continue;
      }
      let order = 0;
      while (order < MAX_ORDER && at % (2 << order) === 0 && at + (2 << order) <= end) order++;
      this.release(at, order);
      at += 1 << order;
    }
    this.runs.sort((a, b) => a.next - b.next);
  }

  /** First frame of a block, aligned to its size, or NONE. */
  take(order: number): Frame {
    let from = order;
    while (from <= MAX_ORDER && this.lists[from]!.length === 0) from++;
    let block: Frame;
    if (from <= MAX_ORDER) {
      const list = this.lists[from]!;
      block = list[list.length - 1]!;
      this.unlist(block);
    } else {
      const run = this.runs[0];
      if (!run) return NONE;
      from = MAX_ORDER;
      block = run.next;
      run.next += TOP;
      if (run.next >= run.end) this.runs.shift();
    }
    while (from > order) {
      from--;
      this.list(block + (1 << from), from);
    }
    this.freeFrames -= 1 << order;
    return block;
  }

  /** Takes the one frame, wherever it is free. @returns false when it is not */
  claim(frame: Frame): boolean {
    for (let order = 0; order <= MAX_ORDER; order++) {
      const base = frame - (frame % (1 << order));
      const entry = this.where.get(base);
      if (entry === undefined || entry % 16 !== order) continue;
      this.unlist(base);
      this.splitAround(base, order, frame);
      return true;
    }
    const index = this.runs.findIndex((run) => frame >= run.next && frame < run.end);
    if (index < 0) return false;
    const run = this.runs[index]!;
    const base = frame - (frame % TOP);
    const parts = [
      { next: run.next, end: base },
      { next: base + TOP, end: run.end },
    ];
    this.runs.splice(index, 1, ...parts.filter((part) => part.next < part.end));
    this.splitAround(base, MAX_ORDER, frame);
    return true;
  }

  /** Takes frames out for good. @returns false, with nothing changed, when one of them is not free */
  remove(first: Frame, frames: number): boolean {
    const end = first + frames;
    const met = [
      ...[...this.where].map(([block, entry]) => ({ next: block, end: block + (1 << (entry % 16)), listed: true })),
      ...this.runs.map((run) => ({ ...run, listed: false })),
    ].filter((each) => each.next < end && each.end > first);
    const within = met.reduce((sum, each) => sum + Math.min(each.end, end) - Math.max(each.next, first), 0);
    if (within !== frames) return false;
    for (const { next, end: behind, listed } of met) {
      if (listed) this.unlist(next);
      else
        this.runs.splice(
          this.runs.findIndex((run) => run.next === next),
          1,
        );
      this.freeFrames -= behind - next;
    }
    for (const { next, end: behind } of met) {
      if (next < first) this.add(next, first - next);
      if (behind > end) this.add(end, behind - end);
    }
    return true;
  }

  /** Whether a frame is free. */
  contains(frame: Frame): boolean {
    for (let order = 0; order <= MAX_ORDER; order++) {
      const entry = this.where.get(frame - (frame % (1 << order)));
      if (entry !== undefined && entry % 16 === order) return true;
    }
    return this.runs.some((run) => frame >= run.next && frame < run.end);
  }

  private splitAround(base: Frame, order: number, frame: Frame): void {
    while (order > 0) {
      order--;
      const upper = base + (1 << order);
      if (frame >= upper) {
        this.list(base, order);
        base = upper;
      } else this.list(upper, order);
    }
    this.freeFrames--;
  }

  /** Frees a block that {@link take} or {@link claim} gave out. */
  give(block: Frame, order: number): void {
    this.freeFrames += 1 << order;
    this.release(block, order);
  }

  private release(block: Frame, order: number): void {
    while (order < MAX_ORDER) {
      const size = 1 << order;
      const buddy = block % (2 * size) === 0 ? block + size : block - size;
      const entry = this.where.get(buddy);
      if (entry === undefined || entry % 16 !== order) break;
      this.unlist(buddy);
      if (buddy < block) block = buddy;
      order++;
    }
    this.list(block, order);
  }

  private list(block: Frame, order: number): void {
    invariant(!this.where.has(block), () => `frame ${block} is in a free list twice`);
    this.where.set(block, this.lists[order]!.push(block) * 16 - 16 + order);
  }

  private unlist(block: Frame): void {
    const entry = this.where.get(block)!;
    const list = this.lists[entry % 16]!;
    const last = list.pop()!;
    if (last !== block) {
      const position = Math.floor(entry / 16);
      list[position] = last;
      this.where.set(last, position * 16 + (entry % 16));
    }
    this.where.delete(block);
  }
}
