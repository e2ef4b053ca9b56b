/**
 * A JSON file of a given shape: all that is wrong with it in our own words, with line, column and field; a library's
 * never reach the user.
 */
import { allFaults, fieldName, type InputFault, nearest, parseJsonText } from "@kreplica/inputs";
import type { z } from "zod";

const kindOf = (value: unknown): string =>
  value === undefined
    ? "nothing"
    : value === null
      ? "null"
      : Array.isArray(value)
        ? "a list"
        : typeof value === "object"
          ? "an object"
          : JSON.stringify(value).slice(0, 40);
const EXPECTED: Readonly<Record<string, string>> = {
  object: "an object",
  array: "a list",
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
};

/** @returns what is wrong, a clause */
function reasonOf(issue: z.core.$ZodIssue, there: unknown): string {
  if (there === undefined) return "missing";
  if (issue.code === "invalid_type")
    return `${kindOf(there)} where ${EXPECTED[issue.expected] ?? issue.expected} is expected`;
  if (issue.code === "invalid_value")
    return `${kindOf(there)} is none of ${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
  if (issue.code === "too_small") return `${kindOf(there)} is too small, ${String(issue.minimum)} is the least`;
  if (issue.code === "too_big") return `${kindOf(there)} is too large, ${String(issue.maximum)} is the most`;
  return `${kindOf(there)} cannot stand here`;
}

/** What is wrong with one value of a file. */
export interface ShapeFault {
  readonly path: readonly PropertyKey[];
  readonly reason: string;
  readonly remedy: string;
}

const pathText = (path: readonly PropertyKey[]): string => JSON.stringify(path.map(String));

/**
 * One for each field that is too many: what is missing and spelt nearly so was meant, and is not said to be missing
 * too.
 */
function faultsOf(issues: readonly z.core.$ZodIssue[], value: unknown, remedy: string): ShapeFault[] {
  const thereAt = (path: readonly PropertyKey[]): unknown =>
    path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
  const extra = issues.flatMap((issue) =>
    issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key]) : [],
  );
  const others = issues.filter((issue) => issue.code !== "unrecognized_keys");
  const meant = new Map(
    extra.map((path) => {
      const around = pathText(path.slice(0, -1));
      const missing = others
        .filter((issue) => pathText(issue.path.slice(0, -1)) === around && thereAt(issue.path) === undefined)
        .map(({ path: each }) => String(each.at(-1)));
      return [path, nearest(String(path.at(-1)), missing)];
    }),
  );
  const isMeant = (path: readonly PropertyKey[]): boolean =>
    [...meant].some(([key, word]) => word !== undefined && pathText([...key.slice(0, -1), word]) === pathText(path));
  return [
    ...others
      .filter(({ path }) => !isMeant(path))
      .map((issue) => ({ path: issue.path, reason: reasonOf(issue, thereAt(issue.path)), remedy })),
    ...extra.map((path) => ({
      path,
      reason: "no such field",
      remedy: meant.get(path) === undefined ? "remove it" : `did you mean ${meant.get(path)!}?`,
    })),
  ];
}

/**
 * @param remedy where such a file comes from, a clause: "give a file that `kreplica check --save` wrote"
 * @param further what is wrong with a value of the right shape
 * @throws InputError with every fault
 */
export function shapedJson<T>(
  text: string,
  file: string,
  shape: z.ZodType<T>,
  remedy: string,
  further: (value: T) => readonly ShapeFault[] = () => [],
): T {
  const document = parseJsonText(text, file);
  const read = shape.safeParse(document.value);
  // Of several limits that one value breaks the last is the narrowest: a whole number's own comes first.
  const faults = read.success
    ? further(read.data)
    : faultsOf(
        [
          ...new Map(
            read.error.issues.map((issue) => [`${issue.code === "unrecognized_keys"} ${pathText(issue.path)}`, issue]),
          ).values(),
        ],
        document.value,
        remedy,
      );
  if (read.success && faults.length === 0) return read.data;
  throw allFaults(
    faults.map(({ path, reason, remedy: better }): InputFault => ({
      file,
      ...document.placeOf(path),
      ...(path.length === 0 ? {} : { field: fieldName(path) }),
      reason,
      remedy: better,
    })),
  );
}
