/// <reference types="node" />
/** Inputs and surroundings that are wrong, as the real command meets them: exit code 2 and a line that says where. */
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { e52690v3 } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadMachine } from "../src/inputs/machine/load.js";
import { buildCommand, type TestedCommand } from "./cli.js";

let kreplica: TestedCommand;
const folder = mkdtempSync(join(tmpdir(), "kreplica-refused-"));
const at = (name: string): string => join(folder, name);
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content);
  return at(name);
};
const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/machine/${name}`, import.meta.url));
const numactl = readFileSync(fixture("haswell-2s.numactl.txt"), "utf8");
/** The machine's error, as the command prints it. */
const fault = (file: string): string => {
  try {
    loadMachine(file);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

beforeAll(async () => {
  kreplica = await buildCommand();
});
afterAll(() => {
  kreplica.remove();
  rmSync(folder, { recursive: true, force: true });
});

describe("files", () => {
  test("a link to nowhere among the recordings", async () => {
    mkdirSync(at("links"));
    symlinkSync("/nowhere", at("links/a.kt"));
    const { code, error } = await kreplica.run(["compare", "--traces", at("links")]);
    expect([code, error]).toEqual([2, expect.stringMatching(/links\/a\.kt.*cannot be read/)]);
  });

  test.skipIf(process.getuid?.() === 0)("a folder nobody may look into", async () => {
    mkdirSync(at("shut"));
    chmodSync(at("shut"), 0);
    for (const words of [
      ["machine", at("shut")],
      ["machine", at("shut/x.txt")],
      ["compare", "--traces", at("shut")],
      ["compare", "--traces", at("shut/x.kt")],
    ]) {
      const { code, error } = await kreplica.run(words);
      expect([code, error], words.join(" ")).toEqual([2, expect.stringContaining("EACCES")]);
    }
    chmodSync(at("shut"), 0o700);
  });

  test("a device without an end is read up to a machine file's size", () => {
    expect(fault("/dev/zero")).toContain("larger than 2 MiB");
    expect(fault("")).toMatch(/^--machine: empty/);
  });

  test("UTF-16, as PowerShell writes it, is read; other bytes are named", () => {
    const utf16 = Buffer.from(`\uFEFF${numactl}`, "utf16le");
    expect(loadMachine(write("box.txt", utf16)).cpus).toEqual(loadMachine(write("plain.txt", numactl)).cpus);
    expect(
      loadMachine(
        write(
          "box.txt",
          Uint8Array.from(utf16).map((_, i, all) => all[i ^ 1]!),
        ),
      ).nodes,
    ).toHaveLength(2);
    expect(fault(write("nul.txt", "node 0\0"))).toContain("at byte 6: a byte of 0");
  });
});

describe("machines", () => {
  test("a CPU of two nodes and memory out of reach are named by line, in numactl's output and in a copy of sysfs", () => {
    const lines = numactl.split("\n");
    const row = lines.findIndex((line) => line.startsWith("node 1 cpus:"));
    const first = /node 0 cpus: (\d+)/.exec(numactl)![1]!;
    expect(fault(write("twice.txt", numactl.replace(/node 1 cpus: /, `node 1 cpus: ${first} `)))).toContain(
      `twice.txt:${row + 1}: node 1 cpus: CPU ${first} is listed twice`,
    );
    const far = lines.findIndex((line) => /^\s+1:/.test(line));
    expect(
      fault(
        write("far.txt", lines.map((line, i) => (i === far ? line.replace(/(1:\s+)\d+/, "$1255") : line)).join("\n")),
      ),
    ).toContain(`far.txt:${far + 1}: node distances, row 1, column 0`);
    const sysfs = at("sysfs");
    for (const [id, cpus, distance] of [
      [0, "0-1", "10 21"],
      [1, "2-3", "21 10"],
    ] as const) {
      mkdirSync(join(sysfs, `node${id}`), { recursive: true });
      writeFileSync(join(sysfs, `node${id}/cpulist`), `${cpus}\n`);
      writeFileSync(join(sysfs, `node${id}/distance`), `${distance}\n`);
      writeFileSync(join(sysfs, `node${id}/meminfo`), `Node ${id} MemTotal:       65843300 kB\n`);
    }
    expect(fault(sysfs)).toBe("");
    cpSync(sysfs, at("sysfs2"), { recursive: true });
    writeFileSync(at("sysfs2/node1/cpulist"), "1-3\n");
    expect(fault(at("sysfs2"))).toContain("sysfs2/node1/cpulist:1: node1/cpulist: CPU 1 is in node 0, too");
    writeFileSync(join(sysfs, "node1/distance"), "255 10\n");
    expect(fault(sysfs)).toContain("sysfs/node1/distance:1: node1/distance: node 0 has memory");
  });

  test("what only the boot can refuse is told of the file, not of the name it got", async () => {
    const small = write("Small Box.txt", numactl.replace(/node 0 size: \d+/, "node 0 size: 20"));
    const { code, error } = await kreplica.run(["boot", "--machine", small]);
    expect(code).toBe(2);
    expect(error).toContain(`${small}: nodes[0].memoryBytes: node 0 is too small for a kernel image`);
  });

  test("in JSON: what a base makes wrong, figures beyond sense, the words for limits and names", () => {
    const json = (value: object): string =>
      fault(write("own.json", JSON.stringify({ base: "tiny-2-node", ...value }, null, 1)));
    expect(json({ nodes: [{ id: 0, memoryBytes: 2 ** 30 }] })).toContain(
      "in the base tiny-2-node, with what this file says",
    );
    const source = "guess";
    expect(json({ hertz: { value: 1e308, source } })).toMatch(
      /own\.json:4: hertz\.value: 1e\+308 is too large\. Write a number of at most 1000000000000\./,
    );
    expect(json({ costs: { cyclesPerInstruction: { value: 1e305, source } } })).toContain(
      "costs.cyclesPerInstruction.value: 1e+305 is too large",
    );
    expect(
      json({
        latencyNs: [
          [0, 1],
          [1, 1],
        ],
      }),
    ).toContain("Write a number of more than 0.");
    expect(json({ name: "My Box" })).toContain("Write letters, digits");
    const unknown = json({ l2: { bytes: "much" } });
    expect(existsSync(/(\S*kreplica\.machine-1\.json)/.exec(unknown)![1]!)).toBe(true);
  });

  test("a matrix of one CPU node gives it a node of the base: cores and second threads; a node without a row is said to be taken for memory", () => {
    const one = loadMachine(
      write(
        "mlc.txt",
        "Intel(R) Memory Latency Checker - v3.9\nMeasuring idle latencies (in ns)...\n\t\tNuma node\nNuma node\t     0\t     1\n       0\t  69.6\t 141.4\n",
      ),
    );
    const like = e52690v3.cpus.filter((cpu) => cpu.node === 0);
    expect([one.cpus.length, new Set(one.cpus.map((cpu) => cpu.core)).size]).toEqual([
      like.length,
      new Set(like.map((cpu) => cpu.core)).size,
    ]);
    expect(one.sources.join("\n")).toContain("node 1: memory without CPUs, since its row is missing");
  });
});

describe("the process", () => {
  test("options and examples: a number too long, recorded tables by the name in the help", async () => {
    expect((await kreplica.run(["compare", "--cpu", "9999999999999999999999"])).error).toContain("is too large");
    expect((await kreplica.run(["tables", "--from", "p4", "--cpu", "2"], { cwd: folder })).code).toBe(0);
    for (const command of ["compare", "boot", "tables", "check", "policies", "bpf", "machine", "modules", "patch"]) {
      const { out } = await kreplica.run([command, "--help"]);
      for (const line of out.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
    }
  });

  test.skipIf(!existsSync("/dev/full"))("a full disk: exit code 2 and one line", () => {
    const { status, stderr } = spawnSync(
      "sh",
      ["-c", `exec '${process.execPath}' '${kreplica.file}' machine > /dev/full`],
      { encoding: "utf8" },
    );
    expect([status, stderr.trim().split("\n")]).toEqual([2, [expect.stringContaining("ENOSPC")]]);
  });

  // `script` gives the command a terminal, so that there is a progress line to interrupt.
  const hasScript = spawnSync("script", ["--version"]).status === 0;
  test.skipIf(!hasScript).each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s ends it at once, on a terminal as well", async (signal, code) => {
    mkdirSync(at(signal));
    copyFileSync(dataFile("traces/hsw-mmap.kt.zst"), at(`${signal}/mmap.kt.zst`));
    const pid = at(`${signal}/pid`);
    const child = spawn(
      "script",
      [
        "-qec",
        `sh -c 'echo $$ > ${pid}; exec "${process.execPath}" "${kreplica.file}" compare --traces ${at(signal)}'`,
        "/dev/null",
      ],
      { env: { ...process.env, CI: "", TERM: "xterm" }, stdio: ["ignore", "pipe", "ignore"] },
    );
    let shown = "";
    const ended = new Promise<number | null>((resolve) => {
      child.on("close", resolve);
    });
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (text: Buffer) => {
        shown += text.toString();
        if (shown.includes("%")) resolve();
      });
    });
    process.kill(Number(readFileSync(pid, "utf8")), signal);
    expect(await ended).toBe(code);
    // Neither a hidden cursor nor lines that no longer wrap stay behind.
    expect(shown).not.toContain("\u001b[?25l");
    expect(shown).not.toContain("\u001b[?7l");
  });
});
