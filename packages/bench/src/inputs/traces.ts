/** Which recordings a comparison is about: those that ship, or a folder of the user's. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { InputError, whyNot } from "@kreplica/inputs";
import { dataFile } from "@kreplica/recordings";

/** The recordings of the RFC's seven tests. `hsw-`: on the Haswell guest. */
export const shippedTraces = (): string[] =>
  ["fork1", "forkN", "mmap", "mlock", "open", "kill", "mount"].map((key) => dataFile(`traces/hsw-${key}.kt.zst`));

/**
 * Every recording of a folder, by name; or the one file.
 *
 * @param option that names it
 * @throws InputError when there is none
 */
export function tracesIn(path: string, option = "--traces"): string[] {
  const remedy = "name a folder of .kt or .kt.zst recordings, or one of them";
  let found: string[];
  try {
    if (!statSync(path).isDirectory()) return [path];
    found = readdirSync(path)
      .filter((name) => /\.kt(\.zst)?$/.test(name))
      .sort()
      .map((name) => join(path, name));
  } catch (error) {
    throw new InputError({ file: path, field: option, ...whyNot(error, remedy) });
  }
  if (found.length === 0) throw new InputError({ file: path, field: option, reason: "holds no recording", remedy });
  return found;
}

/** @param path of the user's; absent: those that ship @throws InputError as {@link tracesIn} */
export const chosenTraces = (path: string | undefined): string[] =>
  path === undefined ? shippedTraces() : tracesIn(path);
