/**
 * A core whose front end runs ahead: it remembers where lines of text were left to, and asks for the lines on that way
 * before its instructions come to them. Machines whose specification has `costs.frontEnd` are made of it; the others
 * know nothing of it. Allocates nothing after it was made.
 *
 * Its clock is the fetch path's alone: what the instructions of a line take at the base rate, and what fetches wait. A
 * core that waits for data meanwhile finds more of its text arrived than this says.
 */
import { fetchCycles } from "./account.js";
import { Pattern } from "./bit-patterns.js";
import { Core, type CoreStore } from "./core.js";
import { HardwareThread, type ThreadParts } from "./cpu.js";
import type { Cpu } from "./machine-api.js";
import { LruTable, NO_SLOT } from "./lru-table.js";
import { Thread } from "./literals.js";
import type { MachineParts } from "./parts.js";
import type { OuterCaches } from "./sharing.js";
import type { FrontEndSpec, MachineSpec } from "./spec.js";

/** Instructions that the recorded tests execute of a line before they go to another: 5.6 (fork-1) to 7.1 (mmap). */
const LINE_INSTRUCTIONS = 6;
/** A share of a wait is a multiple of 1/64, so that sums of shares are exact. */
const SHARES = 64;

/** The front end of a core that runs ahead, for a caller whose text is no-ops and jumps alone. */
export interface FrontEnd {
  /** Cycles that a line's instructions take. */
  readonly lineCycles: number;
  /** Cycles to start anew behind a jump that was not foreseen. */
  readonly restartCycles: number;
  /** How often it had to, since it was made. */
  readonly restarts: number;
  /**
   * From here on all its text is no-ops and jumps, and each line is left by a jump, to the line behind it as well: what
   * is not remembered is not foreseen.
   * @param lineInstructions that are executed of a line, the jump too
   */
  runPlain(lineInstructions: number): void;
}

/** @returns undefined where the CPU's core waits for each line */
export const frontEndOf = (cpu: Cpu): FrontEnd | undefined => (cpu instanceof RunAheadThread ? cpu.core : undefined);

/** A core with what its front ends share: targets, arrivals, and the clock both are told by. */
export class RunAheadCore extends Core implements FrontEnd {
  /** By line left and the line before it: the line that came next, as (frame, line). */
  targets: LruTable;
  /** When a line brought early arrives, by the index of its tag in L1I. */
  arrivals: Float64Array;
  /** Cycles a line takes beyond L1I, by source. */
  readonly latencies: Float64Array;
  /** Lines that one thread has under way at most. */
  readonly lines: number;
  /** Lines that one thread has ahead at most and remembers nothing of. */
  readonly straightLines: number;
  private readonly instructionCycles: number;
  lineCycles: number;
  /** Every line is left by a jump. */
  jumpsAlways: boolean;
  /** Cycles of the fetch path so far. */
  now: number;
  readonly restartCycles: number;
  restarts: number;
  /** How often all was forgotten. */
  cleared: number;

  constructor(
    spec: MachineSpec,
    outer: OuterCaches,
    nodeIndex: number,
    parts: MachineParts,
    empty: CoreStore,
    private readonly frontEnd: FrontEndSpec,
  ) {
    super(spec, outer, nodeIndex, parts, empty);
    this.targets = new LruTable(1);
    this.arrivals = new Float64Array(0);
    this.latencies = fetchCycles(spec, nodeIndex);
    this.lines = frontEnd.lines.value | 0;
    this.straightLines = (frontEnd.straightLines ?? frontEnd.lines).value | 0;
    this.instructionCycles = spec.costs.cyclesPerInstruction.value;
    this.lineCycles = LINE_INSTRUCTIONS * this.instructionCycles;
    this.jumpsAlways = false;
    this.now = 0;
    this.restartCycles = frontEnd.restartCycles?.value ?? 0;
    this.restarts = 0;
    this.cleared = 0;
  }

  override wake(): void {
    if (this.asleep === 0) return;
    super.wake();
    this.targets = new LruTable(this.frontEnd.targets.value);
    this.arrivals = new Float64Array(this.l1i.origins.length);
  }

  override get hostBytes(): number {
    return super.hostBytes + this.targets.hostBytes + this.arrivals.byteLength;
  }

  override clear(): void {
    super.clear();
    this.targets.flush(0, 0);
    this.cleared++;
  }

  runPlain(lineInstructions: number): void {
    const { plainText } = this.frontEnd;
    this.lineCycles =
      plainText === undefined
        ? lineInstructions * this.instructionCycles
        : lineInstructions / plainText.instructionsPerCycle.value + plainText.jumpCycles.value;
    this.jumpsAlways = true;
  }

  /** Asks for a line that is not in L1I at a time of the clock. */
  ask(frame: number, line: number, time: number, counters: Float64Array, row: number): void {
    const from = this.bring(frame, line, counters, row);
    if (from >= 0) this.arrivals[this.broughtAt] = time + this.latencies[from]!;
  }
}

/** The way ahead of one thread: lines asked for that its instructions have not come to. */
class WayAhead {
  private readonly frames: Int32Array;
  private readonly lines: Int32Array;
  /** 1: nothing said that the line comes, it is the one behind. */
  private readonly guesses: Uint8Array;
  private first = 0;
  private count = 0;
  /** Sum of the guesses. */
  private guessed = 0;
  /** The line last fetched and the one before it; no line: -1. */
  private frame = 0;
  private line = -1;
  private before = 0;
  /** The farthest line, and a hash of the one before it. */
  private endFrame = 0;
  private endLine = 0;
  private endBefore = 0;
  private cleared = 0;

  constructor(private readonly core: RunAheadCore) {
    this.frames = new Int32Array(64);
    this.lines = new Int32Array(64);
    this.guesses = new Uint8Array(64);
  }

  /**
   * The thread goes to a line: it learns the way there, and where it had expected another, what lies ahead is void.
   * @returns 1: the jump there was not foreseen, and the front end starts anew; else 0
   */
  enter(frame: number, line: number): number {
    const { core } = this;
    let restart = 0;
    if (this.cleared !== core.cleared) {
      this.cleared = core.cleared;
      this.count = 0;
      this.line = -1;
    }
    if (this.line >= 0) {
      const { targets } = core;
      const slot = targets.lookup(this.frame, tagOf(this.line, this.before));
      if (slot !== NO_SLOT) {
        if (targets.value[slot] !== frame || targets.extra[slot] !== line) restart = 1;
        targets.value[slot] = frame;
        targets.extra[slot] = line;
      } else if (core.jumpsAlways || frame !== this.frame || line !== this.line + 1) {
        restart = 1;
        targets.insert(this.frame, tagOf(this.line, this.before), frame, line);
      }
    }
    const foreseen =
      restart === 0 && this.count > 0 && this.frames[this.first] === frame && this.lines[this.first] === line;
    const before = hashOf(this.frame, this.line);
    if (foreseen) {
      this.guessed -= this.guesses[this.first]!;
      this.first = (this.first + 1) & 63;
      this.count--;
    }
    if (!foreseen || this.count === 0) {
      this.count = 0;
      this.guessed = 0;
      this.endFrame = frame;
      this.endLine = line;
      this.endBefore = before;
    }
    this.before = before;
    this.frame = frame;
    this.line = line;
    return restart;
  }

  /** Goes on from the farthest line until so many are ahead, or the page ends and nothing says where to. */
  extend(most: number, time: number, counters: Float64Array, row: number): void {
    const { targets, straightLines } = this.core;
    while (this.count < most) {
      const slot = targets.lookup(this.endFrame, tagOf(this.endLine, this.endBefore));
      if (slot === NO_SLOT && (this.endLine === 63 || this.guessed >= straightLines)) return;
      const before = hashOf(this.endFrame, this.endLine);
      this.endFrame = slot !== NO_SLOT ? targets.value[slot]! : this.endFrame;
      this.endLine = slot !== NO_SLOT ? targets.extra[slot]! : this.endLine + 1;
      this.endBefore = before;
      const place = (this.first + this.count++) & 63;
      this.frames[place] = this.endFrame;
      this.lines[place] = this.endLine;
      this.guesses[place] = slot === NO_SLOT ? 1 : 0;
      this.guessed += this.guesses[place]!;
      this.core.ask(this.endFrame, this.endLine, time, counters, row);
    }
  }
}

/** A line in 16 bits, for {@link tagOf}. */
const hashOf = (frame: number, line: number): number => Math.imul((frame << 6) | line, Pattern.Hash) >>> 16;
/** Second key of a target: the line of the page, and by which line it was come to. */
const tagOf = (line: number, before: number): number => (before << 6) | line;

/** A thread of a {@link RunAheadCore}. */
export class RunAheadThread extends HardwareThread {
  declare readonly core: RunAheadCore;
  private readonly ahead: WayAhead;
  /** Whether the fetch that is being made had to walk. */
  private walked = false;

  constructor(parts: ThreadParts, core: RunAheadCore) {
    super(parts, core);
    this.ahead = new WayAhead(core);
  }

  /** None: where the front end is depends on every fetch. */
  override batch(): undefined {
    return undefined;
  }

  protected override walk(lo: number, hi: number, access: number, deny: number): number {
    this.walked = true;
    return super.walk(lo, hi, access, deny);
  }

  override fetch(lo: number, hi: number): number {
    const { core, counters } = this;
    const samePage = core.fetchThread === this.thread && (hi | 0) === core.fetchHi;
    const apart = (lo ^ core.fetchLo) | 0;
    if (samePage && (apart & ~63) === 0) return super.fetch(lo, hi);
    this.walked = false;
    if (!samePage || (apart & ~4095) !== 0) {
      const fault = this.translateFetch(lo, hi);
      if (fault !== 0) return fault;
    } else this.frame = this.fetchFrame;
    const frame = this.frame;
    const line = (lo >>> 6) & 63;
    if (this.ahead.enter(frame, line) !== 0) {
      core.restarts++;
      core.now += core.restartCycles;
    }
    const { l1i } = core;
    const base = l1i.baseOf(frame, line);
    let waited = 0;
    if (l1i.touch(base, frame) !== 0) {
      const at = base + l1i.first + l1i.way;
      const from = l1i.origins[at]!;
      if (from === 0) counters[this.fetchRow] = counters[this.fetchRow]! + 1;
      else {
        l1i.origins[at] = 0;
        const latency = core.latencies[from - 1]!;
        waited = Math.min(latency, Math.max(0, core.arrivals[at]! - core.now));
        const share = waited === 0 ? 0 : Math.ceil((SHARES * waited) / latency) / SHARES;
        const waiting = this.fetchRow + from - 1;
        const arrived = this.prefetchedRow + from - 1;
        counters[waiting] = counters[waiting]! + share;
        counters[arrived] = counters[arrived]! + 1 - share;
      }
    } else {
      const source = core.fetchMiss(frame, line, counters, this.prefetchRow);
      waited = core.latencies[source]!;
      counters[this.fetchRow + source] = counters[this.fetchRow + source]! + 1;
    }
    // One of the lines that may be under way is the one it waits for; behind it there is room for one more.
    // A front end that waits for a walk has no translation for the lines behind, and does not ask again.
    const most = this.walked ? 0 : core.lines;
    this.ahead.extend(most - 1, core.now, counters, this.prefetchRow);
    core.now += waited;
    this.ahead.extend(most, core.now, counters, this.prefetchRow);
    core.now += core.lineCycles;
    core.fetchThread = core.tlbs.codeKept !== 0 ? this.thread : Thread.Nobody;
    core.fetchLo = lo | 0;
    core.fetchHi = hi | 0;
    this.fetchFrame = frame;
    return 0;
  }
}
