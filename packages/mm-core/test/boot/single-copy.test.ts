/** The view of a kernel without the series: one of everything, where the boot put it. */
import { expect, test } from "vitest";
import { ReplicaView } from "../../src/api.js";
import { testKernel } from "../../src/testing.js";

test.each([0n, 0x60_0000n])("one root and one copy for all nodes, wherever the image was moved: by %i", (offset) => {
  const { assembly, boot, cpus, image, layout, machine } = testKernel({
    master: 1,
    layout: { kaslrText: offset !== 0n, seed: 2, physicalRuns: [] },
  });
  boot.run();
  const view = assembly.get(ReplicaView);
  expect([view.name, view.master, view.holders, view.copies]).toEqual([
    "single-copy",
    1,
    [1],
    { text: false, rodata: false },
  ]);
  expect([0, 1, 5].map((node) => view.nearest(node))).toEqual([1, 1, 1]);
  expect(view.roots).toEqual([{ node: 1, root: view.kernelRoot(0), kind: "boot" }]);
  expect(layout.imageOffset !== 0n).toBe(offset !== 0n);
  const first = layout.imagePhysical / 4096n;
  const at = (linked: bigint, node = 0) => view.replicaFrame(linked + layout.imageOffset, node);
  expect([at(image.stext), at(image.stext + 0x5123n, 1), at(image.end - 1n)]).toEqual([
    Number(first),
    Number(first) + 5,
    Number(first + (image.end - 1n - image.stext) / 4096n),
  ]);
  expect([at(image.stext - 1n), at(image.end)]).toEqual([undefined, undefined]);
  expect([view.isPrivate(image.stext), view.addressInReplica(image.stext, 0)]).toEqual([false, undefined]);
  const cpu = machine.cpu([...cpus.online].at(-1)!);
  cpu.writeCr3(0n);
  view.setupCpu([...cpus.online].at(-1)!);
  expect(cpu.rootFrame).toBe(view.kernelRoot(0));
});
