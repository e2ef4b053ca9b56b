/// <reference types="node" />
/**
 * Every package alone, installed by the package managers that give a package nothing it did not ask for: yarn 1, yarn
 * 4, and yarn 4 without node_modules (Plug'n'Play). Each door is imported; what a door needs besides is what the
 * manifest says must be installed beside it.
 *
 * Yarn 4 does not read npm's configuration (registry, proxy, certificates), so it is given nothing to ask a registry
 * for: npm fetches the managers themselves and a tarball of every package in the closure, and the registry that yarn is
 * told of is an address at which nobody answers.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { doorsOf, manifestOf, packages, run } from "./packed.js";

const NOBODY = "http://127.0.0.1:9";
const NO_REGISTRY = { YARN_NPM_REGISTRY_SERVER: NOBODY, YARN_REGISTRY: NOBODY, npm_config_registry: NOBODY };

const folder = mkdtempSync(join(tmpdir(), "kreplica-managers-"));
/** Path of a tarball by the full name of its package: ours, and all that they lead to. */
let tarballs: ReadonlyMap<string, string>;

beforeAll(() => {
  npmInstall("managers", ["yarn-1@npm:yarn@1.22.22", "yarn-4@npm:@yarnpkg/cli-dist@4.18.1"]);
  const ours = new Map(inject("tarballs").map(([name, file]) => [`@kreplica/${name}`, file]));
  tarballs = new Map([...ours, ...fetched(closure(inject("consumer")), new Set(ours.keys()))]);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function npmInstall(project: string, what: readonly string[]): void {
  mkdirSync(join(folder, project), { recursive: true });
  writeFileSync(join(folder, project, "package.json"), JSON.stringify({ name: project, private: true }));
  run(
    "npm",
    ["install", "--no-fund", "--no-audit", "--prefer-offline", "--ignore-scripts", ...what],
    join(folder, project),
  );
}

/**
 * Name and version of everything npm put into a project.
 * @throws Error when a package is there in two versions: a resolution by name names one
 */
function closure(project: string): ReadonlyMap<string, string> {
  const { packages: placed } = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8")) as {
    packages: Record<string, { version: string }>;
  };
  const versions = new Map<string, string>();
  for (const [path, { version }] of Object.entries(placed)) {
    const name = path.split("node_modules/").at(-1)!;
    if (name === "") continue;
    if ((versions.get(name) ?? version) !== version)
      throw new Error(`${name} is needed in two versions, ${versions.get(name)!} and ${version}`);
    versions.set(name, version);
  }
  return versions;
}

/** Tarballs of packages that are not ours, taken by npm, which knows where the registry of this machine is. */
function fetched(versions: ReadonlyMap<string, string>, ours: ReadonlySet<string>): ReadonlyMap<string, string> {
  const into = join(folder, "theirs");
  mkdirSync(into, { recursive: true });
  const wanted = [...versions].filter(([name]) => !ours.has(name)).map(([name, version]) => `${name}@${version}`);
  const packed = JSON.parse(
    run("npm", ["pack", "--json", "--prefer-offline", "--pack-destination", into, ...wanted], folder),
  ) as { name: string; filename: string }[];
  return new Map(packed.map(({ name, filename }) => [name, join(into, filename)]));
}

/** An empty project that asks for one package; whatever it or its neighbours ask for is a tarball beside it. */
function project(name: string, kind: string, files: Record<string, string>): string {
  const where = join(folder, kind, name);
  mkdirSync(where, { recursive: true });
  const asked = [`@kreplica/${name}`, ...Object.keys(manifestOf(name).peerDependencies ?? {})];
  writeFileSync(
    join(where, "package.json"),
    JSON.stringify({
      name: "consumer",
      version: "1.0.0",
      private: true,
      type: "module",
      license: "MIT",
      dependencies: Object.fromEntries(asked.map((each) => [each, `file:${tarballs.get(each)!}`])),
      resolutions: Object.fromEntries([...tarballs].map(([each, file]) => [each, `file:${file}`])),
    }),
  );
  for (const [file, text] of Object.entries(files)) writeFileSync(join(where, file), text);
  const imports = doorsOf(name).map(
    (door) => `  ${JSON.stringify(door)}: Object.keys(await import(${JSON.stringify(door)})).length,`,
  );
  writeFileSync(join(where, "doors.mjs"), `console.log(JSON.stringify({\n${imports.join("\n")}\n}));\n`);
  return where;
}

interface Manager {
  readonly kind: string;
  readonly files: Record<string, string>;
  /** The manager's program, and what it is called with to install a project and to run a file of it. */
  readonly program: string;
  readonly install: readonly string[];
  readonly node: readonly string[];
}
const YARN_1 = join(folder, "managers/node_modules/yarn-1/bin/yarn.js");
const YARN_4 = join(folder, "managers/node_modules/yarn-4/bin/yarn.js");
const rc = (linker: string): string =>
  `nodeLinker: ${linker}\nenableTelemetry: false\nenableImmutableInstalls: false\nenableGlobalCache: true\nunsafeHttpWhitelist: ["127.0.0.1"]\nhttpRetry: 0\n`;
const managers: readonly Manager[] = [
  {
    kind: "yarn 1",
    files: {},
    program: YARN_1,
    install: ["install", "--non-interactive", "--no-lockfile", "--ignore-engines"],
    node: [],
  },
  {
    kind: "yarn 4",
    files: { ".yarnrc.yml": rc("node-modules"), "yarn.lock": "" },
    program: YARN_4,
    install: ["install"],
    node: [],
  },
  {
    kind: "yarn 4, Plug'n'Play",
    files: { ".yarnrc.yml": rc("pnp"), "yarn.lock": "" },
    program: YARN_4,
    install: ["install"],
    node: [YARN_4, "node"],
  },
];

describe.each(managers)("$kind", ({ kind, files, program, install, node }) => {
  test.each(packages)("%s is installed alone, with no registry to ask, and each of its doors is imported", (name) => {
    const where = project(name, kind.replaceAll(/\W+/g, "-"), files);
    // A cache of this run's own, shared by its packages: yarn 1 takes a tarball of the same name and version from its
    // cache, whatever is in it.
    const caches = {
      YARN_CACHE_FOLDER: join(folder, "cache", program === YARN_1 ? "yarn-1" : "yarn-4"),
      YARN_GLOBAL_FOLDER: join(folder, "cache/yarn-4-global"),
    };
    // CI makes yarn 4 refuse to write its lock file.
    run("node", [program, ...install], where, {
      CI: "",
      YARN_ENABLE_IMMUTABLE_INSTALLS: "false",
      ...NO_REGISTRY,
      ...caches,
    });
    const out = JSON.parse(run("node", [...node, "doors.mjs"], where, { ...NO_REGISTRY, ...caches })) as Record<
      string,
      number
    >;
    expect(Object.keys(out)).toEqual(doorsOf(name));
    for (const [door, names] of Object.entries(out)) expect(names, door).toBeGreaterThan(0);
  });
});
