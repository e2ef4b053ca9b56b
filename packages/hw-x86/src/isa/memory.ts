/**
 * The interpreter's access path to memory: effective addresses, loads into the Temp slot, stores from it. Hot;
 * allocates nothing. A page whose window is held is touched directly; everything else, a page crossing included, asks
 * the port.
 */
import { Slot, type Context } from "./context.js";
import type { Instruction } from "./instruction.js";
import { Access, pageFault } from "./port.js";

const MASK = 255;
const PAGE_FAULT = pageFault(0) >>> 16;

/** Effective address of the instruction's memory operand into Slot.Ea. */
export function effectiveAddress(c: Context, i: Instruction): void {
  const s = c.s;
  const baseLo = s[i.base]!;
  let lo = (baseLo + i.dispLo) | 0;
  let hi = (s[i.base + 1]! + i.dispHi + (lo >>> 0 < baseLo >>> 0 ? 1 : 0)) | 0;
  if (i.index !== Slot.Zero) {
    let indexLo = s[i.index]!;
    let indexHi = s[i.index + 1]!;
    if (i.scale !== 0) {
      indexHi = (indexHi << i.scale) | (indexLo >>> (32 - i.scale));
      indexLo <<= i.scale;
    }
    lo = (lo + indexLo) | 0;
    hi = (hi + indexHi + (lo >>> 0 < indexLo >>> 0 ? 1 : 0)) | 0;
  }
  if (i.addressSize === 4) hi = 0;
  if (i.segment !== Slot.Zero) {
    const segmentLo = s[i.segment]!;
    lo = (lo + segmentLo) | 0;
    hi = (hi + s[i.segment + 1]! + (lo >>> 0 < segmentLo >>> 0 ? 1 : 0)) | 0;
  }
  s[Slot.Ea] = lo;
  s[Slot.Ea + 1] = hi;
}

/** Puts CR2 in place when the status is a page fault. @returns the status */
export function faulted(c: Context, status: number): number {
  if (status >>> 16 === PAGE_FAULT) {
    c.s[Slot.Cr2] = c.port.data[2]!;
    c.s[Slot.Cr2 + 1] = c.port.data[3]!;
  }
  return status;
}

/** A load through the port, into Temp. */
function slowLoad(c: Context, bytes: number, access: number): number {
  const s = c.s;
  const lo = s[Slot.Ea]!;
  const hi = s[Slot.Ea + 1]!;
  const status = c.port.read(lo, hi, bytes, access);
  if (status !== 0) return faulted(c, status);
  s[Slot.Temp] = c.port.data[0]!;
  s[Slot.Temp + 1] = c.port.data[1]!;
  if ((access & Access.System) === 0) openWindow(c, lo, hi, (access & Access.Write) !== 0);
  return 0;
}

/** Keeps a window on the page, when the port gives one. */
function openWindow(c: Context, lo: number, hi: number, write: boolean): void {
  const page = c.port.window(lo, hi, write);
  if (page === undefined) return;
  const k = (lo >>> 12) & MASK;
  const tags = write ? c.writeTags : c.readTags;
  (write ? c.writePages : c.readPages)[k] = page;
  (write ? c.writeBases : c.readBases)[k] = page.base / 4;
  if (write) c.writeSlots[k] = page.slot;
  c.words = page.words;
  c.versions = page.versions;
  tags[2 * k] = lo & ~0xfff;
  tags[2 * k + 1] = hi;
}

/** Loads 8 bytes at Ea into Temp. @returns status */
export function load64(c: Context): number {
  const s = c.s;
  const lo = s[Slot.Ea]!;
  const k = (lo >>> 12) & MASK;
  const offset = lo & 0xfff;
  if (c.readTags[2 * k] === (lo ^ offset) && c.readTags[2 * k + 1] === s[Slot.Ea + 1] && offset <= 4088) {
    const page = c.readPages[k]!;
    const at = page.base + offset;
    if ((offset & 3) === 0) {
      s[Slot.Temp] = page.words[at >> 2]!;
      s[Slot.Temp + 1] = page.words[(at >> 2) + 1]!;
    } else {
      s[Slot.Temp] = gather(page.bytes, at);
      s[Slot.Temp + 1] = gather(page.bytes, at + 4);
    }
    return 0;
  }
  return slowLoad(c, 8, Access.Read);
}

/** Loads 4 bytes at Ea into Temp; its high half becomes 0. @returns status */
export function load32(c: Context): number {
  const s = c.s;
  const lo = s[Slot.Ea]!;
  const k = (lo >>> 12) & MASK;
  const offset = lo & 0xfff;
  if (c.readTags[2 * k] === (lo ^ offset) && c.readTags[2 * k + 1] === s[Slot.Ea + 1] && offset <= 4092) {
    const page = c.readPages[k]!;
    const at = page.base + offset;
    s[Slot.Temp] = (offset & 3) === 0 ? page.words[at >> 2]! : gather(page.bytes, at);
    s[Slot.Temp + 1] = 0;
    return 0;
  }
  return slowLoad(c, 4, Access.Read);
}

/** Loads 2 bytes at Ea into Temp, zero-extended. @returns status */
export function load16(c: Context): number {
  const s = c.s;
  const lo = s[Slot.Ea]!;
  const k = (lo >>> 12) & MASK;
  const offset = lo & 0xfff;
  if (c.readTags[2 * k] === (lo ^ offset) && c.readTags[2 * k + 1] === s[Slot.Ea + 1] && (offset & 1) === 0) {
    const page = c.readPages[k]!;
    s[Slot.Temp] = page.halves[(page.base + offset) >> 1]!;
    s[Slot.Temp + 1] = 0;
    return 0;
  }
  return slowLoad(c, 2, Access.Read);
}

/** Loads 1 byte at Ea into Temp, zero-extended. @returns status */
export function load8(c: Context): number {
  const s = c.s;
  const lo = s[Slot.Ea]!;
  const k = (lo >>> 12) & MASK;
  const offset = lo & 0xfff;
  if (c.readTags[2 * k] === (lo ^ offset) && c.readTags[2 * k + 1] === s[Slot.Ea + 1]) {
    const page = c.readPages[k]!;
    s[Slot.Temp] = page.bytes[page.base + offset]!;
    s[Slot.Temp + 1] = 0;
    return 0;
  }
  return slowLoad(c, 1, Access.Read);
}

/** Little-endian 32 bits at any byte index. */
function gather(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function scatter(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
  bytes[at + 2] = value >> 16;
  bytes[at + 3] = value >> 24;
}

/**
 * Loads `bytes` (1, 2, 4, 8) at Ea into Temp.
 * @param access bits of Access; Write and Locked go to the port or a write window
 * @returns status
 */
export function load(c: Context, bytes: number, access: number): number {
  if (access === Access.Read) {
    switch (bytes) {
      case 8:
        return load64(c);
      case 4:
        return load32(c);
      case 2:
        return load16(c);
      default:
        return load8(c);
    }
  }
  const s = c.s;
  const lo = s[Slot.Ea]!;
  const k = (lo >>> 12) & MASK;
  const offset = lo & 0xfff;
  if (
    (access & Access.System) === 0 &&
    c.writeTags[2 * k] === (lo ^ offset) &&
    c.writeTags[2 * k + 1] === s[Slot.Ea + 1] &&
    offset + bytes <= 4096
  ) {
    const page = c.writePages[k]!;
    const at = page.base + offset;
    s[Slot.Temp + 1] = 0;
    switch (bytes) {
      case 8:
        s[Slot.Temp] = gather(page.bytes, at);
        s[Slot.Temp + 1] = gather(page.bytes, at + 4);
        break;
      case 4:
        s[Slot.Temp] = gather(page.bytes, at);
        break;
      case 2:
        s[Slot.Temp] = page.bytes[at]! | (page.bytes[at + 1]! << 8);
        break;
      default:
        s[Slot.Temp] = page.bytes[at]!;
    }
    return 0;
  }
  return slowLoad(c, bytes, access);
}

/**
 * Stores `bytes` (1, 2, 4, 8) of the value halves at Ea.
 * @param access Write, with Locked or System added
 * @returns status
 */
export function store(c: Context, bytes: number, valueLo: number, valueHi: number, access: number): number {
  const s = c.s;
  const lo = s[Slot.Ea]!;
  const hi = s[Slot.Ea + 1]!;
  const k = (lo >>> 12) & MASK;
  const offset = lo & 0xfff;
  if (
    c.writeTags[2 * k] === (lo ^ offset) &&
    c.writeTags[2 * k + 1] === hi &&
    offset + bytes <= 4096 &&
    (access & Access.System) === 0
  ) {
    const page = c.writePages[k]!;
    const at = page.base + offset;
    page.versions[page.slot]!++;
    if (bytes === 8) {
      if ((offset & 3) === 0) {
        page.words[at >> 2] = valueLo;
        page.words[(at >> 2) + 1] = valueHi;
      } else {
        scatter(page.bytes, at, valueLo);
        scatter(page.bytes, at + 4, valueHi);
      }
    } else if (bytes === 4) {
      if ((offset & 3) === 0) page.words[at >> 2] = valueLo;
      else scatter(page.bytes, at, valueLo);
    } else if (bytes === 1) page.bytes[at] = valueLo;
    else {
      page.bytes[at] = valueLo;
      page.bytes[at + 1] = valueLo >> 8;
    }
    return 0;
  }
  const status = c.port.write(lo, hi, bytes, valueLo, valueHi, access);
  if (status !== 0) return faulted(c, status);
  if ((access & Access.System) === 0) openWindow(c, lo, hi, true);
  return 0;
}

/** Stores Temp at Ea. @returns status */
export function storeTemp(c: Context, bytes: number, access: number): number {
  return store(c, bytes, c.s[Slot.Temp]!, c.s[Slot.Temp + 1]!, access);
}

/** Moves Ea by a small signed number of bytes. */
export function advance(c: Context, bytes: number): void {
  const s = c.s;
  const lo = s[Slot.Ea]!;
  const moved = (lo + bytes) | 0;
  s[Slot.Ea] = moved;
  if (bytes < 0 ? moved >>> 0 > lo >>> 0 : moved >>> 0 < lo >>> 0)
    s[Slot.Ea + 1] = s[Slot.Ea + 1]! + (bytes < 0 ? -1 : 1);
}
