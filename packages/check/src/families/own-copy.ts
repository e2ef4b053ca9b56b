/** Which copy of code a CPU fetches: its own node's, on kernels whose CPUs run on their node's root. */
import type { NodeId } from "@kreplica/hw-x86";
import { PAGE } from "@kreplica/hw-x86/api";
import { PgdPlan } from "@kreplica/mm-core";
import type { VmArea } from "@kreplica/vmalloc";
import type { Subject } from "../subject.js";

/** Whether every process has a root for each replica node from the start: no CPU ever runs on another node's. */
export const ownRootsOnly = ({ holders, parts }: Subject): boolean =>
  parts.assembly.get(PgdPlan).initial(holders, holders[0]!).length === holders.length;

/**
 * A CPU on line fetches code that lies in an area.
 *
 * @param number stands for the CPU @param address where, in the area
 * @param how whether the CPU must get its own node's copy; which rule a fault breaks; what is done, `run module a`, and
 *   by somebody, `runs module a`
 * @throws CheckFailure by that rule, or E2 for another copy than it should get
 */
export function fetchFromArea(
  system: Subject,
  number: number,
  area: VmArea,
  address: bigint,
  how: { readonly own: boolean; readonly rule: string; readonly can: string; readonly does: string },
): void {
  const { machine, view } = system.parts;
  const cpu = system.cpu(number);
  const core = machine.cpu(cpu);
  const node: NodeId = machine.nodeOfCpu(cpu);
  if (core.fetch(Number(address & 0xffff_ffffn), Number(address >> 32n)) !== 0)
    system.fail(how.rule, `CPU ${cpu} cannot ${how.can}`);
  const frames = area.copies.get(view.nearest(node)) ?? area.frames;
  const wanted = frames[Number((address - area.start) / PAGE)];
  if (how.own && core.lastFrame !== wanted)
    system.fail("E2", `CPU ${cpu} of node ${node} ${how.does} from frame ${core.lastFrame}, not ${wanted}`);
}
