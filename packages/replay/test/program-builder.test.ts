/** A program against what a reader of the recording would do by hand. */
import { readTraceBytes, TraceEncoder } from "@kreplica/trace";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Control, Op, Region, type Program } from "../src/replay/program.js";
import { ProgramBuilder } from "../src/replay/program-builder.js";

/**
 * References as plain rows: CPU, what, line address in the model, region, privilege, frame mapped last for the page.
 */
type Row = readonly [vcpu: number, op: number, line: string, region: number, frame: number];

/** The model has every page 1 GiB higher, so that a forgotten translation shows. */
const MOVED = 0x4000_0000n;
const place = (address: bigint): bigint => address + MOVED;

const build = (bytes: Uint8Array): ProgramBuilder => {
  const builder = new ProgramBuilder("test.kt", place);
  readTraceBytes("test.kt", bytes, (batch) => builder.add(batch));
  return builder;
};

const rowsOf = (program: Program): Row[] => {
  const rows: Row[] = [];
  const region = new Map<number, number>();
  const mapped = new Map<bigint, number>();
  let vcpu = -1;
  for (let at = 0; at < program.length; at++) {
    const word = program.word(at);
    const argument = word >>> 8;
    const line = (word >>> 2) & 63;
    if ((word & 3) === Op.Control) {
      if (line === Control.Vcpu) vcpu = argument;
      if (line === Control.Region) region.set(vcpu, argument);
      if (line === Control.Map) mapped.set(program.pages[argument]!.recorded, program.pages[argument]!.frame);
      continue;
    }
    const page = program.pages[argument]!;
    const lo = BigInt(program.pageLo[argument]! >>> 0);
    const hi = BigInt(program.pageHi[argument]! >>> 0);
    expect((hi << 32n) | lo).toBe(BigInt.asUintN(64, page.recorded + MOVED));
    expect(mapped.get(page.recorded), "what a reference uses is what was mapped last").toBe(page.frame);
    rows.push([vcpu, word & 3, (page.recorded + BigInt(line << 6)).toString(16), region.get(vcpu)!, page.frame]);
  }
  return rows;
};

const regionOf = (address: bigint, fetch: boolean): Region => {
  if (address < 1n << 63n) return Region.User;
  if (address >= 0xffff_ffff_a000_0000n && address < 0xffff_ffff_ff00_0000n) return Region.Module;
  return !fetch && address >= 0xffff_ffff_0000_0000n && address < 0xffff_ffff_82a0_0000n
    ? Region.Rodata
    : Region.Kernel;
};

const base = fc.constantFrom(
  0x40_1000n,
  0xffff_8880_0010_0000n,
  0xffff_ffff_8100_0000n,
  0xffff_ffff_8200_0000n,
  0xffff_ffff_82a0_0000n,
  0xffff_ffff_c040_0000n,
  0xffff_c900_0000_0000n,
);
// Few offsets, at line and page ends, so that fetches of one line and pages that move meet often.
const address = fc
  .tuple(base, fc.constantFrom(0, 0x38, 0x40, 0xfc0, 0xff8, 0x1000))
  .map(([start, offset]) => start + BigInt(offset));
const step = fc.oneof(
  fc.record({ op: fc.constant("fetch" as const), address, bytes: fc.integer({ min: 1, max: 200 }), page: fc.nat(2) }),
  fc.record({
    op: fc.constant("access" as const),
    store: fc.boolean(),
    address,
    size: fc.constantFrom(1, 8, 64),
    page: fc.nat(2),
    device: fc.boolean(),
  }),
  fc.record({ op: fc.constant("vcpu" as const), id: fc.constantFrom(2, 0) }),
);

test("lines, regions, frames and CPUs of a program are those of its recording", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const encoder = new TraceEncoder();
      encoder.vcpu(2);
      encoder.mark(0x5eed0101);
      const expected: Row[] = [];
      const frames = new Map<bigint, number>();
      const known = new Map<string, number>();
      let vcpu = 2;
      let last = "";
      const name = (at: bigint, page: number): void => {
        // The recording names a frame when it is new to this CPU; the program maps it for all.
        const key = `${vcpu}/${at >> 12n}`;
        if (known.get(key) === page) return;
        known.set(key, page);
        if (frames.get(at >> 12n) !== page && last.endsWith(`/${at >> 12n}`)) last = "";
        frames.set(at >> 12n, page);
      };
      const skipped = (at: bigint): boolean => vcpu !== 2 && at < 1n << 63n;
      let instructions = 0;
      for (const each of steps) {
        if (each.op === "vcpu") {
          encoder.vcpu((vcpu = each.id));
          continue;
        }
        const first = each.address >> 6n;
        if (each.op === "fetch") {
          // Text pages are named by their first byte's page only, as the recorder does; later pages of a run stay
          // unnamed here.
          encoder.fetch(each.address, Math.ceil(each.bytes / 15), each.bytes, BigInt(each.page));
          const to = (each.address + BigInt(each.bytes) - 1n) >> 6n;
          if (skipped(each.address)) {
            known.set(`${vcpu}/t${each.address >> 12n}`, each.page);
            continue;
          }
          const textKey = `${vcpu}/t${each.address >> 12n}`;
          if (known.get(textKey) !== each.page) {
            known.set(textKey, each.page);
            if (frames.get(each.address >> 12n) !== each.page && last.endsWith(`/${each.address >> 12n}`)) last = "";
            frames.set(each.address >> 12n, each.page);
          }
          if (vcpu === 2) instructions += Math.ceil(each.bytes / 15);
          for (let line = first; line <= to; line++) {
            const key = `${vcpu}/${line}/${line >> 6n}`;
            if (key !== last)
              expected.push([
                vcpu,
                Op.Fetch,
                (line << 6n).toString(16),
                regionOf(each.address, true),
                frames.get(line >> 6n) ?? -1,
              ]);
            last = key;
          }
        } else {
          if (each.device) {
            encoder.access(each.store, each.address, each.size, undefined, 0xfee0_0000n);
            continue;
          }
          encoder.access(each.store, each.address, each.size, BigInt(each.page));
          if (skipped(each.address)) {
            known.set(`${vcpu}/${each.address >> 12n}`, each.page);
            continue;
          }
          name(each.address, each.page);
          const to = (each.address + BigInt(each.size) - 1n) >> 6n;
          for (let line = first; line <= to; line++)
            expected.push([
              vcpu,
              each.store ? Op.Store : Op.Load,
              (line << 6n).toString(16),
              regionOf(each.address, false),
              frames.get(line >> 6n) ?? -1,
            ]);
        }
      }
      encoder.vcpu(2);
      // A window with nothing in it is refused.
      encoder.fetch(0x7fff_0000n, 1, 4, 1n);
      expected.push([2, Op.Fetch, "7fff0000", Region.User, 1]);
      encoder.mark(0x5eed0102);
      encoder.end();
      const builder = build(encoder.bytes());
      const { program, measured } = builder.finish();
      // A fetch repeated after another CPU ran is run again; the rows' own model forgets too.
      expect(withoutRepeats(rowsOf(program))).toEqual(withoutRepeats(expected));
      expect(measured).toBe(2);
      expect([0, 1, 2, 3].reduce((sum, region) => sum + program.instructions[2 * 8 + region]!, 0)).toBe(
        instructions + 1,
      );
    }),
    { numRuns: 1000 },
  );
});

/**
 * Fetches of the line fetched just before, on the same CPU, count once: nothing in the machine tells them apart. Nor
 * accesses that follow at once.
 */
const withoutRepeats = (rows: readonly Row[]): Row[] => {
  const last = new Map<number, string>();
  const fetches = rows.filter((row) => {
    if (row[1] !== Op.Fetch) return true;
    const key = row.join("/");
    const repeated = last.get(row[0]) === key;
    last.set(row[0], key);
    return !repeated;
  });
  const kept: Row[] = [];
  for (const row of fetches) if (!(kept.length > 0 && repeats(kept.at(-1)!, row))) kept.push(row);
  return kept;
};

/** An access to the line accessed just before, unless it is the first store. */
const repeats = ([cpu, op, ...before]: Row, [nextCpu, nextOp, ...next]: Row): boolean =>
  op !== Op.Fetch &&
  nextOp !== Op.Fetch &&
  cpu === nextCpu &&
  before.join() === next.join() &&
  (nextOp === Op.Load || op === Op.Store);

test("of accesses that follow one another on one line, those that change nothing are left out, and no others", () => {
  const encoder = new TraceEncoder();
  encoder.vcpu(2);
  encoder.mark(0x5eed0101);
  encoder.fetch(0x7fff_0000n, 1, 4, 1n);
  const line = 0xffff_8880_0010_0000n;
  for (const [store, at] of [
    [false, 0n],
    [false, 8n],
    [true, 0n],
    [true, 8n],
    [false, 16n],
    [false, 64n],
    [true, 56n],
    [false, 0n],
  ] as const)
    encoder.access(store, line + at, 8, 1n);
  encoder.access(false, line + 60n, 8, 1n);
  encoder.mark(0x5eed0102);
  encoder.end();
  const rows = rowsOf(build(encoder.bytes()).finish().program)
    .slice(1)
    .map(([, op, at]) => `${op === Op.Store ? "store" : "load"} ${(BigInt(`0x${at}`) - line).toString()}`);
  expect(rows).toEqual(["load 0", "store 0", "load 64", "store 0", "load 64"]);
});

test("a recording without its end marker is refused", () => {
  const encoder = new TraceEncoder();
  encoder.vcpu(2);
  encoder.mark(0x5eed0101);
  encoder.end();
  expect(() => build(encoder.bytes()).finish()).toThrow(expect.objectContaining({ code: "no-end" }));
});
