/** The lists of planted faults fit the sources; what could not be looked at is an error, never a pass. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "../../../..");
const packages = join(root, "packages");
const folder = mkdtempSync(join(tmpdir(), "kreplica-planted-list-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Fault {
  readonly promise: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly test: string;
}
const listed = readdirSync(packages).filter((name) => existsSync(join(packages, name, "test/planted.mjs")));

test("packages of order and of failure paths have at least ten", () => {
  expect(listed).toEqual(
    expect.arrayContaining(["mm-core", "numa-replication", "set-memory", "text-patch", "vmalloc"]),
  );
});

test.each(listed)("%s: each fault has a promise of its own, a text that is there once, and a test", async (name) => {
  const { default: faults } = (await import(pathToFileURL(join(packages, name, "test/planted.mjs")).href)) as {
    readonly default: readonly Fault[];
  };
  expect(faults.length).toBeGreaterThanOrEqual(10);
  expect(new Set(faults.map(({ promise }) => promise)).size).toBe(faults.length);
  for (const { promise, file, find, replace, test: noticing } of faults) {
    const count = readFileSync(join(packages, name, file), "utf8").split(find).length - 1;
    expect([promise, count, find === replace]).toEqual([promise, 1, false]);
    expect(existsSync(join(packages, name, noticing)), `${promise}: ${noticing}`).toBe(true);
  }
});

/** Runs the script on a repository of one package with one fault. */
function planted(
  fault: Partial<Fault>,
  ...names: readonly string[]
): { readonly status: number | null; readonly said: string } {
  mkdirSync(join(folder, "packages/one/test"), { recursive: true });
  cpSync(join(root, "scripts/planted.mjs"), join(folder, "scripts/planted.mjs"));
  writeFileSync(join(folder, "packages/one/source.ts"), "export const value = 1;\n");
  writeFileSync(join(folder, "packages/one/test/one.test.ts"), "");
  const whole = { promise: "one is one", file: "source.ts", find: "= 1", replace: "= 2", test: "test/one.test.ts" };
  writeFileSync(
    join(folder, "packages/one/test/planted.mjs"),
    `export default [${JSON.stringify({ ...whole, ...fault })}];\n`,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, "scripts/planted.mjs"), ...names], {
    encoding: "utf8",
  });
  return { status, said: stdout + stderr };
}

test.each([
  ["a text that is gone", { find: "= 7" }, "one is one: source.ts: the text to be replaced is there 0 times"],
  ["a text that is there twice", { find: "e" }, "is there 2 times"],
  ["a fault that changes nothing", { replace: "= 1" }, "nothing is replaced"],
  ["a source that is gone", { file: "other.ts" }, "is there 0 times"],
  ["a test that is gone", { test: "test/two.test.ts" }, "there is no test/two.test.ts"],
  ["a test that does not run", {}, "no test runs"],
])("%s is an error", (_, fault, says) => {
  const { status, said } = planted(fault);
  expect(said).toContain(says);
  expect(status).toBe(2);
});

test("a package without a list is an error, too", () => {
  const { status, said } = planted({}, "two");
  expect([status, said]).toEqual([2, "no planted faults for two; there are some for one\n"]);
});
