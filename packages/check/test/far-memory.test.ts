/**
 * Memory from 16 TiB up to 1 PiB, in windows of frame numbers: where the kernel maps it, what lies in it, that it comes
 * and goes, and random runs over it in which nothing is found.
 */
import { addressOfFrame, type PhysMemory } from "@kreplica/hw-x86";
import {
  type BootOptions,
  type BootParts,
  farMemory,
  kernelFrom,
  lateMemory,
  prepare,
  boot,
  smallImage,
} from "@kreplica/kernel";
import { MemoryHotplug } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { FAMILIES, Repertoire } from "../src/families.js";
import { memoryGoesFamily } from "../src/families/memory-goes.js";

const TEBIBYTE = 1n << 40n;
const BYTES = 64n << 20n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
/** Where each node's memory begins, bytes. */
const STARTS = {
  4: [0n, 32n * TEBIBYTE, 16n * TEBIBYTE],
  5: [0n, 1024n * TEBIBYTE, 512n * TEBIBYTE],
} as const;
const LATE = 2;
const LATE_START = 256n * TEBIBYTE;

/** The entry that ends a walk, all in addresses; 0 where none is. */
function entryAt(memory: PhysMemory, root: bigint, levels: number, address: bigint): bigint {
  let table = root;
  for (let level = levels; ; level--) {
    const index = (address >> BigInt(12 + 9 * (level - 1))) & 511n;
    const entry = memory.read64(table + index * 8n);
    if ((entry & 1n) === 0n) return 0n;
    if (level === 1 || (level <= 3 && (entry & 0x80n) !== 0n)) return entry;
    table = entry & ADDRESS;
  }
}
const kernelEntry = ({ machine, view, layout }: BootParts, node: number, address: bigint): bigint =>
  entryAt(machine.memory, addressOfFrame(view.kernelRoot(node)), layout.levels, address);

const kernel = (levels: 4 | 5, more: Partial<BootOptions> = {}): BootOptions => ({
  spec: farMemory(3, levels),
  policy: "per-node",
  image: smallImage(),
  levels,
  ...more,
});

describe.each([4, 5] as const)("%i levels", (levels) => {
  const starts = STARTS[levels];
  const isOn = (node: number, entry: bigint): boolean =>
    (entry & ADDRESS) >= starts[node]! && (entry & ADDRESS) < starts[node]! + BYTES;

  test.each([{}, { kaslr: { text: true, memory: true }, seed: 3 }, { kasan: true }])(
    "direct map and descriptors are where physical addresses say, text and tables on their nodes: %j",
    (more) => {
      const parts = boot(kernelFrom(kernel(levels, more)));
      const { layout, view, image } = parts;
      starts.forEach((start, node) => {
        // The middle of the node's memory, in a leaf that nothing divides.
        const middle = start + BYTES / 2n;
        expect(kernelEntry(parts, 0, layout.pageOffset + middle) & ADDRESS).toBe(middle);
        expect(isOn(node, kernelEntry(parts, 0, layout.vmemmapStart + middle / 64n)), "descriptors").toBe(true);
        expect(isOn(node, kernelEntry(parts, node, image.stext + layout.imageOffset)), "text").toBe(true);
        expect(isOn(node, addressOfFrame(view.kernelRoot(node))), "root").toBe(true);
      });
    },
  );

  test("processes have their pages there, and 2,000 operations find nothing", () => {
    const system = new CheckedSystem(kernel(levels), { families: CORE_FAMILIES });
    let far = 0;
    for (const each of new Repertoire(CORE_FAMILIES).drawRun(5, 150)) {
      system.step(each);
      far = Math.max(far, system.parts.allocator.usedFrames(1, "user"));
    }
    expect(far).toBeGreaterThan(0);
    const result = campaign({
      runs: 10,
      steps: 200,
      seed: levels,
      kernels: [kernel(levels), kernel(levels, { pti: true })],
      families: FAMILIES,
    });
    expect(result).toMatchObject({ violations: [], runs: 10, parted: 0 });
  });
});

test("memory at 256 TiB comes, is used, goes and comes again", () => {
  const options = { ...kernel(5), ...lateMemory(LATE, 5) };
  const parts = boot(kernelFrom(options));
  const { layout, allocator, assembly } = parts;
  const hotplug = assembly.get(MemoryHotplug);
  const places = [layout.pageOffset + LATE_START, layout.vmemmapStart + LATE_START / 64n];
  const mapped = (): boolean[] => places.map((each) => kernelEntry(parts, 1, each) !== 0n);
  for (let round = 0; round < 2; round++) {
    expect(mapped()).toEqual([false, false]);
    expect(hotplug.online(LATE)).toBe(true);
    expect(mapped()).toEqual([true, true]);
    expect(kernelEntry(parts, 1, places[0]!) & ADDRESS).toBe(LATE_START);
    const frame = allocator.allocate(LATE, 0, { purpose: "user", thisNode: true });
    expect(addressOfFrame(frame) - LATE_START < BYTES && addressOfFrame(frame) >= LATE_START).toBe(true);
    allocator.free(frame, 0);
    expect(hotplug.remove(LATE, 0)).toBe("done");
  }
  const result = campaign({
    runs: 8,
    steps: 150,
    seed: 9,
    kernels: [options],
    families: [...CORE_FAMILIES, memoryGoesFamily],
  });
  expect(result).toMatchObject({ violations: [], runs: 8 });
});

test("4 levels are refused where memory ends beyond 64 TiB, with what to choose", () => {
  expect(() => prepare(kernelFrom(kernel(4, { spec: farMemory(2, 5) })))).toThrow(
    /--levels: memory ends at 0x4000004000000, beyond the 64 TiB .* Choose --levels 5/i,
  );
});
