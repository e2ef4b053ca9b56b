/**
 * A recording made ready to run in several layouts of the kernel's text: decoded once for all of them, built once for
 * each, because functions that move by 16 bytes share their lines with others.
 */
import type { NoOpFinder } from "@kreplica/kernel";
import {
  Access,
  Batch,
  Kind,
  MAPPINGS,
  readTrace,
  type RecordedGuest,
  type Recording,
  TraceError,
} from "@kreplica/trace";
import type { VisitedFunctions } from "../replay/kernel-visit.js";
import { type RecordedRun, moveText, scheduleOf } from "../replay/load.js";
import { LongRun } from "../replay/long-run.js";
import { PlainRun } from "../replay/plain-run.js";
import { type Gate, type PlacePage, ProgramBuilder } from "../replay/program-builder.js";
import type { Workload } from "../replay/replayer.js";
import type { MovableText } from "./movable-text.js";
import type { TextLayout } from "./text-layout.js";

/** Upper half of every address of an image. */
const IMAGE_HIGH = 0xffff_ffff;
/** Pages below one upper half. */
const PAGES_4G = 0x10_0000;

/** What a layout's program is built with: as it is for the text where it was linked. */
export interface LaidOut {
  /** Undefined: as linked. */
  readonly layout: TextLayout | undefined;
  readonly functions: VisitedFunctions | undefined;
  readonly noOps: NoOpFinder | undefined;
}

/** How a recording is read, whatever the layout. */
export interface LaidRecording {
  readonly run: RecordedRun;
  readonly guest: RecordedGuest;
  /** Whose addresses they are once `change` is done. */
  readonly moved: RecordedGuest;
  readonly change: ((batch: Batch) => void) | undefined;
}

/**
 * Pieces of text that the recording's CPUs run into from the piece before.
 * @throws TraceError as the reader does, and text-elsewhere where text is reached through another mapping
 */
export function runInto({ run, guest, moved, change }: LaidRecording, text: MovableText): Set<number> {
  const together = new Set<number>();
  const refuse = textElsewhere(run.recording, guest, moved);
  readTrace(run.recording, (batch) => {
    refuse(batch);
    change?.(batch);
    const { kind, lo, hi, b, length } = batch;
    for (let i = 0; i < length; i++) {
      if (kind[i] !== Kind.Fetch || hi[i] !== IMAGE_HIGH || !text.crosses(lo[i]!, b[i]!)) continue;
      const last = text.pieceOf(lo[i]! + b[i]! - 1);
      // Out of the last piece it runs into what stays.
      if (last < 0) continue;
      for (let piece = text.pieceOf(lo[i]!) + 1; piece <= last; piece++) together.add(piece);
    }
  });
  return together;
}

/**
 * Refuses what a layout cannot move: what reaches text by its physical pages, as patching of live text does through a
 * mapping of its own.
 */
function textElsewhere({ name }: Recording, guest: RecordedGuest, { image }: RecordedGuest): (batch: Batch) => void {
  const { firstPage } = guest.image;
  const pages = Number((image.startRodata - image.stext) >> 12n);
  const direct = MAPPINGS[guest.levels].pageOffset;
  // It begins at a multiple of 4 GiB.
  const directHi = Number(direct >> 32n);
  return (batch) => {
    const { kind, lo, hi, a, b, length } = batch;
    for (let i = 0; i < length; i++) {
      if ((kind[i] !== Kind.Load && kind[i] !== Kind.Store) || hi[i] === IMAGE_HIGH || (a[i]! & Access.Io) !== 0)
        continue;
      const frame =
        (a[i]! & Access.NewPage) !== 0
          ? b[i]!
          : hi[i]! >= directHi && hi[i]! < directHi + 0x1000
            ? (hi[i]! - directHi) * PAGES_4G + (lo[i]! >>> 12)
            : -1;
      if (frame >= firstPage && frame < firstPage + pages)
        throw new TraceError(
          "text-elsewhere",
          name,
          batch.base + batch.at[i]!,
          `kernel text is reached through another mapping than its own (physical page 0x${frame.toString(16)}), as where it is patched: no layout can say where that went`,
          "leave --layouts out for it, or cut the recording",
        );
    }
  };
}

/**
 * @param place where the kernels have a recorded page, gate what may be replayed
 * @returns a workload for each layout, in their order, and the virtual CPU that is measured
 * @throws TraceError
 */
export function loadLayouts(
  { run, moved, change }: LaidRecording,
  place: PlacePage,
  gate: Gate,
  layouts: readonly LaidOut[],
): { readonly workloads: readonly Workload[]; readonly measured: number } {
  const { recording } = run;
  const builders = layouts.map(
    ({ functions, noOps }) => new ProgramBuilder(recording.name, place, functions, gate, noOps, moved),
  );
  let copy = new Batch(0);
  readTrace(recording, (batch) => {
    change?.(batch);
    if (copy.capacity < batch.length) copy = new Batch(batch.length);
    layouts.forEach(({ layout }, nth) => {
      if (!layout) {
        builders[nth]!.add(batch);
        return;
      }
      for (const column of ["kind", "lo", "hi", "a", "b", "at"] as const)
        copy[column].set(batch[column].subarray(0, batch.length));
      copy.base = batch.base;
      copy.length = batch.length;
      layout.move(copy);
      builders[nth]!.add(copy);
    });
  });
  const schedule = scheduleOf(run);
  if (schedule && change) moveText(schedule.text, change);
  const workloads = layouts.map(({ layout }, nth): Workload => {
    const builder = builders[nth]!;
    const { program } = builder.finish();
    if (!schedule) return new PlainRun(program);
    const own = { ...schedule, text: schedule.text.slice() };
    if (layout)
      moveText(own.text, (batch) => {
        layout.move(batch);
      });
    return new LongRun(program, builder.cuts, builder.perCut, own, place, run.schedule!.name);
  });
  return { workloads, measured: builders[0]!.measured };
}
