/**
 * Reads patch tables from their bytes: those of an image as linked or moved, or of a module after its relocations.
 *
 *   .altinstructions    s32 site, s32 replacement, u16 feature (bit 15: inverted), u8 length, u8 replacement length      up to 6.2: 12 bytes
 *                       s32 site, s32 replacement, u16 feature, u16 flags, u8 length, u8 replacement length             from 6.3: 14 bytes
 *   .parainstructions   u64 site, u8 type, u8 length, padding to 16
 *   __jump_table        s32 site, s32 target, s64 key | branch | init << 1
 *   .static_call_sites  s32 site, s32 key | tail | init << 1
 *   __mcount_loc        u64 site
 *   all others          s32 site           every s32 or s64 counts from its own address
 *
 * Source: arch/x86/include/asm/alternative.h, paravirt_types.h; include/linux/jump_label.h, static_call_types.h
 * (formats only).
 */
import { TextPatchError } from "../errors.js";
import type { AlternativeSite, JumpLabelSite, ParavirtSite, StaticCallSite } from "./site.js";

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const from = (place: bigint, distance: number | bigint): bigint => BigInt.asUintN(64, place + BigInt(distance));

/** A paravirt site without padding: address, type, length, and up to 5.10 two bytes of registers it may change. */
const PARAVIRT_BYTES = 12;

/** @param last bytes that the last entry may have instead */
function whole(bytes: Uint8Array, address: bigint, entry: number, table: string, last = entry): void {
  const rest = bytes.length % entry;
  if (rest !== 0 && rest !== last)
    throw new TextPatchError(
      "bad-table",
      address,
      `${table} has ${bytes.length} bytes, not a multiple of ${entry}; the file is damaged or of an unknown kernel version`,
    );
}

/** Addresses in a table of 32-bit distances. @param skipZero padding that is not an entry, as .smp_locks has */
export function readRelativeSites(bytes: Uint8Array, address: bigint, table: string, skipZero = false): bigint[] {
  whole(bytes, address, 4, table);
  const data = view(bytes);
  const sites: bigint[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    const distance = data.getInt32(at, true);
    if (distance !== 0 || !skipZero) sites.push(from(address + BigInt(at), distance));
  }
  return sites;
}

/** Addresses in a table of 64-bit pointers; zeros, which a linker leaves for sites it dropped, left out. */
export function readPointerSites(bytes: Uint8Array, address: bigint, table: string): bigint[] {
  whole(bytes, address, 8, table);
  const data = view(bytes);
  const sites: bigint[] = [];
  for (let at = 0; at < bytes.length; at += 8) {
    const site = data.getBigUint64(at, true);
    if (site !== 0n) sites.push(site);
  }
  return sites;
}

/**
 * The entry size differs between versions and nothing says which: the one under which every entry is possible is taken.
 * @param possible whether an address can be a site or a replacement
 * @throws TextPatchError unknown-layout when neither fits
 */
export function readAlternatives(
  bytes: Uint8Array,
  address: bigint,
  possible: (address: bigint) => boolean,
): AlternativeSite[] {
  const data = view(bytes);
  for (const entry of [12, 14]) {
    if (bytes.length % entry !== 0) continue;
    const wide = entry === 14;
    const sites: AlternativeSite[] = [];
    let fits = true;
    for (let at = 0; at < bytes.length && fits; at += entry) {
      const feature = data.getUint16(at + 8, true);
      const flags = wide ? data.getUint16(at + 10, true) : 0;
      const site: AlternativeSite = {
        address: from(address + BigInt(at), data.getInt32(at, true)),
        replacement: from(address + BigInt(at + 4), data.getInt32(at + 4, true)),
        feature: wide ? feature : feature & 0x7fff,
        inverted: wide ? (flags & 1) !== 0 : (feature & 0x8000) !== 0,
        directCall: (flags & 2) !== 0,
        length: bytes[at + (wide ? 12 : 10)]!,
        replacementLength: bytes[at + (wide ? 13 : 11)]!,
      };
      sites.push(site);
      fits =
        possible(site.address) &&
        (site.replacementLength === 0 || possible(site.replacement)) &&
        site.replacementLength <= site.length &&
        site.feature < 64 * 32;
    }
    if (fits) return sites;
  }
  throw new TextPatchError(
    "unknown-layout",
    address,
    ".altinstructions fits neither the layout up to 6.2 nor that from 6.3; only these are known",
  );
}

/**
 * Reads `.parainstructions`.
 * @param address of the table's first byte
 * @throws TextPatchError where an entry is cut off
 */
export function readParavirt(bytes: Uint8Array, address: bigint): ParavirtSite[] {
  // Entries are aligned to 8 bytes before, not behind: the last may lack its padding (up to 5.10 it does).
  whole(bytes, address, 16, ".parainstructions", PARAVIRT_BYTES);
  const data = view(bytes);
  return Array.from({ length: Math.ceil(bytes.length / 16) }, (_, i) => ({
    address: data.getBigUint64(16 * i, true),
    type: bytes[16 * i + 8]!,
    length: bytes[16 * i + 9]!,
  }));
}

/** Reads `__jump_table`. @param address of the table's first byte @throws TextPatchError where an entry is cut off */
export function readJumpTable(bytes: Uint8Array, address: bigint): JumpLabelSite[] {
  whole(bytes, address, 16, "__jump_table");
  const data = view(bytes);
  return Array.from({ length: bytes.length / 16 }, (_, i) => {
    const place = address + BigInt(16 * i);
    const key = from(place + 8n, data.getBigInt64(16 * i + 8, true));
    return {
      address: from(place, data.getInt32(16 * i, true)),
      target: from(place + 4n, data.getInt32(16 * i + 4, true)),
      key: key & ~3n,
      branch: (key & 1n) !== 0n,
      init: (key & 2n) !== 0n,
    };
  });
}

/**
 * Reads `.static_call_sites`.
 * @param address of the table's first byte
 * @throws TextPatchError where an entry is cut off
 */
export function readStaticCalls(bytes: Uint8Array, address: bigint): StaticCallSite[] {
  whole(bytes, address, 8, ".static_call_sites");
  const data = view(bytes);
  return Array.from({ length: bytes.length / 8 }, (_, i) => {
    const place = address + BigInt(8 * i);
    const key = from(place + 4n, data.getInt32(8 * i + 4, true));
    return {
      address: from(place, data.getInt32(8 * i, true)),
      key: key & ~3n,
      tail: (key & 1n) !== 0n,
      init: (key & 2n) !== 0n,
    };
  });
}
