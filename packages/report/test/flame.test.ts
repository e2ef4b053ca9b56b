/** The flame graphs: each row as wide as what is above it, a piece as wide as its cycles, words from the document. */
import { describe, expect, test } from "vitest";
import { reportPage } from "../src/index.js";
import { smallDocument } from "./small-document.js";

const HEADING = "What waited for another node";
const pageWith = (comparison: object): string =>
  reportPage({ ...smallDocument, comparison: { ...smallDocument.comparison, ...comparison } });
const section = reportPage(smallDocument).split(HEADING)[1]!.split("</section>")[0]!;
/** Pieces by row, each as what is said of it, where it begins and how wide it is. */
const rows = new Map<number, { words: string; x: number; width: number }[]>();
for (const [, words, x, y, width] of section.matchAll(
  /<title>([^<]*)<\/title><rect class="cause c\d+" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"/g,
))
  rows.set(Number(y), [...(rows.get(Number(y)) ?? []), { words: words!, x: Number(x), width: Number(width) }]);

describe("one test with functions", () => {
  const [whole, parts, functions] = [...rows.values()];

  test("three rows: all far cycles, what was fetched, text's functions", () => {
    // 3,015 of text, 3,025 of rodata, 3,035 of data, 3,047 of walks.
    expect(rows.size).toBe(3);
    expect(whole).toEqual([{ words: "fork-1, waiting for another node's memory: 12,122 cycles", x: 0, width: 860 }]);
    expect(parts!.map(({ words }) => words)).toEqual([
      "fork-1, text: 3,015 cycles",
      "fork-1, rodata: 3,025 cycles",
      "fork-1, data: 3,035 cycles",
      "fork-1, page walks: 3,047 cycles",
    ]);
    // One without far cycles has no piece.
    expect(functions!.map(({ words }) => words)).toEqual([
      "copy_page_9: 2,011 cycles",
      "other functions: 990 cycles",
      "without symbol: 14 cycles",
    ]);
  });

  test("pieces stand side by side, as wide as their cycles", () => {
    for (const row of [parts!, functions!])
      row.forEach(({ x }, i) =>
        expect(x).toBeCloseTo(
          row.slice(0, i).reduce((sum, each) => sum + each.width, 0),
          0,
        ),
      );
    expect(parts!.reduce((sum, { width }) => sum + width, 0)).toBeCloseTo(860, 0);
    expect(functions!.reduce((sum, { width }) => sum + width, 0)).toBeCloseTo(parts![0]!.width, 0);
    expect(functions![0]!.width).toBeCloseTo((860 * 2011) / 12_122, 0);
  });

  test("a label stands where it has room, and names its place; the table has both kernels", () => {
    expect(section).toContain('<tspan data-from="comparison.functions.0.listed.0.function">copy_page_9</tspan>');
    expect(section).not.toContain(">without symbol</text>");
    expect(section).toContain('data-from="comparison.functions.0.listed.1.after.remote"');
    expect(section).toContain("exit_&lt;8&gt;");
  });
});

test("where no functions were counted, or nothing is far, there is none", () => {
  expect(pageWith({ functions: [] })).not.toContain(HEADING);
  const { functions: _, ...without } = smallDocument.comparison;
  expect(reportPage({ ...smallDocument, comparison: without })).not.toContain(HEADING);
  const near = smallDocument.comparison.tests.map((each) => {
    const { account } = each.singleCopy;
    const parts = (["text", "rodata", "data", "walks"] as const).map((part) => [part, { ...account[part], remote: 0 }]);
    return { ...each, singleCopy: { ...each.singleCopy, account: { ...account, ...Object.fromEntries(parts) } } };
  });
  expect(pageWith({ tests: near })).not.toContain(HEADING);
});
