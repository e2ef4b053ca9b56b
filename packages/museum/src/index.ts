/** Public surface of museum: every bug, room by room. */
import type { Bug, Room } from "./bug.js";
import { ENDED_MEANWHILE } from "./efi/ended-meanwhile.js";
import { FLUSHED_MEANWHILE } from "./efi/flushed-meanwhile.js";
import { LDT_PLACE } from "./five-levels/ldt-place.js";
import { OFFLINE } from "./hotplug/offline.js";
import { ONLINE } from "./hotplug/online.js";
import { PGDS } from "./hotplug/pgds.js";
import { CLONE_TOO_MUCH } from "./kpti/clone-too-much.js";
import { ENTRY_HOLE } from "./kpti/entry-hole.js";
import { GLOBAL_HALF } from "./kpti/global-half.js";
import { INIT_ALIAS } from "./kpti/init-alias.js";
import { JOIN } from "./kpti/join.js";
import { LDT_EXEC } from "./kpti/ldt-exec.js";
import { LDT_FORK } from "./kpti/ldt-fork.js";
import { LDT_UNMAPPED } from "./kpti/ldt-unmapped.js";
import { LDT_WRITABLE } from "./kpti/ldt-writable.js";
import { NO_POISON } from "./kpti/no-poison.js";
import { CPUMASK } from "./lazy-tlb/cpumask.js";
import { FREED_TABLES } from "./lazy-tlb/freed-tables.js";
import { GLOBAL_INVLPG } from "./lazy-tlb/global-invlpg.js";
import { MISSED_FLUSH } from "./lazy-tlb/missed-flush.js";
import { ONE_PCID } from "./lazy-tlb/one-pcid.js";
import { RECYCLED } from "./lazy-tlb/recycled.js";
import { SWITCHING } from "./lazy-tlb/switching.js";
import { ZAPPED_TABLE } from "./lazy-tlb/zapped-table.js";
import { AFTER_INIT } from "./modules/after-init.js";
import { LOAD_WX } from "./modules/load-wx.js";
import { NEVER_EXECUTABLE } from "./modules/never-executable.js";
import { ALIAS } from "./set-memory/alias.js";
import { HALF_DONE } from "./set-memory/half-done.js";
import { IGNORED_ERROR } from "./set-memory/ignored-error.js";
import { IMAGE_GAP } from "./set-memory/image-gap.js";
import { NON_GLOBAL } from "./set-memory/non-global.js";
import { PRESENT_GLOBAL } from "./set-memory/present-global.js";
import { ALIAS_STALE } from "./text-patching/alias-stale.js";
import { FTRACE_CALLER } from "./text-patching/ftrace-caller.js";
import { HANDLER_GONE } from "./text-patching/handler-gone.js";
import { PATCH_LEFT } from "./text-patching/patch-left.js";
import { POKING_UNKNOWN } from "./text-patching/poking-unknown.js";
import { PROBE_LEFT } from "./text-patching/probe-left.js";
import { PROBE_UNSYNCHRONISED } from "./text-patching/probe-unsynchronised.js";
import { SLOT_WRITABLE } from "./text-patching/slot-writable.js";
import { TAIL_FIRST } from "./text-patching/tail-first.js";
import { COW } from "./user-memory/cow.js";
import { MPROTECT } from "./user-memory/mprotect.js";
import { MREMAP } from "./user-memory/mremap.js";
import { PFNMAP } from "./user-memory/pfnmap.js";
import { PGD_PLACE } from "./user-memory/pgd-place.js";
import { SPLIT } from "./user-memory/split.js";
import { ALIAS_RANGE } from "./vmalloc/alias-range.js";
import { HUGE } from "./vmalloc/huge.js";
import { PURGE } from "./vmalloc/purge.js";

export type { Bug, BugCopies, BugKernel, LinuxCommit, PathStep, Room } from "./bug.js";

/** The bugs, in the order in which a visitor meets them. */
export const BUGS: readonly Bug[] = [
  CPUMASK,
  FREED_TABLES,
  GLOBAL_INVLPG,
  MISSED_FLUSH,
  ONE_PCID,
  RECYCLED,
  SWITCHING,
  ZAPPED_TABLE,
  CLONE_TOO_MUCH,
  ENTRY_HOLE,
  GLOBAL_HALF,
  INIT_ALIAS,
  JOIN,
  LDT_EXEC,
  LDT_FORK,
  LDT_UNMAPPED,
  LDT_WRITABLE,
  NO_POISON,
  ALIAS,
  HALF_DONE,
  IGNORED_ERROR,
  IMAGE_GAP,
  NON_GLOBAL,
  PRESENT_GLOBAL,
  ALIAS_RANGE,
  HUGE,
  PURGE,
  ENDED_MEANWHILE,
  FLUSHED_MEANWHILE,
  ALIAS_STALE,
  FTRACE_CALLER,
  HANDLER_GONE,
  PATCH_LEFT,
  POKING_UNKNOWN,
  PROBE_LEFT,
  PROBE_UNSYNCHRONISED,
  SLOT_WRITABLE,
  TAIL_FIRST,
  AFTER_INIT,
  LOAD_WX,
  NEVER_EXECUTABLE,
  OFFLINE,
  ONLINE,
  PGDS,
  COW,
  MPROTECT,
  MREMAP,
  PFNMAP,
  PGD_PLACE,
  SPLIT,
  LDT_PLACE,
];

/** The rooms that have something on show, in their order. */
export const ROOMS: readonly Room[] = [...new Set(BUGS.map(({ room }) => room))];

/** A bug by its name. @returns undefined for a name that is none */
export const bugOf = (id: string): Bug | undefined => BUGS.find((each) => each.id === id);
