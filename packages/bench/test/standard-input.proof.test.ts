/// <reference types="node" />
/**
 * Every file argument of every command takes `-` and pipes; messages call them what the user did; a FIFO without a
 * writer is waited for with a word.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildCommand, type TestedCommand } from "./cli.js";
import { registered } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-input-"));
let kreplica: TestedCommand;
beforeAll(async () => {
  kreplica = await buildCommand();
});
afterAll(() => {
  kreplica?.remove();
  rmSync(folder, { recursive: true, force: true });
});
const numactl = readFileSync(new URL("fixtures/machine/haswell-2s.numactl.txt", import.meta.url));
const fed = (
  words: readonly string[],
  input: Uint8Array | string,
  temporary = folder,
): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [kreplica.file, ...words], {
    input,
    encoding: "utf8",
    env: { ...process.env, TMPDIR: temporary },
  });

/** Every option and argument that names a file which is read. */
const FILES = (await registered()).flatMap((command) => [
  ...command.options
    .filter((option) => /<[^>]*file[^>]*>/.test(option.flags) && option.long !== "--save")
    .map((option) => [`${command.name()} ${option.long}`, command.name(), option.long!] as const),
  ...command.registeredArguments
    .filter((argument) => /file|machine/.test(argument.name()))
    .map((argument) => [`${command.name()} <${argument.name()}>`, command.name(), undefined] as const),
]);
/** What else a command needs before it reads that file. */
const RECORDED = ["--traces", dataFile("traces/hsw-mount.kt.zst")];
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  "--recorded-kernel": ["--no-pti", ...RECORDED, "--recorded-nodes", "0,1:512M/2,3:512M"],
  "--recorded-nodes": [...RECORDED, "--recorded-kernel", dataFile("kernel/System.map-6.1.0-56-cloud-amd64.zst")],
  "--system-map": ["--kernel", "package.json"],
  policies: ["--measure"],
  modules: ["--all"],
  trace: ["info"],
  "policies --traces": ["--compare"],
  "probe --machine": ["--check", join(import.meta.dirname, "fixtures/machine/epyc-vm.probe.json")],
  "record --kernel": ["--rfc", "--output", "nothing/there"],
  "record --machine": ["--kernel", "package.json", "--rfc", "--output", "nothing/there"],
  "record --initrd": ["--kernel", "package.json", "--output", "nothing/there"],
  "trace --system-map": ["info", dataFile("traces/hsw-mount.kt.zst")],
};

test("there are such arguments to go through", () => {
  expect(FILES.length).toBeGreaterThanOrEqual(18);
});

describe("- is standard input, and is called so", () => {
  test.each(
    FILES.filter(
      ([name, , option]) =>
        ![
          "bpf --run",
          "bpf --machine",
          "map --output",
          "report --output",
          "trace --output",
          "probe --output",
          "record --output",
          "results --output",
          "export --output",
          "export --reported",
        ].includes(name) && option !== "--plugin",
    ),
  )("%s", (name, command, option) => {
    const kernel = command === "modules" && option !== "--kernel" ? ["--kernel", "package.json"] : [];
    const words = [
      command,
      ...(NEEDED[name] ?? [...(NEEDED[option ?? ""] ?? []), ...(NEEDED[command] ?? [])]),
      ...kernel,
      ...(option === undefined ? [] : [option]),
      "-",
    ];
    const { status, stdout, stderr } = fed(words, "no such thing as this begins any file that kreplica reads\n");
    expect([words, status, stdout]).toEqual([words, 2, ""]);
    // A kernel is looked at before its map: that it is none may be what is said.
    expect(stderr).toMatch(
      option === "--system-map" || (command === "modules" && option !== "--kernel")
        ? /standard input|package\.json/
        : /^kreplica: standard input[: ]/,
    );
    expect(stderr).not.toContain("/proc/self");
  });

  test("a module is none of what can be read from it, and the page is written to standard output", () => {
    const plugin = fed(["machine", "--plugin", "-"], "");
    expect([plugin.status, plugin.stdout]).toEqual([2, ""]);
    expect(plugin.stderr).toMatch(/--plugin: a module is loaded from a file, not from standard input\. Name a file\./);
    const page = fed(["report", "--machine", "tiny-2-node", "--test", "mount", "--output", "-"], "");
    expect([page.status, page.stdout.slice(0, 15)]).toEqual([0, "<!doctype html>"]);
  });

  test("a machine from it and from a pipe of the shell; neither is named after a number, and nothing stays in the folder for temporary files", () => {
    const temporary = mkdtempSync(join(folder, "tmp-"));
    const machine = fed(["machine", "-", "--json"], numactl, temporary);
    expect([machine.status, machine.stderr, (JSON.parse(machine.stdout) as { name: string }).name]).toEqual([
      0,
      "",
      "standard-input",
    ]);
    const piped = spawnSync(
      "bash",
      [
        "-c",
        `exec "${process.execPath}" "${kreplica.file}" machine <(cat "${join(import.meta.dirname, "fixtures/machine/haswell-2s.numactl.txt")}") --json`,
      ],
      { encoding: "utf8" },
    );
    expect([piped.status, (JSON.parse(piped.stdout) as { name: string }).name]).toEqual([0, "pipe"]);
    const nothing = spawnSync("bash", ["-c", `exec "${process.execPath}" "${kreplica.file}" machine <(true)`], {
      encoding: "utf8",
    });
    expect([nothing.status, nothing.stderr]).toEqual([2, expect.stringMatching(/^kreplica: \/dev\/fd\/\d+: empty/)]);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("a recording, which is read more than once", () => {
    const recording = readFileSync(dataFile("traces/hsw-kill.kt.zst"));
    const words = ["compare", "--machine", "tiny-2-node", "--no-work", "--json", "--traces"];
    const [given, read] = [fed([...words, dataFile("traces/hsw-kill.kt.zst")], ""), fed([...words, "-"], recording)];
    expect([given.status, read.status]).toEqual([0, 0]);
    const figures = (text: string): unknown =>
      (JSON.parse(text) as { tests: { gain: unknown }[] }).tests.map((each) => each.gain);
    expect(figures(read.stdout)).toEqual(figures(given.stdout));
    expect(read.stdout).not.toContain("/proc/");
  });

  test("twice is once too often", () => {
    const { status, stderr } = fed(["boot", "--machine", "-", "--kernel", "-"], numactl);
    expect([status, stderr]).toEqual([
      2,
      "kreplica: --kernel: standard input is read for --machine already. Give one of them as a file.\n",
    ]);
  });
});

test.skipIf(spawnSync("mkfifo", ["--version"]).status !== 0)(
  "a FIFO without a writer is waited for, with a word; then it is a file like any other",
  async () => {
    const fifo = join(folder, "box");
    execFileSync("mkfifo", [fifo]);
    const child = spawn(process.execPath, [kreplica.file, "machine", fifo, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [out, error] = ["", ""];
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
    });
    await new Promise<void>((resolve) => {
      child.stderr.on("data", (part: Buffer) => {
        error += part.toString();
        resolve();
      });
    });
    expect(error).toBe(`kreplica: ${fifo}: waiting for a writer\n`);
    writeFileSync(fifo, numactl);
    const code = await new Promise((resolve) => {
      child.on("close", resolve);
    });
    expect([code, error.split("\n").length, (JSON.parse(out) as { name: string }).name]).toEqual([0, 2, "box"]);
  },
);
