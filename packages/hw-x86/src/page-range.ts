/**
 * Ranges of addresses, in the one form they are given in everywhere: whole pages where something is mapped, changed,
 * walked or flushed, which no other length can be asked of; bytes where code, symbols or data are meant. Both begin
 * with their first address, and end before another one.
 *
 * Hot paths of this package pass numbers in place of either: they allocate nothing.
 */
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

/** Bytes one after the other: [start, end). */
export interface AddressRange {
  /** First address. */
  readonly start: bigint;
  /** First address behind it, not below `start`; up to 2^64, which is no address. */
  readonly end: bigint;
}

/** So many bytes from a first address. @param bytes 0 or more; at the door numbers, lengths of arrays */
export const bytesAt = (start: bigint, bytes: number): AddressRange => ({ start, end: start + BigInt(bytes) });

/** Bytes in a range, below 2^53: what an array for them is long. */
export const lengthOf = ({ start, end }: AddressRange): number => Number(end - start);

/** The same pages as bytes. */
export const bytesOf = (pages: PageRange): AddressRange => ({ start: pages.start, end: endOf(pages) });

/** Whether an address lies in a range. */
export const contains = ({ start, end }: AddressRange, address: bigint): boolean => address >= start && address < end;

/** Whether two ranges have a byte in common. */
export const meet = (a: AddressRange, b: AddressRange): boolean => a.start < b.end && b.start < a.end;

/** All there is, non-canonical addresses passed over by whoever walks it. */
export const ALL_PAGES: PageRange = { start: 0n, pages: 2 ** 52 };
/** The upper half of all addresses, whose canonical part is its end. */
export const UPPER_HALF: PageRange = { start: 1n << 63n, pages: 2 ** 51 };
