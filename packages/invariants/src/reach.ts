/**
 * The check of B11: what can be reached from a root is a page table, never a frame that was given back or is somebody
 * else's by now.
 */
import { ALL_PAGES, type Frame, frameOf, isLeaf, isPresent, walkTables } from "@kreplica/hw-x86/api";
import type { Verdict } from "./invariant.js";
import type { Subject } from "./subject.js";

/** Every root a CPU can load, both halves of pairs, and what CR3 of each CPU names now. */
export function everyRoot({ kernel, liveRoots }: Subject, each: (root: Frame, name: () => string) => void): void {
  const {
    layout: { pti },
    spaces,
    machine,
    otherRoots = [],
    pokingRoots = [],
  } = kernel;
  const pair = (root: Frame, name: () => string): void => {
    each(root, name);
    if (pti) each(root + 1, () => `the user half of ${name()}`);
  };
  for (const { name, root } of liveRoots) pair(root, () => name);
  for (const space of spaces.all)
    for (const node of space.pgdNodes) pair(space.pgd(node), () => `space ${space.id} on node ${node}`);
  for (const { name, root } of otherRoots) each(root, () => name);
  for (const { name, root } of pokingRoots) each(root, () => name);
  for (const cpu of machine.cpuIds) each(machine.cpu(cpu).rootFrame, () => `CR3 of CPU ${cpu}`);
}

export function onlyTablesAreReached(subject: Subject, verdict: Verdict): void {
  if (!subject.isPast("mm-core-init")) return verdict.skip();
  const { entries, allocator, layout, machine } = subject.kernel;
  // A table met before, from another root, says what it said.
  const seen = new Set<Frame>();
  interface Step {
    readonly table: Frame;
    /** The table that leads here, and by which slot; undefined for a root. */
    readonly above: Step | undefined;
    readonly slot: number;
  }
  /** Slots from the root to a table, `511/510`. */
  const path = ({ above, slot }: Step): string =>
    above === undefined ? "" : above.above === undefined ? String(slot) : `${path(above)}/${slot}`;
  /** Whether a table that was not met before is one that may be gone into. */
  const isTable = (name: () => string, step: Step, level: number): boolean => {
    const { table } = step;
    seen.add(table);
    const purpose = allocator.purposeOf(table);
    const isTaken = purpose !== undefined && purpose !== "page-table";
    if (!isTaken && machine.memory.nodeOf(table) >= 0) return level > 1;
    const whose = `${name()}${step.above ? `, slot ${path(step)},` : ""} leads to frame ${table} as a table`;
    if (isTaken)
      verdict.fail(`${whose} of level ${level}, which is ${purpose === "free" ? "free" : `handed out as ${purpose}`}`);
    else verdict.fail(`${whose}, where no memory is`);
    return false;
  };
  everyRoot(subject, (root, name) => {
    const top = { table: root, above: undefined, slot: 0 };
    if (seen.has(root) || !isTable(name, top, layout.levels)) return;
    walkTables<Step>(
      layout.levels,
      ALL_PAGES,
      top,
      (above, level, slot) => {
        const lo = entries.low(above.table, slot);
        if (!isPresent(lo) || isLeaf(lo, level)) return undefined;
        const table = frameOf(lo, entries.high(above.table, slot));
        // Most were met before: asked first, they cost no step.
        if (seen.has(table)) return undefined;
        const below = { table, above, slot };
        return isTable(name, below, level - 1) ? below : undefined;
      },
      undefined,
      ({ table }, first, last) => entries.memory.nextEntry(table, first, last),
    );
  });
}
