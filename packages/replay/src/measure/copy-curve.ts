/**
 * How much of what a run fetches from afar would be near if the hottest pieces of text alone were copied: a curve over
 * the bytes of a copy, for leaves of 4 KiB and of 2 MiB, for the text as it was linked and for one linked hot-first.
 *
 * What counts is where far cycles went in the run as it was linked: no piece is run elsewhere, and what the other order
 * would do to the sets of caches is not in it.
 */
import { LARGE_BYTES, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { farCycles, functionRows, type LocatedTest, pageRows } from "./located.js";
import type { TextSymbols } from "./text-symbols.js";

/** A copy of so many pieces, those with most far cycles first. */
export interface CurvePoint {
  readonly bytes: number;
  /** Of all far cycles of text, those that it makes near: 0 to 1. */
  readonly share: number;
}

/** One order of functions, by the size of the leaves that map copies. */
export interface LeafCurves {
  readonly small: readonly CurvePoint[];
  readonly large: readonly CurvePoint[];
}

/** Of one test with one copy; curves without a point where it fetches nothing from afar. */
export interface CopyCurves {
  /** Of all text with symbols. */
  readonly textBytes: number;
  readonly linked: LeafCurves;
  /** Functions one behind the other, those with most far cycles a byte first. */
  readonly hotFirst: LeafCurves;
}

/** @param test far cycles are those with one copy */
export function copyCurves(test: LocatedTest, symbols: TextSymbols): CopyCurves {
  // By the byte at which a line was entered, since functions may begin anywhere.
  const entered = pageRows(test, 1).map(({ start, before }) => ({ start, far: farCycles(before) }));
  const all = entered.reduce((sum, { far }) => sum + far, 0);
  const placed = entered.filter(({ start, far }) => start !== undefined && far > 0);
  const both = (place: (lo: number) => number | undefined): LeafCurves => {
    const by = (bytes: number): CurvePoint[] => {
      const pieces = new Map<number, number>();
      for (const { start, far } of placed) {
        const at = place(start!);
        if (at === undefined) continue;
        const piece = Math.floor(at / bytes);
        pieces.set(piece, (pieces.get(piece) ?? 0) + far);
      }
      let sum = 0;
      return [...pieces.values()]
        .sort((a, b) => b - a)
        .map((far, nth) => ({ bytes: (nth + 1) * bytes, share: (sum += far) / all }));
    };
    return { small: by(PAGE_BYTES), large: by(LARGE_BYTES) };
  };
  const moved = hotFirst(test, symbols);
  return {
    textBytes: symbols.functions.reduce((sum, { bytes }) => sum + bytes, 0),
    linked: both((lo) => lo),
    hotFirst: both((lo) => {
      const found = symbols.at(lo);
      const at = found && moved.get(found.start);
      return at === undefined ? undefined : at + lo - found!.start;
    }),
  };
}

/** Where functions with far cycles are, from the first byte of text, by where they were. */
function hotFirst(test: LocatedTest, symbols: TextSymbols): Map<number, number> {
  const hot = functionRows(test, symbols)
    .flatMap(({ start, bytes, before }) => (start === undefined ? [] : [{ start, bytes, far: farCycles(before) }]))
    .filter(({ far }) => far > 0)
    .sort((a, b) => b.far / b.bytes - a.far / a.bytes || a.start - b.start);
  let at = 0;
  return new Map(
    hot.map(({ start, bytes }) => {
      const own = at;
      at += bytes;
      return [start, own] as const;
    }),
  );
}

/** Fewest bytes of a copy that makes so much near; undefined where none does. @param share 0 to 1 */
export const bytesFor = (curve: readonly CurvePoint[], share: number): number | undefined =>
  curve.find((each) => each.share >= share - ROUNDING)?.bytes;
/** Sums of shares come to 1 but for this. */
const ROUNDING = 1e-9;

/** Most that a copy of at most so many bytes makes near, 0 to 1. */
export const shareOfBytes = (curve: readonly CurvePoint[], bytes: number): number =>
  curve.findLast((each) => each.bytes <= bytes)?.share ?? 0;
