/**
 * Memory for copies, taken while the boot allocator can still give whole 2 MiB runs: text, rodata and all tables to be
 * cloned.
 *
 * A node that cannot hold its own copy gets none and uses its nearest holder: the series took whatever memblock found
 * (defect D14).
 */
import { type Frame, LARGE_PAGES, NONE, type Machine, type NodeId } from "@kreplica/hw-x86/api";
import type { BootMemory, FramePurpose } from "@kreplica/mm-core/api";
import type { CopiedPart, HolderRoom } from "./placement.js";

/** What one holder needs. */
export interface RoomPlan {
  readonly parts: readonly CopiedPart[];
  /** Frames of a PGD, on their own size. */
  readonly rootFrames: number;
  /** Further table pages to clone. */
  readonly tables: number;
  readonly master: NodeId;
  /** PGD of a master that keeps its booted tables and so needs no others; NONE: taken like any holder's. */
  readonly masterRoot?: Frame;
  /** Copies come later: their places are the master's frames till then. */
  readonly later?: boolean;
  /** Take any node's memory when the holder's own is full: defect D14, off in the corrected design. */
  readonly anyNode?: boolean;
}

/** What was taken for a holder, to be given back when it will be none. */
interface Taken {
  readonly first: Frame;
  readonly frames: number;
  readonly purpose: FramePurpose;
}

/**
 * @patch 03/12 mm/numa_replication.c numa_reserve_memory
 * @param candidates nodes that should hold a copy, the master among them
 * @returns one entry for each node that got all it needs, ascending; none when there would be one holder, or none for
 *   the master: that is
 *   a kernel with one copy. A node without an entry leaves nothing behind.
 */
export function reserveRooms(
  early: BootMemory,
  machine: Machine,
  candidates: readonly NodeId[],
  plan: RoomPlan,
): HolderRoom[] {
  const rooms: { readonly room: HolderRoom; readonly taken: readonly Taken[] }[] = [];
  for (const node of [...candidates].sort((a, b) => a - b)) {
    const reserved = reserveRoom(early, machine, node, plan);
    if (reserved) rooms.push(reserved);
  }
  if (rooms.length > 1 && rooms.some(({ room }) => room.node === plan.master)) return rooms.map(({ room }) => room);
  for (const { taken } of rooms) giveBack(early, taken);
  return [];
}

const giveBack = (early: BootMemory, taken: readonly Taken[]): void => {
  for (const { first, frames, purpose } of taken) early.release(first, frames, purpose);
};

function reserveRoom(
  early: BootMemory,
  machine: Machine,
  node: NodeId,
  plan: RoomPlan,
): { readonly room: HolderRoom; readonly taken: readonly Taken[] } | undefined {
  const taken: Taken[] = [];
  const take = (frames: number, align: number, purpose: FramePurpose): number => {
    const first = early.allocate(node, frames, align, purpose, !plan.anyNode);
    if (first !== NONE) taken.push({ first, frames, purpose });
    return first;
  };
  const copies: Partial<Record<"text" | "rodata", number>> = {};
  for (const part of plan.parts) {
    // Whole 2 MiB would waste a tail: the run is exact, and only its start is aligned.
    copies[part.purpose] =
      node === plan.master || plan.later ? part.original : take(part.copied, LARGE_PAGES, part.purpose);
  }
  const keeps = node === plan.master && plan.masterRoot !== undefined;
  const root =
    keeps && plan.masterRoot !== NONE ? plan.masterRoot : take(plan.rootFrames, plan.rootFrames, "page-table");
  const tables = Array.from({ length: keeps ? 0 : plan.tables }, () => take(1, 1, "page-table"));
  if ([root, ...tables, ...Object.values(copies)].includes(NONE)) {
    giveBack(early, taken);
    return undefined;
  }
  for (const frame of tables) machine.memory.clearFrame(frame);
  for (let frame = root; frame < root + plan.rootFrames; frame++) machine.memory.clearFrame(frame);
  return { room: { node, root, tables, text: copies.text ?? NONE, rodata: copies.rodata ?? NONE }, taken };
}
