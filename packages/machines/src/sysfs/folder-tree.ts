/** A folder of small files, wherever it lies: on a disk, or dropped onto a page. */

/** Files of sysfs are at most a page, cpumaps a little more. */
export const LONGEST_FILE = 64 << 10;

/** What the readers of sysfs ask a folder for, by paths below it with slashes between. */
export interface FolderTree {
  /** As a machine's sources name it. */
  readonly name: string;
  /** A path as errors name it. */
  at(path: string): string;
  has(path: string): boolean;
  /**
   * Names of what lies in a folder, links too; none where there is no folder.
   * @throws InputError for one that cannot be read
   */
  entries(path: string): readonly string[];
  /**
   * Text of a file of at most {@link LONGEST_FILE} bytes. Throws for a folder, what is longer, and what cannot be read.
   */
  text(path: string): string;
}

/** A folder that was read whole. @param files texts by path below it, or undefined for what is no small file */
export function folderOf(name: string, files: ReadonlyMap<string, string | undefined>): FolderTree {
  const folders = new Map<string, Set<string>>();
  for (const path of files.keys()) {
    const parts = path.split("/");
    parts.forEach((part, depth) => {
      const folder = parts.slice(0, depth).join("/");
      folders.set(folder, (folders.get(folder) ?? new Set<string>()).add(part));
    });
  }
  return {
    name,
    at: (path) => [name, plain(path)].filter((part) => part !== "").join("/"),
    has: (path) => files.has(plain(path)) || folders.has(plain(path)),
    entries: (path) => [...(folders.get(plain(path)) ?? [])],
    text(path) {
      const text = files.get(plain(path));
      if (text === undefined) throw new Error("not a small file");
      return text;
    },
  };
}

/** A path without `.` and `..`; one that leads out of the folder stays as it is, and nothing is there. */
function plain(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/"))
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  return parts.join("/");
}

/** The last name in a path. */
export const lastOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
