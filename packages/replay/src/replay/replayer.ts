/**
 * Runs programs on one booted kernel: every fetch, load and store through a CPU's translation, tables and caches.
 *
 * The measured virtual CPU runs on the chosen CPU; the others run on CPUs of the nodes that stand for theirs.
 */
import { Counters, difference } from "@kreplica/hw-x86";
import {
  addressOfFrame,
  BATCH_REGION,
  CR3_NO_FLUSH,
  type Cpu,
  type CpuId,
  type ReferenceBatch,
} from "@kreplica/hw-x86/api";
import { type Booted, RECORDED_PCID, runsShortNoOps } from "@kreplica/kernel";
import { invariant, InvariantError } from "@kreplica/mm-core";
import { countDemand } from "./demand-count.js";
import { type ArrivalWork, type CopyChange, ReplicationWork, type WorkDone, workSince } from "./replication-work.js";
import type { PlacePage } from "./program-builder.js";
import { CHUNK, Control, Op, type Program, type ProgramPage, Region, SHORT_NO_OPS } from "./program.js";

const CR4_PCIDE = 0x2_0000;

/** Counts of the measured CPU over one run. */
export interface Run {
  /** Laid out by the machine's CounterLayout; what happened in the run alone. */
  readonly counters: Float64Array;
  /** The same for the part from the middle operation on. */
  readonly secondHalf: Float64Array;
  /** What of it happened in the workload's windows. */
  readonly windows: WindowCounts;
  /** What the kernel did in the run that the recorded one did not. */
  readonly work: WorkDone;
}

/** What a place in a workload is told in: its whole is 0 to this. */
export const PARTS = 16;

/** From where to where, in {@link PARTS}ths, fractions too. */
export type Window = readonly [from: number, to: number];

/** Counts within a workload's windows, instructions aside. */
export interface WindowCounts {
  readonly first: Float64Array;
  readonly others: Float64Array;
}

/** Operations `[from, to)` of a program. */
export interface Piece {
  readonly program: Program;
  readonly from: number;
  readonly to: number;
}

/** What can be run: a program, or a long run of many. */
export interface Workload {
  /** References it makes in one run, control operations included. */
  readonly length: number;
  /** Instructions by virtual CPU and region, `[vcpu * 8 + region]`. */
  readonly instructions: Float64Array;
  /**
   * A part of it, each piece to be executed before the next is asked for: what lies between is done on the replayer.
   * @param from in {@link PARTS}ths of the whole, fractions too: 0 to {@link PARTS}
   */
  pieces(replayer: Replayer, from: number, to: number): Iterable<Piece>;
  /** It does the same again and again. */
  readonly loop: boolean;
  /** Parts that are like the rest, in order, none over its middle; none at all where it is short. */
  readonly windows: readonly Window[];
  /** Part of a workload that this stands for all of; absent where it stands for itself. */
  readonly share?: number;
  /** The same with its pages where another kernel has them; what it executes is shared. */
  placed(place: PlacePage): Workload;
}

/** A CPU and what it loads when it changes privilege. */
interface Runner {
  readonly cpu: Cpu;
  readonly kernelRoot: bigint;
  readonly userRoot: bigint;
  readonly batch: ReferenceBatch | undefined;
}

/** Operations of a chunk that stand in a batch's input. */
interface Batched {
  readonly batch: ReferenceBatch;
  readonly chunk: Uint32Array;
  readonly first: number;
  readonly end: number;
}

/** Fewer operations than these are not worth a batch. */
const SHORT = 64;

/** Hot: writes operations as a batch takes them; their kinds are the batch's. */
function fill(input: Int32Array, { pageLo, pageHi }: Program, chunk: Uint32Array, from: number, end: number): void {
  for (let i = from, to = 0; i < end; i++, to += 2) {
    const word = chunk[i]!;
    const page = word >>> 8;
    const op = word & 3;
    if (op === Op.Control) {
      // The region is the batch's as well; all else ends it.
      input[to] = BATCH_REGION;
      input[to + 1] = ((word >>> 2) & 63) === Control.Region ? page : -1;
    } else {
      input[to] = (pageLo[page]! & ~63) | ((word & 0xfc) << 4) | op;
      input[to + 1] = pageHi[page]!;
    }
  }
}

/** One kernel with the CPUs a recording's virtual CPUs run on. */
export class Replayer {
  protected readonly bank: Counters;
  private readonly runners = new Map<number, Runner>();
  private readonly pti: boolean;
  private readonly shortNoOps: boolean;
  private readonly work: ReplicationWork;
  /** False: a kernel whose copies come on demand hears of no run, so that they come and go by hand alone. */
  countsDemand = true;

  /**
   * @param cpu runs the measured virtual CPU
   * @param others CPU for each other virtual CPU
   */
  constructor(
    readonly booted: Booted,
    readonly cpu: CpuId,
    protected readonly measured: number,
    private readonly others: (vcpu: number) => CpuId,
  ) {
    this.bank = booted.assembly.get(Counters);
    this.pti = booted.layout.pti;
    this.work = new ReplicationWork(booted);
    this.shortNoOps = runsShortNoOps(booted, cpu);
  }

  /** Empties every cache, TLB and paging-structure cache of the machine. */
  chill(): void {
    this.booted.machine.chill();
  }

  /** Runs the workload once, from whatever state the machine is in. */
  run(workload: Workload): Run {
    const running = this.runInPieces(workload);
    for (let next = running.next(); ; next = running.next()) {
      if (next.done === true) return next.value;
      this.execute(next.value.program, next.value.from, next.value.to);
    }
  }

  /** As {@link run}, by whoever takes the pieces and executes each before the next: others may run in between. */
  *runInPieces(workload: Workload): Generator<Piece, Run, undefined> {
    this.select(this.measured);
    const before = this.bank.snapshot(this.cpu);
    const workBefore = this.work.done;
    const windows = { first: new Float64Array(before.length), others: new Float64Array(before.length) };
    const played = yield* this.playTo(PARTS / 2, 0, workload, windows);
    const half = this.bank.snapshot(this.cpu);
    yield* this.playTo(PARTS, played, workload, windows);
    this.select(this.measured);
    this.retire(workload);
    const after = this.bank.snapshot(this.cpu);
    const counters = difference(before, after);
    if (this.countsDemand) countDemand(this.booted, this.cpu, counters, workload.share);
    return {
      counters,
      secondHalf: difference(half, after),
      windows,
      work: workSince(workBefore, this.work.done),
    };
  }

  /**
   * As {@link run}, with what the process' arrival on the measured CPU takes in the counters: the switch makes the PGD
   * that the policy has for this node, and the CPU has no translation of the process.
   */
  runOnArrival(workload: Workload): Run & { readonly arrival: ArrivalWork } {
    this.select(this.measured);
    const before = this.bank.snapshot(this.cpu);
    const { cpu, userRoot, kernelRoot } = this.runner(this.measured);
    const { machine, recorded, view } = this.booted;
    const node = machine.nodeOfCpu(this.cpu);
    cpu.privilege = 0;
    // Nothing kept of either half. Then the CPU is in the kernel with no process, as it is for the one before this one.
    for (const root of this.pti ? [userRoot, kernelRoot] : [kernelRoot]) cpu.writeCr3(root & ~CR3_NO_FLUSH);
    cpu.writeCr3(addressOfFrame(view.kernelRoot(node)));
    const arrival = this.work.arrive(recorded.userSpace, cpu);
    this.runners.delete(this.measured);
    this.select(this.measured);
    const arrived = difference(before, this.bank.snapshot(this.cpu));
    const run = this.run(workload);
    return { ...run, counters: run.counters.map((count, at) => count + arrived[at]!), arrival };
  }

  /**
   * As {@link run}, with what it takes that the CPU's node gets a copy of text, or gives it back, in the counters: the
   * CPU enters the kernel for it, and does all of it itself.
   * @returns undefined, and nothing is run, where the copy does not come, or go
   */
  runOnCopy(workload: Workload, change: CopyChange): (Run & { readonly copying: WorkDone }) | undefined {
    this.select(this.measured);
    const before = this.bank.snapshot(this.cpu);
    const { cpu, kernelRoot } = this.runner(this.measured);
    const { privilege, cr3 } = cpu;
    cpu.privilege = 0;
    if (this.pti) cpu.writeCr3(kernelRoot);
    const copying = this.work.copyText(change, cpu);
    if (!copying) return undefined;
    cpu.privilege = privilege;
    if (this.pti) cpu.writeCr3(cr3 | (kernelRoot & CR3_NO_FLUSH));
    const done = difference(before, this.bank.snapshot(this.cpu));
    const run = this.run(workload);
    return { ...run, counters: run.counters.map((count, at) => count + done[at]!), copying };
  }

  /** Plays what is left up to a place, and adds what its windows count. @returns the place */
  private *playTo(
    to: number,
    from: number,
    workload: Workload,
    counts: WindowCounts,
  ): Generator<Piece, number, undefined> {
    let at = from;
    for (const [nth, [first, end]] of workload.windows.entries()) {
      if (first < at || end > to) continue;
      if (first > at) yield* workload.pieces(this, at, first);
      const before = this.bank.snapshot(this.cpu);
      yield* workload.pieces(this, first, end);
      const after = this.bank.snapshot(this.cpu);
      const sum = nth === 0 ? counts.first : counts.others;
      for (let place = 0; place < sum.length; place++) sum[place]! += after[place]! - before[place]!;
      at = end;
    }
    if (at < to) yield* workload.pieces(this, at, to);
    return to;
  }

  /** What a run of the workload counts beside its references: the measured CPU's recorded instructions. */
  instructionsOf(workload: Workload): Float64Array {
    this.select(this.measured);
    const before = this.bank.snapshot(this.cpu);
    this.retire(workload);
    return difference(before, this.bank.snapshot(this.cpu));
  }

  private retire(workload: Workload): void {
    for (let region = 0; region < SHORT_NO_OPS; region++) {
      const instructions = workload.instructions[this.measured * 8 + region]!;
      if (instructions === 0) continue;
      this.current.region = region;
      this.current.retire(instructions);
    }
    if (this.shortNoOps) {
      this.current.region = Region.Kernel;
      this.current.retire(workload.instructions[this.measured * 8 + SHORT_NO_OPS]!);
    }
  }

  protected at = 0;
  protected current!: Cpu;
  protected vcpu = 0;

  /** Of the current CPU. */
  private batch: ReferenceBatch | undefined;
  private batched: Batched | undefined;

  /** Runs operations `[from, to)`. */
  execute(program: Program, from: number, to: number): void {
    // Pages may have got other addresses meanwhile, and others on the core may have used its input.
    this.batched = undefined;
    for (let at = from; at < to;) {
      const chunk = program.chunks[Math.floor(at / CHUNK)]!;
      const first = at % CHUNK;
      const end = Math.min(CHUNK, first + to - at);
      this.at = at - first;
      let i = first;
      while (i < end) i = this.references(program, chunk, i, end);
      at += end - first;
    }
  }

  /** Hot: runs references up to a control operation, which it executes too. @returns the index behind what was run */
  protected references(program: Program, chunk: Uint32Array, from: number, end: number): number {
    const { batch } = this;
    if (batch === undefined) return this.oneByOne(program, chunk, from, end);
    let { batched } = this;
    if (batched?.batch !== batch || batched.chunk !== chunk || from >= batched.end || from < batched.first) {
      if (end - from < SHORT) return this.oneByOne(program, chunk, from, end);
      batched = { batch, chunk, first: from, end: Math.min(end, from + batch.capacity) };
      this.batched = batched;
      fill(batch.input, program, chunk, from, batched.end);
    }
    const i = batched.first + batch.run(from - batched.first, batched.end - batched.first);
    if (i === batched.end) return i;
    const word = chunk[i]!;
    const page = word >>> 8;
    const op = word & 3;
    if (op === Op.Control) this.control(program, (word >>> 2) & 63, page);
    else {
      const lo = program.pageLo[page]! | ((word & 0xfc) << 4);
      this.faulted(program, this.at + i, op, lo, program.pageHi[page]!, page, batch.fault);
    }
    return i + 1;
  }

  /** Hot: {@link references} of CPUs that take none in batches. */
  private oneByOne(program: Program, chunk: Uint32Array, from: number, end: number): number {
    const { pageLo, pageHi } = program;
    const cpu = this.current;
    for (let i = from; i < end; i++) {
      const word = chunk[i]!;
      const page = word >>> 8;
      const lo = pageLo[page]! | ((word & 0xfc) << 4);
      const hi = pageHi[page]!;
      const op = word & 3;
      let fault: number;
      if (op === Op.Load) fault = cpu.load(lo, hi);
      else if (op === Op.Fetch) fault = cpu.fetch(lo, hi);
      else if (op === Op.Store) fault = cpu.store(lo, hi);
      else {
        this.control(program, (word >>> 2) & 63, page);
        return i + 1;
      }
      if (fault !== 0) this.faulted(program, this.at + i, op, lo, hi, page, fault);
    }
    return end;
  }

  protected control(program: Program, what: Control, argument: number): void {
    switch (what) {
      case Control.Region:
        this.current.region = argument;
        break;
      case Control.Privilege: {
        const runner = this.runner(this.vcpu);
        this.current.privilege = argument === 3 ? 3 : 0;
        // With KPTI each crossing loads the other half; bit 63 keeps both halves' translations, as Linux does with
        // PCIDs.
        if (this.pti) this.current.writeCr3(argument === 3 ? runner.userRoot : runner.kernelRoot);
        break;
      }
      case Control.Map:
        this.map(program.pages[argument]!);
        break;
      case Control.Vcpu:
        this.select(argument);
        break;
      case Control.Visit:
        this.work.behind(program.visits[argument]!, this.current, program);
        break;
    }
  }

  /** Maps a page of the recording in this kernel. */
  map(page: ProgramPage): void {
    const address = this.booted.recorded.map(page.recorded, page.frame);
    invariant(
      address === page.address,
      `page 0x${page.recorded.toString(16)} is at 0x${address.toString(16)} in this kernel, at 0x${page.address.toString(16)} in the one the program was made for`,
    );
  }

  /** Refers on the current CPU, in the kernel, to a line of data or of text that no program has. */
  touch(op: Op.Fetch | Op.Load | Op.Store, lo: number, hi: number): void {
    const { current } = this;
    const { region } = current;
    current.region = hi < 0 ? Region.Kernel : Region.User;
    const fault =
      op === Op.Load ? current.load(lo, hi) : op === Op.Store ? current.store(lo, hi) : current.fetch(lo, hi);
    current.region = region;
    if (fault !== 0)
      invariant(
        false,
        `a line outside the program faulted: 0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, "0")}, error code 0x${(fault & 0x7fff_ffff).toString(16)}`,
      );
  }

  protected select(vcpu: number): void {
    this.vcpu = vcpu;
    const { cpu, batch } = this.runner(vcpu);
    this.current = cpu;
    this.batch = batch;
  }

  private runner(vcpu: number): Runner {
    let runner = this.runners.get(vcpu);
    if (runner) return runner;
    const { machine, recorded, options } = this.booted;
    const id = vcpu === this.measured ? this.cpu : this.others(vcpu);
    const cpu = machine.cpu(id);
    recorded.runsOn(id);
    const node = machine.nodeOfCpu(id);
    const space = recorded.userSpace;
    space.enter(node);
    const pcid = options.pcid ? RECORDED_PCID : 0;
    const keep = options.pcid ? CR3_NO_FLUSH : 0n;
    cpu.privilege = 0;
    cpu.writeCr3(space.cr3(node, "kernel"));
    if (options.pcid) cpu.cr4 |= CR4_PCIDE;
    runner = {
      cpu,
      kernelRoot: space.cr3(node, "kernel", pcid) | keep,
      userRoot: space.cr3(node, "user", pcid) | keep,
      batch: cpu.batch?.(),
    };
    cpu.writeCr3(runner.kernelRoot & ~CR3_NO_FLUSH);
    this.runners.set(vcpu, runner);
    return runner;
  }

  protected faulted(
    program: Program,
    at: number,
    op: number,
    lo: number,
    hi: number,
    page: number,
    fault: number,
  ): never {
    const address = ((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16);
    const what = `${["fetch", "load", "store"][op]!} at 0x${address} (recorded frame ${program.pages[page]!.frame}) gives error code 0x${(fault & 0x7fff_ffff).toString(16)}`;
    program.blame?.(at, `the replay faulted: ${what}`);
    throw new InvariantError(`operation ${at} of the replay faulted: ${what}`);
  }
}
