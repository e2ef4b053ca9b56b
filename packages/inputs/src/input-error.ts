/**
 * What is thrown when something the user gave cannot be used: every input of the command can be wrong, and says so the
 * same way.
 */

/** Where an input is wrong, why, and what to do about it. */
export interface InputFault {
  /** Path as the user gave it, or the name of what stands in its place (`--machine`). */
  readonly file: string;
  /** Line in a text file, from 1. */
  readonly line?: number;
  /** Letter in that line, from 1, where the line alone says too little: in a document that is one line. */
  readonly column?: number;
  /** Byte in a binary file, from 0. */
  readonly offset?: number;
  /** The offset counts what the file unpacks to, not the file itself. */
  readonly unpacked?: boolean;
  /** Field as the user would write it: `cpus[3].node`, `node 2 size`, `--cpu`. */
  readonly field?: string;
  /** What is wrong, a clause without a full stop. */
  readonly reason: string;
  /** What would put it right, a clause in the imperative without a full stop. */
  readonly remedy: string;
  /** What else is wrong with the same input, in its order. */
  readonly others?: readonly InputFault[];
}

/** Faults that are spelt out: a file that is wrong from end to end must not fill the screen. */
const MOST_LISTED = 20;

const sentence = (clause: string): string =>
  clause.charAt(0).toUpperCase() + clause.slice(1) + (/[.!?]$/.test(clause) ? "" : ".");

function lineOf({ file, line, column, offset, unpacked, field, reason, remedy }: InputFault): string {
  const place =
    offset !== undefined
      ? `${file} at byte ${offset}${unpacked ? " of what it unpacks to" : ""}`
      : line !== undefined
        ? `${file}:${line}${column === undefined ? "" : `:${column}`}`
        : file;
  return `${place}: ${field === undefined ? "" : `${field}: `}${reason}. ${sentence(remedy)}`;
}

/**
 * An input that cannot be used; the command ends with exit code 2.
 *
 * Its message reads `FILE:LINE:COLUMN: FIELD: reason. Remedy.`, leaving out what does not apply; an offset reads `FILE
 * at byte N`, in a packed file `FILE at byte N of what it unpacks to`. Further faults of the same input follow, a line
 * each.
 */
export class InputError extends Error implements InputFault {
  override readonly name = "InputError";
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  readonly offset?: number;
  readonly unpacked?: boolean;
  readonly field?: string;
  readonly reason: string;
  readonly remedy: string;
  readonly others: readonly InputFault[];

  constructor(fault: InputFault) {
    const { file, line, column, offset, unpacked, field, reason, remedy, others = [] } = fault;
    const more = others.length + 1 - MOST_LISTED;
    super([fault, ...others].slice(0, MOST_LISTED).map(lineOf).join("\n") + (more > 0 ? `\nand ${more} more` : ""));
    this.others = others;
    this.file = file;
    this.reason = reason;
    this.remedy = remedy;
    if (line !== undefined) this.line = line;
    if (column !== undefined) this.column = column;
    if (offset !== undefined) this.offset = offset;
    if (unpacked !== undefined) this.unpacked = unpacked;
    if (field !== undefined) this.field = field;
  }
}

/** Everything that is wrong with an input, told at once. @param faults in the order they are told; at least one */
export function allFaults(faults: readonly InputFault[]): InputError {
  const [first, ...others] = faults;
  return new InputError({ ...first!, others });
}

/** What an error was made of, as plain data without what is absent. */
export const faultOf = ({
  file,
  line,
  column,
  offset,
  unpacked,
  field,
  reason,
  remedy,
  others,
}: InputError): InputFault => ({
  file,
  reason,
  remedy,
  ...(line === undefined ? {} : { line }),
  ...(column === undefined ? {} : { column }),
  ...(offset === undefined ? {} : { offset }),
  ...(unpacked === undefined ? {} : { unpacked }),
  ...(field === undefined ? {} : { field }),
  ...(others.length === 0 ? {} : { others }),
});

/**
 * Reason and remedy of a file that cannot be looked at.
 * @param error of node:fs
 * @param remedy for a path where nothing is
 */
export function whyNot(error: unknown, remedy: string): Pick<InputFault, "reason" | "remedy"> {
  const code = (error as { readonly code?: string }).code ?? String(error);
  return code === "ENOENT" || code === "ENOTDIR"
    ? { reason: "does not exist", remedy }
    : {
        reason: `cannot be read (${code})`,
        remedy:
          code === "EACCES" || code === "EPERM" ? "check its permissions, and those of the folders around it" : remedy,
      };
}
