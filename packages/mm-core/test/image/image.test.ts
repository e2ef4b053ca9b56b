/**
 * Images as they are described: what lies where in one, what its pages are filled with, and where its first tables are.
 */
import { describe, expect, test } from "vitest";
import { firstTables, kernelImage, loadedSection, type SectionHeader } from "../../src/index.js";

const TEXT = 0xffff_ffff_8100_0000n;
const at = (mebibytes: number): bigint => TEXT + BigInt(mebibytes) * 0x10_0000n;
const bounds: readonly (readonly [string, bigint])[] = [
  ["_stext", TEXT],
  ["_etext", at(2) + 0x10n],
  ["__start_rodata", at(4)],
  ["__end_rodata", at(5) + 0x800n],
  ["__init_begin", at(8)],
  ["__init_end", at(9)],
  ["__bss_start", at(10)],
  ["__brk_base", at(11)],
  ["_end", at(12)],
];
const made = (more: Partial<Parameters<typeof kernelImage>[0]> = {}) =>
  kernelImage({ name: "made", alignment: "recorded", sections: [], symbols: new Map(bounds), ...more });
const section = (name: string, start: bigint, bytes = 0x1000n, more: Partial<SectionHeader> = {}): SectionHeader => ({
  ...loadedSection(name, { start, end: start + bytes }, false, false),
  ...more,
});

describe("sections", () => {
  test("are of the part that they begin in, to its first and last byte", () => {
    const kinds = (starts: readonly bigint[]): readonly string[] =>
      made({ sections: starts.map((start, nth) => section(`.${nth}`, start)) }).sections.map(({ kind }) => kind);
    expect(kinds([at(0), at(4) - 1n, at(4), at(5) + 0x7ffn, at(5) + 0x800n, at(8) - 1n])).toEqual([
      "text",
      "text",
      "rodata",
      "rodata",
      "data",
      "data",
    ]);
    expect(kinds([at(8), at(9) - 1n, at(9), at(10) - 1n, at(10), at(11) - 1n, at(11), at(12) - 1n])).toEqual([
      "init",
      "init",
      "data",
      "data",
      "bss",
      "bss",
      "brk",
      "brk",
    ]);
  });
  test("that take no memory, or lie outside, are none of the image's", () => {
    const sections = [
      section(".before", TEXT - 0x1000n),
      section(".text", TEXT, 0x20_0000n, { executable: true }),
      section(".empty", at(4), 0n),
      section(".comment", at(4), 0x1000n, { occupies: false }),
      section(".data", at(6), 0x3000n, { writable: true }),
      section(".behind", at(12)),
    ];
    expect(made({ sections }).sections).toEqual([
      { name: ".text", kind: "text", start: TEXT, end: at(2), writable: false, executable: true },
      { name: ".data", kind: "data", start: at(6), end: at(6) + 0x3000n, writable: true, executable: false },
    ]);
    expect(loadedSection(".init", { start: 5n, end: 9n }, true, true)).toEqual({
      name: ".init",
      address: 5n,
      bytes: 4n,
      writable: true,
      executable: true,
      occupies: true,
    });
  });
});

describe("an image", () => {
  test("ends where its symbols say, text and rodata on 2 MiB with patch 06; begins at _stext, or else at _text", () => {
    const ends = (alignment: "recorded" | "patch-06") => {
      const { stext, etext, startRodata, endRodata, initBegin, initEnd, end } = made({ alignment });
      return [stext, etext, startRodata, endRodata, initBegin, initEnd, end];
    };
    expect(ends("recorded")).toEqual([TEXT, at(2) + 0x10n, at(4), at(5) + 0x800n, at(8), at(9), at(12)]);
    expect(ends("patch-06")).toEqual([TEXT, at(4), at(4), at(6), at(8), at(9), at(12)]);
    const older = new Map([...bounds.slice(1), ["_text", TEXT] as const]);
    expect(made({ symbols: older }).stext).toBe(TEXT);
    expect(made({ symbols: new Map([...older, ["_stext", at(0)] as const]) }).symbol("_text")).toBe(TEXT);
    expect([made().name, made().symbol("_end"), made().symbol("nothing")]).toEqual(["made", at(12), undefined]);
    const noOps = [Uint8Array.of(0x90)] as unknown as NonNullable<Parameters<typeof kernelImage>[0]["noOps"]>;
    expect([made().noOps, made({ noOps }).noOps]).toEqual([undefined, noOps]);
  });

  test("without bytes has words of its own at every address of text and rodata, to their last page, and zeroes elsewhere", () => {
    const image = made();
    const words = (address: bigint): Uint32Array => {
      const page = new Uint8Array(4096).fill(7);
      image.readPage(address, page);
      return new Uint32Array(page.buffer);
    };
    const filled = [TEXT, TEXT + 0x1000n, at(2), at(4), at(5)];
    const all = filled.flatMap((address) => [...words(address)]);
    expect(new Set(all).size).toBe(filled.length * 1024);
    expect([...words(TEXT)]).toEqual([...words(TEXT)]);
    for (const address of [TEXT - 0x1000n, at(2) + 0x1000n, at(4) - 0x1000n, at(5) + 0x1000n, at(8), at(12)])
      expect(new Set(words(address)), address.toString(16)).toEqual(new Set([0]));
    expect(image.hasBytes).toBe(false);
  });

  test("with bytes has those, wherever it is read", () => {
    const image = made({ readPage: (address, into) => into.fill(Number((address >> 12n) & 0xffn)) });
    const page = new Uint8Array(4096);
    for (const address of [TEXT + 0x5000n, at(9) + 0x3000n]) {
      image.readPage(address, page);
      expect([page[0], page[4095]]).toEqual([Number((address >> 12n) & 0xffn), Number((address >> 12n) & 0xffn)]);
    }
    expect(image.hasBytes).toBe(true);
  });
});

test("the first tables of an invented image are a page each, in the order of the kernel's own, user half behind", () => {
  expect(firstTables(0x1000n)).toEqual([
    ["init_top_pgt", 0x1000n],
    ["init_top_pgt_user", 0x2000n],
    ["level4_kernel_pgt", 0x3000n],
    ["level3_kernel_pgt", 0x4000n],
    ["level2_kernel_pgt", 0x5000n],
    ["level2_fixmap_pgt", 0x6000n],
    ["level1_fixmap_pgt", 0x7000n],
    ["vsyscall_page", 0x8000n],
  ]);
});
