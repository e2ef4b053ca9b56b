/// <reference types="node" />
/** kreplica boot, tables, check and policies as a person runs them: text, JSON, exit codes. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { describe, expect, test } from "vitest";
import { invokeBuilt } from "./cli.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-check-"));

describe("boot", () => {
  test("shows the steps, the memory and the invariants", async () => {
    const { code, out } = await invokeBuilt(["boot"]);
    expect(code).toBe(0);
    expect(out).toMatch(/^Linux 6\.1\.0-56-cloud-amd64 on e5-2690v3-2s: per-node, 4 levels, KPTI off, image on node 0/);
    expect(out.match(/^ +\d+\* /gm)).toHaveLength(4);
    expect(out).toMatch(/Invariants: 37 checked, all hold, 60 not reached/);
    expect(out).toMatch(/Free memory is 31,309,824 bytes less than after a boot with one copy:/);
    expect(out.replace(/\s+/g, " ")).toContain("Closed form (I3): 27,303,936 bytes, equal.");
  });
  test("as one document, the same twice", async () => {
    const words = [
      "boot",
      "--json",
      "--pti",
      "on",
      "--kaslr",
      "both",
      "--seed",
      "9",
      "--machine",
      "tiny-2-node",
      "--policy",
      "text-only",
    ];
    const [first, second] = [await invokeBuilt(words), await invokeBuilt(words)];
    expect(first.out).toBe(second.out);
    const document = JSON.parse(first.out) as {
      schema: string;
      holders: number[];
      memory: { extraBytes: number; closedForm: number; cost: { copies: number; tables: number; unexplained: number } };
      invariants: { violated: unknown[] };
    };
    expect(document).toMatchObject({ schema: "kreplica.boot/1", holders: [0, 1], invariants: { violated: [] } });
    const { extraBytes, closedForm, cost } = document.memory;
    expect(extraBytes).toBe(closedForm);
    expect([cost.copies + cost.tables, cost.unexplained]).toEqual([extraBytes, 0]);
  });
  test("the series as posted goes wrong: exit code 1, the rules named", async () => {
    const { code, out } = await invokeBuilt(["boot", "--policy", "rfc-v1", "--json"]);
    expect(code).toBe(1);
    const ids = (JSON.parse(out) as { invariants: { violated: { id: string }[] } }).invariants.violated.map(
      (each) => each.id,
    );
    expect(ids).toEqual(expect.arrayContaining(["B2", "B6", "C2", "C3", "C4"]));
  });
  test("a combination the machine cannot hold ends in one clear line", async () => {
    const { code, error } = await invokeBuilt(["boot", "--levels", "5"]);
    expect(code).toBe(2);
    expect(error.trimEnd().split("\n")).toHaveLength(1);
    expect(error).toMatch(
      /--levels: this machine's addresses have 48 bits, too few for 5 levels\. Choose 4 levels, or a machine with virtualBits 57: epyc-9654-2s, xeon-8480-2s, xeon-8592-2s\./,
    );
  });
});

describe("tables", () => {
  test("the cover letter's two pictures: kernel text on two nodes, a user page before and after its PUD", async () => {
    const { code, out } = await invokeBuilt(["tables", "--machine", "tiny-2-node"]);
    expect(code).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "Kernel text, 0xffffffff81000000
        node 0   PGD 3808[511]  ->  PUD 2a15[510]  ->  PMD 2a16[8]  ->  frame 1000
        node 1   PGD 3dbfe[511] ->  PUD 3dbfb[510] ->  PMD 3dbfc[8] ->  frame 3e600

      Kernel rodata, 0xffffffff82000000
        node 0   PGD 3808[511]  ->  PUD 2a15[510]  ->  PMD 2a16[16]  ->  frame 2000
        node 1   PGD 3dbfe[511] ->  PUD 3dbfb[510] ->  PMD 3dbfc[16] ->  frame 3dc00

      Kernel data, 0xffffffff832a7000
        node 0   PGD 3808[511]  ->  PUD 2a15[510]  ->  PMD 2a16[25]  ->  PTE 1f7d5[167] -> =frame 32a7
        node 1   PGD 3dbfe[511] ->  PUD 3dbfb[510] ->  PMD 3dbfc[25] ->  PTE 3dbfa[167] -> =frame 32a7

      A user page, before its PUD is allocated, 0x400000
        node 0   PGD 32a4[0]  -> =nothing
        node 1   PGD 3dbf0[0] -> =nothing

      A user page, after, 0x400000
        node 0   PGD 32a4[0]  -> =PUD 3603[0] -> =PMD 301a[2] -> =PTE 301b[0] -> =frame 0
        node 1   PGD 3dbf0[0] -> =PUD 3603[0] -> =PMD 301a[2] -> =PTE 301b[0] -> =frame 0

      Entries of nodes 0 and 1 that differ: PGD[511] PUD[510] PMD[8..20]
      "
    `);
  });
  test("one node as the kernel dumps it", async () => {
    const { out } = await invokeBuilt(["tables", "--node", "1", "--machine", "tiny-2-node"]);
    expect(out.split("\n")[0]).toBe("---[ User Space ]---");
    expect(out).toContain("0xffffffff81000000-0xffffffff82000000          16M     ro         PSE     GLB x  pmd\n");
  });
  test("recorded tables, as QEMU lists them", async () => {
    const { out } = await invokeBuilt(["tables", "--from", dataFile("tables/p4"), "--cpu", "2"]);
    expect(out.split("\n")).toHaveLength(14163 + 1);
    expect(out.startsWith("0000000000400000") || /^[0-9a-f]{16}: [0-9a-f]{16} /.test(out)).toBe(true);
  });
  test("wrong words", async () => {
    expect((await invokeBuilt(["tables", "--node", "9"])).error).toMatch(/--node: there is no node 9/);
    expect((await invokeBuilt(["tables", "--cpu", "1"])).error).toMatch(/--cpu: given without --from/);
    expect((await invokeBuilt(["tables", "--from", "/nowhere"])).code).toBe(2);
  });
});

describe("check", () => {
  test("per-node: nothing found", async () => {
    const { code, out } = await invokeBuilt(["check", "--runs", "16", "--steps", "60", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      schema: "kreplica.check/1",
      policy: "per-node",
      runs: 16,
      steps: 960,
      coverage: { states: expect.any(Number) as number, transitions: expect.any(Number) as number },
      violations: [],
    });
  });
  test("the core alone, compared with a single copy after each operation or not at all", async () => {
    for (const compare of ["step", "off"]) {
      const { code, out } = await invokeBuilt([
        "check",
        "--only",
        "core",
        "--compare",
        compare,
        "--nodes",
        "2",
        "--levels",
        "4",
        "--runs",
        "4",
        "--steps",
        "50",
      ]);
      expect(code).toBe(0);
      expect(out).toMatch(/per-node: 4 runs, 200 operations on 2 kinds of kernel: nothing found/);
    }
    expect((await invokeBuilt(["check", "--compare", "never"])).error).toMatch(/--compare.*off, end, step/s);
  });
  test("a file that is no counterexample is named", async () => {
    const file = join(folder, "no.json");
    writeFileSync(file, '{"schema":"kreplica.counterexample/1","policy":"per-node"}');
    const { code, error } = await invokeBuilt(["check", "--replay", file]);
    expect(code).toBe(2);
    expect(error).toMatch(/no\.json:1:1: nodes: missing\. Give a file that `kreplica check --save` wrote/);
  });
  test("an operation nobody knows is named with its place", async () => {
    const file = join(folder, "unknown.json");
    const saved = {
      schema: "kreplica.counterexample/1",
      policy: "per-node",
      nodes: 2,
      memoryless: 0,
      levels: 4,
      pti: false,
      invariant: "F1",
      operations: [{ op: "spawn", cpu: 0 }, { op: "teleport" }],
    };
    writeFileSync(file, JSON.stringify(saved));
    const { code, error } = await invokeBuilt(["check", "--replay", file]);
    expect(code).toBe(2);
    expect(error).toMatch(/unknown\.json:1:\d+: operations\[1\]\.op: there is no operation "teleport".*spawn, fork/i);
  });
});

test("--kasan: boot says so and check survives with it; what cannot be is refused in one line", async () => {
  const booted = await invokeBuilt(["boot", "--kasan", "--machine", "tiny-2-node", "--json"]);
  expect(JSON.parse(booted.out)).toMatchObject({ kasan: true, invariants: { violated: [] } });
  const checked = await invokeBuilt(["check", "--kasan", "--runs", "8", "--steps", "40"]);
  expect([checked.code, checked.error]).toEqual([0, ""]);
  expect(checked.out).toContain("nothing found");
  for (const words of [
    ["boot", "--kasan", "--kaslr", "both"],
    ["check", "--kasan", "--policy", "rfc-v1", "--levels", "5"],
  ]) {
    const refused = await invokeBuilt(words);
    expect([refused.code, refused.out]).toEqual([2, ""]);
    expect(refused.error).toMatch(/^kreplica: .*--kasan: .*\n$/);
  }
});

test("policies --measure: a table, or the figures in JSON; options of it alone are refused in one line", async () => {
  const words = ["policies", "--measure", "--machine", "tiny-2-node"];
  const text = await invokeBuilt(words);
  expect(text.code).toBe(0);
  expect(text.out).toMatch(/per-node +2 +29\.9 MiB +8 KiB +8 KiB +482 +482 +4 +2 +2 +-/);
  expect(Math.max(...text.out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  const { out } = await invokeBuilt([...words, "--pti", "off", "--json"]);
  const document = JSON.parse(out) as {
    machine: string;
    pti: boolean;
    policies: { name: string; cost: { bootBytes: number; stores: { fork: number } } }[];
  };
  expect([document.machine, document.pti, document.policies[2]!.name, document.policies[2]!.cost.stores.fork]).toEqual([
    "tiny-2-node",
    false,
    "per-node",
    241,
  ]);
  const refused = await invokeBuilt(["policies", "--levels", "5"]);
  expect([refused.code, refused.out, refused.error.trim()]).toEqual([
    2,
    "",
    "kreplica: --levels: given without --measure or --compare. Add --measure or --compare, or leave it out.",
  ]);
});

test("policies, one line each", async () => {
  const { out } = await invokeBuilt(["policies", "--json"]);
  expect((JSON.parse(out) as { policies: { name: string }[] }).policies.map((each) => each.name)).toEqual([
    "single-copy",
    "rfc-v1",
    "per-node",
    "text-only",
    "lazy-pgd",
    "home-node",
    "every-nth",
    "per-socket",
  ]);
});
