/** A recording from disk, ready to run; with a schedule of lines beside it, as the long run it was cut from. */
import { existsSync, readFileSync } from "node:fs";
import { decompress } from "fzstd";
import { Batch, Kind } from "../trace/batch.js";
import { testOf } from "../trace/peek.js";
import { readTrace } from "../trace/read-trace.js";
import { TraceError } from "../trace/trace-error.js";
import type { TraceTest } from "../trace/tests.js";
import type { VisitedFunctions } from "./kernel-visit.js";
import { type LineSchedule, readLineSchedule } from "./line-schedule.js";
import { LongRun } from "./long-run.js";
import { PlainRun } from "./plain-run.js";
import { type PlacePage, ProgramBuilder } from "./program-builder.js";
import type { Workload } from "./replayer.js";

/** Upper half of every address of an image, and lines under one such half. */
const IMAGE_HIGH = 0xffff_ffff;
const LINES_4G = 0x400_0000;

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
}

/** Name a schedule has beside `X.kt.zst` or `X.kt`: `X.lines.zst`. */
export const scheduleBeside = (file: string): string => file.replace(/\.kt(\.zst)?$/, ".lines.zst");

/**
 * @param place where the model has a recorded page
 * @param functions where the recorded kernel has the functions that replication adds to; without them nothing is spliced in
 * @param change done to every batch before it is looked at: recorded addresses moved to another kernel's
 * @throws TraceError
 */
export function loadTrace(file: string, place: PlacePage, functions?: VisitedFunctions, change?: (batch: Batch) => void): LoadedTrace {
  const test = testOf(file);
  const builder = new ProgramBuilder(file, place, functions);
  readTrace(file, (batch) => {
    change?.(batch);
    builder.add(batch);
  });
  const { program, measured } = builder.finish();
  const schedule = scheduleOf(file);
  if (schedule && change) moveText(schedule.text, change);
  const workload = schedule ? new LongRun(program, builder.cuts, builder.perCut, schedule, place, scheduleBeside(file)) : new PlainRun(program);
  return { file, test, measured, workload, modelled: schedule !== undefined, devices: program.devices };
}

/** Puts lines of the recorded kernel's text where another kernel has them, as if they had been in the recording. */
function moveText(lines: Float64Array, change: (batch: Batch) => void): void {
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

/** Whether a schedule lies beside the recording, so that it runs for long. */
export const isLongRun = (file: string): boolean => scheduleBeside(file) !== file && existsSync(scheduleBeside(file));

/** Physical pages the schedule beside a recording names; none without one. */
export const scheduledFrames = (file: string): Iterable<number> => scheduleOf(file)?.frames ?? [];

function scheduleOf(file: string): LineSchedule | undefined {
  const beside = scheduleBeside(file);
  return isLongRun(file) ? readLineSchedule(unpacked(beside), beside) : undefined;
}

function unpacked(file: string): Uint8Array {
  try {
    return decompress(readFileSync(file));
  } catch (error) {
    throw new TraceError("unreadable-lines", file, 0, `it cannot be read (${(error as Error).message})`, "copy the file again, in full");
  }
}
