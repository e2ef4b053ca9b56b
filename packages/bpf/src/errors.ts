/** Why the BPF subsystem refused something: one closed set of codes, with the place in program, file and source. */

import { hex } from "@kreplica/hw-x86/api";
/** Refusals while reading an object file or linking its programs. */
export type ObjectErrorCode =
  | "code-size"
  | "elf-cut"
  | "elf-not-elf"
  | "elf-wrong-class"
  | "elf-wrong-machine"
  | "elf-wrong-type"
  | "elf-bad-table"
  | "elf-bad-section"
  | "elf-wrong-section"
  | "elf-bad-addend"
  | "elf-wrong-order"
  | "elf-bad-string"
  | "elf-bad-relocation"
  | "elf-no-symbols"
  | "btf-bad-header"
  | "btf-bad-type"
  | "btf-bad-string"
  | "btf-bad-line"
  | "object-no-program"
  | "object-bad-map"
  | "object-unknown-map-type"
  | "object-bad-relocation"
  | "object-bad-function"
  | "object-bad-reference"
  | "object-bad-call"
  | "object-unresolved-symbol"
  | "object-unknown-section"
  | "object-too-large"
  | "object-data-too-large"
  | "object-core-unsupported"
  | "object-no-such-program"
  | "object-not-loaded";
/** Refusals of the text assembler. */
export type AssemblerErrorCode = "assemble-syntax" | "assemble-label" | "assemble-range";
/** Refusals of maps, areas and the program life cycle. */
export type RuntimeErrorCode =
  | "map-bad-shape"
  | "map-no-memory"
  | "image-no-space"
  | "helper-page-no-space"
  | "image-not-ours"
  | "jit-unsupported"
  | "trampoline-too-many"
  | "trampoline-bad-site"
  | "trampoline-not-attached"
  | "trampoline-no-space"
  | "dispatcher-no-space"
  | "struct-ops-no-program"
  | "struct-ops-no-space"
  | "struct-ops-not-published"
  | "dispatcher-full"
  | "dispatcher-not-attached"
  | "struct-ops-bad-member"
  | "program-unloaded";
/** Refusals of the verifier; the log line says which register, offset or bound. */
export type VerifierErrorCode =
  | "verify-empty"
  | "verify-too-long"
  | "verify-bad-opcode"
  | "verify-classic-load"
  | "verify-bad-register"
  | "verify-jump-range"
  | "verify-fall-through"
  | "verify-unreachable"
  | "verify-bad-subprogram"
  | "verify-call-depth"
  | "verify-stack-depth"
  | "verify-uninitialised-register"
  | "verify-frame-pointer-write"
  | "verify-uninitialised-stack"
  | "verify-uninitialised-memory"
  | "verify-stack-range"
  | "verify-pointer-arithmetic"
  | "verify-pointer-negated"
  | "verify-pointer-swapped"
  | "verify-two-pointers"
  | "verify-half-pointer"
  | "verify-pointer-subtracted"
  | "verify-nullable-arithmetic"
  | "verify-fixed-pointer"
  | "verify-context-offset"
  | "verify-pointer-bounds"
  | "verify-pointer-far"
  | "verify-offset-below"
  | "verify-offset-above"
  | "verify-packet-move"
  | "verify-stack-returned"
  | "verify-leak-to-helper"
  | "verify-leak-partial"
  | "verify-leak-spilled"
  | "verify-leak-to-context"
  | "verify-leak-to-memory"
  | "verify-leak-from-stack"
  | "verify-leak-returned"
  | "verify-pointer-compare"
  | "verify-spill-partly-read"
  | "verify-spill-to-caller"
  | "verify-spill-size"
  | "verify-spill-corrupted"
  | "verify-spill-variable"
  | "verify-bad-access"
  | "verify-atomic-pointer"
  | "verify-mixed-pointers"
  | "verify-null-access"
  | "verify-access-range"
  | "verify-access-below"
  | "verify-packet-range"
  | "verify-read-only"
  | "verify-misaligned"
  | "verify-context-access"
  | "verify-context-write"
  | "verify-unknown-helper"
  | "verify-kernel-function"
  | "verify-helper-type"
  | "verify-helper-argument"
  | "verify-helper-size"
  | "verify-size-not-constant"
  | "verify-size-zero"
  | "verify-map-helper"
  | "verify-reference-leak"
  | "verify-return-value"
  | "verify-too-complex"
  | "verify-too-many-branches"
  | "verify-infinite-loop"
  | "verify-shift-range"
  | "verify-division-by-zero"
  | "verify-bad-map"
  | "verify-no-map"
  | "verify-bad-load-kind"
  | "verify-atomic-operand"
  | "verify-atomic-memory"
  | "verify-tail-call";
/** Every code a {@link BpfError} may carry. */
export type BpfErrorCode = ObjectErrorCode | AssemblerErrorCode | RuntimeErrorCode | VerifierErrorCode;

/** Where the fault lies, as far as it is known. */
export interface BpfPlace {
  /** Slot number in the program as loaded. */
  readonly instruction?: number;
  /** `file.c:12: text of the line`, where BTF has it. */
  readonly source?: string;
  /** ELF section, map or program. */
  readonly section?: string;
  /** Byte offset in the file or section. */
  readonly offset?: number;
  /** Line of assembler text, from 1. */
  readonly line?: number;
}

/** A refusal. Machine outcomes (a faulting access, an exhausted budget) are values, not this. */
export class BpfError extends Error {
  override readonly name = "BpfError";
  /** The verifier's log up to the refusal; empty elsewhere. */
  log: readonly string[] = [];
  constructor(
    readonly code: BpfErrorCode,
    readonly place: BpfPlace,
    readonly detail: string,
  ) {
    const where = [
      place.section === undefined ? "" : `section ${place.section}`,
      place.offset === undefined ? "" : `offset ${hex(place.offset)}`,
      place.line === undefined ? "" : `line ${place.line}`,
      place.instruction === undefined ? "" : `instruction ${place.instruction}`,
    ]
      .filter((part) => part !== "")
      .join(", ");
    const at = [where, place.source === undefined ? "" : `(${place.source})`].filter((part) => part !== "").join(" ");
    super(`${code}: ${at === "" ? "" : `${at}: `}${detail}`);
  }
}

/** A promise of this package that was broken: never caught, always a bug here. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** @throws InvariantError when `condition` is false */
export function invariant(condition: boolean, why: string): asserts condition {
  if (!condition) throw new InvariantError(why);
}
