/**
 * How far gains spread over layouts: what two kernels that differ in nothing but where their functions, pages and
 * tables lie would be said to gain over each other, beside what replication does.
 *
 * Two builds of a kernel, as two that are compared by their authors, have a layout each: every layout of the one is set
 * against every one of the other. One kernel that is switched from one copy to several has the same in both.
 */
import { account, type MachineSpec, type NodeId } from "@kreplica/hw-x86";
import { percentGained } from "../measure/corners.js";
import type { Gain } from "../measure/gain.js";
import { type NodeClass, toldOf } from "../measure/node-classes.js";
import { indexOf } from "../measure/placement.js";
import type { NodeStanding } from "../measure/standing.js";
import {
  type CacheState,
  type MachineNodes,
  type NodeGain,
  type Pair,
  STATES,
  type WholeMachine,
} from "../measure/whole-machine.js";
import { type LayoutGains, spreadBy } from "./layout-gains.js";
import { AS_LINKED, type LayoutRun } from "./measure-layouts.js";

/** One recording in all layouts, by kernel. */
export interface LaidPair {
  readonly single: readonly LayoutRun[];
  readonly perNode: readonly LayoutRun[];
}

/** Percentage points by which layouts move a gain: `at[one copy's layout * layouts + copies' layout]`. */
type Moves = Float64Array;

/** The machine as each kernel finds it in a test. */
export type Sides = (pair: Pair, cache: CacheState) => { readonly single: MachineSpec; readonly perNode: MachineSpec };

/** Spreads of all tests on all nodes. */
export class LayoutSpread {
  /** @param laid by recording's file */
  constructor(
    private readonly machine: MachineNodes,
    private readonly laid: ReadonlyMap<string, LaidPair>,
    private readonly sides: Sides,
  ) {}

  /**
   * Of one test on the CPUs of a node.
   * @param of the node's class; undefined on a machine of which one CPU alone is measured
   * @param percent what the test gains as linked @returns undefined where its layouts could not be run
   */
  of(
    pair: Pair,
    cache: CacheState,
    standing: NodeStanding,
    of: NodeClass | undefined,
    percent: number,
  ): LayoutGains | undefined {
    const moves = this.moves(pair, cache, standing, of);
    return moves && gainsIn(moves, percent);
  }

  /**
   * Of a mean over tests and nodes: a kernel has one layout for all of them.
   * @param parts of the mean, with their weights @returns undefined where one's layouts could not be run
   */
  ofMean(
    parts: readonly {
      readonly pair: Pair;
      readonly cache: CacheState;
      readonly standing: NodeStanding;
      readonly of: NodeClass | undefined;
      readonly weight: number;
    }[],
    percent: number,
  ): LayoutGains | undefined {
    let sum: Moves | undefined;
    for (const { pair, cache, standing, of, weight } of parts) {
      const moves = this.moves(pair, cache, standing, of);
      if (!moves) return undefined;
      sum ??= new Float64Array(moves.length);
      for (let at = 0; at < sum.length; at++) sum[at]! += weight * moves[at]!;
    }
    return sum && gainsIn(sum, percent);
  }

  /** All nodes with the spreads in their gains' limits, and the means'. */
  over(whole: WholeMachine, pairs: readonly Pair[]): WholeMachine {
    const { classes, spec } = this.machine;
    const places = classes.flatMap((of) => of.nodes.map((standing) => ({ of, standing })));
    const at = (node: number) => places.find(({ standing }) => standing.node === node)!;
    const nodes = whole.nodes.map((each) => {
      const { of, standing } = at(each.node);
      const tests = each.tests.map((test): NodeGain => {
        const pair = pairs.find(({ single }) => single.file === test.file)!;
        const layout = this.of(pair, test.cache, standing, of, test.gain.percent);
        return layout ? { ...test, layout, gain: spreadBy(test.gain, layout) } : test;
      });
      return { ...each, tests };
    });
    const mean = (cache: CacheState): LayoutGains | undefined =>
      this.ofMean(
        whole.nodes.flatMap(({ node, cpus }) =>
          pairs.map((pair) => ({ pair, cache, ...at(node), weight: cpus / spec.cpus.length / pairs.length })),
        ),
        whole.gain[cache].percent,
      );
    const layout = { cold: mean("cold"), hot: mean("hot") };
    const [cold, hot] = STATES.map((cache) => spreadBy(whole.gain[cache], layout[cache])) as [Gain, Gain];
    const same = (node: NodeId) => nodes.find((each) => each.node === node)!;
    return {
      ...whole,
      nodes,
      gain: { cold, hot },
      ...(layout.cold && layout.hot ? { layout: { cold: layout.cold, hot: layout.hot } } : {}),
      best: same(whole.best.node),
      worst: same(whole.worst.node),
    };
  }

  /**
   * Percentage points by which the gain of the CPU looked at, told from what was run of the test as linked, differs
   * from the whole test's; undefined where its layouts could not be run.
   */
  errorOf(pair: Pair, cache: CacheState): number | undefined {
    const { own, spec } = this.machine;
    const cycles = this.cycles(pair, cache, own, undefined);
    if (!cycles) return undefined;
    const sides = this.sides(pair, cache);
    const nodeIndex = indexOf(spec, own.node);
    const whole = percentGained(
      account(pair.single[cache], sides.single, nodeIndex).cycles,
      account(pair.perNode[cache], sides.perNode, nodeIndex).cycles,
    );
    return Math.abs(percentGained(cycles.single[0]!, cycles.perNode[0]!) - whole);
  }

  private moves(pair: Pair, cache: CacheState, standing: NodeStanding, of: NodeClass | undefined): Moves | undefined {
    const cycles = this.cycles(pair, cache, standing, of);
    if (!cycles) return undefined;
    const { single, perNode } = cycles;
    const linked = percentGained(single[0]!, perNode[0]!);
    return Float64Array.from(single.flatMap((before) => perNode.map((after) => percentGained(before, after) - linked)));
  }

  /** Cycles by layout, as linked first. */
  private cycles(
    pair: Pair,
    cache: CacheState,
    standing: NodeStanding,
    of: NodeClass | undefined,
  ): { readonly single: number[]; readonly perNode: number[] } | undefined {
    const laid = this.laid.get(pair.single.file);
    if (!laid) return undefined;
    const { spec, master, dataOf, own, elsewhere } = this.machine;
    const nth = of ? elsewhere.indexOf(of) + 1 : 0;
    const from = of && nth > 0 ? of.measured : own;
    const nodeIndex = indexOf(spec, standing.node);
    const sides = this.sides(pair, cache);
    const by = (runs: readonly LayoutRun[], on: MachineSpec): number[] =>
      [...runs]
        .sort((a, b) => a.layout - b.layout)
        .map(({ runs: at }) => {
          const counts = toldOf(at[nth]![cache], spec, [from, standing], master, dataOf);
          return account(counts, on, nodeIndex).cycles;
        });
    return { single: by(laid.single, sides.single), perNode: by(laid.perNode, sides.perNode) };
  }
}

function gainsIn(moves: Moves, percent: number): LayoutGains {
  const layouts = Math.sqrt(moves.length);
  const same = moves.filter((_, at) => Math.floor(at / layouts) === at % layouts);
  const least = (of: Moves): number => percent + of.reduce((low, each) => Math.min(low, each), 0);
  const most = (of: Moves): number => percent + of.reduce((high, each) => Math.max(high, each), 0);
  return { low: least(moves), high: most(moves), sameLow: least(same), sameHigh: most(same) };
}

/** Layouts of one recording by policy, in the order of the job's: the first is one copy. */
export const laidPair = ([single, perNode]: readonly (readonly LayoutRun[])[]): LaidPair | undefined =>
  single?.[0]?.layout === AS_LINKED && perNode ? { single, perNode } : undefined;
