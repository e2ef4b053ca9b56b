/** Which functions and pages of the kernel's text cycles went to: part of what `kreplica compare --json` prints. */
import { basename } from "node:path";
import {
  accountOf,
  addressText,
  byFarCycles,
  type CacheState,
  copyCurves,
  type CurvePoint,
  functionRows,
  type LevelCycles,
  type ListedPlaces,
  type Located,
  type LocatedRow,
  type LocatedTest,
  pageRows,
} from "@kreplica/replay";
import { rounded } from "./compare.js";

/**
 * Functions of one test in one state of the caches: what is listed, others and what has no symbol sum to the test's
 * `text`.
 */
export interface TestFunctions {
  readonly test: string;
  readonly cache: CacheState;
  readonly recording: string;
  /** Most far cycles with one copy first. */
  readonly listed: readonly FunctionCycles[];
  /** All functions beyond the listed. */
  readonly others: OtherPlaces;
  /** Text outside the image's symbols. */
  readonly withoutSymbol: PlaceCycles;
}

/** 4 KiB pages of one test in one state of the caches. */
export interface TestPages {
  readonly test: string;
  readonly cache: CacheState;
  readonly recording: string;
  readonly listed: readonly PageCycles[];
  readonly others: OtherPlaces;
  /** Text outside the upper 4 GiB, where image and modules lie. */
  readonly elsewhere: PlaceCycles;
  /** How much a copy of the hottest pieces alone makes near. */
  readonly curve: CopyCurve;
}

/**
 * Share of the far cycles of text that a copy makes near, over its bytes: its pieces those with most of them. No points
 * where nothing is far.
 */
export interface CopyCurve {
  /** Of all text with symbols. */
  readonly textBytes: number;
  /** Leaves of 4 KiB, text as it was linked. */
  readonly linked4KiB: readonly CopyCurvePoint[];
  readonly linked2MiB: readonly CopyCurvePoint[];
  /** Functions with most far cycles a byte linked first. */
  readonly hotFirst4KiB: readonly CopyCurvePoint[];
  readonly hotFirst2MiB: readonly CopyCurvePoint[];
}

/** What a copy of so many bytes makes near. */
export interface CopyCurvePoint {
  readonly bytes: number;
  /** 0 to 1. */
  readonly nearShare: number;
}

/** Cycles of fetches of kernel text beyond L1, by where the line came from. */
export interface PlaceCycles {
  /** With one copy. */
  readonly before: LevelCycles;
  /** With the policy. */
  readonly after: LevelCycles;
}

/** A function's. */
export interface FunctionCycles extends PlaceCycles {
  readonly function: string;
  /** Of its first byte, hexadecimal. */
  readonly address: string;
  /** To the next symbol. */
  readonly bytes: number;
}

/** A page's. */
export interface PageCycles extends PlaceCycles {
  /** Of its first byte, hexadecimal. */
  readonly address: string;
}

/** What is not listed, in one. */
export interface OtherPlaces extends PlaceCycles {
  readonly count: number;
}

const cyclesOf = (rows: readonly LocatedRow[]): PlaceCycles => {
  const sum = (side: "before" | "after"): LevelCycles => {
    const all = new Float64Array(rows[0]?.before.length ?? 0);
    for (const row of rows) row[side].forEach((cycles, cause) => (all[cause]! += cycles));
    return rows.length === 0 ? { l2: 0, ownL3: 0, otherL3: 0, local: 0, remote: 0 } : accountOf(all).text;
  };
  return { before: sum("before"), after: sum("after") };
};

const parted = (rows: readonly LocatedRow[], most: number) => {
  const sorted = byFarCycles(rows);
  const placed = sorted.filter(({ start }) => start !== undefined);
  const rest = placed.slice(most);
  return {
    listed: placed.slice(0, most),
    others: { count: rest.length, ...cyclesOf(rest) },
    outside: cyclesOf(sorted.filter(({ start }) => start === undefined)),
  };
};

const headOf = ({ test, cache, file }: LocatedTest) => ({ test: test.name, cache, recording: basename(file) });

/** Both lists; empty where nothing was asked for. */
export function placesOf(
  located: Located | undefined,
  { functions, pages }: ListedPlaces,
): { readonly functions: TestFunctions[]; readonly pages: TestPages[] } {
  return {
    functions:
      functions === undefined || !located
        ? []
        : located.tests.map((each) => {
            const { listed, others, outside } = parted(functionRows(each, located.symbols), functions);
            return {
              ...headOf(each),
              listed: listed.map((row) => ({
                function: row.name,
                address: addressText(row.start!),
                bytes: row.bytes,
                ...cyclesOf([row]),
              })),
              others,
              withoutSymbol: outside,
            };
          }),
    pages:
      pages === undefined || !located
        ? []
        : located.tests.map((each) => {
            const { listed, others, outside } = parted(pageRows(each, 4096), pages);
            return {
              ...headOf(each),
              listed: listed.map((row) => ({ address: row.name, ...cyclesOf([row]) })),
              others,
              elsewhere: outside,
              curve: curveOf(each, located.symbols),
            };
          }),
  };
}

function curveOf(test: LocatedTest, symbols: Located["symbols"]): CopyCurve {
  const { textBytes, linked, hotFirst } = copyCurves(test, symbols);
  const points = (curve: readonly CurvePoint[]): CopyCurvePoint[] =>
    curve.map(({ bytes, share }) => ({ bytes, nearShare: rounded(share) }));
  return {
    textBytes,
    linked4KiB: points(linked.small),
    linked2MiB: points(linked.large),
    hotFirst4KiB: points(hotFirst.small),
    hotFirst2MiB: points(hotFirst.large),
  };
}
