/**
 * From another format's references to a recording: what that format does not say is filled by rules that stand here.
 *
 * - All of it runs on virtual CPU 2, between a start and an end marker of a test without a name, so that `compare`
 *   calls
 *   it by its file.
 * - Pages get physical pages in the order of their first touch, from 64 MiB into the second half of a guest with twice
 *   512 MiB: the node of the test's data.
 * - An instruction whose length is not told reaches to the next one, where that begins within 15 bytes; else it has 4.
 * - A reference whose size is not told has one byte; else the largest power of two of it, up to 128, in its first page.
 * - A load or store before the first instruction is made by an instruction of its own at 0x400000.
 */
import { Access, Kind } from "../batch.js";
import { pageOf } from "../page-book.js";
import { MARKER, Phase } from "../tests.js";
import { TraceError } from "../trace-error.js";
import { type ByteSink, TraceWriter } from "../writer.js";

const CPU = 2;
/** A number that no test has. */
const TEST = 0xff;
const FIRST_PAGE = 0x2_4000;
const LAST_PAGE = 0x3_ffff;
const LONGEST_INSTRUCTION = 15;
const USUAL_INSTRUCTION = 4;
const STAND_IN = 0x40_0000;

/** What was written. */
export interface ImportResult {
  readonly instructions: number;
  readonly loads: number;
  readonly stores: number;
  /** Different pages of 4 KiB. */
  readonly pages: number;
}

/** Takes instructions and their references in order. Its memory grows with pages, of which it takes 448 MiB's. */
export class ImportWriter {
  private readonly writer: TraceWriter;
  private readonly pages = new Map<number, number>();
  private readonly told = [new Set<number>(), new Set<number>()] as const;
  // The instruction whose length the next one may tell, and what it loads and stores: kind, lo, hi, size.
  private waiting = false;
  private begun = false;
  private lo = 0;
  private hi = 0;
  private length = 0;
  private readonly references: number[] = [];
  private instructions = 0;
  private loads = 0;
  private stores = 0;

  /** @param file as errors name it */
  constructor(
    private readonly file: string,
    sink: ByteSink,
  ) {
    this.writer = new TraceWriter(sink);
    this.writer.onVcpu(CPU);
    this.writer.mark(((MARKER << 16) | (TEST << 8) | Phase.Start) >>> 0);
  }

  /** @param length in bytes, 0 where the format does not say @param at byte of the input, for errors */
  instruction(lo: number, hi: number, length: number, at: number): void {
    this.settle(lo, hi, at);
    this.waiting = this.begun = true;
    this.lo = lo;
    this.hi = hi;
    this.length = length;
  }

  /** @param size in bytes, 0 where the format does not say */
  reference(store: boolean, lo: number, hi: number, size: number, at: number): void {
    const kind = store ? Kind.Store : Kind.Load;
    if (this.begun) {
      this.references.push(kind, lo, hi, size);
      return;
    }
    this.fetch(STAND_IN, 0, USUAL_INSTRUCTION, at);
    this.one(kind, lo, hi, size, at);
  }

  /** Ends the recording. @throws TraceError empty-window where nothing came */
  finish(at: number): ImportResult {
    this.settle(-1, -1, at);
    if (this.instructions === 0)
      throw new TraceError("empty-window", this.file, at, "it holds no reference", "give a trace with something in it");
    this.writer.mark(((MARKER << 16) | (TEST << 8) | Phase.End) >>> 0);
    this.writer.end();
    return {
      instructions: this.instructions,
      loads: this.loads,
      stores: this.stores,
      pages: this.pages.size,
    };
  }

  /** Writes the instruction that waits. @param lo, hi where the next one begins */
  private settle(lo: number, hi: number, at: number): void {
    if (!this.waiting) return;
    this.waiting = false;
    const gap = hi === this.hi ? lo - this.lo : 0;
    const told = this.length > 0 ? Math.min(this.length, LONGEST_INSTRUCTION) : 0;
    this.fetch(this.lo, this.hi, told || (gap > 0 && gap <= LONGEST_INSTRUCTION ? gap : USUAL_INSTRUCTION), at);
    for (let i = 0; i < this.references.length; i += 4)
      this.one(this.references[i]!, this.references[i + 1]!, this.references[i + 2]!, this.references[i + 3]!, at);
    this.references.length = 0;
  }

  private fetch(lo: number, hi: number, bytes: number, at: number): void {
    const first = pageOf(lo, hi);
    this.textPage(first, at);
    if ((lo & 0xfff) + bytes > 0x1000) this.textPage(first + 1, at);
    this.writer.fetch(lo, hi, 1, bytes);
    this.instructions++;
  }

  private textPage(page: number, at: number): void {
    if (this.told[0].has(page)) return;
    this.told[0].add(page);
    this.writer.fetchPage(page << 12, Math.floor(page / 0x10_0000), this.pageFor(page, at));
  }

  private one(kind: number, lo: number, hi: number, size: number, at: number): void {
    // Of a page the next of which nobody named, no reference reaches beyond the end.
    const room = 0x1000 - (lo & 0xfff);
    const power = size < 1 ? 1 : 2 ** (31 - Math.clz32(Math.min(128, size, room)));
    const page = pageOf(lo, hi);
    const fresh = !this.told[1].has(page);
    if (fresh) this.told[1].add(page);
    this.writer.access(kind, lo, hi, power | (fresh ? Access.NewPage : 0), this.pageFor(page, at));
    if (kind === Kind.Load) this.loads++;
    else this.stores++;
  }

  private pageFor(page: number, at: number): number {
    let physical = this.pages.get(page);
    if (physical === undefined) {
      physical = FIRST_PAGE + this.pages.size;
      if (physical > LAST_PAGE)
        throw new TraceError(
          "too-many-pages",
          this.file,
          at,
          "it touches more than the 448 MiB that the guest's node has for it",
          "cut the trace before this byte",
        );
      this.pages.set(page, physical);
    }
    return physical;
  }
}
