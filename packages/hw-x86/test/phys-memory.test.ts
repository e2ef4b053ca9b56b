/// <reference types="node" />
/** Ours of physical memory, beside its contract: owners, what it costs the host, its end. */
import { describe, expect, test } from "vitest";
import { NONE, SparseMemory } from "../src/index.js";

const GIGABYTE = 0x4000_0000;
test("a write of many bytes, a copy and a clearing count once for each frame they write", () => {
  const memory = new SparseMemory([{ id: 0, memoryBytes: GIGABYTE }]);
  memory.writeBytes(4090n, new Uint8Array(9000));
  memory.copyFrame(1, 2);
  memory.clearFrame(1);
  expect([0, 1, 2, 3].map((frame) => memory.version(frame))).toEqual([1, 2, 2, 1]);
});

describe("nodes", () => {
  test("follow one another on whole GiB in the order of ids; holes belong to nobody", () => {
    const memory = new SparseMemory([
      { id: 7, memoryBytes: 3 * 0x20_0000 },
      { id: 2, memoryBytes: GIGABYTE + 0x20_0000 },
      { id: 5, memoryBytes: 0 },
    ]);
    expect(memory.ranges).toEqual([
      { node: 2, first: 0, frames: 0x4_0200 },
      { node: 7, first: 0x8_0000, frames: 1536 },
    ]);
    expect(
      [0, 0x4_01ff, 0x4_0200, 0x7_ffff, 0x8_0000, 0x8_05ff, 0x8_0600, 0xffff_ffff].map((each) => memory.nodeOf(each)),
    ).toEqual([2, 2, NONE, NONE, 7, 7, NONE, NONE]);
  });

  test("may begin where they are told to, up to 15 TiB and in windows beyond", () => {
    const memory = new SparseMemory([
      { id: 0, memoryBytes: 0x2000_0000, startAddress: 0 },
      { id: 1, memoryBytes: 0x2000_0000, startAddress: 0x2000_0000 },
      { id: 63, memoryBytes: 8 * 2 ** 40, startAddress: 6 * 2 ** 40 },
      { id: 5, memoryBytes: 127 * GIGABYTE, startAddress: 2 ** 50 },
      { id: 7, memoryBytes: GIGABYTE, startAddress: 2 ** 46 + GIGABYTE },
    ]);
    const frames = [
      0x1_ffff, 0x2_0000, 0x4_0000, 0xdfff_ffff, 0xe000_0000, 0xf403_ffff, 0xf404_0000, 0xf408_0000, 0xfc00_0000,
    ];
    expect(frames.map((each) => memory.nodeOf(each))).toEqual([0, 1, NONE, 63, NONE, NONE, 7, NONE, 5]);
    expect(memory.nodeOf(0xffff_ffff)).toBe(NONE);
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

test("an address without a frame is refused", () => {
  const memory = new SparseMemory([]);
  const end = 15n << 40n;
  for (const at of [
    end - 7n,
    end,
    (1n << 44n) - 8n,
    (1n << 44n) - 1n,
    (1n << 45n) + (1n << 37n) - 7n,
    1n << 47n,
    1n << 51n,
  ])
    expect(() => memory.read64(at), at.toString(16)).toThrow(RangeError);
  expect(() => memory.writeBytes(-1n, new Uint8Array(1))).toThrow("frames below 15 TiB, or within 127 GiB from");
  for (const at of [end - 8n, 1n << 44n, (1n << 50n) + 4092n]) {
    memory.write64(at, at);
    expect(memory.read64(at)).toBe(at);
  }
});

describe("deferred frames", () => {
  /** Frames 10 to 13 deferred, and which of them were asked for. */
  function deferred(): { readonly memory: SparseMemory; readonly asked: number[] } {
    const memory = new SparseMemory([{ id: 0, memoryBytes: GIGABYTE }]);
    const asked: number[] = [];
    memory.defer(10, 4, (nth, into) => {
      asked.push(nth);
      into.fill(nth + 1);
    });
    return { memory, asked };
  }

  test("are asked for at the first look, one at a time and once, however many frames share them", () => {
    const { memory, asked } = deferred();
    memory.copyFrame(11, 100);
    memory.copyFrame(100, 101);
    expect([10, 11, 12, 13, 100].map((frame) => memory.version(frame))).toEqual([1, 1, 1, 1, 1]);
    expect(memory.equalFrames(11, 101)).toBe(true);
    expect(memory.nextDifference(11, 100, 0, 511)).toBe(512);
    expect(asked).toEqual([]);
    expect([101, 11, 100].map((frame) => memory.read32(frame, 7))).toEqual([0x0202_0202, 0x0202_0202, 0x0202_0202]);
    expect(asked).toEqual([1]);
    memory.write32(100, 0, 5);
    expect([100, 101, 11].map((frame) => memory.read32(frame, 0))).toEqual([5, 0x0202_0202, 0x0202_0202]);
    expect(asked).toEqual([1]);
  });

  test("are asked for by each way to look at them", () => {
    const ways: ((memory: SparseMemory) => unknown)[] = [
      (memory) => memory.read32(12, 0),
      (memory) => memory.words[memory.firstWord(12)],
      (memory) => memory.words[memory.firstWordToWrite(12)],
      (memory) => memory.window(12, false)!.words[memory.window(12, false)!.base / 4],
      (memory) => memory.window(12, true)!.words[memory.window(12, true)!.base / 4],
      (memory) => Number(memory.read64(0xc000n) & 0xffff_ffffn),
      (memory) => (memory.nextEntry(12, 0, 511) === 0 ? 0x0303_0303 : undefined),
      (memory) => (memory.nextDifference(12, 500, 0, 511) === 0 ? 0x0303_0303 : undefined),
      (memory) => (memory.nextDifference(500, 12, 0, 511) === 0 ? 0x0303_0303 : undefined),
      (memory) => (memory.equalFrames(12, 500) ? undefined : 0x0303_0303),
      (memory) => (memory.equalFrames(500, 12) ? undefined : 0x0303_0303),
    ];
    for (const way of ways) {
      const { memory, asked } = deferred();
      expect(way(memory), String(way)).toBe(0x0303_0303);
      expect(asked).toEqual([2]);
    }
  });

  test("are never asked for where nobody is left who could look", () => {
    const { memory, asked } = deferred();
    memory.copyFrame(10, 100);
    for (const frame of [10, 100, 11, 12, 13]) memory.clearFrame(frame);
    // Their storage goes to others.
    for (let frame = 200; frame < 210; frame++) memory.write32(frame, 3, frame);
    for (let frame = 1000; frame < 2000; frame++) memory.write32(frame, 3, frame);
    expect(asked).toEqual([]);
    expect(Array.from({ length: 10 }, (_, n) => memory.read32(200 + n, 3))).toEqual([
      200, 201, 202, 203, 204, 205, 206, 207, 208, 209,
    ]);
    expect([0, 1, 2, 4, 1023].map((word) => memory.read32(205, word))).toEqual([0, 0, 0, 0, 0]);
  });

  test("keep what was looked at, and what was not, where storage grows", () => {
    const { memory, asked } = deferred();
    memory.read32(11, 0);
    for (let frame = 1000; frame < 4000; frame++) memory.write32(frame, 0, frame);
    expect(asked).toEqual([1]);
    expect([10, 11, 12, 13].map((frame) => memory.read32(frame, 1023))).toEqual([
      0x0101_0101, 0x0202_0202, 0x0303_0303, 0x0404_0404,
    ]);
    memory.defer(5000, 3000, (nth, into) => into.fill(nth & 0xff));
    expect([11, 2500, 5000, 5077, 7999].map((frame) => memory.read32(frame, 0) & 0xffff)).toEqual([
      0x0202, 2500, 0, 0x4d4d, 0xb7b7,
    ]);
  });
});
