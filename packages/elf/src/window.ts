/**
 * Bounds-checked little-endian reads: the only place that touches the file's bytes by offset, so that no lie of a
 * header reads past the end.
 */
import { ElfError, FETCH_AGAIN } from "./errors.js";

/** A file's bytes. Every read names the field it is for, so that the error can. */
export class Window {
  private readonly view: DataView;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** @throws ElfError "cut" unless `length` bytes from `offset` lie in the file */
  need(offset: number, length: number, field: string, at = offset): void {
    // Both are numbers made from 64-bit fields: above 2^53 they are inexact but still too large, which is all that
    // counts.
    if (!(offset >= 0 && length >= 0 && offset + length <= this.bytes.length)) {
      throw new ElfError(
        "cut",
        at,
        field,
        `bytes 0x${offset.toString(16)} to 0x${(offset + length).toString(16)} of a file of 0x${this.bytes.length.toString(16)}`,
        FETCH_AGAIN,
      );
    }
  }

  u8(offset: number, field: string): number {
    this.need(offset, 1, field);
    return this.view.getUint8(offset);
  }
  u16(offset: number, field: string): number {
    this.need(offset, 2, field);
    return this.view.getUint16(offset, true);
  }
  u32(offset: number, field: string): number {
    this.need(offset, 4, field);
    return this.view.getUint32(offset, true);
  }
  u64(offset: number, field: string): bigint {
    this.need(offset, 8, field);
    return this.view.getBigUint64(offset, true);
  }
  /**
   * A 64-bit size or file offset: exact below 2^53, beyond that some larger number, which no file is long enough for.
   */
  size(offset: number, field: string): number {
    return Number(this.u64(offset, field));
  }

  /** A view, not a copy. */
  slice(offset: number, length: number, field: string, at = offset): Uint8Array {
    this.need(offset, length, field, at);
    return this.bytes.subarray(offset, offset + length);
  }
}
