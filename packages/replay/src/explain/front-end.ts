/** Front ends that run ahead, as an explanation varies them: how many lines are under way at once, and whose reach. */
import type { MachineSpec } from "@kreplica/hw-x86";
import type { FrontEndSpec, Vendor } from "@kreplica/hw-x86/api";
import { presets } from "@kreplica/machines";

/** A front end that was measured, and of what. */
export interface KnownFrontEnd {
  readonly frontEnd: FrontEndSpec;
  /** Name of the machine that has it. */
  readonly machine: string;
}

/**
 * The front end that a machine is given to see what running ahead does: its own, or where its description has none that
 * of the first preset of the same maker that has one. Undefined where there is neither.
 */
export function frontEndFor(spec: MachineSpec): KnownFrontEnd | undefined {
  const same = presets.filter((each) => makerOf(each) === makerOf(spec));
  for (const { name, costs } of [spec, ...same]) if (costs.frontEnd) return { frontEnd: costs.frontEnd, machine: name };
  return undefined;
}

const makerOf = ({ vendor = "intel" }: MachineSpec): Vendor => vendor;

/** Lines under way at once; 0 where the front end waits for each. */
export const linesAhead = ({ costs }: MachineSpec): number => costs.frontEnd?.lines.value ?? 0;

/**
 * The same machine with so many lines under way at once. What a miss and a start anew cost stays the machine's own.
 * @param lines whole, 0 to 64
 * @param frontEnd whose reach it has, and whose lines straight on
 */
export function withLinesAhead(
  spec: MachineSpec,
  lines: number,
  { targets, straightLines, ...frontEnd }: FrontEndSpec,
): MachineSpec {
  const { frontEnd: own, ...costs } = spec.costs;
  const reach = { ...own, targets, ...(straightLines && { straightLines }) };
  return {
    ...spec,
    costs: lines === 0 ? costs : { ...costs, frontEnd: { ...reach, lines: { ...frontEnd.lines, value: lines } } },
  };
}

/**
 * Depths to run beside the machine's own: waiting for each line, and the ends of what was measured; where the machine's
 * front end is not known to run ahead, what was measured of the other and its most.
 */
export function depthsOf(spec: MachineSpec, { value, low = value, high = value }: FrontEndSpec["lines"]): number[] {
  const now = linesAhead(spec);
  const all = now === 0 ? [value, high] : [0, low, high];
  return [...new Set(all)].filter((lines) => lines !== now && Number.isInteger(lines) && lines <= 64);
}
