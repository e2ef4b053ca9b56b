/**
 * A folder on this machine's disk, as readers of a copied sysfs ask for it: by paths that are spelt out, none is
 * searched.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { InputError, whyNot } from "@kreplica/inputs";
import { type FolderTree, LONGEST_FILE } from "@kreplica/machines";

/** @param directory as the user named it */
export const diskFolder = (directory: string): FolderTree => ({
  name: directory,
  at: (path) => join(directory, path),
  has: (path) => existsSync(join(directory, path)),
  entries(path) {
    try {
      const folder = join(directory, path);
      return existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : [];
    } catch (error) {
      throw new InputError({ file: directory, ...whyNot(error, "name a copy of /sys/devices/system/node") });
    }
  },
  text(path) {
    const file = join(directory, path);
    const found = statSync(file);
    if (!found.isFile() || found.size > LONGEST_FILE) throw new Error("not a small file");
    return readFileSync(file, "utf8");
  },
});
