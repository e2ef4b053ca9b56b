/** An area as vmalloc itself sees it: the public fields, which change, and the blocks its frames came in. */
import { endOf, type Frame, type NodeId, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import type { FramePurpose } from "@kreplica/mm-core/api";
import type { AreaCopy, AreaState, FrameBlock, VmArea } from "./api.js";

export class Area implements VmArea {
  state: AreaState = "unshared";
  resetPermissions = false;
  /** What was asked for, as the bits of {@link AreaBits}. */
  flags = 0;
  readonly copies = new Map<NodeId, readonly Frame[]>();
  /** Blocks of the replicas. */
  readonly copyBlocks: FrameBlock[] = [];
  /** False once freed: a second free is the caller's mistake. */
  alive = true;

  readonly start: bigint;
  readonly pages: number;

  constructor(
    range: PageRange,
    readonly guard: boolean,
    readonly kind: "allocated" | "mapped",
    readonly node: NodeId,
    readonly level: 1 | 2,
    readonly purpose: FramePurpose,
    private base: readonly Frame[],
    private baseBlocks: readonly FrameBlock[],
  ) {
    this.start = range.start;
    this.pages = range.pages;
  }

  get frames(): readonly Frame[] {
    return this.base;
  }
  /** Blocks of the base copy. */
  get blocks(): readonly FrameBlock[] {
    return this.baseBlocks;
  }

  /** First address behind the mapped pages. */
  get end(): bigint {
    return endOf(this);
  }
  /** First address behind the guard page. */
  get limit(): bigint {
    return this.guard ? this.end + PAGE : this.end;
  }

  /** Another base copy; the old frames are the caller's to free. */
  replaceBase(frames: readonly Frame[], blocks: readonly FrameBlock[]): void {
    this.base = frames;
    this.baseBlocks = blocks;
  }

  adopt(copies: readonly AreaCopy[]): void {
    for (const copy of copies) {
      this.copies.set(copy.node, copy.frames);
      this.copyBlocks.push(...copy.blocks);
    }
    this.state = "replicated";
  }

  /** Frames of every copy, base first. */
  *allFrames(): Generator<Frame> {
    yield* this.frames;
    for (const copy of this.copies.values()) yield* copy;
  }
}
