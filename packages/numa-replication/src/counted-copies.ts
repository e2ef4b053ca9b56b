/**
 * Copies of text that come when a node has waited for the master's longer than a copy costs, and go when they save too
 * little or their memory is wanted.
 *
 * A copy is written while nobody can reach it; then the node's leaves name it, in one change that flushes every CPU
 * when it returns. It goes the other way round: leaves first, and its frames are given back when no CPU can hold a
 * translation to them any more. Live text changes under the INT3 protocol meanwhile: whoever writes text asks the
 * tables at each step which copies there are, so that copies only may not come or go within a step.
 */
import { inject, injectable } from "@kreplica/di";
import { type Frame, LARGE_PAGES, Machine, type NodeId, NONE, type PageRange } from "@kreplica/hw-x86/api";
import {
  BuildContext,
  copyImageToUser,
  directAddress,
  imageFrame,
  imageRange,
  invariant,
  KernelBoot,
  KernelOptions,
  KernelTables,
  type TableEditor,
  TextUsers,
  userImageRange,
  ReplicaView,
} from "@kreplica/mm-core/api";
import { CopiesNow, type DemandCopies, type DemandOutcome } from "./demand-api.js";
import { ReplicationPolicy } from "./policy.js";

/** Frames taken together. */
interface Block {
  readonly first: Frame;
  readonly order: number;
}

/** 2 MiB: what one leaf maps. */
const LARGE_ORDER = Math.log2(LARGE_PAGES);

/** Counts, and gives and takes copies by it. */
@injectable()
export class CountedCopies implements DemandCopies {
  private readonly blocks = new Map<NodeId, readonly Block[]>();
  private readonly waiting = new Map<NodeId, number>();
  private readonly text: PageRange;
  private readonly original: Frame;

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(BuildContext) private readonly context: BuildContext,
    @inject(KernelOptions) private readonly options: KernelOptions,
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(ReplicationPolicy) private readonly policy: ReplicationPolicy,
    @inject(CopiesNow) private readonly now: CopiesNow,
    @inject(KernelBoot) private readonly boot: KernelBoot,
    @inject(TextUsers) private readonly users: TextUsers,
  ) {
    const { layout, image } = context;
    this.text = imageRange(layout, { start: image.stext, end: image.etext });
    this.original = imageFrame(layout, image.stext, image.stext);
  }

  get keep(): number {
    return this.policy.onDemand?.keep ?? 0;
  }

  counted(node: NodeId, cycles: number): DemandOutcome | undefined {
    const holder = this.view.nearest(node);
    if (!this.copiesTo(holder)) return undefined;
    if (this.blocks.has(holder)) return cycles < this.keep && this.giveBack(holder) ? "given back" : "kept";
    const waited = this.waited(holder) + cycles;
    this.waiting.set(holder, waited);
    if (waited < this.price(holder)) return "waits";
    return this.give(holder) ? "copied" : "refused";
  }

  /** Not to the master, nor to a node that another's tables serve, nor before the kernel runs. */
  private copiesTo(node: NodeId): boolean {
    return node !== this.view.master && this.view.nearest(node) === node && this.boot.reached === "running";
  }

  waited(node: NodeId): number {
    return this.waiting.get(node) ?? 0;
  }

  price(node: NodeId): number {
    return this.policy.onDemand?.price(this.machine, node, this.view.master, this.text.pages) ?? Infinity;
  }

  giveBack(node: NodeId): boolean {
    const blocks = this.blocks.get(node);
    if (!blocks || this.users.writing) return false;
    if (!this.lead(node, blocks, (page) => this.original + page, true)) return false;
    this.blocks.delete(node);
    this.now.nodes = this.now.nodes.filter((each) => each !== node);
    this.release(blocks);
    return true;
  }

  give(node: NodeId, copied?: (from: Frame, to: Frame) => void): boolean {
    if (!this.copiesTo(node) || this.blocks.has(node) || this.users.writing) return false;
    const blocks = this.take(node);
    if (!blocks) return false;
    const frames = blocks.flatMap(({ first, order }) => Array.from({ length: 1 << order }, (_, nth) => first + nth));
    frames.forEach((frame, page) => {
      this.context.entries.memory.copyFrame(this.original + page, frame);
      copied?.(this.original + page, frame);
    });
    if (!this.lead(node, blocks, (page) => frames[page]!, false)) {
      this.release(blocks);
      return false;
    }
    this.blocks.set(node, blocks);
    this.now.nodes = [...this.now.nodes, node].sort((a, b) => a - b);
    this.waiting.delete(node);
    return true;
  }

  /** As many 2 MiB as fit, on the node itself, and smaller runs for the rest. */
  private take(node: NodeId): Block[] | undefined {
    const blocks: Block[] = [];
    for (let left = this.text.pages; left > 0;) {
      const order = Math.min(LARGE_ORDER, Math.floor(Math.log2(left)));
      const first = this.context.allocator.allocate(node, order, { purpose: "text", thisNode: true });
      if (first === NONE) {
        this.release(blocks);
        return undefined;
      }
      blocks.push({ first, order });
      left -= 1 << order;
    }
    return blocks;
  }

  private release(blocks: readonly Block[]): void {
    for (const { first, order } of blocks) this.context.allocator.free(first, order);
  }

  /**
   * Makes a node's leaves of text name other frames, and the direct map's view of a copy writable or not; flushed when
   * it returns.
   * @returns false where a table page was refused; nothing is changed then
   */
  private lead(node: NodeId, blocks: readonly Block[], frames: (page: number) => Frame, writable: boolean): boolean {
    const { entries, layout } = this.context;
    const change = (editor: TableEditor): boolean =>
      blocks.every(({ first, order }) =>
        editor.protect({ start: directAddress(layout, first), pages: 1 << order }, { writable }),
      ) && editor.repoint(this.text, (page, each) => (each === node ? frames(page) : undefined));
    return this.tables.edit((editor) => {
      // What tables that all share say of a copy's memory is the copy's.
      const done = entries.forCopy(() => editor.together(() => change(editor)));
      if (done && layout.pti) this.userHalf(node);
      return done;
    });
  }

  /** The user half of the node's pair leads where its kernel half does. */
  private userHalf(node: NodeId): void {
    const { layout, image } = this.context;
    const root = this.view.kernelRoot(node);
    copyImageToUser(this.context, root, root + 1, userImageRange(layout, image, this.options.pcid), () => {
      invariant(false, "the user half lacks a table for text that it has mapped since the boot");
      return NONE;
    });
  }
}
