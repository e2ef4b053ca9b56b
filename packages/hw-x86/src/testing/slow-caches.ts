/**
 * The caches of a whole machine as lists of objects: slow, and plain enough to be read against coherence.ts's first
 * paragraph.
 */
import { PAGE_BYTES } from "../addr.js";
import { Kind } from "../counters.js";
import type { CpuSpec, MachineSpec } from "../spec.js";

/** A line that a cache holds. */
interface Line {
  readonly frame: number;
  readonly line: number;
  modified: boolean;
  shared: boolean;
  prefetchedFrom?: string;
}

/** One cache: each set a list, most recently used first. */
export class SlowCache {
  private readonly sets = new Map<number, Line[]>();
  private readonly groups: number;

  /** @param lastLevel whose sets are numbered as last-level-cache.ts says, not as cache.ts does */
  constructor(
    private readonly shape: { readonly bytes: number; readonly ways: number },
    private readonly lastLevel = false,
  ) {
    this.groups = shape.bytes / (PAGE_BYTES * shape.ways);
  }

  /** Below `groups`, for numbers that are no power of two. */
  private spread(value: number): number {
    const hash = Number((BigInt(value) * 0x9e37_79b1n) & 0xffff_ffffn) >>> 16;
    return Math.floor((hash * this.groups) / 65536);
  }

  private set(frame: number, line: number): Line[] {
    const place = frame % this.groups;
    const powerOfTwo = (this.groups & (this.groups - 1)) === 0;
    const group = powerOfTwo
      ? place
      : this.lastLevel
        ? (place + this.spread(Math.floor(frame / this.groups))) % this.groups
        : this.spread(frame);
    const number = group * 64 + line;
    let set = this.sets.get(number);
    if (!set) this.sets.set(number, (set = []));
    return set;
  }

  get(frame: number, line: number): Line | undefined {
    return this.set(frame, line).find((each) => each.frame === frame);
  }

  /** Moves the line to the front or puts it there. @returns what had to leave */
  use(frame: number, line: number): { readonly line: Line; readonly hit: boolean; readonly victim: Line | undefined } {
    const set = this.set(frame, line);
    const at = set.findIndex((each) => each.frame === frame);
    const used = at >= 0 ? set.splice(at, 1)[0]! : { frame, line, modified: false, shared: false };
    set.unshift(used);
    return { line: used, hit: at >= 0, victim: set.length > this.shape.ways ? set.pop() : undefined };
  }

  take(frame: number, line: number): Line | undefined {
    const set = this.set(frame, line);
    const at = set.findIndex((each) => each.frame === frame);
    return at >= 0 ? set.splice(at, 1)[0] : undefined;
  }

  clear(): void {
    this.sets.clear();
  }

  lines(): Line[] {
    return [...this.sets.values()].flat();
  }
}

/** A core's three caches. */
interface SlowCore {
  readonly cpu: CpuSpec;
  readonly code: SlowCache;
  readonly data: SlowCache;
  readonly second: SlowCache;
}
/** The cores that share an L3. */
interface SlowDomain {
  readonly id: number;
  readonly socket: number;
  readonly third: SlowCache;
  readonly cores: SlowCore[];
}

/** What happened in one access: reference events as `kind source`, write-backs as node indices. */
export interface SlowEvents {
  readonly references: string[];
  readonly writeBacks: number[];
}

/**
 * Sources are written as in {@link Source}, with `Memory 1` for node index 1 and `CleanOtherSocket 0` for a clean line
 * of home 0.
 */
export class SlowCaches {
  readonly domains: SlowDomain[] = [];
  private events: SlowEvents = { references: [], writeBacks: [] };

  /** @param home node index by frame */
  constructor(
    private readonly spec: MachineSpec,
    private readonly home: (frame: number) => number,
  ) {}

  /** The core comes into being: from now on it is asked. */
  core(cpu: CpuSpec): SlowCore {
    let domain = this.domains.find((each) => each.id === cpu.l3);
    if (!domain)
      this.domains.push(
        (domain = { id: cpu.l3, socket: cpu.socket, third: new SlowCache(this.spec.l3, true), cores: [] }),
      );
    let core = domain.cores.find((each) => each.cpu.core === cpu.core);
    if (!core)
      domain.cores.push(
        (core = {
          cpu,
          code: new SlowCache(this.spec.l1i),
          data: new SlowCache(this.spec.l1d),
          second: new SlowCache(this.spec.l2),
        }),
      );
    return core;
  }

  access(cpu: CpuSpec, kind: Kind.Fetch | Kind.Load | Kind.Store, frame: number, line: number): SlowEvents {
    this.events = { references: [], writeBacks: [] };
    const core = this.core(cpu);
    if (kind === Kind.Fetch) this.fetch(core, frame, line);
    else this.events.references.push(`${Kind[kind]} ${this.data(core, frame, line, kind === Kind.Store)}`);
    return this.events;
  }

  chill(): void {
    for (const { third, cores } of this.domains) {
      third.clear();
      for (const { code, data, second } of cores) [code, data, second].forEach((each) => each.clear());
    }
  }

  private domainOf(core: SlowCore): SlowDomain {
    return this.domains.find((each) => each.cores.includes(core))!;
  }

  private fetch(core: SlowCore, frame: number, line: number): void {
    const { line: used, hit } = core.code.use(frame, line);
    if (hit) {
      this.events.references.push(
        used.prefetchedFrom === undefined ? "Fetch L1" : `PrefetchedFetch ${used.prefetchedFrom}`,
      );
      delete used.prefetchedFrom;
      return;
    }
    const source = this.fetchBelow(core, frame, line);
    for (let next = line + 1; next <= Math.min(63, line + this.spec.costs.prefetchLines); next++) {
      if (core.code.get(frame, next)) continue;
      const fresh = core.code.use(frame, next).line;
      const from = this.fetchBelow(core, frame, next);
      fresh.prefetchedFrom = from;
      this.events.references.push(`Prefetch ${from}`);
    }
    this.events.references.push(`Fetch ${source}`);
  }

  private fetchBelow(core: SlowCore, frame: number, line: number): string {
    const data = core.data.get(frame, line);
    if (data?.modified) {
      data.modified = false;
      data.shared = false;
      this.modificationLeavesL1(core, frame, line);
    }
    return this.below(core, frame, line, false);
  }

  private data(core: SlowCore, frame: number, line: number, write: boolean): string {
    const { line: used, hit, victim } = core.data.use(frame, line);
    let source = "L1";
    if (!hit) {
      if (victim?.modified) this.modificationLeavesL1(core, victim.frame, line);
      source = this.below(core, frame, line, write);
      used.shared = core.second.get(frame, line)!.shared;
    }
    if (write && !used.modified) {
      if (used.shared) {
        const upgrade = this.upgrade(core, frame, line);
        if (upgrade !== "L1") source = upgrade;
        used.shared = false;
        const below = core.second.get(frame, line);
        if (below) below.shared = false;
      }
      used.modified = true;
      core.code.take(frame, line);
    }
    return source;
  }

  private below(core: SlowCore, frame: number, line: number, write: boolean): string {
    const { line: used, hit, victim } = core.second.use(frame, line);
    if (hit) return "L2";
    const isVictimCache = this.spec.l3.inclusion === "victim";
    if (!isVictimCache && victim) this.leavesL2(core, victim.frame, line, victim.modified);
    const found = this.outside(core, frame, line, write);
    used.modified = found.modified;
    used.shared = found.shared;
    if (isVictimCache && victim) this.leavesL2(core, victim.frame, line, victim.modified);
    return found.source;
  }

  private outside(
    core: SlowCore,
    frame: number,
    line: number,
    write: boolean,
  ): { source: string; modified: boolean; shared: boolean } {
    const domain = this.domainOf(core);
    const home = this.homeOf(core, frame);
    let here: boolean;
    let modified = false;
    if (this.spec.l3.inclusion === "victim") {
      const taken = domain.third.take(frame, line);
      here = taken !== undefined;
      modified = taken?.modified ?? false;
    } else {
      const { hit, victim } = domain.third.use(frame, line);
      here = hit;
      if (victim) this.leavesL3(domain, core, victim);
    }
    const siblings = domain.cores
      .filter((each) => each !== core)
      .map((each) => this.ask(each, frame, line, write))
      .filter((answer) => answer !== "none");
    let source = here ? "OwnL3" : siblings.length > 0 ? "Sibling" : `Memory ${home}`;
    if (siblings.includes("modified")) {
      source = "Sibling";
      if (write) modified = true;
      else if (this.spec.l3.inclusion === "victim") this.leavesL2(core, frame, line, true);
      else this.modificationReachesL3(domain, core, frame, line);
    }
    const held = here || siblings.length > 0;
    if (held && !write)
      return { source, modified, shared: siblings.length > 0 || !(modified || this.domains.length === 1) };
    const others = this.domains
      .filter((each) => each !== domain)
      .map((each) => ({ near: each.socket === domain.socket, answer: this.askDomain(each, frame, line, write) }))
      .filter(({ answer }) => answer !== "none");
    const near = others.some((each) => each.near) ? "SameSocket" : "OtherSocket";
    if (others.some(({ answer }) => answer === "modified")) {
      source = `Dirty${near}`;
      if (write) modified = true;
      else this.events.writeBacks.push(home);
    } else if (others.length > 0) source = held ? `Upgrade${near}` : `Clean${near} ${home}`;
    return { source, modified, shared: !write && others.length > 0 };
  }

  private upgrade(core: SlowCore, frame: number, line: number): string {
    const domain = this.domainOf(core);
    const siblings = domain.cores.filter((each) => each !== core).map((each) => this.ask(each, frame, line, true));
    const others = this.domains
      .filter((each) => each !== domain)
      .filter((each) => this.askDomain(each, frame, line, true) !== "none");
    if (others.some((each) => each.socket !== domain.socket)) return "UpgradeOtherSocket";
    if (others.length > 0) return "UpgradeSameSocket";
    return siblings.some((answer) => answer !== "none") ? "UpgradeSibling" : "L1";
  }

  private ask(core: SlowCore, frame: number, line: number, remove: boolean): "none" | "clean" | "modified" {
    const found = [core.data, core.second]
      .map((cache) => (remove ? cache.take(frame, line) : cache.get(frame, line)))
      .filter((each) => each !== undefined);
    const code = remove ? core.code.take(frame, line) : core.code.get(frame, line);
    const modified = found.some((each) => each.modified);
    for (const each of found) {
      each.modified = false;
      each.shared = true;
    }
    return modified ? "modified" : found.length > 0 || code ? "clean" : "none";
  }

  private askDomain(domain: SlowDomain, frame: number, line: number, remove: boolean): "none" | "clean" | "modified" {
    const third = remove ? domain.third.take(frame, line) : domain.third.get(frame, line);
    const answers = domain.cores.map((core) => this.ask(core, frame, line, remove));
    const modified = third?.modified === true || answers.includes("modified");
    if (third) third.modified = false;
    return modified ? "modified" : third || answers.includes("clean") ? "clean" : "none";
  }

  private modificationLeavesL1(core: SlowCore, frame: number, line: number): void {
    const below = core.second.get(frame, line);
    if (below) below.modified = true;
    else this.leavesL2(core, frame, line, true);
  }

  private leavesL2(core: SlowCore, frame: number, line: number, modified: boolean): void {
    const domain = this.domainOf(core);
    if (this.spec.l3.inclusion === "victim") {
      const { line: used, victim } = domain.third.use(frame, line);
      if (victim) this.leavesL3(domain, core, victim);
      if (modified) used.modified = true;
    } else if (modified) this.modificationReachesL3(domain, core, frame, line);
  }

  private modificationReachesL3(domain: SlowDomain, core: SlowCore, frame: number, line: number): void {
    const third = domain.third.get(frame, line);
    if (third) third.modified = true;
    else this.events.writeBacks.push(this.homeOf(core, frame));
  }

  private leavesL3(domain: SlowDomain, core: SlowCore, { frame, line, modified }: Line): void {
    const answers =
      this.spec.l3.inclusion === "inclusive" ? domain.cores.map((each) => this.ask(each, frame, line, true)) : [];
    if (modified || answers.includes("modified")) this.events.writeBacks.push(this.homeOf(core, frame));
  }

  private homeOf(core: SlowCore, frame: number): number {
    const home = this.home(frame);
    return home >= 0 ? home : this.spec.nodes.findIndex((node) => node.id === core.cpu.node);
  }
}
