/** The contract of Vmalloc on ours, with one, two and four holders, and on ones that each break a promise. */
import { overlay, plugin, type Plugin } from "@kreplica/di";
import { describe, expect, test } from "vitest";
import { Vmalloc, vmalloc, VmallocError } from "../src/index.js";
import { fakeKernel, vmallocContract, type VmallocSubject } from "../src/testing.js";

function subject(holders: readonly number[], ...plugins: readonly Plugin[]): VmallocSubject {
  const { assembly, allocator, view, layout, memory } = fakeKernel({ holders, plugins: [vmalloc, ...plugins] });
  const frames = Array.from({ length: 5 }, () => allocator.allocate(holders[0]!, 0, { purpose: "data" }));
  return { vm: assembly.get(Vmalloc), allocator, view, layout, nodeOf: (frame) => memory.nodeOf(frame), frames };
}

test.each([[[0]], [[0, 1]], [[1, 3]], [[0, 1, 2, 3]]])("ours keeps it on holders %j", (holders) => {
  vmallocContract(() => subject(holders), { runs: 40 });
});

describe("is not kept by one", () => {
  type Wrong = (right: Vmalloc) => Partial<Vmalloc>;
  const wrong: Record<string, [broken: string, Wrong]> = {
    "that gives one page too few": [
      "an area has the pages asked for",
      (right) => ({ allocate: (request) => right.allocate({ ...request, bytes: Math.max(1, request.bytes - 4096) }) }),
    ],
    "that leaves the guard page out": [
      "an area has the pages asked for",
      (right) => ({ allocate: (request) => right.allocate({ ...request, noGuard: true }) }),
    ],
    "that puts everything into vmalloc's range": [
      "an area lies where it was asked for",
      (right) => ({ allocate: ({ low: _low, high: _high, ...request }) => right.allocate(request) }),
    ],
    "that hands an area out twice": [
      "an area meets no other",
      (right) => {
        const areas = new Map<number, ReturnType<Vmalloc["allocate"]>>();
        return {
          allocate: (request) => {
            const again = areas.get(request.bytes);
            if (again && right.areas().includes(again) && again.guard === (request.noGuard !== true)) return again;
            areas.set(request.bytes, right.allocate(request));
            return areas.get(request.bytes)!;
          },
        };
      },
    ],
    "that writes nothing": ["what is written is read", () => ({ write: () => {} })],
    "that replicates in name": ["an area is replicated", () => ({ replicate: () => "replicated" })],
    "that writes one copy": [
      "a replicated area is not written",
      (right) => ({
        write: (area, offset, bytes) => {
          if (area.state !== "replicated") right.write(area, offset, bytes);
        },
      }),
    ],
    "that finds what is gone": [
      "what is freed is found no more",
      (right) => {
        const known = new Map<bigint, ReturnType<Vmalloc["find"]>>();
        return {
          find: (address) => {
            const found = right.find(address) ?? known.get(address);
            known.set(address, found);
            return found;
          },
          free: (area) => {
            known.set(area.start, area);
            right.free(area);
          },
        };
      },
    ],
    "that frees what is gone": [
      "what is freed is not freed again",
      (right) => ({
        free: (area) => {
          if (right.areas().includes(area)) right.free(area);
        },
      }),
    ],
    "that keeps what it frees lazily": ["a purge leaves nothing held back", () => ({ purge: () => {} })],
    "that gives somebody's frames back": [
      "mapped frames stay their owner's",
      (right) => ({
        map: (request) => right.allocate({ ...request, bytes: request.frames.length * 4096, placement: { node: 0 } }),
      }),
    ],
    "that refuses for no reason one knows": [
      "a request that is refused says why",
      (right) => ({
        allocate: (request) => {
          try {
            return right.allocate(request);
          } catch {
            throw new VmallocError("bad-request", request.low ?? 0n, "no");
          }
        },
      }),
    ],
  };
  test.each(Object.entries(wrong))("%s", (_what, [broken, change]) => {
    const over = plugin("wrong", [
      overlay(Vmalloc, (right) => {
        const changes = change(right);
        return new Proxy(right, {
          get: (target, key) => {
            const value: unknown = key in changes ? changes[key as keyof Vmalloc] : Reflect.get(target, key, target);
            return typeof value === "function" ? (value.bind(target) as unknown) : value;
          },
        });
      }),
    ]);
    expect(() => {
      vmallocContract(() => subject([0, 1], over), { shrink: false });
    }).toThrow(broken);
  });
});
