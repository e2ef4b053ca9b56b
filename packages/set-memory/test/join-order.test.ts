/** The order of a join, from what others see: stores, flushes and frames given back, one after the other. */
import { type Frame, LARGE } from "@kreplica/hw-x86/api";
import { beforeEach, expect, test } from "vitest";
import { findWritableExecutable } from "../src/api.js";
import { KERNEL_DATA, makeKernel, type SetMemoryKernel, walk } from "./kernel.js";

const WINDOW = 0xffff_ffff_c000_0000n;
let kernel: SetMemoryKernel;
let events: string[];

/** 2 MiB of small leaves that continue one another, on each holder its own; then everything is written down. */
beforeEach(() => {
  kernel = makeKernel([0, 1]);
  kernel.tables.edit((editor) => {
    for (let page = 0; page < 512; page++)
      editor.mapPerNode(
        WINDOW + BigInt(page) * 4096n,
        { ...KERNEL_DATA, level: 1 },
        (node) => kernel.frame(node) + page,
      );
  });
  events = [];
  const { allocator, tables, entries } = kernel;
  const [free, flush] = [allocator.free.bind(allocator), tables.flush.bind(tables)];
  allocator.free = (frame, order) => {
    events.push("free");
    free(frame, order);
  };
  tables.flush = (range) => {
    events.push("flush");
    flush(range);
  };
  entries.observe(() => events.push("store"));
});

test("large leaves, then one flush, and only then the tables go back: no CPU walks a frame's next life", () => {
  expect(kernel.setMemory.join({ start: WINDOW, pages: 512 })).toEqual({ joined: 3, freed: 3 });
  expect(events).toEqual(["store", "store", "store", "flush", "free", "free", "free"]);
});

test("where nothing is joined, nothing is flushed", () => {
  kernel.setMemory.readOnly({ start: WINDOW + 0x5000n, pages: 1 });
  events = [];
  expect(kernel.setMemory.join({ start: WINDOW, pages: 512 })).toEqual({ joined: 0, freed: 0 });
  expect(events).toEqual([]);
});

test("a copy's table is forgotten with it: what gets its frame next is no copy's", () => {
  const tables = kernel.view.roots.map(({ root }): Frame => walk(kernel.entries.memory, root, 4, WINDOW).table);
  expect(tables.filter((table) => kernel.entries.isCopy(table)).length).toBeGreaterThan(0);
  kernel.setMemory.join({ start: WINDOW, pages: 512 });
  expect(tables.filter((table) => kernel.entries.isCopy(table))).toEqual([]);
});

test("a table that the allocator did not hand out is left alone", () => {
  const table = walk(kernel.entries.memory, kernel.view.roots[0]!.root, 4, WINDOW).table;
  const owns = kernel.allocator.owns.bind(kernel.allocator);
  kernel.allocator.owns = (frame, order) => frame !== table && owns(frame, order);
  expect(kernel.setMemory.join({ start: WINDOW, pages: 512 })).toEqual({ joined: 3, freed: 2 });
});

test("W+X that several roots share is reported once, under the first", () => {
  const shared = kernel.layout.vmallocStart;
  kernel.tables.edit((editor) => editor.map(shared, { ...KERNEL_DATA, executable: true, level: 2, frame: 0 }));
  const roots = kernel.view.roots.map(({ root, node, kind }) => ({ name: `${kind} ${node}`, root }));
  expect(roots.length).toBeGreaterThan(1);
  expect(findWritableExecutable(kernel.entries.memory, roots, 4)).toEqual([
    { root: roots[0]!.name, start: shared, end: shared + LARGE },
  ]);
});
