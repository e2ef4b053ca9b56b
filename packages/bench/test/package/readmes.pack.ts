/// <reference types="node" />
/**
 * Each package's README, done as a stranger would: what its install line names is all there is, and its example prints
 * what it says.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transformSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { manifestOf, packages, root, run } from "./packed.js";

const textOf = (name: string): string => readFileSync(join(root, "packages", name, "README.md"), "utf8");
const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The fenced block that follows a mark. */
function block(name: string, mark: string): string {
  const found = new RegExp(`${escaped(mark)}\\s*\`\`\`\\w*\\n([\\s\\S]*?)\`\`\``).exec(textOf(name));
  if (!found) throw new Error(`packages/${name}/README.md has no block after ${mark}`);
  return found[1]!;
}
const example = (name: string): string => block(name, `<!-- example ${name} -->`);
/** Packages that the README says to install. */
const installed = (name: string): string[] => block(name, "## Install").trim().split(/\s+/).slice(2);

/** A project with all our packages and nothing beside them: an example that needs fast-check has to say so. */
const bare = mkdtempSync(join(tmpdir(), "kreplica-readmes-"));
beforeAll(() => {
  writeFileSync(join(bare, "package.json"), JSON.stringify({ name: "bare", private: true, type: "module" }));
  run(
    "npm",
    [
      "install",
      "--no-fund",
      "--no-audit",
      "--prefer-offline",
      "--omit=peer",
      ...inject("tarballs").map(([, file]) => file),
    ],
    bare,
  );
});
afterAll(() => {
  rmSync(bare, { recursive: true, force: true });
});

describe.each(packages)("%s", (name) => {
  test("says what it is, how to install it, what must be beside it, and what it does not do", () => {
    const text = textOf(name);
    expect(text).toMatch(new RegExp(`^# @kreplica/${name}\\n\\n[^#\\n]{40}`));
    expect(block(name, "## Install")).toMatch(new RegExp(`^npm install @kreplica/${name}( [@\\w/-]+)*\\n$`));
    const install = text.slice(text.indexOf("## Install"), text.indexOf("## Example"));
    for (const peer of Object.keys(manifestOf(name).peerDependencies ?? {})) expect(install).toContain(peer);
    expect(text).toMatch(/\n## What it does not do\n\n[^#\n]{40}/);
  });

  test("its example runs with what the install line names, and prints what the README says", () => {
    const asked = installed(name);
    const imported = [...example(name).matchAll(/ from "((?:@[\w-]+\/)?[\w-]+)/g)].map(([, each]) => each!);
    expect(imported).toContain(`@kreplica/${name}`);
    expect(imported.filter((each) => !asked.includes(each))).toEqual([]);
    const project = join(asked.includes("fast-check") ? inject("consumer") : bare, "readmes");
    mkdirSync(project, { recursive: true });
    const file = join(project, `${name}.mjs`);
    writeFileSync(
      file,
      transformSync(example(name), {
        loader: "ts",
        target: "es2022",
        tsconfigRaw: { compilerOptions: { experimentalDecorators: true } },
      }).code,
    );
    expect(run("node", [file], project).trimEnd()).toBe(block(name, `<!-- example ${name} output -->`).trimEnd());
  });
});

test("all examples type-check against the published declarations, strictly", () => {
  const project = join(inject("consumer"), "readmes");
  mkdirSync(project, { recursive: true });
  for (const name of packages) writeFileSync(join(project, `${name}.mts`), example(name));
  const flags = [
    "--noEmit",
    "--strict",
    "--isolatedModules",
    "--experimentalDecorators",
    "--target",
    "es2022",
    "--lib",
    "es2023,dom",
    "--module",
    "nodenext",
  ];
  const { status, stdout } = spawnSync(
    "node",
    [join(root, "node_modules/typescript/bin/tsc"), ...flags, ...packages.map((name) => `${name}.mts`)],
    { cwd: project, encoding: "utf8" },
  );
  expect(stdout).toBe("");
  expect(status).toBe(0);
});
