/** Which physical copies stand behind a run of text: one for each holder whose tables name frames of their own. */
import {
  addressOfFrame,
  type AddressRange,
  alignDown,
  type Frame,
  type NodeId,
  PAGE,
  pagesBetween,
} from "@kreplica/hw-x86/api";
import { type KernelTables, pageWithin, type ReplicaView } from "@kreplica/mm-core/api";
import { TextPatchError } from "../errors.js";

/** One copy of a run of at most two pages. */
export interface TextCopy {
  /** Lowest holder that sees it. */
  readonly node: NodeId;
  /** Frame of each page, all of the same holder: a poke across a page must not mix copies. */
  readonly frames: readonly Frame[];
  readonly writable: boolean;
  readonly executable: boolean;
}

/**
 * Distinct copies in the order of the holders: as many as holders for replicated text, one for a shared page, so that
 * no copy is written twice (the series makes a pass for every node whatever is behind the address).
 * @throws TextPatchError not-mapped
 */
export function copiesOf(tables: KernelTables, view: ReplicaView, range: AddressRange): TextCopy[] {
  const { start: first, pages } = pagesBetween(alignDown(range.start, PAGE), range.end);
  const copies: TextCopy[] = [];
  for (const node of view.holders) {
    const frames: Frame[] = [];
    let writable = true;
    let executable = true;
    for (let page = 0; page < pages; page++) {
      const at = first + BigInt(page) * PAGE;
      const leaf = tables.lookup(node, at);
      if (!leaf)
        throw new TextPatchError(
          "not-mapped",
          at,
          `nothing is mapped there on node ${node}; map it, or give an address of text`,
        );
      frames.push(leaf.frame + pageWithin(at, leaf.level));
      writable &&= leaf.writable;
      executable &&= leaf.executable;
    }
    if (!copies.some((copy) => copy.frames.every((frame, i) => frame === frames[i])))
      copies.push({ node, frames, writable, executable });
  }
  return copies;
}

/** Physical address of a byte of a copy. */
export const physicalOf = (copy: TextCopy, address: bigint, offset: number): bigint => {
  const within = Number(address & (PAGE - 1n)) + offset;
  return addressOfFrame(copy.frames[within >> 12]!) + BigInt(within & 4095);
};
