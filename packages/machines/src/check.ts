/**
 * What must hold between the fields of a machine, beyond the shape of each: run on every machine, wherever it came
 * from. The machine's own check (hw-x86) has the last word; here stands what it does not ask, and what needs a better
 * remedy in a file.
 */
import {
  type CacheSpec,
  hex,
  isMemoryPlace,
  LARGE_BYTES,
  machineSpecFaults,
  type MachineSpec,
  MEMORY_PLACES,
  PAGE_BYTES,
  type Replacement,
  type Sourced,
  type TlbSpec,
} from "@kreplica/hw-x86/api";
import { cutOff } from "./found-node.js";

/** One thing wrong with a machine. */
export interface MachineFault {
  readonly path: readonly (string | number)[];
  readonly reason: string;
  readonly remedy: string;
}

/** Bytes of one way of 64 sets of 64-byte lines: the model chooses the set by the line in its page first. */
const SET_GROUP = PAGE_BYTES;
/** Entries of the model's TLBs tell this many threads of a core apart. */
const MOST_THREADS = 8;
const GIB = 2 ** 30;

const isSourced = (value: unknown): value is Sourced =>
  typeof value === "object" && value !== null && "value" in value && "source" in value;

/** Every number with a range in the machine, with its path. */
export function* sourcedNumbers(
  value: unknown,
  path: readonly (string | number)[] = [],
): Generator<{ path: readonly (string | number)[]; number: Sourced }> {
  if (isSourced(value)) yield { path, number: value };
  else if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [key, member] of Object.entries(value)) yield* sourcedNumbers(member, [...path, key]);
  }
}

/**
 * All faults, in the order of the fields; empty when the machine can be built. Assumes the shape of {@link
 * MachineSpec}.
 */
export function checkMachine(machine: MachineSpec): MachineFault[] {
  const faults: MachineFault[] = [];
  const fault = (path: readonly (string | number)[], reason: string, remedy: string): void => {
    faults.push({ path, reason, remedy });
  };

  const nodeIndex = new Map<number, number>();
  let end = 0;
  const ranges: { first: number; end: number; index: number }[] = [];
  for (const [index, { id, memoryBytes, startAddress }] of machine.nodes.entries()) {
    if (nodeIndex.has(id)) fault(["nodes", index, "id"], `node ${id} is listed twice`, "give every node its own id");
    else nodeIndex.set(id, index);
    if (index > 0 && id < machine.nodes[index - 1]!.id)
      fault(
        ["nodes", index, "id"],
        `node ${id} comes after node ${machine.nodes[index - 1]!.id}`,
        "list nodes by ascending id",
      );
    if (memoryBytes % LARGE_BYTES !== 0)
      fault(
        ["nodes", index, "memoryBytes"],
        `${memoryBytes} is not a multiple of 2 MiB`,
        `write ${Math.floor(memoryBytes / LARGE_BYTES) * LARGE_BYTES}`,
      );
    if (startAddress !== undefined && startAddress % LARGE_BYTES !== 0)
      fault(
        ["nodes", index, "startAddress"],
        `${startAddress} is not a multiple of 2 MiB`,
        "put the node on a 2 MiB boundary",
      );
    const first = startAddress ?? Math.ceil(end / GIB) * GIB;
    if (memoryBytes > 0) ranges.push({ first, end: first + memoryBytes, index });
    end = Math.max(end, first + memoryBytes);
  }
  ranges.sort((a, b) => a.first - b.first);
  for (const [i, range] of ranges.entries()) {
    if (i > 0 && range.first < ranges[i - 1]!.end)
      fault(
        ["nodes", range.index, "startAddress"],
        `memory of node ${machine.nodes[range.index]!.id} overlaps that of node ${machine.nodes[ranges[i - 1]!.index]!.id}`,
        "move one of them",
      );
  }
  for (const range of ranges) {
    const { id, startAddress } = machine.nodes[range.index]!;
    const field = startAddress === undefined ? "memoryBytes" : "startAddress";
    if (range.end > 2 ** machine.physicalBits)
      fault(
        ["nodes", range.index, field],
        `memory of node ${id} ends at ${hex(range.end)}, beyond the limit of ${machine.physicalBits} physical address bits`,
        "give the nodes less memory or lower addresses, or write what CPUID says to physicalBits",
      );
    else if (!isMemoryPlace(range.first / PAGE_BYTES, (range.end - range.first) / PAGE_BYTES))
      fault(
        ["nodes", range.index, field],
        `memory of node ${id}, from ${hex(range.first)} to below ${hex(range.end)}, lies where the model has no frames`,
        `put it ${MEMORY_PLACES}`,
      );
  }
  if (ranges.length === 0) fault(["nodes"], "no node has memory", "give at least one node memory");

  checkCpus(machine, nodeIndex, fault);

  for (const name of ["l1i", "l1d", "l2", "l3"] as const) {
    const { bytes, ways }: CacheSpec = machine[name];
    if (bytes % (ways * SET_GROUP) !== 0)
      fault(
        [name, "bytes"],
        `${bytes} bytes in ${ways} ways is not a multiple of 64 sets of 64-byte lines`,
        `make it a multiple of ${ways * SET_GROUP}`,
      );
  }
  const { instruction, data, second } = machine.translation;
  const tlbs: [string[], TlbSpec | undefined][] = [
    [["instruction", "small"], instruction.small],
    [["instruction", "large"], instruction.large],
    [["data", "small"], data.small],
    [["data", "large"], data.large],
    [["data", "huge"], data.huge],
    [["second"], second],
    [["second", "huge"], second.huge],
  ];
  for (const [path, tlb] of tlbs) {
    if (tlb && !Number.isInteger(Math.log2(tlb.entries / tlb.ways)))
      fault(
        ["translation", ...path, "entries"],
        `${tlb.entries} entries in ${tlb.ways} ways is not a power of two of sets`,
        `make it ${tlb.ways} times a power of two`,
      );
  }
  const replaced: [string[], { readonly ways: number; readonly replacement?: Replacement } | undefined][] = [
    ...(["l1i", "l1d", "l2", "l3"] as const).map((name): [string[], CacheSpec] => [[name], machine[name]]),
    ...tlbs.map(([path, tlb]): [string[], TlbSpec | undefined] => [["translation", ...path], tlb]),
  ];
  for (const [path, part] of replaced) {
    const { policy, seed } = part?.replacement ?? { policy: "lru" };
    if (policy === "tree-plru" && !Number.isInteger(Math.log2(part!.ways)))
      fault(
        [...path, "replacement", "policy"],
        `a tree over ${part!.ways} ways is not even`,
        "make the ways a power of two, or choose another policy",
      );
    if (seed !== undefined && policy !== "random")
      fault([...path, "replacement", "seed"], `${policy} draws nothing`, "leave it out, or choose random");
  }

  for (const {
    path,
    number: { value, low = value, high = value },
  } of sourcedNumbers(machine)) {
    if (low > value || high < value)
      fault(path, `its range ${low} to ${high} does not contain its value ${value}`, "write low <= value <= high");
    const share = path[0] === "costs" && String(path[1]).endsWith("Exposure");
    if (share && (low < 0 || high > 1))
      fault(path, `a share of ${low < 0 ? low : high} is not between 0 and 1`, "write a fraction");
    if (!share && low < 0) fault(path, `${low} is negative`, "write a number from 0");
  }

  for (const [i, { utilisation, timesIdle }] of (machine.loadedLatency?.points ?? []).entries()) {
    const before = machine.loadedLatency!.points[i - 1];
    if (before && utilisation <= before.utilisation)
      fault(
        ["loadedLatency", "points", i, "utilisation"],
        `${utilisation} does not come after ${before.utilisation}`,
        "list points by ascending utilisation",
      );
    if (before && timesIdle < before.timesIdle)
      fault(
        ["loadedLatency", "points", i, "timesIdle"],
        `latency falls from ${before.timesIdle} to ${timesIdle} as use grows`,
        "write the highest latency up to there",
      );
  }

  const count = machine.nodes.length;
  for (const name of ["latencyNs", "bandwidthMBs", "distance"] as const) {
    const rows = machine[name];
    if (rows.length !== count)
      fault([name], `${rows.length} rows for ${count} nodes`, "write one row a node, in the order of nodes");
    for (const [i, row] of rows.entries()) {
      if (row.length !== count)
        fault([name, i], `${row.length} columns for ${count} nodes`, "write one column a node, in the order of nodes");
    }
  }
  for (const [i, row] of machine.distance.entries()) {
    if (row[i] !== undefined && row[i] !== 10)
      fault(
        ["distance", i, i],
        `the distance of a node to itself is ${row[i]}`,
        "write 10, the ACPI table's value for local",
      );
    for (const [j, distance] of row.entries()) {
      if (i !== j && distance === 10)
        fault(["distance", i, j], "10 is the distance of a node to itself", "write more than 10 between nodes");
      const from = machine.nodes[i];
      const to = machine.nodes[j];
      if (distance === 255 && from && to && to.memoryBytes > 0 && machine.cpus.some((cpu) => cpu.node === from.id)) {
        const { reason, remedy } = cutOff(from.id, to.id);
        fault(["distance", i, j], reason, remedy);
      }
    }
  }
  return faults.length > 0
    ? faults
    : machineSpecFaults(machine).map(({ field, reason, remedy }) => ({ path: pathOf(field), reason, remedy }));
}

/** `cpus[3].node` as a path. */
const pathOf = (field: string): (string | number)[] =>
  [...field.matchAll(/[^.[\]]+/g)].map(([key]) => (/^\d+$/.test(key) ? Number(key) : key));

function checkCpus(
  machine: MachineSpec,
  nodeIndex: ReadonlyMap<number, number>,
  fault: (path: readonly (string | number)[], reason: string, remedy: string) => void,
): void {
  if (machine.cpus.length === 0) fault(["cpus"], "no CPU", "give at least one node CPUs");
  const ids = new Set<number>();
  const cores = new Map<number, { node: number; l3: number; socket: number }>();
  const threads = new Map<number, number>();
  const socketOfL3 = new Map<number, number>();
  for (const [index, cpu] of machine.cpus.entries()) {
    const { id, node, core, l3, socket } = cpu;
    if (ids.has(id)) fault(["cpus", index, "id"], `CPU ${id} is listed twice`, "give every CPU its own id");
    ids.add(id);
    if (!nodeIndex.has(node))
      fault(["cpus", index, "node"], `there is no node ${node}`, `name one of ${[...nodeIndex.keys()].join(", ")}`);
    const same = cores.get(core) ?? cpu;
    for (const field of ["node", "l3", "socket"] as const) {
      if (same[field] !== cpu[field])
        fault(
          ["cpus", index, field],
          `core ${core} is in ${field} ${same[field]} and in ${field} ${cpu[field]}`,
          "threads of one core share node, L3 and socket",
        );
    }
    cores.set(core, same);
    threads.set(core, (threads.get(core) ?? 0) + 1);
    if (threads.get(core) === MOST_THREADS + 1)
      fault(
        ["cpus", index, "core"],
        `core ${core} has more than ${MOST_THREADS} threads`,
        "number cores over the whole machine",
      );
    const l3Socket = socketOfL3.get(l3) ?? socket;
    if (l3Socket !== socket)
      fault(
        ["cpus", index, "l3"],
        `L3 ${l3} is in socket ${l3Socket} and in socket ${socket}`,
        "number L3 domains over the whole machine",
      );
    socketOfL3.set(l3, l3Socket);
  }
}
