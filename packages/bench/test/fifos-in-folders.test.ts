/// <reference types="node" />
/** A FIFO in a folder, or a link to one, is refused by name: opening it would wait for a writer for ever. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tinyModule } from "@kreplica/modules";
import { afterAll, describe, expect, test } from "vitest";
import { guestNodes } from "../src/inputs/guest-nodes.js";
import { moduleDirectory } from "../src/inputs/kernel-modules/directory.js";
import { readRecordedTables } from "../src/inputs/recorded-tables.js";
import { traceFile } from "../src/inputs/trace-file.js";
import { tracesIn } from "../src/inputs/traces.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-fifos-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A link to a FIFO that somebody writes into when it is opened after all, so that a mistake of ours hangs no test. */
function linkToFifo(name: string): string {
  const path = join(folder, name);
  const fifo = join(folder, `${name.replaceAll("/", "-")}.fifo`);
  execFileSync("mkfifo", [fifo]);
  mkdirSync(join(path, ".."), { recursive: true });
  symlinkSync(fifo, path);
  const writer = spawn("sh", ["-c", `while sleep 0.2; do echo x > ${JSON.stringify(fifo)}; done`], { stdio: "ignore" });
  writers.push(writer);
  return path;
}
const writers: ReturnType<typeof spawn>[] = [];
afterAll(() => writers.forEach((each) => each.kill("SIGKILL")));

describe.skipIf(spawnSync("mkfifo", ["--version"]).status !== 0)("refused by name", () => {
  test("among modules; the others are read", async () => {
    linkToFifo("modules/a.ko");
    writeFileSync(join(folder, "modules/b.ko"), tinyModule({ name: "b" }));
    const modules = moduleDirectory(join(folder, "modules"));
    await expect(modules.read("a")).rejects.toThrow(/modules\/a\.ko: a FIFO, not a file\. Put a file there/);
    expect((await modules.read("b")).name).toBe("b");
  });
  test("as modules.dep", () => {
    linkToFifo("listed/modules.dep");
    expect(() => moduleDirectory(join(folder, "listed"))).toThrow(/listed\/modules\.dep: a FIFO, not a file/);
  });
  test("among recordings", () => {
    const path = linkToFifo("recordings/a.kt");
    expect(tracesIn(join(folder, "recordings"))).toEqual([path]);
    expect(() => traceFile(path).open()).toThrow(/recordings\/a\.kt: a FIFO, not a file/);
  });
  test("as the guest's nodes beside recordings", () => {
    linkToFifo("guest/numa.txt");
    expect(() => guestNodes(undefined, join(folder, "guest"))).toThrow(/guest\/numa\.txt: a FIFO, not a file/);
  });
  test.each(["ptpages.bin.zst", "registers.txt"])("among recorded tables: %s", (name) => {
    const tables = join(folder, `tables-${name}`);
    linkToFifo(`tables-${name}/${name}`);
    if (name !== "ptpages.bin.zst") writeFileSync(join(tables, "ptpages.bin.zst"), EMPTY_FRAME);
    expect(() => readRecordedTables(tables)).toThrow(/: a FIFO, not a file/);
  });
});

/** A zstd frame of nothing. */
const EMPTY_FRAME = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0);
