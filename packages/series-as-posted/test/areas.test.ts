/** The series' own way with areas laid over ours: equal where nothing fails, and caught where it is wrong. */
import { bindValue, plugin } from "@kreplica/di";
import { PhysMemory } from "@kreplica/hw-x86/api";
import { fixedHolders, stubMachine, testKernel } from "@kreplica/mm-core/testing";
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

/** On mm-core's own tables: what D6 does to one holder's entries no port of the tables can do. */
const onTables = (defects: readonly SeriesDefect[] = AREA_DEFECTS) => {
  const machine = stubMachine([0, 1, 2].map((id) => ({ id, memoryMiB: 32, cpus: 1 })));
  const kernel = testKernel({
    machine,
    view: fixedHolders(0, 1, 2),
    plugins: [plugin("memory", [bindValue(PhysMemory, machine.memory)]), ...layOver([vmalloc], defects)],
  });
  const vm = kernel.assembly.get(Vmalloc);
  const subject = { ...kernel, vmalloc: vm, memory: machine.memory };
  return { ...kernel, vm, broken: (): string[] => [...new Set(checkAreas(subject).map(({ id }) => id))] };
};

describe("areas as posted", () => {
  test("with memory enough, ends in the same mappings and bytes, for twice the stores, with holes on the way", () => {
    const [ours, theirs] = [onTables([]), onTables()].map((kernel) => {
      const { vm, tables, allocator, entries, view } = kernel;
      const area = vm.allocate(request);
      vm.write(
        area,
        0,
        Uint8Array.from({ length: 8 * 4096 }, (_, i) => i & 255),
      );
      const [stores, flushes, requests] = [tables.stores.total, tables.flushes, allocator.requests];
      kernel.cpus.bringUp(0);
      let holes = 0;
      entries.observe((table, index) => {
        if (entries.low(table, index) === 0) holes++;
      });
      expect(vm.replicate(area)).toBe("replicated");
      entries.observe(undefined);
      expect(kernel.broken()).toEqual([]);
      expect(tables.unflushed).toEqual([]);
      const bytes = new Uint8Array(8 * 4096);
      for (const node of view.holders) {
        vm.read(node, area, 0, bytes);
        expect(bytes.every((byte, i) => byte === (i & 255))).toBe(true);
        expect(kernel.machine.memory.nodeOf(vm.toFrameOn(node, area.start))).toBe(node);
      }
      return {
        stores: tables.stores.total - stores,
        flushes: tables.flushes - flushes,
        requests: allocator.requests - requests,
        holes,
        leaves: view.holders.map((node) => {
          const { frame: _own, ...leaf } = tables.lookup(node, area.start)!;
          return leaf;
        }),
      };
    });
    const { leaves } = ours!;
    expect(ours).toEqual({ stores: 16, flushes: 1, requests: 2, holes: 0, leaves });
    expect(theirs).toEqual({ stores: 32, flushes: 1, requests: 16, holes: 16, leaves });
  });

  test("D6: memory that gives out on the second node leaves the first with freed frames mapped; E2 says so", () => {
    const kernel = onTables([defectOf("D6")!]);
    const area = kernel.vm.allocate(request);
    const flushes = kernel.tables.flushes;
    kernel.cpus.bringUp(0);
    kernel.allocator.refuse(8 + 3, true);
    expect(kernel.vm.replicate(area)).toBe("no-memory");
    kernel.allocator.refuse(0);
    expect(kernel.broken()).toContain("E2");
    expect(kernel.allocator.owns(kernel.vm.toFrameOn(1, area.start), 0)).toBe(false);
    // Nobody flushed, and the kernel owes it.
    expect(kernel.tables.flushes).toBe(flushes);
    expect(kernel.tables.unflushed).toEqual([{ start: area.start, pages: 8 }]);
  });

  test("D7: a replica below the base copy keeps an alias no flush has covered when its frame is given back", () => {
    const kernel = boot([0, 1], [defectOf("D7")!]);
    const area = kernel.vm.allocate({ ...request, placement: { node: 1 } });
    kernel.vm.replicate(area);
    kernel.tables.edit((editor) => editor.protect(area, { writable: false, executable: true }, true));
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
