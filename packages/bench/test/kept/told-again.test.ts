/// <reference types="node" />
/**
 * A result told again: the same bytes and exit code without the work, as long as nothing changed that it depends on.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { InputError } from "@kreplica/inputs";
import { Option } from "commander";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RegisterCommand } from "../../src/commands/command.js";
import { fileOption } from "../../src/commands/values.js";
import { inputsDigest } from "../../src/inputs/inputs-digest.js";
import { invoke, type Invoked, registered } from "../invoke.js";

let folder: string;
let times: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kreplica-told-"));
  times = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Stands in `check`'s place, and takes a little longer than a result must have taken. */
const slow: RegisterCommand = (program, context) => {
  program
    .command("check")
    .addOption(fileOption("--machine <file>", "input"))
    .addOption(fileOption("--policy <file>", "input"))
    .addOption(new Option("--save <file>", "output"))
    .addOption(new Option("--end <how>", "how it ends"))
    .action(async ({ end }: { readonly end?: string }) => {
      times++;
      context.print(`time ${times}, ${context.screen.columns} columns\n`);
      if (end !== "quick") await setTimeout(110);
      context.remark("a remark");
      if (end === "failed") context.checkFailed();
      if (end === "refused") throw new InputError({ file: "--end", reason: "refused", remedy: "leave it out" });
    });
};
const check = (words: readonly string[] = [], environment = {}, watched = false): Promise<Invoked> =>
  invoke(["check", ...words], environment, [slow], { folder: join(folder, "results"), watched, leastSeconds: 0.1 });
const FIRST = { code: 0, out: "time 1, 100 columns\n", error: "kreplica: a remark\n" };

test("the same bytes, both streams, and no work; somebody who watches is told", async () => {
  expect(await check()).toEqual(FIRST);
  expect(await check()).toEqual(FIRST);
  expect(await check([], {}, true)).toEqual({
    ...FIRST,
    error: `${FIRST.error}kreplica: a kept result; --fresh computes it anew\n`,
  });
  expect(times).toBe(1);
});

test("--fresh computes, and what it told is what is kept", async () => {
  await check();
  expect((await check(["--fresh"])).out).toContain("time 2");
  expect((await check()).out).toContain("time 2");
});

test("the exit code of a check that failed is kept", async () => {
  expect((await check(["--end", "failed"])).code).toBe(1);
  expect((await check(["--end", "failed"])).code).toBe(1);
  expect(times).toBe(1);
});

test.each(["refused", "quick"])("of one that ended %s nothing is kept", async (end) => {
  const first = await check(["--end", end]);
  expect(first.code).toBe(end === "refused" ? 2 : 0);
  await check(["--end", end]);
  expect(times).toBe(2);
});

test("beside an option that writes a file nothing is kept, and nothing told again", async () => {
  await check();
  await check(["--save", join(folder, "saved")]);
  await check(["--save", join(folder, "saved")]);
  expect(times).toBe(3);
});

test("other words, and another width, are other results", async () => {
  await check();
  expect((await check([], { COLUMNS: "80" })).out).toContain("80 columns");
  await check(["--end", "otherwise"]);
  expect(times).toBe(3);
});

test("a changed input, a file added to a folder, what lies beside a recording: computed anew", async () => {
  const file = join(folder, "one.kt");
  mkdirSync(join(folder, "machine", "node0"), { recursive: true });
  writeFileSync(file, "recording");
  const words = [`--policy=${file}`, "--machine", join(folder, "machine")];
  const now = async (): Promise<number> => {
    await check(words);
    return times;
  };
  expect([await now(), await now()]).toEqual([1, 1]);
  writeFileSync(file, "Recording");
  expect([await now(), await now()]).toEqual([2, 2]);
  writeFileSync(join(folder, "machine", "node0", "cpulist"), "");
  expect([await now(), await now()]).toEqual([3, 3]);
  writeFileSync(join(folder, "numa.txt"), "");
  expect([await now(), await now()]).toEqual([4, 4]);
  writeFileSync(join(folder, "one.lines.zst"), "");
  expect([await now(), await now()]).toEqual([5, 5]);
});

test("a changed file that a plugin imports: computed anew", async () => {
  const words = ["--plugin", join(folder, "own.mjs")];
  const other = (text: string): void => writeFileSync(join(folder, "other.mjs"), text);
  writeFileSync(join(folder, "own.mjs"), 'export { default } from "./other.mjs";\n');
  other("export default { policies: {} };\n");
  await check(words);
  await check(words);
  expect(times).toBe(1);
  other("export default { policies: { } };\n");
  await check(words);
  expect(times).toBe(2);
});

test("this machine is no file: computed each time", async () => {
  await check(["--machine", "this"]);
  await check(["--machine", "this"]);
  expect(times).toBe(2);
});

test("links in a folder are followed within it; one that leads out of it has no digest", () => {
  const machine = join(folder, "machine");
  mkdirSync(join(machine, "node0"), { recursive: true });
  symlinkSync("../node0", join(machine, "node0", "itself"));
  symlinkSync("nowhere", join(machine, "broken"));
  expect(inputsDigest([machine])).toMatch(/^[0-9a-f]{64}$/);
  symlinkSync(tmpdir(), join(machine, "out"));
  expect(inputsDigest([machine])).toBeUndefined();
});

test("a device has no digest, a word that is no file adds nothing", () => {
  expect(inputsDigest(["/dev/null"])).toBeUndefined();
  expect(inputsDigest(["no such file", 3, [undefined]])).toBe(inputsDigest([]));
});

test("--fresh is taken by these commands; of those that are told again none writes a file without being asked", async () => {
  const commands = (await registered()).filter(({ options }) => options.some(({ long }) => long === "--fresh"));
  expect(commands.map((command) => command.name())).toEqual([
    "compare",
    "explain",
    "map",
    "report",
    "export",
    "boot",
    "check",
    "policies",
  ]);
  const writing = commands.flatMap((command) =>
    command.options
      .filter(({ long }) => /^--(output|save|to|write)/.test(long ?? ""))
      .map(({ long }) => `${command.name()} ${long}`),
  );
  // The others are not told again: what their runs counted is kept, and their file is written each time.
  expect(writing).toEqual(["map --output", "report --output", "export --output", "check --save"]);
});

test("a word that is refused keeps nothing", async () => {
  expect((await check(["--fresh", "--nosuch"])).code).toBe(2);
  expect(readdirSync(folder)).toEqual([]);
});
