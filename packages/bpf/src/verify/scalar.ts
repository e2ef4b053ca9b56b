/**
 * What the verifier knows of a number: a tnum, signed and unsigned bounds of the whole word, and of its lower half
 * (the 32-bit subregister). Every operation gives a description that holds for each pair of numbers described.
 *
 * The width is a parameter (64 in the verifier), so that tests can enumerate all numbers of a small width.
 */
import { invariant } from "../errors.js";
import { type Tnum, Tnums } from "./tnum.js";

/** Bounds of a word or of its lower half, both ends included. */
export interface Bounds {
  readonly umin: bigint;
  readonly umax: bigint;
  readonly smin: bigint;
  readonly smax: bigint;
}
/** What is known of a number: bits, and signed and unsigned bounds of the word and of its lower half. */
export interface Scalar extends Bounds {
  readonly bits: Tnum;
  readonly low: Bounds;
}
export type Operation = "add" | "sub" | "mul" | "and" | "or" | "xor" | "lsh" | "rsh" | "arsh";
export type Comparison = "==" | "!=" | ">" | ">=" | "<" | "<=" | "s>" | "s>=" | "s<" | "s<=" | "&";
const NEGATED: Readonly<Record<Comparison, Comparison | "!&">> = {
  "==": "!=",
  "!=": "==",
  ">": "<=",
  ">=": "<",
  "<": ">=",
  "<=": ">",
  "s>": "s<=",
  "s>=": "s<",
  "s<": "s>=",
  "s<=": "s>",
  "&": "!&",
};
const SWAPPED: Readonly<Record<string, Comparison>> = { ">": "<", ">=": "<=", "s>": "s<", "s>=": "s<=" };

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);

export class Scalars {
  readonly half: number;
  readonly tnums: Tnums;
  readonly lowTnums: Tnums;
  readonly unknown: Scalar;

  /** @param width even count of bits */
  constructor(readonly width: number) {
    this.half = width / 2;
    this.tnums = new Tnums(width);
    this.lowTnums = new Tnums(this.half);
    this.unknown = { bits: this.tnums.unknown, ...full(width), low: full(this.half) };
  }

  constant(value: bigint): Scalar {
    const point = (bits: number): Bounds => {
      const u = BigInt.asUintN(bits, value),
        s = BigInt.asIntN(bits, value);
      return { umin: u, umax: u, smin: s, smax: s };
    };
    return { bits: this.tnums.known(value), ...point(this.width), low: point(this.half) };
  }

  /** The one value, unsigned, when there is but one. */
  value(a: Scalar): bigint | undefined {
    return a.bits.mask === 0n ? a.bits.value : undefined;
  }
  lowValue(a: Scalar): bigint | undefined {
    return a.low.umin === a.low.umax ? a.low.umin : undefined;
  }

  /** Everything from `umin` to `umax`, unsigned. */
  range(umin: bigint, umax: bigint): Scalar {
    return this.must({ ...this.unknown, umin, umax });
  }

  contains(a: Scalar, word: bigint): boolean {
    return this.tnums.contains(a.bits, word) && within(a, word, this.width) && within(a.low, word, this.half);
  }

  /** Whether every number of `inner` is one of `outer`, by their bounds. */
  includes(outer: Scalar, inner: Scalar): boolean {
    return this.tnums.includes(outer.bits, inner.bits) && covers(outer, inner) && covers(outer.low, inner.low);
  }

  /** Makes each part as narrow as the others allow. @returns undefined when no number is left */
  deduce(a: Scalar): Scalar | undefined {
    // One number only: nothing to narrow, and half of all that a program computes with.
    if (a.bits.mask === 0n) return this.contains(a, a.bits.value) ? this.constant(a.bits.value) : undefined;
    const all = this.tnums.all,
      half = BigInt(this.half),
      lowAll = this.lowTnums.all;
    const least = -(1n << (half - 1n)),
      most = (1n << (half - 1n)) - 1n;
    let bits: Tnum | undefined = a.bits;
    let word: Bounds | undefined = a,
      low: Bounds | undefined = a.low;
    for (let round = 0; round < 3; round++) {
      const bitsBefore: Tnum = bits,
        wordBefore: Bounds = word,
        lowBefore: Bounds = low;
      word = narrow(word, bits, this.width);
      if (!word) return undefined;
      bits = this.tnums.intersect(bits, this.tnums.range(word.umin, word.umax));
      if (!bits) return undefined;
      low = narrow(low, this.tnums.truncate(bits, this.half), this.half);
      if (!low) return undefined;
      if (word.umin >> half === word.umax >> half) {
        low = narrow(
          { ...low, umin: max(low.umin, word.umin & lowAll), umax: min(low.umax, word.umax & lowAll) },
          this.lowTnums.unknown,
          this.half,
        );
        if (!low) return undefined;
      }
      // Signed bounds that fit the lower half bound it as well: the half holds the same number.
      if (word.smin >= least && word.smax <= most) {
        low = narrow(
          { ...low, smin: max(low.smin, word.smin), smax: min(low.smax, word.smax) },
          this.lowTnums.unknown,
          this.half,
        );
        if (!low) return undefined;
      }
      const lowBits = this.lowTnums.intersect(
        this.tnums.truncate(bits, this.half),
        this.lowTnums.range(low.umin, low.umax),
      );
      if (!lowBits) return undefined;
      bits = this.tnums.withLow(bits, lowBits, this.half);
      // Smallest word not below umin whose half lies in bounds, largest not above umax.
      let umin = word.umin,
        umax = word.umax;
      if ((umin & lowAll) < low.umin) umin = (umin & ~lowAll) | low.umin;
      else if ((umin & lowAll) > low.umax) umin = (umin & ~lowAll) + lowAll + 1n + low.umin;
      if ((umax & lowAll) > low.umax) umax = (umax & ~lowAll) | low.umax;
      else if ((umax & lowAll) < low.umin) umax = (umax & ~lowAll) - lowAll - 1n + low.umax;
      if (umin > umax || umin > all || umax < 0n) return undefined;
      word = narrow({ umin, umax, smin: word.smin, smax: word.smax }, bits, this.width);
      if (!word) return undefined;
      // A round that changed nothing would change nothing again.
      if (
        bits.mask === bitsBefore.mask &&
        bits.value === bitsBefore.value &&
        alike(word, wordBefore) &&
        alike(low, lowBefore)
      )
        break;
    }
    return { bits, umin: word.umin, umax: word.umax, smin: word.smin, smax: word.smax, low };
  }

  private must(a: Scalar): Scalar {
    const deduced = this.deduce(a);
    invariant(deduced !== undefined, "a number that exists has no description");
    return deduced;
  }

  /** `a op b`; a shift count beyond the width gives an unknown number. */
  apply(op: Operation, a: Scalar, b: Scalar): Scalar {
    const word = bounds(op, a, b, this.width),
      count = this.value(b);
    const shift = op === "lsh" || op === "rsh" || op === "arsh";
    const bits = this.tnumOf(
      op,
      this.tnums,
      a.bits,
      b.bits,
      shift && count !== undefined && count < BigInt(this.width) ? Number(count) : undefined,
    );
    // The lower half of these results depends on the lower halves only; that of right shifts does not.
    const low =
      op === "rsh" || op === "arsh" || (op === "lsh" && b.umax >= BigInt(this.half))
        ? full(this.half)
        : bounds(op, a.low, b.low, this.half);
    return this.must({ bits, ...word, low });
  }

  /** The same on the lower half, the upper half becoming zero. */
  applyLow(op: Operation, a: Scalar, b: Scalar): Scalar {
    const count = this.lowValue(b);
    const shift = op === "lsh" || op === "rsh" || op === "arsh";
    const low = bounds(op, a.low, b.low, this.half);
    const bits = this.tnumOf(
      op,
      this.lowTnums,
      this.tnums.truncate(a.bits, this.half),
      this.tnums.truncate(b.bits, this.half),
      shift && count !== undefined && count < BigInt(this.half) ? Number(count) : undefined,
    );
    return this.must({ ...this.unknown, bits, low, umax: this.lowTnums.all });
  }

  private tnumOf(op: Operation, tnums: Tnums, a: Tnum, b: Tnum, count: number | undefined): Tnum {
    switch (op) {
      case "add":
        return tnums.add(a, b);
      case "sub":
        return tnums.subtract(a, b);
      case "mul":
        return tnums.multiply(a, b);
      case "and":
        return tnums.and(a, b);
      case "or":
        return tnums.or(a, b);
      case "xor":
        return tnums.xor(a, b);
      case "lsh":
        return count === undefined ? tnums.unknown : tnums.shiftLeft(a, count);
      case "rsh":
        return count === undefined ? tnums.unknown : tnums.shiftRight(a, count);
      case "arsh":
        return count === undefined ? tnums.unknown : tnums.shiftRightSigned(a, count);
    }
  }

  /** Low `bits`, zero extended. */
  zeroExtend(a: Scalar, bits: number): Scalar {
    const most = (1n << BigInt(bits)) - 1n;
    return this.must({
      ...this.unknown,
      bits: this.tnums.truncate(a.bits, bits),
      umax: most,
      low: bits >= this.half ? a.low : full(this.half),
    });
  }

  /** Low `bits`, sign extended to the whole word. */
  signExtend(a: Scalar, bits: number): Scalar {
    const sign = 1n << BigInt(bits - 1);
    const fits = a.smin >= -sign && a.smax < sign;
    if (fits) return a;
    if (a.bits.mask === 0n) return this.constant(BigInt.asIntN(bits, a.bits.value));
    return this.must({ ...this.unknown, smin: -sign, smax: sign - 1n });
  }

  /**
   * What holds of both sides when `a op b` came out as `taken`.
   *
   * @param low whether the comparison looked at the lower halves
   * @returns undefined when it cannot come out so
   */
  assume(op: Comparison, a: Scalar, b: Scalar, taken: boolean, low: boolean): readonly [Scalar, Scalar] | undefined {
    const kind = taken ? op : NEGATED[op];
    const swapped = SWAPPED[kind];
    if (swapped) {
      const both = this.assume(swapped, b, a, true, low);
      return both && [both[1], both[0]];
    }
    const width = low ? this.half : this.width;
    let left: Bounds = low ? a.low : a,
      right: Bounds = low ? b.low : b,
      bitsA = a.bits,
      bitsB = b.bits;
    switch (kind) {
      case "==": {
        left = right = {
          umin: max(left.umin, right.umin),
          umax: min(left.umax, right.umax),
          smin: max(left.smin, right.smin),
          smax: min(left.smax, right.smax),
        };
        if (low) {
          const common = this.lowTnums.intersect(
            this.tnums.truncate(bitsA, this.half),
            this.tnums.truncate(bitsB, this.half),
          );
          if (!common) return undefined;
          bitsA = this.tnums.withLow(bitsA, common, this.half);
          bitsB = this.tnums.withLow(bitsB, common, this.half);
        } else {
          const common = this.tnums.intersect(bitsA, bitsB);
          if (!common) return undefined;
          bitsA = bitsB = common;
        }
        break;
      }
      case "!=":
        if (left.umin === left.umax && right.umin === right.umax && left.umin === right.umin) return undefined;
        if (right.umin === right.umax) left = without(left, right.umin, width);
        else if (left.umin === left.umax) right = without(right, left.umin, width);
        break;
      case "<":
        left = { ...left, umax: min(left.umax, right.umax - 1n) };
        right = { ...right, umin: max(right.umin, (low ? a.low : a).umin + 1n) };
        break;
      case "<=":
        left = { ...left, umax: min(left.umax, right.umax) };
        right = { ...right, umin: max(right.umin, (low ? a.low : a).umin) };
        break;
      case "s<":
        left = { ...left, smax: min(left.smax, right.smax - 1n) };
        right = { ...right, smin: max(right.smin, (low ? a.low : a).smin + 1n) };
        break;
      case "s<=":
        left = { ...left, smax: min(left.smax, right.smax) };
        right = { ...right, smin: max(right.smin, (low ? a.low : a).smin) };
        break;
      case "&": {
        const field = (1n << BigInt(width)) - 1n;
        const possible = (bitsA.value | bitsA.mask) & (bitsB.value | bitsB.mask) & field;
        if (possible === 0n) return undefined;
        // One single bit tested: it is set.
        const known = low ? this.lowValue(b) : this.value(b);
        if (known !== undefined && (known & (known - 1n)) === 0n)
          bitsA = { value: bitsA.value | known, mask: bitsA.mask & ~known };
        break;
      }
      case "!&": {
        const field = (1n << BigInt(width)) - 1n;
        if ((bitsA.value & bitsB.value & field) !== 0n) return undefined;
        const known = low ? this.lowValue(b) : this.value(b);
        if (known !== undefined) bitsA = { value: bitsA.value & ~known, mask: bitsA.mask & ~known };
        break;
      }
    }
    const join = (whole: Scalar, part: Bounds, bits: Tnum): Scalar | undefined =>
      this.deduce(
        low
          ? { ...whole, bits, low: part }
          : { ...whole, umin: part.umin, umax: part.umax, smin: part.smin, smax: part.smax, bits },
      );
    const first = join(a, left, bitsA),
      second = join(b, right, bitsB);
    return first && second && [first, second];
  }
}

const full = (width: number): Bounds => {
  const top = 1n << BigInt(width - 1);
  return { umin: 0n, umax: 2n * top - 1n, smin: -top, smax: top - 1n };
};
const within = (b: Bounds, word: bigint, width: number): boolean => {
  const u = BigInt.asUintN(width, word),
    s = BigInt.asIntN(width, word);
  return u >= b.umin && u <= b.umax && s >= b.smin && s <= b.smax;
};
const covers = (outer: Bounds, inner: Bounds): boolean =>
  outer.umin <= inner.umin && outer.umax >= inner.umax && outer.smin <= inner.smin && outer.smax >= inner.smax;

const alike = (a: Bounds, b: Bounds): boolean =>
  a.umin === b.umin && a.umax === b.umax && a.smin === b.smin && a.smax === b.smax;

/** Removes one value at an end of the bounds. */
function without(b: Bounds, value: bigint, width: number): Bounds {
  const signed = BigInt.asIntN(width, value);
  return {
    umin: b.umin === value ? b.umin + 1n : b.umin,
    umax: b.umax === value ? b.umax - 1n : b.umax,
    smin: b.smin === signed ? b.smin + 1n : b.smin,
    smax: b.smax === signed ? b.smax - 1n : b.smax,
  };
}

/** Bounds made as narrow as the tnum and each other allow. */
function narrow(b: Bounds, t: Tnum, width: number): Bounds | undefined {
  const sign = 1n << BigInt(width - 1),
    s = (word: bigint): bigint => BigInt.asIntN(width, word),
    u = (word: bigint): bigint => BigInt.asUintN(width, word);
  let umin = max(b.umin, t.value),
    umax = min(b.umax, t.value | t.mask);
  let smin = max(b.smin, s(t.value | (t.mask & sign))),
    smax = min(b.smax, s(t.value | (t.mask & ~sign)));
  if (umin > umax || smin > smax) return undefined;
  if (umin < sign === umax < sign) {
    smin = max(smin, s(umin));
    smax = min(smax, s(umax));
  } else {
    // The unsigned range crosses the sign: positive words are at least umin, negative ones at most umax.
    if (smin >= 0n) smin = max(smin, umin);
    if (smax < 0n) smax = min(smax, s(umax));
  }
  if (smin > smax) return undefined;
  if (smin >= 0n || smax < 0n) {
    umin = max(umin, u(smin));
    umax = min(umax, u(smax));
  }
  return umin > umax ? undefined : { umin, umax, smin, smax };
}

/** Interval arithmetic; full bounds wherever the result could wrap. */
function bounds(op: Operation, a: Bounds, b: Bounds, width: number): Bounds {
  const whole = full(width);
  const unsigned = (umin: bigint, umax: bigint): { umin: bigint; umax: bigint } =>
    umin < 0n || umax > whole.umax ? { umin: 0n, umax: whole.umax } : { umin, umax };
  const signed = (smin: bigint, smax: bigint): { smin: bigint; smax: bigint } =>
    smin < whole.smin || smax > whole.smax ? { smin: whole.smin, smax: whole.smax } : { smin, smax };
  switch (op) {
    case "add":
      return { ...unsigned(a.umin + b.umin, a.umax + b.umax), ...signed(a.smin + b.smin, a.smax + b.smax) };
    case "sub":
      return { ...unsigned(a.umin - b.umax, a.umax - b.umin), ...signed(a.smin - b.smax, a.smax - b.smin) };
    case "mul": {
      const corners = [a.smin * b.smin, a.smin * b.smax, a.smax * b.smin, a.smax * b.smax];
      return { ...unsigned(a.umin * b.umin, a.umax * b.umax), ...signed(corners.reduce(min), corners.reduce(max)) };
    }
    case "and":
      return { ...whole, umax: min(a.umax, b.umax) };
    case "or":
      return { ...whole, umin: max(a.umin, b.umin) };
    case "xor":
      return whole;
    case "lsh":
      if (b.umax >= BigInt(width) || a.umax << b.umax > whole.umax) return whole;
      return { ...whole, umin: a.umin << b.umin, umax: a.umax << b.umax };
    case "rsh":
      if (b.umax >= BigInt(width)) return whole;
      return { ...whole, umin: a.umin >> b.umax, umax: a.umax >> b.umin };
    case "arsh":
      if (b.umax >= BigInt(width)) return whole;
      return {
        ...whole,
        smin: a.smin >> (a.smin < 0n ? b.umin : b.umax),
        smax: a.smax >> (a.smax < 0n ? b.umax : b.umin),
      };
  }
}
