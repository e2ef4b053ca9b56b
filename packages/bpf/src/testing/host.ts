/**
 * A host for programs in tests and for runs without a machine: fixed clock, one task, seeded numbers, region memory.
 */
import { fixedHost, type FixedHost } from "../fixed-host.js";
import { RegionMemory } from "../memory.js";
import { Random } from "./random.js";

/** A {@link FixedHost} that keeps what programs trace. */
export interface PlainHost extends FixedHost<RegionMemory> {
  readonly traced: string[];
}

/** @param cpus CPUs, two a node */
export function plainHost(cpus = 4, seed = 1): PlainHost {
  const random = new Random(seed),
    traced: string[] = [];
  const host = fixedHost(
    { cpuIds: Array.from({ length: cpus }, (_, cpu) => cpu), nodeOfCpu: (cpu) => cpu >> 1 },
    new RegionMemory(),
    {
      now: () => 1_000_000_000n,
      random: () => random.next(),
      task: () => ({ pidTgid: (42n << 32n) | 43n, name: "test" }),
      trace: (line) => {
        traced.push(line);
      },
    },
  );
  return Object.assign(host, { traced });
}
