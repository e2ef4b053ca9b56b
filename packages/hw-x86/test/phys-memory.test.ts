/// <reference types="node" />
/** Physical memory against a map of bytes; then what it costs the host. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NONE, SparseMemory } from "../src/index.js";

const GIGABYTE = 0x4000_0000;
/** Frames that meet: neighbours, the two sides of a 2 MiB and a 1 GiB border, another node's, the last of 16 TiB. */
const FRAMES = [0, 1, 511, 512, 0x3_ffff, 0x4_0000, 0x8_0001, 0xffff_ffff];
const frame = fc.constantFrom(...FRAMES);
const step = fc.oneof(
  fc.record({ op: fc.constant("write32" as const), frame, word: fc.constantFrom(0, 1, 1023), value: fc.nat(0xffff_ffff) }),
  fc.record({ op: fc.constant("copy" as const), from: frame, to: frame }),
  fc.record({ op: fc.constant("clear" as const), frame }),
  fc.record({ op: fc.constant("bytes" as const), frame: fc.constantFrom(0, 1, 511, 0x3_ffff), offset: fc.constantFrom(0, 3, 4090), bytes: fc.uint8Array({ minLength: 1, maxLength: 9000, size: "max" }) }),
  fc.record({ op: fc.constant("write64" as const), frame, offset: fc.constantFrom(0, 8, 4, 4088), value: fc.bigInt(0n, (1n << 64n) - 1n) }),
);

/** Pages as arrays, whatever was never written as zeros. */
class Bytes {
  private readonly pages = new Map<number, Uint8Array>();
  readonly versions = new Map<number, number>();

  page(each: number): Uint8Array { return this.pages.get(each) ?? new Uint8Array(4096); }
  get(at: bigint): number { return this.page(Number(at >> 12n))[Number(at & 4095n)]!; }

  write(at: bigint, bytes: ArrayLike<number>): void {
    const touched = new Set<number>();
    for (let n = 0; n < bytes.length; n++) {
      const frame = Number((at + BigInt(n)) >> 12n);
      if (!touched.has(frame)) this.pages.set(frame, this.page(frame).slice());
      touched.add(frame);
      this.pages.get(frame)![Number((at + BigInt(n)) & 4095n)] = bytes[n]!;
    }
    for (const frame of touched) this.versions.set(frame, (this.versions.get(frame) ?? 0) + 1);
  }
}

const little = (value: bigint, count: number): number[] => Array.from({ length: count }, (_, n) => Number((value >> BigInt(8 * n)) & 255n));

test("reads as a map of bytes does, counts writes, and copies stay apart once one side is written", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
    const memory = new SparseMemory([{ id: 0, memoryBytes: GIGABYTE }]);
    const model = new Bytes();
    for (const each of steps) {
      if (each.op === "write32") {
        memory.write32(each.frame, each.word, each.value);
        model.write(BigInt(each.frame) * 4096n + BigInt(each.word) * 4n, little(BigInt(each.value), 4));
      } else if (each.op === "copy") {
        const bytes = model.page(each.from);
        memory.copyFrame(each.from, each.to);
        model.write(BigInt(each.to) * 4096n, bytes);
      } else if (each.op === "clear") {
        memory.clearFrame(each.frame);
        model.write(BigInt(each.frame) * 4096n, new Uint8Array(4096));
      } else if (each.op === "bytes") {
        const at = BigInt(each.frame) * 4096n + BigInt(each.offset);
        memory.writeBytes(at, each.bytes);
        model.write(at, each.bytes);
        const back = new Uint8Array(each.bytes.length);
        memory.readBytes(at, back);
        expect(Buffer.compare(back, each.bytes)).toBe(0);
      } else {
        const at = BigInt(each.frame) * 4096n + BigInt(each.offset);
        memory.write64(at, each.value);
        model.write(at, little(each.value, 8));
        expect(memory.read64(at)).toBe(each.value);
      }
    }
    for (const each of FRAMES) {
      expect(memory.version(each)).toBe(model.versions.get(each) ?? 0);
      for (const word of [0, 1, 2, 1022, 1023]) {
        const at = BigInt(each) * 4096n + BigInt(word) * 4n;
        expect(memory.read32(each, word)).toBe([3, 2, 1, 0].reduce((value, n) => value * 256 + model.get(at + BigInt(n)), 0));
      }
      const page = new Uint8Array(4096);
      memory.readBytes(BigInt(each) * 4096n, page);
      const expected = model.page(each);
      expect(Buffer.compare(page, expected)).toBe(0);
      expect(memory.equalFrames(each, 1)).toBe(Buffer.compare(expected, model.page(1)) === 0);
    }
  }), { numRuns: 60 });
});

describe("nodes", () => {
  test("follow one another on whole GiB in the order of ids; holes belong to nobody", () => {
    const memory = new SparseMemory([{ id: 7, memoryBytes: 3 * 0x20_0000 }, { id: 2, memoryBytes: GIGABYTE + 0x20_0000 }, { id: 5, memoryBytes: 0 }]);
    expect(memory.ranges).toEqual([{ node: 2, first: 0, frames: 0x4_0200 }, { node: 7, first: 0x8_0000, frames: 1536 }]);
    expect([0, 0x4_01ff, 0x4_0200, 0x7_ffff, 0x8_0000, 0x8_05ff, 0x8_0600, 0xffff_ffff].map((each) => memory.nodeOf(each))).toEqual([2, 2, NONE, NONE, 7, 7, NONE, NONE]);
  });

  test("may begin where they are told to, and fill 16 TiB", () => {
    const memory = new SparseMemory([{ id: 0, memoryBytes: 0x2000_0000, startAddress: 0 }, { id: 1, memoryBytes: 0x2000_0000, startAddress: 0x2000_0000 }, { id: 63, memoryBytes: 8 * 2 ** 40, startAddress: 7 * 2 ** 40 }]);
    expect([0x1_ffff, 0x2_0000, 0x4_0000, 0xefff_ffff, 0xf000_0000].map((each) => memory.nodeOf(each))).toEqual([0, 1, NONE, 63, NONE]);
  });
});

describe("host memory", () => {
  test("64 copies of 24 MB cost tables of a few words a frame, and are made in well under a second", () => {
    const memory = new SparseMemory(Array.from({ length: 64 }, (_, id) => ({ id, memoryBytes: 16 * GIGABYTE })));
    const frames = 6144;
    for (let each = 0; each < frames; each++) memory.write32(each, 0, each + 1);
    const before = memory.hostBytes;
    for (let node = 1; node < 64; node++) {
      for (let each = 0; each < frames; each++) memory.copyFrame(each, node * 16 * 0x4_0000 + each);
    }
    // 63 x 24 MB would be 1.5 GB; 8 bytes a frame and 2 KiB a node are 3.2 MB, doubled while growing.
    expect(memory.hostBytes - before).toBeLessThan(13e6);
    expect(memory.read32(63 * 16 * 0x4_0000 + 5000, 0)).toBe(5001);
  });

  test("what is cleared is used again", () => {
    const memory = new SparseMemory([]);
    const write = (): number => {
      for (let each = 0; each < 1000; each++) memory.write32(each, 5, 1);
      return memory.hostBytes;
    };
    const once = write();
    for (let round = 0; round < 5; round++) {
      for (let each = 0; each < 1000; each++) memory.clearFrame(each);
      expect(write()).toBe(once);
    }
  });

  test("reading costs nothing", () => {
    const memory = new SparseMemory([{ id: 0, memoryBytes: 1024 * GIGABYTE }]);
    const before = memory.hostBytes;
    for (let each = 0; each < 1 << 28; each += 77_777) expect(memory.read32(each, 9)).toBe(0);
    expect(memory.hostBytes).toBe(before);
  });
});

test("an address outside 16 TiB is refused", () => {
  const memory = new SparseMemory([]);
  expect(() => memory.read64((1n << 44n) - 7n)).toThrow(RangeError);
  expect(() => memory.writeBytes(-1n, new Uint8Array(1))).toThrow("outside 0..2^44");
  memory.write64((1n << 44n) - 8n, 5n);
  expect(memory.read64((1n << 44n) - 8n)).toBe(5n);
});
