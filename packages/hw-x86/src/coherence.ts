/**
 * What lies beyond a core's L2: the L3 of each domain (socket or CCX), who else holds a line, and the home memory. Allocates nothing.
 *
 * Protocol, at the fidelity that decides where a line comes from. A line is either with one core that may write it (EXCLUSIVE,
 * then perhaps DIRTY), or anywhere, clean towards other domains. A reader takes the modified line from its holder, which
 * keeps it clean: within the domain the L3 takes the modification over, between domains it is written back home. A writer
 * removes every other copy first. Cores and domains that never ran are not asked.
 *
 * L3 kinds: "inclusive" holds whatever its cores hold, so a line it evicts leaves them too; "victim" holds only what L2
 * evicts and gives it up when a core takes it; "independent" is filled on the way and forces nothing.
 */
import { ABSENT, LineCache } from "./cache.js";
import type { CounterLayout } from "./counters.js";
import type { OwnerTable } from "./memory-layout.js";
import type { LineHolder, OuterCaches } from "./sharing.js";
import type { MachineSpec } from "./spec.js";

/** State of a line in L1D and L2: the core may write without asking. In an L3 only DIRTY is used. */
const EXCLUSIVE = 1;
const DIRTY = 2;
/** Answer of a probe; DIRTY may be added. */
const HELD = 4;

// Source.* of counters.ts; literal here because imported constants cost on this path. core.test.ts compares them.
const OWN_L3 = 2;
const SIBLING = 3;
const DIRTY_SAME_SOCKET = 4;
const DIRTY_OTHER_SOCKET = 5;
const UPGRADE_SIBLING = 6;
const UPGRADE_SAME_SOCKET = 7;
const UPGRADE_OTHER_SOCKET = 8;
const MEMORY = 9;
const HOLE = 255;
const L1 = 0;

/** What all domains of a machine share. */
export class Fabric {
  /** Domains in which a core came into being. */
  readonly domains: Domain[] = [];

  /** @param homes node index by frame */
  constructor(readonly spec: MachineSpec, readonly homes: OwnerTable, readonly layout: CounterLayout) {}

  /** Index of the node a line is written to and read from; device windows lie on the asking CPU's node. */
  home(frame: number, nodeIndex: number): number {
    const home = this.homes.of(frame);
    return home === HOLE ? nodeIndex : home;
  }
}

/** Cores that share one L3, and that L3. */
export class Domain implements OuterCaches {
  /** Cores that came into being. */
  private readonly cores: LineHolder[] = [];
  private readonly l3: LineCache;
  private readonly inclusive: boolean;
  readonly victim: boolean;
  granted = 0;
  private readonly writeBacksAt: number;
  private readonly cleanSameSocket: number;
  private readonly cleanOtherSocket: number;

  constructor(private readonly fabric: Fabric, readonly socket: number) {
    const { l3 } = fabric.spec;
    this.l3 = new LineCache(l3);
    this.inclusive = l3.inclusion === "inclusive";
    this.victim = l3.inclusion === "victim";
    this.writeBacksAt = fabric.layout.writeBacksAt;
    this.cleanSameSocket = fabric.layout.cleanSameSocket;
    this.cleanOtherSocket = fabric.layout.cleanOtherSocket;
    fabric.domains.push(this);
  }

  /** Bytes of host memory of the L3's tags and states. */
  get hostBytes(): number {
    return this.l3.tags.byteLength + this.l3.state.byteLength;
  }

  join(core: LineHolder): void {
    this.cores.push(core);
  }

  fetch(core: LineHolder, frame: number, line: number, write: boolean, counters: Float64Array): number {
    const l3 = this.l3;
    let here = false;
    let dirty = 0;
    if (this.victim) {
      const state = l3.remove(frame, line);
      if (state !== ABSENT) {
        here = true;
        dirty = state & DIRTY;
      }
    } else {
      here = l3.touch(frame, line);
      if (!here && l3.victimFrame !== -1) this.evicted(core, l3.victimFrame, line, l3.victimState, counters);
    }
    if (this.cores.length === 1 && this.fabric.domains.length === 1) {
      this.granted = EXCLUSIVE | dirty;
      return here ? OWN_L3 : MEMORY + this.fabric.home(frame, core.nodeIndex);
    }
    return this.fetchShared(core, frame, line, write, here, dirty, counters);
  }

  upgrade(core: LineHolder, frame: number, line: number): number {
    let source = this.probeSiblings(core, frame, line, true) !== 0 ? UPGRADE_SIBLING : L1;
    for (const domain of this.fabric.domains) {
      if (domain !== this && domain.probe(frame, line, true) !== 0) {
        const found = domain.socket === this.socket ? UPGRADE_SAME_SOCKET : UPGRADE_OTHER_SOCKET;
        if (found > source) source = found;
      }
    }
    return source;
  }

  fromL2(core: LineHolder, frame: number, line: number, dirty: boolean, counters: Float64Array): void {
    const l3 = this.l3;
    if (this.victim) {
      if (!l3.touch(frame, line) && l3.victimFrame !== -1) this.evicted(core, l3.victimFrame, line, l3.victimState, counters);
      if (dirty) {
        const slot = l3.setOf(frame, line);
        l3.state[slot] = l3.state[slot]! | DIRTY;
      }
    } else if (dirty) {
      const slot = l3.find(frame, line);
      if (slot === ABSENT) this.writeBack(core, frame, counters);
      else l3.state[slot] = DIRTY;
    }
  }

  clear(): void {
    this.l3.clear();
  }

  /** What another domain asks: who here has the line? `remove` takes it away, else it stays here, clean and shared. @returns 0 or HELD, with DIRTY if it was modified */
  private probe(frame: number, line: number, remove: boolean): number {
    const slot = this.l3.find(frame, line);
    let found = 0;
    if (slot !== ABSENT) {
      found = HELD | (this.l3.state[slot]! & DIRTY);
      if (remove) this.l3.remove(frame, line);
      else this.l3.state[slot] = 0;
    } else if (this.inclusive) return 0;
    for (const core of this.cores) found |= core.probe(frame, line, remove);
    return found;
  }

  private probeSiblings(core: LineHolder, frame: number, line: number, remove: boolean): number {
    let found = 0;
    for (const other of this.cores) if (other !== core) found |= other.probe(frame, line, remove);
    return found;
  }

  private fetchShared(core: LineHolder, frame: number, line: number, write: boolean, here: boolean, dirty: number, counters: Float64Array): number {
    const home = this.fabric.home(frame, core.nodeIndex);
    const siblings = this.probeSiblings(core, frame, line, write);
    let source = here ? OWN_L3 : MEMORY + home;
    if ((siblings & DIRTY) !== 0) {
      source = SIBLING;
      if (write) dirty |= DIRTY;
      else this.takeOver(core, frame, line, counters);
    } else if (siblings !== 0 && !here) source = SIBLING;
    const held = here || siblings !== 0;
    if (held && !write) {
      // Another domain may share the line: whoever wants to write asks again.
      this.granted = (siblings === 0 && this.fabric.domains.length === 1 ? EXCLUSIVE : 0) | dirty;
      if (dirty !== 0 && siblings === 0) this.granted |= EXCLUSIVE;
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
    if ((others & DIRTY) !== 0) {
      source = sameSocket ? DIRTY_SAME_SOCKET : DIRTY_OTHER_SOCKET;
      if (write) dirty |= DIRTY;
      else this.writeBack(core, frame, counters);
    } else if (others !== 0) {
      if (held) source = sameSocket ? UPGRADE_SAME_SOCKET : UPGRADE_OTHER_SOCKET;
      else source = (sameSocket ? this.cleanSameSocket : this.cleanOtherSocket) + home;
    }
    this.granted = (write || others === 0 ? EXCLUSIVE : 0) | dirty;
    return source;
  }

  /** The L3 takes a modification over from a core that now only reads. */
  private takeOver(core: LineHolder, frame: number, line: number, counters: Float64Array): void {
    if (this.victim) this.fromL2(core, frame, line, true, counters);
    else {
      const slot = this.l3.find(frame, line);
      if (slot === ABSENT) this.writeBack(core, frame, counters);
      else this.l3.state[slot] = DIRTY;
    }
  }

  private evicted(core: LineHolder, frame: number, line: number, state: number, counters: Float64Array): void {
    let found = state & DIRTY;
    if (this.inclusive) for (const each of this.cores) found |= each.probe(frame, line, true);
    if ((found & DIRTY) !== 0) this.writeBack(core, frame, counters);
  }

  private writeBack(core: LineHolder, frame: number, counters: Float64Array): void {
    const index = this.writeBacksAt + this.fabric.home(frame, core.nodeIndex);
    counters[index] = counters[index]! + 1;
  }
}
