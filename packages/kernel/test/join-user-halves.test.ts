/**
 * Small leaves of the entry text, which user mode maps under KPTI, become one again: user halves had the same table and
 * must let go of it before it is given back. Class of Linux "x86/mm/pat: restore large ROX pages after fragmentation".
 */
import { Efi, efi } from "@kreplica/efi";
import type { Frame } from "@kreplica/hw-x86";
import { KERNEL_DATA, tableAt, userImageRange, walk } from "@kreplica/mm-core";
import { SetMemory, setMemory } from "@kreplica/set-memory";
import { describe, expect, test } from "vitest";
import { boot, type Booted } from "../src/boot.js";
import { smallImage, smallMachine } from "../src/small-kernel.js";

const violated = (kernel: Booted): string[] =>
  kernel.checkInvariants().violated.map(({ id, detail }) => `${id}: ${detail}`);

describe.each(["single-copy", "per-node", "text-only", "lazy-pgd"])("%s", (policy) => {
  test.each([
    [4, true],
    [4, false],
    [5, true],
  ] as const)("%i levels, pcid=%s", (levels, pcid) => {
    let entry = 0n;
    // Somebody flips one page before pti_finalize: the leaf splits, and user halves get the table.
    const kernel = boot({
      spec: smallMachine(2),
      policy,
      image: smallImage(),
      levels,
      pti: true,
      pcid,
      plugins: [setMemory],
      before: (parts) =>
        parts.boot.during("initcalls", () => {
          entry = userImageRange(parts.layout, parts.image, pcid).start;
          const set = parts.assembly.get(SetMemory);
          set.readOnly({ start: entry + 4096n, pages: 1 });
          set.readWrite({ start: entry + 4096n, pages: 1 });
          return "";
        }),
    });
    const { entries, view, allocator } = kernel;
    const roots = view.roots.flatMap(({ root }) => [root, root + 1]);
    const tables = (): (Frame | undefined)[] => roots.map((root) => tableAt(entries.memory, root, levels, entry, 1));
    const before = tables();
    expect(before.every((table) => table !== undefined && allocator.purposeOf(table) === "page-table")).toBe(true);
    expect(before[0]).toBe(before[1]);
    const set = kernel.assembly.get(SetMemory);
    const { joined, freed } = set.join({ start: entry, pages: 512 });
    expect(freed).toBe(new Set(before).size);
    expect(joined).toBe(2 * freed);
    expect(tables()).toEqual(roots.map(() => undefined));
    for (const table of before) expect(allocator.purposeOf(table!)).toBe("free");
    // The user's leaf is the kernel's, right by right.
    roots.forEach((root, nth) => {
      const [mine, kernels] = [root, roots[nth & ~1]!].map((each) => walk(entries.memory, each, levels, entry)) as [
        ReturnType<typeof walk>,
        ReturnType<typeof walk>,
      ];
      expect([mine.level, mine.lo, mine.hi]).toEqual([2, kernels.lo, kernels.hi]);
    });
    expect(violated(kernel)).toEqual([]);
  });
});

test("what user mode does not map stays the kernel's affair", () => {
  const kernel = boot({
    spec: smallMachine(2),
    policy: "per-node",
    image: smallImage(),
    pti: true,
    plugins: [setMemory],
  });
  const { layout, view, entries, allocator } = kernel;
  const set = kernel.assembly.get(SetMemory);
  const frame = allocator.allocate(0, 9, { purpose: "module" });
  const at = layout.modulesStart + 0x200_0000n;
  kernel.tables.edit((editor) => editor.map(at, { ...KERNEL_DATA, level: 2, frame }));
  set.readOnly({ start: at, pages: 1 });
  set.readWrite({ start: at, pages: 1 });
  expect(set.join({ start: at, pages: 512 })).toEqual({ joined: 2, freed: 2 });
  for (const { root } of view.roots) expect(walk(entries.memory, root + 1, layout.levels, at).present).toBe(false);
  expect(violated(kernel)).toEqual([]);
});

test("no 1 GiB leaf replaces a table that EFI's tables name too", () => {
  const kernel = boot({ spec: smallMachine(2), policy: "per-node", image: smallImage(), plugins: [setMemory, efi] });
  const set = kernel.assembly.get(SetMemory);
  // The second gigabyte from the bottom of the last 512 GiB, filled with 2 MiB leaves that continue one another.
  const at = 0xffff_ff80_4000_0000n;
  kernel.tables.edit((editor) => {
    for (let each = 0; each < 512; each++)
      editor.map(at + BigInt(each) * 0x20_0000n, { ...KERNEL_DATA, level: 2, frame: each * 512 });
  });
  kernel.assembly.get(Efi).refresh();
  expect(set.join({ start: at, pages: 512 * 512 })).toEqual({ joined: 0, freed: 0 });
  expect(violated(kernel)).toEqual([]);
});
