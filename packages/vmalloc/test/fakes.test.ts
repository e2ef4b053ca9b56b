/** The fake allocator keeps the contract of the port it stands for. */
import { pageAllocatorContract, StubMemory } from "@kreplica/mm-core/testing";
import { test } from "vitest";
import { FakeAllocator } from "../src/testing.js";

const ranges = [
  { node: 0, first: 0x1000, frames: 1024 },
  { node: 3, first: 0x4000, frames: 1024 },
];

test("the fake allocator keeps that of PageAllocator", () => {
  pageAllocatorContract(() => {
    const memory = new StubMemory(ranges);
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
