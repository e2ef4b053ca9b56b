/// <reference types="node" />
/** `kreplica results`: questions whose answers can be told from the rows, CSV, a map, and SQL that asks for DuckDB. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ResultsDocument } from "../../src/report/documents/results.js";
import { sha256 } from "../../src/sweep/cells.js";
import { SweepFolder } from "../../src/sweep/folder.js";
import { invoke } from "../invoke.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-results-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const folder = join(root, "done");

/** Gain: 10 for each unit of far, 1 more for text-only, and 100 less where caches are hot. */
beforeAll(() => {
  const points = [1, 2, 4].flatMap((far) => ["per-node", "text-only"].map((policy) => ({ far, policy })));
  const cells = points.map(({ far, policy }) => ({
    cell: sha256(`${far} ${policy}`),
    rows: (["hot", "cold"] as const).map((cache) => ({
      farOverNear: far,
      policy,
      cache,
      gainPercent: 10 * far + (policy === "text-only" ? 1 : 0) - (cache === "hot" ? 100 : 0),
    })),
  }));
  const sweep = new SweepFolder(folder, {
    schema: "kreplica.sweep-manifest/1",
    title: "made <up>",
    plan: "{}",
    version: sha256("code"),
    axes: ["farOverNear", "policy"],
    shard: null,
    cells: cells.map(({ cell }) => cell),
  });
  sweep.add(cells);
  sweep.finish();
  sweep.close();
});

const answer = async (...words: string[]): Promise<ResultsDocument["rows"]> => {
  const { code, out, error } = await invoke(["results", folder, ...words, "--json"]);
  expect([code, error]).toEqual([0, ""]);
  return (JSON.parse(out) as ResultsDocument).rows;
};

test("what decides: shares of the variance, by hand", async () => {
  // Without the state of the caches: 10 * far varies by 1400 / 9, the policy's 1 by 1 / 4.
  const [far, policy] = await answer("--cache", "cold");
  const whole = 1400 / 9 + 1 / 4;
  expect(far![0]).toBe("farOverNear");
  expect(far![1]).toBeCloseTo((100 * 1400) / 9 / whole, 9);
  expect(policy![0]).toBe("policy");
  expect(policy![1]).toBeCloseTo(25 / whole, 9);
  expect((await answer())[0]![0]).toBe("cache");
});

test("along axes, best, worst, all rows", async () => {
  expect(await answer("axes", "--cache", "cold", "--where", "policy=per-node")).toEqual([
    ["farOverNear", 1, 1, 10, 10, 10],
    ["farOverNear", 2, 1, 20, 20, 20],
    ["farOverNear", 4, 1, 40, 40, 40],
  ]);
  expect((await answer("best"))[0]).toEqual([4, "text-only", "cold", 41]);
  expect((await answer("worst"))[0]).toEqual([1, "per-node", "hot", -90]);
  expect(await answer("rows")).toHaveLength(12);
});

test("all rows as text: axes and the figure asked about, and which columns are left out", async () => {
  const { out } = await invoke(["results", folder, "rows", "--column", "gainPercent"]);
  expect(out.trim().split("\n")).toHaveLength(14);
  expect(out).toMatch(/^ *row +cache +farOverNear +policy +gainPercent/);
  expect(out).toMatch(/^\d+ more with --csv or --json/m);
});

test("rows as text are numbered, and what is one value in all of them is said once", async () => {
  const { out } = await invoke(["results", folder, "best", "--where", "farOverNear=4", "--cache", "cold"]);
  const lines = out.split("\n").map((line) => line.trim().split(/ +/));
  expect(lines.map((words) => words.join(" "))).toEqual([
    "In all rows: farOverNear 4, cache cold.",
    "row policy gainPercent",
    "1 text-only 41",
    "2 per-node 40",
    "",
  ]);
  const [only] = (await invoke(["results", folder, "best", "--where", "policy=per-node", "--cache", "hot"])).out.split(
    "\n",
  );
  expect(only).toBe("  In all rows: policy per-node, cache hot.");
  expect((await invoke(["results", folder, "axes", "--where", "policy=per-node"])).out).not.toContain("In all rows");
});

test("as CSV and as text", async () => {
  const csv = (await invoke(["results", folder, "best", "--where", "farOverNear=4", "--csv"])).out.split("\r\n");
  expect(csv.slice(0, 2)).toEqual(["farOverNear,policy,cache,gainPercent", "4,text-only,cold,41"]);
  expect((await invoke(["results", folder])).out).toMatch(/^ +axis +sharePercent/);
});

test("a map of two axes: every mean is in it, and names are escaped", async () => {
  const { out } = await invoke(["results", folder, "--map", "farOverNear,policy", "--cache", "cold", "-o", "-"]);
  expect(out.startsWith("<!doctype html>")).toBe(true);
  for (const figure of ["10.0", "11.0", "20.0", "21.0", "40.0", "41.0"]) expect(out).toContain(`>${figure}</text>`);
  expect(out).toContain("<h1>made &lt;up&gt;</h1>");
  expect(out.match(/<polyline/g)).toHaveLength(2);
  const page = join(root, "page.html");
  await invoke(["results", folder, "--map", "farOverNear,policy", "--cache", "cold", "-o", page]);
  expect(readFileSync(page, "utf8")).toBe(out);
});

test("what is wrong is said", async () => {
  const said = async (...words: string[]): Promise<string> => {
    const { code, error } = await invoke(["results", ...words]);
    expect(code).toBe(2);
    return error;
  };
  expect(await said(root)).toMatch(/has no manifest\.json that can be read \(ENOENT\)\. Name a folder/);
  expect(await said(folder, "--column", "gainPercnt")).toMatch(
    /--column: .* has no column "gainPercnt"\. Did you mean gainPercent\?/,
  );
  expect(await said(folder, "--column", "policy")).toMatch(/--column: policy has no numbers/);
  expect(await said(folder, "--where", "policy")).toMatch(/--where: "policy" is no condition/);
  expect(await said(folder, "--where", "policy=x")).toMatch(/no row has policy x\. Its values are per-node, text-only/);
  expect(await said(folder, "--map", "policy")).toMatch(/--map: "policy" are not two axes/);
  expect(await said(folder, "best", "--sql", "select 1")).toMatch(/--sql: means nothing beside the question best/);
  expect(await said(folder, "--output", "x.html")).toMatch(/--output: given without --map/);
});

const installed = ((): boolean => {
  try {
    createRequire(import.meta.url).resolve("@duckdb/node-api");
    return true;
  } catch {
    return false;
  }
})();
test.skipIf(installed)("SQL without DuckDB says what to install", async () => {
  const { code, error } = await invoke(["results", folder, "--sql", "select 1"]);
  expect([code, error]).toEqual([2, expect.stringMatching(/--sql: needs @duckdb\/node-api, which is not installed/)]);
});
test.skipIf(!installed)("SQL", async () => {
  expect(
    await answer("--sql", 'select policy, max("gainPercent") from results group by policy order by policy'),
  ).toEqual([
    ["per-node", 40],
    ["text-only", 41],
  ]);
});
