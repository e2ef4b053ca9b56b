/** Seeded random numbers and the values instructions are fed with. */

/** xorshift128+ on 32-bit halves would be more than tests need: this is splitmix-like, 32 bits a draw. */
export class Random {
  constructor(private state: number) {}
  /** @returns unsigned 32 bits */
  word(): number {
    this.state = (this.state + 0x9e37_79b9) | 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x85eb_ca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2_ae35);
    return (z ^ (z >>> 16)) >>> 0;
  }
  /** @returns 0 to n - 1 */
  below(n: number): number {
    return this.word() % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  wide(): bigint {
    return (BigInt(this.word()) << 32n) | BigInt(this.word());
  }
  /** A 64-bit value that is often special: small, near a power of two, a repeated byte, one half empty. */
  value(): bigint {
    const u = (x: bigint): bigint => BigInt.asUintN(64, x);
    switch (this.below(9)) {
      case 0:
        return BigInt(this.below(4));
      case 1:
        return u(-BigInt(this.below(4)));
      case 2:
        return u((1n << BigInt(this.below(64))) - BigInt(this.below(3)));
      case 3:
        return BigInt(this.below(300));
      case 4:
        return BigInt(this.word());
      case 5:
        return u(~BigInt(this.word()));
      case 6:
        return 0x0101_0101_0101_0101n * BigInt(this.pick([0x7f, 0x80, 0xff, 0x55, 1]));
      default:
        return this.wide();
    }
  }
}
