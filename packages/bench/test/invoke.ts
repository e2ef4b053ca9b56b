/// <reference types="node" />
/** Runs a command line in this process, for tables over all commands: what it prints, and its exit code. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { COMMANDS } from "../src/commands/all.js";
import type { RegisterCommand } from "../src/commands/command.js";
import type { Keeping } from "../src/commands/kept.js";
import { programOf } from "../src/commands/program.js";
import { run } from "../src/commands/run.js";
import { progressOn, screenFor } from "../src/report/terminal.js";
import { atEnd } from "./at-end.js";

export interface Invoked {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

const runs = mkdtempSync(join(tmpdir(), "kreplica-runs-"));
atEnd(() => rmSync(runs, { recursive: true, force: true }));
/** Has calls that ask for the same run of a recording share it, whichever files they are in; no text is kept. */
const SHARED: Keeping = { folder: runs, watched: false, leastSeconds: Infinity };

/**
 * @param environment of the screen: `COLUMNS`
 * @param commands that there are
 * @param keep where results are kept; "nothing" where a test asks whether two calls compute the same
 */
export async function invoke(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  commands: readonly RegisterCommand[] = COMMANDS,
  keep: Keeping | "nothing" = SHARED,
): Promise<Invoked> {
  let out = "";
  let error = "";
  const code = await run(words, commands, {
    version: "0",
    out: (text) => {
      out += text;
    },
    error: (text) => {
      error += text;
    },
    screen: screenFor({}, environment),
    progress: progressOn({ isTTY: false } as never, {}),
    debug: false,
    keep: keep === "nothing" ? undefined : keep,
  });
  return { code, out, error };
}

/** Where a command is run, and what it sees of the environment. */
export interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a command line in a folder: as the real command (cli.ts), but for what a process is to others (its output to a
 * closed pipe, signals, its exit), a second sooner, and on code that V8 has compiled before. One at a time where a
 * folder is named.
 */
export async function invokeIn(
  words: readonly string[],
  { cwd, env = {} }: Surroundings = {},
  keep?: Keeping | "nothing",
): Promise<Invoked> {
  const before = process.cwd();
  if (cwd !== undefined) process.chdir(cwd);
  try {
    return await invoke(words, env, COMMANDS, keep);
  } finally {
    process.chdir(before);
  }
}

/** All commands as they register themselves, with nothing around them. */
export const registered = async (): Promise<readonly Command[]> => (await programOf()).commands;
