/** Compares what holders map in the replicated window, page by page, where their tables differ. */
import { endOf, isPresent, LARGE, PAGE } from "@kreplica/hw-x86/api";
import { Flag, smallTable } from "./page-reader.js";
import type { Subject } from "./subject.js";

export interface WindowPage {
  readonly frame: number;
  readonly flags: number;
}

/**
 * Calls `each` for every page outside copied parts and areas of which a holder's tables say something else than the
 * first holder's.
 */
export function compareWindow(
  subject: Subject,
  each: (address: bigint, node: number, mine: WindowPage, first: WindowPage) => void,
  withCopied = false,
): void {
  const excluded = withCopied
    ? []
    : [
        ...subject.copied.map((part) => ({ start: part.start, end: endOf(part) })),
        ...(subject.kernel.replicatedAreas ?? []),
      ];
  const base = subject.root(subject.holders[0]!);
  const theirs = subject.reader.window(base);
  for (const node of subject.holders.slice(1)) {
    const root = subject.root(node);
    const mine = subject.reader.window(root);
    for (let slot = 0; slot < 1024; slot++) {
      if (!isPresent(mine.lo[slot]!) && !isPresent(theirs.lo[slot]!)) continue;
      const table = smallTable(mine, slot);
      // Equal leaves and common tables say the same.
      if (
        table !== -1
          ? table === smallTable(theirs, slot)
          : mine.lo[slot] === theirs.lo[slot] && mine.hi[slot] === theirs.hi[slot]
      )
        continue;
      const start = subject.windowStart + BigInt(slot) * LARGE;
      const pages = subject.reader.read(root, { start, pages: 512 });
      const others = subject.reader.read(base, { start, pages: 512 });
      for (let page = 0; page < 512; page++) {
        if (!(pages.flags[page]! | others.flags[page]!)) continue;
        if (pages.flags[page] === others.flags[page] && pages.frames[page] === others.frames[page]) continue;
        const address = start + BigInt(page) * PAGE;
        if (excluded.some((area) => address >= area.start && address < area.end)) continue;
        each(
          address,
          node,
          { frame: pages.frames[page]!, flags: pages.flags[page]! },
          { frame: others.frames[page]!, flags: others.flags[page]! },
        );
      }
    }
  }
}

export const describeFlags = (flags: number): string =>
  !(flags & Flag.Present)
    ? "a hole"
    : `R${flags & Flag.Writable ? "W" : "-"}${flags & Flag.NoExecute ? "-" : "X"}${flags & Flag.Global ? " G" : ""}${flags & Flag.CacheDisable ? " PCD" : ""}${flags & Flag.WriteThrough ? " PWT" : ""}`;
