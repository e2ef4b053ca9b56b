/** The program with every command, registered and not run: for whoever asks what commands say of themselves. */
import type { Command } from "commander";
import { screenFor } from "../report/terminal.js";
import { COMMANDS } from "./all.js";
import { run } from "./run.js";

/** On a screen of the usual width, without colours. */
export async function programOf(): Promise<Command> {
  let found: Command | undefined;
  const silent = { start() {}, step() {}, stop() {} };
  await run(["--version"], [...COMMANDS, (program) => (found = program)], {
    version: "",
    out() {},
    error() {},
    screen: screenFor({}, {}),
    progress: silent,
    debug: false,
  });
  return found!;
}
