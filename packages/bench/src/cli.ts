#!/usr/bin/env node
/**
 * The kreplica command: arguments in, text and exit code out. Only this file and terminal-session.ts touch the process.
 */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { keepingFor } from "./keeping.js";
import { isWatched, progressOn, screenFor } from "./report/terminal.js";
import { runOnTerminal, type SessionData, surroundingsInWorker } from "./terminal-session.js";

/** As in commands/run.ts, which is loaded only where the work is done. */
const BAD_INPUT = 2;

if (!isMainThread) {
  const { commandLine } = await import("./command-line.js");
  const session = workerData as SessionData;
  const code = await commandLine(session.words, surroundingsInWorker(session, parentPort!));
  parentPort!.postMessage({ kind: "done", code });
} else {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      // A reader that has seen enough (`| head`) is not an error.
      if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
      if (stream === process.stdout)
        process.stderr.write(
          `kreplica: standard output: cannot be written (${error.code ?? error.message}). Make room, or write elsewhere: what is there is not whole.\n`,
        );
      process.exit(BAD_INPUT);
    });
  }
  const words = process.argv.slice(2);
  // A recording waits for its guest and is ended by Ctrl-C, whole: signals reach no worker.
  process.exitCode =
    isWatched(process.stderr, process.env) && words[0] !== "record"
      ? await runOnTerminal(new URL(import.meta.url), words)
      : await (
          await import("./command-line.js")
        ).commandLine(words, {
          out: (text) => {
            process.stdout.write(text);
          },
          error: (text) => {
            process.stderr.write(text);
          },
          screen: screenFor(process.stdout, process.env),
          progress: progressOn(process.stderr, process.env),
          debug: Boolean(process.env["KREPLICA_DEBUG"]),
          keep: keepingFor(process.env, isWatched(process.stderr, process.env)),
        });
}
