/// <reference types="node" />
/**
 * Traces of drmemtrace: read raw and packed, written and read back, the written bytes held against the documented
 * layout by a decoder that shares nothing with ours; cut at every byte; in bounded memory.
 */
import { gzipSync } from "node:zlib";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { type Batch, Kind } from "../src/batch.js";
import { checkTrace } from "../src/check.js";
import { TraceEncoder } from "../src/encoder.js";
import { exportDrmemtrace } from "../src/foreign/drmemtrace-export.js";
import { exportDrmemtraceTemplates } from "../src/foreign/drmemtrace-templates.js";
import { importTrace } from "../src/foreign/formats.js";
import { readTraceBytes, type Recording, recordingOf } from "../src/read-trace.js";
import { TraceError } from "../src/trace-error.js";
import { LZ4 } from "./lz4-sample.js";

type Entry = readonly [type: number, size: number, address: bigint];
const bytesOf = (entries: readonly Entry[]): Uint8Array => {
  const bytes = new Uint8Array(12 * entries.length);
  const view = new DataView(bytes.buffer);
  for (const [i, [type, size, address]] of entries.entries()) {
    view.setUint16(12 * i, type, true);
    view.setUint16(12 * i + 2, size, true);
    view.setBigUint64(12 * i + 4, address, true);
  }
  return bytes;
};
/** The layout as it is documented. */
const entriesOf = (bytes: Uint8Array): Entry[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Array.from({ length: bytes.length / 12 }, (_, i) => [
    view.getUint16(12 * i, true),
    view.getUint16(12 * i + 2, true),
    view.getBigUint64(12 * i + 4, true),
  ]);
};
const collected = (work: (sink: (part: Uint8Array) => void) => void): Uint8Array => {
  const parts: number[] = [];
  work((part) => parts.push(...part));
  return Uint8Array.from(parts);
};
const imported = (bytes: Uint8Array): Uint8Array =>
  collected((sink) => importTrace(recordingOf("mine", bytes), "drmemtrace", sink));
const references = (bytes: Uint8Array): string[] => {
  const found: string[] = [];
  readTraceBytes("it.kt", bytes, ({ kind, lo, hi, a, b, length }: Batch) => {
    for (let i = 0; i < length; i++) {
      if (kind[i]! > Kind.Store) continue;
      const address = ((BigInt(hi[i]!) << 32n) | BigInt(lo[i]!)).toString(16);
      found.push(`${"irw"[kind[i]!]!} ${address} ${kind[i] === Kind.Fetch ? b[i]! : a[i]! & 0xff}`);
    }
  });
  return found;
};

const START: readonly Entry[] = [
  [25, 0, 4n],
  [28, 12, 4n],
  [28, 9, 0x1240n],
  [28, 10, 64n],
  [22, 0, 7n],
  [24, 0, 7n],
  [28, 2, 13_000_000_000_000_000n],
  [28, 3, 1n],
];
const END: readonly Entry[] = [
  [23, 0, 7n],
  [26, 0, 0n],
];
const BODY: readonly Entry[] = [
  [47, 3, 0xc3_89_48n],
  [10, 3, 0x40_1000n],
  [0, 8, 0x7ffe_0000_1000n],
  [48, 2, 0x40_1003n],
  // Three instructions of 1, 4 and 2 bytes behind the jump's two.
  [17, 3, 0x02_04_01n],
  [1, 4, 0x7ffe_0000_1008n],
  [5, 64, 0x9000n],
  [29, 2, 0x40_1003n],
  [0, 16, 0x5000n],
  [28, 25, 39n],
  [28, 27, 39n],
  [16, 5, 0xffff_ffff_8100_0000n],
  [28, 28, 39n],
  [31, 2, 0x40_2000n],
];
const whole = bytesOf([...START, ...BODY, ...END]);
const READ = [
  "i 401000 3",
  "r 7ffe00001000 8",
  "i 401003 2",
  "i 401005 1",
  "i 401006 4",
  "i 40100a 2",
  "w 7ffe00001008 4",
  "r 5000 16",
  "i ffffffff81000000 5",
  "i 402000 2",
];

test("instructions, bundles, loads and stores, kernel regions; encodings, prefetches, markers passed over", () => {
  expect(references(imported(whole))).toEqual(READ);
  expect(checkTrace(recordingOf("it.kt", imported(whole)))).toMatchObject({ whole: 1, open: 0, unnamed: 0 });
});

test("packed by gzip, zip in chunks, lz4: the same", () => {
  const [first, second] = [whole.subarray(0, 100), whole.subarray(100)];
  for (const packed of [
    gzipSync(whole),
    Buffer.concat([gzipSync(first), gzipSync(second)]),
    zipSync({ "chunk.0000": first, "chunk.0001": second }),
    zipSync({ "chunk.0000": first, "chunk.0001": second }, { level: 0 }),
  ])
    expect(references(imported(new Uint8Array(packed)))).toEqual(READ);
  const unpacked = references(imported(LZ4));
  expect(unpacked.filter((each) => each.startsWith("i "))).toHaveLength(40);
  expect(unpacked.slice(-2)).toEqual(["i 40109c 4", "r 7ffe0018 8"]);
});

/** A recording of one call of kill: user code, kernel code over two pages, pages named. */
function recorded(): Uint8Array {
  const encoder = new TraceEncoder();
  encoder.mark(0x5eed0701);
  encoder.fetch(0x40_1000n, 2, 7, 0x2401n);
  encoder.fetch(0xffff_ffff_8100_1000n, 3, 11, 0x1001n);
  encoder.access(false, 0xffff_8880_03a0_0010n, 8, 0x3a00n);
  encoder.access(true, 0xffff_8880_03a0_0018n, 4);
  encoder.fetch(0xffff_ffff_8100_100bn, 1, 5);
  encoder.fetch(0x40_1007n, 1, 3);
  encoder.mark(0x5eed0702);
  encoder.end();
  return encoder.bytes();
}

test("written as documented: system call's markers around kernel code, jumps where the next does not follow, pages", () => {
  const written = collected((sink) => exportDrmemtrace(recordingOf("it.kt", recorded()), 0, sink));
  const entries = entriesOf(written);
  expect(entries[0]).toEqual([25, 0, 3n]);
  expect(entries.at(-1)).toEqual([26, 0, 0n]);
  const body = entries.slice(9, -2);
  expect(body).toEqual([
    [28, 15, 0x240_1000n],
    [28, 17, 0x40_1000n],
    [10, 3, 0x40_1000n],
    [12, 4, 0x40_1003n],
    [28, 15, 0x100_1000n],
    [28, 17, 0xffff_ffff_8100_1000n],
    [28, 25, 62n],
    [28, 27, 62n],
    [10, 3, 0xffff_ffff_8100_1000n],
    [10, 4, 0xffff_ffff_8100_1003n],
    [10, 4, 0xffff_ffff_8100_1007n],
    [28, 15, 0x3a0_0000n],
    [28, 17, 0xffff_8880_03a0_0000n],
    [0, 8, 0xffff_8880_03a0_0010n],
    [1, 4, 0xffff_8880_03a0_0018n],
    [12, 5, 0xffff_ffff_8100_100bn],
    [28, 28, 62n],
    [12, 3, 0x40_1007n],
  ]);
});

test("written and read back: the same instructions, loads and stores", () => {
  const first = imported(whole);
  const written = collected((sink) => exportDrmemtrace(recordingOf("it.kt", first), 2, sink));
  expect(references(imported(written))).toEqual(READ);
});

describe("cut at every byte: a typed error with a byte of it, or the whole", () => {
  test.each([
    ["raw", whole],
    ["gzip", new Uint8Array(gzipSync(whole))],
    ["zip", zipSync({ "chunk.0000": whole.subarray(0, 100), "chunk.0001": whole.subarray(100) })],
    ["lz4", LZ4],
  ] as const)("%s", (_name, packed) => {
    let read = 0;
    for (let at = 0; at < packed.length; at++) {
      try {
        imported(packed.slice(0, at));
        read++;
      } catch (error) {
        expect(error, `${at}`).toBeInstanceOf(TraceError);
        expect((error as TraceError).file).toBe("mine");
        expect((error as TraceError).offset).toBeLessThanOrEqual(Math.max(whole.length, 2000));
      }
    }
    // Behind a zip's last file there is only its directory, behind gzip's data only its checksum.
    expect(read).toBeLessThanOrEqual(packed === whole ? 0 : 200);
  });
});

test.each([
  ["no header", bytesOf(BODY), "not-a-trace", 0, /does not begin with drmemtrace's header/],
  ["a type", bytesOf([...START, [50, 0, 0n]]), "bad-record", 96, /no type 50/],
  ["aarch64", bytesOf([START[0]!, [28, 9, 0x8n]]), "bad-record", 12, /another architecture/],
  ["filtered", bytesOf([START[0]!, [28, 9, 0xc0n]]), "bad-record", 12, /filtered/],
  ["a version", bytesOf([START[0]!, [28, 12, 77n]]), "bad-record", 12, /version 77/],
  ["a length", bytesOf([...START, [10, 16, 0n]]), "bad-record", 96, /an instruction of 16 bytes/],
  ["a bundle", bytesOf([...START, [10, 1, 0n], [17, 9, 1n]]), "bad-record", 108, /a bundle of 9/],
  ["behind the footer", bytesOf([...START, ...BODY, ...END, [10, 1, 0n]]), "bad-record", 288, /behind its footer/],
  ["no footer", bytesOf([...START, ...BODY]), "cut", 264, /without a footer/],
  ["damaged gzip", new Uint8Array(gzipSync(whole)).fill(0xff, 12, 30), "bad-compression", undefined, /damaged or cut/],
] as const)("refused: %s", (_what, bytes, code, offset, message) => {
  let thrown: unknown;
  try {
    imported(bytes);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(TraceError);
  expect(thrown).toMatchObject({ code, ...(offset === undefined ? {} : { offset }) });
  expect((thrown as TraceError).message).toMatch(message);
});

test("several threads one behind the other; a trace of any length in the memory of its pages", () => {
  const two = new Uint8Array([...bytesOf([...START, ...BODY, ...END]), ...bytesOf([...START, ...BODY, ...END])]);
  expect(references(imported(two))).toEqual([...READ, ...READ]);
  let left = 30 * 2 ** 20;
  const head = bytesOf(START);
  let largest = 0;
  const block = bytesOf(Array.from({ length: 4096 }, (_, i) => [10, 4, BigInt(0x40_0000 + 4 * (i % 1024))] as const));
  let step = 0;
  const endless: Recording = {
    name: "endless",
    open: () => ({
      read(into) {
        const next = step++ === 0 ? head : left > 0 ? block : step < 1e9 ? bytesOf(END) : new Uint8Array(0);
        if (next.length === 24) step = 1e9;
        left -= next.length;
        into.set(next);
        return step > 1e9 ? 0 : next.length;
      },
      close() {},
    }),
  };
  const result = importTrace(endless, "drmemtrace", (part) => {
    largest = Math.max(largest, part.length);
  });
  expect(result.pages).toBe(1);
  expect(result.instructions).toBeGreaterThan(2_600_000);
  expect(largest).toBeLessThanOrEqual(1 << 16);
});

describe("as templates of system calls", () => {
  const templates = (bytes: Uint8Array, cpu = 0, calls?: readonly number[]): Uint8Array =>
    collected((sink) => exportDrmemtraceTemplates(recordingOf("it.kt", bytes), cpu, sink, calls));
  const ENTRY = 0xffff_ffff_81c0_0080n;
  const FAULT = 0xffff_ffff_81c0_0be0n;
  const INTERRUPT = 0xffff_ffff_81c0_0a00n;
  /** A program that faults, is interrupted, and makes two calls, round by round; another CPU beside it. */
  function twoCalls(test: number, rounds = 2): Uint8Array {
    const encoder = new TraceEncoder();
    encoder.fetch(ENTRY, 1, 4, 0x81c00n);
    encoder.mark(0x5eed0001 | (test << 8));
    encoder.fetch(0x40_1000n, 2, 7, 0x2401n);
    encoder.fetch(FAULT, 2, 5, 0x81c00n);
    for (let round = 0; round < rounds; round++) {
      encoder.fetch(0x40_1003n, 1, 4);
      if (round === 0) encoder.fetch(INTERRUPT, 2, 6);
      encoder.fetch(0x40_1007n, 1, 5);
      encoder.fetch(ENTRY, 2, 9);
      encoder.access(false, 0xffff_8880_03a0_0010n, 8, 0x3a00n);
      encoder.vcpu(3);
      encoder.fetch(0xffff_ffff_8110_0000n, 4, 16, 0x1100n);
      encoder.vcpu(0);
      encoder.fetch(0xffff_ffff_8100_1000n, 1, 5, 0x1001n);
      encoder.access(true, 0xffff_8880_03a0_0018n, 4);
      encoder.fetch(0x40_100cn, 1, 2);
      encoder.fetch(ENTRY, 1, 4);
      encoder.access(false, 0xffff_8880_03a0_0020n, 2);
      encoder.fetch(0x40_100en, 1, 3);
    }
    encoder.mark(0x5eed0002 | (test << 8));
    encoder.end();
    return encoder.bytes();
  }
  const WRITTEN = (first: bigint, second: bigint): readonly Entry[] => [
    [25, 0, 3n],
    [28, 12, 3n],
    [28, 9, 0x1_0040n],
    [22, 0, 1n],
    [24, 0, 1n],
    [28, 10, 64n],
    [28, 18, 4096n],
    [28, 2, 1n],
    [28, 27, first],
    [10, 4, ENTRY],
    [12, 5, ENTRY + 4n],
    [0, 8, 0xffff_8880_03a0_0010n],
    [12, 5, 0xffff_ffff_8100_1000n],
    [1, 4, 0xffff_8880_03a0_0018n],
    [28, 28, first],
    [28, 27, second],
    [12, 4, ENTRY],
    [0, 2, 0xffff_8880_03a0_0020n],
    [28, 28, second],
    [23, 0, 1n],
    [26, 0, 0n],
  ];

  test("of a test's calls, in their order, each once; no fault, no other CPU, no program, no physical page", () => {
    expect(entriesOf(templates(twoCalls(3, 1)))).toEqual(WRITTEN(9n, 11n));
    expect(entriesOf(templates(twoCalls(5)))).toEqual(WRITTEN(257n, 3n));
  });

  test("of a program's calls, where their numbers are said; of one number the first", () => {
    expect(entriesOf(templates(twoCalls(40), 0, [39, 110]))).toEqual(WRITTEN(39n, 110n));
    expect(entriesOf(templates(twoCalls(40), 0, [39, 39]))).toEqual([
      ...WRITTEN(39n, 39n).slice(0, 15),
      ...WRITTEN(39n, 39n).slice(-2),
    ]);
  });

  test("read back: the same kernel instructions, loads and stores", () => {
    expect(references(imported(templates(twoCalls(3))))).toEqual([
      "i ffffffff81c00080 4",
      "i ffffffff81c00084 5",
      "r ffff888003a00010 8",
      "i ffffffff81001000 5",
      "w ffff888003a00018 4",
      "i ffffffff81c00080 4",
      "r ffff888003a00020 2",
    ]);
  });

  test("a call that ends in another program has none, and takes no other's number", () => {
    const encoder = new TraceEncoder();
    encoder.mark(0x5eed0301);
    encoder.fetch(0x40_1000n, 1, 2, 0x2401n);
    encoder.fetch(ENTRY, 1, 4, 0x81c00n);
    encoder.fetch(0x50_1000n, 1, 2, 0x2501n);
    encoder.fetch(ENTRY, 1, 5);
    encoder.fetch(0x50_1002n, 1, 3);
    encoder.mark(0x5eed0302);
    encoder.end();
    expect(entriesOf(templates(encoder.bytes())).slice(8, -2)).toEqual([
      [28, 27, 11n],
      [12, 5, ENTRY],
      [28, 28, 11n],
    ]);
  });

  test.each([
    ["a test whose calls nobody knows", twoCalls(40), 0, /is of none of the tests.*Say the numbers/s],
    ["a CPU that makes none", twoCalls(3), 3, /no system call was made.*on this CPU/s],
  ] as const)("refused: %s", (_what, bytes, cpu, message) => {
    expect(() => templates(bytes, cpu)).toThrow(TraceError);
    expect(() => templates(bytes, cpu)).toThrow(message);
  });
});
