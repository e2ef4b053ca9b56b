/**
 * What `kreplica check` does: random runs, a bug's recorded path, or every schedule; with a progress line by weight.
 */
import {
  type Comparison,
  CORE_FAMILIES,
  exploreSchedules,
  familiesOfBug,
  FAMILIES,
  familiesOn,
  type Finding,
  type Kind,
  kindText,
  pathOfBug,
  survey,
  type SurveyResult,
  toward,
} from "@kreplica/check";
import type { Kernel, KernelPolicy } from "@kreplica/kernel";
import type { Bug } from "@kreplica/museum";
import type { CommandContext } from "./command.js";

/** How runs are drawn. */
interface Drawn {
  readonly runs: number;
  readonly steps: number;
  readonly seed: number;
  readonly only: "all" | "core";
  readonly compare: Comparison;
}

/** What is looked for, and on which kernels. */
export interface Task {
  readonly policy: KernelPolicy;
  /** Of the museum; its operations alone are drawn. */
  readonly bug?: Bug;
  readonly defect: string | undefined;
  readonly kinds: readonly Kind[];
  readonly defects: readonly string[];
  kernel(kind: number, laid: readonly string[]): Kernel;
  laidOn(kind: number, ids: readonly string[]): readonly string[];
}

/** What came of it. */
export type Result = Pick<SurveyResult<string>, "runs" | "steps" | "findings" | "unseen"> &
  Partial<Pick<SurveyResult<string>, "coverage">>;

/** A boot takes about as long as so many operations. */
const BOOT = 1600;
/** What an operation takes on a kind of kernel against others: all nodes' tables are looked at after it. */
const kindWeight = ({ nodes }: Kind): number => 1 + nodes / 8;

/** Lets a signal be heard between two steps of a long job. */
const breathe = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

/** Random runs. */
export async function search(task: Task, options: Drawn, { progress }: CommandContext): Promise<Result> {
  // By weight: the first run of a kind boots it.
  const weightOf = (run: number): number => {
    const { length } = task.kinds;
    return (options.steps + (run < length ? BOOT : 0)) * kindWeight(task.kinds[run % length]!);
  };
  let total = 0;
  for (let run = 0; run < options.runs; run++) total += weightOf(run);
  progress.start(total, "checking");
  let runs = 0;
  const families = task.bug
    ? familiesOfBug(task.bug)
    : familiesOn(
        task.policy,
        options.only === "core" ? CORE_FAMILIES : FAMILIES,
        task.kinds.every(({ configuration }) => configuration === "late memory"),
        task.kinds.every(({ encryption }) => encryption === true),
      );
  const work = survey({
    kinds: task.kinds.length,
    toward: (kind, ids) => (task.bug ? [] : toward(ids, task.kinds[kind]!, families)),
    kernel: (kind, laid) => task.kernel(kind, laid),
    defects: task.defects,
    laidOn: (kind, ids) => task.laidOn(kind, ids),
    runs: options.runs,
    steps: options.steps,
    seed: options.seed,
    comparison: options.compare,
    families,
  });
  try {
    for (;;) {
      const { done, value } = work.next();
      if (done) return value;
      progress.step(value.runs > 0 ? weightOf(runs) : 0, value.doing);
      runs += value.runs;
      await breathe();
    }
  } finally {
    progress.stop();
  }
}

/** As a survey reports it: the one run is the bug's recorded path. */
export function shortest({ policy }: Task, bug: Bug): Result {
  const failure = pathOfBug(bug, true, policy);
  const [names, { path: operations }] = [[bug.id], bug];
  return {
    runs: 1,
    steps: operations.length,
    findings: failure
      ? [{ names, invariant: failure.invariant, detail: failure.detail, operations, kind: 0, laid: names, seed: 0 }]
      : [],
    unseen: failure ? [] : names,
  };
}

/** As a survey reports it: a run is a schedule. */
export async function schedules(task: Task, { progress }: CommandContext): Promise<Result> {
  progress.start(
    task.kinds.reduce((sum, kind) => sum + kindWeight(kind), 0),
    "checking",
  );
  let [runs, steps] = [0, 0];
  const findings: Finding<string>[] = [];
  try {
    for (const [kind, of] of task.kinds.entries()) {
      let before = 0;
      const hear = (done: number): void => {
        progress.step((done - before) * kindWeight(of), kindText(of));
        before = done;
      };
      const report = exploreSchedules(task.kernel(kind, task.defects), 1, hear);
      runs += report.schedules;
      steps += report.operations;
      findings.push(
        ...report.broken.map((each) => ({
          ...each,
          names: task.defect === undefined ? [] : [task.defect],
          kind,
          laid: task.defects,
          seed: 0,
        })),
      );
      hear(1);
      await breathe();
    }
  } finally {
    progress.stop();
  }
  return { runs, steps, findings, unseen: findings.length === 0 ? task.defects : [] };
}
