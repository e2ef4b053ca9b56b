/** Of a comparison what an export about time is made of. */
import type { Booted } from "@kreplica/kernel";
import { type CompareResult, STATES } from "@kreplica/replay";
import { kernelsOf, type KernelTimes } from "./samples.js";

/** @param boots both kernels as they booted, that with one copy first */
export function timesOf(
  result: Pick<CompareResult, "job" | "located" | "policy">,
  boots: readonly Booted[],
): KernelTimes[] {
  const tests = result.located?.tests ?? [];
  return kernelsOf(result).map((kernel, side) => ({
    kernel,
    bootCpu: result.job.spec.cpus[0]!.id,
    boot: boots[side]!.timeline,
    cpu: result.job.where.cpu,
    runs: [...new Set(tests.map(({ file }) => file))].flatMap((file) =>
      STATES.flatMap((cache) => {
        const found = tests.find((each) => each.file === file && each.cache === cache);
        const line = (side === 0 ? found?.singleCopy : found?.perNode)?.line;
        return found && line ? [{ test: found.test.name, cache, line }] : [];
      }),
    ),
  }));
}
