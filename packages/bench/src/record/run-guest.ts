/** Runs a guest with the recorder from switching on to switching off; told to stop, it leaves a whole recording. */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { type GuestMachine, machineArguments } from "./guest-machine.js";
import type { RecordTools } from "./tools.js";

/** What runs. Paths. */
export interface GuestRun {
  readonly tools: RecordTools;
  readonly machine: GuestMachine;
  readonly kernel: string;
  readonly initrd: string;
  /** Words of the kernel's command line besides our own. */
  readonly append: readonly string[];
  /** Where the recording goes, not packed. */
  readonly output: string;
}

/** How it ended. */
export interface GuestEnd {
  /** By a signal to us. */
  readonly interrupted: boolean;
  /** Of QEMU; null where a signal ended it. */
  readonly code: number | null;
  /** The end of what the guest's console and QEMU said. */
  readonly said: string;
}

const KEPT = 4000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** QEMU speaks of features of the processor that it does not emulate, and of how we name its nodes' memory. */
const NOISE = /TCG doesn't support requested feature|terminating on signal|-numa node,mem is deprecated|warning: $/;
/** First interface of which the recorder needs no single block of memory. */
const BLOCKS_FROM = 5;
/**
 * Last interface whose QEMU says with one thread which CPU runs: QEMU 10.0 and 11.1 take the one for which a block was
 * translated.
 */
const SINGLE_UP_TO = 1;

/**
 * @param heard gets each line that the guest's first process says of itself: `start 0`, `exit 0`
 * @returns when QEMU has ended
 */
export function runGuest(
  { tools, machine, kernel, initrd, append, output }: GuestRun,
  heard: (word: string, value: number) => void,
): Promise<GuestEnd> {
  // One thread: a CPU that waits for another's lock would spin while the host runs neither.
  const single = tools.api <= SINGLE_UP_TO;
  const guest = spawn(
    tools.qemu,
    [
      ...[
        "-accel",
        `tcg,thread=${single ? "single" : "multi"}`,
        "-cpu",
        "Haswell-noTSX",
        ...machineArguments(machine, tools.api >= BLOCKS_FROM),
      ],
      ...["-nodefaults", "-vga", "none", "-display", "none", "-no-reboot", "-monitor", "none", "-serial", "stdio"],
      ...["-kernel", kernel, "-initrd", initrd, "-append"],
      // Physical pages of the kernel are told by its addresses; the console is for those who ask why it ended.
      ["console=ttyS0 nokaslr panic=-1 loglevel=4", `kreplica.cpu=${machine.cpu}`, ...append].join(" "),
      ...["-plugin", `${tools.recorder},out=${output.replaceAll(",", ",,")},thread=${single ? "single" : "multi"}`],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let [said, interrupted] = ["", false];
  const keep = (line: string): void => {
    said = `${said}${line}\n`.slice(-KEPT);
  };
  const restOfConsole = byLine(guest.stdout.setEncoding("latin1"), (line) => {
    const [, word, value] = /^KREPLICA (\S+) (\d+)$/.exec(line) ?? [];
    if (word === undefined) keep(line);
    else heard(word, Number(value));
  });
  const restOfErrors = byLine(guest.stderr.setEncoding("utf8"), (line) => {
    if (!NOISE.test(line)) keep(line);
  });
  const stop = (): void => {
    interrupted = true;
    guest.kill("SIGTERM");
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  return new Promise<GuestEnd>((resolve) => {
    guest.on("error", (error) => {
      keep(error.message);
      resolve({ interrupted, code: 1, said });
    });
    guest.on("close", (code) => {
      for (const rest of [restOfErrors(), restOfConsole()]) if (rest !== "") keep(rest);
      resolve({ interrupted, code, said });
    });
  }).finally(() => {
    for (const signal of SIGNALS) process.removeListener(signal, stop);
  });
}

/** @returns what stands behind the last end of a line */
function byLine(stream: Readable, line: (text: string) => void): () => string {
  let rest = "";
  stream.on("data", (text: string) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop()!;
    lines.forEach(line);
  });
  return () => rest;
}
