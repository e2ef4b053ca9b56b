/** Patch sites by class, as the tables of an image or module list them. All addresses virtual, as the table stands. */

/** What lists a site, and what will be written there. */
export type SiteClass =
  | "alternative"
  | "paravirt"
  | "retpoline"
  | "return"
  | "smp-lock"
  | "jump-label"
  | "static-call"
  | "ftrace"
  | "call"
  | "ibt";

/** An instruction run and what replaces it when the CPU has (or lacks) a feature. */
export interface AlternativeSite {
  readonly address: bigint;
  readonly length: number;
  readonly replacement: bigint;
  readonly replacementLength: number;
  /** word * 32 + bit, as in arch/x86/include/asm/cpufeatures.h. */
  readonly feature: number;
  /** Replace when the feature is absent. */
  readonly inverted: boolean;
  /** The replacement is a direct call through the pointer the original calls through: ALT_FLAG_DIRECT_CALL of 6.7. */
  readonly directCall: boolean;
}

/** An indirect call through pv_ops. */
export interface ParavirtSite {
  readonly address: bigint;
  readonly length: number;
  /** Index into pv_ops, in pointers. */
  readonly type: number;
}

/** A branch that a static key switches. */
export interface JumpLabelSite {
  readonly address: bigint;
  readonly target: bigint;
  /** Address of the key. */
  readonly key: bigint;
  /** Whether the site jumps while the key is off. */
  readonly branch: boolean;
  /**
   * In init text. As read from a table it is the file's second bit, which has another meaning there: whoever knows
   * where init text lies sets it.
   */
  readonly init: boolean;
}

/** A call or tail call of a static call. */
export interface StaticCallSite {
  readonly address: bigint;
  readonly key: bigint;
  readonly tail: boolean;
  readonly init: boolean;
}

/** The trampoline that callers without an inline site go through: a jump to what the key calls, or a return. */
export interface StaticCallTrampoline {
  readonly address: bigint;
  readonly key: bigint;
}

/** Every table of an image or module; a table that does not exist is empty. */
export interface PatchTables {
  readonly alternatives: readonly AlternativeSite[];
  readonly paravirt: readonly ParavirtSite[];
  readonly retpolines: readonly bigint[];
  readonly returns: readonly bigint[];
  /** Addresses of LOCK (or DS) prefixes. */
  readonly smpLocks: readonly bigint[];
  readonly jumpLabels: readonly JumpLabelSite[];
  readonly staticCalls: readonly StaticCallSite[];
  /** No table lists them: they are known by their symbols, __SCT__name for the key __SCK__name. */
  readonly trampolines: readonly StaticCallTrampoline[];
  /** Calls of __fentry__. */
  readonly ftrace: readonly bigint[];
  /** .call_sites: direct calls that call thunks rewrite (from 6.2). */
  readonly calls: readonly bigint[];
  /** .ibt_endbr_seal: ENDBR instructions nobody jumps to (from 5.18). */
  readonly ibtSeals: readonly bigint[];
}

/** The tables of an image without a site to patch. */
export const NO_TABLES: PatchTables = {
  alternatives: [],
  paravirt: [],
  retpolines: [],
  returns: [],
  smpLocks: [],
  jumpLabels: [],
  staticCalls: [],
  trampolines: [],
  ftrace: [],
  calls: [],
  ibtSeals: [],
};
