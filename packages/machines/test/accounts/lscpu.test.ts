/** What lscpu says, in its forms; and a machine from it. */
import { InputError } from "@kreplica/inputs";
import { expect, test } from "vitest";
import { accountsFromText, checkMachine, machineFromAccounts } from "../../src/index.js";

const twoSockets = `Architecture:            x86_64
  CPU op-mode(s):        32-bit, 64-bit
  Address sizes:         46 bits physical, 48 bits virtual
CPU(s):                  48
  On-line CPU(s) list:   0-47
Vendor ID:               GenuineIntel
  Model name:            Intel(R) Xeon(R) CPU E5-2690 v3 @ 2.60GHz
    CPU family:          6
    Model:               63
    Thread(s) per core:  2
    Core(s) per socket:  12
    Socket(s):           2
    CPU max MHz:         3500.0000
Caches (sum of all):
  L1d:                   768 KiB (24 instances)
L1d cache:               768 KiB (24 instances)
L1i cache:               768 KiB (24 instances)
L2 cache:                6 MiB (24 instances)
L3 cache:                60 MiB (2 instances)
NUMA node(s):            2
NUMA node0 CPU(s):       0-11,24-35
NUMA node1 CPU(s):       12-23,36-47
`;
const machine = (...texts: string[]) =>
  machineFromAccounts(
    texts.flatMap((text, i) => accountsFromText(text, `in${i}.txt`)),
    "box",
  );

test("nodes, sockets, cores and single caches of the series' machine, and the base by its model", () => {
  const read = machine(twoSockets);
  expect(checkMachine(read)).toEqual([]);
  expect(read.nodes.map(({ id }) => id)).toEqual([0, 1]);
  expect(read.cpus.find(({ id }) => id === 25)).toEqual({ id: 25, node: 0, core: 1, l3: 0, socket: 0 });
  expect(read.cpus.find(({ id }) => id === 47)).toEqual({ id: 47, node: 1, core: 23, l3: 1, socket: 1 });
  expect([read.l1d.bytes, read.l2.bytes, read.l3.bytes]).toEqual([32 << 10, 256 << 10, 30 << 20]);
  expect([read.hertz.value, read.hertz.high, read.physicalBits, read.virtualBits]).toEqual([2.6e9, 3.5e9, 46, 48]);
  expect(read.hertz.source).toBe("lscpu (in0.txt:7); highest: lscpu (in0.txt:13)");
  expect(read.sources).toContain("CPUs of nodes: lscpu (in0.txt:21-22)");
  expect(read.sources.join("\n")).toMatch(/assumed, as e5-2690v3-2s, the nearest to Intel family 6 model 63: /);
  expect(read.l2.cycles.source).toMatch(/^assumed, as e5-2690v3-2s: /);
  expect(read.l2.cycles.provisional).toBe(true);
  expect(read.translation.mixedSizes).toBe("machine-check");
});

test("the JSON of lscpu -J says the same, flat or nested, with the colon or without", () => {
  const fields = twoSockets
    .split("\n")
    .flatMap((line) => /^ *([A-Z][^:]*: ) *(.+)$/.exec(line)?.slice(1) ?? [])
    .reduce<{ field: string; data: string }[]>(
      (list, word, i) =>
        i % 2 === 0
          ? [...list, { field: word.trim(), data: "" }]
          : [...list.slice(0, -1), { ...list.at(-1)!, data: word }],
      [],
    );
  const flat = JSON.stringify({ lscpu: fields }, undefined, 3);
  const nested = JSON.stringify(
    {
      lscpu: [
        {
          ...fields[0]!,
          children: fields.slice(1).map(({ field, data }) => ({ field: field.replace(":", ""), data })),
        },
      ],
    },
    undefined,
    3,
  );
  const {
    sources: _s,
    hertz: _h,
    description: _d,
    interconnectSource: _i,
    translation: _t,
    ...expected
  } = machine(twoSockets);
  for (const text of [flat, nested]) {
    const { sources: _a, hertz: _b, description: _c, interconnectSource: _e, translation: _f, ...read } = machine(text);
    expect(read).toEqual(expected);
  }
});

test("CRLF, memory-only nodes, gaps in the ids, and sizes of one cache as before 2.34", () => {
  const old = `Architecture:          x86_64\r\nOn-line CPU(s) list:   0-3\r\nThread(s) per core:    1\r\nCore(s) per socket:    2\r\nSocket(s):             2\r\nL1d cache:             32K\r\nL2 cache:              1024K\r\nL3 cache:              36608K\r\nNUMA node0 CPU(s):     0,2\r\nNUMA node2 CPU(s):     1,3\r\nNUMA node5 CPU(s):     \r\n`;
  const read = machine(old);
  expect(checkMachine(read)).toEqual([]);
  expect(read.nodes.map(({ id }) => id)).toEqual([0, 2, 5]);
  expect(read.cpus.map(({ node, socket, core }) => [node, socket, core])).toEqual([
    [0, 0, 0],
    [2, 1, 1],
    [0, 0, 2],
    [2, 1, 3],
  ]);
  expect([read.l2.bytes, read.l1d.bytes]).toEqual([1 << 20, 32 << 10]);
  // 36,608 KiB in 20 ways is no whole number of sets: the nearest division stands.
  expect(read.l3.bytes).toBe(36_608 << 10);
});

test.each([
  ["another architecture", "Architecture:  aarch64\n", /^box\.txt:1: Architecture: "aarch64": kreplica models x86-64/],
  ["a list", twoSockets.replace("0-11,24-35", "0-11;24"), /^box\.txt:21: NUMA node0 CPU\(s\): "0-11;24" is not a list/],
  [
    "a size",
    twoSockets.replace("6 MiB (24", "6 XiB (24"),
    /^box\.txt:18: L2 cache: "6 XiB \(24 instances\)" is not a size/,
  ],
  ["widths", twoSockets.replace("46 bits physical", "64 bits physical"), /^box\.txt:3: Address sizes: /],
  ["two runs", twoSockets + twoSockets, /^box\.txt:23: Architecture: given twice/],
  [
    "a count",
    twoSockets.replace("Socket(s):           2", "Socket(s): 0"),
    /^box\.txt:12: Socket\(s\): "0" is not a count/,
  ],
  ["JSON that is no list", '{\n"lscpu": {}}', /^box\.txt:2: lscpu: not a list of fields/],
])("refused: %s", (_what, text, message) => {
  expect(() => accountsFromText(text, "box.txt")).toThrow(InputError);
  expect(() => accountsFromText(text, "box.txt")).toThrow(message);
});

test("a later input refines an earlier one, and what differs is told with both places", () => {
  const numactl = `available: 2 nodes (0-1)\nnode 0 cpus: 0 1 2 3 4 5 6 7 8 9 10 11 24 25 26 27 28 29 30 31 32 33 34 35\nnode 0 size: 32000 MB\nnode 1 cpus: 12 13 14 15 16 17 18 19 20 21 22 23 36 37 38 39 40 41 42 43 44 45 46 47\nnode 1 size: 32000 MB\nnode distances:\nnode   0   1\n  0:  10  21\n  1:  21  10\n`;
  const both = machine(twoSockets, numactl);
  expect(both.nodes[0]!.memoryBytes).toBe(32_000 * 2 ** 20);
  expect(both.distance).toEqual([
    [10, 21],
    [21, 10],
  ]);
  expect(both.sources.filter((each) => each.startsWith("contradiction"))).toEqual([]);
  const other = machine(
    twoSockets,
    numactl,
    twoSockets.replace("0-11,24-35", "0-10,24-35").replace("12-23,", "11-23,"),
  );
  expect(other.sources.filter((each) => each.startsWith("contradiction"))).toEqual([
    "contradiction: CPUs of node 0 is 0-11,24-35 in in1.txt:2 (numactl --hardware) and 0-10,24-35 in in2.txt:21 (lscpu), which stands; 2 of 2 such figures differ",
  ]);
});
