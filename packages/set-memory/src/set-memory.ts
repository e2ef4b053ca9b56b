/** Permission changes on every root's tables: one loop over holders, and that is in KernelTables. */
import { inject, injectable } from "@kreplica/di";
import {
  endOf,
  entryAddress,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  PAGE,
  type PageRange,
  walkTables,
} from "@kreplica/hw-x86/api";
import {
  directAddress,
  frameAt,
  KernelImage,
  KernelLayout,
  KernelTables,
  PageAllocator,
  type Protection,
  ReplicaView,
  SharedMemory,
  TableMemory,
} from "@kreplica/mm-core/api";
import type { JoinResult, PermissionChange, SetMemory } from "./api.js";
import { SetMemoryError } from "./errors.js";
import { joinLeaves } from "./join-leaves.js";

const TOP = 1n << 64n;

/**
 * The series repeats a per-node loop in nine functions and forgets some callers (D5, N2); here every caller gets all
 * roots, the boot table included (D4), because no other way exists.
 *
 * @patch 04/12 arch/x86/mm/pat/set_memory.c change_page_attr_set_clr_pgd
 */
@injectable()
export class TableSetMemory implements SetMemory {
  constructor(
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(TableMemory) private readonly entries: TableMemory,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(KernelImage) private readonly image: KernelImage,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(SharedMemory) private readonly shared: SharedMemory,
  ) {}

  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_x */
  executable(range: PageRange): void {
    this.change(range, { executable: true }, false);
  }
  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_nx */
  nonExecutable(range: PageRange): void {
    this.change(range, { executable: false }, false);
  }
  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_ro */
  readOnly(range: PageRange): void {
    this.change(range, { writable: false }, true);
  }
  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_rw */
  readWrite(range: PageRange): void {
    this.change(range, { writable: true }, true);
  }
  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_rox */
  readOnlyExecutable(range: PageRange): void {
    this.change(range, { writable: false, executable: true }, true);
  }
  readWriteNonExecutable(range: PageRange): void {
    this.change(range, { writable: true, executable: false }, true);
  }
  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_np */
  notPresent(range: PageRange): void {
    this.change(range, { present: false }, true);
  }
  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_np_noalias */
  notPresentHere(range: PageRange): void {
    this.change(range, { present: false }, false);
  }
  present(range: PageRange): void {
    this.change(range, { present: true }, true);
  }
  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_global */
  global(range: PageRange): void {
    this.change(range, { global: true }, false);
  }
  /** @patch 04/12 arch/x86/mm/pat/set_memory.c numa_set_memory_nonglobal */
  nonGlobal(range: PageRange): void {
    this.change(range, { global: false }, false);
  }
  uncached(range: PageRange): void {
    this.change(range, { cache: "uc-" }, true);
  }
  writeCombined(range: PageRange): void {
    this.change(range, { cache: "wc" }, true);
  }
  writeBack(range: PageRange): void {
    this.change(range, { cache: "wb" }, true);
  }

  decrypted(range: PageRange): void {
    if (this.entries.encryption !== 0) this.change(range, { encrypted: false }, true);
  }
  encrypted(range: PageRange): void {
    if (this.entries.encryption !== 0) this.change(range, { encrypted: true }, true);
  }

  change(range: PageRange, change: Partial<Protection>, alias: boolean): void {
    this.changeAll([{ range, change, alias }]);
  }

  changeAll(changes: readonly PermissionChange[]): void {
    for (const { range } of changes) this.check(range);
    // Areas that are unmapped and not flushed yet may be what their frames were: Linux's vm_unmap_aliases.
    if (changes.some(({ change }) => change.encrypted !== undefined) && this.tables.unflushed.length > 0)
      this.tables.flushRanges(this.tables.unflushed);
    const done = this.tables.edit((editor) =>
      editor.together(() =>
        changes.every(({ range, change, alias }) => {
          const high = alias ? this.imageAliases(range, change) : [];
          // NX and global differ between the image and its direct-map view by design.
          return (
            editor.protect(range, change, alias) && high.every((view) => editor.protect(view, withoutLocal(change)))
          );
        }),
      ),
    );
    if (!done) {
      const pages = changes.reduce((sum, { range }) => sum + range.pages, 0);
      throw new SetMemoryError(
        "out-of-frames",
        changes[0]!.range.start,
        `a table page for splitting a leaf of ${pages} pages could not be had; free memory on the holders and try again`,
      );
    }
    for (const { range, change } of changes)
      if (change.encrypted !== undefined) this.shared.note(this.framesOf(range), !change.encrypted);
  }

  /** What a range maps on all roots. */
  private *framesOf(range: PageRange): Generator<Frame> {
    const { memory } = this.entries;
    for (const { root } of this.view.roots)
      for (let page = 0; page < range.pages; page++) {
        const frame = frameAt(memory, root, this.layout.levels, range.start + BigInt(page) * PAGE);
        if (frame !== undefined) yield frame;
      }
  }

  join(range: PageRange): JoinResult {
    this.check(range);
    return joinLeaves(this.tables, this.entries, this.view, this.allocator, this.layout, range);
  }

  /** Every page must be mapped on every root; holes of the direct map, which no memory is behind, are passed over. */
  private check(range: PageRange): void {
    const { start, pages } = range;
    if (start % PAGE !== 0n) throw new SetMemoryError("misaligned", start, "not on a 4 KiB boundary; round it down");
    if (!Number.isInteger(pages) || pages < 1 || endOf(range) > TOP)
      throw new SetMemoryError("empty-range", start, `${pages} pages are none, or end beyond the address space`);
    if (this.inDirectMap(start)) return;
    for (const { root, node, kind } of this.view.roots) {
      walkTables<Frame>(this.layout.levels, range, root, (table, level, index, base) => {
        const lo = this.entries.low(table, index);
        const hi = this.entries.high(table, index);
        if (isPresent(lo)) return isLeaf(lo, level) ? undefined : frameOf(lo, hi);
        // An entry that was made absent still says what it maps.
        if (isLeaf(lo, level) && (lo !== 0 || hi !== 0)) return undefined;
        const address = entryAddress(base, level, index);
        throw new SetMemoryError(
          "not-mapped",
          address > start ? address : start,
          `the ${kind === "boot" ? "boot table" : `table of node ${node}`} maps nothing there; map it first`,
        );
      });
    }
  }

  private inDirectMap(address: bigint): boolean {
    return address >= this.layout.pageOffset && address < this.layout.vmallocStart;
  }

  /**
   * The image's own view of what a range maps. Where encryption changes that is asked for every frame: an area may lie
   * in memory that the image gave back and still maps.
   */
  private imageAliases(range: PageRange, { encrypted }: Partial<Protection>): PageRange[] {
    const parts =
      encrypted === undefined || this.inDirectMap(range.start)
        ? [range]
        : [...new Set(this.framesOf(range))].map((frame) => ({ start: directAddress(this.layout, frame), pages: 1 }));
    return parts.flatMap((part) => this.imageAlias(part) ?? []);
  }

  /**
   * The image's own view of a part of the direct map: Linux changes it along (cpa_process_alias). Copies have no such
   * view of their own but for their holder.
   */
  private imageAlias(range: PageRange): PageRange | undefined {
    const { layout, image } = this;
    if (!this.inDirectMap(range.start)) return undefined;
    const physical = range.start - layout.pageOffset;
    const from = physical > layout.imagePhysical ? physical : layout.imagePhysical;
    const imageEnd = layout.imagePhysical + ((image.end - image.stext + PAGE - 1n) & ~(PAGE - 1n));
    const end = physical + BigInt(range.pages) * PAGE;
    const to = end < imageEnd ? end : imageEnd;
    if (from >= to) return undefined;
    return {
      start: image.stext + layout.imageOffset + (from - layout.imagePhysical),
      pages: Number((to - from) / PAGE),
    };
  }
}

function withoutLocal(change: Partial<Protection>): Partial<Protection> {
  const { executable: _executable, global: _global, ...rest } = change;
  return rest;
}
