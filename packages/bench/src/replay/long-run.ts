/**
 * A long recording modelled from a few recorded stretches: each stretch of it runs the one it resembles most, on its own data.
 *
 * What a stretch executes differs little from one iteration to the next; where its data lies differs in every one, and decides how
 * much of the last-level cache the test fills. So instructions come from the templates and addresses from the schedule: of the lines
 * that are not common to all stretches of their kind, the n-th in the direct map becomes the n-th in the direct map that the stretch
 * touched; stacks and page descriptors likewise.
 */
import { invariant } from "@kreplica/mm-core";
import { TraceError } from "../trace/trace-error.js";
import type { LineSchedule } from "./line-schedule.js";
import { Control, Op, Program, type ProgramPage } from "./program.js";
import type { PlacePage } from "./program-builder.js";
import type { Replayer, Workload } from "./replayer.js";

const LOW_48 = (1n << 48n) - 1n;
const DIRECT_MAP = 0xffff_8880_0000_0000n;
const VMALLOC = 0xffff_c900_0000_0000n;
const VMEMMAP = 0xffff_ea00_0000_0000n;
const CPU_ENTRY_AREA = 0xffff_fe00_0000_0000n;

/** Direct map, vmalloc, page descriptors: lines change places only with lines of the same. */
const AREAS = 3;
/** Low 48 bits of where vmalloc and the descriptors begin, as lines. */
const VMALLOC_LINE = 0xc900_0000_0000 / 64;
const VMEMMAP_LINE = 0xea00_0000_0000 / 64;
const areaOf = (line: number): number => (line < VMALLOC_LINE ? 0 : line < VMEMMAP_LINE ? 1 : 2);

/** A template: a stretch fills in the lines of its first pages, which are in order of area; the others are lines of its own. */
interface Template { readonly program: Program; readonly origin: number }

export class LongRun implements Workload {
  readonly length: number;
  readonly instructions = new Float64Array(64 * 8);
  private readonly templates: readonly Template[];
  private readonly lineLo: Int32Array;
  private readonly lineHi: Int32Array;
  private readonly maps: readonly (ProgramPage | undefined)[];
  /** First line of each area of each stretch, `[stretch * AREAS + area]`, and the end. */
  private readonly areaStart: Uint32Array;
  private readonly fresh = new WeakSet<Replayer>();

  /**
   * @param source the templates one behind the other, with the operations at which each begins but the first
   * @param perCut instructions of each template, laid out like Program.instructions
   * @throws TraceError other-lines when recording and schedule do not belong together
   */
  constructor(private readonly source: Program, cuts: readonly number[], perCut: readonly Float64Array[], private readonly schedule: LineSchedule, place: PlacePage, file: string) {
    const { templates, stretches, template, origin, pages, frames, lineStart } = schedule;
    if (cuts.length + 1 !== templates) {
      throw elsewhere(file, `it is for a recording of ${templates} stretches, the recording beside it has ${cuts.length + 1}`);
    }
    const { lines, areaStart } = byArea(schedule);
    this.areaStart = areaStart;
    // Lines of the schedule at their addresses in the model.
    const places = new Map<number, bigint>();
    this.maps = Array.from(pages, (page, i) => {
      const recorded = BigInt(page) << 12n;
      const address = place(recorded, frames[i]!);
      places.set(Number((recorded & LOW_48) >> 12n), address);
      // The kernel's own tables map these for good.
      const builtIn = (recorded >= DIRECT_MAP && recorded < VMALLOC) || (recorded >= VMEMMAP && recorded < CPU_ENTRY_AREA);
      return builtIn ? undefined : { recorded, frame: frames[i]!, address };
    });
    this.lineLo = new Int32Array(lines.length);
    this.lineHi = new Int32Array(lines.length);
    let page = -1;
    let lo = 0;
    let hi = 0;
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i]!;
      if (Math.floor(line / 64) !== page) {
        page = Math.floor(line / 64);
        const address = places.get(page);
        if (address === undefined) throw elsewhere(file, `line 0x${line.toString(16)} lies in a page it never names`);
        lo = Number(BigInt.asIntN(32, address));
        hi = Number(BigInt.asIntN(32, address >> 32n));
      }
      this.lineLo[i] = lo | ((line % 64) << 6);
      this.lineHi[i] = hi;
    }
    this.templates = Array.from({ length: templates }, (_, i) => {
      const own = lines.subarray(lineStart[origin[i]!]!, lineStart[origin[i]! + 1]!);
      return { program: cut(source, cuts[i - 1] ?? 0, cuts[i] ?? source.length, own), origin: origin[i]! };
    });
    let length = 0;
    for (let i = 0; i < stretches; i++) {
      length += this.templates[template[i]!]!.program.length;
      perCut[template[i]!]!.forEach((count, slot) => { this.instructions[slot]! += count; });
    }
    this.length = length;
  }

  play(replayer: Replayer, half: 0 | 1): void {
    const { stretches, template, pageStart } = this.schedule;
    if (!this.fresh.has(replayer)) {
      // A template may use a page before the schedule comes to it.
      for (const page of this.source.pages) replayer.map(page);
      this.fresh.add(replayer);
    }
    const middle = stretches >>> 1;
    for (let i = half === 0 ? 0 : middle; i < (half === 0 ? middle : stretches); i++) {
      for (let at = pageStart[i]!; at < pageStart[i + 1]!; at++) {
        const page = this.maps[at];
        if (page) replayer.map(page);
      }
      const { program, origin } = this.templates[template[i]!]!;
      for (let area = 0; area < AREAS; area++) this.fill(program, origin, i, area);
      replayer.execute(program, 0, program.length);
      // Lines the template has no reference for; without them the run would fill less of the caches than it did.
      for (let area = 0; area < AREAS; area++) {
        const wanted = this.areaStart[origin * AREAS + area + 1]! - this.areaStart[origin * AREAS + area]!;
        const end = this.areaStart[i * AREAS + area + 1]!;
        for (let at = this.areaStart[i * AREAS + area]! + wanted; at < end; at++) replayer.touch(this.lineLo[at]!, this.lineHi[at]!);
      }
    }
  }

  /** Gives the template's lines of an area the addresses of the stretch's; where it has none, the template's own. */
  private fill(program: Program, origin: number, stretch: number, area: number): void {
    const { areaStart, lineLo, lineHi } = this;
    const base = areaStart[origin * AREAS]!;
    const own = areaStart[origin * AREAS + area]!;
    const ownEnd = areaStart[origin * AREAS + area + 1]!;
    const first = areaStart[stretch * AREAS + area]!;
    const count = areaStart[stretch * AREAS + area + 1]! - first;
    for (let at = own; at < ownEnd; at++) {
      const nth = at - own;
      const from = count === 0 ? at : first + (nth < count ? nth : nth % count);
      program.pageLo[at - base] = lineLo[from]!;
      program.pageHi[at - base] = lineHi[from]!;
    }
  }
}

/** The schedule's lines, those of a stretch in order of area, otherwise as they were. */
function byArea({ lines, lineStart, stretches }: LineSchedule): { lines: Float64Array; areaStart: Uint32Array } {
  const sorted = new Float64Array(lines.length);
  const areaStart = new Uint32Array(stretches * AREAS + 1);
  let at = 0;
  for (let i = 0; i < stretches; i++) {
    for (let area = 0; area < AREAS; area++) {
      areaStart[i * AREAS + area] = at;
      for (let from = lineStart[i]!; from < lineStart[i + 1]!; from++) if (areaOf(lines[from]!) === area) sorted[at++] = lines[from]!;
    }
  }
  areaStart[stretches * AREAS] = at;
  return { lines: sorted, areaStart };
}

const elsewhere = (file: string, why: string): TraceError => new TraceError("other-lines", file, undefined, why, "keep the two files that were cut together");

/** Operations `[from, to)` with a line for every page number: first those of `own`, which vary, then the rest. */
function cut(source: Program, from: number, to: number, own: Float64Array): Program {
  const program = new Program();
  program.visits.push(...source.visits);
  const slots = new Map<number, number>();
  own.forEach((line, i) => {
    program.addPage({ recorded: 0n, frame: -1, address: 0n });
    slots.set(line, i);
  });
  for (let at = from; at < to; at++) {
    const word = source.word(at);
    if ((word & 3) === Op.Control) {
      // Pages are mapped by the schedule.
      if (((word >>> 2) & 63) !== Control.Map) program.push(word);
      continue;
    }
    const page = source.pages[word >>> 8]!;
    const within = (word >>> 2) & 63;
    // A fetch never varies, even where code was written as data.
    const line = Number((page.recorded & LOW_48) / 64n) + within;
    const key = (word & 3) === Op.Fetch ? -1 - line : line;
    let slot = slots.get(key);
    if (slot === undefined) {
      slot = program.addPage({ recorded: page.recorded, frame: page.frame, address: page.address | BigInt(within << 6) });
      slots.set(key, slot);
    }
    program.push((slot << 8) | (word & 3));
  }
  invariant(program.length > 0, "a template is empty");
  return program;
}
