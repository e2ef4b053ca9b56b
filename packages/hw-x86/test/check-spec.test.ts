/** Every contradiction of a specification is found, with its field. */
import { describe, expect, test } from "vitest";
import { MachineError, type MachineSpec, checkMachineSpec, hwX86, machineSpecFaults } from "../src/index.js";
import { goldenMachine, tinyMachine } from "../src/testing.js";

const tiny = tinyMachine();
const cpu = tiny.cpus[0]!;
const node = tiny.nodes[0]!;
const { translation, costs } = tiny;

const broken: [string, Partial<MachineSpec>, string][] = [
  ["no nodes", { nodes: [] }, "nodes"],
  ["a node id too high", { nodes: [{ ...node, id: 64 }, tiny.nodes[1]!] }, "nodes[0].id"],
  ["a node twice", { nodes: [node, node] }, "nodes[1].id"],
  [
    "half a large page of memory",
    { nodes: [{ ...node, memoryBytes: 0x10_0000 }, tiny.nodes[1]!] },
    "nodes[0].memoryBytes",
  ],
  [
    "a start inside a large page",
    { nodes: [{ ...node, startAddress: 4096 }, tiny.nodes[1]!] },
    "nodes[0].startAddress",
  ],
  ["no memory at all", { nodes: tiny.nodes.map((each) => ({ ...each, memoryBytes: 0 })) }, "nodes"],
  ["nodes over one another", { nodes: tiny.nodes.map((each) => ({ ...each, startAddress: 0 })) }, "nodes"],
  [
    "more than 16 TiB",
    {
      nodes: [
        { id: 0, memoryBytes: 2 ** 44 },
        { id: 1, memoryBytes: 2 ** 21 },
      ],
    },
    "nodes",
  ],
  ["an encryption bit of Intel's", { encryptionBit: 51 }, "encryptionBit"],
  ["an encryption bit among the address's", { encryptionBit: 46 as 47, vendor: "amd" }, "encryptionBit"],
  ...(
    [
      ["up to 15 TiB", 2 ** 30, 15 * 2 ** 40 - 2 ** 30],
      ["within the sixteenth TiB", 2 ** 30, 15 * 2 ** 40 + 2 ** 30],
      ["up to 16 TiB", 2 ** 30, 2 ** 44 - 2 ** 30],
      ["over the start of a window", 2 ** 30, 2 ** 45 - 2 ** 29],
      ["over the end of a window", 2 ** 30, 2 ** 46 + 127 * 2 ** 30 - 2 ** 21],
      ["between windows", 2 ** 30, 3 * 2 ** 44],
      ["beyond the last window", 2 ** 30, 2 ** 52],
    ] as const
  ).map(([where, memoryBytes, startAddress]): [string, Partial<MachineSpec>, string] => [
    `memory ${where}`,
    { physicalBits: 52, nodes: [node, { id: 1, memoryBytes, startAddress }] },
    "nodes",
  ]),
  ["no CPUs", { cpus: [] }, "cpus"],
  ["a CPU id too high", { cpus: [{ ...cpu, id: 4096 }] }, "cpus[0].id"],
  ["a CPU twice", { cpus: [cpu, { ...cpu, core: 7 }] }, "cpus[1].id"],
  ["a CPU on no node", { cpus: [{ ...cpu, node: 2 }] }, "cpus[0].node"],
  ["a core in two places", { cpus: [cpu, { ...cpu, id: 1, node: 1 }] }, "cpus[1].core"],
  ["nine threads in a core", { cpus: Array.from({ length: 9 }, (_, id) => ({ ...cpu, id })) }, "cpus[8].core"],
  ["an L3 in two sockets", { cpus: [cpu, { ...cpu, id: 1, core: 1, socket: 1 }] }, "cpus[1].l3"],
  ["a row too few", { latencyNs: [[1, 2]] }, "latencyNs"],
  [
    "a column too many",
    {
      bandwidthMBs: [
        [1, 2, 3],
        [1, 2],
      ],
    },
    "bandwidthMBs[0]",
  ],
  [
    "a latency of nothing",
    {
      latencyNs: [
        [1, 0],
        [1, 1],
      ],
    },
    "latencyNs[0][1]",
  ],
  [
    "a node far from itself",
    {
      distance: [
        [10, 20],
        [20, 11],
      ],
    },
    "distance[1][1]",
  ],
  ["ways that do not divide the bytes", { l2: { ...tiny.l2, ways: 3 } }, "l2.bytes"],
  ["more ways than state bits", { l3: { ...tiny.l3, bytes: 4096 * 33, ways: 33 } }, "l3.ways"],
  ["an L1 that is indexed by no bits", { l1d: { ...tiny.l1d, bytes: 4096 * 6, ways: 2 } }, "l1d.bytes"],
  [
    "a TLB of three sets",
    { translation: { ...translation, data: { small: { entries: 6, ways: 2 } } } },
    "translation.data.small",
  ],
  [
    "a wide TLB",
    { translation: { ...translation, second: { ...translation.second, huge: { entries: 512, ways: 512 } } } },
    "translation.second.huge",
  ],
  [
    "what no fetch comes to",
    { translation: { ...translation, mixedSizes: "page-fault" as "machine-check" } },
    "translation.mixedSizes",
  ],
  [
    "half a paging-structure entry",
    { translation: { ...translation, pagingStructure: { ...translation.pagingStructure, pde: 0.5 } } },
    "translation.pagingStructure.pde",
  ],
  [
    "an exposure above all",
    { costs: { ...costs, fetchExposure: { value: 1.5, source: "x" } } },
    "costs.fetchExposure.value",
  ],
  [
    "a range upside down",
    { costs: { ...costs, loadExposure: { value: 0.5, low: 0.6, source: "x" } } },
    "costs.loadExposure.low",
  ],
  [
    "a range above all",
    { costs: { ...costs, walkExposure: { value: 0.5, high: 2, source: "x" } } },
    "costs.walkExposure.high",
  ],
  ["a number from nowhere", { hertz: { value: 1e9, source: "" } }, "hertz.source"],
  ["a clock that stands", { hertz: { value: 0, source: "x" } }, "hertz.value"],
  ["a clock that may stand", { hertz: { value: 1e9, low: 0, source: "x" } }, "hertz.low"],
  [
    "a sibling that answers before it is asked",
    { cacheToCacheNs: { ...tiny.cacheToCacheNs, sameL3: { value: -1, source: "x" } } },
    "cacheToCacheNs.sameL3.value",
  ],
  ["prefetching across pages", { costs: { ...costs, prefetchLines: 64 } }, "costs.prefetchLines"],
  ["a spread of everything", { latencySpread: 1 }, "latencySpread"],
  ["a physical width nobody has", { physicalBits: 60 }, "physicalBits"],
  ["a maker nobody knows", { vendor: "via" as "amd" }, "vendor"],
  ["a linear width nobody has", { virtualBits: 52 as 48 }, "virtualBits"],
];

test.each(broken)("%s", (_, change, field) => {
  const faults = machineSpecFaults({ ...tiny, ...change });
  expect(faults.map((fault) => fault.field)).toContain(field);
  for (const fault of faults) expect([fault.reason, fault.remedy].every((text) => text.length > 0)).toBe(true);
});

describe("sound specifications", () => {
  test.each([
    ["tiny", tiny],
    ["golden", goldenMachine()],
    ["one node", tinyMachine({ nodes: 1 })],
    ["64 nodes", tinyMachine({ nodes: 64, coresPerNode: 64 })],
  ])("%s", (_, spec) => {
    expect(machineSpecFaults(spec)).toEqual([]);
  });
});

test("the plugin refuses with the first fault and counts the rest", () => {
  const bad = { ...tiny, latencySpread: 2, physicalBits: 60 };
  expect(() => checkMachineSpec(bad)).toThrow(expect.objectContaining({ code: "bad-spec", field: "latencySpread" }));
  expect(() => hwX86(bad)).toThrow(MachineError);
  expect(() => hwX86(bad)).toThrow("latencySpread: 2 is no relative half-width; 0 to below 1 (and 1 more)");
});
