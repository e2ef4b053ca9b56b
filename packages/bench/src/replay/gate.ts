/** Which pages and accesses of a recording a replay takes: those of the recorded guest that the booted kernels' tables allow. */
import type { Booted } from "../boot.js";
import { DESCRIPTOR_BYTES, RECORDED, RECORDED_IMAGE } from "../recorded-pages.js";
import { GUEST_PAGES, Region, regionOf } from "../trace/guest.js";
import { type Gate, type Refusal } from "./program-builder.js";
import { Op } from "./program.js";

/** Where {@link RECORDED_IMAGE} began: the guest ran without KASLR. */
const IMAGE = 0xffff_ffff_8100_0000n;
const PAGES_OF_DESCRIPTORS = (BigInt(GUEST_PAGES) * DESCRIPTOR_BYTES) >> 12n;

const GUEST = "record on the guest of data/traces: its kernel, two nodes of 512 MiB, nokaslr";
const DAMAGED = "the file is damaged here: copy or record it again";
const hex = (address: bigint): string => `0x${BigInt.asUintN(64, address).toString(16)}`;

/** @param kernels all that the recording will run on; alike but for their policies */
export const gateTo = (kernels: readonly Booted[]): Gate => ({
  page: pageOfGuest,
  access(address, op) {
    const access = op === Op.Fetch ? "fetch" : op === Op.Load ? "load" : "store";
    for (const { recorded } of kernels) {
      const why = recorded.denies(address, access);
      if (why !== undefined) return { code: "refused", reason: why, remedy: DAMAGED };
    }
    return undefined;
  },
});

/** A page as the recorded guest could have had it. */
export function pageOfGuest(recorded: bigint, frame: number): Refusal | undefined {
  const address = BigInt.asUintN(64, recorded);
  const region = address === recorded ? regionOf(Number(address & 0xffff_ffffn), Number(address >> 32n)) : Region.Other;
  if (region === Region.Other || (region === Region.User && address >> 47n !== 0n)) {
    return { code: "bad-address", reason: `${hex(address)} belongs to no process and to no part of the recorded kernel`, remedy: GUEST };
  }
  if (frame >= GUEST_PAGES) return { code: "bad-frame", reason: `${hex(address)} is said to be in physical page 0x${frame.toString(16)}, beyond the guest's 1 GiB`, remedy: GUEST };
  const fixed = frameFixed(region, address);
  if (fixed === undefined) return frame >= 0 ? undefined : { code: "unnamed-page", reason: `the physical page behind ${hex(address)} was never named`, remedy: DAMAGED };
  if (fixed >= GUEST_PAGES) return { code: "bad-address", reason: `${hex(address)} is beyond the guest's 1 GiB`, remedy: GUEST };
  return frame < 0 || fixed < 0 || frame === fixed ? undefined : { code: "bad-frame", reason: `${hex(address)} is said to be in physical page 0x${frame.toString(16)} and lies in 0x${fixed.toString(16)}`, remedy: GUEST };
}

/** Physical page that an address of the kernel's fixed mappings has; -1 for one of these that may be any; undefined for other mappings. */
function frameFixed(region: Region, address: bigint): number | undefined {
  switch (region) {
    case Region.DirectMap: return Number((address - RECORDED.pageOffset) >> 12n);
    case Region.Text: case Region.Rodata: case Region.Data: return Number((address - IMAGE) >> 12n) + RECORDED_IMAGE.first;
    case Region.Vmemmap: return ((address - RECORDED.vmemmapStart) >> 12n) < PAGES_OF_DESCRIPTORS ? -1 : GUEST_PAGES;
    default: return undefined;
  }
}
