/**
 * The main job: the recorded tests on a kernel with one copy and on one with a copy per node, and what the difference
 * is.
 */
import type { CpuId, CpuSpec, NodeId } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";
import {
  boot,
  type Booted,
  type KernelPolicy,
  type MemoryAccount,
  memoryCost,
  type MemoryCost,
  type PolicyChoice,
  policyOf,
  takeFootprint,
} from "@kreplica/kernel";
import { Processes, singleCopy } from "@kreplica/mm-core";
import { type TraceStatistics, type TraceTest, traceTests } from "@kreplica/trace";
import type { WorkDone } from "../replay/replication-work.js";
import { type CycleAccount, cycleAccount, type LineCounts, lineCounts } from "./cycle-account.js";
import { bound, boundBeyondL2, type Gain, gain, nearGain } from "./gain.js";
import type { Carried } from "../replay/other-kernel.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { type LayoutGains, spreadBy } from "../layout/layout-gains.js";
import { type DrawnLayouts, drawLayouts, type LayoutRequest } from "../layout/draw-layouts.js";
import type { LayoutJob } from "../layout/measure-layouts.js";
import type { BusyCurve } from "./busy-curve.js";
import { type KernelJob, jobKernel } from "./kernel-job.js";
import type { TraceJob, TraceMeasurement } from "./measure-trace.js";
import type { MixResult, RateCosts } from "./mix-figures.js";
import { type Load, type LoadedResult, LoadedTests } from "./loaded-tests.js";
import { dataBeside, nodeClasses } from "./node-classes.js";
import { indexOf } from "./placement.js";
import { processBytes } from "./policy-cost.js";
import { type Reported, reportedFor } from "./reported.js";
import type { Located } from "./located.js";
import { TextSymbols } from "./text-symbols.js";
import { type Standing, standingOf } from "./standing.js";
import { type CacheState, type WholeMachine, wholeMachine } from "./whole-machine.js";

export type { CacheState } from "./whole-machine.js";

/** One test in one state of the caches. */
export interface Comparison {
  readonly test: TraceTest;
  readonly file: string;
  readonly cache: CacheState;
  readonly modelled: boolean;
  /**
   * Calls of the test's system call that were recorded; where none could be counted 1, so that figures per iteration
   * are totals.
   */
  readonly iterations: number;
  readonly counted: boolean;
  /** Changes of kernel text in it: calls of __text_poke. */
  readonly pokes: number;
  readonly singleCopy: KernelFigures;
  readonly perNode: KernelFigures;
  readonly gain: Gain;
  /**
   * What of the gain is near instead of far text, percent of the same; the rest is replication's own work, and its
   * tables' places.
   */
  readonly near: number;
  /** Most that the place of the text can explain, percent: never below {@link near}. */
  readonly bound: number;
  /** The same where the core keeps what its L1 and L2 hold. */
  readonly boundBeyondL2: number;
  /**
   * What patch 06's alignment of text and rodata gains one copy, percent: both kernels compared have it. Undefined
   * where it was not measured.
   */
  readonly alignment: number | undefined;
  /** What was reported of this machine, percent; undefined for what nobody reported, or not of a run of this length. */
  readonly reported: number | undefined;
  /** On a kernel that is not the traced one: what became of recorded addresses of the image. */
  readonly carried: Carried | undefined;
  /** What lies where, in a recording of a kernel that the user named. */
  readonly statistics: TraceStatistics | undefined;
  /** The recorded kernel had copies of its own. */
  readonly copied: boolean;
  /** Lines of other CPUs' data that came in one run of each kernel; absent where there are none. */
  readonly foreignLines?: { readonly singleCopy: number; readonly perNode: number };
  /** Where the gain lies over layouts, which its limits then have in them; absent unless asked for. */
  readonly layout?: LayoutGains;
}

/** One kernel's side of it. */
export interface KernelFigures {
  readonly cycles: number;
  readonly account: CycleAccount;
  readonly lines: LineCounts;
  /** What replication did in the run, 0 with one copy. */
  readonly work: WorkDone;
  /** Runs until the figures settled; 1 when cold. */
  readonly runs: number;
  readonly settled: boolean;
}

/** How many functions and pages of the text are to be listed. */
export interface ListedPlaces {
  readonly functions?: number;
  readonly pages?: number;
}

/** A policy that does better than the one compared. */
export interface BetterPolicy {
  readonly name: string;
  /** Means over the whole machine. */
  readonly coldPercent: number;
  readonly hotPercent: number;
  /** Cold, for processes that have moved, where they go on running another node's text. */
  readonly movedColdPercent: number | undefined;
  /** Entries that a process' first switch to a node stores. */
  readonly firstSwitchStores: number;
}

/** What asking all policies came to. */
export interface PolicyAnswer {
  /** Names of the tests that they were asked of, which may be fewer than were compared. */
  readonly tests: readonly string[];
  /** Means of these tests over the whole machine, of the policy compared, percent. */
  readonly compared: { readonly coldPercent: number; readonly hotPercent: number };
  /** The policy that does better; null where none does. */
  readonly better: BetterPolicy | null;
}

/** Everything the report shows. */
export interface CompareResult<Job extends KernelJob = KernelJob> {
  readonly job: Job;
  /** Policy of the kernel that `perNode` names. */
  readonly policy: KernelPolicy;
  /** Kernel that was booted. */
  readonly kernel: string;
  /** Kernel the recordings were made on. */
  readonly recordedOn: string;
  readonly tests: readonly Comparison[];
  /** Recordings that could not be used. */
  readonly refused: readonly InputError[];
  /** Whom the CPU of the tests stands for. */
  readonly standing: Standing;
  /** Whose figures stand beside; undefined when nobody's are of this machine. */
  readonly reported: Reported | undefined;
  /**
   * Entries that a process' first switch to a further node stores, where the policy makes its PGD then; 0 where it does
   * not.
   */
  readonly switchStores: number;
  /** Whose text the cycles went to, on the CPU looked at; undefined unless asked for. */
  readonly located?: Located;
  /** How much of it is shown. */
  readonly listed?: ListedPlaces;
  /** All nodes; undefined where one CPU alone was asked for, or no test could be measured. */
  readonly machine: WholeMachine | undefined;
  /** How busy links and memory controllers are; undefined on an idle machine. */
  readonly loaded?: LoadedResult | undefined;
  /** Gains over how many CPUs run each test at once; absent unless asked for. */
  readonly busy?: BusyCurve;
  /** What was drawn for `layout` in tests and machine; absent unless asked for. */
  readonly layouts?: DrawnLayouts;
  /** Which of all policies does better; absent where they were not asked. */
  readonly policies?: PolicyAnswer;
  /** What a mix of system calls gains; absent unless asked for. */
  readonly mix?: MixResult;
  /** What so many processes, forks, migrations cost; absent unless asked for. */
  readonly rates?: RateCosts;
  /** Bytes of page tables that a process on one node has more, and one that ran on every node. */
  readonly process: { readonly bytes: number; readonly everywhereBytes: number };
  readonly memory: MemoryAccount;
  /** Against a booted kernel with one copy. */
  readonly memoryCost: MemoryCost;
  readonly invariants: ReturnType<Booted["checkInvariants"]>;
}

/**
 * Runs jobs; {@link measureTrace} one after the other, or in workers.
 * @returns what each job's policies measured, in their order, or why its recording was refused
 */
export type JobRunner<Job extends TraceJob = TraceJob> = (
  jobs: readonly Job[],
) => Promise<readonly (readonly TraceMeasurement[] | InputError)[]>;

/** What a comparison is asked for beyond its kernels. */
export interface CompareRequest<Given extends KernelJob = KernelJob> {
  /** Compared with a single copy. */
  readonly policy: PolicyChoice;
  /** Recordings; shown in the cover letter's order of their tests. */
  readonly files: readonly string[];
  /** Whether one of them runs for long, by a schedule beside it. */
  readonly isLong: (file: string) => boolean;
  /** Figures given by the user, in place of the authors'. */
  readonly reported?: Reported;
  /** Measures every node of the machine, not the CPU's alone. */
  readonly wholeMachine?: boolean;
  /** Node of the data on all of them; each one's own, or the nearest with memory, when absent. */
  readonly dataNode?: NodeId;
  /** Traffic beside the CPU that is measured; absent: none, and its own does not count. */
  readonly load?: Load;
  /** Measures what alignment gains in long runs, too. */
  readonly alignment?: boolean;
  /** Runs every test in so many drawn layouts, too. */
  readonly layouts?: LayoutRequest<Given & LayoutJob>;
  /** Tells whose text the cycles went to, and how much of that is to be shown. */
  readonly listed?: ListedPlaces;
  /** Tells when, too: a time line of each run. Means nothing without {@link CompareRequest.listed}. */
  readonly timeLines?: boolean;
  /** Called with both kernels as they booted: what a comparison does not keep of them. */
  readonly look?: (one: Booted, copies: Booted) => void;
}

/**
 * @param given what all jobs have in common, and whatever more their runner wants of it
 * @param kernel what is booted, and what was recorded
 * @param run what executes the jobs
 * @throws InputError of the only recordings there are, or of the kernel
 */
export async function compare<Given extends KernelJob>(
  given: Given,
  kernel: ReplayKernel,
  {
    policy: choice,
    files,
    isLong,
    reported: own,
    alignment = false,
    wholeMachine: all = false,
    dataNode,
    listed,
    timeLines = false,
    load,
    layouts,
    look,
  }: CompareRequest<Given>,
  run: JobRunner<Given & TraceJob>,
): Promise<CompareResult<Given>> {
  const policy = policyOf(choice);
  const { image, near, standing, ...seen } = seenOnce(given, kernel, policy, look);
  const { spec, where } = given;
  const node = spec.cpus.find((cpu) => cpu.id === where.cpu)!.node;
  const place = { nodeIndex: indexOf(spec, node), far: indexOf(spec, where.masterNode), near: indexOf(spec, near) };
  const dataOf = dataBeside(spec, where, dataNode, kernel.recorded.guest);
  const classes = all ? nodeClasses(spec, where.masterNode, standing.own, standing.nodes, dataOf) : [];
  const elsewhere = classes.filter(({ measured }) => measured.node !== node);
  const jobs = files.map((file): Given & TraceJob => ({
    ...given,
    // Both sides are built with patch 06: what its alignment spares is no gain of replication.
    alignment: "patch-06",
    policies: [singleCopy, policy],
    unaligned: alignment || !isLong(file),
    elsewhere: elsewhere.map(({ measured }) => ({
      cpu: measured.cpu,
      masterNode: where.masterNode,
      dataNode: dataOf(measured),
    })),
    ...(listed ? { located: true, timeLines } : {}),
    file,
  }));
  const outcomes = await run(jobs);
  const refused = outcomes.filter((each) => each instanceof InputError);
  const reported = reportedFor(spec, own);
  const pairs = outcomes
    .flatMap((outcome) => {
      if (outcome instanceof InputError) return [];
      const [single, perNode, unaligned] = outcome;
      return single && perNode ? [{ single, perNode, unaligned }] : [];
    })
    .sort((a, b) => orderOf(a.single) - orderOf(b.single));
  const nodes = { spec, master: where.masterNode, dataOf, own: standing.own, classes, elsewhere };
  const loaded = new LoadedTests(nodes, load);
  const drawn =
    layouts &&
    (await drawLayouts(
      layouts,
      jobs.filter((_, nth) => !(outcomes[nth] instanceof InputError)),
      { nodes, pairs, sides: (pair, cache) => loaded.sides(pair, cache) },
    ));
  const tests = pairs.flatMap((pair) =>
    (["hot", "cold"] as const).map((cache): Comparison => {
      const { single, perNode, unaligned } = pair;
      const { test } = single;
      const { single: before, perNode: after } = loaded.sides(pair, cache);
      const figures = (of: TraceMeasurement): KernelFigures => ({
        ...cycleAccount(of[cache], of === perNode ? after : before, place.nodeIndex),
        lines: lineCounts(of[cache], spec.nodes.length),
        work: of.work[cache],
        runs: cache === "cold" ? 1 : of.runs,
        settled: cache === "cold" || of.settled,
      });
      const own = gain(single[cache], perNode[cache], before, place.nodeIndex, after);
      const layout = drawn?.spread.of(pair, cache, standing.own, undefined, own.percent);
      return {
        test,
        file: single.file,
        cache,
        modelled: single.modelled,
        iterations: single.calls ?? 1,
        counted: test.call === undefined || single.calls !== undefined,
        pokes: single.pokes,
        singleCopy: figures(single),
        perNode: figures(perNode),
        gain: spreadBy(own, layout),
        ...(layout ? { layout } : {}),
        near: nearGain(single[cache], perNode[cache], before, place, {}, after),
        bound: bound(single[cache], before, place),
        boundBeyondL2: boundBeyondL2(single[cache], before, place),
        alignment: unaligned && gain(unaligned[cache], single[cache], before, place.nodeIndex).percent,
        reported: reported?.of(test, cache, single.calls ?? 1),
        carried: single.carried,
        statistics: single.statistics,
        copied: single.copied,
        ...(single.foreignLines && perNode.foreignLines
          ? { foreignLines: { singleCopy: single.foreignLines[cache], perNode: perNode.foreignLines[cache] } }
          : {}),
      };
    }),
  );
  const machine =
    all && pairs.length > 0 ? wholeMachine(nodes, pairs, (pair, cache) => loaded.sides(pair, cache)) : undefined;
  return {
    job: given,
    policy,
    kernel: image.name,
    recordedOn: kernel.recorded.name,
    tests,
    refused: [...refused, ...(drawn?.refused ?? [])],
    standing,
    reported,
    machine: machine && drawn ? drawn.spread.over(machine, pairs) : machine,
    ...(drawn ? { layouts: drawn.layouts } : {}),
    loaded: loaded.result(),
    ...(listed ? { listed, located: locatedIn(pairs, new TextSymbols(image, kernel.symbols())) } : {}),
    ...seen,
  };
}

/**
 * What both kernels say as they boot. First of all, because a kernel that cannot be had is known before anything has
 * been measured. Nothing runs on these, and nothing of them is kept: they would lie in memory as long as the tests run.
 */
function seenOnce(
  given: KernelJob,
  kernel: ReplayKernel,
  policy: KernelPolicy,
  look: CompareRequest["look"],
): Pick<CompareResult, "switchStores" | "process" | "memory" | "memoryCost" | "invariants" | "standing"> & {
  readonly image: Booted["image"];
  /** Node whose text the CPU runs where there are copies. */
  readonly near: NodeId;
} {
  const { spec, where } = given;
  const common = jobKernel(given, kernel);
  const booted = boot(common.with({ policy }));
  const plain = boot(common.with({ policy: singleCopy }));
  const cost = memoryCost(takeFootprint(plain), takeFootprint(booted));
  const memory = booted.memory();
  const invariants = booted.checkInvariants();
  look?.(plain, booted);
  const node = spec.cpus.find((cpu) => cpu.id === where.cpu)!.node;
  return {
    image: booted.image,
    near: booted.view.nearest(node),
    standing: standingOf(spec, where, booted.view),
    switchStores: firstSwitchStores(booted, spec.cpus, node),
    process: processBytes(plain, booted, where.cpu),
    memory,
    memoryCost: cost,
    invariants,
  };
}

function locatedIn(
  pairs: readonly { readonly single: TraceMeasurement; readonly perNode: TraceMeasurement }[],
  symbols: TextSymbols,
): Located {
  return {
    symbols,
    tests: pairs.flatMap(({ single, perNode }) =>
      (["hot", "cold"] as const).map((cache) => ({
        test: single.test,
        file: single.file,
        cache,
        iterations: single.calls ?? 1,
        singleCopy: single.located![cache],
        perNode: perNode.located![cache],
      })),
    ),
  };
}

/** The cover letter's tests in its order; the others behind them, as their files are. */
function orderOf({ test }: TraceMeasurement): number {
  const known = traceTests.findIndex((each) => each.name === test.name);
  return known < 0 ? traceTests.length : known;
}

/** Counted by doing it: a process that ran on one node switches to a CPU of another. */
function firstSwitchStores({ assembly, entries }: Booted, cpus: readonly CpuSpec[], node: NodeId): number {
  const cpuOn = (wanted: (of: NodeId) => boolean): CpuId | undefined => cpus.find((cpu) => wanted(cpu.node))?.id;
  const [here, there] = [cpuOn((of) => of === node), cpuOn((of) => of !== node)];
  if (here === undefined || there === undefined) return 0;
  const processes = assembly.get(Processes);
  const process = processes.spawn(here);
  if (!process) return 0;
  processes.run(process, here);
  const before = entries.replicaStores;
  processes.run(process, there);
  return entries.replicaStores - before;
}
