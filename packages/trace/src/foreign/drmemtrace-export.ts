/**
 * Recordings as traces of drmemtrace, kernel instructions with their loads and stores among them: each run of kernel
 * instructions stands between the markers of a system call's trace, of the call that the recorded test makes.
 *
 * - One virtual CPU, one thread. A run of instructions is spread evenly over its bytes; no encodings.
 * - An instruction that the next one does not follow is an indirect jump.
 * - The physical page of every page that the recording names stands before its first use.
 * - Of tests whose call is not known the number is 511, which no call has.
 */
import { Access, type Batch, Kind } from "../batch.js";
import { readTrace, type Recording } from "../read-trace.js";
import { MARKER } from "../tests.js";
import type { ByteSink } from "../writer.js";
import { Entry, ENTRY_BYTES, FileType, Marker } from "./drmemtrace.js";
import type { ImportResult } from "./import-writer.js";

/** Numbers of the calls that the tests make, by the test's number: clone, mmap, mlock, open, mount, kill. */
const CALLS: Readonly<Record<number, number>> = { 1: 57, 2: 57, 3: 9, 4: 149, 5: 2, 6: 165, 7: 62, 9: 175 };
const NO_CALL = 511;
const VERSION = 3;
const PROCESS = 1;
const ENTRIES = 4096;
const PIECE = ENTRIES * ENTRY_BYTES;
/** Kernel addresses have the highest bit set. */
const KERNEL = 0x8000_0000;

class EntrySink {
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

/** @param cpu whose instructions; all others are left out @throws TraceError as the reader does */
export function exportDrmemtrace(recording: Recording, cpu: number, sink: ByteSink): Omit<ImportResult, "pages"> {
  const out = new EntrySink(sink);
  const counted = { instructions: 0, loads: 0, stores: 0 };
  out.put(Entry.Header, 0, VERSION, 0);
  out.marker(Marker.Version, VERSION);
  out.marker(Marker.FileType, FileType.X8664 | FileType.SystemCallNumbers | FileType.KernelSystemCalls);
  out.marker(Marker.CacheLineSize, 64);
  out.marker(Marker.PageSize, 4096);
  out.put(Entry.Thread, 0, PROCESS, 0);
  out.put(Entry.Process, 0, PROCESS, 0);
  out.marker(Marker.Timestamp, 1);
  out.marker(Marker.CpuId, cpu);
  let [vcpu, call, inKernel] = [0, NO_CALL, false];
  // The last instruction waits for the next, which tells whether it is a jump; its references wait with it.
  let [held, lo0, hi0, length] = [false, 0, 0, 0];
  const references: number[] = [];
  // Pages of the instruction that comes.
  const pages: number[] = [];
  const put = (follows: boolean): void => {
    if (!held) return;
    out.put(follows ? Entry.Instruction : Entry.IndirectJump, length, lo0, hi0);
    for (let i = 0; i < references.length; i += 6) {
      const [kind, lo, hi, size, fresh, page] = references.slice(i, i + 6) as [
        number,
        number,
        number,
        number,
        number,
        number,
      ];
      if (fresh) physical(page, lo, hi);
      out.put(kind === Kind.Store ? Entry.Store : Entry.Load, size, lo, hi);
    }
    references.length = 0;
    held = false;
  };
  const physical = (page: number, lo: number, hi: number): void => {
    out.marker(Marker.PhysicalAddress, (page << 12) >>> 0, page >>> 20);
    out.marker(Marker.VirtualAddress, (lo & ~0xfff) >>> 0, hi);
  };
  const enter = (kernel: boolean): void => {
    if (kernel === inKernel) return;
    if (kernel) out.marker(Marker.SystemCall, call);
    out.marker(kernel ? Marker.SystemCallStart : Marker.SystemCallEnd, call);
    inKernel = kernel;
  };
  readTrace(recording, ({ kind, lo, hi, a, b, length: rows }: Batch) => {
    for (let i = 0; i < rows; i++) {
      if (kind[i] === Kind.Vcpu) vcpu = a[i]!;
      if (vcpu !== cpu) continue;
      if (kind[i] === Kind.Mark && a[i]! >>> 16 === MARKER) {
        // A call ends with its number.
        put(false);
        enter(false);
        call = CALLS[(a[i]! >>> 8) & 0xff] ?? NO_CALL;
      } else if (kind[i] === Kind.FetchPage) {
        pages.push(b[i]!, lo[i]!, hi[i]!);
      } else if (kind[i] === Kind.Fetch) {
        for (let nth = 0; nth < a[i]!; nth++) {
          const [from, to] = [Math.floor((b[i]! * nth) / a[i]!), Math.floor((b[i]! * (nth + 1)) / a[i]!)];
          const start = lo[i]! + from;
          const [startLo, startHi] = [start >>> 0, start > 0xffff_ffff ? hi[i]! + 1 : hi[i]!];
          const end = lo0 + length;
          put(end >>> 0 === startLo && (end > 0xffff_ffff ? hi0 + 1 : hi0) === startHi);
          for (let page = 0; page < pages.length; page += 3) physical(pages[page]!, pages[page + 1]!, pages[page + 2]!);
          pages.length = 0;
          enter(startHi >= KERNEL);
          [held, lo0, hi0, length] = [true, startLo, startHi, to - from];
        }
        counted.instructions += a[i]!;
      } else if ((kind[i] === Kind.Load || kind[i] === Kind.Store) && held && (a[i]! & Access.Io) === 0) {
        references.push(kind[i]!, lo[i]!, hi[i]!, a[i]! & Access.SizeMask, a[i]! & Access.NewPage, b[i]!);
        counted[kind[i] === Kind.Store ? "stores" : "loads"]++;
      }
    }
  });
  put(false);
  enter(false);
  out.put(Entry.ThreadExit, 0, PROCESS, 0);
  out.put(Entry.Footer, 0, 0, 0);
  out.flush();
  return counted;
}
