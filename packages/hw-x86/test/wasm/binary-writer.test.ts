/** What is written is run: each operation's result beside JavaScript's, control by what it leaves, refusals by name. */
import { expect, test } from "vitest";
import {
  type Code,
  block,
  branch,
  branchIf,
  either,
  type Expression,
  leave,
  loop,
  select,
  when,
} from "../../src/wasm/code.js";
import { BinaryWriter } from "../../src/wasm/binary-writer.js";
import { compiled, hasWasm, instance, memory } from "../../src/wasm/host.js";
import { f64, i32, i64, v128 } from "../../src/wasm/operations.js";

/** A function of two numbers, run. */
function run(
  body: (a: Expression<"i32">, b: Expression<"i32">) => Code,
  a: number,
  b: number,
  over = memory(1)!,
): number {
  const writer = new BinaryWriter(1);
  writer.add("run", ["i32", "i32"], "i32", (_, first, second) => body(first, second));
  return instance(compiled(writer.bytes()), over, {})["run"]!(a, b);
}

const NUMBERS = [0, 1, -1, 63, 64, 127, 128, -64, -65, 0x7fff_ffff, -0x8000_0000, 0x1234_5678];
const shift = (b: number): number => b & 31;

test("this host runs binaries with vectors", () => {
  expect(hasWasm()).toBe(true);
});

test("every operation on 32 and 64 bits gives what JavaScript gives", () => {
  const yes = (value: boolean): number => (value ? 1 : 0);
  const of32: [
    string,
    (a: Expression<"i32">, b: Expression<"i32">) => Expression<"i32">,
    (a: number, b: number) => number,
  ][] = [
    ["eq", i32.eq, (a, b) => yes(a === b)],
    ["ne", i32.ne, (a, b) => yes(a !== b)],
    ["ltS", i32.ltS, (a, b) => yes(a < b)],
    ["ltU", i32.ltU, (a, b) => yes(a >>> 0 < b >>> 0)],
    ["gtS", i32.gtS, (a, b) => yes(a > b)],
    ["gtU", i32.gtU, (a, b) => yes(a >>> 0 > b >>> 0)],
    ["leS", i32.leS, (a, b) => yes(a <= b)],
    ["leU", i32.leU, (a, b) => yes(a >>> 0 <= b >>> 0)],
    ["geS", i32.geS, (a, b) => yes(a >= b)],
    ["geU", i32.geU, (a, b) => yes(a >>> 0 >= b >>> 0)],
    ["add", i32.add, (a, b) => (a + b) | 0],
    ["sub", i32.sub, (a, b) => (a - b) | 0],
    ["mul", i32.mul, Math.imul],
    ["and", i32.and, (a, b) => a & b],
    ["or", i32.or, (a, b) => a | b],
    ["xor", i32.xor, (a, b) => a ^ b],
    ["shl", i32.shl, (a, b) => a << shift(b)],
    ["shrS", i32.shrS, (a, b) => a >> shift(b)],
    ["shrU", i32.shrU, (a, b) => (a >>> shift(b)) | 0],
    ["rotl", i32.rotl, (a, b) => (a << shift(b)) | (shift(b) === 0 ? 0 : a >>> (32 - shift(b)))],
    ["rotr", i32.rotr, (a, b) => (a >>> shift(b)) | (shift(b) === 0 ? 0 : a << (32 - shift(b)))],
    ["isZero", i32.isZero, (a) => yes(a === 0)],
    ["clz", i32.clz, Math.clz32],
    ["ctz", i32.ctz, (a) => (a === 0 ? 32 : 31 - Math.clz32(a & -a))],
    ["popcnt", i32.popcnt, (a) => (a >>> 0).toString(2).replaceAll("0", "").length],
    ["extend8S", i32.extend8S, (a) => (a << 24) >> 24],
    ["extend16S", i32.extend16S, (a) => (a << 16) >> 16],
  ];
  for (const [what, make, expected] of of32)
    for (const a of NUMBERS)
      for (const b of NUMBERS)
        expect(
          run((x, y) => make(x, y).code, a, b),
          `${what} ${a} ${b}`,
        ).toBe(expected(a, b));
  const divided: [typeof i32.divS, number][] = [
    [i32.divS, -3],
    [i32.remS, -2],
    [i32.divU, 858993455],
    [i32.remU, 4],
  ];
  for (const [make, expected] of divided) expect(run((x, y) => make(x, y).code, -17, 5)).toBe(expected);
});

test("64 bits: each operation on two wide numbers, by both halves of its result", () => {
  const a = 0x8123_4567_89ab_cdefn;
  const b = 0x0000_0001_0000_0015n;
  const signed = (value: bigint): bigint => BigInt.asIntN(64, value);
  const yes = (value: boolean): bigint => (value ? 1n : 0n);
  const wide: [string, (x: Expression<"i64">, y: Expression<"i64">) => Expression<"i64">, bigint][] = [
    ["add", i64.add, a + b],
    ["sub", i64.sub, a - b],
    ["mul", i64.mul, a * b],
    ["divS", i64.divS, signed(a) / b],
    ["divU", i64.divU, a / b],
    ["remS", i64.remS, signed(a) % b],
    ["remU", i64.remU, a % b],
    ["and", i64.and, a & b],
    ["or", i64.or, a | b],
    ["xor", i64.xor, a ^ b],
    ["shl", i64.shl, a << 21n],
    ["shrS", i64.shrS, signed(a) >> 21n],
    ["shrU", i64.shrU, a >> 21n],
    ["rotl", i64.rotl, (a << 21n) | (a >> 43n)],
    ["rotr", i64.rotr, (a >> 21n) | (a << 43n)],
    ["clz", i64.clz, 0n],
    ["ctz", i64.ctz, 0n],
    ["popcnt", i64.popcnt, BigInt(a.toString(2).replaceAll("0", "").length)],
    ["extend8S", i64.extend8S, -17n],
    ["extend16S", i64.extend16S, BigInt.asIntN(16, a)],
    ["extend32S", i64.extend32S, BigInt.asIntN(32, a)],
    ["extendS", (x) => i64.extendS(i32.wrap(x)), BigInt.asIntN(32, a)],
    ["extendU", (x) => i64.extendU(i32.wrap(x)), BigInt.asUintN(32, a)],
    ["isZero", (x) => i64.extendU(i64.isZero(x)), 0n],
    ["eq", (x, y) => i64.extendU(i64.eq(x, y)), 0n],
    ["ne", (x, y) => i64.extendU(i64.ne(x, y)), 1n],
    ["ltS", (x, y) => i64.extendU(i64.ltS(x, y)), yes(signed(a) < b)],
    ["ltU", (x, y) => i64.extendU(i64.ltU(x, y)), yes(a < b)],
    ["gtS", (x, y) => i64.extendU(i64.gtS(x, y)), yes(signed(a) > b)],
    ["gtU", (x, y) => i64.extendU(i64.gtU(x, y)), yes(a > b)],
    ["leS", (x, y) => i64.extendU(i64.leS(x, y)), yes(signed(a) <= b)],
    ["leU", (x, y) => i64.extendU(i64.leU(x, y)), yes(a <= b)],
    ["geS", (x, y) => i64.extendU(i64.geS(x, y)), yes(signed(a) >= b)],
    ["geU", (x, y) => i64.extendU(i64.geU(x, y)), yes(a >= b)],
  ];
  for (const [what, make, expected] of wide) {
    const over = memory(1)!;
    run((x) => [i64.store(x, make(i64.const(a), i64.const(b))), i32.const(0).code], 8, 0, over);
    expect(new BigUint64Array(over.buffer)[1], what).toBe(BigInt.asUintN(64, expected));
  }
});

test("memory: each width is read without a sign and written without touching its neighbours", () => {
  const over = memory(1)!;
  const bytes = new Uint8Array(over.buffer);
  bytes.fill(0xff, 0, 64);
  run(
    (at, value) => [i32.store8(at, value), i32.store16(at, value, 4), i32.store(at, value, 8), at.code],
    16,
    0x1234_5678,
    over,
  );
  expect([...bytes.subarray(16, 32)]).toEqual([
    0x78, 255, 255, 255, 0x78, 0x56, 255, 255, 0x78, 0x56, 0x34, 0x12, 255, 255, 255, 255,
  ]);
  expect(run((at) => i32.load8(at, 0).code, 17, 0, over)).toBe(255);
  expect(run((at) => i32.load16(at).code, 20, 0, over)).toBe(0x5678);
  expect(run((at) => i32.load(at, 8).code, 16, 0, over)).toBe(0x1234_5678);
  run(
    (at) => [
      i64.store8(at, i64.const(1n)),
      i64.store16(at, i64.const(2n), 2),
      i64.store32(at, i64.const(3n), 4),
      i64.store(
        at,
        i64.add(i64.add(i64.load8(at), i64.load16(at, 2)), i64.add(i64.load32(at, 4), i64.load(at, 16))),
        8,
      ),
      f64.store(
        at,
        f64.mul(
          f64.add(f64.const(0.5), f64.convertI32S(i32.const(-3))),
          f64.sub(f64.convertI32U(i32.const(-1)), f64.load(at, 24)),
        ),
        16,
      ),
      at.code,
    ],
    128,
    0,
    over,
  );
  expect([...bytes.subarray(128, 137)]).toEqual([1, 0, 2, 0, 3, 0, 0, 0, 6]);
  expect(new Float64Array(over.buffer)[18]).toBe(-2.5 * 0xffff_ffff);
});

test("vectors: lanes are found by a mask, of 8, 16 and 32 bits", () => {
  const over = memory(1)!;
  new Int32Array(over.buffer).set([5, 7, 5, -1], 4);
  new Uint8Array(over.buffer).set([1, 2, 1, 2], 0);
  const loaded = (at: Expression<"i32">): Expression<"v128"> => v128.load(at, 12);
  expect(run((at, wanted) => v128.mask32(v128.eq32(loaded(at), v128.splat32(wanted))).code, 4, 5, over)).toBe(0b101);
  expect(run((at, wanted) => v128.mask16(v128.eq16(loaded(at), v128.splat16(wanted))).code, 4, 5, over)).toBe(0b10001);
  expect(run((_, wanted) => v128.mask8(v128.eq8(v128.load(i32.const(0)), v128.splat8(wanted))).code, 4, 2, over)).toBe(
    0b1010,
  );
  expect(run((at) => v128.mask16(v128.narrow32(loaded(at), v128.not(loaded(at)))).code, 4, 0, over)).toBe(0b0111_1000);
  expect(run((at) => v128.mask8(v128.narrow16(loaded(at), v128.splat32(i32.const(-1)))).code, 4, 0, over)).toBe(
    0xff_c0,
  );
  expect(
    run((at) => v128.any(v128.xor(v128.and(loaded(at), loaded(at)), v128.or(loaded(at), loaded(at)))).code, 4, 0, over),
  ).toBe(0);
  // Lanes of 16 bits: 5 0 7 0 5 0 -1 -1, beside constants that are 5 and 0 in turn.
  const fives = v128.const(Array.from({ length: 16 }, (_, byte) => (byte % 4 === 0 ? 5 : 0)));
  expect(run((at) => v128.mask16(v128.leS16(loaded(at), fives)).code, 4, 0, over)).toBe(0b1111_1011);
  expect(run((at) => v128.mask16(v128.geS16(loaded(at), fives)).code, 4, 0, over)).toBe(0b0011_1111);
  const chosen = (at: Expression<"i32">) => v128.bitselect(loaded(at), fives, v128.splat32(i32.const(0xffff)));
  expect(run((at) => v128.mask16(v128.eq16(chosen(at), loaded(at))).code, 4, 0, over)).toBe(0b0111_1111);
  run((at) => [v128.store(at, v128.splat32(i32.const(9)), 64), at.code], 0, 0, over);
  expect([...new Int32Array(over.buffer, 64, 5)]).toEqual([9, 9, 9, 9, 0]);
});

test("control: blocks are left, loops begin again, either branch is taken, functions call each other and the host", () => {
  const writer = new BinaryWriter(0);
  const told: number[] = [];
  const tell = writer.import("tell", ["i32"]);
  const twice = writer.import("twice", ["i32"], "i32");
  const factorial = writer.add("", ["i32"], "i32", (variables, n) => {
    const product = variables.local("i32");
    return [
      product.set(i32.const(1)),
      block((end) => [
        loop((head) => [
          branchIf(i32.isZero(n), end),
          product.set(i32.mul(product, n)),
          n.set(i32.sub(n, i32.const(1))),
          branch(head),
        ]),
      ]),
      product.code,
    ];
  });
  writer.add("run", ["i32"], "i32", (variables, n) => {
    const wide = variables.local("i64");
    return [
      when(i32.gtS(n, i32.const(5)), leave(i32.const(-1)), tell.run(n)),
      wide.set(i64.extendS(either(i32.eq(n, i32.const(3)), twice.value(i32.const(50)), factorial.value(n)))),
      factorial.run(n),
      select(i32.eq(n, i32.const(0)), i32.const(77), i32.wrap(wide)).code,
    ];
  });
  const run = instance(compiled(writer.bytes()), memory(0)!, {
    tell: (n) => void told.push(n!),
    twice: (n) => 2 * n!,
  })["run"]!;
  expect([6, 5, 4, 3, 0].map((n) => run(n))).toEqual([-1, 120, 24, 100, 77]);
  expect(told).toEqual([5, 4, 3, 0]);
});

test("what would be wrong is refused when it is written", () => {
  const writer = new BinaryWriter(0);
  writer.add("", [], undefined, () => []);
  expect(() => writer.import("late", [])).toThrow("late is imported after a function was written");
  let outside: Code = [];
  block((end) => (outside = branch(end)));
  expect(() => new BinaryWriter(0).add("", [], undefined, () => outside)).toThrow("a block it does not stand in");
});
