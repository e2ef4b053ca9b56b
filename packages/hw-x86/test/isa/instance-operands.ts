/**
 * Operands of random instances: registers that may be mixed, memory operands in every addressing form, and the state
 * that makes them point somewhere.
 */
import type { Random } from "./random.js";

/** Layout shared with native/runner.c. */
export const DATA = 0x2000_1000n;
export const SEALED = 0x2000_2000n;
export const CODE = 0x2001_0000n;

/** Machine state before one instance. */
export interface State {
  registers: bigint[];
  flags: bigint;
  pokeAt: bigint;
  /** Up to 32 bytes, little endian, as four words. */
  poke: bigint[];
  pokeBytes: number;
}

/** One instruction text and how to make states for it. */
export interface Shape {
  readonly text: string;
  /** Mnemonic as the flag table knows it. */
  readonly mnemonic: string;
  /** Operand size, bits. */
  readonly bits: number;
  /** Shift count when it is a constant; CL when undefined. */
  readonly count?: number;
  /** Bit of /proc/cpuinfo's flags the host needs. */
  readonly feature?: string;
  /** For RIP-relative operands: chooses the code address from the instruction's length. */
  readonly codeAt?: (length: number) => bigint;
  /** Adjusts a random state: address registers, counts, memory. */
  readonly prepare: (state: State, r: Random) => void;
}

/** Operand sizes, bits. */
export const SIZES = [8, 16, 32, 64] as const;
export const WIDE = [16, 32, 64] as const;
const PTR: Readonly<Record<number, string>> = {
  8: "byte ptr",
  16: "word ptr",
  32: "dword ptr",
  64: "qword ptr",
  128: "xmmword ptr",
};
export const N8 = [
  "al",
  "cl",
  "dl",
  "bl",
  "spl",
  "bpl",
  "sil",
  "dil",
  "r8b",
  "r9b",
  "r10b",
  "r11b",
  "r12b",
  "r13b",
  "r14b",
  "r15b",
];
const N16 = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
const HIGH = ["ah", "ch", "dh", "bh"];
/** Conditions by code. */
export const CONDITIONS = ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"];

/** A general register's name. */
export function name(n: number, bits: number): string {
  if (bits === 8) return N8[n]!;
  if (n < 8) return bits === 16 ? N16[n]! : `${bits === 32 ? "e" : "r"}${N16[n]!}`;
  return `r${n}${bits === 16 ? "w" : bits === 32 ? "d" : ""}`;
}

/** Registers an instruction may mix: without a REX prefix the high byte registers exist and nothing above RDI does. */
export class Registers {
  readonly legacy: boolean;
  constructor(
    private readonly r: Random,
    bits: number,
  ) {
    this.legacy = bits === 8 && r.chance(40);
  }
  number(): number {
    return this.legacy ? this.r.below(8) : this.r.below(16);
  }
  operand(bits: number): string {
    if (bits !== 8) return name(this.number(), bits);
    if (!this.legacy) return N8[this.r.below(16)]!;
    return this.r.chance(50) ? this.r.pick(HIGH) : N8[this.r.below(4)]!;
  }
}

/** Modulo 2^64. */
export const u64 = (x: bigint): bigint => BigInt.asUintN(64, x);

/**
 * Where a memory operand points: mostly inside the page, sometimes across its ends, into the sealed page, nowhere, or
 * non-canonical.
 */
export function address(r: Random, bytes: number, odd: boolean): bigint {
  const kind = odd ? r.below(30) : 20;
  if (kind === 0) return DATA + 4096n - BigInt(r.below(bytes + 1));
  if (kind === 1) return SEALED + BigInt(r.below(4000));
  if (kind === 2) return SEALED + 4096n - BigInt(r.below(bytes + 1));
  if (kind === 3)
    return r.chance(50)
      ? DATA - BigInt(1 + r.below(16))
      : 0x8000_0001_0000n + BigInt(r.below(4096)) * (r.chance(50) ? 1n : 0x1_0000_0000n);
  return DATA + 64n + BigInt(r.below(3900));
}

/** Text of an operand and what a state needs for it. */
export interface Operand {
  readonly text: string;
  readonly prepare: (state: State, r: Random) => void;
  readonly codeAt?: (length: number) => bigint;
}

/**
 * A memory operand in a random addressing form.
 * @param odd may fault
 * @param skew bytes to add to the address asked for (bit strings)
 */
export function memory(r: Random, bits: number, registers: Registers, odd = true, label = PTR[bits]!): Operand {
  const bytes = bits / 8;
  const poke = (state: State, at: bigint, s: Random): void => {
    if (at < DATA || at + BigInt(bytes) > DATA + 4096n) return;
    state.pokeAt = at;
    state.pokeBytes = bytes;
    state.poke = [s.value(), s.value(), 0n, 0n];
  };
  const form = r.below(10);
  const displacement = r.chance(50) ? BigInt(r.below(256) - 128) : r.chance(50) ? 0n : BigInt(r.word() | 0);
  const sign = (d: bigint): string => (d < 0n ? `- ${-d}` : `+ ${d}`);
  if (form === 0) {
    const target = DATA + 64n + BigInt(r.below(3900));
    const near = CODE + 32n + BigInt(r.below(8000));
    const d = target - near;
    return {
      text: `${label} [rip ${sign(d)}]`,
      prepare: (state, s) => poke(state, target, s),
      codeAt: (length) => target - d - BigInt(length),
    };
  }
  if (form === 1) {
    const target = DATA + 64n + BigInt(r.below(3900));
    return { text: `${label} ds:[${target}]`, prepare: (state, s) => poke(state, target, s) };
  }
  const base = registers.number();
  let index = registers.number();
  while (index === 4 || index === base) index = registers.number();
  const scale = r.pick([1, 2, 4, 8]);
  const withIndex = form >= 6;
  const segment = form === 2 || form === 6;
  const narrow = form === 3 || form === 7;
  const size = narrow ? 32 : 64;
  const small = form === 9;
  const inner = withIndex
    ? small
      ? `${name(index, size)}*${scale} ${sign(displacement)}`
      : `${name(base, size)} + ${name(index, size)}*${scale} ${sign(displacement)}`
    : `${name(base, size)} ${sign(displacement)}`;
  return {
    text: `${label} ${segment ? "gs:" : ""}[${inner}]`,
    prepare: (state, s) => {
      const want = narrow ? address(s, bytes, false) : address(s, bytes, odd);
      let rest = want - displacement - (segment ? DATA : 0n);
      if (withIndex && small) {
        // No base: the address must be a multiple of the scale away from the displacement.
        rest -= ((rest % BigInt(scale)) + BigInt(scale)) % BigInt(scale);
        state.registers[index] = u64(narrow ? BigInt.asUintN(32, rest) / BigInt(scale) : rest / BigInt(scale));
      } else if (withIndex) {
        state.registers[index] = s.chance(50) ? BigInt(s.below(64)) : u64(BigInt(s.below(4000) - 2000));
        rest -= BigInt.asIntN(64, state.registers[index]!) * BigInt(scale);
        state.registers[base] = u64(rest);
      } else state.registers[base] = u64(rest);
      if (narrow) {
        // What lies above the low 32 bits must not matter.
        if (!small || !withIndex)
          state.registers[base] = u64(BigInt.asUintN(32, state.registers[base]!) | (BigInt(s.word()) << 32n));
        if (withIndex)
          state.registers[index] = u64(BigInt.asUintN(32, state.registers[index]!) | (BigInt(s.word()) << 32n));
      }
      const at = u64(
        displacement +
          (segment ? DATA : 0n) +
          (withIndex && small ? 0n : state.registers[base]!) +
          (withIndex ? state.registers[index]! * BigInt(scale) : 0n),
      );
      poke(state, narrow ? BigInt.asUintN(32, at) : at, s);
    },
  };
}
