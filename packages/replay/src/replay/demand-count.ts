/**
 * What a kernel whose copies come on demand is told behind each run: the cycles that the run's fetches of kernel text
 * from memory took longer than they would have from the CPU's own node, or with a copy, shorter. Linux could count them
 * by the PMU: instruction fetches answered by far memory.
 */
import { CounterLayout, type CpuId, Kind, Source } from "@kreplica/hw-x86";
import { type Booted, DemandCopies, farLinePrice } from "@kreplica/kernel";
import { indexOf } from "../measure/placement.js";
import { Region } from "./program.js";

/**
 * @param counters of a run on the CPU
 * @param share of the workload that was run: the rest is taken to be like it
 */
export function countDemand({ assembly, machine, view }: Booted, cpu: CpuId, counters: Float64Array, share = 1): void {
  const demand = assembly.find(DemandCopies);
  if (!demand) return;
  const { spec } = machine;
  const node = machine.nodeOfCpu(cpu);
  const holder = view.nearest(node);
  const from = view.copyHolders?.includes(holder) === true ? holder : view.master;
  const row = new CounterLayout(spec.nodes.length).row(Region.Kernel, Kind.Fetch);
  const lines = counters[row + Source.Memory + indexOf(spec, from)]! / share;
  demand.counted(node, lines * farLinePrice(spec, node, view.master, holder));
}
