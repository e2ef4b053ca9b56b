/** Permission and memory-type changes on kernel memory: interface, token, refusals, and the W+X check. */
import { token } from "@kreplica/di";
import type { PageRange } from "@kreplica/hw-x86/api";
import type { Protection } from "@kreplica/mm-core/api";

export * from "./errors.js";
export type { PageRange } from "@kreplica/hw-x86/api";
export { findWritableExecutable, type CheckedRoot, type WritableExecutable } from "./wx-check.js";

/** What a join did. */
export interface JoinResult {
  /** Tables of small leaves replaced by one large leaf each, over all roots. */
  readonly joined: number;
  /** Table frames given back; the others are the boot's own. */
  readonly freed: number;
}

/**
 * Linux: set_memory_*() and numa_set_memory_*(), one call for both.
 *
 * Each call changes every root's tables, or none's: a refusal leaves all as they were. Direct-map aliases follow in
 * writability, presence, memory type and encryption; never in execution, which the direct map does not have.
 * Translations are flushed before a call returns, whatever PCID they were made under.
 *
 * Every operation throws {@link SetMemoryError}.
 */
export interface SetMemory {
  /** set_memory_x */
  executable(range: PageRange): void;
  /** set_memory_nx */
  nonExecutable(range: PageRange): void;
  /** set_memory_ro */
  readOnly(range: PageRange): void;
  /** set_memory_rw */
  readWrite(range: PageRange): void;
  /** set_memory_rox: read-only and executable in one change, so that no W+X moment exists. */
  readOnlyExecutable(range: PageRange): void;
  /** The way back from {@link readOnlyExecutable}: set_memory_nx, then set_memory_rw. */
  readWriteNonExecutable(range: PageRange): void;
  /** set_memory_np */
  notPresent(range: PageRange): void;
  /** set_memory_np_noalias: the direct map keeps its view. */
  notPresentHere(range: PageRange): void;
  /** set_memory_p */
  present(range: PageRange): void;
  /** set_memory_global */
  global(range: PageRange): void;
  /** set_memory_nonglobal */
  nonGlobal(range: PageRange): void;
  /** set_memory_uc: UC-, which an MTRR may turn into WC. */
  uncached(range: PageRange): void;
  /** set_memory_wc */
  writeCombined(range: PageRange): void;
  /** set_memory_wb */
  writeBack(range: PageRange): void;
  /**
   * set_memory_decrypted: memory is shared with who is outside from now on. Nothing, as in Linux, where the machine has
   * no encryption bit.
   */
  decrypted(range: PageRange): void;
  /** set_memory_encrypted: private again, before it is given back. */
  encrypted(range: PageRange): void;
  /** Any change. @param alias whether the direct map follows */
  change(range: PageRange, change: Partial<Protection>, alias: boolean): void;
  /** Several changes with one shootdown at the end, all or none. */
  changeAll(changes: readonly PermissionChange[]): void;
  /**
   * Joins small leaves into 2 MiB, and these (but in the last 512 GiB) into 1 GiB, wherever 512 neighbours agree and
   * continue one another; in user halves under KPTI as well. Linux 6.5 splits only.
   */
  join(range: PageRange): JoinResult;
}
/** One of several changes. */
export interface PermissionChange {
  readonly range: PageRange;
  readonly change: Partial<Protection>;
  /** Whether the direct map follows. */
  readonly alias: boolean;
}

export const SetMemory = token<SetMemory>("set-memory/SetMemory");
