/// <reference types="node" />
/** The reader against binutils' readelf on objects gcc makes here, and against lies. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ElfError, ElfFile, FileType, MachineType, readElf, SectionType, SpecialSection } from "../src/index.js";

const tools =
  process.arch === "x64" &&
  process.platform === "linux" &&
  ["gcc", "readelf"].every((tool) => spawnSync(tool, ["--version"]).status === 0);
if (!tools)
  console.error(
    "SKIPPED: gcc and readelf for x86-64 Linux are needed to compare the ELF reader with binutils; install them",
  );

const SOURCE = `
extern int outside(int); int shared_word = 7; int zeroed[100];
static const int table[4] = { 1, 2, 3, 4 };
__attribute__((weak)) int weak_one(int a) { return outside(a) + table[a & 3]; }
__asm__(".pushsection .patch_sites, \\"a\\"\\n.long 1f - .\\n.popsection\\n.text\\n1: nop\\n");
int main(int argc, char **argv) { zeroed[argc] = weak_one(argc); return (int)(long)&shared_word; }
int outside(int a) { return a; }
`;

describe.skipIf(!tools)("against readelf", () => {
  const folder = tools ? mkdtempSync(join(tmpdir(), "kreplica-elf-")) : "";
  const object = join(folder, "a.o");
  const program = join(folder, "a.out");
  afterAll(() => {
    if (folder !== "") rmSync(folder, { recursive: true, force: true });
  });
  beforeAll(() => {
    writeFileSync(join(folder, "a.c"), SOURCE);
    execFileSync("gcc", ["-O1", "-ffunction-sections", "-fno-pic", "-c", join(folder, "a.c"), "-o", object]);
    execFileSync("gcc", ["-O1", "-no-pie", join(folder, "a.c"), "-o", program]);
  });
  // binutils speaks the user's language.
  const readelf = (...more: string[]): string =>
    execFileSync("readelf", ["-W", ...more], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      env: { ...process.env, LC_ALL: "C" },
    });
  const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, "0");

  test.each(["object", "program"])("sections, segments, symbols and relocations of an %s", (which) => {
    const path = which === "object" ? object : program;
    const elf = readElf(readFileSync(path));
    expect(elf.header.type).toBe(which === "object" ? FileType.Relocatable : FileType.Executable);
    expect(elf.header.machine).toBe(MachineType.X86_64);

    const sections = [
      ...readelf("-S", path).matchAll(
        /^ +\[ *(\d+)\] (\S*) +([A-Z_0-9]+) +([0-9a-f]{16}) ([0-9a-f]{6}) ([0-9a-f]{6}) ([0-9a-f]{2}) ([WAXMSILGTE ]*) +(\d+) +(\d+) +(\d+)$/gm,
      ),
    ].slice(0);
    expect(sections.length).toBe(elf.sections.length);
    for (const [, index, name, , address, offset, size, , flags, link, info, align] of sections) {
      const section = elf.sections[Number(index)]!;
      expect([
        section.name,
        hex(section.address, 16),
        hex(section.offset, 6),
        hex(section.size, 6),
        section.link,
        section.info,
        Number(section.align),
      ]).toEqual([name, address, offset, size, Number(link), Number(info), Number(align)]);
      expect([section.writable, section.allocated, section.executable]).toEqual(
        ["W", "A", "X"].map((flag) => flags!.includes(flag)),
      );
    }

    const segments = [
      ...readelf("-l", path).matchAll(
        /^ +[A-Z_]+ +0x([0-9a-f]{6}) 0x([0-9a-f]{16}) 0x[0-9a-f]{16} 0x([0-9a-f]{6}) 0x([0-9a-f]{6}) ([R ][W ][E ])/gm,
      ),
    ];
    expect(segments.length).toBe(elf.segments.length);
    segments.forEach(([, offset, address, file, memory, flags], i) => {
      const segment = elf.segments[i]!;
      expect([
        hex(segment.offset, 6),
        hex(segment.address, 16),
        hex(segment.fileBytes, 6),
        hex(segment.memoryBytes, 6),
        `${segment.readable ? "R" : " "}${segment.writable ? "W" : " "}${segment.executable ? "E" : " "}`,
      ]).toEqual([offset, address, file, memory, flags]);
    });

    const kinds = { LOCAL: 0, GLOBAL: 1, WEAK: 2, NOTYPE: 0, OBJECT: 1, FUNC: 2, SECTION: 3, FILE: 4 } as Record<
      string,
      number
    >;
    const listed = [
      ...readelf("--syms", path)
        .split("'.symtab'")[1]!
        .matchAll(/^ +(\d+): ([0-9a-f]{16}) +(\S+) (\S+) +(\S+) +\S+ +(\S+)(?: (\S*))?$/gm),
    ];
    const symbols = elf.symbols();
    expect(listed.length).toBe(symbols.length);
    for (const [, index, value, size, type, binding, section, name] of listed) {
      const symbol = symbols[Number(index)]!;
      const place =
        section === "UND" ? SpecialSection.Undefined : section === "ABS" ? SpecialSection.Absolute : Number(section);
      expect([hex(symbol.value, 16), Number(symbol.size), symbol.type, symbol.binding, symbol.section]).toEqual([
        value,
        Number(size),
        kinds[type!],
        kinds[binding!],
        place,
      ]);
      if (symbol.type !== 3) expect(symbol.name).toBe(name ?? "");
    }

    const tables = elf.sections
      .filter((section) => section.type === SectionType.Rela)
      .map((section) => elf.relocations(section));
    const ours = tables.flatMap((table) =>
      Array.from(
        table.offset,
        (offset, i) => `${hex(offset, 16)} ${hex(table.symbol[i]!, 8)}${hex(table.type[i]!, 8)}`,
      ),
    );
    const theirs = [...readelf("-r", path).matchAll(/^([0-9a-f]{16}) +([0-9a-f]{16}) /gm)].map(
      ([, offset, info]) => `${offset} ${info}`,
    );
    expect(ours).toEqual(theirs);
    const addends = tables.flatMap((table) => Array.from(table.addend));
    const theirAddends = [
      ...readelf("-r", path).matchAll(/^[0-9a-f]{16} +[0-9a-f]{16} \S+ +.* ([+-]) ([0-9a-f]+)$/gm),
    ].map(([, sign, digits]) => Number.parseInt(digits!, 16) * (sign === "-" ? -1 : 1));
    expect(addends.filter((_, i) => ours[i]!.slice(17, 25) !== "00000000")).toEqual(theirAddends);
    if (which === "object")
      expect(elf.relocationsOf(elf.section(".patch_sites")!).map((table) => table.count)).toEqual([1]);
  });

  test("more than 65,280 sections and symbols in them", () => {
    const many = join(folder, "many.s");
    writeFileSync(
      many,
      Array.from({ length: 66_000 }, (_, i) => `.section .s${i},"a"\nlabel${i}: .byte ${i & 255}\n`).join(""),
    );
    execFileSync("gcc", ["-c", many, "-o", join(folder, "many.o")]);
    const elf = readElf(readFileSync(join(folder, "many.o")));
    const last = elf.symbols().find((symbol) => symbol.name === "label65999")!;
    expect(elf.sections[last.section]!.name).toBe(".s65999");
    expect([...elf.bytesOf(elf.section(".s65999")!)]).toEqual([65_999 & 255]);
  });

  test("a cut or lying file gives an ElfError with an offset in the header or file, and no table has more entries than the file has room for", () => {
    const whole = readFileSync(object);
    const everything = (bytes: Uint8Array): void => {
      const elf = new ElfFile(bytes);
      expect(elf.sections.length * 64).toBeLessThanOrEqual(bytes.length);
      for (const section of elf.sections) {
        elf.bytesOf(section);
        if (section.type === SectionType.Rela || section.type === SectionType.Rel)
          expect(elf.relocations(section).count * 16).toBeLessThanOrEqual(bytes.length);
        if (section.type === SectionType.Symtab || section.type === SectionType.Dynsym)
          expect(elf.symbols(section).length * 24).toBeLessThanOrEqual(bytes.length);
      }
    };
    const refusals = new Set<string>();
    const tryIt = (bytes: Uint8Array): void => {
      try {
        everything(bytes);
      } catch (error) {
        if (!(error instanceof ElfError)) throw error;
        expect(error.field).not.toBe("");
        expect(error.remedy).not.toBe("");
        expect(Number.isFinite(error.offset)).toBe(true);
        refusals.add(error.code);
      }
    };
    for (let length = 0; length < whole.length; length++)
      expect(() => everything(whole.subarray(0, length))).toThrow(ElfError);
    // Aim at the tables: random bytes elsewhere hit only contents, which nobody checks.
    const tables = new ElfFile(whole);
    const headers = tables.header.sectionOffset;
    const symtab = tables.section(".symtab")!;
    const rela = tables.sections.find((section) => section.type === SectionType.Rela)!;
    const place = fc.oneof(
      fc.nat(63),
      fc.nat(whole.length - headers - 1).map((n) => n + headers),
      fc.nat(symtab.size - 1).map((n) => n + symtab.offset),
      fc.nat(rela.size - 1).map((n) => n + rela.offset),
    );
    const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff));
    fc.assert(
      fc.property(fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 12, size: "max" }), (changes) => {
        const bytes = Uint8Array.from(whole);
        for (const [at, byte] of changes) bytes[at] = byte;
        tryIt(bytes);
      }),
      { numRuns: 3000 },
    );
    // Each code is reached, so the property does test refusals.
    expect([...refusals].sort()).toEqual([
      "bad-addend",
      "bad-entry-size",
      "bad-name",
      "bad-section-number",
      "cut",
      "not-elf",
      "wrong-class",
      "wrong-order",
      "wrong-section-type",
    ]);
  });
});

test("what is not an ELF file says what to give instead", () => {
  for (const bytes of [new Uint8Array(0), new TextEncoder().encode("MZ, a bzImage begins so"), new Uint8Array(4096)]) {
    expect(() => readElf(bytes)).toThrow(expect.objectContaining({ code: "not-elf", offset: 0, field: "e_ident" }));
  }
});

test("many symbols that name one endless string do not multiply it", () => {
  const bytes = new Uint8Array(1 << 20);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  const put = (at: number, values: readonly [number, number, number][]): void => {
    for (const [offset, width, value] of values)
      if (width === 8) view.setBigUint64(at + offset, BigInt(value), true);
      else if (width === 4) view.setUint32(at + offset, value, true);
      else view.setUint16(at + offset, value, true);
  };
  put(0, [
    [40, 8, 64],
    [58, 2, 64],
    [60, 2, 3],
  ]);
  put(128, [
    [4, 4, 2],
    [24, 8, 256],
    [32, 8, 24 * 20_000],
    [40, 4, 2],
    [56, 8, 24],
  ]);
  put(192, [
    [4, 4, 3],
    [24, 8, 500_000],
    [32, 8, 500_000],
  ]);
  bytes.fill(97, 500_000, 999_999);
  for (let i = 0; i < 20_000; i++) view.setUint32(256 + 24 * i, 1, true);
  expect(() => readElf(bytes).symbols()).toThrow(expect.objectContaining({ code: "bad-name" }));
});
