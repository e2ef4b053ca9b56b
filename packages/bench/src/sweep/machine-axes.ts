/** Machines of a sweep: one named, its fields set to what stands on the plan's axes, its far memory put farther. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { didYouMean, fieldName } from "@kreplica/inputs";
import { checkMachine, wholeMachine } from "@kreplica/machines";
import type { AxisValue } from "@kreplica/sweep";

/** What is wrong with a value on an axis. */
export interface AxisFault {
  readonly reason: string;
  readonly remedy: string;
}
/** A machine, or why a value makes none. */
export type Made = MachineSpec | AxisFault;

export const isFault = (made: object): made is AxisFault => "remedy" in made;

/**
 * A machine with one field set: `l2.bytes`, `l3.inclusion`, `latencyNs.0.1`.
 *
 * @param field below the machine, parts with dots between them @param value in place of what stands there; null takes
 *   an optional field away
 */
export function withField(spec: MachineSpec, field: string, value: AxisValue): Made {
  const copy = structuredClone(spec) as unknown as Record<string, unknown>;
  const path = field.split(".");
  let at: Record<string, unknown> = copy;
  for (const [depth, part] of path.slice(0, -1).entries()) {
    // An optional part of a machine may begin with its field.
    const next = at[part] ?? (optionalPart(path.slice(0, depth + 1)) ? (at[part] = {}) : undefined);
    if (typeof next !== "object" || next === null)
      return {
        reason: `a machine has no field ${path.slice(0, depth + 1).join(".")}`,
        remedy: didYouMean(part, Object.keys(at)),
      };
    at = next as Record<string, unknown>;
  }
  const last = path.at(-1)!;
  if (Array.isArray(at) && at[Number(last)] === undefined)
    return { reason: `a machine has no ${field}`, remedy: `write a number below ${at.length}` };
  if (value === null) delete at[last];
  // A number with a range loses the range: it is what the plan says it is.
  else if (isSourced(at[last])) at[last] = { value, source: "the plan of a sweep" };
  else at[last] = value;
  const read = wholeMachine.safeParse(copy);
  if (!read.success) {
    const issue = read.error.issues[0]!;
    if (issue.code === "unrecognized_keys")
      return {
        reason: `a machine has no field ${[...issue.path, issue.keys[0]].join(".")}`,
        remedy: didYouMean(
          issue.keys[0]!,
          Object.keys(issue.path.length === 0 ? spec : at).filter((name) => name !== last),
        ),
      };
    return {
      reason: `${JSON.stringify(value)} cannot stand in ${issue.path.length === 0 ? field : fieldName(issue.path)} of a machine`,
      remedy: "`kreplica schema machine` says what may",
    };
  }
  return copy as unknown as MachineSpec;
}

/** Replacement of a cache or TLB may be absent, and is set field by field. */
const optionalPart = (path: readonly string[]): boolean => path.at(-1) === "replacement";

const isSourced = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "value" in value && "source" in value;

/** Of a machine with all its fields set: what does not hold between them. */
export function sound(spec: MachineSpec): Made {
  const [fault] = checkMachine(spec);
  return fault === undefined
    ? spec
    : { reason: `${fieldName(fault.path)} of ${spec.name}: ${fault.reason}`, remedy: fault.remedy };
}

/**
 * Memory of the image's node as many times as far as the nearest, seen from the CPU's node; what every other remote
 * latency has more than its own node's is stretched alike.
 *
 * @param ratio far over near, above 1 @param nodeIndex, farIndex of the CPU's and the image's node in `spec.nodes`
 */
export function stretched(spec: MachineSpec, ratio: AxisValue, nodeIndex: number, farIndex: number): Made {
  if (typeof ratio !== "number" || ratio < 1 || ratio > 100)
    return { reason: `${JSON.stringify(ratio)} is no ratio of latencies`, remedy: "write a number from 1 to 100" };
  const row = spec.latencyNs[nodeIndex]!;
  const [near, far] = [row[nodeIndex]!, row[farIndex]!];
  if (far <= near)
    return {
      reason: `the image's node is as near to the CPU on ${spec.name} as its own: nothing can be put farther`,
      remedy: "place the CPU on another node than the image's",
    };
  const by = (near * (ratio - 1)) / (far - near);
  return {
    ...spec,
    latencyNs: spec.latencyNs.map((ofNode, i) =>
      ofNode.map((ns, j) => (i === j ? ns : ofNode[i]! + (ns - ofNode[i]!) * by)),
    ),
  };
}
