/** What counted work of the kernel costs, at the middle or at one end of every range a machine's description gives. */
import { account, type MachineSpec, Part, PARTS, type Point, REGIONS } from "@kreplica/hw-x86";

/** Cycles, and those of them that interrupts took. */
export interface KernelCycles {
  readonly cycles: number;
  readonly interrupts: number;
}

/**
 * @param counts of one CPU @param nodeIndex of its node in `spec.nodes`
 * @param side all ranges at their low or high end; the middle when absent
 */
export function kernelCycles(
  counts: Float64Array,
  spec: MachineSpec,
  nodeIndex: number,
  side?: "low" | "high",
): KernelCycles {
  // The clock stays where it is: the report divides these cycles by it to tell a time.
  const point: Point =
    side === undefined
      ? {}
      : {
          latency: side,
          caches: side,
          cacheToCache: side,
          storeExposure: side,
          loadExposure: side,
          walkExposure: side,
          interrupt: side,
        };
  const { cycles, parts } = account(counts, spec, nodeIndex, point);
  let interrupts = 0;
  for (let region = 0; region < REGIONS; region++) interrupts += parts[region * PARTS + Part.Interrupts]!;
  return { cycles, interrupts };
}
