/** The journal cut at every letter, and rows through Parquet. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalText, columnsOf, journalLine, parquetOf, readJournal, rowsOf } from "../src/index.js";

/** FNV-1a. */
const digest = (text: string): string => {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x0100_0193);
  return (hash >>> 0).toString(16);
};
const cells = [
  {
    cell: "one",
    rows: [
      { a: 1, b: 'ä\n "x"' },
      { a: null, b: "y" },
    ],
  },
  { cell: "two", rows: [] },
  { cell: "three", rows: [{ a: -0.1, b: "z" }] },
];
const lines = cells.map((each) => journalLine(each, digest));
const text = lines.join("");

test("cut anywhere it has the cells whose lines are whole, and no other", () => {
  for (let cut = 0; cut <= text.length; cut++) {
    const { cells: found, whole } = readJournal(text.slice(0, cut), digest);
    const expected = lines.filter((_, nth) => lines.slice(0, nth + 1).join("").length <= cut).length;
    expect(found).toEqual(cells.slice(0, expected));
    expect(whole).toBe(lines.slice(0, expected).join("").length);
  }
});

test("one letter changed anywhere ends it before that line", () => {
  for (let at = 0; at < text.length; at++) {
    const changed = `${text.slice(0, at)}${text[at] === "7" ? "8" : "7"}${text.slice(at + 1)}`;
    const before = lines.findIndex((_, nth) => lines.slice(0, nth + 1).join("").length > at);
    expect(readJournal(changed, digest).cells).toEqual(cells.slice(0, before));
  }
});

test("a cell that stands there twice is one", () => {
  expect(readJournal(text + lines[0]!, digest).cells).toEqual(cells);
});

test("same rows, same bytes; and back", async () => {
  const rows = [
    { test: "kill", gain: 1.5, settled: true, none: null, mixed: "a" },
    { test: "mount", gain: null, settled: false, none: null, mixed: 1 },
  ];
  expect([...columnsOf(rows).values()]).toEqual(["STRING", "DOUBLE", "BOOLEAN", "STRING", "STRING"]);
  const bytes = parquetOf(rows, { plan: "p" });
  expect(parquetOf(structuredClone(rows), { plan: "p" })).toEqual(bytes);
  expect(await rowsOf(bytes)).toEqual([rows[0], { ...rows[1], mixed: "1" }]);
});

test("a canonical text does not depend on the order of fields, and says every value apart", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(canonicalText(value))).toEqual(JSON.parse(JSON.stringify(value)));
      if (typeof value === "object" && value !== null && !Array.isArray(value))
        expect(canonicalText(Object.fromEntries(Object.entries(value).reverse()))).toBe(canonicalText(value));
    }),
    { seed: 3, numRuns: 300 },
  );
  expect(() => canonicalText({ a: NaN })).toThrow(TypeError);
});
