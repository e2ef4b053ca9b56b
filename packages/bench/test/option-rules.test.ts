/// <reference types="node" />
/**
 * Every option of every command, in each of the command's modes: read, or refused by name. None is taken and ignored.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { Command } from "commander";
import { afterAll, describe, expect, test } from "vitest";
import { isNumberOption } from "../src/commands/values.js";
import { SweepFolder } from "../src/sweep/folder.js";
import { debianKernel } from "./debian-kernel.js";
import { invoke, invokeIn, registered } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-rules-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const kernel = debianKernel();
const object = ((): string | undefined => {
  if (spawnSync("clang", ["--version"]).status !== 0) return undefined;
  writeFileSync(
    join(folder, "f.c"),
    '#define SEC(x) __attribute__((section(x), used))\nSEC("socket") int filter(void *c) { return 7; }\nchar terms[] SEC("license") = "GPL";\n',
  );
  execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-c", "f.c", "-o", "f.o"], { cwd: folder });
  return join(folder, "f.o");
})();

const RECORDED = dataFile("traces/hsw-mount.kt.zst");
const plan = join(folder, "plan.yaml");
writeFileSync(plan, "schema: kreplica.sweep/1\naxes: { machine: [tiny-2-node], recording: [kill] }\n");

/** A sweep that is done, of one cell. */
const swept = join(folder, "swept");
const cells = new SweepFolder(swept, {
  schema: "kreplica.sweep-manifest/1",
  title: null,
  plan: "{}",
  version: "0",
  axes: ["policy", "recording"],
  shard: null,
  cells: ["cell"],
});
const row = { policy: "per-node", recording: "kill", cache: "hot", gainPercent: 1, cycles: 2 };
cells.add([{ cell: "cell", rows: [row, { ...row, cache: "cold" }] }]);
cells.finish();
cells.close();

/** Port 1 is nobody's. */
const NO_QUEUE = "redis://127.0.0.1:1";

/** Words that put a command into each of its modes. */
const MODES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  compare: [[]],
  explain: [["mount"]],
  map: [["kill"]],
  report: [[]],
  explore: [[], ["--output", join(folder, "site")]],
  sweep: [[plan], ["merge", "nothing"], [plan, "--queue", NO_QUEUE]],
  worker: [["--queue", NO_QUEUE]],
  results: [[swept]],
  export: [[]],
  boot: [[]],
  machine: [[], ["tiny-2-node"]],
  probe: [[], ["--check", join(import.meta.dirname, "fixtures/machine/epyc-vm.probe.json")]],
  patch: [[]],
  tables: [[], ["--node", "1"], ["--from", "p4"]],
  check: [
    [],
    ["--schedules"],
    ["--replay", "nothing.json"],
    ["--bug", "ldt-exec"],
    ["--bug", "ldt-exec", "--shortest"],
  ],
  bugs: [[], ["ldt-exec"], ["D4"]],
  policies: [[], ["--measure"], ["--compare"]],
  schema: [[], ["boot"]],
  record: [
    ["--kernel", "nothing", "--run", "true", "--output", "nothing/there"],
    ["--kernel", "nothing", "--rfc", "--output", "nothing/there"],
    ["--kernel", "nothing", "--initrd", "nothing", "--output", "nothing/there"],
  ],
  trace: [
    ["info", RECORDED],
    ["check", RECORDED],
    ["cut", RECORDED],
    ["merge", RECORDED],
    ["convert", RECORDED],
  ],
  ...(object === undefined ? {} : { bpf: [[object], [object, "--verify-only"], [object, "--disassemble"]] }),
  ...(kernel === undefined
    ? {}
    : {
        modules: [
          ["--kernel", kernel, "--load", "xfs"],
          ["--kernel", kernel, "--all"],
        ],
      }),
};
/** Keeps a command short that reads an option only when all is done. */
const SHORT: Readonly<Record<string, readonly (readonly string[])[]>> = {
  check: [
    ["--runs", "1"],
    ["--steps", "1"],
    ["--only", "core"],
    ["--nodes", "1"],
    ["--levels", "4"],
    ["--pti", "off"],
  ],
  compare: [
    ["--machine", "tiny-2-node"],
    ["--test", "kill"],
  ],
  explain: [
    ["--machine", "tiny-2-node"],
    ["--layouts", "0"],
  ],
  report: [
    ["--machine", "tiny-2-node"],
    ["--test", "kill"],
    ["--output", join(folder, "page.html")],
  ],
  export: [
    ["--machine", "tiny-2-node"],
    ["--test", "kill"],
  ],
  boot: [["--machine", "tiny-2-node"]],
  patch: [["--machine", "tiny-2-node"]],
  tables: [["--machine", "tiny-2-node"]],
};
/** Values for options that take neither a number nor one of several words. */
const VALUES: Readonly<Record<string, string>> = {
  "--machine": "tiny-2-node",
  "--base": "tiny-2-node",
  "--write": join(folder, "machine-written"),
  "--kernel": "nothing",
  "--system-map": "nothing",
  "--modules": ".",
  "--initrd": "nothing",
  "--root": ".",
  // Of modules a name, of compare shares: what it means is told by who reads it.
  "--load": "0.5",
  "--place": "0",
  "--replicate": "none",
  "--traces": "nothing",
  "--reported": "nothing",
  "--busy": "nothing",
  "--neighbour": "nothing",
  "--mix": "nothing",
  "--recorded-kernel": "nothing",
  "--recorded-nodes": "0,1:512M/2,3:512M",
  "--test": "kill",
  "--from": "hsw",
  "--run": "nothing",
  "--program": "filter",
  "--save": "nothing/there",
  "--output": "nothing/there",
  "--replay": "nothing.json",
  "--check": "nothing",
  "--cpus": "2",
  "--calls": "56",
  "--instructions": "0-5",
  "--shard": "1/2",
  "--column": "cycles",
  "--where": "policy=per-node",
  "--sql": "select 1",
  "--queue": NO_QUEUE,
  "--map": "policy,recording",
};

/** Thrown out of a command when it reads the option that is watched: what it then does with it is another test's. */
class Read extends Error {}
const original = Command.prototype.opts;
async function outcome(words: readonly string[], watched: string): Promise<"read" | "refused" | string> {
  let read = false;
  Command.prototype.opts = function opts<T extends Record<string, unknown>>(this: Command): T {
    return new Proxy(original.call(this) as T, {
      get(target, property) {
        if (property !== watched) return target[property as string];
        read = true;
        throw new Read("read");
      },
    });
  };
  try {
    // Whoever keeps runs reads whether they are to be fresh: the command itself is asked.
    const { code, error } = await invokeIn(words, {}, watched === "fresh" ? "nothing" : undefined);
    if (read) return "read";
    return code === 2 ? error : `exit code ${code}, and it was not read`;
  } finally {
    Command.prototype.opts = original;
  }
}

const commands = await registered();

test("every command has its modes here", () => {
  expect(
    commands
      .map((each) => each.name())
      .filter((name) => !(name in MODES))
      .filter((name) => !(name === "bpf" && object === undefined) && !(name === "modules" && kernel === undefined)),
  ).toEqual([]);
});

const cases = commands.flatMap((command) =>
  (MODES[command.name()] ?? []).flatMap((mode) =>
    command.options
      // --plugin is read from the words, before any option is: the test below. --fresh where results are kept, which
      // tests do not: kept/told-again.test.ts.
      .filter((option) => !mode.includes(option.long!) && !["--json", "--plugin", "--fresh"].includes(option.long!))
      .map(
        (option) =>
          [
            `${[command.name(), ...mode.map((word) => (word.startsWith("/") ? "FILE" : word))].join(" ")} ${option.long}`,
            command,
            mode,
            option,
          ] as const,
      ),
  ),
);

describe("read or refused", () => {
  test.each(cases)("%s", async (_name, command, mode, option) => {
    const value =
      option.argChoices?.at(-1) ??
      (isNumberOption(option) ? "1" : option.required || option.optional ? VALUES[option.long!] : undefined);
    if (option.required) expect(value, `a value for ${option.long} in this test`).toBeDefined();
    const short = mode.length > 0 ? [] : (SHORT[command.name()] ?? []).filter(([flag]) => flag !== option.long).flat();
    const said = await outcome(
      [command.name(), ...mode, ...short, option.long!, ...(value === undefined ? [] : [value])],
      option.attributeName(),
    );
    if (said !== "read") expect(said.split("\n")[0]).toMatch(new RegExp(`^kreplica: .*${option.long}`));
  });
});

test.each(commands.map((command) => command.name()))("%s reads --plugin", async (name) => {
  const { code, error } = await invoke([name, ...(MODES[name]?.[0] ?? []), "--plugin", "nothing.mjs"]);
  expect(code).toBe(2);
  expect(error).toMatch(/^kreplica: nothing\.mjs: no such file/);
});

test("what the table would say of an option that nobody reads", async () => {
  expect(await outcome(["policies", "--json"], "nothing")).toBe("exit code 0, and it was not read");
});

test("which of two is refused, and why", async () => {
  const first = async (...words: string[]): Promise<string> => (await invoke(words)).error.split("\n")[0]!;
  expect(await first("tables", "--from", "p4", "--node", "1")).toBe(
    "kreplica: --node: means nothing beside --from: recorded tables are listed as they are, no kernel is booted. Leave one of them out.",
  );
  expect(await first("tables", "--from", "p4", "--policy", "per-node")).toMatch(
    /^kreplica: --policy: means nothing beside --from/,
  );
  expect(await first("tables", "--cpu", "1")).toBe(
    "kreplica: --cpu: given without --from. Add --from, or leave it out.",
  );
  expect(await first("modules", "--kernel", "x", "--load", "xfs", "--all")).toMatch(
    /^kreplica: --load: means nothing beside --all/,
  );
  expect(await first("check", "--schedules", "--runs", "5")).toMatch(
    /^kreplica: --runs: means nothing beside --schedules/,
  );
  expect(await first("boot", "--seed", "5")).toMatch(/^kreplica: --seed: given without --kaslr/);
  expect(await first("boot", "--seed", "5", "--kaslr", "off")).toMatch(/^kreplica: --seed: given with --kaslr off/);
  for (const words of [
    ["compare", "--seed", "1"],
    ["patch", "--seed", "1"],
    ["bpf", "x.o", "--cpu", "1"],
  ])
    expect(await first(...words)).toMatch(/unknown option/);
});
