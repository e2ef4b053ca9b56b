/**
 * Areas that are unmapped but not yet flushed. A shootdown interrupts every CPU, so one serves many areas; until it has
 * run, neither the addresses nor the frames may be used again, because a CPU may still hold an entry that leads from
 * one to the other.
 *
 * Linux gives the frames back at once and only the addresses late; here both wait, so that no stale entry ever reaches
 * a reused frame.
 */
import { type Frame, PAGE } from "@kreplica/hw-x86/api";
import type { KernelTables, PageAllocator, ReplicaView } from "@kreplica/mm-core/api";
import type { AddressSpace } from "./address-space.js";
import type { AliasFlush } from "./api.js";
import type { Area } from "./area.js";
import { freeBlocks } from "./blocks.js";
import { type ChangedRun, type DirectMapAliases, runsOf } from "./reset-aliases.js";

interface Pending {
  readonly area: Area;
  readonly runs: readonly ChangedRun[];
  readonly flushed: readonly Frame[];
}

/** The lazy list and the purge that empties it. */
export class FreeList {
  private pending: Pending[] = [];
  private held = 0;

  constructor(
    private readonly tables: KernelTables,
    private readonly allocator: PageAllocator,
    private readonly view: ReplicaView,
    private readonly space: AddressSpace,
    private readonly aliases: DirectMapAliases,
    private readonly aliasFlush: AliasFlush,
  ) {}

  /** Pages, guards included, whose addresses are held back. */
  get pages(): number {
    return this.held;
  }

  /** Takes over an area whose leaves are gone. */
  add(area: Area): void {
    const runs = area.resetPermissions ? this.aliases.changed(this.view.holders[0]!, area.allFrames()) : [];
    this.pending.push({ area, runs, flushed: runs.length > 0 ? [...this.aliasFlush.framesToFlush(area)] : [] });
    this.held += Number((area.limit - area.start) / PAGE);
  }

  /**
   * One shootdown over everything pending, then addresses and frames go back.
   * @patch 10/12 mm/vmalloc.c vm_reset_perms
   */
  purge(): void {
    if (this.pending.length === 0) return;
    const batch = this.pending;
    this.pending = [];
    this.held = 0;
    this.tables.editLazily((editor) => {
      for (const { runs } of batch) this.aliases.forbid(editor, runs);
    });
    // Linux flushes the span from the lowest to the highest address, which with an alias in it is half the kernel,
    // hence everything: exact ranges leave the other translations of every CPU alone where a small area goes.
    this.tables.flushRanges(
      batch.flatMap(({ area, flushed }) => [
        { start: area.start, pages: area.pages },
        ...runsOf(flushed).map(({ first, frames }) => ({ start: this.aliases.addressOf(first), pages: frames })),
      ]),
    );
    for (const entry of batch) {
      const restored =
        entry.runs.length === 0 || this.tables.editLazily((editor) => this.aliases.restore(editor, entry.runs));
      // An alias leaf that other frames share has to be split, which may want memory: the frames stay here until it can
      // be.
      if (!restored) {
        this.pending.push(entry);
        this.held += Number((entry.area.limit - entry.area.start) / PAGE);
        continue;
      }
      if (entry.area.kind === "allocated") {
        freeBlocks(this.allocator, entry.area.blocks);
        freeBlocks(this.allocator, entry.area.copyBlocks);
      }
      this.space.release({ start: entry.area.start, end: entry.area.limit });
    }
  }
}
