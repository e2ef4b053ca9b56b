/** What the measuring program printed, one JSON object a line, as a measurement; whole, or refused. */
import { InputError } from "@kreplica/inputs";
import {
  lineShapes,
  type MeasuredCell,
  type Measurement,
  MEASUREMENT_SCHEMA,
  type NotMeasured,
} from "./measurement.js";

/** Who a figure is from, in every machine file made of one. */
export const MEASURED_BY = "measured by kreplica probe";

/** Of the line's format. */
const VERSION = 1;

/**
 * @param printed all of the program's standard output
 * @param program its name, for messages
 * @throws InputError where the output is cut off, damaged, or the program refused
 */
export function measurementFromProgram(printed: string, program: string): Measurement {
  const lines = printed.split("\n");
  const damaged = (line: number, reason: string): InputError =>
    new InputError({ file: program, line, reason, remedy: "run it again; if it stays so, report it with its output" });
  // What follows the last line's end is the beginning of a line that never came.
  if (lines.pop() !== "") throw damaged(lines.length + 1, "its output is cut off in a line");
  let head: Omit<Measurement, "schema" | "source" | "seconds" | "cells" | "notMeasured"> | undefined;
  const cells: MeasuredCell[] = [];
  const notMeasured: NotMeasured[] = [];
  for (const [index, line] of lines.entries()) {
    const said = objectIn(line);
    if (!said) throw damaged(index + 1, "it printed what is no line of its own");
    const { kind, ...rest } = said;
    if (kind === "refusal")
      throw new InputError({
        file: program,
        reason: typeof rest["reason"] === "string" ? rest["reason"] : "it refused",
        remedy: "measure on another machine",
      });
    if (kind === "end") {
      if (!head || index !== lines.length - 1 || rest["cells"] !== cells.length)
        throw damaged(
          index + 1,
          `it says that it printed ${String(rest["cells"])} cells, and ${cells.length} are there`,
        );
      return {
        schema: MEASUREMENT_SCHEMA,
        source: head.processor.emulated === true ? `${MEASURED_BY}, under an emulator` : MEASURED_BY,
        seconds: Number(rest["seconds"]) || 0,
        ...head,
        cells,
        notMeasured,
      };
    }
    const told = kind === "cell" && rest["stolenTicks"] === -1 ? { ...rest, stolenTicks: null } : rest;
    if (kind === "head" && index === 0) {
      const { version, ...fields } = rest;
      const read = lineShapes.head.safeParse(fields);
      if (version !== VERSION || !read.success) throw damaged(1, "its first line is of another version");
      head = read.data;
      continue;
    }
    const read =
      kind === "cell" ? lineShapes.cell.safeParse(told) : kind === "skip" ? lineShapes.skip.safeParse(told) : undefined;
    if (!head || !read?.success)
      throw damaged(
        index + 1,
        read?.error?.issues[0] ? `${read.error.issues[0].path.join(".")} is damaged` : "damaged",
      );
    if (kind === "cell") cells.push(read.data as MeasuredCell);
    else notMeasured.push(read.data as NotMeasured);
  }
  throw damaged(lines.length + 1, "its output ends before its last line");
}

function objectIn(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
