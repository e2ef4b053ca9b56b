/**
 * Page frames by bitmaps, lowest first: what a kernel could have in the place of buddy lists. No zones and no reserve:
 * a node gives what it has, then the next nearest does.
 */
import { type Frame, type Machine, NONE, type NodeId } from "@kreplica/hw-x86/api";
import { type BootMemory, type FramePurpose, type Gfp, invariant, type PageAllocator } from "@kreplica/mm-core/api";
import { FrameBitmap } from "./bitmap.js";

interface Block {
  readonly order: number;
  readonly purpose: FramePurpose;
}

/** A class without decorators: `bindFactory` and `overlay` call its constructor as anybody would. */
export class BitmapAllocator implements PageAllocator {
  requests = 0;
  private readonly bitmaps: readonly FrameBitmap[];
  private readonly out = new Map<Frame, Block>();
  /** Frames that are out, by node and purpose. */
  private readonly used = new Map<string, number>();
  private started = false;
  private refuseAt = 0;
  private refuseRest = false;
  private refuseOn = false;

  constructor(
    private readonly machine: Machine,
    private readonly early: BootMemory,
  ) {
    this.bitmaps = machine.memory.ranges.map(({ first, frames }) => new FrameBitmap(first, frames));
  }

  start(): void {
    for (const { first, frames } of this.early.handOver()) this.bitmapOf(first).set(first, frames, true);
    this.started = true;
  }

  allocate(node: NodeId, order: number, gfp: Gfp): Frame {
    this.requests++;
    if (this.isRefused()) return NONE;
    const frame = this.started
      ? this.lowest(node, order, gfp)
      : this.early.allocate(node, 2 ** order, 2 ** order, gfp.purpose, gfp.thisNode ?? false);
    if (frame === NONE) return NONE;
    this.out.set(frame, { order, purpose: gfp.purpose });
    // What memblock gives out stays in its count, see usedFrames.
    if (this.started) this.count(frame, gfp.purpose, 2 ** order);
    if (gfp.zero) for (let each = frame; each < frame + 2 ** order; each++) this.machine.memory.clearFrame(each);
    return frame;
  }

  free(frame: Frame, order: number): void {
    const { purpose } = this.block(frame, order);
    this.out.delete(frame);
    if (!this.started) {
      this.early.release(frame, 2 ** order, purpose);
      return;
    }
    this.count(frame, purpose, -(2 ** order));
    this.bitmapOf(frame).set(frame, 2 ** order, true);
  }

  owns(frame: Frame, order: number): boolean {
    return this.out.get(frame)?.order === order;
  }

  purposeOf(frame: Frame): FramePurpose | "free" | undefined {
    for (let order = 0; order <= 10; order++) {
      const block = this.out.get(frame - (frame % 2 ** order));
      if (block?.order === order) return block.purpose;
    }
    return this.bitmaps.find((each) => each.has(frame))?.isFree(frame) ? "free" : undefined;
  }

  split(frame: Frame, order: number): void {
    const { purpose } = this.block(frame, order);
    for (let each = frame; each < frame + 2 ** order; each++) this.out.set(each, { order: 0, purpose });
  }

  donate(first: Frame, frames: number): void {
    this.bitmapOf(first).set(first, frames, true);
  }

  withdraw(first: Frame, frames: number): boolean {
    const bitmap = this.bitmapOf(first);
    for (let frame = first; frame < first + frames; frame++) if (!bitmap.isFree(frame)) return false;
    bitmap.set(first, frames, false);
    return true;
  }

  claim(frame: Frame, purpose: FramePurpose): boolean {
    const bitmap = this.bitmaps.find((each) => each.has(frame));
    if (!bitmap?.isFree(frame)) return false;
    bitmap.set(frame, 1, false);
    this.out.set(frame, { order: 0, purpose });
    this.count(frame, purpose, 1);
    return true;
  }

  freeFrames(node: NodeId): number {
    if (!this.started) return this.early.freeFrames(node);
    return this.of(node).reduce((sum, { free }) => sum + free, 0);
  }

  usedFrames(node: NodeId, purpose: FramePurpose): number {
    return (this.used.get(`${node} ${purpose}`) ?? 0) + this.early.usedFrames(node, purpose);
  }

  refuse(nth: number, repeat = false): void {
    this.refuseAt = nth;
    this.refuseRest = repeat;
    this.refuseOn = false;
  }

  private isRefused(): boolean {
    if (this.refuseOn) return true;
    if (this.refuseAt === 0 || --this.refuseAt > 0) return false;
    this.refuseOn = this.refuseRest;
    return true;
  }

  private lowest(node: NodeId, order: number, { thisNode }: Gfp): Frame {
    const { machine } = this;
    const nearest = [...machine.nodes].sort(
      (a, b) => Number(a !== node) - Number(b !== node) || machine.distance(node, a) - machine.distance(node, b),
    );
    for (const each of thisNode ? [node] : nearest)
      for (const bitmap of this.of(each)) {
        const frame = bitmap.take(order);
        if (frame !== NONE) return frame;
      }
    return NONE;
  }

  private of(node: NodeId): FrameBitmap[] {
    return this.bitmaps.filter(({ first }) => this.machine.memory.nodeOf(first) === node);
  }

  private bitmapOf(frame: Frame): FrameBitmap {
    const found = this.bitmaps.find((each) => each.has(frame));
    invariant(found !== undefined, `frame ${frame} is nobody's`);
    return found;
  }

  private block(frame: Frame, order: number): Block {
    const block = this.out.get(frame);
    invariant(block?.order === order, `frame ${frame}, order ${order}, is not an allocation`);
    return block;
  }

  private count(frame: Frame, purpose: FramePurpose, more: number): void {
    const key = `${this.machine.memory.nodeOf(frame)} ${purpose}`;
    this.used.set(key, (this.used.get(key) ?? 0) + more);
  }
}
