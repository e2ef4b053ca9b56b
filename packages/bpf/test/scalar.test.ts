/** Tnums and scalars against enumeration: on small widths every described number is tried. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Comparison, type Operation, type Scalar, Scalars } from "../src/verify/scalar.js";
import { type Tnum, Tnums } from "../src/verify/tnum.js";

const WIDTH = 4;
const u = (v: bigint, w = WIDTH): bigint => BigInt.asUintN(w, v),
  s = (v: bigint, w = WIDTH): bigint => BigInt.asIntN(w, v);
const members = (tnums: Tnums, t: Tnum): bigint[] =>
  Array.from({ length: 1 << tnums.bits }, (_, i) => BigInt(i)).filter((word) => (word & ~t.mask) === t.value);

describe("tnums of 4 bits, every pair", () => {
  const tnums = new Tnums(WIDTH);
  const every: Tnum[] = [];
  for (let mask = 0n; mask < 16n; mask++)
    for (let value = 0n; value < 16n; value++) if ((value & mask) === 0n) every.push({ value, mask });
  const ops: [string, (a: Tnum, b: Tnum) => Tnum, (x: bigint, y: bigint) => bigint, boolean][] = [
    ["add", (a, b) => tnums.add(a, b), (x, y) => x + y, true],
    ["subtract", (a, b) => tnums.subtract(a, b), (x, y) => x - y, true],
    ["and", (a, b) => tnums.and(a, b), (x, y) => x & y, true],
    ["or", (a, b) => tnums.or(a, b), (x, y) => x | y, true],
    ["xor", (a, b) => tnums.xor(a, b), (x, y) => x ^ y, true],
    ["multiply", (a, b) => tnums.multiply(a, b), (x, y) => x * y, false],
  ];
  test.each(ops)(
    "%s holds for every pair of members, and is the tightest where that is known",
    (_name, abstract, concrete, tight) => {
      expect(every.length).toBe(81);
      for (const a of every)
        for (const b of every) {
          const result = abstract(a, b);
          expect(result.value & result.mask).toBe(0n);
          const words = members(tnums, a).flatMap((x) => members(tnums, b).map((y) => u(concrete(x, y))));
          for (const word of words)
            if (!tnums.contains(result, word))
              expect.fail(`${_name} ${JSON.stringify([a, b].map(String))} loses ${word}`);
          if (tight) {
            const fixed = words.reduce((same, word) => same & ~(word ^ words[0]!), 15n);
            expect(result.mask).toBe(15n & ~fixed);
          }
        }
    },
  );
  test("shifts, truncation, inclusion, intersection and range", () => {
    for (const a of every) {
      for (let n = 0; n < WIDTH; n++) {
        const count = BigInt(n);
        for (const x of members(tnums, a)) {
          expect(tnums.contains(tnums.shiftLeft(a, n), u(x << count))).toBe(true);
          expect(tnums.contains(tnums.shiftRight(a, n), x >> count)).toBe(true);
          expect(tnums.contains(tnums.shiftRightSigned(a, n), u(s(x) >> count))).toBe(true);
          expect(tnums.contains(tnums.truncate(a, n), x & ((1n << count) - 1n))).toBe(true);
        }
      }
      for (const b of every) {
        const inA = new Set(members(tnums, a)),
          inB = members(tnums, b);
        expect(tnums.includes(a, b)).toBe(inB.every((x) => inA.has(x)));
        const common = tnums.intersect(a, b);
        expect(common ? members(tnums, common) : []).toEqual(inB.filter((x) => inA.has(x)));
      }
    }
    for (let low = 0n; low < 16n; low++)
      for (let high = low; high < 16n; high++)
        for (let x = low; x <= high; x++) expect(tnums.contains(tnums.range(low, high), x)).toBe(true);
  });
});

describe("scalars of 6 bits with a 3-bit half", () => {
  const W = 6,
    scalars = new Scalars(W);
  const words = fc
    .array(fc.oneof(fc.nat(63), fc.nat(7), fc.constantFrom(0, 1, 31, 32, 63, 62)), {
      minLength: 1,
      maxLength: 5,
      size: "max",
    })
    .map((list) => list.map(BigInt));
  /** A scalar that holds at least these words: bounds and bits taken from them, each loosened or not. */
  const described = fc.record({ words, keep: fc.nat(15) }).map(({ words: list, keep }) => {
    const half = list.map((x) => u(x, 3)),
      all = list.reduce((a, b) => a & b),
      any = list.reduce((a, b) => a | b);
    const b = (values: bigint[], w: number): { umin: bigint; umax: bigint; smin: bigint; smax: bigint } => ({
      umin: minimum(values),
      umax: maximum(values),
      smin: minimum(values.map((x) => s(x, w))),
      smax: maximum(values.map((x) => s(x, w))),
    });
    const made: Scalar = {
      bits: keep & 1 ? { value: all, mask: any & ~all } : scalars.unknown.bits,
      ...b(list, 6),
      ...(keep & 8 ? {} : { smin: -32n, smax: 31n }),
      low: keep & 4 ? b(half, 3) : scalars.unknown.low,
      ...(keep & 2 ? {} : { umin: 0n, umax: 63n }),
    } as Scalar;
    return { words: list, scalar: scalars.deduce(made) };
  });
  const minimum = (v: bigint[]): bigint => v.reduce((a, b) => (b < a ? b : a)),
    maximum = (v: bigint[]): bigint => v.reduce((a, b) => (b > a ? b : a));
  const allOf = (a: Scalar): bigint[] =>
    Array.from({ length: 64 }, (_, i) => BigInt(i)).filter((x) => scalars.contains(a, x));

  test("deduction loses no number", () => {
    fc.assert(
      fc.property(described, ({ words: list, scalar }) => {
        expect(scalar).toBeDefined();
        for (const x of list) expect(scalars.contains(scalar!, x)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  const concrete: Record<Operation, (x: bigint, y: bigint, w: number) => bigint> = {
    add: (x, y) => x + y,
    sub: (x, y) => x - y,
    mul: (x, y) => x * y,
    and: (x, y) => x & y,
    or: (x, y) => x | y,
    xor: (x, y) => x ^ y,
    lsh: (x, y, w) => x << (y % BigInt(w)),
    rsh: (x, y, w) => x >> (y % BigInt(w)),
    arsh: (x, y, w) => s(x, w) >> (y % BigInt(w)),
  };
  test.each(Object.keys(concrete) as Operation[])(
    "%s, whole word and half, holds for every pair of numbers described",
    (op) => {
      fc.assert(
        fc.property(described, described, fc.boolean(), (a, b, constant) => {
          const right = constant ? scalars.constant(b.words[0]!) : b.scalar!;
          const result = scalars.apply(op, a.scalar!, right),
            low = scalars.applyLow(op, a.scalar!, right);
          for (const x of allOf(a.scalar!))
            for (const y of allOf(right)) {
              if (!scalars.contains(result, u(concrete[op](x, y, 6), 6))) expect.fail(`${x} ${op} ${y}`);
              if (!scalars.contains(low, u(concrete[op](u(x, 3), u(y, 3), 3), 3))) expect.fail(`${x} ${op} ${y}, half`);
            }
        }),
        { numRuns: 400 },
      );
    },
  );

  test("extensions hold", () => {
    fc.assert(
      fc.property(described, fc.constantFrom(2, 3, 4, 6), (a, bits) => {
        const zero = scalars.zeroExtend(a.scalar!, bits),
          signed = scalars.signExtend(a.scalar!, bits);
        for (const x of allOf(a.scalar!)) {
          if (!scalars.contains(zero, u(x, bits))) expect.fail(`zero extension of ${x}`);
          if (!scalars.contains(signed, u(s(x, bits), 6))) expect.fail(`sign extension of ${x}`);
        }
      }),
      { numRuns: 2000 },
    );
  });

  const compare: Record<Comparison, (x: bigint, y: bigint, w: number) => boolean> = {
    "==": (x, y) => x === y,
    "!=": (x, y) => x !== y,
    ">": (x, y) => x > y,
    ">=": (x, y) => x >= y,
    "<": (x, y) => x < y,
    "<=": (x, y) => x <= y,
    "&": (x, y) => (x & y) !== 0n,
    "s>": (x, y, w) => s(x, w) > s(y, w),
    "s>=": (x, y, w) => s(x, w) >= s(y, w),
    "s<": (x, y, w) => s(x, w) < s(y, w),
    "s<=": (x, y, w) => s(x, w) <= s(y, w),
  };
  test.each(Object.keys(compare) as Comparison[])(
    "after %s each side keeps every number for which it came out so; impossible means impossible",
    (op) => {
      let decided = 0;
      fc.assert(
        fc.property(described, described, fc.boolean(), fc.boolean(), fc.boolean(), (a, b, taken, low, constant) => {
          const right = constant ? scalars.constant(b.words[0]!) : b.scalar!,
            w = low ? 3 : 6;
          const both = scalars.assume(op, a.scalar!, right, taken, low);
          if (!both) decided++;
          for (const x of allOf(a.scalar!))
            for (const y of allOf(right)) {
              if (compare[op](u(x, w), u(y, w), w) !== taken) continue;
              if (!both || !scalars.contains(both[0], x) || !scalars.contains(both[1], y))
                expect.fail(`${x} ${op} ${y} taken ${taken} half ${low}`);
            }
        }),
        { numRuns: 400 },
      );
      expect(decided).toBeGreaterThan(10);
    },
  );

  test("a range of words keeps the bits above their highest difference and no more, at each of the 64 bits", () => {
    const tnums = new Tnums(64);
    for (let bit = 0n; bit < 64n; bit++)
      expect(tnums.range(0n, 1n << bit)).toEqual({ value: 0n, mask: (1n << (bit + 1n)) - 1n });
    expect(tnums.range(5n << 40n, 5n << 40n)).toEqual({ value: 5n << 40n, mask: 0n });
  });
  test("known bits outside the bounds: no number", () => {
    const wide = new Scalars(64),
      five = wide.constant(5n);
    expect(wide.deduce(five)).toEqual(five);
    for (const bound of [{ umin: 6n }, { umax: 4n }, { smin: 6n }, { smax: 4n }, { low: { ...five.low, umin: 6n } }])
      expect(wide.deduce({ ...five, ...bound })).toBeUndefined();
  });

  test("a bounded index stays bounded: what programs rely on", () => {
    const wide = new Scalars(64);
    const masked = wide.apply("and", wide.unknown, wide.constant(15n));
    expect([masked.umin, masked.umax, masked.smin, masked.smax, masked.low.umax]).toEqual([0n, 15n, 0n, 15n, 15n]);
    const [below] = wide.assume("<", wide.unknown, wide.constant(10n), true, false)!;
    expect([below.umax, below.smax, below.bits.mask]).toEqual([9n, 9n, 15n]);
    const scaled = wide.apply("add", wide.apply("lsh", masked, wide.constant(3n)), wide.constant(4n));
    expect([scaled.umin, scaled.umax, scaled.bits.value & 7n, scaled.bits.mask & 7n]).toEqual([4n, 124n, 4n, 0n]);
    const [signed] = wide.assume("s<=", wide.unknown, wide.constant(-1n), false, true)!;
    expect([signed.low.smin, signed.low.umax]).toEqual([0n, 0x7fff_ffffn]);
    const bounds = (op: Comparison, taken: boolean): bigint[] => {
      const [a] = wide.assume(op, wide.range(0n, 100n), wide.constant(9n), taken, false)!;
      return [a.umin, a.umax];
    };
    expect([
      bounds("<", false),
      bounds("<=", false),
      bounds(">", false),
      bounds(">=", false),
      bounds("s<", false),
      bounds("s<=", false),
      bounds("s>", false),
      bounds("s>=", false),
      bounds("!=", false),
    ]).toEqual([
      [9n, 100n],
      [10n, 100n],
      [0n, 9n],
      [0n, 8n],
      [9n, 100n],
      [10n, 100n],
      [0n, 9n],
      [0n, 8n],
      [9n, 9n],
    ]);
    expect(wide.assume("s>", masked, wide.constant(15n), true, false)).toBeUndefined();
  });
});
