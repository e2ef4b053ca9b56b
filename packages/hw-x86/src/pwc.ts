/**
 * Paging-structure caches of one core: where a walk may start, by address bits and PCID. Allocates nothing.
 *
 *   pde     bits 56..21 -> table of PTEs                 pdpte   bits 56..30 -> table of PDEs
 *   pml4e   bits 56..39 -> table of PDPTEs
 *
 * Fully associative, true LRU. Each entry carries the denials of all levels above the table it names.
 * Source: Intel SDM vol. 3A, "Caches for Paging Structures".
 */
import { LruTable } from "./lru-table.js";
import type { TranslationSpec } from "./spec.js";

/** Bits of a page number below those that choose an entry of the level. */
export const enum Below {
  Pde = 0x1ff,
  Pdpte = 0x3_ffff,
  Pml4e = 0x7ff_ffff,
}

const cache = (entries: number): LruTable | null => (entries === 0 ? null : new LruTable(entries));

/**
 * Paging-structure caches of one core: where a walk may start, by address bits and PCID.
 * @source Intel SDM vol. 3A, "Caches for Paging Structures"
 */
/** Paging-structure caches of one core: where a walk may start. Fully associative, true LRU; allocates nothing. */
export class PagingStructureCaches {
  private readonly pde: LruTable | null;
  private readonly pdpte: LruTable | null;
  private readonly pml4e: LruTable | null;
  /** What {@link find} found: the table to go on with and the denials of the way to it. */
  table = 0;
  denials = 0;

  constructor(shape: Pick<TranslationSpec["pagingStructure"], "pde" | "pdpte" | "pml4e">) {
    this.pde = cache(shape.pde);
    this.pdpte = cache(shape.pdpte);
    this.pml4e = cache(shape.pml4e);
  }

  /** By level of the table that an entry leads to: 1, 2, 3; null where there is none. */
  get tables(): readonly [LruTable | null, LruTable | null, LruTable | null] {
    return [this.pde, this.pdpte, this.pml4e];
  }

  /** Bytes of host memory. */
  get hostBytes(): number {
    return [this.pde, this.pdpte, this.pml4e].reduce((sum, each) => sum + (each?.hostBytes ?? 0), 0);
  }

  /** The lowest cached table on the way to a page. @returns its level, 1 to 3, or 0 when the walk starts at the root */
  find(page: number, tag: number): number {
    if (this.pde !== null && this.take(this.pde, page & ~Below.Pde, tag)) return 1;
    if (this.pdpte !== null && this.take(this.pdpte, page & ~Below.Pdpte, tag)) return 2;
    if (this.pml4e !== null && this.take(this.pml4e, page & ~Below.Pml4e, tag)) return 3;
    return 0;
  }

  /** Enters the table of `level` (1 to 3) that the walk {@link find} did not spare went through; 4 is not cached. */
  insert(level: number, page: number, tag: number, table: number, denials: number): void {
    if (level === 1) {
      if (this.pde !== null) this.pde.insert(page & ~Below.Pde, tag, table, denials);
    } else if (level === 2) {
      if (this.pdpte !== null) this.pdpte.insert(page & ~Below.Pdpte, tag, table, denials);
    } else if (level === 3) {
      if (this.pml4e !== null) this.pml4e.insert(page & ~Below.Pml4e, tag, table, denials);
    }
  }

  /** Forgets what would be used for one page in a context. */
  drop(page: number, tag: number): void {
    this.pde?.drop(page & ~Below.Pde, tag);
    this.pdpte?.drop(page & ~Below.Pdpte, tag);
    this.pml4e?.drop(page & ~Below.Pml4e, tag);
  }

  /** Forgets what would be used for one page in a context of tables below a level. @param level 1 to 4 */
  dropBelow(level: number, page: number, tag: number): void {
    if (level > 1) this.pde?.drop(page & ~Below.Pde, tag);
    if (level > 2) this.pdpte?.drop(page & ~Below.Pdpte, tag);
    if (level > 3) this.pml4e?.drop(page & ~Below.Pml4e, tag);
  }

  /** Forgets every entry whose tag has these bits. */
  flush(mask: number, bits: number): void {
    this.pde?.flush(mask, bits);
    this.pdpte?.flush(mask, bits);
    this.pml4e?.flush(mask, bits);
  }

  /** Visits every entry: level of the table it leads to, page bits 31..0, tag, table, denials. Off the access path. */
  forEach(visit: (level: number, page: number, tag: number, table: number, denials: number) => void): void {
    this.pde?.forEach(1, visit);
    this.pdpte?.forEach(2, visit);
    this.pml4e?.forEach(3, visit);
  }

  private take(from: LruTable, page: number, tag: number): boolean {
    const slot = from.lookup(page, tag);
    if (slot === 0) return false;
    this.table = from.value[slot]!;
    this.denials = from.extra[slot]!;
    return true;
  }
}
