/**
 * Policies side by side, run in workers where there are any: for `kreplica policies`, and `kreplica report` on request.
 */
import type { KernelPolicy } from "@kreplica/kernel";
import { comparePolicies, type KernelJob, type PolicyComparison } from "@kreplica/replay";
import { type NamedKernels, replayKernel } from "./inputs/replay-kernel.js";
import { isLongRun } from "./inputs/trace-file.js";
import type { Progress } from "./report/terminal.js";
import { runJobs } from "./run-jobs.js";

/** @param given of an idle machine @param files recordings, in the order in which their tests are shown */
export const runPolicies = async (
  given: KernelJob & NamedKernels,
  policies: readonly KernelPolicy[],
  files: readonly string[],
  progress: Progress,
): Promise<PolicyComparison> =>
  comparePolicies(given, await replayKernel(given), { policies, files, isLong: isLongRun }, (jobs) =>
    runJobs(jobs, progress),
  );
