/// <reference types="node" />
/** `kreplica report` writes one page and, on request, the document whose numbers it shows. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { imageAddress } from "@kreplica/mm-core";
import { tiny2Node } from "@kreplica/machines";
import { type ReportDocument, reportPage, type Table } from "@kreplica/report";
import { afterAll, describe, expect, test } from "vitest";
import { boot } from "../src/boot.js";
import { tableTree } from "../src/report/table-trees.js";
import { faultsOf } from "./documents/validator.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the page is made of the document that --json prints, and of nothing else", async () => {
  const file = join(folder, "page.html");
  const { code, out, error } = await invoke(["report", "--test", "kill", "-o", file, "--json"]);
  expect(error).toContain("page.html is written");
  expect(code).toBe(0);
  expect(faultsOf(JSON.parse(out), "kreplica.report/1")).toEqual([]);
  expect(faultsOf((JSON.parse(out) as ReportDocument).machine, "kreplica.machine/1")).toEqual([]);
  const document = JSON.parse(out) as ReportDocument;
  const page = readFileSync(file, "utf8");
  expect(page).toBe(reportPage(document));
  expect(page.length).toBeLessThan(1_500_000);
  expect(document.command).toBe("kreplica report --policy per-node --levels 4 --test kill");
  expect(document.comparison.tests.map(({ test: name, cache }) => `${name} ${cache}`).sort()).toEqual([
    "kill cold",
    "kill hot",
  ]);
  expect(document.why).toHaveLength(4);
  for (const { cycles, parts } of document.why)
    expect(parts.reduce((sum, part) => sum + part.cycles, 0)).toBeCloseTo(cycles, 1);
  expect(document.tables.map(({ kernel, node }) => `${kernel} ${node}`)).toEqual([
    "one copy 0",
    "copies 0",
    "copies 1",
  ]);
  expect(document.policies.length).toBeGreaterThan(5);
  expect(document.assumptions.map(({ name }) => name)).toContain("costs.fetchExposure");
});

test("a page that cannot be written is told before the work, with exit code 2", async () => {
  const { code, error } = await invoke(["report", "-o", join(folder, "none/page.html")]);
  expect(code).toBe(2);
  expect(error).toMatch(/none\/page\.html: --output: cannot be written \(ENOENT\)/);
  expect(existsSync(join(folder, "none"))).toBe(false);
});

test("a map is of a test that was recorded; options that the explanation and the mix contradict are refused", async () => {
  const said = async (...words: string[]): Promise<string> => (await invoke(["report", "-o", "-", ...words])).error;
  expect(await said("--explain", "--pressure", "500")).toMatch(/^kreplica: --pressure: means nothing beside --explain/);
  expect(await said("--map", "kill", "--load", "0.5")).toMatch(/^kreplica: --load: means nothing beside --map/);
  expect(await said("--policies", "--pressure", "9")).toMatch(/^kreplica: --pressure: means nothing beside --policies/);
  expect(await said("--layout-seed", "3")).toMatch(/^kreplica: --layout-seed: given without --layouts/);
  expect(await said("--cold-share", "3")).toMatch(/^kreplica: --cold-share: given without --mix/);
  expect(await said("--map", "kil")).toMatch(/^kreplica: --map: no recording is of "kil"\. Did you mean kill\?/);
});

test("page and document cannot both be the output", async () => {
  const { code, error } = await invoke(["report", "-o", "-", "--json"]);
  expect(code).toBe(2);
  expect(error).toMatch(/--output: the page and the document cannot both go to standard output/);
});

describe("a tree of tables", () => {
  const kernel = boot({ spec: tiny2Node, policy: "per-node" });
  const { image, layout, machine, tables, view } = kernel;
  const nodeOf = (frame: number): number => machine.memory.nodeOf(frame);
  const parts = (
    [
      ["text", image.stext, image.etext],
      ["rodata", image.startRodata, image.endRodata],
    ] as const
  ).map(([what, start, end]) => ({ what, start: imageAddress(layout, start), end: imageAddress(layout, end) }));
  const treeOf = (node: number): Table =>
    tableTree({ memory: machine.memory, nodeOf, levels: layout.levels, parts }, view.kernelRoot(node));
  const runs = (table: Table): readonly { what?: string; bytes?: number; node?: number }[] =>
    table.entries.flatMap((each) => (each.table ? runs(each.table) : [each]));
  const count = (table: Table): number =>
    1 +
    table.entries.reduce((sum, each) => sum + (each.table ? count(each.table) : 0), 0) +
    (table.more ?? []).reduce((sum, each) => sum + each.tables, 0);

  test.each([0, 1])("of node %i says where each part's frames lie, as a lookup does", (node) => {
    for (const { what, start, end } of parts) {
      const shown = runs(treeOf(node)).filter((each) => each.what === what);
      expect(shown.reduce((sum, each) => sum + each.bytes!, 0)).toBe(Number(end - start));
      expect(new Set(shown.map((each) => each.node))).toEqual(new Set([nodeOf(tables.lookup(node, start)!.frame)]));
    }
  });

  test("counts every table below its root once", () => {
    const seen = (frame: number, level: number): number => {
      let tablesBelow = 1;
      for (let index = 0; level > 1 && index < 512; index++) {
        const lo = machine.memory.read32(frame, index * 2);
        if ((lo & 1) === 0 || (lo & 0x80) !== 0) continue;
        const hi = machine.memory.read32(frame, index * 2 + 1);
        tablesBelow += seen(Number(((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)) >> 12n) % 2 ** 40, level - 1);
      }
      return tablesBelow;
    };
    expect(count(treeOf(1))).toBe(seen(view.kernelRoot(1), 4));
  });
});
