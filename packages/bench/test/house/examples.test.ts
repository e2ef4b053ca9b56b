/// <reference types="node" />
/**
 * Each example's pages: what it is, how to run it, and what it prints, which is what it prints; its manifest names what
 * it imports, published names only. Its own tests run beside these (see vitest.config.ts).
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test, vi } from "vitest";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");
const folder = join(root, "examples");
const examples = readdirSync(folder).filter((name) => existsSync(join(folder, name, "package.json")));
const read = (...path: string[]): string => readFileSync(join(root, ...path), "utf8");
const sources = (name: string): string[] =>
  ["src", "test"].flatMap((part) =>
    readdirSync(join(folder, name, part)).map((file) => read("examples", name, part, file)),
  );

interface Manifest {
  readonly private?: boolean;
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
}

test("there is one of each kind", () => {
  expect(examples).toEqual(
    ["invariant", "machine", "page-allocator", "policy", "subsystem", "tlb", "vmalloc"].map((kind) => `own-${kind}`),
  );
});

test("the README, CONTRIBUTING and the examples' own page lead to each", () => {
  for (const page of ["README.md", "CONTRIBUTING.md"]) expect(read(page), page).toContain("](examples/README.md)");
  for (const name of examples) expect(read("examples/README.md")).toContain(`](${name})`);
});

test("they are no packages of the workspace", () => {
  expect(read("pnpm-workspace.yaml")).not.toContain("examples");
});

describe.each(examples)("%s", (name) => {
  const manifest = JSON.parse(read("examples", name, "package.json")) as Manifest;

  test("imports published names, all of them in its manifest, and nothing of the manifest is unused", () => {
    const imported = new Set(
      sources(name).flatMap((text) => [...text.matchAll(/ from "((?:@[\w-]+\/)?[\w-]+)/g)].map(([, each]) => each!)),
    );
    const { dependencies, devDependencies } = manifest;
    expect([...imported].filter((each) => !(each in dependencies) && !(each in devDependencies))).toEqual([]);
    expect(Object.keys(dependencies).filter((each) => !imported.has(each))).toEqual([]);
    expect([...imported].some((each) => each.startsWith("@kreplica/"))).toBe(true);
    expect(manifest.private).toBe(true);
    for (const text of sources(name)) expect(text).not.toMatch(/^\s*@(inject|injectable)\b/m);
  });

  test("prints what its page says", async () => {
    const text = read("examples", name, "README.md");
    expect(text).toMatch(/^# Own [\w ]+\n\n[^#\n]{40}/);
    expect(text).toContain("npm start");
    expect(text).toContain("npm test");
    const lines: string[] = [];
    const spy = vi.spyOn(console, "log").mockImplementation((...of: unknown[]) => {
      lines.push(of.join(" "));
    });
    try {
      await import(join(folder, name, "src/main.ts"));
    } finally {
      spy.mockRestore();
    }
    expect(/## What it prints\n\n```\n([\s\S]*?)```/.exec(text)?.[1]).toBe(`${lines.join("\n")}\n`);
  });
});
