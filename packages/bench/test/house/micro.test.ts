/** Micro benchmarks can be run as their headers say. What they measure is looked at by people. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
// @ts-expect-error Written for Node alone, as run.mjs is.
import { compareRuns as compare } from "../../micro/against.mjs";

const compareRuns = compare as (before: readonly string[], now: readonly string[]) => string[];
const bench = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const names = readdirSync(join(bench, "micro"))
  .filter((file) => file.endsWith(".ts") && file !== "timing.ts")
  .map((file) => file.slice(0, -3));
/** The package's own script, as npm runs it. */
function micro(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  const { scripts } = JSON.parse(readFileSync(join(bench, "package.json"), "utf8")) as { scripts: { micro: string } };
  return spawnSync([scripts.micro, ...words].join(" "), { cwd: bench, encoding: "utf8", shell: true });
}

test.each(names)("%s says how to run it, and no other way", (name) => {
  const text = readFileSync(join(bench, "micro", `${name}.ts`), "utf8");
  expect(text).toMatch(new RegExp(`^ \\* In packages/bench: npm run micro -- ${name}( \\[.*\\])?$`, "m"));
  expect(text).not.toContain("esbuild");
});

test("each is bundled, with its dependencies", () => {
  expect(micro("--check")).toEqual(expect.objectContaining({ status: 0, stdout: "", stderr: "" }));
});

test("one runs and prints what it measured", () => {
  const { status, stdout } = micro("dispatch");
  expect([status, stdout]).toEqual([0, expect.stringMatching(/1 class at the call site +\d+\.\d ns/)]);
});

test("beside a commit's: numbers by their medians, and what they are of the commit's; labels, and lines of one alone", () => {
  const before = ["2 nodes  1,000 a second\n2 nodes  10.0 ns\n", "2 nodes  3,000 a second\n2 nodes  30.0 ns\n"];
  const now = [
    "2 nodes  4,000 a second\n2 nodes  5.0 ns\nmore: 7\n",
    "2 nodes  6,000 a second\n2 nodes  5.0 ns\nmore: 7\n",
  ];
  expect(compareRuns(before, now)).toEqual([
    "2 nodes  5,000 (x 2.50) a second",
    "2 nodes  5.0 (x 0.25) ns",
    "more: 7  (not in the other)",
  ]);
  // Lines that are alike but for their numbers are told apart by their order.
  expect(compareRuns(["a 1\na 2"], ["a 3\na 4"])).toEqual(["a 3 (x 3.00)", "a 4 (x 2.00)"]);
});

test("one runs in turn with that of the last commit, and is refused with that of none", () => {
  const { status, stdout, stderr } = micro("dispatch", "--against", "HEAD", "--rounds", "1");
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^dispatch, and what each number is of that of HEAD, in turn \(x\):\n/);
  expect(stdout).toMatch(/1 class at the call site +\d+\.\d( \(x \d+\.\d\d\))? ns/);
  expect(micro("dispatch", "--against", "no-such-commit")).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("no-such-commit has no benchmark dispatch that can be bundled here") as string,
  });
  expect(micro("dispatch", "--against")).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("usage: --against") as string,
  });
  expect(micro("dispatch", "--rounds", "0")).toMatchObject({ status: 2 });
});

test("without a name, or with a wrong one, they are listed", () => {
  for (const words of [[], ["nothing"]])
    expect(micro(...words)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(names.sort().join(", ")) as string,
    });
});

test("the C program that is the limit counts what the model counts, with states and nodes and without", ({ skip }) => {
  // So many that L3 has to throw lines out: inclusive ones leave the core, victims are written back.
  const { status, stdout, stderr } = micro("limit", "2000000", "1", "1");
  if (stdout.startsWith("skipped:")) skip();
  expect([status, stderr, stdout]).toEqual([
    0,
    "",
    expect.stringContaining("every count of the programs is the model's"),
  ]);
  for (const mix of ["mixed", "hostile"])
    for (const inclusion of ["inclusive", "victim"])
      expect(stdout).toMatch(
        new RegExp(
          `${mix}, L3 ${inclusion}: C, all of the model +\\d+\\.\\d M/s +ours \\d\\.\\d\\d and \\d\\.\\d\\d of it`,
        ),
      );
});

test("in WebAssembly, too, and with each thing done as ours does it, and with all", ({ skip }) => {
  const { status, stdout, stderr } = micro("limit", "4000", "1", "1", "changes");
  if (/^(skipped|no WebAssembly of C):/m.test(stdout)) skip();
  expect([status, stderr]).toEqual([0, ""]);
  const measured = [...stdout.matchAll(/^hostile, L3 victim: C in WebAssembly, (.*?) +\S+ M\/s/gm)];
  const changes = [...readFileSync(join(bench, "micro/limit.c"), "utf8").matchAll(/^#if(?:n?def) ([A-Z][A-Z_0-9]+)$/gm)]
    .map(([, macro]) => macro!)
    .filter((macro) => macro !== "PLAIN");
  // One for each that limit.c knows, beside the program as it is and with all of them.
  expect(measured).toHaveLength(new Set(changes).size + 2);
  expect(stdout).toContain("every count of the programs is the model's");
});

test.each(["3", "many"])("limit %s is refused", (words) => {
  expect(micro("limit", words)).toMatchObject({ status: 2, stderr: expect.stringContaining("usage: ") as string });
});

test("an instruction, a load and a store are short enough for V8 to write them out where they are called", () => {
  micro("limit", "odd"); // refused, but bundled
  const folder = mkdtempSync(join(tmpdir(), "kreplica-inlined-"));
  try {
    const stream = join(folder, "stream");
    writeFileSync(stream, new Uint32Array([0x4002, 0x4000, 0x4001]));
    const node = (...words: string[]): string => spawnSync(process.execPath, words, { encoding: "utf8" }).stdout;
    const longest = Number(/ --max-inlined-bytecode-size=(\d+)/.exec(node("--v8-options"))![1]);
    for (const name of ["fetch", "load", "store"]) {
      const printed = node(
        ...["--print-bytecode", `--print-bytecode-filter=${name}`],
        ...[join(bench, ".cache/micro-limit.mjs"), "--ours", "inclusive", stream, "1"],
      );
      const lengths = [...printed.matchAll(/^Bytecode length: (\d+)$/gm)].map(([, length]) => Number(length));
      // Another method of the name may be among them, which is shorter.
      expect(Math.max(...lengths), `bytes of ${name}`).toBeGreaterThan(200);
      expect(Math.max(...lengths), `bytes of ${name}`).toBeLessThanOrEqual(longest);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
