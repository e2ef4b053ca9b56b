/**
 * Paging-structure caches of one core: where a walk may start, by address bits and PCID. Allocates nothing.
 *
 *   pde     bits 56..21 -> table of PTEs                 pdpte   bits 56..30 -> table of PDEs
 *   pml4e   bits 56..39 -> table of PDPTEs
 *
 * Fully associative, true LRU. Each entry carries the denials of all levels above the table it names.
 * Source: Intel SDM vol. 3A, "Caches for Paging Structures".
 */
import { MISS, Tlb } from "./tlb.js";
import type { TranslationSpec } from "./spec.js";

const cache = (entries: number): Tlb | null => (entries === 0 ? null : new Tlb({ entries, ways: entries }));

export class PagingStructureCaches {
  private readonly pde: Tlb | null;
  private readonly pdpte: Tlb | null;
  private readonly pml4e: Tlb | null;
  /** What {@link find} found: the table to go on with and the denials of the way to it. */
  table = 0;
  denials = 0;

  constructor(shape: Pick<TranslationSpec["pagingStructure"], "pde" | "pdpte" | "pml4e">) {
    this.pde = cache(shape.pde);
    this.pdpte = cache(shape.pdpte);
    this.pml4e = cache(shape.pml4e);
  }

  get hostBytes(): number {
    return [this.pde, this.pdpte, this.pml4e].reduce((sum, each) => sum + (each?.entries.byteLength ?? 0), 0);
  }

  /** The lowest cached table on the way to a page. @returns its level, 1 to 3, or 0 when the walk starts at the root */
  find(page: number, tag: number): number {
    if (this.pde !== null && this.take(this.pde, page & ~0x1ff, tag)) return 1;
    if (this.pdpte !== null && this.take(this.pdpte, page & ~0x3_ffff, tag)) return 2;
    if (this.pml4e !== null && this.take(this.pml4e, page & ~0x7ff_ffff, tag)) return 3;
    return 0;
  }

  /** Enters the table of `level` (1 to 3) that a page's walk went through. */
  fill(level: number, page: number, tag: number, table: number, denials: number): void {
    if (level === 1) {
      if (this.pde !== null) this.pde.fill(0, page & ~0x1ff, tag, table, denials);
    } else if (level === 2) {
      if (this.pdpte !== null) this.pdpte.fill(0, page & ~0x3_ffff, tag, table, denials);
    } else if (level === 3) {
      if (this.pml4e !== null) this.pml4e.fill(0, page & ~0x7ff_ffff, tag, table, denials);
    }
  }

  /** Forgets what would be used for one page in a context. */
  drop(page: number, tag: number): void {
    this.pde?.drop(0, page & ~0x1ff, -1, tag);
    this.pdpte?.drop(0, page & ~0x3_ffff, -1, tag);
    this.pml4e?.drop(0, page & ~0x7ff_ffff, -1, tag);
  }

  /** Forgets every entry whose tag has these bits. */
  flush(mask: number, bits: number): void {
    this.pde?.flush(mask, bits);
    this.pdpte?.flush(mask, bits);
    this.pml4e?.flush(mask, bits);
  }

  private take(from: Tlb, page: number, tag: number): boolean {
    const at = from.lookup(0, page, tag, tag);
    if (at === MISS) return false;
    this.table = from.entries[at + 2]!;
    this.denials = from.entries[at + 3]!;
    return true;
  }
}
