/**
 * Gains somebody reported of a machine, to stand beside the modelled ones: the series' authors' of theirs, or a user's
 * of his.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { e52690v3 } from "@kreplica/machines";
import { type TraceTest, traceTests } from "@kreplica/trace";

/** Gains of one test, percent. */
export interface ReportedFigure {
  readonly test: string;
  readonly hot?: number;
  readonly cold?: number;
}

/** Gains that somebody reported, by test. */
export interface ReportedFigures {
  readonly file: string;
  /** Who reported them: a clause for the legend. */
  readonly source: string;
  /** Name of the machine they are of; undefined when the file does not say. */
  readonly machine: string | undefined;
  readonly figures: readonly ReportedFigure[];
}

/** Whose figures, and which. */
export interface Reported {
  /** Who reported them, of what: a clause. */
  readonly source: string;
  /** The file they are from; undefined for the authors'. */
  readonly file: string | undefined;
  /** Names of tests in it. */
  readonly tests: readonly string[];
  /** Percent; undefined when none was reported of such a run. @param calls made in the run */
  of(test: TraceTest, cache: "hot" | "cold", calls: number): number | undefined;
}

/**
 * Whether the authors' figures are of this machine: its name decides, so that a copy of the preset that was changed
 * gets another.
 */
export const isAuthorsMachine = (spec: MachineSpec): boolean => spec.name === e52690v3.name;

const AUTHORS: Reported = {
  source: "by the series' authors, 2 x E5-2690 (PATCH RFC 00/12)",
  file: undefined,
  tests: traceTests.filter((each) => each.reported).map((each) => each.name),
  of: (test, cache, calls) => (calls === test.iterations ? test.reported?.[cache] : undefined),
};

/** @param own figures a user gave, which take the place of the authors' */
export const reportedFor = (spec: MachineSpec, own?: Reported): Reported | undefined =>
  own ?? (isAuthorsMachine(spec) ? AUTHORS : undefined);

/** A user's figures, by the tests' names. */
export const reportedIn = ({ file, source, figures }: ReportedFigures): Reported => ({
  source: `${source} (${file})`,
  file,
  tests: figures.map((each) => each.test),
  of: (test, cache) => figures.find((each) => each.test === test.name)?.[cache],
});
