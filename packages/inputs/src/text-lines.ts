/** A text file in lines, and the faults that name them. */
import { allFaults, type InputError, type InputFault } from "./input-error.js";

/** Text of a tool, with the name under which faults report it. */
export class TextLines {
  readonly lines: readonly string[];
  private readonly found: InputFault[] = [];

  constructor(
    readonly file: string,
    text: string,
  ) {
    this.lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  }

  /** Ends the reading, with what was reported before. @param index of the line, from 0; absent: the file as a whole */
  fault(index: number | undefined, field: string | undefined, reason: string, remedy: string): InputError {
    this.report(index, field, reason, remedy);
    return this.all();
  }

  /** As {@link fault}, told by {@link settle} with the others: the reader goes on where it can. */
  report(index: number | undefined, field: string | undefined, reason: string, remedy: string): void {
    this.found.push({
      file: this.file,
      reason,
      remedy,
      ...(index === undefined ? {} : { line: index + 1 }),
      ...(field === undefined ? {} : { field }),
    });
  }

  /** @throws InputError with all that was reported */
  settle(): void {
    if (this.found.length > 0) throw this.all();
  }

  /** From the first line to the last; what is about the file as a whole is behind. */
  private all(): InputError {
    return allFaults(
      [...this.found].sort((a, b) => (a.line ?? this.lines.length + 1) - (b.line ?? this.lines.length + 1)),
    );
  }
}

/** The start of what a line says, for an error message. */
export const quoted = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 37)}...` : text);

/** A path of fields as the user would write it: `cpus[3].node`. */
export const fieldName = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === "number" ? `[${key}]` : `${i === 0 ? "" : "."}${String(key)}`)).join("");
