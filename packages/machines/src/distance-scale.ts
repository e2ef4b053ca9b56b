/** From distances to latency and bandwidth: the line through what a base machine shows at its own distances. */
import type { MachineSpec } from "@kreplica/hw-x86/api";

/** Latency and bandwidth at a distance. */
export interface DistanceScale {
  /** Nanoseconds; rises with the distance. @param distance 10 to 254 */
  latencyNs(distance: number): number;
  /** MB/s. @param distance 10 to 254 */
  bandwidthMBs(distance: number): number;
  /** The points the lines go through, for people. */
  readonly rule: string;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Line through the points; beyond the last it goes on with the last slope, but never falls. With one point it is
 * proportional to the distance.
 */
function through(points: readonly (readonly [distance: number, value: number])[]): (distance: number) => number {
  const first = points[0]!;
  if (points.length === 1) return (distance) => (first[1] * distance) / first[0];
  return (distance) => {
    let i = points.findIndex(([at]) => distance <= at);
    const beyond = i < 0;
    i = beyond ? points.length - 1 : Math.max(i, 1);
    const [x0, y0] = points[i - 1]!;
    const [x1, y1] = points[i]!;
    const slope = (y1 - y0) / (x1 - x0);
    return y1 + (distance - x1) * (beyond ? Math.max(slope, 0) : slope);
  };
}

/**
 * Scaling in proportion to the distance would make a two-socket Xeon's remote latency 2.1 times its local one; measured
 * is 1.4. So the base machine's distances and latencies are the points: for each distance it has, the mean of its
 * latencies there. Bandwidth is scaled through the time a byte takes (its reciprocal), which keeps it positive.
 */
export function distanceScale(base: MachineSpec): DistanceScale {
  const latencies = new Map<number, number[]>();
  const times = new Map<number, number[]>();
  for (const [i, row] of base.distance.entries()) {
    for (const [j, distance] of row.entries()) {
      if (distance === 255) continue;
      latencies.set(distance, [...(latencies.get(distance) ?? []), base.latencyNs[i]![j]!]);
      times.set(distance, [...(times.get(distance) ?? []), 1 / base.bandwidthMBs[i]![j]!]);
    }
  }
  const points = (of: Map<number, number[]>) =>
    [...of].map(([at, values]) => [at, mean(values)] as const).sort((a, b) => a[0] - b[0]);
  const latency = through(points(latencies));
  const time = through(points(times));
  return {
    latencyNs: (distance) => Math.round(latency(distance) * 10) / 10,
    bandwidthMBs: (distance) => Math.max(1, Math.round(1 / time(distance))),
    rule: `line through ${base.name}'s ${points(latencies)
      .map(([at, ns]) => `${at}: ${ns.toFixed(1)} ns`)
      .join(", ")}`,
  };
}
