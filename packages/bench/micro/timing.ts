/// <reference types="node" />
/**
 * How the micro benchmarks measure: processor time of this process, the best of several rounds, so that other work on
 * the machine counts as little as it can.
 */

/** @returns nanoseconds of user time for one of `count` operations, in the best of `rounds` */
export function nanoseconds(count: number, rounds: number, run: () => void): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    run();
    best = Math.min(best, (process.cpuUsage(before).user * 1000) / count);
  }
  return best;
}

/** Prints one line. */
export function report(what: string, ns: number): void {
  console.log(`${what.padEnd(58)} ${ns.toFixed(1).padStart(8)} ns ${(1000 / ns).toFixed(1).padStart(8)} M/s`);
}
