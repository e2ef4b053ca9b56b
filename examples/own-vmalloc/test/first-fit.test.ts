/** The first-fit areas keep the contract of Vmalloc on one holder and several, and a kernel's invariants. */
import { boot, preset } from "@kreplica/bench";
import { checkAreas } from "@kreplica/vmalloc";
import { Vmalloc, VmallocError } from "@kreplica/vmalloc/api";
import { fakeKernel, fakeLayout, vmallocContract } from "@kreplica/vmalloc/testing";
import { expect, test } from "vitest";
import { firstFitVmalloc } from "../src/plugin.js";

const PAGE = 4096n;
const range = { low: fakeLayout.modulesStart, high: fakeLayout.modulesEnd };

test.each([[[0]], [[0, 1]], [[1, 3]], [[0, 1, 2, 3]]])("keeps the contract of Vmalloc on holders %j", (holders) => {
  vmallocContract(() => {
    const { assembly, allocator, view, layout, memory } = fakeKernel({ holders, plugins: [firstFitVmalloc] });
    const frames = Array.from({ length: 5 }, () => allocator.allocate(holders[0]!, 0, { purpose: "data" }));
    return { vm: assembly.get(Vmalloc), allocator, view, layout, nodeOf: (frame) => memory.nodeOf(frame), frames };
  });
});

test("takes the lowest gap that fits, and a freed one at once", () => {
  const { assembly } = fakeKernel({ holders: [0, 1], plugins: [firstFitVmalloc] });
  const areas = assembly.get(Vmalloc);
  const take = (pages: number, more = {}): ReturnType<Vmalloc["allocate"]> =>
    areas.allocate({ bytes: pages * 4096, ...range, placement: { node: 0 }, purpose: "module", ...more });
  const [first, second, third] = [take(1), take(2), take(1)];
  expect([first, second, third].map(({ start }) => (start - range.low) / PAGE)).toEqual([0n, 2n, 5n]);
  areas.free(second);
  expect(take(3).start).toBe(range.low + 7n * PAGE);
  expect(take(2).start).toBe(second.start);
  expect(take(1, { align: 16n * PAGE }).start).toBe(range.low + 16n * PAGE);
  expect(() => take(1, { at: third.start })).toThrow(VmallocError);
  expect(() => take(1, { high: range.low + PAGE })).toThrow("no-space");
});

test("on a booted kernel with a copy on every node, areas and all else keep their invariants", () => {
  const kernel = boot({ spec: preset("tiny-2-node")!, policy: "per-node", plugins: [firstFitVmalloc] });
  const areas = kernel.assembly.get(Vmalloc);
  const { modulesStart: low, modulesEnd: high } = kernel.layout;
  const code = areas.allocate({ bytes: 20_000, low, high, placement: { node: 1 }, purpose: "module" });
  const shared = areas.allocate({ bytes: 4096, low, high, placement: { node: 0 }, purpose: "module" });
  areas.allocate({ bytes: 4096, placement: { node: 0 }, purpose: "kernel" });
  expect(areas.replicate(code)).toBe("replicated");
  const holds = (): void => {
    const { tables, view, layout, machine } = kernel;
    expect(checkAreas({ vmalloc: areas, tables, view, layout, memory: machine.memory })).toEqual([]);
    expect(kernel.checkInvariants().violated).toEqual([]);
  };
  holds();
  areas.freeAll([code, shared]);
  holds();
  expect(areas.counters.used).toBe(1);
});
