/** A file that is there whole or not at all: written beside its place, then moved there in one step. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";

/** How a file is written; what is absent is as open(2) has it. */
export interface ReplaceOptions {
  /** Path on the same file system at which it grows; default: `path` with `.part` behind. */
  readonly part?: string;
  /** `wx`: the part must not be there yet, so that two writers do not share it. Default: what is left there goes. */
  readonly flag?: "w" | "wx";
  readonly mode?: number;
  /** On the disk before it is moved: a crash of the machine leaves the old file or the new one. */
  readonly durable?: boolean;
}

/** @throws what the system says; then nothing is left beside, and what was at `path` is as it was */
export function replaceFile(
  path: string,
  content: Uint8Array | string,
  { part = `${path}.part`, flag = "w", mode = 0o666, durable = false }: ReplaceOptions = {},
): void {
  const handle = openSync(part, flag, mode);
  try {
    try {
      writeAll(handle, typeof content === "string" ? Buffer.from(content) : content);
      if (durable) fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

/** All bytes, however few the system takes at a time. */
export function writeAll(handle: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(handle, bytes, at);
}
