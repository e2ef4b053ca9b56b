/** A JSON file of a given shape: all that is wrong with it in our own words, with line, column and field; a library's never reach the user. */
import type { z } from "zod";
import { allFaults, type InputFault } from "./input-error.js";
import { parseJsonText } from "./json-text.js";
import { fieldName } from "./machine/text-lines.js";

const kindOf = (value: unknown): string => (value === undefined ? "nothing" : value === null ? "null" : Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : JSON.stringify(value).slice(0, 40));
const EXPECTED: Readonly<Record<string, string>> = { object: "an object", array: "a list", string: "a string", number: "a number", int: "a whole number", boolean: "true or false" };

/** @returns what is wrong, a clause */
function reasonOf(issue: z.core.$ZodIssue, there: unknown): string {
  if (issue.code === "unrecognized_keys") return `no such field: ${issue.keys.join(", ")}`;
  if (there === undefined) return "missing";
  if (issue.code === "invalid_type") return `${kindOf(there)} where ${EXPECTED[issue.expected] ?? issue.expected} is expected`;
  if (issue.code === "invalid_value") return `${kindOf(there)} is none of ${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
  if (issue.code === "too_small") return `${kindOf(there)} is too small, ${String(issue.minimum)} is the least`;
  if (issue.code === "too_big") return `${kindOf(there)} is too large, ${String(issue.maximum)} is the most`;
  return `${kindOf(there)} cannot stand here`;
}

/**
 * @param remedy where such a file comes from, a clause: "give a file that `kreplica check --save` wrote"
 * @throws InputError with every fault
 */
export function shapedJson<T>(text: string, file: string, shape: z.ZodType<T>, remedy: string): T {
  const document = parseJsonText(text, file);
  const read = shape.safeParse(document.value);
  if (read.success) return read.data;
  // Of several limits that one value breaks the last is the narrowest: a whole number's own comes first.
  const issues = [...new Map(read.error.issues.map((issue) => [JSON.stringify(issue.path.map(String)), issue])).values()];
  throw allFaults(issues.map((issue): InputFault => {
    const there = issue.path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | null | undefined)?.[key], document.value);
    return { file, ...document.placeOf(issue.path), ...(issue.path.length === 0 ? {} : { field: fieldName(issue.path) }), reason: reasonOf(issue, there), remedy };
  }));
}
