/** Files of tests that share what they load (vitest.shared.ts) find it as the first of them did. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const packages = join(import.meta.dirname, "../../..");
const textOf = (file: string): string => readFileSync(join(packages, file), "utf8");
const sharing = readdirSync(packages).filter((name) => {
  try {
    return !textOf(`${name}/vitest.config.ts`).includes("mergeConfig(packageTests, { test: { isolate: true } })");
  } catch {
    return false;
  }
});
const files = sharing.flatMap((name) =>
  readdirSync(join(packages, name, "test"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => `${name}/test/${file}`),
);
const isTest = (file: string): boolean => /\.(test|pack)\.ts$/.test(file);

test("most packages share, and their tests import files of their own", () => {
  expect(sharing.length).toBeGreaterThan(20);
  expect(files.filter((file) => !isTest(file)).length).toBeGreaterThan(40);
});

test("what files of tests import has no hook: it would be that of the file which comes first", () => {
  const hook = /^(before|after)(All|Each)\(/m;
  expect(files.filter((file) => !isTest(file) && hook.test(textOf(file)))).toEqual([]);
});

test("what puts another module or global in one's place is run apart", () => {
  const replaced = /\bvi\.(mock|doMock|stubGlobal|resetModules)\(/;
  // bench has a project of its own for files with this.
  const apart = (file: string): boolean => file.startsWith("bench/") && textOf(file).includes("vi.mock(");
  expect(files.filter((file) => replaced.test(textOf(file)) && !apart(file))).toEqual([]);
});

test("timers and variables of the environment are put back by the file that changes them", () => {
  const changed = (text: string): boolean =>
    (text.includes("vi.useFakeTimers(") && !text.includes("vi.useRealTimers(")) ||
    [...text.matchAll(/^ *process\.env\["(\w+)"\] = /gm)].some(
      ([, name]) =>
        (text.match(new RegExp(`process\\.env\\["${name}"\\] = |delete process\\.env\\["${name}"\\]`, "g")) ?? [])
          .length < 2,
    );
  expect(files.filter((file) => changed(textOf(file)))).toEqual([]);
});
