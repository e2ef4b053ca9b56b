/**
 * A comparison on a busy machine: for each test and state of the caches how busy one copy and the policy leave links
 * and controllers, and the machine with the latencies of each.
 */
import { account, type MachineSpec, type NodeId } from "@kreplica/hw-x86";
import { balance, type Balance } from "./balance.js";
import { Interconnect, type Resource } from "./interconnect.js";
import type { PairOfCounts, Sides } from "./mean-gain.js";
import { cpusOf, indexOf } from "./placement.js";
import { type CacheState, countsOf, type MachineNodes, type Pair } from "./whole-machine.js";

/** Traffic beside the CPU that is measured. */
export interface Load {
  /** As the user wrote it. */
  readonly text: string;
  /** CPUs of each node that do what the measured one does, itself among them. */
  readonly cpusPerNode: number;
  /** Share of each resource's peak that others use, in the order of {@link Interconnect.resources}. */
  readonly background: Float64Array;
}

/** One test in one state of the caches. */
export interface LoadedTest {
  readonly file: string;
  readonly cache: CacheState;
  readonly single: Balance;
  readonly perNode: Balance;
  /**
   * Percent of the cycles with one copy that the CPU looked at is spared because the policy leaves links and
   * controllers less busy, text and data alike: part of the gain.
   */
  readonly relief: number;
}

/** What one CPU of a node counted on each side. */
interface NodeCounts {
  readonly node: NodeId;
  readonly counts: PairOfCounts;
  /** How many do the same; as many as the load says when absent. */
  readonly cpus?: number;
}

/** How busy one copy and the policy leave the machine when so many CPUs of each node do what was counted there. */
export function balances(
  spec: MachineSpec,
  paths: Interconnect,
  load: Load,
  counted: readonly NodeCounts[],
): readonly [Balance, Balance] {
  return (["single", "perNode"] as const).map((side) =>
    balance(
      spec,
      paths,
      counted.map(({ node, counts, cpus = Math.min(load.cpusPerNode, cpusOf(spec, node)) }) => ({
        node: indexOf(spec, node),
        cpus,
        counters: counts[side],
      })),
      load.background,
    ),
  ) as [Balance, Balance];
}

/**
 * The machine as each side of a comparison finds it where nobody knows what the other nodes' CPUs do: one node's CPUs
 * alone make traffic beside the background.
 *
 * @param nodeIndex of the CPU that was measured @param counts its counters with one copy and with copies
 * @returns the machine with one copy, and with copies
 */
export function busyAlone(
  spec: MachineSpec,
  load: Load,
  nodeIndex: number,
  counts: readonly [Float64Array, Float64Array],
): readonly [MachineSpec, MachineSpec] {
  const node = spec.nodes[nodeIndex]!.id;
  const [single, perNode] = balances(spec, new Interconnect(spec), load, [
    { node, counts: { single: counts[0], perNode: counts[1] } },
  ]);
  return [single.spec, perNode.spec];
}

/** What a comparison found out about a busy machine. */
export interface LoadedResult {
  readonly load: Load;
  readonly resources: readonly Resource[];
  readonly tests: readonly LoadedTest[];
}

/** The machine as each side finds it, test by test; the idle one where there is no load. */
export class LoadedTests {
  private readonly paths: Interconnect;
  private readonly found = new Map<string, LoadedTest>();

  constructor(
    private readonly machine: MachineNodes,
    private readonly load: Load | undefined,
  ) {
    this.paths = new Interconnect(machine.spec);
  }

  sides(pair: Pair, cache: CacheState): Sides {
    const { spec } = this.machine;
    if (!this.load) return { single: spec, perNode: spec };
    const key = `${cache} ${pair.single.file}`;
    const test = this.found.get(key) ?? this.balanced(pair, cache, this.load);
    this.found.set(key, test);
    return { single: test.single.spec, perNode: test.perNode.spec };
  }

  /** Of the tests that were asked for. */
  result(): LoadedResult | undefined {
    return this.load && { load: this.load, resources: this.paths.resources, tests: [...this.found.values()] };
  }

  private balanced(pair: Pair, cache: CacheState, load: Load): LoadedTest {
    const { spec, own, classes } = this.machine;
    // Where one CPU alone was asked for nobody knows what the other nodes' do.
    const counted =
      classes.length === 0
        ? [{ node: own.node, counts: { single: pair.single[cache], perNode: pair.perNode[cache] } }]
        : classes.flatMap((of) =>
            of.nodes.map((standing) => ({
              node: standing.node,
              counts: countsOf(this.machine, of, standing, pair, cache),
            })),
          );
    const [single, perNode] = balances(spec, this.paths, load, counted);
    const at = indexOf(spec, own.node);
    const cycles = (of: MachineSpec): number => account(pair.perNode[cache], of, at).cycles;
    const before = account(pair.single[cache], single.spec, at).cycles;
    return {
      file: pair.single.file,
      cache,
      single,
      perNode,
      relief: before === 0 ? 0 : (100 * (cycles(single.spec) - cycles(perNode.spec))) / before,
    };
  }
}
