/**
 * Bit instructions: BT*, scans, counts, BMI1, BMI2, CRC32, byte swaps. 1 to 4 byte forms in `narrow`, 8 in `quad`.
 * Source: SDM vol. 2, each instruction's "Operation".
 */
import { Slot, type Context } from "./context.js";
import { setCarry, setCarryOverflow, setCarryZero, setResult, setResult64 } from "./flags.js";
import type { Handler, Instruction } from "./instruction.js";
import { effectiveAddress, load, storeTemp } from "./memory.js";
import { get, put, source, type Sized } from "./operand.js";

/** What a bit test does to the bit. */
export const enum BitChange {
  None,
  Set,
  Reset,
  Complement,
}

function changed(word: number, mask: number, change: BitChange): number {
  switch (change) {
    case BitChange.Set:
      return word | mask;
    case BitChange.Reset:
      return word & ~mask;
    case BitChange.Complement:
      return word ^ mask;
    default:
      return word;
  }
}

/** BT, BTS, BTR, BTC on a register (or Temp): the offset wraps at the operand size. CF is the bit, the rest stays. */
export const bitTest = (change: BitChange): Sized => ({
  narrow: (c, i) => {
    const n = source(c, i) & (31 - i.shift);
    const a = get(c, i.size, i.dst);
    setCarry(c.s, (a >>> n) & 1);
    if (change !== BitChange.None) put(c, i.size, i.dst, changed(a, 1 << n, change));
    return 0;
  },
  quad: (c, i) => {
    const s = c.s;
    const n = (i.imm ? i.immLo : s[i.src]!) & 63;
    const word = i.dst + (n >>> 5);
    setCarry(s, (s[word]! >>> (n & 31)) & 1);
    s[word] = changed(s[word]!, 1 << (n & 31), change);
    return 0;
  },
});

/**
 * The same with a memory operand and a register offset, which reaches beyond the operand: a signed bit index from its
 * address.
 */
export const bitTestString: Handler = (c, i) => {
  const s = c.s;
  effectiveAddress(c, i);
  const lo = i.size === 8 ? s[i.src]! : i.size === 4 ? s[i.src]! : (c.u16[i.src]! << 16) >> 16;
  const hi = i.size === 8 ? s[i.src + 1]! : lo >> 31;
  const unit = i.size === 8 ? 6 : i.size === 4 ? 5 : 4;
  // Whole operands to move by, in bytes: (offset >> unit) << (unit - 3), 64 bits wide.
  const movedLo = ((lo >>> 3) | (hi << 29)) & -(1 << (unit - 3));
  const before = s[Slot.Ea]!;
  s[Slot.Ea] = before + movedLo;
  s[Slot.Ea + 1] = s[Slot.Ea + 1]! + (hi >> 3) + (s[Slot.Ea]! >>> 0 < before >>> 0 ? 1 : 0);
  if (i.addressSize === 4) s[Slot.Ea + 1] = 0;
  let status = load(c, i.size, i.access);
  if (status !== 0) return status;
  status = i.op(c, i);
  return status !== 0 || !i.writes ? status : storeTemp(c, i.size, i.access);
};

/** Index of the lowest set bit of a pair; 64 for none. */
const lowest = (lo: number, hi: number): number =>
  lo !== 0 ? 31 - Math.clz32(lo & -lo) : hi !== 0 ? 63 - Math.clz32(hi & -hi) : 64;
/** Leading zeros of a pair; 64 for none set. */
const leading = (lo: number, hi: number): number => (hi !== 0 ? Math.clz32(hi) : 32 + Math.clz32(lo));

function ones(word: number): number {
  let x = word - ((word >>> 1) & 0x5555_5555);
  x = (x & 0x3333_3333) + ((x >>> 2) & 0x3333_3333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** Source of a narrow operand without the bits above it. */
const clean = (c: Context, i: Instruction): number => (get(c, i.size, i.src) << i.shift) >>> i.shift;

/**
 * BSF and BSR leave the destination alone for a zero source, as processors do; ZF says so, other flags are undefined.
 */
const scan = (find32: (a: number) => number, find64: (lo: number, hi: number) => number): Sized => ({
  narrow: (c, i) => {
    const a = clean(c, i);
    c.s[Slot.Fz] = a;
    if (a !== 0) put(c, i.size, i.dst, find32(a));
    return 0;
  },
  quad: (c, i) => {
    const s = c.s;
    const lo = s[i.src]!,
      hi = s[i.src + 1]!;
    s[Slot.Fz] = lo | hi;
    if ((lo | hi) !== 0) {
      s[i.dst] = find64(lo, hi);
      s[i.dst + 1] = 0;
    }
    return 0;
  },
});
/** Index of the lowest set bit. */
export const bsf = scan((a) => lowest(a, 0), lowest);
/** Index of the highest set bit. */
export const bsr = scan(
  (a) => 31 - Math.clz32(a),
  (lo, hi) => 63 - leading(lo, hi),
);

/** Trailing zeros, the operand size for zero; CF says the source was zero, ZF that the result is. */
export const tzcnt: Sized = {
  narrow: (c, i) => {
    const a = clean(c, i);
    const n = a === 0 ? 32 - i.shift : lowest(a, 0);
    put(c, i.size, i.dst, n);
    setCarryZero(c.s, a === 0 ? 1 : 0, n === 0 ? 1 : 0);
    return 0;
  },
  quad: (c, i) => {
    const n = lowest(c.s[i.src]!, c.s[i.src + 1]!);
    put(c, 4, i.dst, n);
    setCarryZero(c.s, n === 64 ? 1 : 0, n === 0 ? 1 : 0);
    return 0;
  },
};
/** Leading zeros; flags as TZCNT. */
export const lzcnt: Sized = {
  narrow: (c, i) => {
    const n = Math.clz32(clean(c, i)) - i.shift;
    put(c, i.size, i.dst, n);
    setCarryZero(c.s, n === 32 - i.shift ? 1 : 0, n === 0 ? 1 : 0);
    return 0;
  },
  quad: (c, i) => {
    const n = leading(c.s[i.src]!, c.s[i.src + 1]!);
    put(c, 4, i.dst, n);
    setCarryZero(c.s, n === 64 ? 1 : 0, n === 0 ? 1 : 0);
    return 0;
  },
};
/** Ones; ZF for none, the other flags cleared. */
export const popcnt: Sized = {
  narrow: (c, i) => {
    const n = ones(clean(c, i));
    put(c, i.size, i.dst, n);
    setCarryZero(c.s, 0, n === 0 ? 1 : 0);
    return 0;
  },
  quad: (c, i) => {
    const n = ones(c.s[i.src]!) + ones(c.s[i.src + 1]!);
    put(c, 4, i.dst, n);
    setCarryZero(c.s, 0, n === 0 ? 1 : 0);
    return 0;
  },
};

/** SF, ZF of the result; CF as given; OF cleared; AF, PF undefined. */
function bmi(c: Context, i: Instruction, lo: number, hi: number, cf: number): number {
  const s = c.s;
  if (i.size === 8) {
    s[i.dst] = lo;
    s[i.dst + 1] = hi;
    setResult64(s, lo, hi);
  } else {
    put(c, 4, i.dst, lo);
    setResult(s, lo, lo);
  }
  s[Slot.Fa] = 0;
  setCarryOverflow(s, cf, 0);
  return 0;
}
/** The high half of a slot, 0 for 4-byte operands. */
const high = (c: Context, i: Instruction, slot: number): number => (i.size === 8 ? c.s[slot + 1]! : 0);

/** BMI1 and BMI2 work on 4 and 8 bytes; one handler does both, by `size`. */
export const andn: Handler = (c, i) => bmi(c, i, ~c.s[i.src]! & c.s[i.src2]!, ~c.s[i.src + 1]! & high(c, i, i.src2), 0);
/** Lowest set bit alone; CF says there was one. */
export const blsi: Handler = (c, i) => {
  const lo = c.s[i.src]!,
    hi = high(c, i, i.src);
  return bmi(c, i, lo & -lo, lo === 0 ? hi & -hi : 0, (lo | hi) !== 0 ? 1 : 0);
};
/** Without the lowest set bit; CF says there was none. */
export const blsr: Handler = (c, i) => {
  const lo = c.s[i.src]!,
    hi = high(c, i, i.src);
  return bmi(c, i, lo & (lo - 1), lo === 0 ? hi & (hi - 1) : hi, (lo | hi) === 0 ? 1 : 0);
};
/** All ones up to the lowest set bit; CF says there was none. */
export const blsmsk: Handler = (c, i) => {
  const lo = c.s[i.src]!,
    hi = high(c, i, i.src);
  return bmi(c, i, lo ^ (lo - 1), lo === 0 ? hi ^ (hi - 1) : 0, (lo | hi) === 0 ? 1 : 0);
};
/** Low half of a mask of n ones, n from 0 to 64. */
const maskLo = (n: number): number => (n >= 32 ? -1 : (1 << n) - 1);
const maskHi = (n: number): number => (n >= 64 ? -1 : n > 32 ? (1 << (n - 32)) - 1 : 0);
/** Bits from the number in the low byte of `src2` on are cleared; CF when that is beyond the operand. */
export const bzhi: Handler = (c, i) => {
  const bits = i.size * 8;
  const n = c.s[i.src2]! & 0xff;
  const kept = n < bits ? n : bits;
  return bmi(c, i, c.s[i.src]! & maskLo(kept), high(c, i, i.src) & maskHi(kept), n > bits - 1 ? 1 : 0);
};
/** Bits from start (byte 0 of `src2`), as many as byte 1 says. */
export const bextr: Handler = (c, i) => {
  const start = c.s[i.src2]! & 0xff;
  const length = (c.s[i.src2]! >>> 8) & 0xff;
  let lo = c.s[i.src]!,
    hi = high(c, i, i.src);
  if (start >= 64) lo = hi = 0;
  else if (start >= 32) {
    lo = hi >>> (start - 32);
    hi = 0;
  } else if (start > 0) {
    lo = (lo >>> start) | (hi << (32 - start));
    hi >>>= start;
  }
  return bmi(c, i, lo & maskLo(length), hi & maskHi(length), 0);
};

/** PDEP spreads the low bits of `src` over the mask `src2`; PEXT gathers them. No flags. */
export const pdep: Handler = (c, i) => {
  let from = 0,
    lo = 0,
    hi = 0;
  const s = c.s;
  for (let n = 0; n < i.size * 8; n++) {
    if (((s[i.src2 + (n >>> 5)]! >>> (n & 31)) & 1) === 0) continue;
    const bit = (s[i.src + (from >>> 5)]! >>> (from & 31)) & 1;
    from++;
    if (n < 32) lo |= bit << n;
    else hi |= bit << (n - 32);
  }
  s[i.dst] = lo;
  s[i.dst + 1] = hi;
  return 0;
};
/** Gathers the bits of `src` under the mask `src2` into the low end. No flags. */
export const pext: Handler = (c, i) => {
  let to = 0,
    lo = 0,
    hi = 0;
  const s = c.s;
  for (let n = 0; n < i.size * 8; n++) {
    if (((s[i.src2 + (n >>> 5)]! >>> (n & 31)) & 1) === 0) continue;
    const bit = (s[i.src + (n >>> 5)]! >>> (n & 31)) & 1;
    if (to < 32) lo |= bit << to;
    else hi |= bit << (to - 32);
    to++;
  }
  s[i.dst] = lo;
  s[i.dst + 1] = hi;
  return 0;
};

/** CRC-32C steps of one byte (polynomial 0x1EDC6F41 reflected), by byte. */
const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  return crc;
});

/** CRC32: `size` is that of the source, the destination always ends up zero-extended. */
export const crc32: Handler = (c, i) => {
  let crc = c.s[i.dst]!;
  const from = i.size === 1 ? i.src : i.size === 2 ? i.src * 2 : i.src * 4;
  for (let n = 0; n < i.size; n++) crc = crcTable[(crc ^ c.u8[from + n]!) & 0xff]! ^ (crc >>> 8);
  return (put(c, 4, i.dst, crc), 0);
};

const swapWord = (x: number): number => (x >>> 24) | ((x >>> 8) & 0xff00) | ((x & 0xff00) << 8) | (x << 24);
/** BSWAP and MOVBE: `src` reversed into `dst`. BSWAP of 16 bits is undefined; processors give zero. */
export const swap: Sized = {
  narrow: (c, i) => {
    const a = get(c, i.size, i.src);
    put(c, i.size, i.dst, i.size === 4 ? swapWord(a) : (a >>> 8) | (a << 8));
    return 0;
  },
  quad: (c, i) => {
    const lo = swapWord(c.s[i.src + 1]!);
    c.s[i.dst + 1] = swapWord(c.s[i.src]!);
    c.s[i.dst] = lo;
    return 0;
  },
};
