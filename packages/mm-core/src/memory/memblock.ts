/**
 * The allocator of early boot: what memory there is, what of it is taken, and runs cut off the top of a node.
 *
 * Source: Documentation/core-api/boot-time-mm.rst. Free runs are kept sorted; there are few, so a linear search is
 * enough.
 */
import { inject, injectable } from "@kreplica/di";
import { type Frame, Machine, NONE, type NodeId } from "@kreplica/hw-x86/api";
import { invariant } from "../errors.js";
import type { BootMemory } from "./boot-memory-api.js";
import type { FramePurpose } from "./page-allocator-api.js";

/** Free frames of one node. */
interface Run {
  node: NodeId;
  first: Frame;
  frames: number;
}

/**
 * The allocator of early boot: runs of frames cut off the top of a node.
 * @source Documentation/core-api/boot-time-mm.rst
 */
@injectable()
export class Memblock implements BootMemory {
  private free: Run[];
  private readonly used = new Map<string, number>();
  active = true;

  constructor(@inject(Machine) private readonly machine: Machine) {
    this.free = machine.memory.ranges.map(({ node, first, frames }) => ({ node, first, frames }));
    // Frame 0 is never given out, so that 0 in a table or a list is visibly nothing.
    this.reserve(0, 1);
  }

  allocate(node: NodeId, frames: number, align: number, purpose: FramePurpose, exact = false): Frame {
    invariant(this.active, "memblock was asked for memory after the buddy lists took over");
    let best = this.place(node, frames, align);
    let owner = node;
    if (best === NONE && !exact) {
      const others = this.machine.nodes
        .filter((other) => other !== node)
        .sort((a, b) => this.machine.distance(node, a) - this.machine.distance(node, b) || a - b);
      for (const other of others) {
        best = this.place(other, frames, align);
        owner = other;
        if (best !== NONE) break;
      }
    }
    if (best !== NONE) {
      this.cut(best, frames);
      this.count(owner, purpose, frames);
    }
    return best;
  }

  /** Highest aligned place in a node's free runs, or NONE. */
  private place(node: NodeId, frames: number, align: number): Frame {
    for (let index = this.free.length - 1; index >= 0; index--) {
      const run = this.free[index]!;
      if (run.node !== node || run.frames < frames) continue;
      const first = Math.floor((run.first + run.frames - frames) / align) * align;
      if (first >= run.first) return first;
    }
    return NONE;
  }

  /** Takes [first, first + frames) out of the free runs, where it is in them. */
  private cut(first: Frame, frames: number): Map<NodeId, number> {
    const taken = new Map<NodeId, number>();
    const end = first + frames;
    this.free = this.free.flatMap((run) => {
      const from = Math.max(run.first, first);
      const to = Math.min(run.first + run.frames, end);
      if (from >= to) return [run];
      taken.set(run.node, (taken.get(run.node) ?? 0) + to - from);
      const parts: Run[] = [];
      if (from > run.first) parts.push({ node: run.node, first: run.first, frames: from - run.first });
      if (to < run.first + run.frames) parts.push({ node: run.node, first: to, frames: run.first + run.frames - to });
      return parts;
    });
    return taken;
  }

  reserve(first: Frame, frames: number, purpose: FramePurpose = "kernel"): void {
    for (const [node, count] of this.cut(first, frames)) this.count(node, purpose, count);
  }

  release(first: Frame, frames: number, purpose: FramePurpose): void {
    invariant(this.active, "memblock was given memory back after the buddy lists took over");
    const node = this.machine.memory.nodeOf(first);
    this.count(node, purpose, -frames);
    const merged: Run[] = [];
    for (const run of [...this.free, { node, first, frames }].sort((a, b) => a.first - b.first)) {
      const last = merged[merged.length - 1];
      invariant(!last || last.first + last.frames <= run.first, `frame ${run.first} was given back twice`);
      if (last && last.node === run.node && last.first + last.frames === run.first) last.frames += run.frames;
      else merged.push({ ...run });
    }
    this.free = merged;
  }

  private count(node: NodeId, purpose: FramePurpose, frames: number): void {
    const key = `${node}/${purpose}`;
    this.used.set(key, (this.used.get(key) ?? 0) + frames);
  }

  freeFrames(node: NodeId): number {
    return this.free.reduce((sum, run) => (run.node === node ? sum + run.frames : sum), 0);
  }

  usedFrames(node: NodeId, purpose: FramePurpose): number {
    return this.used.get(`${node}/${purpose}`) ?? 0;
  }

  handOver(): readonly Run[] {
    invariant(this.active, "memblock was handed over twice");
    this.active = false;
    const free = this.free;
    this.free = [];
    return free;
  }
}
