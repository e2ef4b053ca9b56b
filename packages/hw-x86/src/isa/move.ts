/** Data movement: MOV in its hot shapes, extensions, LEA, exchanges, conditional moves, sign conversions. */
import { compare, compare64 } from "./alu.js";
import { Slot } from "./context.js";
import { condition, packFlags, unpackArithmetic } from "./flags.js";
import type { Handler } from "./instruction.js";
import { effectiveAddress, load16, load32, load64, load8, load, store } from "./memory.js";
import { get, put, putAny, source, type Sized } from "./operand.js";
import { Access, faultStatus } from "./port.js";

const AH = 1;

/** Register or immediate to register (or Temp). */
export const mov: Sized = {
  narrow: (c, i) => {
    put(c, i.size, i.dst, source(c, i));
    return 0;
  },
  word: (c, i) => {
    c.s[i.dst] = i.imm ? i.immLo : c.s[i.src]!;
    c.s[i.dst + 1] = 0;
    return 0;
  },
  quad: (c, i) => {
    const s = c.s;
    s[i.dst] = i.imm ? i.immLo : s[i.src]!;
    s[i.dst + 1] = i.imm ? i.immHi : s[i.src + 1]!;
    return 0;
  },
};

/** Memory to register, 8 and 4 bytes, without the detour over `op`. */
export const movLoad64: Handler = (c, i) => {
  effectiveAddress(c, i);
  const status = load64(c);
  if (status !== 0) return status;
  const s = c.s;
  s[i.dst] = s[Slot.Temp]!;
  s[i.dst + 1] = s[Slot.Temp + 1]!;
  return 0;
};
/** As {@link movLoad64}, 4 bytes, zero-extended. */
export const movLoad32: Handler = (c, i) => {
  effectiveAddress(c, i);
  const status = load32(c);
  if (status !== 0) return status;
  c.s[i.dst] = c.s[Slot.Temp]!;
  c.s[i.dst + 1] = 0;
  return 0;
};

/** Register or immediate to memory. */
export const movStore64: Handler = (c, i) => {
  effectiveAddress(c, i);
  const s = c.s;
  return store(c, 8, i.imm ? i.immLo : s[i.src]!, i.imm ? i.immHi : s[i.src + 1]!, Access.Write);
};
/** As {@link movStore64}, 4 bytes. */
export const movStore32: Handler = (c, i) => {
  effectiveAddress(c, i);
  return store(c, 4, i.imm ? i.immLo : c.s[i.src]!, 0, Access.Write);
};
/** As {@link movStore64}, 2 bytes. */
export const movStore16: Handler = (c, i) => {
  effectiveAddress(c, i);
  return store(c, 2, i.imm ? i.immLo : c.u16[i.src]!, 0, Access.Write);
};
/** As {@link movStore64}, 1 byte. */
export const movStore8: Handler = (c, i) => {
  effectiveAddress(c, i);
  return store(c, 1, i.imm ? i.immLo : c.u8[i.src]!, 0, Access.Write);
};

/** MOVZX and MOVSX: `memory` is the source's size, `size` the destination's. */
export const movzx: Handler = (c, i) => {
  putAny(c, i.size, i.dst, get(c, i.memory, i.src), 0);
  return 0;
};
/** Sign extension; see {@link movzx}. */
export const movsx: Handler = (c, i) => {
  const up = 32 - 8 * i.memory;
  const value = (get(c, i.memory, i.src) << up) >> up;
  putAny(c, i.size, i.dst, value, value >> 31);
  return 0;
};
/** MOVZX of a byte or 16 bits of memory into 4 bytes (or 8: the high half is zero either way). */
export const movzxLoad8: Handler = (c, i) => {
  effectiveAddress(c, i);
  const status = load8(c);
  if (status !== 0) return status;
  c.s[i.dst] = c.s[Slot.Temp]!;
  c.s[i.dst + 1] = 0;
  return 0;
};
/** As {@link movzxLoad8}, from 16 bits. */
export const movzxLoad16: Handler = (c, i) => {
  effectiveAddress(c, i);
  const status = load16(c);
  if (status !== 0) return status;
  c.s[i.dst] = c.s[Slot.Temp]!;
  c.s[i.dst + 1] = 0;
  return 0;
};

/** LEA: no segment base, cut to the operand size. */
export const lea: Handler = (c, i) => {
  effectiveAddress(c, i);
  putAny(c, i.size, i.dst, c.s[Slot.Ea]!, c.s[Slot.Ea + 1]!);
  return 0;
};

/** XCHG: `src` and `dst`, either of which may be Temp. */
export const xchg: Sized = {
  narrow: (c, i) => {
    const a = get(c, i.size, i.dst);
    put(c, i.size, i.dst, get(c, i.size, i.src));
    put(c, i.size, i.src, a);
    return 0;
  },
  quad: (c, i) => {
    const s = c.s;
    const lo = s[i.dst]!,
      hi = s[i.dst + 1]!;
    s[i.dst] = s[i.src]!;
    s[i.dst + 1] = s[i.src + 1]!;
    s[i.src] = lo;
    s[i.src + 1] = hi;
    return 0;
  },
};

/** CMOVcc: a 4-byte one clears the high half even when the condition fails. */
export const cmov: Handler = (c, i) => {
  const s = c.s;
  if (!condition(s, i.cc)) {
    if (i.size === 4) s[i.dst + 1] = 0;
    return 0;
  }
  if (i.size === 8) {
    s[i.dst] = s[i.src]!;
    s[i.dst + 1] = s[i.src + 1]!;
  } else put(c, i.size, i.dst, get(c, i.size, i.src));
  return 0;
};

/** 1 or 0 into a byte, by condition. */
export const setcc: Handler = (c, i) => {
  c.u8[i.dst] = condition(c.s, i.cc) ? 1 : 0;
  return 0;
};

/**
 * CMPXCHG: accumulator against `dst`; equal, `src` goes there, else `dst` goes to the accumulator. The caller stores
 * `dst` either way, as hardware does. Flags as CMP.
 */
export const cmpxchg: Sized = {
  narrow: (c, i) => {
    const held = get(c, i.size, i.dst);
    compare(c.s, get(c, i.size, 0), held, i.shift);
    if (c.s[Slot.Fz] === 0) put(c, i.size, i.dst, get(c, i.size, i.src));
    else put(c, i.size, 0, held);
    return 0;
  },
  quad: (c, i) => {
    const s = c.s;
    compare64(s, s[Slot.Rax]!, s[Slot.Rax + 1]!, s[i.dst]!, s[i.dst + 1]!);
    const to = s[Slot.Fz] === 0 ? i.dst : Slot.Rax;
    const from = s[Slot.Fz] === 0 ? i.src : i.dst;
    s[to] = s[from]!;
    s[to + 1] = s[from + 1]!;
    return 0;
  },
};

/** CMPXCHG8B and CMPXCHG16B by the memory operand's size; only ZF changes. 16 bytes must be aligned. */
export const cmpxchgPair: Handler = (c, i) => {
  const s = c.s;
  const half = i.memory >> 1;
  effectiveAddress(c, i);
  const lo = s[Slot.Ea]!,
    hi = s[Slot.Ea + 1]!;
  if (half === 8 && (lo & 15) !== 0) return faultStatus(13);
  let status = load(c, half, i.access);
  if (status !== 0) return status;
  const firstLo = s[Slot.Temp]!,
    firstHi = s[Slot.Temp + 1]!;
  const at = (offset: number): void => {
    s[Slot.Ea] = lo + offset;
    s[Slot.Ea + 1] = hi + (s[Slot.Ea]! >>> 0 < lo >>> 0 ? 1 : 0);
  };
  at(half);
  status = load(c, half, i.access);
  if (status !== 0) return status;
  const equal =
    half === 8
      ? firstLo === s[Slot.Rax] &&
        firstHi === s[Slot.Rax + 1] &&
        s[Slot.Temp] === s[Slot.Rdx] &&
        s[Slot.Temp + 1] === s[Slot.Rdx + 1]
      : firstLo === s[Slot.Rax] && s[Slot.Temp] === s[Slot.Rdx];
  const flags = packFlags(s);
  unpackArithmetic(s, equal ? flags | 0x40 : flags & ~0x40);
  const secondLo = s[Slot.Temp]!,
    secondHi = s[Slot.Temp + 1]!;
  // Both halves were loaded for writing, so neither store can fault.
  store(c, half, equal ? s[Slot.Rcx]! : secondLo, equal ? s[Slot.Rcx + 1]! : secondHi, i.access);
  at(0);
  store(c, half, equal ? s[Slot.Rbx]! : firstLo, equal ? s[Slot.Rbx + 1]! : firstHi, i.access);
  if (!equal) {
    putAny(c, half, Slot.Rax, firstLo, firstHi);
    putAny(c, half, Slot.Rdx, secondLo, secondHi);
  }
  return 0;
};

/** CBW, CWDE, CDQE: accumulator sign-extended to `size`. */
export const extendAccumulator: Handler = (c, i) => {
  if (i.size === 2) c.u16[0] = (c.u8[0]! << 24) >> 24;
  else if (i.size === 4) put(c, 4, 0, (c.u16[0]! << 16) >> 16);
  else c.s[1] = c.s[0]! >> 31;
  return 0;
};
/** CWD, CDQ, CQO: the accumulator's sign into DX, EDX, RDX. */
export const spreadSign: Handler = (c, i) => {
  const sign = (i.size === 8 ? c.s[1]! : i.size === 4 ? c.s[0]! : c.u16[0]! << 16) >> 31;
  if (i.size === 2) c.u16[Slot.Rdx * 2] = sign;
  else putAny(c, i.size, Slot.Rdx, sign, sign);
  return 0;
};

/** AH from SF, ZF, AF, PF, CF and the fixed bit. */
export const lahf: Handler = (c) => {
  c.u8[AH] = packFlags(c.s);
  return 0;
};
/** SF, ZF, AF, PF, CF from AH; OF stays. */
export const sahf: Handler = (c) => {
  unpackArithmetic(c.s, (packFlags(c.s) & 0x800) | (c.u8[AH]! & 0xd5));
  return 0;
};

/** XLATB: AL from the table at RBX + AL. The decoder gives the base; the index is added here. */
export const xlat: Handler = (c, i) => {
  effectiveAddress(c, i);
  const before = c.s[Slot.Ea]!;
  c.s[Slot.Ea] = before + c.u8[0]!;
  if (c.s[Slot.Ea]! >>> 0 < before >>> 0) c.s[Slot.Ea + 1]!++;
  if (i.addressSize === 4) c.s[Slot.Ea + 1] = 0;
  const status = load8(c);
  if (status === 0) c.u8[0] = c.s[Slot.Temp]!;
  return status;
};
