/**
 * Copies on demand on a kernel of whole CPUs: who has cached what when frames go, what a copy is priced, what it costs.
 */
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { imageAddress } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { boot, copyPrice, DemandCopies, farLinePrice, findPolicy, smallImage, smallMachine } from "../src/index.js";

const booted = (policy = "on-demand:1000,10", pti = false) =>
  boot({ spec: smallMachine(3), image: smallImage(), policy, pti });

describe.each([false, true])("KPTI %s", (pti) => {
  test("no CPU holds a translation to a copy's frames when they are given back", () => {
    const kernel = booted("on-demand:1000,10", pti);
    const { machine, allocator, layout, image, view } = kernel;
    const demand = kernel.assembly.get(DemandCopies);
    const address = imageAddress(layout, image.stext);
    const halves = [Number(address & 0xffff_ffffn) | 0, Number(address >> 32n) | 0] as const;
    const cpus = machine.cpuIds.filter((id) => machine.nodeOfCpu(id) === 1).map((id) => machine.cpu(id));
    const fetch = (): void => {
      for (const cpu of cpus) expect(cpu.fetch(...halves)).toBe(0);
    };
    /** Frames their caches translate text to. */
    const held = (): number[] =>
      cpus.flatMap(({ cached }) => {
        const found: number[] = [];
        cached.forEach(({ structure, page, frame }) => {
          if (!structure && page === Number((address >> 12n) & 0xffff_ffffn)) found.push(machine.memory.nodeOf(frame));
        });
        return found;
      });
    fetch();
    expect(new Set(held())).toEqual(new Set([0]));
    expect(demand.counted(1, 1000)).toBe("copied");
    expect(held()).toEqual([]);
    fetch();
    expect(new Set(held())).toEqual(new Set([1]));
    let atFree: number[] | undefined;
    const free = allocator.free.bind(allocator);
    allocator.free = (frame, order) => {
      atFree ??= held();
      free(frame, order);
    };
    expect(demand.counted(1, 10)).toBe("kept");
    expect(demand.counted(1, 9)).toBe("given back");
    expect(atFree).toEqual([]);
    fetch();
    expect(new Set(held())).toEqual(new Set([0]));
    expect(view.copyHolders).toEqual([0]);
    expect(kernel.checkInvariants().violated).toEqual([]);
  });

  test("memory: none for copies at boot, what they hold afterwards, by the walk and by the sizes", () => {
    const kernel = booted("on-demand:0", pti);
    const before = kernel.memory();
    expect(before.extraBytes).toBe(before.closedForm);
    expect(before.perNode.map(({ textBytes }) => textBytes > 0)).toEqual([true, false, false]);
    expect(kernel.assembly.get(DemandCopies).counted(2, 0)).toBe("copied");
    const after = kernel.memory();
    expect(after.extraBytes).toBe(after.closedForm);
    expect(after.extraBytes - before.extraBytes).toBe(after.perNode[2]!.textBytes);
    expect(after.perNode.map(({ textBytes }) => textBytes)).toEqual(
      [1, 0, 1].map((each) => each * before.perNode[0]!.textBytes),
    );
    expect(kernel.checkInvariants().violated).toEqual([]);
  });
});

describe("the price", () => {
  test("of a copy is that of its lines, read far and stored near, and of telling all other CPUs", () => {
    const [none, one, two] = [0, 1, 2].map((pages) => copyPrice(e52690v3, 1, 0, pages));
    const { hertz, costs, latencyNs, l1d, cpus } = e52690v3;
    const wait = (ns: number, exposure: number): number => ((ns * hertz.value) / 1e9 - l1d.cycles.value) * exposure;
    const line = wait(latencyNs[1]![0]!, costs.loadExposure.value) + wait(latencyNs[1]![1]!, costs.storeExposure.value);
    expect(none).toBeCloseTo((cpus.length - 1) * costs.ipiCycles.value, 6);
    expect(one! - none!).toBeCloseTo(64 * line, 0);
    expect(two! - one!).toBeCloseTo(one! - none!, 6);
  });

  test("of a far line is what it waits longer; none where the copy is the master's", () => {
    const { hertz, costs, latencyNs } = e52690v3;
    const more = ((latencyNs[1]![0]! - latencyNs[1]![1]!) * hertz.value * costs.fetchExposure.value) / 1e9;
    expect(farLinePrice(e52690v3, 1, 0, 1)).toBeCloseTo(more, 2);
    expect(farLinePrice(e52690v3, 1, 0, 0)).toBe(0);
  });

  test("`copy` is what the machine's copy costs", () => {
    const kernel = boot({ spec: tiny2Node, image: smallImage(), policy: "on-demand:copy" });
    const { image, assembly } = kernel;
    const pages = Math.ceil(Number(image.etext - image.stext) / 4096);
    expect(assembly.get(DemandCopies).price(1)).toBe(copyPrice(tiny2Node, 1, 0, pages));
  });
});

test("words that are no terms", () => {
  for (const terms of ["", "free", "copy,", "1,2,3", "-1", "1.5", "1000000000000000"])
    expect(findPolicy(`on-demand:${terms}`)).toHaveProperty("reason");
  for (const terms of ["copy", "0", "1000,5"]) expect(findPolicy(`on-demand:${terms}`)).not.toHaveProperty("reason");
});
