/// <reference types="node" />
/** Dumps of CPUID, as cpuid -r and InstLatx64 write them, against the geometry that is published of the processors. */
import { expect, test } from "vitest";
import { InputError } from "@kreplica/inputs";
import {
  accountsFromText,
  checkMachine,
  type FactKind,
  type MachineAccount,
  machineFromAccounts,
} from "../../src/index.js";
import { genoa, haswell, kabyLake, sapphireRapids, withTwoCpus } from "./cpuid-samples.js";

const account = (text: string): MachineAccount => accountsFromText(text, "cpu.txt")[0]!;
const said = (text: string, kind: FactKind, of = ""): unknown =>
  account(text).facts.findLast((fact) => fact.kind === kind && fact.of === of)?.value;

test("Haswell by leaves 2 and 4: caches with ways, inclusive L3, TLBs, widths, and the preset by its model", () => {
  expect([said(haswell, "vendor"), said(haswell, "family"), said(haswell, "model")]).toEqual(["intel", 6, 63]);
  expect(
    ["l1i", "l1d", "l2", "l3"].map((name) => [said(haswell, "cacheBytes", name), said(haswell, "cacheWays", name)]),
  ).toEqual([
    [32 << 10, 8],
    [32 << 10, 8],
    [256 << 10, 8],
    [25 << 20, 20],
  ]);
  expect(said(haswell, "inclusion", "l3")).toBe("inclusive");
  expect(said(haswell, "tlb", "instruction.small")).toEqual({ entries: 64, ways: 8 });
  expect(said(haswell, "tlb", "instruction.large")).toEqual({ entries: 8, ways: 8 });
  expect(said(haswell, "tlb", "data.small")).toEqual({ entries: 64, ways: 4 });
  expect(said(haswell, "tlb", "data.huge")).toEqual({ entries: 4, ways: 4 });
  expect(said(haswell, "tlb", "second")).toEqual({ entries: 1024, ways: 8 });
  expect([said(haswell, "secondLarge"), said(haswell, "physicalBits"), said(haswell, "virtualBits")]).toEqual([
    true,
    46,
    48,
  ]);
  const machine = machineFromAccounts([account(haswell)], "box");
  expect(checkMachine(machine)).toEqual([]);
  expect(machine.l3).toMatchObject({ bytes: 25 << 20, ways: 20, inclusion: "inclusive" });
  expect(machine.sources).toContain("l3.ways: CPUID (cpu.txt:8)");
  expect(machine.sources.join("\n")).toContain("as e5-2690v3-2s, the nearest to Intel family 6 model 63");
});

test("Kaby Lake, its sub-leaves not numbered: 1536/6 and 16/4, clock of leaf 16h", () => {
  const unnumbered = kabyLake.replace(/ \[SL \d\d\]/g, "");
  for (const text of [kabyLake, unnumbered]) {
    expect(said(text, "tlb", "second")).toEqual({ entries: 1536, ways: 6 });
    expect(said(text, "tlb", "second.huge")).toEqual({ entries: 16, ways: 4 });
    expect([said(text, "hertz"), said(text, "mostHertz")]).toEqual([3.8e9, 4.2e9]);
    expect(said(text, "cacheBytes", "l3")).toBe(8 << 20);
  }
});

test("Sapphire Rapids by leaf 18h: two arrays of the second level as one, stores left out", () => {
  expect(said(sapphireRapids, "tlb", "instruction.small")).toEqual({ entries: 256, ways: 8 });
  expect(said(sapphireRapids, "tlb", "data.small")).toEqual({ entries: 64, ways: 4 });
  expect(said(sapphireRapids, "tlb", "data.huge")).toEqual({ entries: 8, ways: 8 });
  expect(said(sapphireRapids, "tlb", "second")).toEqual({ entries: 2048, ways: 16 });
  expect(said(sapphireRapids, "tlb", "second.huge")).toEqual({ entries: 1024, ways: 8 });
  expect(said(sapphireRapids, "virtualBits")).toBe(57);
  expect(account(sapphireRapids).remarks).toContain("the second-level TLB is two arrays, taken as one of 2048 / 16");
});

test("AMD's own leaves; 3072 entries in 8 ways are no sets the model has, so the preset's ways stand", () => {
  expect([said(genoa, "vendor"), said(genoa, "family"), said(genoa, "model")]).toEqual(["amd", 25, 17]);
  expect(said(genoa, "tlb", "data.small")).toEqual({ entries: 72, ways: 72 });
  expect(said(genoa, "tlb", "instruction.small")).toEqual({ entries: 64, ways: 64 });
  expect(said(genoa, "tlb", "second")).toEqual({ entries: 3072, ways: 8 });
  expect([said(genoa, "cacheBytes", "l2"), said(genoa, "inclusion", "l3")]).toEqual([1 << 20, "independent"]);
  const machine = machineFromAccounts([account(genoa)], "box");
  expect(checkMachine(machine)).toEqual([]);
  expect(machine.translation.second).toMatchObject({ entries: 3072, ways: 24 });
  expect(machine.sources.join("\n")).toContain("as epyc-9654-2s, the nearest to AMD family 25 model 17");
  // Turin counts the second level's entries in 32s, and says so in a bit.
  const turin = genoa
    .replace("0x80000021 0x00: eax=0x00000204", "0x80000021 0x00: eax=0x00004204")
    .replace("ebx=0x6c004200", "ebx=0x60804010");
  expect(said(turin, "tlb", "second")).toEqual({ entries: 4096, ways: 8 });
});

test("all CPUs: who shares a core, an L3 and a package, by APIC id", () => {
  const groups = (kind: FactKind): unknown => ["0", "1", "2", "3"].map((cpu) => said(withTwoCpus, kind, cpu));
  expect(groups("coreOf")).toEqual([
    [0, 1],
    [0, 1],
    [2, 3],
    [2, 3],
  ]);
  expect(groups("packageOf")).toEqual([
    [0, 1],
    [0, 1],
    [2, 3],
    [2, 3],
  ]);
  expect(groups("l3Of")).toEqual([
    [0, 1],
    [0, 1],
    [2, 3],
    [2, 3],
  ]);
  // `cpuid -r` where the CPU cannot be chosen: the same answers four times.
  const stuck = withTwoCpus
    .replaceAll(/edx=0x0000002[01]/g, "edx=0x00000000")
    .replaceAll("edx=0x00000001", "edx=0x00000000");
  expect(account(stuck).remarks.join()).toContain("two CPUs have one APIC id");
  expect(account(stuck).facts.some(({ kind }) => kind === "coreOf")).toBe(false);
});

test.each([
  [
    "registers",
    haswell.replace("76036301-00F0B5FF", "76036301-00F0B5F"),
    /^cpu\.txt:4: leaf 0x00000002: "76036301-00F0B5F-/,
  ],
  [
    "two machines",
    `${haswell}${kabyLake.slice(kabyLake.indexOf("\n") + 1)}`,
    /leaf 0x00000000: given twice, with different registers/,
  ],
  [
    "no processor",
    haswell
      .split("\n")
      .filter((line) => !line.includes("CPUID 00000001"))
      .join("\n"),
    /^cpu\.txt: no leaf 0 or no leaf 1/,
  ],
])("refused: %s", (_what, text, message) => {
  expect(() => accountsFromText(text, "cpu.txt")).toThrow(InputError);
  expect(() => accountsFromText(text, "cpu.txt")).toThrow(message);
});
