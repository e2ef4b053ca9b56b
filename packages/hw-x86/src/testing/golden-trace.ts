/**
 * The deterministic trace behind the cache and TLB golden: 10 million instructions, each one fetch and one data
 * reference, bit for bit what the C program kept beside the golden writes (the mix "1", or the hostile one).
 *
 *   record = address << 2 | type       type 0 read, 1 write, 2 fetch; addresses are below 2^30
 */
import { Random64 } from "./random64.js";

/**
 * `mixed` (the golden's K=1): text by zipf over 4096 functions, four data references of five in 24 KiB. `hostile`: text
 * at random, data over 320 MiB.
 */
export type GoldenMix = "mixed" | "hostile";

const TEXT = 0x0100_0000;
const TEXT_BYTES = 4 << 20;
const HOT = 0x0800_0000;
const CHASE = 0x1000_0000;
const CHASE_LINES = 1 << 20;
const ZIPF = 0x2000_0000;
const ZIPF_LINES = 1 << 22;
const FUNCTIONS = 4096;
const THETA = 0.99;

/** Zipf ranks by the approximation of Gray et al., "Quickly Generating Billion-Record Synthetic Databases" (1994). */
class ZipfRanks {
  private readonly zeta: number;
  private readonly second = 1 + Math.pow(0.5, THETA);
  private readonly alpha = 1 / (1 - THETA);
  private readonly eta: number;

  constructor(private readonly count: number) {
    let zeta = 0;
    for (let i = 1; i <= count; i++) zeta += Math.pow(1 / i, THETA);
    this.zeta = zeta;
    this.eta = (1 - Math.pow(2 / count, 1 - THETA)) / (1 - this.second / zeta);
  }

  /** @param u 0 to below 1 @returns 0 to count - 1 */
  rank(u: number): number {
    const scaled = u * this.zeta;
    if (scaled < 1) return 0;
    if (scaled < this.second) return 1;
    const rank = Math.trunc(this.count * Math.pow(this.eta * u - this.eta + 1, this.alpha));
    return rank >= this.count ? this.count - 1 : rank;
  }
}

/**
 * The deterministic trace behind the cache and TLB golden, 10 million instructions: record = address << 2 | type (0
 * read, 1 write, 2 fetch).
 */
export class GoldenTrace {
  private readonly random = new Random64(0x7f4a_7c15, 0x9e37_79b9);
  private readonly next: Uint32Array;
  private readonly data = new ZipfRanks(ZIPF_LINES);
  private readonly text = new ZipfRanks(FUNCTIONS);
  private chased = 0;
  private pc = TEXT;
  private step = 0;

  constructor(private readonly mix: GoldenMix) {
    const order = new Uint32Array(CHASE_LINES).map((_, line) => line);
    for (let i = CHASE_LINES - 1; i > 0; i--) {
      const j = this.random.below(i + 1);
      const swapped = order[i]!;
      order[i] = order[j]!;
      order[j] = swapped;
    }
    this.next = new Uint32Array(CHASE_LINES);
    for (let i = 0; i < CHASE_LINES; i++) this.next[order[i]!] = order[(i + 1) % CHASE_LINES]!;
  }

  /** Writes the next `records.length / 2` instructions. @param records an even count */
  fill(records: Uint32Array): void {
    for (let at = 0; at < records.length; at += 2) {
      records[at] = this.pc * 4 + 2;
      records[at + 1] = this.mix === "hostile" ? this.hostileData() : this.mixedData();
      this.advance();
    }
  }

  private mixedData(): number {
    const choice = this.random.below(100);
    if (choice < 80) {
      const address = HOT + this.random.below(3072) * 8;
      return address * 4 + (this.random.below(10) < 4 ? 1 : 0);
    }
    if (choice < 90) return this.chase(0x3_ffff);
    return this.zipfData();
  }

  private hostileData(): number {
    return (this.step & 1) !== 0 ? this.zipfData() : this.chase(CHASE_LINES - 1);
  }

  private chase(mask: number): number {
    const address = CHASE + (this.chased & mask) * 64;
    this.chased = this.next[this.chased]!;
    return address * 4;
  }

  private zipfData(): number {
    const rank = this.data.rank(this.random.unit());
    const address = ZIPF + (Math.imul(rank, 0x9e37_79b1) & (ZIPF_LINES - 1)) * 64;
    return address * 4 + (this.random.below(10) < 3 ? 1 : 0);
  }

  private advance(): void {
    let pc = this.pc + 4;
    if (this.step % 64 === 63) {
      pc =
        this.mix === "hostile"
          ? TEXT + this.random.below(TEXT_BYTES / 64) * 64
          : TEXT + this.text.rank(this.random.unit()) * 512;
    }
    this.pc = pc >= TEXT + TEXT_BYTES ? TEXT : pc;
    this.step++;
  }
}
