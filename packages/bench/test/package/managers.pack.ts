/// <reference types="node" />
/**
 * Every package alone, installed by the package managers that give a package nothing it did not ask for: yarn 1, yarn 4, and yarn 4 without
 * node_modules (Plug'n'Play). Each door is imported; what a door needs besides is what the manifest says must be installed beside it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { doorsOf, manifestOf, pack, packages, run } from "./packed.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-managers-"));
let tarballs: ReadonlyMap<string, string>;
beforeAll(() => { tarballs = pack(join(folder, "tarballs")); });
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });

/** An empty project that asks for one package, and for the neighbours it depends on takes the tarballs: nothing is published yet. */
function project(name: string, kind: string, files: Record<string, string>): string {
  const where = join(folder, kind, name);
  mkdirSync(where, { recursive: true });
  const beside = manifestOf(name).peerDependencies ?? {};
  writeFileSync(join(where, "package.json"), JSON.stringify({
    name: "consumer", version: "1.0.0", private: true, type: "module", license: "MIT",
    dependencies: { [`@kreplica/${name}`]: `file:${tarballs.get(name)!}`, ...beside },
    resolutions: Object.fromEntries([...tarballs].map(([each, file]) => [`@kreplica/${each}`, `file:${file}`])),
  }));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(where, file), text);
  const imports = doorsOf(name).map((door) => `  ${JSON.stringify(door)}: Object.keys(await import(${JSON.stringify(door)})).length,`);
  writeFileSync(join(where, "doors.mjs"), `console.log(JSON.stringify({\n${imports.join("\n")}\n}));\n`);
  return where;
}

const YARN_4 = ["--yes", "--package", "@yarnpkg/cli-dist@4.18.1", "yarn"];
const quiet = (linker: string): string => `nodeLinker: ${linker}\nenableTelemetry: false\nenableImmutableInstalls: false\nenableGlobalCache: true\n`;
const managers: readonly { readonly kind: string; readonly files: Record<string, string>; readonly install: readonly string[]; readonly node: readonly string[] }[] = [
  { kind: "yarn 1", files: {}, install: ["--yes", "yarn@1.22.22", "install", "--non-interactive", "--no-lockfile", "--ignore-engines"], node: ["node"] },
  { kind: "yarn 4", files: { ".yarnrc.yml": quiet("node-modules"), "yarn.lock": "" }, install: [...YARN_4, "install"], node: ["node"] },
  { kind: "yarn 4, Plug'n'Play", files: { ".yarnrc.yml": quiet("pnp"), "yarn.lock": "" }, install: [...YARN_4, "install"], node: ["npx", ...YARN_4, "node"] },
];

describe.each(managers)("$kind", ({ kind, files, install, node }) => {
  test.each(packages)("%s is installed alone, and each of its doors is imported", (name) => {
    const where = project(name, kind.replaceAll(/\W+/g, "-"), files);
    // CI makes yarn 4 refuse to write its lock file.
    // And yarn 1 takes a tarball of the same name and version from its cache, whatever is in it: a cache of this run's own.
    run("npx", install, where, { CI: "", YARN_ENABLE_IMMUTABLE_INSTALLS: "false", ...(kind === "yarn 1" ? { YARN_CACHE_FOLDER: join(folder, "yarn-1-cache") } : {}) });
    const [program, ...before] = node;
    const out = JSON.parse(run(program!, [...before, "doors.mjs"], where)) as Record<string, number>;
    expect(Object.keys(out)).toEqual(doorsOf(name));
    for (const [door, names] of Object.entries(out)) expect(names, door).toBeGreaterThan(0);
  });
});
