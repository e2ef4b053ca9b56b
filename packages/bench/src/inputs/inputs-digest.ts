/** What files say that a command line names, as one digest: equal as long as none of them changed. */
import { createHash, type Hash } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, readSync, realpathSync, statSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { NODES_FILE } from "./guest-nodes.js";
import { shownPath } from "./input-file.js";
import { scheduleBeside } from "./trace-file.js";

/** Beyond so many files or bytes, looking at them takes as long as computing, or a folder was named by chance. */
const MOST_FILES = 20_000;
const MOST_BYTES = 4 * 2 ** 30;
const PIECE = 1 << 20;

/** Thrown for what has no digest. */
class NoDigest extends Error {}

/**
 * Every word and value that is a path is taken for an input, a word's part behind `=` and what of it is before the last
 * `:` too: one too many does no harm.
 * With a recording goes what is read beside it; the shipped ones always belong.
 *
 * @param values strings at any depth of lists; all else is passed over
 * @returns 64 hexadecimal digits; undefined where something cannot be read, is a device, or is too large
 */
export function inputsDigest(values: readonly unknown[]): string | undefined {
  const digester = new Digester();
  try {
    for (const path of new Set(values.flatMap(pathsIn))) digester.add(path);
    digester.add(dataFile("traces"));
    return digester.hash.digest("hex");
  } catch {
    return undefined;
  }
}

function pathsIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(pathsIn);
  if (typeof value !== "string") return [];
  const behind = value.indexOf("=") + 1;
  return [value, ...(behind > 0 ? [value.slice(behind)] : [])]
    .flatMap((path) => [path, path.slice(0, Math.max(path.lastIndexOf(":"), 0))])
    .filter((path) => path !== "" && existsSync(path))
    .flatMap((path) =>
      // What lies beside a recording is read without being named.
      [...new Set([path, scheduleBeside(path), join(dirname(path), NODES_FILE)])].filter((each) => existsSync(each)),
    );
}

class Digester {
  readonly hash: Hash = createHash("sha256");
  private files = 0;
  private bytes = 0;
  private readonly piece = new Uint8Array(PIECE);

  add(path: string): void {
    const found = statSync(path);
    // A kept standard input lies under another number each time.
    this.hash.update(`${shownPath(path)}\0`);
    if (found.isFile()) this.addFile(path, found.size);
    else if (found.isDirectory()) this.addFolder(path);
    else throw new NoDigest();
  }

  private addFolder(folder: string): void {
    const root = realpathSync(folder);
    // Not readdir's own recursion: later releases of Node follow links with it, round and round.
    const add = (inner: string): void => {
      for (const entry of readdirSync(inner, { withFileTypes: true })) {
        const path = join(inner, entry.name);
        const found = statSync(path, { throwIfNoEntry: false });
        this.hash.update(`${path.slice(folder.length)}\0`);
        if (found === undefined) this.count(0);
        else if (found.isFile()) this.addFile(path, found.size);
        else if (!found.isDirectory()) throw new NoDigest();
        else if (entry.isSymbolicLink()) {
          // What it leads to is looked at where it lies, if it lies below the folder.
          const target = realpathSync(path);
          if (target !== root && !target.startsWith(`${root}${sep}`)) throw new NoDigest();
          this.hash.update(`${target.slice(root.length)}\0`);
        } else {
          this.count(0);
          add(path);
        }
      }
    };
    add(folder);
  }

  private addFile(path: string, bytes: number): void {
    this.count(bytes);
    this.hash.update(`${bytes}\0`);
    const handle = openSync(path, "r");
    try {
      for (let at = 0; ;) {
        const read = readSync(handle, this.piece, 0, PIECE, at);
        if (read === 0) return;
        this.hash.update(this.piece.subarray(0, read));
        at += read;
      }
    } finally {
      closeSync(handle);
    }
  }

  private count(bytes: number): void {
    this.files++;
    this.bytes += bytes;
    if (this.files > MOST_FILES || this.bytes > MOST_BYTES) throw new NoDigest();
  }
}
