/** Builds a machine from what a tool printed about nodes and a base preset for all it did not print. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { placeCpus, type CpuPlace, type PlacedCpus } from "./cpu-places.js";
import { distanceScale } from "./distance-scale.js";
import type { FoundNode } from "./found-node.js";

/**
 * What a tool said about a machine. Matrices follow the order of `nodes`; row: node of the CPU, column: node of the
 * memory.
 */
export interface FoundMachine {
  readonly name: string;
  readonly description: string;
  readonly nodes: readonly FoundNode[];
  readonly distance: readonly (readonly number[])[];
  /** Measured figures; undefined where there is none. */
  readonly latencyNs?: readonly (readonly (number | undefined)[])[];
  readonly bandwidthMBs?: readonly (readonly (number | undefined)[])[];
  /** Whether the distances are the firmware's, not made from latencies. */
  readonly fromFirmware: boolean;
  /** Package and core of every CPU, where the firmware says so. */
  readonly places?: ReadonlyMap<number, CpuPlace>;
  /** The CPUs, where somebody has placed them already. */
  readonly placed?: PlacedCpus;
  /** Where the nodes, and where the measured figures come from. */
  readonly sources: readonly string[];
  /** Nodes and CPUs were printed, and none of the figures is an estimate. */
  readonly certain: boolean;
}

/**
 * Where one direction is unreachable (a node without CPUs), the other's distance; where both are, the farthest a table
 * can say.
 */
const reachable = (there: number, back: number): number => (there !== 255 ? there : Math.min(back, 254));

/**
 * Measured figures stand; where one is missing the other direction's stands, and where both are, the distance is
 * scaled.
 */
export function machineOnFound(found: FoundMachine, base: MachineSpec): MachineSpec {
  const scale = distanceScale(base);
  const filled = (measured: FoundMachine["latencyNs"], scaled: (distance: number) => number): number[][] =>
    found.distance.map((row, i) =>
      row.map(
        (distance, j) =>
          measured?.[i]?.[j] ?? measured?.[j]?.[i] ?? scaled(reachable(distance, found.distance[j]![i]!)),
      ),
    );
  const isCpuRow = found.nodes.map((node) => node.cpus.length > 0);
  const complete = (measured: FoundMachine["latencyNs"]): boolean =>
    measured !== undefined && measured.every((row, i) => !isCpuRow[i] || row.every((value) => value !== undefined));
  const scaled = [
    ...(complete(found.latencyNs) ? [] : ["latency"]),
    ...(complete(found.bandwidthMBs) ? [] : ["bandwidth"]),
  ];
  const scaledSource =
    scaled.length === 0 ? [] : [`${scaled.join(" and ")} where not measured: distances scaled, ${scale.rule}`];
  const { cpus, assumed } =
    found.placed ?? placeCpus(found.nodes, found.distance, base, found.fromFirmware, found.places);
  const { assumedTopology: _, ...rest } = base;
  return {
    ...rest,
    name: found.name,
    description: found.description,
    nodes: found.nodes.map(({ id, memoryBytes }) => ({ id, memoryBytes: Math.floor(memoryBytes / 2 ** 21) * 2 ** 21 })),
    cpus,
    ...(assumed === undefined ? {} : { assumedTopology: assumed }),
    latencyNs: filled(found.latencyNs, scale.latencyNs),
    bandwidthMBs: filled(found.bandwidthMBs, scale.bandwidthMBs),
    distance: found.distance,
    interconnectSource: [...found.sources, ...scaledSource].join("; "),
    provisional: base.provisional || scaled.length > 0 || !found.certain,
    sources: [
      ...found.sources,
      ...scaledSource,
      `everything else: ${base.name}, whose sources follow`,
      ...base.sources,
    ],
  };
}
