/** The schedule of lines: what it says, and what becomes of one that is damaged or belongs elsewhere. */
/// <reference types="node" />
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { decompress } from "fzstd";
import { expect, test } from "vitest";
import { dataFile } from "../../src/data-files.js";
import { readLineSchedule } from "../../src/replay/line-schedule.js";
import { TraceError } from "../../src/trace/trace-error.js";

const shipped = decompress(readFileSync(dataFile("traces/hsw-forkN.lines.zst")));

/** A schedule from plain values, written down as the format's description says. */
const encode = (templates: number, stretches: readonly { template: number; own: boolean; pages: [number, number][]; lines: number[] }[]): Uint8Array => {
  const out = [..."KTRL1\n"].map((letter) => letter.charCodeAt(0));
  const varint = (value: number): void => {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
    out.push(rest);
  };
  const zigzag = (value: number): void => varint(value >= 0 ? value * 2 : -value * 2 - 1);
  varint(templates);
  varint(stretches.length);
  let [page, frame] = [0, 0];
  for (const each of stretches) {
    varint(each.template * 2 + Number(each.own));
    varint(each.pages.length);
    for (const [p, f] of each.pages) { zigzag(p - page); zigzag(f - frame); [page, frame] = [p, f]; }
    varint(each.lines.length);
    each.lines.forEach((line, i) => zigzag(line - (each.lines[i - 1] ?? 0)));
  }
  return Uint8Array.from(out);
};

test("reads back what was written", () => {
  const page = fc.tuple(fc.integer({ min: 0, max: 2 ** 37 - 1 }), fc.nat(0x4_0000));
  const stretch = fc.record({ pages: fc.array(page, { maxLength: 5 }), lines: fc.array(fc.integer({ min: 0, max: 2 ** 42 - 1 }), { maxLength: 30, size: "max" }) });
  fc.assert(fc.property(fc.array(stretch, { minLength: 1, maxLength: 6 }), (given) => {
    const read = readLineSchedule(encode(1, given.map((each, i) => ({ ...each, template: 0, own: i === 0 }))), "x");
    expect(read.stretches).toBe(given.length);
    given.forEach((each, i) => {
      expect([...read.lines.subarray(read.lineStart[i]!, read.lineStart[i + 1]!)]).toEqual(each.lines);
      expect([...read.frames.subarray(read.pageStart[i]!, read.pageStart[i + 1]!)]).toEqual(each.pages.map(([, frame]) => frame));
      expect([...read.pages.subarray(read.pageStart[i]!, read.pageStart[i + 1]!)]).toEqual(each.pages.map(([number]) => (number >= 2 ** 36 ? number - 2 ** 37 + 2 ** 52 : number)));
    });
  }));
});

test("the shipped one covers 1024 forks: 3993 stretches, 2.7 million lines, every template a stretch of its own", () => {
  const read = readLineSchedule(shipped, "forkN");
  expect([read.templates, read.stretches, read.lines.length]).toEqual([53, 3993, 2_739_562]);
  read.origin.forEach((stretch, template) => expect(read.template[stretch]).toBe(template));
});

test("cut or damaged: a typed error with an offset, or a schedule; nothing else, and soon", () => {
  const small = encode(2, [{ template: 0, own: true, pages: [[5, 9]], lines: [1, 2, 900] }, { template: 1, own: true, pages: [], lines: [7] }]);
  fc.assert(fc.property(fc.nat(small.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
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
  }), { numRuns: 500 });
});
