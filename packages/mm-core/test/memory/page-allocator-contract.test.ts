/**
 * The contract of PageAllocator on ours, and on allocators that each break one promise; that of PhysMemory on the stub.
 */
import { physMemoryContract } from "@kreplica/hw-x86/testing";
import { describe, expect, test } from "vitest";
import { type Frame, NONE } from "@kreplica/hw-x86/api";
import { Memblock, NodePageAllocator } from "../../src/index.js";
import type { PageAllocator } from "../../src/api.js";
import { type AllocatorSubject, pageAllocatorContract, stubMachine } from "../../src/testing.js";

const NODES = [
  { id: 2, memoryMiB: 8, cpus: 1 },
  { id: 0, memoryMiB: 8, cpus: 1 },
  { id: 5, memoryMiB: 0, cpus: 1 },
  { id: 7, memoryMiB: 8, cpus: 1 },
];
const DISTANCE = [
  [10, 30, 20, 20],
  [30, 10, 40, 20],
  [20, 40, 10, 50],
  [20, 20, 50, 10],
];

function ours(): AllocatorSubject & { readonly allocator: NodePageAllocator } {
  const machine = stubMachine(NODES, DISTANCE);
  const early = new Memblock(machine);
  const spare = { first: machine.memory.ranges[1]!.first + 512, frames: 256 };
  early.reserve(spare.first, spare.frames);
  return {
    allocator: new NodePageAllocator(machine, early),
    memory: machine.memory,
    nodes: machine.nodes,
    distance: (from, to) => machine.distance(from, to),
    spare,
  };
}

test("ours keeps it", () => {
  pageAllocatorContract(ours);
});
test("the stub's memory keeps that of PhysMemory", () => {
  physMemoryContract(() => ours().memory, undefined, { runs: 30 });
});

describe("is not kept by an allocator", () => {
  type Wrong = (right: PageAllocator, subject: AllocatorSubject) => Partial<PageAllocator>;
  const wrong: Record<string, [broken: string, Wrong]> = {
    "whose blocks lie anywhere": [
      "a block is aligned",
      (right) => ({
        allocate: (node, order, gfp) => {
          const frame = right.allocate(node, order === 1 ? 2 : order, gfp);
          return order === 1 && frame !== NONE ? frame + 1 : frame;
        },
      }),
    ],
    "that gives what is out": [
      "no frame is anybody else's",
      (right) => {
        let last: Frame | undefined;
        return {
          allocate: (node, order, gfp) =>
            order === 0 && last !== undefined
              ? (right.allocate(node, 0, gfp), last)
              : (last = right.allocate(node, order, gfp)),
        };
      },
    ],
    "that takes what is near for what was asked": [
      "only the node asked for",
      (right) => ({ allocate: (node, order, gfp) => right.allocate(node, order, { ...gfp, thisNode: false }) }),
    ],
    "that asks the last node first": [
      "the nearest node",
      (right, { nodes, distance }) => ({
        allocate: (node, order, gfp) =>
          right.allocate(
            gfp.thisNode ? node : [...nodes].sort((a, b) => distance(node, b) - distance(node, a))[0]!,
            order,
            gfp,
          ),
      }),
    ],
    "that clears nothing": [
      "a block is cleared",
      (right) => ({ allocate: (node, order, gfp) => right.allocate(node, order, { ...gfp, zero: false }) }),
    ],
    "that counts one frame a block": [
      "what is out is told by node",
      (right) => ({ usedFrames: (node, purpose) => Math.ceil(right.usedFrames(node, purpose) / 2) }),
    ],
    "that owns whatever is asked": ["only what was handed out is taken back", () => ({ owns: () => true })],
    "that takes back anything": [
      "only what was handed out is taken back",
      (right) => ({
        free: (frame, order) => {
          if (right.owns(frame, order)) right.free(frame, order);
        },
      }),
    ],
    "that keeps what comes back": [
      "what is out is told by node",
      (right) => ({
        free: (frame, order) => {
          if (!right.owns(frame, order)) right.free(frame, order);
        },
      }),
    ],
    "that calls all of it user pages": ["what is out is told by frame", () => ({ purposeOf: () => "user" })],
    "that divides nothing": ["what is out is told by frame", () => ({ split: () => {} })],
    "that keeps donations": ["donated frames can be had", () => ({ donate: () => {} })],
    "that withdraws nothing": ["free frames can be withdrawn", () => ({ withdraw: () => false })],
    "that withdraws what is out": [
      "free frames can be withdrawn",
      (right) => ({
        withdraw: (first, frames) => {
          right.withdraw(first, frames);
          return true;
        },
      }),
    ],
    "that claims what is out": [
      "a named free frame",
      (right) => ({
        claim: (frame, purpose) => {
          right.claim(frame, purpose);
          return true;
        },
      }),
    ],
    "that never refuses": ["the n-th request is refused", () => ({ refuse: () => {} })],
    "that refuses one and no more": [
      "the n-th request is refused",
      (right) => ({
        refuse: (nth) => {
          right.refuse(nth);
        },
      }),
    ],
    "that counts no request": ["requests are counted", () => ({ requests: 0 })],
    "that forgets at the start what memblock gave out": [
      "what is out is told by",
      (right) => {
        const early: [Frame, number][] = [];
        let up = false;
        return {
          allocate: (node, order, gfp) => {
            const frame = right.allocate(node, order, gfp);
            if (!up && frame !== NONE) early.push([frame, order]);
            return frame;
          },
          start: () => {
            right.start();
            up = true;
            for (const [frame, order] of early) if (right.owns(frame, order)) right.free(frame, order);
          },
        };
      },
    ],
  };
  test.each(Object.entries(wrong))("%s", (_what, [broken, change]) => {
    const make = (): AllocatorSubject => {
      const subject = ours();
      const changes = change(subject.allocator, subject);
      const allocator = new Proxy(subject.allocator, {
        get: (target, key) => {
          const value: unknown =
            key in changes ? changes[key as keyof PageAllocator] : Reflect.get(target, key, target);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
      return { ...subject, allocator };
    };
    expect(() => {
      pageAllocatorContract(make, { shrink: false });
    }).toThrow(broken);
  });
});
