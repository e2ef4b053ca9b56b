/** Whether a recording is whole: every record decodes, could have been executed, and names the pages it touches. */
import { Access, type Batch, Kind } from "./batch.js";
import { PageBook, pageOf } from "./page-book.js";
import { readTrace, type Recording } from "./read-trace.js";
import { MARKER, Phase } from "./tests.js";
import { TraceError } from "./trace-error.js";

/** Bytes of the longest instruction. @source Intel SDM vol. 2A, "Instruction Format" */
const LONGEST_INSTRUCTION = 15;

/** What was found of a recording without damage. */
export interface TraceCheck {
  readonly records: number;
  /** Bytes of what it unpacks to. */
  readonly bytes: number;
  /** Tests with both markers, and those without an end: a replay takes the former. */
  readonly whole: number;
  readonly open: number;
  /** Fetches, loads and stores in a page whose physical page nobody named. */
  readonly unnamed: number;
  /** Byte of the first of them. */
  readonly firstUnnamed: number | undefined;
}

/**
 * Reads a recording to its end.
 * @throws TraceError as the reader does; bad-fetch for instructions of no or too many bytes
 */
export function checkTrace(recording: Recording): TraceCheck {
  const book = new PageBook();
  let [records, bytes, whole, open, unnamed, vcpu] = [0, 0, 0, 0, 0, 0];
  let firstUnnamed: number | undefined;
  let within: number | undefined;
  const nameless = (at: number): void => {
    unnamed++;
    firstUnnamed ??= at;
  };
  const named = (page: number): boolean =>
    book.dataPage(vcpu, page) !== undefined || book.textPage(vcpu, page) !== undefined;
  const mark = (immediate: number): void => {
    if (immediate >>> 16 !== MARKER) return;
    const [test, phase] = [(immediate >>> 8) & 0xff, immediate & 0xff];
    if (phase === Phase.Start) {
      if (within !== undefined) open++;
      within = test;
    } else if (phase === Phase.End && within === test) {
      whole++;
      within = undefined;
    }
  };
  readTrace(recording, (batch: Batch) => {
    const { kind, lo, hi, a, b, at, base, length } = batch;
    records += length;
    bytes = base + at[length - 1]! + 1;
    for (let i = 0; i < length; i++) {
      book.add(batch, i, vcpu);
      switch (kind[i]! as Kind) {
        case Kind.Vcpu:
          vcpu = a[i]!;
          break;
        case Kind.Mark:
          mark(a[i]!);
          break;
        case Kind.Fetch:
          if (b[i]! < a[i]! || b[i]! > a[i]! * LONGEST_INSTRUCTION)
            throw new TraceError(
              "bad-fetch",
              recording.name,
              base + at[i]!,
              `${a[i]!} instructions in ${b[i]!} bytes: no processor has such`,
              "cut the recording before it, or record again",
            );
          if (!named(pageOf(lo[i]!, hi[i]!))) nameless(base + at[i]!);
          break;
        case Kind.Load:
        case Kind.Store:
          if ((a[i]! & Access.Io) === 0 && !named(pageOf(lo[i]!, hi[i]!))) nameless(base + at[i]!);
          break;
        case Kind.FetchPage:
        case Kind.Repeat:
        case Kind.End:
      }
    }
  });
  return { records, bytes, whole, open: open + (within === undefined ? 0 : 1), unnamed, firstUnnamed };
}
