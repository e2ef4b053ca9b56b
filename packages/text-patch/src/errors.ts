/** Why a patch was refused, and what a table that cannot be one says. */

import { hex } from "@kreplica/hw-x86/api";
/** Why; the address says where. Several places refuse for the same reason. */
export type TextPatchErrorCode =
  | "bad-table"
  | "unknown-layout"
  | "out-of-reach"
  | "not-mapped"
  | "not-executable"
  | "not-decodable"
  | "unexpected-code"
  | "busy"
  | "too-long"
  | "not-text"
  | "unsorted"
  | "cleared"
  | "taken"
  | "no-site"
  | "no-slot";

/** Thrown before anything was written. */
export class TextPatchError extends Error {
  override readonly name = "TextPatchError";
  /** @param address of the site, or of the table entry */
  constructor(
    readonly code: TextPatchErrorCode,
    readonly address: bigint,
    detail: string,
  ) {
    super(`${code}: ${hex(address)}: ${detail}`);
  }
}
