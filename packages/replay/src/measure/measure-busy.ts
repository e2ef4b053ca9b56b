/**
 * One recording on many CPUs at once, each as a process of its own with data on its own node, on kernels that differ in
 * their policy: what each CPU counts, caches cold and hot. Job and measurement are plain data. Long recordings are run
 * in part.
 */
import type { CpuId, NodeId } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import {
  boot,
  type Booted,
  framesBeyond,
  type Kernel,
  policyOf,
  RecordedPages,
  type RunnerPlaces,
  runnerPlaces,
} from "@kreplica/kernel";
import type { TraceTest } from "@kreplica/trace";
import { rightlyBlaming } from "../replay/blame.js";
import { BusyReplayer } from "../replay/busy-replayer.js";
import { FrameLists } from "../replay/frame-lists.js";
import type { RecordedRun } from "../replay/load.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { Replayer } from "../replay/replayer.js";
import { shareOf } from "../replay/sampled-run.js";
import { type BusyCount, countTogether, type WorkingCpu } from "./counted-cpus.js";
import { placeIn } from "./elsewhere.js";
import { loadOn } from "./load-on.js";
import type { TraceJob } from "./measure-trace.js";
import { indexOf, otherCpus } from "./placement.js";
import { replaySetup, type ReplaySetup } from "./replay-setup.js";

/** A CPU that runs the recording, and the node of its data. */
export interface BusyCpu {
  readonly cpu: CpuId;
  readonly dataNode: NodeId;
}

/** Another recording that CPUs run at the same time. */
export interface BusyNeighbour {
  /** As errors name it. */
  readonly file: string;
  /** None of them one of those that are measured. */
  readonly cpus: readonly BusyCpu[];
}

/** What is to be measured: plain data, so that it can run in a worker. */
export interface BusyJob extends Pick<
  TraceJob,
  "spec" | "where" | "pti" | "levels" | "seed" | "work" | "alignment" | "file" | "policies"
> {
  /** Without order; one alone has to be the job's own, with its data where the job has it. */
  readonly busy: readonly BusyCpu[];
  /** Absent: all other CPUs idle. */
  readonly neighbour?: BusyNeighbour;
}

/** One recording on all of a job's CPUs. */
export interface BusyRuns {
  readonly test: TraceTest;
  /** Part of the recording that was run; 1 where it was run whole. */
  readonly share: number;
  /** For each policy a count for each CPU, by id. */
  readonly counts: readonly (readonly BusyCount[])[];
  /** The same of the neighbour. */
  readonly neighbour?: Pick<BusyRuns, "test" | "share" | "counts">;
}

/**
 * @param run the recording @param kernel what is booted, and what was recorded
 * @param neighbour the recording that the job names as neighbour
 * @throws TraceError, MmError; InputError also where a node has no room for so many processes
 */
export function measureBusy(job: BusyJob, run: RecordedRun, kernel: ReplayKernel, neighbour?: RecordedRun): BusyRuns {
  const blaming = <T>(recorded: RecordedRun | undefined, work: () => T): T =>
    recorded ? rightlyBlaming(recorded.recording, kernel.recorded.name, work) : work();
  return blaming(run, () => blaming(neighbour, () => measured(job, run, kernel, neighbour)));
}

/** A recording, once it is placed on each of its CPUs. */
interface Placed {
  readonly test: TraceTest;
  readonly share: number;
  /** For each kernel. */
  readonly cpus: readonly (readonly WorkingCpu[])[];
}

function measured(job: BusyJob, run: RecordedRun, kernel: ReplayKernel, neighbour?: RecordedRun): BusyRuns {
  const { spec, where } = job;
  const setup = replaySetup(job, run, kernel);
  const common = setup.kernelAt(where);
  // The first one's windows are the kernel's: its data is where the kernel was booted to have it.
  const busy = [...job.busy].sort((a, b) => Number(b.cpu === where.cpu) - Number(a.cpu === where.cpu) || a.cpu - b.cpu);
  const beside = [...(job.neighbour?.cpus ?? [])].sort((a, b) => a.cpu - b.cpu);
  if (busy.length + beside.length === 1) return measuredAlone(job, run, kernel, setup, common);
  const places = placesOf(job, [...busy, ...beside], common, setup.guest);
  const kept = places.flatMap(({ windows }) => windows.filter((each) => !places[0]!.windows.includes(each)));
  const kernels = job.policies.map((choice) => {
    const lists = new FrameLists();
    const booted = boot(
      common.with({
        policy: policyOf(choice),
        reserved: [...(common.choices.reserved ?? []), ...kept],
        plugins: [...(common.choices.plugins ?? []), lists.plugin],
      }),
    );
    booted.recorded.runsOn(where.cpu);
    return { booted, lists };
  });
  /** Several of them, each a process of its own with pages of its own. */
  const placed = (recorded: RecordedRun, { guest, copied }: ReplaySetup, own: readonly RunnerPlaces[]): Placed => {
    const runners = own.map((each) =>
      kernels.map(({ booted, lists }) => {
        const nodes = [where.masterNode, each.windows.at(-1)!.node] as const;
        const pages = new RecordedPages(booted, nodes, guest, undefined, each);
        pages.runsOn(each.cpu);
        return { booted: { ...booted, recorded: pages }, lists };
      }),
    );
    // The first recording's pages are the kernel's too, as where one CPU runs alone; another's are its CPUs'.
    const { loaded } = loadOn(recorded, kernel, recorded === run ? kernels : runners[0]!, {
      guest,
      visits: job.work !== false && !copied,
      cpus: own.map(({ cpu }) => cpu),
    });
    const workloads = runners.map((mine, nth) => {
      for (const { lists } of mine) lists.current = own[nth]!.cpu;
      return loaded.workload.placed(placeIn(mine));
    });
    const cpus = kernels.map((_, of) =>
      runners.map((mine, nth): WorkingCpu => {
        const replayer = new BusyReplayer(mine[of]!.booted, own[nth]!.cpu, loaded.measured);
        return [replayer, workloads[nth]!];
      }),
    );
    return { test: loaded.test, share: shareOf(loaded.workload), cpus };
  };
  const own = placed(run, setup, places.slice(0, busy.length));
  const other =
    job.neighbour && neighbour
      ? placed(
          neighbour,
          replaySetup({ ...job, file: job.neighbour.file }, neighbour, kernel),
          places.slice(busy.length),
        )
      : undefined;
  const found = kernels.map(({ lists }, of) => countTogether(spec, own.cpus[of]!, other?.cpus[of], lists));
  return {
    test: own.test,
    share: own.share,
    counts: found.map(({ counts }) => counts),
    ...(other ? { neighbour: { test: other.test, share: other.share, counts: found.map((each) => each.beside) } } : {}),
  };
}

/** One CPU by itself, as a comparison runs it. */
function measuredAlone(
  job: BusyJob,
  run: RecordedRun,
  kernel: ReplayKernel,
  { guest, copied }: ReplaySetup,
  common: Kernel,
): BusyRuns {
  const { spec, where } = job;
  const kernels = job.policies.map((choice) => ({ booted: boot(common.with({ policy: policyOf(choice) })) }));
  for (const { booted } of kernels) booted.recorded.runsOn(where.cpu);
  const { loaded } = loadOn(run, kernel, kernels, {
    guest,
    visits: job.work !== false && !copied,
    cpus: [where.cpu],
  });
  const { test, measured: vcpu, workload } = loaded;
  const others = otherCpus(spec, where, vcpu, guest);
  const counts = kernels.map(
    ({ booted }) => countTogether(spec, [[new Replayer(booted, where.cpu, vcpu, others), workload]]).counts,
  );
  return { test, share: shareOf(workload), counts };
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
    reason: `node ${found} has no room for the memory of ${busy.filter(({ dataNode }) => dataNode === found).length} processes of a recording, which take at most half of it`,
    remedy: "let fewer CPUs of every node run it, or give the node more memory",
  });
}
