/**
 * The symbol table in a kernel's rodata: every layout kernels have had, built here byte by byte; damage gives no
 * symbols, or others, never a crash.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { embeddedSymbols } from "../src/kernel-image/kallsyms.js";

const BASE = 0xffff_ffff_8100_0000n;
/** Where in the image the tables begin; not on 8, so that a layout on 4 is no accident. */
const LEAD = 0x1004;
type Layout = "offsets before" | "offsets behind" | "from their own place";

const COUNT = 700;
const symbols = Array.from({ length: COUNT }, (_, i) => ({
  address: BASE + BigInt(24 * i),
  type: "tTdDA"[i % 5]!,
  name: `symbol_${i.toString(36)}${"x".repeat(i % 40)}`,
}));

/** Tokens stand for the letter itself; what is no letter stands for two, which no name here uses. */
const token = (i: number): string => (i > 0x20 && i < 0x7f ? String.fromCharCode(i) : `q${(i % 26).toString(36)}`);

function image(layout: Layout): Uint8Array {
  const bytes: number[] = Array.from({ length: LEAD }, (_, i) => (i * 37) & 0x7f);
  const alignment = layout === "from their own place" ? 4 : 8;
  const align = (): void => {
    while (bytes.length % alignment !== 0) bytes.push(0);
  };
  const word = (value: number): void => {
    bytes.push(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255);
  };
  const relative = (): void => {
    align();
    for (const { address } of symbols) word(Number(address - BASE));
    align();
    word(Number(BASE & 0xffff_ffffn));
    word(-1);
  };
  if (layout === "offsets before") relative();
  align();
  word(COUNT);
  align();
  const names = bytes.length;
  const markers: number[] = [];
  for (const [i, { type, name }] of symbols.entries()) {
    if (i % 256 === 0) markers.push(bytes.length - names);
    bytes.push(name.length + 1, ...new TextEncoder().encode(type + name));
  }
  align();
  for (const marker of markers) word(marker);
  if (layout === "offsets before") for (let i = 0; i < 3 * COUNT; i++) bytes.push(i & 255);
  align();
  const starts: number[] = [];
  const tokens = bytes.length;
  for (let i = 0; i < 256; i++) {
    starts.push(bytes.length - tokens);
    bytes.push(...new TextEncoder().encode(token(i)), 0);
  }
  align();
  for (const start of starts) bytes.push(start & 255, start >> 8);
  if (layout === "offsets behind") relative();
  if (layout === "from their own place") for (const { address } of symbols) word(Number(address - BASE) - bytes.length);
  for (let i = 0; i < 64; i++) bytes.push(0x11);
  return Uint8Array.from(bytes);
}

describe.each<Layout>(["offsets before", "offsets behind", "from their own place"])("%s", (layout) => {
  test("gives the symbols, wherever the image lies", () => {
    expect(embeddedSymbols(image(layout), BASE)).toEqual(symbols);
    if (layout !== "from their own place") return;
    // No base is written in it: it moves with the image.
    expect(embeddedSymbols(image(layout), BASE + 0x20_0000n)).toEqual(
      symbols.map((symbol) => ({ ...symbol, address: symbol.address + 0x20_0000n })),
    );
  });

  test("damaged or cut anywhere, never crashes", () => {
    const whole = image(layout);
    let none = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: LEAD, max: whole.length - 1 }), fc.nat(255)), {
          minLength: 1,
          maxLength: 6,
          size: "max",
        }),
        fc.option(fc.nat(whole.length)),
        (changes, length) => {
          const bytes = whole.slice();
          for (const [at, value] of changes) bytes[at] = value;
          if (embeddedSymbols(length === null ? bytes : bytes.subarray(0, length), BASE) === undefined) none++;
        },
      ),
      { numRuns: 400, seed: 7 },
    );
    expect(none).toBeGreaterThan(20);
  });
});
