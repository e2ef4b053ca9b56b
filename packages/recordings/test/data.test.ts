/** The files the door names are there and are of the kind their names say. */
import { readdirSync, statSync } from "node:fs";
import { expect, test } from "vitest";
import { dataFile, readDataFile } from "../src/index.js";

const files = readdirSync(dataFile(""), { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => statSync(dataFile(name)).isFile());

test("the folders are the README's", () => {
  expect(readdirSync(dataFile("")).sort()).toEqual(["kernel", "probe", "tables", "traces"]);
  expect(files.length).toBeGreaterThan(30);
});

test.each(files.filter((name) => name.endsWith(".zst")))("%s begins as a zstd frame does", (name) => {
  expect([...readDataFile(name).subarray(0, 4)]).toEqual([0x28, 0xb5, 0x2f, 0xfd]);
});

test.each(files.filter((name) => name.endsWith(".stat.json")))(
  "%s counts instructions of a recording that is there",
  (name) => {
    expect(
      (JSON.parse(new TextDecoder().decode(readDataFile(name))) as { kernel_insns: number }).kernel_insns,
    ).toBeGreaterThan(0);
    expect(files).toContain(name.replace(".stat.json", ".kt.zst"));
  },
);

test("a file that is not there is an error", () => {
  expect(() => readDataFile("traces/none.kt.zst")).toThrow(/ENOENT/);
});
