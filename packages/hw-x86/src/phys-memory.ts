/**
 * Sparse physical memory in host memory: frames share host storage until one of them is written. Reads allocate nothing.
 *
 *   frame  31 .. 18 | 17 .. 9 | 8 .. 0
 *          region   | chunk   | frame in chunk     regions[region][chunk] -> chunk number -> slotOf[chunk << 9 | frame]
 *   slot   31 .. 6  | 5 .. 0
 *          segment  | page in segment              slot 0 is the page of zeros; a slot with several references is read-only
 *
 * Two small levels before the slot, so that a machine of terabytes costs nothing until a frame is written and a frame of the
 * most distant node is found as fast as any other.
 */
import { HOLE, OwnerTable, frameRanges } from "./memory-layout.js";
import type { FrameRange, PhysMemory } from "./memory-api.js";
import type { NodeSpec } from "./spec.js";

const REGION_CHUNKS = 512;
const SEGMENT_SLOTS = 64;
const SEGMENT_WORDS = SEGMENT_SLOTS * 1024;
const NO_CHUNKS = new Int32Array(REGION_CHUNKS);
/** 16 TiB: the frames that fit 32 bits. */
const REGIONS = 0x4000;
const LIMIT = 1n << 44n;

const doubled = <T extends Int32Array | Uint32Array>(array: T, make: (length: number) => T): T => {
  const larger = make(array.length * 2);
  larger.set(array);
  return larger;
};

export class SparseMemory implements PhysMemory {
  readonly ranges: readonly FrameRange[];
  private readonly owners: OwnerTable;
  private readonly regions: Int32Array[] = new Array<Int32Array>(REGIONS).fill(NO_CHUNKS);
  /** By chunk number and frame in chunk; chunk 0 stays all zero and stands for every chunk never written. */
  private slots = new Int32Array(16 * 512);
  private versions = new Uint32Array(16 * 512);
  private chunkCount = 1;
  private regionCount = 0;
  /** Segments as words and, over the same buffers, as bytes: the host is little endian, as x86-64 is. */
  private readonly words: Int32Array[] = [new Int32Array(SEGMENT_WORDS)];
  private readonly bytes: Uint8Array[] = [new Uint8Array(this.words[0]!.buffer)];
  /** References to each slot. A free slot has none and links to the next free one through {@link nextFree}. */
  private references = new Int32Array(SEGMENT_SLOTS);
  private nextFree = new Int32Array(SEGMENT_SLOTS);
  private freeSlot = 0;
  private slotCount = 1;
  private readonly eight = new Uint8Array(8);
  private readonly eightView = new DataView(this.eight.buffer);

  /** @param nodes owners of the memory; frames outside their ranges can be used as well, and belong to no node */
  constructor(nodes: readonly NodeSpec[]) {
    this.ranges = frameRanges(nodes);
    this.owners = new OwnerTable(this.ranges, (node) => node);
  }

  nodeOf(frame: number): number {
    const owner = this.owners.of(frame);
    return owner === HOLE ? -1 : owner;
  }

  read32(frame: number, word: number): number {
    const slot = this.slots[(this.regions[frame >>> 18]![(frame >>> 9) & 511]! << 9) | (frame & 511)]!;
    return this.words[slot >>> 6]![((slot & 63) << 10) | word]! >>> 0;
  }

  write32(frame: number, word: number, value: number): void {
    const slot = this.writable(frame);
    this.words[slot >>> 6]![((slot & 63) << 10) | word] = value;
  }

  version(frame: number): number {
    return this.versions[(this.regions[frame >>> 18]![(frame >>> 9) & 511]! << 9) | (frame & 511)]!;
  }

  copyFrame(from: number, to: number): void {
    const slot = this.slots[this.place(from)]!;
    if (slot !== 0) this.references[slot]!++;
    this.replace(to, slot);
  }

  clearFrame(frame: number): void {
    this.replace(frame, 0);
  }

  equalFrames(a: number, b: number): boolean {
    const slotA = this.slots[this.place(a)]!;
    const slotB = this.slots[this.place(b)]!;
    if (slotA === slotB) return true;
    const wordsA = this.words[slotA >>> 6]!;
    const wordsB = this.words[slotB >>> 6]!;
    const baseA = (slotA & 63) << 10;
    const baseB = (slotB & 63) << 10;
    for (let word = 0; word < 1024; word++) {
      if (wordsA[baseA + word] !== wordsB[baseB + word]) return false;
    }
    return true;
  }

  readBytes(physical: bigint, bytes: Uint8Array): void {
    this.eachPiece(physical, bytes.length, (frame, offset, at, length) => {
      const slot = this.slots[this.place(frame)]!;
      const start = ((slot & 63) << 12) + offset;
      bytes.set(this.bytes[slot >>> 6]!.subarray(start, start + length), at);
    });
  }

  writeBytes(physical: bigint, bytes: Uint8Array): void {
    this.eachPiece(physical, bytes.length, (frame, offset, at, length) => {
      const slot = this.writable(frame);
      this.bytes[slot >>> 6]!.set(bytes.subarray(at, at + length), ((slot & 63) << 12) + offset);
    });
  }

  read64(physical: bigint): bigint {
    this.readBytes(physical, this.eight);
    return this.eightView.getBigUint64(0, true);
  }

  write64(physical: bigint, value: bigint): void {
    this.eightView.setBigUint64(0, value, true);
    this.writeBytes(physical, this.eight);
  }

  get hostBytes(): number {
    return this.words.length * SEGMENT_WORDS * 4 + this.slots.byteLength + this.versions.byteLength
      + this.references.byteLength + this.nextFree.byteLength + this.regionCount * REGION_CHUNKS * 4 + this.owners.owner.byteLength;
  }

  /** Splits a byte range at frame borders. */
  private eachPiece(physical: bigint, bytes: number, visit: (frame: number, offset: number, at: number, length: number) => void): void {
    if (physical < 0n || physical + BigInt(bytes) > LIMIT) {
      throw new RangeError(`physical address 0x${physical.toString(16)} + ${bytes} bytes is outside 0..2^44; the model addresses 16 TiB`);
    }
    let frame = Number(physical >> 12n);
    let offset = Number(physical & 4095n);
    for (let at = 0; at < bytes; frame++, offset = 0) {
      const length = Math.min(4096 - offset, bytes - at);
      visit(frame, offset, at, length);
      at += length;
    }
  }

  /** Index of a frame in `slots` and `versions`, for reading. */
  private place(frame: number): number {
    return (this.regions[frame >>> 18]![(frame >>> 9) & 511]! << 9) | (frame & 511);
  }

  /** The same, in a chunk of its own. */
  private ownPlace(frame: number): number {
    const place = this.place(frame);
    return place >= 512 ? place : this.addChunk(frame);
  }

  private addChunk(frame: number): number {
    let region = this.regions[frame >>> 18]!;
    if (region === NO_CHUNKS) {
      region = new Int32Array(REGION_CHUNKS);
      this.regions[frame >>> 18] = region;
      this.regionCount++;
    }
    if (this.chunkCount << 9 === this.slots.length) {
      this.slots = doubled(this.slots, (length) => new Int32Array(length));
      this.versions = doubled(this.versions, (length) => new Uint32Array(length));
    }
    region[(frame >>> 9) & 511] = this.chunkCount++;
    return this.place(frame);
  }

  /** Slot only this frame refers to, with the frame's bytes; counts a write. */
  private writable(frame: number): number {
    const place = this.ownPlace(frame);
    this.versions[place]!++;
    const slot = this.slots[place]!;
    if (slot !== 0 && this.references[slot] === 1) return slot;
    const own = this.takeSlot();
    const from = (slot & 63) << 10;
    this.words[own >>> 6]!.set(this.words[slot >>> 6]!.subarray(from, from + 1024), (own & 63) << 10);
    if (slot !== 0) this.references[slot]!--;
    this.slots[place] = own;
    return own;
  }

  private replace(frame: number, slot: number): void {
    const place = this.ownPlace(frame);
    const old = this.slots[place]!;
    this.slots[place] = slot;
    this.versions[place]!++;
    if (old !== 0 && --this.references[old]! === 0) {
      this.nextFree[old] = this.freeSlot;
      this.freeSlot = old;
    }
  }

  private takeSlot(): number {
    let slot = this.freeSlot;
    if (slot !== 0) this.freeSlot = this.nextFree[slot]!;
    else {
      slot = this.slotCount++;
      if (slot >>> 6 === this.words.length) {
        const words = new Int32Array(SEGMENT_WORDS);
        this.words.push(words);
        this.bytes.push(new Uint8Array(words.buffer));
      }
      if (slot === this.references.length) {
        this.references = doubled(this.references, (length) => new Int32Array(length));
        this.nextFree = doubled(this.nextFree, (length) => new Int32Array(length));
      }
    }
    this.references[slot] = 1;
    return slot;
  }
}
