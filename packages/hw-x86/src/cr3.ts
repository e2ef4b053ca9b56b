/**
 * CR3: root table, PCID and the no-flush bit.
 *
 *   63       | 62 .. 52 | 51 .. 12     | 11 .. 0
 *   no flush | reserved | frame of PGD | PCID with CR4.PCIDE, else 4 PCD and 3 PWT
 *
 * Source: Intel SDM vol. 3A, "Use of CR3 with 4-Level Paging and 5-Level Paging and CR4.PCIDE = 1".
 */
import { addressOfFrame, frameOfAddress } from "./addr.js";

/** Bit 63 of the value written: keep what is cached for this PCID. Never read back. */
export const CR3_NO_FLUSH = 1n << 63n;

/** Builds a value for MOV CR3. @param pcid 0 to 4095; 0 without CR4.PCIDE */
export const cr3Value = (rootFrame: number, pcid = 0, noFlush = false): bigint =>
  addressOfFrame(rootFrame) | BigInt(pcid & 0xfff) | (noFlush ? CR3_NO_FLUSH : 0n);

/** Frame of the root table. */
export const cr3Frame = (cr3: bigint): number => frameOfAddress(cr3 & 0xf_ffff_ffff_ffffn);

/** The low twelve bits, a PCID only while CR4.PCIDE is set. */
export const cr3Pcid = (cr3: bigint): number => Number(cr3 & 0xfffn);
