/// <reference types="node" />
/**
 * Every command's report and help keep to the width that COLUMNS asks for, and what does not fit goes on below its own
 * beginning. What is as another program has it keeps its lines: the kernel's ptdump, the verifier's log, code with its
 * source lines, JSON Schemas.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { afterAll, describe, expect, test } from "vitest";
import { debianKernel } from "./debian-kernel.js";
import { invokeBuilt } from "./cli.js";
import { invoke, registered } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-widths-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const kernel = debianKernel();
const objects = ((): readonly string[] => {
  if (spawnSync("clang", ["--version"]).status !== 0) return [];
  const programs = join(import.meta.dirname, "../../bpf/test/programs");
  return ["calls", "maps"].map((name) => {
    const out = join(folder, `${name}.o`);
    execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-c", join(programs, `${name}.c`), "-o", out], {
      cwd: programs,
    });
    return out;
  });
})();

const mix = join(folder, "mix.json");
writeFileSync(mix, JSON.stringify({ calls: { openat: 1200, kill: 30, futex: 77, epoll_wait: 5 } }));
const plan = join(folder, "plan.yaml");
writeFileSync(
  plan,
  "schema: kreplica.sweep/1\naxes:\n  machine: [tiny-2-node]\n  recording: [kill]\n  policy: [per-node, lazy-pgd]\n",
);

const TINY = ["--machine", "tiny-2-node"];
const swept = await invoke(["sweep", plan, "--output", join(folder, "swept")]);
const CORE = ["--only", "core", "--nodes", "2", "--levels", "4", "--pti", "off", "--runs", "1", "--steps", "1"];
const REPORTS: readonly (readonly string[])[] = [
  ["machine"],
  ["machine", "xeon-8260-8s"],
  ["probe", "--check", join(import.meta.dirname, "fixtures/machine/epyc-vm.probe.json")],
  ["bugs"],
  ["bugs", "mid-switch-window"],
  ["check", "--bug", "ldt-exec", "--shortest"],
  ["explain", "mount", ...TINY, "--layouts", "0", "--reasons"],
  ["map", "mount", ...TINY],
  ["policies"],
  ["policies", "--measure", ...TINY],
  ["policies", "--compare", ...TINY, "--test", "fork-1"],
  ["policies", "--compare", ...TINY, "--test", "kill", "--policy", "on-demand:copy"],
  ["boot", ...TINY],
  ["boot", ...TINY, "--policy", "rfc-v1", "--pti", "on"],
  ["tables", ...TINY],
  ["tables", "--machine", "xeon-8480-2s", "--levels", "5", "--pti", "on", "--policy", "rfc-v1"],
  ["tables", "--from", "p4"],
  ["check", ...CORE],
  ["check", ...CORE, "--policy", "rfc-v1"],
  ["check", "--replay", join(import.meta.dirname, "../../check/test/lazy-tlb.counterexample.json")],
  ["patch", ...TINY, "--changes", "1"],
  ["compare", ...TINY, "--test", "kill"],
  ["compare", ...TINY, "--test", "kill", "--verbose"],
  ["compare", ...TINY, "--test", "kill", "--load", "0.5"],
  ["compare", ...TINY, "--test", "kill", "--functions", "3", "--pages", "3"],
  ["compare", "--test", "kill", "--cpu", "12", "--busy", "1,2"],
  ["compare", "--test", "kill", "--cpu", "12", "--smt", "--neighbour", "mount"],
  ["compare", ...TINY, "--test", "kill", "--mix", mix, "--processes", "2000", "--forks-per-second", "300"],
  ["trace", "info", dataFile("traces/hsw-mount.kt.zst")],
  ["results", join(folder, "swept")],
  ["results", join(folder, "swept"), "rows"],
  ["schema"],
  ...objects.flatMap((object) => [["bpf", object, ...TINY, "--bpf", "both", "--repeat", "1"]]),
  ...(kernel === undefined
    ? []
    : [
        ["modules", "--kernel", kernel, "--load", "xfs", ...TINY],
        ["modules", "--kernel", kernel, "--load", "xfs", ...TINY, "--rfc-v1"],
      ]),
];
const WIDTHS = ["60", "80", "200"];

/** Lines that are too wide; a word without a blank (a path, a list of CPUs) may be, behind its own margin. */
const tooWide = (text: string, columns: string): string[] =>
  text.split("\n").filter((line) => line.length > Number(columns) && line.trim().includes(" "));

const names = (await registered()).map((command) => command.name());
describe.each(WIDTHS)("help at %s columns", (COLUMNS) => {
  test.each(["", ...names])("%s", async (name) => {
    const { out, code } = await invokeBuilt([...(name === "" ? [] : [name]), "--help"], { env: { COLUMNS } });
    expect(code).toBe(0);
    // A command is one line, to be copied.
    expect(tooWide(out, COLUMNS).filter((line) => !/^ {2}(kreplica|numactl|mlc) \S/.test(line))).toEqual([]);
  });
});

test("every command that has a report of its own has one here", () => {
  expect([swept.code, swept.error]).toEqual([0, ""]);
  const shown = new Set(REPORTS.map(([name]) => name));
  expect(names.filter((name) => !shown.has(name))).toEqual([
    ...(objects.length > 0 ? [] : ["bpf"]),
    ...(kernel === undefined ? ["modules"] : []),
    // Write files for a browser, or serve them.
    ...(names.includes("report") ? ["report"] : []),
    "explore",
    // Says where its results lie.
    "sweep",
    // Wants a Redis.
    "worker",
    // Writes for viewers.
    "export",
    // Needs QEMU and minutes: record.proof.
    "record",
  ]);
});

const shown = (word: string): string => word.replace(/^\/.*\//, "");
describe.each(WIDTHS)("at %s columns", (COLUMNS) => {
  test.each(REPORTS.map((words) => [words.map(shown).join(" "), words] as const))("%s", async (_name, words) => {
    const { out, error } = await invokeBuilt(words, { env: { COLUMNS } });
    // An address cannot be folded: where to look at what was found.
    expect(error.replace(/^kreplica: to (look at it|step through such a boot), .*\n/, "")).toBe("");
    expect(tooWide(out, COLUMNS)).toEqual([]);
  });
});

test("at 200 columns a table that is cut at 80 is whole", async () => {
  const lines = async (COLUMNS: string): Promise<number> =>
    (await invokeBuilt(["policies", "--measure", ...TINY], { env: { COLUMNS } })).out.split("\n").length;
  expect(await lines("200")).toBeLessThan(await lines("80"));
});

test("the list of what memory went where has its own indent", async () => {
  const { out } = await invokeBuilt(["boot", ...TINY], { env: { COLUMNS: "60" } });
  expect(out).toMatch(/^ +[\d,]+ {2}tails of text and rodata, which patch 06 fills\n {14}and one copy gives back$/m);
});

test("levels of a picture that do not fit stand below, at the same one on every node", async () => {
  const { out } = await invokeBuilt(["tables", ...TINY], { env: { COLUMNS: "60" } });
  expect(out).toMatch(
    /^Kernel text, 0x\w+\n {2}node 0 +PGD \S+ +-> {2}PUD \S+ +->\n {11}PMD \S+ +-> {2}frame \w+\n {2}node 1 .* ->\n {11}PMD/m,
  );
});
