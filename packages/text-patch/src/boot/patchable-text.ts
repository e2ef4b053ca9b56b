/** Text as boot patching sees it: bytes that can be read and written, and what is known of the running kernel. */
import type { AddressRange } from "@kreplica/hw-x86/api";
import type { SiteClass } from "../sites/site.js";

/** Bytes by address. In a booting kernel writes go to every copy (text_poke_early); in a proof, to a flat array. */
export interface PatchableText {
  /** @returns a copy */
  read(range: AddressRange): Uint8Array;
  /** @param why class of the site the bytes lie in */
  write(address: bigint, bytes: Uint8Array, why: SiteClass): void;
}

/**
 * X86_FEATURE_* numbers that decide more than one alternative: word * 32 + bit, as from 5.19 (before, retpolines were
 * in word 7).
 * @source arch/x86/include/asm/cpufeatures.h
 */
export const FEATURE = { retpolineLfence: 11 * 32 + 13, retpoline: 11 * 32 + 12, rethunk: 11 * 32 + 14 } as const;

/** What the kernel found out, or was told on its command line, before it patched itself. */
export interface PatchState {
  /** boot_cpu_has(). @param feature word * 32 + bit */
  has(feature: number): boolean;
  /** Entry of pv_ops: a function, "nop" for _paravirt_nop, undefined for none. @param type index of the pointer */
  paravirt(type: number): bigint | "nop" | undefined;
  /** First of the sixteen __x86_indirect_thunk_* of 32 bytes each. */
  readonly indirectThunks: bigint;
  /** __x86_return_thunk: what compilers jump to; undefined in kernels that have none (before 5.19). */
  readonly defaultReturnThunk: bigint | undefined;
  /** Where a return at this address must jump to; undefined for a plain RET. */
  returnThunk(site: bigint): bigint | undefined;
  /**
   * A thunk for one indirect branch that may not end in the lower half of a line; absent where the CPU does not need
   * that (ITS). May give each branch its own, so it is asked once a site. @param register 0 to 15
   */
  indirectItsThunk?(register: number): bigint;
  /** Whether a static key is on. */
  keyEnabled(key: bigint): boolean;
  /** What a static call calls; 0 for none. */
  staticCallTarget(key: bigint): bigint;
  /** __static_call_return0; undefined in kernels that have none (before 5.12): then no call is patched to return 0. */
  readonly staticCallReturn0: bigint | undefined;
  /** CPUs present; with one, LOCK prefixes are taken out. */
  readonly cpus: number;
}

/** What a kernel of two CPUs found out that found nothing: no feature, no thunk, no key that is on. */
export const plainPatchState: PatchState = {
  has: () => false,
  paravirt: () => undefined,
  indirectThunks: 0n,
  defaultReturnThunk: 0n,
  returnThunk: () => undefined,
  keyEnabled: () => false,
  staticCallTarget: () => 0n,
  // No static call returns 0 in place: no function lies at 1.
  staticCallReturn0: 1n,
  cpus: 2,
};
