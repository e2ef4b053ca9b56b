/**
 * Where a kernel boots: in which memory the boot loader may put the image, and on which CPUs the kernel comes up.
 *
 * A machine's node ids are Linux's logical ones, as in /sys/devices/system/node: "logical node 0" is the node with id
 * 0. Linux numbers nodes as it meets their proximity domains in the SRAT, so that the boot CPU lies elsewhere only
 * where firmware lists another node first; here `--boot-cpu` makes such a boot.
 */
import { addressOfFrame, frameOfAddress, type FrameRange, type MachineSpec, type NodeId } from "@kreplica/hw-x86";
import type { PhysicalRun } from "@kreplica/mm-core";

/**
 * Lowest physical address of an image, and where it lies in its node's memory without KASLR.
 * @source CONFIG_PHYSICAL_START
 */
export const IMAGE_OFFSET = 0x100_0000n;

/** Frames the image may not lie in: where a recording's will be. */
interface Taken {
  readonly first: number;
  readonly frames: number;
}

/**
 * Memory in which KASLR may put the image: all of the nodes' from 16 MiB on. A place that begins on one node and ends
 * on another is left out: the model has an image on one node.
 * @source arch/x86/boot/compressed/kaslr.c find_random_phys_addr: any memory, whatever its node
 */
export function imageRuns(
  ranges: readonly FrameRange[],
  nodes: readonly NodeId[],
  taken: readonly Taken[],
): PhysicalRun[] {
  const address = addressOfFrame;
  return ranges
    .filter(({ node }) => nodes.includes(node))
    .flatMap(({ first, frames }) => {
      let runs: PhysicalRun[] = [
        { start: address(first) > IMAGE_OFFSET ? address(first) : IMAGE_OFFSET, end: address(first + frames) },
      ];
      for (const each of taken) {
        const [from, to] = [address(each.first), address(each.first + each.frames)];
        runs = runs.flatMap(({ start, end }) =>
          to <= start || from >= end
            ? [{ start, end }]
            : [
                { start, end: from },
                { start: to, end },
              ],
        );
      }
      return runs.filter(({ start, end }) => start < end);
    });
}

/** Node whose memory holds a physical address. */
export const nodeOfAddress = (ranges: readonly FrameRange[], address: bigint): NodeId | undefined => {
  const frame = frameOfAddress(address);
  return ranges.find(({ first, frames }) => frame >= first && frame < first + frames)?.node;
};

/** CPUs on which a kernel comes up, ascending. @param only the one node whose CPUs can boot it; any when absent */
export const bootableCpus = (spec: MachineSpec, only: NodeId | undefined): number[] =>
  spec.cpus
    .filter(({ node }) => only === undefined || node === only)
    .map(({ id }) => id)
    .sort((a, b) => a - b);
