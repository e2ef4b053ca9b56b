/**
 * Looks after each operation at what CPUs have cached (G12 to G14), and at both halves of pairs (C8), as far as either
 * may have changed.
 *
 * A CPU's entries can begin to be wrong in three ways: a table changes, the kernel comes to believe something else
 * about a PCID, or a walk enters something. The first two are counted for the kernel as a whole, and then every CPU is
 * looked at; the third by each core. Most operations are accesses that hit, and cost a few comparisons a CPU.
 */
import { CachedReader, type Finding } from "@kreplica/invariants";
import type { BootParts } from "@kreplica/kernel";
import { CheckFailure } from "./check-failure.js";

/** Of one kernel. */
export class CachedWatch {
  private readonly reader: CachedReader;
  /** Of each CPU alone, by its number. */
  private readonly own: number[] = [];
  /** Of the kernel as a whole, when CPUs were looked at last. */
  private readonly seen = { stores: -1, shootdowns: -1, online: -1, writes: -1, userShootdowns: -1 };
  private known: readonly Finding[] = [];
  private readonly report = (id: string, detail: string): void => {
    if (!this.known.some((each) => each.id === id)) throw new CheckFailure(id, detail);
  };
  /** CPUs looked at so far: the price of it all. */
  looks = 0;

  constructor(private readonly parts: BootParts) {
    this.reader = new CachedReader(parts);
  }

  /** @throws CheckFailure with the first entry that breaks a rule, and is not among `known` */
  afterStep(known: readonly Finding[] = []): void {
    const { machine, cpus, entries, switcher } = this.parts;
    const { counts } = switcher;
    const { seen } = this;
    const all =
      entries.stores !== seen.stores ||
      cpus.shootdowns !== seen.shootdowns ||
      cpus.online.size !== seen.online ||
      counts.writes !== seen.writes ||
      counts.shootdowns !== seen.userShootdowns;
    if (all) {
      seen.stores = entries.stores;
      seen.shootdowns = cpus.shootdowns;
      seen.online = cpus.online.size;
      seen.writes = counts.writes;
      seen.userShootdowns = counts.shootdowns;
    }
    this.known = known;
    for (const cpu of cpus.online) {
      // A CPU that is not lazy any more answers for what it missed.
      const own = machine.cpu(cpu).cached.fills * 2 + (switcher.isLazy(cpu) ? 1 : 0);
      if (!all && this.own[cpu] === own) continue;
      this.own[cpu] = own;
      this.looks++;
      this.reader.look(cpu, this.report);
    }
  }
}
