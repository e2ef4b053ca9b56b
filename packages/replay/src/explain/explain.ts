/**
 * Reported gains explained: for each the causes that, each alone, would make the modelled gain equal to it; what the
 * range of each parameter does to the modelled gains; and what that comes to in sentences. Nothing is fitted: the model
 * stays as it is, and only says what it would take.
 */
import { InputError } from "@kreplica/inputs";
import { boot, type PolicyChoice, policyOf } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import { type TraceTest, traceTests } from "@kreplica/trace";
import type { LayoutRunner } from "../layout/draw-layouts.js";
import { AS_LINKED, type LayoutJob } from "../layout/measure-layouts.js";
import { boundBeyondL2, type FarAndNear, gain } from "../measure/gain.js";
import { jobKernel, type KernelJob } from "../measure/kernel-job.js";
import { cpusOf, indexOf } from "../measure/placement.js";
import type { Reported } from "../measure/reported.js";
import { type CacheState, STATES } from "../measure/whole-machine.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { causesOf } from "./causes.js";
import { type Explained, smallestOf } from "./cause.js";
import { asItIs, type Figure } from "./figure.js";
import { planned } from "./planned.js";
import { sensitivities, type Sensitivity } from "./sensitivity.js";
import { sentencesOf } from "./sentences.js";
import type { VariantJob, VariantRuns } from "./variants.js";

/** Runs jobs: {@link measureVariants} one after the other, or in workers. */
export type VariantRunner<Job extends VariantJob = VariantJob> = (
  jobs: readonly Job[],
) => Promise<readonly (VariantRuns | InputError)[]>;

/** What is to be explained. */
export interface ExplainRequest<Given extends KernelJob = KernelJob> {
  /** Compared with a single copy. */
  readonly policy: PolicyChoice;
  readonly files: readonly string[];
  /** Layouts to be drawn beside the one as linked; 0 for none. */
  readonly layouts: number;
  readonly runLayouts: LayoutRunner<Given & LayoutJob>;
  /** Whose figures; undefined: nobody's, and only what ranges do is told. */
  readonly reported: Reported | undefined;
}

/** What a set of figures comes to. */
export interface Explanation {
  readonly machine: string;
  readonly policy: string;
  /** Who reported the figures, of what; undefined where nobody's are looked at. */
  readonly source: string | undefined;
  readonly figures: readonly Explained[];
  /** Widest first. */
  readonly sensitivity: readonly Sensitivity[];
  readonly sentences: readonly string[];
  /** Layouts drawn. */
  readonly layouts: number;
  /** Tests of which a part was run, from which the rest is told. */
  readonly inPart: readonly string[];
  readonly refused: readonly InputError[];
}

/**
 * @param given what all jobs have in common, on an idle machine
 * @param kernel what is booted, and what was recorded
 * @param run what executes the jobs
 */
export async function explain<Given extends Omit<KernelJob, "pressure">>(
  given: Given,
  kernel: ReplayKernel,
  { policy: choice, files, layouts, runLayouts, reported }: ExplainRequest<Given>,
  run: VariantRunner<Given & VariantJob>,
): Promise<Explanation> {
  const { spec, where } = given;
  const policy = policyOf(choice);
  const policies = [singleCopy, policy];
  const booted = boot(jobKernel(given, kernel).with({ policy }));
  const node = spec.cpus.find(({ id }) => id === where.cpu)!.node;
  const place: FarAndNear = {
    nodeIndex: indexOf(spec, node),
    far: indexOf(spec, where.masterNode),
    near: indexOf(spec, booted.view.nearest(node)),
  };
  const variants = planned(spec, where.cpu);
  const alike = { ...given, alignment: "patch-06" as const, policies };
  const numbers = Array.from({ length: layouts + 1 }, (_, number) => AS_LINKED + number);
  const outcomes = await run(files.map((file) => ({ ...alike, file, variants })));
  const laid =
    layouts === 0
      ? []
      : await runLayouts(files.map((file) => ({ ...alike, file, layouts: { seed: given.seed, numbers } })));
  const refused: InputError[] = laid.filter((each) => each instanceof InputError);
  const inPart: string[] = [];
  const known = (name: string): number => traceTests.findIndex((each) => each.name === name);
  const figures = outcomes.flatMap((outcome, nth) => {
    if (outcome instanceof InputError) {
      refused.push(outcome);
      return [];
    }
    if (outcome.runs[0]![0]!.share < 1) inPart.push(outcome.test.name);
    const layoutRuns = laid[nth];
    return STATES.map((cache): Measured => ({
      test: outcome.test.name,
      of: outcome.test,
      calls: outcome.calls ?? 1,
      cache,
      place,
      cpus: cpusOf(spec, node),
      counted: variants.map(({ spec: on, differs }, at) => {
        const [single, perNode] = outcome.runs[at]!;
        return { spec: on, differs, single: single![cache], perNode: perNode![cache] };
      }),
      layouts:
        layoutRuns === undefined || layoutRuns instanceof InputError
          ? []
          : layoutRuns[0]!.map((one, layout) => ({
              single: one.runs[0]![cache],
              perNode: layoutRuns[1]![layout]!.runs[0]![cache],
            })),
    }));
  });
  const explained = figures
    .sort((a, b) => orderOf(a.cache) - orderOf(b.cache) || known(a.test) - known(b.test))
    .flatMap((figure) => {
      const percent = reported?.of(figure.of, figure.cache, figure.calls);
      return percent === undefined ? [] : [explainedFigure(figure, percent)];
    });
  const sensitivity = sensitivities(figures);
  return {
    machine: spec.name,
    policy: policy.name,
    source: reported?.source,
    figures: explained,
    sensitivity,
    sentences: sentencesOf(explained, sensitivity, spec.name),
    layouts,
    inPart,
    refused,
  };
}

/** A figure and what is known of its test. */
interface Measured extends Figure {
  readonly of: TraceTest;
  readonly calls: number;
}

const orderOf = (cache: CacheState): number => (cache === "cold" ? 0 : 1);

/** One figure with its causes. @param reported percent */
export function explainedFigure(figure: Figure, reported: number): Explained {
  const { spec, single, perNode } = asItIs(figure);
  const { percent, low, high } = gain(single, perNode, spec, figure.place.nodeIndex);
  const bound = boundBeyondL2(single, spec, figure.place);
  const causes = causesOf(figure, reported);
  return {
    test: figure.test,
    cache: figure.cache,
    reportedPercent: reported,
    modelledPercent: percent,
    lowPercent: low,
    highPercent: high,
    within: reported >= low && reported <= high,
    boundBeyondL2Percent: bound,
    outOfReach: figure.cache === "hot" && reported > bound,
    causes,
    smallest: smallestOf(causes),
  };
}
