/// <reference types="node" />
/** Tarballs of all packages, as they would be published. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");
export const packages: readonly string[] = readdirSync(join(root, "packages"))
  .filter((name) => existsSync(join(root, "packages", name, "package.json")))
  .sort();
const pnpm = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { packageManager: string })
  .packageManager;

/** A program's standard output. @throws Error with what it said on standard error */
export const run = (command: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): string =>
  execFileSync(command, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 1 << 26,
    env: { ...process.env, NODE_OPTIONS: "", ...env },
  });

interface Manifest {
  readonly name: string;
  readonly exports: Record<string, unknown>;
  readonly peerDependencies?: Record<string, string>;
  readonly dependencies?: Record<string, string>;
}
export const manifestOf = (name: string): Manifest =>
  JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8")) as Manifest;

/** Names under which a package's doors are imported. */
export const doorsOf = (name: string): string[] =>
  Object.keys(manifestOf(name).exports).map((door) => `@kreplica/${name}${door.slice(1)}`);

/** What some door says must be installed beside its package: `name@range`, each once. */
export const besides = (): string[] => [
  ...new Set(
    packages.flatMap((name) =>
      Object.entries(manifestOf(name).peerDependencies ?? {}).map(([peer, range]) => `${peer}@${range}`),
    ),
  ),
];

/** Packs every package into a folder. @returns path of each tarball by the package's name */
export function pack(folder: string): ReadonlyMap<string, string> {
  mkdirSync(folder, { recursive: true });
  return new Map(
    packages.map((name) => {
      const before = new Set(readdirSync(folder));
      run("npx", ["--yes", pnpm, "pack", "--pack-destination", folder], join(root, "packages", name));
      const made = readdirSync(folder).filter((file) => !before.has(file));
      if (made.length !== 1) throw new Error(`packing ${name} left ${made.length} files`);
      return [name, join(folder, made[0]!)];
    }),
  );
}
