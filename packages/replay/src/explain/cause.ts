/** A single cause of a difference between a modelled and a reported gain, and what it would take. */
import type { CacheState } from "../measure/whole-machine.js";
import type { Looked } from "./reaching.js";

/** Causes that are looked at, each alone, in the order in which they are told. */
export const CAUSE_NAMES = [
  "load on the link",
  "pressure on the last-level cache",
  "inclusion",
  "far/near ratio",
  "L2 size",
  "layout",
  "single-shot noise",
  "run-ahead",
] as const;

/** One of {@link CAUSE_NAMES}. */
export type CauseName = (typeof CAUSE_NAMES)[number];

/** Two values with all between them. */
export interface Stretch {
  readonly low: number;
  readonly high: number;
}

/** What a cause comes to for one reported figure. */
export interface Cause {
  readonly cause: CauseName;
  /** The value that makes the modelled gain equal the reported one; null where none that was looked at does. */
  readonly value: number | string | null;
  /** Of the value, and of what it is where the machine is as it is. */
  readonly unit: string;
  /** The value where the machine is as it is; null where that is nothing that has one. */
  readonly now: number | string | null;
  /** Where it was told from a stretch between two values that were run: both. */
  readonly between: Stretch | null;
  /** Where no value does: the one that comes nearest, and the gain with it, percent. */
  readonly nearest: { readonly value: number | string; readonly percent: number } | null;
  /** Whether the value lies in the range that has a source; null where there is no value, or nobody knows the range. */
  readonly plausible: boolean | null;
  /** Which range that is, from where. */
  readonly reason: string;
  /**
   * How much of that range the value uses: at most 1 where it is plausible. Null where there is no value, or the range
   * is nothing but what the machine has.
   */
  readonly change: number | null;
}

/** One reported figure and all its causes. */
export interface Explained {
  readonly test: string;
  readonly cache: CacheState;
  readonly reportedPercent: number;
  readonly modelledPercent: number;
  /** The modelled gain's limits over all uncertain costs. */
  readonly lowPercent: number;
  readonly highPercent: number;
  /** The reported figure lies within them. */
  readonly within: boolean;
  /** Most that the place of text could gain while the core keeps its L2. */
  readonly boundBeyondL2Percent: number;
  /** A hot figure above that: out of reach of any near copy. */
  readonly outOfReach: boolean;
  readonly causes: readonly Cause[];
  /** The plausible cause with the least change; where none is plausible, the one with the least of all. */
  readonly smallest: CauseName | null;
}

/** The cause that changes least. */
export const smallestOf = (causes: readonly Cause[]): CauseName | null =>
  causes
    .filter(({ change }) => change !== null)
    .reduce<Cause | null>((least, each) => (least === null || each.change! < least.change! ? each : least), null)
    ?.cause ?? null;

/** What a search left, as a cause tells it. */
export const nearestOf = (value: number | undefined, nearest: Looked): Cause["nearest"] =>
  value === undefined ? nearest : null;
