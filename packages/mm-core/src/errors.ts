/** Why a kernel memory operation was refused, and what a broken promise throws. */

import { hex } from "@kreplica/hw-x86/api";
/** One code, one meaning. Grep for the code finds every place that throws it, grep for the detail the one. */
export type MmErrorCode =
  | "already-mapped"
  | "misaligned"
  | "out-of-frames"
  | "bad-layout"
  | "bad-image"
  | "bad-option"
  | "no-room-for-image"
  /** Somebody keeps addresses of text that is to go, and cannot be made to forget them now. */
  | "text-in-use";

/** Thrown by cold-path operations; faults that hardware raises are values, not this. */
export class MmError extends Error {
  override readonly name = "MmError";
  /** @param address what the refusal is about: a virtual or physical address, 0 when there is none */
  constructor(
    readonly code: MmErrorCode,
    readonly address: bigint,
    detail: string,
  ) {
    super(`${code}: ${hex(address)}: ${detail}`);
  }
}

/** A promise of our own code that did not hold: a defect of kreplica, never caught. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/**
 * @param why the reason; where it says a number, on a path that a checker goes millions of times, what writes it
 * @throws InvariantError with the reason when the condition is false
 */
export function invariant(condition: boolean, why: string | (() => string)): asserts condition {
  if (!condition) throw new InvariantError(typeof why === "string" ? why : why());
}
