/// <reference types="node" />
/** Recorded table pages, read back leaf by leaf: line for line what QEMU listed for the same guest. */
import { readFileSync } from "node:fs";
import { leaves } from "@kreplica/hw-x86";
import { dataFile } from "@kreplica/recordings";
import { decompress } from "fzstd";
import { describe, expect, test } from "vitest";
import { readRecordedTables } from "../src/inputs/recorded-tables.js";
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

test("a directory that is not there is named", () => {
  expect(() => readRecordedTables("/nonexistent")).toThrow("/nonexistent/ptpages.bin.zst: cannot be read (ENOENT)");
});
