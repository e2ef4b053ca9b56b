/** The interpreter against arithmetic on bigint, and notation against itself: assemble and disassemble are inverse. */
import { bytesAt } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assemble } from "../src/isa/assemble.js";
import { Code, decode, encode } from "../src/isa/code.js";
import { disassemble, disassembleOne } from "../src/isa/disassemble.js";
import { Interpreter, Outcome } from "../src/interpreter.js";
import { RegionMemory } from "../src/memory.js";

const M64 = (1n << 64n) - 1n;
const s = (bits: number, v: bigint): bigint => BigInt.asIntN(bits, v);
const u = (bits: number, v: bigint): bigint => BigInt.asUintN(bits, v);

/** What RFC 9669 says, in the words of bigint. */
function model(bits: 32 | 64, op: string, a: bigint, b: bigint): bigint {
  const x = u(bits, a),
    y = u(bits, b),
    sx = s(bits, a),
    sy = s(bits, b),
    n = y & BigInt(bits - 1);
  const value = {
    "+=": x + y,
    "-=": x - y,
    "*=": x * y,
    "/=": y === 0n ? 0n : x / y,
    "%=": y === 0n ? x : x % y,
    "s/=": sy === 0n ? 0n : sx / sy,
    "s%=": sy === 0n ? sx : sx % sy,
    "|=": x | y,
    "&=": x & y,
    "^=": x ^ y,
    "<<=": x << n,
    ">>=": x >> n,
    "s>>=": sx >> n,
    "=": y,
  }[op]!;
  return u(bits, value);
}
const edge = fc.oneof(
  fc.bigInt({ min: 0n, max: M64 }),
  fc.constantFrom(
    0n,
    1n,
    2n,
    31n,
    32n,
    33n,
    63n,
    0x7fff_ffffn,
    0x8000_0000n,
    0xffff_ffffn,
    0x1_0000_0000n,
    1n << 63n,
    M64,
    M64 - 1n,
    (1n << 63n) - 1n,
  ),
);
const run = (
  code: Code,
  memory = new RegionMemory(),
  context = 0n,
): { outcome: Outcome; r0: bigint; machine: Interpreter } => {
  const machine = new Interpreter(memory);
  const outcome = machine.run(code, context);
  return { outcome, r0: machine.result, machine };
};

test.each([64, 32] as const)("ALU%i agrees with bigint arithmetic on every operation", (bits) => {
  const ops = ["+=", "-=", "*=", "/=", "%=", "s/=", "s%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "="];
  const letter = bits === 64 ? "r" : "w";
  fc.assert(
    fc.property(fc.constantFrom(...ops), edge, edge, fc.boolean(), (op, a, b, immediate) => {
      const imm = s(32, b);
      const code = assemble(
        `r0 = 0x${a.toString(16)} ll; r1 = 0x${b.toString(16)} ll; ${letter}0 ${op} ${immediate ? imm : `${letter}1`}; exit`,
      );
      expect(run(code).r0).toBe(model(bits, op, a, immediate ? imm : b));
    }),
    { numRuns: 4000 },
  );
});

test("every conditional jump agrees with bigint comparison, both widths", () => {
  const conds: Record<string, (x: bigint, y: bigint, sx: bigint, sy: bigint) => boolean> = {
    "==": (x, y) => x === y,
    "!=": (x, y) => x !== y,
    ">": (x, y) => x > y,
    ">=": (x, y) => x >= y,
    "<": (x, y) => x < y,
    "<=": (x, y) => x <= y,
    "&": (x, y) => (x & y) !== 0n,
    "s>": (_x, _y, a, b) => a > b,
    "s>=": (_x, _y, a, b) => a >= b,
    "s<": (_x, _y, a, b) => a < b,
    "s<=": (_x, _y, a, b) => a <= b,
  };
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(conds)),
      edge,
      edge,
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      (op, a, b0, wide, immediate, same) => {
        const b = same ? a : b0,
          bits = wide ? 64 : 32,
          letter = wide ? "r" : "w",
          right = immediate ? s(32, b) : b;
        const code = assemble(
          `r1 = 0x${a.toString(16)} ll; r2 = 0x${b.toString(16)} ll; r0 = 1; if ${letter}1 ${op} ${immediate ? right : `${letter}2`} goto end; r0 = 0; end: exit`,
        );
        expect(run(code).r0).toBe(conds[op]!(u(bits, a), u(bits, right), s(bits, a), s(bits, right)) ? 1n : 0n);
      },
    ),
    { numRuns: 4000 },
  );
});

test("loads zero extend or sign extend, stores write their bytes and no other", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 24, maxLength: 24 }),
      fc.constantFrom(1, 2, 4, 8),
      fc.nat(23),
      edge,
      (bytes, size, at, value) => {
        const memory = new RegionMemory();
        memory.map(0xffff_8880_ffff_fff0n, bytes.slice(), true, "data"); // crosses a 4 GiB line
        const base = `r1 = 0xffff8880fffffff0 ll; r2 = 0x${value.toString(16)} ll`;
        const inside = at + size <= 24;
        const load = run(assemble(`${base}; r0 = *(u${8 * size} *)(r1 + ${at}); exit`), memory);
        expect(load.outcome).toBe(inside ? Outcome.Exit : Outcome.Fault);
        const raw = bytes.slice(at, at + size).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
        if (inside) expect(load.r0).toBe(raw);
        if (inside && size < 8)
          expect(run(assemble(`${base}; r0 = *(s${8 * size} *)(r1 + ${at}); exit`), memory).r0).toBe(
            u(64, s(8 * size, raw)),
          );
        const store = run(assemble(`${base}; *(u${8 * size} *)(r1 + ${at}) = r2; r0 = 0; exit`), memory);
        expect(store.outcome).toBe(inside ? Outcome.Exit : Outcome.Fault);
        const want = bytes.slice();
        if (inside) for (let i = 0; i < size; i++) want[at + i] = Number((value >> BigInt(8 * i)) & 255n);
        expect(memory.read(bytesAt(0xffff_8880_ffff_fff0n, 24))).toEqual(want);
      },
    ),
  );
});

test("a store into read-only memory faults and writes nothing", () => {
  const memory = new RegionMemory();
  memory.map(0x1000n, new Uint8Array(8), false, "rodata");
  for (const text of [
    "*(u64 *)(r1 + 0) = 1",
    "lock *(u64 *)(r1 + 0) += r1",
    "r0 = 5; r0 = atomic64_cmpxchg((u64 *)(r1 + 0), r0, r1)",
  ]) {
    expect(run(assemble(`${text}; r0 = 0; exit`), memory, 0x1000n).outcome).toBe(Outcome.Fault);
  }
  expect(memory.read(bytesAt(0x1000n, 8))).toEqual(new Uint8Array(8));
});

test("a local call keeps r6 to r9 and the frame pointer and loses r1 to r5; the ninth frame is refused", () => {
  const code =
    assemble(`r6 = 6; r9 = 9; *(u64 *)(r10 - 8) = 40; r1 = 1; call f; r0 += r6; r0 += r9; r1 = *(u64 *)(r10 - 8); r0 += r1; exit
    f: r6 = 100; *(u64 *)(r10 - 8) = 7; r0 = r1; exit`);
  expect(run(code).r0).toBe(56n);
  const two = new Set(
    [1, 2].map((garbage) => {
      const m = new Interpreter(new RegionMemory(), undefined, garbage);
      m.run(assemble("r1 = 1; call f; r0 = r1; exit; f: r0 = 0; exit"), 0n);
      return m.result;
    }),
  );
  expect(two.size).toBe(2);
  expect(run(assemble("f: call f; exit")).outcome).toBe(Outcome.CallDepth);
});

test("an endless loop ends with the budget, an unknown opcode, register or helper is illegal", () => {
  expect(run(assemble("a: goto a")).outcome).toBe(Outcome.Budget);
  for (const text of [
    ".slot 0xff 0 0 0 0",
    "r0 = 0",
    "goto -5",
    ".slot 0xb7 11 0 0 0",
    "call 9999; exit",
    "r0 = *(u8 *)skb[0]; exit",
  ]) {
    expect([Outcome.Illegal, Outcome.Exit], text).toContain(run(assemble(text)).outcome);
  }
  expect(run(assemble("call 9999; exit")).outcome).toBe(Outcome.Illegal);
});

describe("notation", () => {
  const slot = fc.record({
    op: fc.oneof(fc.nat(255), fc.constantFrom(0xdb, 0xc3, 0xd4, 0xdc, 0xd7, 0xbf, 0xbc, 0x06, 0x85, 0x18)),
    dst: fc.nat(15),
    src: fc.oneof(fc.nat(15), fc.constant(0)),
    offset: fc.oneof(fc.constant(0), fc.constantFrom(1, 8, 16, 32), fc.integer({ min: -32768, max: 32767 })),
    imm: fc.oneof(
      fc.constant(0),
      fc.constantFrom(16, 32, 64, 0x01, 0x40, 0x41, 0xe1, 0xf1),
      fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    ),
  });
  test("assemble reads back whatever disassemble writes, for any bytes", () => {
    fc.assert(
      fc.property(fc.array(slot, { minLength: 1, maxLength: 12, size: "max" }), (slots) => {
        const code = new Code(slots.length);
        slots.forEach(({ op, dst, src, offset, imm }, i) => code.set(i, op, dst, src, offset, imm));
        const text = disassemble(code)
          .map((line) => line.replace(/^\d+: \([0-9a-f]+\) /, ""))
          .join("\n");
        expect(encode(assemble(text)), text).toEqual(encode(code));
        expect(encode(decode(encode(code)))).toEqual(encode(code));
      }),
      { numRuns: 3000 },
    );
  });
  test("most opcodes of the instruction set have a text of their own", () => {
    let named = 0;
    for (let op = 0; op < 256; op++) {
      const code = new Code(2);
      code.set(0, op, 0, 0, 0, (op & 0xf0) === 0xd0 && (op & 3) === 0 ? 16 : 0);
      if (!disassembleOne(code, 0).startsWith(".slot")) named++;
    }
    expect(named).toBeGreaterThan(100);
  });
  test("a line that is no instruction, a label that is missing, a number that does not fit: refused with the line", () => {
    expect(() => assemble("r0 = 0\nfrobnicate r1\nexit")).toThrow(/assemble-syntax: line 2/);
    expect(() => assemble("goto nowhere")).toThrow(/assemble-label: line 1/);
    expect(() => assemble("r0 = 0x1ffffffff")).toThrow(/assemble-range: line 1/);
    expect(() => assemble("r0 = w1")).toThrow(/assemble-syntax/);
    expect(() => decode(new Uint8Array(7))).toThrow(/code-size/);
  });
});
