/**
 * Page frames per node: zones of buddy lists, a fallback order by distance, watermarks, and refusal as a value.
 *
 * A node's zones, served highest first: normal (above 4 GiB), dma32 (16 MiB to 4 GiB), dma (below 16 MiB). They decide
 * two things here: low memory is kept back for those who can use nothing else, and addresses come from the top zone
 * first. Source: Documentation/mm/page_allocation.rst and physical_memory.rst; Linux 6.5 mm/page_alloc.c for the
 * default ratios.
 */
import { inject, injectable } from "@kreplica/di";
import { type Frame, Machine, NONE, type NodeId } from "@kreplica/hw-x86/api";
import { BuddyZone, MAX_ORDER } from "./buddy.js";
import { invariant } from "../errors.js";
import { BootMemory } from "./boot-memory-api.js";
import type { FramePurpose, Gfp, PageAllocator } from "./page-allocator-api.js";

const PURPOSES: readonly FramePurpose[] = ["page-table", "text", "rodata", "data", "user", "module", "kernel"];
/** First frame of dma32 and of normal. */
const DMA_END = 4096;
const DMA32_END = 0x10_0000;
/** A zone keeps 1/256 of the frames of higher zones of its node back (sysctl lowmem_reserve_ratio). */
const LOWMEM_RATIO = 256;

interface Zone {
  readonly buddy: BuddyZone;
  readonly first: Frame;
  readonly end: Frame;
  managed: number;
  min: number;
  lowmem: number;
}
interface NodeZones {
  readonly node: NodeId;
  /** Highest first. */ readonly zones: Zone[];
  readonly used: Float64Array;
}

/** Page frames by node: zones of buddy lists, a fallback order by distance, watermarks, and refusal as a value. */
@injectable()
export class NodePageAllocator implements PageAllocator {
  requests = 0;
  private readonly nodes: (NodeZones | undefined)[] = [];
  private readonly fallback: NodeZones[][] = [];
  /** First frame of an allocated block -> purpose * 16 + order. */
  private readonly given = new Map<Frame, number>();
  private refuseAt = 0;
  private refuseRest = false;
  private refuseOn = false;
  private up = false;

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(BootMemory) private readonly early: BootMemory,
  ) {
    for (const node of machine.nodes) {
      const zone = (first: Frame, end: Frame): Zone => ({
        buddy: new BuddyZone(),
        first,
        end,
        managed: 0,
        min: 0,
        lowmem: 0,
      });
      this.nodes[node] = {
        node,
        used: new Float64Array(PURPOSES.length),
        zones: [zone(DMA32_END, Infinity), zone(DMA_END, DMA32_END), zone(0, DMA_END)],
      };
    }
    for (const node of machine.nodes) {
      // Of equally near nodes those behind this one come first, so that load spreads (Linux: find_next_best_node).
      const order = [...machine.nodes].sort(
        (a, b) =>
          Number(a !== node) - Number(b !== node) ||
          machine.distance(node, a) - machine.distance(node, b) ||
          Number(a < node) - Number(b < node) ||
          a - b,
      );
      this.fallback[node] = order.map((each) => this.nodes[each]!);
    }
  }

  start(): void {
    for (const run of this.early.handOver())
      this.spread(run.first, run.frames, run.node, (zone, first, frames) => {
        zone.managed += frames;
        zone.buddy.add(first, frames);
      });
    let managed = 0;
    for (const node of this.nodes) for (const zone of node?.zones ?? []) managed += zone.managed;
    // min_free_kbytes = 4 * sqrt(KiB of memory), shared by size.
    const minFree = managed === 0 ? 0 : Math.min(managed / 64, Math.floor(Math.sqrt(managed * 4 * 16) / 4));
    for (const node of this.nodes) {
      let above = 0;
      for (const zone of node?.zones ?? []) {
        zone.min = Math.floor((minFree * zone.managed) / Math.max(1, managed));
        zone.lowmem = Math.floor(above / LOWMEM_RATIO);
        above += zone.managed;
      }
    }
    this.up = true;
  }

  private spread(
    first: Frame,
    frames: number,
    node: NodeId,
    each: (zone: Zone, first: Frame, frames: number) => void,
  ): void {
    for (const zone of this.nodes[node]!.zones) {
      const from = Math.max(first, zone.first);
      const to = Math.min(first + frames, zone.end);
      if (from < to) each(zone, from, to - from);
    }
  }

  allocate(node: NodeId, order: number, gfp: Gfp): Frame {
    invariant(order >= 0 && order <= MAX_ORDER, () => `order ${order} is not in 0..${MAX_ORDER}`);
    this.requests++;
    if (this.refuseOn) return NONE;
    if (this.refuseAt > 0 && --this.refuseAt === 0) {
      this.refuseOn = this.refuseRest;
      return NONE;
    }
    const frame = this.up
      ? this.fromZones(node, order, gfp)
      : this.early.allocate(node, 1 << order, 1 << order, gfp.purpose, gfp.thisNode ?? false);
    if (frame !== NONE && !this.up) this.given.set(frame, PURPOSES.indexOf(gfp.purpose) * 16 + order);
    if (frame !== NONE && gfp.zero)
      for (let each = frame; each < frame + (1 << order); each++) this.machine.memory.clearFrame(each);
    return frame;
  }

  private fromZones(node: NodeId, order: number, gfp: Gfp): Frame {
    const list = this.fallback[node];
    invariant(list !== undefined, () => `node ${node} does not exist`);
    const last = gfp.thisNode ? 1 : list.length;
    for (let index = 0; index < last; index++) {
      const from = list[index]!;
      for (const zone of from.zones) {
        const keep = (gfp.high ? zone.min / 2 : zone.min) + zone.lowmem;
        if (zone.buddy.freeFrames - (1 << order) < keep) continue;
        const frame = zone.buddy.take(order);
        if (frame === NONE) continue;
        const purpose = PURPOSES.indexOf(gfp.purpose);
        this.given.set(frame, purpose * 16 + order);
        from.used[purpose]! += 1 << order;
        return frame;
      }
    }
    return NONE;
  }

  free(frame: Frame, order: number): void {
    const entry = this.given.get(frame);
    invariant(
      entry !== undefined && entry % 16 === order,
      () => `frame ${frame}, order ${order}, is not an allocation`,
    );
    this.given.delete(frame);
    if (!this.up) {
      this.early.release(frame, 1 << order, PURPOSES[entry >> 4]!);
      return;
    }
    // What memblock gave out stays in its count; the difference makes the sum right.
    const node = this.nodes[this.machine.memory.nodeOf(frame)]!;
    node.used[entry >> 4]! -= 1 << order;
    node.zones.find((zone) => frame >= zone.first)!.buddy.give(frame, order);
  }

  owns(frame: Frame, order: number): boolean {
    const entry = this.given.get(frame);
    return entry !== undefined && entry % 16 === order;
  }

  purposeOf(frame: Frame): FramePurpose | "free" | undefined {
    for (let order = 0; order <= MAX_ORDER; order++) {
      const entry = this.given.get(frame - (frame % (1 << order)));
      if (entry !== undefined && entry % 16 === order) return PURPOSES[entry >> 4];
    }
    const node = this.nodes[this.machine.memory.nodeOf(frame)];
    return node?.zones.find((zone) => frame >= zone.first)?.buddy.contains(frame) ? "free" : undefined;
  }

  split(frame: Frame, order: number): void {
    const entry = this.given.get(frame);
    invariant(
      entry !== undefined && entry % 16 === order,
      () => `frame ${frame}, order ${order}, is not an allocation`,
    );
    for (let each = frame; each < frame + (1 << order); each++) this.given.set(each, entry - order);
  }

  donate(first: Frame, frames: number): void {
    invariant(this.up, "memory was given back before the buddy lists are up");
    this.spread(first, frames, this.machine.memory.nodeOf(first), (zone, from, count) => {
      zone.managed += count;
      zone.buddy.add(from, count);
    });
  }

  withdraw(first: Frame, frames: number): boolean {
    const done: { readonly zone: Zone; readonly first: Frame; readonly frames: number }[] = [];
    let free = true;
    this.spread(first, frames, this.machine.memory.nodeOf(first), (zone, from, count) => {
      free &&= zone.buddy.remove(from, count);
      if (free) done.push({ zone, first: from, frames: count });
    });
    for (const { zone, first: from, frames: count } of done) {
      if (free) zone.managed -= count;
      else zone.buddy.add(from, count);
    }
    return free;
  }

  claim(frame: Frame, purpose: FramePurpose): boolean {
    const node = this.nodes[this.machine.memory.nodeOf(frame)];
    if (!node || !node.zones.find((zone) => frame >= zone.first)!.buddy.claim(frame)) return false;
    const index = PURPOSES.indexOf(purpose);
    this.given.set(frame, index * 16);
    node.used[index]! += 1;
    return true;
  }

  freeFrames(node: NodeId): number {
    if (!this.up) return this.early.freeFrames(node);
    let frames = 0;
    for (const zone of this.nodes[node]!.zones) frames += zone.buddy.freeFrames;
    return frames;
  }

  usedFrames(node: NodeId, purpose: FramePurpose): number {
    return this.nodes[node]!.used[PURPOSES.indexOf(purpose)]! + this.early.usedFrames(node, purpose);
  }

  refuse(nth: number, repeat = false): void {
    this.refuseAt = nth;
    this.refuseRest = repeat;
    this.refuseOn = false;
  }
}
