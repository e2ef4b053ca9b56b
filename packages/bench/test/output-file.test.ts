/// <reference types="node" />
/** Files a command writes: refused before the work, replaced whole or left as they were, never a fault of ours. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  lstatSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { afterAll, describe, expect, test } from "vitest";
import { outputFile } from "../src/report/output-file.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-output-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  }
  return "";
};

describe("before the work", () => {
  test.each([
    [
      "a folder that is not there",
      () => at("none/x.json"),
      /none\/x\.json: --save: cannot be written \(ENOENT\)\. Name a folder that exists\./,
    ],
    ["a folder", () => folder, /: --save: cannot be written \(EISDIR\)\. Name a file in it\./],
    [
      "below a file",
      () => {
        writeFileSync(at("file"), "");
        return at("file/x");
      },
      /ENOTDIR/,
    ],
    ["too long a name", () => at("x".repeat(5000)), /ENAMETOOLONG/],
    ["nothing", () => "", /^--save: empty/],
    ["standard output", () => "-", /^--save: standard output is where the report goes/],
  ])("%s is refused", (_what, path, message) => {
    const before = readdirSync(folder);
    const given = path();
    expect(refusal(() => outputFile(given, "--save"))).toMatch(message);
    expect(readdirSync(folder).filter((name) => !before.includes(name) && name !== "file")).toEqual([]);
  });

  test.skipIf(process.getuid?.() === 0)("a folder or a file without permission is refused", () => {
    mkdirSync(at("shut"));
    chmodSync(at("shut"), 0o555);
    writeFileSync(at("kept"), "kept", { mode: 0o444 });
    for (const path of [at("shut/x"), at("kept")]) expect(refusal(() => outputFile(path, "--save"))).toMatch(/EACCES/);
    chmodSync(at("shut"), 0o755);
  });

  test("nothing is made and nothing is changed until something is written", () => {
    writeFileSync(at("old"), "old");
    outputFile(at("old"), "--save");
    outputFile(at("new"), "--save");
    expect([readFileSync(at("old"), "utf8"), existsSync(at("new"))]).toEqual(["old", false]);
  });
});

test("a file is replaced whole, through a link, with its permissions, and nothing lies beside it", () => {
  mkdirSync(at("own"));
  writeFileSync(at("own/old"), "a longer text than the new one", { mode: 0o600 });
  symlinkSync(at("own/old"), at("own/link"));
  outputFile(at("own/link"), "--save").write("new");
  expect([
    readFileSync(at("own/old"), "utf8"),
    lstatSync(at("own/link")).isSymbolicLink(),
    statSync(at("own/old")).mode & 0o777,
  ]).toEqual(["new", true, 0o600]);
  outputFile(at("own/fresh"), "--save").write("fresh");
  expect(readdirSync(at("own")).sort()).toEqual(["fresh", "link", "old"]);
});

test("a folder that vanishes during the work is a refusal, and what cannot be replaced stays", () => {
  mkdirSync(at("gone"));
  const file = outputFile(at("gone/x"), "--save");
  rmSync(at("gone"), { recursive: true });
  expect(refusal(() => file.write("x"))).toMatch(/gone\/x: --save: cannot be written \(ENOENT\)/);
  const taken = outputFile(at("taken"), "--save");
  mkdirSync(at("taken"));
  expect(refusal(() => taken.write("x"))).toMatch(/taken: --save: cannot be written/);
  expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
});

test.skipIf(!existsSync("/dev/full"))("a full disk is a refusal, a device that takes all is none", () => {
  expect(refusal(() => outputFile("/dev/full", "--save").write("x"))).toMatch(
    /^\/dev\/full: --save: cannot be written \(ENOSPC\)\. Make room, or write elsewhere\./,
  );
  expect(refusal(() => outputFile("/dev/null", "--save").write("x"))).toBe("");
});
