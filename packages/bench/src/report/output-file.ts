/**
 * A file that the user told a command to write: whether it can be is known before the work, and it is there whole or
 * not at all. Print the result before {@link OutputFile.write}: what was found must not be lost because of a file.
 */
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { replaceFile, writeAll } from "../replace-file.js";

/** A path that was found writable. */
export interface OutputFile {
  /** As the user gave it. */
  readonly path: string;
  /**
   * Writes all of the text, or of the bytes; what the file held before is replaced in one step, or stays.
   * @throws InputError naming option and path
   */
  write(content: string | Uint8Array): void;
  /**
   * The same piece by piece, for what does not fit into memory; what it throws comes out as it is, and nothing stays.
   *
   * @param fill gets what writes a piece; the piece may be used again
   * @param pack makes another file of the written one before it takes its place, and gives that one's path
   * @throws InputError naming option and path
   */
  writePieces(fill: (write: (piece: Uint8Array) => void) => void, pack?: (file: string) => string): void;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** What the user can do about a code of open(2), write(2) or rename(2). */
const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: "name a folder that exists",
  ENOTDIR: "name a folder that exists",
  EISDIR: "name a file in it",
  ENOSPC: "make room, or write elsewhere",
  EDQUOT: "make room, or write elsewhere",
  EACCES: "check its permissions, or write elsewhere",
  EPERM: "check its permissions, or write elsewhere",
  EROFS: "write elsewhere",
  ENAMETOOLONG: "choose a shorter name",
};

/**
 * Finds out, before the work, whether the path can be written; leaves nothing there and changes nothing.
 *
 * @param option under which it was given, `--save`
 * @throws InputError for a folder, a path in no folder, one without permission, or an empty one
 */
export function outputFile(path: string, option: string): OutputFile {
  const fault = (error: unknown): InputError => {
    const code = codeOf(error);
    return new InputError({
      file: path,
      field: option,
      reason: `cannot be written (${code})`,
      remedy: REMEDIES[code] ?? "write elsewhere",
    });
  };
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw fault(error);
    }
  };
  if (path === "") throw new InputError({ file: option, reason: "empty", remedy: "name a file" });
  if (path === "-")
    throw new InputError({
      file: option,
      reason: "standard output is where the report goes",
      remedy: "name a file, or give --json to have the whole result there",
    });

  const before = attempt(() => statSync(path, { throwIfNoEntry: false }));
  if (before?.isDirectory()) throw fault({ code: "EISDIR" });
  if (before) attempt(() => accessSync(path, constants.W_OK));
  // Devices and pipes are written where they are. Nor are they opened on trial: whoever reads a pipe would see it end.
  const inPlace = before !== undefined && !before.isFile();
  // Through a link, so that the link stays one.
  const target = before ? attempt(() => realpathSync(path)) : path;
  const beside = `${target}.${process.pid}.part`;
  const folderIsShut = before !== undefined && !canWrite(dirname(target));
  if (!inPlace && !folderIsShut) {
    attempt(() => {
      closeSync(openSync(beside, "wx"));
      unlinkSync(beside);
    });
  }
  return {
    path,
    write(content) {
      if (inPlace || folderIsShut) return attempt(() => writeFileSync(path, content));
      attempt(() =>
        replaceFile(target, content, { part: beside, flag: "wx", ...(before ? { mode: before.mode & 0o777 } : {}) }),
      );
    },
    writePieces(fill, pack = (file) => file) {
      // A packed device would be a file first: what packs it needs one.
      const part = inPlace || folderIsShut ? join(tmpdir(), `kreplica-${process.pid}.part`) : beside;
      let made = part;
      const handle = attempt(() => openSync(part, "wx", before ? before.mode & 0o777 : 0o666));
      try {
        try {
          fill((piece) => {
            attempt(() => writeAll(handle, piece));
          });
        } finally {
          closeSync(handle);
        }
        made = pack(part);
        if (part === beside) attempt(() => renameSync(made, target));
        else attempt(() => copyFileSync(made, path));
      } finally {
        for (const left of new Set([part, made])) rmSync(left, { force: true });
      }
    },
  };
}

function canWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Where a page goes that --output names, beside what --json prints; looked at before the work.
 *
 * @param path `-` is standard output @returns undefined for that, and where no path is given
 * @throws InputError where the file cannot be written, or page and document would both be printed
 */
export function pageFile(path: string | undefined, json: boolean | undefined): OutputFile | undefined {
  if (path === "-" && json)
    throw new InputError({
      file: "--output",
      reason: "the page and the document cannot both go to standard output",
      remedy: "name a file for the page, or leave --json out",
    });
  return path === undefined || path === "-" ? undefined : outputFile(path, "--output");
}
