/// <reference types="node" />
/**
 * ACPI tables: those in the fixtures are QEMU's for three nodes, the third memory alone, with HMAT, as its firmware
 * laid them in the guest's memory; iasl reads them, too. What it was started with is what must come out.
 */
import { readFileSync } from "node:fs";
import { InputError } from "@kreplica/inputs";
import { expect, test } from "vitest";
import {
  accountsFromText,
  checkMachine,
  isAcpiTable,
  machineFromAccounts,
  readAcpi,
  tableFromBytes,
  type TableName,
} from "../../src/index.js";

const bytesOf = (name: TableName): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../fixtures/acpi/${name}`, import.meta.url)));
const tables = (...names: TableName[]) => names.map((name) => tableFromBytes(bytesOf(name), name));
const all = ["SRAT", "SLIT", "HMAT", "APIC"] as const;
const changed = (name: TableName, at: number, value: number): Uint8Array => {
  const bytes = bytesOf(name).slice();
  bytes[9] = (bytes[9]! + bytes[at]! - value) & 0xff;
  bytes[at] = value;
  return bytes;
};

test("nodes, memory, distances, latency and bandwidth as QEMU was told, each with its byte", () => {
  const machine = machineFromAccounts([readAcpi(tables(...all))], "box");
  expect(checkMachine(machine)).toEqual([]);
  expect(machine.nodes).toEqual([
    // Without the hole from 640 KiB to 1 MiB, and in whole 2 MiB.
    { id: 0, memoryBytes: 94 << 20 },
    { id: 1, memoryBytes: 96 << 20 },
    { id: 2, memoryBytes: 64 << 20 },
  ]);
  expect(machine.cpus.map(({ id, node }) => [id, node])).toEqual([
    [0, 0],
    [1, 0],
    [2, 1],
    [3, 1],
  ]);
  expect(machine.distance).toEqual([
    [10, 21, 40],
    [21, 10, 28],
    [40, 28, 10],
  ]);
  expect(machine.latencyNs.slice(0, 2)).toEqual([
    [90, 140, 300],
    [141, 91, 250],
  ]);
  // QEMU's G is 2^30 bytes, in MB of 2^20 in its table: the specification's MB/s.
  expect(machine.bandwidthMBs[0]).toEqual([102_400, 51_200, 20_480]);
  expect(machine.sources.join("\n")).toMatch(
    /^CPUs of nodes: ACPI SRAT, SLIT, HMAT, MADT \(SRAT at bytes 48 to \d+\)$/m,
  );
  expect(machine.sources).toContain("distance: ACPI SRAT, SLIT, HMAT, MADT (SLIT at bytes 44 to 52)");
});

test("without MADT, CPUs are numbered in SRAT's order, and that is said; a table that is off is off", () => {
  const alone = readAcpi(tables("SRAT"));
  expect(alone.remarks).toContain("without APIC (the MADT), CPUs are numbered in the order of SRAT");
  expect(alone.facts.filter(({ kind }) => kind === "nodeCpus").map(({ value }) => value)).toEqual([[0, 1], [2, 3], []]);
  // The flag of the first CPU's structure: not enabled.
  const without = readAcpi([tableFromBytes(changed("SRAT", 48 + 4, 0), "SRAT")]);
  expect(without.facts.find(({ kind }) => kind === "nodeCpus")!.value).toEqual([0]);
});

test("acpidump's text: the same facts by line; other tables in it are passed over", () => {
  const rows = (name: TableName): string =>
    `${name} @ 0x0000000000000000\n${Array.from({ length: Math.ceil(bytesOf(name).length / 16) }, (_, i) => {
      const part = [...bytesOf(name).subarray(16 * i, 16 * i + 16)];
      return `    ${(16 * i).toString(16).toUpperCase().padStart(4, "0")}: ${part
        .map((each) => each.toString(16).toUpperCase().padStart(2, "0"))
        .join(" ")
        .padEnd(47)}  ${part.map(() => ".").join("")}`;
    }).join("\n")}\n\n`;
  const text = `DSDT @ 0x0000000000000000\n    0000: 44 53 44 54  DSDT\n\n${all.map(rows).join("")}`;
  for (const each of [text, text.replaceAll("\n", "\r\n")]) {
    const [account] = accountsFromText(each, "dump.txt");
    const values = ({ facts }: { facts: readonly { kind: string; of: string; value: unknown }[] }) =>
      facts.map(({ kind, of, value }) => [kind, of, value]);
    expect(values(account!)).toEqual(values(readAcpi(tables(...all))));
    expect(account!.facts.find(({ kind }) => kind === "distance")!.place).toEqual({ file: "dump.txt", line: 29 });
  }
  expect(() => accountsFromText(text.replace("\n    0010: ", "\n    0020: "), "dump.txt")).toThrow(
    /^dump\.txt:6: SRAT: the row at byte 32 comes after 16 bytes/,
  );
  expect(() => accountsFromText(text.replace("0000: 53 52 41 54", "0000: 53 52 41 55"), "dump.txt")).toThrow(
    /^dump\.txt:5: SRAT: the bytes below have another signature/,
  );
});

test("HMAT's first revision counts tenths; an entry of 0 or FFFFh says nothing", () => {
  const first = changed("HMAT", 8, 1);
  const said = readAcpi([...tables("SRAT", "APIC"), tableFromBytes(first, "HMAT")]).facts.find(
    ({ kind, of }) => kind === "latencyNs" && of === "0 0",
  )!;
  expect(said.value).toBe(90_000 / 10);
  const { offset } = said.place;
  const without = changed("HMAT", offset!, 0);
  const silent = tableFromBytes(without, "HMAT");
  silent.bytes[offset! + 1] = 0;
  const none = readAcpi([...tables("SRAT", "APIC"), silent]).facts;
  expect(none.some(({ kind, of }) => kind === "latencyNs" && of === "0 0")).toBe(false);
  expect(none.some(({ kind, of }) => kind === "latencyNs" && of === "0 1")).toBe(true);
});

test.each([
  [
    "cut off",
    () => bytesOf("SRAT").subarray(0, 100),
    /^T at byte 4: SRAT: its length says 312 bytes, and 100 are there/,
  ],
  ["a header alone", () => bytesOf("SLIT").subarray(0, 20), /^T at byte 20: SLIT: 20 bytes, and the header alone/],
  [
    "a changed byte",
    () => bytesOf("SLIT").map((each, i) => (i === 45 ? each + 1 : each)),
    /^T at byte 9: SLIT: the checksum is wrong/,
  ],
  ["a distance", () => changed("SLIT", 45, 9), /^T at byte 45: SLIT distance from 0 to 1: 9 is none/],
  ["too many localities", () => changed("SLIT", 36, 200), /^T at byte 36: SLIT localities: 200, and 9 distances/],
  ["a structure of no length", () => changed("SRAT", 49, 0), /^T at byte 48: SRAT structure: type 0 of 0 bytes/],
  [
    "a structure beyond the end",
    () => changed("HMAT", 44, 0xff),
    /^T at byte 44: HMAT structure: type 0 of 255 bytes|^T at byte 4/,
  ],
])("refused: %s", (_what, bytes, message) => {
  const read = (): unknown => readAcpi([tableFromBytes(bytes(), "T")]);
  expect(read).toThrow(InputError);
  expect(read).toThrow(message);
});

test("a table twice; what is no such table", () => {
  expect(() => readAcpi(tables("SRAT", "SRAT"))).toThrow(/SRAT table: given twice/);
  expect([
    isAcpiTable(bytesOf("SRAT")),
    isAcpiTable(new TextEncoder().encode("DSDT    ")),
    isAcpiTable(new Uint8Array(3)),
  ]).toEqual([true, false, false]);
});
