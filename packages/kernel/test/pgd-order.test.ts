/**
 * A PGD is two pages, both cleared, in a kernel built with KPTI, whether it was booted with it or without; a single
 * copy's too. Source: PGD_ALLOCATION_ORDER under CONFIG_PAGE_TABLE_ISOLATION (6.1, 6.5), which Debian's kernels have;
 * the port of the series run with pti=off: 8 KiB a process and node.
 */
import { describe, expect, test } from "vitest";
import { boot } from "../src/boot.js";
import { smallImage, smallMachine } from "../src/small-kernel.js";

describe.each([false, true])("KPTI %j", (pti) => {
  test.each([
    ["single-copy", 1],
    ["rfc-v1", 3],
    ["per-node", 3],
  ] as const)("%s: a process has %i pairs, and no word of theirs is left over", (policy, holders) => {
    const kernel = boot({ spec: smallMachine(3), image: smallImage("patch-06"), policy, pti });
    const {
      allocator,
      machine: { memory },
      spaces,
      layout,
    } = kernel;
    const free = (): number => [0, 1, 2].reduce((sum, node) => sum + allocator.freeFrames(node), 0);
    const dirty = [0, 1, 2].map((node) => allocator.allocate(node, 1, { purpose: "kernel" }));
    for (const frame of dirty) {
      for (const page of [frame, frame + 1])
        for (let word = 0; word < 1024; word++) memory.write32(page, word, 0xdead_beef);
      allocator.free(frame, 1);
    }
    const before = free();
    const space = spaces.create()!;
    expect(before - free()).toBe(2 * holders);
    const pgds = space.pgdNodes.map((node) => space.pgd(node));
    // They were given what lay there before.
    expect(pgds.every((pgd) => dirty.includes(pgd))).toBe(true);
    for (const pgd of pgds) {
      expect(pgd % 2).toBe(0);
      for (let word = 0; word < 1024; word++) {
        if (word < 2 * layout.kernelBoundary) expect(memory.read32(pgd, word)).toBe(0);
        if (word < 2 * layout.kernelBoundary || !pti) expect(memory.read32(pgd + 1, word)).toBe(0);
      }
    }
    space.free();
    expect(free()).toBe(before);
  });

  test("a holder's root is a pair too", () => {
    const { view, machine, memory } = boot({
      spec: smallMachine(3),
      image: smallImage("patch-06"),
      policy: "per-node",
      pti,
    });
    for (const node of view.holders) {
      expect(view.kernelRoot(node) % 2).toBe(0);
      expect(machine.memory.nodeOf(view.kernelRoot(node) + 1)).toBe(node);
    }
    const { extraBytes, closedForm } = memory();
    expect(extraBytes).toBe(closedForm);
  });
});
