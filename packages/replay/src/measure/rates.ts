/**
 * What replication costs a machine with so many processes, forks and migrations: unit costs times how many there are.
 * Counts in, bytes and percent out.
 */
import type { ColdHot, FirstSwitch } from "./compare-policies.js";
import type { CompareResult } from "./compare.js";
import type { CpuTime, RateCosts, Rates } from "./mix-figures.js";

/** Bytes of an entry of a page table. */
const ENTRY_BYTES = 8;

/** What replication's own work takes a fork. */
export interface ForkCycles {
  readonly cycles: ColdHot;
  /**
   * Whether it is of forks alone, which such a test counts; else it is a mean over all PGDs that were made, and an exec
   * makes one, too.
   */
  readonly forksAlone: boolean;
}

/** Of the single fork where it was measured, else of the first test that forks; undefined where none does. */
export function forkCycles(tests: CompareResult["tests"]): ForkCycles | undefined {
  const forking = tests.filter(({ cache, perNode }) => cache === "cold" && perNode.work.pgdsMade > 0);
  const cold = forking.find(({ test }) => test.key === "fork1") ?? forking[0];
  const hot = tests.find((each) => each.cache === "hot" && each.file === cold?.file);
  if (!cold || !hot) return undefined;
  const forksAlone = cold.test.call === "kernel_clone" && cold.counted;
  const of = ({ perNode, iterations }: typeof cold): number =>
    perNode.account.replication / (forksAlone ? iterations : perNode.work.pgdsMade);
  return { cycles: { cold: of(cold), hot: of(hot) }, forksAlone };
}

/** @param firstSwitch what one costs, where it was run */
export function rateCosts(
  { processes, forksPerSecond, migrationsPerSecond }: Rates,
  { job: { spec }, process, tests, switchStores }: Pick<CompareResult, "job" | "process" | "tests" | "switchStores">,
  firstSwitch: FirstSwitch | undefined,
): RateCosts {
  const memory = spec.nodes.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const time = (cycles: ColdHot | undefined, perSecond: number): CpuTime | undefined => {
    if (!cycles) return undefined;
    const percent = (each: number, cpus: number): number => (100 * each * perSecond) / spec.hertz.value / cpus;
    const both = (cpus: number): ColdHot => ({ cold: percent(cycles.cold, cpus), hot: percent(cycles.hot, cpus) });
    return { cycles, cpuPercent: both(1), machinePercent: both(spec.cpus.length) };
  };
  const stores = firstSwitch?.stores ?? switchStores;
  return {
    ...(processes === undefined
      ? {}
      : {
          processes: {
            count: processes,
            bytes: processes * process.bytes,
            everywhereBytes: processes * process.everywhereBytes,
            percent: (100 * processes * process.bytes) / memory,
            everywherePercent: (100 * processes * process.everywhereBytes) / memory,
          },
        }),
    ...(forksPerSecond === undefined
      ? {}
      : { forks: { perSecond: forksPerSecond, time: time(forkCycles(tests)?.cycles, forksPerSecond) } }),
    ...(migrationsPerSecond === undefined
      ? {}
      : {
          migrations: {
            perSecond: migrationsPerSecond,
            stores,
            bytesPerSecond: ENTRY_BYTES * stores * migrationsPerSecond,
            time: time(firstSwitch?.cycles, migrationsPerSecond),
          },
        }),
  };
}
