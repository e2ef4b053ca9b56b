/** Modules on disk: a kernel package's tree, or files named one by one, with modules.dep where there is one. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { InputError, whyNot } from "@kreplica/inputs";
import { type ModuleDirectory, moduleFromBytes } from "@kreplica/kernel-files";
import { moduleName, readModulesDep } from "@kreplica/modules";
import { foundFile, inputPath } from "../input-file.js";

const isModule = (name: string): boolean => /\.ko(\.(zst|xz))?$/.test(name);

/** @param root lib/modules/<release> of a package, or any folder of .ko files */
export function moduleDirectory(root: string): ModuleDirectory {
  const paths = new Map<string, string[]>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      // A link to a module is one; where it leads nowhere, reading it says so.
      else if ((entry.isFile() || entry.isSymbolicLink()) && isModule(entry.name))
        paths.set(moduleName(entry.name), [...(paths.get(moduleName(entry.name)) ?? []), path]);
    }
  };
  if (!existsSync(root) || !statSync(root).isDirectory()) {
    throw new InputError({
      file: root,
      reason: "is no folder",
      remedy: "give lib/modules/<release> of a kernel package",
    });
  }
  visit(root);
  const dependencies = join(root, "modules.dep");
  const listed = existsSync(dependencies)
    ? new Set(
        readFileSync(foundFile(dependencies), "utf8")
          .split("\n")
          .map((line) => line.slice(0, Math.max(line.indexOf(":"), 0))),
      )
    : undefined;
  return ofPaths(new Map([...paths].map(([name, found]) => [name, foundAs(found, root, listed)])), dependencies);
}

/**
 * Of several modules of one name, as with one in updates/, the one that modules.dep lists; where that does not decide,
 * all of them.
 */
function foundAs(found: readonly string[], root: string, listed: ReadonlySet<string> | undefined): readonly string[] {
  const chosen = found.filter((path) => listed?.has(relative(root, path)));
  return chosen.length === 1 ? chosen : found;
}

/** Files named one by one. */
export function moduleFiles(files: readonly string[]): ModuleDirectory {
  for (const file of files)
    if (!existsSync(file))
      throw new InputError({ file, reason: "there is no such file", remedy: "give the path of a .ko file" });
  return ofPaths(new Map(files.map((file) => [moduleName(basename(file)), [inputPath(file, "--load")]])), undefined);
}

/** A folder with files in the place of what it has under their names; what these need, they say themselves. */
export function withFiles(directory: ModuleDirectory, files: readonly string[]): ModuleDirectory {
  if (files.length === 0) return directory;
  const given = moduleFiles(files);
  const isGiven = (name: string): boolean => given.path(name) !== undefined;
  return {
    names: [...new Set([...given.names, ...directory.names])],
    path: (name) => given.path(name) ?? directory.path(name),
    read: (name) => (isGiven(name) ? given : directory).read(name),
    needs: directory.needs && new Map([...directory.needs].filter(([name]) => !isGiven(name))),
  };
}

function ofPaths(paths: ReadonlyMap<string, readonly string[]>, dependencies: string | undefined): ModuleDirectory {
  return {
    names: [...paths.keys()],
    path: (name) => paths.get(name)?.[0],
    needs:
      dependencies !== undefined && existsSync(dependencies)
        ? readModulesDep(readFileSync(foundFile(dependencies), "utf8"))
        : undefined,
    async read(name) {
      const [path, twin] = paths.get(name) ?? [];
      if (path === undefined)
        throw new InputError({
          file: name,
          reason: "there is no such module",
          remedy: "name one of the kernel's package",
        });
      if (twin !== undefined)
        throw new InputError({
          file: path,
          reason: `is one of two modules ${name}, the other ${twin}, and no modules.dep says which`,
          remedy: "remove one of them, or name the file with --load",
        });
      return moduleFromBytes(bytesOf(path), name, path);
    },
  };
}

function bytesOf(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(foundFile(path)));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({ file: path, ...whyNot(error, "give the path of a .ko file") });
  }
}
