/** The JSON reader against JSON.parse, on documents and on documents with a letter changed. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { InputError } from "../src/input-error.js";
import { parseJsonText } from "../src/json-text.js";

const outcome = (parse: () => unknown): { value: unknown } | "refused" => {
  try {
    return { value: parse() };
  } catch (error) {
    if (!(error instanceof InputError) && !(error instanceof SyntaxError)) throw error;
    return "refused";
  }
};

test("reads what JSON.parse reads, refuses what it refuses", () => {
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 4 }),
      fc.nat(),
      fc.constantFrom("", ",", "}", "]", '"', "0", "-", "\\", "\n", "e", "\u0001", "{"),
      fc.boolean(),
      (json, at, letter, pretty) => {
        const text = pretty ? JSON.stringify(JSON.parse(json), null, 1) : json;
        const place = at % (text.length + 1);
        for (const each of [
          text,
          text.slice(0, place) + letter + text.slice(place + 1),
          text.slice(0, place) + letter + text.slice(place),
        ]) {
          const ours = outcome(() => parseJsonText(each, "f").value);
          const theirs = outcome(() => JSON.parse(each) as unknown);
          if (ours === "refused" && theirs !== "refused") {
            // The one thing we refuse and JSON.parse does not, at this depth: a name given twice.
            expect(() => parseJsonText(each, "f")).toThrow(/given twice/);
          } else expect(ours).toEqual(theirs);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a name given twice is refused with the second one's line", () => {
  expect(() => parseJsonText('{\n"a": 1,\n"a": 2}', "m.json")).toThrow(
    'm.json:3: field "a" is given twice. Keep one of them.',
  );
});

test("faults name the line they are on", () => {
  expect(() => parseJsonText('{\n"a": [1,\n2,\n}', "m.json")).toThrow(/^m\.json:4: a value expected, found "}"/);
  expect(() => parseJsonText('{"a": 1\n', "m.json")).toThrow(/^m\.json:2:9: "," or "}" expected, the file ends/);
  expect(() => parseJsonText("", "m.json")).toThrow(/^m\.json:1:1: a value expected, the file ends/);
  expect(() => parseJsonText("[".repeat(5000), "m.json")).toThrow(/nested deeper/);
});

test("every value's line is known, and a missing one's is that of what surrounds it", () => {
  const text = parseJsonText('{\n "nodes": [\n  {"id": 0},\n  {\n   "id": 1}\n ]\n}', "m.json");
  expect(text.lineOf(["nodes", 0, "id"])).toBe(3);
  expect(text.lineOf(["nodes", 1])).toBe(4);
  expect(text.lineOf(["nodes", 1, "id"])).toBe(5);
  expect(text.lineOf(["nodes", 1, "memoryBytes"])).toBe(4);
  expect(text.lineOf(["nothing", 1])).toBe(1);
  expect(text.placeOf(["nodes", 1, "id"])).toEqual({ line: 5 });
});

test("in a document that is one line the column is told, of what is read and of what is refused later", () => {
  const text = parseJsonText('{"nodes": [{"id": 0}, {"id": 1}]}\n', "m.json");
  expect(
    [[], ["nodes"], ["nodes", 1], ["nodes", 1, "id"], ["nodes", 1, "memoryBytes"]].map(
      (path) => text.placeOf(path).column,
    ),
  ).toEqual([1, 11, 23, 30, 23]);
  expect(() => parseJsonText('{"a": 1, "b": }', "m.json")).toThrow('m.json:1:15: a value expected, found "}"');
  expect(
    new InputError({ file: "m.json", ...text.placeOf(["nodes"]), field: "nodes", reason: "odd", remedy: "even it" })
      .message,
  ).toBe("m.json:1:11: nodes: odd. Even it.");
});
