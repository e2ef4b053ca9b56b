/**
 * Which pages and accesses of a recording a replay takes: those of the recorded guest that the booted kernels' tables
 * allow.
 */
import { hex } from "@kreplica/hw-x86/api";
import type { Booted } from "@kreplica/kernel";
import {
  DESCRIPTOR_BYTES,
  guestEnd,
  guestNodeOfPage,
  MAPPINGS,
  type RecordedGuest,
  Region,
  regionsOf,
  shippedGuest,
} from "@kreplica/trace";
import { type Gate, type Refusal } from "./program-builder.js";
import { Op } from "./program.js";

const DAMAGED = "the file is damaged here: copy or record it again";
/** Whose fault an address is that the guest cannot have had. */
const otherwise = ({ kernel }: RecordedGuest): string =>
  `unless the file is damaged here, it is not of ${kernel} and its guest without KASLR: name what was recorded with --recorded-kernel and --recorded-nodes`;

/**
 * @param kernels all that the recording will run on; alike but for their policies
 * @param guest whose addresses the recording has: of the booted image, where they were moved to it
 */
export const gateTo = (kernels: readonly Booted[], guest: RecordedGuest = shippedGuest): Gate => ({
  page: pagesOfGuest(guest, kernels[0]?.layout.levels),
  access(address, op) {
    const access = op === Op.Fetch ? "fetch" : op === Op.Load ? "load" : "store";
    for (const { recorded } of kernels) {
      const why = recorded.denies(address, access);
      if (why !== undefined) return { code: "refused", reason: why, remedy: otherwise(guest) };
    }
    return undefined;
  },
});

/** Pages as the recorded guest could have had them. @param levels of the kernel they are replayed on */
export function pagesOfGuest(guest: RecordedGuest, levels: 4 | 5 = guest.levels): Gate["page"] {
  const regionOf = regionsOf(guest);
  const { userBits, pageOffset, vmemmapStart } = MAPPINGS[guest.levels];
  const end = guestEnd(guest);
  const size = `the guest's ${Number((end / 0x4_0000).toFixed(3))} GiB`;
  const descriptors = (BigInt(end) * DESCRIPTOR_BYTES) >> 12n;
  /**
   * Physical page that an address of the kernel's fixed mappings has; -1 for one of these that may be any; undefined
   * for other mappings.
   */
  const frameFixed = (region: Region, address: bigint): number | undefined => {
    switch (region) {
      case Region.DirectMap:
        return Number((address - pageOffset) >> 12n);
      case Region.Text:
      case Region.Rodata:
      case Region.Data:
        // Its copies lie anywhere; its data lies where it lay.
        if (guest.image.copied && region !== Region.Data) return -1;
        return Number((address - guest.image.stext) >> 12n) + guest.image.firstPage;
      case Region.Vmemmap:
        return (address - vmemmapStart) >> 12n < descriptors ? -1 : end;
      default:
        return undefined;
    }
  };
  return (recorded, frame): Refusal | undefined => {
    const address = BigInt.asUintN(64, recorded);
    const region =
      address === recorded ? regionOf(Number(address & 0xffff_ffffn), Number(address >> 32n)) : Region.Other;
    if (region === Region.Other || (region === Region.User && address >> BigInt(userBits) !== 0n)) {
      return {
        code: "bad-address",
        reason: `${hex(address)} belongs to no process and to no part of the recorded kernel`,
        remedy: otherwise(guest),
      };
    }
    if (region === Region.User && address >> BigInt(MAPPINGS[levels].userBits) !== 0n) {
      return {
        code: "bad-address",
        reason: `${hex(address)} is beyond what a process has with ${levels} levels of page tables`,
        remedy: "boot with --levels 5",
      };
    }
    if (frame >= 0 && guestNodeOfPage(guest, frame) < 0)
      return {
        code: "bad-frame",
        reason: `${hex(address)} is said to be in physical page ${hex(frame)}, beyond ${size}`,
        remedy: otherwise(guest),
      };
    const fixed = frameFixed(region, address);
    if (fixed === undefined)
      return frame >= 0
        ? undefined
        : { code: "unnamed-page", reason: `the physical page behind ${hex(address)} was never named`, remedy: DAMAGED };
    if (fixed >= 0 && (fixed >= end || guestNodeOfPage(guest, fixed) < 0))
      return { code: "bad-address", reason: `${hex(address)} is beyond ${size}`, remedy: otherwise(guest) };
    return frame < 0 || fixed < 0 || frame === fixed
      ? undefined
      : {
          code: "bad-frame",
          reason: `${hex(address)} is said to be in physical page ${hex(frame)} and lies in ${hex(fixed)}`,
          remedy: otherwise(guest),
        };
  };
}
