/**
 * The address map: fixed where Linux fixes it, moved by whole gigabytes and 2 MiB where KASLR moves it, the same by the
 * same seed.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { descriptorAddress, directAddress, imageFrame, kernelLayout } from "../../src/api.js";

const plain = {
  levels: 4,
  pti: false,
  imagePhysical: 0x100_0000n,
  imageBytes: 0x283_0000n,
  memoryEnd: 1n << 36n,
  seed: 1,
} as const;
const TERABYTE = 1n << 40n;

test("without KASLR: the table of Documentation/arch/x86/x86_64/mm.rst", () => {
  const four = kernelLayout(plain);
  expect(
    [four.pageOffset, four.vmallocStart, four.vmallocEnd, four.vmemmapStart].map((address) => address.toString(16)),
  ).toEqual(["ffff888000000000", "ffffc90000000000", "ffffe8ffffffffff", "ffffea0000000000"]);
  expect([four.kernelBoundary, four.modulesStart.toString(16), four.modulesEnd.toString(16)]).toEqual([
    273,
    "ffffffffc0000000",
    "ffffffffff000000",
  ]);
  const five = kernelLayout({ ...plain, levels: 5 });
  expect(
    [five.pageOffset, five.vmallocStart, five.vmallocEnd, five.vmemmapStart].map((address) => address.toString(16)),
  ).toEqual(["ff11000000000000", "ffa0000000000000", "ffd1ffffffffffff", "ffd4000000000000"]);
  expect(five.kernelBoundary).toBe(273);
});

test("KASLR: order kept, nothing overlaps, steps are whole, and a seed says everything", () => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(4 as const, 5 as const), (seed, levels) => {
      const options = {
        ...plain,
        levels,
        seed,
        kaslrText: true,
        kaslrMemory: true,
        physicalRuns: [{ start: 0x100_0000n, end: 1n << 31n }],
      };
      const layout = kernelLayout(options);
      expect(kernelLayout(options)).toEqual(layout);
      const direct = levels === 5 ? 0xff11_0000_0000_0000n : 0xffff_8880_0000_0000n;
      expect(layout.pageOffset).toBeGreaterThanOrEqual(direct);
      expect(layout.pageOffset + plain.memoryEnd + 10n * TERABYTE).toBeLessThanOrEqual(layout.vmallocStart);
      expect(layout.vmallocEnd).toBeLessThan(layout.vmemmapStart);
      expect(layout.vmemmapStart + TERABYTE).toBeLessThanOrEqual(layout.cpuEntryArea);
      for (const base of [layout.pageOffset, layout.vmallocStart, layout.vmemmapStart])
        expect(base % 0x4000_0000n).toBe(0n);
      expect(layout.imageOffset % 0x20_0000n).toBe(0n);
      expect(layout.imagePhysical % 0x20_0000n).toBe(0n);
      expect(0xffff_ffff_8100_0000n + layout.imageOffset + plain.imageBytes).toBeLessThanOrEqual(layout.modulesStart);
      expect(layout.imagePhysical + plain.imageBytes).toBeLessThanOrEqual(1n << 31n);
    }),
    { numRuns: 200, seed: 5 },
  );
});

test("memory up to 1 PiB has descriptors and a direct map by its physical address, and room for both with KASLR", () => {
  const [memoryEnd, frame] = [(1n << 50n) + (1n << 30n), 0xfc00_1234];
  for (const kaslrMemory of [false, true]) {
    const layout = kernelLayout({ ...plain, levels: 5, imagePhysical: 1n << 46n, memoryEnd, kaslrMemory });
    const { pageOffset, vmallocStart, vmemmapStart, cpuEntryArea } = layout;
    expect(directAddress(layout, frame)).toBe(pageOffset + (1n << 50n) + 0x123_4000n);
    expect(descriptorAddress(layout, frame)).toBe(vmemmapStart + ((1n << 50n) + 0x123_4000n) / 64n);
    expect(imageFrame(layout, 0xffff_ffff_8100_0000n, 0xffff_ffff_8100_5000n)).toBe(0xf400_0005);
    expect(pageOffset + memoryEnd).toBeLessThanOrEqual(vmallocStart);
    expect(vmemmapStart + memoryEnd / 64n).toBeLessThanOrEqual(cpuEntryArea);
  }
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      // As far as addresses go, and many: of 200 places one is so high that a terabyte less of room would show.
      const layout = kernelLayout({ ...plain, levels: 5, memoryEnd: 1n << 52n, kaslrMemory: true, seed });
      expect(layout.vmemmapStart + (1n << 46n)).toBeLessThanOrEqual(layout.cpuEntryArea);
    }),
    { numRuns: 4000, seed: 5 },
  );
  const most = (levels: 4 | 5, end: bigint) => (): unknown => kernelLayout({ ...plain, levels, memoryEnd: end });
  expect(most(4, 1n << 46n)).not.toThrow();
  expect(most(4, (1n << 46n) + 1n)).toThrow("choose 5 levels");
  expect(most(5, (1n << 52n) + 1n)).toThrow("lower addresses");
});

test("seeds move it", () => {
  const places = new Set(
    Array.from(
      { length: 50 },
      (_, seed) => kernelLayout({ ...plain, seed, kaslrText: true, kaslrMemory: true }).imageOffset,
    ),
  );
  expect(places.size).toBeGreaterThan(40);
});

test("physical places are drawn from all runs, each as likely, none where the image would not fit whole", () => {
  const large = 0x20_0000n;
  const image = 21n * large;
  const runs = [
    { start: 0x100_0000n, end: 0x100_0000n + image + 2n * large },
    { start: 1n << 32n, end: (1n << 32n) + image - 1n },
    { start: (1n << 33n) + 1n, end: (1n << 33n) + image + large },
  ];
  const drawn = new Map<bigint, number>();
  for (let seed = 0; seed < 800; seed++) {
    const { imagePhysical } = kernelLayout({ ...plain, imageBytes: image, seed, kaslrText: true, physicalRuns: runs });
    drawn.set(imagePhysical, (drawn.get(imagePhysical) ?? 0) + 1);
  }
  // Three in the first run; none in the second, a byte too short; one in the third, whose start is not on 2 MiB.
  expect([...drawn.keys()].sort()).toEqual([0x100_0000n, 0x120_0000n, 0x140_0000n, (1n << 33n) + large].sort());
  for (const times of drawn.values()) expect(times).toBeGreaterThan(150);
  expect(kernelLayout({ ...plain, imageBytes: image, kaslrText: true, physicalRuns: [runs[1]!] }).imagePhysical).toBe(
    plain.imagePhysical,
  );
  expect(kernelLayout({ ...plain, physicalRuns: runs, seed: 5 }).imagePhysical).toBe(plain.imagePhysical);
});

test("what does not fit is refused", () => {
  expect(() => kernelLayout({ ...plain, imagePhysical: 0x1000n })).toThrow(
    /bad-layout: 0x1000: the image must start on 2 MiB/,
  );
  expect(() => kernelLayout({ ...plain, memoryEnd: 1n << 47n, kaslrMemory: true })).toThrow(/bad-layout.*does not fit/);
  expect(() => kernelLayout({ ...plain, kaslrText: true, imageBytes: 0x4000_0000n })).toThrow(
    /bad-layout.*switch KASLR for text off/,
  );
});
