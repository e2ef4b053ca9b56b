/**
 * References of one CPU, many at a time: its core's state moves to a memory of its own, and a binary written for its
 * shape runs the references there. Counts what one call for each of them counts, to the bit.
 */
import { Tlb } from "../tlb.js";
import type { Core } from "../core.js";
import { type CounterLayout, Kind, KINDS, Place, REGIONS } from "../counters.js";
import type { ReferenceBatch } from "../machine-api.js";
import type { SparseMemory } from "../phys-memory.js";
import { type Compiled, compiled, type Exports, hasWasm, instance, memory, type WasmMemory } from "../wasm/host.js";
import { accessBinary, pagesOf } from "./access-binary.js";
import { Control } from "./control.js";
import { batchedParts, type Outer, outerOf, type Parts } from "./parts.js";
import { CAPACITY, type Places, TABLES } from "./places.js";
import { moveTo, placesOf } from "./placing.js";

/** What a batch has of its thread, which alone knows its registers. */
export interface BatchedThread {
  /** Its number within the core, in its place of a TLB tag. */
  readonly thread: number;
  readonly counters: Float64Array;
  readonly layout: Pick<CounterLayout, "sources" | "place" | "writeBacksAt">;
  /** Tells a batch what the registers say, and where the thread is. */
  enterBatch(control: Int32Array): void;
  /** Goes on from where the batch got to. */
  leaveBatch(control: Int32Array): void;
  /** The memory whose tables its own walker reads; undefined where either is another's, and TypeScript walks. */
  readonly walkedInBatch: SparseMemory | undefined;
  /** An address that the batch does not know. @returns 0, then Control.Frame is set, or what the access ends in */
  translateForBatch(control: Int32Array, lo: number, hi: number, access: number): number;
}

/** Cores of one shape share what their binary was compiled to; a sweep over shapes would else keep thousands. */
const binaries = new Map<string, Compiled>();
const MOST_BINARIES = 16;

function binaryOf(places: Places): Compiled {
  const key = JSON.stringify(places);
  let known = binaries.get(key);
  if (known === undefined) {
    const [oldest] = binaries.keys();
    if (oldest !== undefined && binaries.size === MOST_BINARIES) binaries.delete(oldest);
    binaries.set(key, (known = compiled(accessBinary(places))));
  }
  return known;
}

/** A core whose state lies in a memory. */
class BatchedCore {
  readonly input: Int32Array;
  private readonly control: Int32Array;
  private readonly counts: Int32Array;
  private readonly secondCounts: Int32Array;
  /** By node; empty where the binary counts none. */
  private readonly writeBacks: Int32Array;
  private readonly exports: Exports;
  /** Where its walks keep the places of tables, and what they count on: {@link SparseMemory.moves} as it was. */
  private readonly tables: Int32Array;
  private moves = -1;
  private readonly tlbs: readonly Tlb[];
  /** The thread whose batch is running. */
  private thread!: BatchedThread;

  constructor(
    private readonly core: Core,
    parts: Parts,
    private readonly sources: number,
    places: Places,
    room: WasmMemory,
    private readonly memory: SparseMemory | undefined,
    private readonly outer: Outer | undefined,
  ) {
    const { buffer } = room;
    this.control = new Int32Array(buffer, places.control, Control.Words);
    this.counts = new Int32Array(buffer, places.counts, REGIONS * KINDS * sources);
    this.secondCounts = new Int32Array(buffer, places.secondCounts, REGIONS * 4);
    this.input = new Int32Array(buffer, places.input, CAPACITY * 2);
    this.exports = instance(binaryOf(places), room, this.imports());
    moveTo(core, parts, outer, places, buffer);
    this.writeBacks = new Int32Array(buffer, places.outer?.writeBacks ?? 0, places.outer?.nodes ?? 0);
    this.tables = new Int32Array(buffer, places.walk?.tables ?? 0, memory === undefined ? 0 : TABLES * 2);
    memory?.moveTo(buffer, places.end);
    this.tlbs = Object.values(parts).filter((part) => part instanceof Tlb);
  }

  /** What the last reference that was run ended in. */
  get fault(): number {
    return this.control[Control.Fault]!;
  }

  run(thread: BatchedThread, from: number, to: number): number {
    const { control } = this;
    this.thread = thread;
    thread.enterBatch(control);
    // What the binary enters TypeScript has to look for.
    for (const tlb of this.tlbs) tlb.used = 1;
    this.hear();
    const at = this.exports["run"]!(from, to);
    thread.leaveBatch(control);
    this.count(thread);
    return at;
  }

  /** Adds what the batch counted to the thread's counters. */
  private count({ counters, layout }: BatchedThread): void {
    const { secondCounts, control, sources } = this;
    const counted = control[Control.Counted]!;
    for (let left = control[Control.Touched]! | counted; left !== 0; left &= left - 1) {
      const region = 31 - Math.clz32(left & -left);
      const row = region * KINDS * sources;
      if (((counted >>> region) & 1) === 0) {
        // Hits of fetches, loads and stores alone: what most have nothing but.
        this.add(counters, row);
        this.add(counters, row + Kind.Load * sources);
        this.add(counters, row + Kind.Store * sources);
        continue;
      }
      for (let at = row; at < row + KINDS * sources; at++) this.add(counters, at);
      for (let nth = 0; nth < 4; nth++) {
        const at = 4 * region + nth;
        if (secondCounts[at] === 0) continue;
        const to = layout.place(region, Place.FetchSecondTlb + nth);
        counters[to] = counters[to]! + secondCounts[at]!;
        secondCounts[at] = 0;
      }
    }
    const { writeBacks } = this;
    for (let node = 0; node < writeBacks.length; node++) {
      const at = layout.writeBacksAt + node;
      counters[at] = counters[at]! + writeBacks[node]!;
      writeBacks[node] = 0;
    }
    control[Control.Counted] = 0;
    control[Control.Touched] = 0;
    const { tlbs } = this.core;
    tlbs.fills = (tlbs.fills + control[Control.Fills]!) | 0;
    control[Control.Fills] = 0;
  }

  private add(counters: Float64Array, at: number): void {
    const { counts } = this;
    const more = counts[at]!;
    if (more === 0) return;
    counters[at] = counters[at]! + more;
    counts[at] = 0;
  }

  /** What TypeScript may have changed. */
  private hear(): void {
    const { control, core, outer } = this;
    control[Control.Counting] = core.counting;
    if (outer !== undefined)
      control[Control.Alone] = outer.l3.isIn(this.input.buffer as ArrayBuffer) ? outer.domain.alone : 0;
    control[Control.AnyLarge] = core.tlbs.anyLarge;
    if (this.memory !== undefined && this.memory.moves !== this.moves) {
      this.moves = this.memory.moves;
      this.tables.fill(-1);
    }
  }

  /** Whatever was done may have taken the line fetched last from L1I, or its page from the TLB. */
  private heard(): void {
    this.hear();
    if (this.core.fetchThread !== this.thread.thread) this.control[Control.Kept] = 0;
  }

  /** What the binary asks for. Each first says that what was fetched last is still there, to hear of it if it goes. */
  private imports() {
    const { core } = this;
    return {
      translate: (lo: number, hi: number, access: number): number => {
        const { thread } = this;
        core.fetchThread = thread.thread;
        const fault = thread.translateForBatch(this.control, lo, hi, access);
        this.heard();
        return fault;
      },
      outside: (
        frame: number,
        line: number,
        set: number,
        way: number,
        victim: number,
        modified: number,
        write: number,
      ): number => {
        const { thread } = this;
        core.fetchThread = thread.thread;
        const source = core.outside(frame, line, set, way, victim, modified, write, thread.counters);
        this.heard();
        return source;
      },
      evicted: (frame: number, line: number, modified: number): void => {
        const { thread } = this;
        core.fetchThread = thread.thread;
        this.outer!.domain.evicted(core, frame, line, modified, thread.counters);
        this.heard();
      },
      second: (frame: number, line: number, write: number): number => {
        const { thread } = this;
        core.fetchThread = thread.thread;
        const source = core.second(frame, line, write, thread.counters);
        this.heard();
        return source;
      },
      fromL2: (frame: number, line: number): void => {
        const { thread } = this;
        core.fetchThread = thread.thread;
        core.fromL1(frame, line, thread.counters);
        this.heard();
      },
      table: (frame: number): number => {
        const { memory } = this;
        if (memory === undefined || memory.buffer !== this.tables.buffer) return 0;
        return memory.words.byteOffset + memory.firstWord(frame >>> 0) * 4;
      },
      firstStore: (frame: number, line: number, set: number, way: number): number => {
        core.fetchThread = this.thread.thread;
        const source = core.firstStore(frame, line, set, way);
        this.heard();
        return source;
      },
    };
  }
}

const cores = new WeakMap<Core, BatchedCore>();

/**
 * A thread's batches; its core's state moves to a memory with the first.
 * @returns undefined where the host or a part of the core cannot
 */
export function batchOf(core: Core, thread: BatchedThread): ReferenceBatch | undefined {
  if (!hasWasm()) return undefined;
  let batched = cores.get(core);
  if (batched === undefined) {
    const parts = batchedParts(core);
    if (parts === undefined) return undefined;
    const { sources } = thread.layout;
    // Tables lie in the memory of the machine's first core with batches; walks of others are asked.
    const walked = thread.walkedInBatch;
    const tables = walked === undefined || walked.lent ? undefined : walked;
    const outer = outerOf(core, parts);
    const places = placesOf(core, parts, sources, tables !== undefined, outer);
    const room = memory(pagesOf(places, tables?.roomForPages ?? 0));
    if (room === undefined) return undefined;
    cores.set(core, (batched = new BatchedCore(core, parts, sources, places, room, tables, outer)));
  }
  const made = batched;
  return {
    input: made.input,
    capacity: CAPACITY,
    run: (from, to) => made.run(thread, from, to),
    get fault() {
      return made.fault;
    },
  };
}
