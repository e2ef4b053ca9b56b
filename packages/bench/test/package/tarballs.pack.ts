/**
 * What a stranger gets from npm: every package packed, installed into an empty project, and the README's example run
 * there.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, inject, test } from "vitest";
import { packages, root, run } from "./packed.js";

const project = inject("consumer");

/** The README's fenced block that follows `<!-- example NAME -->`. */
function example(name: string): string {
  const block = new RegExp(`<!-- example ${name} -->\\s*\`\`\`\\w*\\n([\\s\\S]*?)\`\`\``).exec(
    readFileSync(join(root, "README.md"), "utf8"),
  );
  if (!block) throw new Error(`README.md has no example ${name}`);
  return block[1]!;
}

test("the README's library example runs in an empty project and prints what the README says", () => {
  writeFileSync(join(project, "example.mjs"), example("library"));
  expect(run("node", ["example.mjs"], project).trim()).toBe(example("library output").trim());
});

test("the example type-checks against the published declarations, isolated modules and library checks on", () => {
  writeFileSync(join(project, "example.mts"), example("library"));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const flags = [
    "--noEmit",
    "--strict",
    "--isolatedModules",
    "--target",
    "es2022",
    "--lib",
    "es2023,dom",
    "--module",
    "nodenext",
    "example.mts",
  ];
  const { status, stdout } = spawnSync("node", [tsc, ...flags], { cwd: project, encoding: "utf8" });
  expect(stdout).toBe("");
  expect(status).toBe(0);
});

test("one copy of tsyringe and of reflect-metadata", () => {
  const copies = run("npm", ["ls", "--all", "--parseable", "tsyringe", "reflect-metadata"], project)
    .split("\n")
    .filter((line) => /node_modules\/(tsyringe|reflect-metadata)$/.test(line));
  expect(new Set(copies).size).toBe(2);
});

test("the command works from its package", () => {
  const bin = join(project, "node_modules/.bin/kreplica");
  expect(run(bin, ["--version"], project).trim()).toMatch(/^\d+\.\d+\.\d+/);
  expect(run(bin, ["machine", "tiny-2-node"], project)).toContain("tiny-2-node");
  const comparison = JSON.parse(run(bin, ["compare", "--json"], project)) as { schema: string; tests: unknown[] };
  expect(comparison.schema).toBe("kreplica.compare/2");
  expect(comparison.tests).toHaveLength(14);
});

test("the man pages that npm installs are in the tarball", () => {
  const folder = join(project, "node_modules/@kreplica/bench");
  const { man } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { man: string[] };
  expect(man).toContain("./dist/man/kreplica-compare.1");
  for (const file of man) expect(readFileSync(join(folder, file), "utf8"), file).toMatch(/^\.TH "KREPLICA/);
});

test("every map of a tarball leads to sources that are in it: a debugger steps into them", () => {
  let maps = 0;
  for (const name of packages) {
    const dist = join(project, "node_modules/@kreplica", name, "dist");
    for (const file of readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((each) =>
      each.endsWith(".js.map"),
    )) {
      const { sources } = JSON.parse(readFileSync(join(dist, file), "utf8")) as { sources: string[] };
      expect(
        sources.filter((source) => !existsSync(join(dist, dirname(file), source))),
        `${name}/${file}`,
      ).toEqual([]);
      maps += sources.length;
    }
  }
  expect(maps).toBeGreaterThan(300);
});

test("no tarball carries tests or the private export condition", () => {
  for (const name of packages) {
    const folder = join(project, "node_modules/@kreplica", name);
    const manifest = readFileSync(join(folder, "package.json"), "utf8");
    expect(manifest).not.toContain("@kreplica/source");
    expect(manifest).not.toMatch(/workspace:|catalog:/);
    expect(existsSync(join(folder, "test"))).toBe(false);
  }
});

test("the README's library example runs in a built clone where the README says", () => {
  const file = join(root, "packages/bench/example.mjs");
  writeFileSync(file, example("library"), { flag: "wx" });
  try {
    expect(run("node", [file], root).trim()).toBe(example("library output").trim());
  } finally {
    rmSync(file);
  }
});
