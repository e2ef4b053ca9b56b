/**
 * Multiplication: 64 x 64 to 128 bits is done on 16- and 32-bit pieces (exact in doubles). Source: SDM vol. 2, "MUL",
 * "IMUL", "MULX".
 */
import { Slot, type Context } from "./context.js";
import { setCarryOverflow, setResult, setResult64 } from "./flags.js";
import type { Instruction } from "./instruction.js";
import { get, put, source, type Sized } from "./operand.js";

const AX = 0;
const DX16 = 8;
const TWO32 = 4294967296;

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
export const product = new Int32Array(4);

/** Fills {@link product}. */
export function multiplyPairs(aLo: number, aHi: number, bLo: number, bHi: number): void {
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
export function multiplySigned(aLo: number, aHi: number, bLo: number, bHi: number): void {
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
