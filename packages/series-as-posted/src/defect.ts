/**
 * What a defect of the series is: a sentence, where it comes from, what it breaks, how it was confirmed, and what lays
 * it over the corrected kernel.
 */
import type { Binding } from "@kreplica/di";

/** How it is known that the series has it. */
export type Confirmation =
  /** Seen on a port of the twelve patches to 6.1 that ran under QEMU. */
  | "seen on a running kernel"
  /** Read in the patch, and not tried on a kernel. */
  | "read in the patch"
  /** Of another design than the series. */
  | "known of another design";

/** What may be not as usual on a kernel: a defect may show there alone. None takes far memory. */
export type Configuration =
  | "far memory"
  | "late memory"
  | "modules=off"
  | "rodata=off"
  | "small node"
  | "KASAN without vmalloc"
  | "boot CPU elsewhere";

/** What lays a fault over a correct kernel, and what it is called. */
export interface LaidFault {
  readonly id: string;
  /** What is laid over the corrected kernel; those over parts that a kernel does not have are left out. */
  readonly overlays: readonly Binding[];
}

/** One defect of the series as posted. */
export interface SeriesDefect extends LaidFault {
  /** D1 to D16 were found by reading, N1 to N3 by running; those without a number by both. */
  readonly id: string;
  /** In a clause, without its subject's name: what is wrong. */
  readonly sentence: string;
  /** `NN/12 file function` of the series; of what no patch converted, the place. */
  readonly patch: string;
  /** Ids of the invariants that it breaks, the one it is found by first. */
  readonly breaks: readonly string[];
  /** What comes of it on the machine. */
  readonly effect: string;
  readonly confirmed: Confirmation;
  /** Where it shows, when not everywhere. */
  readonly configuration?: Configuration;
  /** The overlay makes the configuration what it is, and is laid on such kernels alone. */
  readonly onlyThere?: true;
}
