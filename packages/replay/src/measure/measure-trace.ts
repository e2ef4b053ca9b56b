/**
 * One recording on one or several kernels, cold and hot: the part of a comparison that takes time. Job and measurement
 * are plain data, so that it can run in a worker.
 */
import type { MachineSpec } from "@kreplica/hw-x86";
import { boot, type Kernel, type PolicyChoice, policyOf } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import { type TraceStatistics, type TraceTest } from "@kreplica/trace";
import { rightlyBlaming } from "../replay/blame.js";
import type { RecordedRun } from "../replay/load.js";
import type { Carried } from "../replay/other-kernel.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { SampledRun, shareOf, wholeOf } from "../replay/sampled-run.js";
import { type DemandRuns, demandRuns, onDemand } from "./demand-runs.js";
import { type NodeRun, runElsewhere } from "./elsewhere.js";
import { type LocatedCycles, LocatedReplayer } from "../replay/located-replayer.js";
import { pricingOf } from "./causes.js";
import { type HotCold, measureHotColdAt } from "./hot-cold.js";
import { type KernelJob } from "./kernel-job.js";
import { loadOn } from "./load-on.js";
import { replayerBeside } from "./pressed.js";
import { timeLineRecorder } from "./text-names.js";
import { TextSymbols } from "./text-symbols.js";
import { indexOf, otherCpus, type Where } from "./placement.js";
import { replaySetup } from "./replay-setup.js";

/** What is to be measured. */
export interface TraceJob extends KernelJob {
  /** As its measurements and errors name it. */
  readonly file: string;
  /** A kernel each. */
  readonly policies: readonly PolicyChoice[];
  /** One copy with the ends of text and rodata as recorded, too: what patch 06's alignment gains by itself. */
  readonly unaligned?: boolean;
  /** CPUs of other nodes, with their data: each policy is run there, too. */
  readonly elsewhere?: readonly Where[];
  /** Whose text the cycles go to is told, too. */
  readonly located?: boolean;
  /** And when: each run's time line. Means nothing without {@link TraceJob.located}. */
  readonly timeLines?: boolean;
  /**
   * Machines that differ from `spec` in latencies and costs alone, which no count depends on: each measurement says
   * what it would be on them, too.
   */
  readonly alsoPriced?: readonly MachineSpec[];
  /** Long recordings are run in part on the first CPU, as they are elsewhere. */
  readonly inPart?: boolean;
  /** Where copies come on demand, one's coming and going on the first CPU is executed, too. */
  readonly demand?: boolean;
}

/** One recording on one kernel. */
export interface TraceMeasurement extends HotCold {
  readonly file: string;
  readonly policy: string;
  /** The kernel of {@link TraceJob.unaligned}. */
  readonly unaligned: boolean;
  readonly test: TraceTest;
  /** The long run is modelled from recorded stretches. */
  readonly modelled: boolean;
  /** What {@link TraceJob.elsewhere} asked for, in its order. */
  readonly elsewhere: readonly NodeRun[];
  /** What the same part of the run as elsewhere says of it; undefined where nothing is run in part. */
  readonly sampled: { readonly cold: Float64Array; readonly hot: Float64Array } | undefined;
  /** What {@link TraceJob.alsoPriced} asked for, in its order. */
  readonly priced: readonly HotCold[];
  /** References of one run. */
  readonly references: number;
  readonly devices: number;
  /** Calls of the test's system call in one run; undefined when they could not be counted. */
  readonly calls: number | undefined;
  /** Changes of kernel text in one run, which the model makes in no copy. */
  readonly pokes: number;
  /** What lies where in a recording of a kernel that the user named. */
  readonly statistics: TraceStatistics | undefined;
  /** Text was fetched from elsewhere than the image: the recorded kernel had copies. */
  readonly copied: boolean;
  /** On a kernel that is not the traced one: what became of recorded addresses of its image. */
  readonly carried?: Carried;
  /** Whose text the cycles went to, by {@link CAUSES}; undefined unless asked for. */
  readonly located?: { readonly cold: LocatedCycles; readonly hot: LocatedCycles };
  /** What {@link TraceJob.demand} asked for; undefined where copies do not come on demand, or none comes here. */
  readonly demand?: DemandRuns | undefined;
}

/** A measurement before anything is run elsewhere. */
export type KernelMeasurement = Omit<TraceMeasurement, "elsewhere" | "demand">;

/**
 * Measures a recording on kernels booted for it, so that no measurement depends on those before it. It is decoded once
 * and its pages are placed in all of the kernels alike, so that they differ in their policy and in nothing else.
 *
 * @param run the recording
 * @param kernel what is booted, and what was recorded
 * @param hear is told of each measurement as it is made, so that it can be kept should the next not come to its end
 * @returns a measurement for each policy, and behind them the unaligned kernel's
 * @throws TraceError, InputError, MmError
 */
export function measureTrace(
  job: TraceJob,
  run: RecordedRun,
  kernel: ReplayKernel,
  hear?: (measurement: KernelMeasurement) => void,
): TraceMeasurement[] {
  return rightlyBlaming(run.recording, kernel.recorded.name, () => measured(job, run, kernel, hear));
}

function measured(
  job: TraceJob,
  run: RecordedRun,
  kernel: ReplayKernel,
  hear?: (measurement: KernelMeasurement) => void,
): TraceMeasurement[] {
  const { spec, where, file, policies } = job;
  const nodeIndex = indexOf(spec, spec.cpus.find((cpu) => cpu.id === where.cpu)!.node);
  const { other } = kernel;
  const { guest, copied, kernelAt } = replaySetup(job, run, kernel);
  const common = kernelAt(where);
  const kernels = [
    ...policies.map((choice) => {
      const policy = policyOf(choice);
      return { policy: policy.name, unaligned: false, booted: boot(common.with({ policy })) };
    }),
    ...(job.unaligned
      ? [
          {
            policy: singleCopy.name,
            unaligned: true,
            booted: boot(kernelAt(where, { alignment: "recorded" }).with({ policy: singleCopy })),
          },
        ]
      : []),
  ];
  for (const { booted } of kernels) booted.recorded.runsOn(where.madeOn ?? where.cpu);
  const { image } = kernels[0]!.booted;
  const elsewhere = job.elsewhere ?? [];
  const { loaded, carried } = loadOn(run, kernel, kernels, {
    guest,
    // What a kernel with copies did for them is in its recording.
    visits: job.work !== false && !copied,
    cpus: [where, ...elsewhere].map(({ cpu }) => cpu),
    located: job.located ?? false,
  });
  const { test, measured: vcpu, workload, modelled, devices, calls, pokes, statistics, retired } = loaded;
  const pricing = retired && pricingOf(spec, nodeIndex);
  const symbols = job.timeLines ? new TextSymbols(image, kernel.symbols()) : undefined;
  const recorderOf = symbols && (() => timeLineRecorder(symbols));
  const share = shareOf(workload);
  const measurements = kernels.map(({ policy, unaligned, booted }): KernelMeasurement => {
    const others = otherCpus(spec, where, vcpu, guest);
    const located: LocatedCycles[] = [];
    const watched =
      pricing && !unaligned
        ? new LocatedReplayer(booted, where.cpu, vcpu, others, pricing, retired, recorderOf)
        : undefined;
    const replayer = watched ?? replayerBeside(job, nodeIndex, booted, where.cpu, vcpu, others, workload);
    const inPart = job.inPart === true && share !== 1;
    const runs = measureHotColdAt(
      replayer,
      inPart ? new SampledRun(workload) : workload,
      [spec, ...(job.alsoPriced ?? [])],
      nodeIndex,
      () => {
        if (watched) located.push(watched.located);
      },
    );
    const instructions = replayer.instructionsOf(workload);
    const [measured, ...priced] = inPart
      ? runs.map((each) => ({ ...each, ...wholeOf(each.windows, workload, instructions) }))
      : runs;
    const measurement = {
      ...measured!,
      priced,
      file,
      policy,
      unaligned,
      sampled: share === 1 || inPart ? undefined : wholeOf(measured!.windows, workload, instructions),
      test,
      modelled,
      references: workload.length,
      devices,
      calls,
      pokes,
      statistics,
      copied,
      ...(other ? { carried } : {}),
      ...(watched ? { located: { cold: located[0]!, hot: located.at(-1)! } } : {}),
    };
    hear?.(measurement);
    return measurement;
  });
  // Behind the others, whose figures must be what they are without.
  const recording = { spec, pressure: job.pressure, seed: job.seed, workload, vcpu, guest };
  const kernelsAt = (there: Where): Kernel[] => {
    const common = kernelAt(there);
    return policies.map((choice) => common.with({ policy: policyOf(choice) }));
  };
  const runs = elsewhere.map((there) => runElsewhere(recording, there, kernelsAt(there)));
  const demand =
    job.demand === true
      ? kernelsAt(where).map((each) => (onDemand(each.policy) ? demandRuns(recording, where, each) : undefined))
      : [];
  return measurements.map((each, nth) => ({
    ...each,
    elsewhere: each.unaligned ? [] : runs.map((run) => run[nth]!),
    ...(each.unaligned || !demand[nth] ? {} : { demand: demand[nth] }),
  }));
}
