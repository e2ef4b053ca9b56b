/** The fakes keep the contracts of the ports they stand for. */
import { physMemoryContract } from "@kreplica/hw-x86/testing";
import { pageAllocatorContract } from "@kreplica/mm-core/testing";
import { test } from "vitest";
import { FakeAllocator, FakeMemory } from "../src/testing.js";

const ranges = [
  { node: 0, first: 0x1000, frames: 1024 },
  { node: 3, first: 0x4000, frames: 1024 },
];

test("fake memory keeps that of PhysMemory", () => {
  physMemoryContract(() => new FakeMemory(ranges), undefined, { runs: 30 });
});

test("the fake allocator keeps that of PageAllocator", () => {
  pageAllocatorContract(() => {
    const memory = new FakeMemory(ranges);
    const spare = { first: 0x4100, frames: 128 };
    return {
      allocator: new FakeAllocator(memory, spare),
      memory,
      nodes: [0, 3],
      distance: (from, to) => (from === to ? 10 : 20),
      spare,
    };
  });
});
