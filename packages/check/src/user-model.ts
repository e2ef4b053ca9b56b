/** What a user may see: pages, what may be done with them, what is in them. A map, whatever the kernel's policy. */
import { PAGE, type PageRange } from "@kreplica/hw-x86/api";
import { PageMap } from "./page-map.js";

/** A file: the words of each of its pages, up to its end. */
export class ModelFile {
  private readonly byIndex: (readonly number[])[] = [];

  /** @param pages up to its end */
  constructor(pages: number) {
    this.resize(pages);
  }

  get pages(): number {
    return this.byIndex.length;
  }
  /** Undefined behind the end. */
  read(index: number): readonly number[] | undefined {
    return this.byIndex[index];
  }
  /** @param index of a page before the end */
  write(index: number, values: readonly number[]): void {
    this.byIndex[index] = values;
  }
  /** Pages that it gets are unwritten. */
  resize(pages: number): void {
    this.byIndex.splice(pages);
    while (this.byIndex.length < pages) this.byIndex.push(UNWRITTEN);
  }
}

/** The page of a file that a page is of. */
export interface ModelBacking {
  readonly file: ModelFile;
  readonly index: number;
  /** Stores reach the file; otherwise the first makes a copy. */
  readonly shared: boolean;
}

/** Never changed: pages that are alike share one, and a child has its parent's. */
export interface ModelPage {
  readonly writable: boolean;
  readonly executable: boolean;
  /** Of an area that grows down by a fault below it. */
  readonly stack: boolean;
  /** What it is of, unless that is private memory from the start. */
  readonly of?: ModelBacking;
  /** Of a page of a file: whether it is a copy by now, with values of its own. */
  readonly copied?: boolean;
  /**
   * {@link WORDS} words of the page, when they are its own, a multiple of 1 KiB apart: one would not show that a copy
   * lost the others.
   */
  readonly values: readonly number[];
}
export const WORDS = 4;
export const WORD_BYTES = 1024;
/** Pages below a stack within which a fault makes it grow. */
const STACK_GAP = 64;
/** The words of a page that nobody wrote. */
const UNWRITTEN: readonly number[] = Array<number>(WORDS).fill(0);

/** Number of the page an address lies in, of the lower half: below 2^45. */
export const pageNumber = (address: bigint): number => Number(address / PAGE);

/** The pages of one process, by page number. */
export class UserModel {
  private byNumber = new PageMap<ModelPage>();
  brkPages = 0;
  /** Whether a file was ever mapped. */
  mapsFiles = false;
  /** Of the LDT, by entry; all others are 0. */
  readonly descriptors = new Map<number, bigint>();

  get pages(): Pick<PageMap<ModelPage>, "get" | "size" | "forEach" | "some"> {
    return this.byNumber;
  }

  /** A new program begins without. */
  clear(): void {
    this.byNumber.clear();
    this.brkPages = 0;
    this.mapsFiles = false;
    this.descriptors.clear();
  }

  copy(): UserModel {
    const copy = new UserModel();
    copy.byNumber = this.byNumber.copy();
    copy.brkPages = this.brkPages;
    copy.mapsFiles = this.mapsFiles;
    for (const [entry, descriptor] of this.descriptors) copy.descriptors.set(entry, descriptor);
    return copy;
  }

  isFree({ start, pages }: PageRange): boolean {
    return !this.byNumber.hasAny(pageNumber(start), pages);
  }

  isCovered({ start, pages }: PageRange): boolean {
    return this.byNumber.hasAll(pageNumber(start), pages);
  }

  map({ start, pages }: PageRange, writable: boolean, stack = false): void {
    this.byNumber.fill(pageNumber(start), pages, { writable, executable: false, stack, values: UNWRITTEN });
  }

  /** @param offset page of the file at the first */
  mapFile({ start, pages }: PageRange, writable: boolean, file: ModelFile, offset: number, shared: boolean): void {
    this.map({ start, pages }, writable);
    const first = pageNumber(start);
    for (let each = 0; each < pages; each++)
      this.byNumber.set(first + each, {
        ...this.byNumber.get(first + each)!,
        of: { file, index: offset + each, shared },
      });
    this.mapsFiles = true;
  }

  /** Whether any page is of a file. */
  maps(file: ModelFile): boolean {
    return this.mapsFiles && this.byNumber.some(({ of }) => of?.file === file);
  }

  /** A file ends earlier: copies of what lay behind go too. */
  truncated(file: ModelFile): void {
    if (!this.mapsFiles) return;
    this.byNumber.forEach((each, page) => {
      if (each.copied && each.of?.file === file && each.of.index >= file.pages)
        this.byNumber.set(page, { ...each, copied: false });
    });
  }

  /** Pages that are made present, as if each was stored to that may be: private pages of files are copied. */
  populate({ start, pages }: PageRange, isCopied: (page: number) => boolean): void {
    const first = pageNumber(start);
    for (let page = first; this.mapsFiles && page < first + pages; page++) {
      const found = this.byNumber.get(page);
      const values = this.read(page);
      if (found?.of && !found.of.shared && !found.copied && found.writable && values && isCopied(page))
        this.byNumber.set(page, { ...found, copied: true, values });
    }
  }

  unmap({ start, pages }: PageRange): void {
    this.byNumber.deleteRange(pageNumber(start), pages);
  }

  protect({ start, pages }: PageRange, writable: boolean, executable: boolean): void {
    const first = pageNumber(start);
    for (let page = first; page < first + pages; page++)
      this.byNumber.set(page, { ...this.byNumber.get(page)!, writable, executable });
  }

  /** @param to first address of as many pages that are free */
  move({ start, pages }: PageRange, to: bigint): void {
    const first = pageNumber(start);
    const distance = pageNumber(to) - first;
    for (let page = first; page < first + pages; page++) {
      this.byNumber.set(page + distance, this.byNumber.get(page)!);
      this.byNumber.delete(page);
    }
  }

  /** A fault at a page that is not there: a stack that begins not far above grows down to it. */
  grow(page: number): void {
    if (this.byNumber.has(page)) return;
    for (let above = page + 1; above <= page + STACK_GAP; above++) {
      const found = this.byNumber.get(above);
      if (!found) continue;
      if (!found.stack) return;
      const fresh = { ...found, values: UNWRITTEN };
      this.byNumber.fill(page, above - page, fresh);
      return;
    }
  }

  /** The words of a page; undefined where none is mapped, or behind the end of its file. */
  read(page: number): readonly number[] | undefined {
    const found = this.byNumber.get(page);
    return found?.of && !found.copied ? found.of.file.read(found.of.index) : found?.values;
  }

  /** A store that {@link outcome} allows. @param word 0 to {@link WORDS} - 1 */
  write(page: number, word: number, value: number): void {
    const found = this.byNumber.get(page)!;
    const values = this.read(page)!.map((old, at) => (at === word ? value : old));
    if (found.of?.shared) found.of.file.write(found.of.index, values);
    else this.byNumber.set(page, { ...found, ...(found.of ? { copied: true } : {}), values });
  }

  /** What an access comes to, while there is memory. */
  outcome(page: number, kind: "read" | "write" | "execute"): "ok" | "segv" | "sigbus" {
    const found = this.byNumber.get(page);
    const allowed =
      found !== undefined && (kind === "write" ? found.writable : kind === "execute" ? found.executable : true);
    return !allowed ? "segv" : this.read(page) ? "ok" : "sigbus";
  }
}
