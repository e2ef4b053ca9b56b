/** The contract of PhysMemory on ours, and on memories that each break one promise. */
import { describe, expect, test } from "vitest";
import type { PhysMemory } from "../src/api.js";
import { SparseMemory } from "../src/index.js";
import { physMemoryContract } from "../src/testing.js";

const GIGABYTE = 0x4000_0000;
const nodes = [
  { id: 3, memoryBytes: 8 * 0x20_0000 },
  { id: 1, memoryBytes: GIGABYTE },
  { id: 2, memoryBytes: 0x20_0000, startAddress: 5 * GIGABYTE },
];
const ours = (): SparseMemory => new SparseMemory(nodes);

test("ours keeps it, on frames of nobody, at the end of 15 TiB and in windows as well", () => {
  physMemoryContract(ours);
  physMemoryContract(ours, [0, 1, 511, 512, 0x3_ffff, 0x4_0000, 0x8_0001, 0xefff_fffe, 0xf000_0000, 0xfbff_fffe]);
});

describe("is not kept by memory", () => {
  type Wrong = (right: SparseMemory) => Partial<PhysMemory>;
  const wrong: Record<string, [broken: string, Wrong]> = {
    "that keeps 16 bits of a word's upper half": [
      "what was written is read",
      (right) => ({
        write32: (frame, word, value) => {
          right.write32(frame, word, value & 0x7fff_ffff);
        },
      }),
    ],
    "that puts the large end of 64 bits first": [
      "what was written is read",
      (right) => ({
        write64: (at, value) => {
          right.write64(at, ((value << 32n) & 0xffff_ffff_ffff_ffffn) | (value >> 32n));
        },
      }),
    ],
    "that stops at the end of a frame": [
      "what was written is read",
      (right) => ({
        writeBytes: (at, bytes) => {
          right.writeBytes(at, bytes.length === 8 ? bytes : bytes.subarray(0, 4096 - Number(at & 4095n)));
        },
      }),
    ],
    "that counts a clearing and does not clear": [
      "what was written is read",
      (right) => ({
        clearFrame: (frame) => {
          right.write32(frame, 5, right.read32(frame, 5));
        },
      }),
    ],
    "whose copies follow their source": [
      "a frame that nobody wrote keeps its version",
      (right) => {
        const copies = new Map<number, number>();
        return {
          copyFrame: (from, to) => {
            right.copyFrame(from, to);
            if (from !== to) copies.set(from, to);
          },
          write32: (frame, word, value) => {
            right.write32(frame, word, value);
            const copy = copies.get(frame);
            if (copy !== undefined) right.copyFrame(frame, copy);
          },
        };
      },
    ],
    "that compares the first word alone": [
      "frames are equal when their bytes are",
      (right) => ({ equalFrames: (a, b) => right.read32(a, 0) === right.read32(b, 0) }),
    ],
    "that passes over entries without P": [
      "a table is searched for what it holds",
      (right) => ({
        nextEntry: (table, first, last) => {
          let at = first;
          while (at <= last && (right.read32(table, at * 2) & 1) === 0) at++;
          return at;
        },
      }),
    ],
    "that searches a table to its end": [
      "a table is searched for what it holds",
      (right) => ({ nextEntry: (table, first) => right.nextEntry(table, first, 511) }),
    ],
    "that compares low halves alone": [
      "tables are compared entry by entry",
      (right) => ({
        nextDifference: (table, other, first, last) => {
          let at = first;
          while (at <= last && right.read32(table, at * 2) === right.read32(other, at * 2)) at++;
          return at;
        },
      }),
    ],
    "that compares a table to its end": [
      "tables are compared entry by entry",
      (right) => ({ nextDifference: (table, other, first) => right.nextDifference(table, other, first, 511) }),
    ],
    "that does not count copies": [
      "a change shows in the version",
      (right) => {
        let copied = 0;
        const hidden = new Map<number, number>();
        return {
          copyFrame: (from, to) => {
            right.copyFrame(from, to);
            copied++;
            hidden.set(to, (hidden.get(to) ?? 0) + 1);
          },
          version: (frame) => right.version(frame) - (copied === 0 ? 0 : (hidden.get(frame) ?? 0)),
        };
      },
    ],
    "that counts a source's copies": [
      "a frame that nobody wrote keeps its version",
      (right) => ({
        copyFrame: (from, to) => {
          right.copyFrame(from, to);
          right.write32(from, 0, right.read32(from, 0));
        },
      }),
    ],
    "whose last frame is nobody's": [
      "owners follow the runs",
      (right) => ({
        nodeOf: (frame) =>
          right.ranges.some(({ first, frames }) => frame === first + frames - 1) ? -1 : right.nodeOf(frame),
      }),
    ],
    "whose runs go down": ["runs ascend", (right) => ({ ranges: [...right.ranges].reverse() })],
    "without an end": [
      "addresses without a frame are refused",
      (right) => ({ read64: (at) => right.read64(at & 0xfff_ffff_fff8n) }),
    ],
  };
  test.each(Object.entries(wrong))("%s", (_what, [broken, change]) => {
    const make = (): PhysMemory => {
      const right = ours();
      const changes = change(right);
      return new Proxy(right, {
        get: (target, key) => {
          const value: unknown = key in changes ? changes[key as keyof PhysMemory] : Reflect.get(target, key, target);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
    };
    expect(() => {
      physMemoryContract(make, undefined, { shrink: false });
    }).toThrow(broken);
  });
});
