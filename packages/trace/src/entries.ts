/**
 * How well a list of functions fits a recording: a recorder begins a record wherever control came to, so that the
 * first byte of every function that was called is the start of one.
 */
import { type Batch, Kind } from "./batch.js";

/**
 * Share of places that are first bytes of functions, from which on they may be a kernel's: at least 0.05 for the right
 * kernel, at most 0.017 for others.
 */
export const LEAST_SHARE_OF_FUNCTIONS = 0.03;

/** Places where control came to in the kernel's top 2 GiB, collected from the batches of a recording. */
export class EntryPlaces {
  /** Low halves of the addresses at which a record of instructions begins. */
  private readonly places = new Set<number>();

  add({ kind, lo, hi, length }: Batch): void {
    for (let i = 0; i < length; i++) {
      if (hi[i] === 0xffff_ffff && (kind[i] === Kind.Fetch || kind[i] === Kind.FetchPage)) this.places.add(lo[i]!);
    }
  }

  /** Different addresses. */
  get size(): number {
    return this.places.size;
  }

  /**
   * How many of them are the first byte of a function. Of the right kernel's functions 5 to 7 percent of the places
   * are; of those of another build under 2, be it of the same sources with one option changed.
   *
   * @param functions addresses of first bytes, as linked
   */
  ofFunctions(functions: Iterable<bigint>): number {
    const starts = new Set([...functions].filter((each) => each >> 32n === 0xffff_ffffn));
    return [...starts].filter((each) => this.places.has(Number(each & 0xffff_ffffn))).length;
  }

  /** Whether they may be of the kernel with these functions; where nothing was seen, of none. */
  fit(functions: Iterable<bigint>): boolean {
    return this.size > 0 && this.ofFunctions(functions) >= this.size * LEAST_SHARE_OF_FUNCTIONS;
  }
}
