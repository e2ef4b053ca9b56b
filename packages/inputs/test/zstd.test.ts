/// <reference types="node" />
/** Frames of a recording, and some made by hand: whole, in pieces, one behind the other, damaged and cut. */
import { readFileSync } from "node:fs";
import { dataFile } from "@kreplica/recordings";
import { describe, expect, test } from "vitest";
import { isZstd, unzstd, ZstdError, ZstdStream } from "../src/zstd.js";
import { unzstdWhole } from "../src/zstd-frame.js";

const packed = new Uint8Array(readFileSync(dataFile("traces/hsw-mount.kt.zst")));
const plain = unzstd(packed);
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const skippable = (content: readonly number[], kind = 0x50): Uint8Array =>
  Uint8Array.from([kind, 0x2a, 0x4d, 0x18, content.length, 0, 0, 0, ...content]);
const fault = (bytes: Uint8Array): ZstdError => {
  try {
    unzstd(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(ZstdError);
    return error as ZstdError;
  }
  throw new Error("it was unpacked");
};
/** A frame with one raw block. @param flags of the descriptor: 0x20 one segment, 4 checksum */
const raw = (content: readonly number[], flags = 0x20, tail: readonly number[] = []): Uint8Array =>
  Uint8Array.from([
    0x28,
    0xb5,
    0x2f,
    0xfd,
    flags,
    content.length,
    1 | (content.length << 3),
    0,
    0,
    ...content,
    ...tail,
  ]);

describe("zstd frames", () => {
  test("unpack alike whole and in pieces of any length", () => {
    for (const piece of [1, 2, 3, 17, 4096]) {
      const parts: number[] = [];
      const stream = new ZstdStream((part) => {
        parts.push(...part);
      });
      for (let at = 0; at < packed.length; at += piece) stream.push(packed.subarray(at, at + piece));
      stream.finish();
      expect(Buffer.compare(Uint8Array.from(parts), plain), `pieces of ${piece}`).toBe(0);
    }
  });

  test("one behind the other, with skippable ones before and between", () => {
    const both = joined(skippable([1, 2, 3]), packed, skippable([], 0x5f), raw([7, 8]));
    expect(isZstd(both)).toBe(true);
    expect(Buffer.compare(unzstd(both), joined(plain, Uint8Array.from([7, 8])))).toBe(0);
    expect(isZstd(Uint8Array.from([0x28, 0xb5, 0x2f]))).toBe(false);
  });

  test("at once as in pieces: with a length known and a checksum, whatever the window; all else is left to the stream", () => {
    expect(
      Buffer.compare(unzstdWhole(joined(skippable([9]), packed, packed), 2 ** 31, undefined)!, joined(plain, plain)),
    ).toBe(0);
    expect(unzstdWhole(packed, plain.length - 1, undefined)).toBeUndefined();
    expect(unzstdWhole(raw([1, 2, 3]), 10, 3)).toBeUndefined();
  });

  test("thousands of wrong bytes at once: an error that names a place, or the bytes as they were", () => {
    const frames = joined(packed.subarray(0, packed.length), raw([1, 2, 3, 4], 0x20));
    const right = joined(plain, Uint8Array.of(1, 2, 3, 4));
    let refused = 0;
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let i = 0; i < 2000; i++) {
      const bytes = frames.slice(0, i % 5 === 0 ? random(frames.length) : frames.length);
      // Headers more often than what lies between.
      for (let n = 0; n <= i % 3 && bytes.length > 0; n++)
        bytes[random(i % 2 === 0 ? Math.min(40, bytes.length) : bytes.length)] = random(256);
      try {
        const out = unzstd(bytes, right.length + 100);
        // The raw frame has no checksum: what is wrong in it cannot be told.
        expect(Buffer.compare(out.subarray(0, plain.length), plain)).toBe(0);
      } catch (error) {
        if (!(error instanceof ZstdError)) throw error;
        expect(error.offset).toBeLessThanOrEqual(bytes.length);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  test("every bit that is wrong is noticed, but for those that say nothing", () => {
    for (let at = 0; at < packed.length; at += 61) {
      const bytes = packed.slice();
      bytes[at]! ^= 1 << (at % 8);
      let out: Uint8Array | undefined;
      try {
        out = unzstd(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(ZstdError);
        expect((error as ZstdError).offset).toSatisfy((offset: number) => offset <= at || offset === packed.length - 4);
      }
      if (out) expect(Buffer.compare(out, plain)).toBe(0);
    }
    const known = packed.slice();
    known[9156]! ^= 4;
    expect(() => unzstd(known)).toThrow(ZstdError);
  });

  test("cut anywhere: at the part that lacks its end", () => {
    for (let length = 1; length < packed.length; length += 97) {
      const error = fault(packed.subarray(0, length));
      expect(error.offset).toBeLessThanOrEqual(length);
      expect(error.reason).toContain(`after ${length} bytes`);
    }
    expect(fault(packed.subarray(0, packed.length - 1)).offset).toBe(packed.length - 4);
  });

  test.each<[string, Uint8Array, number, RegExp]>([
    ["a wrong checksum", raw([1, 2, 3], 0x24, [0, 0, 0, 0]), 12, /checksum/],
    [
      "another length than declared",
      Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 1 | (2 << 3), 0, 0, 1, 2]),
      6,
      /unpacks to 2 bytes and should to 3/,
    ],
    ["a reserved bit", raw([1], 0x28), 4, /reserved/],
    ["a dictionary", Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 9, 1, 9, 0, 0, 1]), 5, /dictionary/],
    [
      "a reserved block",
      Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 1 | (3 << 1) | 8, 0, 0, 1]),
      6,
      /reserved type/,
    ],
    [
      "a block larger than its frame",
      Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 1 | (2 << 3), 0, 0, 1, 2]),
      6,
      /2 bytes/,
    ],
    ["something else behind", joined(raw([1]), Uint8Array.from([1, 2, 3, 4])), 10, /no zstd frame/],
    ["a window of gigabytes", Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 1, 0, 0]), 5, /window/],
  ])("%s is refused where it stands", (_what, bytes, offset, says) => {
    const error = fault(bytes);
    expect(error.offset).toBe(offset);
    expect(error.reason).toMatch(says);
  });

  test("more than the caller can take is refused", () => {
    expect(() => unzstd(packed, plain.length - 1)).toThrow(/more than/);
    expect(unzstd(packed, plain.length)).toHaveLength(plain.length);
  });
});
