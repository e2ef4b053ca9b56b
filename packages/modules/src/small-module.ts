/**
 * Writes relocatable ELF files from a description: modules for runs and tests that have neither a compiler nor a kernel
 * package.
 */

/** One section to write; relocation sections are made from {@link relocations}. */
export interface ObjectSection {
  readonly name: string;
  /** sh_type; default PROGBITS (1), NOBITS is 8. */
  readonly type?: number;
  /** sh_flags: 1 write, 2 alloc, 4 execute. */
  readonly flags: number;
  readonly bytes?: Uint8Array;
  /** Size of a NOBITS section. */
  readonly size?: number;
  readonly align?: number;
  readonly relocations?: readonly {
    readonly offset: number;
    readonly type: number;
    readonly symbol: string;
    readonly addend: number;
  }[];
}

/** A symbol of an object to be written. */
export interface ObjectSymbol {
  readonly name: string;
  /** Section name; undefined: not defined here; a number: a special section index. */
  readonly section?: string | number;
  readonly value?: number;
  /** 0 local, 1 global, 2 weak. */
  readonly binding?: number;
}

const HEADER = 64;

/** @returns the bytes of an ET_REL file for x86-64 */
export function elfObject(sections: readonly ObjectSection[], symbols: readonly ObjectSymbol[]): Uint8Array {
  const names = new Strings();
  const symbolNames = new Strings();
  const index = new Map(sections.map((section, i) => [section.name, i + 1]));
  const relocated = sections.filter((section) => section.relocations);
  const symtabIndex = sections.length + relocated.length + 1;
  const symbolIndex = new Map(symbols.map((symbol, i) => [symbol.name, i + 1]));

  const symbolBytes = new Uint8Array(24 * (symbols.length + 1));
  const symbolView = new DataView(symbolBytes.buffer);
  symbols.forEach((symbol, i) => {
    const at = 24 * (i + 1);
    symbolView.setUint32(at, symbolNames.add(symbol.name), true);
    symbolBytes[at + 4] = (symbol.binding ?? 1) << 4;
    symbolView.setUint16(
      at + 6,
      typeof symbol.section === "number"
        ? symbol.section
        : symbol.section === undefined
          ? 0
          : index.get(symbol.section)!,
      true,
    );
    symbolView.setBigUint64(at + 8, BigInt.asUintN(64, BigInt(symbol.value ?? 0)), true);
  });

  interface Header {
    name: string;
    type: number;
    flags: number;
    bytes: Uint8Array;
    size: number;
    align: number;
    link: number;
    info: number;
    entry: number;
  }
  const headers: Header[] = sections.map((section) => {
    const bytes = section.bytes ?? new Uint8Array(0);
    return {
      name: section.name,
      type: section.type ?? 1,
      flags: section.flags,
      bytes,
      size: section.size ?? bytes.length,
      align: section.align ?? 1,
      link: 0,
      info: 0,
      entry: 0,
    };
  });
  for (const section of relocated) {
    const bytes = new Uint8Array(24 * section.relocations!.length);
    const view = new DataView(bytes.buffer);
    section.relocations!.forEach(({ offset, type, symbol, addend }, i) => {
      view.setBigUint64(24 * i, BigInt(offset), true);
      view.setUint32(24 * i + 8, type, true);
      view.setUint32(24 * i + 12, symbolIndex.get(symbol) ?? 0xffff, true);
      view.setBigInt64(24 * i + 16, BigInt(addend), true);
    });
    headers.push({
      name: `.rela${section.name}`,
      type: 4,
      flags: 0x40,
      bytes,
      size: bytes.length,
      align: 8,
      link: symtabIndex,
      info: index.get(section.name)!,
      entry: 24,
    });
  }
  headers.push({
    name: ".symtab",
    type: 2,
    flags: 0,
    bytes: symbolBytes,
    size: symbolBytes.length,
    align: 8,
    link: symtabIndex + 1,
    info: 1,
    entry: 24,
  });
  const strings = symbolNames.bytes();
  headers.push({
    name: ".strtab",
    type: 3,
    flags: 0,
    bytes: strings,
    size: strings.length,
    align: 1,
    link: 0,
    info: 0,
    entry: 0,
  });
  for (const header of headers) names.add(header.name);
  names.add(".shstrtab");
  const nameBytes = names.bytes();
  headers.push({
    name: ".shstrtab",
    type: 3,
    flags: 0,
    bytes: nameBytes,
    size: nameBytes.length,
    align: 1,
    link: 0,
    info: 0,
    entry: 0,
  });

  let at = HEADER;
  const offsets = headers.map((header) => {
    at = Math.ceil(at / 16) * 16;
    const here = at;
    at += header.bytes.length;
    return here;
  });
  const table = Math.ceil(at / 16) * 16;
  const file = new Uint8Array(table + 64 * (headers.length + 1));
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 1, true);
  view.setUint16(18, 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(table), true);
  view.setUint16(52, 64, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, headers.length + 1, true);
  view.setUint16(62, headers.length, true);
  headers.forEach((header, i) => {
    file.set(header.bytes, offsets[i]);
    const entry = table + 64 * (i + 1);
    view.setUint32(entry, names.add(header.name), true);
    view.setUint32(entry + 4, header.type, true);
    view.setBigUint64(entry + 8, BigInt(header.flags), true);
    view.setBigUint64(entry + 24, BigInt(offsets[i]!), true);
    view.setBigUint64(entry + 32, BigInt(header.size), true);
    view.setUint32(entry + 40, header.link, true);
    view.setUint32(entry + 44, header.info, true);
    view.setBigUint64(entry + 48, BigInt(header.align), true);
    view.setBigUint64(entry + 56, BigInt(header.entry), true);
  });
  return file;
}

/** A string table in the making. */
class Strings {
  private readonly at = new Map<string, number>([["", 0]]);
  private length = 1;

  add(text: string): number {
    const known = this.at.get(text);
    if (known !== undefined) return known;
    this.at.set(text, this.length);
    this.length += text.length + 1;
    return this.length - text.length - 1;
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    for (const [text, at] of this.at) bytes.set(ascii(text), at);
    return bytes;
  }
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** What a tiny module should have beside what every module has. */
export interface TinyModule {
  readonly name?: string;
  readonly vermagic?: string;
  readonly license?: string;
  readonly depends?: string;
  readonly imports?: readonly string[];
  /** Checksums it was built against. */
  readonly versions?: Readonly<Record<string, number>>;
  readonly sections?: readonly ObjectSection[];
  readonly symbols?: readonly ObjectSymbol[];
  /** Exported functions of its own, at the start of text. */
  readonly exports?: readonly string[];
  /** No exit function. */
  readonly permanent?: boolean;
}

export const TINY_MAGIC = "6.5.5-tiny SMP mod_unload modversions ";

/**
 * A module with every kind of memory, code that returns, a relocation of each type kernels use, and the tables asked
 * for.
 */
export function tinyModule(options: TinyModule = {}): Uint8Array {
  const name = options.name ?? "tiny";
  const info = [
    `license=${options.license ?? "GPL"}`,
    `depends=${options.depends ?? ""}`,
    `name=${name}`,
    `vermagic=${options.vermagic ?? TINY_MAGIC}`,
    ...(options.imports ?? []).map((space) => `import_ns=${space}`),
  ];
  const exports = options.exports ?? [];
  const strings = exports.join("\0") + "\0";
  const text = new Uint8Array(5000).fill(0x90);
  text[4999] = 0xc3;
  text.fill(0, 16, 64);
  const versions = Object.entries(options.versions ?? {});
  const versionBytes = new Uint8Array(64 * versions.length);
  versions.forEach(([symbol, checksum], i) => {
    new DataView(versionBytes.buffer).setUint32(64 * i, checksum, true);
    versionBytes.set(ascii(symbol), 64 * i + 8);
  });
  let nameAt = 0;
  const sections: ObjectSection[] = [
    {
      name: ".text",
      flags: 6,
      bytes: text,
      align: 16,
      relocations: [
        { offset: 16, type: 4, symbol: "kernel_function", addend: -4 },
        { offset: 20, type: 2, symbol: "table", addend: 8 },
        { offset: 24, type: 11, symbol: "table", addend: 0 },
        { offset: 32, type: 1, symbol: "table", addend: 16 },
        { offset: 40, type: 24, symbol: "table", addend: 0 },
      ],
    },
    { name: ".init.text", flags: 6, bytes: Uint8Array.of(0xc3), align: 16 },
    { name: ".exit.text", flags: 6, bytes: Uint8Array.of(0xc3) },
    { name: ".rodata", flags: 2, bytes: new Uint8Array(100).fill(7), align: 32 },
    { name: ".data", flags: 3, bytes: new Uint8Array(40).fill(9), align: 8 },
    { name: ".data..ro_after_init", flags: 3, bytes: new Uint8Array(16).fill(5), align: 8 },
    { name: ".init.data", flags: 3, bytes: new Uint8Array(8), align: 8 },
    { name: ".bss", type: 8, flags: 3, size: 64, align: 8 },
    { name: ".modinfo", flags: 2, bytes: ascii(`${info.join("\0")}\0`) },
    { name: ".gnu.linkonce.this_module", flags: 3, bytes: new Uint8Array(64), align: 64 },
    ...(versions.length > 0 ? [{ name: "__versions", flags: 2, bytes: versionBytes, align: 32 }] : []),
    ...(exports.length > 0
      ? [
          { name: "__ksymtab_strings", flags: 2, bytes: ascii(strings) },
          {
            name: "__ksymtab",
            flags: 2,
            bytes: new Uint8Array(12 * exports.length),
            align: 4,
            relocations: exports.flatMap((symbol, i) => {
              const here = nameAt;
              nameAt += symbol.length + 1;
              return [
                { offset: 12 * i, type: 2, symbol, addend: 0 },
                { offset: 12 * i + 4, type: 2, symbol: "__ksymtab_strings", addend: here },
              ];
            }),
          },
        ]
      : []),
    ...(options.sections ?? []),
  ];
  return elfObject(sections, [
    { name: "kernel_function" },
    { name: "table", section: ".rodata", value: 4 },
    { name: "init_module", section: ".init.text" },
    ...(options.permanent === true ? [] : [{ name: "cleanup_module", section: ".exit.text" }]),
    ...(exports.length > 0 ? [{ name: "__ksymtab_strings", section: "__ksymtab_strings", binding: 0 }] : []),
    ...exports.map((symbol, i) => ({ name: symbol, section: ".text", value: 64 + i })),
    ...(options.symbols ?? []),
  ]);
}
