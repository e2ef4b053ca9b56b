/**
 * Recordings as templates of system calls for drmemtrace, which puts them into traces of user programs where these make
 * the call: what the kernel executed of each, with the loads and stores that its own tracer lacks.
 *
 *   header, version, type of file, thread, process, line size, page size, timestamp
 *   start of call N, its instructions with loads and stores, end of call N     as often as there are calls
 *   exit of the thread, footer
 *
 * - A template is what was executed from the kernel's entry to its return to the program, interrupts among it included.
 * - A call is told by how the kernel is entered and left. Most runs of the kernel that return behind the program's
 *   instruction begin where system calls do; faults begin elsewhere and return to it.
 * - Which number it has no recording says: the tests' are known, by the order of their calls; others are given.
 * - Of calls of one number the first is written. No encodings, no physical pages; the end of a run is an indirect jump.
 *
 * @source DynamoRIO, "Inject system call kernel trace templates in raw2trace" (its issue 6495); the template file that
 *   its
 *   test writes, which it names as the documentation of the format
 */
import { Access, type Batch, Kind } from "../batch.js";
import { readTrace, type Recording } from "../read-trace.js";
import { MARKER, Phase } from "../tests.js";
import { TraceError } from "../trace-error.js";
import type { ByteSink } from "../writer.js";
import { Entry, FileType, Marker } from "./drmemtrace.js";
import { callsOfTests, EntrySink, InstructionEntries, KERNEL, PROCESS, spread, VERSION } from "./drmemtrace-entries.js";
import type { ImportResult } from "./import-writer.js";

/** What was written. */
export interface TemplatesResult extends Omit<ImportResult, "pages"> {
  /** Numbers of the calls, in the order of the file. */
  readonly calls: readonly number[];
}

/**
 * A run of kernel instructions in a test: where it begins, and whether it returned behind the program's instruction.
 */
interface KernelRun {
  readonly entry: string;
  returned: boolean;
}

/** Runs that begin at one place. */
interface EntryRuns {
  /** How many returned behind the program's instruction. */
  returned: number;
  /**
   * Of each test the first in its first window, as many as it makes calls; undefined for one that returned elsewhere.
   */
  readonly first: Map<number, (number | undefined)[]>;
}

/**
 * @param cpu whose instructions; all others are left out
 * @param calls numbers of the calls that the program makes between a start marker and its end, in order; without it the
 *   test's
 * @throws TraceError no-call for a recording whose calls have no known number or are not in it; as the reader does
 */
export function exportDrmemtraceTemplates(
  recording: Recording,
  cpu: number,
  sink: ByteSink,
  calls?: readonly number[],
): TemplatesResult {
  const numbersOf = (test: number): readonly number[] => calls ?? callsOfTests[test] ?? [];
  const chosen = chosenRuns(recording, cpu, numbersOf);
  const out = new EntrySink(sink);
  out.put(Entry.Header, 0, VERSION, 0);
  out.marker(Marker.Version, VERSION);
  out.marker(Marker.FileType, FileType.X8664 | FileType.SystemCallTemplates);
  out.put(Entry.Thread, 0, PROCESS, 0);
  out.put(Entry.Process, 0, PROCESS, 0);
  out.marker(Marker.CacheLineSize, 64);
  out.marker(Marker.PageSize, 4096);
  out.marker(Marker.Timestamp, 1);
  const counted = { instructions: 0, loads: 0, stores: 0 };
  const written = new InstructionEntries(out, false);
  let call: number | undefined;
  const end = (): void => {
    if (call === undefined) return;
    written.end();
    out.marker(Marker.SystemCallEnd, call);
    call = undefined;
  };
  eachRun(recording, cpu, {
    begins: (run) => {
      call = chosen.get(run);
      if (call !== undefined) out.marker(Marker.SystemCallStart, call);
    },
    ends: end,
    reads: ({ kind, lo, hi, a, b }, i) => {
      if (call === undefined) return;
      if (kind[i] === Kind.Fetch) {
        spread(lo[i]!, hi[i]!, a[i]!, b[i]!, (startLo, startHi, length) => {
          written.next(startLo, startHi);
          written.begin(startLo, startHi, length);
        });
        counted.instructions += a[i]!;
      } else if (written.open && (a[i]! & Access.Io) === 0) {
        written.reference(kind[i]!, lo[i]!, hi[i]!, a[i]!, b[i]!);
        counted[kind[i] === Kind.Store ? "stores" : "loads"]++;
      }
    },
  });
  out.put(Entry.ThreadExit, 0, PROCESS, 0);
  out.put(Entry.Footer, 0, 0, 0);
  out.flush();
  return { ...counted, calls: [...chosen.values()] };
}

/** Which runs of the kernel are written, by their number in the recording, and each call's number. */
function chosenRuns(
  recording: Recording,
  cpu: number,
  numbersOf: (test: number) => readonly number[],
): ReadonlyMap<number, number> {
  const entries = new Map<string, EntryRuns>();
  const windows = new Map<number, number>();
  eachRun(recording, cpu, {
    ends: (run, { entry, returned }, test, window) => {
      if (!windows.has(test)) windows.set(test, window);
      const seen = entries.get(entry) ?? { returned: 0, first: new Map<number, (number | undefined)[]>() };
      entries.set(entry, seen);
      if (returned) seen.returned++;
      const first = seen.first.get(test) ?? [];
      seen.first.set(test, first);
      if (windows.get(test) === window && first.length < numbersOf(test).length) first.push(returned ? run : undefined);
    },
  });
  const most = [...entries.values()]
    .filter(({ returned }) => returned > 0)
    .reduce<EntryRuns | undefined>(
      (best, each) => (best !== undefined && best.returned >= each.returned ? best : each),
      undefined,
    );
  const chosen = new Map<number, number>();
  const taken = new Set<number>();
  for (const [test, runs] of most?.first ?? [])
    for (const [i, run] of runs.entries()) {
      const call = numbersOf(test)[i]!;
      if (run === undefined || taken.has(call)) continue;
      chosen.set(run, call);
      taken.add(call);
    }
  if (chosen.size === 0)
    throw new TraceError(
      "no-call",
      recording.name,
      undefined,
      most === undefined
        ? "no system call was made between its markers on this CPU"
        : "it is of none of the tests whose system calls are known",
      most === undefined
        ? "record one that is, or name its CPU"
        : "say the numbers of the calls between its markers, in order",
    );
  return chosen;
}

/** What is told of the runs of kernel instructions in tests, and of what lies in them. */
interface RunListener {
  readonly begins?: (run: number) => void;
  readonly ends?: (run: number, what: KernelRun, test: number, window: number) => void;
  /** A fetch, load or store of the run that is open. */
  readonly reads?: (batch: Batch, row: number) => void;
}

function eachRun(recording: Recording, cpu: number, to: RunListener): void {
  let [vcpu, run, window, test] = [0, -1, 0, 0];
  let open: KernelRun | undefined;
  // The end of what the program executed last; none before it did.
  let behind = "";
  const end = (returned: boolean): void => {
    if (open === undefined) return;
    open.returned = returned;
    to.ends?.(run, open, test, window);
    open = undefined;
  };
  readTrace(recording, (batch) => {
    const { kind, lo, hi, a, b, length } = batch;
    for (let i = 0; i < length; i++) {
      if (kind[i] === Kind.Vcpu) vcpu = a[i]!;
      if (vcpu !== cpu) continue;
      if (kind[i] === Kind.Mark && a[i]! >>> 16 === MARKER) {
        end(false);
        behind = "";
        window++;
        test = (a[i]! & 0xff) === Phase.End ? 0 : (a[i]! >>> 8) & 0xff;
      } else if (kind[i] === Kind.Fetch && test !== 0) {
        if (hi[i]! < KERNEL) {
          end(behind === placeOf(lo[i]!, hi[i]!));
          behind = placeOf(lo[i]! + b[i]!, hi[i]!);
          continue;
        }
        if (open === undefined && behind !== "") {
          open = { entry: placeOf(lo[i]!, hi[i]!), returned: false };
          run++;
          to.begins?.(run);
        }
        if (open !== undefined) to.reads?.(batch, i);
      } else if (open !== undefined && (kind[i] === Kind.Load || kind[i] === Kind.Store)) to.reads?.(batch, i);
    }
  });
  end(false);
}

const placeOf = (lo: number, hi: number): string => `${lo > 0xffff_ffff ? hi + 1 : hi}:${lo >>> 0}`;
