/** A comparison made up of figures as wide as they come, for what its text looks like. */
import { policyOf } from "@kreplica/kernel";
import { e52690v3 } from "@kreplica/machines";
import {
  type CompareResult,
  type Comparison,
  type KernelFigures,
  type NodeGains,
  reportedFor,
  standingOf,
  type WholeMachine,
} from "@kreplica/replay";
import { traceTests } from "@kreplica/trace";

/** Cycles by where they were spent. */
export const levels = (cycles: number) => ({ l2: cycles, ownL3: cycles, otherL3: 0, local: cycles, remote: cycles });
const NO_COST = { lessFree: 0, copies: 0, tables: 0, inImage: 0, tails: 0, splits: 0, spare: 0, unexplained: 0 };
const LINES = {
  textFromMemory: 1248,
  replicable: 0,
  dataFromMemory: 0,
  fetchMissL1: 0,
  fetchMissL2: 0,
  dataMissL1: 0,
  dataMissL2: 0,
  replicationLoads: 60,
  replicationStores: 193,
  replicationInstructions: 714,
};

/** Figures of a run in which everything takes about as long. */
export function figures(cycles: number, replication: number, other: number): KernelFigures {
  const part = levels(cycles / 40);
  return {
    cycles,
    runs: 3,
    settled: true,
    lines: LINES,
    account: {
      instructions: cycles / 40,
      text: { ...part, otherL3: other },
      rodata: part,
      data: part,
      modules: 0,
      user: 0,
      walks: { l1: 0, ...part },
      secondTlb: 0,
      interrupts: 0,
      replication,
    },
    work: { pgdsMade: replication > 0 ? 1 : 0, pgdsFreed: 0, entryStores: replication > 0 ? 482 : 0, tablesCleared: 2 },
  };
}

/** Whether replication worked in the tests, and how many cycles of text came from another L3. */
export function result(given: Partial<CompareResult> = {}, worked = true, other = 0): CompareResult {
  const tests = traceTests
    .filter((each) => each.reported)
    .flatMap((each) =>
      (["cold", "hot"] as const).map((cache): Comparison => ({
        test: each,
        file: `${each.key}.kt`,
        cache,
        modelled: false,
        carried: undefined,
        statistics: undefined,
        copied: false,
        iterations: each.iterations,
        counted: true,
        pokes: 0,
        singleCopy: each.iterations > 1 ? figures(184_174_031, 0, other) : figures(673_830, 0, other / 1000),
        perNode:
          each.iterations > 1
            ? figures(189_198_636, worked ? 2_330_790 : 0, other)
            : figures(524_433, worked ? 14_353 : 0, other / 1000),
        gain: { percent: -2.7, low: -13.8, high: 21.7 },
        near: 19.4,
        bound: 29.1,
        boundBeyondL2: 12.3,
        alignment: each.iterations > 1 ? undefined : 0.4,
        reported: cache === "cold" ? 42.7 : -20,
      })),
    );
  return {
    job: { spec: e52690v3, where: { cpu: 12, masterNode: 0, dataNode: 1 }, pti: true, levels: 4, seed: 1 },
    policy: policyOf("per-node"),
    kernel: "Linux",
    recordedOn: "Linux",
    tests,
    refused: [],
    switchStores: 0,
    standing: standingOf(e52690v3, { cpu: 12, masterNode: 0, dataNode: 1 }, { nearest: (node) => node }),
    machine: undefined,
    process: { bytes: 8192, everywhereBytes: 8192 },
    reported: reportedFor(e52690v3),
    memory: { perNode: [{ node: 0, textBytes: 0, rodataBytes: 0, tableBytes: 0 }], extraBytes: 0, closedForm: 0 },
    memoryCost: NO_COST,
    invariants: { checked: ["A1"], violated: [], notReached: [] },
    ...given,
  };
}

/** Every node of the series' machine, with figures as wide as they come. */
export function wholeMachine(): WholeMachine {
  const node = (id: number, cold: number, hot: number): NodeGains => ({
    node: id,
    cpus: 24,
    relation: id === 0 ? "same node" : "other socket",
    imageNs: id === 0 ? 101 : 141.2,
    measuredOn: id,
    mean: { cold, hot },
    tests: result().tests.map(({ file, test, cache, gain, near, bound, boundBeyondL2 }) => ({
      ...{ file, test, cache, gain, near, bound, boundBeyondL2 },
      singleCycles: 184_174_031,
      share: 1,
    })),
  });
  const [worst, best] = [node(0, -10.9, -11.1), node(1, 19.4, -11.3)];
  return {
    nodes: [worst, best],
    gain: { cold: { percent: 14.3, low: -12.4, high: 15.8 }, hot: { percent: -11.2, low: -11.9, high: -10.7 } },
    near: { cold: 15.1, hot: -10.1 },
    best,
    worst,
    sampling: 0.17,
  };
}
