/**
 * Links between sockets and memory controllers of nodes, and the bytes that a run moves over each. A link is one
 * direction of what joins two sockets, however many cables that are; nodes of one socket share it. Data of a read flows
 * from the memory's socket, of a write-back to it. Routes over a third socket are not known and load no other link.
 */
import { CounterLayout, Kind, type MachineSpec, type NodeId, REGIONS, Source } from "@kreplica/hw-x86";

const LINE = 64;
/** What moves a line; the first fetch of a prefetched one is counted when the prefetcher brings it. */
const MOVING = [Kind.Fetch, Kind.Load, Kind.Store, Kind.Walk, Kind.Prefetch] as const;

/** Something with a peak that several CPUs share. */
export type Resource = {
  /** Highest read bandwidth that was measured over it, MB/s of 1,000,000 bytes. */
  readonly peakMBs: number;
} & (
  | { readonly kind: "memory"; readonly node: NodeId }
  /** Data flows from one to the other: any node of either socket stands for it, here the first. */
  | { readonly kind: "link"; readonly from: NodeId; readonly to: NodeId }
);

/** A node without CPUs is beyond a link of its own. */
const groupOf = (spec: MachineSpec, node: NodeId): string => {
  const cpu = spec.cpus.find((each) => each.node === node);
  return cpu ? `socket ${cpu.socket}` : `node ${node}`;
};

/** The shared resources of a machine. Indices of nodes are those of its specification. */
export class Interconnect {
  readonly resources: readonly Resource[];
  /** `memoryOf[node]`, -1 for a node without memory. */
  readonly memoryOf: readonly number[];
  private readonly groups: readonly number[];
  private readonly names: readonly string[];
  private readonly links: ReadonlyMap<string, number>;
  /** Groups with CPUs. */
  private readonly withCpus: readonly number[];
  private readonly layout: CounterLayout;

  constructor(spec: MachineSpec) {
    const resources: Resource[] = [];
    this.layout = new CounterLayout(spec.nodes.length);
    const hasCpus = spec.nodes.map(({ id }) => spec.cpus.some((cpu) => cpu.node === id));
    const readers = spec.nodes.map((_, index) => index).filter((index) => hasCpus[index]);
    this.memoryOf = spec.nodes.map(({ id, memoryBytes }, home) =>
      memoryBytes === 0
        ? -1
        : resources.push({
            kind: "memory",
            node: id,
            peakMBs: Math.max(...readers.map((from) => spec.bandwidthMBs[from]![home]!)),
          }) - 1,
    );
    const names = spec.nodes.map(({ id }) => groupOf(spec, id));
    this.names = [...new Set(names)];
    this.groups = names.map((name) => this.names.indexOf(name));
    this.withCpus = this.names
      .map((_, group) => group)
      .filter((group) => readers.some((i) => this.groups[i] === group));
    const links = new Map<string, number>();
    const members = (group: number): number[] => spec.nodes.map((_, i) => i).filter((i) => this.groups[i] === group);
    for (const from of this.names.keys())
      for (const to of this.names.keys()) {
        if (from === to || !(this.withCpus.includes(from) || this.withCpus.includes(to))) continue;
        const measured = (reader: number, home: number): number[] =>
          members(reader).flatMap((i) => (hasCpus[i] ? members(home).map((j) => spec.bandwidthMBs[i]![j]!) : []));
        // Nobody measures what flows to a node without CPUs: as much as comes from it.
        const peaks = this.withCpus.includes(to) ? measured(to, from) : measured(from, to);
        links.set(
          `${from} ${to}`,
          resources.push({
            kind: "link",
            from: spec.nodes[members(from)[0]!]!.id,
            to: spec.nodes[members(to)[0]!]!.id,
            peakMBs: Math.max(...peaks),
          }) - 1,
        );
      }
    this.links = links;
    this.resources = resources;
  }

  /** The link over which data flows between two nodes; -1 within a socket. */
  link(from: number, to: number): number {
    return this.links.get(`${this.groups[from]} ${this.groups[to]}`) ?? -1;
  }

  /** Links over which a line comes from another socket's cache to a CPU of any socket. */
  betweenCaches(): number[] {
    return this.withCpus.flatMap((from) => this.withCpus.flatMap((to) => this.links.get(`${from} ${to}`) ?? []));
  }

  /** Lines read from any node's memory, text and data alike. */
  memoryLines(counters: Float64Array): number {
    const { layout } = this;
    let lines = 0;
    for (let region = 0; region < REGIONS; region++)
      for (const kind of MOVING)
        for (let home = 0; home < layout.nodes; home++)
          lines += counters[layout.row(region, kind) + Source.Memory + home]!;
    return lines;
  }

  /**
   * Bytes over each resource, in their order.
   * @param counters of a run of one CPU @param node index of its node
   */
  bytes(counters: Float64Array, node: number): Float64Array {
    const { layout } = this;
    const bytes = new Float64Array(this.resources.length);
    const add = (resource: number, lines: number): void => {
      if (resource >= 0) bytes[resource]! += LINE * lines;
    };
    const others = this.withCpus.filter((group) => group !== this.groups[node]);
    // Which of several sockets had the line is not counted.
    const fromCaches = (lines: number): void => {
      for (const group of others) add(this.links.get(`${group} ${this.groups[node]}`) ?? -1, lines / others.length);
    };
    for (let region = 0; region < REGIONS; region++)
      for (const kind of MOVING) {
        const row = layout.row(region, kind);
        fromCaches(counters[row + Source.DirtyOtherSocket]!);
        for (let home = 0; home < layout.nodes; home++) {
          const read = counters[row + Source.Memory + home]!;
          add(this.memoryOf[home]!, read);
          add(this.link(home, node), read);
          const clean = counters[row + layout.cleanOtherSocket + home]!;
          if (this.withCpus.includes(this.groups[home]!) && this.groups[home] !== this.groups[node])
            add(this.link(home, node), clean);
          else fromCaches(clean);
        }
      }
    for (let home = 0; home < layout.nodes; home++) {
      const written = counters[layout.writeBacks(home)]!;
      add(this.memoryOf[home]!, written);
      add(this.link(node, home), written);
    }
    return bytes;
  }
}
