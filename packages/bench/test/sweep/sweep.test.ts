/// <reference types="node" />
/** `kreplica sweep`: cells measured together are as alone, shards joined are the whole, what is wrong is said. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { planJsonSchema, rowsOf } from "@kreplica/sweep";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { jsonText } from "../../src/report/documents/json-text.js";
import { doneIn, SweepFolder } from "../../src/sweep/folder.js";
import type { SweepDocument, SweepManifest } from "../../src/report/documents/sweep.js";
import { invoke } from "../invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-sweep-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const FILES = ["manifest.json", "cells.journal", "results.parquet"];
const bytesIn = (name: string): string[] => FILES.map((file) => readFileSync(join(folder, name, file)).toString("hex"));
const plan = (name: string, text: string): string => {
  const file = join(folder, name);
  writeFileSync(file, `schema: kreplica.sweep/1\n${text}`);
  return file;
};
const done = async (...words: string[]): Promise<SweepDocument> => {
  const { code, out, error } = await invoke(["sweep", ...words, "--json"]);
  expect([code, error]).toEqual([0, ""]);
  return JSON.parse(out) as SweepDocument;
};
const at = (name: string): string => join(folder, name);
const rowsIn = (name: string) => rowsOf(readFileSync(join(folder, name, "results.parquet")));

const AXES =
  "axes:\n  machine: [tiny-2-node]\n  farOverNear: [1.5, 4]\n  machine.l2.bytes: [65536, 131072]\n  recording: [kill]\n  policy: [per-node, text-only]\n";
let whole: SweepDocument;
beforeAll(async () => {
  whole = await done(plan("plan.yaml", AXES), "-o", at("whole"));
});

test("eight cells in two replays: what differs in policy or latency shares one", () => {
  expect(whole).toMatchObject({ cells: 8, replays: 2, doneBefore: 0, results: { rows: 16, file: "results.parquet" } });
});

test("a row for each cell and state of the caches: axes first, gains that follow the axes", async () => {
  const rows = await rowsIn("whole");
  expect(Object.keys(rows[0]!).slice(0, 7)).toEqual([
    "cell",
    "machine",
    "farOverNear",
    "machine.l2.bytes",
    "recording",
    "policy",
    "boundBeyondL2Percent",
  ]);
  const manifest = JSON.parse(readFileSync(join(folder, "whole/manifest.json"), "utf8")) as SweepManifest;
  expect(rows.map(({ cell }) => cell)).toEqual(manifest.cells.flatMap((cell) => [cell, cell]));
  const gain = (far: number, policy: string, bytes = 65536): number =>
    rows.find(
      (row) =>
        row["farOverNear"] === far &&
        row["policy"] === policy &&
        row["machine.l2.bytes"] === bytes &&
        row["cache"] === "hot",
    )!["gainPercent"] as number;
  expect(gain(4, "per-node")).toBeGreaterThan(gain(1.5, "per-node") * 1.5);
  expect(gain(4, "per-node", 131072)).not.toBe(gain(4, "per-node"));
  expect(gain(4, "text-only")).toBeGreaterThan(0);
});

test("each cell is what it is alone, on a machine of its own", async () => {
  const all = await rowsIn("whole");
  for (const [far, bytes, policy] of [
    [4, 65536, "text-only"],
    [1.5, 131072, "per-node"],
  ] as const) {
    const name = `alone-${far}`;
    await done(
      plan(
        `${name}.yaml`,
        `axes: { machine: [tiny-2-node], farOverNear: [${far}], machine.l2.bytes: [${bytes}], recording: [kill], policy: [${policy}] }`,
      ),
      "-o",
      at(name),
    );
    const alone = await rowsIn(name);
    expect(alone).toHaveLength(2);
    expect(all.filter(({ cell }) => cell === alone[0]!["cell"])).toEqual(alone);
  }
});

test("what was done is not done again: the same command and a larger plan go on, another plan is refused", async () => {
  const before = bytesIn("whole");
  expect(await done(at("plan.yaml"), "-o", at("whole"))).toMatchObject({ cells: 8, replays: 0, doneBefore: 8 });
  expect(bytesIn("whole")).toEqual(before);
  const dry = await done(plan("larger.yaml", AXES.replace("[1.5, 4]", "[1.5, 2, 4]")), "-o", at("whole"), "--dry-run");
  expect(dry).toMatchObject({ cells: 12, replays: 2, doneBefore: 8 });
  expect(dry.estimatedSeconds).toBeGreaterThan(0);
  const { code, error } = await invoke([
    "sweep",
    plan("other.yaml", AXES.replace("[1.5, 4]", "[4]")),
    "-o",
    at("whole"),
  ]);
  expect([code, error]).toEqual([
    2,
    `kreplica: ${at("whole")}: --output: holds 4 cells that are none of this plan's. Name another folder, or remove this one to measure all of it again.\n`,
  ]);
  expect(bytesIn("whole")).toEqual(before);
});

test("cells of a replay are kept one policy after the other: the one in work is all that is lost", async () => {
  const text =
    "axes: { machine: [tiny-2-node], recording: [kill], farOverNear: [1.5, 4], policy: [per-node, text-only] }\n";
  const file = plan("one-replay.yaml", text);
  const add = SweepFolder.prototype.add;
  let calls = 0;
  const spy = vi.spyOn(SweepFolder.prototype, "add").mockImplementation(function (this: SweepFolder, cells) {
    if (++calls === 2) throw new Error("crashed");
    add.call(this, cells);
  });
  try {
    const { code, error } = await invoke(["sweep", file, "-o", at("one-replay")]);
    expect([code, error.split("\n")[0]]).toEqual([70, expect.stringContaining("crashed")]);
  } finally {
    spy.mockRestore();
  }
  expect(doneIn(at("one-replay")).map(({ rows }) => rows[0]!["policy"])).toEqual(["per-node", "per-node"]);
  expect(await done(file, "-o", at("one-replay"))).toMatchObject({ cells: 4, replays: 1, doneBefore: 2 });
  await done(file, "-o", at("undisturbed"));
  expect(bytesIn("one-replay")).toEqual(bytesIn("undisturbed"));
});

describe("shards", () => {
  test("merged they are the single run's, byte for byte; the order of the folders does not matter", async () => {
    for (const nth of [1, 2]) {
      const shard = await done(at("plan.yaml"), "--shard", `${nth}/2`, "-o", at(`part${nth}`));
      expect(shard).toMatchObject({ cells: 4, replays: 1 });
    }
    await done("merge", at("part2"), at("part1"), "-o", at("merged"));
    expect(bytesIn("merged")).toEqual(bytesIn("whole"));
  });

  test("what is missing, twice or no shard is said", async () => {
    const said = async (...words: string[]): Promise<string> => {
      const { code, error } = await invoke(["sweep", "merge", ...words, "-o", at("nothing")]);
      expect(code).toBe(2);
      return error;
    };
    expect(await said(at("part1"))).toMatch(/part1: shards 2\/2 are missing\. Name the folders of all shards\./);
    expect(await said(at("part1"), at("part1"))).toMatch(/part1: is shard 1\/2, as .*part1 is\. Name each once\./);
    expect(await said(at("part1"), at("whole"))).toMatch(/whole: is no shard: it is a whole sweep/);
    expect(await said(at("part1"), folder)).toMatch(/has no manifest\.json that can be read \(ENOENT\)/);
    expect((await invoke(["sweep", "merge", at("part1")])).error).toMatch(/--output: merge needs it/);
    expect((await invoke(["sweep", "merge", at("part1"), "--workers", "1", "-o", at("x")])).error).toMatch(
      /--workers: means nothing beside merge/,
    );
  });
});

test("the published schema of plans is what reads them", async () => {
  await expect(jsonText(planJsonSchema())).toMatchFileSnapshot("../../schemas/kreplica.sweep-1.json");
});

describe("what is wrong with a plan is said with its line, before anything is measured", () => {
  test.each([
    ["axes: { nothing: [1] }", /bad\.yaml:2:\d+: axes\.nothing: no such axis\. Axes are machine/],
    ["axes: { polcy: [per-node] }", /no such axis\. Did you mean policy\?/],
    ["axes: { policy: [per-nod] }", /:2:18: axes\.policy\[0\]: there is no policy per-nod\. Did you mean per-node\?/],
    ["axes: { machine: [tiny] }", /axes\.machine\[0\]: neither a preset nor a file\. Did you mean tiny-2-node\?/],
    ["axes: { machine: [./none.json] }", /axes\.machine\[0\]: /],
    ["axes: { machine.l9.bytes: [1] }", /a machine has no field l9\. Did you mean l2\?/],
    ["axes: { machine.l2.bytez: [1] }", /a machine has no field l2\.bytez\. Did you mean bytes\?/],
    ["axes: { machine.l2.bytes: [1000000] }", /axes\.machine\.l2\.bytes\[0\]: .*multiple/],
    ["axes: { machine.l3.inclusion: [maybe] }", /"maybe" cannot stand in l3\.inclusion of a machine/],
    ["axes: { machine.latencyNs.7.0: [3] }", /a machine has no/],
    ["axes: { farOverNear: [0.5] }", /0\.5 is no ratio of latencies/],
    ["axes: { farOverNear: [2], cpu: [0] }", /is as near to the CPU on e5-2690v3-2s as its own/],
    ["axes: { recording: [frok-1] }", /no recording that ships is of "frok-1"\. Did you mean fork-1\?/],
    ["axes: { recording: [none.kt] }", /none\.kt does not exist/],
    ["axes: { levels: [3] }", /3 is no number of levels/],
    ["axes: { levels: [5] }", /addresses of 48 bits/],
    ["axes: { cpu: [4000] }", /has no CPU 4000/],
    ["axes: { masterNode: [9] }", /has no node 9/],
    ["axes: { dataNode: [9] }", /has no node 9 with memory/],
    ["axes: { pti: [1] }", /1 is neither true nor false/],
    ["axes: { seed: [-1] }", /-1 is no whole number/],
    ["axes: { kernel: [nothing] }", /nothing does not exist/],
    ["axes: { load: [1.2] }", /axes\.load\[0\]: "1\.2" .* is not a share from 0 to 0\.95/],
    ["axes: { load: [true] }", /true is no load/],
    ["axes: { pressure: [0] }", /0 MB\/s are no pressure/],
    ["axes: { pressure: [1000000] }", /axes\.pressure\[0\]: .* ask for more than/],
    ["axes: { layout: [0.5] }", /0\.5 is no whole number/],
    ["axes: { layoutSeed: [1] }", /means nothing without a layout/],
    [
      "axes: { policy: [per-node] }\nstop: { along: layout, halfWidthPercent: 1 }",
      /:3:16: stop\.along: stops along what is no axis/,
    ],
    ["axes: { layout: [1] }\nstop: { along: layout }", /stop\.halfWidthPercent: missing/],
    ["axes: { recording: [kill, mount] }\nonly: [{ recording: open }]", /only: its filters leave no cell/],
    ["axes: { levels: [4, null] }", /two of its points are the same cell/],
  ])("%s", async (text, message) => {
    const { code, out, error } = await invoke(["sweep", plan("bad.yaml", text), "-o", at("bad")]);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(message);
  });

  test("shards, plans and folders that are none", async () => {
    const first = async (...words: string[]): Promise<string> =>
      (await invoke(["sweep", ...words])).error.split("\n")[0]!;
    expect(await first(at("plan.yaml"), "--shard", "3/2")).toMatch(/--shard: "3\/2" is no part of a plan\. Write I\/N/);
    expect(await first(at("none.yaml"))).toMatch(/none\.yaml: does not exist\. Name a plan/);
    expect(await first(at("plan.yaml"), at("other.yaml"))).toMatch(/other\.yaml: a second plan/);
    mkdirSync(at("full"), { recursive: true });
    writeFileSync(join(folder, "full/letter.txt"), "keep me");
    expect(await first(at("plan.yaml"), "-o", at("full"))).toMatch(/full: --output: holds letter\.txt, which is none/);
    expect(readFileSync(join(folder, "full/letter.txt"), "utf8")).toBe("keep me");
    expect(await first(at("plan.yaml"), "-o", at("plan.yaml"))).toMatch(/--output: cannot be written \(EEXIST\)/);
  });
});

test("a plan in TypeScript is resolved to data: the same cells, jobs and bytes as in YAML", async () => {
  writeFileSync(at("far.ts"), "export const FAR: readonly number[] = [1.5, 4];\n");
  writeFileSync(
    at("typed.ts"),
    `import type { SweepPlan } from "@kreplica/sweep";
     import { preset } from "@kreplica/machines";
     import { FAR } from "./far.ts";
     export default { schema: "kreplica.sweep/1", axes: {
       machine: [preset("tiny-2-node")!.name], farOverNear: [...FAR], "machine.l2.bytes": [1 << 16, 1 << 17],
       recording: ["kill"], policy: ["per-node", "text-only"] } } satisfies SweepPlan;`,
  );
  await done(at("typed.ts"), "-o", at("typed"));
  expect(bytesIn("typed")).toEqual(bytesIn("whole"));
  writeFileSync(at("wrong.ts"), 'export default { schema: "kreplica.sweep/1", axes: { polices: ["per-node"] } };');
  writeFileSync(at("thrown.ts"), '\nthrow new Error("mine");');
  for (const [name, message] of [
    ["wrong.ts", /wrong\.ts: axes\.polices: no such axis/],
    ["thrown.ts", /thrown\.ts:2: cannot be loaded: Error: mine/],
    ["none.ts", /none\.ts: no such file/],
  ] as const) {
    const { code, error } = await invoke(["sweep", at(name), "-o", at("nothing")]);
    expect([code, error]).toEqual([2, expect.stringMatching(message)]);
  }
});
