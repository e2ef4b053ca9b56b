/**
 * Sparse physical memory in host memory: frames share host storage until one of them is written. Reads allocate
 * nothing.
 *
 *   frame  31 .. 9 | 8 .. 0
 *          chunk   | frame in chunk     directory[chunk] -> chunk number -> slots[number << 9 | frame in chunk] -> arena[slot << 10 | word]
 *
 * Slot 0 is the page of zeros; a slot with several references is read-only. What a frame was promised to hold
 * ({@link SparseMemory.defer}) has a slot, too, but stands there as its complement until somebody looks: nothing was
 * put into it yet, and the host gave no page for it. The directory has a word for each 2 MiB up
 * to the end of memory, which the host gives no page for until it is written; frames beyond that end (devices) have a
 * Map of their own. Three loads to any word: the walker makes two or more of these for every translation.
 */
import { frameOfAddress, hex, PAGE, PAGE_BYTES } from "./addr.js";
import { MEMORY_PLACES, NO_FRAME, physicalPageOf } from "./frame-number.js";
import { HOLE, OwnerTable, frameRanges } from "./memory-layout.js";
import type { FrameRange, FrameWindow, PhysMemory } from "./memory-api.js";
import type { NodeSpec } from "./spec.js";

const FIRST_SLOTS = 16;
/**
 * Arenas grow by doubling up to {@link MEDIUM} slots, then to this many at once, then by as many: 64 MiB. What was not
 * written yet takes none of the host's memory; an arena that was outgrown takes all of its own until it is collected.
 */
const LARGE_STEP = 0x4000;
/** 8 MiB: whoever loads an image of tens of MiB will want several times as much. */
const MEDIUM = 0x800;

/** Slot of a word of `slots`, whether it was filled or not. */
const slotIn = (word: number): number => (word < 0 ? ~word : word);

/** Slots of the arena after one of so many. */
const slotsAfter = (slots: number): number =>
  slots < MEDIUM ? slots * 2 : slots < LARGE_STEP ? LARGE_STEP : slots + LARGE_STEP;

const doubled = <T extends Int32Array | Uint32Array>(array: T, make: (length: number) => T): T => {
  const larger = make(array.length * 2);
  larger.set(array);
  return larger;
};

/** Bytes of frames that are asked for when somebody looks. */
interface Deferral {
  readonly firstSlot: number;
  readonly endSlot: number;
  readonly read: (nth: number, into: Uint8Array) => void;
}

/**
 * Physical memory in host memory: frames share host storage until one of them is written, untouched ones take none.
 * Reads allocate nothing.
 */
export class SparseMemory implements PhysMemory {
  readonly ranges: readonly FrameRange[];
  private readonly owners: OwnerTable;
  /** Chunk number by the high bits of a frame, 0 for a chunk never written. */
  private readonly directory: Int32Array;
  /** The same for frames beyond the directory. */
  private readonly beyond = new Map<number, number>();
  /** By chunk number and frame in chunk; chunk 0 stays all zero and stands for every chunk never written. */
  private slots = new Int32Array(16 * 512);
  private versions = new Uint32Array(16 * 512);
  private chunkCount = 1;
  /** All pages, as words and, over the same buffer, as bytes: the host is little endian, as x86-64 is. */
  private arena = new Int32Array(FIRST_SLOTS * 1024);
  private bytes = new Uint8Array(this.arena.buffer);
  private halves = new Uint16Array(this.arena.buffer);
  /** References to each slot. A free slot has none and links to the next free one through {@link nextFree}. */
  private references = new Int32Array(FIRST_SLOTS);
  private nextFree = new Int32Array(FIRST_SLOTS);
  private freeSlot = 0;
  private slotCount = 1;
  private readonly deferrals: Deferral[] = [];
  /** By slot, 1 while its bytes were not asked for; as long as the last slot that was deferred. */
  private waiting = new Uint8Array(0);
  /**
   * Counts whatever may move a frame's bytes to another place or make it share one: until it changes,
   * {@link window} holds.
   */
  moves = 0;
  /** Its pages lie in a buffer that others use as well: from {@link moveTo} on, until they outgrow it. */
  lent = false;
  private readonly eight = new Uint8Array(8);
  private readonly eightView = new DataView(this.eight.buffer);

  /** @param nodes owners of the memory; frames outside their ranges can be used as well, and belong to no node */
  constructor(nodes: readonly NodeSpec[]) {
    this.ranges = frameRanges(nodes);
    this.owners = new OwnerTable(this.ranges, (node) => node);
    const last = this.ranges.at(-1);
    this.directory = new Int32Array(last ? Math.ceil((last.first + last.frames) / 512) : 0);
  }

  nodeOf(frame: number): number {
    const owner = this.owners.of(frame);
    return owner === HOLE ? -1 : owner;
  }

  read32(frame: number, word: number): number {
    return this.arena[(this.slotAt(this.place(frame)) << 10) | word]! >>> 0;
  }

  write32(frame: number, word: number, value: number): void {
    const slot = this.writable(frame);
    this.arena[(slot << 10) | word] = value;
  }

  nextEntry(table: number, first: number, last: number): number {
    const slot = this.slotAt(this.place(table));
    if (slot === 0) return last + 1;
    const { arena } = this;
    const page = slot << 10;
    let index = first;
    while (index <= last && arena[page | (index << 1)] === 0) index++;
    return index;
  }

  nextDifference(table: number, other: number, first: number, last: number): number {
    const [one, two] = [this.place(table), this.place(other)];
    if (slotIn(this.slots[one]!) === slotIn(this.slots[two]!)) return last + 1;
    const mine = this.slotAt(one);
    const theirs = this.slotAt(two);
    const { arena } = this;
    const end = (last << 1) + 2;
    let word = first << 1;
    while (word < end && arena[(mine << 10) | word] === arena[(theirs << 10) | word]) word++;
    return word >>> 1;
  }

  version(frame: number): number {
    return this.versions[this.place(frame)]!;
  }

  /** All pages' words, until {@link moves} changes. */
  get words(): Int32Array {
    return this.arena;
  }

  /** Index in {@link words} of a frame's first word, to read. Hot. */
  firstWord(frame: number): number {
    return this.slotAt(this.place(frame)) << 10;
  }

  /** The same to write one or two words: counts a write. Hot. */
  firstWordToWrite(frame: number): number {
    return this.writable(frame) << 10;
  }

  window(frame: number, write: boolean): FrameWindow | undefined {
    const slot = this.slotAt(this.place(frame));
    if (write && (slot === 0 || this.references[slot] !== 1)) return undefined;
    return {
      bytes: this.bytes,
      halves: this.halves,
      words: this.arena,
      base: slot * PAGE_BYTES,
      versions: this.versions,
      slot: this.place(frame),
    };
  }

  copyFrame(from: number, to: number): void {
    const word = this.slots[this.place(from)]!;
    const slot = slotIn(word);
    if (slot !== 0) this.references[slot]!++;
    this.replace(to, word);
  }

  clearFrame(frame: number): void {
    this.replace(frame, 0);
  }

  equalFrames(a: number, b: number): boolean {
    const [placeA, placeB] = [this.place(a), this.place(b)];
    if (slotIn(this.slots[placeA]!) === slotIn(this.slots[placeB]!)) return true;
    const slotA = this.slotAt(placeA);
    const slotB = this.slotAt(placeB);
    for (let word = 0; word < 1024; word++) {
      if (this.arena[(slotA << 10) | word] !== this.arena[(slotB << 10) | word]) return false;
    }
    return true;
  }

  defer(first: number, frames: number, read: (nth: number, into: Uint8Array) => void): void {
    const firstSlot = this.slotCount;
    const endSlot = firstSlot + frames;
    while (endSlot * 1024 > this.arena.length) this.growArena();
    while (endSlot > this.references.length) this.growReferences();
    const waiting = new Uint8Array(endSlot);
    waiting.set(this.waiting);
    waiting.fill(1, firstSlot);
    this.waiting = waiting;
    this.references.fill(1, firstSlot, endSlot);
    this.slotCount = endSlot;
    this.deferrals.push({ firstSlot, endSlot, read });
    for (let nth = 0; nth < frames; nth++) this.replace(first + nth, ~(firstSlot + nth));
  }

  readBytes(physical: bigint, bytes: Uint8Array): void {
    this.eachPiece(physical, bytes.length, (frame, offset, at, length) => {
      const slot = this.slotAt(this.place(frame));
      const start = slot * PAGE_BYTES + offset;
      bytes.set(this.bytes.subarray(start, start + length), at);
    });
  }

  writeBytes(physical: bigint, bytes: Uint8Array): void {
    this.eachPiece(physical, bytes.length, (frame, offset, at, length) => {
      const slot = this.writable(frame);
      this.bytes.set(bytes.subarray(at, at + length), slot * PAGE_BYTES + offset);
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
    return (
      this.arena.byteLength +
      this.slots.byteLength +
      this.versions.byteLength +
      this.references.byteLength +
      this.nextFree.byteLength +
      this.directory.byteLength +
      this.owners.owner.byteLength
    );
  }

  /** Splits a byte range at frame borders. */
  private eachPiece(
    physical: bigint,
    bytes: number,
    visit: (frame: number, offset: number, at: number, length: number) => void,
  ): void {
    let frame = physical < 0n ? NO_FRAME : frameOfAddress(physical);
    const last = frameOfAddress(physical + BigInt(Math.max(bytes, 1) - 1));
    if (frame === NO_FRAME || last === NO_FRAME || Number(physical >> 12n) + (last - frame) !== physicalPageOf(last))
      throw new RangeError(`physical address ${hex(physical)} + ${bytes} bytes: the model has frames ${MEMORY_PLACES}`);
    let offset = Number(physical & (PAGE - 1n));
    for (let at = 0; at < bytes; frame++, offset = 0) {
      const length = Math.min(PAGE_BYTES - offset, bytes - at);
      visit(frame, offset, at, length);
      at += length;
    }
  }

  /** Index of a frame in `slots` and `versions`, for reading. */
  private place(frame: number): number {
    const chunk = frame >>> 9;
    const number = chunk < this.directory.length ? this.directory[chunk]! : (this.beyond.get(chunk) ?? 0);
    return (number << 9) | (frame & 511);
  }

  /** Slot of a place, filled. Hot. */
  private slotAt(place: number): number {
    const slot = this.slots[place]!;
    return slot < 0 ? this.fill(place) : slot;
  }

  /** Asks for the bytes of a deferred slot, where no other frame that shares it has. */
  private fill(place: number): number {
    const slot = ~this.slots[place]!;
    if (this.waiting[slot] === 1) {
      const { firstSlot, read } = this.deferrals.find(({ endSlot }) => slot < endSlot)!;
      read(slot - firstSlot, this.bytes.subarray(slot * PAGE_BYTES, (slot + 1) * PAGE_BYTES));
      this.waiting[slot] = 0;
    }
    this.slots[place] = slot;
    return slot;
  }

  /** The same, in a chunk of its own. */
  private ownPlace(frame: number): number {
    const place = this.place(frame);
    return place >= 512 ? place : this.addChunk(frame);
  }

  private addChunk(frame: number): number {
    this.moves++;
    if (this.chunkCount << 9 === this.slots.length) {
      this.slots = doubled(this.slots, (length) => new Int32Array(length));
      this.versions = doubled(this.versions, (length) => new Uint32Array(length));
    }
    const chunk = frame >>> 9;
    if (chunk < this.directory.length) this.directory[chunk] = this.chunkCount++;
    else this.beyond.set(chunk, this.chunkCount++);
    return this.place(frame);
  }

  /** Slot only this frame refers to, with the frame's bytes; counts a write. */
  private writable(frame: number): number {
    const place = this.ownPlace(frame);
    this.versions[place]!++;
    const slot = this.slotAt(place);
    if (slot !== 0 && this.references[slot] === 1) return slot;
    this.moves++;
    const own = this.takeSlot();
    this.arena.copyWithin(own << 10, slot << 10, (slot + 1) << 10);
    if (slot !== 0) this.references[slot]!--;
    this.slots[place] = own;
    return own;
  }

  /** @param word what is to stand in `slots` */
  private replace(frame: number, word: number): void {
    this.moves++;
    const place = this.ownPlace(frame);
    const old = slotIn(this.slots[place]!);
    this.slots[place] = word;
    this.versions[place]!++;
    if (old !== 0 && --this.references[old]! === 0) {
      // Whoever takes it fills it; nobody is left to look at what was deferred.
      if (old < this.waiting.length) this.waiting[old] = 0;
      this.nextFree[old] = this.freeSlot;
      this.freeSlot = old;
    }
  }

  /** Bytes that all pages take, with room for as many more as are written before a larger arena is made. */
  get roomForPages(): number {
    return slotsAfter(this.arena.length / 1024) * PAGE_BYTES;
  }

  /**
   * Goes on in another buffer, where others read pages as well: from a byte on, for {@link roomForPages} bytes. When
   * that is full it goes on elsewhere: {@link SparseMemory.buffer} says so.
   */
  moveTo(buffer: ArrayBuffer, at: number): void {
    this.moves++;
    this.lent = true;
    this.goOn(new Int32Array(buffer, at, this.roomForPages / 4));
  }

  /** Where all pages are now. */
  get buffer(): ArrayBufferLike {
    return this.arena.buffer;
  }

  private goOn(larger: Int32Array<ArrayBuffer>): void {
    const { buffer, byteOffset, byteLength } = larger;
    // What was not filled yet, and what nobody ever wrote behind the last slot, is to stay without a page of the
    // host's.
    for (let from = 0, slot = 0; slot <= this.slotCount; slot++) {
      if (slot !== this.slotCount && this.waiting[slot] !== 1) continue;
      if (slot > from) larger.set(this.arena.subarray(from << 10, slot << 10), from << 10);
      from = slot + 1;
    }
    this.arena = larger;
    this.bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  }

  private growArena(): void {
    this.lent = false;
    this.goOn(new Int32Array(slotsAfter(this.arena.length / 1024) * 1024));
  }

  private growReferences(): void {
    this.references = doubled(this.references, (length) => new Int32Array(length));
    this.nextFree = doubled(this.nextFree, (length) => new Int32Array(length));
  }

  private takeSlot(): number {
    let slot = this.freeSlot;
    if (slot !== 0) this.freeSlot = this.nextFree[slot]!;
    else {
      slot = this.slotCount++;
      if (slot * 1024 === this.arena.length) this.growArena();
      if (slot === this.references.length) this.growReferences();
    }
    this.references[slot] = 1;
    return slot;
  }
}
