/** How often each user frame is mapped: interface and token. */
import { token } from "@kreplica/di";
import type { Frame, NodeId } from "@kreplica/hw-x86/api";

/** Frames of user pages with their counts. */
export interface UserFrames {
  /** A zeroed block with count 1, or NONE. @param order 0, or 9 for a 2 MiB page @param exact only from this node */
  allocate(node: NodeId, order: 0 | 9, exact?: boolean): Frame;
  /** One more mapping. @param frame first of a block */
  share(frame: Frame): void;
  /** One mapping less; the last frees the block. */
  drop(frame: Frame): void;
  count(frame: Frame): number;
  /** Makes a 2 MiB block with count 1 into 512 single pages with count 1 each. */
  split(frame: Frame): void;
  /** Blocks in use. */
  readonly size: number;
}
export const UserFrames = token<UserFrames>("mm-core/UserFrames");
