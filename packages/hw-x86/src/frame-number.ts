/**
 * Frame numbers: 32 bits that stand for physical addresses of up to 52, by arithmetic alone, the same on every machine.
 *
 *   frame  31 .. 28 | 27 .. 25 | 24 .. 0              page  39 .. 32        31 .. 0
 *          below f  |                                       0               the frame itself        below 15 TiB
 *          f        | window w | page in window             bit 32 + w      page in window          at 2^(44 + w) bytes; w is not 3 or 7
 *
 * Up to 15 TiB a frame is its page: physical address / 4096. The sixteenth stands for six windows at 16, 32, 64, 256
 * and 512 TiB and 1 PiB, powers of two all, so that a window is one bit of an entry's upper half. Those at 128 TiB and
 * 2 PiB are left out: their bit is where an encryption bit may be. Memory lies in the first
 * 127 GiB of a window: the last GiB stays empty, so that frames that follow each other are pages that do wherever
 * there is memory, and the end of a range of frames is the end of its pages.
 */
/** First frame that is not its own page's number: what would be 15 TiB. */
const WINDOWS = 0xf000_0000;
/** Frames from one window to the next: 128 GiB. */
const WINDOW_FRAMES = 0x200_0000;
/** Frames of a window that memory may lie in. */
const MEMORY_FRAMES = WINDOW_FRAMES - 0x4_0000;
/** Bits 51 and 47 of an address, of bits 51 to 32: places of an encryption bit, which no window has. */
export const ENCRYPTION_PLACES = 0x8_8000;
/** The last one is number 6, at 1 PiB. */
const WINDOW_COUNT = 7;
const FIRST_WINDOW_PAGE = 2 ** 32;

/** Where a machine's memory may lie, as messages say it. */
export const MEMORY_PLACES = "below 15 TiB, or within 127 GiB from 16 TiB, 32 TiB, 64 TiB, 256 TiB, 512 TiB or 1 PiB";

/** The frame of a page that has no number: no memory is there, nor beside it. */
export const NO_FRAME = 0xffff_ffff;

/** Number of a frame's page: physical address / 4096, below 2^40. @param frame 0 to 2^32 - 1 */
export const physicalPageOf = (frame: number): number =>
  frame < WINDOWS ? frame : 2 ** (32 + ((frame >>> 25) & 7)) + (frame & (WINDOW_FRAMES - 1));

/** The inverse. @param page physical address / 4096, from 0 @returns {@link NO_FRAME} for a page without a number */
export function frameOfPage(page: number): number {
  if (page < WINDOWS) return page;
  const high = frameHighOf(Math.floor(page / 0x10_0000));
  return high < 0 ? NO_FRAME : high * 0x10_0000 + (page % 0x10_0000);
}

/** Bits 31 to 20 of a frame, from bits 39 to 20 of its page's number. @returns -1 for a page without a number */
export function frameHighOf(pageHigh: number): number {
  if (pageHigh < 0xf00) return pageHigh;
  const window = 19 - Math.clz32(pageHigh);
  return window >= 0 &&
    window < WINDOW_COUNT &&
    (pageHigh & ENCRYPTION_PLACES) === 0 &&
    (pageHigh & ~0x1f) === 0x1000 << window
    ? 0xf00 | (window << 5) | (pageHigh & 0x1f)
    : -1;
}

/** Bits 39 to 20 of a page's number, from its frame. */
export function pageHighOf(frame: number): number {
  const high = frame >>> 20;
  return high < 0xf00 ? high : (0x1000 << ((high >>> 5) & 7)) | (high & 0x1f);
}

/** Whether memory may lie there: {@link MEMORY_PLACES}. @param first page @param pages from 0, both whole */
export function isMemoryPlace(first: number, pages: number): boolean {
  const end = first + pages;
  if (end < WINDOWS) return true;
  const start = 2 ** Math.floor(Math.log2(first));
  return start >= FIRST_WINDOW_PAGE && frameOfPage(start) !== NO_FRAME && end <= start + MEMORY_FRAMES;
}
