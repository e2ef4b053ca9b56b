/**
 * Traces of DynamoRIO's drmemtrace, one thread or several behind each other: entries of 12 bytes, little endian.
 *
 *   0 type (2)   2 size, or kind of a marker (2)   4 address, or value of a marker (8)
 *
 *   type   0 load, 1 store; 2-9, 27, 32-46 prefetches   10-16, 31, 48, 49 instruction   17 bundle: so many more
 *          instructions, their lengths in the address   22 thread, 23 its exit, 24 process   25 header, 26 footer
 *          28 marker   29, 30 instruction without a fetch (a REP's next round)   47 encoding of the next instruction
 *   marker 9 type of file   12 version   15, 17 physical and virtual address of a page   27, 28 a system call's trace
 *
 * @source DynamoRIO, "Trace Format"; drmemtrace's trace_entry_t, versions 2 to 7
 */
import { TraceError } from "../trace-error.js";
import type { ImportWriter } from "./import-writer.js";
import { RecordCutter } from "./record-cutter.js";

/** Of one entry. */
export const ENTRY_BYTES = 12;

/** Types of entries that are read or written; all others up to the last are passed over. */
export enum Entry {
  Load = 0,
  Store = 1,
  Instruction = 10,
  IndirectJump = 12,
  Return = 16,
  Bundle = 17,
  Thread = 22,
  ThreadExit = 23,
  Process = 24,
  Header = 25,
  Footer = 26,
  Marker = 28,
  Sysenter = 31,
  Encoding = 47,
  TakenJump = 48,
  UntakenJump = 49,
}

/** Kinds of markers. */
export enum Marker {
  Timestamp = 2,
  CpuId = 3,
  FileType = 9,
  CacheLineSize = 10,
  Version = 12,
  PhysicalAddress = 15,
  VirtualAddress = 17,
  PageSize = 18,
  SystemCall = 25,
  SystemCallStart = 27,
  SystemCallEnd = 28,
}

/** Bits of the type of file. */
export enum FileType {
  Foreign = 0x08 | 0x10 | 0x20,
  X8664 = 0x40,
  Filtered = 0x01 | 0x80 | 0x100,
  SystemCallNumbers = 0x400,
  KernelSystemCalls = 0x1000,
  /**
   * Templates of system calls. By exclusion: 0x8000 is what the published sample of Intel PT has, 0x2_0000 what the
   * test of register dependences has, 0x4000 (by core) is older than both.
   */
  SystemCallTemplates = 0x1_0000,
}

const LAST = Entry.UntakenJump;
const LAST_VERSION = 9;
const REMEDY = "give a final trace (`drrun -t drmemtrace -indir DIR` makes it of raw files) of an x86-64 program";

const wordAt = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;

/** Reads entries as they come, cut anywhere. */
export class DrmemtraceReader {
  private readonly entries: RecordCutter;
  /** Byte of the entry that is read. */
  private at = 0;
  private begun = false;
  private ended = false;
  // Where a bundle's first instruction begins.
  private nextLo = 0;
  private nextHi = 0;

  /** @param file as errors name it */
  constructor(
    private readonly file: string,
    private readonly to: ImportWriter,
  ) {
    this.entries = new RecordCutter(ENTRY_BYTES, (bytes, from, at) => {
      this.at = at;
      this.one(bytes, from);
    });
  }

  /** @throws TraceError not-a-trace, bad-record */
  push(part: Uint8Array): void {
    this.entries.push(part);
  }

  /** @returns bytes read @throws TraceError cut */
  finish(): number {
    const { read, left } = this.entries;
    if (left > 0 || !this.ended)
      throw new TraceError(
        "cut",
        this.file,
        read + left,
        left > 0 ? `${left} bytes are left for an entry of ${ENTRY_BYTES}` : "it ends without a footer",
        "copy the trace again, in full",
      );
    return read;
  }

  private one(bytes: Uint8Array, from: number): void {
    const type = bytes[from]! | (bytes[from + 1]! << 8);
    const size = bytes[from + 2]! | (bytes[from + 3]! << 8);
    const lo = wordAt(bytes, from + 4);
    const hi = wordAt(bytes, from + 8);
    if (!this.begun && type !== Entry.Header)
      throw new TraceError("not-a-trace", this.file, this.at, "it does not begin with drmemtrace's header", REMEDY);
    if (type > LAST) throw this.bad(`there is no type ${type} of entries`);
    this.begun = true;
    if (type !== Entry.Footer && this.ended && type !== Entry.Header) throw this.bad("it goes on behind its footer");
    this.ended = type === Entry.Footer;
    if (type <= Entry.Store) this.to.reference(type === Entry.Store, lo, hi, size, this.at);
    else if ((type >= Entry.Instruction && type <= Entry.Return) || type === Entry.Sysenter || type >= Entry.TakenJump)
      this.instruction(lo, hi, size);
    else if (type === Entry.Bundle) this.bundle(bytes, from, size);
    else if (type === Entry.Marker) this.marker(size, lo);
  }

  private instruction(lo: number, hi: number, length: number): void {
    if (length === 0 || length > 15) throw this.bad(`an instruction of ${length} bytes`);
    this.to.instruction(lo, hi, length, this.at);
    this.nextLo = (lo + length) >>> 0;
    this.nextHi = lo + length > 0xffff_ffff ? hi + 1 : hi;
  }

  private bundle(bytes: Uint8Array, from: number, count: number): void {
    if (count > 8) throw this.bad(`a bundle of ${count} instructions`);
    for (let i = 0; i < count; i++) this.instruction(this.nextLo, this.nextHi, bytes[from + 4 + i]!);
  }

  private marker(kind: number, value: number): void {
    if (kind === Marker.Version && value > LAST_VERSION)
      throw this.bad(`version ${value} of the format, and ${LAST_VERSION} is the last that is known`);
    if (kind === Marker.FileType && (value & FileType.Foreign) !== 0)
      throw this.bad("recorded on another architecture: kreplica models x86-64 machines only");
    if (kind === Marker.FileType && (value & FileType.Filtered) !== 0)
      throw this.bad("a filtered trace, of which the hits of a cache are missing");
  }

  private bad(reason: string): TraceError {
    return new TraceError("bad-record", this.file, this.at, reason, REMEDY);
  }
}
