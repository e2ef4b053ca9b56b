/**
 * The guest of a recording: nodes and distances of a machine, with few CPUs and little memory each, since an emulator
 * pays for both; as options of QEMU, and as the text that `--recorded-nodes` reads.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";

/** A node of the guest. */
export interface GuestMachineNode {
  readonly cpus: readonly number[];
  readonly mebibytes: number;
}

/** Nodes from 0 on, whatever their numbers are in the machine. */
export interface GuestMachine {
  readonly name: string;
  readonly nodes: readonly GuestMachineNode[];
  /** SLIT. */
  readonly distance: readonly (readonly number[])[];
  /** CPU that is recorded: the first of the last node that has some, so that the kernel's image is far. */
  readonly cpu: number;
}

const CPUS_OF_NODE = 2;
const MOST_CPUS = 64;
/** Below the hole for devices, so that memory lies in one piece. */
const MOST_MEBIBYTES = 2816;
const OF_NODE = 512;
const LEAST_OF_NODE = 128;

/** As the recordings that ship were made: two nodes, 512 MiB and two CPUs each. */
export const plainGuest: GuestMachine = {
  name: "2 nodes",
  nodes: [
    { cpus: [0, 1], mebibytes: OF_NODE },
    { cpus: [2, 3], mebibytes: OF_NODE },
  ],
  distance: [
    [10, 21],
    [21, 10],
  ],
  cpu: 2,
};

/** @throws InputError for a machine that no guest can stand for */
export function guestOf({ name, nodes, cpus, distance }: MachineSpec): GuestMachine {
  const refuse = (reason: string): never => {
    throw new InputError({
      file: "--machine",
      reason: `${name}: ${reason}`,
      remedy: "record on a smaller machine: a replay runs on any",
    });
  };
  const withMemory = nodes.filter(({ memoryBytes }) => memoryBytes > 0).length;
  const each = Math.min(OF_NODE, Math.floor(MOST_MEBIBYTES / withMemory / 64) * 64);
  if (each < LEAST_OF_NODE) refuse(`${withMemory} nodes with memory, and a recorded guest has at most 22`);
  let next = 0;
  const own = nodes.map(({ id, memoryBytes }): GuestMachineNode => {
    const count = Math.min(CPUS_OF_NODE, cpus.filter(({ node }) => node === id).length);
    const first = next;
    next += count;
    return { cpus: Array.from({ length: count }, (_, i) => first + i), mebibytes: memoryBytes > 0 ? each : 0 };
  });
  if (next > MOST_CPUS) refuse(`${next} CPUs, and a recording has at most ${MOST_CPUS}`);
  if (own[0]!.mebibytes === 0) refuse("its first node has no memory, where a guest's kernel lies");
  return { name, nodes: own, distance, cpu: own.findLast((node) => node.cpus.length > 0)!.cpus[0]! };
}

/**
 * Options of QEMU.
 *
 * @param blocks a block of memory for each node, which QEMU's later machines want; otherwise all in one, as the
 *   recorder
 *   needs it before interface 5
 */
export function machineArguments({ nodes, distance }: GuestMachine, blocks: boolean): string[] {
  const total = nodes.reduce((sum, { mebibytes }) => sum + mebibytes, 0);
  const cpus = nodes.reduce((sum, node) => sum + node.cpus.length, 0);
  return [
    // The last machine whose nodes share one block.
    ...["-machine", blocks ? "pc" : "pc-i440fx-5.0", "-smp", `${cpus}`, "-m", `${total}M`],
    ...nodes.flatMap(({ cpus: [first, ...more], mebibytes }, i) => [
      ...(blocks && mebibytes > 0 ? ["-object", `memory-backend-ram,id=node${i},size=${mebibytes}M`] : []),
      "-numa",
      [
        `node,nodeid=${i}`,
        ...(mebibytes === 0 ? [] : [blocks ? `memdev=node${i}` : `mem=${mebibytes}M`]),
        ...(first === undefined ? [] : [`cpus=${first}-${more.at(-1) ?? first}`]),
      ].join(","),
    ]),
    ...distance.flatMap((row, from) =>
      row.flatMap((value, to) => (from === to ? [] : ["-numa", `dist,src=${from},dst=${to},val=${value}`])),
    ),
  ];
}

/** As QEMU's `info numa` says it. */
export const nodesText = ({ nodes }: GuestMachine): string =>
  nodes
    .map(({ cpus, mebibytes }, i) => `node ${i} cpus: ${cpus.join(" ")}\nnode ${i} size: ${mebibytes} MB\n`)
    .join("");
