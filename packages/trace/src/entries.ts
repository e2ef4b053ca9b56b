/**
 * How well a list of functions fits a recording: a recorder begins a record wherever control came to, so that the
 * first byte of every function that was called is the start of one.
 */
import { type Batch, Kind } from "./batch.js";
import { readTrace, type Recording } from "./read-trace.js";

/** Where control came to in the kernel's image. */
export interface Entries {
  /** Different addresses at which a record of instructions begins, in the kernel's top 2 GiB. */
  readonly places: number;
  /** Those of them that are the first byte of one of the functions. */
  readonly functions: number;
}

/**
 * Counts over a whole recording. Of the right kernel's functions 5 to 7 percent of the places are; of those of another
 * build under 2, be it of the same sources with one option changed.
 *
 * @param functions addresses of first bytes, as linked
 * @throws TraceError as the reader does
 */
export function functionEntries(recording: Recording, functions: Iterable<bigint>): Entries {
  const places = new Set<number>();
  readTrace(recording, ({ kind, lo, hi, length }: Batch) => {
    for (let i = 0; i < length; i++) {
      if (hi[i] === 0xffff_ffff && (kind[i] === Kind.Fetch || kind[i] === Kind.FetchPage)) places.add(lo[i]!);
    }
  });
  let found = 0;
  const seen = new Set<number>();
  for (const address of functions) {
    const low = Number(address & 0xffff_ffffn);
    if (address >> 32n !== 0xffff_ffffn || seen.has(low)) continue;
    seen.add(low);
    if (places.has(low)) found++;
  }
  return { places: places.size, functions: found };
}
