/** Damaged traces of every foreign format, from a seed: each is a whole recording or a typed error with its byte. */
import { gzipSync } from "node:zlib";
import { damagedBytes, numbers } from "@kreplica/inputs/testing";
import { zipSync } from "fflate";
import { checkTrace } from "../src/check.js";
import { type ForeignFormat, importTrace } from "../src/foreign/formats.js";
import { recordingOf } from "../src/read-trace.js";
import { TraceError } from "../src/trace-error.js";
import { LZ4 } from "./lz4-sample.js";

const text = (lines: string): Uint8Array => new TextEncoder().encode(lines);

const drmemtrace = ((): Uint8Array => {
  const entries: [number, number, number][] = [
    [25, 0, 4],
    [28, 12, 4],
    [28, 9, 0x40],
    [22, 0, 1],
  ];
  for (let i = 0; i < 20; i++) entries.push([10, 3, 0x40_1000 + 3 * i], [i % 2, 8, 0x7000_0000 + 8 * i]);
  entries.push([17, 2, 0x0201], [28, 27, 39], [16, 1, 0x40_2000], [28, 28, 39], [23, 0, 1], [26, 0, 0]);
  const view = new DataView(new ArrayBuffer(12 * entries.length));
  for (const [i, [type, size, address]] of entries.entries()) {
    view.setUint16(12 * i, type, true);
    view.setUint16(12 * i + 2, size, true);
    view.setUint32(12 * i + 4, address, true);
  }
  return new Uint8Array(view.buffer);
})();

/** One sound trace of each kind. */
export const traces: Readonly<Record<string, readonly [ForeignFormat["name"], Uint8Array]>> = {
  din: ["din", text("2 1000\n0 7fff00001234\ni 1003 4\nw 2000 8\n")],
  lackey: ["lackey", text("==1== x\nI  04001000,3\n M 0421,4\n L 500,8\n")],
  champsim: ["champsim", Uint8Array.from({ length: 192 }, (_, i) => (i * 37) & 0xff)],
  drmemtrace: ["drmemtrace", drmemtrace],
  "drmemtrace, gzip": ["drmemtrace", new Uint8Array(gzipSync(drmemtrace))],
  "drmemtrace, zip": ["drmemtrace", zipSync({ a: drmemtrace.subarray(0, 100), b: drmemtrace.subarray(100) })],
  "drmemtrace, lz4": ["drmemtrace", LZ4],
  "perf script": [
    "perf-script",
    text(
      "ls 1 [000] 1.25: 1 instructions: 401000 a+0x0 (b)\nls 1 [000] 1.26: 1 cpu/mem-loads/P: 7ffd00001000 5080021 |OP LOAD|LVL L1 hit| 12 ffffffff81234567 f+0x1 (k)\n",
    ),
  ],
};

/** @returns how many were read, and how many refused @throws for anything else, with the bytes */
export function readDamaged(
  [format, sound]: readonly [ForeignFormat["name"], Uint8Array],
  count: number,
  seed: number,
): { read: number; refused: number } {
  const draw = numbers(seed);
  let read = 0;
  for (let i = 0; i < count; i++) {
    const bytes = damagedBytes(sound, draw);
    try {
      const parts: Uint8Array[] = [];
      importTrace(recordingOf("mine", bytes), format, (part) => parts.push(part.slice()));
      const whole = new Uint8Array(Buffer.concat(parts));
      if (checkTrace(recordingOf("it.kt", whole)).whole !== 1) throw new Error("no whole recording came out");
      read++;
    } catch (error) {
      if (!(error instanceof TraceError) || error.offset === undefined || error.file !== "mine")
        throw new Error(`seed ${seed}, ${format} ${i}: ${Buffer.from(bytes).toString("base64")}`, { cause: error });
    }
  }
  return { read, refused: count - read };
}
