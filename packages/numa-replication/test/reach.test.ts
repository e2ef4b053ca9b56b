/**
 * B11: a table that was given back and still is reachable speaks at once, from whichever root; so does one that
 * somebody else has by now.
 */
import { entryHigh, entryLow } from "@kreplica/hw-x86/api";
import { type CheckedKernel, checkInvariants } from "@kreplica/invariants";
import { TABLE_BITS, tableAt } from "@kreplica/mm-core/api";
import { testKernel, type TestKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import { PER_NODE, replicationBy } from "../src/index.js";

const TEXT = 0xffff_ffff_8100_0000n;

function boot(options: TestKernelOptions = {}): TestKernel {
  const kernel = testKernel({ pti: true, ...options, view: replicationBy(PER_NODE) });
  kernel.boot.run();
  return kernel;
}
const found = (kernel: TestKernel, more: Partial<CheckedKernel> = {}): string[] =>
  checkInvariants({ ...kernel, reached: "running", ...more }, ["B11"]).violated.map(({ detail }) => detail);

/** A page of an allocation of its own, hung under the PMD entry of an address. */
function hang(kernel: TestKernel, root: number, address: bigint): number {
  const table = kernel.allocator.allocate(0, 0, { purpose: "page-table", zero: true });
  const pmd = tableAt(kernel.entries.memory, root, kernel.layout.levels, address, 2)!;
  kernel.entries.write(pmd, Number((address >> 21n) & 511n), entryLow(table, TABLE_BITS), entryHigh(table, false));
  return table;
}

describe.each([
  [4, true],
  [5, true],
  [4, false],
] as const)("%i levels, pti=%s", (levels, pti) => {
  test("a table of a kernel root, of the boot table and, under KPTI, of a user half", () => {
    const kernel = boot({ levels, pti });
    expect(found(kernel)).toEqual([]);
    const roots = [
      kernel.view.kernelRoot(1),
      kernel.view.roots[0]!.root,
      ...(pti ? [kernel.view.kernelRoot(1) + 1] : []),
    ];
    for (const root of roots) {
      const table = hang(kernel, root, TEXT);
      expect(found(kernel)).toEqual([]);
      kernel.allocator.free(table, 0);
      expect(found(kernel)).toEqual([
        expect.stringMatching(new RegExp(`leads to frame ${table} as a table of level 1, which is free`)),
      ]);
      // Its next life: no table either.
      expect(kernel.allocator.claim(table, "user")).toBe(true);
      expect(found(kernel)).toEqual([expect.stringMatching(/which is handed out as user/)]);
      kernel.allocator.free(table, 0);
      expect(kernel.allocator.claim(table, "page-table")).toBe(true);
      expect(found(kernel)).toEqual([]);
    }
  });

  test("a PGD of a live process, a table below it, and a PGD that a CPU is left on", () => {
    const kernel = boot({ levels, pti });
    const space = kernel.spaces.create(0)!;
    space.set(
      0x1000n,
      { frame: 5, level: 1, present: true, writable: true, executable: false, global: false, user: true, cache: "wb" },
      0,
    );
    kernel.switcher.switchTo(0, space);
    expect(found(kernel)).toEqual([]);
    const leaves = tableAt(kernel.entries.memory, space.pgd(1), levels, 0x1000n, 1)!;
    kernel.allocator.free(leaves, 0);
    expect(found(kernel)).toEqual([
      expect.stringMatching(
        /^space \d+ on node 0, slot 0(\/0)+, leads to frame \d+ as a table of level 1, which is free/,
      ),
    ]);
    kernel.allocator.claim(leaves, "page-table");
    const cr3 = kernel.machine.cpu(0).cr3;
    space.free();
    kernel.machine.cpu(0).writeCr3(cr3);
    expect(found(kernel)).toEqual([
      expect.stringMatching(/^CR3 of CPU 0 leads to frame \d+ as a table of level [45], which is free/),
    ]);
  });

  test("roots of the firmware and of patching", () => {
    const kernel = boot({ levels, pti });
    const root = kernel.allocator.allocate(0, 0, { purpose: "page-table", zero: true });
    for (const more of [
      { otherRoots: [{ name: "EFI's root", root }] },
      { pokingRoots: [{ name: "the poking root", root }] },
    ]) {
      expect(found(kernel, more)).toEqual([]);
      kernel.allocator.free(root, 0);
      expect(found(kernel)).toEqual([]);
      expect(found(kernel, more)).toEqual([expect.stringMatching(/^(EFI's|the poking) root leads to frame \d+/)]);
      kernel.allocator.claim(root, "page-table");
    }
  });
});

test("a pointer to where no memory is", () => {
  const kernel = boot();
  const pmd = tableAt(kernel.entries.memory, kernel.view.kernelRoot(0), 4, TEXT, 2)!;
  kernel.entries.write(pmd, Number((TEXT >> 21n) & 511n), entryLow(0xf_0000, TABLE_BITS), 0);
  expect(found(kernel)).toEqual([expect.stringMatching(/leads to frame 983040 as a table, where no memory is/)]);
});
