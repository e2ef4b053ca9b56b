/** One test in one state of the caches, as the causes of a difference look at it. */
import { account, type MachineSpec } from "@kreplica/hw-x86";
import { percentGained } from "../measure/corners.js";
import type { FarAndNear } from "../measure/gain.js";
import type { CacheState } from "../measure/whole-machine.js";
import type { Difference } from "./planned.js";

/** Counters of one run on each kernel. */
export interface Pair {
  readonly single: Float64Array;
  readonly perNode: Float64Array;
}

/** A machine that was run, and what was counted on it. */
export interface Counted extends Pair {
  readonly spec: MachineSpec;
  readonly differs: Difference;
}

/** A figure that may be explained. */
export interface Figure {
  readonly test: string;
  readonly cache: CacheState;
  /** Indices of nodes: the CPU's, the image's, the copy's that it uses. */
  readonly place: FarAndNear;
  /** CPUs of the CPU's node. */
  readonly cpus: number;
  /** The machine as it is first. */
  readonly counted: readonly Counted[];
  /** In each layout that was drawn, as linked first; none where none was. */
  readonly layouts: readonly Pair[];
}

/** Percent that the pair gains. @param after the machine as the second kernel finds it */
export const gained = (
  { single, perNode }: Pair,
  spec: MachineSpec,
  nodeIndex: number,
  after: MachineSpec = spec,
): number => percentGained(account(single, spec, nodeIndex).cycles, account(perNode, after, nodeIndex).cycles);

/** On the machine as it is. */
export const asItIs = ({ counted }: Figure): Counted => counted[0]!;
