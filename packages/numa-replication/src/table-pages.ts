/** Table pages taken before the first of several changes, so that a refusal finds nothing begun. */
import { type Frame, NONE, type NodeId } from "@kreplica/hw-x86/api";
import { invariant, MmError, type PageAllocator } from "@kreplica/mm-core/api";

/** Pages wanted on a node. */
export interface TableWish {
  readonly node: NodeId;
  readonly pages: number;
  /** No other node's will do: they serve this one alone. */
  readonly exact: boolean;
}

/**
 * @returns the pages of each wish, for {@link nextPage}
 * @throws MmError out-of-frames when one could not be had; all others are given back then
 */
export function takeTablePages(allocator: PageAllocator, wishes: readonly TableWish[]): Frame[][] {
  const taken: Frame[] = [];
  return wishes.map(({ node, pages, exact }) =>
    Array.from({ length: pages }, () => {
      const frame = allocator.allocate(node, 0, { purpose: "page-table", zero: true, thisNode: exact });
      if (frame === NONE) {
        for (const each of taken) allocator.free(each, 0);
        throw new MmError("out-of-frames", 0n, `no page for a table of the copies on node ${node}`);
      }
      taken.push(frame);
      return frame;
    }).reverse(),
  );
}

/** The next page set aside, from the end. @throws InvariantError when more are asked for than were counted */
export function nextPage(pages: Frame[]): Frame {
  const frame = pages.pop();
  invariant(frame !== undefined, "more tables are made than were set aside");
  return frame;
}
