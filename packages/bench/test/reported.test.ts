/**
 * Reported gains from a file: both formats read, every fault told with its place; and whose figures stand beside which
 * machine.
 */
/// <reference types="node" />
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { presets } from "@kreplica/machines";
import { reportedFor, reportedIn } from "@kreplica/replay";
import { traceTests } from "@kreplica/trace";
import { afterAll, describe, expect, test } from "vitest";
import { readReportedFile } from "../src/inputs/reported-file.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-reported-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const write = (text: string | Uint8Array): string => {
  const file = join(folder, `${++files}`);
  writeFileSync(file, text);
  return file;
};
const fault = (text: string | Uint8Array): InputError => {
  try {
    readReportedFile(write(text));
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
  throw new Error("it was taken");
};

test("JSON and CSV say the same; hot or cold may be absent, cells quoted, columns in any order", () => {
  const figures = [
    { test: "fork-1", hot: 1.5, cold: -3 },
    { test: "open, then close", cold: 40 },
  ];
  const json = readReportedFile(write(JSON.stringify({ source: "me, on my box", machine: "box", figures }, null, 1)));
  expect(json).toMatchObject({ source: "me, on my box", machine: "box", figures });
  const csv = readReportedFile(
    write('cold,TEST,hot,source,machine\r\n-3,fork-1,1.5,"me, on my box",box\r\n\r\n40,"open, then close",,,\r\n'),
  );
  expect(csv).toEqual({ ...json, file: csv.file });
  expect(readReportedFile(write("test,hot\nfork-1,2\n"))).toMatchObject({
    machine: undefined,
    figures: [{ test: "fork-1", hot: 2 }],
  });
});

const whole = { source: "me", machine: "box", figures: [{ test: "fork-1", hot: 1 }] };
const json = (change: object): string => JSON.stringify({ ...whole, ...change }, null, 1);
test.each<[string, string | Uint8Array, RegExp]>([
  ["no object", "[]", /:1: not an object/],
  ["broken", "{", /:1:2: a field's name expected/],
  ["a field too many, misspelt", json({ sourc: "x" }), /:\d+: sourc: no such field\. Did you mean source\?/],
  ["no source", json({ source: undefined }), /source: missing/],
  ["no machine", json({ machine: 3 }), /:3: machine: is no text/],
  ["no list", json({ figures: {} }), /:4: figures: is no list/],
  ["an empty list", json({ figures: [] }), /holds no figure/],
  ["no test", json({ figures: [{ hot: 1 }] }), /figures\[0\]\.test: missing/],
  ["a word for a figure", json({ figures: [{ test: "a", hot: "much" }] }), /:\d: figures\[0\]\.hot: is no number/],
  ["a gain that cannot be", json({ figures: [{ test: "a", hot: 101 }] }), /101 is no gain/],
  ["neither", json({ figures: [{ test: "a" }] }), /figures\[0\]: has neither/],
  [
    "twice",
    json({
      figures: [
        { test: "a", hot: 1 },
        { test: "a", hot: 2 },
      ],
    }),
    /figures\[1\]\.test: "a" is there twice/,
  ],
  [
    "all of them",
    json({ figures: [{ test: "a", hot: 1e9, col: 2 }, { hot: null }] }),
    /figures\[0\]\.col: no such field; line \d+, figures\[0\]\.hot: 1000000000 is no gain.*; line \d+, figures\[1\]\.test: missing; line \d+, figures\[1\]\.hot: is no number/,
  ],
  ["CSV: no head", "fork-1,1,2\n", /:1: column 1 \(fork-1\): no such column/],
  ["CSV: no test column", "hot,cold\n1,2\n", /:1: head: the columns test/],
  ["CSV: nothing but a head", "test,hot\n", /holds no figure/],
  ["CSV: a comma for a point", 'test,hot\nfork-1,"1,5"\n', /:2: column 2 \(hot\): "1,5" is no number/],
  ["CSV: a cell too many", "test,hot\nfork-1,1,5\n", /:2: column 3: 3 cells where the head has 2/],
  ["CSV: a column twice", "test,hot,hot\nfork-1,1,2\n", /:1: column 3 \(hot\): is there twice/],
  [
    "CSV: an empty name, and no figures",
    "test,hot,cold\n,,\nx,,\n,1,\n",
    /:3: row: has neither.*; line 4, column 1 \(test\): is empty/,
  ],
  ["CSV: two machines", "test,hot,machine\na,1,box\nb,1,bax\n", /:3: column 3 \(machine\): "bax", and "box" before/],
  ["no text", Uint8Array.of(0xff, 0xfe, 0, 1), /--reported: is no text in UTF-8/],
])("%s is refused with its place", (_what, text, says) => {
  expect(fault(text).message).toMatch(says);
});

test("a folder and nothing at all are refused", () => {
  for (const path of [folder, join(folder, "nowhere")])
    expect(() => readReportedFile(path)).toThrow(/--reported: (is a folder|does not exist)/);
});

describe("whose figures stand beside a machine", () => {
  const fork1 = traceTests[0]!;

  test("the authors' stand beside their machine alone, by its name", () => {
    for (const spec of presets) {
      const found = reportedFor(spec);
      expect(found?.of(fork1, "cold", 1), spec.name).toBe(spec.name === "e5-2690v3-2s" ? 42.7 : undefined);
    }
    expect(reportedFor({ ...presets[0]!, name: "mine" })).toBeUndefined();
    // Not of a run of another length.
    expect(reportedFor(presets[0]!)!.of(traceTests[1]!, "hot", 16)).toBeUndefined();
  });

  test("a file's take their place on any machine, and what it does not say is not reported", () => {
    const own = reportedIn(readReportedFile(write(json({}))));
    for (const spec of presets)
      expect([reportedFor(spec, own)!.of(fork1, "hot", 1), reportedFor(spec, own)!.of(fork1, "cold", 1)]).toEqual([
        1,
        undefined,
      ]);
  });
});
