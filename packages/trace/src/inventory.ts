/** What is in a recording: by test, virtual CPU and mode, region of the address space, and function. */
import { type Batch, Kind } from "./batch.js";
import { type RecordedGuest, regionNames, regionsOf, shippedGuest } from "./guest.js";
import { LineSet } from "./line-set.js";
import { MARKER, Phase } from "./tests.js";

/** Instructions, and the loads and stores that they make. */
export interface InventoryCount {
  instructions: number;
  loads: number;
  stores: number;
}

/** A test of a recording: from a start marker to its end. */
export interface RecordedWindow extends InventoryCount {
  /** Number in its marker. */
  readonly test: number;
  /** Virtual CPU that carried the start marker. */
  readonly cpu: number;
  /** An end marker followed. */
  ended: boolean;
}
/** One virtual CPU in one mode. */
export interface CpuCount extends InventoryCount {
  readonly cpu: number;
  readonly mode: "kernel" | "user";
}
/** One region of the address space; instructions are those fetched from it. */
export interface RegionCount extends InventoryCount {
  readonly region: (typeof regionNames)[number];
  /** Different 64-byte lines that were fetched, loaded or stored. */
  readonly lines: number;
}
/** One function of the kernel. */
export interface FunctionCount {
  readonly name: string;
  /** Instructions executed in it. */
  readonly instructions: number;
  /** Records that begin at its first byte: calls. */
  readonly calls: number;
}
/** All of it. */
export interface TraceInventory extends InventoryCount {
  readonly records: number;
  readonly windows: readonly RecordedWindow[];
  /** In order of CPUs, kernel first. */
  readonly cpus: readonly CpuCount[];
  /** Those with anything in them. */
  readonly regions: readonly RegionCount[];
  /** Most instructions first; empty without symbols. */
  readonly functions: readonly FunctionCount[];
}

const IMAGE_HIGH = 0xffff_ffff;
const none = (): InventoryCount => ({ instructions: 0, loads: 0, stores: 0 });

/** Counts a recording, batch by batch. */
export class TraceTaker {
  private vcpu = 0;
  private records = 0;
  private readonly all = none();
  private readonly windows: RecordedWindow[] = [];
  private window: RecordedWindow | undefined;
  private readonly cpus = new Map<number, CpuCount>();
  /** Whether a CPU fetched last from the kernel: its loads and stores are the kernel's, wherever they go. */
  private readonly inKernel = new Map<number, boolean>();
  private readonly regions = regionNames.map(none);
  private readonly lines = regionNames.map(() => new LineSet());
  private readonly regionOf: ReturnType<typeof regionsOf>;
  private readonly starts: Float64Array;
  private readonly names: readonly string[];
  private readonly executed: Float64Array;
  private readonly called: Float64Array;

  /** @param symbols functions of the recorded kernel, as linked; none leaves functions out */
  constructor(
    guest: RecordedGuest = shippedGuest,
    symbols: Iterable<{ readonly name: string; readonly address: bigint }> = [],
  ) {
    this.regionOf = regionsOf(guest);
    const byAddress = new Map<number, string>();
    for (const { name, address } of symbols) {
      const at = Number(address & 0xffff_ffffn);
      if (address >> 32n === BigInt(IMAGE_HIGH) && !byAddress.has(at)) byAddress.set(at, name);
    }
    const sorted = [...byAddress].sort(([x], [y]) => x - y);
    this.starts = Float64Array.from(sorted, ([at]) => at);
    this.names = sorted.map(([, name]) => name);
    this.executed = new Float64Array(sorted.length);
    this.called = new Float64Array(sorted.length);
  }

  add(batch: Batch): void {
    const { kind, lo, hi, a, b, length } = batch;
    this.records += length;
    for (let i = 0; i < length; i++) {
      switch (kind[i]! as Kind) {
        case Kind.Fetch:
          this.fetch(lo[i]!, hi[i]!, a[i]!, b[i]!);
          break;
        case Kind.Load:
        case Kind.Store:
          this.access(kind[i] === Kind.Store ? "stores" : "loads", lo[i]!, hi[i]!);
          break;
        case Kind.Vcpu:
          this.vcpu = a[i]!;
          break;
        case Kind.Mark:
          this.mark(a[i]!);
          break;
        case Kind.FetchPage:
        case Kind.Repeat:
        case Kind.End:
      }
    }
  }

  result(): TraceInventory {
    return {
      ...this.all,
      records: this.records,
      windows: this.windows,
      cpus: [...this.cpus.values()].sort((x, y) => x.cpu - y.cpu || (x.mode < y.mode ? -1 : 1)),
      regions: regionNames
        .map((region, i) => ({ region, ...this.regions[i]!, lines: this.lines[i]!.lines }))
        .filter(({ lines }) => lines > 0),
      functions: this.names
        .map((name, i) => ({ name, instructions: this.executed[i]!, calls: this.called[i]! }))
        .filter(({ instructions }) => instructions > 0)
        .sort((x, y) => y.instructions - x.instructions || (x.name < y.name ? -1 : 1)),
    };
  }

  private fetch(lo: number, hi: number, count: number, bytes: number): void {
    const kernel = hi >= 0x8000_0000;
    this.inKernel.set(this.vcpu, kernel);
    const region = this.regionOf(lo, hi);
    this.regions[region]!.instructions += count;
    for (let at = lo - (lo % 64); at < lo + bytes; at += 64)
      this.lines[region]!.add(at >>> 0, at > 0xffff_ffff ? hi + 1 : hi);
    this.count("instructions", count);
    if (hi !== IMAGE_HIGH || this.starts.length === 0) return;
    const at = this.functionAt(lo);
    if (at < 0) return;
    this.executed[at]! += count;
    if (this.starts[at] === lo) this.called[at]!++;
  }

  private access(what: "loads" | "stores", lo: number, hi: number): void {
    const region = this.regionOf(lo, hi);
    this.regions[region]![what]++;
    this.lines[region]!.add(lo, hi);
    this.count(what, 1);
  }

  private count(what: keyof InventoryCount, count: number): void {
    this.all[what] += count;
    if (this.window) this.window[what] += count;
    const kernel = this.inKernel.get(this.vcpu) ?? false;
    const key = this.vcpu * 2 + (kernel ? 0 : 1);
    let cpu = this.cpus.get(key);
    if (!cpu) this.cpus.set(key, (cpu = { cpu: this.vcpu, mode: kernel ? "kernel" : "user", ...none() }));
    cpu[what] += count;
  }

  private mark(immediate: number): void {
    if (immediate >>> 16 !== MARKER) return;
    const test = (immediate >>> 8) & 0xff;
    const phase = immediate & 0xff;
    if (phase === Phase.Start) {
      this.window = { test, cpu: this.vcpu, ended: false, ...none() };
      this.windows.push(this.window);
    } else if (phase === Phase.End && this.window?.test === test) {
      this.window.ended = true;
      this.window = undefined;
    }
  }

  /** Index of the last function that begins at or before an address; -1 for none. */
  private functionAt(lo: number): number {
    let [from, to] = [0, this.starts.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.starts[middle]! <= lo) from = middle + 1;
      else to = middle;
    }
    return from - 1;
  }
}
