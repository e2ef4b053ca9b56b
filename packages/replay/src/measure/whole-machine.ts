/**
 * A comparison over all nodes of the machine: gains of each node, their mean over all CPUs, and the verdict in figures.
 */
import { account, type MachineSpec, type NodeId } from "@kreplica/hw-x86";
import type { TraceTest } from "@kreplica/trace";
import type { LayoutGains } from "../layout/layout-gains.js";
import { percentGained } from "./corners.js";
import { bound, boundBeyondL2, type Gain } from "./gain.js";
import { MeanGain, type Sides } from "./mean-gain.js";
import type { TraceMeasurement } from "./measure-trace.js";
import { type DataOf, type NodeClass, toldOf } from "./node-classes.js";
import { cpusOf, indexOf } from "./placement.js";
import type { NodeStanding, Relation } from "./standing.js";

export type CacheState = "hot" | "cold";
/** In the order in which they are shown. */
export const STATES = ["cold", "hot"] as const;

/** One test on the CPUs of one node, in one state of the caches. */
export interface NodeGain {
  readonly test: TraceTest;
  readonly file: string;
  readonly cache: CacheState;
  readonly gain: Gain;
  /** Of the whole recording with one copy. */
  readonly singleCycles: number;
  /** As in a comparison of one CPU. */
  readonly near: number;
  readonly bound: number;
  readonly boundBeyondL2: number;
  /** Part of the recording that was run: 1, or an eighth. */
  readonly share: number;
  /** Where it lies over layouts, which its limits then have in them; absent unless asked for. */
  readonly layout?: LayoutGains;
}

/** A node with CPUs. */
export interface NodeGains {
  readonly node: NodeId;
  /** How many: the weight of the node. */
  readonly cpus: number;
  readonly relation: Relation;
  /** From its CPUs to the image's memory, ns. */
  readonly imageNs: number;
  /** The node whose run's counts these are: itself, or one that is alike. */
  readonly measuredOn: NodeId;
  /** Mean over the tests, percent. */
  readonly mean: Readonly<Record<CacheState, number>>;
  readonly tests: readonly NodeGain[];
}

/** All nodes. */
export interface WholeMachine {
  /** By number. */
  readonly nodes: readonly NodeGains[];
  /** Mean over tests and CPUs. Least and most are at one corner for all nodes and tests alike. */
  readonly gain: Readonly<Record<CacheState, Gain>>;
  /** Where that lies over layouts, each kernel in one for all nodes and tests; absent unless asked for. */
  readonly layout?: Readonly<Record<CacheState, LayoutGains>>;
  /** The same of near text alone. */
  readonly near: Readonly<Record<CacheState, number>>;
  /** With the highest mean, cold; hot where two are alike. */
  readonly best: NodeGains;
  readonly worst: NodeGains;
  /**
   * Most by which a gain told from a part of a test differs from that of the whole test, percentage points: on the CPU
   * looked at, where both were run. Undefined where every node's run was whole.
   */
  readonly sampling: number | undefined;
}

/** A recording on both kernels: one copy, and the policy's. */
export interface Pair {
  readonly single: TraceMeasurement;
  readonly perNode: TraceMeasurement;
}

/** What the nodes are, and who was measured for whom. */
export interface MachineNodes {
  readonly spec: MachineSpec;
  readonly master: NodeId;
  readonly dataOf: DataOf;
  /** Node of the CPU looked at. */
  readonly own: NodeStanding;
  readonly classes: readonly NodeClass[];
  /** Classes that were run elsewhere, in the order of a measurement's runs. */
  readonly elsewhere: readonly NodeClass[];
}

/**
 * @param pairs a pair for each test, in the order in which they are shown; at least one
 * @param sides the machine as each kernel finds it in a test; idle where absent
 */
export function wholeMachine(
  machine: MachineNodes,
  pairs: readonly Pair[],
  sides: (pair: Pair, cache: CacheState) => Sides = () => ({
    single: machine.spec,
    perNode: machine.spec,
  }),
): WholeMachine {
  const { spec, classes } = machine;
  const all = spec.cpus.length;
  const sums = { cold: new MeanGain(), hot: new MeanGain() };
  const nodes = classes
    .flatMap((of) => of.nodes.map((standing) => ({ of, standing })))
    .sort((a, b) => a.standing.node - b.standing.node)
    .map(({ of, standing }): NodeGains => {
      const nodeIndex = indexOf(spec, standing.node);
      const place = { nodeIndex, far: indexOf(spec, machine.master), near: indexOf(spec, standing.copyOn) };
      const weight = cpusOf(spec, standing.node) / all / pairs.length;
      const mean = { cold: 0, hot: 0 };
      const tests = pairs.flatMap((pair) =>
        STATES.map((cache): NodeGain => {
          const counts = countsOf(machine, of, standing, pair, cache);
          const on = sides(pair, cache);
          const { gain, near, singleCycles } = sums[cache].add(weight, counts, on, place);
          mean[cache] += gain.percent / pairs.length;
          return {
            test: pair.single.test,
            file: pair.single.file,
            cache,
            gain,
            singleCycles,
            near,
            bound: bound(counts.single, on.single, place),
            boundBeyondL2: boundBeyondL2(counts.single, on.single, place),
            share: counts.share,
          };
        }),
      );
      return {
        node: standing.node,
        cpus: cpusOf(spec, standing.node),
        relation: standing.relation,
        imageNs: standing.imageNs,
        measuredOn: of.measured.node,
        mean,
        tests,
      };
    });
  const better = (a: NodeGains, b: NodeGains): boolean =>
    a.mean.cold > b.mean.cold || (a.mean.cold === b.mean.cold && a.mean.hot > b.mean.hot);
  return {
    nodes,
    gain: { cold: sums.cold.gain, hot: sums.hot.gain },
    near: { cold: sums.cold.near, hot: sums.hot.near },
    best: nodes.reduce((best, each) => (better(each, best) ? each : best)),
    worst: nodes.reduce((worst, each) => (better(worst, each) ? each : worst)),
    sampling: samplingError(machine, pairs),
  };
}

/** Counters of a test on a CPU of a node. */
export function countsOf(
  { spec, own, master, dataOf, elsewhere }: MachineNodes,
  of: NodeClass,
  standing: NodeStanding,
  { single, perNode }: Pair,
  cache: CacheState,
): { single: Float64Array; perNode: Float64Array; share: number } {
  const nth = elsewhere.indexOf(of);
  const run = (kernel: TraceMeasurement): { readonly counts: Float64Array; readonly share: number } =>
    nth < 0
      ? { counts: kernel[cache], share: 1 }
      : { counts: kernel.elsewhere[nth]![cache], share: kernel.elsewhere[nth]!.share };
  const from = nth < 0 ? own : of.measured;
  return {
    single: toldOf(run(single).counts, spec, [from, standing], master, dataOf),
    perNode: toldOf(run(perNode).counts, spec, [from, standing], master, dataOf),
    share: run(single).share,
  };
}

function samplingError({ spec, own, elsewhere }: MachineNodes, pairs: readonly Pair[]): number | undefined {
  if (elsewhere.length === 0) return undefined;
  const nodeIndex = indexOf(spec, own.node);
  const gained = (single: Float64Array, perNode: Float64Array): number =>
    percentGained(account(single, spec, nodeIndex).cycles, account(perNode, spec, nodeIndex).cycles);
  const errors = pairs.flatMap(({ single, perNode }) =>
    single.sampled && perNode.sampled
      ? STATES.map((cache) =>
          Math.abs(gained(single.sampled![cache], perNode.sampled![cache]) - gained(single[cache], perNode[cache])),
        )
      : [],
  );
  return errors.length === 0 ? undefined : Math.max(...errors);
}
