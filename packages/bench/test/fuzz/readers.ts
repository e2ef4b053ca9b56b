/// <reference types="node" />
/** Readers with a sound file each, and what of damaged ones they may end in: sound data, or a typed error. */
import { BpfError, readObject } from "@kreplica/bpf";
import { ElfError, readElf } from "@kreplica/elf";
import { InputError, Lz4Fault, readCallCounts, unpackLz4Block } from "@kreplica/inputs";
import { damagedBytes, damagedText, numbers } from "@kreplica/inputs/testing";
import {
  kernelFromBytes,
  missingTables,
  moduleFromBytes,
  readPages,
  readRoots,
  readSections,
  readSymbolList,
  readSystemMap,
} from "@kreplica/kernel-files";
import { summed } from "@kreplica/kernel-files/testing";
import { accountsFromText, checkMachine, folderOf, machineFromAccounts, sysfsAccount } from "@kreplica/machines";
import { ModuleError } from "@kreplica/modules";
import { tinyModule } from "@kreplica/modules/testing";
import { planFromText, pointsOf } from "@kreplica/sweep";
import { checkTrace, readTraceBytes, recordingOf } from "@kreplica/trace";
import * as samples from "./samples.js";

/** A reader, and what it is given. */
export interface FuzzedReader {
  readonly name: string;
  readonly sound: Uint8Array | string;
  read(given: Uint8Array): unknown;
  /** Puts a checksum right, so that what is damaged is read. */
  mend?(damaged: Uint8Array): Uint8Array;
}

const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const account = (bytes: Uint8Array): void => {
  checkMachine(machineFromAccounts(accountsFromText(utf8(bytes), "box"), "box"));
};
/** Points of a plan are asked for one by one: a damaged one may span many. */
const MOST_POINTS = 1000;

export const readers: readonly FuzzedReader[] = [
  {
    name: "KTRC1",
    sound: samples.recording(),
    read(bytes) {
      checkTrace(recordingOf("a.kt", bytes));
      readTraceBytes("a.kt", bytes, () => undefined);
    },
  },
  { name: "strace -c", sound: samples.texts.strace, read: (bytes) => readCallCounts(utf8(bytes), "mix") },
  { name: "perf trace -s", sound: samples.texts["perf trace"], read: (bytes) => readCallCounts(utf8(bytes), "mix") },
  { name: "vmlinux", sound: samples.smallVmlinux(), read: kernel },
  { name: "vmlinuz, gzip", sound: samples.gzipped(), read: kernel, mend: checksummed },
  { name: "vmlinuz, lz4", sound: samples.lz4Packed(), read: kernel, mend: checksummed },
  { name: "vmlinuz, xz", sound: samples.xzPacked(), read: kernel, mend: checksummed },
  { name: "vmlinuz, zstd", sound: samples.zstdPacked(), read: kernel, mend: checksummed },
  {
    name: "LZ4 block",
    sound: samples.lz4Block(),
    read(bytes) {
      const out = new Uint8Array(4096);
      const end = unpackLz4Block(bytes, 0, bytes.length, out, { from: 0, to: out.length, lowest: 0 }, "too much");
      // Damage is a value there: its callers make it an error of their own.
      if (end instanceof Lz4Fault) throw end;
    },
  },
  {
    name: "ELF",
    sound: tinyModule({ exports: ["one"] }),
    read(bytes) {
      const elf = readElf(bytes);
      for (const section of elf.sections) elf.bytesOf(section);
      elf.symbols();
      for (const section of elf.sections) elf.relocationsOf(section);
    },
  },
  {
    name: "module",
    sound: tinyModule({ exports: ["one", "two"] }),
    read: (bytes) => moduleFromBytes(bytes, "a", "a.ko"),
  },
  { name: "BPF object", sound: samples.bpfObject(), read: readObject },
  { name: "System.map", sound: samples.texts["System.map"], read: (bytes) => readSystemMap(bytes, "System.map") },
  { name: "kallsyms", sound: samples.texts["System.map"], read: (bytes) => readSymbolList(utf8(bytes), "kallsyms") },
  { name: "readelf -S", sound: samples.texts.readelf, read: (bytes) => readSections(utf8(bytes), "sections") },
  {
    name: "table pages",
    sound: samples.tablePages(),
    read: (bytes) => missingTables(readPages("pages", bytes), { cpu: 0, root: 1, levels: 4 }),
  },
  { name: "registers", sound: samples.texts.registers, read: (bytes) => readRoots("registers", utf8(bytes)) },
  { name: "acpidump", sound: samples.acpidump(), read: account },
  { name: "lscpu -J", sound: samples.texts["lscpu -J"], read: account },
  { name: "/proc/cpuinfo", sound: samples.texts.cpuinfo, read: account },
  { name: "numactl", sound: samples.texts.numactl, read: account },
  { name: "MLC", sound: `${samples.texts.numactl}${samples.texts.mlc}`, read: account },
  { name: "lstopo XML", sound: samples.lstopo(), read: account },
  { name: "sysfs", sound: samples.sysfsTree(), read: sysfs },
  {
    name: "plan",
    sound: samples.texts.plan,
    read(bytes) {
      let points = 0;
      for (const _ of pointsOf(planFromText(utf8(bytes), "plan", "schema").plan)) if (++points === MOST_POINTS) break;
    },
  },
];

/** A tree as lines of paths and texts; a line without a text is a file that is empty. */
function sysfs(bytes: Uint8Array): void {
  const files = utf8(bytes)
    .split("\n")
    .filter((line) => line !== "")
    .map((line): [string, string] => {
      const [path, ...text] = line.split(" ");
      return [path!, `${text.join(" ")}\n`];
    });
  checkMachine(machineFromAccounts([sysfsAccount(folderOf("sys", new Map(files)))], "box"));
}

/** Of files that are long enough to have one. */
function checksummed(image: Uint8Array): Uint8Array {
  return image.length < 1024 ? image : summed(image);
}

async function kernel(bytes: Uint8Array): Promise<void> {
  const file = await kernelFromBytes(bytes, "kernel");
  if (file.relocations !== undefined) file.relocated(0x20_0000n);
}

const isTyped = (error: unknown): boolean =>
  error instanceof InputError ||
  error instanceof ElfError ||
  error instanceof ModuleError ||
  error instanceof BpfError ||
  error instanceof Lz4Fault;

/** How damaged files ended. */
export interface FuzzOutcome {
  readonly read: number;
  readonly refused: number;
  /** Milliseconds of the slowest; for printing. */
  readonly slowest: number;
}

/** @throws for any other end, with the seed, the number and the file */
export async function fuzz(
  { name, sound, read, mend }: FuzzedReader,
  count: number,
  seed: number,
): Promise<FuzzOutcome> {
  const draw = numbers(seed);
  let sane = 0;
  let slowest = 0;
  for (let nth = 0; nth < count; nth++) {
    const damaged =
      typeof sound === "string" ? new TextEncoder().encode(damagedText(sound, draw)) : damagedBytes(sound, draw);
    const given = mend !== undefined && draw(8) > 0 ? mend(damaged) : damaged;
    const begin = performance.now();
    try {
      await read(given);
      sane++;
    } catch (error) {
      if (!isTyped(error))
        throw new Error(
          `${name}, seed ${seed}, file ${nth}: ${Buffer.from(given).toString("base64").slice(0, 100_000)}`,
          {
            cause: error,
          },
        );
    }
    slowest = Math.max(slowest, performance.now() - begin);
  }
  return { read: sane, refused: count - sane, slowest };
}

/** A file cut at every byte. @returns how many cuts were refused @throws as {@link fuzz} */
export async function cutEverywhere({ name, sound, read }: FuzzedReader, step = 1): Promise<number> {
  const whole = typeof sound === "string" ? new TextEncoder().encode(sound) : sound;
  let refused = 0;
  for (let length = 0; length < whole.length; length += step) {
    try {
      await read(whole.subarray(0, length));
    } catch (error) {
      if (!isTyped(error)) throw new Error(`${name}, cut at ${length}`, { cause: error });
      refused++;
    }
  }
  return refused;
}
