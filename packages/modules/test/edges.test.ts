/**
 * The loader at its bounds: the last value that is accepted beside the first that is not, and what each refusal says.
 */
import { describe, expect, test } from "vitest";
import {
  asPosted,
  layoutModule,
  type MemoryType,
  ModuleImage,
  modulePolicy,
  placements,
  readModule,
  readPatchTables,
  relocateModule,
  relocationName,
  replicateAll,
  replications,
} from "../src/index.js";
import { alignTo, coreSymbols } from "../src/layout.js";
import { sitesOutside } from "../src/patch-tables.js";
import { elfObject, tinyHost, tinyModule, type ObjectSection, type TinyModule } from "../src/testing.js";
import { loaderKernel } from "./support/kernel.js";
import { nothingLeft, said } from "./support/refused.js";

const text = (relocations: ObjectSection["relocations"], bytes = new Uint8Array(8)): TinyModule => ({
  sections: [{ name: ".text.odd", flags: 6, bytes, ...(relocations && { relocations }) }],
});
const relocation = (type: number, addend: number, offset = 0, symbol = "zero"): TinyModule => ({
  ...text([{ offset, type, symbol, addend }]),
  symbols: [
    { name: "zero", section: 0xfff1, value: 0 },
    { name: "high", section: 0xfff1, value: -0x8000_0000 },
  ],
});
const BASE = -0x4000_0000;
const imageOf = (options: TinyModule, file = readModule(tinyModule(options))): ModuleImage<MemoryType> => {
  const layout = layoutModule(file);
  return new ModuleImage<MemoryType>(
    file,
    layout.places.map((place) => place && { part: place.type, offset: place.offset }),
    layout.bytes,
    (type) =>
      BASE +
      ["text", "data", "rodata", "ro-after-init", "init-text", "init-data", "init-rodata"].indexOf(type) * 0x10_0000,
  );
};

describe("what a refusal says", () => {
  const host = () =>
    tinyHost([
      { name: "in_namespace", namespace: "CRYPTO_INTERNAL" },
      { name: "with_checksum", checksum: 4 },
      { name: "module_layout", checksum: 4 },
    ]);
  test.each<[TinyModule, string]>([
    [
      { vermagic: "6.6.0 SMP " },
      'vermagic: tiny: version magic "6.6.0 SMP " should be "6.5.5-tiny SMP mod_unload modversions ": take the module from this kernel\'s package (-ENOEXEC)',
    ],
    [
      { versions: { module_layout: 5 } },
      "vermagic: tiny: disagrees about version of symbol module_layout: 0x5, the kernel has 0x4 (-ENOEXEC)",
    ],
    [
      { versions: { module_layout: 4, with_checksum: 5 }, symbols: [{ name: "with_checksum" }] },
      "version: tiny: disagrees about version of symbol with_checksum: 0x5, exported is 0x4 (-EINVAL)",
    ],
    [
      { symbols: [{ name: "in_namespace" }] },
      "namespace: tiny: uses symbol in_namespace from namespace CRYPTO_INTERNAL, but does not import it (-EINVAL)",
    ],
    [
      { symbols: [{ name: "nobody" }] },
      "unknown-symbol: tiny: Unknown symbol nobody: load the module that exports it first (-ENOENT)",
    ],
    [
      { symbols: [{ name: "common", section: 0xfff2, value: 8 }] },
      "common-symbol: tiny: symbol common is common: please compile with -fno-common (-ENOEXEC)",
    ],
    [
      { symbols: [{ name: "odd", section: 0xff77 }] },
      'bad-symbol: tiny: symbol 5 "odd" is in section 0xff77 (-ENOEXEC)',
    ],
    [
      { symbols: [{ name: "far", section: 0xfff1, value: 2 ** 60 }] },
      'bad-symbol: tiny: symbol 5 "far" has value 0x1000000000000000 (-ENOEXEC)',
    ],
    [relocation(9, 0), "unknown-relocation: tiny: Unknown rela relocation: 9 at .text.odd + 0x0 (-ENOEXEC)"],
    [relocation(2, 0, 5), "relocation-outside: tiny: relocation 0 of .text.odd is at 0x5 of 8 bytes (-ENOEXEC)"],
    [relocation(1, 0, 1), "relocation-outside: tiny: relocation 0 of .text.odd is at 0x1 of 8 bytes (-ENOEXEC)"],
    [relocation(2, 0, 0, "not there"), "bad-symbol: tiny: relocation 0 of .text.odd uses symbol 65535 of 7 (-ENOEXEC)"],
    [
      relocation(10, -1),
      "relocation-overflow: tiny: overflow in relocation type 10 val 0xffffffffffffffff at .text.odd + 0x0 (-ENOEXEC)",
    ],
    [
      relocation(11, -1, 4, "high"),
      "relocation-overflow: tiny: overflow in relocation type 11 val 0xffffffff7fffffff at .text.odd + 0x4 (-ENOEXEC)",
    ],
    [
      { sections: [{ name: ".data..percpu", flags: 3, bytes: new Uint8Array(9000), align: 8 }] },
      "no-memory: tiny: Could not allocate 9000 bytes percpu data: unload a module that has some (-ENOMEM)",
    ],
    [
      { sections: [{ name: ".return_sites", flags: 2, bytes: Uint8Array.of(0, 0, 0, 0x70), align: 4 }] },
      expect.stringMatching(
        /^bad-site: tiny: a patch table names 0x[0-9a-f]{8}, which is not in the module \(-ENOEXEC\)$|^bad-site: tiny: a patch table names 0x[0-9a-f]+, which is not in the module/,
      ) as string,
    ],
    [
      { sections: [{ name: "__ksymtab", flags: 2, bytes: new Uint8Array(12).fill(0x70), align: 4 }] },
      "bad-symbol: tiny: __ksymtab names a symbol outside the module's memory (-ENOEXEC)",
    ],
  ])("%#: %s", (options, words) => {
    const kernel = loaderKernel({ host: host() });
    expect(said(() => kernel.loader.load(readModule(tinyModule(options)), 0))).toEqual(words);
    nothingLeft(kernel);
  });

  test("a place that is not zero, by its address", () => {
    const kernel = loaderKernel();
    const words = said(() =>
      kernel.loader.load(
        readModule(tinyModule(text([{ offset: 2, type: 11, symbol: "table", addend: 0 }], new Uint8Array(8).fill(1)))),
        0,
      ),
    );
    expect(words).toMatch(
      /^relocation-target: tiny: Invalid relocation target, existing value is nonzero for type 11, loc 0xffffffff[0-9a-f]{8} \(\.text\.odd \+ 0x2\), val 0xffffffff[0-9a-f]{8} \(-ENOEXEC\)$/,
    );
  });

  test("between modules, and of what is loaded and what is not", () => {
    const kernel = loaderKernel();
    const load = (options: TinyModule) => kernel.loader.load(readModule(tinyModule(options)), 0);
    const base = load({ name: "base", exports: ["shared"] });
    load({ name: "user", symbols: [{ name: "shared" }] });
    load({ name: "other", symbols: [{ name: "shared" }], permanent: true });
    expect(said(() => load({ name: "base" }))).toBe("already-loaded: base: already loaded: unload it first (-EEXIST)");
    expect(said(() => load({ name: "twin", exports: ["shared"] }))).toBe(
      "duplicate-export: twin: exports duplicate symbol shared (owned by base) (-ENOEXEC)",
    );
    expect(said(() => load({ name: "twin", exports: ["kernel_function"] }))).toBe(
      "duplicate-export: twin: exports duplicate symbol kernel_function (owned by kernel) (-ENOEXEC)",
    );
    expect(said(() => kernel.loader.unload("base"))).toBe(
      "in-use: base: used by user, other: unload these first (-EWOULDBLOCK)",
    );
    expect(said(() => kernel.loader.unload("other"))).toBe(
      "permanent: other: has an init function and no exit function (-EBUSY)",
    );
    expect(said(() => kernel.loader.unload("none"))).toBe("not-loaded: none: no such module is loaded (-ENOENT)");
    kernel.loader.unload("user");
    expect([...base.users]).toEqual(["other"]);
    const gone = load({ name: "gone" });
    kernel.loader.unload("gone");
    expect(said(() => kernel.loader.finishInit(gone))).toBe(
      "not-loaded: gone: was unloaded before its init function returned (-ENOENT)",
    );
    expect(kernel.loader.loaded.map(({ name }) => name)).toEqual(["base", "other"]);
  });

  test("of a file that is no module", () => {
    const plain: ObjectSection[] = [
      { name: ".modinfo", flags: 2, bytes: new Uint8Array(1) },
      { name: ".gnu.linkonce.this_module", flags: 3, bytes: new Uint8Array(64) },
    ];
    const read = (sections: ObjectSection[], change?: (bytes: Uint8Array) => void) =>
      said(() => {
        const bytes = elfObject(sections, []);
        change?.(bytes);
        return readModule(bytes, "a.ko");
      });
    expect(read(plain)).toBeUndefined();
    expect(read([plain[1]!])).toBe("missing-section: a.ko: 0 sections named .modinfo, not one (-ENOEXEC)");
    expect(read([...plain, plain[0]!])).toBe("missing-section: a.ko: 2 sections named .modinfo, not one (-ENOEXEC)");
    expect(read([plain[0]!])).toBe(
      "missing-section: a.ko: 0 sections named .gnu.linkonce.this_module, not one (-ENOEXEC)",
    );
    const none = "missing-section: a.ko: .gnu.linkonce.this_module has no bytes (-ENOEXEC)";
    expect(read([plain[0]!, { ...plain[1]!, bytes: new Uint8Array(0) }])).toBe(none);
    expect(read([plain[0]!, { name: ".gnu.linkonce.this_module", flags: 3, type: 8, size: 64 }])).toBe(none);
    expect(read([plain[0]!, { ...plain[1]!, flags: 1 }])).toBe(none);
    expect(read(plain, (bytes) => (bytes[16] = 3))).toBe(
      "not-a-module: a.ko: ELF type 3, machine 62, not a relocatable file (1) for x86-64 (62): give a .ko file (-ENOEXEC)",
    );
    expect(read(plain, (bytes) => (bytes[18] = 183))).toMatch(/^not-a-module: a\.ko: ELF type 1, machine 183,/);
    expect(read(plain, (bytes) => (bytes[0] = 0))).toMatch(/^bad-elf: a\.ko: .* \(-ENOEXEC\)$/);
    const sized = (more: Partial<ObjectSection>) =>
      read([...plain, { name: ".bss.odd", type: 8, flags: 3, size: 8, ...more }]);
    expect([sized({ size: 1 << 28 }), sized({ align: 1 << 21 })]).toEqual([undefined, undefined]);
    expect(sized({ size: (1 << 28) + 1 })).toMatch(
      /^too-large: a\.ko: section 3 "\.bss\.odd" at 0x[0-9a-f]+: size 268435457, alignment 1 \(-ENOMEM\)$/,
    );
    expect(sized({ align: 1 << 22 })).toMatch(/size 8, alignment 4194304/);
    expect(sized({ align: 3 })).toMatch(/size 8, alignment 3/);
    expect(sized({ align: 3, flags: 1 })).toBeUndefined();
  });
});

test("a module's file says its name, license, needs and checksums", () => {
  const file = readModule(
    tinyModule({ name: "one", depends: "a,b", license: "Dual MIT/GPL", versions: { first: 0xdead_beef, second: 2 } }),
  );
  expect([file.name, file.depends, file.gpl, [...file.versions]]).toEqual([
    "one",
    ["a", "b"],
    true,
    [
      ["first", 0xdead_beef],
      ["second", 2],
    ],
  ]);
  expect(file.info.get("license")).toEqual(["Dual MIT/GPL"]);
  expect(readModule(tinyModule({ imports: ["A", "B"] })).info.get("import_ns")).toEqual(["A", "B"]);
  expect([readModule(tinyModule()).depends, readModule(tinyModule()).versions.size]).toEqual([[], 0]);
  for (const license of ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MPL/GPL"])
    expect(readModule(tinyModule({ license })).gpl, license).toBe(true);
  for (const license of ["Proprietary", "gpl", "", "MIT"]) expect(readModule(tinyModule({ license })).gpl).toBe(false);
  const bare = (info: string) =>
    readModule(
      elfObject(
        [
          { name: ".modinfo", flags: 2, bytes: Uint8Array.from(info, (each) => each.charCodeAt(0)) },
          { name: ".gnu.linkonce.this_module", flags: 3, bytes: new Uint8Array(64) },
        ],
        [],
      ),
      "path.ko",
    );
  const empty = bare("=x\0nothing\0alias=a=b\0");
  expect([empty.name, empty.vermagic, empty.depends, empty.gpl, [...empty.info]]).toEqual([
    "path.ko",
    "",
    [],
    false,
    [["alias", ["a=b"]]],
  ]);
});

describe("relocations", () => {
  const applied = (type: number, addend: number, symbol?: string): DataView => {
    const image = imageOf(relocation(type, addend, 0, symbol));
    const { symbols } = image.file;
    const values = Float64Array.from(symbols, ({ name }) => (name === "high" ? -0x8000_0000 : 0));
    relocateModule(image, values);
    const bytes = image.bytesOf(image.section(".text.odd")!)!;
    return new DataView(bytes.buffer, bytes.byteOffset, 8);
  };
  test("of 32 bits fit to their ends, signed or not; those of 64 have two halves", () => {
    expect(applied(10, 0xffff_ffff).getUint32(0, true)).toBe(0xffff_ffff);
    expect(said(() => applied(10, 0x1_0000_0000))).toMatch(/^relocation-overflow/);
    expect(applied(10, 0).getUint32(0, true)).toBe(0);
    expect(applied(11, 0x7fff_ffff).getInt32(0, true)).toBe(0x7fff_ffff);
    expect(said(() => applied(11, 0x8000_0000))).toMatch(/^relocation-overflow/);
    expect(applied(11, -0x8000_0000).getInt32(0, true)).toBe(-0x8000_0000);
    expect(applied(1, -5).getBigInt64(0, true)).toBe(-5n);
    expect(applied(1, 0x12_3456_7890).getBigInt64(0, true)).toBe(0x12_3456_7890n);
    expect(applied(1, 3, "high").getBigInt64(0, true)).toBe(-0x8000_0000n + 3n);
    const place = BigInt(
      imageOf(relocation(2, 0)).sectionAddress[imageOf(relocation(2, 0)).section(".text.odd")!.index]!,
    );
    expect(applied(24, 0).getBigInt64(0, true)).toBe(-place);
    expect(applied(2, 0).getInt32(0, true)).toBe(Number(BigInt.asIntN(32, -place)));
    expect(applied(4, -4).getInt32(0, true)).toBe(Number(BigInt.asIntN(32, -place - 4n)));
    // A distance of 2 GiB and more wraps.
    expect(applied(2, 0x7fff_ffff).getInt32(0, true)).toBe(Number(BigInt.asIntN(32, 0x7fff_ffffn - place)));
  });

  test("are counted by type, those of no kind too; what is not kept has none", () => {
    const image = imageOf({
      sections: [
        {
          name: ".text.odd",
          flags: 6,
          bytes: new Uint8Array(24),
          relocations: [
            { offset: 0, type: 0, symbol: "table", addend: 0 },
            { offset: 0, type: 2, symbol: "table", addend: 0 },
            { offset: 4, type: 2, symbol: "table", addend: 0 },
            { offset: 20, type: 4, symbol: "table", addend: 0 },
          ],
        },
        {
          name: ".debug",
          flags: 0,
          bytes: new Uint8Array(8),
          relocations: [{ offset: 0, type: 77, symbol: "table", addend: 0 }],
        },
        {
          name: ".rodata.more",
          flags: 2,
          bytes: new Uint8Array(8),
          relocations: [{ offset: 0, type: 1, symbol: "table", addend: 0 }],
        },
      ],
    });
    const counts = relocateModule(image, new Float64Array(image.file.symbols.length));
    expect(Object.fromEntries(counts)).toEqual({ 0: 1, 1: 2, 2: 3, 4: 2, 11: 1, 24: 1 });
  });

  test("without addends are refused by their section", () => {
    const bytes = tinyModule(text([{ offset: 0, type: 2, symbol: "table", addend: 0 }]));
    const { sections } = readModule(bytes);
    const odd = sections.find(({ name }) => name === ".rela.text.odd")!;
    new DataView(bytes.buffer).setUint32(Number(odd.headerOffset) + 4, 9, true);
    const image = imageOf({}, readModule(bytes));
    expect(said(() => relocateModule(image, new Float64Array(image.file.symbols.length)))).toBe(
      `unknown-relocation: tiny: section ${odd.index} has relocations without addends: x86-64 modules use RELA (-ENOEXEC)`,
    );
  });

  test("have their names", () => {
    expect([0, 1, 2, 4, 10, 11, 24, 9].map(relocationName)).toEqual([
      "R_X86_64_NONE",
      "R_X86_64_64",
      "R_X86_64_PC32",
      "R_X86_64_PLT32",
      "R_X86_64_32",
      "R_X86_64_32S",
      "R_X86_64_PC64",
      "type 9",
    ]);
  });
});

describe("layout", () => {
  test("sections go to the memory of their kind, in order, each aligned; what is not kept nowhere", () => {
    const file = readModule(
      tinyModule({
        sections: [
          { name: ".text.second", flags: 6, bytes: new Uint8Array(10), align: 32 },
          { name: ".rodata.second", flags: 2, bytes: new Uint8Array(10), align: 64 },
          { name: ".init.rodata", flags: 2, bytes: new Uint8Array(3), align: 1 },
          { name: "__jump_table", flags: 3, bytes: new Uint8Array(16), align: 8 },
          { name: ".data..percpu", flags: 3, bytes: new Uint8Array(8), align: 8 },
          { name: ".comment", flags: 0, bytes: new Uint8Array(8) },
        ],
      }),
    );
    const layout = layoutModule(file);
    const place = (name: string) => {
      const found = layout.places[file.sections.find((section) => section.name === name)!.index];
      return found && [found.type, found.offset];
    };
    expect(
      [
        ".text",
        ".exit.text",
        ".text.second",
        ".rodata",
        ".rodata.second",
        ".data..ro_after_init",
        "__jump_table",
        ".data",
        ".bss",
        ".init.text",
        ".init.rodata",
        ".init.data",
        ".modinfo",
        ".data..percpu",
        ".comment",
      ].map(place),
    ).toEqual([
      ["text", 0],
      ["text", 5000],
      ["text", 5024],
      ["rodata", 0],
      ["rodata", 128],
      ["ro-after-init", 0],
      ["ro-after-init", 16],
      ["data", 0],
      ["data", 40],
      ["init-text", 0],
      ["init-rodata", 0],
      ["init-data", 0],
      undefined,
      undefined,
      undefined,
    ]);
    expect([layout.bytes.text, layout.bytes.rodata, layout.bytes["ro-after-init"]]).toEqual([5034, 138, 32]);
    expect([alignTo(5, 0), alignTo(5, 4n), alignTo(8, 4), alignTo(0, 64)]).toEqual([5, 8, 8, 0]);
  });

  test("symbols stay after init that are named, defined and of what stays, with their names", () => {
    const count = (symbols: TinyModule["symbols"], sections?: TinyModule["sections"]) => {
      const { count: symbolCount, nameBytes } = coreSymbols(
        readModule(tinyModule({ ...(symbols && { symbols }), ...(sections && { sections }) })),
      );
      return [symbolCount, nameBytes];
    };
    const [plain, bytes] = count([]) as [number, number];
    // The empty one, table, cleanup_module; not kernel_function, which is the kernel's, nor init_module.
    expect([plain, bytes]).toEqual([3, 1 + 6 + 15]);
    expect(count([{ name: "own", section: ".data" }])).toEqual([plain + 1, bytes + 4]);
    expect(count([{ name: "", section: ".data" }])).toEqual([plain, bytes]);
    expect(count([{ name: "at_init", section: ".init.data" }])).toEqual([plain, bytes]);
    expect(count([{ name: "absolute", section: 0xfff1 }])).toEqual([plain, bytes]);
    expect(count([{ name: "in_info", section: ".modinfo" }])).toEqual([plain, bytes]);
    const percpu = [{ name: ".data..percpu", flags: 3, bytes: new Uint8Array(8), align: 8 }];
    expect(count([{ name: "counter", section: ".data..percpu" }], percpu)).toEqual([plain + 1, bytes + 8]);
  });

  test("a memory has 512 MiB at most", () => {
    const sections = (last: number): ObjectSection[] => [
      { name: ".bss.one", type: 8, flags: 2, size: 1 << 28 },
      { name: ".bss.two", type: 8, flags: 2, size: last },
    ];
    const laid = (last: number) => said(() => layoutModule(readModule(tinyModule({ sections: sections(last) }))));
    const room = (1 << 28) - 100;
    expect(laid(room)).toBeUndefined();
    expect(laid(room + 1)).toBe(
      "too-large: tiny: rodata memory of 536870913 bytes; no module needs more than 536870912 (-ENOMEM)",
    );
  });

  test("an image is whole pages, with the file's bytes where sections lie and nothing behind", () => {
    const image = imageOf({ sections: [{ name: ".rodata.more", flags: 2, bytes: Uint8Array.of(1, 2, 3), align: 1 }] });
    const part = image.parts.find(({ part: type }) => type === "rodata")!;
    expect([part.bytes.length, part.base]).toEqual([4096, BASE + 0x20_0000]);
    expect([...image.bytesOf(image.section(".rodata.more")!)!]).toEqual([1, 2, 3]);
    expect([...image.bytes(part.base + 98, 6)!]).toEqual([7, 7, 1, 2, 3, 0]);
    expect(image.bytes(part.base, 4096)?.length).toBe(4096);
    expect([image.bytes(part.base - 1, 2), image.bytes(part.base + 4095, 2)]).toEqual([undefined, undefined]);
    expect([image.section(".modinfo"), image.section(".nothing")]).toEqual([undefined, undefined]);
    expect(image.bytesOf(image.file.sections.find(({ name }) => name === ".modinfo")!)).toBeUndefined();
    const bss = image.section(".bss")!;
    expect(image.bytesOf(bss)!.every((byte) => byte === 0)).toBe(true);
  });
});

describe("patch tables", () => {
  const tables = (site: (image: ModuleImage<MemoryType>) => number) => {
    const sections: ObjectSection[] = [{ name: ".static_call_sites", flags: 3, bytes: new Uint8Array(8), align: 4 }];
    const image = imageOf({ sections });
    const section = image.section(".static_call_sites")!;
    const bytes = image.bytesOf(section)!;
    const at = image.sectionAddress[section.index]!;
    const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
    view.setInt32(0, site(image) - at, true);
    view.setInt32(4, image.parts[0]!.base - (at + 4), true);
    return readPatchTables(image);
  };
  const partOf = (image: ModuleImage<MemoryType>, name: MemoryType) => image.parts.find(({ part }) => part === name)!;
  test("mark what lies in memory that goes after init, to its last byte, and nothing else", () => {
    const init = (at: (image: ModuleImage<MemoryType>) => number) => tables(at).staticCalls.map((each) => each.init);
    expect(init((image) => partOf(image, "init-text").base)).toEqual([true]);
    expect(init((image) => partOf(image, "init-text").base + 4095)).toEqual([true]);
    expect(init((image) => partOf(image, "init-data").base)).toEqual([true]);
    expect(init((image) => partOf(image, "text").base + 64)).toEqual([false]);
  });
  test("name nothing that is not there", () => {
    expect(said(() => tables((image) => partOf(image, "init-text").base + 4096))).toMatch(
      /^bad-site: tiny: a patch table names 0xffffffff[0-9a-f]{8}, which is not in the module \(-ENOEXEC\)$/,
    );
    expect(said(() => tables((image) => partOf(image, "text").base - 1))).toMatch(/^bad-site/);
  });
  test("lose the sites that are gone, of every kind", () => {
    const address = (value: bigint) => ({ address: value });
    const all = {
      alternatives: [address(1n), address(2n)],
      paravirt: [address(1n), address(2n)],
      jumpLabels: [address(1n), address(2n)],
      staticCalls: [address(1n), address(2n)],
      retpolines: [1n, 2n],
      returns: [1n, 2n],
      smpLocks: [1n, 2n],
      ftrace: [1n, 2n],
      calls: [1n, 2n],
      ibtSeals: [1n, 2n],
    } as unknown as Parameters<typeof sitesOutside>[0];
    const left = sitesOutside(all, (each) => each === 1n) as unknown as Record<string, unknown[]>;
    for (const [kind, list] of Object.entries(left))
      expect(list, kind).toEqual(typeof list[0] === "bigint" ? [2n] : [address(2n)]);
    expect(Object.keys(left)).toEqual(Object.keys(all));
  });
});

test("policies: their names, where they place a base copy, and what gets copies", () => {
  const question = {
    module: "tiny",
    type: "text" as const,
    bytes: 4096,
    replicableBytes: 8192,
    loader: 1,
    holders: [0, 1, 3],
    distance: (from: number, to: number) => (from === to ? 10 : 10 + Math.abs(from - to)),
  };
  expect([asPosted.name, replicateAll.name, modulePolicy("x", placements.local, replications.none).name]).toEqual([
    "first, replicate all",
    "local, replicate all",
    "x",
  ]);
  expect([asPosted.place(question), replicateAll.place(question)]).toEqual([{ node: 0 }, { node: 1 }]);
  expect([asPosted.replicate(question), replicateAll.replicate(question), replications.none()]).toEqual([
    true,
    true,
    false,
  ]);
  expect([placements.interleaved(question), placements.given(3)()]).toEqual([{ interleave: [0, 1, 3] }, { node: 3 }]);
  const by = (replicate: (asked: typeof question) => boolean) => replicate(question);
  expect([by(replications.fromBytes(8192)), by(replications.fromBytes(8193))]).toEqual([true, false]);
  expect([by(replications.upToBytes(8192)), by(replications.upToBytes(8191))]).toEqual([true, false]);
  expect([by(replications.fromDistance(12)), by(replications.fromDistance(13))]).toEqual([true, false]);
  expect([by(replications.named(new Set(["tiny"]))), by(replications.named(new Set(["other"])))]).toEqual([
    true,
    false,
  ]);
});
