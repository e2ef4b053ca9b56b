/** What turbo may answer from its cache: only tests that see nothing but their package and what lies below it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");
interface Task {
  readonly cache?: boolean;
  readonly env?: readonly string[];
}
// turbo.json has comments, each on a line of its own.
const { tasks } = JSON.parse(readFileSync(join(root, "turbo.json"), "utf8").replace(/^\s*\/\/.*$/gm, "")) as {
  tasks: Record<string, Task>;
};
const taskOf = (name: string): Task => tasks[`@kreplica/${name}#test`] ?? tasks["test"]!;

/** Starts a program, asks for a kernel's package, or names a path above its own package. */
const LOOKS_OUTSIDE = /child_process|fetch-kernel|boot-guest|(?:\.\.\/){4}|["'](?:\.\.\/){3}(?!.*@kreplica)/;
const testsOf = (name: string): string[] =>
  readdirSync(join(root, "packages", name, "test"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(root, "packages", name, "test", file), "utf8"));
const packages = readdirSync(join(root, "packages")).filter((name) => existsSync(join(root, "packages", name, "test")));

test.each(packages)("%s: what depends on the host or on files outside is asked anew each time", (name) => {
  if (testsOf(name).some((text) => LOOKS_OUTSIDE.test(text))) expect(taskOf(name).cache).toBe(false);
});

test("some packages do look outside, and some do not", () => {
  expect(packages.filter((name) => taskOf(name).cache === false)).toEqual([
    "bench",
    "bpf",
    "check",
    "elf",
    "explorer",
    "hw-x86",
    "modules",
  ]);
});

test("packed tarballs are installed anew each time: README and registry are in no hash", () => {
  expect(tasks["test:package"]!.cache).toBe(false);
});

test("variables that tests read reach them: turbo hides all that it is not told of", () => {
  for (const name of packages) expect(taskOf(name).env, name).toContain("KREPLICA_*");
});
