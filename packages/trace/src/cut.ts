/**
 * Parts of recordings, and several as one: records are chosen, and every page is named again where the record that
 * named it was left out, so that what comes out is a recording of its own.
 */
import { Access, type Batch, Kind } from "./batch.js";
import { PageBook, pageOf } from "./page-book.js";
import { readTrace, type Recording } from "./read-trace.js";
import { MARKER, Phase } from "./tests.js";
import { type ByteSink, TraceWriter } from "./writer.js";

/** What stays of a recording. What is not said is not asked. */
export interface CutRequest {
  /** Number in the marker: from a start marker with it to its end marker. */
  readonly test?: number;
  /** Virtual CPUs. */
  readonly cpus?: ReadonlySet<number>;
  readonly mode?: "kernel" | "user";
  /** Instructions of what the rest of the request leaves, counted from 0 over all CPUs: first, and first behind. */
  readonly from?: number;
  readonly to?: number;
}

/** What was written. */
export interface CutResult {
  readonly instructions: number;
  readonly loads: number;
  readonly stores: number;
  /** Markers that begin a test in it. */
  readonly windows: number;
}

/**
 * Writes part of a recording. A fetch record stays whole, with the loads and stores of its instructions. A test that is
 * cut within keeps its markers, at the first and behind the last record that stays; where their CPU is left out, on the
 * first CPU that stays.
 *
 * @param sink gets the recording's bytes
 * @throws TraceError as the reader does
 */
export function cutTrace(recording: Recording, request: CutRequest, sink: ByteSink): CutResult {
  const cutter = new Cutter(new TraceWriter(sink), request);
  readTrace(recording, (batch) => cutter.add(batch));
  return cutter.finish();
}

/**
 * Writes several recordings one behind the other, each with its own markers.
 *
 * @param sink gets the recording's bytes
 * @throws TraceError as the reader does
 */
export function mergeTraces(recordings: readonly Recording[], sink: ByteSink): CutResult {
  const writer = new TraceWriter(sink);
  let sum: CutResult = { instructions: 0, loads: 0, stores: 0, windows: 0 };
  for (const recording of recordings) {
    const cutter = new Cutter(writer, {});
    readTrace(recording, (batch) => cutter.add(batch));
    const { instructions, loads, stores, windows } = cutter.counted();
    sum = {
      instructions: sum.instructions + instructions,
      loads: sum.loads + loads,
      stores: sum.stores + stores,
      windows: sum.windows + windows,
    };
  }
  writer.end();
  return sum;
}

class Cutter {
  private readonly book = new PageBook();
  /** What the records that were written say. */
  private readonly told = new PageBook();
  private vcpu = 0;
  /** Instructions of what is asked for but the range. */
  private passed = 0;
  /** The last fetch of each CPU stays, and with it what it loads and stores. */
  private readonly kept = new Map<number, boolean>();
  /** Immediate of the start marker of the test we are in; undefined outside. */
  private within: number | undefined;
  /** Its start marker was written. */
  private begun = false;
  /** CPU of the marker that was read, and of that written. */
  private marked = 0;
  private carrier = 0;
  private instructions = 0;
  private loads = 0;
  private stores = 0;
  private windows = 0;

  constructor(
    private readonly writer: TraceWriter,
    private readonly request: CutRequest,
  ) {}

  add(batch: Batch): void {
    const { kind, a, length } = batch;
    for (let row = 0; row < length; row++) {
      this.book.add(batch, row, this.vcpu);
      switch (kind[row]! as Kind) {
        case Kind.Vcpu:
          this.vcpu = a[row]!;
          break;
        case Kind.Mark:
          this.mark(a[row]!);
          break;
        case Kind.Fetch:
          this.fetch(batch, row);
          break;
        case Kind.Load:
        case Kind.Store:
          this.access(batch, row);
          break;
        case Kind.Repeat:
          if (this.kept.get(this.vcpu) !== true) break;
          this.writer.onVcpu(this.vcpu);
          this.writer.repeat(a[row]!);
          break;
        case Kind.FetchPage:
        case Kind.End:
      }
    }
  }

  /** Ends the recording. */
  finish(): CutResult {
    this.close();
    this.writer.end();
    return this.counted();
  }

  counted(): CutResult {
    const { instructions, loads, stores, windows } = this;
    return { instructions, loads, stores, windows };
  }

  private mark(immediate: number): void {
    const phase = immediate & 0xff;
    if (immediate >>> 16 !== MARKER || (phase !== Phase.Start && phase !== Phase.End)) {
      if (!this.begun && this.within !== undefined) return;
      if (!this.wanted()) return;
      this.writer.onVcpu(this.chosen(this.vcpu) ? this.vcpu : this.carrier);
      this.writer.mark(immediate);
    } else if (phase === Phase.Start) {
      this.close();
      this.within = immediate;
      this.marked = this.vcpu;
      this.begun = false;
      // With nothing asked the marker stays where it is, before what else its CPU does.
      if (this.wanted() && this.chosen(this.vcpu) && this.inRange()) this.begin(this.vcpu);
    } else if (this.within !== undefined && (this.within | 0xff) === (immediate | 0xff)) this.close();
  }

  /** The start marker of the test we are in, on a CPU. */
  private begin(vcpu: number): void {
    this.begun = true;
    this.carrier = vcpu;
    this.windows++;
    this.writer.onVcpu(vcpu);
    this.writer.mark(this.within!);
  }

  /** The end marker of the test we are in, if any of it was written. */
  private close(): void {
    if (this.begun) {
      this.writer.onVcpu(this.carrier);
      this.writer.mark((this.within! & ~0xff) | Phase.End);
    }
    this.within = undefined;
    this.begun = false;
  }

  private chosen(vcpu: number): boolean {
    return this.request.cpus?.has(vcpu) ?? true;
  }
  private wanted(): boolean {
    const { test } = this.request;
    return test === undefined || (this.within !== undefined && ((this.within >>> 8) & 0xff) === test);
  }
  private inRange(): boolean {
    const { from = 0, to = Infinity } = this.request;
    return this.passed >= from && this.passed < to;
  }

  private fetch(batch: Batch, row: number): void {
    const { lo, hi, a, b } = batch;
    const user = hi[row]! < 0x8000_0000;
    const { mode } = this.request;
    const asked = this.wanted() && this.chosen(this.vcpu) && (mode === undefined || (mode === "user") === user);
    const stays = asked && this.inRange();
    if (asked) this.passed += a[row]!;
    this.kept.set(this.vcpu, stays);
    if (!stays) return;
    if (this.within !== undefined && !this.begun) this.begin(this.chosen(this.marked) ? this.marked : this.vcpu);
    const { writer, vcpu } = this;
    writer.onVcpu(vcpu);
    const first = pageOf(lo[row]!, hi[row]!);
    const last = first + (((lo[row]! & 0xfff) + Math.max(b[row]!, 1) - 1) >>> 12);
    for (let page = first; page <= last; page++) {
      const physical = this.book.textPage(vcpu, page);
      if (physical === undefined || this.told.textPage(vcpu, page) === physical) continue;
      this.told.note("text", vcpu, page, physical);
      writer.fetchPage(page << 12, Math.floor(page / 0x10_0000), physical);
    }
    writer.fetch(lo[row]!, hi[row]!, a[row]!, b[row]!);
    this.instructions += a[row]!;
  }

  private access(batch: Batch, row: number): void {
    const { kind, lo, hi, a, b } = batch;
    if (!(this.kept.get(this.vcpu) ?? false)) return;
    const { writer, vcpu } = this;
    let [flags, physical] = [a[row]!, b[row]!];
    if ((flags & Access.Io) === 0) {
      const page = pageOf(lo[row]!, hi[row]!);
      const known = this.book.dataPage(vcpu, page);
      flags &= ~Access.NewPage;
      if (known !== undefined && this.told.dataPage(vcpu, page) !== known) {
        this.told.note("data", vcpu, page, known);
        flags |= Access.NewPage;
        physical = known;
      }
    }
    writer.onVcpu(vcpu);
    writer.access(kind[row]!, lo[row]!, hi[row]!, flags, physical);
    if (kind[row] === Kind.Load) this.loads++;
    else this.stores++;
  }
}
