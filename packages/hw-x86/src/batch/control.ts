/** The control block: what a thread and a batch tell each other, word by word. */

/** Words of the control block: what a thread and a batch tell each other. */
export const enum Control {
  /** 1: the line fetched last is {@link FetchLo}, {@link FetchHi}, and fetching there again changes nothing. */
  Kept,
  FetchLo,
  FetchHi,
  /** Frame of the page fetched from last; of the last access. */
  FetchFrame,
  Frame,
  Context,
  GlobalContext,
  DenyLoad,
  DenyStore,
  DenyFetch,
  CanonicalShift,
  AnyLarge,
  /** The region register, and where its counts begin: bytes from the first region's. */
  Region,
  Row,
  /** Bit r: under region r references were run; something other than hits of L1 was counted. */
  Touched,
  Counted,
  /** Core.counting, Core.tlbs.codeKept. */
  Counting,
  CodeKept,
  /** What the last reference ended in. */
  Fault,
  /**
   * The thread's walker: root's frame, its level, bits of an entry's high half that must be zero; CR4.PGE as a mask.
   */
  WalkRoot,
  WalkLevels,
  WalkReserved,
  Globals,
  /** Where the last walk began, and the slot that said so, or 0; what it found. */
  WalkStart,
  WalkSlot,
  WalkFrame,
  WalkGlobal,
  WalkDenials,
  /** Pages entered by walks of this batch. */
  Fills,
  /** 1: the L3 lies in the memory, and no other core is to be asked. */
  Alone,
  Words,
}
