/**
 * Addition, subtraction and logic: one function for 1, 2 and 4 byte operands, one for 4 bytes alone where compiled code
 * spends its time, one for 8. Flags by the carry vector: bit n of it is the carry (or borrow) out of bit n.
 * Source: SDM vol. 2, each instruction's "Operation" and "Flags Affected".
 */
import { Slot, type Context } from "./context.js";
import { carry, overflow, setResult, setResult64 } from "./flags.js";
import type { Instruction } from "./instruction.js";
import { get, put, source, type Sized } from "./operand.js";

function flags(s: Int32Array, a: number, b: number, r: number, vector: number, shift: number): void {
  s[Slot.Fz] = r << shift;
  s[Slot.Fs] = r << shift;
  s[Slot.Fp] = r;
  s[Slot.Fc] = vector << shift;
  s[Slot.Fa] = a ^ b ^ r;
}

function flags64(s: Int32Array, low: number, lo: number, hi: number, vector: number): void {
  s[Slot.Fz] = lo | hi;
  s[Slot.Fs] = hi;
  s[Slot.Fp] = lo;
  s[Slot.Fc] = vector;
  s[Slot.Fa] = low ^ lo;
}

function addCarry(c: Context, i: Instruction, cf: number): number {
  const a = get(c, i.size, i.dst);
  const b = source(c, i);
  const r = (a + b + cf) | 0;
  put(c, i.size, i.dst, r);
  flags(c.s, a, b, r, (a & b) | ((a | b) & ~r), i.shift);
  return 0;
}

function subtractBorrow(c: Context, i: Instruction, cf: number, keep: boolean): number {
  const a = get(c, i.size, i.dst);
  const b = source(c, i);
  const r = (a - b - cf) | 0;
  if (keep) put(c, i.size, i.dst, r);
  flags(c.s, a, b, r, (~a & b) | ((~a | b) & r), i.shift);
  return 0;
}

function addCarry64(c: Context, i: Instruction, cf: number): number {
  const s = c.s;
  const aLo = s[i.dst]!,
    aHi = s[i.dst + 1]!;
  const bLo = i.imm ? i.immLo : s[i.src]!;
  const bHi = i.imm ? i.immHi : s[i.src + 1]!;
  const lo = (aLo + bLo + cf) | 0;
  const out = ((aLo & bLo) | ((aLo | bLo) & ~lo)) >>> 31;
  const hi = (aHi + bHi + out) | 0;
  s[i.dst] = lo;
  s[i.dst + 1] = hi;
  flags64(s, aLo ^ bLo, lo, hi, (aHi & bHi) | ((aHi | bHi) & ~hi));
  return 0;
}

function subtractBorrow64(c: Context, i: Instruction, cf: number, keep: boolean): number {
  const s = c.s;
  const aLo = s[i.dst]!,
    aHi = s[i.dst + 1]!;
  const bLo = i.imm ? i.immLo : s[i.src]!;
  const bHi = i.imm ? i.immHi : s[i.src + 1]!;
  const lo = (aLo - bLo - cf) | 0;
  const out = ((~aLo & bLo) | ((~aLo | bLo) & lo)) >>> 31;
  const hi = (aHi - bHi - out) | 0;
  if (keep) {
    s[i.dst] = lo;
    s[i.dst + 1] = hi;
  }
  flags64(s, aLo ^ bLo, lo, hi, (~aHi & bHi) | ((~aHi | bHi) & hi));
  return 0;
}

/** Flags of CMP for operands of 1, 2 or 4 bytes. @param shift 32 less the operand's bits */
export function compare(s: Int32Array, a: number, b: number, shift: number): void {
  const r = (a - b) | 0;
  flags(s, a, b, r, (~a & b) | ((~a | b) & r), shift);
}

/** Flags of CMP for 8 bytes. */
export function compare64(s: Int32Array, aLo: number, aHi: number, bLo: number, bHi: number): void {
  const lo = (aLo - bLo) | 0;
  const hi = (aHi - bHi - (((~aLo & bLo) | ((~aLo | bLo) & lo)) >>> 31)) | 0;
  flags64(s, aLo ^ bLo, lo, hi, (~aHi & bHi) | ((~aHi | bHi) & hi));
}

const add32 = (c: Context, i: Instruction): number => {
  const s = c.s;
  const a = s[i.dst]!;
  const b = i.imm ? i.immLo : s[i.src]!;
  const r = (a + b) | 0;
  s[i.dst] = r;
  s[i.dst + 1] = 0;
  flags(s, a, b, r, (a & b) | ((a | b) & ~r), 0);
  return 0;
};
const sub32 = (c: Context, i: Instruction): number => {
  const s = c.s;
  const a = s[i.dst]!;
  const b = i.imm ? i.immLo : s[i.src]!;
  const r = (a - b) | 0;
  s[i.dst] = r;
  s[i.dst + 1] = 0;
  flags(s, a, b, r, (~a & b) | ((~a | b) & r), 0);
  return 0;
};
const cmp32 = (c: Context, i: Instruction): number => {
  const s = c.s;
  const a = s[i.dst]!;
  const b = i.imm ? i.immLo : s[i.src]!;
  const r = (a - b) | 0;
  flags(s, a, b, r, (~a & b) | ((~a | b) & r), 0);
  return 0;
};

/** dst += src; all six flags. */
export const add: Sized = { narrow: (c, i) => addCarry(c, i, 0), word: add32, quad: (c, i) => addCarry64(c, i, 0) };
/** dst += src + CF; all six flags. */
export const adc: Sized = {
  narrow: (c, i) => addCarry(c, i, carry(c.s)),
  quad: (c, i) => addCarry64(c, i, carry(c.s)),
};
/** dst -= src; all six flags. */
export const sub: Sized = {
  narrow: (c, i) => subtractBorrow(c, i, 0, true),
  word: sub32,
  quad: (c, i) => subtractBorrow64(c, i, 0, true),
};
/** dst -= src + CF; all six flags. */
export const sbb: Sized = {
  narrow: (c, i) => subtractBorrow(c, i, carry(c.s), true),
  quad: (c, i) => subtractBorrow64(c, i, carry(c.s), true),
};
/** Flags of dst - src; nothing is written. */
export const cmp: Sized = {
  narrow: (c, i) => subtractBorrow(c, i, 0, false),
  word: cmp32,
  quad: (c, i) => subtractBorrow64(c, i, 0, false),
};

function logic(s: Int32Array, r: number, shift: number): number {
  s[Slot.Fc] = 0;
  s[Slot.Fa] = 0;
  setResult(s, r << shift, r);
  return 0;
}

function logic64(s: Int32Array, lo: number, hi: number): number {
  s[Slot.Fc] = 0;
  s[Slot.Fa] = 0;
  setResult64(s, lo, hi);
  return 0;
}

/** dst &= src; SF, ZF, PF of the result, CF and OF cleared. */
export const and: Sized = {
  narrow: (c, i) => {
    const r = get(c, i.size, i.dst) & source(c, i);
    put(c, i.size, i.dst, r);
    return logic(c.s, r, i.shift);
  },
  word: (c, i) => {
    const s = c.s;
    const r = s[i.dst]! & (i.imm ? i.immLo : s[i.src]!);
    s[i.dst] = r;
    s[i.dst + 1] = 0;
    return logic(s, r, 0);
  },
  quad: (c, i) => {
    const s = c.s;
    const lo = s[i.dst]! & (i.imm ? i.immLo : s[i.src]!);
    const hi = s[i.dst + 1]! & (i.imm ? i.immHi : s[i.src + 1]!);
    s[i.dst] = lo;
    s[i.dst + 1] = hi;
    return logic64(s, lo, hi);
  },
};

/** dst |= src; flags as AND. */
export const or: Sized = {
  narrow: (c, i) => {
    const r = get(c, i.size, i.dst) | source(c, i);
    put(c, i.size, i.dst, r);
    return logic(c.s, r, i.shift);
  },
  quad: (c, i) => {
    const s = c.s;
    const lo = s[i.dst]! | (i.imm ? i.immLo : s[i.src]!);
    const hi = s[i.dst + 1]! | (i.imm ? i.immHi : s[i.src + 1]!);
    s[i.dst] = lo;
    s[i.dst + 1] = hi;
    return logic64(s, lo, hi);
  },
};

/** dst ^= src; flags as AND. */
export const xor: Sized = {
  narrow: (c, i) => {
    const r = get(c, i.size, i.dst) ^ source(c, i);
    put(c, i.size, i.dst, r);
    return logic(c.s, r, i.shift);
  },
  word: (c, i) => {
    const s = c.s;
    const r = s[i.dst]! ^ (i.imm ? i.immLo : s[i.src]!);
    s[i.dst] = r;
    s[i.dst + 1] = 0;
    return logic(s, r, 0);
  },
  quad: (c, i) => {
    const s = c.s;
    const lo = s[i.dst]! ^ (i.imm ? i.immLo : s[i.src]!);
    const hi = s[i.dst + 1]! ^ (i.imm ? i.immHi : s[i.src + 1]!);
    s[i.dst] = lo;
    s[i.dst + 1] = hi;
    return logic64(s, lo, hi);
  },
};

/** Flags of dst & src; nothing is written. */
export const test: Sized = {
  narrow: (c, i) => logic(c.s, get(c, i.size, i.dst) & source(c, i), i.shift),
  word: (c, i) => logic(c.s, c.s[i.dst]! & (i.imm ? i.immLo : c.s[i.src]!), 0),
  quad: (c, i) => {
    const s = c.s;
    return logic64(s, s[i.dst]! & (i.imm ? i.immLo : s[i.src]!), s[i.dst + 1]! & (i.imm ? i.immHi : s[i.src + 1]!));
  },
};

/** INC and DEC are additions of an immediate 1 that leave CF; the decoder sets that immediate. */
function keepingCarry(operation: Sized): Sized {
  const around =
    (handler: Sized["narrow"]): Sized["narrow"] =>
    (c, i) => {
      const cf = carry(c.s);
      handler(c, i);
      c.s[Slot.Fc] = (cf << 31) | ((cf ^ overflow(c.s)) << 30);
      return 0;
    };
  return { narrow: around(operation.narrow), quad: around(operation.quad) };
}
/** dst + 1; CF stays. */
export const inc = keepingCarry(add);
/** dst - 1; CF stays. */
export const dec = keepingCarry(sub);

/** 0 - dst; all six flags. */
export const neg: Sized = {
  narrow: (c, i) => {
    const b = get(c, i.size, i.dst);
    const r = -b | 0;
    put(c, i.size, i.dst, r);
    flags(c.s, 0, b, r, b | r, i.shift);
    return 0;
  },
  quad: (c, i) => {
    const s = c.s;
    const bLo = s[i.dst]!,
      bHi = s[i.dst + 1]!;
    const lo = -bLo | 0;
    const hi = (-bHi - (bLo !== 0 ? 1 : 0)) | 0;
    s[i.dst] = lo;
    s[i.dst + 1] = hi;
    flags64(s, bLo, lo, hi, bHi | hi);
    return 0;
  },
};

/** Complement; no flags. */
export const not: Sized = {
  narrow: (c, i) => {
    put(c, i.size, i.dst, ~get(c, i.size, i.dst));
    return 0;
  },
  quad: (c, i) => {
    c.s[i.dst] = ~c.s[i.dst]!;
    c.s[i.dst + 1] = ~c.s[i.dst + 1]!;
    return 0;
  },
};

/** ADCX (through CF) and ADOX (through OF): an addition that touches one flag only. */
export const adcx: Sized = {
  narrow: (c, i) => throughOneFlag(c, i, true),
  quad: (c, i) => throughOneFlag64(c, i, true),
};
/** As {@link adcx}, through OF. */
export const adox: Sized = {
  narrow: (c, i) => throughOneFlag(c, i, false),
  quad: (c, i) => throughOneFlag64(c, i, false),
};

function setOne(s: Int32Array, isCarry: boolean, value: number): void {
  const cf = isCarry ? value : carry(s);
  const of = isCarry ? overflow(s) : value;
  s[Slot.Fc] = (cf << 31) | ((cf ^ of) << 30);
}

function throughOneFlag(c: Context, i: Instruction, isCarry: boolean): number {
  const s = c.s;
  const a = s[i.dst]!,
    b = s[i.src]!;
  const r = (a + b + (isCarry ? carry(s) : overflow(s))) | 0;
  s[i.dst] = r;
  s[i.dst + 1] = 0;
  setOne(s, isCarry, ((a & b) | ((a | b) & ~r)) >>> 31);
  return 0;
}

function throughOneFlag64(c: Context, i: Instruction, isCarry: boolean): number {
  const s = c.s;
  const aLo = s[i.dst]!,
    aHi = s[i.dst + 1]!,
    bLo = s[i.src]!,
    bHi = s[i.src + 1]!;
  const lo = (aLo + bLo + (isCarry ? carry(s) : overflow(s))) | 0;
  const hi = (aHi + bHi + (((aLo & bLo) | ((aLo | bLo) & ~lo)) >>> 31)) | 0;
  s[i.dst] = lo;
  s[i.dst + 1] = hi;
  setOne(s, isCarry, ((aHi & bHi) | ((aHi | bHi) & ~hi)) >>> 31);
  return 0;
}
