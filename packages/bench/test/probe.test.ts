/// <reference types="node" />
/**
 * `kreplica probe` where it cannot measure, and where what it built goes wrong: refused, nothing written, nothing left.
 * And --check, on a few cells.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { measurementFrom, preset } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { afterAll, describe, expect, test } from "vitest";
import { probeCommand } from "../src/commands/probe.js";
import type { Computer } from "../src/probe/measure-here.js";
import { invoke, type Invoked } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-probe-test-"));
const temporary = join(folder, "temporary");
mkdirSync(temporary);
const usual = process.env["TMPDIR"];
process.env["TMPDIR"] = temporary;
afterAll(() => {
  if (usual === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = usual;
  rmSync(folder, { recursive: true, force: true });
});
const fixture = fileURLToPath(new URL("fixtures/machine/epyc-vm.probe.json", import.meta.url));

/** A folder with a compiler called cc that makes a program of the script; none: there is no compiler. */
function computer(name: string, compiler: string | undefined): Computer {
  const bin = join(folder, name);
  mkdirSync(bin);
  if (compiler !== undefined) {
    writeFileSync(join(bin, "cc"), `#!/bin/sh\n${compiler}\n`);
    chmodSync(join(bin, "cc"), 0o755);
  }
  return { architecture: "x64", platform: "linux", environment: { PATH: bin } };
}

/** A compiler whose program is this script; it is called as the real one, `-o PROGRAM` after the flags. */
const making = (script: string): string => `[ "$1" = --version ] && exit 0
while [ "$1" != -o ]; do shift; done
printf '%s\\n' '#!/bin/sh' '${script}' > "$2"
/bin/chmod +x "$2"`;

const probe = (on: Computer, ...words: string[]): Promise<Invoked> =>
  invoke(["probe", ...words], {}, [(program, context) => probeCommand(program, context, on)]);

const printing = (text: string): string => making(`/bin/cat ${join(folder, text)}`);
const cell = {
  kind: "cell",
  ...(JSON.parse(readFileSync(fixture, "utf8")) as { cells: object[] }).cells[0],
};
const { processor, tscHertz, tscInvariant, coreHertz, seed, caches, nodes } = JSON.parse(
  readFileSync(fixture, "utf8"),
) as Record<string, unknown>;
const head = { kind: "head", version: 1, processor, tscHertz, tscInvariant, coreHertz, seed, caches, nodes };
const lines = (...each: object[]): string => each.map((line) => `${JSON.stringify(line)}\n`).join("");
const whole = lines(head, cell, { kind: "end", cells: 1, seconds: 2.5 });
writeFileSync(join(folder, "whole"), whole);
writeFileSync(join(folder, "cut"), whole.slice(0, whole.length / 2));
writeFileSync(join(folder, "short"), lines(head, cell));
writeFileSync(join(folder, "refuses"), lines({ kind: "refusal", reason: "the processor has no CLFLUSH" }));

describe("refused, exit code 2, nothing written", () => {
  const cases: readonly (readonly [string, () => Computer, RegExp])[] = [
    [
      "another architecture",
      () => ({ architecture: "arm64", platform: "linux", environment: {} }),
      /^kreplica: probe: measures x86-64 processors under Linux, and this is arm64 under linux\. Run it on/,
    ],
    [
      "another system",
      () => ({ architecture: "x64", platform: "darwin", environment: {} }),
      /and this is x64 under darwin/,
    ],
    [
      "no compiler",
      () => computer("none", undefined),
      /^kreplica: cc: no C compiler is here \(cc, gcc, clang\)\. Install the package gcc and libc6-dev/,
    ],
    [
      "CC that names none",
      () => ({ ...computer("named", "exit 0"), environment: { PATH: folder, CC: "icc-of-old" } }),
      /^kreplica: icc-of-old: CC names no compiler that runs/,
    ],
    [
      "a compiler without headers",
      () =>
        computer(
          "headless",
          '[ "$1" = --version ] && exit 0\necho "probe.c:9:10: fatal error: pthread.h: No such file" >&2; exit 1',
        ),
      /^kreplica: cc: does not build the measuring program \(probe\.c:9:10: fatal error: pthread\.h: No such file\)\. Install the package libc6-dev/,
    ],
    [
      "a compiler that makes nothing",
      () => computer("nothing", "exit 0"),
      /does not build the measuring program \(it made no program\)/,
    ],
    [
      "a program that dies",
      () => computer("dies", making("kill -SEGV $$")),
      /^kreplica: the measuring program: ended with SIGSEGV/,
    ],
    [
      "a program that gives up",
      () => computer("fails", making("echo out of luck >&2; exit 7")),
      /ended with 7: out of luck/,
    ],
    [
      "a program that cannot be run",
      () => computer("no-program", '[ "$1" = --version ] && exit 0\nwhile [ "$1" != -o ]; do shift; done\n: > "$2"'),
      /^kreplica: the measuring program: cannot be run \(EACCES\)/,
    ],
    ["output cut off", () => computer("cut-off", printing("cut")), /:1: its output is cut off in a line/],
    [
      "output without its end",
      () => computer("endless", printing("short")),
      /:3: its output ends before its last line/,
    ],
    [
      "a processor that it refuses",
      () => computer("refusing", `${printing("refuses")}; echo 'exit 3' >> "$2"`),
      /^kreplica: the measuring program: the processor has no CLFLUSH/,
    ],
  ];
  test.each(cases)("%s", async (_name, on, message) => {
    const file = join(folder, "machine.json");
    const { code, out, error } = await probe(on(), "-o", file);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(message);
    expect(existsSync(file)).toBe(false);
    expect(readdirSync(temporary)).toEqual([]);
  });
});

test("what the program printed: as tables, as JSON, and as a machine file that --machine takes", async () => {
  const on = computer("good", printing("whole"));
  const file = join(folder, "written.json");
  const { code, out, error } = await probe(on, "--json", "-o", file);
  expect([code, error]).toEqual([0, `kreplica: ${file} is written: a machine file for --machine\n`]);
  const document = JSON.parse(out) as { schema: string; seconds: number; cells: unknown[] };
  const { kind: _, ...expected } = cell;
  expect([document.schema, document.seconds, document.cells]).toEqual(["kreplica.probe/1", 2.5, [expected]]);
  const machine = await invoke(["machine", file, "--json"]);
  expect(machine.code).toBe(0);
  expect((JSON.parse(machine.out) as { latencyNs: number[][] }).latencyNs[0]![0]).toBe(
    (cell as { nanoseconds?: number }).nanoseconds,
  );
  const { out: text } = await probe(on);
  expect(text).toMatch(/^Latencies here, measured:/);
  expect(text).toMatch(/Loads from node 0 in memory of node 0/);
});

/** Its short chains: the long ones are walked by a proof. */
const short = join(folder, "short.probe.json");
const allCells = JSON.parse(readFileSync(fixture, "utf8")) as { cells: { bytes: number; loaders: number }[] };
writeFileSync(
  short,
  JSON.stringify(
    { ...allCells, cells: allCells.cells.filter(({ bytes, loaders }) => bytes <= 256 << 10 || loaders > 0) },
    null,
    1,
  ),
);

describe("--check", () => {
  test("each cell beside the model's, with why not where it is not", async () => {
    const { code, out } = await invoke(["probe", "--check", short, "--json"]);
    expect(code).toBe(0);
    const { cells, verdicts, resolved } = JSON.parse(out) as {
      resolved: { walked: number; within: number };
      cells: {
        loaders: number;
        modelledNs: number | null;
        ratio: number;
        measuredNs: number;
        sameOrder: boolean | null;
        resolved: boolean;
        verdict: string;
      }[];
      verdicts: Record<string, number>;
    };
    for (const { loaders, modelledNs, ratio, measuredNs, sameOrder } of cells) {
      if (loaders > 0) expect([modelledNs, sameOrder]).toEqual([null, null]);
      else {
        expect(ratio).toBeCloseTo(modelledNs! / measuredNs, 9);
        // The model walked the very order that the program had.
        expect(sameOrder).toBe(true);
      }
    }
    expect(Object.values(verdicts).reduce((sum, each) => sum + each, 0)).toBe(cells.length);
    const told = cells.filter(({ resolved: each, modelledNs }) => each && modelledNs !== null);
    expect(resolved).toEqual({
      walked: told.length,
      within: told.filter(({ ratio }) => ratio >= 0.8 && ratio <= 1.25).length,
    });
    expect(cells.filter(({ verdict }) => verdict === "runs-ahead").every(({ ratio }) => ratio > 1.25)).toBe(true);
    const text = (await invoke(["probe", "--check", short])).out;
    expect(text).toMatch(/32 KiB x1 huge cold +11\.5 /);
    expect(verdicts["runs-ahead"]).toBeGreaterThan(0);
    expect(text).toMatch(/ runs ahead\n/);
    expect(text).toMatch(/without\s+costs\.frontEnd\s+waits\s+for\s+each\s+line/);
  });

  test("a cell whose twin in other pages is far off is unresolved, unless pages can matter; and so is one of far quarters", async () => {
    const file = join(folder, "twins.json");
    const one = allCells.cells.find(
      (each) => (each as { what?: string }).what === "fetch" && each.bytes === 32768 && each.loaders === 0,
    )!;
    const twins = (small: number, huge: number, bytes: number, high: number) => {
      const like = { ...one, bytes, cache: "hot", low: null, high: null };
      const cells = [
        { ...like, pages: "small", nanoseconds: small, low: small, high },
        { ...like, pages: "huge", nanoseconds: huge },
      ];
      writeFileSync(file, JSON.stringify({ ...allCells, cells }));
    };
    const read = async () => {
      const { out } = await invoke(["probe", "--check", file, "--machine", "xeon-8592-2s", "--json"]);
      return (JSON.parse(out) as { cells: { apart: number | null; resolved: boolean }[] }).cells.map(
        ({ apart, resolved }) => [apart, resolved],
      );
    };
    twins(2, 3, 32768, 2);
    expect(await read()).toEqual([
      [1.5, false],
      [1.5, false],
    ]);
    expect((await invoke(["probe", "--check", file, "--machine", "xeon-8592-2s"])).out).toMatch(/unresolved 1\.50/);
    // 2 MiB are more pages than its 256 entries.
    twins(2, 3, 2 << 20, 2);
    expect(await read()).toEqual([
      [1, true],
      [null, true],
    ]);
    twins(2, 2, 32768, 4);
    expect(await read()).toEqual([
      [2, false],
      [1, true],
    ]);
  });

  test("the measurement that comes with kreplica is read, and its machine is the processor's", async () => {
    const file = dataFile("probe/emerald-rapids.json");
    const { measurement } = measurementFrom(readFileSync(file, "utf8"), file);
    const measured = JSON.parse(readFileSync(file, "utf8")) as { cells: unknown[] };
    expect([measurement.cells.length, measurement.processor.model]).toEqual([measured.cells.length, 207]);
    const { out } = await invoke(["machine", file, "--json"]);
    expect(JSON.parse(out)).toMatchObject({ latencyNs: [[134.85]], l2: { bytes: 2 << 20 }, vendor: "intel" });
    // The machine that --check walks it on is the processor's preset, and what the guest had of it.
    const described = await invoke(["machine", dataFile("probe/emerald-rapids.machine.json"), "--json"]);
    const { costs, l2, translation, latencyNs } = preset("xeon-8592-2s")!;
    expect(JSON.parse(described.out)).toMatchObject({ costs, l2, translation, latencyNs: [[latencyNs[0]![0]]] });
  });

  test("what is no measurement, and a machine without the node", async () => {
    const { error } = await invoke(["probe", "--check", fileURLToPath(new URL("../package.json", import.meta.url))]);
    expect(error).toMatch(
      /--check: is no measurement \(kreplica\.probe\/1\)\. Give what `kreplica probe --json` printed/,
    );
    const far = join(folder, "far.json");
    writeFileSync(
      far,
      readFileSync(short, "utf8")
        .replaceAll('"to": 0', '"to": 1')
        .replace('"nodes": [', '"nodes": [{"id": 1, "memoryBytes": 17179869184, "cpus": []}, '),
    );
    const { out } = await invoke(["probe", "--check", far, "--machine", "recorded-guest"]);
    expect(out).toMatch(/Loads from node 0 in memory of node 1/);
    writeFileSync(far, readFileSync(far, "utf8").replaceAll('"to": 1', '"to": 9').replace('{"id": 1,', '{"id": 9,'));
    const nine = await invoke(["probe", "--check", far, "--machine", "recorded-guest"]);
    expect(nine.out).toMatch(/not modelled: the machine has no node 9/);
  });
});
