/**
 * What copies gain where many CPUs run the same recording at once: a curve over how many of every node do. Traffic is
 * all of theirs: latencies are those of links and controllers as busy as they leave them, for each kernel its own.
 */
import { account, CounterLayout, Kind, type MachineSpec, type NodeId, Source } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import type { PolicyChoice } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import type { TraceTest } from "@kreplica/trace";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { Region } from "../replay/program.js";
import { CORNERS, gainsAtCorners, percentGained } from "./corners.js";
import { type Gain, nearGain, within } from "./gain.js";
import { Interconnect, type Resource } from "./interconnect.js";
import type { KernelJob } from "./kernel-job.js";
import { balances, type Load } from "./loaded-tests.js";
import type { BusyCount, BusyCpu, BusyJob, BusyRuns } from "./measure-busy.js";
import { dataBeside } from "./node-classes.js";
import { cpusAtOnce, cpusOf, indexOf } from "./placement.js";
import type { NodeStanding, Standing } from "./standing.js";
import { type CacheState, STATES } from "./whole-machine.js";

/** Lines of kernel text that one CPU fetched from beyond its L2, by where they came from; the mean of the CPUs. */
export interface TextLines {
  /** Of its own L3, or of another core behind it. */
  readonly ownL3: number;
  /** Of another L3, or of a core behind that. */
  readonly otherL3: number;
  readonly nearMemory: number;
  readonly farMemory: number;
}

/** One side of a point. */
export interface BusySide {
  /** Of one run, the mean of the CPUs. */
  readonly cycles: number;
  readonly text: TextLines;
  /** Loads and stores of kernel data that another core or another L3 had changed, or had to give up, on one CPU. */
  readonly contended: number;
  /** Share of the peak that is in use, by resource. */
  readonly utilisation: Float64Array;
}

/** One test on so many CPUs, in one state of the caches. */
export interface BusyPoint {
  readonly test: TraceTest;
  readonly file: string;
  readonly cache: CacheState;
  /** CPUs of every node; a node that has fewer has all of its at it. */
  readonly cpusPerNode: number;
  /** In all. */
  readonly cpus: number;
  /** Over the whole machine, each node weighted by its CPUs. */
  readonly gain: Gain;
  /** What of it is near instead of far text. */
  readonly near: number;
  readonly nodes: readonly { readonly node: NodeId; readonly percent: number }[];
  readonly single: BusySide;
  readonly perNode: BusySide;
  /** Part of the recording that was run. */
  readonly share: number;
  /** All CPUs' runs had settled. */
  readonly settled: boolean;
}

/** The curve of every test. */
export interface BusyCurve {
  /** As asked for, ascending. */
  readonly cpusPerNode: readonly number[];
  readonly resources: readonly Resource[];
  /** Test by test, cold before hot, ascending by CPUs. */
  readonly points: readonly BusyPoint[];
  readonly refused: readonly InputError[];
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
}

/**
 * @param given what all jobs have in common
 * @param run what executes the jobs
 */
export async function busyCurve<Given extends KernelJob>(
  given: Given,
  kernel: ReplayKernel,
  { policy, files, cpusPerNode, standing, dataNode, load }: BusyRequest,
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
      busy: cpusAtOnce(spec, where, count).map(busyCpu),
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
    resources: paths.resources,
    points: points.sort((a, b) => order(a) - order(b) || a.cpusPerNode - b.cpusPerNode),
    refused: outcomes.filter((each) => each instanceof InputError),
  };
}

/** What the busy CPUs of a node counted, their mean. */
interface NodeMean {
  readonly standing: NodeStanding;
  /** Of the node in `spec.nodes`. */
  readonly nodeIndex: number;
  readonly counts: { readonly single: Float64Array; readonly perNode: Float64Array };
  readonly busy: number;
}

function pointOf(
  spec: MachineSpec,
  master: NodeId,
  paths: Interconnect,
  load: Load,
  { nodes }: Standing,
  { file, cache, found }: { readonly file: string; readonly cache: CacheState; readonly found: BusyRuns },
): BusyPoint {
  const nodeOf = new Map(spec.cpus.map(({ id, node }) => [id, node]));
  const means = nodes.map((standing): NodeMean => {
    const [single, perNode] = found.counts.map((all) => all.filter(({ cpu }) => nodeOf.get(cpu) === standing.node));
    const mean = (own: readonly BusyCount[]): Float64Array =>
      own[0]![cache].map((_, at) => own.reduce((sum, each) => sum + each[cache][at]!, 0) / own.length);
    return {
      standing,
      nodeIndex: indexOf(spec, standing.node),
      counts: { single: mean(single!), perNode: mean(perNode!) },
      busy: single!.length,
    };
  });
  const [single, perNode] = balances(
    spec,
    paths,
    load,
    means.map(({ standing: { node }, counts }) => ({ node, counts })),
  );
  const sums = new Float64Array(CORNERS);
  let [middle, near] = [0, 0];
  const gains = means.map(({ standing, nodeIndex, counts }) => {
    const weight = cpusOf(spec, standing.node) / spec.cpus.length;
    const place = { nodeIndex, far: indexOf(spec, master), near: indexOf(spec, standing.copyOn) };
    const percent = percentGained(
      account(counts.single, single.spec, nodeIndex).cycles,
      account(counts.perNode, perNode.spec, nodeIndex).cycles,
    );
    middle += weight * percent;
    near += weight * nearGain(counts.single, counts.perNode, single.spec, place, {}, perNode.spec);
    gainsAtCorners(counts.single, counts.perNode, single.spec, nodeIndex, perNode.spec).forEach(
      (each, corner) => (sums[corner]! += weight * each),
    );
    return { node: standing.node, percent };
  });
  const cpus = means.reduce((sum, { busy }) => sum + busy, 0);
  const sideOf = (which: "single" | "perNode"): BusySide => {
    const { spec: on, utilisation } = which === "single" ? single : perNode;
    const counts = means.map(({ counts: both, nodeIndex }) => ({
      cycles: account(both[which], on, nodeIndex).cycles,
      text: textLines(both[which], spec, nodeIndex),
      contended: contendedIn(both[which], spec),
    }));
    const over = (of: (count: (typeof counts)[number]) => number): number =>
      means.reduce((sum, { busy }, at) => sum + (busy / cpus) * of(counts[at]!), 0);
    const lines = (wanted: keyof TextLines): number => over(({ text }) => text[wanted]);
    return {
      cycles: over(({ cycles }) => cycles),
      text: {
        ownL3: lines("ownL3"),
        otherL3: lines("otherL3"),
        nearMemory: lines("nearMemory"),
        farMemory: lines("farMemory"),
      },
      contended: over(({ contended }) => contended),
      utilisation,
    };
  };
  return {
    test: found.test,
    file,
    cache,
    cpusPerNode: load.cpusPerNode,
    cpus,
    gain: within(middle, sums),
    near,
    nodes: gains,
    single: sideOf("single"),
    perNode: sideOf("perNode"),
    share: found.share,
    settled: cache === "cold" || found.counts.every((each) => each.every(({ settled }) => settled)),
  };
}

/** @param nodeIndex of the CPU's node in `spec.nodes` */
function textLines(counters: Float64Array, spec: MachineSpec, nodeIndex: number): TextLines {
  const layout = new CounterLayout(spec.nodes.length);
  const lines = { ownL3: 0, otherL3: 0, nearMemory: 0, farMemory: 0 };
  for (const kind of [Kind.Fetch, Kind.PrefetchedFetch])
    for (let source: number = Source.OwnL3; source < layout.sources; source++) {
      const count = counters[layout.row(Region.Kernel, kind) + source]!;
      if (source === Source.OwnL3 || source === Source.Sibling) lines.ownL3 += count;
      else if (source < Source.Memory || source >= layout.cleanSameSocket) lines.otherL3 += count;
      else if (source === Source.Memory + nodeIndex) lines.nearMemory += count;
      else lines.farMemory += count;
    }
  return lines;
}

function contendedIn(counters: Float64Array, spec: MachineSpec): number {
  const layout = new CounterLayout(spec.nodes.length);
  let count = 0;
  for (const kind of [Kind.Load, Kind.Store])
    for (const source of [
      Source.Sibling,
      Source.DirtySameSocket,
      Source.DirtyOtherSocket,
      Source.UpgradeSibling,
      Source.UpgradeSameSocket,
      Source.UpgradeOtherSocket,
    ])
      count += counters[layout.row(Region.Kernel, kind) + source]!;
  return count;
}
