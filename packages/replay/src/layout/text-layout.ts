/**
 * One order of a kernel's functions, drawn: as another link of the same source could have put them. Each function is
 * somewhere in the 256 KiB of text it was in, whole, on a multiple of 16 bytes; what is fetched and loaded from it goes
 * with it.
 *
 * 256 KiB are many times what a way of any L1 or L2 holds, so that any two functions may come to share their sets or
 * not; and less than a large page, so that a CPU needs about as many translations for text as before: what a linker
 * does across an image depends on the order of its files, and is not drawn.
 */
import { seededRandom, shuffle } from "@kreplica/mm-core";
import { type Batch, Kind, Access } from "@kreplica/trace";
import { FUNCTION_BYTES, type MovableText } from "./movable-text.js";

/** Functions change places with others in so much text. */
export const NEIGHBOURHOOD = 256 * 1024;

/** Upper half of every address of an image. */
const IMAGE_HIGH = 0xffff_ffff;

/** Where functions are. */
export class TextLayout {
  /** By {@link FUNCTION_BYTES}: bytes by which what is there moves. */
  private readonly moved: Int32Array;

  /**
   * @param together numbers of the pieces that stay behind the one before @param seed any integer
   */
  constructor(
    private readonly text: MovableText,
    together: ReadonlySet<number>,
    seed: number,
  ) {
    this.moved = new Int32Array((text.end - text.start) / FUNCTION_BYTES);
    const random = seededRandom(seed ^ 0x7465_7874);
    const { starts, sections } = text;
    /** First pieces of what moves as one, and the end. */
    let groups: number[] = [];
    const place = (end: number): void => {
      let at = starts[groups[0]!]!;
      const order = groups.map((first, nth) => ({ first, end: groups[nth + 1] ?? end }));
      shuffle(order, random);
      for (const group of order) {
        const from = starts[group.first]!;
        const to = starts[group.end] ?? text.end;
        this.moved.fill(at - from, (from - text.start) / FUNCTION_BYTES, (to - text.start) / FUNCTION_BYTES);
        at += to - from;
      }
      groups = [];
    };
    for (let piece = 0; piece < starts.length; piece++) {
      if (together.has(piece) && groups.length > 0 && !sections.has(piece)) continue;
      if (groups.length > 0 && (sections.has(piece) || starts[piece]! - starts[groups[0]!]! >= NEIGHBOURHOOD))
        place(piece);
      groups.push(piece);
    }
    if (groups.length > 0) place(starts.length);
  }

  /** Where a byte of text is in this layout: low halves; what is no movable text stays. */
  place(lo: number): number {
    const { start, end } = this.text;
    return lo < start || lo >= end ? lo : lo + this.moved[(lo - start) >>> 4]!;
  }

  /** The same of a whole address. */
  addressOf(address: bigint): bigint {
    const lo = Number(BigInt.asUintN(32, address));
    return address - BigInt(lo) + BigInt(this.place(lo));
  }

  /**
   * Moves a batch's addresses in place, a run of instructions and an access by their first byte. Frames behind pages of
   * text are dropped: the image is where its tables say.
   */
  move(batch: Batch): void {
    const { kind, lo, hi, a, length } = batch;
    const { start, end } = this.text;
    for (let i = 0; i < length; i++) {
      if (hi[i] !== IMAGE_HIGH || lo[i]! < start || lo[i]! >= end) continue;
      switch (kind[i]) {
        case Kind.Fetch:
          lo[i] = this.place(lo[i]!);
          break;
        // A page of the image is no news; a repetition count is what the builder passes over.
        case Kind.FetchPage:
          kind[i] = Kind.Repeat;
          break;
        case Kind.Load:
        case Kind.Store:
          lo[i] = this.place(lo[i]!);
          a[i] = a[i]! & ~Access.NewPage;
          break;
      }
    }
  }
}
