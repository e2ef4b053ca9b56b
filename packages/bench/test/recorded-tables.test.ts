/// <reference types="node" />
/** Recorded table pages, read back leaf by leaf: line for line what QEMU listed for the same guest. */
import { readFileSync } from "node:fs";
import { leaves } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import { dataFile } from "@kreplica/recordings";
import { decompress } from "fzstd";
import { describe, expect, test } from "vitest";
import { readPages, readRecordedTables, readRoots } from "../src/inputs/recorded-tables.js";
import { qemuTlbLine } from "../src/report/qemu-tlb.js";

const listing = (guest: string, cpu: number): string[] =>
  new TextDecoder()
    .decode(decompress(readFileSync(dataFile(`tables/${guest}/tlb.cpu${cpu}.txt.zst`))))
    .split(/\r?\n/)
    .filter((line) => line !== "");

/** Lines QEMU printed, counted when the recording was made. */
const LINES = { hsw: [12873, 12873, 13046, 13330], p4: [13990, 13990, 14163, 14447] };

describe.each(["hsw", "p4"] as const)("%s", (guest) => {
  const { memory, pages, roots } = readRecordedTables(dataFile(`tables/${guest}`));

  test("four CPUs, four levels, every page a table", () => {
    expect(roots.map(({ cpu, levels }) => [cpu, levels])).toEqual([
      [0, 4],
      [1, 4],
      [2, 4],
      [3, 4],
    ]);
    expect(pages).toBe(guest === "hsw" ? 141 : 131);
  });

  test.each([0, 1, 2, 3])("CPU %d: every leaf, in order", (cpu) => {
    const { root, levels } = roots[cpu]!;
    const ours = Array.from(leaves(memory, root, levels), qemuTlbLine);
    const theirs = listing(guest, cpu);
    expect(theirs).toHaveLength(LINES[guest][cpu]!);
    expect(ours.find((line, index) => line !== theirs[index])).toBeUndefined();
    expect(ours).toHaveLength(theirs.length);
  });
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
  test("an address beyond 16 TiB", () =>
    expect(fault(() => readPages("p", record(1n << 44n)))).toMatchObject({ offset: 0 }));
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
  test("a directory that is not there", () =>
    expect(fault(() => readRecordedTables("/nonexistent")).file).toBe("/nonexistent/ptpages.bin.zst"));
  test("five levels by CR4.LA57", () =>
    expect(readRoots("r", "CPU#1\nCR0=80050033 CR2=0000000000000000 CR3=0000000000001000 CR4=000010a0")).toEqual([
      { cpu: 1, root: 1, levels: 5 },
    ]));
});
