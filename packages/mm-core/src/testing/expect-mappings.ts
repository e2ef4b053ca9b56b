/** Compares what a node's tables map with a list, and shows both when they differ. */
import {
  type AddressRange,
  entryPages,
  type Frame,
  type NodeId,
  PAGE,
  pagesBetween,
  type PhysMemory,
  walkRange,
} from "@kreplica/hw-x86/api";
import { InvariantError } from "../errors.js";
import { mappingOf } from "../tables/protection.js";
import type { KernelLayout } from "../image/kernel-layout-api.js";

/**
 * One run of leaves as text: `ffffffff81000000 2M x7 -> 1000 R-X G`. Runs of leaves that continue one another are one
 * line.
 */
export function listMappings(memory: PhysMemory, root: Frame, levels: 4 | 5, { start, end }: AddressRange): string[] {
  const sizes = ["", "4K", "2M", "1G"];
  const runs: { at: bigint; level: number; count: number; frame: Frame; flags: string }[] = [];
  walkRange(memory, root, levels, pagesBetween(start, end), {
    leaf(address, level, lo, hi) {
      const mapping = mappingOf(lo, hi, level);
      const flags = `R${mapping.writable ? "W" : "-"}${mapping.executable ? "X" : "-"}${mapping.user ? " U" : ""}${mapping.global ? " G" : ""}${mapping.cache === "wb" ? "" : ` ${mapping.cache}`}`;
      const last = runs[runs.length - 1];
      const step = entryPages(level);
      if (
        last &&
        last.level === level &&
        last.flags === flags &&
        last.frame + last.count * step === mapping.frame &&
        last.at + BigInt(last.count * step) * PAGE === address
      )
        last.count++;
      else runs.push({ at: address, level, count: 1, frame: mapping.frame, flags });
    },
  });
  return runs.map(
    (run) =>
      `${run.at.toString(16)} ${sizes[run.level]}${run.count > 1 ? ` x${run.count}` : ""} -> ${run.frame.toString(16)} ${run.flags}`,
  );
}

/** @throws InvariantError with both lists when they differ */
export function expectMappings(
  subject: {
    readonly entries: { readonly memory: PhysMemory };
    readonly layout: KernelLayout;
    readonly view: { kernelRoot(node: NodeId): Frame };
  },
  node: NodeId,
  range: { readonly start: bigint; readonly end: bigint },
  wanted: readonly string[],
): void {
  const found = listMappings(subject.entries.memory, subject.view.kernelRoot(node), subject.layout.levels, range);
  if (found.join("\n") === wanted.join("\n")) return;
  throw new InvariantError(`node ${node} maps\n  ${found.join("\n  ")}\nwanted\n  ${wanted.join("\n  ")}`);
}
