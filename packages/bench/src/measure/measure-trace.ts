/** One recording on one or several kernels, cold and hot: the part of a comparison that takes time. Plain data in and out, so that it can run in a worker. */
import type { MachineSpec } from "@kreplica/hw-x86";
import { invariant } from "@kreplica/mm-core";
import { boot } from "../boot.js";
import { InputError } from "../inputs/input-error.js";
import { visitedFunctions } from "../replay/kernel-visit.js";
import { gateTo } from "../replay/gate.js";
import { loadTrace, scheduledFrames } from "../replay/load.js";
import { type Carried, nothingCarried } from "../replay/other-kernel.js";
import { framesToReserve } from "../replay/recorded-frames.js";
import type { NamedKernel, ReplayKernel } from "../replay/replay-kernel.js";
import { NoOpFinder, runsShortNoOps } from "../no-ops.js";
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
  /** False leaves replication's own work out, and with it what its lines push out of the caches. */
  readonly work?: boolean;
  /** The kernel booted; the traced one when absent. */
  readonly kernel?: NamedKernel;
  /** Ends of text and rodata in all of them; when absent as recorded with one copy and as patch 06 has them with several. */
  readonly alignment?: "recorded" | "patch-06";
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
  /** Calls of the test's system call in one run; undefined when they could not be counted. */
  readonly calls: number | undefined;
  /** Changes of kernel text in one run, which the model makes in no copy. */
  readonly pokes: number;
  /** On a kernel that is not the traced one: what became of recorded addresses of its image. */
  readonly carried?: Carried;
}

/** What a job's kernel is booted with. @param kernel what the job names, read */
export const bootOptions = ({ spec, where, pti, levels, seed, alignment }: KernelJob, policy: string, kernel?: ReplayKernel) =>
  ({ spec, policy, pti, levels, seed, masterNode: where.masterNode, recordedNodes: [where.masterNode, where.dataNode] as const,
    ...(alignment ? { alignment } : {}), ...(kernel ? { image: kernel.image(alignment ?? (policy === "single-copy" ? "recorded" : "patch-06")) } : {}) });

/**
 * Measures a recording on kernels booted for it, so that no measurement depends on those before it. It is decoded once and its pages
 * are placed in all of the kernels alike, so that they differ in their policy and in nothing else.
 *
 * @param kernel what the job names, read
 * @returns a measurement for each policy
 * @throws TraceError, InputError, MmError
 */
export function measureTrace(job: TraceJob, kernel?: ReplayKernel): TraceMeasurement[] {
  const { spec, where, file, policies } = job;
  const nodeIndex = indexOf(spec, spec.cpus.find((cpu) => cpu.id === where.cpu)!.node);
  const reserved = framesToReserve(spec, [where.masterNode, where.dataNode], file, scheduledFrames(file));
  const other = kernel?.other;
  if (other && reserved.length > 0) {
    throw new InputError({ file: spec.name, field: "nodes", reason: "too small for recordings beside a kernel other than the traced one", remedy: "give the nodes of the image and of the data 1 GiB each, or leave --kernel out" });
  }
  const carried = nothingCarried();
  const kernels = policies.map((policy) => ({ policy, booted: boot({ ...bootOptions(job, policy, kernel), reserved }) }));
  for (const { booted } of kernels) booted.recorded.runsOn(where.cpu);
  const { test, measured, workload, modelled, devices, calls, pokes } = loadTrace(file, (address, frame) => {
    const [first, ...others] = kernels.map(({ booted }) => booted.recorded.map(address, frame));
    for (const other of others) invariant(other === first, `page 0x${address.toString(16)} has two places, 0x${first!.toString(16)} and 0x${other.toString(16)}, in kernels that differ in their policy alone`);
    return first!;
  }, job.work === false ? undefined : visitedFunctions((name) => kernels[0]!.booted.image.symbol(name)), other && ((batch) => { other.move(batch, carried); }), gateTo(kernels.map(({ booted }) => booted)), kernels.some(({ booted }) => runsShortNoOps(booted, where.cpu)) ? new NoOpFinder(kernels[0]!.booted.image.noOps ?? []) : undefined);
  return kernels.map(({ policy, booted }) => {
    const replayer = new Replayer(booted, where.cpu, measured, otherCpus(spec, where, measured));
    return { ...measureHotCold(replayer, workload, spec, nodeIndex), file, policy, testId: test.id, modelled, references: workload.length, devices, calls, pokes, ...(other ? { carried } : {}) };
  });
}
