/**
 * x86-64 page-table entries as two 32-bit halves, bit for bit as the hardware reads them.
 *
 *   hi:  31 | 30 .. 20   | 19 .. 0          lo:  31 .. 12    | 11 .. 9   | 8 | 7  | 6 | 5 | 4   | 3   | 2 | 1 | 0
 *        NX | available  | page 39..20           page 19..0  | available | G | PS | D | A | PCD | PWT | U | W | P
 *
 * A 4 KiB leaf has PAT where PS is; a 2 MiB or 1 GiB leaf has PAT in bit 12, below its frame.
 * Source: Intel SDM vol. 3A, "Format of a Page-Table Entry that Maps a 4-KByte Page" and its sister tables.
 */
import { ENCRYPTION_PLACES, frameHighOf, NO_FRAME, pageHighOf } from "./frame-number.js";

/** Bits of the low half. A plain enum, so that other packages may use it. */
export enum Bit {
  /** The entry is used at all; all other bits are the software's own when it is clear. */
  Present = 0x001,
  /** Stores are allowed (in supervisor mode only enforced with CR0.WP). */
  Writable = 0x002,
  /** User mode may use what lies below. */
  User = 0x004,
  /** Write-through; with PCD and PAT selects the memory type. */
  WriteThrough = 0x008,
  /** Cache disable. */
  CacheDisable = 0x010,
  /** Set by the walker when the entry is used for a translation. */
  Accessed = 0x020,
  /** Set by the walker on the first store through a leaf. */
  Dirty = 0x040,
  /** In a PMD or PUD entry: this is a leaf. In a PTE: {@link Bit.PatSmall}. */
  PageSize = 0x080,
  /** PAT bit of a 4 KiB leaf. */
  // eslint-disable-next-line @typescript-eslint/no-duplicate-enum-values -- one bit with two meanings, by level
  PatSmall = 0x080,
  /** Survives a CR3 load while CR4.PGE is set. */
  Global = 0x100,
  /** PAT bit of a 2 MiB or 1 GiB leaf. */
  PatLarge = 0x1000,
}

/** No instruction fetch from what lies below: bit 63, so bit 31 of the high half. */
export const NO_EXECUTE = 0x8000_0000 | 0;
/** Address bits of the high half: 32 to 51, but for the places that an encryption bit may have. */
export const FRAME_HIGH_MASK = 0x000f_ffff & ~ENCRYPTION_PLACES;
/**
 * The high half's bit that says memory is encrypted, in the place that a machine has it in. It leads to no other frame:
 * {@link frameOf} reads none of these places.
 * @param place of the machine's specification; undefined: it has none @returns 0 then
 * @source AMD64 Architecture Programmer's Manual vol. 2, "Secure Memory Encryption"
 */
export const encryptionHigh = (place: number | undefined): number => (place === undefined ? 0 : 1 << (place - 32));

/** Whether an entry's low half says it is there at all. */
export const isPresent = (lo: number): boolean => (lo & Bit.Present) !== 0;
/** Whether an entry's low half allows writes below it. */
export const isWritable = (lo: number): boolean => (lo & Bit.Writable) !== 0;
/** Whether an entry's low half allows user mode below it. */
export const isUser = (lo: number): boolean => (lo & Bit.User) !== 0;
/** Whether an entry's high half allows fetches below it. */
export const isExecutable = (hi: number): boolean => (hi & NO_EXECUTE) === 0;
/** Whether a present entry of this level ends the walk. @param level 1 PTE, 2 PMD, 3 PUD; 4 and 5 never do */
export const isLeaf = (lo: number, level: number): boolean => level === 1 || (level <= 3 && (lo & Bit.PageSize) !== 0);

/**
 * Frame number an entry names, {@link NO_FRAME} where its address has none; a large leaf's lowest bits (PAT, reserved)
 * are taken off by {@link leafFrame}.
 */
export const frameOf = (lo: number, hi: number): number => {
  const high = hi & FRAME_HIGH_MASK;
  return high < 0xf00 ? ((lo >>> 12) | (high << 20)) >>> 0 : beyond(lo >>> 12, high);
};
const beyond = (low: number, pageHigh: number): number => {
  const high = frameHighOf(pageHigh);
  return high < 0 ? NO_FRAME : (low | (high << 20)) >>> 0;
};
/** First frame of the leaf: 512-frame aligned at level 2, 262144-frame aligned at level 3. */
export const leafFrame = (lo: number, hi: number, level: number): number => {
  const frame = frameOf(lo, hi);
  return level === 1 ? frame : level === 2 ? (frame & ~0x1ff) >>> 0 : (frame & ~0x3ffff) >>> 0;
};

/** Low half of an entry that names `frame` with these low bits (0 to 0xfff, or with {@link Bit.PatLarge}). */
export const entryLow = (frame: number, bits: number): number => ((frame << 12) | bits) >>> 0;
/** High half of an entry that names `frame`. */
export const entryHigh = (frame: number, noExecute: boolean): number =>
  (pageHighOf(frame) | (noExecute ? NO_EXECUTE : 0)) >>> 0;
