/** A recording, ready to run; with a schedule of lines beside it, as the long run it was cut from. */
import { unzstd, ZstdError } from "@kreplica/inputs/zstd";
import type { NoOpFinder } from "@kreplica/kernel";
import { InvariantError } from "@kreplica/mm-core";
import {
  Batch,
  CallCounter,
  Kind,
  readTrace,
  type RecordedGuest,
  type Recording,
  testOf,
  TraceCounter,
  TraceError,
  type TraceStatistics,
  type TraceTest,
} from "@kreplica/trace";
import type { VisitedFunctions } from "./kernel-visit.js";
import { type LineSchedule, readLineSchedule } from "./line-schedule.js";
import { LongRun } from "./long-run.js";
import { PlainRun } from "./plain-run.js";
import { type Gate, type PlacePage, ProgramBuilder } from "./program-builder.js";
import type { Workload } from "./replayer.js";

/** Upper half of every address of an image, and lines under one such half. */
const IMAGE_HIGH = 0xffff_ffff;
const LINES_4G = 0x400_0000;

/** A schedule of lines, wherever it lies. */
export interface ScheduleBeside {
  /** As errors name it. */
  readonly name: string;
  /** Its bytes, packed with zstd. @throws Error where they cannot be had */
  read(): Uint8Array;
}

/** A recording to replay, and the schedule that makes a long run of it. */
export interface RecordedRun {
  readonly recording: Recording;
  readonly schedule?: ScheduleBeside;
}

/** A recording's test and what runs it. */
export interface LoadedTrace {
  readonly file: string;
  readonly test: TraceTest;
  /** Virtual CPU that carried the start marker. */
  readonly measured: number;
  readonly workload: Workload;
  /** The long run is modelled from recorded stretches, not recorded throughout. */
  readonly modelled: boolean;
  /** Device accesses of the measured CPU that were left out. */
  readonly devices: number;
  /**
   * Calls of the test's system call in one run; undefined for a test that is not counted in calls, or when there were
   * none.
   */
  readonly calls: number | undefined;
  /** Calls of the function that changes kernel text, in one run. */
  readonly pokes: number;
  /** What lies where in it, as recorded; undefined unless asked for. */
  readonly statistics: TraceStatistics | undefined;
  /** Instructions of the measured CPU in one run by address of the first of their run; undefined unless asked for. */
  readonly retired: ReadonlyMap<number, number> | undefined;
}

/** What was recorded, as a replay has to know it. */
export interface Recorded {
  readonly guest: RecordedGuest;
  /** The same with the image of the kernel that addresses are moved to; as recorded when absent. */
  readonly moved?: RecordedGuest;
  /** Address of a function of the recorded kernel. */
  symbol(name: string): bigint | undefined;
  /** A kernel that the user named: tests are named after their files, and statistics are counted. */
  readonly named: boolean;
  /** It is noted whose text is executed. */
  readonly located?: boolean;
}

/** Writes one piece of kernel text. Source: Linux 6.1 arch/x86/kernel/alternative.c. */
const POKE = "__text_poke";

/**
 * Part of a long run's calls by which its templates may miss the recorded number: 1028 for 1024 in the one that ships.
 */
const NEARLY = 0.01;

/**
 * @param recorded what was recorded
 * @param place where the model has a recorded page
 * @param functions where the recorded kernel has the functions that replication adds to; without them nothing is
 *   spliced in
 * @param change done to every batch before it is looked at: recorded addresses moved to another kernel's
 * @param gate what may be replayed; anything without it
 * @param noOps of the image replayed on
 * @throws TraceError
 */
export function loadTrace(
  run: RecordedRun,
  recorded: Recorded,
  place: PlacePage,
  functions?: VisitedFunctions,
  change?: (batch: Batch) => void,
  gate?: Gate,
  noOps?: NoOpFinder,
): LoadedTrace {
  const { recording } = run;
  const file = recording.name;
  const test = testOf(recording, recorded.named);
  const { guest, moved = guest } = recorded;
  const builder = new ProgramBuilder(file, place, functions, gate, noOps, moved);
  if (recorded.located) builder.locate();
  const counter = counterOf(recorded, test.call);
  const pokes = counterOf(recorded, POKE);
  const statistics = recorded.named ? new TraceCounter(0, guest) : undefined;
  readTrace(recording, (batch) => {
    statistics?.add(batch);
    counter?.add(batch);
    pokes?.add(batch);
    change?.(batch);
    builder.add(batch);
  });
  const { program, measured } = builder.finish();
  program.blame = (operation, what) =>
    blame(recording, operation, what, new ProgramBuilder(file, place, functions, undefined, undefined, moved), change);
  const schedule = scheduleOf(run);
  if (schedule && change) moveText(schedule.text, change);
  const workload = schedule
    ? new LongRun(program, builder.cuts, builder.perCut, schedule, place, run.schedule!.name)
    : new PlainRun(program);
  return {
    file,
    test,
    measured,
    workload,
    modelled: schedule !== undefined,
    devices: program.devices,
    calls: callsOf(counter, schedule, test),
    pokes: pokes?.total ?? 0,
    statistics: statistics?.result(),
    retired: builder.retired && retiredIn(builder.retired, schedule, measured),
  };
}

/**
 * A long run retires what the templates of its stretches do, as often as they are run, and what is behind them once.
 */
function retiredIn(
  perCut: readonly (readonly (ReadonlyMap<number, number> | undefined)[])[],
  schedule: LineSchedule | undefined,
  measured: number,
): Map<number, number> {
  const sum = new Map<number, number>();
  const add = (cut: number): void => {
    for (const [address, count] of perCut[cut]?.[measured] ?? []) sum.set(address, (sum.get(address) ?? 0) + count);
  };
  schedule?.template.forEach(add);
  for (let cut = schedule?.templates ?? 0; cut < perCut.length; cut++) add(cut);
  return sum;
}

/** @returns undefined for a test that is not counted in calls */
function counterOf({ symbol }: Recorded, call: string | undefined): CallCounter | undefined {
  const address = call === undefined ? undefined : symbol(call);
  return address === undefined ? undefined : new CallCounter(Number(BigInt.asUintN(32, address)));
}

/**
 * A long run makes the calls of the templates that its stretches run: nearly as many as were recorded, since a stretch
 * may run one that is alike in length only.
 */
function callsOf(
  counter: CallCounter | undefined,
  schedule: LineSchedule | undefined,
  { iterations }: TraceTest,
): number | undefined {
  if (!counter) return undefined;
  const calls = schedule
    ? schedule.template.reduce((sum, template) => sum + counter.stretches[template]!, 0)
    : counter.total;
  if (schedule && Math.abs(calls - iterations) <= NEARLY * iterations) return iterations;
  return calls === 0 ? undefined : calls;
}

/**
 * Finds the record an operation comes from by reading the recording once more, record by record: that takes time, and
 * nothing while all is well.
 */
function blame(
  recording: Recording,
  operation: number,
  what: string,
  builder: ProgramBuilder,
  change?: (batch: Batch) => void,
): never {
  const one = new Batch(1);
  readTrace(recording, (batch) => {
    change?.(batch);
    one.length = 1;
    for (let i = 0; i < batch.length; i++) {
      for (const column of ["kind", "lo", "hi", "a", "b"] as const) one[column][0] = batch[column][i]!;
      builder.add(one);
      if (builder.program.length > operation)
        throw new TraceError(
          "refused",
          recording.name,
          batch.base + batch.at[i]!,
          what,
          "the file is damaged here: copy or record it again",
        );
    }
  });
  throw new InvariantError(`operation ${operation} comes from no record of ${recording.name}`);
}

/**
 * Puts lines of the recorded kernel's text where another kernel has them, as if they had been in the recording: a line
 * by its first byte.
 */
export function moveText(lines: Float64Array, change: (batch: Batch) => void): void {
  const batch = new Batch(1);
  for (let i = 0; i < lines.length; i++) {
    batch.length = 1;
    batch.kind[0] = Kind.Fetch;
    batch.hi[0] = IMAGE_HIGH;
    batch.lo[0] = (lines[i]! % LINES_4G) * 64;
    // No instructions: what is carried over is counted from the recording.
    batch.a[0] = 0;
    batch.b[0] = 1;
    change(batch);
    lines[i] = lines[i]! - (lines[i]! % LINES_4G) + Math.floor(batch.lo[0] / 64);
  }
}

/**
 * Physical pages the schedule beside a recording names; none without one. It is read when the first is asked for: most
 * machines have room for all of the guest's memory and ask for none.
 * @throws TraceError then
 */
export const scheduledFrames = (run: RecordedRun): Iterable<number> => ({
  *[Symbol.iterator]() {
    yield* scheduleOf(run)?.frames ?? [];
  },
});

/** The schedule beside a recording, read; undefined without one. @throws TraceError */
export function scheduleOf({ schedule }: RecordedRun): LineSchedule | undefined {
  if (schedule === undefined) return undefined;
  const bytes = unpacked(schedule);
  try {
    return readLineSchedule(bytes, schedule.name);
  } catch (error) {
    throw error instanceof TraceError ? error.ofPacked() : error;
  }
}

function unpacked(schedule: ScheduleBeside): Uint8Array {
  try {
    return unzstd(schedule.read());
  } catch (error) {
    throw new TraceError(
      "unreadable-lines",
      schedule.name,
      error instanceof ZstdError ? error.offset : 0,
      `it cannot be read (${(error as Error).message})`,
      "copy the file again, in full",
    );
  }
}
