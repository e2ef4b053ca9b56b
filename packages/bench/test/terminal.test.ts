/// <reference types="node" />
/** How text looks: colours and progress only where somebody sees them, nothing wider than the screen. */
import { PassThrough } from "node:stream";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { hanging, progressOn, renderMatrix, renderTable, screenFor, wrap } from "../src/report/terminal.js";
import { bytesText, hertzText } from "../src/report/units.js";

const plain = screenFor({}, {});
// eslint-disable-next-line no-control-regex -- escape sequences are what is looked for
const ESCAPE = /\u001b/;

test.each([
  ["a pipe", {}, {}, false],
  ["a terminal", { isTTY: true, columns: 90 }, {}, true],
  ["a terminal, NO_COLOR", { isTTY: true, columns: 90 }, { NO_COLOR: "1" }, false],
  ["a terminal, NO_COLOR empty", { isTTY: true, columns: 90 }, { NO_COLOR: "" }, true],
  ["a dumb terminal", { isTTY: true, columns: 90 }, { TERM: "dumb" }, false],
])("colours on %s: %o %o %s", (_what, stream, environment, coloured) => {
  const screen = screenFor(stream, environment);
  for (const paint of [screen.bold, screen.dim, screen.good, screen.bad, screen.warn])
    expect(ESCAPE.test(paint("x"))).toBe(coloured);
});

test("width: the terminal's, between 60 and 250; 100 in a pipe", () => {
  expect(
    [
      {},
      { isTTY: true },
      { isTTY: true, columns: 80 },
      { isTTY: true, columns: 300 },
      { isTTY: true, columns: 20 },
      { columns: 70 },
    ].map((stream) => screenFor(stream, {}).columns),
  ).toEqual([100, 100, 80, 250, 60, 100]);
});

test("COLUMNS counts before the terminal's width, in a pipe too; what is no number does not", () => {
  const width = (COLUMNS: string, stream = {}): number => screenFor(stream, { COLUMNS }).columns;
  expect(["80", "200", "9999", "20", "0", "", "x", "-5"].map((text) => width(text))).toEqual([
    80, 200, 250, 60, 100, 100, 100, 100,
  ]);
  expect(width("80", { isTTY: true, columns: 120 })).toBe(80);
});

test("wrapped text keeps every word in order, and every line that can be is within the width", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 30 }).map((word) => word.replace(/\s/g, "_")),
        { maxLength: 40, size: "max" },
      ),
      fc.integer({ min: 10, max: 60 }),
      (words, width) => {
        const lines = wrap(words.join(" "), width);
        expect(lines.join(" ")).toBe(words.join(" "));
        for (const line of lines) if (line.includes(" ")) expect(line.length).toBeLessThanOrEqual(width);
        // No line could have taken the next one's first word.
        for (const [i, line] of lines.entries())
          if (i > 0) expect(lines[i - 1]!.length + 1 + line.split(" ")[0]!.length).toBeGreaterThan(width);
      },
    ),
  );
});

test("a table too wide for the screen stands in several, each with its words, and shows every cell", () => {
  const bold = (text: string): string => `\u001b[1m${text}\u001b[22m`;
  const columns = [
    { head: "test" },
    { head: "kernel" },
    ...["a", "b", "c", "d", "e"].map((head) => ({ head: `${head}\ncycles`, align: "right" as const })),
    { head: "" },
  ];
  const rows = ["fork-1", "mmap/munmap"].map((name, i) => [
    bold(name),
    "one",
    ...Array.from({ length: 5 }, (_, j) => `${i}${j},000,000`),
    "above bound",
  ]);
  for (const [width, panels] of [
    [60, 2],
    [80, 2],
    [100, 1],
  ] as const) {
    // eslint-disable-next-line no-control-regex -- escape sequences begin with a control character
    const text = renderTable(columns, rows, { ...plain, columns: width }).replace(/\u001b\[[0-9;]*m/g, "");
    const lines = text.split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
    for (const cell of rows.flat().slice(2)) if (cell.endsWith(",000,000")) expect(text.split(cell)).toHaveLength(2);
    expect(text.match(/fork-1 +one/g)).toHaveLength(panels);
  }
});

test("a matrix of any size shows every cell, in panels within the width", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 1, max: 7 }),
      fc.constantFrom(60, 80, 100),
      (nodes, digits, columns) => {
        const cell = (i: number, j: number): string => String((i * 64 + j) % 10 ** digits).padStart(digits, "1");
        const cells = Array.from({ length: nodes }, (_, i) =>
          Array.from({ length: nodes }, (_unused, j) => cell(i, j)),
        );
        const text = renderMatrix(
          cells.map((_, i) => `${i}`),
          cells,
          "node",
          { ...plain, columns },
        );
        for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(columns);
        const rebuilt: string[][] = cells.map(() => []);
        for (const panel of text.trimEnd().split("\n\n")) {
          const [head, ...rows] = panel.split("\n").map((line) => line.trim().split(/\s+/));
          const from = Number(head![1]);
          for (const [i, row] of rows.entries()) {
            expect(row[0]).toBe(`${i}`);
            expect(rebuilt[i]!.length).toBe(from);
            rebuilt[i]!.push(...row.slice(1));
          }
        }
        expect(rebuilt).toEqual(cells);
      },
    ),
    { numRuns: 40 },
  );
});

test("a table: aligned, no frame, no trailing blanks, line breaks in cells", () => {
  expect(
    renderTable(
      [{ head: "name" }, { head: "value", align: "right" }],
      [
        ["a", "1"],
        ["long one", "200\n30"],
      ],
      plain,
    ),
  ).toBe(["  name      value", "  a             1", "  long one    200", "               30", ""].join("\n"));
  expect(hanging("-", "one two", { ...plain, columns: 10 })).toBe("  -  one\n     two\n");
  const coloured = screenFor({ isTTY: true, columns: 80 }, {});
  // eslint-disable-next-line no-control-regex -- escape sequences begin with a control character
  expect(hanging(coloured.bad("x"), "one", coloured, 4).replace(/\u001b\[[0-9;]*m/g, "")).toBe("  x   one\n");
});

test("progress: silent unless standard error is a terminal outside CI", () => {
  const watched = (isTTY: boolean, environment: Record<string, string>): string => {
    const stream = Object.assign(new PassThrough(), {
      isTTY,
      columns: 80,
      rows: 20,
      cursorTo: () => true,
      moveCursor: () => true,
      clearLine: () => true,
    });
    const progress = progressOn(stream as unknown as NodeJS.WriteStream, environment);
    progress.start(4, "first");
    progress.step(1, "second");
    progress.stop();
    return String(stream.read() ?? "");
  };
  expect(watched(false, {})).toBe("");
  expect(watched(true, { CI: "true" })).toBe("");
  expect(watched(true, { TERM: "dumb" })).toBe("");
  expect(watched(true, {})).toContain("first");
});

test("units", () => {
  expect(
    [0, 512, 32 << 10, 1.375 * 2 ** 20, 38.5 * 2 ** 20, 64 * 2 ** 30, 1.5 * 2 ** 40, 5000 * 2 ** 40].map(bytesText),
  ).toEqual(["0 B", "512 B", "32 KiB", "1.4 MiB", "38.5 MiB", "64 GiB", "1.5 TiB", "5000 TiB"]);
  expect([2.6e9, 2e9, 3.675e9].map(hertzText)).toEqual(["2.6 GHz", "2 GHz", "3.675 GHz"]);
});
