/**
 * The cycle account of an out-of-order server core, as wide as our ignorance of it. None of these was measured for this
 * project; each says what it rests on, and all are marked provisional.
 */
import type { CostSpec, FrontEndSpec } from "@kreplica/hw-x86/api";

/** What differs between the cores: how wide they are and how far ahead they can look. Counts of micro-operations. */
export interface Window {
  readonly core: string;
  /** Micro-operations renamed per cycle. */
  readonly width: number;
  /** Decoded micro-operations waiting between front end and back end. */
  readonly queue: number;
  /** Reorder buffer entries. */
  readonly reorder: number;
  /** Cycles to send one inter-processor interrupt and take it, with the range. */
  readonly ipi: readonly [value: number, low: number, high: number];
  /** Where it was measured that the core asks for lines its branch predictor foresees. */
  readonly frontEnd?: FrontEndSpec;
}

/**
 * The account of a core with this window. Values are the same for all these cores: the ranges cover more than the cores
 * differ.
 */
export const outOfOrderCosts = ({ core, width, queue, reorder, ipi, frontEnd }: Window): CostSpec => ({
  cyclesPerInstruction: {
    value: 0.6,
    low: 0.35,
    high: 1,
    provisional: true,
    source: `assumed: ${core} renames ${width} a cycle, so ${(1 / width).toFixed(2)} is the floor; kernel code is short blocks, dependent loads and serialising instructions`,
  },
  fetchExposure: {
    value: 0.85,
    low: 0.6,
    high: 1,
    provisional: true,
    source: `assumed: a queue of ${queue} micro-operations hides about ${Math.round(queue / width)} cycles of a fetch miss, some of an L2 hit and next to nothing of memory; the front end does not look past it`,
  },
  loadExposure: {
    value: 0.4,
    low: 0.2,
    high: 0.7,
    provisional: true,
    source: `assumed: a reorder buffer of ${reorder} overlaps independent misses; 1.3 to 3 in flight are recalled for server code (Chou, Fahs, Abraham, ISCA 2004), pointer chains overlap none`,
  },
  storeExposure: {
    value: 0.1,
    low: 0.02,
    high: 0.3,
    provisional: true,
    source: "assumed: stores retire into the store buffer; they cost when it fills or a locked instruction drains it",
  },
  walkExposure: {
    value: 0.7,
    low: 0.4,
    high: 1,
    provisional: true,
    source: "assumed: a fetch waits for its walk, a load's walk overlaps like the load",
  },
  prefetchLines: 1,
  prefetchHiddenCycles: {
    value: 9.6,
    low: 0,
    high: 38.4,
    provisional: true,
    source:
      "assumed: a line of 64 bytes is about 16 instructions, which run at the base rate between the miss that starts the prefetch and its use; none when code branches straight on",
  },
  ...(frontEnd && { frontEnd }),
  ipiCycles: {
    value: ipi[0],
    low: ipi[1],
    high: ipi[2],
    provisional: true,
    source:
      "recalled: 0.5 to 2 microseconds from the write of the interrupt command to the handler's first instruction, across sockets",
  },
});
