/// <reference types="node" />
/**
 * Cases for the instruction set by group, each with the result that RFC 9669 gives, run by the interpreter and,
 * compiled, by a CPU of the model and a real one. The groups are those of the public suite
 * (Alan-Jowett/bpf_conformance); the cases are ours.
 *
 * Out of scope: callx (call by register, not in the RFC), classic packet loads (LD_ABS, LD_IND: deprecated by the RFC),
 * calls by BTF id, 64-bit loads of platform variables and map indices (the loader resolves those of maps).
 */
import { expect, test } from "vitest";
import { Interpreter, Outcome } from "../src/interpreter.js";
import { assemble } from "../src/isa/assemble.js";
import { CALL, CallKind } from "../src/isa/opcode.js";
import { compile } from "../src/jit/compile.js";
import { RegionMemory } from "../src/memory.js";
import { CODE as MODEL_CODE, FlatCpu } from "./support/flat-cpu.js";
import { ARENA, CODE, haveNative, modelHelper, nativeHelper, type NativeCase, runNative } from "./support/native.js";

/** Program before `exit`, r0, and optionally memory at r1. */
type Case = readonly [text: string, r0: bigint, memory?: string];
const M = 0xffff_ffff_ffff_ffffn;
const neg = (n: bigint): bigint => BigInt.asUintN(64, -n);

const GROUPS: Readonly<Record<string, readonly Case[]>> = {
  "alu64 arithmetic": [
    ["r0 = 0; r0 += -1", M],
    ["r0 = -1; r0 += 1", 0n],
    ["r0 = 0xffffffff ll; r0 += 1", 0x1_0000_0000n],
    ["r0 = 1; r2 = 0x7fffffffffffffff ll; r0 += r2", 1n << 63n],
    ["r0 = 0; r0 -= 1", M],
    ["r0 = 0x100000000 ll; r0 -= 1", 0xffff_ffffn],
    ["r0 = 5; r2 = 7; r0 -= r2", neg(2n)],
    ["r0 = 0x100000001 ll; r0 *= 3", 0x3_0000_0003n],
    ["r0 = -1; r0 *= -1", 1n],
    ["r0 = 0x123456789abcdef ll; r2 = 0xfedcba9876543210 ll; r0 *= r2", 0x2236_d88f_e561_8cf0n],
    ["r0 = 100; r0 /= 7", 14n],
    ["r0 = -1; r0 /= 2", (1n << 63n) - 1n],
    ["r0 = -1; r2 = -1; r0 /= r2", 1n],
    ["r0 = 9; r2 = 0; r0 /= r2", 0n],
    ["r0 = 100; r0 %= 7", 2n],
    ["r0 = -1; r0 %= 10", 5n],
    ["r0 = 0x123456789 ll; r2 = 0; r0 %= r2", 0x1_2345_6789n],
    ["r0 = 3; r0 = -r0", neg(3n)],
    ["r0 = 0x8000000000000000 ll; r0 = -r0", 1n << 63n],
    ["r0 = 0; r0 = -r0", 0n],
    ["r0 = 0xfffffffe ll; r0 /= -2", 0n],
    ["r0 = -4; r0 /= -2", 0n],
    ["r0 = -2; r0 /= -4", 1n],
  ],
  "alu32 arithmetic": [
    ["r0 = -1; w0 += 1", 0n],
    ["r0 = 0x1ffffffff ll; w0 += 0", 0xffff_ffffn],
    ["r0 = 0; w0 -= 1", 0xffff_ffffn],
    ["r0 = 0x700000005 ll; w0 -= 3", 2n],
    ["w0 = 0x10000; w0 *= 0x10000", 0n],
    ["w0 = -3; w0 *= 5", 0xffff_fff1n],
    ["w0 = -1; w0 /= 16", 0x0fff_ffffn],
    ["r0 = 0x100000008 ll; w0 /= 2", 4n],
    ["r0 = 0x100000008 ll; r2 = 0x500000000 ll; w0 /= w2", 0n],
    ["r0 = 0x10000000a ll; r2 = 0x500000000 ll; w0 %= w2", 10n],
    ["w0 = -1; w0 %= 100", 95n],
    ["r0 = 0x500000001 ll; w0 = -w0", 0xffff_ffffn],
    ["w0 = 0x80000000; w0 = -w0", 0x8000_0000n],
    ["r0 = -8; w0 /= -2", 0n],
    ["r0 = -1; w0 /= -2", 1n],
  ],
  "alu64 bits": [
    ["r0 = 0xf0; r0 |= 0x0f", 0xffn],
    ["r0 = 0; r0 |= -2", M - 1n],
    ["r0 = -1; r0 &= 0xff", 0xffn],
    ["r0 = -1; r0 &= -16", M - 15n],
    ["r0 = 0x0ff0f00ff0f0ff00 ll; r2 = 0xffffffff00000000 ll; r0 &= r2", 0x0ff0_f00f_0000_0000n],
    ["r0 = -1; r0 ^= -1", 0n],
    ["r0 = 0x5555; r2 = 0x3333; r0 ^= r2", 0x6666n],
    ["r0 = 0; r0 = -5", neg(5n)],
    ["r2 = 0x8000000000000001 ll; r0 = r2", (1n << 63n) + 1n],
  ],
  "alu32 bits": [
    ["r0 = -1; w0 |= 0", 0xffff_ffffn],
    ["r0 = 0xf00000000 ll; w0 |= -2", 0xffff_fffen],
    ["r0 = -1; w0 &= -2", 0xffff_fffen],
    ["r0 = 0x1ffffffff ll; w0 ^= -1", 0n],
    ["r0 = -1; w0 = 7", 7n],
    ["w0 = -1", 0xffff_ffffn],
    ["r2 = -1; w0 = w2", 0xffff_ffffn],
  ],
  shifts: [
    ["r0 = 1; r0 <<= 63", 1n << 63n],
    ["r0 = 1; r2 = 32; r0 <<= r2", 1n << 32n],
    ["r0 = 1; r2 = 64; r0 <<= r2", 1n],
    ["r0 = 1; r2 = 65; r0 <<= r2", 2n],
    ["r0 = -1; r0 >>= 60", 15n],
    ["r0 = -1; r2 = 0; r0 >>= r2", M],
    ["r0 = -16; r0 s>>= 2", neg(4n)],
    ["r0 = 0x8000000000000000 ll; r0 s>>= 63", M],
    ["r0 = 0x7000000000000000 ll; r2 = 60; r0 s>>= r2", 7n],
    ["r0 = -1; w0 <<= 31", 0x8000_0000n],
    ["r0 = 0x100000001 ll; r2 = 32; w0 <<= w2", 1n],
    ["r0 = 0x1ffffffff ll; r2 = 33; w0 <<= w2", 0xffff_fffen],
    ["r0 = -1; w0 >>= 28", 15n],
    ["r0 = 0xf80000000 ll; w0 >>= 31", 1n],
    ["r0 = 0x80000000 ll; w0 s>>= 4", 0xf800_0000n],
    ["r0 = 0xf7fffffff ll; w0 s>>= 28", 7n],
    ["r0 = 0x180000000 ll; r2 = 32; w0 s>>= w2", 0x8000_0000n],
    ["r0 = 0x100000001 ll; w0 <<= 0", 1n],
    ["r0 = 0xf80000001 ll; w0 s>>= 0", 0x8000_0001n],
    ["r4 = 0x100000020 ll; w4 <<= w4; r0 = r4", 0x20n],
    ["r4 = 3; r0 = 8; r0 >>= r4; r0 += r4", 4n],
    ["r4 = 4; r4 <<= r4; r0 = r4", 64n],
  ],
  "byte order": [
    ["r0 = 0x1122334455667788 ll; r0 = be16 r0", 0x8877n],
    ["r0 = 0x1122334455667788 ll; r0 = be32 r0", 0x8877_6655n],
    ["r0 = 0x1122334455667788 ll; r0 = be64 r0", 0x8877_6655_4433_2211n],
    ["r0 = 0x1122334455667788 ll; r0 = le16 r0", 0x7788n],
    ["r0 = 0x1122334455667788 ll; r0 = le32 r0", 0x5566_7788n],
    ["r0 = 0x1122334455667788 ll; r0 = le64 r0", 0x1122_3344_5566_7788n],
    ["r0 = 0x1122334455667788 ll; r0 = bswap16 r0", 0x8877n],
    ["r0 = 0x1122334455667788 ll; r0 = bswap32 r0", 0x8877_6655n],
    ["r0 = 0x1122334455667788 ll; r0 = bswap64 r0", 0x8877_6655_4433_2211n],
    ["r8 = 0x8001 ll; r8 = be16 r8; r0 = r8", 0x0180n],
  ],
  "signed division": [
    ["r0 = -7; r0 s/= 2", neg(3n)],
    ["r0 = 7; r0 s/= -2", neg(3n)],
    ["r0 = -7; r2 = -2; r0 s/= r2", 3n],
    ["r0 = 0x8000000000000000 ll; r0 s/= -1", 1n << 63n],
    ["r0 = -7; r2 = 0; r0 s/= r2", 0n],
    ["r0 = -7; r0 s%= 2", M],
    ["r0 = 7; r0 s%= -4", 3n],
    ["r0 = 0x8000000000000000 ll; r2 = -1; r0 s%= r2", 0n],
    ["r0 = -7; r2 = 0; r0 s%= r2", neg(7n)],
    ["w0 = -7; w0 s/= 2", 0xffff_fffdn],
    ["w0 = 0x80000000; w0 s/= -1", 0x8000_0000n],
    ["r0 = 0xf00000007 ll; w0 s%= -4", 3n],
    ["w0 = -7; w0 s%= 4", 0xffff_fffdn],
    ["r0 = 0x1fffffff9 ll; r2 = 0; w0 s%= w2", 0xffff_fff9n],
    ["r3 = -9; r0 = 5; r3 s/= 4; r0 = r3", neg(2n)],
  ],
  "sign extending moves": [
    ["r2 = 0x80; r0 = (s8)r2", M - 0x7fn],
    ["r2 = 0x17f; r0 = (s8)r2", 0x7fn],
    ["r2 = 0x8000; r0 = (s16)r2", M - 0x7fffn],
    ["r2 = 0x80000000 ll; r0 = (s32)r2", M - 0x7fff_ffffn],
    ["r2 = 0x180; w0 = (s8)w2", 0xffff_ff80n],
    ["r2 = 0x18000; w0 = (s16)w2", 0xffff_8000n],
    ["r2 = 0x7fffffff ll; r0 = (s32)r2", 0x7fff_ffffn],
    ["r7 = 0xff; r0 = (s8)r7", M],
  ],
  "64-bit immediates": [
    ["r0 = 0x1122334455667788 ll", 0x1122_3344_5566_7788n],
    ["r0 = 0xffffffff00000000 ll", M - 0xffff_ffffn],
    ["r0 = 0x80000000 ll", 0x8000_0000n],
    ["r0 = 0 ll", 0n],
    ["r9 = 0xfeffffffffffffff ll; r0 = r9", 0xfeff_ffff_ffff_ffffn],
  ],
  loads: [
    ["r0 = *(u8 *)(r1 + 2)", 0x33n, "112233"],
    ["r0 = *(u16 *)(r1 + 1)", 0x3322n, "112233"],
    ["r0 = *(u32 *)(r1 + 0)", 0xddcc_bbaan, "aabbccdd"],
    ["r0 = *(u64 *)(r1 + 0)", 0x8877_6655_4433_2211n, "1122334455667788"],
    ["r0 = *(u64 *)(r1 + 3)", 0xffee_dd88_7766_5544n, "1122334455667788ddeeff"],
    ["r1 = *(u16 *)(r1 + 0); r0 = r1", 0x2211n, "1122"],
    ["r2 = r1; r2 += 4; r0 = *(u8 *)(r2 - 4)", 0x7fn, "7f00000000"],
    ["r8 = r1; r9 = *(u8 *)(r8 + 1); r0 = r9", 0xfen, "00fe"],
    [
      "r0 = *(u8 *)(r1 + 0); r2 = *(u8 *)(r1 + 1); r0 <<= 8; r0 |= r2; r2 = *(u8 *)(r1 + 2); r0 <<= 8; r0 |= r2",
      0x01_0203n,
      "010203",
    ],
  ],
  "sign extending loads": [
    ["r0 = *(s8 *)(r1 + 0)", M, "ff"],
    ["r0 = *(s8 *)(r1 + 0)", 0x7fn, "7f"],
    ["r0 = *(s16 *)(r1 + 0)", M - 0x7fffn, "0080"],
    ["r0 = *(s32 *)(r1 + 0)", M - 0x7fff_ffffn, "00000080"],
    ["r0 = *(s32 *)(r1 + 0)", 0x7fff_ffffn, "ffffff7f"],
  ],
  stores: [
    ["*(u8 *)(r1 + 1) = 0x1ff; r0 = *(u32 *)(r1 + 0)", 0x0000_ff11n, "11000000"],
    ["*(u16 *)(r1 + 0) = -2; r0 = *(u32 *)(r1 + 0)", 0x0000_fffen, "00000000"],
    ["*(u32 *)(r1 + 0) = -2; r0 = *(u64 *)(r1 + 0)", 0x0000_0000_ffff_fffen, "0000000000000000"],
    ["*(u64 *)(r1 + 0) = -2; r0 = *(u64 *)(r1 + 0)", M - 1n, "0000000000000000"],
    ["r2 = 0x1122334455667788 ll; *(u8 *)(r1 + 3) = r2; r0 = *(u32 *)(r1 + 0)", 0x8800_0000n, "00000000"],
    ["r2 = 0x1122334455667788 ll; *(u16 *)(r1 + 1) = r2; r0 = *(u32 *)(r1 + 0)", 0x0077_8800n, "00000000"],
    ["r2 = 0x1122334455667788 ll; *(u32 *)(r1 + 0) = r2; r0 = *(u64 *)(r1 + 0)", 0x5566_7788n, "0000000000000000"],
    [
      "r2 = 0x1122334455667788 ll; *(u64 *)(r1 + 0) = r2; r0 = *(u64 *)(r1 + 0)",
      0x1122_3344_5566_7788n,
      "0000000000000000",
    ],
    ["*(u64 *)(r10 - 8) = 5; r0 = *(u64 *)(r10 - 8)", 5n],
    ["r2 = r10; r2 += -512; *(u64 *)(r2 + 0) = 6; r0 = *(u64 *)(r10 - 512)", 6n],
    ["r1 = 0xab; *(u8 *)(r10 - 1) = r1; r5 = 0xcd; *(u8 *)(r10 - 2) = r5; r0 = *(u16 *)(r10 - 2)", 0xabcdn],
  ],
  "jumps, 64 bits": jumpCases("r"),
  "jumps, 32 bits": jumpCases("w"),
  "other jumps": [
    ["r0 = 1; goto a; r0 = 2; a: r0 += 1", 2n],
    ["r0 = 1; gotol a; r0 = 2; a: r0 += 1", 2n],
    ["r0 = 0; goto in; out: exit; in: r0 = 4; goto out", 4n],
    ["r0 = 0; gotol in; out: exit; in: r0 = 4; gotol out", 4n],
    ["goto +0; r0 = 3", 3n],
    ["r2 = 0x100000000 ll; r0 = 1; if w2 == 0 goto a; r0 = 0; a:", 1n],
    ["r2 = 0x80000000 ll; r0 = 1; if r2 s> 0 goto a; r0 = 0; a:", 1n],
    ["r2 = 0x80000000 ll; r0 = 1; if w2 s< 0 goto a; r0 = 0; a:", 1n],
  ],
  "atomics, 64 bits": atomicCases(64),
  "atomics, 32 bits": atomicCases(32),
  "local calls": [
    ["r1 = 5; call f; r0 += 1; exit; f: r0 = r1; r0 *= 2", 11n],
    [
      "r6 = 1; r7 = 2; r8 = 3; r9 = 4; call f; r0 += r6; r0 += r7; r0 += r8; r0 += r9; exit; f: r6 = 100; r7 = 100; r8 = 100; r9 = 100; r0 = 0",
      10n,
    ],
    ["*(u64 *)(r10 - 8) = 1; call f; r2 = *(u64 *)(r10 - 8); r0 += r2; exit; f: *(u64 *)(r10 - 8) = 50; r0 = 2", 3n],
    ["r1 = 1; call f; exit; f: r1 += 1; call g; exit; g: r1 += 1; r0 = r1", 3n],
    [
      "r1 = r10; r1 += -8; *(u64 *)(r1 + 0) = 3; call f; r0 = *(u64 *)(r10 - 8); exit; f: *(u64 *)(r1 + 0) = 9; r0 = 0",
      9n,
    ],
    ["r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call f; exit; f: r0 = r1; r0 += r2; r0 += r3; r0 += r4; r0 += r5", 15n],
  ],
  "helper calls": [
    ["call 5", 12345n],
    ["r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call 7", 1n + 6n + 15n + 28n + 55n],
    ["r6 = 9; call 8; r0 += r6", 12n],
  ],
  programs: [
    ["r2 = 10; r0 = 0; r3 = 1; a: r4 = r0; r4 += r3; r0 = r3; r3 = r4; r2 -= 1; if r2 != 0 goto a", 55n], // Fibonacci
    [
      "r2 = 67; r0 = 1; r3 = 2; a: r4 = r2; r4 %= r3; if r4 == 0 goto no; r3 += 1; if r3 < 67 goto a; goto end; no: r0 = 0; end:",
      1n,
    ], // 67 is prime
    ["r2 = 1071; r0 = 462; a: r3 = r2; r3 %= r0; r2 = r0; r0 = r3; if r3 != 0 goto a; r0 = r2", 21n], // greatest common divisor
    [
      "r0 = 0; r2 = 0; a: r3 = r1; r3 += r2; r4 = *(u8 *)(r3 + 0); r0 *= 31; r0 += r4; r2 += 1; if r2 < 4 goto a",
      ((1n * 31n + 2n) * 31n + 3n) * 31n + 4n,
      "01020304",
    ],
  ],
};

function jumpCases(l: "r" | "w"): Case[] {
  const load = (register: number, value: bigint): string =>
    `r${register} = 0x${BigInt.asUintN(64, value).toString(16)} ll`;
  const table: [string, bigint, bigint, boolean][] = [
    ["==", 5n, 5n, true],
    ["==", 5n, 6n, false],
    ["==", -1n, -1n, true],
    ["!=", 5n, 5n, false],
    ["!=", 5n, -5n, true],
    [">", 6n, 5n, true],
    [">", 5n, 5n, false],
    [">", -1n, 1n, true],
    [">=", 5n, 5n, true],
    [">=", 4n, 5n, false],
    [">=", -1n, 1n, true],
    ["<", 4n, 5n, true],
    ["<", 5n, 5n, false],
    ["<", -1n, 1n, false],
    ["<=", 5n, 5n, true],
    ["<=", 6n, 5n, false],
    ["<=", 1n, -1n, true],
    ["&", 6n, 3n, true],
    ["&", 6n, 9n, false],
    ["&", -1n, 8n, true],
    ["s>", -1n, -2n, true],
    ["s>", -1n, 1n, false],
    ["s>", 5n, 5n, false],
    ["s>=", -1n, -1n, true],
    ["s>=", -2n, -1n, false],
    ["s<", -2n, -1n, true],
    ["s<", 1n, -1n, false],
    ["s<", 3n, 3n, false],
    ["s<=", -1n, -1n, true],
    ["s<=", 1n, -1n, false],
    ["s<=", -5n, 7n, true],
  ];
  return table.flatMap(([op, a, b, taken]): Case[] => [
    [`${load(2, a)}; ${load(3, b)}; r0 = 7; if ${l}2 ${op} ${l}3 goto a; r0 = 8; a:`, taken ? 7n : 8n],
    [`${load(2, a)}; r0 = 7; if ${l}2 ${op} ${b} goto a; r0 = 8; a:`, taken ? 7n : 8n],
  ]);
}

function atomicCases(bits: 32 | 64): Case[] {
  const s = bits === 64 ? "64" : "",
    l = bits === 64 ? "r" : "w",
    at = `*(u${bits} *)(r10 - 8)`,
    call = (name: string): string => `atomic${s}_${name}((u${bits} *)(r10 - 8)`;
  const ones = bits === 64 ? M : 0xffff_ffffn,
    high = "0x1122334400000000";
  const start = `*(u64 *)(r10 - 8) = 0x0f`;
  return [
    [`${start}; r2 = 1; lock ${at} += ${l}2; r0 = *(u64 *)(r10 - 8)`, 0x10n],
    [
      `*(u64 *)(r10 - 8) = -1; r2 = 1; lock ${at} += ${l}2; r0 = *(u64 *)(r10 - 8)`,
      bits === 64 ? 0n : M - 0xffff_ffffn,
    ],
    [`${start}; r2 = 0xf0; lock ${at} |= ${l}2; r0 = *(u64 *)(r10 - 8)`, 0xffn],
    [`${start}; r2 = 0x3c; lock ${at} &= ${l}2; r0 = *(u64 *)(r10 - 8)`, 0x0cn],
    [`${start}; r2 = 0x3c; lock ${at} ^= ${l}2; r0 = *(u64 *)(r10 - 8)`, 0x33n],
    [`${start}; r2 = 3; ${l}2 = ${call("fetch_add")}, ${l}2); r0 = *(u64 *)(r10 - 8); r0 <<= 8; r0 |= r2`, 0x120fn],
    [`${start}; r2 = 0xf0; ${l}2 = ${call("fetch_or")}, ${l}2); r0 = *(u64 *)(r10 - 8); r0 <<= 8; r0 |= r2`, 0xff0fn],
    [`${start}; r2 = 0x3c; ${l}2 = ${call("fetch_and")}, ${l}2); r0 = *(u64 *)(r10 - 8); r0 <<= 8; r0 |= r2`, 0x0c0fn],
    [`${start}; r2 = 0x3c; ${l}2 = ${call("fetch_xor")}, ${l}2); r0 = *(u64 *)(r10 - 8); r0 <<= 8; r0 |= r2`, 0x330fn],
    [`${start}; r2 = 0x3c; ${l}2 = ${call("xchg")}, ${l}2); r0 = *(u64 *)(r10 - 8); r0 <<= 8; r0 |= r2`, 0x3c0fn],
    [
      `${start}; r0 = 0x0f; r2 = 9; ${l}0 = ${call("cmpxchg")}, ${l}0, ${l}2); r3 = *(u64 *)(r10 - 8); r3 <<= 8; r0 |= r3`,
      0x090fn,
    ],
    [
      `${start}; r0 = 0x0e; r2 = 9; ${l}0 = ${call("cmpxchg")}, ${l}0, ${l}2); r3 = *(u64 *)(r10 - 8); r3 <<= 8; r0 |= r3`,
      0x0f0fn,
    ],
    [`*(u64 *)(r10 - 8) = -1; r2 = ${high} ll; ${l}2 = ${call("fetch_or")}, ${l}2); r0 = r2`, ones],
    [`*(u64 *)(r10 - 8) = -1; r2 = ${high} ll; ${l}2 = ${call("xchg")}, ${l}2); r0 = r2`, ones],
    [`*(u64 *)(r10 - 8) = 5; r0 = ${high} ll; r0 += 5; r2 = 9; ${l}0 = ${call("cmpxchg")}, ${l}0, ${l}2)`, 5n],
    [`${start}; r0 = 0xf0; ${l}0 = ${call("fetch_or")}, ${l}0); r2 = *(u64 *)(r10 - 8); r2 <<= 8; r0 |= r2`, 0xff0fn],
    [
      `r3 = r10; r3 += -8; ${start}; r0 = r3; r2 = 0x30; ${l}2 = atomic${s}_fetch_xor((u${bits} *)(r0 + 0), ${l}2); r0 = *(u64 *)(r10 - 8); r0 <<= 8; r0 |= r2`,
      0x3f0fn,
    ],
  ];
}

const bytes = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const all = Object.entries(GROUPS).flatMap(([group, cases]) =>
  cases.map(([text, r0, memory]) => ({ group, text, r0, memory: bytes(memory ?? "") })),
);

/** Functions begin at slot 0 and where a local call leads. */
function program(text: string): { code: ReturnType<typeof assemble>; functions: number[] } {
  const code = assemble(`${text}; exit`),
    starts = new Set([0]);
  for (let i = 0; i < code.length; i++)
    if (code.opcode[i] === CALL && code.src[i] === CallKind.Local) starts.add(i + 1 + code.imm[i]!);
  return { code, functions: [...starts].sort((a, b) => a - b) };
}

test("interpreter", () => {
  const passed: Record<string, number> = {};
  for (const { group, text, r0, memory } of all) {
    const region = new RegionMemory();
    if (memory.length > 0) region.map(ARENA, memory.slice(), true, "memory");
    const machine = new Interpreter(region, { helper: modelHelper, tailTarget: () => undefined });
    expect(machine.run(program(text).code, ARENA), text).toBe(Outcome.Exit);
    expect(`${text}: ${machine.result.toString(16)}`).toBe(`${text}: ${r0.toString(16)}`);
    passed[group] = (passed[group] ?? 0) + 1;
  }
  console.log("conformance cases by group:", passed, "total", all.length);
});

test("compiled, on a CPU of the model", () => {
  const flat = new FlatCpu(8, [{ address: ARENA, bytes: 4096 }]);
  for (const { text, r0, memory } of all) {
    const { code, functions } = program(text);
    flat.data[0]!.page.fill(0).set(memory);
    flat.load(
      MODEL_CODE,
      compile({
        code,
        functions,
        stackBytes: functions.map(() => 512),
        address: MODEL_CODE,
        helperAddress: (id) => flat.helperAddress(id),
      }).bytes,
    );
    const { outcome, result } = flat.call(MODEL_CODE, ARENA, modelHelper);
    expect(`${text}: ${outcome} ${result.toString(16)}`).toBe(`${text}: exit ${r0.toString(16)}`);
  }
});

test.skipIf(!haveNative)("compiled, on a real CPU", () => {
  const cases: NativeCase[] = all.map(({ text, memory }) => {
    const { code, functions } = program(text);
    const { bytes: machine } = compile({
      code,
      functions,
      stackBytes: functions.map(() => 512),
      address: CODE,
      helperAddress: nativeHelper,
    });
    return {
      regions: [{ address: CODE, bytes: machine }, ...(memory.length > 0 ? [{ address: ARENA, bytes: memory }] : [])],
      entry: CODE,
      argument: ARENA,
    };
  });
  runNative(cases).forEach(({ r0 }, i) =>
    expect(`${all[i]!.text}: ${r0.toString(16)}`).toBe(`${all[i]!.text}: ${all[i]!.r0.toString(16)}`),
  );
});
