/** The axes of a map, where nobody names others: what the processors of all presets have, and the machine itself. */
import type { MachineSpec } from "@kreplica/hw-x86";
import { presets } from "@kreplica/machines";
import { fits, type Inclusion, L2_SIZES } from "../explain/planned.js";

/** What a map is drawn over; the machine's own value is on each. */
export interface MapAxes {
  /** Bytes of L2 a core, ascending. */
  readonly l2Bytes: readonly number[];
  /** Latency of the image's node over that of the copy's, ascending. */
  readonly farOverNear: readonly number[];
  /** How the last-level cache stands to those above it. */
  readonly inclusions: readonly Inclusion[];
}

/** From memory that is near everywhere to memory of another box. They cost no run: latencies change no count. */
const RATIOS: readonly number[] = [1, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2, 2.5, 3, 4];

const ascending = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);

/** @param ratio the machine's own, from 1 */
export const mapAxes = (spec: MachineSpec, ratio: number): MapAxes => ({
  l2Bytes: ascending([...L2_SIZES.filter((bytes) => fits(spec, bytes)), spec.l2.bytes]),
  farOverNear: ascending([...RATIOS, ratio]),
  inclusions: [
    ...new Set([spec.l3.inclusion, ...presets.filter(({ nodes }) => nodes.length > 1).map(({ l3 }) => l3.inclusion)]),
  ].sort(),
});
