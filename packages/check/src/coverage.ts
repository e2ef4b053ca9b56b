/**
 * What a check has seen of the states that CPUs' cached tables can be in: who has which tables loaded, lazily or on
 * borrowed ones, on its own node's root or another's, with flushes missed or owed; and which operation led from which
 * state to which.
 *
 * The state of a CPU is read from the port of the switcher alone, so that any implementation of it can be looked at. A
 * step counts as news when a CPU went from one state to another by an operation that was not seen to do that.
 */
import type { CpuId } from "@kreplica/hw-x86";
import type { BootParts } from "@kreplica/kernel";
import { SwitchMm } from "@kreplica/mm-core";
import type { Operation } from "./operation.js";

/** PCIDs that the kernel gives to processes, and what lies between a kernel half's and its user half's. */
const [FIRST_PCID, LAST_PCID, USER_HALF] = [1, 6, 0x800];

/** How much of a search's ground was trodden. */
export interface CoverageCount {
  /** States a CPU was in. */
  readonly states: number;
  /** Operation, state before, state after. */
  readonly transitions: number;
}

/**
 * What may be so of a CPU, a bit each in this order. missed: it has not been told of a flush of what it borrows; owed,
 * owed user half: what it has under another PCID, or the user half of one it may use, is flushed before use; alone: no
 * other CPU has the same space.
 */
const WORDS = [
  "loaded",
  "lazy",
  "temporary",
  "another node's root",
  "user mode",
  "missed",
  "owed",
  "owed user half",
  "alone",
] as const;
type Word = (typeof WORDS)[number];
const bit = (word: Word): number => 1 << WORDS.indexOf(word);
const [LOADED, LAZY, TEMPORARY, FOREIGN_ROOT, USER_MODE, MISSED, OWED, OWED_USER, ALONE] = [
  bit("loaded"),
  bit("lazy"),
  bit("temporary"),
  bit("another node's root"),
  bit("user mode"),
  bit("missed"),
  bit("owed"),
  bit("owed user half"),
  bit("alone"),
];
/** Above every state. */
const STATES = 1 << WORDS.length;

/** A state in words. */
export const stateWords = (state: number): readonly Word[] => WORDS.filter((word) => (state & bit(word)) !== 0);

/** All states and transitions that a search has come to. */
export class Coverage {
  private readonly states = new Set<number>();
  private readonly transitions = new Map<string, Set<number>>();
  private news = 0;

  get count(): CoverageCount {
    let transitions = 0;
    for (const each of this.transitions.values()) transitions += each.size;
    return { states: this.states.size, transitions };
  }

  /** Transitions seen for the first time since this was asked last. */
  takeNews(): number {
    const { news } = this;
    this.news = 0;
    return news;
  }

  /** A CPU went from a state to another, or stayed in it, while an operation was done. */
  add(op: string, before: number, after: number): void {
    this.states.add(after);
    let of = this.transitions.get(op);
    if (!of) this.transitions.set(op, (of = new Set()));
    const transition = before * STATES + after;
    if (of.has(transition)) return;
    of.add(transition);
    this.news++;
  }
}

/** Looks at one kernel's CPUs after each operation. */
export class CoverageWatch {
  private readonly before = new Map<CpuId, number>();
  private readonly switcher: SwitchMm;

  constructor(
    private readonly parts: BootParts,
    private readonly coverage: Coverage,
  ) {
    this.switcher = parts.assembly.get(SwitchMm);
  }

  /** After an operation. Of CPUs that nothing happened to, nothing is counted. */
  afterStep({ op }: Operation): void {
    for (const cpu of this.parts.cpus.online) {
      const now = this.stateOf(cpu);
      const before = this.before.get(cpu) ?? 0;
      if (before === now) continue;
      this.before.set(cpu, now);
      this.coverage.add(op, before, now);
    }
  }

  /** What a CPU's tables are now, see {@link stateWords}. */
  stateOf(cpu: CpuId): number {
    const { switcher, parts } = this;
    const core = parts.machine.cpu(cpu);
    const space = switcher.loaded(cpu);
    let state = core.privilege === 3 ? USER_MODE : 0;
    if (space) {
      state |= LOADED;
      if (!space.pgdNodes.includes(parts.machine.nodeOfCpu(cpu))) state |= FOREIGN_ROOT;
      if (this.runsAlone(cpu)) state |= ALONE;
    }
    if (switcher.isLazy(cpu)) state |= LAZY;
    if (switcher.temporary(cpu)) state |= TEMPORARY;
    if (switcher.useOf(cpu, core.pcid) === "lazy") state |= MISSED;
    for (let pcid = FIRST_PCID; pcid <= LAST_PCID; pcid++) {
      if (switcher.useOf(cpu, pcid) === "used") {
        if (switcher.useOf(cpu, pcid + USER_HALF) === "owed") state |= OWED_USER;
      } else if (pcid !== core.pcid) state |= OWED;
    }
    return state;
  }

  private runsAlone(cpu: CpuId): boolean {
    const { switcher, parts } = this;
    const space = switcher.loaded(cpu);
    for (const other of parts.cpus.online) if (other !== cpu && switcher.loaded(other) === space) return false;
    return true;
  }
}
