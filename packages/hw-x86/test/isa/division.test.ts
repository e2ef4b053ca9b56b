/** Division on words gives what bigint division gives, for numbers at the edges of words and doubles and any others. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { divide, divideSigned, divideSignedWord, divideWord, result } from "../../src/isa/division.js";

const half = (value: bigint, at: number): number => Number(BigInt.asIntN(32, value >> BigInt(32 * at)));
const quotientOf = (bits: number): bigint =>
  BigInt.asUintN(bits, (BigInt(result[1]! >>> 0) << 32n) | BigInt(result[0]! >>> 0));
const restOf = (bits: number): bigint =>
  BigInt.asUintN(bits, (BigInt(result[3]! >>> 0) << 32n) | BigInt(result[2]! >>> 0));

/** Numbers of some bits, often close to a power of two or to zero, or all ones in part. */
const numbers = (bits: number): fc.Arbitrary<bigint> =>
  fc
    .oneof(
      fc.bigInt(0n, (1n << BigInt(bits)) - 1n),
      fc.tuple(fc.nat(bits), fc.integer({ min: -3, max: 3 })).map(([n, d]) => (1n << BigInt(n)) + BigInt(d)),
      fc.tuple(fc.nat(bits), fc.nat(bits)).map(([n, m]) => (1n << BigInt(n)) - (1n << BigInt(m))),
      fc.nat(1000).map(BigInt),
    )
    .map((value) => BigInt.asUintN(bits, value));

const runs = { numRuns: process.env["KREPLICA_PROOF"] === "1" ? 100_000 : 20_000 };

describe.each([
  ["64 bits by 32", 32, (a: bigint, b: bigint) => divideWord(half(a, 1), half(a, 0), half(b, 0)), false],
  ["64 bits by 32, signed", 32, (a: bigint, b: bigint) => divideSignedWord(half(a, 1), half(a, 0), half(b, 0)), true],
  [
    "128 bits by 64",
    64,
    (a: bigint, b: bigint) => divide(half(a, 3), half(a, 2), half(a, 1), half(a, 0), half(b, 1), half(b, 0)),
    false,
  ],
  [
    "128 bits by 64, signed",
    64,
    (a: bigint, b: bigint) => divideSigned(half(a, 3), half(a, 2), half(a, 1), half(a, 0), half(b, 1), half(b, 0)),
    true,
  ],
] as const)("%s", (_title, bits, by, signed) => {
  /** What the processor answers; undefined for #DE. */
  function expected(a: bigint, b: bigint): readonly [quotient: bigint, rest: bigint] | undefined {
    const [x, y] = signed ? [BigInt.asIntN(2 * bits, a), BigInt.asIntN(bits, b)] : [a, b];
    if (y === 0n) return undefined;
    const quotient = x / y;
    if ((signed ? BigInt.asIntN(bits, quotient) : BigInt.asUintN(bits, quotient)) !== quotient) return undefined;
    return [BigInt.asUintN(bits, quotient), BigInt.asUintN(bits, x % y)];
  }
  const check = (a: bigint, b: bigint): void => {
    const want = expected(a, b);
    expect(by(a, b)).toBe(want === undefined ? 0 : 1);
    if (want !== undefined) expect([quotientOf(bits), restOf(bits)]).toEqual(want);
  };

  test("of any number", () => {
    fc.assert(fc.property(numbers(2 * bits), numbers(bits), check), runs);
  });

  test("of a quotient and a rest: what fits, and what just does not", () => {
    fc.assert(
      fc.property(numbers(bits + 1), numbers(bits), numbers(bits), fc.boolean(), (q, b, r, negative) => {
        const whole = q * b + (b === 0n ? 0n : r % b);
        check(BigInt.asUintN(2 * bits, negative ? -whole : whole), b);
      }),
      runs,
    );
  });
});

test("a digit estimated too low leaves a remainder of more than 64 bits", () => {
  for (const [q, b, r] of [
    [4162034830n, 0xffff_ffff_ffce_bcdfn, 0x4_a402_c1d5n],
    [3065610650n, 0xffff_ffff_fff2_444bn, 0x35_6f52_1af3n],
  ] as const) {
    const a = q * b + r;
    expect(divide(half(a, 3), half(a, 2), half(a, 1), half(a, 0), half(b, 1), half(b, 0))).toBe(1);
    expect([quotientOf(64), restOf(64)]).toEqual([q, r]);
  }
});
