/// <reference types="node" />
/** Axes of a sweep that are options of `compare`, and layouts: each cell is what `compare` says there. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rowsOf } from "@kreplica/sweep";
import { afterAll, expect, test } from "vitest";
import type { SweepDocument } from "../../src/report/documents/sweep.js";
import { invoke } from "../invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-axes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const run = async (name: string, text: string): Promise<SweepDocument> => {
  writeFileSync(at(`${name}.yaml`), `schema: kreplica.sweep/1\n${text}`);
  const { code, out, error } = await invoke(["sweep", at(`${name}.yaml`), "-o", at(name), "--json"]);
  expect([code, error]).toEqual([0, ""]);
  return JSON.parse(out) as SweepDocument;
};
const rowsIn = (name: string) => rowsOf(readFileSync(join(folder, name, "results.parquet")));

interface Compared {
  readonly cache: "hot" | "cold";
  readonly gainPercent: number;
}
/** What `compare` says of both states of the caches. */
async function compared(...words: string[]): Promise<readonly Compared[]> {
  const base = ["compare", "--test", "kill", "--machine", "tiny-2-node", "--cpu", "2", "--json"];
  const { code, out } = await invoke([...base, ...words]);
  expect(code).toBe(0);
  return (JSON.parse(out) as { tests: Compared[] }).tests;
}

test("a load is what compare has with --load, beside an idle machine in the same replay; so is a pressure", async () => {
  const axes = (busy: string): string => `axes: { machine: [tiny-2-node], recording: [kill], cpu: [2], ${busy} }`;
  expect(await run("loaded", axes("load: [null, 0.8]"))).toMatchObject({ cells: 2, replays: 1 });
  expect(await run("pressed", axes("pressure: [500]"))).toMatchObject({ cells: 1, replays: 1 });
  const rows = [...(await rowsIn("loaded")), ...(await rowsIn("pressed"))];
  for (const [load, pressure] of [
    [null, null],
    ["0.8", null],
    [null, 500],
  ] as const) {
    const words = [...(load ? ["--load", load] : []), ...(pressure ? ["--pressure", String(pressure)] : [])];
    const expected = await compared(...words);
    expect(expected).toHaveLength(2);
    for (const { cache, gainPercent } of expected) {
      const row = rows.find(
        (each) =>
          each["cache"] === cache &&
          String(each["load"] ?? null) === String(load) &&
          (each["pressure"] ?? null) === pressure,
      )!;
      expect(row["gainPercent"], `${cache} ${words.join(" ")}`).toBeCloseTo(gainPercent, 5);
    }
  }
});

test("layout 0 is as linked: what a cell without a layout is; others are not", async () => {
  await run("linked", "axes: { machine: [tiny-2-node], recording: [kill], layout: [null, 0, 1] }");
  const gains = (await rowsIn("linked")).map(({ gainPercent }) => gainPercent as number);
  expect(gains.slice(2, 4)).toEqual(gains.slice(0, 2));
  expect(gains.slice(4)).not.toEqual(gains.slice(0, 2));
});
