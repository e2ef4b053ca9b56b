/** What `kreplica modules --json` prints. */
import { InputError } from "@kreplica/inputs";
import type { UnusableModule } from "@kreplica/kernel-files";
import { type ModuleCost, type ModuleCosts, type RefusedModule, totalOf } from "@kreplica/replay";

/** What loading modules cost, one by one and together. */
export interface ModulesDocument {
  readonly schema: "kreplica.modules/1";
  /** Name of the machine. */
  readonly machine: string;
  /** Kernel file, as it was named. */
  readonly kernel: string;
  /** Who holds copies of the kernel. */
  readonly policy: string;
  /** Node of the base copy: local, first, interleaved, or a number. */
  readonly place: string;
  /** Which modules have copies: all, none, from:BYTES, upto:BYTES, distance:SLIT, or names. */
  readonly replicate: string;
  /** CPU that loads. */
  readonly cpu: number;
  /** Its node. */
  readonly node: number;
  /** Node that holds the kernel's image. */
  readonly masterNode: number;
  /** Modules no kernel was asked about. */
  readonly unusable: readonly UnusableFile[];
  /** The design asked for, then the series' own where it was to stand beside. */
  readonly runs: readonly ModulesRun[];
}

/** A module whose file, or what it needs, cannot be used. */
export interface UnusableFile {
  readonly name: string;
  readonly reason: string;
}

/** All loads under one design. */
export interface ModulesRun {
  /** `ours`, or `rfc-v1`: the series' own way of replicating areas. */
  readonly design: string;
  /** Sums over all modules that were loaded. */
  readonly total: ModulesTotal;
  /** CPU time of this computer for all of them, the model's own work included; measured. */
  readonly milliseconds: number;
  /** Modules the kernel would not have. */
  readonly refused: readonly RefusedModule[];
  /** In the order they were loaded. */
  readonly modules: readonly ModuleCost[];
}

/** What modules cost together. */
export type ModulesTotal = Omit<ModuleCost, "name" | "copies">;

/** What a document is made of. */
export interface LoadedUnder {
  readonly design: string;
  readonly costs: ModuleCosts;
}

/** @param loaded all but the schema, with what could not be used and the runs as they were measured */
export const modulesDocument = ({
  machine,
  kernel,
  policy,
  place,
  replicate,
  cpu,
  node,
  masterNode,
  unusable,
  runs,
}: Omit<ModulesDocument, "schema" | "unusable" | "runs"> & {
  readonly unusable: readonly UnusableModule[];
  readonly runs: readonly LoadedUnder[];
}): ModulesDocument => ({
  schema: "kreplica.modules/1",
  machine,
  kernel,
  policy,
  place,
  replicate,
  cpu,
  node,
  masterNode,
  unusable: unusable.map(({ name, fault }) => ({ name, reason: new InputError(fault).message })),
  runs: runs.map(({ design, costs }) => ({
    design,
    total: totalOf(costs.modules),
    milliseconds: costs.milliseconds,
    refused: costs.refused,
    modules: costs.modules,
  })),
});
