/** What it would take, run in workers where there are any: for `kreplica explain`, and `kreplica report` on request. */
import { explain, type ExplainRequest, type Explanation, type KernelJob } from "@kreplica/replay";
import { type NamedKernels, replayKernel } from "./inputs/replay-kernel.js";
import type { Progress } from "./report/terminal.js";
import { runLayouts } from "./run-layouts.js";
import { runVariants } from "./run-variants.js";

/** @param given of an idle machine */
export const runExplain = async (
  given: Omit<KernelJob, "pressure"> & NamedKernels,
  request: Omit<ExplainRequest, "runLayouts">,
  progress: Progress,
): Promise<Explanation> =>
  explain(given, await replayKernel(given), { ...request, runLayouts: (jobs) => runLayouts(jobs, progress) }, (jobs) =>
    runVariants(jobs, progress),
  );
