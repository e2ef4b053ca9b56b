/** RFLAGS: packing and unpacking the lazily kept arithmetic flags, and the sixteen conditions. Allocates nothing. */
import { Flag, Slot, type Context } from "./context.js";

/** Bit n: nibble n has even parity. */
const EVEN = 0x9669;

/** @returns 1 when the low byte of `x` has an even number of ones */
export const parity = (x: number): number => (EVEN >> ((x ^ (x >> 4)) & 15)) & 1;

/** @returns 0 or 1 */
export const carry = (s: Int32Array): number => s[Slot.Fc]! >>> 31;
/** @returns 0 or 1 */
export const overflow = (s: Int32Array): number => (s[Slot.Fc]! ^ (s[Slot.Fc]! << 1)) >>> 31;

/** Sets CF and OF, each 0 or 1, leaving the rest. */
export function setCarryOverflow(s: Int32Array, cf: number, of: number): void {
  s[Slot.Fc] = (cf << 31) | ((cf ^ of) << 30);
}

/** Sets CF (0 or 1), leaving the rest. */
export function setCarry(s: Int32Array, cf: number): void {
  s[Slot.Fc] = (cf << 31) | ((cf ^ overflow(s)) << 30);
}

/** SF, ZF, PF of a result already shifted to the top of a word; PF from its low bits. */
export function setResult(s: Int32Array, top: number, low: number): void {
  s[Slot.Fz] = top;
  s[Slot.Fs] = top;
  s[Slot.Fp] = low;
}

/** SF, ZF, PF of a 64-bit result. */
export function setResult64(s: Int32Array, lo: number, hi: number): void {
  s[Slot.Fz] = lo | hi;
  s[Slot.Fs] = hi;
  s[Slot.Fp] = lo;
}

/** CF and ZF, each 0 or 1; OF, SF, AF, PF cleared. */
export function setCarryZero(s: Int32Array, cf: number, zf: number): void {
  s[Slot.Fz] = zf ^ 1;
  s[Slot.Fs] = 0;
  s[Slot.Fp] = 1;
  s[Slot.Fa] = 0;
  setCarryOverflow(s, cf, 0);
}

/** RFLAGS as PUSHF would store it, low 32 bits. */
export function packFlags(s: Int32Array): number {
  return (
    s[Slot.Flags]! |
    carry(s) |
    (parity(s[Slot.Fp]!) << 2) |
    (s[Slot.Fa]! & 0x10) |
    (s[Slot.Fz] === 0 ? Flag.Zero : 0) |
    ((s[Slot.Fs]! >>> 31) << 7) |
    (overflow(s) << 11)
  );
}

/** The six arithmetic flags from an RFLAGS value. */
export function unpackArithmetic(s: Int32Array, value: number): void {
  s[Slot.Fz] = (value & Flag.Zero) === 0 ? 1 : 0;
  s[Slot.Fs] = (value & Flag.Sign) << 24;
  s[Slot.Fp] = (value & Flag.Parity) === 0 ? 1 : 0;
  s[Slot.Fa] = value & Flag.Adjust;
  setCarryOverflow(s, value & 1, (value >> 11) & 1);
}

/** Replaces the RFLAGS bits in `mask`; tells the port when AC changed. */
export function setFlags(c: Context, value: number, mask: number): void {
  const s = c.s;
  if ((mask & Flag.Arithmetic) !== 0) unpackArithmetic(s, (value & mask) | (packFlags(s) & ~mask));
  const held = mask & ~Flag.Arithmetic;
  const before = s[Slot.Flags]!;
  s[Slot.Flags] = (before & ~held) | (value & held) | Flag.Fixed;
  if (((before ^ s[Slot.Flags]!) & Flag.Alignment) !== 0) c.modeChanged();
}

/** @param code condition as encoded in Jcc, SETcc, CMOVcc. @source SDM vol. 1, "EFLAGS Condition Codes" */
export function condition(s: Int32Array, code: number): boolean {
  switch (code) {
    case 0:
      return overflow(s) !== 0;
    case 1:
      return overflow(s) === 0;
    case 2:
      return s[Slot.Fc]! < 0;
    case 3:
      return s[Slot.Fc]! >= 0;
    case 4:
      return s[Slot.Fz] === 0;
    case 5:
      return s[Slot.Fz] !== 0;
    case 6:
      return s[Slot.Fc]! < 0 || s[Slot.Fz] === 0;
    case 7:
      return s[Slot.Fc]! >= 0 && s[Slot.Fz] !== 0;
    case 8:
      return s[Slot.Fs]! < 0;
    case 9:
      return s[Slot.Fs]! >= 0;
    case 10:
      return parity(s[Slot.Fp]!) !== 0;
    case 11:
      return parity(s[Slot.Fp]!) === 0;
    case 12:
      return s[Slot.Fs]! >>> 31 !== overflow(s);
    case 13:
      return s[Slot.Fs]! >>> 31 === overflow(s);
    case 14:
      return s[Slot.Fz] === 0 || s[Slot.Fs]! >>> 31 !== overflow(s);
    default:
      return s[Slot.Fz] !== 0 && s[Slot.Fs]! >>> 31 === overflow(s);
  }
}
