/**
 * Free frames of one run of memory as bits: a free block is a run of ones, so that neighbours never have to be joined.
 */
import { type Frame, NONE } from "@kreplica/hw-x86/api";

/** Frames [first, first + frames), all taken at first. */
export class FrameBitmap {
  free = 0;
  private readonly bits: Uint32Array;
  /** Frame of bit 0: on 1024, so that a block of any order is aligned in the bitmap where it is in memory. */
  private readonly base: Frame;
  /** No word below this one has a free frame. */
  private lowest = 0;

  constructor(
    readonly first: Frame,
    readonly frames: number,
  ) {
    this.base = first - (first % 1024);
    this.bits = new Uint32Array(Math.ceil((first + frames - this.base) / 32));
  }

  has(frame: Frame): boolean {
    return frame >= this.first && frame < this.first + this.frames;
  }

  isFree(frame: Frame): boolean {
    const bit = frame - this.base;
    return ((this.bits[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
  }

  /** Takes the lowest free block of 2^order frames on a multiple of its size. @returns NONE when there is none */
  take(order: number): Frame {
    while (this.lowest < this.bits.length && this.bits[this.lowest] === 0) this.lowest++;
    const size = 2 ** order;
    for (let word = this.lowest; word < this.bits.length; word++) {
      if (order < 5) {
        const ones = 2 ** size - 1;
        for (let bit = 0; bit < 32; bit += size)
          if (((this.bits[word]! >>> bit) & ones) >>> 0 === ones) return this.taken(word * 32 + bit, size);
        continue;
      }
      const words = size / 32;
      word = Math.ceil(word / words) * words;
      if (word + words > this.bits.length) break;
      if (this.bits.subarray(word, word + words).every((each) => each === 0xffff_ffff))
        return this.taken(word * 32, size);
      word += words - 1;
    }
    return NONE;
  }

  /** @param free whether the frames become free, or taken */
  set(first: Frame, frames: number, free: boolean): void {
    for (let bit = first - this.base; bit < first - this.base + frames; bit++) {
      if (free) this.bits[bit >>> 5]! |= 1 << (bit & 31);
      else this.bits[bit >>> 5]! &= ~(1 << (bit & 31));
    }
    this.free += free ? frames : -frames;
    if (free) this.lowest = Math.min(this.lowest, (first - this.base) >>> 5);
  }

  private taken(bit: number, frames: number): Frame {
    this.set(this.base + bit, frames, false);
    return this.base + bit;
  }
}
