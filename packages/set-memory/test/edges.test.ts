/** Where a change ends: at the first and last page of the image, of the direct map, and in what a refusal says. */
import { expect, test } from "vitest";
import { findWritableExecutable, SetMemoryError } from "../src/api.js";
import { addressOf, KERNEL_DATA, makeKernel, type SetMemoryKernel, walk } from "./kernel.js";

const PAGE = 4096n;
const WINDOW = 0xffff_ffff_c000_0000n;

/** One holder, its image mapped, and in the direct map as well. */
function booted(): SetMemoryKernel {
  const kernel = makeKernel([0]);
  kernel.boot.runTo("setup-arch");
  return kernel;
}

/** Whole pages of the image. */
const pagesOf = ({ image }: SetMemoryKernel): number => Math.ceil(Number(image.end - image.stext) / 4096);

/** Which pages of the image's own view cannot be written, by number. */
function readOnlyPages(kernel: SetMemoryKernel): number[] {
  const first = kernel.image.stext + kernel.layout.imageOffset;
  return Array.from({ length: pagesOf(kernel) }, (_, page) => page).filter(
    (page) => kernel.tables.lookup(0, first + BigInt(page) * PAGE)?.writable !== true,
  );
}

const refusalOf = (work: () => void): SetMemoryError => {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(SetMemoryError);
    return error as SetMemoryError;
  }
  throw new Error("nothing was refused");
};

test("of a range of the direct map, the image's own view changes for the pages that are the image's, and no other", () => {
  const before = readOnlyPages(booted());
  const pages = pagesOf(booted());
  const cases: [from: number, to: number][] = [
    [-2, 2],
    [0, 1],
    [3, 5],
    [pages - 2, pages + 3],
    [pages - 1, pages],
    [-3, 0],
    [-3, -1],
    [pages, pages + 2],
    [-1, pages + 1],
  ];
  for (const [from, to] of cases) {
    const kernel = booted();
    const direct = kernel.layout.pageOffset + kernel.layout.imagePhysical;
    kernel.setMemory.readOnly({ start: direct + BigInt(from) * PAGE, pages: to - from });
    const changed = Array.from({ length: pages }, (_, page) => page).filter((page) => page >= from && page < to);
    const expected = [...new Set([...before, ...changed])].sort((a, b) => a - b);
    expect(readOnlyPages(kernel), `pages ${from} to ${to} of ${pages}`).toEqual(expected);
  }
});

test("a range that ends before the image, or begins behind it, takes no table page for the image's view", () => {
  for (const [from, pages] of [
    [-3n, 3],
    [BigInt(pagesOf(booted())), 3],
  ] as const) {
    const [one, other] = [booted(), booted()];
    const start = one.layout.pageOffset + one.layout.imagePhysical + from * PAGE;
    one.setMemory.change({ start, pages }, { writable: false }, true);
    other.setMemory.change({ start, pages }, { writable: false }, false);
    expect(one.snapshot()).toBe(other.snapshot());
  }
});

test("holes are passed over from the direct map's first page on, and nowhere below or behind it", () => {
  const kernel = booted();
  const { pageOffset, vmallocStart } = kernel.layout;
  for (const { root } of kernel.view.roots) kernel.hole(root, pageOffset);
  expect(() => kernel.setMemory.readOnly({ start: pageOffset, pages: 1 })).not.toThrow();
  for (const start of [vmallocStart, pageOffset - (1n << 39n)]) {
    const { code, address } = refusalOf(() => kernel.setMemory.readOnly({ start, pages: 1 }));
    expect({ code, address }).toEqual({ code: "not-mapped", address: start });
  }
});

test("a refusal says which table, where in the range, and what to do", () => {
  const kernel = makeKernel([0, 1]);
  kernel.tables.edit((editor) => {
    for (let page = 0; page < 8; page++)
      editor.mapPerNode(
        WINDOW + BigInt(page) * PAGE,
        { ...KERNEL_DATA, level: 1 },
        (node) => kernel.frame(node) + page,
      );
  });
  for (const { root, node, kind } of kernel.view.roots) {
    const { table, index, lo, hi } = walk(kernel.entries.memory, root, 4, WINDOW + 5n * PAGE);
    kernel.entries.write(table, index, 0, 0);
    const { message, address } = refusalOf(() => kernel.setMemory.readOnly({ start: WINDOW + 2n * PAGE, pages: 5 }));
    expect(address).toBe(WINDOW + 5n * PAGE);
    expect(message).toContain(`the ${kind === "boot" ? "boot table" : `table of node ${node}`} maps nothing there`);
    kernel.entries.write(table, index, lo, hi);
  }
  // Nothing of 2 MiB: the range's first page is named, not where the missing table would begin.
  const inside = WINDOW + 0x60_3000n;
  expect(refusalOf(() => kernel.setMemory.readOnly({ start: inside, pages: 1 })).address).toBe(inside);
  const misaligned = refusalOf(() => kernel.setMemory.readOnly({ start: WINDOW + 1n, pages: 1 }));
  expect(misaligned.message).toContain("round it down");
  expect(misaligned.name).toBe("SetMemoryError");
  expect(refusalOf(() => kernel.setMemory.readOnly({ start: WINDOW, pages: 1.5 })).message).toContain("1.5 pages");
});

test("a range may end with the address space", () => {
  const kernel = makeKernel([0]);
  const last = 0xffff_ffff_ffff_f000n;
  kernel.tables.edit((editor) => editor.map(last, { ...KERNEL_DATA, level: 1, frame: kernel.frame(0) }));
  kernel.setMemory.change({ start: last, pages: 1 }, { writable: false }, false);
  expect(kernel.tables.lookup(0, last)).toMatchObject({ writable: false });
});

test("pages that were made absent can be changed, wherever their memory lies: either half of an entry says that it maps", () => {
  const kernel = makeKernel([0]);
  kernel.tables.edit((editor) => editor.map(WINDOW, { ...KERNEL_DATA, level: 1, frame: kernel.frame(0) }));
  const range = { start: WINDOW, pages: 1 };
  kernel.setMemory.notPresentHere(range);
  for (const [lo, hi] of [
    [kernel.frame(0) << 12, 0],
    [0, 1],
  ] as const) {
    for (const { root } of kernel.view.roots) {
      const { table, index } = walk(kernel.entries.memory, root, 4, WINDOW);
      kernel.entries.write(table, index, lo, hi);
    }
    expect(() => kernel.setMemory.present(range)).not.toThrow();
    kernel.setMemory.notPresentHere(range);
  }
});

test("without memory for a split, the refusal says for how many pages it was wanted", () => {
  const kernel = makeKernel([0]);
  kernel.tables.edit((editor) => {
    for (const leaf of [0, 1])
      editor.map(WINDOW + BigInt(leaf) * 0x20_0000n, {
        ...KERNEL_DATA,
        level: 2,
        frame: kernel.frame(0) + leaf * 512,
      });
  });
  kernel.allocator.refuse(1);
  const { message } = refusalOf(() =>
    kernel.setMemory.changeAll([
      { range: { start: WINDOW + PAGE, pages: 300 }, change: { writable: false }, alias: false },
      { range: { start: WINDOW + 0x20_1000n, pages: 21 }, change: { writable: false }, alias: false },
    ]),
  );
  expect(message).toContain(" of 321 pages");
  expect(message).toContain("free memory on the holders");
});

test("writable and executable pages side by side are one finding, and a root named twice is looked at once", () => {
  const kernel = makeKernel([0]);
  const at = addressOf(kernel.layout, kernel.frame(0));
  kernel.tables.edit((editor) => {
    for (const page of [0n, 1n, 3n])
      editor.map(WINDOW + page * PAGE, {
        ...KERNEL_DATA,
        executable: true,
        level: 1,
        frame: kernel.frame(0) + Number(page),
      });
    editor.map(at, { ...KERNEL_DATA, level: 2, frame: kernel.frame(0) });
  });
  const root = kernel.view.roots[0]!.root;
  const found = findWritableExecutable(
    kernel.entries.memory,
    [
      { name: "first", root },
      { name: "second", root },
    ],
    4,
  );
  expect(found).toEqual([
    { root: "first", start: WINDOW, end: WINDOW + 2n * PAGE },
    { root: "first", start: WINDOW + 3n * PAGE, end: WINDOW + 4n * PAGE },
  ]);
});

/** 512 leaves of 2 MiB, each behind the other; none of them lies in memory that is there. */
function mapGigabyte(kernel: SetMemoryKernel, at: bigint): void {
  kernel.tables.edit((editor) => {
    for (let leaf = 0; leaf < 512; leaf++)
      editor.map(at + BigInt(leaf) * 0x20_0000n, { ...KERNEL_DATA, level: 2, frame: leaf * 512 });
  });
}

test("leaves of 2 MiB become one of 1 GiB with their memory type, and none where one has another", () => {
  const kernel = makeKernel([0]);
  const at = kernel.layout.vmemmapStart;
  const range = { start: at, pages: 512 * 512 };
  mapGigabyte(kernel, at);
  const root = kernel.view.roots[0]!.root;
  // Bit 12 alone, which is the PAT bit of a large leaf.
  const { table, index, lo, hi } = walk(kernel.entries.memory, root, 4, at + 0x60_0000n);
  kernel.entries.write(table, index, lo | 0x1000, hi);
  expect(kernel.setMemory.join(range)).toEqual({ joined: 0, freed: 0 });
  kernel.entries.write(table, index, lo, hi);
  expect(kernel.setMemory.join(range)).toEqual({ joined: 1, freed: 1 });
  expect(kernel.tables.lookup(0, at)).toMatchObject({ level: 3, frame: 0, cache: "wb" });
});

test("pages that were made absent are not joined, though they say what they would map", () => {
  const kernel = makeKernel([0]);
  const at = kernel.layout.vmemmapStart;
  kernel.tables.edit((editor) => editor.map(at, { ...KERNEL_DATA, level: 2, frame: kernel.frame(0) }));
  const range = { start: at, pages: 512 };
  kernel.setMemory.readOnly({ start: at, pages: 1 });
  kernel.setMemory.readWrite({ start: at, pages: 1 });
  kernel.setMemory.notPresent(range);
  expect(kernel.setMemory.join(range)).toEqual({ joined: 0, freed: 0 });
  kernel.setMemory.present(range);
  expect(kernel.setMemory.join(range)).toEqual({ joined: 1, freed: 1 });
});

test("the first gigabyte of the last 512 is not joined either", () => {
  const kernel = makeKernel([0]);
  const at = 0xffff_ff80_0000_0000n;
  mapGigabyte(kernel, at);
  expect(kernel.setMemory.join({ start: at, pages: 512 * 512 })).toEqual({ joined: 0, freed: 0 });
});
