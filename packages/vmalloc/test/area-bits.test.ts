/**
 * What is asked of an area is kept request by request: shared where the tables are private, known to the leak tracker;
 * D12 takes one request for the other.
 */
import { overlay, plugin, type Plugin } from "@kreplica/di";
import { describe, expect, test } from "vitest";
import { AreaBits, type AreaRequest, checkAreas, moduleArea, Vmalloc, vmalloc, VmallocError } from "../src/index.js";
import { fakeKernel, fakeLayout, type FakeKernel } from "../src/testing.js";

const KASAN = { start: 0xffff_ec00_0000_0000n, end: 0xffff_fbff_ffff_ffffn };
/** Kernels by what KASAN they have; the last alone has a bit for deferred tracking. */
const FORMS = {
  "no KASAN": {},
  KASAN_VMALLOC: { kasan: { ...KASAN, vmalloc: true } },
  "KASAN alone": { kasan: { ...KASAN, vmalloc: false } },
} as const;
const boot = (
  form: keyof typeof FORMS,
  over: readonly Plugin[] = [],
  holders: readonly number[] = [0, 1],
): FakeKernel & { vm: Vmalloc } => {
  const kernel = fakeKernel({ holders, plugins: [vmalloc, ...over], layout: { ...fakeLayout, ...FORMS[form] } });
  return { ...kernel, vm: kernel.assembly.get(Vmalloc) };
};
const findings = (kernel: FakeKernel & { vm: Vmalloc }): string[] =>
  checkAreas({ ...kernel, vmalloc: kernel.vm }).map(({ id, detail }) => `${id}: ${detail}`);
const elsewhere: AreaRequest = { bytes: 2 * 4096, placement: { node: 0 }, purpose: "kernel" };
const window: AreaRequest = { ...elsewhere, low: fakeLayout.modulesStart, high: fakeLayout.modulesEnd };

describe.each(Object.keys(FORMS) as (keyof typeof FORMS)[])("on a kernel with %s", (form) => {
  test("each request is kept as asked, whichever are made together", () => {
    const kernel = boot(form);
    const areas = [
      kernel.vm.allocate(elsewhere),
      moduleArea(kernel.vm, elsewhere),
      kernel.vm.allocate(window),
      moduleArea(kernel.vm, window),
    ];
    expect(areas.map(({ state }) => state)).toEqual(["unshared", "unshared", "shared", "shared"]);
    expect(areas.map((area) => kernel.vm.leaks.knows(area))).toEqual([true, true, true, true]);
    expect(findings(kernel)).toEqual([]);
    for (const area of areas) kernel.vm.free(area);
    expect(areas.map((area) => kernel.vm.leaks.knows(area))).toEqual([false, false, false, false]);
  });

  test("who defers tells the leak tracker himself; only where vmalloc's areas have no shadow is there anything to wait for", () => {
    const kernel = boot(form);
    const area = kernel.vm.allocate({ ...window, deferTracking: true });
    const waits = form === "KASAN alone";
    expect(kernel.vm.leaks.knows(area)).toBe(!waits);
    expect(findings(kernel)).toEqual(waits ? [expect.stringMatching(/^E12: the leak tracker was never told/)] : []);
    kernel.vm.track(area);
    expect([kernel.vm.leaks.knows(area), findings(kernel)]).toEqual([true, []]);
  });

  test("frames that are somebody else's are no business of the leak tracker", () => {
    const kernel = boot(form);
    const frame = kernel.allocator.allocate(0, 0, { purpose: "data" });
    const area = kernel.vm.map({ frames: [frame], purpose: "data" });
    expect([kernel.vm.leaks.knows(area), findings(kernel)]).toEqual([false, []]);
  });
});

describe("D12", () => {
  const D12 = [plugin("D12", [overlay(AreaBits, (own) => ({ shared: 0x800, deferTracking: own.deferTracking }))])];

  test("an area in the window whose maker defers nothing is never told of", () => {
    const kernel = boot("KASAN alone", D12);
    const area = kernel.vm.allocate(window);
    expect(findings(kernel)).toEqual([
      `E12: the leak tracker was never told of the area at 0x${area.start.toString(16)}: what only it points to counts as lost`,
    ]);
  });

  test("an area elsewhere that defers is taken for a shared one and given up at the second root, with nothing kept", () => {
    const kernel = boot("KASAN alone", D12);
    const before = kernel.vm.allocate(elsewhere);
    kernel.vm.free(before);
    kernel.vm.purge();
    const free = [0, 1].map((node) => kernel.allocator.freeFrames(node));
    let error: unknown;
    try {
      kernel.vm.allocate({ ...elsewhere, deferTracking: true });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(VmallocError);
    expect(error).toMatchObject({ code: "taken", address: before.start });
    expect([0, 1].map((node) => kernel.allocator.freeFrames(node))).toEqual(free);
    expect([0, 1].map((node) => kernel.vm.toFrameOn(node, before.start))).toEqual([-1, -1]);
    expect(kernel.vm.areas()).toEqual([]);
    expect(kernel.vm.allocate(elsewhere).start).toBe(before.start);
    expect(findings(kernel)).toEqual([]);
  });

  test("on one node there is no second root, and it is shared where nothing is private", () => {
    const kernel = boot("KASAN alone", D12, [0]);
    const area = moduleArea(kernel.vm, elsewhere);
    expect(area.state).toBe("shared");
    expect(findings(kernel)).toEqual([`E12: 0x${area.start.toString(16)} is shared, and lies outside the window`]);
    // Who asks for copies of it on that account is told that there is nobody to copy to; nothing is stored or taken.
    const before = [kernel.tables.stores.total, kernel.allocator.freeFrames(0)];
    expect(kernel.vm.replicate(area)).toBe("single");
    expect(area.state).toBe("shared");
    expect([kernel.tables.stores.total, kernel.allocator.freeFrames(0)]).toEqual(before);
  });

  test("does not show by module_alloc, which asks for both, nor where one of the two has no bit", () => {
    const kernel = boot("KASAN alone", D12);
    expect([moduleArea(kernel.vm, window).state, kernel.vm.allocate(elsewhere).state, findings(kernel)]).toEqual([
      "shared",
      "unshared",
      [],
    ]);
    for (const form of ["no KASAN", "KASAN_VMALLOC"] as const) {
      const other = boot(form, D12);
      const states = [
        other.vm.allocate(elsewhere),
        moduleArea(other.vm, elsewhere),
        other.vm.allocate(window),
        moduleArea(other.vm, window),
      ].map(({ state }) => state);
      expect([states, findings(other)]).toEqual([["unshared", "unshared", "shared", "shared"], []]);
    }
  });
});
