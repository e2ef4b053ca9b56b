/** The bitmap allocator keeps the contract of its port, and kernels boot with it. */
import { boot, preset } from "@kreplica/bench";
import { bindFactory } from "@kreplica/di";
import { Machine, NONE } from "@kreplica/hw-x86/api";
import { Memblock } from "@kreplica/mm-core";
import { BootMemory, PageAllocator } from "@kreplica/mm-core/api";
import { pageAllocatorContract, stubMachine, testKernel } from "@kreplica/mm-core/testing";
import { expect, test } from "vitest";
import { FrameBitmap } from "../src/bitmap.js";
import { BitmapAllocator } from "../src/bitmap-allocator.js";
import { bitmapAllocator } from "../src/plugin.js";

test("keeps the contract of PageAllocator", () => {
  pageAllocatorContract(() => {
    const machine = stubMachine([
      { id: 2, memoryMiB: 8, cpus: 1 },
      { id: 0, memoryMiB: 8, cpus: 1 },
      { id: 5, memoryMiB: 0, cpus: 1 },
    ]);
    const early = new Memblock(machine);
    const spare = { first: machine.memory.ranges[1]!.first + 512, frames: 256 };
    early.reserve(spare.first, spare.frames);
    return {
      allocator: new BitmapAllocator(machine, early),
      memory: machine.memory,
      nodes: machine.nodes,
      distance: (from, to) => machine.distance(from, to),
      spare,
    };
  });
});

test("gives the lowest block, and free neighbours are one block at once", () => {
  const bitmap = new FrameBitmap(4096 + 32, 2016);
  expect(bitmap.take(0)).toBe(NONE);
  bitmap.set(4096 + 32, 2016, true);
  expect([0, 0, 1, 5].map((order) => bitmap.take(order))).toEqual([4128, 4129, 4130, 4160]);
  bitmap.set(4129, 1, true);
  expect(bitmap.take(10)).toBe(5120);
  for (const [first, frames] of [
    [4128, 1],
    [4130, 2],
    [4160, 32],
  ] as const)
    bitmap.set(first, frames, true);
  expect(bitmap.take(5)).toBe(4128);
  expect(bitmap.free).toBe(2016 - 1024 - 32);
});

test("in the place of ours, a test kernel boots", () => {
  const mine = bindFactory(PageAllocator, (get) => new BitmapAllocator(get(Machine), get(BootMemory)));
  const kernel = testKernel({ instead: [mine] });
  kernel.boot.run();
  expect(kernel.allocator).toBeInstanceOf(BitmapAllocator);
  expect(kernel.allocator.requests).toBeGreaterThan(0);
});

test("laid over ours, a kernel with a copy on every node boots, and every invariant holds", () => {
  const kernel = boot({ spec: preset("tiny-2-node")!, policy: "per-node", plugins: [bitmapAllocator] });
  expect(kernel.allocator).toBeInstanceOf(BitmapAllocator);
  expect(kernel.checkInvariants().violated).toEqual([]);
});
