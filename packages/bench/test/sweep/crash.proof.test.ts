/// <reference types="node" />
/**
 * The real command, with workers: killed in the middle and given again; with one worker and with three; as the
 * document's scripts for SLURM and GNU parallel. The same bytes each time.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildCommand, type TestedCommand } from "../cli.js";
import { root } from "../house/documents.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-crash-"));
const page = readFileSync(join(root, "docs/sweeps.md"), "utf8");
let kreplica: TestedCommand;
const bytesIn = (name: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(join(folder, name))
      .sort()
      .map((file) => [file, readFileSync(join(folder, name, file)).toString("hex")]),
  );
let whole: Record<string, string>;

beforeAll(async () => {
  kreplica = await buildCommand(["sweep-worker"]);
  writeFileSync(join(folder, "plan.yaml"), /```yaml\n([^]*?)```/.exec(page)![1]!);
  const { code, error } = await kreplica.run(["sweep", "plan.yaml", "--workers", "1"], { cwd: folder });
  expect([code, error]).toEqual([0, ""]);
  whole = bytesIn("plan.results");
});
afterAll(() => {
  kreplica?.remove();
  rmSync(folder, { recursive: true, force: true });
});

test("three workers write what one writes", async () => {
  const { code } = await kreplica.run(["sweep", "plan.yaml", "--workers", "3", "-o", "three"], { cwd: folder });
  expect([code, bytesIn("three")]).toEqual([0, whole]);
});

test("killed after each replay in turn, and given again", async () => {
  const journal = join(folder, "killed/cells.journal");
  const lines = (): number => (existsSync(journal) ? readFileSync(journal, "utf8").split("\n").length - 1 : 0);
  let kills = 0;
  for (let before = 0; ; before = lines()) {
    const child = spawn(process.execPath, [kreplica.file, "sweep", "plan.yaml", "--workers", "2", "-o", "killed"], {
      cwd: folder,
      stdio: "ignore",
    });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    const look = setInterval(() => {
      if (lines() > before && kills < 3) child.kill("SIGKILL");
    }, 5);
    const code = await ended;
    clearInterval(look);
    if (code === 0) break;
    expect(code).toBe(null);
    expect(lines()).toBeGreaterThan(before);
    kills++;
  }
  expect(kills).toBeGreaterThan(0);
  expect(bytesIn("killed")).toEqual(whole);
});

describe("the document's scripts", () => {
  const script = (name: string): string =>
    new RegExp(`<!-- shell ${name.replace(".", "\\.")} -->\\n\`\`\`bash\\n([^]*?)\`\`\``).exec(page)![1]!;
  const run = (name: string, environment: Record<string, string> = {}): void => {
    const bin = join(folder, "bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "kreplica"), `#!/bin/sh\nexec "${process.execPath}" "${kreplica.file}" "$@"\n`);
    chmodSync(join(bin, "kreplica"), 0o755);
    writeFileSync(join(folder, name), script(name));
    execFileSync("bash", [name], {
      cwd: folder,
      env: { ...process.env, PATH: `${bin}:${process.env["PATH"]!}`, ...environment },
      stdio: "pipe",
    });
  };

  test("SLURM: every task of the array, then merge", async () => {
    // Eight parts of a plan with four replays: four of them have nothing to do.
    const tasks = Array.from({ length: 8 }, (_, i) => String(i + 1));
    for (const task of tasks) run("array.sh", { SLURM_ARRAY_TASK_ID: task });
    const { code, error } = await kreplica.run(
      ["sweep", "merge", ...tasks.map((task) => `parts/${task}`), "-o", "joined"],
      { cwd: folder },
    );
    expect([code, error, bytesIn("joined")]).toEqual([0, "", whole]);
    rmSync(join(folder, "parts"), { recursive: true });
  });

  test.skipIf(spawnSync("parallel", ["--version"]).status !== 0)("GNU parallel", () => {
    run("parallel.sh", { HOME: folder });
    expect(bytesIn("whole")).toEqual(whole);
  });
});
