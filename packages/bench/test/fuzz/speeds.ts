/// <reference types="node" />
/**
 * How fast each reader of kreplica's is, in MB of its input a second of processor time: recordings and traces of other
 * tools, made from a shipped recording; a kernel, where one is named; and the small samples that are damaged for tests.
 *
 * In packages/bench: node scripts/reader-speeds.mjs [VMLINUZ...]; measured is the table in docs/recording.md.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { kernelFromBytes } from "@kreplica/kernel-files";
import { dataFile } from "@kreplica/recordings";
import {
  type ByteSink,
  cutTrace,
  exportChampSim,
  exportDin,
  exportDrmemtrace,
  type ForeignFormat,
  importTrace,
  markedCpu,
  readTrace,
  recordingOf,
} from "@kreplica/trace";
import { traceFile } from "../../src/inputs/trace-file.js";
import { readers } from "./readers.js";

const ROUNDS = 3;
/** Seconds for which a sample is read again and again. */
const LEAST_SECONDS = 0.2;

/** Prints the best of several rounds. @param bytes of the input */
async function speed(what: string, bytes: number, read: () => unknown): Promise<void> {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    let times = 0;
    let seconds = 0;
    while (seconds < LEAST_SECONDS) {
      await read();
      times++;
      const { user, system } = process.cpuUsage(before);
      seconds = (user + system) / 1e6;
    }
    best = Math.min(best, seconds / times);
  }
  const rate = (bytes / best / 1e6).toFixed(1).padStart(8);
  console.log(`${what.padEnd(24)} ${(bytes / 1000).toFixed(1).padStart(10)} KB ${rate} MB/s`);
}

function collected(write: (sink: ByteSink) => unknown): Uint8Array {
  const parts: Uint8Array[] = [];
  write((part) => void parts.push(part.slice()));
  return new Uint8Array(Buffer.concat(parts));
}

const packed = dataFile("traces/hsw-kill.kt.zst");
const cpu = markedCpu(traceFile(packed));
const plainBytes = collected((sink) => cutTrace(traceFile(packed), {}, sink));
const plain = recordingOf("kill.kt", plainBytes);
await speed("KTRC1", plainBytes.length, () => readTrace(plain, () => undefined));
await speed("KTRC1, zstd (unpacked)", plainBytes.length, () => readTrace(traceFile(packed), () => undefined));

const din = collected((sink) => exportDin(plain, cpu, sink));
const lines = Buffer.from(din).toString("latin1").trimEnd().split("\n");
/** The same references as lines of another tool. */
const told = (of: (label: string, address: string) => string): Uint8Array =>
  new TextEncoder().encode(lines.map((line) => of(line[0]!, line.slice(2))).join("\n") + "\n");
const foreign: readonly (readonly [string, ForeignFormat["name"], Uint8Array])[] = [
  ["drmemtrace", "drmemtrace", collected((sink) => exportDrmemtrace(plain, cpu, sink))],
  ["ChampSim", "champsim", collected((sink) => exportChampSim(plain, cpu, sink))],
  ["din", "din", din],
  ["xdin", "din", told((label, address) => `${"rwi"[Number(label)]!} ${address} ${label === "2" ? 4 : 8}`)],
  ["lackey", "lackey", told((label, address) => `${[" L", " S", "I "][Number(label)]!} ${address},4`)],
  ["perf script", "perf-script", told((_, address) => `ls 1 [000] 1.25: 1 instructions: ${address} a+0x0 (b)`)],
];
for (const [name, format, bytes] of foreign)
  await speed(name, bytes.length, () => importTrace(recordingOf(name, bytes), format, () => undefined));

for (const file of process.argv.slice(2)) {
  const bytes = readFileSync(file);
  await speed(basename(file).slice(0, 24), bytes.length, () => kernelFromBytes(bytes, file));
}
for (const { name, sound, read } of readers) {
  const bytes = typeof sound === "string" ? new TextEncoder().encode(sound) : sound;
  await speed(name, bytes.length, () => read(bytes));
}
