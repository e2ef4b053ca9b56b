/** Compares what holders map in the replicated window, page by page, where their tables differ. */
import { frameOf, isLeaf, isPresent } from "@kreplica/hw-x86/api";
import { WINDOW_START } from "../clone-tables.js";
import { Flag } from "./page-reader.js";
import type { Subject } from "./subject.js";

export interface WindowPage { readonly frame: number; readonly flags: number }

/**
 * Calls `each` for every page outside copied parts and areas, of every holder but the first, that lies behind a table or leaf of its own.
 * Tables that both use are equal and passed over.
 */
export function compareWindow(subject: Subject, each: (address: bigint, node: number, mine: WindowPage, first: WindowPage) => void, withCopied = false): void {
  const excluded = withCopied ? [] : [
    ...[subject.text, subject.rodata].filter((part) => subject.copied.includes(part)).map((part) => ({ start: part.start, end: part.start + BigInt(part.pages) * 4096n })),
    ...(subject.kernel.replicatedAreas ?? []),
  ];
  const base = subject.root(subject.holders[0]!);
  for (const node of subject.holders.slice(1)) {
    const root = subject.root(node);
    // 1,024 steps of 2 MiB: the last two gigabytes.
    for (let step = 0n; step < 1024n; step++) {
      const start = WINDOW_START + step * 0x20_0000n;
      const mine = subject.reader.entry(root, start, 2);
      const first = subject.reader.entry(base, start, 2);
      const has = (entry: typeof mine): boolean => entry !== undefined && isPresent(entry.lo);
      if (!has(mine) && !has(first)) continue;
      const table = (entry: typeof mine): number | undefined => (entry && isPresent(entry.lo) && !isLeaf(entry.lo, 2) ? frameOf(entry.lo, entry.hi) : undefined);
      if (table(mine) !== undefined && table(mine) === table(first)) continue;
      const pages = subject.reader.read(root, start, 512);
      const theirs = subject.reader.read(base, start, 512);
      for (let page = 0; page < 512; page++) {
        const address = start + BigInt(page) * 4096n;
        if (!(pages.flags[page]! | theirs.flags[page]!) || excluded.some((area) => address >= area.start && address < area.end)) continue;
        each(address, node, { frame: pages.frames[page]!, flags: pages.flags[page]! }, { frame: theirs.frames[page]!, flags: theirs.flags[page]! });
      }
    }
  }
}

export const describeFlags = (flags: number): string => !(flags & Flag.Present) ? "a hole"
  : `R${flags & Flag.Writable ? "W" : "-"}${flags & Flag.NoExecute ? "-" : "X"}${flags & Flag.Global ? " G" : ""}${flags & Flag.CacheDisable ? " PCD" : ""}${flags & Flag.WriteThrough ? " PWT" : ""}`;
