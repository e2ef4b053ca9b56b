/**
 * What lies beyond a core's L2: the L3 of each domain (socket or CCX), who else holds a line, and the home memory.
 * Allocates nothing.
 *
 * Protocol, at the fidelity that decides where a line comes from. A line is either with one core that may write it (and
 * then perhaps modified), or marked shared wherever it is, clean towards other domains. A reader takes the modified
 * line from its holder, which keeps it clean: within the domain the L3 takes the modification over, between domains it
 * is written back home. A writer removes every other copy first. Cores and domains that never ran are not asked.
 *
 * L3 kinds: "inclusive" holds whatever its cores hold, so a line it evicts leaves them too; "victim" holds only what L2
 * evicts and gives it up when a core takes it; "independent" is filled on the way and forces nothing.
 */
import { ABSENT } from "./cache.js";
import { type CounterLayout, Source } from "./counters.js";
import type { OwnerTable } from "./memory-layout.js";
import type { MachineParts, SharedCache } from "./parts.js";
import type { LineHolder, OuterCaches } from "./sharing.js";
import type { MachineSpec } from "./spec.js";
import { Line } from "./literals.js";

const HOLE = 255;

/** What all domains of a machine share. */
export class Fabric {
  readonly spec: MachineSpec;
  readonly layout: CounterLayout;
  readonly parts: MachineParts;
  readonly homes: OwnerTable;
  /** Domains in which a core came into being. */
  readonly domains: Domain[];

  /** @param homes node index by frame */
  constructor(spec: MachineSpec, homes: OwnerTable, layout: CounterLayout, parts: MachineParts) {
    this.spec = spec;
    this.parts = parts;
    this.homes = homes;
    this.layout = layout;
    this.domains = [];
  }

  /** Index of the node a line is written to and read from; device windows lie on the asking CPU's node. */
  home(frame: number, nodeIndex: number): number {
    const home = this.homes.of(frame);
    return home === HOLE ? nodeIndex : home;
  }
}

/** Cores that share one L3, and that L3. */
export class Domain implements OuterCaches {
  readonly victim: number;
  readonly socket: number;
  granted: number;
  readonly inclusive: number;
  readonly fabric: Fabric;
  readonly l3: SharedCache;
  /** Cores that came into being. */
  private readonly cores: LineHolder[];
  /** 1: one core behind one L3, nobody to ask. */
  alone: number;
  private readonly writeBacksAt: number;
  private readonly cleanSameSocket: number;
  private readonly cleanOtherSocket: number;

  constructor(fabric: Fabric, socket: number) {
    const { l3 } = fabric.spec;
    this.fabric = fabric;
    this.socket = socket;
    this.l3 = fabric.parts.sharedCache(l3);
    this.inclusive = l3.inclusion === "inclusive" ? 1 : 0;
    this.victim = l3.inclusion === "victim" ? 1 : 0;
    this.granted = 0;
    this.cores = [];
    this.writeBacksAt = fabric.layout.writeBacksAt;
    this.cleanSameSocket = fabric.layout.cleanSameSocket;
    this.cleanOtherSocket = fabric.layout.cleanOtherSocket;
    this.alone = 0;
    fabric.domains.push(this);
    for (const domain of fabric.domains) domain.alone = 0;
  }

  /** Bytes of host memory of the L3's tags and states. */
  get hostBytes(): number {
    return this.l3.hostBytes;
  }

  /** Whether the L3 itself has the line; its cores may have it besides. */
  holds(frame: number, line: number): boolean {
    return this.l3.holds(frame, line);
  }

  join(core: LineHolder): void {
    this.cores.push(core);
    // One core alone is probed by its own L3 only, and keeps no account for it.
    const { domains } = this.fabric;
    const cores = domains.flatMap((domain) => domain.cores);
    if (cores.length > 1) for (const each of cores) each.expectProbes();
    for (const domain of domains) domain.alone = cores.length === 1 && domains.length === 1 ? 1 : 0;
  }

  /** Whether no other core came into being yet, here or in another domain. */
  isFor(core: LineHolder): boolean {
    return this.fabric.domains.length === 1 && this.cores.every((each) => each === core);
  }

  fetch(core: LineHolder, frame: number, line: number, write: number, counters: Float64Array): number {
    const l3 = this.l3;
    let here = false;
    let modified = 0;
    if (this.victim !== 0) {
      const taken = l3.remove(frame, line);
      if (taken !== ABSENT) {
        here = true;
        modified = taken;
      }
    } else {
      here = l3.touch(frame, line);
      if (!here && l3.victimFrame !== -1) this.evicted(core, l3.victimFrame, line, l3.victimModified, counters);
    }
    if (this.alone !== 0) {
      this.granted = modified;
      return here ? Source.OwnL3 : Source.Memory + this.fabric.home(frame, core.nodeIndex);
    }
    return this.fetchShared(core, frame, line, write, here, modified, counters);
  }

  upgrade(core: LineHolder, frame: number, line: number): number {
    let source = this.probeSiblings(core, frame, line, 1) !== 0 ? Source.UpgradeSibling : Source.L1;
    for (const domain of this.fabric.domains) {
      if (domain !== this && domain.probe(frame, line, 1) !== 0) {
        const found = domain.socket === this.socket ? Source.UpgradeSameSocket : Source.UpgradeOtherSocket;
        if (found > source) source = found;
      }
    }
    return source;
  }

  fromL2(core: LineHolder, frame: number, line: number, modified: number, counters: Float64Array): void {
    const l3 = this.l3;
    if (this.victim !== 0) {
      if (!l3.touch(frame, line) && l3.victimFrame !== -1)
        this.evicted(core, l3.victimFrame, line, l3.victimModified, counters);
      if (modified !== 0) l3.modify(frame, line);
    } else if (modified !== 0) this.modify(core, frame, line, counters);
  }

  clear(): void {
    this.l3.clear();
  }

  /**
   * What another domain asks: who here has the line? `remove` takes it away, else it stays here, clean and shared.
   * @returns 0 or Line.Held, with Line.Modified if it was
   */
  private probe(frame: number, line: number, remove: number): number {
    const l3 = this.l3;
    const here = remove !== 0 ? l3.remove(frame, line) : l3.clean(frame, line);
    let found = 0;
    if (here !== ABSENT) found = Line.Held | here;
    else if (this.inclusive !== 0) return 0;
    for (const core of this.cores) found |= core.probe(frame, line, remove);
    return found;
  }

  private probeSiblings(core: LineHolder, frame: number, line: number, remove: number): number {
    let found = 0;
    for (const other of this.cores) if (other !== core) found |= other.probe(frame, line, remove);
    return found;
  }

  private fetchShared(
    core: LineHolder,
    frame: number,
    line: number,
    write: number,
    here: boolean,
    modified: number,
    counters: Float64Array,
  ): number {
    const home = this.fabric.home(frame, core.nodeIndex);
    const siblings = this.probeSiblings(core, frame, line, write);
    let source = here ? Source.OwnL3 : Source.Memory + home;
    if ((siblings & Line.Modified) !== 0) {
      source = Source.Sibling;
      if (write !== 0) modified = Line.Modified;
      else this.takeOver(core, frame, line, counters);
    } else if (siblings !== 0 && !here) source = Source.Sibling;
    const held = here || siblings !== 0;
    if (held && write === 0) {
      // Another domain may have it as well, unless it is modified here: whoever wants to write a shared line asks
      // again.
      const alone = siblings === 0 && (modified !== 0 || this.fabric.domains.length === 1);
      this.granted = modified | (alone ? 0 : Line.Shared);
      return source;
    }
    let others = 0;
    let sameSocket = false;
    for (const domain of this.fabric.domains) {
      if (domain === this) continue;
      const found = domain.probe(frame, line, write);
      if (found === 0) continue;
      others |= found;
      sameSocket ||= domain.socket === this.socket;
    }
    if ((others & Line.Modified) !== 0) {
      source = sameSocket ? Source.DirtySameSocket : Source.DirtyOtherSocket;
      if (write !== 0) modified = Line.Modified;
      else this.writeBack(core, frame, counters);
    } else if (others !== 0) {
      if (held) source = sameSocket ? Source.UpgradeSameSocket : Source.UpgradeOtherSocket;
      else source = (sameSocket ? this.cleanSameSocket : this.cleanOtherSocket) + home;
    }
    this.granted = modified | (write !== 0 || others === 0 ? 0 : Line.Shared);
    return source;
  }

  /** The L3 takes a modification over from a core that now only reads. */
  private takeOver(core: LineHolder, frame: number, line: number, counters: Float64Array): void {
    if (this.victim !== 0) this.fromL2(core, frame, line, 1, counters);
    else this.modify(core, frame, line, counters);
  }

  /** A modification arrives at an L3 that is not a victim cache. */
  private modify(core: LineHolder, frame: number, line: number, counters: Float64Array): void {
    if (!this.l3.modify(frame, line)) this.writeBack(core, frame, counters);
  }

  /** A line left the L3. */
  evicted(core: LineHolder, frame: number, line: number, modified: number, counters: Float64Array): void {
    let found = modified | 0;
    const cores = this.cores;
    if (this.inclusive !== 0) for (let n = 0; n < cores.length; n++) found |= cores[n]!.probe(frame, line, 1);
    if ((found & Line.Modified) !== 0) this.writeBack(core, frame, counters);
  }

  private writeBack(core: LineHolder, frame: number, counters: Float64Array): void {
    const index = this.writeBacksAt + this.fabric.home(frame, core.nodeIndex);
    counters[index] = counters[index]! + 1;
  }
}
