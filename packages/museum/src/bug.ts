/**
 * What a bug of the museum is: what happened in Linux, what lays it over a correct kernel, and a short way to it.
 */
import type { Binding } from "@kreplica/di";

/** Where a bug hangs: by the part of the kernel that had it. */
export type Room =
  | "lazy TLB and PCIDs"
  | "KPTI and LDT"
  | "set_memory"
  | "vmalloc"
  | "EFI"
  | "text patching"
  | "modules"
  | "hotplug"
  | "user memory and NUMA"
  | "5 levels";

/**
 * One operation of a path as plain data, as `kreplica check --save` writes it: `op`, and the fields that this one has.
 * Numbers of processes and CPUs count those alive and on line; places are those of the check.
 */
export type PathStep = { readonly op: string } & Readonly<Record<string, unknown>>;

/** A commit of Linux, by its subject. */
export interface LinuxCommit {
  /** Its first twelve digits; absent where nobody here has seen it confirmed. */
  readonly id?: string;
  /** The subject as the commit has it. */
  readonly subject: string;
}

/** The kernel on which a path was found: two nodes, 4 levels and no KPTI where nothing is said. */
export interface BugKernel {
  readonly nodes?: number;
  readonly levels?: 4 | 5;
  readonly pti?: boolean;
  readonly configuration?: "late memory";
}

/** What the same path comes to with a single copy of the kernel and with one a node. */
export interface BugCopies {
  /** Rule that breaks with a single copy; absent where the path is clean there. */
  readonly without?: string;
  /** Rule that breaks with a copy a node; absent where the path is clean there. */
  readonly with?: string;
  /** What a copy makes of the bug, in a sentence. */
  readonly words: string;
}

/** One bug. */
export interface Bug {
  /** Lower case with dashes; what `kreplica bugs` and `check --bug` take. */
  readonly id: string;
  readonly room: Room;
  /** In a clause: what is wrong. */
  readonly sentence: string;
  /** What happened in Linux. */
  readonly happened: string;
  /** When and how it was mended. */
  readonly mended: string;
  /** Commits that brought it or mended it, the mending first. */
  readonly commits: readonly LinuxCommit[];
  /** The invariant that catches it, where it is found first. */
  readonly invariant: string;
  readonly kernel: BugKernel;
  /** From a kernel just booted to the invariant; empty where the boot itself breaks it. */
  readonly path: readonly PathStep[];
  readonly copies: BugCopies;
  /** Seen only beside the same run with another number of copies, not in the machine's bytes. */
  readonly comparedOnly?: true;
  /** What is laid over the corrected kernel. */
  readonly overlays: readonly Binding[];
}
