/// <reference types="node" />
/**
 * Where built test programs are kept: the package's `.cache`, or a folder of this run below the system's temporary one
 * where that cannot be written (another user's checkout, a read-only one). A file appears whole or not at all: two test
 * files may build it at once.
 */
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const kept = join(import.meta.dirname, "../../.cache");
let folder: string | undefined;
process.once("exit", () => {
  if (folder !== undefined && folder !== kept) rmSync(folder, { recursive: true, force: true });
});

function cacheFolder(): string {
  if (folder !== undefined) return folder;
  try {
    mkdirSync(kept, { recursive: true });
    accessSync(kept, constants.W_OK);
    return (folder = kept);
  } catch {
    return (folder = mkdtempSync(join(tmpdir(), "kreplica-bpf-cache-")));
  }
}

/**
 * @param name says all that the content depends on
 * @param build writes the file at the path it is given
 * @returns the file's path
 */
export function built(name: string, build: (path: string) => void): string {
  const path = join(cacheFolder(), name);
  if (existsSync(path)) return path;
  const own = `${path}.${process.pid}`;
  try {
    build(own);
    renameSync(own, path);
  } finally {
    rmSync(own, { force: true });
  }
  return path;
}
