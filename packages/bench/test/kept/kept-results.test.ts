/// <reference types="node" />
/** The folder of kept results: what is whole is found, all else is not; it stays within its size. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cacheFolder } from "../../src/cache-folder.js";
import { keepingFor } from "../../src/keeping.js";
import { type KeptResult, KeptResults } from "../../src/kept-results.js";

const KEY = "a".repeat(64);
const TOLD: KeptResult = {
  code: 1,
  said: [
    { to: "out", text: "gain 4 %, \u0394\n" },
    { to: "error", text: "far\n" },
  ],
};
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kreplica-kept-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const fileOf = (key: string): string => join(folder, "results", `${key}.json`);
const results = (all?: number): KeptResults => new KeptResults(join(folder, "results"), all);

test("what is kept is found as it was told, by another process too, and nothing else lies there", () => {
  results().keep(KEY, TOLD);
  expect(results().find(KEY)).toEqual(TOLD);
  expect(results().find("b".repeat(64))).toBeUndefined();
  expect(readdirSync(join(folder, "results"))).toEqual([`${KEY}.json`]);
});

test("kept again, by whoever is last, it is the last", () => {
  results().keep(KEY, TOLD);
  results().keep(KEY, { code: 0, said: [] });
  expect(results().find(KEY)).toEqual({ code: 0, said: [] });
});

test("a file with any byte changed, or cut anywhere, is not found, and is kept anew", () => {
  results().keep(KEY, TOLD);
  const whole = readFileSync(fileOf(KEY));
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1;
    writeFileSync(fileOf(KEY), damaged);
    expect(results().find(KEY), `byte ${at}`).toBeUndefined();
    writeFileSync(fileOf(KEY), whole.subarray(0, at));
    expect(results().find(KEY), `cut at ${at}`).toBeUndefined();
  }
  results().keep(KEY, TOLD);
  expect(results().find(KEY)).toEqual(TOLD);
});

test("a folder in the file's place is not found, and stays", () => {
  mkdirSync(fileOf(KEY), { recursive: true });
  results().keep(KEY, TOLD);
  expect(results().find(KEY)).toBeUndefined();
  expect(readdirSync(join(folder, "results"))).toEqual([`${KEY}.json`]);
});

test("where no folder can be made nothing is kept, and nothing is thrown", () => {
  writeFileSync(join(folder, "results"), "a file");
  results().keep(KEY, TOLD);
  expect(results().find(KEY)).toBeUndefined();
  expect(readFileSync(join(folder, "results"), "utf8")).toBe("a file");
});

describe("the folder's size", () => {
  const keys = ["1", "2", "3"].map((digit) => digit.repeat(64));
  const bytes = 65 + JSON.stringify(TOLD).length + 1;
  /** Kept so many minutes ago. */
  const aged = (key: string, minutes: number): void => {
    const then = new Date(Date.now() - 60_000 * minutes);
    utimesSync(fileOf(key), then, then);
  };

  test("what was used longest ago goes", () => {
    results().keep(keys[0]!, TOLD);
    results().keep(keys[1]!, TOLD);
    aged(keys[0]!, 3);
    aged(keys[1]!, 2);
    // Used: younger than the second now.
    results().find(keys[0]!);
    results(2 * bytes).keep(keys[2]!, TOLD);
    expect(keys.map((key) => results().find(key) !== undefined)).toEqual([true, false, true]);
  });

  test("what is larger than the folder may be is not kept, and nothing goes for it", () => {
    const small: KeptResult = { code: 0, said: [] };
    results().keep(keys[0]!, small);
    results(bytes - 1).keep(KEY, TOLD);
    expect(results().find(KEY)).toBeUndefined();
    expect(results().find(keys[0]!)).toEqual(small);
  });

  test("a part that nobody writes any more goes, one that somebody writes stays", () => {
    results().keep(KEY, TOLD);
    for (const [name, minutes] of [
      ["old", 61],
      ["young", 1],
    ] as const) {
      writeFileSync(join(folder, "results", `${name}.part`), "half");
      const then = new Date(Date.now() - 60_000 * minutes);
      utimesSync(join(folder, "results", `${name}.part`), then, then);
    }
    results().keep(keys[0]!, TOLD);
    expect(readdirSync(join(folder, "results")).filter((name) => name.endsWith(".part"))).toEqual(["young.part"]);
  });
});

test("tests keep nothing; else it is the user's cache folder, by what is usual there", () => {
  expect(process.env["KREPLICA_KEEP"]).toBe("0");
  expect(keepingFor({ KREPLICA_KEEP: "0" }, true)).toBeUndefined();
  expect(keepingFor({ XDG_CACHE_HOME: "/c" }, true)).toEqual({
    folder: "/c/kreplica/results",
    watched: true,
    leastSeconds: 0.5,
  });
  expect(cacheFolder({ XDG_CACHE_HOME: "relative" }, "linux")).toBe(join(homedir(), ".cache", "kreplica"));
  expect(cacheFolder({}, "darwin")).toBe(join(homedir(), "Library", "Caches", "kreplica"));
  expect(cacheFolder({ LOCALAPPDATA: "/local" }, "win32")).toBe("/local/kreplica");
});
