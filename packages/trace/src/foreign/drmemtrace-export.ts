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
import { Entry, FileType, Marker } from "./drmemtrace.js";
import { callsOfTests, EntrySink, InstructionEntries, KERNEL, PROCESS, spread, VERSION } from "./drmemtrace-entries.js";
import type { ImportResult } from "./import-writer.js";

const NO_CALL = 511;

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
  const instructions = new InstructionEntries(out, true);
  // Pages of the instruction that comes.
  const pages: number[] = [];
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
        instructions.end();
        enter(false);
        call = callsOfTests[(a[i]! >>> 8) & 0xff]?.[0] ?? NO_CALL;
      } else if (kind[i] === Kind.FetchPage) {
        pages.push(b[i]!, lo[i]!, hi[i]!);
      } else if (kind[i] === Kind.Fetch) {
        spread(lo[i]!, hi[i]!, a[i]!, b[i]!, (startLo, startHi, length) => {
          instructions.next(startLo, startHi);
          for (let page = 0; page < pages.length; page += 3)
            instructions.page(pages[page]!, pages[page + 1]!, pages[page + 2]!);
          pages.length = 0;
          enter(startHi >= KERNEL);
          instructions.begin(startLo, startHi, length);
        });
        counted.instructions += a[i]!;
      } else if ((kind[i] === Kind.Load || kind[i] === Kind.Store) && instructions.open && (a[i]! & Access.Io) === 0) {
        instructions.reference(kind[i]!, lo[i]!, hi[i]!, a[i]!, b[i]!);
        counted[kind[i] === Kind.Store ? "stores" : "loads"]++;
      }
    }
  });
  instructions.end();
  enter(false);
  out.put(Entry.ThreadExit, 0, PROCESS, 0);
  out.put(Entry.Footer, 0, 0, 0);
  out.flush();
  return counted;
}
