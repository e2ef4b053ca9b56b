/** Which modules a command line asks for, and where they lie: a package's folder, files of the user's own, or both. */
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { didYouMean, InputError } from "@kreplica/inputs";
import type { ModuleDirectory } from "@kreplica/kernel-files";
import { moduleName } from "@kreplica/modules";
import { moduleDirectory, moduleFiles, withFiles } from "./directory.js";

/** What was asked for. */
export interface ModuleWishes {
  /** Names or .ko files, separated by commas. */
  readonly load?: readonly string[];
  readonly all?: boolean;
  /** The folder, where one was named. */
  readonly modules?: string;
  /** The kernel's file, and what it calls itself. */
  readonly kernel: string;
  readonly release: string | undefined;
}

const isFile = (word: string): boolean => word.includes("/") || /\.ko(\.\w+)?$/.test(word);

/**
 * A word that is a file means that file, whatever the folder has under its name; the folder then has what it needs.
 * `xfs.ko` without a path means the folder's when no such file is there.
 *
 * @throws InputError when nothing is asked for, or it is not there
 */
export function wantedModules(wishes: ModuleWishes): {
  readonly directory: ModuleDirectory;
  readonly wanted: readonly string[];
} {
  const words = wishes.load ?? [];
  if (words.length === 0 && !wishes.all)
    throw new InputError({
      file: "--load",
      reason: "nothing to load",
      remedy: "name modules with --load, or give --all",
    });
  const files = words.filter((word) => isFile(word) && (word.includes("/") || existsSync(word)));
  for (const [i, file] of files.entries()) {
    const twin = files.findIndex((each) => moduleName(basename(each)) === moduleName(basename(file)));
    if (twin < i)
      throw new InputError({
        file: "--load",
        reason: `${files[twin]!} and ${file} are both module ${moduleName(basename(file))}`,
        remedy: "load one of them",
      });
  }
  if (files.length > 0 && files.length === words.length && wishes.modules === undefined && !wishes.all) {
    const directory = moduleFiles(files);
    return { directory, wanted: directory.names };
  }
  const folder = wishes.modules ?? besideKernel(wishes);
  const inFolder = moduleDirectory(folder);
  if (inFolder.names.length === 0)
    throw new InputError({
      file: folder,
      field: "--modules",
      reason: "holds no module",
      remedy: "give lib/modules/<release> of a kernel package, or a folder of .ko, .ko.xz or .ko.zst files",
    });
  if (wishes.all) return { directory: inFolder, wanted: inFolder.names };
  const directory = withFiles(inFolder, files);
  const wanted = words.map((word) => moduleName(basename(word)));
  for (const name of wanted) {
    if (directory.path(name) === undefined)
      throw new InputError({
        file: "--load",
        reason: `there is no module ${name} in the folder`,
        remedy: didYouMean(name, directory.names),
      });
  }
  return { directory, wanted };
}

/**
 * A package has boot/vmlinuz-RELEASE and lib/modules/RELEASE, since Debian 13 usr/lib/modules/RELEASE; or the kernel
 * lies in the modules' folder itself, as vmlinuz.
 */
function besideKernel({ kernel, release }: ModuleWishes): string {
  const names = [...new Set([/vmlinu[xz]-([^/]+)$/.exec(kernel)?.[1], release].filter((each) => each !== undefined))];
  const beside = join(dirname(kernel), "..");
  const candidates = [
    ...names.flatMap((name) => [join(beside, "lib/modules", name), join(beside, "usr/lib/modules", name)]),
    ...(existsSync(join(dirname(kernel), "kernel")) ? [dirname(kernel)] : []),
  ];
  const folder = candidates.find((each) => existsSync(each) && statSync(each).isDirectory());
  if (folder !== undefined) return folder;
  throw new InputError({
    file: "--modules",
    reason: `no modules lie beside the kernel${names.length > 0 ? `, neither ${candidates.join(" nor ")} is a folder` : ""}`,
    remedy: "give the folder, lib/modules/<release> or usr/lib/modules/<release>",
  });
}
