/**
 * A long recording modelled from a few recorded stretches: each stretch of it runs the one it resembles most, on its own data.
 *
 * What a stretch executes differs little from one iteration to the next; where its data lies differs in every one, and decides how
 * much of the last-level cache the test fills. So instructions come from the templates and addresses from the schedule: the n-th
 * line of data that is not common to all stretches of its kind becomes the n-th such line the stretch touched.
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

/** A template: its first `varying` pages are lines a stretch fills in, the others lines of its own. */
interface Template { readonly program: Program; readonly varying: number }

export class LongRun implements Workload {
  readonly length: number;
  readonly instructions = new Float64Array(64 * 8);
  private readonly templates: readonly Template[];
  private readonly lineLo: Int32Array;
  private readonly lineHi: Int32Array;
  private readonly maps: readonly (ProgramPage | undefined)[];
  private readonly fresh = new WeakSet<Replayer>();

  /**
   * @param source the templates one behind the other, with the operations at which each begins but the first
   * @param perCut instructions of each template, laid out like Program.instructions
   * @throws TraceError bad-lines when recording and schedule do not belong together
   */
  constructor(private readonly source: Program, cuts: readonly number[], perCut: readonly Float64Array[], private readonly schedule: LineSchedule, place: PlacePage, file: string) {
    const { templates, stretches, template, origin, pages, frames, lines, lineStart } = schedule;
    if (cuts.length + 1 !== templates) {
      throw new TraceError("bad-lines", file, 0, `it is for a recording of ${templates} stretches, the recording beside it has ${cuts.length + 1}`, "keep the two files that were cut together");
    }
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
        if (address === undefined) throw new TraceError("bad-lines", file, 0, `line 0x${line.toString(16)} lies in a page it never names`, "keep the two files that were cut together");
        lo = Number(BigInt.asIntN(32, address));
        hi = Number(BigInt.asIntN(32, address >> 32n));
      }
      this.lineLo[i] = lo | ((line % 64) << 6);
      this.lineHi[i] = hi;
    }
    this.templates = Array.from({ length: templates }, (_, i) => {
      const own = lines.subarray(lineStart[origin[i]!]!, lineStart[origin[i]! + 1]!);
      return cut(source, cuts[i - 1] ?? 0, cuts[i] ?? source.length, own);
    });
    let length = 0;
    for (let i = 0; i < stretches; i++) {
      length += this.templates[template[i]!]!.program.length;
      perCut[template[i]!]!.forEach((count, slot) => { this.instructions[slot]! += count; });
    }
    this.length = length;
  }

  play(replayer: Replayer, half: 0 | 1): void {
    const { stretches, template, pageStart, lineStart } = this.schedule;
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
      const { program, varying } = this.templates[template[i]!]!;
      const first = lineStart[i]!;
      const count = lineStart[i + 1]! - first;
      for (let slot = 0; slot < varying && count > 0; slot++) {
        const at = first + (slot < count ? slot : slot % count);
        program.pageLo[slot] = this.lineLo[at]!;
        program.pageHi[slot] = this.lineHi[at]!;
      }
      replayer.execute(program, 0, program.length);
      // Lines the template has no reference for; without them the run would fill less of the caches than it did.
      for (let at = first + varying; at < first + count; at++) replayer.touch(this.lineLo[at]!, this.lineHi[at]!);
    }
  }
}

/** Operations `[from, to)` with a line for every page number: first those of `own`, which vary, then the rest. */
function cut(source: Program, from: number, to: number, own: Float64Array): Template {
  const program = new Program();
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
  return { program, varying: own.length };
}
