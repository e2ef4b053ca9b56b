/**
 * Traces of other programs, read into recordings and written from them. What each lacks is said beside it; what fills
 * it stands in import-writer.ts.
 */
import type { Recording } from "../read-trace.js";
import type { ByteSink } from "../writer.js";
import { TraceError } from "../trace-error.js";
import { CHAMPSIM_BYTES, champSimRecord } from "./champsim.js";
import { ImportWriter, type ImportResult } from "./import-writer.js";
import { LineSplitter } from "./lines.js";
import { DrmemtraceReader } from "./drmemtrace.js";
import { perfScriptLine } from "./perf-script.js";
import { dinLine, lackeyLine } from "./text-formats.js";
import { RecordCutter } from "./record-cutter.js";
import { readUnpacked } from "./unpacked.js";

/** A format of another program's traces. */
export interface ForeignFormat {
  readonly name: "champsim" | "din" | "lackey" | "drmemtrace" | "perf-script";
  /** Whose it is, and what it lacks. */
  readonly description: string;
  /** Ends of file names that mean it. */
  readonly endings: readonly string[];
}

/** Those that are read. */
export const foreignFormats: readonly ForeignFormat[] = [
  {
    name: "champsim",
    description: "ChampSim's 64-byte instructions; without lengths of instructions, sizes of accesses, physical pages",
    endings: [".champsim", ".champsimtrace", ".trace"],
  },
  {
    name: "din",
    description:
      "Dinero's din and xdin: a label and an address a line, xdin a size too; din without lengths and sizes; both without physical pages",
    endings: [".din", ".xdin"],
  },
  {
    name: "lackey",
    description: "Valgrind's lackey --trace-mem=yes; user mode, without physical pages",
    endings: [".lackey"],
  },
  {
    name: "drmemtrace",
    description:
      "DynamoRIO's drmemtrace, final traces, with kernel regions or without; threads one behind the other, no loads and stores of the kernel",
    endings: [".drmemtrace", ".trace.zip", ".trace.gz", ".trace.lz4", ".memtrace"],
  },
  {
    name: "perf-script",
    description:
      "perf script's text of Intel PT (instructions alone) and of perf mem (samples); without lengths, sizes, physical pages",
    endings: [".perf", ".perf-script"],
  },
];

/** The format that a file's name means; undefined for none. */
export const foreignFormatOf = (file: string): ForeignFormat | undefined =>
  foreignFormats.find(({ endings }) => endings.some((each) => file.toLowerCase().endsWith(each)));

/**
 * Reads another program's trace as a recording, piece by piece, plain or packed as gzip, zip or lz4.
 *
 * @param sink gets the recording's bytes
 * @throws TraceError bad-line, long-line, bad-record, not-a-trace, cut, empty-window, too-many-pages, bad-compression,
 *   unreadable
 */
export function importTrace(recording: Recording, format: ForeignFormat["name"], sink: ByteSink): ImportResult {
  const { name: file } = recording;
  const writer = new ImportWriter(file, sink);
  switch (format) {
    case "champsim": {
      const records = new RecordCutter(CHAMPSIM_BYTES, (bytes, from, at) => champSimRecord(bytes, from, writer, at));
      readUnpacked(recording, (part) => records.push(part));
      if (records.left > 0)
        throw new TraceError(
          "cut",
          file,
          records.read,
          `${records.left} bytes are left for a record of ${CHAMPSIM_BYTES}`,
          "copy the trace again, in full",
        );
      return writer.finish(records.read);
    }
    case "drmemtrace": {
      const entries = new DrmemtraceReader(file, writer);
      readUnpacked(recording, (part) => entries.push(part));
      return writer.finish(entries.finish());
    }
    default: {
      const parse = LINES[format];
      let read = 0;
      const lines = new LineSplitter(file, (text, line, at) => parse(text, line, at, file, writer));
      readUnpacked(recording, (part) => {
        read += part.length;
        lines.push(part);
      });
      lines.finish();
      return writer.finish(read);
    }
  }
}

const LINES = { din: dinLine, lackey: lackeyLine, "perf-script": perfScriptLine } as const;
