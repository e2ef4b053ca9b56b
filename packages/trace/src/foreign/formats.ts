/**
 * Traces of other programs, read into recordings and written from them. What each lacks is said beside it; what fills
 * it stands in import-writer.ts.
 */
import type { Recording } from "../read-trace.js";
import { TraceError } from "../trace-error.js";
import type { ByteSink } from "../writer.js";
import { CHAMPSIM_BYTES, champSimRecord } from "./champsim.js";
import { ImportWriter, type ImportResult } from "./import-writer.js";
import { LineSplitter } from "./lines.js";
import { dinLine, lackeyLine } from "./text-formats.js";

/** A format of another program's traces. */
export interface ForeignFormat {
  readonly name: "champsim" | "din" | "lackey";
  /** Whose it is, and what it lacks. */
  readonly description: string;
  /** Ends of file names that mean it. */
  readonly endings: readonly string[];
}

/** Those that are read. */
export const foreignFormats: readonly ForeignFormat[] = [
  {
    name: "champsim",
    description:
      "ChampSim's 64-byte instructions, unpacked; without lengths of instructions, sizes of accesses, physical pages",
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
];

/** The format that a file's name means; undefined for none. */
export const foreignFormatOf = (file: string): ForeignFormat | undefined =>
  foreignFormats.find(({ endings }) => endings.some((each) => file.toLowerCase().endsWith(each)));

const PIECE = 1 << 16;

/**
 * Reads another program's trace as a recording, piece by piece.
 *
 * @param sink gets the recording's bytes
 * @throws TraceError bad-line, long-line, cut, empty-window, too-many-pages, unreadable
 */
export function importTrace(recording: Recording, format: ForeignFormat["name"], sink: ByteSink): ImportResult {
  const { name: file } = recording;
  const writer = new ImportWriter(file, sink);
  const reader = recording.open();
  const piece = new Uint8Array(PIECE);
  try {
    if (format === "champsim") {
      let [at, filled] = [0, 0];
      for (let length = 0; (length = reader.read(piece.subarray(filled))) > 0;) {
        filled += length;
        let from = 0;
        for (; from + CHAMPSIM_BYTES <= filled; from += CHAMPSIM_BYTES) champSimRecord(piece, from, writer, at + from);
        piece.copyWithin(0, from, filled);
        filled -= from;
        at += from;
      }
      if (filled > 0)
        throw new TraceError(
          "cut",
          file,
          at,
          `${filled} bytes are left for a record of ${CHAMPSIM_BYTES}`,
          "copy the trace again, in full, and unpack it",
        );
      return writer.finish(at);
    }
    const parse = format === "din" ? dinLine : lackeyLine;
    let read = 0;
    const lines = new LineSplitter(file, (text, line, at) => parse(text, line, at, file, writer));
    for (let length = 0; (length = reader.read(piece)) > 0; read += length) lines.push(piece.subarray(0, length));
    lines.finish();
    return writer.finish(read);
  } finally {
    reader.close();
  }
}
