/// <reference types="node" />
/**
 * Recordings with damaged bits, replayed as a comparison does: they run, or are refused with the byte; nothing else
 * ever comes out.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzstd } from "@kreplica/inputs/zstd";
import type { Booted } from "@kreplica/kernel";
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { otherCpus } from "@kreplica/replay";
import { gateTo, Replayer, visitedFunctions } from "@kreplica/replay/program";
import { TraceEncoder, TraceError } from "@kreplica/trace";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { boot } from "../../src/boot.js";
import { measureFile } from "../../src/run-jobs.js";
import { loadFile } from "../load-file.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-damaged-"));
const file = join(folder, "a.kt");
const packed = readFileSync(dataFile("traces/hsw-mount.kt.zst"));
const plain = unzstd(packed);
const where = { cpu: 12, masterNode: 0, dataNode: 1 };
let kernel: Booted;

beforeAll(() => {
  writeFileSync(file, plain);
  kernel = boot({ spec: e52690v3, policy: "per-node", pti: true, masterNode: 0, recordedNodes: [0, 1] });
  kernel.recorded.runsOn(where.cpu);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What a comparison does with a recording, on a kernel that is there already. @returns references replayed */
function replayed(bytes: Uint8Array): number {
  writeFileSync(file, bytes);
  const { workload, measured } = loadFile(
    file,
    (address, frame) => kernel.recorded.map(address, frame),
    visitedFunctions((name) => kernel.image.symbol(name)),
    undefined,
    gateTo([kernel]),
  );
  new Replayer(kernel, where.cpu, measured, otherCpus(e52690v3, where, measured)).run(workload);
  return workload.length;
}

const refusal = (bytes: Uint8Array, replay: (bytes: Uint8Array) => unknown = replayed): TraceError | undefined => {
  try {
    replay(bytes);
    return undefined;
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    expect(error.offset, error.message).toBeGreaterThanOrEqual(0);
    expect(error.offset!).toBeLessThanOrEqual(plain.length);
    expect(error.message).toContain(
      `${file} at byte ${error.offset}${error.unpacked ? " of what it unpacks to" : ""}: `,
    );
    return error;
  }
};

/** The same numbers every time. @source Marsaglia, "Xorshift RNGs" */
function* random(seed: number): Generator<number> {
  for (let state = seed; ; yield state >>> 0) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
  }
}

describe("a recording with damaged bits", () => {
  test("plain: is replayed or refused at a byte", () => {
    expect(replayed(plain)).toBeGreaterThan(10_000);
    const numbers = random(1);
    const codes = new Map<string, number>();
    for (let i = 0; i < 300; i++) {
      const bytes = plain.slice();
      for (let left = 1 + (i % 3); left > 0; left--)
        bytes[numbers.next().value! % bytes.length]! ^= 1 << (numbers.next().value! % 8);
      const code = refusal(bytes)?.code ?? "replayed";
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    // Most damage puts what follows at addresses that nothing has; what stays within the kernel no check can tell.
    expect(codes.get("replayed")!, JSON.stringify([...codes])).toBeLessThan(150);
    for (const code of ["bad-frame", "bad-fetch", "bad-address", "refused"])
      expect(codes.get(code) ?? 0, code).toBeGreaterThan(0);
  });

  test("on a machine that sets aside only what the recording names: the same", () => {
    const numbers = random(3);
    for (let i = 0; i < 25; i++) {
      const bytes = plain.slice();
      bytes[numbers.next().value! % bytes.length]! ^= 1 << (numbers.next().value! % 8);
      refusal(bytes, () => {
        writeFileSync(file, bytes);
        measureFile({
          file,
          spec: tiny2Node,
          where: { cpu: 2, masterNode: 0, dataNode: 1 },
          policies: ["single-copy", "per-node"],
          pti: true,
          levels: 4,
          seed: 1,
        });
      });
    }
  });

  test("zstd: is refused wherever the damage is, but for bits that say nothing", () => {
    const numbers = random(2);
    let unnoticed = 0;
    for (let i = 0; i < 300; i++) {
      const bytes = new Uint8Array(packed);
      bytes[numbers.next().value! % bytes.length]! ^= 1 << (numbers.next().value! % 8);
      const error = refusal(bytes);
      if (error === undefined) expect(Buffer.compare(unzstd(bytes), plain), "replayed, so unharmed").toBe(0);
      if (error === undefined) unnoticed++;
    }
    expect(unnoticed).toBeLessThan(5);
  });
});

describe("a record that cannot be", () => {
  const KERNEL = 0xffff_ffff_8110_0000n;
  const USER = 0x40_1000n;
  /** A window with something in it, and what is given. */
  const recording = (add: (encoder: TraceEncoder) => void): { bytes: Uint8Array; offset: number } => {
    const encoder = new TraceEncoder();
    encoder.vcpu(2);
    encoder.mark(0x5eed0601);
    encoder.fetch(KERNEL, 4, 16);
    const offset = encoder.bytes().length;
    add(encoder);
    encoder.mark(0x5eed0602);
    encoder.end();
    return { bytes: encoder.bytes(), offset };
  };

  test.each<[string, TraceError["code"], (encoder: TraceEncoder) => void, RegExp]>([
    ["a fetch of 4 GiB", "bad-fetch", (to) => to.fetch(KERNEL, 0x2000_0000, 0xffff_ffff), /4294967295 bytes/],
    ["fewer bytes than instructions", "bad-fetch", (to) => to.fetch(KERNEL, 9, 8), /9 instructions/],
    ["a fetch that is not canonical", "bad-address", (to) => to.fetch(0x8000_0000_0000n, 1, 1), /0x800000000000/],
    [
      "a load that is not canonical",
      "bad-address",
      (to) => to.access(false, 0xffff_7000_0000_0000n, 8, 1n),
      /0xffff700000000000/,
    ],
    [
      "a fetch of data",
      "refused",
      (to) => to.fetch(0xffff_ffff_82a0_1000n, 1, 4, 0x2a01n),
      /fetch.*0xffffffff82a01000.*no code/,
    ],
    ["a store to text", "refused", (to) => to.access(true, KERNEL, 8, 0x1100n), /store.*read-only/],
    ["a load behind the guest's memory", "bad-address", (to) => to.access(false, 0xffff_8880_4000_0000n, 8), /1 GiB/],
    [
      "a descriptor behind the guest's memory",
      "bad-address",
      (to) => to.access(false, 0xffff_ea00_0100_0000n, 8),
      /1 GiB/,
    ],
    ["a page the guest does not have", "bad-frame", (to) => to.fetch(USER, 1, 4, 0x4_0000n), /0x40000/],
    [
      "direct map that maps something else",
      "bad-frame",
      (to) => to.access(false, 0xffff_8880_0010_0000n, 8, 0x101n),
      /0x101.*0x100/,
    ],
    ["a page never named", "unnamed-page", (to) => to.fetch(USER, 1, 4), /0x401000/],
    [
      "kernel memory from user mode",
      "refused",
      (to) => {
        to.fetch(USER, 1, 4, 9n);
        to.access(false, 0xffff_8880_0010_0000n, 8, 0x100n);
      },
      /user mode/,
    ],
    ["a CPU beyond the 64th", "too-many-cpus", (to) => to.vcpu(500), /virtual CPU 500/],
    ["a second start marker", "second-window", (to) => to.mark(0x5eed0601), /second start/],
    ["an end marker of another test", "other-window", (to) => to.mark(0x5eed0702), /kill.*mount/],
    [
      "an end marker on another CPU",
      "other-window",
      (to) => {
        to.vcpu(3);
        to.mark(0x5eed0602);
      },
      /CPU 3/,
    ],
    [
      "two windows",
      "second-window",
      (to) => {
        to.mark(0x5eed0602);
        to.mark(0x5eed0601);
      },
      /one test/,
    ],
  ])("%s: %s", (_what, code, add, says) => {
    const { bytes, offset } = recording(add);
    const error = refusal(bytes)!;
    expect(error.code).toBe(code);
    expect(error.message).toMatch(says);
    // The record itself, or the one behind it that it makes wrong.
    expect(error.offset!).toBeGreaterThanOrEqual(offset);
    expect(error.offset!).toBeLessThan(bytes.length);
  });

  test("an empty window, and one without a start or an end are refused where that shows", () => {
    const marks = (...immediates: readonly number[]): Uint8Array => {
      const encoder = new TraceEncoder();
      encoder.vcpu(2);
      for (const each of immediates) encoder.mark(each);
      encoder.end();
      return encoder.bytes();
    };
    // MAGIC, then two bytes of VCPU; a marker has six.
    expect(refusal(marks(0x5eed0601, 0x5eed0602))).toMatchObject({ code: "empty-window", offset: 14 });
    expect(refusal(marks(0x5eed0602))).toMatchObject({ code: "no-start", offset: 14 });
    expect(refusal(marks(0x5eed0601))).toMatchObject({ code: "no-end", offset: 14 });
    // A test of an unknown number is one of the user's.
    expect(refusal(marks(0x5eed6301))).toMatchObject({ code: "no-end", offset: 14 });
  });

  test("what only the tables can tell while it runs is refused at the record, too", () => {
    writeFileSync(file, plain);
    const { workload, measured } = loadFile(file, (address, frame) => kernel.recorded.map(address, frame));
    const replayer = new Replayer(kernel, where.cpu, measured, otherCpus(e52690v3, where, measured));
    // The kernel takes away what the recording needs, after it was looked at.
    const stack = 0xffff_ffff_82a0_0000n;
    kernel.tables.edit((editor) => editor.protect({ start: stack, pages: 16 }, { present: false }));
    try {
      expect(() => replayer.run(workload)).toThrow(
        expect.objectContaining({
          code: "refused",
          offset: expect.any(Number),
          reason: expect.stringContaining("the replay faulted"),
        }),
      );
    } finally {
      kernel.tables.edit((editor) => editor.protect({ start: stack, pages: 16 }, { present: true }));
    }
  });
});
