/// <reference types="node" />
/** Kernel files made here: read, moved, damaged; checksums and lists as kernels of every age have them. */
import { gzipSync } from "node:zlib";
import { InputError } from "@kreplica/inputs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { imageOf, kernelFromBytes, readSymbolList, unpackKernel } from "../src/index.js";
import { unpackLz4Legacy } from "../src/kernel-image/lz4-legacy.js";
import { readRelocationLists } from "../src/kernel-image/relocations.js";
import { bzImageAround, smallKernel, summed } from "../src/testing.js";

/** As `make bzImage` packs with gzip; the bytes of gzip do not depend on the host's tools. */
const gzipped = (elf: Uint8Array): Uint8Array => bzImageAround(gzipSync(elf), undefined);
/** An LZ4 legacy frame that packs nothing: one block of one run of literals. */
const stored = (elf: Uint8Array): Uint8Array => {
  const rest = elf.length - 15;
  const run = [0xf0, ...new Array<number>(Math.floor(rest / 255)).fill(255), rest % 255];
  const frame = new Uint8Array(8 + run.length + elf.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 0x184c_2102, true);
  view.setUint32(4, run.length + elf.length, true);
  frame.set(run, 8);
  frame.set(elf, 8 + run.length);
  return bzImageAround(frame, elf.length);
};

describe("a small kernel", () => {
  test.each([
    ["none", (elf: Uint8Array) => elf],
    ["gzip", gzipped],
    ["lz4", stored],
  ] as const)("packed with %s is the same kernel", async (packing, packed) => {
    const elf = smallKernel();
    const kernel = await kernelFromBytes(packed(elf), "small");
    expect(kernel.packing).toBe(packing);
    expect(Buffer.from(kernel.elf.bytes).equals(Buffer.from(elf))).toBe(true);
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

  test("damaged anywhere, or cut, gives an InputError with a remedy or a kernel, never a crash", async () => {
    const reasons = new Set<string>();
    const attempt = async (bytes: Uint8Array): Promise<void> => {
      try {
        (await kernelFromBytes(bytes, "damaged")).relocated(0x20_0000n);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        expect(error.remedy).not.toBe("");
        reasons.add(`${error.field ?? ""}`);
      }
    };
    for (const file of [smallKernel(), gzipped(smallKernel()), stored(smallKernel())]) {
      for (let length = 0; length < file.length; length += Math.floor(file.length / 60))
        await attempt(file.subarray(0, length));
      const place = fc.oneof(
        fc.nat(file.length - 1),
        fc.nat(0x260),
        fc.nat(300).map((n) => file.length - 1 - n),
      );
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 8, size: "max" }),
          async (changes) => {
            const bytes = Uint8Array.from(file);
            for (const [at, value] of changes) bytes[at] = value;
            await attempt(bytes);
          },
        ),
        { numRuns: 200, seed: 11 },
      );
    }
    for (const field of ["header", "payload_offset, payload_length", "gzip payload", "relocation lists"])
      expect(reasons).toContain(field);
  });

  test("without the symbols that bound its parts it is no image", async () => {
    const kernel = await kernelFromBytes(smallKernel(), "small");
    expect(kernel.symbolsFrom).toBe("none");
    expect(() => imageOf(kernel)).toThrow(/bad-image: 0x0: small has no symbol _stext/);
  });

  describe("the checksum of the image", () => {
    const flipped = (image: Uint8Array, at: number): Uint8Array => {
      const bytes = image.slice();
      bytes[at]! ^= 0x10;
      return bytes;
    };

    test("leaves out what signing puts in and behind the image, and nothing else", async () => {
      const image = gzipped(smallKernel());
      const view = new DataView(image.buffer);
      const pe = 0x40;
      image.set([0x4d, 0x5a]);
      view.setUint32(0x3c, pe, true);
      view.setUint32(pe, 0x4550, true);
      summed(image);
      const signed = Uint8Array.of(...image, 0x20, 5, 0, 0, 0, 2, 2, 0, ...new Uint8Array(0x518).fill(0x55));
      const fields = new DataView(signed.buffer);
      fields.setUint32(pe + 24 + 64, 0xd7_1234, true);
      // A checksum alone is no signature.
      await expect(unpackKernel(signed, "signed")).rejects.toMatchObject({ field: "image checksum" });
      fields.setUint32(pe + 24 + 112 + 32, image.length, true);
      fields.setUint32(pe + 24 + 112 + 36, 0x520, true);
      expect((await unpackKernel(signed, "signed")).packing).toBe("gzip");
      await expect(unpackKernel(flipped(signed, 0x120), "signed")).rejects.toMatchObject({
        offset: image.length - 4,
        field: "image checksum",
      });
    });

    test("is not looked for in kernels from 6.15, which have none", async () => {
      for (const [release, refused] of [
        ["6.14.11-1", true],
        ["6.15.0-rc1", false],
        ["6.16.0", false],
        ["7.0.0-rc1", false],
        ["5.19.0", true],
      ] as const) {
        const image = gzipped(smallKernel());
        new DataView(image.buffer).setUint16(0x20e, 0x280 - 0x200, true);
        image.set(new TextEncoder().encode(`${release} (builder) #1\0`), 0x280);
        image.set([1, 2, 3, 4], image.length - 4);
        const unpacked = unpackKernel(image, release);
        await (refused
          ? expect(unpacked, release).rejects.toMatchObject({ field: "image checksum" })
          : expect(unpacked, release).resolves.toMatchObject({ packing: "gzip" }));
      }
    });
  });

  test("an LZ4 match from before the block, an xz or relocation list with more in it than belongs, a section outside the image", async () => {
    // Token: one literal, a match of 4; the literal; 5 bytes back where there is 1.
    const block = [0x10, 0x61, 5, 0];
    const frame = Uint8Array.of(0x02, 0x21, 0x4c, 0x18, block.length, 0, 0, 0, ...block);
    expect(unpackLz4Legacy(frame, new Uint8Array(64))).toMatchObject({ offset: 8 });
    const cut = Uint8Array.of(0x02, 0x21, 0x4c, 0x18, 2, 0, 0, 0, 0x50, 0x61);
    expect(unpackLz4Legacy(cut, new Uint8Array(64))).toMatchObject({
      offset: 8,
      reason: "5 literal bytes where 1 are left",
    });
    frame[10] = 1;
    expect(unpackLz4Legacy(frame, new Uint8Array(64))).toBe(5);
    expect(() => readRelocationLists(new Uint8Array(Uint32Array.of(7, 0, 1, 0, 2, 0, 3).buffer), "lists", 100)).toThrow(
      expect.objectContaining({ offset: 100, field: "relocation lists" }),
    );
    expect(readRelocationLists(new Uint8Array(Uint32Array.of(0, 1, 0, 2, 0, 3).buffer), "lists", 100)).toMatchObject({
      word64: Uint32Array.of(1),
      inverse32: Uint32Array.of(2),
      word32: Uint32Array.of(3),
    });
    // From 6.15 two lists; a zero lost between two of three is told from that, since places ascend.
    expect(readRelocationLists(new Uint8Array(Uint32Array.of(0, 1, 4, 0, 2, 3).buffer), "lists", 100)).toMatchObject({
      word64: Uint32Array.of(4, 1),
      inverse32: Uint32Array.of(),
      word32: Uint32Array.of(3, 2),
    });
    for (const lost of [
      [0, 1, 9, 2, 5, 0, 3],
      [0, 1, 0, 2, 5, 3],
    ]) {
      expect(() => readRelocationLists(new Uint8Array(Uint32Array.from(lost).buffer), "lists", 100)).toThrow(
        expect.objectContaining({ offset: 100, reason: expect.stringContaining("a list's beginning is lost") }),
      );
    }
    expect(() => readRelocationLists(new Uint8Array(Uint32Array.of(0, 2, 3).buffer), "lists", 100)).toThrow(
      /the second list has no beginning/,
    );
    const outside = smallKernel();
    const sections = Number(new DataView(outside.buffer).getBigUint64(40, true));
    new DataView(outside.buffer).setUint32(sections + 64 + 4, 8, true);
    new DataView(outside.buffer).setBigUint64(sections + 64 + 32, 0x10_0000n, true);
    await expect(kernelFromBytes(outside, "outside")).rejects.toMatchObject({ field: "section 1 sh_addr + sh_size" });
  });

  test("symbols as text: modules left out, bad lines and hidden addresses named", () => {
    expect(readSymbolList("ffffffff81000000 T _text\nffffffffc0000000 t init [loop]\n", "map")).toEqual([
      { address: 0xffff_ffff_8100_0000n, type: "T", name: "_text" },
    ]);
    expect(() => readSymbolList("ffffffff81000000 T _text\nrubbish\n", "map")).toThrow(
      expect.objectContaining({ line: 2 }),
    );
    expect(() => readSymbolList("0000000000000000 T _text\n", "map")).toThrow(/every address is 0/);
    expect(() =>
      readSymbolList("ffffffffffffffff B The real System.map is in the linux-image-6.1-dbg package\n", "map"),
    ).toThrow(/map:1: Debian's placeholder .*package linux-image-6\.1-dbg/);
  });
});
