/** Builds the measuring program with the user's own compiler and runs it: all that it printed, or what went wrong. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "@kreplica/inputs";
import { type Measurement, measurementFromProgram } from "@kreplica/machines";

/** The computer that measures, as far as a test may want another one. */
export interface Computer {
  /** As Node names them: `x64`, `linux`. */
  readonly architecture: string;
  readonly platform: string;
  /** `PATH` is where the compiler is looked for, `CC` one of the user's choice. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Where kreplica runs. */
export const thisComputer = (): Computer => ({
  architecture: process.arch,
  platform: process.platform,
  environment: process.env,
});

/** How long, in which order, and who hears of the progress. */
export interface MeasureRequest {
  readonly seconds: number;
  /** 32 bits. */
  readonly seed: number;
  /** Gets a line for each one that the program prints. */
  heard(): void;
}

const COMPILERS = ["cc", "gcc", "clang"];
const FLAGS = ["-O2", "-std=gnu11", "-pthread"];
const SOURCES = ["probe.c", "chains.c", "system.c"];
/** What the program may take longer than it was told: the cell it is in, and one that had just begun. */
const GRACE_SECONDS = 60;

/** In probe/ beside src/ in the repository and beside dist/ when installed. */
const sourceFolder = (): string =>
  [new URL("../probe", import.meta.url), new URL("../../probe", import.meta.url)]
    .map((each) => fileURLToPath(each))
    .find((each) => existsSync(join(each, SOURCES[0]!)))!;

/**
 * @throws InputError on another architecture or system, without a compiler, and where building or measuring fails
 */
export async function measureHere(computer: Computer, request: MeasureRequest): Promise<Measurement> {
  if (computer.architecture !== "x64" || computer.platform !== "linux")
    throw new InputError({
      file: "probe",
      reason: `measures x86-64 processors under Linux, and this is ${computer.architecture} under ${computer.platform}`,
      remedy: "run it on the machine in question; what it prints with --json can be read anywhere",
    });
  let folder: string;
  try {
    folder = mkdtempSync(join(tmpdir(), "kreplica-probe-"));
  } catch (error) {
    throw new InputError({
      file: tmpdir(),
      reason: `the measuring program cannot be built there (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
      remedy: "name another folder by TMPDIR",
    });
  }
  try {
    const program = join(folder, "probe");
    build(computer, program);
    return measurementFromProgram(await printed(program, request), "the measuring program");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function build({ environment }: Computer, program: string): void {
  const chosen = environment["CC"];
  const env = { ...environment, LC_ALL: "C" };
  const compiler = (chosen ? [chosen] : COMPILERS).find(
    (each) => spawnSync(each, ["--version"], { env, encoding: "utf8" }).status === 0,
  );
  if (compiler === undefined)
    throw new InputError({
      file: chosen ?? COMPILERS[0]!,
      reason: chosen ? "CC names no compiler that runs" : `no C compiler is here (${COMPILERS.join(", ")})`,
      remedy: "install the package gcc and libc6-dev, or their like of your distribution",
    });
  const sources = sourceFolder();
  const { status, stderr, error } = spawnSync(
    compiler,
    [...FLAGS, "-o", program, ...SOURCES.map((name) => join(sources, name))],
    { env, encoding: "utf8" },
  );
  if (status === 0 && existsSync(program)) return;
  const said = /^.*(?:error|cannot find).*$/m.exec(stderr ?? "")?.[0].trim();
  throw new InputError({
    file: compiler,
    reason: `does not build the measuring program (${said ?? error?.message ?? (status === 0 ? "it made no program" : `exit code ${status}`)})`,
    remedy: "install the package libc6-dev, or its like of your distribution, or name another compiler by CC",
  });
}

/** Its standard output, whole. @throws InputError where it dies or does not end */
function printed(program: string, { seconds, seed, heard }: MeasureRequest): Promise<string> {
  return new Promise((resolve, reject) => {
    const refuse = (reason: string): void =>
      reject(
        new InputError({
          file: "the measuring program",
          reason,
          remedy: "run it again, with another --budget or on a quieter machine; if it stays so, report it",
        }),
      );
    const child = spawn(program, [String(seconds), String(seed)], { stdio: ["ignore", "pipe", "pipe"] });
    let [out, said] = ["", ""];
    const timer = setTimeout(() => child.kill("SIGKILL"), 1000 * (seconds + GRACE_SECONDS));
    // Whoever ends the command by a signal ends this too.
    const end = (): boolean => child.kill("SIGKILL");
    process.once("exit", end);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      for (const letter of text) if (letter === "\n") heard();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-400);
    });
    child.on("error", (error) => refuse(`cannot be run (${(error as NodeJS.ErrnoException).code ?? error.message})`));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      process.removeListener("exit", end);
      // It says why it refuses on standard output: code 3.
      if (code === 0 || code === 3) resolve(out);
      else refuse(`ended with ${signal ?? code}${said.trim() === "" ? "" : `: ${said.trim()}`}`);
    });
  });
}
