/// <reference types="node" />
/**
 * Each example as a stranger has it: copied out of the clone, its dependencies the packed tarballs, compiled by its own
 * tsconfig, its tests run, and what it prints held to its README.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { root, run } from "./packed.js";

const examples = readdirSync(join(root, "examples")).filter((name) => name.startsWith("own-"));
const folder = mkdtempSync(join(tmpdir(), "kreplica-examples-"));

interface Manifest {
  readonly dependencies: Record<string, string>;
}

/**
 * One npm workspace of all examples, so that compiler and runner come once. A tarball stands for what the registry will
 * have; those that the examples do not name are there for the ones they name, and a test of the sources sees that no
 * example imports what its manifest lacks.
 */
beforeAll(() => {
  const tarballs = Object.fromEntries(inject("tarballs").map(([name, file]) => [`@kreplica/${name}`, `file:${file}`]));
  for (const name of examples) {
    const at = join(folder, name);
    cpSync(join(root, "examples", name), at, {
      recursive: true,
      filter: (from) => !/\/(dist|node_modules)$/.test(from),
    });
    const manifest = JSON.parse(readFileSync(join(at, "package.json"), "utf8")) as Manifest;
    const dependencies = Object.fromEntries(
      Object.entries(manifest.dependencies).map(([each, range]) => [each, tarballs[each] ?? range]),
    );
    writeFileSync(join(at, "package.json"), JSON.stringify({ ...manifest, dependencies }));
  }
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "examples", private: true, workspaces: examples, dependencies: tarballs }),
  );
  run("npm", ["install", "--no-fund", "--no-audit", "--prefer-offline"], folder);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test("the command takes a policy of its own from a plugin file, as the example's script has it", () => {
  const at = join(folder, "own-policy");
  const { holders, policy } = JSON.parse(run("npm", ["run", "--silent", "command", "--", "--json"], at)) as {
    readonly holders: readonly number[];
    readonly policy: string;
  };
  expect([policy, holders]).toEqual(["on-0-3", [0, 3]]);
});

describe.each(examples)("%s", (name) => {
  test("compiles against the published declarations, and prints what its page says", () => {
    const page = readFileSync(join(folder, name, "README.md"), "utf8");
    const printed = run("npm", ["run", "--silent", "start"], join(folder, name));
    expect(printed).toBe(/## What it prints\n\n```\n([\s\S]*?)```/.exec(page)?.[1]);
  });

  test("its tests pass: the contracts, and kernels booted with it", () => {
    const report = join(folder, `${name}.json`);
    run("npm", ["test", "--silent", "--", "--reporter=json", `--outputFile=${report}`], join(folder, name), {
      NODE_ENV: "test",
    });
    const { numPassedTests, numTotalTests } = JSON.parse(readFileSync(report, "utf8")) as Record<string, number>;
    expect(numPassedTests).toBe(numTotalTests);
    expect(numTotalTests).toBeGreaterThan(0);
  });
});
