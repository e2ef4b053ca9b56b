/**
 * From decoded records to a {@link Program}: lines instead of addresses, pages where the model has them, regions and privilege as
 * control operations.
 *
 * Left out, because it changes no state the model has and costs nothing there: a fetch of the line fetched just before; an access to
 * the line accessed just before, nothing in between, unless it is the first store (the page is the last used of its TLB set, the
 * line of its L1 set). And accesses of other virtual CPUs in user mode, whose address spaces the recording does not tell apart.
 */
import { Access, Kind, type Batch } from "../trace/batch.js";
import { TraceError } from "../trace/trace-error.js";
import { MARKER, Phase } from "../trace/tests.js";
import { VisitFinder, type VisitedFunctions } from "./kernel-visit.js";
import { Control, MAX_PAGES, Op, Program, Region } from "./program.js";

/** Where a recorded page is in the model; maps it when nothing does. */
export type PlacePage = (address: bigint, frame: number) => bigint;

const CACHE = 1 << 12;
const PAGES_4G = 0x10_0000;
const NO_FRAME = -1;
const NOWHERE = -1;

// The recorded kernel's image and module area, low halves under an upper half of all ones; see trace/guest.ts.
const RODATA_END = 0x82a0_0000;
const IMAGE_END = 0xa000_0000;
const MODULES_END = 0xff00_0000;

/** Builds one program; feed it every batch, then {@link finish}. */
export class ProgramBuilder {
  readonly program = new Program();
  /** Virtual CPU that carried it. */
  measured = NOWHERE;
  /** Operations before each marker in between: where a recording of several stretches was cut. */
  readonly cuts: number[] = [];
  /** Instructions of each stretch between two cuts, laid out like Program.instructions. */
  readonly perCut: Float64Array[] = [];
  private counted = new Float64Array(64 * 8);
  private ended = false;

  private vcpu = 0;
  private running = NOWHERE;
  private readonly region = new Int8Array(64).fill(NOWHERE);
  private readonly privilege = new Int8Array(64).fill(NOWHERE);
  private fetchedPage = NOWHERE;
  private fetchedLine = NOWHERE;
  /** The last access, and the program's length behind it. */
  private accessed = 0;
  private accessedEnd = NOWHERE;

  // Page number by virtual page: a direct-mapped cache before a Map. A page that moves gets a new number.
  private readonly numbers = new Map<number, number>();
  private readonly cachedPage = new Float64Array(CACHE).fill(NOWHERE);
  private readonly cachedNumber = new Int32Array(CACHE);
  private readonly known = new Map<string, number>();

  private readonly visits: VisitFinder | undefined;

  /**
   * @param file as errors name it
   * @param functions where the recorded kernel has the functions that replication adds to; nothing is spliced in without them
   */
  constructor(private readonly file: string, private readonly place: PlacePage, functions?: VisitedFunctions) {
    this.visits = functions && new VisitFinder(functions);
  }

  /** Appends what the batch holds. */
  add(batch: Batch): void {
    const { kind, lo, hi, a, b, length } = batch;
    for (let i = 0; i < length; i++) {
      switch (kind[i]) {
        case Kind.Fetch: this.fetch(lo[i]!, hi[i]!, a[i]!, b[i]!); break;
        case Kind.Load: this.access(Op.Load, lo[i]!, hi[i]!, a[i]!, b[i]!); break;
        case Kind.Store: this.access(Op.Store, lo[i]!, hi[i]!, a[i]!, b[i]!); break;
        case Kind.FetchPage: if (this.followed(hi[i]!)) this.setFrame(lo[i]!, hi[i]!, b[i]!); break;
        case Kind.Vcpu: this.vcpu = a[i]!; this.checkVcpu(); break;
        case Kind.Mark: this.mark(a[i]!); break;
      }
    }
  }

  /** @throws TraceError no-end when the end marker is missing */
  finish(): { program: Program; measured: number } {
    if (!this.ended) throw new TraceError("no-end", this.file, 0, "no end marker was recorded", "record from the marker before the test to the one behind it");
    return { program: this.program, measured: this.measured };
  }

  private mark(immediate: number): void {
    if (immediate >>> 16 !== MARKER) return;
    const phase = immediate & 0xff;
    if (phase === Phase.Start) {
      this.measured = this.vcpu;
    } else if (phase === Phase.End) {
      this.ended = this.measured !== NOWHERE;
      this.countCut();
    } else if (phase === Phase.Aux) {
      this.countCut();
      // What follows may be run on its own: it says again which CPU, region and privilege it is about.
      this.cuts.push(this.program.length);
      this.accessedEnd = NOWHERE;
      this.running = NOWHERE;
      this.region.fill(NOWHERE);
      this.privilege.fill(NOWHERE);
    }
  }

  private countCut(): void {
    const now = this.program.instructions.slice();
    this.perCut.push(now.map((count, slot) => count - this.counted[slot]!));
    this.counted = now;
  }

  /** Whether references to this half, on this CPU, are replayed. */
  private followed(hi: number): boolean { return hi >= 0x8000_0000 || this.measured === NOWHERE || this.vcpu === this.measured; }

  private checkVcpu(): void {
    if (this.vcpu > 63) throw new TraceError("too-many-cpus", this.file, 0, `virtual CPU ${this.vcpu} is beyond the 64 a replay follows`, "record with at most 64 CPUs");
  }

  private fetch(lo: number, hi: number, instructions: number, bytes: number): void {
    const user = hi < 0x8000_0000;
    if (!this.followed(hi)) return;
    if (this.visits && !user) this.behindVisit(this.visits, lo, hi, instructions, bytes);
    const region = user ? Region.User : hi === 0xffff_ffff && lo >= IMAGE_END && lo < MODULES_END ? Region.Module : Region.Kernel;
    this.program.instructions[this.vcpu * 8 + region]! += instructions;
    if (bytes === 0) return;
    this.enter(user ? 3 : 0);
    let at = lo;
    let high = hi;
    for (let left = bytes + (lo & 63); left > 0; left -= 64) {
      const page = high * PAGES_4G + (at >>> 12);
      const line = (at >>> 6) & 63;
      if (page !== this.fetchedPage || line !== this.fetchedLine) {
        const number = this.numberOf(page);
        this.inRegion(region);
        this.program.push((number << 8) | (line << 2) | Op.Fetch);
        this.fetchedPage = page;
        this.fetchedLine = line;
      }
      const next = (at & ~63) + 64;
      at = next >>> 0;
      if (at === 0) high = (high + 1) >>> 0;
    }
  }

  private behindVisit(finder: VisitFinder, lo: number, hi: number, instructions: number, bytes: number): void {
    const visit = finder.fetch(this.vcpu, lo, hi, instructions, bytes);
    if (!visit) return;
    this.onCpu();
    this.control(Control.Visit, this.program.visits.push(visit) - 1);
  }

  private access(op: Op.Load | Op.Store, lo: number, hi: number, flags: number, frame: number): void {
    if ((flags & Access.Io) !== 0) {
      if (this.vcpu === this.measured) this.program.devices++;
      return;
    }
    if (!this.followed(hi)) return;
    if ((flags & Access.NewPage) !== 0) this.setFrame(lo, hi, frame);
    if (this.visits && this.visits.opened > 0 && hi >= 0x8000_0000) this.visits.access(this.vcpu, lo, hi, op === Op.Store);
    let region = Region.Kernel;
    if (hi < 0x8000_0000) region = Region.User;
    else if (hi === 0xffff_ffff) {
      if (lo < RODATA_END) region = Region.Rodata;
      else if (lo >= IMAGE_END && lo < MODULES_END) region = Region.Module;
    }
    const number = this.numberOf(hi * PAGES_4G + (lo >>> 12));
    const line = (lo >>> 6) & 63;
    this.inRegion(region);
    this.pushAccess(number, line, op);
    if ((lo & 63) + (flags & Access.SizeMask) > 64) {
      const next = line === 63 ? this.numberOf(hi * PAGES_4G + (lo >>> 12) + 1) : number;
      this.inRegion(region);
      this.pushAccess(next, (line + 1) & 63, op);
    }
  }

  private pushAccess(page: number, line: number, op: Op.Load | Op.Store): void {
    const word = (page << 8) | (line << 2) | op;
    const { program } = this;
    if (program.length === this.accessedEnd && (word ^ this.accessed) >>> 2 === 0 && (op === Op.Load || word === this.accessed)) return;
    program.push(word);
    this.accessed = word;
    this.accessedEnd = program.length;
  }

  private control(what: Control, argument: number): void {
    this.program.push((argument << 8) | (what << 2) | Op.Control);
  }

  /** The operations that follow belong to the current virtual CPU. */
  private onCpu(): void {
    if (this.running === this.vcpu) return;
    this.running = this.vcpu;
    this.fetchedPage = NOWHERE;
    this.control(Control.Vcpu, this.vcpu);
  }

  private enter(privilege: 0 | 3): void {
    this.onCpu();
    if (this.privilege[this.vcpu] === privilege) return;
    this.privilege[this.vcpu] = privilege;
    this.control(Control.Privilege, privilege);
  }

  private inRegion(region: Region): void {
    this.onCpu();
    if (this.region[this.vcpu] === region) return;
    this.region[this.vcpu] = region;
    this.control(Control.Region, region);
  }

  private numberOf(page: number): number {
    const entry = page % CACHE;
    if (this.cachedPage[entry] !== page) {
      this.cachedPage[entry] = page;
      this.cachedNumber[entry] = this.numbers.get(page) ?? this.mapped(page, NO_FRAME);
    }
    return this.cachedNumber[entry]!;
  }

  /** The recording names the physical page behind a virtual one. */
  private setFrame(lo: number, hi: number, frame: number): void {
    const page = hi * PAGES_4G + (lo >>> 12);
    const number = this.numbers.get(page);
    if (number !== undefined && this.program.pages[number]!.frame === frame) return;
    this.mapped(page, frame);
    this.cachedPage[page % CACHE] = NOWHERE;
    if (this.fetchedPage === page) this.fetchedPage = NOWHERE;
  }

  /** A page that is new or has moved: numbered, and mapped here whenever the program runs. */
  private mapped(page: number, frame: number): number {
    const key = `${page}/${frame}`;
    let number = this.known.get(key);
    if (number === undefined) {
      const recorded = BigInt(page) << 12n;
      number = this.program.addPage({ recorded, frame, address: this.place(recorded, frame) });
      if (number >= MAX_PAGES) throw new TraceError("too-many-pages", this.file, 0, "it touches more pages than a replay can number (64 GiB)", "cut the recording");
      this.known.set(key, number);
    }
    this.onCpu();
    this.control(Control.Map, number);
    this.numbers.set(page, number);
    return number;
  }
}
