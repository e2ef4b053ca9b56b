/**
 * Addresses of the kernel's window as signed numbers: the address as a 64-bit two's complement value. The window is the
 * last 2 GiB, so its addresses are small negative numbers, per-CPU offsets small positive ones, and sums of both are
 * exact doubles.
 */

import { hex } from "@kreplica/hw-x86/api";
/** @returns exact below 2^53 in size; the nearest double beyond, which no kernel address is */
export const signedOf = (address: bigint): number => Number(BigInt.asIntN(64, address));
/** The 64-bit address of a signed number. */
export const addressOf = (signed: number): bigint => BigInt.asUintN(64, BigInt(signed));
export const signedHex = (signed: number): string => hex(addressOf(Math.trunc(signed)));
