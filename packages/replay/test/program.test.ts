/**
 * What a program holds: its words in chunks, no more room than they need, and pages of which a copy shares what it can.
 */
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { recordingOf } from "@kreplica/trace";
import { expect, test } from "vitest";
import { scheduledFrames } from "../src/replay/load.js";
import { CHUNK, Program } from "../src/replay/program.js";
import { framesToReserve } from "../src/replay/recorded-frames.js";

const of = (length: number): Program => {
  const program = new Program();
  for (let at = 0; at < length; at++) program.push((at * 7) >>> 0);
  return program;
};
const roomOf = ({ chunks }: Program): number => chunks.reduce((sum, chunk) => sum + chunk.length, 0);

test.each([1, 8191, 8192, 8193, 100_000, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 8193])(
  "%i operations are read as they were pushed, and have room for twice as many at most",
  (length) => {
    const program = of(length);
    for (const at of [0, 1, 8191, 8192, 16_384, 65_535, length - CHUNK, length - 2, length - 1])
      if (at >= 0 && at < length) expect(program.word(at)).toBe((at * 7) >>> 0);
    expect(program.chunks.length).toBe(Math.ceil(length / CHUNK));
    expect(roomOf(program)).toBeLessThanOrEqual(Math.max(8192, length * 2));
  },
);

test("what nobody asks for any more is given back by chunks, for copies as well; the rest stays", () => {
  const program = of(2 * CHUNK + 10);
  program.forget(2 * CHUNK - 1);
  expect(program.chunks.map((chunk) => chunk.length > 0)).toEqual([false, true, true]);
  const copy = program.placed((recorded) => recorded);
  expect(copy.chunks[0]!.length).toBe(0);
  for (const each of [program, copy])
    for (const at of [CHUNK, 2 * CHUNK - 1, 2 * CHUNK + 9]) expect(each.word(at)).toBe((at * 7) >>> 0);
});

test("a copy places what has a place; what a long run fills in is one page for all", () => {
  const program = new Program();
  const varies = { recorded: 0n, frame: -1, address: 0n };
  program.addPage(varies);
  program.addPage({ recorded: 0x40_0000n, frame: 7, address: 0x1000n + 3n * 64n });
  const copy = program.placed((recorded, frame) => recorded + BigInt(frame) * 0x1000n);
  expect(copy.pages[0]).toBe(varies);
  expect(copy.pages[1]).toEqual({ recorded: 0x40_0000n, frame: 7, address: 0x40_7000n + 3n * 64n });
});

test("a schedule is read for its frames only where a machine has no room for all of the guest", () => {
  const run = {
    recording: recordingOf("none", new Uint8Array(0)),
    schedule: {
      name: "lines",
      read: (): Uint8Array => {
        throw new Error("read");
      },
    },
  };
  expect(framesToReserve(e52690v3, [0, 1], run.recording, scheduledFrames(run))).toEqual([]);
  const empty = { ...run, recording: { name: "none", open: () => ({ read: () => 0, close() {} }) } };
  expect(() => [...scheduledFrames(empty)]).toThrow("lines");
  expect(() => framesToReserve(tiny2Node, [0, 1], empty.recording, scheduledFrames(empty))).toThrow();
});
