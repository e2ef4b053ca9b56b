/**
 * What every implementation of PhysMemory must do, as a property over random operations against a map of bytes.
 * Run it with any test library: it throws when a promise is broken.
 *
 * Promised: what was written is read, in words and in bytes, little end first; a frame that nobody wrote reads as zero;
 * a copy and its source stay apart afterwards; frames are equal when their bytes are; a table is searched for what it
 * holds, and compared with another, entry by entry; what was deferred is read as if it had been written, whatever was
 * copied, written or compared before anybody looked; a change of a frame's bytes shows in its version, and a frame that
 * nobody wrote keeps its own; runs ascend and owners follow them; addresses outside 0..2^44 are refused.
 *
 * Left to the implementation: what a write of many bytes adds to a version, what it costs the host, and frames that
 * belong to no node.
 */
import { addressOfFrame, frameOfAddress, hex, PAGE, PAGE_BYTES } from "../addr.js";
import * as fc from "fast-check";
import type { Frame } from "../ids.js";
import { NONE } from "../ids.js";
import type { PhysMemory } from "../memory-api.js";
import { keepsPromises, promised, type SuiteEffort } from "./broken-promise.js";

/** Frames that meet: the first two of each run and its last, and both sides of a 2 MiB border. */
export function meetingFrames({ ranges }: PhysMemory): Frame[] {
  return [
    ...new Set(
      ranges.flatMap(({ first, frames }) =>
        [first, first + 1, first + 511, first + 512, first + frames - 1].filter((frame) => frame < first + frames),
      ),
    ),
  ];
}

const stepOn = (frames: readonly Frame[]) => {
  const frame = fc.constantFrom(...frames);
  const neighbours = frames.filter((each) => frames.includes(each + 1));
  return fc.oneof(
    fc.record({
      op: fc.constant("write32" as const),
      frame,
      word: fc.constantFrom(0, 1, 1023),
      value: fc.nat(0xffff_ffff),
    }),
    fc.record({ op: fc.constant("copy" as const), from: frame, to: frame }),
    fc.record({ op: fc.constant("clear" as const), frame }),
    fc.record({
      op: fc.constant("defer" as const),
      frame: fc.constantFrom(...(neighbours.length > 0 ? neighbours : frames)),
      frames: fc.integer({ min: 1, max: neighbours.length > 0 ? 2 : 1 }),
      seed: fc.nat(200),
    }),
    fc.record({
      op: fc.constant("bytes" as const),
      frame: fc.constantFrom(...(neighbours.length > 0 ? neighbours : frames)),
      offset: fc.constantFrom(0, 3, 4090),
      bytes: fc.uint8Array({ minLength: 1, maxLength: neighbours.length > 0 ? 4100 : 6, size: "max" }),
    }),
    fc.record({
      op: fc.constant("write64" as const),
      frame,
      offset: fc.constantFrom(0, 8, 4, 4088),
      value: fc.bigInt(0n, (1n << 64n) - 1n),
    }),
  );
};

/** Pages as arrays, whatever was never written as zeros. */
class Bytes {
  private readonly pages = new Map<Frame, Uint8Array>();
  page(frame: Frame): Uint8Array {
    return this.pages.get(frame) ?? new Uint8Array(PAGE_BYTES);
  }
  /** @returns frames that were written */
  write(at: bigint, bytes: ArrayLike<number>): Set<Frame> {
    const written = new Set<Frame>();
    for (let n = 0; n < bytes.length; n++) {
      const frame = frameOfAddress(at + BigInt(n));
      if (!written.has(frame)) this.pages.set(frame, this.page(frame).slice());
      written.add(frame);
      this.pages.get(frame)![Number((at + BigInt(n)) & (PAGE - 1n))] = bytes[n]!;
    }
    return written;
  }
}

/** Entries that a table is searched over: all of them, its ends, and what lies between. */
const TABLE_RANGES = [
  [0, 511],
  [1, 510],
  [0, 0],
  [511, 511],
] as const;
const entryWhere = (first: number, last: number, wanted: (entry: number) => boolean): number => {
  for (let entry = first; entry <= last; entry++) if (wanted(entry)) return entry;
  return last + 1;
};

const little = (value: bigint, count: number): number[] =>
  Array.from({ length: count }, (_, n) => Number((value >> BigInt(8 * n)) & 255n));
const same = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, n) => byte === b[n]);
const name = (frame: Frame): string => `frame ${hex(frame)}`;

/**
 * @param make memory that shares nothing with any other, with at least one run
 * @param frames where to write; {@link meetingFrames} when absent
 * @throws BrokenPromise with the shortest list of steps
 */
export function physMemoryContract(
  make: () => PhysMemory,
  frames: readonly Frame[] = meetingFrames(make()),
  effort: SuiteEffort = {},
): void {
  owners(make());
  borders(make());
  keepsPromises(
    fc.property(fc.array(stepOn(frames), { maxLength: 40, size: "max" }), (steps) => {
      const memory = make();
      const model = new Bytes();
      const versions = new Map<Frame, Set<number>>(frames.map((frame) => [frame, new Set([memory.version(frame)])]));
      for (const each of steps) {
        const before = frames.map((frame) => ({ frame, version: memory.version(frame), bytes: model.page(frame) }));
        let written: Set<Frame>;
        if (each.op === "write32") {
          memory.write32(each.frame, each.word, each.value);
          written = model.write(addressOfFrame(each.frame) + BigInt(each.word) * 4n, little(BigInt(each.value), 4));
        } else if (each.op === "copy") {
          memory.copyFrame(each.from, each.to);
          written = model.write(addressOfFrame(each.to), model.page(each.from));
        } else if (each.op === "clear") {
          memory.clearFrame(each.frame);
          written = model.write(addressOfFrame(each.frame), new Uint8Array(PAGE_BYTES));
        } else if (each.op === "defer") {
          const page = (nth: number): Uint8Array =>
            Uint8Array.from({ length: PAGE_BYTES }, (_, n) => (n % 9 < 4 ? 0 : each.seed + nth + n));
          const at = addressOfFrame(each.frame);
          const pages = Array.from({ length: each.frames }, (_, nth) => page(nth));
          if (memory.defer) memory.defer(each.frame, each.frames, (nth, into) => into.set(pages[nth]!));
          else pages.forEach((bytes, nth) => memory.writeBytes(at + BigInt(nth) * PAGE, bytes));
          written = model.write(
            at,
            pages.flatMap((bytes) => [...bytes]),
          );
        } else if (each.op === "bytes") {
          const at = addressOfFrame(each.frame) + BigInt(each.offset);
          memory.writeBytes(at, each.bytes);
          written = model.write(at, each.bytes);
          const back = new Uint8Array(each.bytes.length);
          memory.readBytes(at, back);
          promised(
            same(back, each.bytes),
            "what was written is read",
            `${each.bytes.length} bytes at ${hex(at)} differ`,
          );
        } else {
          const at = addressOfFrame(each.frame) + BigInt(each.offset);
          memory.write64(at, each.value);
          written = model.write(at, little(each.value, 8));
          promised(
            memory.read64(at) === each.value,
            "what was written is read",
            `${hex(memory.read64(at))} at ${hex(at)}, ${hex(each.value)} was written`,
          );
        }
        for (const { frame, version, bytes } of before) {
          const now = memory.version(frame);
          if (!written.has(frame))
            promised(
              now === version,
              "a frame that nobody wrote keeps its version",
              `${name(frame)} went from ${version} to ${now}`,
            );
          else if (each.op === "write32")
            promised(
              now === (version + 1) >>> 0,
              "a change shows in the version",
              `write32 took ${name(frame)} from ${version} to ${now}`,
            );
          else if (!same(bytes, model.page(frame)))
            promised(
              !versions.get(frame)!.has(now),
              "a change shows in the version",
              `${name(frame)} has version ${now} again`,
            );
          versions.get(frame)!.add(now);
        }
      }
      for (const frame of frames) {
        const wanted = model.page(frame);
        const page = new Uint8Array(PAGE_BYTES);
        memory.readBytes(addressOfFrame(frame), page);
        promised(same(page, wanted), "what was written is read", `bytes of ${name(frame)} differ`);
        for (const word of [0, 1, 2, 1022, 1023]) {
          const value = [3, 2, 1, 0].reduce((sum, n) => sum * 256 + wanted[word * 4 + n]!, 0);
          promised(
            memory.read32(frame, word) === value,
            "what was written is read",
            `word ${word} of ${name(frame)} is ${memory.read32(frame, word)}, not ${value}`,
          );
        }
        for (const [first, last] of TABLE_RANGES) {
          const found = memory.nextEntry(frame, first, last);
          promised(
            found === entryWhere(first, last, (entry) => [0, 1, 2, 3].some((n) => wanted[entry * 8 + n] !== 0)),
            "a table is searched for what it holds",
            `the first entry of ${name(frame)} from ${first} to ${last} is said to be ${found}`,
          );
        }
      }
      for (const frame of frames) {
        for (const other of frames) {
          promised(
            memory.equalFrames(frame, other) === same(model.page(frame), model.page(other)),
            "frames are equal when their bytes are",
            `${name(frame)} and ${name(other)}`,
          );
        }
      }
      frames.forEach((frame, index) => {
        const other = frames[(index + 1) % frames.length]!;
        const [mine, theirs] = [model.page(frame), model.page(other)];
        const differs = (entry: number): boolean =>
          !same(mine.subarray(entry * 8, entry * 8 + 8), theirs.subarray(entry * 8, entry * 8 + 8));
        for (const [first, last] of TABLE_RANGES) {
          const found = memory.nextDifference(frame, other, first, last);
          promised(
            found === entryWhere(first, last, differs),
            "tables are compared entry by entry",
            `${name(frame)} and ${name(other)} are said to differ at ${found} of ${first} to ${last}`,
          );
        }
      });
    }),
    { runs: 60, ...effort },
  );
}

function owners(memory: PhysMemory): void {
  let end = 0;
  promised(memory.ranges.length > 0, "runs ascend", "there is none");
  for (const { node, first, frames } of memory.ranges) {
    promised(
      first >= end && frames > 0,
      "runs ascend",
      `one of ${frames} frames begins at ${name(first)}, the last ended at ${name(end)}`,
    );
    if (first > end)
      promised(
        memory.nodeOf(first - 1) === NONE,
        "owners follow the runs",
        `${name(first - 1)} of a hole has node ${memory.nodeOf(first - 1)}`,
      );
    for (const frame of [first, first + frames - 1])
      promised(
        memory.nodeOf(frame) === node,
        "owners follow the runs",
        `${name(frame)} has node ${memory.nodeOf(frame)}, its run node ${node}`,
      );
    end = first + frames;
  }
  promised(
    memory.nodeOf(end) === NONE,
    "owners follow the runs",
    `${name(end)} behind the last run has node ${memory.nodeOf(end)}`,
  );
}

function borders(memory: PhysMemory): void {
  const refused = (act: () => void): boolean => {
    try {
      act();
    } catch (error) {
      return error instanceof RangeError;
    }
    return false;
  };
  const borders = [15n << 40n, 1n << 44n, (1n << 45n) + (1n << 37n), 1n << 47n, (1n << 50n) + (1n << 37n), 1n << 51n];
  const before = (1n << 44n) - 8n;
  for (const at of [
    -1n,
    -8n,
    ...borders.flatMap((each) => (each >> 4n === 1n << 40n ? [each - 7n] : [each - 7n, each])),
    before,
  ]) {
    const eight = new Uint8Array(8);
    for (const [what, act] of Object.entries({
      read64: () => memory.read64(at),
      write64: () => {
        memory.write64(at, 1n);
      },
      readBytes: () => {
        memory.readBytes(at, eight);
      },
      writeBytes: () => {
        memory.writeBytes(at, eight);
      },
    })) {
      promised(refused(act), "addresses without a frame are refused", `${what} at ${at}`);
    }
  }
}
