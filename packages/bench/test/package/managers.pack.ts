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
/** `[who asks, package, path of a tarball]`, for whoever asks for another version of a package than the rest. */
let besides: readonly (readonly [string, string, string])[];

beforeAll(() => {
  npmInstall("managers", ["yarn-1@npm:yarn@1.22.22", "yarn-4@npm:@yarnpkg/cli-dist@4.18.1"]);
  const ours = new Map(inject("tarballs").map(([name, file]) => [`@kreplica/${name}`, file]));
  const all = closure(inject("consumer"));
  const theirs = [...all.versions].filter(([name]) => !ours.has(name));
  const wanted = [...theirs, ...all.besides.map(([, name, version]) => [name, version] as const)];
  const files = fetched([...new Set(wanted.map(([name, version]) => `${name}@${version}`))]);
  tarballs = new Map([...ours, ...theirs.map(([name, version]) => [name, files.get(`${name}@${version}`)!] as const)]);
  besides = all.besides.map(([who, name, version]) => [who, name, files.get(`${name}@${version}`)!]);
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

/** What npm put into a project: the version of every package, and who was given another one than the rest. */
interface Closure {
  readonly versions: ReadonlyMap<string, string>;
  /** `[who asks, package, version]`, where npm laid a second version of a package beside the one that asks for it. */
  readonly besides: readonly (readonly [string, string, string])[];
}

interface Placed {
  readonly version: string;
  readonly dependencies?: Record<string, string>;
}

function closure(project: string): Closure {
  const { packages: placed } = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8")) as {
    packages: Record<string, Placed>;
  };
  const nameOf = (path: string): string => path.split("node_modules/").at(-1)!;
  const versions = new Map<string, string>();
  for (const [path, { version }] of Object.entries(placed))
    if (path === `node_modules/${nameOf(path)}`) versions.set(nameOf(path), version);
  const besides = Object.entries(placed).flatMap(([path, { dependencies = {} }]) =>
    Object.keys(dependencies).flatMap((name) => {
      const given = foundFrom(placed, path, name);
      return given === undefined || given === versions.get(name) ? [] : [[nameOf(path), name, given] as const];
    }),
  );
  return { versions, besides };
}

/** The version that a package at a path finds under a name: its own, else what lies beside it, and so on outwards. */
function foundFrom(placed: Record<string, Placed>, path: string, name: string): string | undefined {
  for (let at = path; at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    const own = placed[`${at}/node_modules/${name}`];
    if (own !== undefined) return own.version;
  }
  return placed[`node_modules/${name}`]?.version;
}

/**
 * Tarballs of packages that are not ours, taken by npm, which knows where the registry of this machine is.
 * @param wanted names with versions, as npm is asked for them
 * @returns path of the tarball, by name and version
 */
function fetched(wanted: readonly string[]): ReadonlyMap<string, string> {
  const into = join(folder, "theirs");
  mkdirSync(into, { recursive: true });
  const packed = JSON.parse(
    run("npm", ["pack", "--json", "--prefer-offline", "--pack-destination", into, ...wanted], folder),
  ) as { name: string; version: string; filename: string }[];
  return new Map(packed.map(({ name, version, filename }) => [`${name}@${version}`, join(into, filename)]));
}

/** An empty project that asks for one package; whatever it or its neighbours ask for is a tarball beside it. */
function project(name: string, { kind, files, inside }: Manager): string {
  const where = join(folder, kind.replaceAll(/\W+/g, "-"), name);
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
      // The first that fits counts, in both managers.
      resolutions: Object.fromEntries([
        ...besides.map(([who, each, file]) => [inside(who, each), `file:${file}`]),
        ...[...tarballs].map(([each, file]) => [each, `file:${file}`]),
      ]),
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
  /** How a resolution is written that is about what one package asks for. */
  readonly inside: (who: string, name: string) => string;
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
    // A resolution makes yarn 1 forget that a package was optional: one for another system would end the installation.
    install: ["install", "--non-interactive", "--no-lockfile", "--ignore-engines", "--ignore-platform"],
    node: [],
    inside: (who, name) => `**/${who}/${name}`,
  },
  {
    kind: "yarn 4",
    files: { ".yarnrc.yml": rc("node-modules"), "yarn.lock": "" },
    program: YARN_4,
    install: ["install"],
    node: [],
    inside: (who, name) => `${who}/${name}`,
  },
  {
    kind: "yarn 4, Plug'n'Play",
    files: { ".yarnrc.yml": rc("pnp"), "yarn.lock": "" },
    program: YARN_4,
    install: ["install"],
    node: [YARN_4, "node"],
    inside: (who, name) => `${who}/${name}`,
  },
];

describe.each(managers)("$kind", (manager) => {
  const { program, install, node } = manager;
  test.each(packages)("%s is installed alone, with no registry to ask, and each of its doors is imported", (name) => {
    const where = project(name, manager);
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
