/**
 * A host for programs in tests and for runs without a machine: fixed clock, one task, seeded numbers, region memory.
 */
import type { BpfHost } from "../load.js";
import { RegionMemory } from "../memory.js";
import { Random } from "./random.js";

export interface PlainHost extends BpfHost {
  readonly memory: RegionMemory;
  readonly traced: string[];
  current: number;
}

/** @param cpus CPUs, two a node */
export function plainHost(cpus = 4, seed = 1): PlainHost {
  const random = new Random(seed),
    traced: string[] = [];
  return {
    memory: new RegionMemory(),
    cpus,
    traced,
    current: 0,
    cpu() {
      return this.current;
    },
    node() {
      return this.current >> 1;
    },
    now: () => 1_000_000_000n,
    random: () => random.next(),
    task: () => ({ pidTgid: (42n << 32n) | 43n, name: "test" }),
    trace: (line) => {
      traced.push(line);
    },
  };
}
