/** A small document with every part a page has; its numbers differ, so that one in another's place shows. */
import { type ReportDocument, whyBars } from "../src/index.js";

const sources = (from: number): { l2: number; ownL3: number; otherL3: number; local: number; remote: number } => ({
  l2: from + 1,
  ownL3: from + 2,
  otherL3: from + 3,
  local: from + 4,
  remote: from + 5,
});

/** So many cycles for another node's memory, and others that no page shows. */
const remote = (cycles: number): ReturnType<typeof sources> => ({ ...sources(70_000), remote: cycles });

const account = (from: number): ReportDocument["comparison"]["tests"][number]["singleCopy"]["account"] => ({
  instructions: from + 1000,
  text: sources(from + 10),
  rodata: sources(from + 20),
  data: sources(from + 30),
  walks: { l1: from + 41, ...sources(from + 42) },
  modules: from + 51,
  user: from + 52,
  secondTlb: from + 53,
  interrupts: from + 54,
  replication: from + 55,
});

const cyclesOf = (of: ReturnType<typeof account>): number => {
  const sum = (value: unknown): number =>
    typeof value === "number"
      ? value
      : Object.values(value as object).reduce<number>((all, each) => all + sum(each), 0);
  return sum(of);
};

const test = (name: string, cache: "cold" | "hot", from: number): ReportDocument["comparison"]["tests"][number] => {
  const [one, copies] = [account(from), account(from + 100)];
  return {
    test: name,
    cache,
    iterations: 1,
    singleCopy: { cycles: cyclesOf(one), account: one },
    perNode: { cycles: cyclesOf(copies), account: copies },
    gainPercent: -3.26 + from / 1000,
    gainLow: -7.83,
    gainHigh: 12.34,
    boundPercent: 28.71,
    ...(name === "fork-1" ? { reportedPercent: 42.7 } : { reportedPercent: null }),
  };
};

const comparison: ReportDocument["comparison"] = {
  machine: "small",
  kernel: "Linux 9.8.7",
  recordedOn: "Linux 9.8.7",
  policy: "per-node",
  cpu: 3,
  masterNode: 0,
  dataNode: 1,
  levels: 4,
  pti: true,
  reported: { source: "by <somebody> & others" },
  tests: [test("fork-1", "cold", 3000), test("fork-1", "hot", 2000), test("kill", "cold", 5000)],
  // Of the 3,015 cycles for which text of fork-1 waits.
  functions: [
    {
      test: "fork-1",
      cache: "cold",
      listed: [
        { function: "copy_page_9", before: remote(2011), after: remote(101) },
        { function: "exit_<8>", before: remote(0), after: remote(7) },
      ],
      others: { before: remote(990), after: remote(3) },
      withoutSymbol: { before: remote(14), after: remote(2) },
    },
  ],
  memory: {
    perNode: [
      { node: 0, textBytes: 16 << 20, rodataBytes: 10 << 20, tableBytes: 483_328 },
      { node: 1, textBytes: 15 << 20, rodataBytes: 9 << 20, tableBytes: 53_248 },
    ],
    extraBytes: 27_312_128,
    closedForm: 27_312_129,
  },
  verdict: { sentences: ["Whole machine: 4.3 (2.4 .. 5.8) % cold, <b>."] },
  nodes: [0, 1].map((node) => ({
    node,
    cpus: 24 + node,
    imageNs: 101.5 + 40 * node,
    measuredOn: node,
    coldPercent: 9.41 * node - 0.92,
    hotPercent: -1.13 - node,
    tests: [
      { test: "fork-1", cache: "cold", gainPercent: 19.04 * node - 3.21 },
      { test: "kill", cache: "hot", gainPercent: -0.26 * node },
    ],
  })),
  invariants: {
    checked: 37,
    violated: [{ id: "A2", sentence: "a sentence with <b>", detail: "frame 0x1234" }],
    notReached: 50,
  },
};

/** The document. */
export const smallDocument: ReportDocument = {
  schema: "kreplica.report/1",
  command: "kreplica report --machine small",
  comparison,
  machine: {
    name: "small",
    description: "2 nodes & a <link>",
    nodes: [
      { id: 0, memoryBytes: 32 * 2 ** 30 },
      { id: 1, memoryBytes: 31 * 2 ** 30 },
    ],
    cpus: [0, 1, 2, 3].map((id) => ({ id, node: id >> 1, core: id, l3: id >> 1, socket: id >> 1 })),
    l2: { bytes: 262_144 },
    l3: { bytes: 31_457_280 },
    latencyNs: [
      [101.5, 132.25],
      [141.2, 98.8],
    ],
  },
  why: whyBars(comparison),
  timeline: [
    { step: "load-image", row: 1, fromSeries: false, did: "image at 0x1000000", stores: 29, replicaStores: 0 },
    {
      step: "numa-replicate-kernel",
      row: 7,
      fromSeries: true,
      did: "tables of 2 nodes",
      stores: 3530,
      replicaStores: 3529,
    },
  ],
  tables: [
    {
      kernel: "one copy",
      node: 0,
      root: {
        name: "PGD",
        frame: "0x2a10",
        node: 0,
        entries: [{ first: 8, last: 14, bytes: 14 << 20, node: 0, what: "text" }],
        more: [{ node: 1, tables: 77 }],
      },
    },
    {
      kernel: "copies",
      node: 1,
      root: {
        name: "PGD",
        frame: "0xfdc",
        node: 1,
        entries: [
          {
            first: 511,
            last: 511,
            table: { name: "PUD", frame: "0xabc", node: 1, entries: [{ first: 9, last: 9, bytes: 4096, node: 0 }] },
          },
        ],
      },
    },
  ],
  policies: [
    {
      name: "per-node",
      summary: "a copy <everywhere>",
      cost: {
        bootBytes: 27_312_128,
        processBytes: 8192,
        everywhereBytes: 12_288,
        stores: { fork: 482, exec: 481, exit: 4 },
      },
    },
  ],
  assumptions: [
    {
      name: "costs.walkExposure",
      value: 0.7,
      low: 0.4,
      high: 0.95,
      source: "assumed: a fetch waits",
      provisional: true,
    },
    { name: "l2.cycles", value: 12, source: "a manual" },
  ],
};
