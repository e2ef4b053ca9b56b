/// <reference types="node" />
/** Exports, read back by readers of their own: every form has the comparison's cycles, by function and cause. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { wholeNumbers } from "../src/report/export/samples.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-export-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const WHAT = ["--machine", "tiny-2-node", "--test", "kill"];

interface Run {
  readonly cycles: number;
  readonly account: Readonly<Record<string, number | Readonly<Record<string, number>>>>;
}
const compared = JSON.parse((await invoke(["compare", ...WHAT, "--cpu", "2", "--json"])).out) as {
  readonly tests: readonly { readonly cache: "cold" | "hot"; readonly singleCopy: Run; readonly perNode: Run }[];
};
const runOf = (cache: string, side: number): Run => {
  const found = compared.tests.find((each) => each.cache === cache)!;
  return side === 0 ? found.singleCopy : found.perNode;
};
const KERNELS = ["one copy", "per-node"];
const exported = async (format: string): Promise<string> => {
  const { code, out, error } = await invoke(["export", ...WHAT, "--format", format]);
  expect([code, error]).toEqual([0, ""]);
  return out;
};

test("csv: a figure a row; of a state and kernel they are its cycles, and those of far text the account's", async () => {
  const [head, ...lines] = (await exported("csv")).trimEnd().split("\n");
  expect(head).toBe("test,cache,kernel,function,address,cause,cycles");
  const rows = lines.map((line) => line.split(","));
  for (const cache of ["cold", "hot"])
    KERNELS.forEach((kernel, side) => {
      const own = rows.filter((row) => row[1] === cache && row[2] === kernel);
      const sum = (some: readonly string[][]): number => some.reduce((total, row) => total + Number(row[6]), 0);
      const { cycles, account } = runOf(cache, side);
      expect(sum(own)).toBe(cycles);
      const far = (account["text"] as Record<string, number>)["remote"];
      expect(sum(own.filter((row) => row[5] === "text from remote memory"))).toBe(far);
      expect(sum(own.filter((row) => row[5] === "instructions"))).toBe(account["instructions"]);
    });
  expect(rows.find((row) => row[3] === "__schedule")![4]).toMatch(/^0xffffffff8[0-9a-f]{7}$/);
});

test("speedscope: what its schema asks for; weights of a profile are the run's cycles", async () => {
  const document = JSON.parse(await exported("speedscope")) as {
    readonly $schema: string;
    readonly shared: { readonly frames: readonly { readonly name: string }[] };
    readonly profiles: readonly {
      readonly type: string;
      readonly name: string;
      readonly unit: string;
      readonly startValue: number;
      readonly endValue: number;
      readonly samples: readonly (readonly number[])[];
      readonly weights: readonly number[];
    }[];
  };
  expect(document.$schema).toBe("https://www.speedscope.app/file-format-schema.json");
  const { frames } = document.shared;
  expect(new Set(frames.map(({ name }) => name)).size).toBe(frames.length);
  expect(document.profiles.map(({ name }) => name)).toEqual(
    ["cold", "hot"].flatMap((cache) => KERNELS.map((kernel) => `${kernel}, ${cache}: cycles`)),
  );
  document.profiles.forEach(({ type, unit, startValue, endValue, samples, weights }, nth) => {
    expect([type, unit, startValue, samples.length]).toEqual(["sampled", "none", 0, weights.length]);
    const { cycles } = runOf(nth < 2 ? "cold" : "hot", nth % 2);
    expect([endValue, weights.reduce((sum, each) => sum + each, 0)]).toEqual([cycles, cycles]);
    for (const stack of samples) {
      expect(stack).toHaveLength(3);
      expect(frames[stack[0]!]!.name).toBe("kill");
      for (const frame of stack) expect(frames[frame]).toBeDefined();
    }
  });
});

test("collapsed: stacks with whole numbers, which sum to the cycles but for rounding", async () => {
  const stacks = (await exported("collapsed"))
    .trimEnd()
    .split("\n")
    .map((line) => /^([^;]+);kill;([^;]+);([^;]+) (\d+)$/.exec(line)!);
  expect(stacks.every((each) => each !== null)).toBe(true);
  for (const cache of ["cold", "hot"])
    KERNELS.forEach((kernel, side) => {
      const sum = stacks.reduce((total, each) => total + (each[1] === `${kernel}, ${cache}` ? Number(each[4]) : 0), 0);
      expect(Math.abs(sum - runOf(cache, side).cycles)).toBeLessThan(2);
    });
});

test("callgrind: both kernels' causes as events, their sums the summary; callgrind_annotate reads it", async () => {
  const file = join(folder, "callgrind.out");
  const { code } = await invoke(["export", ...WHAT, "--format", "callgrind", "-o", file]);
  expect(code).toBe(0);
  const text = readFileSync(file, "utf8");
  const line = (name: string): string[] => new RegExp(`^${name}: (.*)$`, "m").exec(text)![1]!.split(" ");
  const [events, summary] = [line("events"), line("summary").map(Number)];
  const sums = events.map(() => 0);
  for (const [, cells] of text.matchAll(/^fn=[^\n]+\n0 ([\d ]+)$/gm))
    cells!.split(" ").forEach((cell, nth) => (sums[nth]! += Number(cell)));
  expect(sums).toEqual(summary);
  for (const [side, name] of ["One_Cycles", "Copies_Cycles"].entries()) {
    const cycles = runOf("cold", side).cycles + runOf("hot", side).cycles;
    expect(Math.abs(summary[events.indexOf(name)]! - cycles)).toBeLessThan(4);
  }
  for (const name of events) expect(text).toMatch(new RegExp(`^event: ${name} : \\w`, "m"));
  if (!existsSync("/usr/bin/callgrind_annotate")) return;
  const { status, stdout, stderr } = spawnSync("callgrind_annotate", ["--show=One_Cycles", file], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toContain(summary[0]!.toString().replace(/\B(?=(\d{3})+$)/g, ","));
  expect(stdout).toMatch(/kill, (cold|hot):__schedule/);
});

test("what an export has no use for is refused; a file that cannot be written is known before the work", async () => {
  for (const words of [
    ["--alignment"],
    ["--load", "0.5"],
    ["--reported", import.meta.filename],
    ["-o", join(folder, "none/there")],
  ]) {
    const { code, out, error } = await invoke(["export", ...WHAT, ...words]);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(/^kreplica: (--alignment|--load|--reported|.*none\/there)/);
  }
});

test("whole numbers keep the sum of any run of them", () => {
  const figures = [0.4, 0.4, 0.4, 2.75, 0, 1024.0009765625, 0.5];
  const whole = wholeNumbers(figures);
  let [sum, wanted] = [0, 0];
  for (const [nth, figure] of figures.entries()) {
    expect(Math.abs(whole[nth]! - figure)).toBeLessThan(1);
    expect(Math.abs((sum += whole[nth]!) - (wanted += figure))).toBeLessThan(1);
  }
});
