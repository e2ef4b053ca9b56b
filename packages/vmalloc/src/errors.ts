/** Why an operation on an area was refused. */

import { hex } from "@kreplica/hw-x86/api";
/** One code, one meaning; the detail names the place. The errno Linux would give stands beside each. */
export type VmallocErrorCode =
  /** The request itself cannot be served: no pages, a range that is empty or off a page. -EINVAL. */
  | "bad-request"
  /** No gap of that size and alignment in the range. -EBUSY from alloc_vmap_area. */
  | "no-space"
  /** The given address is taken, wholly or in part. -EBUSY. */
  | "taken"
  /** No frames for the pages. -ENOMEM. */
  | "out-of-frames"
  /** No table pages to map them. -ENOMEM. */
  | "out-of-tables"
  /** No area begins at, or contains, the address. -ENOENT. */
  | "no-area"
  /** The area is not shared between holders' private tables, so it cannot be replicated. -EINVAL. */
  | "not-in-window"
  /** The area's frames belong to somebody else (vmap), so they may not be replaced by copies. -EINVAL. */
  | "not-owned"
  /** The area is replicated already. -EINVAL. */
  | "already-replicated";

/** Thrown by cold-path operations on areas. A failed replication is not one: it is a value, see ReplicationOutcome. */
export class VmallocError extends Error {
  override readonly name = "VmallocError";
  /** @param address what the refusal is about; 0 when the caller gave none */
  constructor(
    readonly code: VmallocErrorCode,
    readonly address: bigint,
    detail: string,
  ) {
    super(`${code}: ${hex(address)}: ${detail}`);
  }
}
