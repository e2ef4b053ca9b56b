/**
 * Numbers that several hot files share and nobody outside the package sees: states of a line, what an entry denies.
 * Const enums, which the bundler writes out where they are used, as it does the public enums of counters.ts and
 * machine-api.ts: docs/decisions/023.
 */

/** States of a line in L1 and L2, an L3 uses `Modified` only; and what a probe answers beside them. */
export const enum Line {
  Modified = 1,
  Shared = 2,
  /** It was there. */
  Held = 4,
}

/** What a translation denies, drawn in walker.ts: a later access is refused by one AND. */
export const enum Denial {
  NotWritable = 1,
  NotUser = 2,
  /** The opposite of `NotUser`. */
  UserPage = 4,
  NoExecute = 8,
  /** The page was never stored to. */
  NotDirty = 16,
  /** The leaf's encryption bit is clear, on a machine that has one. Refuses nothing: it is kept for who looks. */
  NotEncrypted = 32,
}

/** The context that entries of a TLB are tagged with (registers.ts). */
export const enum Context {
  /** A bit no entry has, so that nothing hits: set while paging is off or the core sleeps. */
  Never = 1 << 30,
}

/** Core.fetchThread when the next fetch has to look. */
export const enum Thread {
  Nobody = -1,
}
