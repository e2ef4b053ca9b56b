/** Which code measures: a digest of every file that may run, of this package and of those of kreplica below it. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { extensions } from "@kreplica/kernel";
import { dataFile } from "@kreplica/recordings";

/** Code, and none of what is made from it beside it. */
const CODE = /\.(js|mjs|ts)$/;
const KINDS = ["src", "dist"];
const DECLARATIONS = /\.d\.[cm]?ts$/;

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && CODE.test(entry.name) && !DECLARATIONS.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));

let known: string | undefined;

/**
 * Equal where the same code runs, on whatever machine; another where any of it changed, plugin files and what they
 * import included.
 * @returns 64 hexadecimal digits
 */
export function codeVersion(): string {
  known ??= versionOf(dirname(fileURLToPath(import.meta.url)));
  if (extensions().read.length === 0) return known;
  const hash = createHash("sha256").update(known);
  for (const file of extensions().read) hash.update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

/** @param here a folder of this package's code: src/ or dist/, or one below */
function versionOf(here: string): string {
  // Of several bundles below one package, as tests make them, this one's alone.
  let code = here;
  while (!KINDS.includes(basename(code)) && code !== dirname(code)) code = dirname(code);
  const kind = basename(code);
  let root = dirname(code);
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  const hash = createHash("sha256");
  const add = (name: string, folder: string): void => {
    for (const file of filesBelow(folder).sort()) {
      hash
        .update(`${name} ${file.slice(folder.length)}\0`)
        .update(readFileSync(file))
        .update("\0");
    }
  };
  add("bench", code);
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)
    .filter((each) => each.startsWith("@kreplica/"))
    .sort()) {
    const folder = ancestors(root)
      .map((each) => join(each, "node_modules", name, kind))
      .find((each) => existsSync(each));
    if (folder !== undefined) add(name, realpathSync(folder));
  }
  // Of data, what no cell names: the kernel that was recorded.
  for (const name of readdirSync(dataFile("kernel")).sort())
    hash.update(`${name}\0`).update(readFileSync(dataFile(`kernel/${name}`)));
  return hash.digest("hex");
}

function ancestors(folder: string): string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...ancestors(parent)];
}
