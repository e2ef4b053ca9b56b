/** Where else functions, pages and tables could lie: what moves, what stays, and how far gains spread over it. */
import { preset } from "@kreplica/machines";
import { guestNodeOfPage, Access, Batch, imagePages, Kind, shippedGuest } from "@kreplica/trace";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { frameOrder, scatteredFrames } from "../src/layout/frame-layout.js";
import { spreadBy } from "../src/layout/layout-gains.js";
import { MovableText } from "../src/layout/movable-text.js";
import { NEIGHBOURHOOD, TextLayout } from "../src/layout/text-layout.js";

const BASE = 0xffff_ffff_8100_0000n;
const low = (at: number): number => 0x8100_0000 + at;
/** Text of `bytes` bytes with symbols at these offsets. */
const textOf = (bytes: number, symbols: readonly (readonly [string, number])[]): MovableText =>
  new MovableText(
    { stext: BASE, etext: BASE + BigInt(bytes) },
    symbols.map(([name, at]) => ({ name, address: BASE + BigInt(at) })),
  );
const even = (count: number, bytes = 48): MovableText =>
  textOf(
    count * bytes,
    Array.from({ length: count }, (_, nth) => [`f${nth}`, nth * bytes] as const),
  );

describe("text that could lie elsewhere", () => {
  test("is in pieces that begin on multiples of 16; what does not stays with what is before", () => {
    const text = textOf(0x100, [
      ["a", 0],
      ["a.cold", 0x24],
      ["b", 0x40],
      ["c", 0x90],
    ]);
    expect(Array.from(text.starts)).toEqual([low(0), low(0x40), low(0x90)]);
    expect([0, 0x24, 0x3f, 0x40, 0xff].map((at) => text.pieceOf(low(at)))).toEqual([0, 0, 0, 1, 2]);
    expect([text.pieceOf(low(0) - 1), text.pieceOf(low(0x100))]).toEqual([-1, -1]);
    expect([text.bytes(0), text.bytes(2)]).toEqual([0x40, 0x70]);
    expect([text.crosses(low(0x30), 16), text.crosses(low(0x30), 17), text.crosses(low(0x100), 99)]).toEqual([
      false,
      true,
      false,
    ]);
  });

  test("ends where entry text begins; sections and gaps are not crossed", () => {
    const text = textOf(0x40_0000, [
      ["a", 0],
      ["__sched_text_start", 0x40],
      ["schedule", 0x40],
      ["last", 0x80],
      ["behind", 0x20_0000],
      ["__entry_text_start", 0x30_0010],
      ["entry", 0x30_0010],
    ]);
    expect(text.end).toBe(low(0x30_0010));
    // The section, the function with the gap behind it, and what is behind the gap, which is followed by another.
    expect([...text.sections].filter((piece) => piece < text.starts.length).sort()).toEqual([1, 2, 3]);
  });
});

describe("a layout", () => {
  const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 });

  test("puts every function somewhere else in its 256 KiB, whole, on a multiple of 16, and no two in one place", () => {
    const text = even(20_000);
    fc.assert(
      fc.property(seeds, (seed) => {
        const layout = new TextLayout(text, new Set(), seed);
        const places = Array.from(text.starts, (at) => layout.place(at));
        expect(new Set(places).size).toBe(places.length);
        expect(Math.min(...places)).toBe(text.start);
        expect(Math.max(...places)).toBe(text.end - 48);
        places.forEach((place, piece) => {
          const at = text.starts[piece]!;
          if (place % 16 !== 0 || Math.abs(place - at) >= NEIGHBOURHOOD + 48) expect.fail(`${at} is at ${place}`);
          if (layout.place(at + 47) !== place + 47) expect.fail(`${at} is torn apart`);
        });
        // Half of them have others in their line.
        expect(places.filter((place, piece) => place !== text.starts[piece]).length).toBeGreaterThan(19_000);
      }),
      { numRuns: 5, seed: 3 },
    );
  });

  test("is drawn by its seed", () => {
    const text = even(500);
    const placesOf = (seed: number): number[] => {
      const layout = new TextLayout(text, new Set(), seed);
      return Array.from(text.starts, (at) => layout.place(at));
    };
    expect(placesOf(7)).toEqual(placesOf(7));
    expect(placesOf(7)).not.toEqual(placesOf(8));
  });

  test("keeps what is run into behind what it is run into from; sections keep their places", () => {
    const text = textOf(64 * 48, [
      ...Array.from({ length: 64 }, (_, nth) => [`f${nth}`, nth * 48] as const),
      ["__sched_text_start", 32 * 48],
    ]);
    fc.assert(
      fc.property(seeds, (seed) => {
        const layout = new TextLayout(text, new Set([5, 6]), seed);
        const at = (piece: number): number => layout.place(text.starts[piece]!);
        expect([at(5) - at(4), at(6) - at(5)]).toEqual([48, 48]);
        for (let piece = 0; piece < 64; piece++) expect(at(piece) < text.starts[32]!).toBe(piece < 32);
      }),
      { numRuns: 50, seed: 3 },
    );
  });

  test("moves fetches, loads and stores of text with their function, and no others", () => {
    const text = even(100);
    const layout = new TextLayout(text, new Set(), 1);
    const batch = new Batch(8);
    const rows = [
      [Kind.Fetch, low(17), 0xffff_ffff, 5, 20],
      [Kind.Load, low(50), 0xffff_ffff, 8 | Access.NewPage, 0x1000],
      [Kind.Store, low(100), 0xffff_ffff, 8, 0],
      [Kind.FetchPage, low(0), 0xffff_ffff, 0, 0x1000],
      [Kind.Load, low(50), 0xffff_8880, 8 | Access.NewPage, 0x1000],
      [Kind.Fetch, low(4800), 0xffff_ffff, 5, 20],
    ] as const;
    rows.forEach(([kind, lo, hi, a, b], i) => {
      [batch.kind[i], batch.lo[i], batch.hi[i], batch.a[i], batch.b[i]] = [kind, lo, hi, a, b];
    });
    batch.length = rows.length;
    layout.move(batch);
    expect(Array.from(batch.lo.subarray(0, 3))).toEqual([17, 50, 100].map((at) => layout.place(low(at))));
    expect(layout.place(low(17)) - layout.place(low(0))).toBe(17);
    expect(batch.a[1]).toBe(8);
    expect(batch.kind[3]).toBe(Kind.Repeat);
    expect([batch.lo[4], batch.a[4], batch.lo[5]]).toEqual([low(50), 8 | Access.NewPage, low(4800)]);
    expect(layout.addressOf(BASE + 17n)).toBe(0xffff_ffff_0000_0000n + BigInt(layout.place(low(17))));
  });
});

describe("frames elsewhere", () => {
  test("a guest's change places within 2 MiB of one node; its image stays", () => {
    const order = frameOrder(shippedGuest, 5);
    const { firstPage } = shippedGuest.image;
    const image = firstPage + imagePages(shippedGuest.image);
    const moved = new Set<number>();
    let stayed = 0;
    for (let frame = 0; frame < 0x4_0000; frame++) {
      const there = order(frame);
      moved.add(there);
      if (there === frame) stayed++;
      if (frame >= firstPage && frame < image && there !== frame) expect.fail(`image page ${frame} moved`);
      if (there >>> 9 !== frame >>> 9) expect.fail(`${frame} left its 2 MiB`);
    }
    expect(moved.size).toBe(0x4_0000);
    expect(stayed).toBeLessThan(imagePages(shippedGuest.image) + 2000);
    expect([-1, 0x4_0000, 0xfee00].map(order)).toEqual([-1, 0x4_0000, 0xfee00]);
    expect(guestNodeOfPage(shippedGuest, order(0x2_0000))).toBe(1);
    expect(frameOrder(shippedGuest, 5)(0x2_1234)).toBe(order(0x2_1234));
    expect(frameOrder(shippedGuest, 6)(0x2_1234)).not.toBe(order(0x2_1234));
  });

  test("2 MiB that lie in two nodes stay", () => {
    const [first, second] = shippedGuest.nodes as [(typeof shippedGuest.nodes)[0], (typeof shippedGuest.nodes)[0]];
    const nodes = [
      { ...first, pages: first.pages - 100 },
      { ...second, firstPage: second.firstPage - 100, pages: second.pages + 100 },
    ];
    const order = frameOrder({ ...shippedGuest, nodes }, 5);
    const region = second.firstPage - 512;
    for (let frame = region; frame < region + 512; frame++) expect(order(frame)).toBe(frame);
  });

  test("a kernel is kept from about half of the frames at the top of every node, by the seed", () => {
    const spec = preset("e5-2690v3-2s")!;
    const kept = scatteredFrames(spec, 1);
    for (const node of [0, 1]) {
      const frames = kept.filter((each) => each.node === node).reduce((sum, each) => sum + each.frames, 0);
      expect(frames).toBeGreaterThan(200);
      expect(frames).toBeLessThan(312);
    }
    expect(scatteredFrames(spec, 1)).toEqual(kept);
    expect(scatteredFrames(spec, 2)).not.toEqual(kept);
  });
});

test("a gain's limits have its layouts in them, as far beyond as layouts move it", () => {
  const gain = { percent: 5, low: 2, high: 7 };
  expect(spreadBy(gain, { low: 1, high: 12, sameLow: 4, sameHigh: 6 })).toEqual({ percent: 5, low: -2, high: 14 });
  expect(spreadBy(gain, undefined)).toBe(gain);
});
