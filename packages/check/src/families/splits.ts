/**
 * Large leaves of the direct map that permission changes split, and empty tables of areas: both stay in a real kernel
 * and are no leak, but a run is to begin as the one before it did. So the leaves are split before the first run, and
 * the tables go after each.
 */
import { directAddress } from "@kreplica/mm-core";
import { LARGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { moduleArea, type Vmalloc } from "@kreplica/vmalloc";
import type { Subject } from "../subject.js";

const PAGES = 512;
/** 2 MiB pieces of a range, behind the first, that large areas and what took their place may have left tables in. */
const PIECES = 16n;

const done = new WeakSet<Subject>();

/** Splits every writable 2 MiB leaf of the direct map. Once for a kernel, whichever families ask. */
export function splitDirectMap(system: Subject): void {
  if (done.has(system)) return;
  done.add(system);
  const { layout, machine, tables, view } = system.parts;
  tables.edit((editor) => {
    for (const { first, frames } of machine.memory.ranges) {
      for (let frame = first; frame + PAGES <= first + frames; frame += PAGES) {
        const address = directAddress(layout, frame);
        const leaf = tables.lookup(view.holders[0]!, address);
        if (leaf?.level !== 2 || !leaf.writable) continue;
        editor.protect({ start: address, pages: 1 }, { writable: false });
        editor.protect({ start: address, pages: 1 }, { writable: true });
      }
    }
  });
}

/** The first table of the window is there before the first run; all modules and packs of a run fit under it. */
export function firstWindowTable({ holders, parts: { layout } }: Subject, vmalloc: Vmalloc): void {
  const area = moduleArea(vmalloc, {
    bytes: PAGE_BYTES,
    low: layout.modulesStart,
    high: layout.modulesEnd,
    placement: { node: holders[0]! },
    purpose: "module",
  });
  vmalloc.free(area);
  vmalloc.purge();
}

/** One in this many runs ends with the full check on account of areas and modules. */
const FULL_CHECK_EVERY = 32;
const runs = new WeakMap<Subject, number>();

/**
 * Does what stores to tables of the kernel's own, direct map and window. Each family looks at all it changed by itself
 * after the step; a full check of groups A to C after every run would cost ten times the run.
 */
export function quietly(system: Subject, work: () => void): void {
  const before = system.watch.kernelStores;
  try {
    work();
  } finally {
    system.watch.kernelStores = before;
  }
}

/**
 * At the end of a run: now and then the full check after all, while what the run made is still there (an area with
 * copies, a module, a sealed page) and once more when all is gone. A run's first end is one of them, or a campaign of
 * few runs would have none.
 */
export function fullCheckNowAndThen(system: Subject): void {
  const nth = runs.get(system) ?? 0;
  runs.set(system, nth + 1);
  if (nth % FULL_CHECK_EVERY !== 0) return;
  system.fullCheck();
  system.watch.kernelStores = true;
}

/** Gives back empty tables behind the first 2 MiB of the two ranges areas lie in. */
export function dropEmptyTables(system: Subject): void {
  const { layout, tables } = system.parts;
  for (const base of [layout.modulesStart, layout.vmallocStart]) {
    for (let piece = 1n; piece < PIECES; piece++)
      tables.makeRoomForLarge({ start: base + piece * LARGE, pages: PAGES });
  }
}
