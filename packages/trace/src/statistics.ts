/** What a recording contains, counted: the fields of the recorded `*.stat.json`, computed from the decoded columns. */
import { Access, Kind, type Batch } from "./batch.js";
import { guestNodeOfPage, type RecordedGuest, Region, regionNames, regionsOf, shippedGuest } from "./guest.js";
import { LineSet } from "./line-set.js";
import { MARKER, Phase } from "./tests.js";

/** Loads, stores and distinct 64-byte lines. */
export interface ReferenceCount {
  readonly ld: number;
  readonly st: number;
  readonly lines: number;
}

/** Counts over the CPU that carries the start marker, unless said. Names are those of the recorded files. */
export interface TraceStatistics {
  readonly test: number;
  readonly cpu: number;
  readonly kernel_insns: number;
  readonly user_insns: number;
  /** By virtual CPU, the measured one included. */
  readonly other_cpu_insns: readonly number[];
  /** Iterations of REP string instructions after the first. */
  readonly rep_extra_iters: number;
  /** Times the CPU came from user to kernel mode. */
  readonly kernel_entries: number;
  readonly text_lines64: number;
  readonly text_pages4k: number;
  readonly text_2m: number;
  readonly user_text_lines: number;
  readonly rodata_lines64: number;
  readonly rodata_pages4k: number;
  readonly data_lines64: number;
  readonly data_pages4k: number;
  readonly loads: number;
  readonly stores: number;
  readonly io: number;
  /** Kernel instructions by the node whose memory they were fetched from. */
  readonly fetch_kinsns_by_node: readonly number[];
  /** Data references by node of the physical page; lines are physical lines. */
  readonly data_refs_by_node: Readonly<Record<`node${number}`, ReferenceCount>>;
  readonly by_region: Readonly<Record<(typeof regionNames)[number], ReferenceCount>>;
}

const REGIONS = regionNames.length;
const PAGES_4G = 0x10_0000;

/** Counts a recording, batch by batch. */
export class TraceCounter {
  private test = 0;
  private cpu = -1;
  private vcpu = 0;
  private user = true;
  private readonly instructions: number[] = [0, 0, 0, 0];
  private kernel = 0;
  private extra = 0;
  private entries = 0;
  private io = 0;
  private readonly byNode: Float64Array;
  private readonly loads = new Float64Array(REGIONS);
  private readonly stores = new Float64Array(REGIONS);
  private readonly nodeLoads: Float64Array;
  private readonly nodeStores: Float64Array;
  private readonly text = new LineSet();
  private readonly userText = new LineSet();
  private readonly lines = regionNames.map(() => new LineSet());
  private readonly physical: readonly LineSet[];
  private readonly regionOf: ReturnType<typeof regionsOf>;
  // Virtual page -> physical page, what the recording told so far. Of text by CPU: with copies each has its own node's.
  private readonly textPages: Map<number, number>[] = [];
  private fetchedPage = -1;
  private fetchedNode = 0;
  private readonly pages = new Map<number, number>();
  private readonly lastPage = new Float64Array(4096).fill(-1);
  private readonly lastFrame = new Float64Array(4096);
  private readonly known: Float64Array | undefined;

  /**
   * @param entries 0 remembers every page. Otherwise the page dictionary is one direct-mapped table of so many entries
   * for all virtual CPUs, and references to a page it has forgotten count for no node: with 65536 this gives the
   * recorded `data_refs_by_node`, whose decoder lost up to 4 % of them that way.
   * @param guest it was recorded in
   */
  constructor(
    entries = 0,
    private readonly guest: RecordedGuest = shippedGuest,
  ) {
    const nodes = guest.nodes.length;
    [this.byNode, this.nodeLoads, this.nodeStores] = [
      new Float64Array(nodes),
      new Float64Array(nodes),
      new Float64Array(nodes),
    ];
    this.physical = guest.nodes.map(() => new LineSet());
    this.regionOf = regionsOf(guest);
    this.known = entries === 0 ? undefined : new Float64Array(entries).fill(-1);
  }

  /** Counts what the batch holds. */
  add(batch: Batch): void {
    const { kind, lo, hi, a, b, length } = batch;
    for (let i = 0; i < length; i++) {
      switch (kind[i]) {
        case Kind.Fetch:
          this.fetch(lo[i]!, hi[i]!, a[i]!, b[i]!);
          break;
        case Kind.Load:
        case Kind.Store:
          this.access(kind[i] === Kind.Store, lo[i]!, hi[i]!, a[i]!, b[i]!);
          break;
        case Kind.FetchPage:
          (this.textPages[this.vcpu] ??= new Map()).set(hi[i]! * PAGES_4G + (lo[i]! >>> 12), b[i]!);
          this.fetchedPage = -1;
          break;
        case Kind.Vcpu:
          this.vcpu = a[i]!;
          break;
        case Kind.Mark:
          if (a[i]! >>> 16 === MARKER && (a[i]! & 0xff) === Phase.Start) {
            this.test = (a[i]! >>> 8) & 0xff;
            this.cpu = this.vcpu;
          }
          break;
        case Kind.Repeat:
          if (this.vcpu === this.cpu) this.extra += a[i]! - 1;
          break;
      }
    }
  }

  /** The counts so far. */
  result(): TraceStatistics {
    const region = (which: Region): ReferenceCount => ({
      ld: this.loads[which]!,
      st: this.stores[which]!,
      lines: this.lines[which]!.lines,
    });
    const node = (which: number): ReferenceCount => ({
      ld: this.nodeLoads[which]!,
      st: this.nodeStores[which]!,
      lines: this.physical[which]!.lines,
    });
    const constant = (which: Region): boolean => which === Region.Text || which === Region.Rodata;
    const sum = (of: (set: LineSet) => number, wanted: boolean): number =>
      this.lines.reduce((total, set, which) => total + (constant(which) === wanted ? of(set) : 0), 0);
    return {
      test: this.test,
      cpu: this.cpu,
      kernel_insns: this.kernel,
      user_insns: this.instructions[this.cpu]! - this.kernel,
      other_cpu_insns: [...this.instructions],
      rep_extra_iters: this.extra,
      kernel_entries: this.entries,
      text_lines64: this.text.lines,
      text_pages4k: this.text.pages,
      text_2m: this.text.runs(9),
      user_text_lines: this.userText.lines,
      rodata_lines64: sum((set) => set.lines, true),
      rodata_pages4k: sum((set) => set.pages, true),
      data_lines64: sum((set) => set.lines, false),
      data_pages4k: sum((set) => set.pages, false),
      loads: this.loads.reduce((x, y) => x + y, 0),
      stores: this.stores.reduce((x, y) => x + y, 0),
      io: this.io,
      fetch_kinsns_by_node: [...this.byNode],
      data_refs_by_node: Object.fromEntries(this.guest.nodes.map((_, which) => [`node${which}`, node(which)])),
      by_region: Object.fromEntries(
        regionNames.map((name, which) => [name, region(which)]),
      ) as TraceStatistics["by_region"],
    };
  }

  private fetch(lo: number, hi: number, count: number, bytes: number): void {
    this.instructions[this.vcpu] = (this.instructions[this.vcpu] ?? 0) + count;
    if (this.vcpu !== this.cpu) return;
    const user = hi < 0x8000_0000;
    const set = user ? this.userText : this.text;
    // A run crosses 4 GiB in no recording of this kernel; within it, addresses are the low half plus an offset.
    for (let at = lo - (lo % 64); at < lo + bytes; at += 64) set.add(at >>> 0, at > 0xffff_ffff ? hi + 1 : hi);
    if (user) {
      this.user = true;
      return;
    }
    if (this.user) this.entries++;
    this.user = false;
    this.kernel += count;
    const page = hi * PAGES_4G + (lo >>> 12);
    if (page !== this.fetchedPage) {
      this.fetchedPage = page;
      this.fetchedNode = this.nodeOf(this.textPages[this.vcpu]?.get(page) ?? this.pages.get(page) ?? 0);
    }
    this.byNode[this.fetchedNode]! += count;
  }

  private access(store: boolean, lo: number, hi: number, size: number, page: number): void {
    if ((size & (Access.NewPage | Access.Io)) === Access.NewPage) {
      const virtual = hi * PAGES_4G + (lo >>> 12);
      this.pages.set(virtual, page);
      this.lastPage[virtual % 4096] = -1;
      if (this.known) this.known[virtual % this.known.length] = virtual;
    }
    if (this.vcpu !== this.cpu) return;
    const region = this.regionOf(lo, hi);
    (store ? this.stores : this.loads)[region]!++;
    this.lines[region]!.add(lo, hi);
    if ((size & Access.Io) !== 0) {
      this.io++;
      return;
    }
    if (region === Region.Text || region === Region.Rodata) return;
    const virtual = hi * PAGES_4G + (lo >>> 12);
    if (this.known && this.known[virtual % this.known.length] !== virtual) return;
    const frame = this.frameOf(lo, hi);
    const node = this.nodeOf(frame);
    (store ? this.nodeStores : this.nodeLoads)[node]!++;
    this.physical[node]!.addLine(frame, (lo >>> 6) & 63);
  }

  /** A page of no node counts for the first, as a page nobody named does. */
  private nodeOf(frame: number): number {
    return Math.max(0, guestNodeOfPage(this.guest, frame));
  }

  private frameOf(lo: number, hi: number): number {
    const page = hi * PAGES_4G + (lo >>> 12);
    const entry = page % 4096;
    if (this.lastPage[entry] !== page) {
      this.lastPage[entry] = page;
      this.lastFrame[entry] = this.pages.get(page) ?? 0;
    }
    return this.lastFrame[entry]!;
  }
}
