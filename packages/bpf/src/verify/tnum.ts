/**
 * Tracked numbers: for each bit of a word whether it is 0, 1 or unknown, and arithmetic on such words.
 *
 *   mask bit 1: unknown (value bit then 0)        mask bit 0: known, equal to the value bit
 *
 * The width is a parameter so that tests can prove each operation against enumeration on 4 bits.
 *
 * @source Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with Tristate Numbers" (CGO 2022)
 */
export interface Tnum {
  readonly value: bigint;
  readonly mask: bigint;
}

/** Operations on tnums of one width. */
export class Tnums {
  readonly all: bigint;
  readonly unknown: Tnum;
  constructor(readonly bits: number) {
    this.all = (1n << BigInt(bits)) - 1n;
    this.unknown = { value: 0n, mask: this.all };
  }

  known(value: bigint): Tnum {
    return { value: value & this.all, mask: 0n };
  }

  /** Whether the concrete word is one of those described. */
  contains(t: Tnum, word: bigint): boolean {
    return (word & ~t.mask & this.all) === t.value;
  }

  /** Whether every word of `inner` is one of `outer`. */
  includes(outer: Tnum, inner: Tnum): boolean {
    return (inner.mask & ~outer.mask) === 0n && (inner.value & ~outer.mask) === outer.value;
  }

  /** Smallest tnum that holds every word from `min` to `max`, unsigned: their common upper bits. */
  range(min: bigint, max: bigint): Tnum {
    const differ = min ^ max,
      upper = Number(differ >> 32n);
    const length = upper !== 0 ? 64 - Math.clz32(upper) : 32 - Math.clz32(Number(BigInt.asUintN(32, differ)));
    const mask = (1n << BigInt(length)) - 1n;
    return { value: min & ~mask, mask };
  }

  /** Words in both; undefined when a known bit differs. */
  intersect(a: Tnum, b: Tnum): Tnum | undefined {
    if (((a.value ^ b.value) & ~a.mask & ~b.mask) !== 0n) return undefined;
    const mask = a.mask & b.mask;
    return { value: (a.value | b.value) & ~mask, mask };
  }

  add(a: Tnum, b: Tnum): Tnum {
    // A bit is unknown where an input is, or where carries of the smallest and the largest sum differ.
    const least = a.value + b.value,
      most = least + a.mask + b.mask;
    const mask = ((least ^ most) | a.mask | b.mask) & this.all;
    return { value: least & ~mask & this.all, mask };
  }

  subtract(a: Tnum, b: Tnum): Tnum {
    const middle = a.value - b.value,
      most = middle + a.mask,
      least = middle - b.mask;
    const mask = ((most ^ least) | a.mask | b.mask) & this.all;
    return { value: middle & ~mask & this.all, mask };
  }

  and(a: Tnum, b: Tnum): Tnum {
    const value = a.value & b.value;
    return { value, mask: (a.value | a.mask) & (b.value | b.mask) & ~value };
  }

  or(a: Tnum, b: Tnum): Tnum {
    const value = a.value | b.value;
    return { value, mask: (a.mask | b.mask) & ~value };
  }

  xor(a: Tnum, b: Tnum): Tnum {
    const mask = a.mask | b.mask;
    return { value: (a.value ^ b.value) & ~mask, mask };
  }

  /** Sum over the bits of `a` of what each contributes: known ones exactly, unknown ones as "b or nothing". */
  multiply(a: Tnum, b: Tnum): Tnum {
    let sum: Tnum = this.known(a.value * b.value);
    let value = a.value,
      mask = a.mask,
      shifted = b;
    while (value > 0n || mask > 0n) {
      if (value & 1n) sum = this.add(sum, { value: 0n, mask: shifted.mask });
      else if (mask & 1n) sum = this.add(sum, { value: 0n, mask: shifted.value | shifted.mask });
      value >>= 1n;
      mask >>= 1n;
      shifted = this.shiftLeft(shifted, 1);
    }
    return sum;
  }

  /** @param count 0 to the width */
  shiftLeft(t: Tnum, count: number): Tnum {
    return { value: (t.value << BigInt(count)) & this.all, mask: (t.mask << BigInt(count)) & this.all };
  }
  shiftRight(t: Tnum, count: number): Tnum {
    return { value: t.value >> BigInt(count), mask: t.mask >> BigInt(count) };
  }
  shiftRightSigned(t: Tnum, count: number): Tnum {
    const signed = (word: bigint): bigint => BigInt.asUintN(this.bits, BigInt.asIntN(this.bits, word) >> BigInt(count));
    return { value: signed(t.value), mask: signed(t.mask) };
  }

  /** Low `bits`, the rest known zero. */
  truncate(t: Tnum, bits: number): Tnum {
    const keep = (1n << BigInt(bits)) - 1n;
    return { value: t.value & keep, mask: t.mask & keep };
  }

  /** Low `bits` replaced by those of `low`. */
  withLow(t: Tnum, low: Tnum, bits: number): Tnum {
    const keep = (1n << BigInt(bits)) - 1n;
    return { value: (t.value & ~keep) | (low.value & keep), mask: (t.mask & ~keep) | (low.mask & keep) };
  }
}
