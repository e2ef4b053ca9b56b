/**
 * The dependency rules are themselves tested: a small workspace with one planted violation of each, and a clean
 * neighbour.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { layers } from "../../../../scripts/layers.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");
const workspace = mkdtempSync(join(tmpdir(), "kreplica-arrows-"));
afterAll(() => rmSync(workspace, { recursive: true, force: true }));

/** File and the rule its text breaks; `undefined` for one that breaks none. */
const planted: readonly (readonly [file: string, text: string, rule: string | undefined])[] = [
  ["mm-core/src/fine.ts", 'import type { x } from "@kreplica/hw-x86/api"; export type Y = typeof x;', undefined],
  ["mm-core/src/upward.ts", 'import { x } from "@kreplica/vmalloc/api"; export const y = x;', "layer-mm-core"],
  ["efi/test/sibling.ts", 'import { x } from "@kreplica/vmalloc/api"; export const y = x;', "layer-efi"],
  [
    "vmalloc/src/removable.ts",
    'import { x } from "@kreplica/numa-replication/api"; export const y = x;',
    "layer-vmalloc",
  ],
  ["mm-core/src/inside.ts", 'import { x } from "@kreplica/hw-x86"; export const y = x;', "only-api-across-packages"],
  [
    "mm-core/src/by-path.ts",
    'import { x } from "../../hw-x86/src/api.js"; export const y = x;',
    "no-path-into-a-neighbour",
  ],
  [
    "mm-core/src/wiring.ts",
    'import { container } from "tsyringe"; export const y = container;',
    "only-di-names-tsyringe",
  ],
  ["mm-core/src/tests.ts", 'import fc from "fast-check"; export const y = fc;', "shipped-code-carries-no-tests"],
  [
    "mm-core/src/host.ts",
    'import { readFileSync } from "node:fs"; export const y = readFileSync;',
    "only-bench-touches-node",
  ],
  ["hw-x86/src/walker.ts", 'import { x } from "@kreplica/di"; export const y = x;', "no-wiring-on-the-hot-path"],
  [
    "bench/src/report/table.ts",
    'import { x } from "@kreplica/hw-x86"; export const y = x;',
    "reports-do-not-run-machines",
  ],
  ["mm-core/src/circle.ts", 'import type { B } from "./circle-back.js"; export type A = B | 1;', undefined], // a cycle is reported once, at one of its files
  ["mm-core/src/circle-back.ts", 'import type { A } from "./circle.js"; export type B = A[];', "no-circular"],
  ["mm-core/src/undeclared.ts", 'import { x } from "@kreplica/nowhere"; export const y = x;', "not-resolvable"],
];

interface Cruise {
  summary: { violations: { from: string; rule: { name: string } }[] };
}

test("each rule sees the file planted for it, and nothing else is reported", () => {
  mkdirSync(join(workspace, "node_modules/@kreplica"), { recursive: true });
  for (const each of ["tsyringe", "fast-check"]) {
    mkdirSync(join(workspace, "node_modules", each));
    writeFileSync(
      join(workspace, "node_modules", each, "package.json"),
      JSON.stringify({ name: each, version: "1.0.0", main: "index.js" }),
    );
    writeFileSync(
      join(workspace, "node_modules", each, "index.js"),
      "export const container = 1; export default container;",
    );
  }
  for (const name of Object.keys(layers)) {
    const folder = join(workspace, "packages", name);
    mkdirSync(join(folder, "src"), { recursive: true });
    const door = (file: string) => ({ "@kreplica/source": `./src/${file}.ts`, default: `./dist/${file}.js` });
    writeFileSync(
      join(folder, "package.json"),
      JSON.stringify({
        name: `@kreplica/${name}`,
        type: "module",
        exports: { ".": door("index"), "./api": door("api"), "./testing": door("testing") },
      }),
    );
    for (const file of ["index", "api", "testing"])
      writeFileSync(join(folder, "src", `${file}.ts`), "export const x = 1;");
    symlinkSync(folder, join(workspace, "node_modules/@kreplica", name));
  }
  for (const [file, text] of planted) {
    mkdirSync(dirname(join(workspace, "packages", file)), { recursive: true });
    writeFileSync(join(workspace, "packages", file), text);
  }
  mkdirSync(join(workspace, "scripts"));
  for (const file of [".dependency-cruiser.mjs", "tsconfig.base.json", "scripts/layers.mjs"])
    cpSync(join(root, file), join(workspace, file));
  const cli = join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  const { stdout } = spawnSync(
    "node",
    [cli, "packages", "--config", ".dependency-cruiser.mjs", "--output-type", "json"],
    { cwd: workspace, encoding: "utf8", maxBuffer: 1 << 26 },
  );
  const found = (JSON.parse(stdout) as Cruise).summary.violations.map(({ from, rule }) => `${from}: ${rule.name}`);
  expect(new Set(found)).toEqual(
    new Set(planted.filter(([, , rule]) => rule).map(([file, , rule]) => `packages/${file}: ${rule}`)),
  );
});

test("every package of the workspace has a layer", () => {
  const names = execFileSync("ls", [join(root, "packages")], { encoding: "utf8" })
    .trim()
    .split("\n");
  expect(names.filter((name) => !(name in layers))).toEqual([]);
});
