/**
 * Where memory is encrypted: which entries have the bit, in every root and in the direct map, after pages are shared
 * and after they are private again; from the bytes.
 */
import { ALL_PAGES, type Frame, leafFrame, walkRange } from "@kreplica/hw-x86/api";
import { imageAddress, imageFrame, SharedMemory } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import type { SetMemoryError } from "../src/api.js";
import { addressOf, KERNEL_DATA, makeKernel, mapped, type SetMemoryKernel, WINDOW } from "./kernel.js";

const PLACE = 51;
const BIT = 1 << (PLACE - 32);
/** Pages 3 to 1002 of the window: what is left of the first 2 MiB, and most of the second. */
const RANGE = { start: WINDOW + 3n * 4096n, pages: 1000 };

/** By root: frames that a leaf without the bit maps, and entries without it that lead to tables. */
function withoutBit(kernel: SetMemoryKernel): { frames: Set<Frame>; kept: Set<Frame>; pointers: number } {
  const found = { frames: new Set<Frame>(), kept: new Set<Frame>(), pointers: 0 };
  for (const { root } of kernel.view.roots)
    walkRange(kernel.entries.memory, root, 4, ALL_PAGES, {
      table(_address, _level, _lower, _table, _index, _lo, hi) {
        if ((hi & BIT) === 0) found.pointers++;
      },
      leaf(_address, level, lo, hi) {
        const first = leafFrame(lo, hi, level);
        const frames = (hi & BIT) === 0 ? found.frames : found.kept;
        for (let each = 0; each < 512 ** (level - 1); each++) frames.add(first + each);
      },
    });
  return found;
}

/** What {@link RANGE} maps for all holders. */
const shared = (kernel: SetMemoryKernel): Set<Frame> =>
  new Set(
    kernel.view.holders.flatMap((node) =>
      Array.from({ length: RANGE.pages }, (_, page) => kernel.frame(node) + 3 + page),
    ),
  );
const told = (kernel: SetMemoryKernel): ReadonlySet<Frame> => kernel.assembly.get(SharedMemory).frames;

describe.each([[[0]], [[0, 1]], [[1, 3]]])("holders %j", (holders) => {
  test("shared pages have no bit by any address on any root, all others and what leads there have it", () => {
    const kernel = mapped(holders, false, PLACE);
    expect(withoutBit(kernel)).toMatchObject({ frames: new Set(), pointers: 0 });
    const before = kernel.snapshot();
    kernel.setMemory.decrypted(RANGE);
    const { frames, kept, pointers } = withoutBit(kernel);
    expect(frames).toEqual(shared(kernel));
    expect([...kept].filter((frame) => frames.has(frame))).toEqual([]);
    expect(pointers).toBe(0);
    expect(told(kernel)).toEqual(shared(kernel));
    // What is shared does not become one leaf with what is private.
    kernel.setMemory.join({ start: WINDOW, pages: 1024 });
    expect(withoutBit(kernel).frames).toEqual(shared(kernel));
    kernel.setMemory.encrypted(RANGE);
    expect(withoutBit(kernel)).toMatchObject({ frames: new Set(), pointers: 0 });
    expect(told(kernel).size).toBe(0);
    kernel.setMemory.join({ start: WINDOW, pages: 1024 });
    for (const node of holders)
      kernel.setMemory.join({ start: addressOf(kernel.layout, kernel.frame(node)), pages: 1536 });
    expect(kernel.snapshot()).toBe(before);
  });

  test("by the direct map, and while absent, pages stay what they were made", () => {
    const kernel = mapped(holders, false, PLACE);
    const range = { start: addressOf(kernel.layout, kernel.frame(holders[0]!) + 5), pages: 2 };
    kernel.setMemory.decrypted(range);
    kernel.setMemory.notPresent(range);
    kernel.setMemory.present(range);
    // Split leaves say the same of the pages that were not asked for.
    kernel.setMemory.readOnly({ start: range.start - 4096n, pages: 4 });
    expect([...withoutBit(kernel).frames]).toEqual([5, 6].map((each) => kernel.frame(holders[0]!) + each));
  });

  test("a refused table page leaves every root, and what the host was told, as it was", () => {
    for (let nth = 1; nth < 40; nth++) {
      const kernel = mapped(holders, false, PLACE);
      const before = kernel.snapshot();
      kernel.allocator.refuse(nth);
      let code: string | undefined;
      try {
        kernel.setMemory.decrypted(RANGE);
      } catch (error) {
        code = (error as SetMemoryError).code;
      }
      kernel.allocator.refuse(0);
      if (code === undefined) {
        expect(nth).toBeGreaterThan(2);
        return;
      }
      expect([code, kernel.snapshot(), told(kernel).size]).toEqual(["out-of-frames", before, 0]);
    }
    throw new Error("was refused forever");
  });
});

test("the image's own view follows where an area lies in memory of the image", () => {
  const kernel = makeKernel([0], false, PLACE);
  kernel.boot.runTo("setup-arch");
  const { image, layout, tables } = kernel;
  const frame = imageFrame(layout, image.stext, image.initBegin);
  tables.edit((editor) => editor.map(WINDOW, { ...KERNEL_DATA, level: 1, frame }));
  kernel.setMemory.decrypted({ start: WINDOW, pages: 1 });
  expect(tables.lookup(0, imageAddress(layout, image.initBegin))?.encrypted).toBe(false);
  expect(withoutBit(kernel)).toMatchObject({ frames: new Set([frame, 0xfec00, 0xfee00]), pointers: 0 });
});

test("what was unmapped and not flushed yet is flushed before", () => {
  const kernel = mapped([0], false, PLACE);
  kernel.tables.editLazily((editor) => {
    editor.unmap(WINDOW + 0x40_0000n, 1);
  });
  expect(kernel.tables.unflushed).toHaveLength(1);
  // One page: a flush of many would be one of everything.
  kernel.setMemory.decrypted({ start: WINDOW, pages: 1 });
  expect(kernel.tables.unflushed).toHaveLength(0);
});

test("without such a bit in the machine nothing is stored", () => {
  const kernel = mapped([0, 1]);
  const [before, stores] = [kernel.snapshot(), kernel.entries.stores];
  kernel.setMemory.decrypted(RANGE);
  kernel.setMemory.encrypted(RANGE);
  expect([kernel.snapshot(), kernel.entries.stores, told(kernel).size]).toEqual([before, stores, 0]);
});
