/**
 * One test's gain over three things by which machines differ: the size of L2, how far the image's memory is against the
 * copy's, and whether the last-level cache is inclusive. All else stays as the machine has it. A run for each size and
 * kind of cache; distances are prices alone, and cost none.
 */
import { InputError } from "@kreplica/inputs";
import { boot, type PolicyChoice, policyOf } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import type { TraceTest } from "@kreplica/trace";
import { ratioOf, withRatio } from "../explain/causes.js";
import { gained, type Pair } from "../explain/figure.js";
import { type Inclusion, withInclusion, withL2 } from "../explain/planned.js";
import { EQUAL, type Looked, reaching } from "../explain/reaching.js";
import type { VariantJob, VariantRuns } from "../explain/variants.js";
import type { VariantRunner } from "../explain/explain.js";
import { type FarAndNear, type Gain, gain } from "../measure/gain.js";
import { jobKernel, type KernelJob } from "../measure/kernel-job.js";
import type { TraceMeasurement } from "../measure/measure-trace.js";
import { indexOf } from "../measure/placement.js";
import { type CacheState, STATES } from "../measure/whole-machine.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { type MapAxes, mapAxes } from "./map-axes.js";

/** What is to be drawn. */
export interface MapRequest {
  /** Compared with a single copy. */
  readonly policy: PolicyChoice;
  readonly file: string;
  /**
   * Measures the whole recording on both kernels of the machine as it is, one copy first; called where the map's runs
   * are in part.
   */
  readonly whole: (policies: readonly PolicyChoice[]) => Promise<readonly TraceMeasurement[] | InputError>;
}

/** The distances at which a gain changes sign. */
export interface BreakEven {
  /** Of L2 a core. */
  readonly l2Bytes: number;
  /**
   * Image's node over copy's, between the least and most of the axis; null where the gain has one sign, or none, on all
   * of it.
   */
  readonly farOverNear: number | null;
}

/** Gains over two axes, with caches of one kind, in one state. */
export interface MapPanel {
  readonly inclusion: Inclusion;
  readonly cache: CacheState;
  /** Percent: a row for each distance, in it a gain for each size of L2. */
  readonly gains: readonly (readonly Gain[])[];
  /** For each size of L2. */
  readonly breakEven: readonly BreakEven[];
}

/** A test's map. */
export interface GainMap {
  readonly machine: string;
  readonly policy: string;
  readonly test: TraceTest;
  readonly axes: MapAxes;
  /** Where the machine itself is on the axes. */
  readonly own: { readonly l2Bytes: number; readonly farOverNear: number; readonly inclusion: Inclusion };
  /** Cold first, in each state the kinds of caches in the order of the axis. */
  readonly panels: readonly MapPanel[];
  /** MB/s that each other core behind the CPU's last-level cache reads through it meanwhile; 0 where none does. */
  readonly pressure: number;
  /** Part of the test that was run in every cell, from which the rest is told; 1 where it was run whole. */
  readonly share: number;
  /**
   * By how much a gain told from that part is off, percentage points, on the machine as it is; undefined where the test
   * was run whole.
   */
  readonly sampling: Readonly<Record<CacheState, number>> | undefined;
}

/**
 * @param given what all cells have in common
 * @param kernel what is booted, and what was recorded
 * @param run what executes the jobs: one for each kind of cache
 * @throws InputError where no memory is farther than the copy's, or the recording is refused
 */
export async function gainMap<Given extends KernelJob>(
  given: Given,
  kernel: ReplayKernel,
  { policy: choice, file, whole }: MapRequest,
  run: VariantRunner<Given & VariantJob>,
): Promise<GainMap> {
  const { spec, where, pressure } = given;
  const policy = policyOf(choice);
  const node = spec.cpus.find(({ id }) => id === where.cpu)!.node;
  const { view } = boot(jobKernel(given, kernel).with({ policy }));
  const place: FarAndNear = {
    nodeIndex: indexOf(spec, node),
    far: indexOf(spec, where.masterNode),
    near: indexOf(spec, view.nearest(node)),
  };
  if (place.far === place.near)
    throw new InputError({
      file: "--cpu",
      reason: `CPU ${where.cpu} of ${spec.name} runs the image itself with ${policy.name}: no copy is nearer, and there is no distance to draw a map over`,
      remedy: "choose a CPU on another node than --master-node, and a policy that gives it a copy",
    });
  const ratio = ratioOf(spec, place);
  if (!(ratio >= 1))
    throw new InputError({
      file: "--machine",
      reason: `the copy's node is farther from CPU ${where.cpu} of ${spec.name} than the image's, ${ratio.toFixed(2)} times as near`,
      remedy: "choose another CPU, or a machine whose latencies say otherwise",
    });
  const axes = mapAxes(spec, ratio);
  const policies = [singleCopy, policy];
  const variantsOf = (inclusion: Inclusion) =>
    axes.l2Bytes.map((bytes) => ({
      spec: withInclusion(withL2(spec, bytes), inclusion),
      ...(pressure ? { pressure } : {}),
    }));
  const jobs = axes.inclusions.map((inclusion) => ({
    ...given,
    alignment: "patch-06" as const,
    policies,
    file,
    variants: variantsOf(inclusion),
  }));
  const outcomes = (await run(jobs)).map((each): VariantRuns => {
    if (each instanceof InputError) throw each;
    return each;
  });
  const { test, runs } = outcomes[0]!;
  const share = runs[0]![0]!.share;
  return {
    machine: spec.name,
    policy: policy.name,
    test,
    axes,
    own: { l2Bytes: spec.l2.bytes, farOverNear: ratio, inclusion: spec.l3.inclusion },
    panels: STATES.flatMap((cache) =>
      axes.inclusions.map((inclusion, nth): MapPanel => {
        const columns = outcomes[nth]!.runs.map(([single, perNode], at): Column => ({
          spec: jobs[nth]!.variants[at]!.spec,
          single: single![cache],
          perNode: perNode![cache],
        }));
        return { inclusion, cache, ...panelOf(columns, axes, place, ratio) };
      }),
    ),
    pressure: pressure?.mbsPerCore ?? 0,
    share,
    sampling: share === 1 ? undefined : samplingOf(await whole(policies), given, place),
  };
}

/** Runs of one size of L2. */
interface Column extends Pair {
  readonly spec: KernelJob["spec"];
}

/** Gains of columns over all distances. @param now where the machine itself is */
export function panelOf(
  columns: readonly Column[],
  { l2Bytes, farOverNear }: MapAxes,
  place: FarAndNear,
  now: number,
): Pick<MapPanel, "gains" | "breakEven"> {
  return {
    gains: farOverNear.map((ratio) =>
      columns.map(({ spec, single, perNode }) => gain(single, perNode, withRatio(spec, place, ratio), place.nodeIndex)),
    ),
    breakEven: columns.map((column, at) => ({
      l2Bytes: l2Bytes[at]!,
      farOverNear: breakEvenOf(
        (ratio) => gained(column, withRatio(column.spec, place, ratio), place.nodeIndex),
        farOverNear,
        now,
      ),
    })),
  };
}

/** Of several the one nearest to the machine's own; gains that are told as 0.0 have no sign. */
function breakEvenOf(gainAt: (ratio: number) => number, ratios: readonly number[], now: number): number | null {
  const looked = ratios.map((value): Looked => ({ value, percent: gainAt(value) }));
  const some = (sign: number): boolean => looked.some(({ percent }) => sign * percent > EQUAL);
  return some(1) && some(-1) ? (reaching(looked, 0, { now, byRatio: true }, gainAt).value ?? null) : null;
}

/** Told from a part against run whole. */
function samplingOf(
  measured: readonly TraceMeasurement[] | InputError,
  { spec }: KernelJob,
  { nodeIndex }: FarAndNear,
): Readonly<Record<CacheState, number>> {
  if (measured instanceof InputError) throw measured;
  const [single, perNode] = measured;
  const off = (cache: CacheState): number =>
    Math.abs(
      gained({ single: single!.sampled![cache], perNode: perNode!.sampled![cache] }, spec, nodeIndex) -
        gained({ single: single![cache], perNode: perNode![cache] }, spec, nodeIndex),
    );
  return { cold: off("cold"), hot: off("hot") };
}
