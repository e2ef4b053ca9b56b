/** What mm-core's switcher keeps of each CPU, for bugs in that very bookkeeping. */
import type { AddressSpace, SwitchMm } from "@kreplica/mm-core/api";

/** Of one CPU. */
export interface CpuBook {
  space: AddressSpace | undefined;
  slot: number;
  lazy: boolean;
  readonly spaces: (AddressSpace | undefined)[];
  readonly generations: Float64Array;
  userPending: number;
}

interface Books {
  readonly cpus: Map<number, CpuBook>;
  readonly generations: WeakMap<AddressSpace, number>;
}

/** The books of a PcidSwitch; a bug in them cannot be laid over any other. */
export const switcherBooks = (switcher: SwitchMm): Books => switcher as unknown as Books;
