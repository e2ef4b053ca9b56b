/**
 * What the one-byte descriptors of CPUID's leaf 2 say of TLBs; those of caches are left to leaf 4.
 *
 * @source Intel SDM vol. 2A, CPUID, "Encoding of CPUID Leaf 2 Descriptors"
 */
import type { TlbName } from "./account.js";

/** A TLB, or that the second level has pages of 2 MiB, too. */
export interface ToldTlb {
  readonly name: TlbName | "second.large";
  readonly entries: number;
  /** As many as entries: fully associative. */
  readonly ways: number;
}

const one = (names: string, entries: number, ways: number): ToldTlb[] =>
  names.split(" ").map((name) => ({ name: name as ToldTlb["name"], entries, ways }));

/** By descriptor; one may be of several TLBs. */
export const LEAF_2_TLBS: Readonly<Record<number, readonly ToldTlb[]>> = {
  0x01: one("instruction.small", 32, 4),
  0x02: one("instruction.large", 2, 2),
  0x03: one("data.small", 64, 4),
  0x04: one("data.large", 8, 4),
  0x05: one("data.large", 32, 4),
  0x0b: one("instruction.large", 4, 4),
  0x4f: one("instruction.small", 32, 32),
  0x50: one("instruction.small instruction.large", 64, 64),
  0x51: one("instruction.small instruction.large", 128, 128),
  0x52: one("instruction.small instruction.large", 256, 256),
  0x55: one("instruction.large", 7, 7),
  0x56: one("data.large", 16, 4),
  0x57: one("data.small", 16, 4),
  0x59: one("data.small", 16, 16),
  0x5a: one("data.large", 32, 4),
  0x5b: one("data.small data.large", 64, 64),
  0x5c: one("data.small data.large", 128, 128),
  0x5d: one("data.small data.large", 256, 256),
  0x61: one("instruction.small", 48, 48),
  0x63: [...one("data.large", 32, 4), ...one("data.huge", 4, 4)],
  0x64: one("data.small", 512, 4),
  0x6a: one("data.small", 64, 8),
  0x6b: one("second", 256, 8),
  0x6c: one("second.large", 128, 8),
  0x6d: one("data.huge", 16, 16),
  0x76: one("instruction.large", 8, 8),
  0xa0: one("data.small", 32, 32),
  0xb0: one("instruction.small", 128, 4),
  0xb1: one("instruction.large", 8, 4),
  0xb2: one("instruction.small", 64, 4),
  0xb3: one("data.small", 128, 4),
  0xb4: one("second", 256, 4),
  0xb5: one("instruction.small", 64, 8),
  0xb6: one("instruction.small", 128, 8),
  0xba: one("data.small", 64, 4),
  0xc0: one("data.small data.large", 8, 4),
  0xc1: one("second second.large", 1024, 8),
  0xc2: one("data.small data.large", 16, 4),
  0xc3: [...one("second second.large", 1536, 6), ...one("second.huge", 16, 4)],
  0xc4: one("data.large", 32, 4),
  0xca: one("second", 512, 4),
};
