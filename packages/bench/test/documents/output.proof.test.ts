/// <reference types="node" />
/** What the commands print with --json is what their schemas say, and what they read is too. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { presets } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { afterAll, describe, expect, test } from "vitest";
import { SCHEMAS } from "../../src/report/documents/documents.js";
import { debianKernel } from "../debian-kernel.js";
import { invokeBuilt } from "../cli.js";
import { invoke, registered } from "../invoke.js";
import { faultsOf } from "./validator.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-documents-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const kernel = debianKernel();
const object = ((): string | undefined => {
  if (spawnSync("clang", ["--version"]).status !== 0) return undefined;
  const programs = join(import.meta.dirname, "../../../bpf/test/programs");
  const out = join(folder, "maps.o");
  execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-c", join(programs, "maps.c"), "-o", out], { cwd: programs });
  return out;
})();
const reported = join(folder, "reported.json");
const REPORTED = { source: "somebody", machine: "tiny-2-node", figures: [{ test: "kill", hot: 1 }] };
writeFileSync(reported, JSON.stringify(REPORTED));
const mix = join(folder, "mix.json");
writeFileSync(mix, JSON.stringify({ calls: { kill: 3, read: { calls: 5, seconds: 1 } } }));

const plan = join(folder, "plan.yaml");
writeFileSync(plan, "schema: kreplica.sweep/1\naxes: { machine: [tiny-2-node], recording: [kill] }\n");

const TINY = ["--machine", "tiny-2-node"];
const CORE = ["--only", "core", "--nodes", "2", "--levels", "4", "--pti", "off"];
/** Calls of every command, by the document that they print. */
const CALLS: readonly (readonly [document: string, ...words: string[]])[] = [
  ["compare/2", "compare", ...TINY, "--test", "kill"],
  ["compare/2", "compare", ...TINY, "--test", "kill", "--cpu", "2"],
  ["compare/2", "compare", ...TINY, "--test", "kill", "--load", "0.5,cpus=all"],
  ["compare/2", "compare", ...TINY, "--test", "kill", "--pressure", "2000"],
  ["compare/2", "compare", "--test", "kill", "--cpu", "12", "--busy", "2", "--neighbour", "mount"],
  ["compare/2", "compare", ...TINY, "--test", "kill", "--functions", "3", "--pages", "2"],
  ["compare/2", "compare", ...TINY, "--test", "kill", "--mix", mix, "--cold-share", "25", "--processes", "9"],
  ["compare/2", "compare", ...TINY, "--test", "fork-1", "--forks-per-second", "9", "--migrations-per-second", "9"],
  ["compare/1", "compare", ...TINY, "--test", "kill", "--schema", "1"],
  ["compare/2", "compare", ...TINY, "--test", "kill", "--reported", reported, "--policy", "rfc-v1", "--no-pti"],
  ["explain/1", "explain", "mount", ...TINY, "--layouts", "1"],
  ["map/1", "map", "mount", ...TINY, "--cache", "hot"],
  ["report/1", "report", ...TINY, "--test", "mount", "--policies", "-o", join(folder, "page.html")],
  [
    "report/1",
    ...["report", ...TINY, "--test", "mount", "--layouts", "1", "--mix", mix, "--processes", "9"],
    ...["--explain", "--map", "mount", "-o", join(folder, "page.html")],
  ],
  ["sweep-run/1", "sweep", plan, "-o", join(folder, "cells")],
  ["sweep-run/1", "sweep", plan, "--dry-run"],
  ["results/1", "results", join(folder, "cells")],
  ["boot/1", "boot", ...TINY],
  ["boot/1", "boot", ...TINY, "--policy", "rfc-v1", "--pti", "on", "--kaslr", "both", "--seed", "9"],
  ["tables/1", "tables", ...TINY],
  ["tables/1", "tables", ...TINY, "--node", "1"],
  ["tables/1", "tables", "--from", "p4", "--cpu", "2"],
  ["check/1", "check", ...CORE, "--runs", "1", "--steps", "20"],
  ["check/1", "check", ...CORE, "--runs", "1", "--steps", "20", "--defect", "D4"],
  ["check/1", "check", ...CORE, "--policy", "rfc-v1", "--runs", "1", "--steps", "1"],
  ["check/1", "check", "--replay", join(import.meta.dirname, "../../../check/test/lazy-tlb.counterexample.json")],
  ["check/1", "check", "--bug", "ldt-exec", "--shortest"],
  ["bugs/1", "bugs"],
  ["bugs/1", "bugs", "mremap-flush"],
  ["bugs/1", "bugs", "pgd-on-one-node"],
  ["bugs/1", "bugs", "D13"],
  ["policies/1", "policies"],
  ["policies/1", "policies", "--measure", ...TINY],
  [
    "policies/2",
    "policies",
    "--compare",
    ...TINY,
    "--test",
    "fork-1",
    "--policy",
    "per-node",
    "home-node",
    "on-demand:1",
  ],
  ["policies/1", "policies", "--compare", ...TINY, "--test", "kill", "--policy", "text-only", "--schema", "1"],
  ["patch/1", "patch", ...TINY, "--changes", "1"],
  ["patch/1", "patch", ...TINY, "--changes", "1", "--site", "kprobe", "--policy", "rfc-v1"],
  ["machines/1", "machine"],
  ...presets.map(({ name }) => ["machine/1", "machine", name] as const),
  ["probe-check/1", "probe", "--check", join(import.meta.dirname, "../fixtures/machine/epyc-vm.probe.json")],
  ["schemas/1", "schema"],
  ["trace/1", "trace", "info", dataFile("traces/hsw-mount.kt.zst")],
  ["trace-check/1", "trace", "check", dataFile("traces/hsw-mount.kt.zst"), join(import.meta.dirname, "validator.ts")],
  ...(object === undefined
    ? []
    : ([
        ["bpf/1", "bpf", object, ...TINY, "--bpf", "both", "--repeat", "1"],
        ["bpf-verify/1", "bpf", object, "--verify-only"],
        ["bpf-code/1", "bpf", object, "--disassemble"],
      ] as const)),
  ...(kernel === undefined
    ? []
    : ([
        ["modules/1", "modules", "--kernel", kernel, "--load", "xfs", ...TINY],
        ["modules/1", "modules", "--kernel", kernel, "--load", "xfs", ...TINY, "--rfc-v1"],
      ] as const)),
];

describe("as the schema says", () => {
  test.each(CALLS.map(([name, ...words]) => [words.map(shown).join(" "), `kreplica.${name}`, words] as const))(
    "%s",
    async (_text, name, words) => {
      const { code, out, error } = await invokeBuilt([...words, "--json"]);
      expect([0, 1, 3, ...(words.includes("check") && words.includes("trace") ? [2] : [])], error).toContain(code);
      const document = JSON.parse(out) as Record<string, unknown>;
      expect(document["schema"]).toBe(name);
      expect(faultsOf(document, name)).toEqual([]);
      // And would not be, had it a field that the schema does not name, at the top or anywhere inside.
      for (const more of widened(document)) expect(faultsOf(more, name)).not.toEqual([]);
    },
  );
});

/** A word of a call without what is different on each computer. */
function shown(word: string): string {
  return word.replace(/^\/.*\//, "");
}

/**
 * Fields whose members have names of their own: any is one more recording, node or field of an operation; and a
 * machine in another document, which has a schema of its own.
 */
const NAMED_FREELY = ["textPokes", "operations", "data_refs_by_node", "machine"];

/** A document once for each object in it (the first of a list), with a field more there. */
function widened(value: unknown): unknown[] {
  if (Array.isArray(value))
    return value.length === 0 ? [] : widened(value[0]).map((first) => [first, ...value.slice(1)]);
  if (typeof value !== "object" || value === null) return [];
  const fields = Object.entries(value).filter(([key]) => !NAMED_FREELY.includes(key));
  return [
    { ...value, oneMore: {} },
    ...fields.flatMap(([key, each]) => widened(each).map((more) => ({ ...value, [key]: more }))),
  ];
}

test("every command and every document it prints has a call here", async () => {
  const called = new Set(CALLS.map(([, command]) => command));
  // explore serves a page, export writes what other programs read.
  const silent = (await registered()).filter(({ options }) => !options.some(({ long }) => long === "--json"));
  expect(silent.map((command) => command.name())).toEqual(["explore", "worker", "export", "record"]);
  const missing = (await registered())
    .filter((command) => !silent.some((each) => each.name() === command.name()))
    .map((command) => command.name())
    .filter((name) => !called.has(name));
  expect(missing).toEqual([...(object ? [] : ["bpf"]), ...(kernel ? [] : ["modules"])]);
  // What the probe prints is the machine's own: test/probe.proof.test.ts.
  const printed = new Set([...CALLS.map(([name]) => `kreplica.${name}`), "kreplica.probe/1"]);
  expect(
    SCHEMAS.filter(({ name, command }) => !printed.has(name) && command.includes("--json"))
      .map(({ name }) => name)
      .filter(
        (name) =>
          !(object === undefined && name.includes("bpf")) && !(kernel === undefined && name.includes("modules")),
      ),
  ).toEqual([]);
});

test("a counterexample that is saved, and what --replay reads", async () => {
  const file = join(folder, "bad.json");
  for (const more of [
    ["--defect", "D4"],
    ["--policy", "rfc-v1"],
  ]) {
    rmSync(file, { force: true });
    const { code } = await invoke(["check", ...CORE, "--runs", "2", "--steps", "20", ...more, "--save", file]);
    expect(code).toBe(1);
    const saved = JSON.parse(readFileSync(file, "utf8")) as object;
    expect(faultsOf(saved, "kreplica.counterexample/1")).toEqual([]);
    expect(faultsOf({ ...saved, oneMore: 1 }, "kreplica.counterexample/1")).not.toEqual([]);
    expect((await invoke(["check", "--replay", file])).code).toBe(1);
  }
});

test("the manifest of a sweep", async () => {
  await invoke(["sweep", plan, "-o", join(folder, "cells")]);
  const manifest = JSON.parse(readFileSync(join(folder, "cells/manifest.json"), "utf8")) as object;
  expect(faultsOf(manifest, "kreplica.sweep-manifest/1")).toEqual([]);
  expect(faultsOf({ ...manifest, oneMore: 1 }, "kreplica.sweep-manifest/1")).not.toEqual([]);
});
