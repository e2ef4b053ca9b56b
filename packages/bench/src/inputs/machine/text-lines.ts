/** A text file in lines, and the fault that names one of them. */
import { InputError } from "../input-error.js";

/** Text of a tool, with the name under which faults report it. */
export class TextLines {
  readonly lines: readonly string[];

  constructor(readonly file: string, text: string) {
    this.lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  }

  /** @param index of the line, from 0; absent: the file as a whole */
  fault(index: number | undefined, field: string | undefined, reason: string, remedy: string): InputError {
    return new InputError({
      file: this.file, reason, remedy,
      ...(index === undefined ? {} : { line: index + 1 }), ...(field === undefined ? {} : { field }),
    });
  }
}

/** The start of what a line says, for an error message. */
export const quoted = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 37)}...` : text);

/** A path of fields as the user would write it: `cpus[3].node`. */
export const fieldName = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === "number" ? `[${key}]` : `${i === 0 ? "" : "."}${String(key)}`)).join("");
