/** Why a change of permissions was refused. */

import { hex } from "@kreplica/hw-x86/api";
/** One code, one meaning; the detail names the place. */
export type SetMemoryErrorCode = "misaligned" | "empty-range" | "not-mapped" | "out-of-frames";

/** Thrown before anything was changed. */
export class SetMemoryError extends Error {
  override readonly name = "SetMemoryError";
  /** @param address where it failed: the range's start, or the page that is not mapped */
  constructor(
    readonly code: SetMemoryErrorCode,
    readonly address: bigint,
    detail: string,
  ) {
    super(`${code}: ${hex(address)}: ${detail}`);
  }
}
