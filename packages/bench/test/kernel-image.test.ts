/// <reference types="node" />
/** Kernel files: the day's real one, the same repacked by the tools that pack kernels, and damaged ones. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fetchKernel } from "../../../scripts/fetch-kernel.mjs";
import { InputError } from "../src/inputs/input-error.js";
import { embeddedSymbols } from "../src/inputs/kernel-image/kallsyms.js";
import { imageOf, kernelFromBytes, readKernelFile } from "../src/inputs/kernel-image/kernel-file.js";
import { unpackLz4Legacy } from "../src/inputs/kernel-image/lz4-legacy.js";
import { unpackKernel } from "../src/inputs/kernel-image/payload.js";
import { readRelocationLists } from "../src/inputs/kernel-image/relocations.js";
import { readSymbolList } from "../src/inputs/kernel-image/symbol-list.js";

let real: { vmlinuz: string; version: string; abi: string } | undefined;
try { real = fetchKernel("cloud-amd64"); } catch (error) { console.error(`SKIPPED: no real kernel to read: ${(error as Error).message}`); }

const folder = mkdtempSync(join(tmpdir(), "kreplica-kernel-"));
const PACKERS = {
  gzip: ["gzip", "-c"], lz4: ["lz4", "-l", "-c"], zstd: ["zstd", "-q", "-c", "--long=27"],
  xz: ["xz", "-c", "--check=crc32", "--x86", "--lzma2=preset=1,dict=32MiB"],
} as const;
const have = (tool: string): boolean => spawnSync(tool, ["--version"]).status === 0;

/** A bzImage around an ELF image, laid out as boot.rst says. */
function bzImage(elf: Uint8Array, packing: keyof typeof PACKERS): Uint8Array {
  const path = join(folder, "elf");
  writeFileSync(path, elf);
  const [tool, ...options] = PACKERS[packing];
  const packed = execFileSync(tool, [...options, path], { maxBuffer: 1 << 28 });
  const extra = packing === "gzip" ? 0 : 4;
  const image = new Uint8Array(1024 + 64 + packed.length + extra + 32);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x248, 64, true);
  view.setUint32(0x24c, packed.length + extra, true);
  image.set(packed, 1024 + 64);
  if (extra) view.setUint32(1024 + 64 + packed.length, elf.length, true);
  return image;
}

/** A kernel small enough to damage thousands of times: one segment of 16 KiB at 16 MiB, two sections, relocation lists. */
function smallKernel(lists = [0, 0x8100_0010, 0, 0x8100_0104, 0, 0x8100_0200, 0x8100_0300]): Uint8Array {
  const names = "\0.text\0.shstrtab\0";
  const code = 0x1000;
  const sections = code + 0x4000 + 32;
  const bytes = new Uint8Array(sections + 3 * 64 + 4 * lists.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  for (const [at, value] of [[16, 2], [18, 62], [54, 56], [56, 1], [58, 64], [60, 3], [62, 2]] as const) view.setUint16(at, value, true);
  view.setBigUint64(32, 64n, true);
  view.setBigUint64(40, BigInt(sections), true);
  view.setUint32(64, 1, true);
  view.setUint32(68, 5, true);
  [BigInt(code), 0xffff_ffff_8100_0000n, 0x100_0000n, 0x4000n, 0x5000n, 0x20_0000n].forEach((value, i) => view.setBigUint64(72 + 8 * i, value, true));
  for (let i = 0; i < 0x4000; i++) bytes[code + i] = (i * 7 + (i >> 5)) & 255;
  // Calls forwards and backwards, near and close behind one another: what xz's branch filter rewrites.
  for (let i = 0x400; i < 0x3000; i += 3 + (i % 11)) bytes.set([0xe8 + (i & 1), i & 255, (i >> 4) & 255, i & 2 ? 0xff : 0, i & 2 ? 0xff : 0], code + i);
  const header = (i: number, values: readonly [number, number, bigint, bigint, number, number]): void => {
    const at = sections + 64 * i;
    view.setUint32(at, values[0], true);
    view.setUint32(at + 4, values[1], true);
    [values[2], values[3], BigInt(values[4]), BigInt(values[5])].forEach((value, n) => view.setBigUint64(at + 8 + 8 * n, value, true));
  };
  header(1, [1, 1, 6n, 0xffff_ffff_8100_0000n, code, 0x4000]);
  header(2, [7, 3, 0n, 0n, code + 0x4000, names.length]);
  bytes.set(new TextEncoder().encode(names), code + 0x4000);
  lists.forEach((value, i) => view.setUint32(sections + 192 + 4 * i, value, true));
  return bytes;
}

describe("a small kernel", () => {
  test.each(Object.keys(PACKERS) as (keyof typeof PACKERS)[])("packed with %s gives the same bytes", async (packing) => {
    if (!have(PACKERS[packing][0])) return console.error(`SKIPPED: ${PACKERS[packing][0]} is not installed`);
    const elf = smallKernel();
    const unpacked = await unpackKernel(bzImage(elf, packing), "small");
    expect(unpacked.packing).toBe(packing);
    expect(Buffer.from(unpacked.elf).equals(Buffer.from(elf))).toBe(true);
  });

  test("moves by its relocation lists, each word in its way", async () => {
    const kernel = await kernelFromBytes(smallKernel(), "small");
    expect(kernel.base).toBe(0xffff_ffff_8100_0000n);
    expect(kernel.memory.length).toBe(0x5000);
    const before = new DataView(kernel.memory.buffer);
    const moved = kernel.relocated(0x120_0000n);
    const after = new DataView(moved.buffer);
    const expected = kernel.memory.slice();
    const words = new DataView(expected.buffer);
    words.setBigUint64(0x10, BigInt.asUintN(64, before.getBigUint64(0x10, true) + 0x120_0000n), true);
    words.setInt32(0x104, before.getInt32(0x104, true) - 0x120_0000, true);
    for (const at of [0x200, 0x300]) words.setInt32(at, before.getInt32(at, true) + 0x120_0000, true);
    expect(Buffer.from(after.buffer).equals(Buffer.from(expected))).toBe(true);
    // From 6.15 without a list of inverse places.
    const newer = await kernelFromBytes(smallKernel([0, 0x8100_0010, 0, 0x8100_0200, 0x8100_0300]), "newer");
    words.setInt32(0x104, before.getInt32(0x104, true), true);
    expect(Buffer.from(newer.relocated(0x120_0000n)).equals(Buffer.from(expected))).toBe(true);
  });

  test("damaged anywhere, or cut, gives an InputError with a remedy or a kernel, never a crash or a hang", async () => {
    const reasons = new Set<string>();
    const attempt = async (bytes: Uint8Array): Promise<void> => {
      try {
        const kernel = await kernelFromBytes(bytes, "damaged");
        kernel.relocated(0x20_0000n);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        expect(error.remedy).not.toBe("");
        reasons.add(`${error.field ?? ""}`);
      }
    };
    const whole = smallKernel();
    // The second: as from 6.15, two relocation lists.
    const files = [whole, smallKernel([0, 0x8100_0010, 0, 0x8100_0200, 0x8100_0300]), ...(Object.keys(PACKERS) as (keyof typeof PACKERS)[]).filter((packing) => have(PACKERS[packing][0])).map((packing) => bzImage(whole, packing))];
    for (const file of files) {
      for (let length = 0; length < file.length; length += Math.max(1, Math.floor(file.length / 60))) await attempt(file.subarray(0, length));
      const place = fc.oneof(fc.nat(file.length - 1), fc.nat(0x260).map((n) => Math.min(n, file.length - 1)), fc.nat(2000).map((n) => (1080 + n) % file.length), fc.nat(300).map((n) => file.length - 1 - n));
      await fc.assert(fc.asyncProperty(fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 8, size: "max" }), async (changes) => {
        const bytes = Uint8Array.from(file);
        for (const [at, value] of changes) bytes[at] = value;
        await attempt(bytes);
      }), { numRuns: 300, seed: 11 });
    }
    // The property did meet refusals of every stage.
    for (const field of ["header", "payload_offset, payload_length", "gzip payload", "unpacked length", "relocation lists"]) expect(reasons).toContain(field);
  });

  test("a payload that unpacks to another length than declared is refused, and so is a declared length no kernel has", async () => {
    for (const packing of (Object.keys(PACKERS) as (keyof typeof PACKERS)[]).filter((each) => have(PACKERS[each][0]))) {
      for (const lie of [100, 20_000, 30_000, 0xffff_ffff]) {
        const image = bzImage(smallKernel(), packing);
        new DataView(image.buffer).setUint32(image.length - 32 - 4, lie, true);
        await expect(unpackKernel(image, "lying")).rejects.toThrow(InputError);
        if (lie === 0xffff_ffff) await expect(unpackKernel(image, "lying")).rejects.toMatchObject({ field: "unpacked length", reason: expect.stringContaining("is not between") });
      }
    }
  });

  test.each(["gzip", "xz", "zstd"] as const)("damage inside a payload packed with %s, which carries a checksum, never gives other bytes", async (packing) => {
    if (!have(PACKERS[packing][0])) return console.error(`SKIPPED: ${PACKERS[packing][0]} is not installed`);
    const elf = smallKernel();
    const image = bzImage(elf, packing);
    let refused = 0;
    let mismatches = 0;
    // Every byte of the end, where the checksum itself lies.
    for (let at = 1024 + 64; at < image.length - 40; at += at > image.length - 160 ? 1 : 7) {
      const bytes = image.slice();
      bytes[at]! ^= 1 << (at % 8);
      try {
        expect(Buffer.compare((await unpackKernel(bytes, "damaged")).elf, elf)).toBe(0);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        refused++;
        if ({ gzip: /checksum mismatch/, xz: /block 0: checksum mismatch/, zstd: /does not match its checksum/ }[packing].test(error.reason)) mismatches++;
      }
    }
    expect(refused).toBeGreaterThan(100);
    expect(mismatches).toBeGreaterThan(3);
  });

  test("an LZ4 match from before the block, an xz or relocation list with more in it than belongs, a section outside the image", async () => {
    // Token: one literal, a match of 4; the literal; 5 bytes back where there is 1.
    const block = [0x10, 0x61, 5, 0];
    const frame = Uint8Array.of(0x02, 0x21, 0x4c, 0x18, block.length, 0, 0, 0, ...block);
    expect(unpackLz4Legacy(frame, new Uint8Array(64))).toMatchObject({ offset: 8 });
    const cut = Uint8Array.of(0x02, 0x21, 0x4c, 0x18, 2, 0, 0, 0, 0x50, 0x61);
    expect(unpackLz4Legacy(cut, new Uint8Array(64))).toMatchObject({ offset: 8, reason: "5 literal bytes where 1 are left" });
    frame[10] = 1;
    expect(unpackLz4Legacy(frame, new Uint8Array(64))).toBe(5);
    expect(() => readRelocationLists(new Uint8Array(Uint32Array.of(7, 0, 1, 0, 2, 0, 3).buffer), "lists", 100)).toThrow(expect.objectContaining({ offset: 100, field: "relocation lists" }));
    expect(readRelocationLists(new Uint8Array(Uint32Array.of(0, 1, 0, 2, 0, 3).buffer), "lists", 100)).toMatchObject({ word64: Uint32Array.of(1), inverse32: Uint32Array.of(2), word32: Uint32Array.of(3) });
    // From 6.15 two lists; a zero lost between two of three is told from that, since places ascend.
    expect(readRelocationLists(new Uint8Array(Uint32Array.of(0, 1, 4, 0, 2, 3).buffer), "lists", 100)).toMatchObject({ word64: Uint32Array.of(4, 1), inverse32: Uint32Array.of(), word32: Uint32Array.of(3, 2) });
    for (const lost of [[0, 1, 9, 2, 5, 0, 3], [0, 1, 0, 2, 5, 3]]) {
      expect(() => readRelocationLists(new Uint8Array(Uint32Array.from(lost).buffer), "lists", 100)).toThrow(expect.objectContaining({ offset: 100, reason: expect.stringContaining("a list's beginning is lost") }));
    }
    expect(() => readRelocationLists(new Uint8Array(Uint32Array.of(0, 2, 3).buffer), "lists", 100)).toThrow(/the second list has no beginning/);
    const outside = smallKernel();
    const sections = Number(new DataView(outside.buffer).getBigUint64(40, true));
    new DataView(outside.buffer).setUint32(sections + 64 + 4, 8, true);
    new DataView(outside.buffer).setBigUint64(sections + 64 + 32, 0x10_0000n, true);
    await expect(kernelFromBytes(outside, "outside")).rejects.toMatchObject({ field: "section 1 sh_addr + sh_size" });
  });

  test("symbols as text: modules left out, bad lines and hidden addresses named", () => {
    expect(readSymbolList("ffffffff81000000 T _text\nffffffffc0000000 t init [loop]\n", "map")).toEqual([{ address: 0xffff_ffff_8100_0000n, type: "T", name: "_text" }]);
    expect(() => readSymbolList("ffffffff81000000 T _text\nrubbish\n", "map")).toThrow(expect.objectContaining({ line: 2 }));
    expect(() => readSymbolList("0000000000000000 T _text\n", "map")).toThrow(/every address is 0/);
  });
});

describe.skipIf(!real)("the day's Debian kernel", () => {
  test("is read, with symbols from its own kallsyms, and becomes an image with its real bytes", async () => {
    const kernel = await readKernelFile(real!.vmlinuz);
    expect(kernel.symbolsFrom).toBe("kallsyms in the image");
    expect(kernel.symbols.length).toBeGreaterThan(50_000);
    expect(kernel.relocations!.word64.length).toBeGreaterThan(10_000);
    const image = imageOf(kernel);
    expect(image.hasBytes).toBe(true);
    const page = new Uint8Array(4096);
    image.readPage(image.startRodata, page);
    expect(Buffer.from(page).equals(Buffer.from(kernel.elf.bytesOf(kernel.elf.section(".rodata")!).subarray(0, 4096)))).toBe(true);
    // Linux prints its banner from rodata: an oracle for "these are the right bytes at the right symbol".
    const banner = kernel.symbol("linux_banner")!;
    expect(new TextDecoder().decode(kernel.bytes(banner, banner + 80n))).toContain(`Linux version ${real!.abi}`);
  });

  test("moved by KASLR and moved back is itself, and its kallsyms moves along", async () => {
    const kernel = await readKernelFile(real!.vmlinuz);
    const delta = 0x1a20_0000n;
    const moved = kernel.relocated(delta);
    const before = embeddedSymbols(kernel.memory, kernel.base)!;
    const after = embeddedSymbols(moved, kernel.base + delta)!;
    expect(after.length).toBe(before.length);
    expect(after.filter((symbol, i) => symbol.address !== before[i]!.address + (before[i]!.type === "A" || before[i]!.address < kernel.base ? 0n : delta)).length).toBe(0);
    let differing = 0;
    for (let i = 0; i < moved.length; i++) if (moved[i] !== kernel.memory[i]) differing++;
    const { word32, inverse32, word64 } = kernel.relocations!;
    // A delta below 2^32 and a multiple of 2 MiB changes at most 5 bytes of a word, at least 1.
    expect(differing).toBeGreaterThan(word32.length + inverse32.length + word64.length - 1);
    expect(differing).toBeLessThan(5 * (word32.length + inverse32.length + word64.length));
  });

  test("its symbols and sections are those recorded, when it is the recorded build", async () => {
    const map = "/work/shared/data/kernel/System.map-6.1.0-56-cloud-amd64.zst";
    if (real!.version !== "6.1.192-2" || !existsSync(map) || !have("zstd")) return console.error(`SKIPPED: ${real!.version} is not the recorded 6.1.192-2, or the recording is not at hand`);
    const kernel = await readKernelFile(real!.vmlinuz);
    const recorded = readSymbolList(execFileSync("zstd", ["-dc", map], { encoding: "utf8", maxBuffer: 1 << 28 }), map);
    const ours = new Set(kernel.symbols.map(({ address, name }) => `${address} ${name}`));
    // kallsyms leaves out its own tables and a few absolute symbols, nothing else.
    expect(recorded.filter(({ address, name }) => !ours.has(`${address} ${name}`)).map(({ name }) => name).filter((name) => !/^kallsyms_/.test(name)).length).toBeLessThan(10);
    const listed = readFileSync("/work/shared/data/kernel/vmlinux-6.1.0-56-cloud-amd64.readelf.txt", "utf8");
    for (const section of kernel.sections) expect(listed).toContain(`${section.address.toString(16)} `);
  });

  test("repacked with every method Linux knows is the same kernel", async () => {
    const { elf } = await unpackKernel(readFileSync(real!.vmlinuz), "real");
    for (const packing of (Object.keys(PACKERS) as (keyof typeof PACKERS)[])) {
      if (!have(PACKERS[packing][0])) { console.error(`SKIPPED: ${PACKERS[packing][0]} is not installed`); continue; }
      const again = await unpackKernel(bzImage(elf, packing), packing);
      expect(Buffer.compare(again.elf, elf)).toBe(0);
    }
  });
});
