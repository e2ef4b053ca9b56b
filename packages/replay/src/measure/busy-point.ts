/**
 * One point of the curve over busy CPUs: from what each of them counted to gains, with links and controllers as busy as
 * all of them leave them, and the counts that explain it.
 */
import { account, CounterLayout, Kind, type MachineSpec, type NodeId, Source } from "@kreplica/hw-x86";
import type { TraceTest } from "@kreplica/trace";
import { Region } from "../replay/program.js";
import type { BusyCount } from "./counted-cpus.js";
import type { Gain } from "./gain.js";
import type { Interconnect } from "./interconnect.js";
import { balances, type Load } from "./loaded-tests.js";
import { MeanGain, type PairOfCounts } from "./mean-gain.js";
import type { BusyRuns } from "./measure-busy.js";
import { cpusOf, indexOf } from "./placement.js";
import type { NodeStanding, Standing } from "./standing.js";
import type { CacheState } from "./whole-machine.js";

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
  /** What the neighbour did; absent without one. */
  readonly neighbour?: NeighbourSide;
}

/** One run of the neighbour, the mean of its CPUs. */
export interface NeighbourSide {
  readonly cycles: number;
  /** Lines from any memory, text and data alike. */
  readonly memoryLines: number;
}

/** One test on so many CPUs, in one state of the caches. */
export interface BusyPoint {
  readonly test: TraceTest;
  readonly file: string;
  readonly cache: CacheState;
  /** CPUs of every node; a node that has fewer has all of its at it. */
  readonly cpusPerNode: number;
  /** In all; with other threads that run the test, these too. */
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
  /** The other recording that ran, on how many CPUs and how much of it; absent without one. */
  readonly neighbour?: { readonly test: TraceTest; readonly cpus: number; readonly share: number };
}

/** What the busy CPUs of a node counted, their mean. */
interface NodeMean {
  readonly standing: NodeStanding;
  /** Of the node in `spec.nodes`. */
  readonly nodeIndex: number;
  readonly counts: PairOfCounts;
  readonly busy: number;
}

/** The mean of each node that has any. @param counts for each policy a count for each CPU */
function meansOf(
  spec: MachineSpec,
  nodes: readonly NodeStanding[],
  counts: BusyRuns["counts"],
  cache: CacheState,
): NodeMean[] {
  const nodeOf = new Map(spec.cpus.map(({ id, node }) => [id, node]));
  const mean = (own: readonly BusyCount[]): Float64Array =>
    own[0]![cache].map((_, at) => own.reduce((sum, each) => sum + each[cache][at]!, 0) / own.length);
  return nodes.map((standing): NodeMean => {
    const [single, perNode] = counts.map((all) => all.filter(({ cpu }) => nodeOf.get(cpu) === standing.node));
    return {
      standing,
      nodeIndex: indexOf(spec, standing.node),
      counts: { single: mean(single!), perNode: mean(perNode!) },
      busy: single!.length,
    };
  });
}

/**
 * What so many CPUs at once come to in one state of the caches.
 *
 * @param paths of the machine @param load how many CPUs of a node it is about, and the background
 */
export function pointOf(
  spec: MachineSpec,
  master: NodeId,
  paths: Interconnect,
  load: Load,
  { nodes }: Standing,
  { file, cache, found }: { readonly file: string; readonly cache: CacheState; readonly found: BusyRuns },
): BusyPoint {
  const means = meansOf(spec, nodes, found.counts, cache);
  const beside = found.neighbour ? meansOf(spec, nodes, found.neighbour.counts, cache) : [];
  const [single, perNode] = balances(
    spec,
    paths,
    load,
    [...means, ...beside].map(({ standing: { node }, counts, busy }) => ({ node, counts, cpus: busy })),
  );
  const sides = { single: single.spec, perNode: perNode.spec };
  const sum = new MeanGain();
  const gains = means.map(({ standing, nodeIndex, counts }) => {
    const weight = cpusOf(spec, standing.node) / spec.cpus.length;
    const place = { nodeIndex, far: indexOf(spec, master), near: indexOf(spec, standing.copyOn) };
    return { node: standing.node, percent: sum.add(weight, counts, sides, place).gain.percent };
  });
  const cpus = busyIn(means);
  const sideOf = (which: "single" | "perNode"): BusySide => {
    const { spec: on, utilisation } = which === "single" ? single : perNode;
    const counts = means.map(({ counts: both, nodeIndex }) => ({
      cycles: account(both[which], on, nodeIndex).cycles,
      text: textLines(both[which], spec, nodeIndex),
      contended: contendedIn(both[which], spec),
    }));
    const over = (of: (count: (typeof counts)[number]) => number): number =>
      means.reduce((all, { busy }, at) => all + (busy / cpus) * of(counts[at]!), 0);
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
      ...(beside.length === 0 ? {} : { neighbour: neighbourSide(beside, which, on, paths) }),
    };
  };
  return {
    test: found.test,
    file,
    cache,
    cpusPerNode: load.cpusPerNode,
    cpus,
    gain: sum.gain,
    near: sum.near,
    nodes: gains,
    single: sideOf("single"),
    perNode: sideOf("perNode"),
    share: found.share,
    settled: cache === "cold" || found.counts.every((each) => each.every(({ settled }) => settled)),
    ...(found.neighbour
      ? { neighbour: { test: found.neighbour.test, cpus: busyIn(beside), share: found.neighbour.share } }
      : {}),
  };
}

const busyIn = (means: readonly NodeMean[]): number => means.reduce((sum, { busy }) => sum + busy, 0);

function neighbourSide(
  means: readonly NodeMean[],
  which: keyof PairOfCounts,
  on: MachineSpec,
  paths: Interconnect,
): NeighbourSide {
  const all = busyIn(means);
  const over = (of: (counts: Float64Array, nodeIndex: number) => number): number =>
    means.reduce((sum, { busy, counts, nodeIndex }) => sum + (busy / all) * of(counts[which], nodeIndex), 0);
  return {
    cycles: over((counts, nodeIndex) => account(counts, on, nodeIndex).cycles),
    memoryLines: over((counts) => paths.memoryLines(counts)),
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
