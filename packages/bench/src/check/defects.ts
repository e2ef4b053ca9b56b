/**
 * Defects that can be laid over a checked kernel one at a time, by their id; and the machines on which those show that
 * do not on every one.
 */
import { OTHER_DEFECTS, SERIES_DEFECTS, type SeriesDefect } from "@kreplica/series-as-posted";
import type { BootOptions } from "../boot.js";

/** One defect, and where it shows on some machines alone, such a machine of a given one. */
export interface Defect {
  readonly row: SeriesDefect;
  readonly machine?: (options: BootOptions) => BootOptions;
}

/**
 * Of three nodes and more, the second is too small for a copy of the small kernel, and neighbours have the room. Memory
 * that comes later would be taken for a holder's.
 */
const withSmallNode = ({ offlineMemory = [], ...options }: BootOptions): BootOptions => {
  const nodes = options.spec.nodes.map((node) =>
    offlineMemory.includes(node.id) ? { ...node, memoryBytes: 0 } : node,
  );
  const few = nodes.filter((node) => node.memoryBytes > 0).length < 3;
  return {
    ...options,
    spec: {
      ...options.spec,
      nodes: few ? nodes : nodes.map((node) => (node.id === 1 ? { ...node, memoryBytes: 8 * 2 ** 20 } : node)),
    },
  };
};

export const DEFECTS: Readonly<Record<string, Defect>> = Object.fromEntries(
  [...SERIES_DEFECTS, ...OTHER_DEFECTS].map((row) => [
    row.id,
    { row, ...(row.configuration === "small node" ? { machine: withSmallNode } : {}) },
  ]),
);

/** A kernel with a defect laid over the corrected series. */
export const withDefect = (given: BootOptions, { row, machine }: Defect): BootOptions => ({
  ...(machine ? machine(given) : given),
  defects: [row],
});
