/**
 * What `kreplica bpf --json` prints: what was run, with `--verify-only` the verifier's log, with `--disassemble` code.
 */
import type { BpfRun } from "@kreplica/replay";

/** Programs of a BPF object, run on a CPU of every node. */
export interface BpfDocument {
  readonly schema: "kreplica.bpf/1";
  /** Name of the machine. */
  readonly machine: string;
  /** Object file, as it was named. */
  readonly file: string;
  /** Who holds copies of the kernel. */
  readonly policy: string;
  /** Cycles are the model's, no computer's. */
  readonly modelled: true;
  /** With shared images, replicated ones, or both in this order; none where every program was refused. */
  readonly runs: readonly BpfRun[];
  /** Programs that were not run. */
  readonly refused: readonly RefusedProgram[];
}

/** A program that the verifier would not have, and why. */
export interface RefusedProgram {
  readonly name: string;
  readonly reason: string;
}

/** What the verifier says of programs. */
export interface BpfVerifyDocument {
  readonly schema: "kreplica.bpf-verify/1";
  readonly programs: readonly VerifiedProgram[];
}

/** A program and what the verifier followed. */
export interface VerifiedProgram {
  readonly name: string;
  /** Why it was refused; absent: accepted. */
  readonly refusal?: string;
  /** Lines. */
  readonly log: readonly string[];
}

/** Instructions of programs as linked. */
export interface BpfCodeDocument {
  readonly schema: "kreplica.bpf-code/1";
  readonly programs: readonly ListedProgram[];
}

/** A program's instructions. */
export interface ListedProgram {
  readonly name: string;
  /** Of the object file. */
  readonly section: string;
  /** Functions of the kernel that it calls. */
  readonly helpers: readonly CalledHelper[];
  /** Lines: instructions by slot, source lines after a semicolon, names of functions. */
  readonly lines: readonly string[];
}

/** A function of the kernel that BPF programs call, by its number. */
export interface CalledHelper {
  readonly id: number;
  readonly name: string;
}

/** @param run all but the schema and what is true of every one */
export const bpfDocument = ({
  machine,
  file,
  policy,
  runs,
  refused,
}: Omit<BpfDocument, "schema" | "modelled">): BpfDocument => ({
  schema: "kreplica.bpf/1",
  machine,
  file,
  policy,
  modelled: true,
  runs,
  refused,
});

/** @param programs in the order they were named */
export const bpfVerifyDocument = (programs: readonly VerifiedProgram[]): BpfVerifyDocument => ({
  schema: "kreplica.bpf-verify/1",
  programs,
});

/** @param programs in the order they were named */
export const bpfCodeDocument = (programs: readonly ListedProgram[]): BpfCodeDocument => ({
  schema: "kreplica.bpf-code/1",
  programs,
});
