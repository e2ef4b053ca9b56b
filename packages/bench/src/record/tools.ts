/**
 * What a recording needs of the user's machine: QEMU, a C compiler, and of both together a recorder and a first process
 * for the guest. All of it is looked for before anything is done, and what is missing is named by its package.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "@kreplica/inputs";

/** Programs ready to run. */
export interface RecordTools {
  readonly qemu: string;
  /** Version of QEMU's plugin interface that the recorder was built for. */
  readonly api: number;
  /** Paths. */
  readonly recorder: string;
  readonly init: string;
}

const QEMU = "qemu-system-x86_64";
const COMPILER = "gcc";
const NEWEST_API = 7;
/** What a plugin is built with: QEMU resolves its functions when it loads it. */
const PLUGIN_FLAGS = ["-O2", "-fPIC", "-shared"];
const INIT_FLAGS = ["-O2", "-static"];

/** The sources, in recorder/ beside src/ in the repository and beside dist/ when installed. */
const sourceFolder = (): string =>
  [new URL("../recorder", import.meta.url), new URL("../../recorder", import.meta.url)]
    .map((each) => fileURLToPath(each))
    .find((each) => existsSync(join(each, "recorder.c")))!;
/** Of recorder/, all in C. */
const sourcesOf = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();

/**
 * Builds what is not in the cache folder yet.
 * @param cache a folder, made where it is not there
 * @throws InputError naming the package to install, or what the compiler or QEMU said
 */
export function recordTools(cache: string): RecordTools {
  const version = answerOf(QEMU, ["--version"], "qemu-system-x86");
  const compiler = answerOf(COMPILER, ["--version"], "gcc");
  const sources = sourceFolder();
  const digest = createHash("sha256").update(version).update(compiler);
  for (const name of sourcesOf(sources)) digest.update(readFileSync(join(sources, name)));
  const folder = join(cache, `recorder-${digest.digest("hex").slice(0, 16)}`);
  if (!existsSync(folder)) built(cache, folder, sources);
  const api = apis().find((each) => existsSync(join(folder, `recorder-${each}.so`)))!;
  return { qemu: QEMU, api, recorder: join(folder, `recorder-${api}.so`), init: join(folder, "init") };
}

/** From the newest on. */
const apis = (): number[] => Array.from({ length: NEWEST_API }, (_, i) => NEWEST_API - i);

function answerOf(program: string, words: readonly string[], debian: string): string {
  const { status, stdout, error } = spawnSync(program, words, { encoding: "utf8" });
  if (status === 0) return stdout;
  throw new InputError({
    file: program,
    reason:
      error === undefined ? `ends with ${status} when asked for its version` : "is not here, and a recording needs it",
    remedy: `install the package ${debian}`,
  });
}

/** Puts init and a recorder that QEMU takes into the folder, whole or not at all. */
function built(cache: string, folder: string, sources: string): void {
  let part: string;
  try {
    mkdirSync(cache, { recursive: true });
    part = mkdtempSync(`${folder}.`);
  } catch (error) {
    throw new InputError({
      file: cache,
      reason: `the recorder cannot be built there (${(error as { code?: string }).code ?? String(error)})`,
      remedy: "make it writable, or name another folder for caches by XDG_CACHE_HOME",
    });
  }
  try {
    compile([...INIT_FLAGS, "-o", join(part, "init"), join(sources, "init.c"), join(sources, "tests.c")], "libc6-dev");
    const taken = apis().find((api) => {
      const file = join(part, `recorder-${api}.so`);
      compile([...PLUGIN_FLAGS, `-DKREPLICA_PLUGIN_API=${api}`, "-o", file, join(sources, "recorder.c")], "libc6-dev");
      if (isTaken(file)) return true;
      rmSync(file);
      return false;
    });
    if (taken === undefined)
      throw new InputError({
        file: QEMU,
        reason: `takes plugins of none of the versions 1 to ${NEWEST_API} of its interface`,
        remedy: "install a QEMU built with plugins: Debian's package qemu-system-x86 is, from 7.2 on",
      });
    // Another process may have been first: what it made is the same.
    if (!existsSync(folder)) renameSync(part, folder);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

function compile(words: readonly string[], debian: string): void {
  const { status, stderr } = spawnSync(COMPILER, words, { encoding: "utf8" });
  if (status === 0) return;
  throw new InputError({
    file: words.at(-1)!,
    reason: `cannot be compiled (${/^.*(?:error|cannot find).*$/m.exec(stderr)?.[0].trim() ?? `exit code ${status}`})`,
    remedy: `install the package ${debian}, or its like of your distribution`,
  });
}

/** Whether QEMU loads it: a guest without a processor, switched off at once. */
const isTaken = (plugin: string): boolean =>
  spawnSync(
    QEMU,
    [
      ...["-machine", "none", "-accel", "tcg", "-display", "none", "-nodefaults", "-monitor", "stdio"],
      ...["-plugin", `${plugin},out=/dev/null`],
    ],
    { input: "quit\n", timeout: 60_000 },
  ).status === 0;
