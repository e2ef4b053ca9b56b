/**
 * Multiplication and division. 64 x 64 to 128 bits is done on 16- and 32-bit pieces (exact in doubles); only a division
 * whose operands exceed 2^53 goes through bigint. Source: SDM vol. 2, "MUL", "IMUL", "MULX", "DIV", "IDIV".
 */
import { Slot, type Context } from "./context.js";
import { setCarryOverflow, setResult, setResult64 } from "./flags.js";
import type { Handler, Instruction } from "./instruction.js";
import { get, put, source, type Sized } from "./operand.js";
import { faultStatus } from "./port.js";

const AX = 0;
const AH = 1;
const DX16 = 8;
const TWO32 = 4294967296;
const divideError = faultStatus(0);

/** High 32 bits of the unsigned product of two words, as a signed word. */
export function highProduct(a: number, b: number): number {
  const a0 = a & 0xffff,
    a1 = a >>> 16,
    b0 = b & 0xffff,
    b1 = b >>> 16;
  const low = a1 * b0 + ((a0 * b0) >>> 16);
  const middle = (low & 0xffff) + a0 * b1;
  return (a1 * b1 + (low >>> 16) + (middle >>> 16)) | 0;
}

/** The 128-bit product of two pairs, by word; unsigned. Filled in place so that nothing is allocated. */
const product = new Int32Array(4);

function multiplyPairs(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const crossLow = (Math.imul(aLo, bHi) >>> 0) + (Math.imul(aHi, bLo) >>> 0) + (highProduct(aLo, bLo) >>> 0);
  const upper =
    (highProduct(aLo, bHi) >>> 0) +
    (highProduct(aHi, bLo) >>> 0) +
    (Math.imul(aHi, bHi) >>> 0) +
    Math.floor(crossLow / TWO32);
  product[0] = Math.imul(aLo, bLo);
  product[1] = crossLow | 0;
  product[2] = upper | 0;
  product[3] = ((highProduct(aHi, bHi) >>> 0) + Math.floor(upper / TWO32)) | 0;
}

/** As {@link multiplyPairs}, signed: a negative factor takes the other one off the upper half. */
function multiplySigned(aLo: number, aHi: number, bLo: number, bHi: number): void {
  multiplyPairs(aLo, aHi, bLo, bHi);
  if (aHi < 0) takeOff(bLo, bHi);
  if (bHi < 0) takeOff(aLo, aHi);
}

function takeOff(lo: number, hi: number): void {
  const before = product[2]!;
  product[2] = before - lo;
  product[3] = product[3]! - hi - (before >>> 0 < lo >>> 0 ? 1 : 0);
}

/** SF, ZF, AF, PF are undefined after a multiplication; here they follow the low result. */
function multiplied(c: Context, top: number, low: number, over: boolean): number {
  setResult(c.s, top, low);
  c.s[Slot.Fa] = 0;
  setCarryOverflow(c.s, over ? 1 : 0, over ? 1 : 0);
  return 0;
}

function multiplied64(c: Context, over: boolean): number {
  setResult64(c.s, product[0]!, product[1]!);
  c.s[Slot.Fa] = 0;
  setCarryOverflow(c.s, over ? 1 : 0, over ? 1 : 0);
  return 0;
}

/** Whether the signed product does not fit its low half. */
const exceeds = (): boolean => {
  const sign = product[1]! >> 31;
  return product[2] !== sign || product[3] !== sign;
};

/** The same of two pairs: CF and OF of IMUL. */
export function exceedsPair(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  multiplySigned(aLo, aHi, bLo, bHi);
  return exceeds();
}

/** IMUL with two operands: `dst` times `src`. */
export const imul2: Sized = {
  narrow: (c, i) => signedProduct(c, i, get(c, i.size, i.dst), source(c, i)),
  quad: (c, i) => {
    const s = c.s;
    multiplySigned(s[i.dst]!, s[i.dst + 1]!, s[i.src]!, s[i.src + 1]!);
    s[i.dst] = product[0]!;
    s[i.dst + 1] = product[1]!;
    return multiplied64(c, exceeds());
  },
};

/** IMUL with three operands: `src` times the immediate. */
export const imul3: Sized = {
  narrow: (c, i) => signedProduct(c, i, get(c, i.size, i.src), i.immLo),
  quad: (c, i) => {
    const s = c.s;
    multiplySigned(s[i.src]!, s[i.src + 1]!, i.immLo, i.immHi);
    s[i.dst] = product[0]!;
    s[i.dst + 1] = product[1]!;
    return multiplied64(c, exceeds());
  },
};

function signedProduct(c: Context, i: Instruction, left: number, right: number): number {
  const a = (left << i.shift) >> i.shift;
  const b = (right << i.shift) >> i.shift;
  const r = Math.imul(a, b);
  put(c, i.size, i.dst, r);
  const over = i.size === 4 ? a * b !== r : (r << i.shift) >> i.shift !== r;
  return multiplied(c, r << i.shift, r, over);
}

/** MUL and IMUL with one operand: accumulator times `src` into the double-width accumulator. */
const wide = (signed: boolean): Sized => ({
  narrow: (c, i) => {
    const a0 = get(c, i.size, AX),
      b0 = get(c, i.size, i.src);
    if (i.size === 4) {
      const lo = Math.imul(a0, b0);
      let hi = highProduct(a0, b0);
      if (signed) hi = (hi - (a0 < 0 ? b0 : 0) - (b0 < 0 ? a0 : 0)) | 0;
      put(c, 4, Slot.Rax, lo);
      put(c, 4, Slot.Rdx, hi);
      return multiplied(c, lo, lo, signed ? hi !== lo >> 31 : hi !== 0);
    }
    const a = signed ? (a0 << i.shift) >> i.shift : a0;
    const b = signed ? (b0 << i.shift) >> i.shift : b0;
    const r = Math.imul(a, b);
    if (i.size === 1) c.u16[AX] = r;
    else {
      c.u16[AX] = r;
      c.u16[DX16] = r >> 16;
    }
    const over = signed ? (r << i.shift) >> i.shift !== r : r >>> (32 - i.shift) !== 0;
    return multiplied(c, r << i.shift, r, over);
  },
  quad: (c, i) => {
    const s = c.s;
    (signed ? multiplySigned : multiplyPairs)(s[Slot.Rax]!, s[Slot.Rax + 1]!, s[i.src]!, s[i.src + 1]!);
    for (let n = 0; n < 2; n++) {
      s[Slot.Rax + n] = product[n]!;
      s[Slot.Rdx + n] = product[2 + n]!;
    }
    return multiplied64(c, signed ? exceeds() : (product[2]! | product[3]!) !== 0);
  },
});
/** Unsigned; CF and OF when the upper half is not zero. */
export const mul = wide(false);
/** Signed; CF and OF when the product does not fit the lower half. */
export const imul1 = wide(true);

/**
 * MULX: RDX times `src2` into `dst` (high) and `src` (low), no flags. When both are one register the high half stays.
 */
export const mulx: Sized = {
  narrow: (c, i) => {
    const a = c.s[Slot.Rdx]!,
      b = c.s[i.src2]!;
    put(c, 4, i.src, Math.imul(a, b));
    put(c, 4, i.dst, highProduct(a, b));
    return 0;
  },
  quad: (c, i) => {
    const s = c.s;
    multiplyPairs(s[Slot.Rdx]!, s[Slot.Rdx + 1]!, s[i.src2]!, s[i.src2 + 1]!);
    s[i.src] = product[0]!;
    s[i.src + 1] = product[1]!;
    s[i.dst] = product[2]!;
    s[i.dst + 1] = product[3]!;
    return 0;
  },
};

/** DIV of 1, 2 or 4 bytes. Flags are undefined; they stay. */
const divideNarrow: Handler = (c, i) => {
  const b = get(c, i.size, i.src) >>> 0;
  if (b === 0) return divideError;
  const limit = i.size === 4 ? TWO32 : 1 << (32 - i.shift);
  const high = i.size === 1 ? c.u8[AH]! : get(c, i.size, i.size === 2 ? DX16 : Slot.Rdx) >>> 0;
  if (high >= b) return divideError;
  if (i.size === 4 && high >= 1 << 21) return divideBig(c, i, false);
  const a = high * limit + (get(c, i.size, AX) >>> 0);
  const rest = a % b;
  return divided(c, i, (a - rest) / b, rest);
};

const signedDivideNarrow: Handler = (c, i) => {
  const b = (get(c, i.size, i.src) << i.shift) >> i.shift;
  if (b === 0) return divideError;
  if (i.size === 4 && Math.abs(c.s[Slot.Rdx]!) >= 1 << 20) return divideBig(c, i, true);
  const a =
    i.size === 1
      ? (c.u16[AX]! << 16) >> 16
      : i.size === 2
        ? (c.u16[DX16]! << 16) | c.u16[AX]!
        : c.s[Slot.Rdx]! * TWO32 + (c.s[Slot.Rax]! >>> 0);
  const rest = a % b;
  const quotient = (a - rest) / b;
  const half = 2 ** (31 - i.shift);
  if (quotient >= half || quotient < -half) return divideError;
  return divided(c, i, quotient, rest);
};

function divided(c: Context, i: Instruction, quotient: number, rest: number): number {
  if (i.size === 1) {
    c.u8[AX] = quotient;
    c.u8[AH] = rest;
  } else {
    put(c, i.size, AX, quotient | 0);
    put(c, i.size, i.size === 2 ? DX16 : Slot.Rdx, rest | 0);
  }
  return 0;
}

/** Any 4 or 8 byte division, exactly. */
function divideBig(c: Context, i: Instruction, signed: boolean): number {
  const bits = i.size * 8;
  const part = (slot: number): bigint => BigInt.asUintN(bits, c.get(slot));
  const joined = (part(Slot.Rdx) << BigInt(bits)) | part(Slot.Rax);
  const a = signed ? BigInt.asIntN(2 * bits, joined) : joined;
  const b = signed ? BigInt.asIntN(bits, c.get(i.src)) : part(i.src);
  if (b === 0n) return divideError;
  const quotient = a / b;
  if ((signed ? BigInt.asIntN(bits, quotient) : BigInt.asUintN(bits, quotient)) !== quotient) return divideError;
  c.set(Slot.Rax, BigInt.asUintN(bits, quotient));
  c.set(Slot.Rdx, BigInt.asUintN(bits, a - quotient * b));
  return 0;
}

/**
 * Unsigned division of the double-width accumulator by `src`: quotient and rest, or #DE. Flags are undefined; they
 * stay.
 */
export const div: Sized = {
  narrow: divideNarrow,
  quad: (c, i) => {
    const s = c.s;
    const aHi = s[Slot.Rax + 1]! >>> 0,
      bHi = s[i.src + 1]! >>> 0;
    if ((s[Slot.Rdx]! | s[Slot.Rdx + 1]!) !== 0 || aHi >= 1 << 21 || bHi >= 1 << 21) return divideBig(c, i, false);
    const a = aHi * TWO32 + (s[Slot.Rax]! >>> 0);
    const b = bHi * TWO32 + (s[i.src]! >>> 0);
    if (b === 0) return divideError;
    const rest = a % b;
    const quotient = (a - rest) / b;
    s[Slot.Rax] = quotient | 0;
    s[Slot.Rax + 1] = quotient / TWO32;
    s[Slot.Rdx] = rest | 0;
    s[Slot.Rdx + 1] = rest / TWO32;
    return 0;
  },
};
/** Signed, truncating; otherwise as {@link div}. */
export const idiv: Sized = { narrow: signedDivideNarrow, quad: (c, i) => divideBig(c, i, true) };
