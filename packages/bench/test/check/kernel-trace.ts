/** What a kernel did, in order, as one list of numbers: two kernels behave alike when their lists are equal. */
import { CheckedSystem, CheckFailure, CORE_FAMILIES, Repertoire } from "@kreplica/check";
import type { BootOptions } from "@kreplica/kernel";

const repertoire = new Repertoire(CORE_FAMILIES);
/** Stands in the list where a rule was broken. */
const BROKEN = -1;

/** A kernel that booted and did runs, and what it did. */
export interface Traced {
  readonly system: CheckedSystem;
  /**
   * Four numbers a table store (frame, index, halves), one a frame given or taken back; after each operation CR3's root
   * of every CPU, faults and free frames.
   */
  readonly trace: readonly number[];
  /** Length of the list when the boot was done. */
  readonly boot: number;
}

/** @param seeds of the runs, 120 operations each */
export function traced(options: BootOptions, seeds: readonly number[]): Traced {
  const trace: number[] = [];
  const system = new CheckedSystem(
    {
      ...options,
      before(parts) {
        options.before?.(parts);
        const { entries, allocator } = parts;
        const write = entries.write.bind(entries);
        entries.write = (table, index, lo, hi) => {
          trace.push(table, index, lo >>> 0, hi >>> 0);
          write(table, index, lo, hi);
        };
        const allocate = allocator.allocate.bind(allocator);
        allocator.allocate = (node, order, gfp) => {
          const frame = allocate(node, order, gfp);
          trace.push(frame);
          return frame;
        };
        const free = allocator.free.bind(allocator);
        allocator.free = (frame, order) => {
          trace.push(frame);
          free(frame, order);
        };
      },
    },
    { families: CORE_FAMILIES },
  );
  const { machine } = system.parts;
  const boot = trace.length;
  try {
    for (const seed of seeds) {
      for (const operation of repertoire.drawRun(seed, 120)) {
        system.step(operation);
        const { taken, spurious } = system.population.faultsOfRun;
        trace.push(...machine.cpuIds.map((cpu) => machine.cpu(cpu).rootFrame), taken, spurious, ...system.freeFrames());
      }
      system.finish();
    }
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    trace.push(BROKEN);
  }
  return { system, trace, boot };
}

/** Where two lists part; undefined when they are equal. */
export function parting(one: readonly number[], other: readonly number[]): number | undefined {
  const length = Math.max(one.length, other.length);
  for (let at = 0; at < length; at++) if (one[at] !== other[at]) return at;
  return undefined;
}
