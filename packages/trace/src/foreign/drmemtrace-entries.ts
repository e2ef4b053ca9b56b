/** Entries of drmemtrace on their way to a file, and instructions with their loads and stores as such entries. */
import { Access, Kind } from "../batch.js";
import type { ByteSink } from "../writer.js";
import { Entry, ENTRY_BYTES, Marker } from "./drmemtrace.js";

/** Of the format, in a file's header. */
export const VERSION = 3;
/** Of whom a trace is: number of the process and of its thread. */
export const PROCESS = 1;
/** Upper half of the lowest address of the kernel. */
export const KERNEL = 0x8000_0000;

/**
 * Numbers of the system calls that the tests make, by the test's number, in order: clone; clone; mmap, munmap; mmap,
 * munmap; openat, close; mount; kill; init_module. As a C library makes them of what a program calls.
 *
 * @source arch/x86/entry/syscalls/syscall_64.tbl
 */
export const callsOfTests: Readonly<Record<number, readonly number[]>> = {
  1: [56],
  2: [56],
  3: [9, 11],
  4: [9, 11],
  5: [257, 3],
  6: [165],
  7: [62],
  9: [175],
};

const ENTRIES = 4096;
const PIECE = ENTRIES * ENTRY_BYTES;

/** Puts entries together to pieces. */
export class EntrySink {
  private readonly bytes = new Uint8Array(PIECE);
  private readonly view = new DataView(this.bytes.buffer);
  private filled = 0;

  constructor(private readonly sink: ByteSink) {}

  put(type: Entry, size: number, lo: number, hi: number): void {
    const { view, filled } = this;
    view.setUint16(filled, type, true);
    view.setUint16(filled + 2, size, true);
    view.setUint32(filled + 4, lo, true);
    view.setUint32(filled + 8, hi, true);
    this.filled = filled + ENTRY_BYTES;
    if (this.filled === PIECE) this.flush();
  }

  marker(kind: Marker, lo: number, hi = 0): void {
    this.put(Entry.Marker, kind, lo, hi);
  }

  flush(): void {
    if (this.filled > 0) this.sink(this.bytes.subarray(0, this.filled));
    this.filled = 0;
  }
}

/** A run of so many instructions in so many bytes, spread evenly. @param each gets where one begins, and its bytes */
export function spread(
  lo: number,
  hi: number,
  instructions: number,
  bytes: number,
  each: (lo: number, hi: number, length: number) => void,
): void {
  for (let nth = 0; nth < instructions; nth++) {
    const [from, to] = [Math.floor((bytes * nth) / instructions), Math.floor((bytes * (nth + 1)) / instructions)];
    const start = lo + from;
    each(start >>> 0, start > 0xffff_ffff ? hi + 1 : hi, to - from);
  }
}

/**
 * Instructions, each of which waits for the next, that tells whether it is a jump; its loads and stores wait with it.
 */
export class InstructionEntries {
  /** An instruction waits. */
  open = false;
  private lo = 0;
  private hi = 0;
  private length = 0;
  private readonly references: number[] = [];

  /** @param named whether the physical page of a page stands before its first use */
  constructor(
    private readonly out: EntrySink,
    private readonly named: boolean,
  ) {}

  /** Writes the one that waits, a jump where the next does not follow it. @param lo, hi where the next begins */
  next(lo: number, hi: number): void {
    const end = this.lo + this.length;
    this.put(end >>> 0 === lo && (end > 0xffff_ffff ? this.hi + 1 : this.hi) === hi);
  }

  /** Writes the one that waits, as a jump. */
  end(): void {
    this.put(false);
  }

  begin(lo: number, hi: number, length: number): void {
    this.open = true;
    [this.lo, this.hi, this.length] = [lo, hi, length];
  }

  /** A load or store of the one that waits. @param access, page as the columns a and b of a batch have them */
  reference(kind: Kind, lo: number, hi: number, access: number, page: number): void {
    this.references.push(kind, lo, hi, access & Access.SizeMask, access & Access.NewPage, page);
  }

  page(page: number, lo: number, hi: number): void {
    this.out.marker(Marker.PhysicalAddress, (page << 12) >>> 0, page >>> 20);
    this.out.marker(Marker.VirtualAddress, (lo & ~0xfff) >>> 0, hi);
  }

  private put(follows: boolean): void {
    if (!this.open) return;
    const { out, references } = this;
    out.put(follows ? Entry.Instruction : Entry.IndirectJump, this.length, this.lo, this.hi);
    for (let i = 0; i < references.length; i += 6) {
      const [kind, lo, hi, size] = [references[i]!, references[i + 1]!, references[i + 2]!, references[i + 3]!];
      if (this.named && references[i + 4]! !== 0) this.page(references[i + 5]!, lo, hi);
      out.put(kind === Kind.Store ? Entry.Store : Entry.Load, size, lo, hi);
    }
    references.length = 0;
    this.open = false;
  }
}
