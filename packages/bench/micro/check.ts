/// <reference types="node" />
/**
 * Checked steps a second, by kind of kernel: random runs of 200 operations, each operation followed by its checks, a
 * full comparison at the end of every run.
 *
 * In packages/bench: npm run micro -- check [runs] [nodes] [all]
 *
 * Rounds of fewer than 600 runs say how fast V8 is to compile as much as what it makes of it. What was measured:
 * docs/speed.md, "The checker".
 */
import { CheckedSystem, CORE_FAMILIES, Differential, FAMILIES, Repertoire } from "@kreplica/check";
import { smallImage, smallMachine } from "@kreplica/kernel";
import type { BootOptions } from "../src/boot.js";

const runs = Number(process.argv[2] ?? 50);
const nodes = process.argv[3] === undefined ? [1, 2, 3, 8] : [Number(process.argv[3])];
/** Operations of the core, or all: one run in 32 then has areas, modules, patching and protection too. */
const families = process.argv[4] === "all" ? FAMILIES : CORE_FAMILIES;
const STEPS = 200;
const repertoire = new Repertoire(families);

/** Steps a second of user time, in the best of three rounds. @param twin whether a single copy does each run too */
function rate(options: BootOptions, twin: boolean): number {
  const system = twin ? new Differential(options, "end", families) : new CheckedSystem(options, { families });
  let best = 0;
  for (let round = 0; round < 3; round++) {
    const lists = Array.from({ length: runs }, (_, run) => repertoire.drawRun(round * runs + run, STEPS));
    const before = process.cpuUsage();
    for (const list of lists) system.run(list);
    best = Math.max(best, (runs * STEPS * 1e6) / process.cpuUsage(before).user);
  }
  return best;
}

for (const count of nodes) {
  for (const levels of [4, 5] as const) {
    for (const pti of [false, true]) {
      const options: BootOptions = {
        spec: smallMachine(count, count === 2 ? 1 : 0),
        policy: "per-node",
        levels,
        pti,
        image: smallImage(),
      };
      const [alone, both] = [false, true].map((twin) => Math.round(rate(options, twin)).toLocaleString("en"));
      console.log(
        `${count} nodes, ${levels} levels, KPTI ${pti ? "on " : "off"}  ${alone!} steps a second, ${both!} with a single copy beside it`,
      );
    }
  }
}
