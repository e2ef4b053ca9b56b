/** What a user may see: pages, what may be done with them, what is in them. A map, whatever the kernel's policy. */
import { PAGE, type PageRange } from "@kreplica/hw-x86/api";

export interface ModelPage {
  readable: boolean;
  writable: boolean;
  executable: boolean;
  /** Of an area that grows down by a fault below it. */
  stack: boolean;
  /** {@link WORDS} words of the page, a multiple of 1 KiB apart: one would not show that a copy lost the others. */
  values: number[];
}
export const WORDS = 4;
export const WORD_BYTES = 1024;
/** Pages below a stack within which a fault makes it grow. */
const STACK_GAP = 64n;

function* numbersOf({ start, pages }: PageRange): Generator<bigint> {
  const first = start / PAGE;
  for (let page = first; page < first + BigInt(pages); page++) yield page;
}

/** The pages of one process, by page number. */
export class UserModel {
  readonly pages = new Map<bigint, ModelPage>();
  brkPages = 0;
  /** Of the LDT, by entry; all others are 0. */
  readonly descriptors = new Map<number, bigint>();

  /** A new program begins without. */
  clear(): void {
    this.pages.clear();
    this.brkPages = 0;
    this.descriptors.clear();
  }

  copy(): UserModel {
    const copy = new UserModel();
    for (const [page, each] of this.pages) copy.pages.set(page, { ...each, values: [...each.values] });
    copy.brkPages = this.brkPages;
    for (const [entry, descriptor] of this.descriptors) copy.descriptors.set(entry, descriptor);
    return copy;
  }

  isFree(range: PageRange): boolean {
    for (const page of numbersOf(range)) if (this.pages.has(page)) return false;
    return true;
  }

  isCovered(range: PageRange): boolean {
    for (const page of numbersOf(range)) if (!this.pages.has(page)) return false;
    return true;
  }

  map(range: PageRange, writable: boolean, stack = false): void {
    for (const page of numbersOf(range))
      this.pages.set(page, {
        readable: true,
        writable,
        executable: false,
        stack,
        values: Array<number>(WORDS).fill(0),
      });
  }

  unmap(range: PageRange): void {
    for (const page of numbersOf(range)) this.pages.delete(page);
  }

  protect(range: PageRange, writable: boolean, executable: boolean): void {
    for (const page of numbersOf(range)) Object.assign(this.pages.get(page)!, { writable, executable });
  }

  /** @param to first address of as many pages that are free */
  move(range: PageRange, to: bigint): void {
    const distance = (to - range.start) / PAGE;
    for (const page of numbersOf(range)) {
      this.pages.set(page + distance, this.pages.get(page)!);
      this.pages.delete(page);
    }
  }

  /** A fault at a page that is not there: a stack that begins not far above grows down to it. */
  grow(page: bigint): void {
    if (this.pages.has(page)) return;
    for (let above = page + 1n; above <= page + STACK_GAP; above++) {
      const found = this.pages.get(above);
      if (!found) continue;
      if (!found.stack) return;
      for (let each = page; each < above; each++)
        this.pages.set(each, { ...found, values: Array<number>(WORDS).fill(0) });
      return;
    }
  }

  allows(page: bigint, kind: "read" | "write" | "execute"): boolean {
    const found = this.pages.get(page);
    return found !== undefined && (kind === "write" ? found.writable : kind === "execute" ? found.executable : true);
  }
}
