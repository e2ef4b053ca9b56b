/** Files of a given shape: every fault in our own words, whatever is in the file. */
import { InputError } from "@kreplica/inputs";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { z } from "zod";
import { shapedJson } from "../src/inputs/json-shape.js";

const shape = z.strictObject({
  schema: z.literal("s/1"),
  nodes: z.number().int().min(1).max(64),
  levels: z.literal([4, 5]),
  on: z.boolean(),
  list: z.array(z.looseObject({ op: z.string() })),
});
const sound = { schema: "s/1", nodes: 2, levels: 4, on: true, list: [{ op: "x", more: 1 }] };
const said = (value: unknown): string => {
  try {
    shapedJson(JSON.stringify(value), "f.json", shape, "give another");
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  }
};

test("what fits is read", () => {
  expect(shapedJson(JSON.stringify(sound), "f.json", shape, "")).toEqual(sound);
});

test.each<[unknown, RegExp]>([
  [null, /^f\.json:1:1: null where an object is expected\. Give another\.$/],
  [{ ...sound, nodes: 1e300 }, /^f\.json:1:25: nodes: 1e\+300 .*\. Give another\.$/],
  [{ ...sound, nodes: 65 }, /nodes: 65 is too large, 64 is the most/],
  [{ ...sound, nodes: "2" }, /nodes: "2" where a number is expected/],
  [{ ...sound, list: [{ op: 1 }] }, /list\[0\]\.op: 1 where a string is expected/],
  [
    { ...sound, on: undefined, schema: "s/2" },
    /^f\.json:1:11: schema: "s\/2" is none of "s\/1"\..*\nf\.json:1:1: on: missing\./,
  ],
  [{ ...sound, levels: 6 }, /levels: 6 is none of 4, 5/],
  [{ ...sound, more: 1 }, /^f\.json:1:\d+: more: no such field\. Remove it\.$/],
  // One fault, one line: what was meant is not missing too.
  [
    { schema: "s/1", node: 2, levels: 4, on: true, list: [] },
    /^f\.json:1:\d+: node: no such field\. Did you mean nodes\?$/,
  ],
  [
    { schema: "s/1", x: 2, levels: 4, on: true, list: [] },
    /^f\.json:1:1: nodes: missing\. Give another\.\nf\.json:1:\d+: x: no such field\. Remove it\.$/,
  ],
])("%j", (value, message) => {
  expect(said(value)).toMatch(message);
});

test("what fits the shape and is wrong all the same has its place too", () => {
  expect(() =>
    shapedJson(`{"schema":"s/1",\n"nodes":2,"levels":4,"on":true,"list":[]}`, "f.json", shape, "", ({ nodes }) => [
      { path: ["nodes"], reason: `${nodes} are too few`, remedy: "write 3" },
    ]),
  ).toThrow(/^f\.json:2: nodes: 2 are too few\. Write 3\.$/);
});

test("no word of the library, whatever the file holds", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(sound)), (value, field) => {
      for (const each of [value, { ...sound, [field]: value }])
        expect(said(each)).not.toMatch(/Invalid|expected (?:object|int|string|number)|Too (?:big|small)|received/);
    }),
  );
});
