/** What `kreplica compare --json` prints. */
import { basename } from "node:path";
import { faultOf, type InputFault } from "@kreplica/inputs";
import type { CacheState, Carried, CompareResult, KernelFigures, Standing } from "@kreplica/replay";
import type { TraceStatistics } from "@kreplica/trace";
import type { Finding } from "@kreplica/invariants/api";
import type { MemoryDocument } from "./boot.js";

/** The recorded tests on a kernel with one copy of its text and rodata, and on one with copies. */
export interface CompareDocument {
  readonly schema: "kreplica.compare/1";
  /** Name of the machine. */
  readonly machine: string;
  /** Name of the kernel that was booted. */
  readonly kernel: string;
  /** Name of the kernel that was recorded. */
  readonly recordedOn: string;
  /** What is compared with a single copy. */
  readonly policy: string;
  /** CPU that runs the tests. */
  readonly cpu: number;
  /** Node that holds the image. */
  readonly masterNode: number;
  /** Node of the tests' data. */
  readonly dataNode: number;
  /** Of page tables. */
  readonly levels: 4 | 5;
  /** Kernel page-table isolation. */
  readonly pti: boolean;
  readonly seed: number;
  /** What replication itself does in fork, exec and exit is among the cycles. */
  readonly work: boolean;
  /** Whom the CPU stands for. */
  readonly standing: Standing;
  /** Whose figures stand beside; null when nobody's are of this machine. */
  readonly reported: ReportedBeside | null;
  /** What the comparison does not count. */
  readonly leftOut: LeftOut;
  /** Every test twice: hot, cold. */
  readonly tests: readonly ComparedTest[];
  /** Recordings that could not be used. */
  readonly refused: readonly InputFault[];
  readonly memory: MemoryDocument;
  readonly invariants: InvariantCounts;
}

/** Figures somebody reported. */
export interface ReportedBeside {
  /** Who reported them, of what: a clause. */
  readonly source: string;
  /** The file they are from; null for the authors'. */
  readonly file: string | null;
  /** Tests in it that are not compared. */
  readonly notCompared: readonly string[];
}

/** What a comparison does not count. */
export interface LeftOut {
  /** Entries that a process' first switch to a further node stores. */
  readonly firstSwitchStores: number;
  /** Changes of kernel text, by recording: other copies are not changed. */
  readonly textPokes: Readonly<Record<string, number>>;
}

/** One test in one state of the caches. Gains are in percent; positive is faster. */
export interface ComparedTest {
  readonly test: string;
  readonly cache: CacheState;
  /** File of the recording, without its folder. */
  readonly recording: string;
  /** Calls that were recorded; null where none could be counted. */
  readonly iterations: number | null;
  /** The length of the run is the model's, not the recording's. */
  readonly modelledLength: boolean;
  /** The kernel with one copy. */
  readonly singleCopy: KernelFigures;
  /** The kernel with the policy. */
  readonly perNode: KernelFigures;
  readonly gainPercent: number;
  /** Least and most of the gain over all uncertain costs. */
  readonly gainLow: number;
  readonly gainHigh: number;
  /** What of the gain is near instead of far text. */
  readonly nearPercent: number;
  /** Most that the place of the text can explain. */
  readonly boundPercent: number;
  /** What patch 06's alignment gains one copy; null where it was not measured. */
  readonly alignmentPercent: number | null;
  /** What was reported of this machine; null for what nobody reported. */
  readonly reportedPercent: number | null;
  /** On another kernel than the traced one: what became of recorded addresses of the image. */
  readonly carriedOver?: Carried;
  /** What lies where, in a recording of a kernel that the user named. */
  readonly recorded?: RecordedStatistics;
}

/** Counts of a recording. */
export interface RecordedStatistics extends TraceStatistics {
  /** The recorded kernel had copies of its own. */
  readonly copies: boolean;
}

/** How invariants fared after the boot. */
export interface InvariantCounts {
  /** How many were checked. */
  readonly checked: number;
  readonly violated: readonly Finding[];
  /** How many are about what this boot does not do. */
  readonly notReached: number;
}

/** At most six decimals: enough to add up again, few enough to read. */
export const rounded = (value: number): number => Math.round(value * 1e6) / 1e6;

/** A plain value, ready for JSON. Cycles are exact: multiples of 1/1024. What each field is says docs/model.md. */
export function compareDocument({
  job: { spec, where, pti, levels, seed, work = true },
  policy,
  kernel,
  recordedOn,
  tests,
  refused,
  standing,
  reported,
  switchStores,
  memory,
  memoryCost,
  invariants,
}: CompareResult): CompareDocument {
  return {
    schema: "kreplica.compare/1",
    machine: spec.name,
    kernel,
    recordedOn,
    policy: policy.name,
    cpu: where.cpu,
    masterNode: where.masterNode,
    dataNode: where.dataNode,
    levels,
    pti,
    seed,
    work,
    standing,
    reported: reported
      ? {
          source: reported.source,
          file: reported.file ?? null,
          notCompared: reported.tests.filter((name) => !tests.some((each) => each.test.name === name)),
        }
      : null,
    leftOut: {
      firstSwitchStores: switchStores,
      textPokes: Object.fromEntries(
        tests
          .filter((each) => each.cache === "cold" && each.pokes > 0)
          .map((each) => [basename(each.file), each.pokes]),
      ),
    },
    tests: tests.map((each) => ({
      test: each.test.name,
      cache: each.cache,
      recording: basename(each.file),
      iterations: each.counted ? each.iterations : null,
      modelledLength: each.modelled,
      singleCopy: figures(each.singleCopy),
      perNode: figures(each.perNode),
      gainPercent: rounded(each.gain.percent),
      gainLow: rounded(each.gain.low),
      gainHigh: rounded(each.gain.high),
      nearPercent: rounded(each.near),
      boundPercent: rounded(each.bound),
      alignmentPercent: each.alignment === undefined ? null : rounded(each.alignment),
      reportedPercent: each.reported ?? null,
      ...(each.carried ? { carriedOver: each.carried } : {}),
      ...(each.statistics ? { recorded: { ...each.statistics, copies: each.copied } } : {}),
    })),
    refused: refused.map((each) => faultOf(each)),
    memory: { ...memory, cost: memoryCost },
    invariants: {
      checked: invariants.checked.length,
      violated: invariants.violated,
      notReached: invariants.notReached.length,
    },
  };
}

const figures = ({ cycles, account, lines, work, runs, settled }: CompareResult["tests"][number]["singleCopy"]) => ({
  cycles,
  account,
  lines,
  work,
  runs,
  settled,
});
