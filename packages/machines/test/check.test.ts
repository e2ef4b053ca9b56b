/** Each thing that can be wrong with a machine, done to a sound one: exactly that field is named. */
import { fieldName } from "@kreplica/inputs";
import { expect, test } from "vitest";
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { checkMachine } from "../src/check.js";
import { preset } from "../src/presets/index.js";

/* eslint-disable @typescript-eslint/no-explicit-any -- the point is to write what the types forbid */
type Harm = (machine: any) => void;

const harms: [field: string, reason: RegExp, harm: Harm][] = [
  [
    "nodes[1].id",
    /listed twice/,
    (m) => {
      m.nodes[1].id = 0;
      m.cpus = m.cpus.filter((c: any) => c.node === 0);
    },
  ],
  [
    "nodes[1].id",
    /comes after/,
    (m) => {
      m.nodes.reverse();
      delete m.nodes[0].startAddress;
      delete m.nodes[1].startAddress;
    },
  ],
  [
    "nodes[0].memoryBytes",
    /multiple of 2 MiB/,
    (m) => {
      m.nodes[0].memoryBytes -= 4096;
    },
  ],
  [
    "nodes[1].startAddress",
    /multiple of 2 MiB/,
    (m) => {
      m.nodes[1].startAddress += 4096;
    },
  ],
  [
    "nodes[1].startAddress",
    /overlaps that of node 0/,
    (m) => {
      m.nodes[1].startAddress -= 2 ** 21;
    },
  ],
  [
    "nodes[1].startAddress",
    /limit of 43 physical/,
    (m) => {
      m.nodes[1].startAddress = 2 ** 43;
      m.physicalBits = 43;
    },
  ],
  ...([15 * 2 ** 40, 2 ** 44 - 2 ** 21, 3 * 2 ** 44, 2 ** 45 + 127 * 2 ** 30].map((start) => [
    "nodes[1].startAddress",
    /memory of node 1, from 0x[0-9a-f]+ to below 0x[0-9a-f]+, lies where the model has no frames/,
    (m) => {
      m.nodes[1].startAddress = start;
    },
  ]) satisfies typeof harms),
  [
    "encryptionBit",
    /entries of an Intel core have no encryption bit/,
    (m) => {
      m.encryptionBit = 51;
      delete m.vendor;
    },
  ],
  [
    "nodes",
    /no node has memory/,
    (m) => {
      m.nodes[0].memoryBytes = 0;
      m.nodes[1].memoryBytes = 0;
    },
  ],
  [
    "cpus",
    /no CPU/,
    (m) => {
      m.cpus = [];
    },
  ],
  [
    "cpus[3].id",
    /CPU 2 is listed twice/,
    (m) => {
      m.cpus[3].id = 2;
    },
  ],
  [
    "cpus[1].node",
    /no node 5/,
    (m) => {
      m.cpus[1].node = 5;
    },
  ],
  [
    "cpus[2].node",
    /core 0 is in node 0 and in node 1/,
    (m) => {
      m.cpus[2].core = 0;
      m.cpus[2].l3 = 0;
      m.cpus[2].socket = 0;
    },
  ],
  [
    "cpus[1].l3",
    /core 0 is in l3 0 and in l3 7/,
    (m) => {
      m.cpus[1].core = 0;
      m.cpus[1].l3 = 7;
    },
  ],
  [
    "cpus[2].l3",
    /L3 0 is in socket 0 and in socket 1/,
    (m) => {
      m.cpus[2].l3 = 0;
      m.cpus[3].l3 = 9;
    },
  ],
  [
    "cpus[8].core",
    /more than 8 threads/,
    (m) => {
      m.cpus = Array.from({ length: 10 }, (_, id) => ({ id, node: 0, core: 0, l3: 0, socket: 0 }));
    },
  ],
  [
    "l1i.bytes",
    /multiple of 64 sets/,
    (m) => {
      m.l1i.bytes += 64;
    },
  ],
  [
    "nodes[1].startAddress",
    /lies where the model has no frames/,
    (m) => {
      m.nodes[1].startAddress = 2 ** 44 - 2 ** 29;
    },
  ],
  [
    "l1d.bytes",
    /no power of two/,
    (m) => {
      m.l1d.bytes *= 3;
    },
  ],
  [
    "l2.ways",
    /33 ways/,
    (m) => {
      m.l2 = { ...m.l2, ways: 33, bytes: 33 * 4096 };
    },
  ],
  [
    "costs.prefetchHiddenCycles",
    /does not contain/,
    (m) => {
      m.costs.prefetchHiddenCycles = { value: 1, low: 2, source: "x" };
    },
  ],
  [
    "l2.bytes",
    /multiple of 64 sets/,
    (m) => {
      m.l2.ways = 3;
    },
  ],
  [
    "translation.instruction.small.entries",
    /power of two of sets/,
    (m) => {
      m.translation.instruction.small = { entries: 12, ways: 4 };
    },
  ],
  [
    "translation.second.huge.entries",
    /power of two of sets/,
    (m) => {
      m.translation.second.huge = { entries: 6, ways: 4 };
    },
  ],
  [
    "l3.replacement.policy",
    /tree over 3 ways/,
    (m) => {
      m.l3 = { ...m.l3, ways: 3, bytes: 3 * 4096, replacement: { policy: "tree-plru" } };
    },
  ],
  [
    "translation.data.small.replacement.seed",
    /nru draws nothing/,
    (m) => {
      m.translation.data.small.replacement = { policy: "nru", seed: 1 };
    },
  ],
  [
    "hertz",
    /does not contain its value/,
    (m) => {
      m.hertz = { value: 2, low: 3, high: 4, source: "" };
    },
  ],
  [
    "l3.cycles",
    /does not contain its value/,
    (m) => {
      m.l3.cycles = { value: 2, high: 1, source: "" };
    },
  ],
  [
    "costs.fetchExposure",
    /not between 0 and 1/,
    (m) => {
      m.costs.fetchExposure = { value: 1, high: 1.1, source: "" };
    },
  ],
  [
    "costs.storeExposure",
    /not between 0 and 1/,
    (m) => {
      m.costs.storeExposure = { value: 0, low: -0.1, source: "" };
    },
  ],
  [
    "costs.ipiCycles",
    /-1 is negative/,
    (m) => {
      m.costs.ipiCycles = { value: 1, low: -1, source: "x" };
    },
  ],
  [
    "hertz.value",
    /stands still/,
    (m) => {
      m.hertz = { value: 0, source: "x" };
    },
  ],
  [
    "latencyNs",
    /1 rows for 2 nodes/,
    (m) => {
      m.latencyNs.pop();
    },
  ],
  [
    "bandwidthMBs[1]",
    /3 columns for 2 nodes/,
    (m) => {
      m.bandwidthMBs[1].push(1);
    },
  ],
  [
    "distance[0][0]",
    /to itself is 20/,
    (m) => {
      m.distance[0][0] = 20;
    },
  ],
  [
    "distance[1][0]",
    /10 is the distance of a node to itself/,
    (m) => {
      m.distance[1][0] = 10;
    },
  ],
  [
    "distance[0][1]",
    /CPUs of node 0 cannot reach/,
    (m) => {
      m.distance[0][1] = 255;
    },
  ],
];

test.each(harms)("%s: %s", (field, reason, harm) => {
  const machine = structuredClone(preset("tiny-2-node")!) as MachineSpec;
  expect(checkMachine(machine)).toEqual([]);
  harm(machine);
  const faults = checkMachine(machine);
  expect(faults.map((fault) => fieldName(fault.path))).toEqual([field]);
  expect(faults[0]!.reason).toMatch(reason);
  expect(faults[0]!.remedy).not.toBe("");
});

test("memory at the very limit, a node without memory, a node without CPUs that reaches nobody: all sound", () => {
  const machine = structuredClone(preset("tiny-2-node")!) as any;
  machine.nodes = [
    { id: 0, memoryBytes: 2 ** 43 },
    { id: 1, memoryBytes: 0 },
    { id: 9, memoryBytes: 2 ** 43 - 2 ** 40 - 2 ** 21 },
  ];
  for (const name of ["latencyNs", "bandwidthMBs"])
    machine[name] = [
      [1, 2, 2],
      [2, 1, 2],
      [2, 2, 1],
    ];
  machine.distance = [
    [10, 255, 20],
    [20, 10, 20],
    [255, 255, 10],
  ];
  expect(checkMachine(machine)).toEqual([]);
});

test("one node over two sockets is a machine too (memory interleaved by the firmware)", () => {
  const machine = structuredClone(preset("tiny-2-node")!) as any;
  machine.nodes.pop();
  for (const cpu of machine.cpus) cpu.node = 0;
  Object.assign(machine, { latencyNs: [[100]], bandwidthMBs: [[1]], distance: [[10]] });
  expect(checkMachine(machine)).toEqual([]);
});
