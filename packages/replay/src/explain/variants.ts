/**
 * One recording on one or several kernels of machines that differ in their caches, or in what else goes through them:
 * decoded once for all. Job and runs are plain data, so that they can be had of a worker. Long recordings are run in
 * part.
 */
import type { MachineSpec } from "@kreplica/hw-x86";
import { boot, type PolicyChoice, policyOf } from "@kreplica/kernel";
import type { TraceTest } from "@kreplica/trace";
import { runElsewhere } from "../measure/elsewhere.js";
import type { KernelJob } from "../measure/kernel-job.js";
import { loadOn } from "../measure/load-on.js";
import { replaySetup } from "../measure/replay-setup.js";
import { rightlyBlaming } from "../replay/blame.js";
import type { Pressure } from "../replay/foreign-stream.js";
import type { RecordedRun } from "../replay/load.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";

/** A machine with the nodes and CPUs of the job's; in caches, latencies and costs it may differ. */
export interface MachineVariant {
  readonly spec: MachineSpec;
  /** Data of other CPUs that goes through its last-level cache; none when absent. */
  readonly pressure?: Pressure;
}

/** What is to be run. */
export interface VariantJob extends Omit<KernelJob, "pressure"> {
  /** As errors name it. */
  readonly file: string;
  /** A kernel each. */
  readonly policies: readonly PolicyChoice[];
  readonly variants: readonly MachineVariant[];
}

/** One kernel on one machine: counters of a whole run, as far as it was run. */
export interface VariantRun {
  readonly cold: Float64Array;
  readonly hot: Float64Array;
  /** Part of the recording that was run, from which the rest is told; 1 where it was run whole. */
  readonly share: number;
}

/** A recording on all machines. */
export interface VariantRuns {
  readonly test: TraceTest;
  /** Calls of the test's system call in one run; undefined when they could not be counted. */
  readonly calls: number | undefined;
  /** `runs[variant][policy]`. */
  readonly runs: readonly (readonly VariantRun[])[];
}

/**
 * @param run the recording
 * @param kernel what is booted, and what was recorded
 * @throws TraceError, InputError, MmError
 */
export function measureVariants(job: VariantJob, run: RecordedRun, kernel: ReplayKernel): VariantRuns {
  return rightlyBlaming(run.recording, kernel.recorded.name, () => measured(job, run, kernel));
}

function measured(job: VariantJob, run: RecordedRun, kernel: ReplayKernel): VariantRuns {
  const { where, policies, variants, seed } = job;
  const { guest, copied, kernelAt } = replaySetup(job, run, kernel);
  // These only say where a page is; runs are on kernels of their machines.
  const kernels = policies.map((choice) => ({ booted: boot(kernelAt(where).with({ policy: policyOf(choice) })) }));
  for (const { booted } of kernels) booted.recorded.runsOn(where.cpu);
  const { loaded } = loadOn(run, kernel, kernels, { guest, visits: job.work !== false && !copied, cpus: [where.cpu] });
  return {
    test: loaded.test,
    calls: loaded.calls,
    runs: variants.map(({ spec, pressure }) => {
      const common = kernelAt(where, { spec });
      return runElsewhere(
        { spec, pressure, seed, workload: loaded.workload, vcpu: loaded.measured, guest },
        where,
        policies.map((choice) => common.with({ policy: policyOf(choice) })),
      ).map(({ cold, hot, share }) => ({ cold, hot, share }));
    }),
  };
}
