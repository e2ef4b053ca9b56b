/**
 * A long run of two stretches, told operation by operation: what a stretch runs, on which lines, and what follows it.
 */
import { expect, test } from "vitest";
import type { LineSchedule } from "../src/replay/line-schedule.js";
import { LongRun } from "../src/replay/long-run.js";
import { Control, Op, Program, type ProgramPage } from "../src/replay/program.js";
import { PARTS, type Replayer } from "../src/replay/replayer.js";

const DIRECT = 0xffff_8880_0000_0000n;
const [A, B, C] = [DIRECT + 0x1000n, DIRECT + 0x2000n, DIRECT + 0x3000n];
const [U, V] = [0x40_0000n, 0x50_0000n];
const TEXT = 0xffff_ffff_8100_0000n;
const lineOf = (address: bigint, line: number): number => Number((address & 0xffff_ffff_ffffn) >> 6n) + line;
const numberOf = (address: bigint): number => Number(address >> 12n);

/** One template: kernel, a load of A's line 1 and of U's line 2, user mode. Behind it a burst that loads B's line 5. */
function source(): { program: Program; cuts: number[] } {
  const program = new Program();
  const page = (recorded: bigint, frame: number): number => program.addPage({ recorded, frame, address: recorded });
  const control = (what: Control, argument: number): void => program.push((argument << 8) | (what << 2) | Op.Control);
  const [a, u, text, b] = [page(A, 1), page(U, 11), page(TEXT, 3), page(B, 2)];
  control(Control.Privilege, 0);
  control(Control.Map, a);
  program.push((a << 8) | (1 << 2) | Op.Load);
  program.push((u << 8) | (2 << 2) | Op.Load);
  control(Control.Privilege, 3);
  program.push((text << 8) | Op.Fetch);
  const cut = program.length;
  control(Control.Vcpu, 0);
  program.push((b << 8) | (5 << 2) | Op.Load);
  return { program, cuts: [cut] };
}

/**
 * The template's own stretch; then one that has C in place of A, a further line of C that it stores to, U and V
 * elsewhere, text of its own and a burst.
 */
const schedule: LineSchedule = {
  templates: 1,
  bursts: 1,
  stretches: 2,
  template: Uint16Array.of(0, 0),
  origin: Int32Array.of(0),
  burstStart: Uint32Array.of(0, 0, 1),
  pageStart: Uint32Array.of(0, 2, 5),
  pages: Float64Array.of(numberOf(A), numberOf(U), numberOf(C), numberOf(U), numberOf(V)),
  frames: Uint32Array.of(1, 11, 3, 12, 13),
  touched: Uint8Array.of(5, 9, 13, 9, 7 * 4 + Op.Store),
  lineStart: Uint32Array.of(0, 1, 3),
  lines: Float64Array.of(lineOf(A, 1), lineOf(C, 3), lineOf(C, 4)),
  stored: Uint8Array.of(0, 0, 1),
  textStart: Uint32Array.of(0, 0, 1),
  text: Float64Array.of(lineOf(TEXT, 9)),
};

class Told {
  readonly steps: string[] = [];
  map(page: ProgramPage): void {
    this.steps.push(`map ${page.recorded.toString(16)} ${page.frame}`);
  }
  touch(op: Op, lo: number, hi: number): void {
    this.steps.push(`beyond ${["fetch", "load", "store"][op]!} ${address(lo, hi)}`);
  }
  execute(program: Program, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const word = program.word(at);
      const argument = word >>> 8;
      if ((word & 3) !== Op.Control)
        this.steps.push(
          `${["fetch", "load", "store"][word & 3]!} ${address(program.pageLo[argument]! | ((word & 0xfc) << 4), program.pageHi[argument]!)}`,
        );
      else if (((word >>> 2) & 63) === Control.Map) this.map(program.pages[argument]!);
      else if (((word >>> 2) & 63) === Control.Privilege) this.steps.push(argument === 3 ? "leave" : "enter");
    }
  }
}
const address = (lo: number, hi: number): string => ((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16);
const told = (half: 0 | 1, run: LongRun, replayer: Told): string[] => {
  replayer.steps.length = 0;
  const part = run.pieces(replayer as unknown as Replayer, half * (PARTS / 2), (half + 1) * (PARTS / 2));
  for (const { program, from, to } of part) replayer.execute(program, from, to);
  return [...replayer.steps];
};
const make = (): LongRun => {
  const { program, cuts } = source();
  return new LongRun(
    program,
    cuts,
    [new Float64Array(512), new Float64Array(512)],
    schedule,
    (recorded) => recorded,
    "x.lines",
  );
};

test("a stretch runs its template on its own lines and pages, then what the template lacks, still in the kernel, then other CPUs", () => {
  const run = make();
  const replayer = new Told();
  expect(told(0, run, replayer).slice(4)).toEqual([
    "enter",
    "load ffff888000001040",
    "map 400000 11",
    "load 400080",
    "leave",
    "fetch ffffffff81000000",
  ]);
  expect(told(1, run, replayer)).toEqual([
    "map 500000 13",
    "enter",
    "load ffff8880000030c0",
    "map 400000 12",
    "load 400080",
    "beyond store 5001c0",
    "beyond store ffff888000003100",
    "beyond fetch ffffffff81000240",
    "leave",
    "fetch ffffffff81000000",
    "load ffff888000002140",
  ]);
});

test("one kernel's run leaves nothing behind for the next kernel's", () => {
  const run = make();
  const first = new Told();
  const alone = [told(0, run, first), told(1, run, first)];
  const next = new Told();
  expect([told(0, run, next), told(1, run, next)]).toEqual(alone);
  // Run again on the same kernel, the pages lie where they were left until they change.
  expect(told(0, run, first)).toEqual([
    "enter",
    "load ffff888000001040",
    "map 400000 11",
    "load 400080",
    "leave",
    "fetch ffffffff81000000",
  ]);
});
