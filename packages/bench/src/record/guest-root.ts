/** What lies in the guest's root file system: our first process, the user's command, his folder, his modules. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, join, posix } from "node:path";
import { InputError, whyNot } from "@kreplica/inputs";
import { readInput } from "../inputs/read-input.js";
import type { RootFile } from "./root-archive.js";

/** Paths as the user gave them. */
export interface RootRequest {
  /** Of the built first process. */
  readonly init: string;
  /** Words of the command; the first is a program in the folder, or one here. */
  readonly command: readonly string[];
  readonly root?: string;
  readonly modules?: string;
}

const RUN = "--run";
/** Node 0 unpacks it, beside all else. */
const MOST_BYTES = 192 * 2 ** 20;
const MOST_MODULES = 256;
/** Folders that Linux or our first process mounts something on, or that hold what is ours. */
const OWN = ["dev", "proc", "sys", "tmp", "mnt", "bin", "kreplica", "kreplica/modules"];

/**
 * @returns files, folders first
 * @throws InputError for what cannot be read, is too much, or cannot run in the guest
 */
export function guestRoot({ init, command, root, modules }: RootRequest): RootFile[] {
  const files = new Map<string, RootFile>();
  const add = (file: RootFile): void => void files.set(file.path, file);
  for (const path of OWN) add({ path, kind: "folder" });
  // For programs that run them, where the folder has none of its own.
  for (const name of ["true", "false"]) add({ path: `bin/${name}`, kind: "link", bytes: Buffer.from("/init") });
  if (root !== undefined) addFolder(root, "", add);
  add({ path: "dev/console", kind: "device", device: [5, 1] });
  add({ path: "dev/null", kind: "device", device: [1, 3] });
  add({ path: "init", kind: "file", bytes: readFileSync(init), executable: true });
  const words = [programOf(command[0]!, files, add), ...command.slice(1)];
  add({ path: "kreplica/command", kind: "file", bytes: Buffer.from(words.map((word) => `${word}\0`).join("")) });
  if (modules !== undefined)
    modulesIn(modules).forEach((file, i) =>
      add({ path: `kreplica/modules/${i}.ko`, kind: "file", bytes: readInput(file, "name a folder of .ko files") }),
    );
  const bytes = [...files.values()].reduce((sum, file) => sum + (file.bytes?.length ?? 0), 0);
  if (bytes > MOST_BYTES)
    throw new InputError({
      file: root ?? modules ?? RUN,
      reason: `${Math.ceil(bytes / 2 ** 20)} MiB, and the guest's root file system may have ${MOST_BYTES / 2 ** 20}`,
      remedy: "leave out what the command does not need",
    });
  return [...files.values()];
}

/** The seven tests are our first process itself. */
export const TESTS = "kreplica-tests";

/** Path of a program in the guest, put there where it is not. */
function programOf(word: string, files: ReadonlyMap<string, RootFile>, add: (file: RootFile) => void): string {
  if (word === TESTS) return word;
  const candidates = word.startsWith("/")
    ? [word.slice(1)]
    : ["bin", "usr/bin", "sbin", "usr/sbin"].map((each) => posix.join(each, word));
  if (candidates.some((each) => files.has(each))) return word;
  const bytes = readInput(word, "name a program here, or one in the folder that --root names", RUN);
  const path = `bin/${basename(word)}`;
  refuseDynamic(word, bytes);
  add({ path, kind: "file", bytes, executable: true });
  return `/${path}`;
}

const PROGRAM_HEADER = 56;
const INTERPRETER = 3;

/** @throws InputError for what is no program of x86-64 Linux, or needs libraries */
function refuseDynamic(file: string, bytes: Buffer): void {
  const refuse = (reason: string, remedy: string): never => {
    throw new InputError({ file, field: RUN, reason, remedy });
  };
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes.readUInt16LE(18) !== 62)
    refuse("is no x86-64 program", "name one, or a script with --root and the folder that has its interpreter");
  const [first, count] = [Number(bytes.readBigUInt64LE(32)), bytes.readUInt16LE(56)];
  for (let i = 0; i < count; i++) {
    const at = first + i * PROGRAM_HEADER;
    if (at + 4 > bytes.length) return;
    if (bytes.readUInt32LE(at) === INTERPRETER)
      refuse("needs shared libraries", "link it with -static, or name the folder of a root file system with --root");
  }
}

function addFolder(folder: string, path: string, add: (file: RootFile) => void): void {
  const at = join(folder, path);
  let entries;
  try {
    entries = readdirSync(at, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw new InputError({ file: at, field: "--root", ...whyNot(error, "name a folder") });
  }
  for (const entry of entries) {
    const inside = posix.join(path, entry.name);
    const own = join(folder, inside);
    if (entry.isSymbolicLink()) add({ path: inside, kind: "link", bytes: Buffer.from(linkTo(own)) });
    else if (entry.isDirectory()) {
      add({ path: inside, kind: "folder" });
      addFolder(folder, inside, add);
    } else if (entry.isFile())
      add({
        path: inside,
        kind: "file",
        bytes: readInput(own, "make it readable, or leave it out", "--root"),
        executable: (statSync(own).mode & 0o111) !== 0,
      });
  }
}

/**
 * What a link of a root file system says, which is kept as it is: one to the folder above it is nothing odd.
 * @throws InputError for one that leads to itself, which can be no part of a file system that works
 */
function linkTo(link: string): string {
  const target = readlinkSync(link);
  try {
    // What begins at the root does so in the guest.
    if (!target.startsWith("/")) statSync(link, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as { code?: string }).code === "ELOOP")
      throw new InputError({
        file: link,
        field: "--root",
        reason: `is a link to ${target}, which leads back to it`,
        remedy: "remove it, or let it lead to a file",
      });
  }
  return target;
}

/** Its .ko files, and those of its folders, in order of their paths. Folders that links lead to are not looked into. */
function modulesIn(folder: string): string[] {
  const remedy = "name a folder of .ko files, not packed";
  const found: string[] = [];
  // Not readdir's own recursion: later releases of Node follow links with it, round and round.
  const look = (inner: string): void => {
    for (const entry of readdirSync(inner, { withFileTypes: true })) {
      const path = join(inner, entry.name);
      if (entry.isDirectory()) look(path);
      else if (entry.name.endsWith(".ko")) found.push(path);
    }
  };
  try {
    look(folder);
    found.sort();
  } catch (error) {
    throw new InputError({ file: folder, field: "--modules", ...whyNot(error, remedy) });
  }
  if (found.length === 0)
    throw new InputError({ file: folder, field: "--modules", reason: "holds no .ko file", remedy });
  if (found.length > MOST_MODULES)
    throw new InputError({
      file: folder,
      field: "--modules",
      reason: `${found.length} modules, and a guest loads at most ${MOST_MODULES}`,
      remedy: "copy those that are needed into a folder of their own",
    });
  return found;
}
