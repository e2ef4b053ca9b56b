/** Runs a command line in this process, for tables over all commands: what it prints, and its exit code. */
import type { Command } from "commander";
import { COMMANDS } from "../src/commands/all.js";
import type { RegisterCommand } from "../src/commands/command.js";
import type { Keeping } from "../src/commands/kept.js";
import { programOf } from "../src/commands/program.js";
import { run } from "../src/commands/run.js";
import { progressOn, screenFor } from "../src/report/terminal.js";

export interface Invoked {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** @param environment of the screen: `COLUMNS` @param commands that there are @param keep where results are kept */
export async function invoke(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  commands: readonly RegisterCommand[] = COMMANDS,
  keep?: Keeping,
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
    keep,
  });
  return { code, out, error };
}

/** Has calls that ask for the same run of a recording share it, in a folder; no text is kept. */
export const sharedRuns = (folder: string): Keeping => ({ folder, watched: false, leastSeconds: Infinity });

/** All commands as they register themselves, with nothing around them. */
export const registered = async (): Promise<readonly Command[]> => (await programOf()).commands;
