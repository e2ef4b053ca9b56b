/** What `kreplica compare --json` prints by default: schema kreplica.compare/2, which has all nodes and a verdict. */
import { basename } from "node:path";
import type { CacheState, CompareResult, LayoutGains } from "@kreplica/replay";
import { verdictSentences } from "../compare-verdict.js";
import { placesOf, type TestFunctions, type TestPages } from "./compare-places.js";
import { type CompareDocument, compareDocument, type ComparedTest, rounded } from "./compare.js";
import { type LoadDocument, loadDocument } from "./compare-load.js";
import { type MixDocument, mixDocument, type RatesDocument, ratesDocument } from "./compare-mix.js";
import { type PressureDocument, pressureDocument } from "./compare-pressure.js";

/** The recorded tests on a kernel with one copy and on one with copies, on one CPU in full and on every node. */
export interface MachineCompareDocument extends Omit<CompareDocument, "schema" | "tests"> {
  readonly schema: "kreplica.compare/2";
  /** What it comes to for the whole machine; null where one CPU alone was asked for. */
  readonly verdict: CompareVerdict | null;
  /** Every node with CPUs; none where one CPU alone was asked for. */
  readonly nodes: readonly NodeGainsDocument[];
  /** How busy links and memory controllers are; null on an idle machine. */
  readonly load: LoadDocument | null;
  /** What a mix of system calls gains; null unless asked for (--mix). */
  readonly mix: MixDocument | null;
  /** What so many processes, forks and migrations cost; null unless asked for. */
  readonly rates: RatesDocument | null;
  /** Data of other CPUs in the last-level cache; null where there are none. */
  readonly pressure: PressureDocument | null;
  /** What was drawn for the layouts; null unless asked for (--layouts). */
  readonly layouts: LayoutsDocument | null;
  /** Page tables that a process has more. */
  readonly process: ProcessBytes;
  /** Every test twice on the CPU looked at: hot, cold. */
  readonly tests: readonly BoundedTest[];
  /** Functions of the text that its cycles went to on the CPU looked at; none unless asked for. */
  readonly functions: readonly TestFunctions[];
  /** Pages likewise. */
  readonly pages: readonly TestPages[];
}

/** Page tables that a process has more than with one copy, bytes. */
export interface ProcessBytes {
  /** When it has run on one node. */
  readonly bytes: number;
  /** When it has run on every node. */
  readonly everywhereBytes: number;
}

/** Where a gain lies over layouts, percent; null each unless layouts were drawn (--layouts). */
export interface LayoutRange {
  /** Least and most where each of the two kernels has a layout of its own, as two builds have. */
  readonly layoutLow: number | null;
  readonly layoutHigh: number | null;
  /** The same where both have the same. */
  readonly sameLayoutLow: number | null;
  readonly sameLayoutHigh: number | null;
}

/** What was drawn for the layouts. */
export interface LayoutsDocument {
  /** Beside the one as linked. */
  readonly count: number;
  readonly seed: number;
  /**
   * Most by which a gain told from the part of a long test that is run in each layout differs from the whole's,
   * percentage points, on the CPU looked at; null where all were run whole.
   */
  readonly samplingErrorPercent: number | null;
  /** Of the whole machine's mean; null where one CPU alone was asked for. */
  readonly cold: LayoutRange | null;
  readonly hot: LayoutRange | null;
}

/** One test on the CPU looked at. */
export interface BoundedTest extends ComparedTest, LayoutRange {
  /** Most that the place of the text can explain while the core keeps what its L1 and L2 hold. */
  readonly boundBeyondL2Percent: number;
}

/** Gains over the whole machine: means over tests and CPUs, percent; least and most over all uncertain costs. */
export interface CompareVerdict {
  readonly coldPercent: number;
  readonly coldLow: number;
  readonly coldHigh: number;
  /** What of it is near instead of far text. */
  readonly coldNearPercent: number;
  readonly hotPercent: number;
  readonly hotLow: number;
  readonly hotHigh: number;
  readonly hotNearPercent: number;
  /** Node with the highest mean over the tests, cold. */
  readonly bestNode: number;
  readonly worstNode: number;
  /** A policy that does better on this machine; null where none does, or none was asked. */
  readonly betterPolicy: string | null;
  /** Names of the tests that the policies were asked of: all with --policies, else those that take a moment. */
  readonly betterPolicyTests: readonly string[];
  /**
   * Most by which a gain told from part of a long test differs from the whole's, percentage points, on the CPU looked
   * at; null where nothing was told from a part.
   */
  readonly samplingErrorPercent: number | null;
  /** The verdict as it is printed. */
  readonly sentences: readonly string[];
}

/** Gains of the CPUs of one node. */
export interface NodeGainsDocument {
  readonly node: number;
  /** How many CPUs it has. */
  readonly cpus: number;
  /** From them to the image's memory, idle, ns. */
  readonly imageNs: number;
  /** The node whose run was counted: itself, or one that is alike. */
  readonly measuredOn: number;
  /** Mean over the tests. */
  readonly coldPercent: number;
  readonly hotPercent: number;
  readonly tests: readonly NodeTest[];
}

/** One test in one state of the caches on a node. As of the CPU looked at. */
export interface NodeTest extends LayoutRange {
  readonly test: string;
  readonly cache: CacheState;
  readonly recording: string;
  readonly gainPercent: number;
  readonly gainLow: number;
  readonly gainHigh: number;
  readonly nearPercent: number;
  readonly boundPercent: number;
  readonly boundBeyondL2Percent: number;
  /** Part of the recording that was run; 1 for the whole. */
  readonly share: number;
}

/** A plain value, ready for JSON. */
export function machineCompareDocument(result: CompareResult): MachineCompareDocument {
  const document = compareDocument(result);
  return {
    ...document,
    schema: "kreplica.compare/2",
    verdict: verdictOf(result),
    nodes: nodesOf(result),
    load: loadDocument(result),
    mix: mixDocument(result),
    rates: ratesDocument(result),
    pressure: pressureDocument(result),
    layouts: layoutsOf(result),
    process: result.process,
    tests: document.tests.map((each, nth) => ({
      ...each,
      boundBeyondL2Percent: rounded(result.tests[nth]!.boundBeyondL2),
      ...layoutRange(result.tests[nth]!.layout),
    })),
    ...placesOf(result.located, result.listed ?? {}),
  };
}

const layoutRange = (layout: LayoutGains | undefined): LayoutRange => ({
  layoutLow: layout ? rounded(layout.low) : null,
  layoutHigh: layout ? rounded(layout.high) : null,
  sameLayoutLow: layout ? rounded(layout.sameLow) : null,
  sameLayoutHigh: layout ? rounded(layout.sameHigh) : null,
});

function layoutsOf({ layouts, machine }: CompareResult): LayoutsDocument | null {
  if (!layouts) return null;
  const { count, seed, sampling } = layouts;
  return {
    count,
    seed,
    samplingErrorPercent: sampling === undefined ? null : rounded(sampling),
    cold: machine?.layout ? layoutRange(machine.layout.cold) : null,
    hot: machine?.layout ? layoutRange(machine.layout.hot) : null,
  };
}

function verdictOf(result: CompareResult): CompareVerdict | null {
  const { machine } = result;
  if (!machine) return null;
  const { gain, near, best, worst, sampling } = machine;
  return {
    coldPercent: rounded(gain.cold.percent),
    coldLow: rounded(gain.cold.low),
    coldHigh: rounded(gain.cold.high),
    coldNearPercent: rounded(near.cold),
    hotPercent: rounded(gain.hot.percent),
    hotLow: rounded(gain.hot.low),
    hotHigh: rounded(gain.hot.high),
    hotNearPercent: rounded(near.hot),
    bestNode: best.node,
    worstNode: worst.node,
    betterPolicy: result.policies?.better?.name ?? null,
    betterPolicyTests: result.policies?.tests ?? [],
    samplingErrorPercent: sampling === undefined ? null : rounded(sampling),
    sentences: verdictSentences(result),
  };
}

const nodesOf = ({ machine }: CompareResult): NodeGainsDocument[] =>
  (machine?.nodes ?? []).map(({ node, cpus, imageNs, measuredOn, mean, tests }) => ({
    node,
    cpus,
    imageNs,
    measuredOn,
    coldPercent: rounded(mean.cold),
    hotPercent: rounded(mean.hot),
    tests: tests.map((each) => ({
      test: each.test.name,
      cache: each.cache,
      recording: basename(each.file),
      gainPercent: rounded(each.gain.percent),
      gainLow: rounded(each.gain.low),
      gainHigh: rounded(each.gain.high),
      nearPercent: rounded(each.near),
      boundPercent: rounded(each.bound),
      boundBeyondL2Percent: rounded(each.boundBeyondL2),
      share: each.share,
      ...layoutRange(each.layout),
    })),
  }));
