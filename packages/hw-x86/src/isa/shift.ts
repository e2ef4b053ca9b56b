/**
 * Shifts and rotates. The count is an immediate, 1, or CL: `imm` says which, CL is byte 8 of the register file.
 * A count that masks to 0 changes nothing, flags included. OF is defined for a count of 1 only; for others it gets what
 * the formula for 1 gives, which tests exclude. Source: SDM vol. 2, "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR", "SHLD",
 * "SHRD".
 */
import { Slot, type Context } from "./context.js";
import { carry, setCarryOverflow, setResult, setResult64 } from "./flags.js";
import type { Instruction } from "./instruction.js";
import { get, put, type Sized } from "./operand.js";

const CL = 8;

const countOf = (c: Context, i: Instruction, mask: number): number => (i.imm ? i.immLo : c.u8[CL]!) & mask;

/** A count of 0: nothing but the high half of a 4-byte register, which every write of one clears. */
function unshifted(c: Context, i: Instruction): number {
  if (i.size === 4) c.s[i.dst + 1] = 0;
  return 0;
}

function finish(c: Context, i: Instruction, r: number, cf: number, of: number): number {
  put(c, i.size, i.dst, r);
  setResult(c.s, r << i.shift, r);
  c.s[Slot.Fa] = 0;
  setCarryOverflow(c.s, cf, of);
  return 0;
}

function finish64(c: Context, i: Instruction, lo: number, hi: number, cf: number, of: number): number {
  const s = c.s;
  s[i.dst] = lo;
  s[i.dst + 1] = hi;
  setResult64(s, lo, hi);
  s[Slot.Fa] = 0;
  setCarryOverflow(s, cf, of);
  return 0;
}

/** Bit n (0 to 63) of a pair. */
const bitOf = (lo: number, hi: number, n: number): number => (n < 32 ? lo >>> n : hi >>> (n - 32)) & 1;
/** Left shift of a pair by 0 to 63: halves. */
const leftLo = (lo: number, n: number): number => (n < 32 ? lo << n : 0);
const leftHi = (lo: number, hi: number, n: number): number =>
  n === 0 ? hi : n < 32 ? (hi << n) | (lo >>> (32 - n)) : lo << (n - 32);
/** Right shift of a pair by 0 to 63: halves. */
const rightLo = (lo: number, hi: number, n: number): number =>
  n === 0 ? lo : n < 32 ? (lo >>> n) | (hi << (32 - n)) : hi >>> (n - 32);
const rightHi = (hi: number, n: number): number => (n < 32 ? hi >>> n : 0);

/** Left shift; CF is the last bit out. */
export const shl: Sized = {
  narrow: (c, i) => {
    const n = countOf(c, i, 31);
    if (n === 0) return unshifted(c, i);
    const a = get(c, i.size, i.dst);
    const bits = 32 - i.shift;
    const r = a << n;
    const cf = n > bits ? 0 : (a >>> (bits - n)) & 1;
    return finish(c, i, r, cf, cf ^ ((r >>> (bits - 1)) & 1));
  },
  quad: (c, i) => {
    const n = countOf(c, i, 63);
    if (n === 0) return 0;
    const aLo = c.s[i.dst]!,
      aHi = c.s[i.dst + 1]!;
    const lo = leftLo(aLo, n),
      hi = leftHi(aLo, aHi, n);
    const cf = bitOf(aLo, aHi, 64 - n);
    return finish64(c, i, lo, hi, cf, cf ^ (hi >>> 31));
  },
};

/** Logical right shift. */
export const shr: Sized = {
  narrow: (c, i) => {
    const n = countOf(c, i, 31);
    if (n === 0) return unshifted(c, i);
    const a = get(c, i.size, i.dst);
    return finish(c, i, a >>> n, (a >>> (n - 1)) & 1, (a >>> (31 - i.shift)) & 1);
  },
  quad: (c, i) => {
    const n = countOf(c, i, 63);
    if (n === 0) return 0;
    const aLo = c.s[i.dst]!,
      aHi = c.s[i.dst + 1]!;
    return finish64(c, i, rightLo(aLo, aHi, n), rightHi(aHi, n), bitOf(aLo, aHi, n - 1), aHi >>> 31);
  },
};

/** Arithmetic right shift. */
export const sar: Sized = {
  narrow: (c, i) => {
    const n = countOf(c, i, 31);
    if (n === 0) return unshifted(c, i);
    const a = (get(c, i.size, i.dst) << i.shift) >> i.shift;
    return finish(c, i, a >> n, (a >> (n - 1)) & 1, 0);
  },
  quad: (c, i) => {
    const n = countOf(c, i, 63);
    if (n === 0) return 0;
    const aLo = c.s[i.dst]!,
      aHi = c.s[i.dst + 1]!;
    const lo = n < 32 ? rightLo(aLo, aHi, n) : aHi >> (n - 32);
    return finish64(c, i, lo, n < 32 ? aHi >> n : aHi >> 31, bitOf(aLo, aHi, n - 1), 0);
  },
};

/** Rotates set CF and OF only. */
function rotated(c: Context, i: Instruction, r: number, cf: number, of: number): number {
  put(c, i.size, i.dst, r);
  setCarryOverflow(c.s, cf, of);
  return 0;
}

function rotated64(c: Context, i: Instruction, lo: number, hi: number, cf: number, of: number): number {
  c.s[i.dst] = lo;
  c.s[i.dst + 1] = hi;
  setCarryOverflow(c.s, cf, of);
  return 0;
}

/** Left rotation of a pair by 0 to 63: a half of it; swap the arguments for the other. */
const turn = (lo: number, hi: number, n: number): number => {
  const m = n & 31;
  const near = n < 32 ? lo : hi;
  const far = n < 32 ? hi : lo;
  return m === 0 ? near : (near << m) | (far >>> (32 - m));
};

/** Left rotation; CF is the low bit of the result. */
export const rol: Sized = {
  narrow: (c, i) => {
    const masked = countOf(c, i, 31);
    if (masked === 0) return unshifted(c, i);
    const bits = 32 - i.shift;
    const n = masked & (bits - 1);
    const a = get(c, i.size, i.dst);
    const r = n === 0 ? a : (a << n) | (a >>> (bits - n));
    return rotated(c, i, r, r & 1, (r & 1) ^ ((r >>> (bits - 1)) & 1));
  },
  quad: (c, i) => {
    const n = countOf(c, i, 63);
    if (n === 0) return 0;
    const aLo = c.s[i.dst]!,
      aHi = c.s[i.dst + 1]!;
    const lo = turn(aLo, aHi, n),
      hi = turn(aHi, aLo, n);
    return rotated64(c, i, lo, hi, lo & 1, (lo & 1) ^ (hi >>> 31));
  },
};

/** Right rotation; CF is the high bit of the result. */
export const ror: Sized = {
  narrow: (c, i) => {
    const masked = countOf(c, i, 31);
    if (masked === 0) return unshifted(c, i);
    const bits = 32 - i.shift;
    const n = masked & (bits - 1);
    const a = get(c, i.size, i.dst);
    const r = n === 0 ? a : (a >>> n) | (a << (bits - n));
    const top = (r >>> (bits - 1)) & 1;
    return rotated(c, i, r, top, top ^ ((r >>> (bits - 2)) & 1));
  },
  quad: (c, i) => {
    const n = countOf(c, i, 63);
    if (n === 0) return 0;
    const aLo = c.s[i.dst]!,
      aHi = c.s[i.dst + 1]!;
    const lo = turn(aLo, aHi, 64 - n),
      hi = turn(aHi, aLo, 64 - n);
    return rotated64(c, i, lo, hi, hi >>> 31, (hi >>> 31) ^ ((hi >>> 30) & 1));
  },
};

/** Rotates through CF: cold, one bit at a time. */
export const rcl: Sized = {
  narrow: (c, i) => {
    const bits = 32 - i.shift;
    const masked = countOf(c, i, 31);
    if (masked === 0) return unshifted(c, i);
    let r = get(c, i.size, i.dst);
    let cf = carry(c.s);
    for (let n = masked % (bits + 1); n > 0; n--) {
      const out = (r >>> (bits - 1)) & 1;
      r = (r << 1) | cf;
      cf = out;
    }
    return rotated(c, i, r, cf, cf ^ ((r >>> (bits - 1)) & 1));
  },
  quad: (c, i) => {
    const masked = countOf(c, i, 63);
    if (masked === 0) return 0;
    let lo = c.s[i.dst]!,
      hi = c.s[i.dst + 1]!,
      cf = carry(c.s);
    for (let n = masked; n > 0; n--) {
      const out = hi >>> 31;
      hi = (hi << 1) | (lo >>> 31);
      lo = (lo << 1) | cf;
      cf = out;
    }
    return rotated64(c, i, lo, hi, cf, cf ^ (hi >>> 31));
  },
};

/** Right rotation through CF; cold, one bit at a time. */
export const rcr: Sized = {
  narrow: (c, i) => {
    const bits = 32 - i.shift;
    const masked = countOf(c, i, 31);
    if (masked === 0) return unshifted(c, i);
    let r = get(c, i.size, i.dst);
    let cf = carry(c.s);
    for (let n = masked % (bits + 1); n > 0; n--) {
      const out = r & 1;
      r = (r >>> 1) | (cf << (bits - 1));
      cf = out;
    }
    return rotated(c, i, r, cf, ((r >>> (bits - 1)) ^ (r >>> (bits - 2))) & 1);
  },
  quad: (c, i) => {
    const masked = countOf(c, i, 63);
    if (masked === 0) return 0;
    let lo = c.s[i.dst]!,
      hi = c.s[i.dst + 1]!,
      cf = carry(c.s);
    for (let n = masked; n > 0; n--) {
      const out = lo & 1;
      lo = (lo >>> 1) | (hi << 31);
      hi = (hi >>> 1) | (cf << 31);
      cf = out;
    }
    return rotated64(c, i, lo, hi, cf, ((hi >>> 31) ^ (hi >>> 30)) & 1);
  },
};

/** Bits `by` to `by` + 63, `by` from 1 to 63, of 64-bit `high` above `low`, into `dst`; CF is bit `carry` of `dst`. */
function joined64(c: Context, i: Instruction, low: number, high: number, by: number, carry: number): number {
  const s = c.s;
  const lo = rightLo(s[low]!, s[low + 1]!, by) | leftLo(s[high]!, 64 - by);
  const hi = rightHi(s[low + 1]!, by) | leftHi(s[high]!, s[high + 1]!, 64 - by);
  const was = s[i.dst + 1]!;
  return finish64(c, i, lo, hi, bitOf(s[i.dst]!, was, carry), (was ^ hi) >>> 31);
}

/** Double shifts: `src` fills `dst`. A 16-bit count above 16 is undefined; here it wraps through both operands once. */
export const shld: Sized = {
  narrow: (c, i) => {
    const n = countOf(c, i, 31);
    if (n === 0) return unshifted(c, i);
    const a = get(c, i.size, i.dst),
      b = get(c, i.size, i.src);
    const bits = 32 - i.shift;
    const joined = bits === 16 ? (a << 16) | b : 0;
    const r =
      bits === 16 ? (n <= 16 ? (joined << n) >>> 16 : (b << (n - 16)) | (a >>> (32 - n))) : (a << n) | (b >>> (32 - n));
    const cf = n <= bits ? (a >>> (bits - n)) & 1 : (b >>> (32 - n)) & 1;
    return finish(c, i, r, cf, ((a ^ r) >>> (bits - 1)) & 1);
  },
  quad: (c, i) => {
    const n = countOf(c, i, 63);
    return n === 0 ? 0 : joined64(c, i, i.src, i.dst, 64 - n, 64 - n);
  },
};

/** Right double shift; see {@link shld}. */
export const shrd: Sized = {
  narrow: (c, i) => {
    const n = countOf(c, i, 31);
    if (n === 0) return unshifted(c, i);
    const a = get(c, i.size, i.dst),
      b = get(c, i.size, i.src);
    const bits = 32 - i.shift;
    const joined = (b << 16) | a;
    const r = bits === 16 ? (n <= 16 ? joined >>> n : (b >>> (n - 16)) | (a << (32 - n))) : (a >>> n) | (b << (32 - n));
    const cf = n <= bits ? (a >>> (n - 1)) & 1 : (b >>> (n - 17)) & 1;
    return finish(c, i, r, cf, ((a ^ r) >>> (bits - 1)) & 1);
  },
  quad: (c, i) => {
    const n = countOf(c, i, 63);
    return n === 0 ? 0 : joined64(c, i, i.dst, i.src, n, n - 1);
  },
};

/** SHLX, SHRX, SARX, RORX: `src` by `src2` (or an immediate) into `dst`, no flags; 4 and 8 bytes. */
const amount = (c: Context, i: Instruction, mask: number): number => (i.imm ? i.immLo : c.s[i.src2]!) & mask;
/** `src` << `src2`. */
export const shlx: Sized = {
  narrow: (c, i) => {
    put(c, 4, i.dst, c.s[i.src]! << amount(c, i, 31));
    return 0;
  },
  quad: (c, i) =>
    three(c, i, leftLo(c.s[i.src]!, amount(c, i, 63)), leftHi(c.s[i.src]!, c.s[i.src + 1]!, amount(c, i, 63))),
};
/** `src` >>> `src2`. */
export const shrx: Sized = {
  narrow: (c, i) => {
    put(c, 4, i.dst, c.s[i.src]! >>> amount(c, i, 31));
    return 0;
  },
  quad: (c, i) =>
    three(c, i, rightLo(c.s[i.src]!, c.s[i.src + 1]!, amount(c, i, 63)), rightHi(c.s[i.src + 1]!, amount(c, i, 63))),
};
/** `src` >> `src2`. */
export const sarx: Sized = {
  narrow: (c, i) => {
    put(c, 4, i.dst, c.s[i.src]! >> amount(c, i, 31));
    return 0;
  },
  quad: (c, i) => {
    const n = amount(c, i, 63);
    const hi = c.s[i.src + 1]!;
    return three(c, i, n < 32 ? rightLo(c.s[i.src]!, hi, n) : hi >> (n - 32), n < 32 ? hi >> n : hi >> 31);
  },
};
/** `src` rotated right by the immediate. */
export const rorx: Sized = {
  narrow: (c, i) => {
    const n = i.immLo & 31;
    const a = c.s[i.src]!;
    put(c, 4, i.dst, n === 0 ? a : (a >>> n) | (a << (32 - n)));
    return 0;
  },
  quad: (c, i) => {
    const n = (64 - (i.immLo & 63)) & 63;
    return three(c, i, turn(c.s[i.src]!, c.s[i.src + 1]!, n), turn(c.s[i.src + 1]!, c.s[i.src]!, n));
  },
};

function three(c: Context, i: Instruction, lo: number, hi: number): number {
  c.s[i.dst] = lo;
  c.s[i.dst + 1] = hi;
  return 0;
}
