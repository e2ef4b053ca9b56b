/** What a plugin file exports, and what it is given: types alone. */
import type * as di from "@kreplica/di";
import type { Binding } from "@kreplica/di";
import type * as hwX86 from "@kreplica/hw-x86";
import type { MachineSpec } from "@kreplica/hw-x86";
import type * as invariants from "@kreplica/invariants";
import type { Invariant, Subject } from "@kreplica/invariants";
import type { KernelPolicy } from "@kreplica/kernel";
import type * as machines from "@kreplica/machines";
import type * as mmCore from "@kreplica/mm-core";
import type * as numaReplication from "@kreplica/numa-replication";

/** kreplica's own packages, for a plugin file that lies where it cannot import them. */
export interface PluginKit {
  readonly di: typeof di;
  readonly hwX86: typeof hwX86;
  readonly mmCore: typeof mmCore;
  readonly numaReplication: typeof numaReplication;
  readonly invariants: typeof invariants;
  readonly machines: typeof machines;
}

/** What a plugin file exports as default; all of it may be left out. */
export interface KreplicaPlugin {
  /** By the name that `--policy` takes. */
  readonly policies?: Readonly<Record<string, Omit<KernelPolicy, "name">>>;
  /** By the name that `--machine` takes. */
  readonly machines?: Readonly<Record<string, Omit<MachineSpec, "name">>>;
  /** Laid over every kernel that has what they stand over; see `overlay` of `@kreplica/di`. */
  readonly overlays?: readonly Binding[];
  /** Checked along with ours. */
  readonly invariants?: readonly Invariant<Subject>[];
}

/** The export itself, or a function that makes it of kreplica's packages. */
export type KreplicaPluginExport = KreplicaPlugin | ((kit: PluginKit) => KreplicaPlugin);
