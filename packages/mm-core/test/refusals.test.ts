/**
 * What a broken promise and a refusal say: which CPU, frame, space or node they are about, and the first thing to do.
 */
import { assemble } from "@kreplica/di";
import { hwX86 } from "@kreplica/hw-x86";
import { Machine } from "@kreplica/hw-x86/api";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { describe, expect, test } from "vitest";
import { BuildContext, InvariantError, kernelLayout, MmError, PageCache } from "../src/api.js";
import { reach } from "../src/boot/early-map.js";
import { BuddyZone, kernelImage, Memblock, NodePageAllocator } from "../src/index.js";
import { stubMachine, testKernel, tinyImage } from "../src/testing.js";

const TEXT = 0xffff_ffff_8100_0000n;

/** The words of whoever refuses an act, behind the kind of its error; undefined where it is not refused. */
function said(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof InvariantError || error instanceof MmError) return `${error.name}: ${error.message}`;
    throw error;
  }
  return undefined;
}

test("memory: an order, a node and a frame that there are not, and what comes too late or too early", () => {
  const machine = stubMachine([{ id: 0, memoryMiB: 8, cpus: 1 }]);
  const early = new Memblock(machine);
  const allocator = new NodePageAllocator(machine, early);
  const data = { purpose: "data" } as const;
  const taken = early.allocate(0, 4, 1, "data");
  early.release(taken + 1, 2, "data");
  for (const [first, twice] of [
    [taken + 2, taken + 2],
    [taken, taken + 1],
  ] as const)
    expect(said(() => early.release(first, 2, "data"))).toBe(`InvariantError: frame ${twice} was given back twice`);
  expect(said(() => allocator.donate(taken, 1))).toBe(
    "InvariantError: memory was given back before the buddy lists are up",
  );
  allocator.start();
  expect([
    said(() => early.allocate(0, 1, 1, "data")),
    said(() => early.release(taken, 1, "data")),
    said(() => early.handOver()),
  ]).toEqual([
    "InvariantError: memblock was asked for memory after the buddy lists took over",
    "InvariantError: memblock was given memory back after the buddy lists took over",
    "InvariantError: memblock was handed over twice",
  ]);
  expect(said(() => allocator.allocate(0, 11, data))).toBe("InvariantError: order 11 is not in 0..10");
  expect(said(() => allocator.allocate(7, 0, data))).toBe("InvariantError: node 7 does not exist");
  const frame = allocator.allocate(0, 1, data);
  for (const act of [() => allocator.free(frame, 0), () => allocator.split(frame, 0)])
    expect(said(act)).toBe(`InvariantError: frame ${frame}, order 0, is not an allocation`);
  for (const act of [() => allocator.free(frame + 1, 1), () => allocator.split(frame + 1, 1)])
    expect(said(act)).toBe(`InvariantError: frame ${frame + 1}, order 1, is not an allocation`);
  const zone = new BuddyZone();
  zone.add(8, 1);
  expect(said(() => zone.give(8, 0))).toBe("InvariantError: frame 8 is in a free list twice");
});

describe("spaces, their pages and their CPUs", () => {
  const world = () => {
    const machine = assemble([hwX86(tinyMachine({ nodes: 2, coresPerNode: 1, bytesPerNode: 64 << 20 }))]).get(Machine);
    const kernel = testKernel({ machine });
    kernel.boot.run();
    return kernel;
  };
  test("a user's frame that nobody has, a large one that two have, a page of a file that is there or behind its end", () => {
    const { userFrames, assembly } = world();
    expect(said(() => userFrames.share(5))).toBe("InvariantError: user frame 5 is shared and not in use");
    expect(said(() => userFrames.drop(5))).toBe("InvariantError: user frame 5 is dropped and not in use");
    const [small, large] = [userFrames.allocate(0, 0), userFrames.allocate(0, 9)];
    userFrames.share(large);
    for (const frame of [small, large])
      expect(said(() => userFrames.split(frame))).toBe(
        `InvariantError: frame ${frame} is not a 2 MiB page of one owner`,
      );
    userFrames.drop(large);
    expect(said(() => userFrames.split(large))).toBeUndefined();
    expect([userFrames.count(large), userFrames.count(large + 511), userFrames.count(large + 512)]).toEqual([1, 1, 0]);
    const cache = assembly.get(PageCache);
    const file = cache.create(2);
    cache.insert(file, 1, small);
    for (const index of [1, 2])
      expect(said(() => cache.insert(file, index, small))).toBe(
        `InvariantError: page ${index} of file ${file.id} is there, or behind its end`,
      );
  });

  test("a space that was freed, or is held by nobody, and what is no large leaf", () => {
    const { spaces, userFrames } = world();
    const space = spaces.create()!;
    const at = 0x4000_0000n;
    const page = { frame: userFrames.allocate(0, 0), level: 1, present: true, user: true, cache: "wb" } as const;
    expect(space.set(at, { ...page, writable: true, executable: false, global: false }, 0)).toBe(true);
    for (const address of [at, at + 0x1000n, 0x1_0000_0000n])
      expect(said(() => space.splitLarge(address, 0, () => undefined))).toBe(
        `InvariantError: 0x${address.toString(16)} is not a 2 MiB leaf`,
      );
    expect(said(() => space.release())).toBe(`InvariantError: space ${space.id} is released and nobody holds it`);
    space.free();
    expect([said(() => space.free()), said(() => space.pgd(0)), said(() => space.hold())]).toEqual([
      `InvariantError: space ${space.id} was freed twice`,
      `InvariantError: space ${space.id} is used after it was freed`,
      `InvariantError: space ${space.id} is held after it was freed`,
    ]);
  });

  test("a CPU below temporary tables, by what it wanted, and one that is not", () => {
    const { switcher, spaces, view } = world();
    const space = spaces.create()!;
    const tables = { name: "the firmware", root: () => view.kernelRoot(0) };
    expect(said(() => switcher.leaveTemporary(1))).toBe("InvariantError: CPU 1 is not on temporary tables");
    switcher.enterTemporary(1, tables);
    expect([
      said(() => switcher.switchTo(1, space)),
      said(() => switcher.leave(1)),
      said(() => switcher.enterUser(1)),
      said(() => switcher.enterTemporary(1, { ...tables, name: "a poke" })),
    ]).toEqual(
      ["switch to a space", "leave its space", "run user mode", "load those of a poke"].map(
        (what) => `InvariantError: CPU 1 is on the tables of the firmware and cannot ${what}`,
      ),
    );
  });
});

describe("a boot that cannot be", () => {
  test("without memory for the image, a CPU's area or a table", () => {
    expect(said(() => testKernel({ nodes: [{ id: 0, memoryMiB: 16, cpus: 1 }] }).boot.run())).toBe(
      "MmError: no-room-for-image: 0x1000000: node 0 has no memory there; choose a master node with at least 12.1875 MiB behind it",
    );
    expect(said(() => testKernel({ nodes: [{ id: 0, memoryMiB: 64, cpus: 40 }] }).boot.run())).toBe(
      "MmError: out-of-frames: 0x0: no 10240 frames for the per-CPU areas of node 0",
    );
    const kernel = testKernel({});
    kernel.boot.runTo("load-image");
    kernel.allocator.refuse(1);
    expect(said(() => kernel.boot.run())).toBe(
      "MmError: out-of-frames: 0x0: no page for a table on node 0 while booting",
    );
    for (const step of ["trap-init", "smp-init", "free-initmem"] as const) {
      const protecting = testKernel({ pti: true });
      protecting.boot.runTo(step);
      protecting.allocator.refuse(1, true);
      const words = said(() => protecting.boot.run());
      expect(words, step).toBe(
        step === "trap-init"
          ? "MmError: out-of-frames: 0x0: no page for a table on node 0 while booting"
          : "MmError: out-of-frames: 0x0: a table page could not be had while protecting the image",
      );
    }
  });

  test("with a leaf where a table has to be, by its level", () => {
    const { assembly, boot, view, layout } = testKernel({ nodes: [{ id: 0, memoryMiB: 2048, cpus: 1 }] });
    boot.runTo("setup-arch");
    const asked = (address: bigint, level: number) =>
      said(() => reach(assembly.get(BuildContext), view.kernelRoot(0), address, level, () => 0));
    const [small, large] = [layout.pageOffset + 0x20_0000n, layout.pageOffset + 0x4000_0000n];
    expect(asked(small, 1)).toBe(`InvariantError: 0x${small.toString(16)} is covered by a leaf of level 2`);
    for (const level of [1, 2])
      expect(asked(large, level)).toBe(`InvariantError: 0x${large.toString(16)} is covered by a leaf of level 3`);
    expect([asked(small, 2), asked(large, 3), asked(large, 4)]).toEqual([undefined, undefined, undefined]);
  });

  test("of an image that lacks a symbol, by its name", () => {
    const plain = tinyImage();
    const without = (name: string) => ({
      ...plain,
      symbol: (each: string) => (each === name ? undefined : plain.symbol(each)),
    });
    for (const name of ["init_top_pgt", "level3_kernel_pgt", "level1_fixmap_pgt", "idt_table", "__brk_base"])
      expect(
        said(() => testKernel({ image: without(name) }).boot.run()),
        name,
      ).toBe(`MmError: bad-image: 0x0: tiny has no symbol ${name}, in which the first page tables lie`);
    const bounds = ["_etext", "__start_rodata", "__end_rodata", "__init_begin", "__init_end"];
    const symbols = new Map(
      ["_stext", ...bounds, "__bss_start", "__brk_base", "_end"].map((name, nth) => [
        name,
        TEXT + BigInt(nth) * 0x20_0000n,
      ]),
    );
    for (const name of symbols.keys()) {
      const less = new Map([...symbols].filter(([each]) => each !== name));
      expect(said(() => kernelImage({ name: "made", alignment: "recorded", sections: [], symbols: less }))).toBe(
        `MmError: bad-image: 0x0: made has no symbol ${name}, which bounds a part of the image; use the System.map of the same build`,
      );
    }
    const odd = new Map([...symbols, ["_stext", TEXT - 0x1000n]] as const);
    expect(said(() => kernelImage({ name: "made", alignment: "recorded", sections: [], symbols: odd }))).toBe(
      `MmError: bad-image: 0x${(TEXT - 0x1000n).toString(16)}: made: text and rodata must start on 2 MiB, and _stext, _etext, __start_rodata, __end_rodata, __init_begin, __init_end, __bss_start, __brk_base, _end must ascend`,
    );
  });

  test("of a layout, by what to choose instead", () => {
    const plain = { levels: 4, pti: false, imagePhysical: 0x100_0000n, imageBytes: 0x283_0000n } as const;
    const layout = (more: object) =>
      said(() => kernelLayout({ ...plain, memoryEnd: 1n << 36n, seed: 1, ...more }))?.replace(
        "MmError: bad-layout: ",
        "",
      );
    expect(layout({ memoryEnd: (1n << 46n) + 1n })).toBe(
      "0x400000000001: memory does not fit the direct map: choose 5 levels, or lower addresses",
    );
    expect(layout({ levels: 5, memoryEnd: (1n << 52n) + 1n })).toBe(
      "0x10000000000001: memory does not fit the direct map: choose lower addresses",
    );
    expect(layout({ imagePhysical: 0x110_0000n })).toBe("0x1100000: the image must start on 2 MiB of physical memory");
    const most = 0x4000_0000n - 0x100_0000n;
    expect(layout({ kaslrText: true, imageBytes: most })).toBeUndefined();
    expect(layout({ kaslrText: true, imageBytes: most + 1n })).toBe(
      "0x3f000001: the image is larger than the 1 GiB it may be moved in; switch KASLR for text off",
    );
    expect(layout({ kasan: true })).toBeUndefined();
    expect(layout({ kasan: true, kaslrMemory: true })).toBe(
      "0x0: KASAN's shadow is at an address the compiler knows, so that memory regions cannot be moved; switch KASLR for memory off",
    );
  });
});
