/**
 * One recording on many CPUs at once, each as a process of its own with data on its own node, on kernels that differ in
 * their policy: what each CPU counts, caches cold and hot. Job and measurement are plain data. Long recordings are run
 * in part.
 */
import type { CpuId, MachineSpec, NodeId } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import {
  boot,
  type Booted,
  framesBeyond,
  policyOf,
  RecordedPages,
  type RunnerPlaces,
  runnerPlaces,
} from "@kreplica/kernel";
import type { TraceTest } from "@kreplica/trace";
import { rightlyBlaming } from "../replay/blame.js";
import { BusyReplayer } from "../replay/busy-replayer.js";
import { CycleClock } from "../replay/cycle-clock.js";
import { FrameLists } from "../replay/frame-lists.js";
import { interleave, RunningCpu } from "../replay/interleaved.js";
import type { RecordedRun } from "../replay/load.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { Replayer, type Run, type Workload } from "../replay/replayer.js";
import { SampledRun, shareOf, wholeOf } from "../replay/sampled-run.js";
import { pricingOf } from "./causes.js";
import { placeIn } from "./elsewhere.js";
import { hasSettled, MOST_RUNS } from "./hot-cold.js";
import { loadOn } from "./load-on.js";
import type { TraceJob } from "./measure-trace.js";
import { indexOf, otherCpus } from "./placement.js";
import { replaySetup } from "./replay-setup.js";

/** A CPU that runs the recording, and the node of its data. */
export interface BusyCpu {
  readonly cpu: CpuId;
  readonly dataNode: NodeId;
}

/** What is to be measured: plain data, so that it can run in a worker. */
export interface BusyJob extends Pick<
  TraceJob,
  "spec" | "where" | "pti" | "levels" | "seed" | "work" | "alignment" | "file" | "policies"
> {
  /** Without order; one alone has to be the job's own, with its data where the job has it. */
  readonly busy: readonly BusyCpu[];
}

/** What one CPU counted. */
export interface BusyCount {
  readonly cpu: CpuId;
  /** First run, begun by all at once with every cache empty. */
  readonly cold: Float64Array;
  /** A run that settled while all others went on. */
  readonly hot: Float64Array;
  /** Runs until then, the cold one included. */
  readonly runs: number;
  readonly settled: boolean;
}

/** One recording on all of a job's CPUs. */
export interface BusyRuns {
  readonly test: TraceTest;
  /** Part of the recording that was run; 1 where it was run whole. */
  readonly share: number;
  /** For each policy a count for each CPU, by id. */
  readonly counts: readonly (readonly BusyCount[])[];
}

/**
 * @param run the recording @param kernel what is booted, and what was recorded
 * @throws TraceError, MmError; InputError also where a node has no room for so many processes
 */
export function measureBusy(job: BusyJob, run: RecordedRun, kernel: ReplayKernel): BusyRuns {
  return rightlyBlaming(run.recording, kernel.recorded.name, () => measured(job, run, kernel));
}

function measured(job: BusyJob, run: RecordedRun, kernel: ReplayKernel): BusyRuns {
  const { spec, where } = job;
  const { guest, copied, kernelAt } = replaySetup(job, run, kernel);
  const common = kernelAt(where);
  // The first one's windows are the kernel's: its data is where the kernel was booted to have it.
  const busy = [...job.busy].sort((a, b) => Number(b.cpu === where.cpu) - Number(a.cpu === where.cpu) || a.cpu - b.cpu);
  const alone = busy.length === 1;
  const places = alone ? [] : placesOf(job, busy, common, guest);
  const kept = places.flatMap(({ windows }) => windows.filter((each) => !places[0]!.windows.includes(each)));
  const kernels = job.policies.map((choice) => ({
    booted: boot(
      common.with({
        policy: policyOf(choice),
        ...(alone ? {} : { reserved: [...(common.choices.reserved ?? []), ...kept] }),
      }),
    ),
  }));
  for (const { booted } of kernels) booted.recorded.runsOn(where.cpu);
  const { loaded } = loadOn(run, kernel, kernels, {
    guest,
    visits: job.work !== false && !copied,
    cpus: busy.map(({ cpu }) => cpu),
  });
  const { test, measured: vcpu, workload } = loaded;
  const share = shareOf(workload);
  if (alone) {
    const others = otherCpus(spec, where, vcpu, guest);
    const counts = kernels.map(({ booted }) =>
      together(spec, [[new Replayer(booted, where.cpu, vcpu, others), workload]]),
    );
    return { test, share, counts };
  }
  const lists = kernels.map(({ booted }) => new FrameLists(booted.machine, booted.allocator));
  const runners = places.map((own) => {
    const mine = kernels.map(({ booted }, nth) => {
      const nodes = [where.masterNode, own.windows.at(-1)!.node] as const;
      const recorded = new RecordedPages(booted, nodes, guest, undefined, own);
      recorded.runsOn(own.cpu);
      lists[nth]!.current = own.cpu;
      return { booted: { ...booted, recorded } };
    });
    return { mine, workload: workload.placed(placeIn(mine)) };
  });
  const counts = kernels.map((_, nth) =>
    together(
      spec,
      runners.map(({ mine, workload: own }, at) => [new BusyReplayer(mine[nth]!.booted, places[at]!.cpu, vcpu), own]),
      lists[nth],
    ),
  );
  return { test, share, counts };
}

/** Runs all of them at once. @returns by CPU */
function together(
  spec: MachineSpec,
  runners: readonly (readonly [Replayer, Workload])[],
  lists?: FrameLists,
): BusyCount[] {
  const counted = runners.map(([replayer, workload]) => new CountedCpu(spec, replayer, workload));
  runners[0]![0].chill();
  const cpus = counted.map(({ running }) => running);
  interleave(
    cpus,
    () => counted.every(({ found }) => found !== undefined),
    ({ replayer }) => {
      if (lists) lists.current = replayer.cpu;
    },
  );
  return counted.map(({ found }) => found!).sort((a, b) => a.cpu - b.cpu);
}

/** A CPU that runs until it has settled, and then goes on. */
class CountedCpu {
  readonly running: RunningCpu;
  found: BusyCount | undefined;
  private runs = 0;
  private cold: Run | undefined;
  private before: Run | undefined;
  private readonly nodeIndex: number;
  private readonly instructions: Float64Array;
  private readonly share: number;

  constructor(
    private readonly spec: MachineSpec,
    private readonly replayer: Replayer,
    private readonly workload: Workload,
  ) {
    this.nodeIndex = indexOf(spec, replayer.booted.machine.nodeOfCpu(replayer.cpu));
    const clock = new CycleClock(replayer, pricingOf(spec, this.nodeIndex).price, workload);
    this.instructions = replayer.instructionsOf(workload);
    this.share = shareOf(workload);
    this.running = new RunningCpu(replayer, this.share === 1 ? workload : new SampledRun(workload), clock, (run) => {
      this.ended(run);
    });
  }

  private ended(run: Run): void {
    this.runs++;
    if (this.found) return;
    const { before } = this;
    this.before = run;
    if (!before) {
      this.cold = run;
      return;
    }
    const settled = hasSettled(run, before, this.spec, this.nodeIndex);
    if (!settled && this.runs < MOST_RUNS) return;
    const cold = this.cold!;
    this.found = {
      cpu: this.replayer.cpu,
      ...(this.share === 1
        ? { cold: cold.counters, hot: run.counters }
        : wholeOf({ cold: cold.windows, hot: run.windows }, this.workload, this.instructions)),
      runs: this.runs,
      settled,
    };
  }
}

function placesOf(
  { spec, where }: BusyJob,
  busy: readonly BusyCpu[],
  kernel: { readonly image: Booted["image"] },
  guest: Parameters<typeof framesBeyond>[1],
): readonly RunnerPlaces[] {
  const found = runnerPlaces(spec, guest, [where.masterNode, where.dataNode], busy, framesBeyond(kernel.image, guest));
  if (typeof found !== "number") return found;
  throw new InputError({
    file: spec.name,
    field: `nodes[${indexOf(spec, found)}].memoryBytes`,
    reason: `node ${found} has no room for the memory of ${busy.filter(({ dataNode }) => dataNode === found).length} processes of the recording, which take at most half of it`,
    remedy: "let fewer CPUs of every node run it, or give the node more memory",
  });
}
