/**
 * Permission changes on every root beside the contract: what is split, flushed and joined, with holders that are given.
 */
import { describe, expect, test } from "vitest";
import { KERNEL_DATA, walk } from "./kernel.js";
import { makeKernel, mapped, type SetMemoryKernel, WINDOW } from "./kernel.js";
import { findWritableExecutable, SetMemoryError } from "../src/api.js";

const HOLDERS = [[0], [0, 1], [1, 3]] as const;

/** What a root says about a page, absent ones included. */
function says(kernel: SetMemoryKernel, root: number, address: bigint): Record<string, unknown> {
  const found = walk(kernel.entries.memory, root, 4, address);
  if (!found.present) return { present: false };
  const mapping = kernel.mapping(found);
  const within = Number((address >> 12n) & BigInt(512 ** (mapping.level - 1) - 1));
  return {
    present: true,
    frame: mapping.frame + within,
    writable: mapping.writable,
    executable: mapping.executable,
    global: mapping.global,
    cache: mapping.cache,
  };
}

describe.each(HOLDERS.map((holders) => [holders]))("holders %j", (holders) => {
  test("a refused table page leaves every root as it was, whichever it is", () => {
    for (let nth = 1; nth < 40; nth++) {
      const kernel = mapped(holders);
      const before = kernel.snapshot();
      const used = kernel.view.holders.map((node) => kernel.allocator.usedFrames(node, "page-table"));
      kernel.allocator.refuse(nth);
      let refused = false;
      try {
        kernel.setMemory.readOnly({ start: WINDOW + 4096n, pages: 1000 });
      } catch (error) {
        expect(error).toBeInstanceOf(SetMemoryError);
        expect((error as SetMemoryError).code).toBe("out-of-frames");
        refused = true;
      }
      kernel.allocator.refuse(0);
      if (!refused) {
        // Splits on every private root and in the direct map: at least two leaves of the image's and two of each alias.
        expect(nth).toBeGreaterThan(4);
        return;
      }
      expect(kernel.snapshot()).toBe(before);
      expect(kernel.view.holders.map((node) => kernel.allocator.usedFrames(node, "page-table"))).toEqual(used);
    }
    throw new Error("was refused forever");
  });

  test("several changes take one shootdown, and happen all or not at all", () => {
    const changes = [
      { range: { start: WINDOW + 0x1000n, pages: 3 }, change: { writable: false }, alias: true },
      { range: { start: WINDOW + 0x20_0000n, pages: 2 }, change: { writable: false, executable: true }, alias: true },
    ];
    const [together, apart] = [mapped(holders), mapped(holders)];
    for (const kernel of [together, apart]) for (const cpu of [0, 1]) kernel.cpus.bringUp(cpu);
    together.setMemory.changeAll(changes);
    for (const { range, change, alias } of changes) apart.setMemory.change(range, change, alias);
    expect(together.snapshot()).toBe(apart.snapshot());
    expect([together.tables.flushes, apart.tables.flushes]).toEqual([1, 2]);
    const kernel = mapped(holders);
    const before = kernel.snapshot();
    let nth = 0;
    for (let refused = true; refused && nth < 60; nth++) {
      kernel.allocator.refuse(nth + 1);
      try {
        kernel.setMemory.changeAll(changes);
        refused = false;
      } catch (error) {
        expect((error as SetMemoryError).code).toBe("out-of-frames");
      }
      kernel.allocator.refuse(0);
      if (refused) expect(kernel.snapshot()).toBe(before);
    }
    expect(nth).toBeGreaterThan(2);
    expect(kernel.snapshot()).toBe(together.snapshot());
    // A hole in the second range is found before the first is touched.
    const holed = mapped(holders);
    holed.hole(holed.view.roots[0]!.root, WINDOW + 0x20_1000n);
    const whole = holed.snapshot();
    expect(() => holed.setMemory.changeAll(changes)).toThrow("not-mapped");
    expect(holed.snapshot()).toBe(whole);
  });

  test("splitting and joining gives tables and frames back, on the node they serve", () => {
    const kernel = mapped(holders);
    const used = kernel.view.holders.map((node) => kernel.allocator.usedFrames(node, "page-table"));
    const before = kernel.snapshot();
    kernel.setMemory.nonGlobal({ start: WINDOW + 0x1000n, pages: 700 });
    kernel.view.holders.forEach((node, nth) =>
      expect(kernel.allocator.usedFrames(node, "page-table")).toBeGreaterThanOrEqual(used[nth]! + 2),
    );
    kernel.setMemory.global({ start: WINDOW + 0x1000n, pages: 700 });
    const stores = kernel.tables.stores;
    const result = kernel.setMemory.join({ start: WINDOW, pages: 1024 });
    expect(result.joined).toBe(result.freed);
    // A single copy stores two leaves; those of other roots are for copies.
    expect(kernel.tables.stores.total - stores.total - (kernel.tables.stores.replica - stores.replica)).toBe(2);
    expect(result.joined).toBe(2 * new Set(kernel.view.roots.map(({ root }) => root)).size);
    expect(kernel.view.holders.map((node) => kernel.allocator.usedFrames(node, "page-table"))).toEqual(used);
    expect(kernel.snapshot()).toBe(before);
    // One page that differs, and there is nothing to join.
    kernel.setMemory.readOnly({ start: WINDOW + 0x5000n, pages: 1 });
    expect(kernel.setMemory.join({ start: WINDOW, pages: 512 }).joined).toBe(0);
  });

  test("1 GiB leaves split down to a page and join up again", () => {
    const kernel = makeKernel(holders);
    const huge = kernel.layout.vmemmapStart;
    kernel.tables.edit((editor) => editor.map(huge, { ...KERNEL_DATA, level: 3, frame: 0 }));
    const root = kernel.view.roots[0]!.root;
    kernel.setMemory.change({ start: huge + 0x123_4000n, pages: 3 }, { cache: "wc" }, false);
    expect(says(kernel, root, huge + 0x123_4000n)).toMatchObject({ cache: "wc", frame: 0x1234 });
    expect(says(kernel, root, huge + 0x123_7000n)).toMatchObject({ cache: "wb", frame: 0x1237 });
    kernel.setMemory.change({ start: huge + 0x123_4000n, pages: 3 }, { cache: "wb" }, false);
    expect(kernel.setMemory.join({ start: huge, pages: 262_144 })).toEqual({ joined: 2, freed: 2 });
    expect(walk(kernel.entries.memory, root, 4, huge + 0x123_4000n)).toMatchObject({ level: 3 });
  });

  test("what cannot be changed is refused and named before anything changes", () => {
    const kernel = mapped(holders);
    const before = kernel.snapshot();
    const refused = (range: { start: bigint; pages: number }): string | undefined => {
      try {
        kernel.setMemory.readOnly(range);
        return undefined;
      } catch (error) {
        return (error as SetMemoryError).code;
      }
    };
    expect(refused({ start: WINDOW + 1n, pages: 1 })).toBe("misaligned");
    expect(refused({ start: WINDOW, pages: 0 })).toBe("empty-range");
    expect(refused({ start: 0xffff_ffff_ffff_f000n, pages: 2 })).toBe("empty-range");
    expect(refused({ start: WINDOW + 0x40_0000n, pages: 17 })).toBe("not-mapped");
    expect(kernel.snapshot()).toBe(before);
  });

  test("a hole on one root alone is refused: permissions would differ between nodes afterwards", () => {
    const kernel = mapped(holders);
    const last = kernel.view.roots[kernel.view.roots.length - 1]!;
    kernel.hole(last.root, WINDOW + 0x40_0000n);
    expect(() => kernel.setMemory.readOnly({ start: WINDOW + 0x40_0000n, pages: 1 })).toThrow(
      expect.objectContaining({ code: "not-mapped" }),
    );
  });

  test("the W+X check sees every root, and the whole path's rights", () => {
    const kernel = mapped(holders);
    const roots = kernel.view.roots.map(({ root, node, kind }) => ({ name: `${kind} ${node}`, root }));
    expect(findWritableExecutable(kernel.entries.memory, roots, 4)).toEqual([]);
    for (const { name, root } of roots) {
      // Overlaid on one root alone, as D4 and D5 do.
      const { table, index, lo, hi } = walk(kernel.entries.memory, root, 4, WINDOW);
      kernel.entries.write(table, index, lo, hi & 0x7fff_ffff);
      expect(findWritableExecutable(kernel.entries.memory, roots, 4)).toEqual([
        { root: name, start: WINDOW, end: WINDOW + 0x20_0000n },
      ]);
      kernel.entries.write(table, index, lo & ~2, hi & 0x7fff_ffff);
      expect(findWritableExecutable(kernel.entries.memory, roots, 4)).toEqual([]);
      kernel.entries.write(table, index, lo, hi);
    }
    // NX above hides what lies below.
    const root = roots[0]!.root;
    const top = { lo: kernel.entries.low(root, 511), hi: kernel.entries.high(root, 511) };
    const leaf = walk(kernel.entries.memory, root, 4, WINDOW);
    kernel.entries.write(leaf.table, leaf.index, leaf.lo, leaf.hi & 0x7fff_ffff);
    kernel.entries.write(root, 511, top.lo, top.hi | 0x8000_0000);
    expect(findWritableExecutable(kernel.entries.memory, [roots[0]!], 4)).toEqual([]);
  });
});

test("changing a frame of the image through the direct map changes the image's own view", () => {
  const kernel = makeKernel([0]);
  kernel.boot.runTo("setup-arch");
  const address = kernel.image.stext + kernel.layout.imageOffset;
  const direct = kernel.layout.pageOffset + kernel.layout.imagePhysical;
  kernel.setMemory.change({ start: direct + 0x3000n, pages: 1 }, { writable: false, executable: false }, true);
  // Writability follows, execution does not.
  expect(kernel.tables.lookup(0, address + 0x3000n)).toMatchObject({ writable: false, executable: true });
  expect(kernel.tables.lookup(0, address + 0x2000n)).toMatchObject({ writable: true, executable: true });
});

test("only leaves that continue one another, and lie in the range as a whole, are joined", () => {
  const kernel = makeKernel([0]);
  const at = kernel.layout.vmemmapStart;
  const frame = kernel.frame(0);
  // 512 small leaves over neighbouring frames, then 512 of which two are exchanged, then 512 that begin at an odd
  // frame.
  kernel.tables.edit((editor) => {
    for (let page = 0; page < 1536; page++) {
      const within = page < 512 ? page : page < 1024 ? (page === 700 ? 701 : page === 701 ? 700 : page) : page + 1;
      editor.map(at + BigInt(page) * 4096n, { ...KERNEL_DATA, level: 1, frame: frame + within });
    }
  });
  const before = kernel.snapshot();
  expect(kernel.setMemory.join({ start: at, pages: 511 })).toEqual({ joined: 0, freed: 0 });
  expect(kernel.setMemory.join({ start: at + 0x1000n, pages: 1535 })).toEqual({ joined: 0, freed: 0 });
  expect(kernel.snapshot()).toBe(before);
  expect(kernel.setMemory.join({ start: at, pages: 1536 })).toEqual({ joined: 1, freed: 1 });
  for (const page of [0, 511, 700, 701, 1024, 1535]) {
    expect(says(kernel, kernel.view.roots[0]!.root, at + BigInt(page) * 4096n).frame).toBe(
      frame + (page === 700 ? 701 : page === 701 ? 700 : page >= 1024 ? page + 1 : page),
    );
  }
});

describe.each([[[0]], [[0, 1]], [[1, 3]]])("under KPTI, holders %j", (holders) => {
  test("a table that user halves name as well is left by both halves of every pair before it is given back", () => {
    const kernel = mapped(holders, true);
    const { entries, allocator, view } = kernel;
    const page = { start: WINDOW + 0x3000n, pages: 1 };
    kernel.setMemory.readOnly(page);
    kernel.setMemory.readWrite(page);
    const index = Number((WINDOW >> 21n) & 511n);
    const pmdOf = (root: number): number => [511, 511].reduce((table, slot) => entries.low(table, slot) >>> 12, root);
    // User halves reach the kernel's table by tables of their own down to the PMD page, as they do the entry text.
    for (const { root } of view.roots) {
      const [pud, pmd] = [0, 0].map(() =>
        allocator.allocate(holders[0]!, 0, { purpose: "page-table", zero: true }),
      ) as [number, number];
      entries.write(root + 1, 511, (pud << 12) | 0x67, 0);
      entries.write(pud, 511, (pmd << 12) | 0x67, 0);
      entries.write(pmd, index, entries.low(pmdOf(root), index), entries.high(pmdOf(root), index));
    }
    const shared = view.roots.map(({ root }) => entries.low(pmdOf(root), index) >>> 12);
    expect(kernel.setMemory.join({ start: WINDOW, pages: 512 })).toEqual({
      joined: 2 * new Set(shared).size,
      freed: new Set(shared).size,
    });
    for (const table of shared) expect(allocator.owns(table, 0)).toBe(false);
    for (const { root } of view.roots) {
      const [kernels, users] = [root, root + 1].map((half) => [
        entries.low(pmdOf(half), index),
        entries.high(pmdOf(half), index),
      ]);
      expect(kernels![0]! & 0x80).toBe(0x80);
      expect(users).toEqual(kernels);
    }
  });
});

test("in the last 512 GiB no 1 GiB leaf takes the place of a table, which others may name", () => {
  const kernel = makeKernel([0]);
  const at = 0xffff_ff80_4000_0000n;
  kernel.tables.edit((editor) => {
    for (let each = 0; each < 512; each++)
      editor.map(at + BigInt(each) * 0x20_0000n, { ...KERNEL_DATA, level: 2, frame: each * 512 });
  });
  expect(kernel.setMemory.join({ start: at, pages: 512 * 512 })).toEqual({ joined: 0, freed: 0 });
});

test("memory type keeps its PAT bit through splitting and joining, whose place differs between leaf sizes", () => {
  const kernel = makeKernel([0]);
  const at = kernel.layout.vmemmapStart;
  kernel.tables.edit((editor) => editor.map(at, { ...KERNEL_DATA, level: 3, frame: 0 }));
  const root = kernel.view.roots[0]!.root;
  kernel.setMemory.change({ start: at, pages: 262_144 }, { cache: "wt" }, false);
  for (const page of [0, 5, 600, 262_143])
    expect(says(kernel, root, at + BigInt(page) * 4096n)).toMatchObject({ cache: "wt", frame: page });
  kernel.setMemory.change({ start: at + 0x5000n, pages: 1 }, { writable: false }, false);
  for (const page of [0, 5, 600, 262_143])
    expect(says(kernel, root, at + BigInt(page) * 4096n)).toMatchObject({ cache: "wt", frame: page });
  kernel.setMemory.change({ start: at + 0x5000n, pages: 1 }, { writable: true }, false);
  expect(kernel.setMemory.join({ start: at, pages: 262_144 }).joined).toBe(2);
  for (const page of [0, 5, 600, 262_143])
    expect(says(kernel, root, at + BigInt(page) * 4096n)).toMatchObject({ cache: "wt", frame: page });
});

test("when the image's own view cannot be split, the direct map's stays as it was too", () => {
  for (let nth = 1; nth < 10; nth++) {
    const kernel = makeKernel([0]);
    kernel.boot.runTo("mm-core-init");
    const before = kernel.snapshot();
    const direct = kernel.layout.pageOffset + kernel.layout.imagePhysical + 0x3000n;
    kernel.allocator.refuse(nth);
    let code: string | undefined;
    try {
      kernel.setMemory.readOnly({ start: direct, pages: 1 });
    } catch (error) {
      code = (error as SetMemoryError).code;
    }
    kernel.allocator.refuse(0);
    if (code === undefined) {
      // One table page for each of the two views.
      expect(nth).toBe(3);
      return;
    }
    expect(code).toBe("out-of-frames");
    expect(kernel.snapshot()).toBe(before);
  }
  throw new Error("was refused forever");
});

test("translations are gone when a call returns", () => {
  const kernel = mapped([0, 1]);
  kernel.cpus.bringUp(0);
  const before = kernel.tables.flushes;
  kernel.setMemory.readOnly({ start: WINDOW, pages: 1 });
  expect(kernel.tables.flushes).toBeGreaterThan(before);
});
