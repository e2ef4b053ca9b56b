/**
 * What every implementation of PageAllocator must do, as a property over random operations against a book of who has
 * which frame. Run it with any test library: it throws when a promise is broken.
 *
 * Promised: a block is aligned to its size and no frame of it is anybody else's; it is of the node asked for where only
 * that one will do, else of the nearest that has some; it is cleared where that was asked; what is out, for what, and
 * what is free, is told by frame and by node; only what was handed out is taken back, as it was handed out; a block
 * divides into frames that are given back alone; donated frames can be had, and withdrawn while all of them are free; a
 * named free frame can be claimed; the n-th
 * request is refused when that was asked for, and changes nothing; what was handed out before `start` stays out after
 * it.
 *
 * Left to the implementation: which of the free blocks it gives, how much it keeps back, who is served first among
 * equally near nodes, and whether free neighbours come together again.
 */
import * as fc from "fast-check";
import { type Frame, NONE, type NodeId, type PhysMemory } from "@kreplica/hw-x86/api";
import { keepsPromises, promised, type SuiteEffort } from "@kreplica/hw-x86/testing";
import { InvariantError } from "../errors.js";
import type { FramePurpose, PageAllocator } from "../memory/page-allocator-api.js";

/** One allocator to be tested, fresh for every run, not started. */
export interface AllocatorSubject {
  readonly allocator: PageAllocator;
  readonly memory: PhysMemory;
  readonly nodes: readonly NodeId[];
  distance(from: NodeId, to: NodeId): number;
  /** Frames of one node that nobody was given and nobody may have: to be donated. */
  readonly spare: { readonly first: Frame; readonly frames: number };
}

const PURPOSES: readonly FramePurpose[] = ["page-table", "user", "module"];
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("allocate" as const),
      node: fc.nat(7),
      order: fc.constantFrom(0, 0, 1, 3, 9, 10),
      thisNode: fc.boolean(),
      zero: fc.boolean(),
      purpose: fc.constantFrom(...PURPOSES),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("free" as const), which: fc.nat(15) }) },
  fc.record({ op: fc.constant("split" as const), which: fc.nat(15) }),
  fc.record({
    op: fc.constant("wrong" as const),
    which: fc.nat(15),
    how: fc.constantFrom("order" as const, "inside" as const, "never" as const),
  }),
  fc.record({ op: fc.constant("claim" as const), which: fc.nat(15), taken: fc.boolean() }),
  fc.record({ op: fc.constant("refused" as const), nth: fc.integer({ min: 1, max: 3 }), repeat: fc.boolean() }),
);

interface Block {
  readonly first: Frame;
  readonly order: number;
  readonly purpose: FramePurpose;
  readonly node: NodeId;
}

/** @param make a subject that shares nothing with any other @throws BrokenPromise with the shortest list of steps */
export function pageAllocatorContract(make: () => AllocatorSubject, effort: SuiteEffort = {}): void {
  donation(make());
  keepsPromises(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), fc.nat(10), (steps, before) => {
      const book = new Book(make());
      steps.forEach((each, index) => {
        if (index === before) book.start();
        if (each.op === "allocate") book.allocate(book.nodes[each.node % book.nodes.length]!, each.order, each);
        else if (each.op === "free") book.free(each.which);
        else if (each.op === "split") book.split(each.which);
        else if (each.op === "wrong") book.wrong(each.which, each.how);
        else if (each.op === "claim" && index > before) book.claim(each.which, each.taken);
        else if (each.op === "refused") book.refused(each.nth, each.repeat);
      });
      if (steps.length <= before) book.start();
      book.allBack();
    }),
    effort,
  );
}

/** Who has which frame, by what the allocator answered. */
class Book {
  readonly nodes: readonly NodeId[];
  private readonly out: Block[] = [];
  private readonly owner = new Map<Frame, Block>();
  private readonly allocator: PageAllocator;
  private started = false;
  /** Last frame that was given back and is free still: a claim may want it. */
  private freed: Frame = NONE;

  constructor(private readonly subject: AllocatorSubject) {
    this.nodes = subject.nodes;
    this.allocator = subject.allocator;
  }

  start(): void {
    this.allocator.start();
    this.started = true;
    for (const block of this.out) this.told(block);
  }

  allocate(
    node: NodeId,
    order: number,
    { thisNode, zero, purpose }: { thisNode: boolean; zero: boolean; purpose: FramePurpose },
  ): void {
    const { allocator } = this;
    const { memory } = this.subject;
    const before = this.counts();
    const asked = allocator.requests;
    const first = allocator.allocate(node, order, { purpose, thisNode, zero });
    promised(allocator.requests === asked + 1, "requests are counted", `${allocator.requests} after ${asked}`);
    if (first === NONE) {
      this.unchanged(before, "a refusal changes nothing");
      return;
    }
    const size = 2 ** order;
    const block = { first, order, purpose, node: memory.nodeOf(first) };
    promised(first % size === 0, "a block is aligned to its size", `${size} frames at ${first}`);
    promised(
      this.nodes.includes(block.node) && memory.nodeOf(first + size - 1) === block.node,
      "a block lies in one node's memory",
      `${size} frames at ${first}`,
    );
    promised(
      !thisNode || block.node === node,
      "only the node asked for serves where only that one will do",
      `node ${block.node} for node ${node}`,
    );
    for (let frame = first; frame < first + size; frame++) {
      promised(
        !this.owner.has(frame),
        "no frame is anybody else's",
        `frame ${frame} is of a block at ${this.owner.get(frame)?.first}`,
      );
      this.owner.set(frame, block);
      if (zero)
        for (const word of [0, 7, 1023])
          promised(
            memory.read32(frame, word) === 0,
            "a block is cleared where that was asked",
            `word ${word} of frame ${frame}`,
          );
      memory.write32(frame, 7, 0xdead);
    }
    this.out.push(block);
    this.moved(before, block, 1);
    this.told(block);
    if (!this.started || block.node === node) return;
    for (const nearer of this.nodes.filter(
      (each) => this.subject.distance(node, each) < this.subject.distance(node, block.node),
    )) {
      const found = allocator.allocate(nearer, order, { purpose, thisNode: true });
      promised(
        found === NONE,
        "the nearest node that has some serves",
        `node ${block.node} served node ${node}, and node ${nearer} had frame ${found}`,
      );
    }
  }

  free(which: number): void {
    const block = this.out[which % this.out.length];
    if (!block) return;
    const before = this.counts();
    this.allocator.free(block.first, block.order);
    this.forget(block);
    this.moved(before, block, -1);
    promised(
      !this.allocator.owns(block.first, block.order),
      "what is out is told by frame",
      `frame ${block.first} is owned after it was given back`,
    );
    if (this.started)
      promised(
        this.allocator.purposeOf(block.first) === "free",
        "what is out is told by frame",
        `frame ${block.first} was given back and is for ${this.allocator.purposeOf(block.first)}`,
      );
    this.freed = block.first;
  }

  split(which: number): void {
    const block = this.out[which % this.out.length];
    // Division of early blocks is nobody's business: memblock knows runs.
    if (!block || !this.started || block.order > 3) return;
    const before = this.counts();
    this.allocator.split(block.first, block.order);
    this.unchanged(before, "a division moves no frame");
    this.forget(block);
    for (let frame = block.first; frame < block.first + 2 ** block.order; frame++) {
      const single = { ...block, first: frame, order: 0 };
      this.out.push(single);
      this.owner.set(frame, single);
      this.told(single);
    }
  }

  /** Gives back what was not handed out so. */
  wrong(which: number, how: "order" | "inside" | "never"): void {
    const block = this.out[which % this.out.length];
    if (!block || (how === "inside" && block.order === 0)) return;
    const before = this.counts();
    const [frame, order] =
      how === "order"
        ? ([block.first, block.order + 1] as const)
        : how === "inside"
          ? ([block.first + 1, 0] as const)
          : ([this.subject.spare.first, 0] as const);
    promised(
      !this.allocator.owns(frame, order),
      "only what was handed out is taken back",
      `frame ${frame}, order ${order}, is owned`,
    );
    let refused = false;
    try {
      this.allocator.free(frame, order);
    } catch (error) {
      refused = error instanceof InvariantError;
    }
    promised(
      refused,
      "only what was handed out is taken back",
      `frame ${frame}, order ${order}, was taken, or refused with another error than InvariantError`,
    );
    this.unchanged(before, "a refusal changes nothing");
  }

  claim(which: number, taken: boolean): void {
    const frame = taken ? (this.out[which % this.out.length]?.first ?? NONE) : this.freed;
    if (frame === NONE || (!taken && this.owner.has(frame)) || !this.started) return;
    const before = this.counts();
    const got = this.allocator.claim(frame, "user");
    promised(
      got === !taken,
      "a named free frame can be claimed",
      `frame ${frame}, which is ${taken ? "out" : "free"}: ${got}`,
    );
    if (!got) {
      this.unchanged(before, "a refusal changes nothing");
      return;
    }
    const block: Block = { first: frame, order: 0, purpose: "user", node: this.subject.memory.nodeOf(frame) };
    this.out.push(block);
    this.owner.set(frame, block);
    this.moved(before, block, 1);
    this.told(block);
  }

  refused(nth: number, repeat: boolean): void {
    const { allocator } = this;
    allocator.refuse(nth, repeat);
    for (let request = 1; request <= nth + 1; request++) {
      const before = this.counts();
      const frame = allocator.allocate(this.nodes[0]!, 0, { purpose: "user" });
      if (request === nth || (repeat && request > nth)) {
        promised(
          frame === NONE,
          "the n-th request is refused",
          `request ${request} of refuse(${nth}, ${repeat}) was served`,
        );
        this.unchanged(before, "a refusal changes nothing");
      } else if (frame !== NONE) {
        allocator.free(frame, 0);
        this.freed = NONE;
      }
    }
    allocator.refuse(0);
  }

  allBack(): void {
    while (this.out.length > 0) this.free(0);
    for (const node of this.nodes) {
      for (const purpose of PURPOSES)
        promised(
          this.allocator.usedFrames(node, purpose) === 0,
          "what is out is told by node",
          `${this.allocator.usedFrames(node, purpose)} frames of node ${node} are out for ${purpose}, all were given back`,
        );
    }
  }

  private forget(block: Block): void {
    this.out.splice(this.out.indexOf(block), 1);
    for (let frame = block.first; frame < block.first + 2 ** block.order; frame++) this.owner.delete(frame);
  }

  private counts(): readonly (readonly number[])[] {
    return this.nodes.map((node) => [
      this.allocator.freeFrames(node),
      ...PURPOSES.map((purpose) => this.allocator.usedFrames(node, purpose)),
    ]);
  }

  private unchanged(before: readonly (readonly number[])[], promise: string): void {
    promised(
      this.counts().join() === before.join(),
      promise,
      `free and used frames by node were ${before.join(" | ")}, they are ${this.counts().join(" | ")}`,
    );
  }

  /** Frames of a block went out (1) or came back (-1). */
  private moved(before: readonly (readonly number[])[], block: Block, way: 1 | -1): void {
    const size = way * 2 ** block.order;
    const wanted = before.map((row, index) =>
      this.nodes[index] === block.node
        ? row.map((count, column) => count + (column === 0 ? -size : PURPOSES[column - 1] === block.purpose ? size : 0))
        : row,
    );
    promised(
      this.counts().join() === wanted.join(),
      "what is out is told by node",
      `free and used frames by node are ${this.counts().join(" | ")}, they should be ${wanted.join(" | ")}`,
    );
  }

  private told({ first, order, purpose }: Block): void {
    const { allocator } = this;
    promised(
      allocator.owns(first, order),
      "what is out is told by frame",
      `frame ${first}, order ${order}, is not owned`,
    );
    for (const frame of [first, first + 2 ** order - 1])
      promised(
        allocator.purposeOf(frame) === purpose,
        "what is out is told by frame",
        `frame ${frame} is for ${allocator.purposeOf(frame)}, it went out for ${purpose}`,
      );
  }
}

/** Frames that nobody had come to be everybody's. */
function donation({ allocator, memory, spare }: AllocatorSubject): void {
  allocator.start();
  const node = memory.nodeOf(spare.first);
  const had = new Set<Frame>();
  const take = (): void => {
    for (;;) {
      const frame = allocator.allocate(node, 0, { purpose: "user", thisNode: true, high: true });
      if (frame === NONE) return;
      promised(!had.has(frame), "no frame is anybody else's", `frame ${frame} was handed out twice`);
      had.add(frame);
    }
  };
  take();
  const within = (): number =>
    [...had].filter((frame) => frame >= spare.first && frame < spare.first + spare.frames).length;
  promised(within() === 0, "no frame is anybody else's", `${within()} of the frames set aside were handed out`);
  const free = allocator.freeFrames(node);
  allocator.donate(spare.first, spare.frames);
  promised(
    allocator.freeFrames(node) === free + spare.frames,
    "donated frames can be had",
    `${allocator.freeFrames(node)} are free, ${free} were, ${spare.frames} came`,
  );
  const goes = (wanted: boolean): void => {
    const before = allocator.freeFrames(node);
    const done = allocator.withdraw(spare.first, spare.frames);
    const left = wanted ? before - spare.frames : before;
    promised(
      done === wanted && allocator.freeFrames(node) === left,
      "free frames can be withdrawn",
      `${spare.frames} frames, ${wanted ? "all" : "not all"} free: ${done}; ${before} were free, ${allocator.freeFrames(node)} are`,
    );
  };
  goes(true);
  take();
  promised(within() === 0, "no frame is anybody else's", `${within()} of the frames that went were handed out`);
  goes(false);
  allocator.donate(spare.first, spare.frames);
  take();
  promised(within() > 0, "donated frames can be had", "none was handed out when all others were");
  goes(false);
}
