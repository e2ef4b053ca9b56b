/** All patching a kernel does to itself on the way up, in its order. */
import type { PatchTables, SiteClass } from "../sites/site.js";
import { applyAlternatives } from "./alternatives.js";
import { applyRetpolines, applyReturns, switchSmpLocks } from "./branches.js";
import { applyFtrace, applyJumpLabels, applyParavirt, applyStaticCalls, applyTrampolines } from "./calls.js";
import type { PatchableText, PatchState } from "./patchable-text.js";

/** Sites changed, by class. */
export type PatchCounts = Partial<Record<SiteClass, number>>;

/** setup_arch: jump_label_init and static_call_init. */
export function patchEarly(text: PatchableText, tables: PatchTables, state: PatchState): PatchCounts {
  return {
    "jump-label": applyJumpLabels(text, tables.jumpLabels, state),
    "static-call": applyStaticCalls(text, tables.staticCalls, state),
  };
}

/** After alternatives, whenever a static call was updated: the trampolines. */
export const patchTrampolines = (text: PatchableText, tables: PatchTables, state: PatchState): PatchCounts => ({
  "static-call": applyTrampolines(text, tables.trampolines, state),
});

/** start_kernel: ftrace_init. */
export const patchFtrace = (text: PatchableText, tables: PatchTables): PatchCounts => ({
  ftrace: applyFtrace(text, tables.ftrace),
});

/**
 * arch_cpu_finalize_init: alternative_instructions.
 * @param inText whether an address is in text that stays
 * @param inPlace see {@link applyAlternatives}
 */
export function patchAlternatives(
  text: PatchableText,
  tables: PatchTables,
  state: PatchState,
  inText: (address: bigint) => boolean,
  inPlace?: PatchableText,
): PatchCounts {
  const paravirt = applyParavirt(text, tables.paravirt, state);
  const retpoline = applyRetpolines(text, tables.retpolines, state);
  const returns = applyReturns(text, tables.returns, state);
  const alternative = applyAlternatives(text, tables.alternatives, state, inPlace);
  const locks = state.cpus === 1 ? switchSmpLocks(text, tables.smpLocks, 0x3e, inText) : 0;
  return { paravirt, retpoline, return: returns, alternative, "smp-lock": locks };
}
