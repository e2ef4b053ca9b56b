/// <reference types="node" />
/**
 * `kreplica check` as a person runs it on the series as posted: a table of defects by name, JSON, counterexamples saved
 * and run again, bad paths.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { placeOf } from "@kreplica/explorer";
import { SERIES_DEFECTS } from "@kreplica/series-as-posted";
import { afterAll, beforeAll, expect, test } from "vitest";
import { invoke, type Invoked } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-check-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
/** Quick: one kind of kernel and the core's operations. */
/** Its last word is the number of runs. */
const SERIES = [
  "check",
  "--policy",
  "rfc-v1",
  "--nodes",
  "2",
  "--levels",
  "4",
  "--pti",
  "off",
  "--only",
  "core",
  "--compare",
  "off",
  "--runs",
];

interface Document {
  readonly violations: readonly {
    readonly name?: string;
    readonly invariant: string;
    readonly nodes: number;
    readonly configuration?: string;
    readonly laid?: readonly string[];
    readonly operations: readonly unknown[];
  }[];
  readonly unseen?: readonly { readonly name: string; readonly why: string }[];
}

const file = join(folder, "bad.json");
let shown: Invoked;
let told: Invoked;
beforeAll(async () => {
  shown = await invoke([...SERIES, "4", "--save", file]);
  // The first kind of kernel alone: what its boot shows is what it showed before.
  told = await invoke([...SERIES, "1", "--json"]);
}, 900_000);

test("the link that --save prints leads the explorer to what the file says", () => {
  const { hash } = new URL(/http:\S+/.exec(shown.error)![0]);
  const saved = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  const { moment: _moment, ...place } = placeOf(hash);
  const { schema: _schema, invariant: _invariant, ...rest } = saved;
  expect(place).toEqual({ laid: [], ...rest });
});

test("rfc-v1: exit code 1, a line for each defect with its rule and its way, then each in full; what did not show is said", () => {
  const { code, out, error } = shown;
  expect([code, error]).toEqual([
    1,
    expect.stringMatching(/^kreplica: to look at it, start kreplica explore, open \S+\n$/),
  ]);
  expect(out).toMatch(/^rfc-v1: 4 runs, \d+ operations on 4 kinds of kernel: \d+ defects found\n/);
  expect(out).toMatch(/\n {2}name +rule +way +what\n/);
  for (const line of [
    /\n {2}D9 +C3 +the boot +the direct map's view of rodata copies stays writable\n/,
    /\n {2}D3 +G8 +1 operation +the debug check/,
    /\n {2}D13 +H6 +the boot +where copies lie/,
  ])
    expect(out).toMatch(line);
  expect(out).toMatch(
    /\nD9: C3 direct-map alias.*\n {2}2 nodes, 4 levels, KPTI off: .*\n.*\n {2}right after the boot\n/,
  );
  expect(out).toMatch(/\nLooked for and not seen\n.*D11.*: shows with KPTI on\n/s);
  // Two nodes are two: nowhere is there a third.
  expect(out).not.toMatch(/3 nodes, |memory of node|node 2/);
  for (const line of out.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
});

test("as one document: the same findings", () => {
  expect([told.code, told.error]).toEqual([1, ""]);
  const { violations, unseen } = JSON.parse(told.out) as Document;
  expect(violations.length).toBeGreaterThan(4);
  expect(violations.map(({ name, invariant }) => `${name!} ${invariant}`)).toEqual(
    [...shown.out.matchAll(/^ {2}(\S+) +([A-I]\d+) {2,}/gm)]
      .map(([, name, rule]) => `${name!} ${rule!}`)
      .slice(0, violations.length),
  );
  expect(violations.map(({ name }) => name)).toEqual([...new Set(violations.map(({ name }) => name))]);
  expect(violations).toContainEqual(
    expect.objectContaining({ name: "D9", invariant: "C3", nodes: 2, laid: ["D9"], operations: [] }),
  );
  expect(violations.every(({ nodes }) => nodes === 2)).toBe(true);
  expect(unseen).toContainEqual(
    expect.objectContaining({
      name: "D12",
      what: expect.stringContaining("by callers outside the tree alone") as string,
      why: "not in 1 run",
    }),
  );
  expect(unseen).toContainEqual(
    expect.objectContaining({ name: "D10", why: "shows with 3 nodes and more (late memory)" }),
  );
});

test("a file from before patching's invariants were P1 to P14 is read", async () => {
  const saved = JSON.parse(readFileSync(file, "utf8")) as object;
  const old = join(folder, "old-letter.json");
  writeFileSync(
    old,
    JSON.stringify({ ...saved, policy: "per-node", laid: undefined, invariant: "D-14", operations: [] }),
  );
  expect(await invoke(["check", "--replay", old])).toMatchObject({
    code: 0,
    out: expect.stringMatching(/the counterexample for P14 no longer fails/) as string,
  });
  writeFileSync(old, JSON.stringify({ ...saved, invariant: "D-99" }));
  expect(await invoke(["check", "--replay", old])).toMatchObject({
    code: 2,
    error: expect.stringMatching(/no invariant P99/) as string,
  });
});

test("--save and --replay: the counterexample breaks its rule again, on the kernel it was found on", async () => {
  const saved = JSON.parse(readFileSync(file, "utf8")) as { invariant: string; laid: string[] };
  expect(saved).toMatchObject({
    schema: "kreplica.counterexample/1",
    policy: "rfc-v1",
    nodes: 2,
    levels: 4,
    pti: false,
  });
  const again = await invoke(["check", "--replay", file, "--json"]);
  expect([again.code, (JSON.parse(again.out) as Document).violations[0]!.invariant]).toEqual([1, saved.invariant]);
  // Without the defect the same list is harmless: the file says what it is about.
  writeFileSync(file, JSON.stringify({ ...saved, laid: [] }));
  expect((await invoke(["check", "--replay", file])).code).toBe(0);
  for (const [field, value, reason] of [
    ["laid", ["D99"], /bad\.json:\d+: laid/],
    ["configuration", "small node", /bad\.json:\d+: nodes: 2 are too few/],
    ["configuratoin", "", /^kreplica: \S*bad\.json:\d+: configuratoin: no such field\. Remove it\.\n$/],
    ["defect", "D9", /bad\.json:\d+: defect: one is laid over per-node alone/],
    ["invariant", "Q7", /invariant: there is no invariant Q7/],
    [
      "operations",
      [{ op: "frok" }, { op: "idle", cpu: 1, no: 2 }],
      /operations\[0\]\.op: there is no operation "frok"\. Did you mean fork\?\n.*operations\[1\]\.no: idle has no such field/,
    ],
    ["configuration", "sunny", /bad\.json:\d+: configuration/],
  ] as const) {
    writeFileSync(file, JSON.stringify({ ...saved, [field]: value }, undefined, 1));
    const refused = await invoke(["check", "--replay", file]);
    expect([refused.code, refused.error]).toEqual([2, expect.stringMatching(reason)]);
  }
});

test("--save where nothing can be written: refused before the search, nothing left behind", async () => {
  for (const path of ["/proc/x.json", folder, join(folder, "none", "x.json"), ""]) {
    const { code, out, error } = await invoke([...SERIES, "4", "--save", path]);
    expect([path, code, out]).toEqual([path, 2, ""]);
    expect(error).toMatch(/^kreplica: .*--save.*\n$/);
  }
  expect(readdirSync(folder).filter((name) => name.includes("part"))).toEqual([]);
});

test.skipIf(!existsSync("/dev/full"))("--save to a full disk: what was found is printed all the same", async () => {
  const { code, out, error } = await invoke([
    "check",
    "--defect",
    "D9",
    "--nodes",
    "2",
    "--levels",
    "4",
    "--pti",
    "off",
    "--only",
    "core",
    "--runs",
    "1",
    "--save",
    "/dev/full",
  ]);
  expect([code, error]).toEqual([2, expect.stringContaining("ENOSPC")]);
  expect(out).toMatch(/1 defect found\n\nD9: C3/);
});

test("--defect: named, by its rule", async () => {
  const words = [
    "check",
    "--nodes",
    "2",
    "--levels",
    "4",
    "--pti",
    "off",
    "--only",
    "core",
    "--runs",
    "4",
    "--steps",
    "20",
    "--json",
  ];
  for (const [defect, rule] of [
    ["D9", "C3"],
    ["D13", "H6"],
    ["D16", "A5"],
  ]) {
    const { code, out } = await invoke([...words, "--defect", defect!]);
    expect([
      defect,
      code,
      (JSON.parse(out) as Document).violations.map(({ name, invariant }) => [name, invariant]),
    ]).toEqual([defect, 1, [[defect, rule]]]);
  }
});

test("--defect: what its kernels need is drawn by itself; not seen is exit code 3, and nothing to look at 2", async () => {
  const grown = await invoke(["check", "--defect", "D10-growth", "--pti", "off", "--json"]);
  expect([grown.code, (JSON.parse(grown.out) as Document).violations]).toEqual([
    1,
    [
      expect.objectContaining({
        name: "D10-growth",
        invariant: expect.stringMatching(/^(B3|F2)$/) as string,
        nodes: 3,
        levels: 4,
        configuration: "late memory",
      }),
    ],
  ]);
  const few = [
    "check",
    "--defect",
    "D8",
    "--nodes",
    "2",
    "--levels",
    "4",
    "--pti",
    "off",
    "--only",
    "core",
    "--runs",
    "1",
    "--steps",
    "1",
  ];
  const missed = await invoke(few);
  expect([missed.code, missed.error]).toEqual([3, ""]);
  expect(missed.out).toMatch(
    /^per-node with D8: 1 run, 1 operation on 1 kind of kernel: D8 not seen\n\nLooked for and not seen\n {2}D8 \(a failed fork .*\): not in 1 run\n\nD8, 07\/12 /,
  );
  const document = await invoke([...few, "--json"]);
  expect([document.code, (JSON.parse(document.out) as Document).unseen]).toEqual([
    3,
    [expect.objectContaining({ name: "D8", why: "not in 1 run" })],
  ]);
  for (const [words, reason] of [
    [["--defect", "D11", "--pti", "off"], "--defect: D11 shows with KPTI on"],
    [["--defect", "D10", "--nodes", "2"], "--defect: D10 shows with 3 nodes and more (late memory)"],
    [["--defect", "D10-growth", "--levels", "5"], "--defect: D10-growth shows with 4 levels"],
    [["--defect", "D3", "--nodes", "1"], "--defect: D3 shows with 2 nodes and more"],
    [["--defect", "D7", "--only", "core"], "--only: D7 shows by operations on areas, modules"],
    [["--defect", "D12", "--levels", "5"], "--defect: D12 shows with 4 levels"],
  ] as const) {
    const refused = await invoke(["check", ...words]);
    expect([words, refused.code, refused.out]).toEqual([words, 2, ""]);
    expect(refused.error).toContain(reason);
  }
});

test("--defect says what the defect is, where it comes from and how it is known; the help has all of them", async () => {
  const { out } = await invoke(["check", "--defect", "D4", "--only", "core", "--runs", "1"]);
  expect(out.replaceAll(/\s+/g, " ")).toContain(
    "D4, 03/12 mm/numa_replication.c numa_replicate_kernel: the boot table learns nothing after it was cloned. What comes of it: init_top_pgt keeps",
  );
  const { out: help } = await invoke(["check", "--help"]);
  for (const { id } of SERIES_DEFECTS) expect(help).toMatch(new RegExp(`\n  ${id} +\\S`));
});

test("--defect D12: found on a kernel with KASAN but without KASAN_VMALLOC, by a caller that Linux does not have, which is said", async () => {
  const words = ["check", "--defect", "D12", "--nodes", "2", "--pti", "off", "--runs", "40", "--compare", "off"];
  const { code, out, error } = await invoke([...words, "--levels", "4"]);
  expect([code, error]).toEqual([
    1,
    expect.stringMatching(/^kreplica: to look at it, start kreplica explore, open \S+laid=D12\S+\n$/),
  ]);
  expect(out).toMatch(/1 defect found\n\nD12: E12 area is SHARED exactly if/);
  expect(out.replaceAll(/\s+/g, " ")).toMatch(
    / 2 nodes, KASAN without KASAN_VMALLOC, 4 levels, KPTI off: .* 1\. code outside the kernel's tree \(no caller in 6\.5 for x86\) asks for/,
  );
}, 300_000);

test("nothing to do is refused, and what contradicts itself", async () => {
  for (const words of [
    ["--runs", "0"],
    ["--steps", "0"],
    ["--nodes", "0"],
    ["--schedules", "--runs", "5"],
    ["--late-memory", "--nodes", "1"],
    ["--defect", "D3", "--policy", "rfc-v1"],
  ]) {
    const { code, out, error } = await invoke(["check", ...words]);
    expect([words, code, out]).toEqual([words, 2, ""]);
    expect(error).toMatch(/^kreplica: --.*\n$/);
  }
});

test("--schedules of a kernel that does not come up: a finding, not a fault of ours", async () => {
  const { code, out } = await invoke([
    "check",
    "--schedules",
    "--defect",
    "D13",
    "--nodes",
    "2",
    "--levels",
    "4",
    "--pti",
    "off",
    "--json",
  ]);
  const { violations } = JSON.parse(out) as Document;
  expect([code, violations.map(({ name, invariant, operations }) => [name, invariant, operations.length])]).toEqual([
    1,
    [["D13", "H6", 0]],
  ]);
});
