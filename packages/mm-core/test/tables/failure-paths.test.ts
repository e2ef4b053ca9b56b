/**
 * Orders that only a CPU in the middle could tell, seen from every single store; and what 1 GiB leaves are in the way
 * of.
 */
import { HUGE, isPresent, LARGE } from "@kreplica/hw-x86/api";
import { expect, test } from "vitest";
import { KERNEL_DATA, lookup } from "../../src/api.js";
import { fixedHolders, testKernel } from "../../src/testing.js";
import { tableAt } from "../../src/tables/walk.js";

const nodes = [0, 1].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
const WINDOW = 0xffff_ffff_c000_0000n;

test.each([
  [2, LARGE],
  [3, HUGE],
] as const)(
  "while a leaf of level %i is divided, every page of it stays mapped as it was at every store",
  (level, size) => {
    const { tables, entries, view, layout } = testKernel({ nodes, view: fixedHolders(0, 1) });
    const start = level === 2 ? WINDOW : layout.vmemmapStart;
    tables.edit((editor) => editor.map(start, { ...KERNEL_DATA, level, frame: 0 }));
    const pages = [0n, 0x3000n, size / 2n, size - 0x1000n];
    let stores = 0;
    const wrong: string[] = [];
    entries.observe(() => {
      stores++;
      for (const { root } of view.roots)
        for (const page of pages) {
          const found = lookup(entries.memory, root, layout.levels, start + page);
          const frame = found && found.frame + Number((page >> 12n) & BigInt(512 ** (found.level - 1) - 1));
          if (frame !== Number(page >> 12n)) wrong.push(`store ${stores}: page ${page >> 12n} leads to ${frame}`);
        }
    });
    expect(tables.edit((editor) => editor.protect({ start: start + 0x3000n, pages: 1 }, { writable: false }))).toBe(
      true,
    );
    entries.observe(undefined);
    expect(stores).toBeGreaterThan(512);
    expect(wrong).toEqual([]);
  },
);

test("a 1 GiB leaf is in the way of 2 MiB leaves", () => {
  const { tables, layout } = testKernel({ nodes });
  tables.edit((editor) => editor.map(layout.vmemmapStart, { ...KERNEL_DATA, level: 3, frame: 0 }));
  expect(tables.makeRoomForLarge({ start: layout.vmemmapStart + LARGE, pages: 512 })).toBe(false);
});

test("a refused change is taken back the last store first: what was stored twice is as it was before the first", () => {
  const { tables, allocator, entries } = testKernel({ nodes });
  tables.edit((editor) => editor.map(WINDOW, { ...KERNEL_DATA, level: 1, frame: 0x1234 }));
  const words: string[] = [];
  entries.observe((table, index) => words.push(`${isPresent(entries.low(table, index))} ${entries.low(table, index)}`));
  const done = tables.edit((editor) =>
    editor.together(
      () =>
        editor.protect({ start: WINDOW, pages: 1 }, { writable: false }) &&
        editor.protect({ start: WINDOW, pages: 1 }, { global: false }) &&
        false,
    ),
  );
  entries.observe(undefined);
  expect(done).toBe(false);
  expect(words).toHaveLength(4);
  expect(words[2]).toBe(words[0]);
  expect(tables.lookup(0, WINDOW)).toEqual({ ...KERNEL_DATA, level: 1, frame: 0x1234 });
  expect(allocator.requests).toBeGreaterThan(0);
});

/** What the kernel does to CPUs and the allocator, one after the other. */
function watched(kernel: ReturnType<typeof testKernel>): string[] {
  const events: string[] = [];
  const { cpus, allocator } = kernel;
  const [flush, free] = [cpus.flushAll.bind(cpus), allocator.free.bind(allocator)];
  cpus.flushAll = () => {
    events.push("flush");
    flush();
  };
  allocator.free = (frame, order) => {
    events.push("free");
    free(frame, order);
  };
  return events;
}

test("tables of a refused change go back only after everybody forgot them", () => {
  const kernel = testKernel({ nodes, view: fixedHolders(0, 1) });
  const events = watched(kernel);
  kernel.allocator.refuse(3);
  expect(kernel.tables.edit((editor) => editor.map(WINDOW, { ...KERNEL_DATA, level: 1, frame: 1 }))).toBe(false);
  expect(events).toEqual(["flush", "free", "free"]);
});

test("an empty table of a copy's that is given back is no copy's any more", () => {
  const kernel = testKernel({ nodes, view: fixedHolders(0, 1) });
  const { tables, entries, view } = kernel;
  tables.edit((editor) => editor.map(WINDOW, { ...KERNEL_DATA, level: 1, frame: 1 }));
  const small = view.roots.map(({ root }) => tableAt(entries.memory, root, 4, WINDOW, 1)!);
  expect(small.filter((table) => entries.isCopy(table)).length).toBeGreaterThan(0);
  tables.edit((editor) => editor.unmap(WINDOW, 1));
  expect(tables.makeRoomForLarge({ start: WINDOW, pages: 512 })).toBe(true);
  expect(small.filter((table) => entries.isCopy(table))).toEqual([]);
});

test("what was changed lazily and not flushed stays known when something else is flushed", () => {
  const { tables } = testKernel({ nodes });
  const at = (page: number): bigint => WINDOW + BigInt(page) * 0x1000n;
  tables.edit((editor) => [0, 5].forEach((page) => editor.map(at(page), { ...KERNEL_DATA, level: 1, frame: page })));
  tables.editLazily((editor) => [0, 5].forEach((page) => editor.unmap(at(page), 1)));
  tables.flush({ start: at(0), pages: 1 });
  expect(tables.unflushed).toEqual([{ start: at(5), pages: 1 }]);
  tables.flush({ start: at(5), pages: 1 });
  expect(tables.unflushed).toEqual([]);
});
