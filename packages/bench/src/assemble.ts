/** The composition root: which plugins make a kernel. Kernels differ in one line, the policy's. */
import { assemble, type Assembly, bindValue, plugin, type Plugin } from "@kreplica/di";
import { hwX86, type MachineSpec, type NodeId } from "@kreplica/hw-x86";
import { HOME_PGDS, KernelImage, KernelLayout, KernelOptions, LAZY_PGDS, mmCore, singleCopy } from "@kreplica/mm-core";
import { asPosted, type ModulePolicy } from "@kreplica/modules";
import { everyNth, numaReplication, PER_NODE, perSocket, replicationBy, TEXT_ONLY } from "@kreplica/numa-replication";
import { layOver, SERIES_DEFECTS, type SeriesDefect } from "@kreplica/series-as-posted";

/** What a kernel is booted with. */
export interface Ingredients {
  readonly image: KernelImage;
  readonly layout: KernelLayout;
  readonly options: KernelOptions;
}

const inputs = (given: Ingredients): Plugin =>
  plugin("inputs", [
    bindValue(KernelImage, given.image),
    bindValue(KernelLayout, given.layout),
    bindValue(KernelOptions, given.options),
  ]);

/** A policy: the plugin that stands in the replication line, and the defects of the series that are laid over it. */
export interface Policy {
  readonly summary: string;
  readonly plugin: Plugin;
  readonly defects?: readonly SeriesDefect[];
  /** Comes up only on a CPU of this node. */
  readonly bootNode?: NodeId;
  /** Node of all that module_alloc gives: module bases, BPF images; chosen by the caller when absent. */
  readonly codeNode?: NodeId;
  /**
   * Where modules' base copies lie and which have copies, unless the caller says; beside each loading CPU, and all,
   * when absent.
   */
  readonly modules?: ModulePolicy;
}

/**
 * The series as posted: all its defects but those that are a configuration of the kernel (D13, D16), and D5, whose
 * unconverted calls leave generated code that other nodes cannot run at all: `check --policy rfc-v1` has them.
 */
const POSTED = SERIES_DEFECTS.filter(({ id, onlyThere }) => !onlyThere && id !== "D5");

/** The line by which policies differ. */
export const POLICIES: Readonly<Record<string, Policy>> = {
  "single-copy": { summary: "one copy for all nodes: the kernel without the series", plugin: singleCopy },
  "rfc-v1": {
    summary: "the series as posted, its defects included; needs a boot CPU on node 0",
    plugin: replicationBy({ ...PER_NODE, name: "rfc-v1" }),
    defects: POSTED,
    bootNode: 0,
    codeNode: 0,
    modules: asPosted,
  },
  "per-node": { summary: PER_NODE.summary, plugin: numaReplication },
  "text-only": { summary: TEXT_ONLY.summary, plugin: replicationBy(TEXT_ONLY) },
  "lazy-pgd": {
    summary: "as per-node; a process gets a node's PGD at its first switch there, and can give it back",
    plugin: replicationBy(PER_NODE, LAZY_PGDS),
  },
  "home-node": {
    summary: "as per-node; a process has one PGD, of the node it was made on, and runs that node's copy everywhere",
    plugin: replicationBy(PER_NODE, HOME_PGDS),
  },
  "every-nth": { summary: everyNth(2).summary, plugin: replicationBy(everyNth(2)) },
  "per-socket": { summary: perSocket().summary, plugin: replicationBy(perSocket()) },
};

/** A kernel under any policy, or with a plugin of the caller's in its place. @param more subsystems beside the core */
export const withPolicy = (
  spec: MachineSpec,
  given: Ingredients,
  policy: Plugin,
  more: readonly Plugin[] = [],
  defects: readonly SeriesDefect[] = [],
): Assembly => assemble(layOver([hwX86(spec), inputs(given), mmCore, policy, ...more], defects));
