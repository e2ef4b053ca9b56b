/**
 * What a core and the caches beyond its L2 know of each other. Yes and no are 1 and 0: V8 asks five questions of a
 * boolean it did not make itself.
 */

/** A core, as the protocol sees it. */
export interface LineHolder {
  /** Index in the specification of the node the core is on. */
  readonly nodeIndex: number;
  /** There is more than one core now: from here on, keep what makes a probe for a line that is not here cheap. */
  expectProbes(): void;
  /**
   * Another core's request: the line goes, or stays clean and shared.
   * @returns 0 or 4 (held), plus 1 if it was modified
   */
  probe(frame: number, line: number, remove: number): number;
}

/** L3, other cores and memory, as a core sees them. */
export interface OuterCaches {
  /** The L3 is filled by {@link fromL2}: what a core takes has to be taken before what leaves its L2 comes in. */
  readonly victim: number;
  /** State in which the core has the line {@link fetch} just brought: 1 modified, 2 shared. */
  readonly granted: number;
  /** The core may hold lines from now on. */
  join(core: LineHolder): void;
  /**
   * Brings a line that missed in L2.
   * @param write no other copy may remain
   * @returns the source, a row index of counters.ts
   */
  fetch(core: LineHolder, frame: number, line: number, write: number, counters: Float64Array): number;
  /**
   * A store found its line in L1D or L2 without the right to write.
   * @returns Source.L1 when nobody else had it, else an upgrade source
   */
  upgrade(core: LineHolder, frame: number, line: number): number;
  /**
   * A line left the core's L2, or a modified one its L1D when L2 no longer has it. Only modified ones matter unless
   * {@link victim}.
   */
  fromL2(core: LineHolder, frame: number, line: number, modified: number, counters: Float64Array): void;
}
