/**
 * Arithmetic of the eBPF machine on pairs of 32-bit halves, as the interpreter executes it. Allocates nothing, but for
 * the 64-bit divisions whose operands do not fit 53 bits (those go through bigint).
 *
 * Results go to the caller's register file: `lo[dst]`, `hi[dst]`, both Int32.
 *
 * @source RFC 9669, "Arithmetic instructions"; division by zero gives 0, modulo by zero the dividend, and shift
 * counts are taken modulo the width.
 */

const ADD = 0x00,
  SUB = 0x10,
  MUL = 0x20,
  DIV = 0x30,
  OR = 0x40,
  AND = 0x50,
  LSH = 0x60,
  RSH = 0x70,
  NEG = 0x80,
  MOD = 0x90,
  XOR = 0xa0,
  MOV = 0xb0,
  ARSH = 0xc0;
const TWO32 = 4294967296;

/**
 * `dst = dst op (bHi:bLo)`, 64 bits.
 * @param op upper four bits of the opcode
 * @param offset the instruction's offset field (signed division, sign extension)
 */
export function alu64(
  lo: Int32Array,
  hi: Int32Array,
  dst: number,
  op: number,
  offset: number,
  bLo: number,
  bHi: number,
): void {
  const aLo = lo[dst]!,
    aHi = hi[dst]!;
  switch (op) {
    case ADD: {
      const low = (aLo >>> 0) + (bLo >>> 0);
      lo[dst] = low | 0;
      hi[dst] = (aHi + bHi + (low >= TWO32 ? 1 : 0)) | 0;
      return;
    }
    case SUB:
      lo[dst] = (aLo - bLo) | 0;
      hi[dst] = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
      return;
    case MUL:
      multiply(lo, hi, dst, aLo, aHi, bLo, bHi);
      return;
    case DIV:
    case MOD:
      divide(lo, hi, dst, op === MOD, offset === 1, aLo, aHi, bLo, bHi);
      return;
    case OR:
      lo[dst] = aLo | bLo;
      hi[dst] = aHi | bHi;
      return;
    case AND:
      lo[dst] = aLo & bLo;
      hi[dst] = aHi & bHi;
      return;
    case XOR:
      lo[dst] = aLo ^ bLo;
      hi[dst] = aHi ^ bHi;
      return;
    case LSH: {
      const n = bLo & 63;
      if (n === 0) return;
      if (n >= 32) {
        hi[dst] = aLo << (n - 32);
        lo[dst] = 0;
        return;
      }
      hi[dst] = (aHi << n) | (aLo >>> (32 - n));
      lo[dst] = aLo << n;
      return;
    }
    case RSH: {
      const n = bLo & 63;
      if (n === 0) return;
      if (n >= 32) {
        lo[dst] = aHi >>> (n - 32);
        hi[dst] = 0;
        return;
      }
      lo[dst] = (aLo >>> n) | (aHi << (32 - n));
      hi[dst] = aHi >>> n;
      return;
    }
    case ARSH: {
      const n = bLo & 63;
      if (n === 0) return;
      if (n >= 32) {
        lo[dst] = aHi >> (n - 32);
        hi[dst] = aHi >> 31;
        return;
      }
      lo[dst] = (aLo >>> n) | (aHi << (32 - n));
      hi[dst] = aHi >> n;
      return;
    }
    case NEG:
      lo[dst] = -aLo | 0;
      hi[dst] = (aLo === 0 ? -aHi : ~aHi) | 0;
      return;
    case MOV:
      if (offset === 0) {
        lo[dst] = bLo;
        hi[dst] = bHi;
        return;
      }
      lo[dst] = extend(bLo, offset);
      hi[dst] = lo[dst]! >> 31;
  }
}

/** `dst = (u32)(dst op b)`: the upper half becomes zero. Parameters as {@link alu64}. */
export function alu32(lo: Int32Array, hi: Int32Array, dst: number, op: number, offset: number, b: number): void {
  const a = lo[dst]!;
  hi[dst] = 0;
  switch (op) {
    case ADD:
      lo[dst] = a + b;
      return;
    case SUB:
      lo[dst] = a - b;
      return;
    case MUL:
      lo[dst] = Math.imul(a, b);
      return;
    // The sign of zero and -2^31 / -1 both disappear in the truncation to Int32.
    case DIV:
      lo[dst] = b === 0 ? 0 : offset === 1 ? (a / b) | 0 : ((a >>> 0) / (b >>> 0)) >>> 0;
      return;
    case MOD:
      lo[dst] = b === 0 ? a : offset === 1 ? a % b : (a >>> 0) % (b >>> 0);
      return;
    case OR:
      lo[dst] = a | b;
      return;
    case AND:
      lo[dst] = a & b;
      return;
    case XOR:
      lo[dst] = a ^ b;
      return;
    case LSH:
      lo[dst] = a << b;
      return;
    case RSH:
      lo[dst] = a >>> b;
      return;
    case ARSH:
      lo[dst] = a >> b;
      return;
    case NEG:
      lo[dst] = -a;
      return;
    case MOV:
      lo[dst] = offset === 0 ? b : extend(b, offset);
      return;
  }
}

/** Low `bits` (8, 16 or 32) of a half, sign extended to 32. */
const extend = (half: number, bits: number): number =>
  bits === 8 ? (half << 24) >> 24 : bits === 16 ? (half << 16) >> 16 : half | 0;

function multiply(
  lo: Int32Array,
  hi: Int32Array,
  dst: number,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): void {
  // 32 x 32 -> 64 by 16-bit pieces: each partial product and sum stays below 2^53.
  const a0 = aLo & 0xffff,
    a1 = aLo >>> 16,
    b0 = bLo & 0xffff,
    b1 = bLo >>> 16;
  const low = a0 * b0;
  const middle = a1 * b0 + (low >>> 16);
  const other = a0 * b1 + (middle % 65536);
  lo[dst] = ((other % 65536) * 65536 + (low & 0xffff)) | 0;
  hi[dst] =
    (a1 * b1 + Math.floor(middle / 65536) + Math.floor(other / 65536) + Math.imul(aLo, bHi) + Math.imul(aHi, bLo)) | 0;
}

function divide(
  lo: Int32Array,
  hi: Int32Array,
  dst: number,
  modulo: boolean,
  signed: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): void {
  if ((bLo | bHi) === 0) {
    if (!modulo) {
      lo[dst] = 0;
      hi[dst] = 0;
    }
    return;
  }
  if (aHi === 0 && bHi === 0) {
    lo[dst] = modulo ? (aLo >>> 0) % (bLo >>> 0) : ((aLo >>> 0) / (bLo >>> 0)) >>> 0;
    hi[dst] = 0;
    return;
  }
  let a = (BigInt(aHi >>> 0) << 32n) | BigInt(aLo >>> 0),
    b = (BigInt(bHi >>> 0) << 32n) | BigInt(bLo >>> 0);
  if (signed) {
    a = BigInt.asIntN(64, a);
    b = BigInt.asIntN(64, b);
  }
  const result = modulo ? a % b : a / b;
  lo[dst] = Number(BigInt.asIntN(32, result));
  hi[dst] = Number(BigInt.asIntN(32, result >> 32n));
}

/** Byte order: keeps the low `bits` (16, 32, 64), reversed when `swap`; the rest becomes zero. */
export function byteOrder(lo: Int32Array, hi: Int32Array, dst: number, bits: number, swap: boolean): void {
  const low = lo[dst]!,
    high = hi[dst]!;
  if (bits === 16) {
    lo[dst] = swap ? ((low & 0xff) << 8) | ((low >>> 8) & 0xff) : low & 0xffff;
    hi[dst] = 0;
  } else if (bits === 32) {
    lo[dst] = swap ? reverse(low) : low;
    hi[dst] = 0;
  } else if (swap) {
    lo[dst] = reverse(high);
    hi[dst] = reverse(low);
  }
}
const reverse = (half: number): number =>
  (half << 24) | ((half & 0xff00) << 8) | ((half >>> 8) & 0xff00) | (half >>> 24);

/** Whether a conditional jump is taken. @param op upper four bits of the opcode */
export function jumps(op: number, aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  switch (op) {
    case 0x10:
      return aLo === bLo && aHi === bHi;
    case 0x50:
      return aLo !== bLo || aHi !== bHi;
    case 0x40:
      return ((aLo & bLo) | (aHi & bHi)) !== 0;
    case 0x20:
      return aHi === bHi ? aLo >>> 0 > bLo >>> 0 : aHi >>> 0 > bHi >>> 0;
    case 0x30:
      return aHi === bHi ? aLo >>> 0 >= bLo >>> 0 : aHi >>> 0 > bHi >>> 0;
    case 0xa0:
      return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi >>> 0 < bHi >>> 0;
    case 0xb0:
      return aHi === bHi ? aLo >>> 0 <= bLo >>> 0 : aHi >>> 0 < bHi >>> 0;
    case 0x60:
      return aHi === bHi ? aLo >>> 0 > bLo >>> 0 : aHi > bHi;
    case 0x70:
      return aHi === bHi ? aLo >>> 0 >= bLo >>> 0 : aHi > bHi;
    case 0xc0:
      return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi < bHi;
    default:
      return aHi === bHi ? aLo >>> 0 <= bLo >>> 0 : aHi < bHi;
  }
}
