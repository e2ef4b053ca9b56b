/** Physical memory as the rest of the machine and its software see it: frames with an owner node, words as halves. */
import { token } from "@kreplica/di";
import type { Frame, NodeId } from "./ids.js";

/** A run of frames that belongs to one node. */
export interface FrameRange {
  readonly node: NodeId;
  readonly first: Frame;
  readonly frames: number;
}

/** Where a page's bytes lie in host memory; one of {@link PhysMemory.window} holds until its `moves` changes. */
export interface FrameWindow {
  /** The storage three times over, on one buffer. */
  readonly bytes: Uint8Array;
  readonly halves: Uint16Array;
  readonly words: Int32Array;
  /** Byte index of the page's first byte in `bytes`; a multiple of 4. */
  readonly base: number;
  /** Write counters; whoever stores through the window increments `versions[slot]`. */
  readonly versions: Uint32Array;
  readonly slot: number;
}

/**
 * Sparse physical memory: a frame nobody wrote reads as zero and costs nothing. Copying a frame shares its host storage
 * until one side is written, so that a copy costs the host nothing while the model counts it in full.
 */
export interface PhysMemory {
  /** Runs in address order. */
  readonly ranges: readonly FrameRange[];
  /** Node that owns the frame, or NONE for a hole. */
  nodeOf(frame: Frame): NodeId;
  /** Hot. @param word 0 to 1023 @returns unsigned 32 bits */
  read32(frame: Frame, word: number): number;
  /** Hot. Increments {@link version} of the frame. */
  write32(frame: Frame, word: number, value: number): void;
  /**
   * Hot. Finds what a table holds among zeroes.
   * @param first @param last entries of the table, 0 to 511
   * @returns the first of them whose low half is not zero, present or not; `last + 1` where all are
   */
  nextEntry(table: Frame, first: number, last: number): number;
  /**
   * Hot. Compares two tables, entry by entry.
   * @param first @param last entries to compare, 0 to 511
   * @returns the first of them that differs in any bit; `last + 1` where none does
   */
  nextDifference(table: Frame, other: Frame, first: number, last: number): number;
  /** Times the frame was written, modulo 2^32: lets decoded code and cached checks notice a change. */
  version(frame: Frame): number;
  /**
   * The frame's bytes themselves, for who accesses them often. A memory without it is asked by {@link read32} and
   * {@link write32} every time.
   * @returns its base is a multiple of 4096; undefined where a store has to go through {@link write32} first: nobody
   *   wrote the frame, or it shares its
   *   bytes
   */
  window?(frame: Frame, write: boolean): FrameWindow | undefined;
  /** Counts whatever ends a {@link window}; absent where there is none. */
  readonly moves?: number;
  /** All frames' words, until {@link moves} changes; with the next two, absent where there are no windows. */
  readonly words?: Int32Array;
  /** Hot. Index of a frame's first word in {@link words}, to read. */
  firstWord?(frame: Frame): number;
  /** Hot. The same to write one or two words; increments {@link version} of the frame. */
  firstWordToWrite?(frame: Frame): number;
  /**
   * Writes whole frames whose bytes are asked for when somebody first looks at one, of it or of a copy: most of a large
   * program nobody ever looks at. A memory without it is written at once.
   * @param first @param frames so many from it on; each counts as written once
   * @param read puts the 4096 bytes of the nth of them into an array of zeroes; gives the same whenever it is asked
   */
  defer?(first: Frame, frames: number, read: (nth: number, into: Uint8Array) => void): void;
  /** Copies 4096 bytes. */
  copyFrame(from: Frame, to: Frame): void;
  clearFrame(frame: Frame): void;
  /** Byte for byte. */
  equalFrames(a: Frame, b: Frame): boolean;
  /** Cold door: `bytes.length` bytes from a physical address, across frames. @throws RangeError where no frame is */
  readBytes(physical: bigint, bytes: Uint8Array): void;
  writeBytes(physical: bigint, bytes: Uint8Array): void;
  read64(physical: bigint): bigint;
  write64(physical: bigint, value: bigint): void;
  /** Bytes of host memory in use. */
  readonly hostBytes: number;
}
export const PhysMemory = token<PhysMemory>("hw-x86/PhysMemory");
