/**
 * From decoded records to a {@link Program}: lines instead of addresses, pages where the model has them, regions and
 * privilege as control operations.
 *
 * Left out, because it changes no state the model has and costs nothing there: a fetch of the line fetched just before;
 * an access to the line accessed just before, nothing in between, unless it is the first store (the page is the last
 * used of its TLB set, the line of its L1 set). And accesses of other virtual CPUs in user mode, whose address spaces
 * the recording does not tell apart.
 */
import type { NoOpFinder } from "@kreplica/kernel";
import { MmError } from "@kreplica/mm-core";
import {
  Access,
  type Batch,
  Kind,
  MARKER,
  Phase,
  type RecordedGuest,
  shippedGuest,
  TraceError,
  type TraceErrorCode,
  traceTests,
} from "@kreplica/trace";
import { VisitFinder, type VisitedFunctions } from "./kernel-visit.js";
import { placeOf } from "./text-place.js";
import { Control, MAX_PAGES, Op, Program, Region, SHORT_NO_OPS } from "./program.js";

/** Where a recorded page is in the model; maps it when nothing does. */
export type PlacePage = (address: bigint, frame: number) => bigint;

/** What is wrong with a page of a recording, or an access to it. */
export interface Refusal {
  readonly code: TraceErrorCode & ("bad-address" | "bad-frame" | "unnamed-page" | "refused");
  readonly reason: string;
  readonly remedy: string;
}

/**
 * What a replay can do with, asked once of each page and each kind of access to it, so that a damaged recording is told
 * by its byte.
 */
export interface Gate {
  /** Before the page is placed. */
  page(recorded: bigint, frame: number): Refusal | undefined;
  /** @param address in the model */
  access(address: bigint, op: Op.Fetch | Op.Load | Op.Store): Refusal | undefined;
}

const CACHE = 1 << 12;
const PAGES_4G = 0x10_0000;
const NO_FRAME = -1;
/** Bytes of the longest instruction. @source Intel SDM vol. 2A, "Instruction Format" */
const LONGEST_INSTRUCTION = 15;
/** No compiler leaves so much code without a jump; the recorded kernel's longest run has 691 bytes. */
const LONGEST_RUN = 1 << 16;
const NOWHERE = -1;

// Module area, low halves under an upper half of all ones; see trace/guest.ts.
const IMAGE_END = 0xa000_0000;
const MODULES_END = 0xff00_0000;

const MARKERS = "record from the marker before the test to the one behind it";
const DAMAGED = "the file is damaged here: copy or record it again";
const hexOf = (lo: number, hi: number): string => ((BigInt(hi) << 32n) | BigInt(lo)).toString(16);
const nameOf = (test: number): string => traceTests.find((each) => each.id === test)?.name ?? `test ${test}`;

/** Builds one program; feed it every batch, then {@link finish}. */
export class ProgramBuilder {
  readonly program = new Program();
  /** Virtual CPU that carried it. */
  measured = NOWHERE;
  /** Operations before each marker in between: where a recording of several stretches was cut. */
  readonly cuts: number[] = [];
  /** Instructions of each stretch between two cuts, laid out like Program.instructions. */
  readonly perCut: Float64Array[] = [];
  /**
   * Instructions of each stretch by virtual CPU and address of the first of their run; undefined where nobody asked
   * with {@link locate}.
   */
  retired: Map<number, number>[][] | undefined;
  private counted = new Float64Array(64 * 8);
  private ended = false;
  /** Number in the start marker, and instructions of the CPU that carried it until then. */
  private test = NOWHERE;
  private before = 0;

  /** The record looked at. */
  private batch: Batch | undefined;
  private row = 0;
  private readonly gate: Gate | undefined;
  /** By page number: 1 << op for each kind of access that the gate let pass. */
  private passed = new Uint8Array(1 << 10);

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
  /** Low half of the address behind rodata, in the kernel that the recording's addresses are of. */
  private readonly rodataEnd: number;

  /**
   * @param file as errors name it
   * @param functions where the recorded kernel has the functions that replication adds to; nothing is spliced in
   *   without them
   * @param gate what may be replayed; anything without it
   * @param noOps of the image replayed on, to count what they cost where they stayed short
   * @param guest whose addresses these are
   */
  constructor(
    private readonly file: string,
    private readonly place: PlacePage,
    functions?: VisitedFunctions,
    gate?: Gate,
    private readonly noOps?: NoOpFinder,
    guest: RecordedGuest = shippedGuest,
  ) {
    this.visits = functions && new VisitFinder(functions, guest.levels);
    this.rodataEnd = Number(guest.image.startData & 0xffff_ffffn);
    this.gate = gate;
  }

  /** From here on it is noted whose text is executed. @returns the builder */
  locate(): this {
    this.program.entries = [];
    this.retired = [[]];
    return this;
  }

  /** Appends what the batch holds. @throws TraceError naming the record's byte */
  add(batch: Batch): void {
    const { kind, lo, hi, a, b, length } = batch;
    this.batch = batch;
    for (let i = 0; i < length; i++) {
      this.row = i;
      switch (kind[i]) {
        case Kind.Fetch:
          this.fetch(lo[i]!, hi[i]!, a[i]!, b[i]!);
          break;
        case Kind.Load:
          this.access(Op.Load, lo[i]!, hi[i]!, a[i]!, b[i]!);
          break;
        case Kind.Store:
          this.access(Op.Store, lo[i]!, hi[i]!, a[i]!, b[i]!);
          break;
        case Kind.FetchPage:
          if (this.followed(hi[i]!)) this.setFrame(lo[i]!, hi[i]!, b[i]!);
          break;
        case Kind.Vcpu:
          this.vcpu = a[i]!;
          this.checkVcpu();
          break;
        case Kind.Mark:
          this.mark(a[i]!);
          break;
        case Kind.End:
          this.mustHaveEnded();
          break;
      }
    }
  }

  /** @throws TraceError no-end when the end marker is missing */
  finish(): { program: Program; measured: number } {
    this.mustHaveEnded();
    return { program: this.program, measured: this.measured };
  }

  private mustHaveEnded(): void {
    if (!this.ended) this.fail("no-end", "no end marker was recorded", MARKERS);
  }

  /** Byte of the recording at which the record looked at begins. */
  get offset(): number {
    return this.batch === undefined ? 0 : this.batch.base + (this.batch.at[this.row] ?? 0);
  }

  private fail(code: TraceErrorCode, reason: string, remedy: string): never {
    throw new TraceError(code, this.file, this.offset, reason, remedy);
  }

  private mark(immediate: number): void {
    if (immediate >>> 16 !== MARKER) return;
    const phase = immediate & 0xff;
    const test = (immediate >>> 8) & 0xff;
    if (phase === Phase.Start) {
      if (this.measured !== NOWHERE)
        this.fail("second-window", "a second start marker: one recording holds one test", "cut the file before it");
      this.measured = this.vcpu;
      this.test = test;
      this.before = this.executed;
    } else if (phase === Phase.End) {
      if (this.measured === NOWHERE || this.ended)
        this.fail(
          "other-window",
          `an end marker ${this.ended ? "behind another" : "without a start marker before it"}`,
          MARKERS,
        );
      if (test !== this.test)
        this.fail(
          "other-window",
          `the end marker is of ${nameOf(test)}, the start marker of ${nameOf(this.test)}`,
          MARKERS,
        );
      if (this.vcpu !== this.measured)
        this.fail(
          "other-window",
          `the end marker is on virtual CPU ${this.vcpu}, the start marker on ${this.measured}`,
          "pin the test to one CPU, and record it again",
        );
      if (this.executed === this.before) this.fail("empty-window", "nothing was executed between the markers", MARKERS);
      this.ended = true;
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

  /** Instructions of the measured CPU so far. */
  private get executed(): number {
    return this.program.instructions
      .subarray(this.measured * 8, this.measured * 8 + 8)
      .reduce((sum, each) => sum + each, 0);
  }

  private countCut(): void {
    const now = this.program.instructions.slice();
    this.perCut.push(now.map((count, slot) => count - this.counted[slot]!));
    this.counted = now;
    this.retired?.push([]);
  }

  /** Whether references to this half, on this CPU, are replayed. */
  private followed(hi: number): boolean {
    return hi >= 0x8000_0000 || this.measured === NOWHERE || this.vcpu === this.measured;
  }

  private checkVcpu(): void {
    if (this.vcpu > 63)
      this.fail(
        "too-many-cpus",
        `virtual CPU ${this.vcpu} is beyond the 64 a replay follows`,
        "record with at most 64 CPUs",
      );
  }

  private fetch(lo: number, hi: number, instructions: number, bytes: number): void {
    const user = hi < 0x8000_0000;
    if (!this.followed(hi)) return;
    if (bytes < instructions || bytes > instructions * LONGEST_INSTRUCTION || bytes > LONGEST_RUN) {
      this.fail(
        "bad-fetch",
        `a fetch of ${bytes} bytes at 0x${hexOf(lo, hi)} cannot be ${instructions} instructions in a row`,
        DAMAGED,
      );
    }
    if (this.visits && !user) this.behindVisit(this.visits, lo, hi, instructions, bytes);
    const region = user
      ? Region.User
      : hi === 0xffff_ffff && lo >= IMAGE_END && lo < MODULES_END
        ? Region.Module
        : Region.Kernel;
    this.program.instructions[this.vcpu * 8 + region]! += instructions;
    if (this.retired) {
      const own = (this.retired.at(-1)![this.vcpu] ??= new Map<number, number>());
      const address = placeOf(lo | 0, hi | 0);
      own.set(address, (own.get(address) ?? 0) + instructions);
    }
    if (this.noOps && region === Region.Kernel)
      this.program.instructions[this.vcpu * 8 + SHORT_NO_OPS]! += this.noOps.in(lo, bytes);
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
        if ((this.passed[number]! & (1 << Op.Fetch)) === 0) this.pass(number, Op.Fetch);
        this.program.push((number << 8) | (line << 2) | Op.Fetch);
        this.program.enterAt(at & 63);
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
    let region = Region.Kernel;
    if (hi < 0x8000_0000) region = Region.User;
    else if (this.gate && this.privilege[this.vcpu] === 3)
      this.fail("refused", `an access to 0x${hexOf(lo, hi)}, memory of the kernel, in user mode`, DAMAGED);
    else if (hi === 0xffff_ffff) {
      if (lo < this.rodataEnd) region = Region.Rodata;
      else if (lo >= IMAGE_END && lo < MODULES_END) region = Region.Module;
    }
    const number = this.numberOf(hi * PAGES_4G + (lo >>> 12));
    const line = (lo >>> 6) & 63;
    if (this.visits && this.visits.opened > 0 && hi >= 0x8000_0000)
      this.visits.access(this.vcpu, lo, hi, op === Op.Store, (number << 8) | (line << 2) | op);
    this.inRegion(region);
    this.pushAccess(number, line, op);
    if ((lo & 63) + (flags & Access.SizeMask) > 64) {
      const next = line === 63 ? this.numberOf(hi * PAGES_4G + (lo >>> 12) + 1) : number;
      this.inRegion(region);
      this.pushAccess(next, (line + 1) & 63, op);
    }
  }

  private pushAccess(page: number, line: number, op: Op.Load | Op.Store): void {
    if ((this.passed[page]! & (1 << op)) === 0) this.pass(page, op);
    const word = (page << 8) | (line << 2) | op;
    const { program } = this;
    if (
      program.length === this.accessedEnd &&
      (word ^ this.accessed) >>> 2 === 0 &&
      (op === Op.Load || word === this.accessed)
    )
      return;
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

  /** The first access of its kind to a page. */
  private pass(number: number, op: Op.Fetch | Op.Load | Op.Store): void {
    const { recorded, frame, address } = this.program.pages[number]!;
    const refusal = this.gate?.access(address, op);
    if (refusal)
      this.fail(
        refusal.code,
        `a ${["fetch", "load", "store"][op]!} in the page 0x${BigInt.asUintN(64, recorded).toString(16)}${frame === NO_FRAME ? "" : ` (physical page 0x${frame.toString(16)})`}, ${refusal.reason}`,
        refusal.remedy,
      );
    if (number >= this.passed.length) {
      const larger = new Uint8Array(this.program.pageLo.length);
      larger.set(this.passed);
      this.passed = larger;
    }
    this.passed[number]! |= 1 << op;
  }

  /** @throws TraceError bad-address, bad-frame, unnamed-page, no-room */
  private placed(recorded: bigint, frame: number): bigint {
    const refusal = this.gate?.page(recorded, frame);
    if (refusal) this.fail(refusal.code, refusal.reason, refusal.remedy);
    try {
      return this.place(recorded, frame);
    } catch (error) {
      if (!(error instanceof MmError)) throw error;
      return this.fail(
        "no-room",
        `the modelled machine cannot map the page 0x${recorded.toString(16)} (${error.message})`,
        "give it more memory, or cut the recording",
      );
    }
  }

  /** A page that is new or has moved: numbered, and mapped here whenever the program runs. */
  private mapped(page: number, frame: number): number {
    const key = `${page}/${frame}`;
    let number = this.known.get(key);
    if (number === undefined) {
      const recorded = BigInt(page) << 12n;
      number = this.program.addPage({ recorded, frame, address: this.placed(recorded, frame) });
      if (number >= MAX_PAGES)
        this.fail("too-many-pages", "it touches more pages than a replay can number (64 GiB)", "cut the recording");
      this.known.set(key, number);
    }
    this.onCpu();
    this.control(Control.Map, number);
    this.numbers.set(page, number);
    return number;
  }
}
