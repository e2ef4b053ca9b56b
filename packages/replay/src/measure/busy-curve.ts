/**
 * What copies gain where many CPUs run the same recording at once: a curve over how many of every node do. Traffic is
 * all of theirs: latencies are those of links and controllers as busy as they leave them, for each kernel its own.
 */
import type { CpuId, MachineSpec, NodeId } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import type { PolicyChoice } from "@kreplica/kernel";
import { invariant, singleCopy } from "@kreplica/mm-core";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { cpusBeside } from "./beside.js";
import { type BusyPoint, pointOf } from "./busy-point.js";
import { Interconnect, type Resource } from "./interconnect.js";
import type { KernelJob } from "./kernel-job.js";
import type { Load } from "./loaded-tests.js";
import type { BusyCpu, BusyJob, BusyRuns } from "./measure-busy.js";
import { dataBeside } from "./node-classes.js";
import { cpusAtOnce } from "./placement.js";
import type { Standing } from "./standing.js";
import { STATES } from "./whole-machine.js";

/** The curve of every test. */
export interface BusyCurve {
  /** As asked for, ascending. */
  readonly cpusPerNode: readonly number[];
  readonly beside: Beside;
  readonly resources: readonly Resource[];
  /** Test by test, cold before hot, ascending by CPUs. */
  readonly points: readonly BusyPoint[];
  readonly refused: readonly InputError[];
}

/** What runs beside the CPUs that are counted on. */
export interface Beside {
  /** Recording of the neighbour, run by as many CPUs as run the test; absent: none. */
  readonly neighbour?: string;
  /** The other thread of each core runs it, or the same test where there is no neighbour; absent: it idles. */
  readonly threads?: boolean;
}

/** Runs jobs, in their order. @returns what each counted, or why its recording was refused */
export type BusyRunner<Job extends BusyJob = BusyJob> = (
  jobs: readonly Job[],
) => Promise<readonly (BusyRuns | InputError)[]>;

/** What a curve is asked for. */
export interface BusyRequest {
  /** Compared with a single copy. */
  readonly policy: PolicyChoice;
  /** In the order in which they are shown. */
  readonly files: readonly string[];
  /** CPUs of every node, ascending. */
  readonly cpusPerNode: readonly number[];
  readonly standing: Standing;
  /** Of the data on all nodes; each one's own, or the nearest with memory, when absent. */
  readonly dataNode?: NodeId;
  /** What others use of links and controllers; absent: nothing. */
  readonly load?: Load;
  /** Absent: nothing. */
  readonly beside?: Beside;
}

/**
 * @param given what all jobs have in common
 * @param run what executes the jobs
 */
export async function busyCurve<Given extends KernelJob>(
  given: Given,
  kernel: ReplayKernel,
  { policy, files, cpusPerNode, standing, dataNode, load, beside = {} }: BusyRequest,
  run: BusyRunner<Given & BusyJob>,
): Promise<BusyCurve> {
  const { spec, where } = given;
  const dataOf = dataBeside(spec, where, dataNode, kernel.recorded.guest);
  const nodeOf = new Map(spec.cpus.map(({ id, node }) => [id, node]));
  const standingOf = new Map(standing.nodes.map((each) => [each.node, each]));
  const busyCpu = (cpu: number): BusyCpu => {
    if (cpu === where.cpu) return { cpu, dataNode: where.dataNode };
    return { cpu, dataNode: dataOf({ ...standingOf.get(nodeOf.get(cpu)!)!, cpu }) };
  };
  const jobs = files.flatMap((file) =>
    cpusPerNode.map((count): Given & BusyJob & { readonly count: number } => ({
      ...given,
      alignment: "patch-06",
      policies: [singleCopy, policy],
      file,
      count,
      ...whoRuns(spec, cpusAtOnce(spec, where, count), beside, busyCpu),
    })),
  );
  const outcomes = await run(jobs);
  const paths = new Interconnect(spec);
  const background = load?.background ?? new Float64Array(paths.resources.length);
  const points = jobs.flatMap((job, nth): BusyPoint[] => {
    const found = outcomes[nth]!;
    if (found instanceof InputError) return [];
    return STATES.map((cache) =>
      pointOf(spec, where.masterNode, paths, { text: load?.text ?? "", cpusPerNode: job.count, background }, standing, {
        file: job.file,
        cache,
        found,
      }),
    );
  });
  const order = (each: BusyPoint): number => files.indexOf(each.file) * 2 + STATES.indexOf(each.cache);
  return {
    cpusPerNode,
    beside,
    resources: paths.resources,
    points: points.sort((a, b) => order(a) - order(b) || a.cpusPerNode - b.cpusPerNode),
    refused: outcomes.filter((each) => each instanceof InputError),
  };
}

/** The CPUs of a job. @param cpus that run the test whatever is beside them @param at with the node of its data */
function whoRuns(
  spec: MachineSpec,
  cpus: readonly CpuId[],
  { neighbour, threads = false }: Beside,
  at: (cpu: CpuId) => BusyCpu,
): Pick<BusyJob, "busy" | "neighbour"> {
  const busy = cpus.map(at);
  if (neighbour === undefined && !threads) return { busy };
  const others = cpusBeside(spec, cpus, threads);
  invariant(others !== undefined, "more CPUs are asked for than there are, which is refused before");
  const beside = others.map(at);
  return neighbour === undefined
    ? { busy: [...busy, ...beside] }
    : { busy, neighbour: { file: neighbour, cpus: beside } };
}
