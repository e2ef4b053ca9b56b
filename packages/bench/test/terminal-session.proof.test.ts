/// <reference types="node" />
/**
 * The command on a terminal: progress while it is busy, Ctrl-C and SIGTERM end it at once and leave a clean line; in a
 * pipe it is quiet.
 */
/* eslint-disable no-control-regex -- what a terminal is told begins with one */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PatientProgress } from "../src/report/patient-progress.js";
import { buildCommand, type TestedCommand } from "./cli.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-terminal-"));
let kreplica: TestedCommand;
beforeAll(async () => {
  kreplica = await buildCommand();
});
afterAll(() => {
  kreplica?.remove();
  rmSync(folder, { recursive: true, force: true });
});

test("after two silent seconds the time is told, a bar takes its place, and whoever writes finds an empty line", () => {
  const said: string[] = [];
  const bar = { start: () => said.push("start"), step: () => said.push("step"), stop: () => said.push("stop") };
  const progress = new PatientProgress(bar, (text) => said.push(text), "kreplica boot");
  const since = (work: () => void): string[] => {
    said.length = 0;
    work();
    return [...said];
  };
  const clear = "\r\u001b[K";
  expect(
    since(() => {
      progress.second();
      progress.clear();
    }),
  ).toEqual([]);
  expect(since(() => progress.second())).toEqual([`${clear}  kreplica boot: 2 s`]);
  expect(
    since(() => {
      progress.clear();
      progress.clear();
    }),
  ).toEqual([clear]);
  expect(
    since(() => {
      progress.second();
      progress.start(3, "x");
      progress.second();
      progress.step(1, "y");
    }),
  ).toEqual([`${clear}  kreplica boot: 3 s`, clear, "start", "step"]);
  expect(since(() => progress.clear())).toEqual([clear]);
  expect(
    since(() => {
      progress.stop();
      progress.stop();
    }),
  ).toEqual(["stop"]);
  expect(since(() => progress.second())).toEqual([`${clear}  kreplica boot: 5 s`]);
});

// `script` gives the command a terminal.
const hasScript = spawnSync("script", ["--version"]).status === 0;
/** A command on a terminal, and what it has shown so far. */
function onTerminal(words: string, name: string) {
  const pid = join(folder, `${name}.pid`);
  const shown = { text: "" };
  const child = spawn(
    "script",
    ["-qec", `sh -c 'echo $$ > ${pid}; exec "${process.execPath}" "${kreplica.file}" ${words}'`, "/dev/null"],
    { env: { ...process.env, CI: "", TERM: "xterm" }, stdio: ["ignore", "pipe", "ignore"] },
  );
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  child.stdout.on("data", (part: Buffer) => {
    shown.text += part.toString();
  });
  const until = (what: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = setInterval(() => {
        if (!what.test(shown.text)) return;
        clearInterval(look);
        resolve();
      }, 20);
      void ended.then(() => {
        clearInterval(look);
        if (!what.test(shown.text)) reject(new Error(`ended without ${what}: ${shown.text}`));
      });
    });
  return {
    shown,
    ended,
    until,
    kill: (signal: NodeJS.Signals) => process.kill(Number(readFileSync(pid, "utf8")), signal),
  };
}
/** What is left on the last line of a screen: letters overwrite, carriage returns and columns move, clearings clear. */
function lastLine(text: string): string {
  let line = "";
  let at = 0;
  for (const [part, argument, command] of text
    .split("\n")
    .at(-1)!
    .matchAll(/\u001b\[([0-9;?]*)([a-zA-Z])|\u001b.|[^]/g)) {
    if (part === "\r") at = 0;
    else if (command === "G") at = Math.max(0, Number(argument) - 1);
    else if (command === "K") line = argument === "1" || argument === "2" ? "" : line.slice(0, at);
    else if (command === undefined && !part.startsWith("\u001b")) {
      line = line.slice(0, at).padEnd(at) + part + line.slice(at + 1);
      at++;
    }
  }
  return line.trimEnd();
}

describe.skipIf(!hasScript)("on a terminal", () => {
  /** Busy for minutes: with a bar, and without one. */
  const BUSY = [
    ["check --only core --runs 1000000 --nodes 2", /%/],
    ["patch --changes 10000 --machine xeon-8260-8s", /kreplica patch: \d+ s/],
  ] as const;
  test.each(
    BUSY.flatMap(([words, progress]) =>
      (
        [
          ["SIGINT", 130],
          ["SIGTERM", 143],
        ] as const
      ).map(([signal, code]) => [words, signal, code, progress] as const),
    ),
  )("%s: %s ends it with %d and a clean line", async (words, signal, code, progress) => {
    const run = onTerminal(words, `${words.split(" ")[0]!}-${signal}`);
    await run.until(progress);
    run.kill(signal);
    expect(await run.ended).toBe(code);
    expect(lastLine(run.shown.text)).toBe("");
    // Neither a hidden cursor nor lines that no longer wrap stay behind.
    expect(run.shown.text).not.toMatch(/\?25l|\?7l/);
  });

  test("reports, refusals and exit codes are those of a pipe", async () => {
    for (const [words, code] of [
      ["machine tiny-2-node", 0],
      ["machine nosuch", 2],
      ["boot --policy rfc-v1 --machine tiny-2-node", 1],
    ] as const) {
      const piped = await kreplica.run(words.split(" "));
      const run = onTerminal(words, words.replaceAll(" ", "-"));
      expect([await run.ended, piped.code]).toEqual([code, code]);
      const plain = run.shown.text
        .replaceAll("\r\n", "\n")
        .replace(/\r/g, "")
        .replace(/\u001b\[[0-9;?]*[a-zA-Z]/g, "")
        .replace(/ {2}kreplica \w+: \d+ s/g, "");
      expect(plain.replace(/\s+/g, " ").trim()).toBe((piped.out + piped.error).replace(/\s+/g, " ").trim());
    }
  });
});

test("in a pipe it is quiet however long it takes, and a signal's own code ends it", async () => {
  const child = spawn(process.execPath, [kreplica.file, "check", "--only", "core", "--runs", "1000000"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stdout.on("data", (part: Buffer) => {
    said += part.toString();
  });
  child.stderr.on("data", (part: Buffer) => {
    said += part.toString();
  });
  const ended = new Promise((resolve) => {
    child.on("close", (code, signal) => resolve(signal ?? code));
  });
  // Long enough to be at work on any computer; whether it is does not change what is expected.
  await new Promise((resolve) => {
    setTimeout(resolve, 3000);
  });
  child.kill("SIGINT");
  expect([await ended, said]).toEqual(["SIGINT", ""]);
});
