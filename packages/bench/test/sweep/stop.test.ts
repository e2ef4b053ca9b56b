/// <reference types="node" />
/**
 * A stop rule measures what a sweep of all cells says is enough, in one run, in shards and after a crash alike. What is
 * measured is invented here: gains that differ from layout to layout, by one policy more than by the other.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { groupsAlong, type Point, rowsOf, wantedOf } from "@kreplica/sweep";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Batch, BatchCells } from "../../src/sweep/batch.js";
import type { SweepDocument, SweepManifest } from "../../src/report/documents/sweep.js";
import { SweepFolder } from "../../src/sweep/folder.js";
import { invoke } from "../invoke.js";

vi.mock("../../src/sweep/batch.js", () => ({
  measureBatch: ({ layout, policies, wanted }: Batch, keep: (cells: BatchCells) => void): Promise<void> => {
    for (const [policy, name] of policies.entries())
      keep(
        wanted.flatMap(([, of], nth) => {
          const far = name === "per-node" ? 0.1 : 1;
          const gainPercent = 10 + far * Math.sin(layout!.number);
          const rows = ["hot", "cold"].map((cache) => ({ cache, gainPercent }));
          return of === policy ? [[nth, rows] as const] : [];
        }),
      );
    return Promise.resolve();
  },
}));

const folder = mkdtempSync(join(tmpdir(), "kreplica-stop-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const run = async (name: string, text: string, ...words: string[]): Promise<SweepDocument> => {
  writeFileSync(at(`${name}.yaml`), `schema: kreplica.sweep/1\n${text}`);
  const { code, out, error } = await invoke(["sweep", at(`${name}.yaml`), "-o", at(name), "--json", ...words]);
  expect([code, error]).toEqual([0, ""]);
  return JSON.parse(out) as SweepDocument;
};
const rowsIn = (name: string) => rowsOf(readFileSync(join(folder, name, "results.parquet")));
const bytesIn = (name: string): string[] =>
  ["manifest.json", "cells.journal", "results.parquet"].map((file) =>
    readFileSync(join(folder, name, file)).toString("hex"),
  );

const AXES =
  "axes:\n  machine: [tiny-2-node]\n  recording: [kill]\n  policy: [per-node, text-only]\n  layout: [1, 2, 3, 4, 5, 6]\n";

describe("a stop rule", () => {
  let halfWidth: number;
  let stop: string;
  let wanted: readonly string[];
  beforeAll(async () => {
    await run("all", AXES);
    const { cells } = JSON.parse(readFileSync(join(folder, "all/manifest.json"), "utf8")) as SweepManifest;
    const rows = await rowsIn("all");
    const of = cells.map((cell) => rows.filter((row) => row["cell"] === cell));
    const points = of.map(([row]): Point => ({ policy: row!["policy"]!, layout: row!["layout"]! }));
    const groups = groupsAlong("layout", points);
    const some = (width: number): readonly number[] =>
      wantedOf({ along: "layout", halfWidthPercent: width, each: 2 }, groups, (cell) => of[cell]).cells;
    // A precision that some cells are needed for and others are not: found, since no figure may stand here.
    halfWidth = Array.from({ length: 60 }, (_, i) => 64 / 1.3 ** i).find(
      (width) => some(width).length > 4 && some(width).length < 12,
    )!;
    wanted = some(halfWidth).map((cell) => cells[cell]!);
    stop = `stop: { along: layout, halfWidthPercent: ${halfWidth}, each: 2 }\n`;
  });

  test("leaves out what a sweep of all cells says is not needed, and says how many", async () => {
    const { cells, leftOut, results } = await run("stopped", AXES + stop);
    expect({ cells, leftOut, rows: results!.rows }).toEqual({
      cells: 12,
      leftOut: 12 - wanted.length,
      rows: 2 * wanted.length,
    });
    expect([...new Set((await rowsIn("stopped")).map(({ cell }) => cell))]).toEqual(wanted);
    const kept = (await rowsIn("all")).filter(({ cell }) => wanted.includes(cell as string));
    expect(await rowsIn("stopped")).toEqual(kept);
  });

  test("given again nothing is measured; in shards it is the same, byte for byte", async () => {
    const before = bytesIn("stopped");
    expect(await run("stopped", AXES + stop)).toMatchObject({ replays: 0, doneBefore: wanted.length });
    expect(bytesIn("stopped")).toEqual(before);
    for (const nth of [1, 2]) await run(`part${nth}`, AXES + stop, "--shard", `${nth}/2`);
    const { code } = await invoke(["sweep", "merge", at("part1"), at("part2"), "-o", at("merged")]);
    expect(code).toBe(0);
    expect(bytesIn("merged")).toEqual(before);
  });

  test("after a crash in any round it goes on to the same", async () => {
    const add = SweepFolder.prototype.add;
    for (const last of [1, 4, 7]) {
      let calls = 0;
      const spy = vi.spyOn(SweepFolder.prototype, "add").mockImplementation(function (this: SweepFolder, cells) {
        if (++calls > last) throw new Error("crashed");
        add.call(this, cells);
      });
      writeFileSync(at(`crash${last}.yaml`), `schema: kreplica.sweep/1\n${AXES}${stop}`);
      expect((await invoke(["sweep", at(`crash${last}.yaml`), "-o", at(`crash${last}`)])).code).toBe(70);
      spy.mockRestore();
      await run(`crash${last}`, AXES + stop);
      expect(bytesIn(`crash${last}`)).toEqual(bytesIn("stopped"));
    }
  });
});
