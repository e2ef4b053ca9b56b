/** The main job: the recorded tests on a kernel with one copy and on one with a copy per node, and what the difference is. */
import { type Booted, boot } from "../boot.js";
import { type MemoryAccount, memoryCost, type MemoryCost, takeFootprint } from "../accounting.js";
import type { WorkDone } from "../replay/replication-work.js";
import { traceTests, type TraceTest } from "../trace/tests.js";
import { type CycleAccount, cycleAccount, type LineCounts, lineCounts } from "./cycle-account.js";
import { bound, type Gain, gain } from "./gain.js";
import type { Carried } from "../replay/other-kernel.js";
import { replayKernel } from "../replay/replay-kernel.js";
import { tracedKernel } from "../traced-kernel.js";
import { bootOptions, type KernelJob, type TraceJob, type TraceMeasurement } from "./measure-trace.js";
import { indexOf } from "./placement.js";

export type CacheState = "hot" | "cold";

/** One test in one state of the caches. */
export interface Comparison {
  readonly test: TraceTest;
  readonly file: string;
  readonly cache: CacheState;
  readonly modelled: boolean;
  /** Calls of the test's system call that were recorded; where none could be counted 1, so that figures per iteration are totals. */
  readonly iterations: number;
  readonly counted: boolean;
  readonly singleCopy: KernelFigures;
  readonly perNode: KernelFigures;
  readonly gain: Gain;
  /** Most that the place of the text can explain, percent. */
  readonly bound: number;
  /** What the authors reported, percent; undefined for a test they did not run, or not at this length. */
  readonly reported: number | undefined;
  /** On a kernel that is not the traced one: what became of recorded addresses of the image. */
  readonly carried: Carried | undefined;
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

/** Everything the report shows. */
export interface CompareResult {
  readonly job: KernelJob;
  /** Policy of the kernel that `perNode` names. */
  readonly policy: string;
  /** Kernel that was booted. */
  readonly kernel: string;
  /** Kernel the recordings were made on. */
  readonly recordedOn: string;
  readonly tests: readonly Comparison[];
  readonly memory: MemoryAccount;
  /** Against a booted kernel with one copy. */
  readonly memoryCost: MemoryCost;
  readonly invariants: ReturnType<Booted["checkInvariants"]>;
}

/** Runs jobs; {@link measureTrace} one after the other, or in workers. @returns what each job's policies measured, in their order */
export type JobRunner = (jobs: readonly TraceJob[]) => Promise<readonly (readonly TraceMeasurement[])[]>;

/**
 * @param policy compared with a single copy
 * @param files recordings; shown in the cover letter's order of their tests
 * @param run what executes the jobs
 */
export async function compare(given: KernelJob, policy: string, files: readonly string[], run: JobRunner): Promise<CompareResult> {
  const policies = ["single-copy", policy];
  // First, because a kernel that cannot be had is known before anything has been measured; nothing runs on these.
  const kernel = await replayKernel(given.kernel);
  const booted = boot(bootOptions(given, policy, kernel));
  const cost = memoryCost(takeFootprint(boot(bootOptions(given, "single-copy", kernel))), takeFootprint(booted));
  const memory = booted.memory();
  const invariants = booted.checkInvariants();
  const measured = await run(files.map((file): TraceJob => ({ ...given, policies, file })));
  const { spec, where } = given;
  const node = spec.cpus.find((cpu) => cpu.id === where.cpu)!.node;
  const cpuIndex = indexOf(spec, node);
  const near = indexOf(spec, booted.view.nearest(node));
  const far = indexOf(spec, where.masterNode);
  const figures = (of: TraceMeasurement, cache: CacheState): KernelFigures => ({
    ...cycleAccount(of[cache], spec, cpuIndex), lines: lineCounts(of[cache], spec.nodes.length), work: of.work[cache],
    runs: cache === "cold" ? 1 : of.runs, settled: cache === "cold" || of.settled,
  });
  const pairs = measured.map(([single, replicated]) => ({ single: single!, perNode: replicated! }));
  const order = (of: TraceMeasurement): number => traceTests.findIndex((test) => test.id === of.testId);
  const tests = pairs.sort((a, b) => order(a.single) - order(b.single))
    .flatMap(({ single: one, perNode: each }) => (["hot", "cold"] as const).map((cache): Comparison => {
      const test = traceTests[order(one)]!;
      return {
        test, file: one.file, cache, modelled: one.modelled, iterations: one.calls ?? 1, counted: test.call === undefined || one.calls !== undefined,
        singleCopy: figures(one, cache), perNode: figures(each, cache),
        gain: gain(one[cache], each[cache], spec, cpuIndex), bound: bound(one[cache], spec, cpuIndex, far, near),
        reported: (one.calls ?? 1) === test.iterations ? test.reported?.[cache] : undefined, carried: one.carried,
      };
    }));
  return { job: given, policy, kernel: booted.image.name, recordedOn: tracedKernel("recorded").name, tests, memory, memoryCost: cost, invariants };
}
