/** A recording that the user told a command to write: plain, or packed by zstd where its name ends in .zst. */
import { spawnSync } from "node:child_process";
import { InputError } from "@kreplica/inputs";
import { outputFile } from "./output-file.js";

const OPTION = "--output";

/** A path that can be written, and packed where its name asks for it. */
export interface OutputRecording {
  /** @param fill gets what takes the bytes, in order @throws InputError; what fill throws comes out as it is */
  write(fill: (sink: (piece: Uint8Array) => void) => void): void;
}

/**
 * Finds out before the work whether the path can be written.
 * @throws InputError as {@link outputFile} does, and where zstd is asked for and not there
 */
export function outputRecording(path: string): OutputRecording {
  if (path === "-")
    throw new InputError({
      file: OPTION,
      reason: "a recording is not written to standard output, where it would be cut without a word",
      remedy: "name a file",
    });
  const packed = path.endsWith(".zst");
  if (packed && spawnSync("zstd", ["--version"]).status !== 0)
    throw new InputError({
      file: path,
      field: OPTION,
      reason: "zstd packs it, and is not here",
      remedy: "install the package zstd, or give it a name without .zst",
    });
  const file = outputFile(path, OPTION);
  return { write: (fill) => file.writePieces(fill, packed ? (from) => pack(from, path) : undefined) };
}

function pack(from: string, path: string): string {
  const to = `${from}.zst`;
  const { status, stderr } = spawnSync("zstd", ["-q", "-10", "-T1", "-f", from, "-o", to], { encoding: "utf8" });
  if (status !== 0)
    throw new InputError({
      file: path,
      field: OPTION,
      reason: `zstd could not pack it (${stderr.trim().split("\n").at(-1) ?? `exit code ${status}`})`,
      remedy: "make room, or write elsewhere",
    });
  return to;
}
