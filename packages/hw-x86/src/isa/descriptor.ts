/**
 * Segments as far as 64-bit mode has them: descriptors read from the GDT or LDT in modelled memory, selector loads,
 * LGDT/LIDT/LLDT/LTR and their stores, LAR/LSL/VERR/VERW. Source: SDM vol. 3A, "Segment Descriptors"; vol. 2.
 *
 *   hi:  31..24 base | 23 G 22 D/B 21 L 20 AVL | 19..16 limit | 15 P 14..13 DPL 12 S 11..8 type | 7..0 base
 *   lo:  31..16 base | 15..0 limit
 */
import { Segment, Slot, type Context } from "./context.js";
import { packFlags, unpackArithmetic } from "./flags.js";
import type { Handler, Instruction } from "./instruction.js";
import { advance, effectiveAddress, load, store } from "./memory.js";
import { put, putAny } from "./operand.js";
import { Access, faultStatus } from "./port.js";

const GP = 13;
const generalProtection = faultStatus(GP);

/** Fault naming a selector: its index and table bits. */
export const selectorFault = (vector: number, selector: number): number => faultStatus(vector, selector & 0xfffc);

/** Fields of the descriptor high word. */
export const typeOf = (hi: number): number => (hi >>> 8) & 31;
/** DPL, 0 to 3, of a high word. */
export const levelOf = (hi: number): number => (hi >>> 13) & 3;
/** P of a high word. */
export const isPresent = (hi: number): boolean => (hi & 0x8000) !== 0;
/** L of a high word: 64-bit code. */
export const isLong = (hi: number): boolean => (hi & (1 << 21)) !== 0;
const baseOf = (lo: number, hi: number): number => (lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff00_0000);
const limitOf = (lo: number, hi: number): number => {
  const raw = (lo & 0xffff) | (hi & 0xf_0000);
  return (hi & (1 << 23)) !== 0 ? (raw << 12) | 0xfff : raw;
};

/** Whether the selector's 8 bytes (16 when `wide`) lie within its table. */
function withinTable(c: Context, selector: number, wide: boolean): boolean {
  const limit = c.s[(selector & 4) !== 0 ? Slot.LdtLimit : Slot.GdtLimit]! >>> 0;
  return (selector & 0xfff8) + (wide ? 15 : 7) <= limit;
}

/**
 * Reads a descriptor into Slot.Descriptor.
 * @param vector of the fault when it lies outside its table
 * @returns status
 */
export function readDescriptor(c: Context, selector: number, vector = GP): number {
  if (!withinTable(c, selector, false)) return selectorFault(vector, selector);
  const s = c.s;
  const table = (selector & 4) !== 0 ? Slot.Ldt : Slot.Gdt;
  s[Slot.Ea] = s[table]!;
  s[Slot.Ea + 1] = s[table + 1]!;
  advance(c, selector & 0xfff8);
  const status = load(c, 8, Access.System);
  if (status !== 0) return status;
  s[Slot.Descriptor] = s[Slot.Temp]!;
  s[Slot.Descriptor + 1] = s[Slot.Temp + 1]!;
  return 0;
}

/** Loads ES, SS, DS, FS or GS. FS and GS take the descriptor's 32-bit base. @returns status */
export function loadSegment(c: Context, segment: number, selector: number): number {
  const slot = segment === Segment.Fs ? Slot.FsBase : segment === Segment.Gs ? Slot.GsBase : 0;
  if ((selector & 0xfffc) === 0) {
    if (segment === Segment.Ss && (c.privilege === 3 || (selector & 3) !== c.privilege)) return generalProtection;
    c.selectors[segment] = selector;
    if (slot !== 0) c.s[slot] = c.s[slot + 1] = 0;
    return 0;
  }
  const status = readDescriptor(c, selector);
  if (status !== 0) return status;
  const hi = c.s[Slot.Descriptor + 1]!;
  const type = typeOf(hi);
  const level = levelOf(hi);
  if (segment === Segment.Ss) {
    if ((type & 0x1a) !== 0x12 || level !== c.privilege || (selector & 3) !== c.privilege)
      return selectorFault(GP, selector);
    if (!isPresent(hi)) return selectorFault(12, selector);
  } else {
    const readable = (type & 0x18) === 0x10 || (type & 0x1a) === 0x1a;
    const conforming = (type & 0x1c) === 0x1c;
    if (!readable || (!conforming && level < Math.max(c.privilege, selector & 3))) return selectorFault(GP, selector);
    if (!isPresent(hi)) return selectorFault(11, selector);
  }
  c.selectors[segment] = selector;
  if (slot !== 0) {
    c.s[slot] = baseOf(c.s[Slot.Descriptor]!, hi);
    c.s[slot + 1] = 0;
  }
  return 0;
}

/**
 * MOV to a segment register and POP FS/GS (through Temp): `dst` names the segment, `src` holds the selector. After MOV
 * SS neither interrupts nor the single-step trap come before the next instruction is done.
 */
export const movToSegment: Handler = (c, i) => {
  if (i.dst === Segment.Cs) return faultStatus(6);
  const status = loadSegment(c, i.dst, c.u16[i.src]!);
  if (status === 0 && i.dst === Segment.Ss) {
    c.shadow = true;
    c.stepping = false;
  }
  return status;
};
/** MOV from a segment register: 2 bytes to memory, zero-extended to a register of 4 or 8. */
export const movFromSegment: Handler = (c, i) => {
  putAny(c, i.size, i.dst, c.selectors[i.src]!, 0);
  return 0;
};

/** SGDT and SIDT; `src` is the base's slot. CR4.UMIP forbids them to users. */
export const storeTable: Handler = (c, i) => {
  if (forbidden(c)) return generalProtection;
  effectiveAddress(c, i);
  let status = store(c, 2, c.s[i.src + 2]!, 0, Access.Write);
  if (status !== 0) return status;
  advance(c, 2);
  status = store(c, 8, c.s[i.src]!, c.s[i.src + 1]!, Access.Write);
  return status;
};

/** LGDT and LIDT; `dst` is the base's slot. */
export const loadTable: Handler = (c, i) => {
  if (c.privilege !== 0) return generalProtection;
  effectiveAddress(c, i);
  let status = load(c, 2, Access.Read);
  if (status !== 0) return status;
  const limit = c.s[Slot.Temp]!;
  advance(c, 2);
  status = load(c, 8, Access.Read);
  if (status !== 0) return status;
  c.s[i.dst] = c.s[Slot.Temp]!;
  c.s[i.dst + 1] = c.s[Slot.Temp + 1]!;
  c.s[i.dst + 2] = limit;
  return 0;
};

/** Whether CR4.UMIP keeps users from reading system registers. */
export const forbidden = (c: Context): boolean => c.privilege !== 0 && (c.s[Slot.Cr4]! & (1 << 11)) !== 0;

/** SLDT and STR; `src` names the selector. */
export const storeSystemSelector: Handler = (c, i) => {
  if (forbidden(c)) return generalProtection;
  putAny(c, i.size, i.dst, c.selectors[i.src]!, 0);
  return 0;
};

/** LLDT and LTR; `dst` names the selector. */
export const loadSystemSelector: Handler = (c, i) => {
  if (c.privilege !== 0) return generalProtection;
  const selector = c.u16[i.src]!;
  const task = i.dst === Segment.Tr;
  const slot = task ? Slot.Tr : Slot.Ldt;
  if ((selector & 0xfffc) === 0) {
    if (task) return generalProtection;
    c.selectors[i.dst] = selector;
    c.s[slot + 2] = 0;
    return 0;
  }
  if ((selector & 4) !== 0 || !withinTable(c, selector, true)) return selectorFault(GP, selector);
  let status = readDescriptor(c, selector);
  if (status !== 0) return status;
  const lo = c.s[Slot.Descriptor]!,
    hi = c.s[Slot.Descriptor + 1]!;
  if (typeOf(hi) !== (task ? 9 : 2)) return selectorFault(GP, selector);
  if (!isPresent(hi)) return selectorFault(11, selector);
  advance(c, 8);
  status = load(c, 4, Access.System);
  if (status !== 0) return status;
  const upper = c.s[Slot.Temp]!;
  if (task) {
    // The descriptor becomes busy: bit 1 of its type.
    advance(c, -4);
    status = store(c, 4, hi | 0x200, 0, Access.System | Access.Write);
    if (status !== 0) return status;
  }
  c.selectors[i.dst] = selector;
  c.s[slot] = baseOf(lo, hi);
  c.s[slot + 1] = upper;
  c.s[slot + 2] = limitOf(lo, hi);
  return 0;
};

function setZero(c: Context, zero: boolean): void {
  const flags = packFlags(c.s);
  unpackArithmetic(c.s, zero ? flags | 0x40 : flags & ~0x40);
}

/**
 * Whether a selector's descriptor exists and is visible from here. Leaves it in Slot.Descriptor.
 * @returns -1, or a fault status
 */
function visible(c: Context, selector: number): number {
  if ((selector & 0xfffc) === 0 || !withinTable(c, selector, false)) return 0;
  const status = readDescriptor(c, selector);
  if (status !== 0) return status;
  const hi = c.s[Slot.Descriptor + 1]!;
  const conforming = (typeOf(hi) & 0x1c) === 0x1c;
  return conforming || levelOf(hi) >= Math.max(c.privilege, selector & 3) ? -1 : 0;
}

/** LAR: access rights of the selector in `src`. System types 2, 9, B, C count. */
export const lar: Handler = (c, i) => {
  const status = visible(c, c.u16[i.src]!);
  if (status > 0) return status;
  const hi = c.s[Slot.Descriptor + 1]!;
  const type = typeOf(hi);
  const ok = status < 0 && (type >= 16 || type === 2 || type === 9 || type === 11 || type === 12);
  setZero(c, ok);
  if (ok) putAny(c, i.size, i.dst, hi & 0xff_ff00, 0);
  return 0;
};

/** LSL: limit in bytes less 1. */
export const lsl: Handler = (c, i) => {
  const status = visible(c, c.u16[i.src]!);
  if (status > 0) return status;
  const hi = c.s[Slot.Descriptor + 1]!;
  const type = typeOf(hi);
  const ok = status < 0 && (type >= 16 || type === 2 || type === 9 || type === 11);
  setZero(c, ok);
  if (ok) putAny(c, i.size, i.dst, limitOf(c.s[Slot.Descriptor]!, hi), 0);
  return 0;
};

/** VERR (`cc` 0) and VERW (`cc` 1): ZF says whether the segment could be read or written. */
export const verify: Handler = (c: Context, i: Instruction) => {
  const status = visible(c, c.u16[i.src]!);
  if (status > 0) return status;
  const type = typeOf(c.s[Slot.Descriptor + 1]!);
  const code = (type & 0x18) === 0x18;
  const ok = type >= 16 && (i.cc === 0 ? !code || (type & 2) !== 0 : !code && (type & 2) !== 0);
  setZero(c, status < 0 && ok);
  return 0;
};

/** RDPID, RDFSBASE and their like: a slot into a register. */
export const readSlot: Handler = (c, i) => {
  if (i.size === 8) {
    c.s[i.dst] = c.s[i.src]!;
    c.s[i.dst + 1] = c.s[i.src + 1]!;
  } else put(c, 4, i.dst, c.s[i.src]!);
  return 0;
};
