/** One recording on one or several kernels, cold and hot: the part of a comparison that takes time. Plain data in and out, so that it can run in a worker. */
import type { MachineSpec } from "@kreplica/hw-x86";
import { invariant } from "@kreplica/mm-core";
import { boot } from "../boot.js";
import { visitedFunctions } from "../replay/kernel-visit.js";
import { loadTrace, scheduledFrames } from "../replay/load.js";
import { framesToReserve } from "../replay/recorded-frames.js";
import { Replayer } from "../replay/replayer.js";
import { type HotCold, measureHotCold } from "./hot-cold.js";
import { indexOf, otherCpus, type Where } from "./placement.js";

/** What the kernels compared have in common. */
export interface KernelJob {
  readonly spec: MachineSpec;
  readonly where: Where;
  readonly pti: boolean;
  readonly levels: 4 | 5;
  readonly seed: number;
}

/** What is to be measured. */
export interface TraceJob extends KernelJob {
  readonly file: string;
  /** Names of policies of assemble.ts: a kernel each. */
  readonly policies: readonly string[];
}

/** One recording on one kernel. */
export interface TraceMeasurement extends HotCold {
  readonly file: string;
  readonly policy: string;
  /** Number in the marker. */
  readonly testId: number;
  /** The long run is modelled from recorded stretches. */
  readonly modelled: boolean;
  /** References of one run. */
  readonly references: number;
  readonly devices: number;
}

/** What a job's kernel is booted with. */
export const bootOptions = ({ spec, where, pti, levels, seed }: KernelJob, policy: string) =>
  ({ spec, policy, pti, levels, seed, masterNode: where.masterNode, recordedNodes: [where.masterNode, where.dataNode] as const });

/**
 * Measures a recording on kernels booted for it, so that no measurement depends on those before it. It is decoded once and its pages
 * are placed in all of the kernels alike, so that they differ in their policy and in nothing else.
 *
 * @returns a measurement for each policy
 * @throws TraceError, InputError, MmError
 */
export function measureTrace(job: TraceJob): TraceMeasurement[] {
  const { spec, where, file, policies } = job;
  const nodeIndex = indexOf(spec, spec.cpus.find((cpu) => cpu.id === where.cpu)!.node);
  const reserved = framesToReserve(spec, [where.masterNode, where.dataNode], file, scheduledFrames(file));
  const kernels = policies.map((policy) => ({ policy, booted: boot({ ...bootOptions(job, policy), reserved }) }));
  const { test, measured, workload, modelled, devices } = loadTrace(file, (address, frame) => {
    const [first, ...others] = kernels.map(({ booted }) => booted.recorded.map(address, frame));
    for (const other of others) invariant(other === first, `page 0x${address.toString(16)} has two places, 0x${first!.toString(16)} and 0x${other.toString(16)}, in kernels that differ in their policy alone`);
    return first!;
  }, visitedFunctions((name) => kernels[0]!.booted.image.symbol(name)));
  return kernels.map(({ policy, booted }) => {
    const replayer = new Replayer(booted, where.cpu, measured, otherCpus(spec, where, measured));
    return { ...measureHotCold(replayer, workload, spec, nodeIndex), file, policy, testId: test.id, modelled, references: workload.length, devices };
  });
}
