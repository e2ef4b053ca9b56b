/** What a policy of a kernel may say beyond the core's ports: fields that boots, checks and reports ask for. */
import type { MachineSpec, NodeId } from "@kreplica/hw-x86";
import type { Policy } from "@kreplica/mm-core";
import type { ModulePolicy } from "@kreplica/modules";
import type { SeriesDefect } from "@kreplica/series-as-posted";

/** A policy with what more than the core's ports may hang on it; all of it may be left out. */
export interface KernelPolicy extends Policy {
  /** Comes up only on a CPU of this node. */
  readonly bootNode?: {
    readonly node: NodeId;
    /** The defect that makes it so, in a word. */
    readonly because: string;
    /** What becomes of a boot elsewhere, as a clause's end. */
    readonly elsewhere: string;
  };
  /** Node of all that module_alloc gives: module bases, BPF images; chosen by the caller when absent. */
  readonly codeNode?: NodeId;
  /**
   * Where modules' base copies lie and which have copies, unless the caller says; beside each loading CPU, and all,
   * when absent.
   */
  readonly modules?: ModulePolicy;
  /** Defects of the series that are laid over a kernel under it, unless the caller says which. */
  readonly defects?: readonly SeriesDefect[];
  /** What a check lays over this policy's corrected kernel one by one, in place of {@link defects} as a whole. */
  readonly surveyed?: { readonly over: Policy; readonly defects: readonly SeriesDefect[] };
  /** Levels of page tables that it can be configured with beside KASAN; both when absent. */
  readonly kasanLevels?: readonly (4 | 5)[];
  /** Why no kernel of a machine can have it; undefined where one can. */
  readonly unfit?: (machine: MachineSpec) => PolicyFault | undefined;
  /** What it is called in a sentence; "the policy NAME" when absent. */
  readonly called?: string;
  /** Words of a comparison's tables. */
  readonly words?: {
    /** What its kernel has. */
    readonly design: string;
    /** Head of its column, two lines. */
    readonly column: string;
    /** Its row below the one of a single copy. */
    readonly row: string;
  };
  /** What it does and no recording has, so that a comparison leaves it out; clauses. */
  readonly notCompared?: readonly string[];
  /** What it costs that no figure of a comparison has in it; sentences. */
  readonly unpriced?: readonly string[];
}

/** What is called for by name, or handed over. */
export type PolicyChoice = string | KernelPolicy;

/** What is wrong with a name, for whoever tells it beside other faults. */
export interface PolicyFault {
  readonly reason: string;
  readonly remedy: string;
}
