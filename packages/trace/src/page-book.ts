/** What a recording said so far of the physical pages behind virtual ones: by virtual CPU, text and data apart. */
import { Access, type Batch, Kind } from "./batch.js";

const PAGES_4G = 0x10_0000;

/** Number of the page of an address, 52 bits. */
export const pageOf = (lo: number, hi: number): number => hi * PAGES_4G + (lo >>> 12);

/** Feed it every record in order, and it knows the physical page of each that follows. */
export class PageBook {
  private readonly data = new Map<number, Map<number, number>>();
  private readonly text = new Map<number, Map<number, number>>();

  /** @returns whether the record named a page that was not known, or another */
  add({ kind, lo, hi, a, b }: Batch, row: number, vcpu: number): boolean {
    const what = kind[row]!;
    if (what === Kind.FetchPage) return note(this.text, vcpu, pageOf(lo[row]!, hi[row]!), b[row]!);
    if ((what === Kind.Load || what === Kind.Store) && (a[row]! & (Access.NewPage | Access.Io)) === Access.NewPage)
      return note(this.data, vcpu, pageOf(lo[row]!, hi[row]!), b[row]!);
    return false;
  }

  /** @param page virtual @returns its physical page, undefined where none was named */
  dataPage(vcpu: number, page: number): number | undefined {
    return this.data.get(vcpu)?.get(page);
  }

  /** The same of a page of instructions. */
  textPage(vcpu: number, page: number): number | undefined {
    return this.text.get(vcpu)?.get(page);
  }

  /** Says what is in it to another. */
  note(what: "data" | "text", vcpu: number, page: number, physical: number): void {
    note(this[what], vcpu, page, physical);
  }

  /** Forgets everything. */
  clear(): void {
    this.data.clear();
    this.text.clear();
  }
}

function note(books: Map<number, Map<number, number>>, vcpu: number, page: number, physical: number): boolean {
  let book = books.get(vcpu);
  if (!book) books.set(vcpu, (book = new Map()));
  if (book.get(page) === physical) return false;
  book.set(page, physical);
  return true;
}
