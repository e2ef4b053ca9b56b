/**
 * One recording on one or several kernels in several layouts: functions, pages and page tables elsewhere, drawn anew
 * for each. What the spread of a gain over layouts is made of. Long recordings are run in part.
 */
import { boot, NoOpFinder, policyOf, runsShortNoOps } from "@kreplica/kernel";
import { type KernelImage, type NoOps } from "@kreplica/mm-core";
import { rightlyBlaming } from "../replay/blame.js";
import { gateTo } from "../replay/gate.js";
import { visitedFunctions } from "../replay/kernel-visit.js";
import type { RecordedRun } from "../replay/load.js";
import { nothingCarried } from "../replay/other-kernel.js";
import { guestImage } from "../replay/recorded-kernel.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { type NodeRun, placeIn, runElsewhere } from "../measure/elsewhere.js";
import type { TraceJob } from "../measure/measure-trace.js";
import { replaySetup } from "../measure/replay-setup.js";
import { frameOrder, scatteredFrames } from "./frame-layout.js";
import { type LaidOut, loadLayouts, runInto } from "./load-layouts.js";
import { MovableText } from "./movable-text.js";
import { TextLayout } from "./text-layout.js";

/** Layout number 0: everything where it was linked, recorded and booted. */
export const AS_LINKED = 0;

/** What is to be measured: plain data, so that it can run in a worker. */
export interface LayoutJob extends Pick<
  TraceJob,
  "spec" | "where" | "pti" | "levels" | "seed" | "pressure" | "work" | "alignment" | "file" | "policies" | "elsewhere"
> {
  readonly layouts: {
    /** With the number of a layout it says what is drawn for it. */
    readonly seed: number;
    /** Which: {@link AS_LINKED}, or from 1 up. */
    readonly numbers: readonly number[];
  };
}

/** One recording on one kernel in one layout. */
export interface LayoutRun {
  readonly layout: number;
  /** On the job's CPU, and behind it on those elsewhere in their order. */
  readonly runs: readonly NodeRun[];
}

/**
 * Kernels are booted for each layout, because their tables lie elsewhere in each; the recording is decoded once for
 * all, and built once for each.
 *
 * @returns for each policy a run in each layout
 * @throws TraceError, InputError, MmError
 */
export function measureLayouts(job: LayoutJob, run: RecordedRun, kernel: ReplayKernel): LayoutRun[][] {
  return rightlyBlaming(run.recording, kernel.recorded.name, () => measured(job, run, kernel));
}

function measured(job: LayoutJob, run: RecordedRun, kernel: ReplayKernel): LayoutRun[][] {
  const { spec, where, policies, layouts, pressure, seed } = job;
  const { other } = kernel;
  const { guest, copied, kernelAt } = replaySetup(job, run, kernel);
  // These only say where a page is; runs are on kernels of their layouts.
  const kernels = policies.map((choice) => ({ booted: boot(kernelAt(where).with({ policy: policyOf(choice) })) }));
  for (const { booted } of kernels) booted.recorded.runsOn(where.madeOn ?? where.cpu);
  const { image } = kernels[0]!.booted;
  const moved = other ? { ...guest, image: guestImage(image, guest.image.firstPage) } : guest;
  const carried = nothingCarried();
  const recording = {
    run,
    guest,
    moved,
    change: other && ((batch: Parameters<typeof other.move>[0]) => other.move(batch, carried)),
  };
  const all = [where, ...(job.elsewhere ?? [])];
  const shortNoOps = kernels.some(({ booted }) => all.some(({ cpu }) => runsShortNoOps(booted, cpu)));
  const text = new MovableText(image, kernel.symbols());
  const together = runInto(recording, text);
  const laid = layouts.numbers.map((number) =>
    laidOut(
      image,
      number === AS_LINKED ? undefined : new TextLayout(text, together, seedOf(layouts.seed, number)),
      job.work === false || copied,
      shortNoOps,
    ),
  );
  const gate = gateTo(
    kernels.map(({ booted }) => booted),
    moved,
  );
  const loaded = loadLayouts(recording, placeIn(kernels), gate, laid);
  const runs = loaded.workloads.map((workload, nth) => {
    const number = layouts.numbers[nth]!;
    const drawn = seedOf(layouts.seed, number);
    const frames =
      number === AS_LINKED ? undefined : { order: frameOrder(guest, drawn), kept: scatteredFrames(spec, drawn) };
    return all.map((there) => {
      const common = kernelAt(there, {}, frames);
      return runElsewhere(
        { spec, pressure, seed, workload, vcpu: loaded.measured, guest },
        there,
        policies.map((choice) => common.with({ policy: policyOf(choice) })),
      );
    });
  });
  return policies.map((_, policy) =>
    layouts.numbers.map((layout, nth) => ({ layout, runs: runs[nth]!.map((each) => each[policy]!) })),
  );
}

/** Numbers of one seed are nowhere near those of the next. */
const seedOf = (seed: number, number: number): number => Math.imul(seed, 0x9e37_79b1) + number;

function laidOut(image: KernelImage, layout: TextLayout | undefined, idle: boolean, shortNoOps: boolean): LaidOut {
  const placed = (address: bigint): bigint => layout?.addressOf(address) ?? address;
  const symbol = (name: string): bigint | undefined => {
    const address = image.symbol(name);
    return address === undefined ? undefined : placed(address);
  };
  const noOps = (image.noOps ?? []).map((run): NoOps => ({ ...run, address: placed(run.address) }));
  return {
    layout,
    functions: idle ? undefined : visitedFunctions(symbol),
    noOps: shortNoOps ? new NoOpFinder(noOps.sort((a, b) => (a.address < b.address ? -1 : 1))) : undefined,
  };
}
