/**
 * Pages of users moved off a node, those of files among them: each is taken from all who map it, copied, and mapped
 * again by all.
 *
 * While a page moves nobody has it: its leaves are not present, and every CPU that may hold one is flushed before the
 * first byte is copied, or a store to the old frame would be lost. Source: Documentation/mm/page_migration.rst.
 */
import { type CpuId, type Frame, LARGE_PAGES, type Machine, NONE, type NodeId } from "@kreplica/hw-x86/api";
import { addressOfLeaf, eachLeaf, pagesOf } from "./leaves.js";
import type { Mapping } from "../tables/kernel-tables-api.js";
import type { Process, Processes } from "./process-api.js";
import type { PageCache } from "./page-cache-api.js";
import type { SwitchMm } from "./switch-api.js";
import type { UserFrames } from "./user-frames-api.js";

/** One that maps a page. */
interface Mapper {
  readonly process: Process;
  readonly address: bigint;
  readonly mapping: Mapping;
}

/** A page, all who map it, perhaps nobody when it is of a file, and where it goes. */
interface Move {
  readonly from: Frame;
  readonly to: Frame;
  readonly mappers: readonly Mapper[];
}

/** Pages of 4 KiB; what only the cache has is small. */
const sizeOf = ([first]: readonly Mapper[]): number => (first ? pagesOf(first.mapping) : 1);

/** Keeps nothing. */
export class PageMigration {
  constructor(
    private readonly machine: Machine,
    private readonly processes: Processes,
    private readonly frames: UserFrames,
    private readonly switcher: SwitchMm,
    private readonly cache: PageCache,
  ) {}

  /** Pages of 4 KiB that processes have on a node, each once however many map it. */
  pagesOn(node: NodeId): number {
    return [...this.mapped(node).values()].reduce((sum, mappers) => sum + sizeOf(mappers), 0);
  }

  /**
   * Moves all pages of a node to the nearest that have room.
   * @param cpu sends the flushes
   * @returns false when one finds no room; nothing is changed then
   */
  away(node: NodeId, cpu: CpuId): boolean {
    const moves: Move[] = [];
    for (const [from, mappers] of this.mapped(node)) {
      const to = this.room(node, sizeOf(mappers));
      if (to === NONE) {
        for (const move of moves) this.frames.drop(move.to);
        return false;
      }
      moves.push({ from, to, mappers });
    }
    for (const move of moves) this.move(move, cpu);
    return true;
  }

  private move({ from, to, mappers }: Move, cpu: CpuId): void {
    const pages = sizeOf(mappers);
    for (const { process, address, mapping } of mappers) {
      process.space.set(address, { ...mapping, present: false }, 0);
      this.switcher.flush(process.space, { start: address, pages }, false, cpu);
    }
    for (let each = 0; each < pages; each++) this.machine.memory.copyFrame(from + each, to + each);
    mappers.forEach(({ process, address, mapping }, index) => {
      if (index > 0) this.frames.share(to);
      process.space.set(address, { ...mapping, frame: to }, 0);
      this.frames.drop(from);
    });
    if (!this.cache.replace(from, to)) return;
    if (mappers.length > 0) this.frames.share(to);
    this.frames.drop(from);
  }

  private room(node: NodeId, pages: number): Frame {
    const { machine } = this;
    const others = machine.nodes
      .filter((each) => each !== node)
      .sort((a, b) => machine.distance(node, a) - machine.distance(node, b) || a - b);
    for (const each of others) {
      const frame = this.frames.allocate(each, pages === LARGE_PAGES ? 9 : 0, true);
      if (frame !== NONE) return frame;
    }
    return NONE;
  }

  /** Who maps each page of a node, by its first frame. */
  private mapped(node: NodeId): ReadonlyMap<Frame, readonly Mapper[]> {
    const found = new Map<Frame, Mapper[]>();
    for (const process of this.processes.alive)
      for (const vma of process.vmas.all())
        eachLeaf(process.space, vma, (leaf) => {
          const { frame, mapping } = leaf;
          if (this.machine.memory.nodeOf(frame) !== node) return;
          const mapper = { process, address: addressOfLeaf(leaf), mapping };
          const mappers = found.get(frame);
          if (mappers) mappers.push(mapper);
          else found.set(frame, [mapper]);
        });
    for (const frame of this.cache.frames())
      if (this.machine.memory.nodeOf(frame) === node && !found.has(frame)) found.set(frame, []);
    return found;
  }
}
