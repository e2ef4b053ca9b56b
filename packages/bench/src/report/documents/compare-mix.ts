/** The parts of `kreplica compare --json` about a mix of system calls, and so many processes, forks and migrations. */
import type { CompareResult, CpuTime } from "@kreplica/replay";
import { basename } from "node:path";
import { rounded } from "./compare.js";

/** What a mix of system calls gains: recordings weighted by calls and modelled cycles. */
export interface MixDocument {
  readonly file: string;
  /** Percent of its calls that find the caches cold. */
  readonly coldPercent: number;
  /** All calls of the file. */
  readonly calls: number;
  /** Those that recordings are of; the gains are theirs alone. */
  readonly coveredCalls: number;
  /** Percent of the file's time that is theirs; null where the file has no times. */
  readonly coveredTimePercent: number | null;
  /** Mean over the machine's CPUs, or of one CPU (--cpu); null where nothing is covered. */
  readonly gainPercent: number | null;
  /** Least and most of the recordings', each at its own corner of the uncertain costs. */
  readonly gainLow: number | null;
  readonly gainHigh: number | null;
  /** Gain by node; none where one CPU alone was asked for. */
  readonly nodes: readonly MixedNode[];
  readonly tests: readonly MixedTestDocument[];
  /** Calls of no recording, and what is beyond the recordings' pairs; most time first, or most calls. */
  readonly uncovered: readonly UncoveredCall[];
}

/** What the mix gains on a node's CPUs. */
export interface MixedNode {
  readonly node: number;
  readonly cpus: number;
  readonly gainPercent: number;
}

/** A test in the mix, on the CPU looked at. */
export interface MixedTestDocument {
  readonly test: string;
  readonly recording: string;
  /** Iterations of the recording. */
  readonly iterations: number;
  /** Calls that they cover. */
  readonly calls: number;
  /** Percent of the covered calls' cycles with one copy. */
  readonly weightPercent: number;
  readonly gainPercent: number;
}

/** A system call of the mix. */
export interface UncoveredCall {
  readonly name: string;
  readonly calls: number;
  /** Null where the file has no times. */
  readonly seconds: number | null;
}

/** What so many processes, forks and migrations cost beyond the same with one copy; null for what nobody asked. */
export interface RatesDocument {
  readonly processes: ProcessesCost | null;
  readonly forks: ForksCost | null;
  readonly migrations: MigrationsCost | null;
}

/** Page tables of so many processes. */
export interface ProcessesCost {
  readonly count: number;
  /** When each has run on one node. */
  readonly bytes: number;
  /** When each has run on every node. */
  readonly everywhereBytes: number;
  /** Percent of the machine's memory. */
  readonly percent: number;
  readonly everywherePercent: number;
}

/** So many forks. */
export interface ForksCost {
  readonly perSecond: number;
  /** Null where no compared test forks. */
  readonly time: CpuTime | null;
}

/** So many processes that move to a node they have not run on. */
export interface MigrationsCost {
  readonly perSecond: number;
  /** Entries of page tables that one stores. */
  readonly stores: number;
  readonly bytesPerSecond: number;
  /** Null where it was not run. */
  readonly time: CpuTime | null;
}

/** A plain value, ready for JSON. */
export function mixDocument({ mix, tests }: CompareResult): MixDocument | null {
  if (!mix) return null;
  const { gain } = mix;
  return {
    file: mix.file,
    coldPercent: rounded(100 * mix.coldShare),
    calls: mix.total,
    coveredCalls: mix.covered,
    coveredTimePercent: mix.coveredTime === undefined ? null : rounded(100 * mix.coveredTime),
    gainPercent: gain ? rounded(gain.percent) : null,
    gainLow: gain ? rounded(gain.low) : null,
    gainHigh: gain ? rounded(gain.high) : null,
    nodes: mix.nodes.map(({ node, cpus, gain: percent }) => ({ node, cpus, gainPercent: rounded(percent) })),
    tests: mix.tests.map((each) => ({
      test: tests.find(({ file }) => file === each.file)!.test.name,
      recording: basename(each.file),
      iterations: each.iterations,
      calls: each.calls,
      weightPercent: rounded(100 * each.weight),
      gainPercent: rounded(each.gain),
    })),
    uncovered: mix.uncovered.map(({ name, calls, seconds }) => ({
      name,
      calls,
      seconds: seconds === undefined ? null : rounded(seconds),
    })),
  };
}

/** A plain value, ready for JSON. */
export function ratesDocument({ rates }: CompareResult): RatesDocument | null {
  if (!rates) return null;
  const { processes, forks, migrations } = rates;
  return {
    processes: processes ?? null,
    forks: forks ? { ...forks, time: timeOf(forks.time) } : null,
    migrations: migrations ? { ...migrations, time: timeOf(migrations.time) } : null,
  };
}

function timeOf(time: CpuTime | undefined): CpuTime | null {
  if (!time) return null;
  const both = ({ cold, hot }: CpuTime["cycles"]): CpuTime["cycles"] => ({ cold: rounded(cold), hot: rounded(hot) });
  return {
    cycles: both(time.cycles),
    cpuPercent: both(time.cpuPercent),
    machinePercent: both(time.machinePercent),
  };
}
