/** Reads JSON and remembers on which line every value stands, so that a refused field can be found in the file. */
import { InputError, type InputFault } from "./input-error.js";

/** A value and its place. */
interface Placed {
  readonly value: unknown;
  /** From 1. */
  readonly line: number;
  /** First letter in the whole text, from 0. */
  readonly at: number;
  /** Members of an object by name, elements of an array by index; absent for all else. */
  readonly parts?: ReadonlyMap<string | number, Placed>;
}

/** A JSON document. */
export interface JsonText {
  /** As JSON.parse gives it. */
  readonly value: unknown;
  /** Line of the value at the path, or of the nearest one around it. */
  lineOf(path: readonly PropertyKey[]): number;
  /** The same, with the column where the whole document is one line: then the line says nothing. */
  placeOf(path: readonly PropertyKey[]): Pick<InputFault, "line" | "column">;
}

/** Nesting beyond this is refused before the stack of the reader is used up. */
const DEEPEST = 100;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// eslint-disable-next-line no-control-regex -- JSON forbids them inside strings
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\r\n]*/y;

/**
 * Accepts what JSON.parse accepts, except for a name given twice in one object, which is refused, and nesting deeper
 * than 100.
 *
 * @throws InputError with the line
 */
export function parseJsonText(text: string, file: string): JsonText {
  let at = 0;
  const breaks: number[] = [];
  for (let i = text.indexOf("\n"); i >= 0; i = text.indexOf("\n", i + 1)) breaks.push(i);
  const lineAt = (position: number): number => {
    let low = 0;
    for (let high = breaks.length; low < high;) {
      const middle = (low + high) >> 1;
      if (breaks[middle]! < position) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  };
  const oneLine = !text.trimEnd().includes("\n");
  const placeAt = (position: number): Pick<InputFault, "line" | "column"> => ({
    line: lineAt(position),
    ...(oneLine ? { column: position + 1 } : {}),
  });
  const fail = (reason: string, remedy: string, position = at): never => {
    throw new InputError({ file, ...placeAt(position), reason, remedy });
  };
  const found = (): string =>
    at >= text.length ? "the file ends" : `found ${JSON.stringify(text.slice(at, at + 12))}`;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) return undefined;
    at = pattern.lastIndex;
    return match[0];
  };
  const skip = (): void => {
    take(SPACE);
  };
  const string = (what: string): string =>
    JSON.parse(
      take(STRING) ?? fail(`${what} expected, ${found()}`, "write it in double quotes, with \\ before quotes inside"),
    ) as string;

  function value(depth: number): Placed {
    if (depth > DEEPEST) fail(`nested deeper than ${DEEPEST}`, "a machine needs five levels");
    skip();
    const begin = at;
    const line = lineAt(at);
    const first = text[at];
    if (first === "{") {
      const parts = new Map<string | number, Placed>();
      at++;
      const object: Record<string, unknown> = {};
      skip();
      if (text[at] === "}") at++;
      else {
        do {
          skip();
          const before = at;
          const name = string("a field's name");
          if (parts.has(name)) fail(`field ${JSON.stringify(name)} is given twice`, "keep one of them", before);
          skip();
          if (text[at] !== ":") fail(`":" expected after the field's name, ${found()}`, "write name: value");
          at++;
          const member = value(depth + 1);
          parts.set(name, member);
          // Not by assignment: "__proto__" must become a field like any other, which the schema then refuses.
          Object.defineProperty(object, name, {
            value: member.value,
            enumerable: true,
            writable: true,
            configurable: true,
          });
          skip();
        } while (text[at] === "," && ++at);
        if (text[at] !== "}") fail(`"," or "}" expected, ${found()}`, "close the object, or separate its fields");
        at++;
      }
      return { value: object, line, at: begin, parts };
    }
    if (first === "[") {
      const parts = new Map<string | number, Placed>();
      at++;
      const list: unknown[] = [];
      skip();
      if (text[at] === "]") at++;
      else {
        do {
          const element = value(depth + 1);
          parts.set(list.length, element);
          list.push(element.value);
          skip();
        } while (text[at] === "," && ++at);
        if (text[at] !== "]") fail(`"," or "]" expected, ${found()}`, "close the list, or separate its elements");
        at++;
      }
      return { value: list, line, at: begin, parts };
    }
    if (first === '"') return { value: string("a string"), line, at: begin };
    for (const [word, constant] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ] as const) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return { value: constant, line, at: begin };
      }
    }
    const number =
      take(NUMBER) ??
      fail(`a value expected, ${found()}`, "write a number, a string, true, false, null, a list or an object");
    return { value: Number(number), line, at: begin };
  }

  const root = value(0);
  skip();
  if (at < text.length) fail(`text after the end of the document, ${found()}`, "a file holds one JSON value");
  const placed = (path: readonly PropertyKey[]): Placed => {
    let here = root;
    for (const key of path) {
      const next = here.parts?.get(key as string | number);
      if (!next) break;
      here = next;
    }
    return here;
  };
  return { value: root.value, lineOf: (path) => placed(path).line, placeOf: (path) => placeAt(placed(path).at) };
}
