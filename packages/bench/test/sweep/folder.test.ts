/// <reference types="node" />
/** A sweep's folder cut at every byte of every file: the same command ends with the bytes of an undisturbed run. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import type { DoneCell } from "@kreplica/sweep";
import { afterAll, expect, test } from "vitest";
import type { SweepManifest } from "../../src/report/documents/sweep.js";
import { sha256 } from "../../src/sweep/cells.js";
import { SweepFolder } from "../../src/sweep/folder.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-folder-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const cells: readonly DoneCell[] = ["ä", "b", "c"].map((name, nth) => ({
  cell: sha256(name),
  rows: [
    { policy: name, gain: nth / 3 },
    { policy: name, gain: null },
  ],
}));
const manifest: SweepManifest = {
  schema: "kreplica.sweep-manifest/1",
  title: null,
  plan: "{}",
  version: sha256("code"),
  axes: ["policy"],
  shard: null,
  cells: cells.map(({ cell }) => cell),
};
/** What a command does with the folder. @returns cells it had to do */
function run(path: string, order: readonly number[] = [0, 1, 2]): number {
  const folder = new SweepFolder(path, manifest);
  try {
    const left = order.map((nth) => cells[nth]!).filter(({ cell }) => !folder.doneCells.has(cell));
    for (const each of left) folder.add([each]);
    folder.finish();
    return left.length;
  } finally {
    folder.close();
  }
}
const bytesOf = (path: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(path)
      .sort()
      .map((name) => [name, readFileSync(join(path, name)).toString("hex")]),
  );

const whole = join(root, "whole");
run(whole);
const expected = bytesOf(whole);

test("three files and no other, whatever the order in which cells were done", () => {
  expect(Object.keys(expected)).toEqual(["cells.journal", "manifest.json", "results.parquet"]);
  for (const order of [
    [2, 1, 0],
    [1, 2, 0],
  ]) {
    const path = join(root, `order-${order.join("")}`);
    run(path, order);
    expect(bytesOf(path)).toEqual(expected);
  }
});

test("a journal cut at any byte costs the cell whose line was cut and those behind it", () => {
  const journal = Buffer.from(expected["cells.journal"]!, "hex");
  const ends = [...journal.toString("latin1").matchAll(/\n/g)].map(({ index }) => index + 1);
  const path = join(root, "cut");
  for (let cut = 0; cut <= journal.length; cut++) {
    rmSync(path, { recursive: true, force: true });
    cpSync(whole, path, { recursive: true });
    truncateSync(join(path, "cells.journal"), cut);
    expect([cut, run(path)]).toEqual([cut, ends.filter((end) => end > cut).length]);
    expect(bytesOf(path)).toEqual(expected);
  }
});

test("a crash while cells are added: what it left is cut off, cells behind it are added where the whole lines end", () => {
  const path = join(root, "crashed");
  const line = Buffer.from(expected["cells.journal"]!, "hex").toString("latin1").split("\n")[1]!;
  for (let cut = 0; cut < line.length; cut += 7) {
    rmSync(path, { recursive: true, force: true });
    const folder = new SweepFolder(path, manifest);
    folder.add([cells[2]!]);
    folder.close();
    writeFileSync(join(path, "cells.journal"), line.slice(0, cut), { flag: "a", encoding: "latin1" });
    expect(run(path)).toBe(2);
    expect(bytesOf(path)).toEqual(expected);
  }
});

test.each(["manifest.json", "results.parquet"])("%s cut at any byte, or left in parts, is written again", (name) => {
  const path = join(root, `cut-${name}`);
  const length = expected[name]!.length / 2;
  for (let cut = 0; cut < length; cut += 5) {
    rmSync(path, { recursive: true, force: true });
    cpSync(whole, path, { recursive: true });
    truncateSync(join(path, name), cut);
    cpSync(join(path, name), join(path, `${name}.part`));
    expect(run(path)).toBe(0);
    expect(bytesOf(path)).toEqual(expected);
  }
});

test("one process at a time; the lock of one that is gone is taken over", () => {
  const path = join(root, "locked");
  const other = (pid: number, host = hostname()): void => writeFileSync(join(path, "lock"), `${pid} ${host}\n`);
  run(path);
  other(process.ppid);
  expect(() => run(path)).toThrow(
    new RegExp(`locked: --output: process ${process.ppid} on .* is at work in it\\. Wait for it`),
  );
  other(2 ** 30, "elsewhere");
  expect(() => run(path)).toThrow(/process 1073741824 on elsewhere is at work in it/);
  other(2 ** 30);
  expect(run(path)).toBe(0);
  expect(bytesOf(path)).toEqual(expected);
});

test("cells of another plan, of other code and of another shard are told apart, and stay", () => {
  const path = join(root, "foreign");
  run(path);
  const before = bytesOf(path);
  const refused = (change: Partial<SweepManifest>): string => {
    try {
      new SweepFolder(path, { ...manifest, cells: [sha256("other")], ...change }).close();
    } catch (error) {
      return (error as Error).message;
    }
    return "nothing";
  };
  expect(refused({})).toMatch(/holds 3 cells that are none of this plan's/);
  expect(refused({ version: sha256("newer") })).toMatch(/holds 3 cells that other code measured/);
  expect(refused({ shard: { nth: 1, of: 2 } })).toMatch(/holds 3 cells of another shard/);
  expect(bytesOf(path)).toEqual(before);
});
