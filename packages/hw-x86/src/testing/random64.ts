/** Xorshift over 64 bits in two halves: the generator of the golden trace. */

/** Marsaglia, "Xorshift RNGs" (2003), shifts 13, 7, 17. */
export class Random64 {
  private lo: number;
  private hi: number;

  /** @param lo low 32 bits of the seed @param hi high 32 bits; not both 0 */
  constructor(lo: number, hi: number) {
    this.lo = lo | 0;
    this.hi = hi | 0;
  }

  /** The next 64 bits modulo `bound`. @param bound 1 to 2^21, so that every product stays exact */
  below(bound: number): number {
    this.advance();
    return (((this.hi >>> 0) % bound) * (0x1_0000_0000 % bound) + ((this.lo >>> 0) % bound)) % bound;
  }

  /** The next 53 high bits as a fraction, 0 to below 1. */
  unit(): number {
    this.advance();
    return ((this.hi >>> 0) * 0x20_0000 + (this.lo >>> 11)) * (1 / 9007199254740992);
  }

  private advance(): void {
    let { lo, hi } = this;
    hi ^= (hi << 13) | (lo >>> 19);
    lo ^= lo << 13;
    lo ^= (lo >>> 7) | (hi << 25);
    hi ^= hi >>> 7;
    hi ^= (hi << 17) | (lo >>> 15);
    lo ^= lo << 17;
    this.lo = lo;
    this.hi = hi;
  }
}
