/** Physical memory as the rest of the machine and its software see it: frames with an owner node, words as halves. */
import { token } from "@kreplica/di";
import type { Frame, NodeId } from "./ids.js";

/** A run of frames that belongs to one node. */
export interface FrameRange {
  readonly node: NodeId;
  readonly first: Frame;
  readonly frames: number;
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
  /** Copies 4096 bytes. */
  copyFrame(from: Frame, to: Frame): void;
  clearFrame(frame: Frame): void;
  /** Byte for byte. */
  equalFrames(a: Frame, b: Frame): boolean;
  /** Cold door: `bytes.length` bytes from a physical address, across frames. @throws RangeError outside 0..2^44 */
  readBytes(physical: bigint, bytes: Uint8Array): void;
  writeBytes(physical: bigint, bytes: Uint8Array): void;
  read64(physical: bigint): bigint;
  write64(physical: bigint, value: bigint): void;
  /** Bytes of host memory in use. */
  readonly hostBytes: number;
}
export const PhysMemory = token<PhysMemory>("hw-x86/PhysMemory");
