/** Frame numbers and physical addresses, both ways, against one rule over BigInts that knows no windows as bits. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addressOfFrame,
  Bit,
  checkMachineSpec,
  cr3Frame,
  cr3Value,
  entryHigh,
  entryLow,
  frameOf,
  frameOfAddress,
  frameOfPage,
  isMemoryPlace,
  leafFrame,
  NO_FRAME,
  physicalPageOf,
} from "../src/index.js";
import { tinyMachine } from "../src/testing.js";

/** Where each run of frames lies: bytes from, how many, and its first frame. 128 TiB and 2 PiB are no window's. */
const RUNS: readonly (readonly [start: bigint, bytes: bigint, first: number])[] = [
  [0n, 15n << 40n, 0],
  ...[16n, 32n, 64n, 0n, 256n, 512n, 1024n].flatMap((tebibytes, window) =>
    tebibytes === 0n ? [] : [[tebibytes << 40n, 128n << 30n, 0xf000_0000 + window * 0x200_0000] as const],
  ),
];
/** Places that an encryption bit may have. */
const ENCRYPTION = (1n << 47n) | (1n << 51n);

function slowAddress(frame: number): bigint {
  for (const [start, bytes, first] of RUNS) {
    const within = BigInt(frame - first) * 4096n;
    if (within >= 0n && within < bytes) return start + within;
  }
  throw new Error(`frame ${frame} is none`);
}

function slowFrame(address: bigint): number {
  for (const [start, bytes, first] of RUNS)
    if (address >= start && address < start + bytes) return first + Number((address - start) / 4096n);
  return NO_FRAME;
}

/** All frames, and those next to where a run begins or ends. */
const border = fc
  .tuple(fc.integer({ min: 0, max: 8 }), fc.integer({ min: -2, max: 2 }))
  .map(([window, by]) => Math.min(0xf000_0000 + window * 0x200_0000 + by, NO_FRAME));
const frame = fc
  .oneof(fc.integer({ min: 0, max: NO_FRAME }), fc.integer({ min: 0xf000_0000, max: NO_FRAME }), border)
  .filter((each) => RUNS.some(([, bytes, first]) => each >= first && each < first + Number(bytes / 4096n)));
const address = fc.oneof(
  fc.bigInt(0n, (1n << 52n) - 1n),
  fc
    .tuple(fc.constantFrom(...RUNS), fc.boolean(), fc.integer({ min: -8192, max: 8192 }))
    .map(([[start, bytes], end, by]) => {
      const at = start + (end ? bytes : 0n) + BigInt(by);
      return at < 0n ? 0n : at;
    }),
);

describe("a frame number", () => {
  test("is an address and back, in entries and in CR3 as well", () => {
    fc.assert(
      fc.property(frame, fc.boolean(), (each, noExecute) => {
        const at = slowAddress(each);
        expect(addressOfFrame(each)).toBe(at);
        expect(BigInt(physicalPageOf(each))).toBe(at >> 12n);
        expect(frameOfAddress(at)).toBe(each);
        expect(frameOfAddress(at + 4095n)).toBe(each);
        const [lo, hi] = [entryLow(each, Bit.Present), entryHigh(each, noExecute)];
        expect((BigInt(hi) << 32n) | BigInt(lo)).toBe(at | 1n | (noExecute ? 1n << 63n : 0n));
        expect(frameOf(lo, hi)).toBe(each);
        for (const place of [47, 51]) expect(frameOf(lo, (hi | (1 << (place - 32))) >>> 0)).toBe(each);
        expect(leafFrame(lo, hi, 2)).toBe(each - (each % 512));
        expect(leafFrame(lo, hi, 3)).toBe(each - (each % 0x4_0000));
        expect(cr3Frame(cr3Value(each, 0xabc, noExecute))).toBe(each);
        expect(cr3Value(each, 0xabc)).toBe(at | 0xabcn);
      }),
    );
  });

  test("is there for the addresses of runs alone", () => {
    fc.assert(
      fc.property(address, (at) => {
        expect(frameOfAddress(at)).toBe(slowFrame(at));
        expect(frameOfPage(Number(at >> 12n))).toBe(slowFrame(at));
        expect(frameOf(Number(at & 0xffff_f000n), Number(at >> 32n))).toBe(slowFrame(at & ~ENCRYPTION));
      }),
    );
  });
});

test("memory lies where frames that follow each other are pages that do, with a GiB between runs", () => {
  const GIGABYTE = 0x4_0000;
  fc.assert(
    fc.property(address, fc.integer({ min: 1, max: 2 * GIGABYTE }), (at, pages) => {
      const first = Number(at >> 12n);
      const run = RUNS.find(([start, bytes]) => at >= start && at < start + bytes);
      const [room, gap] = run ? [run[0] + run[1], run[0] === 0n ? 0n : 1n << 30n] : [0n, 0n];
      const end = BigInt(first + pages) << 12n;
      const fits = run !== undefined && (run[0] === 0n ? end < room : end <= room - gap);
      expect(isMemoryPlace(first, pages)).toBe(fits);
      if (fits) expect(frameOfPage(first + pages) - frameOfPage(first)).toBe(pages);
    }),
  );
});

test("a machine may have memory in every window", () => {
  const tiny = tinyMachine();
  const nodes = RUNS.map(([start], id) => ({
    id,
    memoryBytes: id === 0 ? 2 ** 30 : 127 * 2 ** 30,
    startAddress: Number(start),
  }));
  const square = (value: number): number[][] => nodes.map((_, i) => nodes.map((__, j) => (i === j ? 10 : value)));
  const spec = {
    ...tiny,
    physicalBits: 52,
    nodes,
    latencyNs: square(90),
    bandwidthMBs: square(10),
    distance: square(20),
  };
  expect(() => {
    checkMachineSpec(spec);
  }).not.toThrow();
});
