/**
 * Seeded numbers for generators: the same seed gives the same programs, everywhere.
 * @source Marsaglia, "Xorshift RNGs" (2003), 32-bit triple 13, 17, 5
 */
export class Random {
  private state: number;
  constructor(seed: number) {
    // Spread neighbouring seeds; zero would stay zero.
    this.state = Math.imul(seed + 1, 0x9e37_79b1) | 0 || 1;
    for (let i = 0; i < 4; i++) this.next();
  }
  /** Int32, never 0. */
  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (this.state = x);
  }
  /** 0 .. n - 1. */
  below(n: number): number {
    return (this.next() >>> 0) % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  /** A 64-bit word, often near an edge. */
  word(): bigint {
    const wide = (BigInt(this.next() >>> 0) << 32n) | BigInt(this.next() >>> 0);
    switch (this.below(5)) {
      case 0:
        return BigInt(this.below(64));
      case 1:
        return BigInt.asUintN(64, -BigInt(this.below(64)));
      case 2:
        return BigInt.asUintN(64, (1n << BigInt(this.below(64))) + BigInt(this.below(3) - 1));
      default:
        return wide;
    }
  }
  /** An Int32 with small, edge and wide values. */
  immediate(): number {
    return this.chance(50) ? this.below(64) - 8 : Number(BigInt.asIntN(32, this.word()));
  }
}
