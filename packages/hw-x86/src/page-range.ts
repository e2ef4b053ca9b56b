/** Runs of whole pages: how a range of addresses that is mapped, changed, walked or flushed is written everywhere. */
import { PAGE } from "./addr.js";

/** Pages of 4 KiB one after the other. */
export interface PageRange {
  /** First address, canonical, on 4 KiB. */
  readonly start: bigint;
  /** Count of 4 KiB pages, 0 to 2^52. */
  readonly pages: number;
}

/** First byte behind a range: up to 2^64, which is no address. */
export const endOf = ({ start, pages }: PageRange): bigint => start + BigInt(pages) * PAGE;

/** The pages from one address up to another, the last as a whole. @param start on 4 KiB @param end first byte behind */
export const pagesBetween = (start: bigint, end: bigint): PageRange => ({
  start,
  pages: Number((end - start + PAGE - 1n) >> 12n),
});

/** Whether two ranges have a page in common. */
export const overlap = (a: PageRange, b: PageRange): boolean => a.start < endOf(b) && b.start < endOf(a);

/** All there is, non-canonical addresses passed over by whoever walks it. */
export const ALL_PAGES: PageRange = { start: 0n, pages: 2 ** 52 };
/** The upper half of all addresses, whose canonical part is its end. */
export const UPPER_HALF: PageRange = { start: 1n << 63n, pages: 2 ** 51 };
