/** A line of words on the command, with everything it may need loaded: what cli.ts runs, here or in a worker. */
import "@kreplica/di"; // first: it loads reflect-metadata, which classes with injected parameters need when they are defined
import manifest from "../package.json";
import { COMMANDS } from "./commands/all.js";
import { run, type RunSurroundings } from "./commands/run.js";
import { inlineMore, optimizeLarge } from "./inlining.js";

/** @returns the exit code; never throws */
export async function commandLine(
  words: readonly string[],
  surroundings: Omit<RunSurroundings, "version">,
): Promise<number> {
  inlineMore();
  optimizeLarge();
  return run(words, COMMANDS, { version: manifest.version, ...surroundings });
}
