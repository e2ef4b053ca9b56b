/**
 * KASLR moves the image to any node's memory, as in two of three boots of the port: places are drawn over all of
 * memory, nodes aside. Source: arch/x86/boot/compressed/kaslr.c; the port of the series to 6.1 run under QEMU.
 */
import { imageRuns, smallImage, smallMachine } from "@kreplica/kernel";
import { tiny2Node } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { boot, prepare } from "../../src/boot.js";

const text = { kaslr: { text: true } } as const;
const seeds = Array.from({ length: 24 }, (_, seed) => seed);
const place = (options: Parameters<typeof prepare>[0]) => {
  const {
    layout,
    options: { master },
  } = prepare(options);
  return { physical: layout.imagePhysical, offset: layout.imageOffset, master };
};

test.each(["single-copy", "rfc-v1", "per-node"])(
  "%s: seeds reach every node, the same place by the same seed and under each policy",
  (policy) => {
    const spec = smallMachine(3);
    const image = smallImage("patch-06");
    const drawn = seeds.map((seed) => place({ spec, policy, image, ...text, seed }));
    expect(new Set(drawn.map(({ master }) => master))).toEqual(new Set([0, 1, 2]));
    expect(new Set(drawn.map(({ physical }) => physical)).size).toBeGreaterThan(15);
    expect(seeds.map((seed) => place({ spec, policy: "per-node", image, ...text, seed }))).toEqual(drawn);
  },
);

test("--master-node keeps it on that node; without KASLR it is where it was", () => {
  const spec = smallMachine(3);
  const image = smallImage();
  for (const seed of seeds)
    expect(place({ spec, policy: "per-node", image, ...text, seed, masterNode: 1 }).master).toBe(1);
  expect(
    new Set(seeds.map((seed) => place({ spec, policy: "per-node", image, ...text, seed, masterNode: 1 }).physical))
      .size,
  ).toBeGreaterThan(5);
  for (const seed of seeds)
    expect(place({ spec, policy: "per-node", image, seed })).toEqual({ physical: 0x100_0000n, offset: 0n, master: 0 });
});

describe("what follows the image", () => {
  const seed = seeds.find((each) => place({ spec: tiny2Node, policy: "rfc-v1", ...text, seed: each }).master === 1)!;
  test("rfc-v1 boots on node 0 all the same, and copies to node 0", () => {
    const kernel = boot({ spec: tiny2Node, policy: "rfc-v1", ...text, seed });
    expect([kernel.view.master, kernel.machine.nodeOfCpu(kernel.options.bootCpu)]).toEqual([1, 0]);
    expect(kernel.allocator.usedFrames(0, "text")).toBeGreaterThan(0);
    expect(kernel.allocator.usedFrames(1, "text")).toBe(0);
  });
  test("the corrected series keeps every invariant and its closed form", () => {
    const kernel = boot({ spec: tiny2Node, policy: "per-node", pti: true, ...text, seed });
    expect(kernel.checkInvariants().violated).toEqual([]);
    const { extraBytes, closedForm } = kernel.memory();
    expect(extraBytes).toBe(closedForm);
    expect(kernel.timeline[0]!.did).toContain(`image at 0x${kernel.layout.imagePhysical.toString(16)} on node 1`);
  });
});

test("memory that comes later, the first 16 MiB and a recording's windows are left out", () => {
  const ranges = [
    { node: 0, first: 0, frames: 0x4_0000 },
    { node: 2, first: 0x4_0000, frames: 0x4_0000 },
  ];
  expect(imageRuns(ranges, [0, 2], [{ first: 0x1_0000, frames: 0x1_0000 }])).toEqual([
    { start: 0x100_0000n, end: 0x1000_0000n },
    { start: 0x2000_0000n, end: 0x4000_0000n },
    { start: 0x4000_0000n, end: 0x8000_0000n },
  ]);
  expect(imageRuns(ranges, [2], [])).toEqual([{ start: 0x4000_0000n, end: 0x8000_0000n }]);
  for (const seed of seeds)
    expect(
      place({
        spec: smallMachine(2),
        policy: "per-node",
        image: smallImage("patch-06"),
        ...text,
        seed,
        offlineMemory: [1],
      }).master,
    ).toBe(0);
});
