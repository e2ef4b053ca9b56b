/**
 * A command on a terminal: it runs in a worker, so that the terminal is answered while it computes. Progress moves, and
 * Ctrl-C or SIGTERM end it at once with a clean line. Without a terminal nobody watches, and no worker is needed:
 * signals then do by themselves what they should.
 */
import { getHeapStatistics } from "node:v8";
import { type MessagePort, Worker } from "node:worker_threads";
import { keepingFor } from "./keeping.js";
import type { RunSurroundings } from "./commands/run.js";
import { PatientProgress } from "./report/patient-progress.js";
import { progressOn, screenFor, type StreamLike } from "./report/terminal.js";

/** What a worker is given. */
export interface SessionData {
  readonly words: readonly string[];
  /** How standard output looks. */
  readonly output: StreamLike;
}

/** What it says of itself. */
export type SessionMessage =
  | { readonly kind: "out" | "error"; readonly text: string }
  | { readonly kind: "start"; readonly total: number; readonly what: string }
  | { readonly kind: "step"; readonly count: number; readonly what: string }
  | { readonly kind: "stop" }
  | { readonly kind: "done"; readonly code: number };

/** Exit code of a fault of ours, as commands/run.ts has it; that file is too much to load for a number. */
const FAULT = 70;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Inside the worker: everything that would touch the process becomes a message. */
export function surroundingsInWorker({ output }: SessionData, port: MessagePort): Omit<RunSurroundings, "version"> {
  const say = (message: SessionMessage): void => port.postMessage(message);
  return {
    out: (text) => say({ kind: "out", text }),
    error: (text) => say({ kind: "error", text }),
    screen: screenFor(output, process.env),
    debug: Boolean(process.env["KREPLICA_DEBUG"]),
    keep: keepingFor(process.env, true),
    progress: {
      start: (total, what) => say({ kind: "start", total, what }),
      step: (count, what) => say({ kind: "step", count, what }),
      stop: () => say({ kind: "stop" }),
    },
  };
}

/**
 * Runs the words in a worker of the given file and shows what it says.
 *
 * @param file the command's own file, which finds out that it is a worker
 * @returns the exit code
 */
export async function runOnTerminal(file: URL, words: readonly string[]): Promise<number> {
  const { stdout, stderr, env } = process;
  const progress = new PatientProgress(
    progressOn(stderr, env),
    (text) => stderr.write(text),
    `kreplica ${words[0] ?? ""}`.trim(),
  );
  // As much heap as the main thread would have had.
  const worker = new Worker(file, {
    workerData: { words, output: { isTTY: stdout.isTTY, columns: stdout.columns } } satisfies SessionData,
    resourceLimits: { maxOldGenerationSizeMb: Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20) },
  });
  const ticking = setInterval(() => progress.second(), 1000);
  const end = (signal: (typeof SIGNALS)[number]): void => {
    progress.stop();
    // By the signal's own default: whoever started this learns what ended it, and no work of a thread is waited for.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  };
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    return await new Promise<number>((resolve) => {
      let code: number | undefined;
      worker.on("message", (message: SessionMessage) => {
        if (message.kind === "start") progress.start(message.total, message.what);
        else if (message.kind === "step") progress.step(message.count, message.what);
        else if (message.kind === "stop") progress.stop();
        else if (message.kind === "done") code = message.code;
        else {
          progress.clear();
          (message.kind === "out" ? stdout : stderr).write(message.text);
        }
      });
      worker.on("error", (error) => {
        progress.stop();
        stderr.write(`kreplica: a fault in kreplica itself: ${error.name}: ${error.message.split("\n")[0]!}\n`);
        code = FAULT;
      });
      worker.on("exit", () => resolve(code ?? FAULT));
    });
  } finally {
    clearInterval(ticking);
    progress.stop();
    for (const signal of SIGNALS) process.removeListener(signal, end);
  }
}
