/**
 * What lstopo's XML says of reaching memory, hwloc 2.3 and later:
 *
 *     <memattr name="Latency"> <memattr_value target_obj_gp_index="8" value="90" initiator_cpuset="0x00000003"/>
 *
 * Initiators are a cpuset or an object's number; latencies are nanoseconds, bandwidths MiB/s.
 *
 * @source hwloc 2, "Comparing memory node attributes for finding where to allocate on"
 */
/** Attributes of memory that are read; reads go before both together, which older ones say. */
export const MEMORY_ATTRIBUTES: Readonly<Record<string, MemoryFigure["kind"]>> = {
  Latency: "latencyNs",
  ReadLatency: "latencyNs",
  Bandwidth: "bandwidthMBs",
  ReadBandwidth: "bandwidthMBs",
};

/** What a memory attribute says of a node, seen from CPUs. */
export interface MemoryFigure {
  readonly kind: "latencyNs" | "bandwidthMBs";
  readonly target: string;
  readonly value: string;
  readonly cpuset: string | undefined;
  readonly initiator: string | undefined;
}

/** @param say an attribute of the element */
export const memoryFigure = (kind: MemoryFigure["kind"], say: (key: string) => string | undefined): MemoryFigure => ({
  kind,
  target: say("target_obj_gp_index") ?? "",
  value: say("value") ?? "",
  cpuset: say("initiator_cpuset"),
  initiator: say("initiator_obj_gp_index"),
});

/** Nanoseconds as they are; MiB/s as MB/s of 1,000,000 bytes. */
export const inUnits = (kind: MemoryFigure["kind"], figure: number): number =>
  kind === "latencyNs" ? figure : Math.round((figure * 2 ** 20) / 1e6);

/**
 * Whose CPUs are whose: memory beside a node (HBM, CXL) has the cpuset of all that it is near to, and none of its own.
 * The narrowest node has a CPU; of nodes alike, the one of the lowest id.
 */
export function ownersOf(
  homes: ReadonlyMap<number, { readonly cpus: readonly number[] }>,
): ReadonlyMap<number, readonly number[]> {
  const taken = new Set<number>();
  const owners = new Map<number, readonly number[]>();
  for (const [id, { cpus }] of [...homes].sort(([a, x], [b, y]) => x.cpus.length - y.cpus.length || a - b)) {
    if (cpus.length === 0 || cpus.some((cpu) => taken.has(cpu))) continue;
    for (const cpu of cpus) taken.add(cpu);
    owners.set(id, cpus);
  }
  return owners;
}

/** Nodes all of whose CPUs are among the initiator's. */
export function seenFrom(owners: ReadonlyMap<number, readonly number[]>, cpus: readonly number[]): number[] {
  const among = new Set(cpus);
  return [...owners].flatMap(([id, own]) => (own.every((cpu) => among.has(cpu)) ? [id] : []));
}
