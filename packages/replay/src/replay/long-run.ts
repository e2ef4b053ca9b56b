/**
 * A long recording modelled from a few recorded stretches: each stretch of it runs the one it resembles most, on its
 * own data.
 *
 * What a stretch executes differs little from one iteration to the next; where its data lies differs in every one, and
 * decides how much of the last-level cache the test fills. So instructions come from the templates and addresses from
 * the schedule: of the lines that are not common to all stretches of their kind, the n-th that was first stored to in
 * the direct map becomes the n-th that the stretch stored to first there; those first loaded, stacks and page
 * descriptors likewise. User pages change their frame where the template's do. What a stretch touched beyond its
 * template (lines of data, text that is in no template, user pages) it touches before it leaves the kernel; what other
 * CPUs did meanwhile is recorded throughout and follows it.
 */
import { invariant } from "@kreplica/mm-core";
import { TraceError } from "@kreplica/trace";
import type { LineSchedule } from "./line-schedule.js";
import { Control, MAX_PAGES, Op, Program, type ProgramPage } from "./program.js";
import type { PlacePage } from "./program-builder.js";
import { type Piece, PARTS, type Replayer, type Window, type Workload } from "./replayer.js";

const LOW_48 = (1n << 48n) - 1n;
const USER_END = 1n << 47n;
const KERNEL_HALF = 0xffff_0000_0000_0000n;
const DIRECT_MAP = 0xffff_8880_0000_0000n;
const VMALLOC = 0xffff_c900_0000_0000n;
const VMEMMAP = 0xffff_ea00_0000_0000n;
const CPU_ENTRY_AREA = 0xffff_fe00_0000_0000n;

/**
 * Direct map, vmalloc, page descriptors, each first loaded or first stored: lines change places only with lines of the
 * same.
 */
const CLASSES = 6;
/** Places at which stretches are looked at, where not all are run; a power of two. */
const WINDOWS = 32;
/** Low 48 bits of where vmalloc and the descriptors begin, as lines. */
const VMALLOC_LINE = 0xc900_0000_0000 / 64;
const VMEMMAP_LINE = 0xea00_0000_0000 / 64;
const classOf = (line: number, stored: number): number =>
  (line < VMALLOC_LINE ? 0 : line < VMEMMAP_LINE ? 2 : 4) + stored;

/**
 * A template: a stretch fills in the lines of its first pages, which are in order of class; the others are lines of its
 * own.
 */
interface Template {
  readonly program: Program;
  readonly origin: number;
  /** By user page: numbers of the program's pages that its map operations name, in order. */
  readonly mapped: ReadonlyMap<bigint, readonly number[]>;
  /** Operation with which it leaves the kernel for good; its end when it stays. */
  readonly kernelEnd: number;
}

/** A template's page that a stretch fills in. */
const VARIES: ProgramPage = { recorded: 0n, frame: -1, address: 0n };

/** Lines of all stretches, those of a stretch in order of class, otherwise as they were. */
interface ClassedLines {
  /** By line: number of its page * 64 + line in the page. Half of what an address takes, and good for every kernel. */
  readonly at: Uint32Array;
  /** By number of a page: the first of its lines that there is, low 48 bits of the address divided by 64. */
  readonly pages: readonly number[];
  /** First line of each class of each stretch, `[stretch * CLASSES + class]`, and the end. */
  readonly classStart: Uint32Array;
}

/** What of a schedule is needed as long as there is a run of it. */
interface Stretches extends Omit<LineSchedule, "lines" | "stored"> {
  readonly classed: ClassedLines;
}

export class LongRun implements Workload {
  readonly length: number;
  readonly instructions = new Float64Array(64 * 8);
  private readonly schedule: Stretches;
  private readonly templates: readonly Template[];
  /** Addresses of the pages that {@link ClassedLines} numbers, halves. */
  private readonly pageLo: Int32Array;
  private readonly pageHi: Int32Array;
  private readonly maps: readonly (ProgramPage | undefined)[];
  private readonly textLo: Int32Array;
  private readonly textHi: Int32Array;
  /** Operations of the source at which each burst begins, and the end. */
  private readonly burstAt: readonly number[];
  /** User pages as they were last mapped, by the kernel that was played on. */
  private readonly mappedLast = new WeakMap<Replayer, Map<bigint, ProgramPage>>();

  /**
   * @param source the templates one behind the other, then the bursts of other CPUs, with the operations at which each
   *   begins but the first
   * @param perCut instructions of each template, laid out like Program.instructions
   * @param made templates, where they were cut before
   * @throws TraceError other-lines when recording and schedule do not belong together
   */
  constructor(
    private readonly source: Program,
    private readonly cuts: readonly number[],
    private readonly perCut: readonly Float64Array[],
    schedule: LineSchedule | Stretches,
    place: PlacePage,
    private readonly file: string,
    made?: readonly Template[],
  ) {
    const { templates, bursts, stretches, template, origin, pages, frames, lineStart } = schedule;
    if (cuts.length + 1 !== templates + bursts) {
      throw elsewhere(
        file,
        `it is for a recording of ${templates + bursts} stretches, the recording beside it has ${cuts.length + 1}`,
      );
    }
    this.schedule = "lines" in schedule ? byClass(schedule) : schedule;
    const { classed } = this.schedule;
    this.burstAt = [...cuts.slice(templates - 1), source.length];
    const text = Array.from(schedule.text, (line) => place(KERNEL_HALF + (BigInt(line) << 6n), -1));
    this.textLo = Int32Array.from(text, (address) => Number(BigInt.asIntN(32, address)));
    this.textHi = Int32Array.from(text, (address) => Number(BigInt.asIntN(32, address >> 32n)));
    // Lines of the schedule at their addresses in the model.
    const places = new Map<number, bigint>();
    this.maps = Array.from(pages, (page, i) => {
      const recorded = BigInt(page) << 12n;
      const address = place(recorded, frames[i]!);
      places.set(Number((recorded & LOW_48) >> 12n), address);
      // The kernel's own tables map these for good.
      const builtIn =
        (recorded >= DIRECT_MAP && recorded < VMALLOC) || (recorded >= VMEMMAP && recorded < CPU_ENTRY_AREA);
      return builtIn ? undefined : { recorded, frame: frames[i]!, address };
    });
    this.pageLo = new Int32Array(classed.pages.length);
    this.pageHi = new Int32Array(classed.pages.length);
    classed.pages.forEach((line, number) => {
      const address = places.get(Math.floor(line / 64));
      if (address === undefined) throw elsewhere(file, `line 0x${line.toString(16)} lies in a page it never names`);
      this.pageLo[number] = Number(BigInt.asIntN(32, address));
      this.pageHi[number] = Number(BigInt.asIntN(32, address >> 32n));
    });
    this.templates =
      made ??
      Array.from({ length: templates }, (_, i) => {
        const own = Array.from(
          classed.at.subarray(lineStart[origin[i]!]!, lineStart[origin[i]! + 1]!),
          (at) => Math.floor(classed.pages[at >>> 6]! / 64) * 64 + (at & 63),
        );
        const { program, mapped } = cut(source, cuts[i - 1] ?? 0, cuts[i] ?? source.length, own);
        return { program, mapped, origin: origin[i]!, kernelEnd: kernelEnd(program) };
      });
    // Of the recording itself the bursts are run.
    source.forget(this.burstAt[0]!);
    let length = source.length - this.burstAt[0]!;
    for (const counts of perCut.slice(templates))
      counts.forEach((count, slot) => {
        this.instructions[slot]! += count;
      });
    for (let i = 0; i < stretches; i++) {
      length += this.templates[template[i]!]!.program.length;
      perCut[template[i]!]!.forEach((count, slot) => {
        this.instructions[slot]! += count;
      });
    }
    this.length = length;
  }

  readonly loop = false;
  /** Stretches differ, and what they are changes from the first to the last: a few of them at as many places. */
  readonly windows: readonly Window[] = Array.from({ length: WINDOWS }, (_, nth): Window => {
    const each = PARTS / WINDOWS;
    return [nth * each, nth * each + each / 8];
  });

  placed(place: PlacePage): LongRun {
    return new LongRun(
      this.source.placed(place),
      this.cuts,
      this.perCut,
      this.schedule,
      place,
      this.file,
      this.templates.map((each) => ({ ...each, program: each.program.placed(place) })),
    );
  }

  *pieces(replayer: Replayer, from: number, to: number): Iterable<Piece> {
    const { stretches, template, burstStart } = this.schedule;
    let last = this.mappedLast.get(replayer);
    if (!last) {
      this.mappedLast.set(replayer, (last = new Map()));
      // A template may use a page before the schedule comes to it.
      for (const page of this.source.pages) {
        replayer.map(page);
        last.set(page.recorded, page);
      }
    }
    const at = (part: number): number => Math.floor((stretches * part) / PARTS);
    for (let i = at(from); i < at(to); i++) {
      const { program, mapped, origin, kernelEnd } = this.templates[template[i]!]!;
      const lacking = this.mapPages(replayer, program, mapped, i, last);
      for (let which = 0; which < CLASSES; which++) this.fill(program, origin, i, which);
      yield { program, from: 0, to: kernelEnd };
      for (const at of lacking) this.touchPage(replayer, at);
      this.touchOthers(replayer, origin, i);
      yield { program, from: kernelEnd, to: program.length };
      // What other CPUs did meanwhile, as recorded.
      for (let burst = burstStart[i]!; burst < burstStart[i + 1]!; burst++)
        yield { program: this.source, from: this.burstAt[burst]!, to: this.burstAt[burst + 1]! };
    }
  }

  /**
   * Pages that got or changed their frame in a stretch: mapped where the template maps the same page, the last there
   * last, and before it begins when it has no place for them.
   * @returns user pages among them that the template does not use: places in the schedule
   */
  private mapPages(
    replayer: Replayer,
    program: Program,
    mapped: Template["mapped"],
    stretch: number,
    last: Map<bigint, ProgramPage>,
  ): number[] {
    const changed = new Map<bigint, ProgramPage[]>();
    const lacking: number[] = [];
    for (let at = this.schedule.pageStart[stretch]!; at < this.schedule.pageStart[stretch + 1]!; at++) {
      const page = this.maps[at];
      if (!page) continue;
      if (!mapped.has(page.recorded)) {
        replayer.map(page);
        last.set(page.recorded, page);
        if (page.recorded < USER_END) lacking.push(at);
      } else changed.set(page.recorded, [...(changed.get(page.recorded) ?? []), page]);
    }
    for (const [recorded, numbers] of mapped) {
      const pages = changed.get(recorded) ?? [];
      let now = last.get(recorded)!;
      const early = pages.length - numbers.length;
      for (let at = 0; at < early; at++) replayer.map((now = pages[at]!));
      numbers.forEach((number, nth) => {
        program.pages[number] = now = pages[early + nth] ?? now;
      });
      last.set(recorded, now);
    }
    return lacking;
  }

  /** The reference that got a page, where it was one to data; the kernel may not execute there. */
  private touchPage(replayer: Replayer, at: number): void {
    const touched = this.schedule.touched[at]!;
    const op = touched % 4;
    const { address } = this.maps[at]!;
    if (op === Op.Load || op === Op.Store)
      replayer.touch(
        op,
        Number(BigInt.asIntN(32, address)) | ((touched >>> 2) << 6),
        Number(BigInt.asIntN(32, address >> 32n)),
      );
  }

  /**
   * Lines the template has no reference for, before it leaves the kernel; without them the run would fill less of the
   * caches than it did.
   */
  private touchOthers(replayer: Replayer, origin: number, stretch: number): void {
    const { pageLo, pageHi } = this;
    const {
      textStart,
      classed: { at: places, classStart },
    } = this.schedule;
    for (let which = 0; which < CLASSES; which++) {
      const wanted = classStart[origin * CLASSES + which + 1]! - classStart[origin * CLASSES + which]!;
      const end = classStart[stretch * CLASSES + which + 1]!;
      for (let at = classStart[stretch * CLASSES + which]! + wanted; at < end; at++) {
        const place = places[at]!;
        const lo = pageLo[place >>> 6]! | ((place & 63) << 6);
        replayer.touch(which % 2 === 0 ? Op.Load : Op.Store, lo, pageHi[place >>> 6]!);
      }
    }
    for (let at = textStart[stretch]!; at < textStart[stretch + 1]!; at++)
      replayer.touch(Op.Fetch, this.textLo[at]!, this.textHi[at]!);
  }

  /** Gives the template's lines of a class the addresses of the stretch's; where it has none, the template's own. */
  private fill(program: Program, origin: number, stretch: number, which: number): void {
    const { pageLo, pageHi } = this;
    const { at: places, classStart } = this.schedule.classed;
    const base = classStart[origin * CLASSES]!;
    const own = classStart[origin * CLASSES + which]!;
    const ownEnd = classStart[origin * CLASSES + which + 1]!;
    const first = classStart[stretch * CLASSES + which]!;
    const count = classStart[stretch * CLASSES + which + 1]! - first;
    for (let at = own; at < ownEnd; at++) {
      const nth = at - own;
      const from = count === 0 ? at : first + (nth < count ? nth : nth % count);
      const place = places[from]!;
      program.pageLo[at - base] = pageLo[place >>> 6]! | ((place & 63) << 6);
      program.pageHi[at - base] = pageHi[place >>> 6]!;
    }
  }
}

function byClass({ lines, stored, ...kept }: LineSchedule): Stretches {
  const { lineStart, stretches } = kept;
  const at = new Uint32Array(lines.length);
  const classStart = new Uint32Array(stretches * CLASSES + 1);
  const pages: number[] = [];
  const numbers = new Map<number, number>();
  let filled = 0;
  let last = -1;
  let number = 0;
  for (let i = 0; i < stretches; i++) {
    for (let which = 0; which < CLASSES; which++) {
      classStart[i * CLASSES + which] = filled;
      for (let from = lineStart[i]!; from < lineStart[i + 1]!; from++) {
        const line = lines[from]!;
        if (classOf(line, stored[from]!) !== which) continue;
        const page = Math.floor(line / 64);
        if (page !== last) {
          last = page;
          number = numbers.get(page) ?? pages.push(line) - 1;
          numbers.set(page, number);
        }
        at[filled++] = (number << 6) | (line % 64);
      }
    }
  }
  classStart[stretches * CLASSES] = filled;
  invariant(pages.length <= MAX_PAGES, "a schedule has lines in more pages than a replay can number");
  return { ...kept, classed: { at, pages, classStart } };
}

function kernelEnd(program: Program): number {
  for (let at = program.length - 1; at >= 0; at--) {
    const word = program.word(at);
    if ((word & 3) === Op.Control && ((word >>> 2) & 63) === Control.Privilege)
      return word >>> 8 === 3 ? at : program.length;
  }
  return program.length;
}

const elsewhere = (file: string, why: string): TraceError =>
  new TraceError("other-lines", file, undefined, why, "keep the two files that were cut together");

/**
 * Operations `[from, to)` with a line for every page number: first those of `own`, which vary, then the rest. User
 * pages are mapped where they are first used and where they change.
 */
function cut(
  source: Program,
  from: number,
  to: number,
  own: readonly number[],
): { program: Program; mapped: Map<bigint, number[]> } {
  const program = new Program();
  if (source.entries) program.entries = [];
  program.visits.push(...source.visits);
  const slots = new Map<number, number>();
  const mapped = new Map<bigint, number[]>();
  const mapHere = (page: ProgramPage): void => {
    const number = program.addPage(page);
    mapped.set(page.recorded, [...(mapped.get(page.recorded) ?? []), number]);
    program.push((number << 8) | (Control.Map << 2) | Op.Control);
  };
  /** An operation on a page number of the source, as one on a page number that stands for its line. */
  const lineOf = (word: number): number => {
    const page = source.pages[word >>> 8]!;
    const within = (word >>> 2) & 63;
    // A fetch never varies, even where code was written as data.
    const line = Number((page.recorded & LOW_48) / 64n) + within;
    const key = (word & 3) === Op.Fetch ? -1 - line : line;
    let slot = slots.get(key);
    if (slot === undefined) {
      slot = program.addPage({
        recorded: page.recorded,
        frame: page.frame,
        address: page.address | BigInt(within << 6),
      });
      slots.set(key, slot);
    }
    return (slot << 8) | (word & 3);
  };
  own.forEach((line, i) => {
    program.addPage(VARIES);
    slots.set(line, i);
  });
  for (let at = from; at < to; at++) {
    const word = source.word(at);
    if ((word & 3) === Op.Control) {
      const what: Control = (word >>> 2) & 63;
      const page = what === Control.Map ? source.pages[word >>> 8]! : undefined;
      if (what === Control.Visit) {
        // What a visit repeats is repeated where the stretch has it.
        const visit = source.visits[word >>> 8]!;
        if (visit.accesses) program.visits[word >>> 8] = { ...visit, accesses: visit.accesses.map(lineOf) };
      }
      // The schedule says which frames; here is where. Kernel pages are mapped before a stretch begins.
      if (!page) program.push(word);
      else if (page.recorded < USER_END) mapHere(page);
      continue;
    }
    const page = source.pages[word >>> 8]!;
    if (page.recorded < USER_END && !mapped.has(page.recorded)) mapHere(page);
    program.push(lineOf(word));
    program.enterAt(source.entryAt(at));
  }
  invariant(program.length > 0, "a template is empty");
  return { program, mapped };
}
