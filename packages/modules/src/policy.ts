/** Where a module's base copy lies and whether it is replicated: the memory policy the series lists as missing. */
import { token } from "@kreplica/di";
import type { NodeId } from "@kreplica/hw-x86/api";
import type { Placement } from "@kreplica/vmalloc/api";
import type { MemoryType } from "./sections.js";

/** What a policy may look at. */
export interface PolicyQuestion {
  readonly module: string;
  readonly type: MemoryType;
  /** Bytes of this memory, whole pages. */
  readonly bytes: number;
  /** Bytes of text and rodata together. */
  readonly replicableBytes: number;
  /** Node of the CPU that loads it. */
  readonly loader: NodeId;
  /** Nodes with tables and memory of their own, ascending. */
  readonly holders: readonly NodeId[];
  /** SLIT distance. */
  readonly distance: (from: NodeId, to: NodeId) => number;
}

/** Answers for one memory of one module. */
export interface ModulePolicy {
  readonly name: string;
  place(question: PolicyQuestion): Placement;
  /** Asked for text and rodata only. */
  replicate(question: PolicyQuestion): boolean;
}
export const ModulePolicy = token<ModulePolicy>("modules/ModulePolicy");

const local = (question: PolicyQuestion): Placement => ({ node: question.loader });

/**
 * Node of every base copy. `first` is the series' choice: node 0, or the lowest with memory.
 * @patch 11/12 arch/x86/kernel/module.c module_alloc
 */
export const placements = {
  first: (question: PolicyQuestion): Placement => ({ node: question.holders[0]! }),
  local,
  interleaved: (question: PolicyQuestion): Placement => ({ interleave: question.holders }),
  /** Always that node. */
  given: (node: NodeId) => (): Placement => ({ node }),
} as const;

/** Which modules get copies. */
export const replications = {
  all: (): boolean => true,
  none: (): boolean => false,
  /** Text and rodata together at least so many bytes: below it, copies save less than their table pages cost. */
  fromBytes:
    (least: number) =>
    (question: PolicyQuestion): boolean =>
      question.replicableBytes >= least,
  /** At most so many: large modules cost memory on every node. */
  upToBytes:
    (most: number) =>
    (question: PolicyQuestion): boolean =>
      question.replicableBytes <= most,
  /** Some node lies at least so far (SLIT, 10 is local) from the base copy's. */
  fromDistance:
    (least: number) =>
    (question: PolicyQuestion): boolean =>
      question.holders.some((holder) => question.distance(question.loader, holder) >= least),
  /** Named modules only. */
  named:
    (names: ReadonlySet<string>) =>
    (question: PolicyQuestion): boolean =>
      names.has(question.module),
} as const;

/** A policy of two answers. */
export const modulePolicy = (
  name: string,
  place: ModulePolicy["place"],
  replicate: ModulePolicy["replicate"],
): ModulePolicy => ({ name, place, replicate });

/**
 * The series as posted: base copies always on node 0, copies for every module.
 * @patch 11/12 arch/x86/kernel/module.c module_alloc
 */
export const asPosted: ModulePolicy = modulePolicy("first, replicate all", placements.first, replications.all);

/** The default: base copy on the loading CPU's node, copies for every module. */
export const replicateAll: ModulePolicy = modulePolicy("local, replicate all", placements.local, replications.all);
