/**
 * Division, on 32-bit words: exact, without bigint, which takes several times as long and makes garbage. Allocates
 * nothing. Source: SDM vol. 2, "DIV", "IDIV".
 *
 * A digit of 32 bits is estimated in doubles: four roundings of 2^-53 each leave a quotient below 2^32 at most one away
 * from the true one, and the remainder, computed exactly, says whether it is.
 */
import { Slot, type Context } from "./context.js";
import type { Handler, Instruction } from "./instruction.js";
import { highProduct } from "./multiply.js";
import { get, put, type Sized } from "./operand.js";
import { faultStatus } from "./port.js";

const AX = 0;
const AH = 1;
const DX16 = 8;
const TWO32 = 4294967296;
const TWO64 = TWO32 * TWO32;
/** Status of a division that has no result. */
export const divideError = faultStatus(0);

/** What the last division gave: quotient, then remainder; low word, then high. */
export const result = new Int32Array(4);

/** The remainder under way. */
let restLo = 0;
let restHi = 0;

/**
 * One digit of a quotient: (`restHi`, `restLo`, `next`) by the divisor, of which the first two are less; the remainder
 * takes their place.
 */
function digit(next: number, hi: number, lo: number, divisor: number): number {
  const estimate = Math.floor(((restHi >>> 0) * TWO64 + (restLo >>> 0) * TWO32 + (next >>> 0)) / divisor);
  let q = estimate < TWO32 ? estimate | 0 : -1;
  // The product, 96 bits; `middle` has a carry above its 32.
  const middle = (highProduct(q, lo) >>> 0) + (Math.imul(q, hi) >>> 0);
  const upper = (highProduct(q, hi) >>> 0) + (middle >= TWO32 ? 1 : 0);
  const low = (next >>> 0) - (Math.imul(q, lo) >>> 0);
  const between = (restLo >>> 0) - (middle >>> 0) - (low < 0 ? 1 : 0);
  const top = (restHi >>> 0) - upper - (between < 0 ? 1 : 0);
  restLo = low | 0;
  restHi = between | 0;
  if (top < 0) {
    q = (q - 1) | 0;
    const sum = (restLo + lo) | 0;
    restHi = (restHi + hi + (sum >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
    restLo = sum;
  } else if (top > 0 || !isBelow(restHi, restLo, hi, lo)) {
    q = (q + 1) | 0;
    restHi = (restHi - hi - (restLo >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
    restLo = (restLo - lo) | 0;
  }
  return q;
}

const isBelow = (aHi: number, aLo: number, bHi: number, bLo: number): boolean =>
  aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi >>> 0 < bHi >>> 0;

/**
 * 128 bits by 64, unsigned, into {@link result}.
 * @param topHi @param topLo the upper 64 bits @param aHi @param aLo the lower ones @param bHi @param bLo divisor
 * @returns 0 where the divisor is zero or the quotient exceeds 64 bits; otherwise 1
 */
export function divide(topHi: number, topLo: number, aHi: number, aLo: number, bHi: number, bLo: number): number {
  if ((topHi | topLo) === 0) {
    if ((aHi | bHi) === 0) {
      if (bLo === 0) return 0;
      const quotient = ((aLo >>> 0) / (bLo >>> 0)) >>> 0;
      return give(quotient | 0, 0, (aLo - Math.imul(quotient, bLo)) | 0, 0);
    }
    if ((bHi | bLo) === 0) return 0;
    if (aHi >>> 0 < 1 << 21) {
      // Both are integers a double holds, or the quotient is zero; so the rounded quotient is never above an integer
      // that the true one is below.
      const a = (aHi >>> 0) * TWO32 + (aLo >>> 0);
      const b = (bHi >>> 0) * TWO32 + (bLo >>> 0);
      const quotient = Math.floor(a / b);
      const rest = a - quotient * b;
      return give(quotient | 0, (quotient / TWO32) | 0, rest | 0, (rest / TWO32) | 0);
    }
  } else if (!isBelow(topHi, topLo, bHi, bLo)) return 0;
  const divisor = (bHi >>> 0) * TWO32 + (bLo >>> 0);
  restLo = topLo;
  restHi = topHi;
  const upper = digit(aHi, bHi, bLo, divisor);
  const lower = digit(aLo, bHi, bLo, divisor);
  return give(lower, upper, restLo, restHi);
}

function give(lo: number, hi: number, remainderLo: number, remainderHi: number): number {
  result[0] = lo;
  result[1] = hi;
  result[2] = remainderLo;
  result[3] = remainderHi;
  return 1;
}

/** The same, signed and truncating: the remainder has the sign of the dividend. */
export function divideSigned(topHi: number, topLo: number, aHi: number, aLo: number, bHi: number, bLo: number): number {
  const negative = topHi < 0;
  const opposite = (topHi ^ bHi) < 0;
  if (negative) {
    aLo = -aLo | 0;
    aHi = (~aHi + (aLo === 0 ? 1 : 0)) | 0;
    const carried = (aLo | aHi) === 0 ? 1 : 0;
    topLo = (~topLo + carried) | 0;
    topHi = (~topHi + (carried !== 0 && topLo === 0 ? 1 : 0)) | 0;
  }
  if (bHi < 0) {
    bLo = -bLo | 0;
    bHi = (~bHi + (bLo === 0 ? 1 : 0)) | 0;
  }
  if (divide(topHi, topLo, aHi, aLo, bHi, bLo) === 0) return 0;
  // Of 64 bits one is the sign; the smallest number has no counterpart.
  if (result[1]! < 0 && !(opposite && result[1] === -0x8000_0000 && result[0] === 0)) return 0;
  if (opposite) negate(0);
  if (negative) negate(2);
  return 1;
}

/** Negates two words of {@link result}. */
function negate(at: number): void {
  const lo = -result[at]! | 0;
  result[at] = lo;
  result[at + 1] = ~result[at + 1]! + (lo === 0 ? 1 : 0);
}

/** 64 bits by 32, unsigned, into words 0 and 2 of {@link result}; otherwise as {@link divide}. */
export function divideWord(hi: number, lo: number, b: number): number {
  if (hi >>> 0 >= b >>> 0) return 0;
  return divide(0, 0, hi, lo, 0, b);
}

/** The same, signed. */
export function divideSignedWord(hi: number, lo: number, b: number): number {
  const sign = hi >> 31;
  // A quotient of 33 bits or more is none; 64 are never exceeded but by the smallest number over -1.
  if (divideSigned(sign, sign, hi, lo, b >> 31, b) === 0) return 0;
  return result[0]! >> 31 === result[1] ? 1 : 0;
}

/** DIV of 1 or 2 bytes. Flags are undefined; they stay. */
const divideNarrow: Handler = (c, i) => {
  const b = get(c, i.size, i.src);
  const high = i.size === 1 ? c.u8[AH]! : get(c, 2, DX16);
  if (high >= b) return divideError;
  const a = high * (i.size === 1 ? 0x100 : 0x1_0000) + get(c, i.size, AX);
  const quotient = Math.floor(a / b);
  return divided(c, i, quotient, a - quotient * b);
};

const signedDivideNarrow: Handler = (c, i) => {
  const b = (get(c, i.size, i.src) << i.shift) >> i.shift;
  if (b === 0) return divideError;
  const a = i.size === 1 ? (c.u16[AX]! << 16) >> 16 : (c.u16[DX16]! << 16) | c.u16[AX]!;
  const quotient = Math.trunc(a / b);
  const half = 2 ** (31 - i.shift);
  if (quotient >= half || quotient < -half) return divideError;
  return divided(c, i, quotient, a - quotient * b);
};

function divided(c: Context, i: Instruction, quotient: number, rest: number): number {
  if (i.size === 1) {
    c.u8[AX] = quotient;
    c.u8[AH] = rest;
  } else {
    put(c, 2, AX, quotient);
    put(c, 2, DX16, rest);
  }
  return 0;
}

const dividing = (narrow: Handler, byWord: typeof divideWord, byPair: typeof divide): Required<Sized> => ({
  narrow,
  word: (c, i) => {
    const s = c.s;
    if (byWord(s[Slot.Rdx]!, s[Slot.Rax]!, s[i.src]!) === 0) return divideError;
    put(c, 4, Slot.Rax, result[0]!);
    put(c, 4, Slot.Rdx, result[2]!);
    return 0;
  },
  quad: (c, i) => {
    const s = c.s;
    const topHi = s[Slot.Rdx + 1]!,
      topLo = s[Slot.Rdx]!;
    if (byPair(topHi, topLo, s[Slot.Rax + 1]!, s[Slot.Rax]!, s[i.src + 1]!, s[i.src]!) === 0) return divideError;
    for (let n = 0; n < 2; n++) {
      s[Slot.Rax + n] = result[n]!;
      s[Slot.Rdx + n] = result[2 + n]!;
    }
    return 0;
  },
});
/**
 * Unsigned division of the double-width accumulator by `src`: quotient and rest, or #DE. Flags are undefined; they
 * stay.
 */
export const div = dividing(divideNarrow, divideWord, divide);
/** Signed, truncating; otherwise as {@link div}. */
export const idiv = dividing(signedDivideNarrow, divideSignedWord, divideSigned);
