/**
 * LZ4 frames, unpacked as they come; memory is that of two blocks and the 64 KiB that may be referred back to.
 *
 *   magic 0x184D2204 (4)   flags (1): version 7-6, blocks independent 5, block checksums 4, content size 3, content
 *   checksum 2, dictionary 0   largest block (1): 6-4   [content size (8)]   header checksum (1)
 *   blocks: length (4), its highest bit: stored as it is; then [checksum (4)]; a length of 0 ends them   [checksum (4)]
 *
 * Checksums are passed over. Skippable frames and frames behind each other are read.
 *
 * @source LZ4 Frame Format Description; LZ4 Block Format Description
 */

import { unpackLz4Block } from "@kreplica/inputs";

/** Why a frame cannot be unpacked. */
export class Lz4Error extends Error {}

const MAGIC = 0x184d_2204;
const SKIPPABLE = 0x184d_2a50;
const WINDOW = 1 << 16;

/** Whether the bytes begin like a frame. */
export const isLz4 = (bytes: Uint8Array): boolean =>
  bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === MAGIC;

/** Takes packed bytes in pieces, hands on unpacked ones. The array it hands on is used again. */
export class Lz4Stream {
  private held = new Uint8Array(1 << 16);
  private filled = 0;
  private at = 0;
  /** The window, and the block behind it. */
  private out = new Uint8Array(0);
  private window = 0;
  private inFrame = false;
  private flags = 0;
  private largest = 0;

  constructor(private readonly sink: (part: Uint8Array) => void) {}

  /** @throws Lz4Error */
  push(part: Uint8Array): void {
    if (this.filled + part.length > this.held.length) {
      const larger = new Uint8Array(2 * (this.filled + part.length));
      larger.set(this.held.subarray(0, this.filled));
      this.held = larger;
    }
    this.held.set(part, this.filled);
    this.filled += part.length;
    while (this.inFrame ? this.block() : this.header());
    this.held.copyWithin(0, this.at, this.filled);
    this.filled -= this.at;
    this.at = 0;
  }

  /** @throws Lz4Error where the last frame is not whole */
  finish(): void {
    if (this.inFrame || this.filled > 0) throw new Lz4Error("it ends within a frame");
  }

  private word(at: number): number {
    const { held } = this;
    return (held[at]! | (held[at + 1]! << 8) | (held[at + 2]! << 16) | (held[at + 3]! << 24)) >>> 0;
  }

  private left(bytes: number): boolean {
    return this.filled - this.at >= bytes;
  }

  private header(): boolean {
    if (!this.left(4)) return false;
    const magic = this.word(this.at);
    if ((magic & 0xffff_fff0) >>> 0 === SKIPPABLE) {
      if (!this.left(8)) return false;
      const length = this.word(this.at + 4);
      if (!this.left(8 + length)) return false;
      this.at += 8 + length;
      return true;
    }
    if (magic !== MAGIC) throw new Lz4Error("no frame begins here");
    if (!this.left(6)) return false;
    this.flags = this.held[this.at + 4]!;
    const size = (this.held[this.at + 5]! >> 4) & 7;
    if (this.flags >> 6 !== 1 || size < 4) throw new Lz4Error("a frame of no known version or block size");
    if ((this.flags & 1) !== 0) throw new Lz4Error("it needs a dictionary");
    const length = 7 + ((this.flags & 8) === 0 ? 0 : 8);
    if (!this.left(length)) return false;
    this.at += length;
    this.largest = 1 << (8 + 2 * size);
    this.out = new Uint8Array(WINDOW + this.largest);
    this.window = 0;
    this.inFrame = true;
    return true;
  }

  private block(): boolean {
    if (!this.left(4)) return false;
    const word = this.word(this.at);
    const length = word & 0x7fff_ffff;
    if (length === 0) {
      const ending = 4 + ((this.flags & 4) === 0 ? 0 : 4);
      if (!this.left(ending)) return false;
      this.at += ending;
      this.inFrame = false;
      return true;
    }
    if (length > this.largest) throw new Lz4Error(`a block of ${length} bytes, and ${this.largest} are the most`);
    const whole = 4 + length + ((this.flags & 16) === 0 ? 0 : 4);
    if (!this.left(whole)) return false;
    const packed = this.held.subarray(this.at + 4, this.at + 4 + length);
    this.at += whole;
    const from = this.window;
    const stored = word !== length;
    if (stored) this.out.set(packed, from);
    const end = stored ? from + length : this.unpacked(packed, from);
    this.sink(this.out.subarray(from, end));
    // What later blocks may refer back to: nothing where they are independent.
    if ((this.flags & 32) !== 0) this.window = 0;
    else {
      const kept = Math.min(end, WINDOW);
      this.out.copyWithin(0, end - kept, end);
      this.window = kept;
    }
    return true;
  }

  /** A block behind what is there. @returns where it ends @throws Lz4Error */
  private unpacked(packed: Uint8Array, from: number): number {
    const room = { from, to: this.out.length, lowest: 0 };
    const end = unpackLz4Block(
      packed,
      0,
      packed.length,
      this.out,
      room,
      "a block unpacks to more than its frame allows",
    );
    if (typeof end !== "number") throw new Lz4Error(end.reason);
    return end;
  }
}
