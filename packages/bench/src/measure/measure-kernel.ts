/** Every recording on one kernel, cold and hot: the part of a comparison that takes time. Plain data in and out, so that it can run in a worker. */
import type { MachineSpec } from "@kreplica/hw-x86";
import { boot } from "../boot.js";
import { loadTrace, scheduledFrames } from "../replay/load.js";
import { framesToReserve } from "../replay/recorded-frames.js";
import { Replayer } from "../replay/replayer.js";
import { type HotCold, measureHotCold } from "./hot-cold.js";
import { indexOf, otherCpus, type Where } from "./placement.js";

/** What is to be measured. */
export interface KernelJob {
  readonly spec: MachineSpec;
  /** Name of a policy of assemble.ts. */
  readonly policy: string;
  readonly where: Where;
  readonly pti: boolean;
  readonly levels: 4 | 5;
  readonly seed: number;
  /** Recordings, in the order of the report. */
  readonly files: readonly string[];
}

/** One recording on one kernel. */
export interface TraceMeasurement extends HotCold {
  readonly file: string;
  /** Number in the marker. */
  readonly testId: number;
  /** The long run is modelled from recorded stretches. */
  readonly modelled: boolean;
  /** References of one run. */
  readonly references: number;
  readonly devices: number;
}

/** What a job's kernel is booted with. */
export const bootOptions = ({ spec, policy, where, pti, levels, seed }: KernelJob) =>
  ({ spec, policy, pti, levels, seed, masterNode: where.masterNode, recordedNodes: [where.masterNode, where.dataNode] as const });

/**
 * Measures one recording after the other, each on a kernel booted for it, so that none depends on those before it.
 *
 * @param done called after each, with what it is
 * @throws TraceError, InputError, MmError
 */
export function measureKernel(job: KernelJob, done: (what: string) => void = () => undefined): TraceMeasurement[] {
  const { spec, where } = job;
  const nodeIndex = indexOf(spec, spec.cpus.find((cpu) => cpu.id === where.cpu)!.node);
  return job.files.map((file) => {
    const booted = boot({ ...bootOptions(job), reserved: framesToReserve(spec, [where.masterNode, where.dataNode], file, scheduledFrames(file)) });
    const { test, measured, workload, modelled, devices } = loadTrace(file, (address, frame) => booted.recorded.map(address, frame));
    const replayer = new Replayer(booted, where.cpu, measured, otherCpus(spec, where, measured));
    const result = measureHotCold(replayer, workload, spec, nodeIndex);
    done(test.name);
    return { ...result, file, testId: test.id, modelled, references: workload.length, devices };
  });
}
