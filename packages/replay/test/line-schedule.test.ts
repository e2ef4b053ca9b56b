/** The schedule of lines: what it says, and what becomes of one that is damaged or belongs elsewhere. */
/// <reference types="node" />
import { readFileSync } from "node:fs";
import { dataFile } from "@kreplica/recordings";
import { TraceError } from "@kreplica/trace";
import * as fc from "fast-check";
import { decompress } from "fzstd";
import { expect, test } from "vitest";
import { readLineSchedule } from "../src/replay/line-schedule.js";

const shipped = decompress(readFileSync(dataFile("traces/hsw-forkN.lines.zst")));

/** A schedule from plain values, written down as the format's description says. */
interface Plain {
  template: number;
  own: boolean;
  bursts: number;
  pages: [page: number, frame: number, touched: number][];
  lines: [line: number, stored: number][];
  text: number[];
}
const encode = (templates: number, stretches: readonly Plain[]): Uint8Array => {
  const out = [..."KTRL2\n"].map((letter) => letter.charCodeAt(0));
  const varint = (value: number): void => {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
    out.push(rest);
  };
  const signed = (value: number): number => (value >= 0 ? value * 2 : -value * 2 - 1);
  const zigzag = (value: number): void => varint(signed(value));
  varint(templates);
  varint(stretches.reduce((sum, each) => sum + each.bursts, 0));
  varint(stretches.length);
  let [page, frame] = [0, 0];
  for (const each of stretches) {
    varint(each.template * 2 + Number(each.own));
    varint(each.bursts);
    varint(each.pages.length);
    for (const [p, f, touched] of each.pages) {
      zigzag(p - page);
      zigzag(f - frame);
      varint(touched);
      [page, frame] = [p, f];
    }
    varint(each.lines.length);
    each.lines.forEach(([line, stored], i) => varint(signed(line - (each.lines[i - 1]?.[0] ?? 0)) * 2 + stored));
    varint(each.text.length);
    each.text.forEach((line, i) => zigzag(line - (each.text[i - 1] ?? 0)));
  }
  return Uint8Array.from(out);
};

test("reads back what was written", () => {
  const page = fc.tuple(
    fc.integer({ min: 0, max: 2 ** 37 - 1 }),
    fc.nat(0x4_0000),
    fc.tuple(fc.nat(63), fc.nat(2)).map(([line, op]) => line * 4 + op),
  );
  const line = fc.integer({ min: 0, max: 2 ** 42 - 1 });
  const stretch = fc.record({
    bursts: fc.nat(3),
    pages: fc.array(page, { maxLength: 5 }),
    text: fc.array(line, { maxLength: 5 }),
    lines: fc.array(fc.tuple(line, fc.nat(1)), { maxLength: 30, size: "max" }),
  });
  fc.assert(
    fc.property(fc.array(stretch, { minLength: 1, maxLength: 6 }), (given) => {
      const read = readLineSchedule(
        encode(
          1,
          given.map((each, i) => ({ ...each, template: 0, own: i === 0 })),
        ),
        "x",
      );
      expect(read.stretches).toBe(given.length);
      given.forEach((each, i) => {
        expect([...read.lines.subarray(read.lineStart[i]!, read.lineStart[i + 1]!)]).toEqual(
          each.lines.map(([at]) => at),
        );
        expect([...read.stored.subarray(read.lineStart[i]!, read.lineStart[i + 1]!)]).toEqual(
          each.lines.map(([, stored]) => stored),
        );
        expect([...read.text.subarray(read.textStart[i]!, read.textStart[i + 1]!)]).toEqual(each.text);
        expect([...read.touched.subarray(read.pageStart[i]!, read.pageStart[i + 1]!)]).toEqual(
          each.pages.map(([, , touched]) => touched),
        );
        expect(read.burstStart[i + 1]! - read.burstStart[i]!).toBe(each.bursts);
        expect([...read.frames.subarray(read.pageStart[i]!, read.pageStart[i + 1]!)]).toEqual(
          each.pages.map(([, frame]) => frame),
        );
        expect([...read.pages.subarray(read.pageStart[i]!, read.pageStart[i + 1]!)]).toEqual(
          each.pages.map(([number]) => (number >= 2 ** 36 ? number - 2 ** 37 + 2 ** 52 : number)),
        );
      });
    }),
  );
});

test("the shipped one covers 1024 forks: 3993 stretches, 2.7 million lines, every template a stretch of its own, 689 bursts of other CPUs", () => {
  const read = readLineSchedule(shipped, "forkN");
  expect([read.templates, read.bursts, read.stretches, read.lines.length, read.text.length]).toEqual([
    53, 689, 3993, 2_739_562, 3454,
  ]);
  read.origin.forEach((stretch, template) => expect(read.template[stretch]).toBe(template));
});

test("cut or damaged: a typed error with an offset, or a schedule; nothing else, and soon", () => {
  const small = encode(2, [
    {
      template: 0,
      own: true,
      bursts: 2,
      pages: [[5, 9, 6]],
      lines: [
        [1, 0],
        [2, 1],
        [900, 1],
      ],
      text: [4],
    },
    { template: 1, own: true, bursts: 0, pages: [], lines: [[7, 0]], text: [] },
  ]);
  fc.assert(
    fc.property(fc.nat(small.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
      const bad = cut ? small.slice(0, at) : small.slice();
      if (!cut) bad[at] = value;
      try {
        readLineSchedule(bad, "x.lines");
        expect(cut).toBe(false);
      } catch (error) {
        expect(error).toBeInstanceOf(TraceError);
        expect(["not-lines", "bad-lines"]).toContain((error as TraceError).code);
        expect((error as TraceError).message).toContain("x.lines at byte ");
      }
    }),
    { numRuns: 500 },
  );
});
