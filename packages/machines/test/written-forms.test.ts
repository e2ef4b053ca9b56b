/**
 * A machine in the forms of others: ACPI tables that our reader reads back, and QEMU's options, of every preset.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import {
  acpiTables,
  checkMachine,
  machineFromAccounts,
  presets,
  qemuOptions,
  readAcpi,
  tableFromBytes,
  tiny2Node,
} from "../src/index.js";

const back = (machine: MachineSpec): MachineSpec =>
  machineFromAccounts(
    [readAcpi([...acpiTables(machine)].map(([name, bytes]) => tableFromBytes(bytes, name)))],
    machine.name,
    { base: machine },
  );
/** Memory alone in node 4, no memory in node 2, gaps in the ids. */
const sparse: MachineSpec = {
  ...tiny2Node,
  name: "sparse",
  nodes: [
    { id: 0, memoryBytes: 2 ** 30 },
    { id: 2, memoryBytes: 0 },
    { id: 4, memoryBytes: 2 ** 31, startAddress: 2 ** 33 },
  ],
  cpus: [0, 1, 2].map((id) => ({
    id,
    node: id === 2 ? 2 : 0,
    core: id,
    l3: id === 2 ? 1 : 0,
    socket: id === 2 ? 1 : 0,
  })),
  distance: [
    [10, 21, 30],
    [21, 10, 40],
    [30, 40, 10],
  ],
  latencyNs: [
    [90, 1, 200.4],
    [140.2, 1, 300],
    [1, 1, 1],
  ],
  bandwidthMBs: [
    [100_000, 1, 20_000],
    [50_000, 1, 10_000],
    [1, 1, 1],
  ],
};

describe.each([...presets, sparse].map((machine) => [machine.name, machine] as const))("%s", (_name, machine) => {
  test("to SRAT, SLIT and HMAT and back: nodes, CPUs, distances, latencies to 0.1 ns, bandwidths to one step", () => {
    const read = back(machine);
    expect(checkMachine(read)).toEqual([]);
    const memory = (of: MachineSpec): unknown => of.nodes.map(({ id, memoryBytes }) => [id, memoryBytes]);
    expect(memory(read)).toEqual(memory(machine));
    expect(read.cpus.map(({ id, node }) => [id, node])).toEqual(machine.cpus.map(({ id, node }) => [id, node]));
    expect(read.distance).toEqual(machine.distance);
    const step = Math.ceil(Math.max(...machine.bandwidthMBs.flat()) / 65_534);
    for (const [i, { id }] of machine.nodes.entries()) {
      if (!machine.cpus.some(({ node }) => node === id)) continue;
      for (const [j, { memoryBytes }] of machine.nodes.entries()) {
        if (memoryBytes === 0) continue;
        expect(read.latencyNs[i]![j]).toBeCloseTo(machine.latencyNs[i]![j]!, 0.5);
        expect(Math.abs(read.latencyNs[i]![j]! - machine.latencyNs[i]![j]!)).toBeLessThanOrEqual(0.0501);
        expect(Math.abs(read.bandwidthMBs[i]![j]! - machine.bandwidthMBs[i]![j]!)).toBeLessThanOrEqual(step);
      }
    }
  });

  test("QEMU's options: every node, CPU and pair of distances once, each word without blanks", () => {
    const { words } = qemuOptions(machine);
    expect(words.length % 2).toBe(0);
    expect(words.every((word) => !/\s/.test(word))).toBe(true);
    const values = (prefix: string): string[] => words.filter((word) => word.startsWith(prefix));
    const n = machine.nodes.length;
    expect(values("node,")).toHaveLength(n);
    expect(values("dist,")).toHaveLength(n * (n - 1));
    expect(new Set(values("cpu,")).size).toBe(machine.cpus.length);
    for (const [i, { id }] of machine.nodes.entries())
      expect(values(`cpu,node-id=${i},`)).toHaveLength(machine.cpus.filter(({ node }) => node === id).length);
  });
});

test("what QEMU cannot say is told: gaps, sockets that differ, its own numbering", () => {
  const { words, remarks } = qemuOptions(sparse);
  expect(remarks).toEqual([
    "nodes 0, 2, 4 become 0 to 2: QEMU has no gaps",
    "sockets and cores are not all alike: every CPU becomes a socket of its own",
  ]);
  expect(words).toContain("3,sockets=3,cores=1,threads=1");
  expect(words).toContain("node,nodeid=1,initiator=1");
  // The memory beside hangs on the node that reaches it soonest.
  expect(words).toContain("node,nodeid=2,memdev=m2,initiator=0");
  expect(words).toContain("dist,src=1,dst=2,val=40");
  expect(words).toContain("hmat-lb,initiator=1,target=2,hierarchy=memory,data-type=access-bandwidth,bandwidth=10000M");
  expect(qemuOptions(presets[0]!).remarks.join()).toContain("numbers CPUs by socket, core and thread");
});
