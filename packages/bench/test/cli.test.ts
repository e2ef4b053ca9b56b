/// <reference types="node" />
/** The real command in a child process: what it prints, where, and with which exit code. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { presets } from "@kreplica/machines";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import manifest from "../package.json" with { type: "json" };
import { buildCommand, type TestedCommand } from "./cli.js";

let kreplica: TestedCommand;
const directory = mkdtempSync(join(tmpdir(), "kreplica-cli-"));
beforeAll(async () => {
  kreplica = await buildCommand();
});
afterAll(() => {
  kreplica?.remove();
  rmSync(directory, { recursive: true, force: true });
});
const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/machine/${name}`, import.meta.url));
// eslint-disable-next-line no-control-regex -- escape sequences are what is looked for
const ESCAPE = /\u001b/;

test("--version", async () => {
  expect(await kreplica.run(["--version"])).toEqual({ code: 0, out: `${manifest.version}\n`, error: "" });
});

test("help: on standard output, exit code 0, examples and exit codes in it, nothing wider than 100", async () => {
  for (const words of [["--help"], ["machine", "--help"], ["help", "machine"]]) {
    const { code, out, error } = await kreplica.run(words);
    expect([code, error], words.join(" ")).toEqual([0, ""]);
    expect(out).toMatch(/^Usage: kreplica/);
    expect(out).toContain("Examples:\n  kreplica machine");
    expect(out).toContain(
      "Exit codes:\n  0  fine\n  1  a check does not hold\n  2  bad input or usage\n  3  a defect that was looked for was not seen\n 70  a fault in kreplica itself: please report it\n",
    );
    for (const line of out.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
  }
});

test.each<[string, string[], string]>([
  [
    "an unknown command",
    ["machin"],
    "kreplica: unknown command 'machin'; did you mean machine?\nTry: kreplica --help\n",
  ],
  [
    "an unknown option",
    ["machine", "--jsn"],
    "kreplica: unknown option '--jsn'; did you mean --json?\nTry: kreplica machine --help\n",
  ],
  [
    "an option without its value",
    ["machine", "x", "--base"],
    "kreplica: option '--base <name>' argument missing\nTry: kreplica machine --help\n",
  ],
  [
    "too many arguments",
    ["schema", "a", "b"],
    "kreplica: too many arguments for 'schema'. Expected 1 argument but got 2.\nTry: kreplica schema --help\n",
  ],
  [
    "no such machine",
    ["machine", "e5-2690"],
    "kreplica: e5-2690: neither a preset nor a file. Did you mean e5-2690v3-2s?\n",
  ],
  [
    "no such base",
    ["machine", fixture("haswell-2s.numactl.txt"), "--base", "tiny"],
    'kreplica: --base: no preset is called "tiny". Did you mean tiny-2-node?\n',
  ],
  [
    "a base for a preset",
    ["machine", "tiny-2-node", "--base", "tiny-2-node"],
    "kreplica: --base: tiny-2-node is a preset and complete by itself. Give --base with a file or directory only.\n",
  ],
  [
    "a base for nothing",
    ["machine", "--base", "tiny-2-node"],
    "kreplica: --base: given without a machine. Name a file or directory to complete with it.\n",
  ],
])("%s: exit code 2, one line and what to do, nothing on standard output", async (_what, words, error) => {
  expect(await kreplica.run(words)).toEqual({ code: 2, out: "", error });
});

test("nothing asked: the help, on standard error, exit code 2", async () => {
  const { code, out, error } = await kreplica.run([]);
  expect([code, out]).toEqual([2, ""]);
  expect(error).toMatch(/^Usage: kreplica/);
});

test("a wrong file: its name, the line, the field, the remedy; the stack only on request", async () => {
  const file = join(directory, "box.txt");
  writeFileSync(file, readFileSync(fixture("haswell-2s.numactl.txt"), "utf8").replace("64261 MB", "lots"));
  const expected = `kreplica: ${file}:4: node 0 size: "lots" is not a size. Write it like \`65536 MB\`.\n`;
  expect(await kreplica.run(["machine", file])).toEqual({ code: 2, out: "", error: expected });
  const { code, error } = await kreplica.run(["machine", file], { env: { KREPLICA_DEBUG: "1" } });
  expect(code).toBe(2);
  expect(error.startsWith(expected)).toBe(true);
  expect(error).toMatch(/\n {4}at /);
});

test("the list: every preset, two lines each; as JSON one document", async () => {
  const { code, out, error } = await kreplica.run(["machine"], { env: { COLUMNS: "140" } });
  expect([code, error]).toEqual([0, ""]);
  for (const machine of presets)
    expect(out).toMatch(new RegExp(`^${machine.name} .* ns local.*${machine.provisional ? "~" : "[^~]"}\\n +\\S`, "m"));
  expect(out.trimEnd().split("\n").length).toBe(2 * presets.length + 2);
  const json = await kreplica.run(["machine", "--json"]);
  expect(JSON.parse(json.out)).toMatchObject({
    schema: "kreplica.machines/1",
    machines: presets.map(({ name }) => ({ name })),
  });
});

describe("one machine", () => {
  test.each(presets.map((machine) => [machine.name, machine] as const))(
    "%s: every part, within 100 columns, no colours in a pipe",
    async (name, machine) => {
      const { code, out, error } = await kreplica.run(["machine", name]);
      expect([code, error]).toEqual([0, ""]);
      for (const title of [
        "Nodes",
        "Caches",
        "TLBs",
        "Memory latency, ns",
        "Memory read bandwidth",
        "Distances",
        "Lines from another core or another L3",
        "Costs",
        "What the numbers rest on",
        "Sources",
      ])
        expect(out).toMatch(new RegExp(`^${title}`, "m"));
      for (const line of out.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
      expect(out).not.toMatch(ESCAPE);
      expect(out.includes("~ provisional: its latency")).toBe(machine.provisional);
      const flat = out.replace(/\s+/g, " ");
      for (const source of machine.sources) expect(flat).toContain(source);
      expect(flat).toContain(machine.costs.fetchExposure.source);
    },
  );

  test("a line of a core behind the same L3 has its own figure, or says whose it takes", async () => {
    expect((await kreplica.run(["machine", "epyc-7713-2s"])).out).toMatch(
      /^ {2}core of the same L3 +23 ns {2}20 to 30 +~\n {2}same socket +107 ns {2}85 to 150 +~$/m,
    );
    expect((await kreplica.run(["machine", "e5-2690v3-2s"])).out).toMatch(
      /^ {2}core of the same L3 +as same socket\n {2}same socket +42\.1 ns {2}42\.1 to 47$/m,
    );
  });

  test("CPUs are lists, matrices are whole, what is recalled is marked", async () => {
    const { out } = await kreplica.run(["machine", "e5-2690v3-2s"]);
    expect(out).toMatch(/^ +0 +32 GiB +0 +12 +1 {2}0-11,24-35$/m);
    expect(out).toMatch(/^ +1 +141\.2 +98\.8$/m);
    expect(out).toMatch(/^ {2}L3 +30 MiB +20 +24576 {2}12 cores, inclusive +53 {2}50 to 58$/m);
    expect(out).toMatch(/^ {2}second level +1024 \/ 8 +shared +none +7 {2}7 to 9 {2}~$/m);
    expect(out).toMatch(/^ {2}a fetch of two sizes: +may be a machine check, /m);
    expect((await kreplica.run(["machine", "epyc-7713-2s"])).out).toMatch(/^ {2}a fetch of two sizes: +takes either$/m);
    expect(out).toMatch(/^ {2}share of an instruction-fetch miss +0\.85 {2}0\.6 to 1 +~$/m);
  });

  test("in the list of sources, too, what is recalled is marked", async () => {
    const { out } = await kreplica.run(["machine", "e5-2690v3-2s"]);
    expect(out).toMatch(/^ {2}~ {2}costs\.fetchExposure: assumed/m);
    expect(out).toMatch(/^ {5}hertz: lscpu/m);
  });

  test("an own machine from each format, and from its own JSON", async () => {
    const cxl = await kreplica.run(["machine", fixture("genoa-cxl.both.txt"), "--base", "epyc-7713-2s"]);
    expect([cxl.code, cxl.error]).toEqual([0, ""]);
    expect(cxl.out).toMatch(/^ +2 +200\.0 +200\.1 +106\.8 +115\.8 +363\.8$/m);
    expect(cxl.out).toMatch(/^ +4 +- +- +- +- +-$/m); // no CPU there asks
    expect(cxl.out).toMatch(/^ +4 +128 GiB +none +0 +0 {2}none$/m);
    const json = await kreplica.run(["machine", fixture("genoa-cxl.both.txt"), "--base", "epyc-7713-2s", "--json"]);
    const file = join(directory, "genoa-cxl.json");
    writeFileSync(file, json.out);
    expect((await kreplica.run(["machine", file, "--json"])).out).toBe(json.out);
    expect(JSON.parse(json.out)).toMatchObject({ schema: "kreplica.machine/1", name: "genoa-cxl.both" });
  });

  test("same input, same bytes", async () => {
    const [first, second] = await Promise.all([
      kreplica.run(["machine", "xeon-8260-8s"]),
      kreplica.run(["machine", "xeon-8260-8s"]),
    ]);
    expect(first).toEqual(second);
  });
});

test("a reader that has seen enough is no error", async () => {
  // More than a pipe holds, or the writer would be done before the reader leaves.
  const ids = Array.from({ length: 64 }, (_, id) => id);
  const file = join(directory, "large.txt");
  writeFileSync(
    file,
    `Measuring idle latencies (in ns)...\nNuma node ${ids.join(" ")}\n${ids.map((id) => `${id} ${ids.map(() => 123.4).join(" ")}`).join("\n")}\n`,
  );
  const whole = await kreplica.run(["machine", file, "--json"]);
  expect(whole.out.length).toBeGreaterThan(2 * 65_536);
  const { code, error } = await kreplica.run(["machine", file, "--json"], { closeOutputAfter: 1 });
  expect([code, error]).toEqual([0, ""]);
});

test("the source of the command begins with a line that makes the built file executable", () => {
  expect(readFileSync(kreplica.file, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
});
