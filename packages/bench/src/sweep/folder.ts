/**
 * The folder of a sweep: a manifest that says what was asked, a journal to which every cell is added as it is done, and
 * behind the last cell all rows as one Parquet file. A crash loses the cell that was in work, wherever it comes.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { invariant } from "@kreplica/mm-core";
import { canonicalText, type DoneCell, journalLine, parquetOf, readJournal, type Row } from "@kreplica/sweep";
import { jsonText } from "../report/documents/json-text.js";
import type { SweepManifest } from "../report/documents/sweep.js";
import { replaceFile, writeAll } from "../replace-file.js";
import { sha256 } from "./cells.js";

export const MANIFEST = "manifest.json";
export const JOURNAL = "cells.journal";
export const RESULTS = "results.parquet";
const LOCK = "lock";
const PART = ".part";

/** Enough of a digest for a line of a journal: it guards against a cut, not against somebody. */
export const lineDigest = (text: string): string => sha256(text).slice(0, 16);

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** @throws InputError naming folder and option where the work cannot be done for the disk's sake */
function onDisk<T>(folder: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof InputError) throw error;
    const code = codeOf(error);
    throw new InputError({
      file: folder,
      field: "--output",
      reason: `cannot be written (${code})`,
      remedy:
        code === "ENOSPC" || code === "EDQUOT"
          ? "make room and give the same command again: what is done stays done"
          : "check its permissions, or name another folder",
    });
  }
}

const replace = (folder: string, name: string, content: Uint8Array | string): void =>
  replaceFile(join(folder, name), content, { part: join(folder, name + PART), durable: true });

/** What a journal's bytes say, and how many of them are whole lines. */
function journalOf(path: string): { readonly cells: readonly DoneCell[]; readonly wholeBytes: number } {
  const file = join(path, JOURNAL);
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const { cells, whole } = readJournal(text, lineDigest);
  return { cells, wholeBytes: Buffer.byteLength(text.slice(0, whole)) };
}

/** Cells that a folder has already; none where there is no such folder. @throws InputError where it cannot be read */
export const doneIn = (path: string): readonly DoneCell[] => onDisk(path, () => journalOf(path).cells);

/** @throws InputError for a folder without one, or with one that is cut off */
export function readManifest(path: string): SweepManifest {
  const fault = (reason: string): InputError =>
    new InputError({ file: path, reason, remedy: "name a folder that `kreplica sweep` wrote" });
  let text: string;
  try {
    text = readFileSync(join(path, MANIFEST), "utf8");
  } catch (error) {
    throw fault(`has no ${MANIFEST} that can be read (${codeOf(error)})`);
  }
  let manifest: Partial<SweepManifest>;
  try {
    manifest = JSON.parse(text) as Partial<SweepManifest>;
  } catch {
    throw new InputError({
      file: path,
      reason: `its ${MANIFEST} is cut off`,
      remedy: "give its sweep's command again",
    });
  }
  if (manifest.schema !== "kreplica.sweep-manifest/1" || !Array.isArray(manifest.cells))
    throw fault(`its ${MANIFEST} is not a sweep's`);
  return manifest as SweepManifest;
}

/** A folder that cells are added to. */
export class SweepFolder {
  private readonly done = new Map<string, DoneCell>();
  private readonly own: readonly string[];
  private readonly handle: number;
  private end = 0;

  /**
   * Opens or makes it; what a crash cut off in its journal is forgotten.
   *
   * @param path as the user gave it @param manifest what is asked for
   * @param own cells of the manifest that are this folder's: a shard's, or all
   * @throws InputError where the folder is of another sweep or in use, holds other files, or cannot be written
   */
  constructor(
    readonly path: string,
    private readonly manifest: SweepManifest,
    own: readonly string[] = manifest.cells,
  ) {
    this.own = own;
    this.handle = onDisk(path, () => {
      mkdirSync(path, { recursive: true });
      const stranger = readdirSync(path).find(
        (name) =>
          ![MANIFEST, JOURNAL, RESULTS, LOCK].includes(name.endsWith(PART) ? name.slice(0, -PART.length) : name),
      );
      if (stranger !== undefined)
        throw new InputError({
          file: path,
          field: "--output",
          reason: `holds ${stranger}, which is none of a sweep's files`,
          remedy: "name an empty folder, or one that does not exist",
        });
      const cells = new Set(own);
      const { cells: found, wholeBytes } = journalOf(path);
      const others = found.filter(({ cell }) => !cells.has(cell)).length;
      if (others > 0) throw this.foreign(others);
      lock(path);
      for (const each of found) this.done.set(each.cell, each);
      replace(path, MANIFEST, jsonText(manifest));
      const file = join(path, JOURNAL);
      const handle = openSync(file, existsSync(file) ? "r+" : "w+");
      ftruncateSync(handle, wholeBytes);
      this.end = wholeBytes;
      return handle;
    });
  }

  /** Cells that are not to be done again. */
  get doneCells(): ReadonlyMap<string, DoneCell> {
    return this.done;
  }

  /** Adds cells; when this returns they are on the disk. @throws InputError where it is full */
  add(cells: readonly DoneCell[]): void {
    onDisk(this.path, () => {
      const lines = Buffer.from(cells.map((each) => journalLine(each, lineDigest)).join(""));
      for (let at = 0; at < lines.length;) at += writeSync(this.handle, lines, at, lines.length - at, this.end + at);
      fsyncSync(this.handle);
      this.end += lines.length;
    });
    for (const each of cells) this.done.set(each.cell, each);
  }

  /**
   * Where every cell is done: the journal in the plan's order, all rows as one Parquet file, and a manifest that says
   * so. The same bytes in whatever order the cells were done.
   *
   * @param wanted cells of the results in the plan's order: all, or those that a stop rule came to
   * @throws InputError where the disk is full
   */
  finish(wanted: readonly string[] = this.own): void {
    onDisk(this.path, () => {
      const cells = wanted.map((name) => this.done.get(name)).filter((each) => each !== undefined);
      invariant(cells.length === wanted.length, "a sweep is finished before all of its cells are done");
      replace(this.path, JOURNAL, cells.map((each) => journalLine(each, lineDigest)).join(""));
      const rows = cells.flatMap(({ cell, rows: each }) => each.map((row) => this.ordered(cell, row)));
      const table = parquetOf(rows, { "kreplica.plan": this.manifest.plan, "kreplica.version": this.manifest.version });
      replace(this.path, RESULTS, table);
      const results = { file: RESULTS, sha256: sha256(table), rows: rows.length };
      replace(this.path, MANIFEST, jsonText({ ...this.manifest, results }));
    });
  }

  /** Columns in an order of their own, whatever order a journal gave them: the cell, its axes, what was measured. */
  private ordered(cell: string, row: Row): Row {
    const { axes } = this.manifest;
    const measured = Object.keys(row).filter((name) => !axes.includes(name));
    return { cell, ...Object.fromEntries([...axes, ...measured.sort()].map((name) => [name, row[name] ?? null])) };
  }

  /** To be called when the work ends, however it ends. */
  close(): void {
    closeSync(this.handle);
    rmSync(join(this.path, LOCK), { force: true });
  }

  private foreign(others: number): InputError {
    let before: Partial<SweepManifest> = {};
    try {
      before = readManifest(this.path);
    } catch {
      /* cut off, or gone: the journal says enough */
    }
    const by = (other: unknown, own: unknown): boolean =>
      other !== undefined && canonicalText(other) !== canonicalText(own);
    const whose = by(before.version, this.manifest.version)
      ? "that other code measured"
      : by(before.shard, this.manifest.shard)
        ? "of another shard"
        : "that are none of this plan's";
    return new InputError({
      file: this.path,
      field: "--output",
      reason: `holds ${others} ${others === 1 ? "cell" : "cells"} ${whose}`,
      remedy: "name another folder, or remove this one to measure all of it again",
    });
  }
}

/** One process writes at a time; the lock of one that is gone is taken over. */
function lock(path: string): void {
  const file = join(path, LOCK);
  const own = `${process.pid} ${hostname()}\n`;
  for (let tries = 0; tries < 2; tries++) {
    try {
      const handle = openSync(file, "wx");
      writeAll(handle, Buffer.from(own));
      closeSync(handle);
      return;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    const [pid, host] = readFileSync(file, "utf8").trim().split(" ");
    if (pid !== undefined && pid !== "" && (host !== hostname() || isAlive(Number(pid))))
      throw new InputError({
        file: path,
        field: "--output",
        reason: `process ${pid} on ${host ?? "another machine"} is at work in it`,
        remedy: `wait for it; where it is gone, remove ${file}`,
      });
    rmSync(file, { force: true });
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}
