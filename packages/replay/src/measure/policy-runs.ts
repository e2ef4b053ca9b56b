/**
 * Which runs tell all policies apart: nodes that are alike share one, policies that are the same on a machine share
 * all, and a process that has moved is run where that makes a difference.
 */
import type { CpuId, NodeId } from "@kreplica/hw-x86/api";
import { invariant } from "@kreplica/mm-core";
import { type Booted, type KernelPolicy, policyLikeness } from "@kreplica/kernel";
import { type DataOf, type NodeClass, nodeClasses } from "./node-classes.js";
import { indexOf, type Where } from "./placement.js";
import { type NodeStanding, type Standing, standingOf } from "./standing.js";

/** A policy on a machine: where it is to be run. */
export interface PolicyRuns {
  readonly policy: KernelPolicy;
  readonly standing: Standing;
  readonly classes: readonly NodeClass[];
  /** One of each class but that of the CPU looked at. */
  readonly elsewhere: readonly NodeClass[];
  /** A process that another node made, on a CPU of each class, in their order; none where all use one copy. */
  readonly moved: readonly (Where | undefined)[];
  /** Whether such a process goes on running the text of the node that made it. */
  readonly roams: boolean;
  /** The same for two policies that differ in nothing a run could tell. */
  readonly key: string;
}

/** @param where of the CPU looked at @param dataOf node of a test's data */
export function runsOf(policy: KernelPolicy, booted: Booted, where: Where, dataOf: DataOf): PolicyRuns {
  const { spec } = booted.machine;
  const { view } = booted;
  const standing = standingOf(spec, where, view);
  const classes = nodeClasses(spec, where.masterNode, standing.own, standing.nodes, dataOf);
  const moved = classes.map(({ measured }): Where | undefined => {
    const from = farthest(booted, measured, standing.nodes);
    if (!from) return undefined;
    return {
      cpu: measured.cpu,
      masterNode: where.masterNode,
      dataNode: measured.node === standing.own.node ? where.dataNode : dataOf(measured),
      madeOn: from.cpu,
    };
  });
  return {
    policy,
    standing,
    classes,
    elsewhere: classes.filter(({ measured }) => measured.node !== standing.own.node),
    moved,
    roams: moved.some((each) => each !== undefined && staysBehind(booted, each)),
    key: JSON.stringify([
      view.holders,
      booted.machine.nodes.map((node) => view.nearest(node)),
      (policy.defects ?? []).map(({ id }) => id),
      policy.codeNode ?? null,
      ...(view.holders.length < 2 ? [] : policyLikeness(policy)),
    ]),
  };
}

/** The node with CPUs whose copy lies farthest from those of a node; none where all use the same. */
function farthest(
  { machine: { spec } }: Booted,
  { node, copyOn }: NodeStanding,
  nodes: readonly NodeStanding[],
): NodeStanding | undefined {
  const row = spec.latencyNs[indexOf(spec, node)]!;
  const ns = (on: NodeId): number => row[indexOf(spec, on)]!;
  return nodes
    .filter((each) => each.copyOn !== copyOn)
    .reduce<NodeStanding | undefined>(
      (most, each) => (most === undefined || ns(each.copyOn) > ns(most.copyOn) ? each : most),
      undefined,
    );
}

/** Whether a process has no PGD of a node's own even after it ran there. */
function staysBehind({ machine, spaces, view }: Booted, { cpu, madeOn }: Where): boolean {
  const node = (of: CpuId): NodeId => machine.nodeOfCpu(of);
  const space = spaces.create(node(madeOn!));
  invariant(space !== undefined, "no memory for a process of a measured policy");
  space.enter(node(cpu));
  const behind = !space.pgdNodes.includes(view.nearest(node(cpu)));
  space.free();
  return behind;
}
