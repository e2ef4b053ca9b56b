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

/** Microseconds of this process: user and system, whose sum alone Linux counts exactly. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/**
 * @param warm seconds of processor time before anything is measured
 * @param length of a round, at least, seconds
 * @param once does some units of work, and says how many
 * @returns units a microsecond, in the best round
 */
export function bestRate(rounds: number, warm: number, length: number, once: () => number): number {
  let best = 0;
  for (let round = -1; round < rounds; round++) {
    const least = 1e6 * (round < 0 ? warm : length);
    let units = 0;
    let spent = 0;
    const start = processorTime();
    while (spent < least) {
      units += once();
      spent = processorTime() - start;
    }
    if (round >= 0) best = Math.max(best, units / spent);
  }
  return best;
}

/** A word of the command line that chooses one of several; undefined for all. */
export const chosen = (word: string | undefined): string | undefined => (word === "all" ? undefined : word);

/** Prints one line. */
export function report(what: string, ns: number): void {
  console.log(`${what.padEnd(58)} ${ns.toFixed(1).padStart(8)} ns ${(1000 / ns).toFixed(1).padStart(8)} M/s`);
}
