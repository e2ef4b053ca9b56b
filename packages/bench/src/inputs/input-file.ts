/**
 * File arguments that are no files: `-` for standard input, a FIFO, a process substitution. What comes through is kept
 * in an unnamed file, so that every reader may open it by its path, more than once and from any thread; messages name
 * what the user gave.
 */
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "@kreplica/inputs";

export const STANDARD_INPUT = "standard input";
/** More than any kernel or recording. */
const LARGEST = 2 ** 31;
const PIECE = 1 << 16;
/** Milliseconds between two looks at a FIFO. */
const PAUSE = 20;

/** Paths under which kept inputs are opened, and what they are called. */
const names = new Map<string, string>();
let standardInputOf: string | undefined;
let say: (text: string) => void = () => {};

/** A command line begins. @param word says on standard error that something is waited for */
export function beginInputs(word: (text: string) => void): void {
  names.clear();
  standardInputOf = undefined;
  say = word;
}

/** A path as the user knows it. */
export const shownPath = (path: string): string => names.get(path) ?? path;

/** Text with what the user gave in place of the paths of kept inputs. */
export function withShownPaths(text: string): string {
  let shown = text;
  for (const [path, name] of names) shown = shown.replaceAll(path, name);
  return shown;
}

/**
 * A path that can be opened any number of times: the given one, unless it is `-` or a pipe, which is read to its end
 * first.
 *
 * @param option under which it was given
 * @throws InputError when standard input was given before, or what comes is larger than 2 GiB or cannot be read
 */
export function inputPath(path: string, option: string): string {
  if (path === "-") {
    if (standardInputOf !== undefined)
      throw new InputError({
        file: option,
        reason: `${STANDARD_INPUT} is read for ${standardInputOf} already`,
        remedy: "give one of them as a file",
      });
    standardInputOf = option;
    if (statOf(0)?.isCharacterDevice()) say(`reading ${STANDARD_INPUT} for ${option}; end it with Ctrl-D`);
    return keep(0, STANDARD_INPUT);
  }
  const found = statOf(path);
  // A pipe of the shell has its writer, or had it; a FIFO in the file system may have none yet.
  const ofShell = /^\/(dev\/(fd\/|stdin$)|proc\/)/.test(path);
  // A device may have no end, and says nothing of its length: /dev/zero filled the memory.
  if (!ofShell && path !== "/dev/tty" && (found?.isCharacterDevice() || found?.isBlockDevice()))
    throw new InputError({
      file: path,
      reason: "a device, not a file",
      remedy: "give a file, or - for standard input",
    });
  if (!found?.isFIFO()) return path;
  const fault = (error: unknown): InputError =>
    new InputError({
      file: path,
      reason: `cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
      remedy: "check its permissions",
    });
  let handle: number;
  try {
    handle = openSync(path, constants.O_RDONLY | (ofShell ? 0 : constants.O_NONBLOCK));
  } catch (error) {
    throw fault(error);
  }
  try {
    return keep(handle, path, ofShell ? undefined : () => say(`${path}: waiting for a writer`));
  } finally {
    closeSync(handle);
  }
}

/**
 * A file that was found in a folder, as it is: at a FIFO's other end there is nobody, and opening it would wait for
 * ever. What does not exist is said by whoever opens it.
 *
 * @returns the path
 * @throws InputError when it is, or a link leads to, something that is neither file nor folder
 */
export function foundFile(path: string): string {
  const found = statOf(path);
  if (found === undefined || found.isFile() || found.isDirectory()) return path;
  throw new InputError({
    file: path,
    reason: `${found.isFIFO() ? "a FIFO" : found.isSocket() ? "a socket" : "a device"}, not a file`,
    remedy: "put a file there, or remove it",
  });
}

const statOf = (of: string | number): ReturnType<typeof statSync> | undefined => {
  try {
    return statSync(typeof of === "number" ? `/dev/fd/${of}` : of, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
};

/**
 * Reads to the end into a file without a name.
 * @param onSilence called once when nobody has opened the other end yet
 */
function keep(from: number, name: string, onSilence?: () => void): string {
  const folder = mkdtempSync(join(tmpdir(), "kreplica-"));
  const file = join(folder, "input");
  const to = openSync(file, "wx+", 0o600);
  const piece = new Uint8Array(PIECE);
  let length = 0;
  let asked = false;
  for (;;) {
    const read = readSome(from, piece);
    if (read === 0 && (length > 0 || onSilence === undefined)) break;
    if (read === 0 && !asked) {
      asked = true;
      onSilence!();
    }
    if (read <= 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE);
    for (let written = 0; written < read;) written += writeSync(to, piece, written, read - written);
    length += Math.max(read, 0);
    if (length > LARGEST)
      throw new InputError({
        file: name,
        reason: "more than 2 GiB came, and no end",
        remedy: "give a kernel, a recording or a machine",
      });
  }
  // Gone from the folder at once, whatever ends this process; where there is no such door to an open file, when it
  // exits.
  const door = `/proc/self/fd/${to}`;
  const has = statOf(door)?.isFile() === true;
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  if (has) {
    unlinkSync(file);
    remove();
  } else process.once("exit", remove);
  names.set(has ? door : file, name);
  return has ? door : file;
}

/** Bytes read; 0 at the end or where nobody writes, -1 where somebody will. */
function readSome(from: number, into: Uint8Array): number {
  try {
    return readSync(from, into, 0, into.length, null);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EAGAIN") return -1;
    if (code === "EOF") return 0;
    throw error;
  }
}
