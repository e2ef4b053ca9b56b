/** The series' own way with areas laid over ours: equal where nothing fails, and caught where it is wrong. */
import { describe, expect, test } from "vitest";
import { checkAreas, Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { fakeKernel, fakeLayout, type FakeKernel } from "@kreplica/vmalloc/testing";
import { AREA_DEFECTS, defectOf, layOver, type SeriesDefect } from "../src/index.js";

const modules = { low: fakeLayout.modulesStart, high: fakeLayout.modulesEnd };
const boot = (
  holders: readonly number[],
  defects: readonly SeriesDefect[] = AREA_DEFECTS,
): FakeKernel & { vm: Vmalloc } => {
  const kernel = fakeKernel({ holders, plugins: layOver([vmalloc], defects) });
  return { ...kernel, vm: kernel.assembly.get(Vmalloc) };
};
const ids = (kernel: FakeKernel & { vm: Vmalloc }): string[] => [
  ...new Set(checkAreas({ ...kernel, vmalloc: kernel.vm }).map(({ id }) => id)),
];
const request = {
  bytes: 8 * 4096,
  placement: { node: 0 },
  purpose: "module" as const,
  ...modules,
  resetPermissions: true,
};

describe("areas as posted", () => {
  test("with memory enough, ends in the same mappings and bytes, for twice the stores, with holes on the way", () => {
    const [ours, theirs] = [boot([0, 1, 2], []), boot([0, 1, 2])].map((kernel) => {
      const area = kernel.vm.allocate(request);
      kernel.vm.write(
        area,
        0,
        Uint8Array.from({ length: 8 * 4096 }, (_, i) => i & 255),
      );
      const [stores, flushes, requests] = [
        kernel.tables.stores.total,
        kernel.tables.flushes,
        kernel.allocator.requests,
      ];
      kernel.tables.holes.length = 0;
      expect(kernel.vm.replicate(area)).toBe("replicated");
      expect(ids(kernel)).toEqual([]);
      return {
        stores: kernel.tables.stores.total - stores,
        flushes: kernel.tables.flushes - flushes,
        requests: kernel.allocator.requests - requests,
        holes: kernel.tables.holes.length,
      };
    });
    expect(ours).toEqual({ stores: 16, flushes: 1, requests: 2, holes: 0 });
    expect(theirs).toEqual({ stores: 32, flushes: 1, requests: 16, holes: 16 });
  });

  test("D6: memory that gives out on the second node leaves the first with freed frames mapped; E2 says so", () => {
    const kernel = boot([0, 1, 2], [defectOf("D6")!]);
    const area = kernel.vm.allocate(request);
    kernel.allocator.refuse(8 + 3, true);
    expect(kernel.vm.replicate(area)).toBe("no-memory");
    kernel.allocator.refuse(0);
    expect(ids(kernel)).toContain("E2");
    expect(kernel.tables.tooEarly.length).toBeGreaterThan(0);
    expect(kernel.allocator.isFree(kernel.vm.toFrameOn(1, area.start))).toBe(true);
  });

  test("D7: a replica below the base copy keeps an alias no flush has covered when its frame is given back", () => {
    const kernel = boot([0, 1], [defectOf("D7")!]);
    const area = kernel.vm.allocate({ ...request, placement: { node: 1 } });
    kernel.vm.replicate(area);
    kernel.tables.edit((editor) => editor.protect(area.start, area.pages, { writable: false, executable: true }, true));
    kernel.vm.free(area);
    expect(
      kernel.tables.tooEarly.map(
        ({ address }) => address >= fakeLayout.pageOffset && address < fakeLayout.vmallocStart,
      ),
    ).toContain(true);
  });

  test("N3: the counter that only grows; E6 says so", () => {
    const kernel = boot([0, 1], [defectOf("N3")!]);
    for (let round = 1; round <= 3; round++) {
      const area = kernel.vm.allocate(request);
      kernel.vm.replicate(area);
      expect(ids(kernel)).toEqual(round === 1 ? [] : ["E6"]);
      kernel.vm.free(area);
      expect(kernel.vm.counters.used).toBe(8 * round);
    }
    expect(ids(kernel)).toEqual(["E6"]);
  });
});
