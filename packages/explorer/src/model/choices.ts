/** What can be chosen on the page, as plain values: no kernel stands behind this file, so that the page stays small. */
import type { Lesson, LessonWords } from "./lesson.js";

/** One kind of operation with its fields. */
export interface OperationChoice {
  readonly family: string;
  readonly op: string;
  readonly fields: Readonly<Record<string, "number" | "boolean" | "operation" | readonly string[]>>;
  /** What it says with all its numbers 0. */
  readonly example: string;
  /** The policies under which it means something, by what their names begin with; absent: all. */
  readonly policy?: string;
}

/** A defect of the series or a bug of the museum that can be switched on. */
export interface FaultChoice {
  readonly id: string;
  readonly room: string;
  readonly sentence: string;
  readonly configuration?: string;
  readonly levels?: 4 | 5;
  readonly pti?: boolean;
  readonly fewestNodes: number;
}

/** All that can be chosen. */
export interface Catalogue {
  readonly lessons: readonly (Lesson & LessonWords)[];
  readonly policies: readonly { readonly name: string; readonly summary: string }[];
  readonly faults: readonly FaultChoice[];
  readonly operations: readonly OperationChoice[];
  readonly configurations: readonly { readonly name: string; readonly fewest: number }[];
  readonly rules: readonly { readonly id: string; readonly sentence: string }[];
}

/** The operation of a kind with the first value of each field. */
export const plainOperation = (op: string, fields: OperationChoice["fields"]): { readonly op: string } => ({
  op,
  ...Object.fromEntries(
    Object.entries(fields).map(([field, type]) => [
      field,
      type === "number"
        ? field === "pages" || field === "steps" || field === "store" || field === "nth"
          ? 1
          : 0
        : type === "boolean"
          ? field === "writable"
          : type === "operation"
            ? { op: "idle", cpu: 0 }
            : type[0],
    ]),
  ),
});
