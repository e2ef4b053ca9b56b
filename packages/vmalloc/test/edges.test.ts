/** Where areas begin and end, what a refusal says, and what is tried before one: at the first and last page of each. */
import { overlay, plugin } from "@kreplica/di";
import { type Frame, NONE } from "@kreplica/hw-x86/api";
import { InvariantError, KERNEL_DATA } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import { AddressSpace } from "../src/address-space.js";
import { allocateBlocks, freeBlocks } from "../src/blocks.js";
import {
  checkPageCounts,
  type KasanShadow,
  PageAccount,
  ShadowMemory,
  Vmalloc,
  vmalloc,
  VmallocError,
  VmallocLimits,
  vmallocWith,
  type VmArea,
} from "../src/index.js";
import { RangeTree } from "../src/range-tree.js";
import { runsOf } from "../src/reset-aliases.js";
import { fakeKernel, fakeLayout, type FakeKernel, type FakeKernelOptions } from "../src/testing.js";

const PAGE = 4096n;
const modules = { low: fakeLayout.modulesStart, high: fakeLayout.modulesEnd };
const place = { placement: { node: 0 }, purpose: "module", ...modules } as const;

function boot(options: Partial<FakeKernelOptions> = {}): FakeKernel & { readonly vm: Vmalloc } {
  const kernel = fakeKernel({ holders: [0, 1], plugins: [vmalloc], ...options });
  return { ...kernel, vm: kernel.assembly.get(Vmalloc) };
}
const refusalOf = (act: () => unknown): VmallocError => {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(VmallocError);
    return error as VmallocError;
  }
  throw new Error("nothing was refused");
};

describe("a refusal names its address and what is lacking", () => {
  test("a request that is none", () => {
    const { vm } = boot();
    for (const bytes of [0, -1, Number.NaN, Infinity]) {
      const { code, address, message, name } = refusalOf(() => vm.allocate({ ...place, bytes }));
      expect({ code, address, name }).toEqual({ code: "bad-request", address: 0n, name: "VmallocError" });
      expect(message).toBe(`bad-request: 0x0: ${bytes} bytes are no area; ask for at least one`);
    }
    const at = modules.low + 1n;
    expect(refusalOf(() => vm.allocate({ ...place, bytes: 0, at })).address).toBe(at);
    expect(refusalOf(() => vm.allocate({ ...place, bytes: 1, at })).message).toContain("begins on a page");
    expect(refusalOf(() => vm.map({ frames: [], purpose: "data", at })).message).toContain("no frames to map");
    expect(refusalOf(() => vm.map({ frames: [], purpose: "data" })).address).toBe(0n);
    expect(vm.areas()).toEqual([]);
  });

  test("no gap, one that is taken, no frames, no tables", () => {
    const { vm, allocator } = boot();
    const high = modules.low + 3n * PAGE;
    const none = refusalOf(() => vm.allocate({ ...place, high, bytes: 3 * 4096 }));
    expect(none.message).toBe(
      `no-space: 0x${modules.low.toString(16)}: no gap of 16384 bytes below 0x${high.toString(16)}`,
    );
    const taken = vm.allocate({ ...place, bytes: 4096 });
    const again = refusalOf(() => vm.allocate({ ...place, bytes: 4096, at: taken.start, noGuard: true }));
    expect([again.code, again.address]).toEqual(["taken", taken.start]);
    expect(again.message).toContain("4096 bytes from there are not free");
    const nth = (refused: number): VmallocError => {
      allocator.refuse(refused, true);
      const refusal = refusalOf(() => vm.allocate({ ...place, bytes: 2 * 4096, at: modules.low + 0x20_0000n }));
      allocator.refuse(0);
      return refusal;
    };
    expect(nth(1).message).toMatch(/^out-of-frames: 0xffffffffc0200000: no frames for 2 pages/);
    expect(nth(2).message).toMatch(/^out-of-tables: 0xffffffffc0200000: no table pages for 2 pages/);
  });

  test("what may not be replicated, and an area of nobody's", () => {
    const { vm } = boot();
    const elsewhere = vm.allocate({ bytes: 4096, placement: { node: 0 }, purpose: "kernel" });
    expect(refusalOf(() => vm.replicate(elsewhere)).message).toContain("all nodes share the tables there");
    const area = vm.allocate({ ...place, bytes: 4096 });
    vm.replicate(area);
    expect(refusalOf(() => vm.replicate(area)).message).toContain("every holder has its copy");
    const foreign = boot().vm.allocate({ ...place, bytes: 4096 });
    for (const act of [() => vm.free(foreign), () => vm.replicate(foreign)]) {
      const { code, address } = refusalOf(act);
      expect([code, address]).toEqual(["no-area", foreign.start]);
    }
    vm.free(area);
    expect(refusalOf(() => vm.free(area)).message).toContain("freed already, or not from here");
    expect(refusalOf(() => vm.replicate(area)).message).toContain("only a live area can be replicated");
    const unowned = vm.map({ frames: [0x1000], purpose: "data", ...modules });
    expect(refusalOf(() => vm.replicate(unowned)).message).toContain("mapped frames stay their owner's");
  });
});

describe("what waits for a flush is flushed for before a request is refused", () => {
  test("addresses that were asked for by name", () => {
    const { vm } = boot();
    const area = vm.allocate({ ...place, bytes: 4096 });
    vm.free(area);
    expect(vm.counters.lazyPages).toBe(2);
    expect(vm.allocate({ ...place, bytes: 4096, at: area.start }).start).toBe(area.start);
    expect(vm.counters.lazyPages).toBe(0);
  });

  test("frames", () => {
    const { vm, allocator } = boot({ holders: [0], framesPerNode: 16 });
    const most = { bytes: 12 * 4096, placement: { node: 0 }, purpose: "module" } as const;
    vm.free(vm.allocate(most));
    expect(allocator.usedFrames(0, "module")).toBe(12);
    expect(vm.allocate(most).pages).toBe(12);
    expect(vm.counters.lazyPages).toBe(0);
  });

  test("nothing is flushed where nothing waits", () => {
    const { vm, tables, allocator } = boot();
    const { flushes } = tables;
    allocator.refuse(1, true);
    expect(refusalOf(() => vm.allocate({ ...place, bytes: 4096 })).code).toBe("out-of-frames");
    vm.purge();
    expect(tables.flushes).toBe(flushes);
  });
});

describe("where an area lies", () => {
  test("on the alignment that was asked for, from the first address of its range to the last", () => {
    const { vm } = boot();
    const first = vm.allocate({ ...place, bytes: 4096 });
    const aligned = vm.allocate({ ...place, bytes: 4096, align: 0x10_0000n });
    expect([first.start, aligned.start]).toEqual([modules.low, modules.low + 0x10_0000n]);
    const last = { ...place, bytes: 4096, noGuard: true, low: modules.high - PAGE };
    expect(vm.allocate(last).start).toBe(modules.high - PAGE);
    expect(refusalOf(() => vm.allocate(last)).code).toBe("no-space");
    const outer = { bytes: 4096, noGuard: true, placement: { node: 0 }, purpose: "kernel" } as const;
    expect(vm.allocate(outer).start).toBe(fakeLayout.vmallocStart);
    const end = fakeLayout.vmallocEnd + 1n;
    expect(vm.allocate({ ...outer, low: end - PAGE }).start).toBe(end - PAGE);
    expect(refusalOf(() => vm.allocate({ ...outer, at: end })).code).toBe("taken");
  });

  test("large leaves on 2 MiB of themselves; at a given address only where that is on 2 MiB", () => {
    const { vm } = boot();
    vm.allocate({ ...place, bytes: 4096 });
    const large = { ...place, bytes: 0x20_0000, huge: true };
    const area = vm.allocate(large);
    expect([area.start, area.level]).toEqual([modules.low + 0x20_0000n, 2]);
    expect(vm.allocate({ ...large, at: modules.low + 0x100_1000n }).level).toBe(1);
    expect(vm.allocate({ ...large, bytes: 0x20_0000 + 4096 }).level).toBe(1);
    expect(vm.allocate({ ...large, huge: false }).level).toBe(1);
  });

  test("its base copy is the nearest holder's to where its pages were wanted", () => {
    const { vm, allocator } = boot({ holders: [0, 2], nodes: [0, 1, 2, 3] });
    const on = (node: number): VmArea => vm.allocate({ ...place, bytes: 4096, placement: { node } });
    expect([0, 2, 3].map((node) => on(node).node)).toEqual([0, 2, 2]);
    expect(vm.allocate({ ...place, bytes: 8192, placement: { interleave: [3, 0] } }).node).toBe(2);
    const frame = allocator.allocate(3, 0, { purpose: "data" });
    expect(vm.map({ frames: [frame], purpose: "data" }).node).toBe(2);
    // A device's: of no node.
    expect(vm.map({ frames: [0x900_0000], purpose: "data" }).node).toBe(0);
  });

  test("interleaved pages take turns on the nodes, 2 MiB at a time where leaves are large", () => {
    const { vm, memory } = boot();
    const area = vm.allocate({ ...place, bytes: 0x60_0000, huge: true, placement: { interleave: [1, 0] } });
    expect(area.level).toBe(2);
    expect([0, 511, 512, 1023, 1024].map((page) => memory.nodeOf(area.frames[page]!))).toEqual([1, 1, 0, 0, 1]);
  });
});

describe("how an area is mapped", () => {
  test("to be written, not to be run, and in every address space, unless something else is asked for", () => {
    const { vm, tables } = boot();
    const seen = (area: VmArea) => {
      const { frame, level, ...protection } = tables.lookup(1, area.start)!;
      expect([frame, level]).toEqual([area.frames[0], 1]);
      return protection;
    };
    expect(seen(vm.allocate({ ...place, bytes: 4096 }))).toEqual(KERNEL_DATA);
    expect(seen(vm.map({ frames: [0x1000], purpose: "data", ...modules }))).toEqual(KERNEL_DATA);
    const asked = { writable: false, executable: true, cache: "uc" } as const;
    expect(seen(vm.allocate({ ...place, bytes: 4096, protection: asked }))).toEqual({ ...KERNEL_DATA, ...asked });
  });
});

describe("bytes of an area", () => {
  test("from its first to its last, over page borders, and none beside it", () => {
    const { vm } = boot();
    const area = vm.allocate({ ...place, bytes: 3 * 4096 });
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => 1 + (i % 250));
    vm.write(area, 4000, bytes);
    vm.write(area, 3 * 4096 - 1, Uint8Array.of(77));
    vm.write(area, 3 * 4096, new Uint8Array(0));
    const seen = new Uint8Array(3 * 4096);
    vm.read(1, area, 0, seen);
    const expected = new Uint8Array(3 * 4096);
    expected.set(bytes, 4000);
    expected[3 * 4096 - 1] = 77;
    expect(Buffer.compare(seen, expected)).toBe(0);
    const part = new Uint8Array(4100);
    vm.read(0, area, 4090, part);
    expect(Buffer.compare(part, expected.subarray(4090, 8190))).toBe(0);
    for (const [offset, length] of [
      [-1, 1],
      [3 * 4096, 1],
      [4096, 2 * 4096 + 1],
    ] as const) {
      const left = `${length} bytes at ${offset} leave the area of 3 pages`;
      expect(() => vm.write(area, offset, new Uint8Array(length))).toThrow(left);
      expect(() => vm.read(0, area, offset, new Uint8Array(length))).toThrow(left);
    }
    vm.replicate(area);
    expect(() => vm.write(area, 0, bytes)).toThrow("would reach one copy of many; patch the text instead");
  });

  test("a hole is said to be one", () => {
    const { vm, tables } = boot();
    const area = vm.allocate({ ...place, bytes: 2 * 4096 });
    tables.edit((editor) => editor.unmap(area.start + PAGE, 1));
    expect(() => vm.read(1, area, 0, new Uint8Array(8192))).toThrow(
      `node 1 has a hole at page 1 of 0x${area.start.toString(16)}`,
    );
  });

  test("the frame behind an address is that of its page, within leaves of every size", () => {
    const { vm, tables } = boot();
    const [large, huge] = [modules.low + 0x40_0000n, fakeLayout.vmemmapStart];
    tables.edit((editor) => {
      editor.map(large, { ...KERNEL_DATA, level: 2, frame: 0x1_0200 });
      editor.map(huge, { ...KERNEL_DATA, level: 3, frame: 0x4_0000 });
    });
    expect(vm.toFrame(large + 0x1f_f123n)).toBe(0x1_0200 + 511);
    expect(vm.toFrameOn(1, large + 0x1000n)).toBe(0x1_0201);
    expect(vm.toFrame(huge + 0x3fff_f000n)).toBe(0x4_0000 + 0x3_ffff);
    expect(vm.toFrame(huge + 0x20_0000n)).toBe(0x4_0200);
    expect(vm.toFrame(large - PAGE)).toBe(NONE);
  });
});

describe("what is counted", () => {
  test("pages by the node that owns them, copies too; none of a mapped area", () => {
    const { vm, memory } = boot({ holders: [0, 1], nodes: [0, 1, 2] });
    const area = vm.allocate({ ...place, bytes: 3 * 4096 });
    vm.allocate({ bytes: 4096, placement: { node: 2 }, purpose: "kernel" });
    vm.map({ frames: [...area.frames], purpose: "data" });
    vm.replicate(area);
    expect([0, 1, 2, 3].map((node) => vm.counters.pages(node))).toEqual([3, 3, 1, 0]);
    expect([vm.counters.used, vm.counters.areas]).toEqual([7, 3]);
    expect(checkPageCounts({ vmalloc: vm, memory })).toEqual([]);
    vm.free(area);
    expect([vm.counters.used, vm.counters.areas]).toEqual([1, 2]);
  });

  test("copies as such, and the base copy as the base, when they come and when they go", () => {
    const told: string[] = [];
    const tell = (what: string, frames: readonly Frame[], copy: string): void =>
      void told.push(`${what} ${frames.length} ${copy}`);
    const counting = overlay(PageAccount, (own) => ({
      add: (...given) => {
        tell("add", ...given);
        own.add(...given);
      },
      remove: (...given) => {
        tell("remove", ...given);
        own.remove(...given);
      },
      pages: (node) => own.pages(node),
    }));
    const { vm } = boot({ plugins: [vmalloc, plugin("counting", [counting])] });
    const of = (request: Parameters<Vmalloc["allocate"]>[0]): string[] => {
      told.length = 0;
      const area = vm.allocate(request);
      vm.replicate(area);
      vm.free(area);
      return [...told];
    };
    expect(of({ ...place, bytes: 3 * 4096 })).toEqual([
      "add 3 base",
      "add 3 replica",
      "remove 3 base",
      "remove 3 replica",
    ]);
    // Pages that lie elsewhere: the base holder's copy takes their place.
    expect(of({ ...place, bytes: 2 * 4096, placement: { interleave: [0, 1] } })).toEqual([
      ...["add 2 base", "remove 2 base", "add 2 base", "add 2 replica"],
      ...["remove 2 base", "remove 2 replica"],
    ]);
  });

  test("more pages than there were cannot go", () => {
    const account = boot().assembly.get(PageAccount);
    account.add([0x1000], "base");
    account.remove([0x1000], "base");
    expect(() => account.remove([0x1000], "base")).toThrow("node 0 gave back more pages than its areas had");
  });

  test("freed lazily are 32 MiB for each bit of the number of CPUs", () => {
    const limit = (cpus?: number): number =>
      boot({ plugins: [vmallocWith(cpus === undefined ? {} : { cpus })] }).assembly.get(VmallocLimits).lazyPages / 8192;
    expect([1, 2, 3, 4, 64, undefined].map(limit)).toEqual([1, 2, 2, 3, 7, 3]);
    expect(boot({ plugins: [vmallocWith({ lazyPages: 5 })] }).assembly.get(VmallocLimits).lazyPages).toBe(5);
  });

  test("several areas that reset their permissions go with one flush, and so do all that wait", () => {
    const { vm, tables } = boot();
    const [waits, ...areas] = [false, false, true].map((resetPermissions) =>
      vm.allocate({ ...place, bytes: 4096, resetPermissions }),
    );
    vm.free(waits!);
    expect(vm.counters.lazyPages).toBe(2);
    const { flushes } = tables;
    vm.freeAll(areas);
    expect([tables.flushes - flushes, vm.counters.lazyPages]).toEqual([1, 0]);
  });
});

describe("blocks", () => {
  const gfp = { purpose: "module" } as const;

  test("are as few as fit, none larger than 4 MiB", () => {
    const { allocator } = boot();
    const got = allocateBlocks(allocator, 0, 1024 + 512 + 64 + 3, gfp, 0)!;
    expect(got.blocks.map(({ order }) => order)).toEqual([10, 9, 6, 1, 0]);
    expect(got.frames).toEqual(
      got.blocks.flatMap(({ frame, order }) => Array.from({ length: 2 ** order }, (_, nth) => frame + nth)),
    );
    expect(allocateBlocks(allocator, 0, 2048, gfp, 0)!.blocks.map(({ order }) => order)).toEqual([10, 10]);
    freeBlocks(allocator, got.blocks);
    for (const frame of got.frames) expect(allocator.isFree(frame)).toBe(true);
  });

  test("get smaller where memory is in pieces, down to the smallest that will do, or nothing is kept", () => {
    const { allocator } = boot({ holders: [0] });
    const refused: number[] = [];
    const { allocate } = allocator;
    allocator.allocate = function (node, order, how) {
      if (order > 2) refused.push(order);
      return order > 2 ? NONE : allocate.call(this, node, order, how);
    };
    const got = allocateBlocks(allocator, 0, 9, gfp, 0)!;
    expect([got.blocks.map(({ order }) => order), refused]).toEqual([[2, 2, 0], [3]]);
    refused.length = 0;
    const before = allocator.used;
    expect(allocateBlocks(allocator, 0, 1024, gfp, 9)).toBeUndefined();
    expect([allocator.used - before, refused]).toEqual([0, [10, 9]]);
  });
});

describe("ranges", () => {
  test("an empty one, one that meets another, and what is free already are refused by name", () => {
    const tree = new RangeTree<string>();
    tree.insert({ start: 0x2000n, end: 0x4000n }, "one");
    for (const [start, end] of [
      [0x1000n, 0x2001n],
      [0x3000n, 0x3000n],
      [0x3fffn, 0x5000n],
      [0x9000n, 0x8000n],
    ] as const) {
      expect(() => tree.insert({ start, end }, "other")).toThrow(InvariantError);
      expect(() => tree.insert({ start, end }, "other")).toThrow("is empty or overlaps 0x2000");
      expect(() => tree.insert({ start, end }, "other")).toThrow(
        `range 0x${start.toString(16)}..0x${end.toString(16)}`,
      );
    }
    expect([tree.size, tree.longest, tree.height]).toEqual([1, 0x2000n, 1]);
    expect(tree.remove(0x3000n)).toBeUndefined();
    expect(tree.remove(0x2000n)).toEqual({ start: 0x2000n, end: 0x4000n, value: "one" });
    expect([tree.size, tree.longest, tree.height]).toEqual([0, 0n, 0]);
    expect(tree.floor(0x9000n)).toBeUndefined();
  });

  test("addresses of no region, and some that nobody has, cannot be given back", () => {
    const space = new AddressSpace([
      { start: 0n, end: 0x4000n },
      { start: 0x4000n, end: 0x8000n },
    ]);
    expect(() => {
      space.release({ start: 0x3000n, end: 0x5000n });
    }).toThrow("0x3000..0x5000 lies in no region");
    expect(() => {
      space.release({ start: 0x1000n, end: 0x2000n });
    }).toThrow("overlaps");
    expect(space.takeAt({ start: 0x3000n, end: 0x5000n })).toBe(false);
    expect(space.takeAt({ start: 0n, end: 0x4000n })).toBe(true);
    expect(space.gapCount).toBe(1);
    space.release({ start: 0n, end: 0x4000n });
    expect(space.gapCount).toBe(2);
  });

  test("frames in runs, whatever their order, each once", () => {
    const frames: Frame[] = [9, 3, 4, 20, 4, 10, 5];
    expect(runsOf(frames)).toEqual([
      { first: 3, frames: 3 },
      { first: 9, frames: 2 },
      { first: 20, frames: 1 },
    ]);
  });
});

describe("KASAN's shadow", () => {
  function shadowed(): FakeKernel & { readonly shadow: KasanShadow } {
    const kernel = boot({ plugins: [vmallocWith({ shadow: "kasan" })] });
    return { ...kernel, shadow: kernel.assembly.get(ShadowMemory) as KasanShadow };
  }

  test("is one page for every 32 KiB that a range meets, to its last byte and not beyond", () => {
    const { shadow } = shadowed();
    for (const [start, pages, expected] of [
      [modules.low, 8, 1],
      [modules.low, 9, 2],
      [modules.low + 7n * PAGE, 2, 2],
      [modules.low + 8n * PAGE, 1, 1],
    ] as const) {
      expect(shadow.cover({ start, pages }, 0)).toBe(true);
      expect(shadow.pages, `${pages} pages at ${start.toString(16)}`).toBe(expected);
      shadow.uncover({ start, pages });
      expect(shadow.pages).toBe(0);
    }
  });

  test("can be written, cannot be run, and lies on the node that was asked for", () => {
    const { shadow, tables, memory } = shadowed();
    expect(shadow.cover({ start: modules.low, pages: 1 }, 1)).toBe(true);
    const at = ((modules.low >> 3n) + 0xdfff_fc00_0000_0000n) & ~0xfffn;
    expect(tables.lookup(0, at)).toMatchObject({ level: 1, ...KERNEL_DATA, frame: tables.lookup(1, at)!.frame });
    expect(memory.nodeOf(tables.lookup(0, at)!.frame)).toBe(1);
  });

  test("that others use costs nobody a flush; what goes with several last users costs one", () => {
    const { shadow, tables } = shadowed();
    const flushed = (act: () => unknown): number => {
      const before = tables.flushes;
      act();
      return tables.flushes - before;
    };
    const [two, one] = [
      { start: modules.low, pages: 16 },
      { start: modules.low + 15n * PAGE, pages: 1 },
    ];
    expect(flushed(() => [shadow.cover(two, 0), shadow.cover(one, 0)])).toBe(0);
    expect([flushed(() => shadow.uncover(one)), shadow.pages]).toEqual([0, 2]);
    expect([flushed(() => shadow.uncover(two)), shadow.pages]).toEqual([1, 0]);
  });

  test("is whole or not at all: refused at any page, those before it go back, but for what others use", () => {
    for (let nth = 1; nth <= 6; nth++) {
      const { shadow, allocator } = shadowed();
      expect(shadow.cover({ start: modules.low, pages: 1 }, 0)).toBe(true);
      const used = allocator.usedFrames(0, "kernel");
      allocator.refuse(nth, true);
      const whole = shadow.cover({ start: modules.low, pages: 24 }, 0);
      allocator.refuse(0);
      expect(whole).toBe(nth > 2);
      expect([shadow.pages, allocator.usedFrames(0, "kernel") - used]).toEqual(whole ? [3, 2] : [1, 0]);
    }
  });
});
