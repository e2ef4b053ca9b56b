/// <reference types="node" />
/** Kernel files: the day's real one, small ones packed by the tools that pack kernels, and damaged ones. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { InputError } from "@kreplica/inputs";
import { embeddedSymbols, imageOf, kernelFromBytes, readSymbolList, unpackKernel } from "@kreplica/kernel-files";
import { declaredAt, smallKernel, summed } from "@kreplica/kernel-files/testing";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fetchKernel } from "../../../scripts/fetch-kernel.mjs";
import { readKernelFile } from "../src/inputs/kernel-file.js";
import { bzImage, have, PACKERS } from "./fixtures/kernel-files.js";

let real: { vmlinuz: string; version: string; abi: string } | undefined;
try {
  real = fetchKernel("cloud-amd64");
} catch (error) {
  console.error(`SKIPPED: no real kernel to read: ${(error as Error).message}`);
}

describe("a small kernel", () => {
  test.each(Object.keys(PACKERS) as (keyof typeof PACKERS)[])(
    "packed with %s gives the same bytes",
    async (packing) => {
      if (!have(PACKERS[packing][0])) return console.error(`SKIPPED: ${PACKERS[packing][0]} is not installed`);
      const elf = smallKernel();
      const unpacked = await unpackKernel(bzImage(elf, packing), "small");
      expect(unpacked.packing).toBe(packing);
      expect(Buffer.from(unpacked.elf).equals(Buffer.from(elf))).toBe(true);
    },
  );

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
    const files = [
      whole,
      smallKernel([0, 0x8100_0010, 0, 0x8100_0200, 0x8100_0300]),
      ...(Object.keys(PACKERS) as (keyof typeof PACKERS)[])
        .filter((packing) => have(PACKERS[packing][0]))
        .map((packing) => bzImage(whole, packing)),
    ];
    for (const file of files) {
      for (let length = 0; length < file.length; length += Math.max(1, Math.floor(file.length / 60)))
        await attempt(file.subarray(0, length));
      const place = fc.oneof(
        fc.nat(file.length - 1),
        fc.nat(0x260).map((n) => Math.min(n, file.length - 1)),
        fc.nat(2000).map((n) => (1080 + n) % file.length),
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
        { numRuns: 300, seed: 11 },
      );
    }
    // The property did meet refusals of every stage.
    for (const field of [
      "header",
      "payload_offset, payload_length",
      "gzip payload",
      "unpacked length",
      "relocation lists",
    ])
      expect(reasons).toContain(field);
  });

  test("a payload that unpacks to another length than declared is refused, and so is a declared length no kernel has", async () => {
    for (const packing of (Object.keys(PACKERS) as (keyof typeof PACKERS)[]).filter((each) => have(PACKERS[each][0]))) {
      for (const lie of [100, 20_000, 30_000, 0xffff_ffff]) {
        const image = bzImage(smallKernel(), packing);
        new DataView(image.buffer).setUint32(declaredAt(image), lie, true);
        summed(image);
        await expect(unpackKernel(image, "lying")).rejects.toThrow(InputError);
        if (lie === 0xffff_ffff)
          await expect(unpackKernel(image, "lying")).rejects.toMatchObject({
            field: "unpacked length",
            reason: expect.stringContaining("is not between"),
          });
      }
    }
  });

  test.each(["gzip", "xz", "zstd"] as const)(
    "damage inside a payload packed with %s, which carries a checksum, never gives other bytes",
    async (packing) => {
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
          if (
            { gzip: /checksum mismatch/, xz: /block 0: checksum mismatch/, zstd: /does not match its checksum/ }[
              packing
            ].test(error.reason)
          )
            mismatches++;
        }
      }
      expect(refused).toBeGreaterThan(100);
      expect(mismatches).toBeGreaterThan(3);
    },
  );

  describe("the checksum of the image", () => {
    const flipped = (image: Uint8Array, at: number): Uint8Array => {
      const bytes = image.slice();
      bytes[at]! ^= 0x10;
      return bytes;
    };

    test("finds any bit that is wrong in an LZ4 payload, in the setup code and in itself, and says where it stands", async () => {
      if (!have("lz4")) return console.error("SKIPPED: lz4 is not installed");
      const image = bzImage(smallKernel(), "lz4");
      for (let at = 0; at < image.length; at += 5)
        await expect(unpackKernel(flipped(image, at), "flipped"), `byte ${at}`).rejects.toThrow(InputError);
      await expect(unpackKernel(flipped(image, 0x100), "flipped")).rejects.toMatchObject({
        offset: image.length - 4,
        field: "image checksum",
        remedy: expect.stringContaining("damaged"),
      });
      const short = image.slice();
      new DataView(short.buffer).setUint32(0x1f4, 8, true);
      await expect(unpackKernel(summed(short), "short")).rejects.toMatchObject({ offset: 0x1f4, field: "syssize" });
      await expect(unpackKernel(image.subarray(0, image.length - 16), "cut")).rejects.toMatchObject({
        offset: 0x1f4,
        field: "syssize",
      });
    });
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
    expect(
      Buffer.from(page).equals(Buffer.from(kernel.elf.bytesOf(kernel.elf.section(".rodata")!).subarray(0, 4096))),
    ).toBe(true);
    // Linux prints its banner from rodata: an oracle for "these are the right bytes at the right symbol".
    const banner = kernel.symbol("linux_banner")!;
    expect(new TextDecoder().decode(kernel.bytes({ start: banner, end: banner + 80n }))).toContain(
      `Linux version ${real!.abi}`,
    );
  });

  test("moved by KASLR and moved back is itself, and its kallsyms moves along", async () => {
    const kernel = await readKernelFile(real!.vmlinuz);
    const delta = 0x1a20_0000n;
    const moved = kernel.relocated(delta);
    const before = embeddedSymbols(kernel.memory, kernel.base)!;
    const after = embeddedSymbols(moved, kernel.base + delta)!;
    expect(after.length).toBe(before.length);
    expect(
      after.filter(
        (symbol, i) =>
          symbol.address !==
          before[i]!.address + (before[i]!.type === "A" || before[i]!.address < kernel.base ? 0n : delta),
      ).length,
    ).toBe(0);
    let differing = 0;
    for (let i = 0; i < moved.length; i++) if (moved[i] !== kernel.memory[i]) differing++;
    const { word32, inverse32, word64 } = kernel.relocations!;
    // A delta below 2^32 and a multiple of 2 MiB changes at most 5 bytes of a word, at least 1.
    expect(differing).toBeGreaterThan(word32.length + inverse32.length + word64.length - 1);
    expect(differing).toBeLessThan(5 * (word32.length + inverse32.length + word64.length));
  });

  test("its symbols and sections are those recorded, when it is the recorded build", async () => {
    const map = "/work/shared/data/kernel/System.map-6.1.0-56-cloud-amd64.zst";
    if (real!.version !== "6.1.192-2" || !existsSync(map) || !have("zstd"))
      return console.error(`SKIPPED: ${real!.version} is not the recorded 6.1.192-2, or the recording is not at hand`);
    const kernel = await readKernelFile(real!.vmlinuz);
    const recorded = readSymbolList(execFileSync("zstd", ["-dc", map], { encoding: "utf8", maxBuffer: 1 << 28 }), map);
    const ours = new Set(kernel.symbols.map(({ address, name }) => `${address} ${name}`));
    // kallsyms leaves out its own tables and a few absolute symbols, nothing else.
    expect(
      recorded
        .filter(({ address, name }) => !ours.has(`${address} ${name}`))
        .map(({ name }) => name)
        .filter((name) => !/^kallsyms_/.test(name)).length,
    ).toBeLessThan(10);
    const listed = readFileSync("/work/shared/data/kernel/vmlinux-6.1.0-56-cloud-amd64.readelf.txt", "utf8");
    for (const section of kernel.sections) expect(listed).toContain(`${section.address.toString(16)} `);
  });
});
