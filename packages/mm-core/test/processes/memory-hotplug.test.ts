/** Memory plugged in: mapped for all before anybody gets a frame of it, or, refused, as if nobody had asked. */
import { isPresent } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import { directAddress, MemoryHotplug } from "../../src/api.js";
import { testKernel } from "../../src/testing.js";

const nodes = [
  { id: 0, memoryMiB: 64, cpus: 1 },
  { id: 1, memoryMiB: 64, cpus: 1 },
];

function booted(pti: boolean) {
  const kernel = testKernel({ nodes, pti, offlineMemory: [1] });
  kernel.boot.run();
  return { ...kernel, hotplug: kernel.assembly.get(MemoryHotplug), range: kernel.machine.memory.ranges[1]! };
}

describe.each([false, true])("KPTI %s", (pti) => {
  test("frames go to everybody only when every root and every process has the direct map over them", () => {
    const { hotplug, allocator, spaces, tables, layout, range, entries, ...kernel } = booted(pti);
    const space = spaces.create(0)!;
    expect(tables.lookup(0, directAddress(layout, range.first))).toBeUndefined();
    expect(allocator.freeFrames(1)).toBe(0);
    // A slot that only init_mm's roots have got so far is not the process's.
    const slot = Number((directAddress(layout, range.first) >> 39n) & 511n);
    entries.write(space.pgd(0), slot, 0, 0);
    const donate = allocator.donate.bind(allocator);
    let donations = 0;
    allocator.donate = (first, frames) => {
      donations++;
      for (const frame of [first, first + frames - 1])
        expect(
          tables.lookup(0, directAddress(layout, frame)),
          "memory is given away before it is mapped",
        ).toBeDefined();
      expect(isPresent(entries.low(space.pgd(0), slot)), "memory is given away before every process has it").toBe(true);
      donate(first, frames);
    };
    expect(hotplug.online(1)).toBe(true);
    expect(donations).toBe(1);
    expect(allocator.freeFrames(1)).toBe(range.frames);
    expect(() => hotplug.online(1)).toThrow("in use already");
    void kernel;
  });

  test("refused at every n: no frame is kept, nothing is mapped, and it can be asked again", () => {
    for (let nth = 1; ; nth++) {
      const { hotplug, allocator, tables, layout, range, machine } = booted(pti);
      const used = (): number[] => machine.nodes.map((node) => allocator.freeFrames(node));
      const before = used();
      allocator.refuse(nth);
      const done = hotplug.online(1);
      allocator.refuse(0);
      if (done) {
        expect(nth).toBeGreaterThan(1);
        break;
      }
      expect(used(), `the ${nth}. allocation refused: frames are kept`).toEqual(before);
      for (const frame of [range.first, range.first + range.frames - 1])
        expect(tables.lookup(0, directAddress(layout, frame))).toBeUndefined();
      expect(hotplug.online(1)).toBe(true);
    }
  });
});
