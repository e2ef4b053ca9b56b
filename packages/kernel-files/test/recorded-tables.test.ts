/** Recorded table pages and registers: read, found wanting, refused with the place. */
import { InputError } from "@kreplica/inputs";
import { describe, expect, test } from "vitest";
import { missingTables, readPackedPages, readPages, readRoots } from "../src/index.js";

test("pages lie where they were recorded; a table that is missing is told, with the level of the entry that leads there", () => {
  const page = (physical: bigint, entry: bigint): Uint8Array => {
    const bytes = new Uint8Array(4104);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, physical, true);
    view.setBigUint64(8 + 8 * 511, entry, true);
    return bytes;
  };
  const tables = readPages("pages", Uint8Array.of(...page(0x1000n, 0x2063n), ...page(0x2000n, 0x7063n)));
  expect([tables.pages, [...tables.recorded]]).toEqual([2, [1, 2]]);
  expect(tables.memory.read32(1, 1022)).toBe(0x2063);
  expect(missingTables(tables, { cpu: 0, root: 1, levels: 4 })).toEqual([{ frame: 7, level: 3 }]);
  expect(missingTables(tables, { cpu: 0, root: 9, levels: 4 })).toEqual([{ frame: 9, level: 5 }]);
});

describe("what cannot be read is named", () => {
  const fault = (run: () => unknown): InputError => {
    try {
      run();
    } catch (error) {
      if (error instanceof InputError) return error;
      throw error;
    }
    throw new Error("nothing was refused");
  };
  const record = (physical: bigint): Uint8Array => {
    const bytes = new Uint8Array(4104);
    new DataView(bytes.buffer).setBigUint64(0, physical, true);
    return bytes;
  };
  const two = (a: bigint, b: bigint): Uint8Array => new Uint8Array([...record(a), ...record(b)]);

  test("a record cut short, with its byte", () =>
    expect(fault(() => readPages("p", two(0n, 4096n).subarray(0, 5000)))).toMatchObject({
      file: "p",
      offset: 4104,
      reason: "the last record has 896 of 4104 bytes",
    }));
  test("an address inside a page", () =>
    expect(fault(() => readPages("p", two(0n, 4097n)))).toMatchObject({ offset: 4104, field: "physical address" }));
  test("an address without a frame: beyond 15 TiB, between windows and beyond them", () => {
    for (const at of [15n << 40n, (1n << 44n) - 4096n, 3n << 44n, 1n << 52n])
      expect(fault(() => readPages("p", record(at)))).toMatchObject({ offset: 0, field: "physical address" });
    expect(readPages("p", record(1n << 46n)).recorded).toEqual(new Set([0xf400_0000]));
  });
  test("a page recorded twice", () =>
    expect(fault(() => readPages("p", two(4096n, 4096n)))).toMatchObject({ offset: 4104 }));
  test("a register line that is none, with its number", () =>
    expect(fault(() => readRoots("r", "\nCPU#0\nCR0=80050033 CR2=zz\n"))).toMatchObject({ file: "r", line: 3 }));
  test("registers of nobody", () =>
    expect(
      fault(() => readRoots("r", "CR0=80050033 CR2=0000000000000000 CR3=0000000000001000 CR4=000000a0")),
    ).toMatchObject({ line: 1 }));
  test("paging off", () =>
    expect(
      fault(() => readRoots("r", "CPU#0\nCR0=00000011 CR2=0000000000000000 CR3=0000000000001000 CR4=000000a0")),
    ).toMatchObject({ line: 2, field: "CR0" }));
  test("no registers at all", () => expect(fault(() => readRoots("r", "CPU#0\n"))).toMatchObject({ file: "r" }));
  test("a packed file that is none", () =>
    expect(fault(() => readPackedPages("p.zst", Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 9)))).toMatchObject({
      file: "p.zst",
      reason: expect.stringContaining("is no whole zstd file"),
    }));
  test("five levels by CR4.LA57", () =>
    expect(readRoots("r", "CPU#1\nCR0=80050033 CR2=0000000000000000 CR3=0000000000001000 CR4=000010a0")).toEqual([
      { cpu: 1, root: 1, levels: 5 },
    ]));
});
