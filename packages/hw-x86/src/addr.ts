/**
 * Virtual and physical addresses: two 32-bit halves where speed counts, `bigint` at the door.
 *
 *   63 .. 57 | 56 .. 48 | 47 .. 39 | 38 .. 30 | 29 .. 21 | 20 .. 12 | 11 .. 0
 *     sign   |  PGD (5) | PGD/P4D  |   PUD    |   PMD    |   PTE    | offset      9 bits an index
 *
 * Halves because addresses of the upper half exceed 2^53, beyond which a JavaScript number is silently wrong.
 * Source: Intel SDM vol. 3A, "4-Level Paging and 5-Level Paging".
 */
import { frameOfPage, physicalPageOf } from "./frame-number.js";

/** Bytes of a 4 KiB page, as addresses are counted. */
export const PAGE = 4096n;
/** Bytes of a 4 KiB page, as lengths and offsets are counted. */
export const PAGE_BYTES = 4096;
/** Bytes of a 2 MiB page. */
export const LARGE = 0x20_0000n;
/** The same, as lengths and offsets are counted. */
export const LARGE_BYTES = 0x20_0000;
/** Pages of 4 KiB in one of 2 MiB; as many entries has a table. */
export const LARGE_PAGES = 512;

/** Bytes of a 1 GiB page. */
export const HUGE = 0x4000_0000n;
/** Pages of 4 KiB in one of 1 GiB. */
export const HUGE_PAGES = 262144;

/** Bytes one leaf maps, by level: 1 is a PTE (4 KiB), 2 a PMD (2 MiB), 3 a PUD (1 GiB). */
export const LEAF_BYTES = { 1: PAGE, 2: LARGE, 3: HUGE } as const;

/**
 * An address, a frame or a word as messages write it: `0xffffffff81000000`. A negative `bigint` is taken as its 64
 * bits.
 */
export const hex = (value: bigint | number): string =>
  `0x${(typeof value === "bigint" ? BigInt.asUintN(64, value) : value).toString(16)}`;

/** Bytes as messages write them, two digits each: `0f1f440000`. */
export const hexBytes = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The first multiple of a power of two at or above an address. */
export const alignUp = (address: bigint, step: bigint): bigint => (address + step - 1n) & ~(step - 1n);
/** The last multiple of a power of two at or below an address. */
export const alignDown = (address: bigint, step: bigint): bigint => address & ~(step - 1n);

/** Low half, unsigned. */
export const lowOf = (address: bigint): number => Number(address & 0xffff_ffffn);
/** High half, unsigned. */
export const highOf = (address: bigint): number => Number((address >> 32n) & 0xffff_ffffn);
/** The address two halves stand for, 0 to 2^64 - 1; signed halves are taken as their bits. */
export const fromHalves = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

/** Physical address of a frame's first byte. */
// Below 2^52, so that the product is exact; and one conversion costs less than a conversion and a shift.
export const addressOfFrame = (frame: number): bigint => BigInt(physicalPageOf(frame) * PAGE_BYTES);
/** Frame of a physical address. @returns {@link NO_FRAME} where the model has no number for it */
export const frameOfAddress = (physical: bigint): number => frameOfPage(Number(physical >> 12n));

/** Whether bits 63 to 47 (4 levels) or 63 to 56 (5 levels) are all alike. @source SDM vol. 1, "Canonical Addressing" */
export const isCanonical = (address: bigint, levels: 4 | 5): boolean => {
  const top = BigInt.asIntN(64, address) >> (levels === 5 ? 56n : 47n);
  return top === 0n || top === -1n;
};

/** The canonical address that has the given low bits: what a walk that only knows indices stands for. */
export const canonical = (address: bigint, levels: 4 | 5): bigint =>
  BigInt.asUintN(64, BigInt.asIntN(levels === 5 ? 57 : 48, address));

/** Index into the table of a level: 1 PTE, 2 PMD, 3 PUD, 4 PGD or P4D, 5 PGD. @returns 0 to 511 */
export const tableIndex = (address: bigint, level: number): number =>
  level > 3 ? upperIndex(upperPage(address), level) : lowerIndex(lowerPage(address), level);

/** Bits 12 to 38 of an address, for {@link lowerIndex}: a walk takes its three indices from one number. */
export const lowerPage = (address: bigint): number => Number((address >> 12n) & 0x7ff_ffffn);
/** Bits 39 to 63 of an address, for {@link upperIndex}. */
export const upperPage = (address: bigint): number => Number(address >> 39n);
/** {@link tableIndex} of a level from 1 to 3. @param page of {@link lowerPage} */
export const lowerIndex = (page: number, level: number): number => (page >>> (9 * (level - 1))) & 511;
/** {@link tableIndex} of level 4 or 5. @param page of {@link upperPage} */
export const upperIndex = (page: number, level: number): number => (page >>> (9 * (level - 4))) & 511;
