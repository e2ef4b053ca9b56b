/** The small integers that name parts of the machine. Plain numbers: they index typed arrays on the hot path. */

/** NUMA node, 0 to 63. Nodes may have CPUs only, memory only, or both. */
export type NodeId = number;
/** Logical CPU (hardware thread), 0 to 4095. */
export type CpuId = number;
/**
 * Physical frame, unsigned, below 2^32: physical address / 4096 up to 15 TiB, a place in one of six windows beyond.
 * frame-number.ts has both ways.
 */
export type Frame = number;

/** "There is none": a frame that could not be had, a node that owns nothing. */
export const NONE = -1;
