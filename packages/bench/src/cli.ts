#!/usr/bin/env node
/** The kreplica command: arguments in, text and exit code out. The only file that touches the process. */
import "@kreplica/di"; // first: it loads reflect-metadata, which classes with injected parameters need when they are defined
import manifest from "../package.json";
import { COMMANDS } from "./commands/all.js";
import { ExitCode, run } from "./commands/run.js";
import { inlineMore } from "./inlining.js";
import { progressOn, screenFor } from "./report/terminal.js";

inlineMore();

for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough (`| head`) is not an error.
    if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
    if (stream === process.stdout) process.stderr.write(`kreplica: standard output: cannot be written (${error.code ?? error.message}). Make room, or write elsewhere: what is there is not whole.\n`);
    process.exit(ExitCode.BadInput);
  });
}

process.exitCode = await run(process.argv.slice(2), COMMANDS, {
  version: manifest.version,
  out: (text) => { process.stdout.write(text); },
  error: (text) => { process.stderr.write(text); },
  screen: screenFor(process.stdout, process.env),
  progress: progressOn(process.stderr, process.env),
  debug: Boolean(process.env["KREPLICA_DEBUG"]),
});
