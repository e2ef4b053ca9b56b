/** What `kreplica compare --reported FILE` reads, as JSON. */

/** Gains that somebody reported of a machine. */
export interface ReportedDocument {
  /**
   * Who reported them: a clause.
   *
   * @pattern \S
   */
  readonly source: string;
  /**
   * Name of the machine they are of, as `kreplica machine` lists it or its file says.
   *
   * @pattern \S
   */
  readonly machine: string;
  /** @minItems 1 */
  readonly figures: readonly ReportedGain[];
}

/** Gains of one test, each test once; hot, cold, or both. */
export type ReportedGain = ReportedHot | ReportedCold;

/** A gain with warm caches, and perhaps one with cold ones. */
export interface ReportedHot {
  /** @minLength 1 */
  readonly test: string;
  readonly hot: GainPercent;
  readonly cold?: GainPercent;
}

/** A gain with cold caches, and perhaps one with warm ones. */
export interface ReportedCold {
  /** @minLength 1 */
  readonly test: string;
  readonly hot?: GainPercent;
  readonly cold: GainPercent;
}

/**
 * A gain in percent; positive is faster.
 *
 * @minimum -100000
 * @maximum 100
 */
export type GainPercent = number;
