/** Which functions and pages of the kernel's text cycles went to: what two replays charged to places, put together. */
import type { TraceTest } from "@kreplica/trace";
import type { LocatedCycles } from "../replay/located-replayer.js";
import { CAUSES } from "./causes.js";
import { bracketed, functionAt } from "./text-names.js";
import type { TextSymbols } from "./text-symbols.js";
import type { CacheState } from "./whole-machine.js";

/** One test in one state of the caches, on both kernels. */
export interface LocatedTest {
  readonly test: TraceTest;
  readonly file: string;
  readonly cache: CacheState;
  readonly iterations: number;
  readonly singleCopy: LocatedCycles;
  readonly perNode: LocatedCycles;
}

/** All tests, and what the text's addresses are. */
export interface Located {
  readonly tests: readonly LocatedTest[];
  readonly symbols: TextSymbols;
}

/** A function, a page, or what is neither: cycles by {@link CAUSES}, with one copy and with the policy. */
export interface LocatedRow {
  /** A function's name, or what stands for one in brackets; a page's address in hex. */
  readonly name: string;
  /** Low half of its first address; undefined where it is no run of addresses of the kernel's text. */
  readonly start: number | undefined;
  readonly bytes: number;
  readonly before: Float64Array;
  readonly after: Float64Array;
}

type Key = Pick<LocatedRow, "name" | "start" | "bytes">;

function rowsBy(test: LocatedTest, keyOf: (place: number) => Key): LocatedRow[] {
  const rows = new Map<string, LocatedRow>();
  for (const side of ["singleCopy", "perNode"] as const) {
    const { places, cycles } = test[side];
    places.forEach((place, nth) => {
      const key = keyOf(place);
      const id = `${key.name} ${key.start}`;
      let row = rows.get(id);
      if (!row)
        rows.set(
          id,
          (row = { ...key, before: new Float64Array(CAUSES.length), after: new Float64Array(CAUSES.length) }),
        );
      const into = side === "singleCopy" ? row.before : row.after;
      for (let cause = 0; cause < into.length; cause++) into[cause]! += cycles[nth * CAUSES.length + cause]!;
    });
  }
  return [...rows.values()];
}

/** A row a function; text without a symbol, user text and what went nowhere a row each. */
export const functionRows = (test: LocatedTest, symbols: TextSymbols): LocatedRow[] =>
  rowsBy(test, (place) => functionAt(place, symbols));

/** As {@link functionRows}, by runs of `bytes` bytes, a power of two: 4 KiB pages, 2 MiB pages. */
export const pageRows = (test: LocatedTest, bytes: number): LocatedRow[] =>
  rowsBy(test, (place) => {
    const name = bracketed(place);
    if (name !== undefined) return { name, start: undefined, bytes: 0 };
    const start = place - (place % bytes);
    return { name: addressText(start), start, bytes };
  });

/** The whole address of a low half. */
export const addressText = (low: number): string => `0xffffffff${low.toString(16).padStart(8, "0")}`;

const TEXT = CAUSES.flatMap((cause, at) => (cause.startsWith("text.") ? [at] : []));
const FAR = CAUSES.indexOf("text.remote");

/** Fetches of kernel text beyond L1, all levels. */
export const textCycles = (cycles: Float64Array): number => TEXT.reduce((sum, at) => sum + cycles[at]!, 0);
/** Of these, from another node's memory. */
export const farCycles = (cycles: Float64Array): number => cycles[FAR]!;

/** Most far cycles with one copy first; then most for text at all, then by place. What has none is left out. */
export const byFarCycles = (rows: readonly LocatedRow[]): LocatedRow[] =>
  rows
    .filter(({ before, after }) => textCycles(before) !== 0 || textCycles(after) !== 0)
    .sort(
      (a, b) =>
        farCycles(b.before) - farCycles(a.before) ||
        textCycles(b.before) - textCycles(a.before) ||
        (a.start ?? -1) - (b.start ?? -1),
    );
