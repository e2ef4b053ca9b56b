/** A page allocator small enough to be believed: maps and arrays, no buddy lists. For tests only. */
import { type Frame, type NodeId, NONE, type PhysMemory } from "@kreplica/hw-x86/api";
import { InvariantError, type FramePurpose, type Gfp, type PageAllocator } from "@kreplica/mm-core/api";

/** Lowest aligned run first; remembers what was handed out, so that a wrong or second free is caught. */
export class FakeAllocator implements PageAllocator {
  requests = 0;
  /** Called with every frame given back, before it is free. */
  onFree: (frame: Frame) => void = () => {};
  private readonly out = new Map<Frame, { order: number; purpose: FramePurpose }>();
  private readonly taken = new Set<Frame>();
  private readonly hint = new Map<string, Frame>();
  private countdown = 0;
  private repeat = false;

  /** @param held frames that nobody has and nobody is given before they are donated */
  constructor(
    private readonly memory: PhysMemory,
    held: { readonly first: Frame; readonly frames: number } = { first: 0, frames: 0 },
  ) {
    for (let frame = held.first; frame < held.first + held.frames; frame++) this.taken.add(frame);
  }

  allocate(node: NodeId, order: number, gfp: Gfp): Frame {
    this.requests++;
    if (this.countdown > 0 && --this.countdown === 0) {
      if (this.repeat) this.countdown = 1;
      return NONE;
    }
    const nodes = [
      node,
      ...(gfp.thisNode === true
        ? []
        : [...new Set(this.memory.ranges.map((range) => range.node))].filter((other) => other !== node)),
    ];
    for (const each of nodes) {
      for (const range of this.memory.ranges.filter((candidate) => candidate.node === each)) {
        const size = 2 ** order;
        const from = Math.max(Math.ceil(range.first / size) * size, this.hint.get(`${each}/${order}`) ?? 0);
        for (let frame = from; frame + size <= range.first + range.frames; frame += size) {
          let free = true;
          for (let i = 0; i < size && free; i++) free = !this.taken.has(frame + i);
          if (!free) continue;
          for (let i = 0; i < size; i++) {
            this.taken.add(frame + i);
            if (gfp.zero === true) this.memory.clearFrame(frame + i);
          }
          this.out.set(frame, { order, purpose: gfp.purpose });
          this.hint.set(`${each}/${order}`, frame + size);
          return frame;
        }
      }
    }
    return NONE;
  }

  owns(frame: Frame, order: number): boolean {
    return this.out.get(frame)?.order === order;
  }
  purposeOf(frame: Frame): FramePurpose | "free" | undefined {
    for (const [first, { order, purpose }] of this.out)
      if (frame >= first && frame < first + 2 ** order) return purpose;
    return this.memory.ranges.some((range) => frame >= range.first && frame < range.first + range.frames)
      ? "free"
      : undefined;
  }
  free(frame: Frame, order: number): void {
    if (this.out.get(frame)?.order !== order)
      throw new InvariantError(`frame ${frame} of order ${order} was not handed out so`);
    for (let i = 0; i < 2 ** order; i++) {
      this.onFree(frame + i);
      this.taken.delete(frame + i);
    }
    this.out.delete(frame);
    this.hint.clear();
  }

  split(frame: Frame, order: number): void {
    const block = this.out.get(frame);
    if (block?.order !== order) throw new InvariantError(`frame ${frame} of order ${order} was not handed out so`);
    for (let i = 0; i < 2 ** order; i++) this.out.set(frame + i, { order: 0, purpose: block.purpose });
  }

  /** Its lists are up from the start. */
  start(): void {}
  donate(first: Frame, frames: number): void {
    for (let frame = first; frame < first + frames; frame++) this.taken.delete(frame);
    this.hint.clear();
  }
  withdraw(first: Frame, frames: number): boolean {
    const all = Array.from({ length: frames }, (_, each) => first + each);
    if (!all.every((frame) => this.isFree(frame) && this.memory.nodeOf(frame) !== NONE)) return false;
    for (const frame of all) this.taken.add(frame);
    return true;
  }
  claim(frame: Frame, purpose: FramePurpose): boolean {
    if (this.taken.has(frame) || this.memory.nodeOf(frame) === NONE) return false;
    this.taken.add(frame);
    this.out.set(frame, { order: 0, purpose });
    return true;
  }
  freeFrames(node: NodeId): number {
    return (
      this.memory.ranges.filter((range) => range.node === node).reduce((sum, range) => sum + range.frames, 0) -
      [...this.taken].filter((frame) => this.memory.nodeOf(frame) === node).length
    );
  }
  usedFrames(node: NodeId, purpose: FramePurpose): number {
    let used = 0;
    for (const [frame, { order, purpose: its }] of this.out)
      if (its === purpose && this.memory.nodeOf(frame) === node) used += 2 ** order;
    return used;
  }
  /** Frames handed out in all. */
  get used(): number {
    return this.taken.size;
  }
  isFree(frame: Frame): boolean {
    return !this.taken.has(frame);
  }
  refuse(nth: number, repeat = false): void {
    this.countdown = nth;
    this.repeat = repeat;
  }
}
