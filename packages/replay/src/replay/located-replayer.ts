/**
 * A replay that says whose text each cycle went to: what a reference costs is charged to the place that was executed
 * last. Slower than a plain replay, and counts the same.
 */
import { CounterLayout, difference, Kind, Place, Source } from "@kreplica/hw-x86";
import type { CpuId } from "@kreplica/hw-x86/api";
import type { Booted } from "@kreplica/kernel";
import { CHUNK, Control, Op, type Program, Region } from "./program.js";
import { Replayer, type Run, type Workload } from "./replayer.js";
import { NO_PLACE, placeOf } from "./text-place.js";
import type { TimeLine, TimeLineRecorder } from "./time-line.js";

/** What each count costs, and whose cause it is, by its index in the counters. */
export interface Pricing {
  /** Cycles, whole numbers of 1/1024. */
  readonly price: Float64Array;
  /** Index of the cause; -1 for what costs nothing. */
  readonly cause: Int32Array;
  /** How many causes there are. */
  readonly causes: number;
}

/** Cycles by place and cause. */
export interface LocatedCycles {
  /** Places, in the order in which they were first charged. */
  readonly places: Float64Array;
  /** `[place * causes + cause]`. */
  readonly cycles: Float64Array;
  /** One behind the other; absent unless asked for. */
  readonly line?: TimeLine;
}

export class LocatedReplayer extends Replayer {
  private readonly layout: CounterLayout;
  private readonly live: Float64Array;
  private seen: Float64Array;
  private numbers = new Map<number, number>();
  private cycles = new Float64Array(0);
  private hereLo = 0;
  private hereHi = 0;
  private recorder: TimeLineRecorder | undefined;
  private line: TimeLine | undefined;

  /**
   * @param cpu runs the measured virtual CPU
   * @param others CPU for each other virtual CPU
   * @param retired instructions of one run by place
   * @param recorderOf gives each run what makes its time line
   */
  constructor(
    booted: Booted,
    cpu: CpuId,
    measured: number,
    others: (vcpu: number) => CpuId,
    private readonly pricing: Pricing,
    private readonly retired: ReadonlyMap<number, number>,
    private readonly recorderOf?: () => TimeLineRecorder,
  ) {
    super(booted, cpu, measured, others);
    this.layout = new CounterLayout(booted.machine.spec.nodes.length);
    this.live = this.bank.of(cpu);
    this.seen = this.live.slice();
  }

  /** Where the cycles of the last run went. */
  get located(): LocatedCycles {
    const places = Float64Array.from(this.numbers.keys());
    return {
      places,
      cycles: this.cycles.slice(0, places.length * this.pricing.causes),
      ...(this.line ? { line: this.line } : {}),
    };
  }

  override run(workload: Workload): Run {
    this.numbers = new Map();
    this.cycles = new Float64Array(this.pricing.causes << 10);
    this.seen = this.live.slice();
    this.recorder = this.recorderOf?.();
    const run = super.run(workload);
    // Instructions are added up at the end of a run: here they are told apart.
    const left = difference(this.seen, this.live);
    const instruction = this.layout.place(Region.Kernel, Place.Instructions);
    const price = this.pricing.price[instruction]!;
    const instructions = new Map<number, number>();
    for (const [place, count] of this.retired) {
      this.add(place, this.pricing.cause[instruction]!, count * price);
      instructions.set(place, count * price);
      left[instruction]! -= count;
    }
    const nowhere: [cause: number, cycles: number][] = [];
    left.forEach((count, index) => {
      const cause = this.pricing.cause[index]!;
      if (count === 0 || cause < 0) return;
      nowhere.push([cause, count * this.pricing.price[index]!]);
      this.add(NO_PLACE, ...nowhere.at(-1)!);
    });
    this.line = this.recorder?.finish(instructions, nowhere);
    return run;
  }

  protected override references(program: Program, chunk: Uint32Array, from: number, end: number): number {
    if (this.vcpu !== this.measured) return super.references(program, chunk, from, end);
    const { pageLo, pageHi } = program;
    const { layout, live } = this;
    const cpu = this.current;
    const { region } = cpu;
    const entered = program.entries?.[Math.floor((this.at + from) / CHUNK)];
    const hits = [Kind.Fetch, Kind.Load, Kind.Store].map((kind) => layout.row(region, kind) + Source.L1);
    const second = [Place.FetchSecondTlb, Place.DataSecondTlb].map((place) => layout.place(region, place));
    const walks = [Place.FetchWalks, Place.DataWalks].map((place) => layout.place(region, place));
    for (let i = from; i < end; i++) {
      const word = chunk[i]!;
      const page = word >>> 8;
      const lo = pageLo[page]! | ((word & 0xfc) << 4);
      const hi = pageHi[page]!;
      const op = word & 3;
      if (op === Op.Control) {
        this.control(program, (word >>> 2) & 63, page);
        return i + 1;
      }
      const data = op === Op.Fetch ? 0 : 1;
      const hit = live[hits[op]!]!;
      const answers = live[second[data]!]!;
      const walked = live[walks[data]!]!;
      let fault: number;
      if (op === Op.Load) fault = cpu.load(lo, hi);
      else if (op === Op.Store) fault = cpu.store(lo, hi);
      else {
        fault = cpu.fetch(lo, hi);
        this.hereLo = lo | (entered?.[i] ?? 0);
        this.hereHi = hi;
        this.recorder?.enter(placeOf(this.hereLo, hi));
      }
      if (fault !== 0) this.faulted(program, this.at + i, op, lo, hi, page, fault);
      // A hit in L1 whose translation was at hand costs nothing beyond its instruction.
      if (live[hits[op]!]! !== hit && live[second[data]!]! === answers && live[walks[data]!]! === walked) continue;
      this.charge(region, op);
    }
    return end;
  }

  protected override control(program: Program, what: Control, argument: number): void {
    super.control(program, what, argument);
    // What replication adds to a visit is charged to the text behind which it is done.
    if (what === Control.Visit && this.vcpu === this.measured) this.chargeRange(0, this.live.length);
  }

  override touch(op: Op.Fetch | Op.Load | Op.Store, lo: number, hi: number): void {
    super.touch(op, lo, hi);
    if (this.vcpu !== this.measured) return;
    if (op === Op.Fetch) {
      this.hereLo = lo;
      this.hereHi = hi;
      this.recorder?.enter(placeOf(lo, hi));
    }
    this.charge(hi < 0 ? Region.Kernel : Region.User, op);
  }

  /** Charges what a reference has just added. */
  private charge(region: number, op: Op.Fetch | Op.Load | Op.Store): void {
    const { layout } = this;
    const kind = op === Op.Fetch ? Kind.Fetch : op === Op.Load ? Kind.Load : Kind.Store;
    const row = layout.row(region, kind);
    // Prefetched fetches stand behind fetches.
    this.chargeRange(row, row + layout.sources * (op === Op.Fetch ? 2 : 1));
    const walk = layout.row(region, Kind.Walk);
    this.chargeRange(walk, walk + layout.sources);
    const second = layout.place(region, op === Op.Fetch ? Place.FetchSecondTlb : Place.DataSecondTlb);
    this.chargeRange(second, second + 1);
  }

  private chargeRange(from: number, to: number): void {
    const { live, seen } = this;
    const { price, cause } = this.pricing;
    for (let index = from; index < to; index++) {
      const count = live[index]! - seen[index]!;
      if (count === 0 || cause[index]! < 0) continue;
      seen[index] = live[index]!;
      this.add(placeOf(this.hereLo, this.hereHi), cause[index]!, count * price[index]!);
      this.recorder?.charge(cause[index]!, count * price[index]!);
    }
  }

  private add(place: number, cause: number, cycles: number): void {
    let number = this.numbers.get(place);
    if (number === undefined) {
      this.numbers.set(place, (number = this.numbers.size));
      if ((number + 1) * this.pricing.causes > this.cycles.length) {
        const larger = new Float64Array(this.cycles.length * 2);
        larger.set(this.cycles);
        this.cycles = larger;
      }
    }
    this.cycles[number * this.pricing.causes + cause]! += cycles;
  }
}
