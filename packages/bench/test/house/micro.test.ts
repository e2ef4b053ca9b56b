/** Micro benchmarks can be run as their headers say. What they measure is looked at by people. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

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

test("without a name, or with a wrong one, they are listed", () => {
  for (const words of [[], ["nothing"]])
    expect(micro(...words)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(names.sort().join(", ")) as string,
    });
});
