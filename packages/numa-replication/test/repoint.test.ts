/** A holder's leaves turn from booted frames to copies one by one: at every store each page is the one or the other. */
import { type Frame, LARGE, PAGE } from "@kreplica/hw-x86/api";
import { KERNEL_DATA, lookup, tableAt } from "@kreplica/mm-core/api";
import { fixedHolders, testKernel } from "@kreplica/mm-core/testing";
import { expect, test } from "vitest";
import { placesOf } from "../src/placement.js";
import { countPartTables, repointPart } from "../src/repoint.js";

const nodes = [0, 1].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
const START = 0xffff_ffff_c000_0000n;
const [BOOTED, COPY, PAGES] = [0x2000, 0x3000, 700];

/** 4 MiB of the window that both roots map alike, the second half by small leaves of one PTE page for both if asked. */
function mapped(small: boolean) {
  const kernel = testKernel({ nodes, view: fixedHolders(0, 1) });
  const { tables, entries, view } = kernel;
  const [boot, root] = [view.roots[0]!.root, view.kernelRoot(1)];
  const text = { ...KERNEL_DATA, writable: false, executable: true };
  tables.edit((editor) => {
    editor.map(START, { ...text, level: 2, frame: BOOTED });
    if (!small) return editor.map(START + LARGE, { ...text, level: 2, frame: BOOTED + 512 });
    for (let page = 0; page < 512; page++)
      editor.map(START + LARGE + BigInt(page) * PAGE, { ...text, level: 1, frame: BOOTED + 512 + page });
    return true;
  });
  if (small) {
    const [from, to] = [boot, root].map((each) => tableAt(entries.memory, each, 4, START, 2)!);
    entries.copy(from!, to!, 1, 2);
  }
  return { ...kernel, boot, root };
}

test.each([
  ["a large leaf the part fills in part", false],
  ["a PTE page the boot table uses too", true],
])("%s", (_, small) => {
  const { entries, boot, root, allocator } = mapped(small);
  const places = placesOf(PAGES);
  const part = { purpose: "text", start: START, pages: PAGES, original: BOOTED, places, copied: PAGES } as const;
  const frameOn = (of: Frame, page: number): Frame | undefined => {
    const found = lookup(entries.memory, of, 4, START + BigInt(page) * PAGE);
    return found && (found.level === 1 ? found.frame : found.frame + (page % 512));
  };
  const wrong = new Set<string>();
  const look = (): void => {
    for (const page of [0, 511, 512, 600, PAGES - 1, PAGES, 1023]) {
      if (frameOn(boot, page) !== BOOTED + page) wrong.add(`the boot table's page ${page}`);
      const found = frameOn(root, page);
      if (found !== BOOTED + page && (page >= PAGES || found !== COPY + page))
        wrong.add(`page ${page} leads to ${found}`);
    }
  };
  look();
  expect([...wrong]).toEqual([]);
  const wanted = countPartTables(entries, 4, root, boot, part);
  expect(wanted).toBe(1);
  let made = 0;
  entries.observe(look);
  repointPart(entries, 4, root, boot, part, COPY, () => {
    made++;
    return allocator.allocate(1, 0, { purpose: "page-table", zero: true });
  });
  entries.observe(undefined);
  expect(made).toBe(wanted);
  expect([...wrong]).toEqual([]);
  for (const page of [0, 511, 512, PAGES - 1]) expect(frameOn(root, page)).toBe(COPY + page);
  for (const page of [PAGES, 1023]) expect(frameOn(root, page)).toBe(BOOTED + page);
});
