/** The port of early boot's allocator: interface and token. */
import { token } from "@kreplica/di";
import type { Frame, NodeId } from "@kreplica/hw-x86/api";
import type { FramePurpose } from "./page-allocator-api.js";

/** The allocator of early boot. @source Documentation/core-api/boot-time-mm.rst */
export interface BootMemory {
  /**
   * First frame of a run, taken from the top of the node's memory; another node's when the node has none left and
   * `exact` is not set.
   * @param align in frames, a power of two
   * @returns NONE when refused
   * @throws InvariantError after {@link handOver}
   */
  allocate(node: NodeId, frames: number, align: number, purpose: FramePurpose, exact?: boolean): Frame;
  /** Takes a named run out of what can be allocated. Parts outside memory are ignored. */
  reserve(first: Frame, frames: number, purpose?: FramePurpose): void;
  /** Gives back a run that {@link allocate} gave out. */
  release(first: Frame, frames: number, purpose: FramePurpose): void;
  /** Frames free now, by node id. */
  freeFrames(node: NodeId): number;
  usedFrames(node: NodeId, purpose: FramePurpose): number;
  /** Ends early boot. @returns what is free, in address order, to be given to the buddy lists */
  handOver(): readonly { readonly node: NodeId; readonly first: Frame; readonly frames: number }[];
  readonly active: boolean;
}
export const BootMemory = token<BootMemory>("mm-core/BootMemory");
