/**
 * Which registers can still be read at a slot, and of which the exact number can still decide something (reach an
 * address, a size, a condition). Two states may be called alike when they differ only in the rest.
 *
 * Both are backward analyses, computed once; they err towards "live" and "exact". The kernel finds the same out by
 * tracking marks back along each explored path; this way is simpler and loses some precision at calls.
 *
 *   exact:  bits 0 .. 10 registers | bits 11 .. 74 stack slots of the function's own frame, fp-8 first
 */
import type { Code } from "../isa/code.js";
import { bytesOf, CALL, CallKind, EXIT, isAlu, isConditional, JA, JA_LONG, LD_IMM64 } from "../isa/opcode.js";
import { helperPrototype } from "../helpers/prototypes.js";

export interface Liveness {
  /** Bit r: register r may still be read. */
  readonly live: Uint16Array;
  /** Bit r: the number in register r may still decide something. */
  readonly exact: Uint16Array;
  /** The same of stack slots fp-8 .. fp-256 and fp-264 .. fp-512. */
  readonly exactNear: Int32Array;
  readonly exactFar: Int32Array;
}

const ALL_SLOTS = ((1n << 64n) - 1n) << 11n,
  ALL = ALL_SLOTS | 0x7ffn;

/** @param exactResult whether r0 of the whole program is checked at its end */
export function analyseLiveness(code: Code, exactResult: boolean, functionOf: (slot: number) => number): Liveness {
  const live = new Uint16Array(code.length),
    exact: bigint[] = Array.from({ length: code.length }, () => 0n);
  for (let changed = true; changed;) {
    changed = false;
    for (let i = code.length - 1; i >= 0; i--) {
      let after = 0,
        exactAfter = 0n;
      for (const next of successors(code, i)) {
        after |= live[next] ?? 0;
        exactAfter |= exact[next] ?? 0n;
      }
      const before = liveBefore(code, i, after),
        exactBefore = exactBits(code, i, exactAfter, exactResult || functionOf(i) !== 0);
      if (before !== live[i] || exactBefore !== exact[i]) {
        live[i] = before;
        exact[i] = exactBefore;
        changed = true;
      }
    }
  }
  const half = (from: bigint): Int32Array => Int32Array.from(exact, (bits) => Number(BigInt.asIntN(32, bits >> from)));
  return {
    live,
    exact: Uint16Array.from(exact, (bits) => Number(bits & 0x7ffn)),
    exactNear: half(11n),
    exactFar: half(43n),
  };
}

function successors(code: Code, i: number): number[] {
  const op = code.opcode[i]!;
  if (op === EXIT) return [];
  if (op === JA) return [i + 1 + code.offset[i]!];
  if (op === JA_LONG) return [i + 1 + code.imm[i]!];
  if (op === LD_IMM64) return [i + 2];
  return isConditional(op) ? [i + 1, i + 1 + code.offset[i]!] : [i + 1];
}

function liveBefore(code: Code, i: number, after: number): number {
  const op = code.opcode[i]!,
    dst = 1 << code.dst[i]!,
    src = 1 << code.src[i]!;
  if (isAlu(op)) {
    const moves = (op & 0xf0) === 0xb0,
      fromRegister = (op & 8) !== 0 && (op & 0xf0) !== 0xd0;
    return (moves ? after & ~dst : after | dst) | (fromRegister ? src : 0);
  }
  switch (op & 7) {
    case 0:
      return op === LD_IMM64 ? after & ~dst : (after & ~0x3f) | 0x40 | ((op & 0xe0) === 0x40 ? src : 0);
    case 1:
      return (after & ~dst) | src;
    case 2:
      return after | dst;
    case 3:
      return after | dst | src | ((op & 0xe0) === 0xc0 && code.imm[i] === 0xf1 ? 1 : 0);
    default:
      if (op === EXIT) return 1;
      if (op === CALL) {
        const count = code.src[i] === CallKind.Helper ? (helperPrototype(code.imm[i]!)?.arguments.length ?? 5) : 5;
        return (after & ~0x3f) | (((1 << count) - 1) << 1);
      }
      return isConditional(op) ? after | dst | ((op & 8) !== 0 ? src : 0) : after;
  }
}

function exactBits(code: Code, i: number, after: bigint, exactExit: boolean): bigint {
  const op = code.opcode[i]!,
    dst = 1n << BigInt(code.dst[i]!),
    src = 1n << BigInt(code.src[i]!);
  const slots = (base: number): bigint => {
    const low = code.offset[i]!,
      high = low + bytesOf(op);
    if (base !== 10 || low < -512 || high > 0) return ALL_SLOTS;
    return (1n << BigInt(11 + Math.floor((-low - 1) / 8))) | (1n << BigInt(11 + Math.floor(-high / 8)));
  };
  if (isAlu(op)) {
    if ((after & dst) === 0n) return after;
    const fromRegister = (op & 8) !== 0 && (op & 0xf0) !== 0xd0;
    return ((op & 0xf0) === 0xb0 ? after & ~dst : after) | (fromRegister ? src : 0n);
  }
  switch (op & 7) {
    case 0:
      return op === LD_IMM64 ? after & ~dst : (after & ~0x3fn) | (1n << 6n) | src;
    case 1:
      return (after & ~dst) | src | ((after & dst) !== 0n ? slots(code.src[i]!) : 0n);
    case 2:
      return after | dst;
    case 3: {
      const touched = slots(code.dst[i]!);
      if ((op & 0xe0) === 0xc0) return after | dst | src | touched | 1n;
      const needed = (after & touched) !== 0n;
      const whole = code.dst[i] === 10 && bytesOf(op) === 8 && code.offset[i]! % 8 === 0;
      return (whole ? after & ~touched : after) | dst | (needed ? src : 0n);
    }
    default:
      if (op === EXIT) return exactExit ? 1n : 0n;
      if (op === CALL) return code.src[i] === CallKind.Helper ? (after & ~0x3fn) | 0x3en : ALL;
      return isConditional(op) ? after | dst | ((op & 8) !== 0 ? src : 0n) : after;
  }
}
