/**
 * What meets an operation at any point of it: after a table store, before and behind the interrupt of a flush or of a
 * changed LDT, after a frame is given back. Of `check --schedules`, which goes through them all; drawn nowhere.
 *
 * What comes is a reader in user mode, a CPU that loads a segment, one in the kernel that looks at a page's descriptor,
 * or a whole second operation where no lock keeps it out (see racing.ts).
 */
import { hex, highOf, lowOf } from "@kreplica/hw-x86/api";
import { descriptorAddress } from "@kreplica/mm-core";
import type { Operation, OperationFamily } from "../family.js";
import { placeText } from "../places.js";
import type { Subject } from "../subject.js";
import { type Arm, interleave, read } from "./racing.js";

/** @see TableWatch.pointAt for `point`, from 1 */
export type MeetingOperation =
  | {
      readonly op: "read-within";
      readonly during: Operation;
      readonly point: number;
      readonly cpu: number;
      readonly page: number;
    }
  | {
      readonly op: "segment-within";
      readonly during: Operation;
      readonly point: number;
      readonly cpu: number;
      readonly entry: number;
    }
  | {
      readonly op: "descriptor-within";
      readonly during: Operation;
      readonly point: number;
      readonly cpu: number;
      readonly node: number;
    }
  | { readonly op: "met-within"; readonly during: Operation; readonly point: number; readonly second: Operation };

const at = { during: "operation", point: "number" } as const;

export const meetingFamily: OperationFamily<MeetingOperation> = {
  name: "meetings",
  seenByUsers: true,
  kinds: {
    "read-within": { weight: 1, fields: { ...at, cpu: "number", page: "number" }, alone: true },
    "segment-within": { weight: 1, fields: { ...at, cpu: "number", entry: "number" }, alone: true },
    "descriptor-within": { weight: 1, fields: { ...at, cpu: "number", node: "number" }, alone: true },
    "met-within": { weight: 1, fields: { ...at, second: "operation" }, alone: true },
  },
  draw(op, drawing) {
    const met = { during: drawing.nested(), point: 1 + drawing.random(60) };
    switch (op) {
      case "read-within":
        return { op, ...met, cpu: drawing.cpu(), page: drawing.place() };
      case "segment-within":
        return { op, ...met, cpu: drawing.cpu(), entry: drawing.random(2) };
      case "descriptor-within":
        return { op, ...met, cpu: drawing.cpu(), node: drawing.random(4) };
      case "met-within":
        return { op, ...met, second: drawing.nested() };
    }
  },
  describe(o, other) {
    const when = `${other(o.during)}; at its ${o.point}. point`;
    switch (o.op) {
      case "read-within":
        return `${when} CPU ${o.cpu} reads ${placeText(o.page)}`;
      case "segment-within":
        return `${when} CPU ${o.cpu} loads a segment from entry ${o.entry} of its LDT`;
      case "descriptor-within":
        return `${when} CPU ${o.cpu} looks at the descriptor of the first page of node ${o.node}`;
      case "met-within":
        return `${when}: ${other(o.second)}`;
    }
  },
  simpler: (o) => [o.during, ...(o.op === "met-within" ? [o.second] : [])],
  start: (system) => ({
    told: (o) => ({
      during: system.told(o.during),
      ...(o.op === "met-within" ? { second: system.told(o.second) } : {}),
    }),
    perform(o) {
      const arm: Arm = ({ follow, watch }, run) => {
        watch.pointAt(follow ? 1 : o.point, run);
      };
      if (o.op === "read-within") read(system, o.during, o.cpu, o.page, arm);
      else if (o.op === "segment-within") loadSegment(system, o, arm);
      else if (o.op === "descriptor-within") readDescriptor(system, o, arm);
      else interleave(system, o.during, o.second, arm);
    },
  }),
};

/**
 * G6: a CPU in the kernel that has looked at a descriptor reaches it while memory is given back, until its own memory
 * is; behind the operation it does just where the tables say so.
 */
function readDescriptor(system: Subject, o: MeetingOperation & { op: "descriptor-within" }, arm: Arm): void {
  const { machine, layout, allocator, tables } = system.parts;
  const range = machine.memory.ranges.find(({ node }) => node === o.node);
  const cpu = system.cpu(o.cpu);
  if (!range) return system.perform(o.during);
  const address = descriptorAddress(layout, range.first);
  const core = machine.cpu(cpu);
  const reaches = (): boolean => core.load(lowOf(address), highOf(address)) === 0;
  // It has the translation by then.
  reaches();
  arm(system, () => {
    if (reaches() && allocator.purposeOf(core.lastFrame) === "free")
      system.fail("G6", `CPU ${cpu} reaches a descriptor of node ${o.node} in frame ${core.lastFrame}, which is free`);
  });
  system.perform(o.during);
  system.watch.stopProbe();
  const mapped = tables.lookup(system.holders[0]!, address) !== undefined;
  if (reaches() !== mapped)
    system.fail("G6", `CPU ${cpu} ${mapped ? "cannot reach" : "still reaches"} the descriptors of node ${o.node}`);
}

/** F7: whoever loads a segment while the LDT changes finds the old table or the new one, never anything else. */
function loadSegment(system: Subject, o: MeetingOperation & { op: "segment-within" }, arm: Arm): void {
  const { parts, population } = system;
  const cpu = system.cpu(o.cpu);
  const who = population.runningOn(cpu);
  if (!who) return system.perform(o.during);
  const { processes } = population;
  const said = (): bigint | "beyond" =>
    who.model.descriptors.size > 0 && o.entry <= Math.max(...who.model.descriptors.keys())
      ? (who.model.descriptors.get(o.entry) ?? 0n)
      : "beyond";
  const load = (): bigint | "beyond" | "fault" => {
    const found = processes.loadSegment(cpu, o.entry);
    const frame = parts.machine.cpu(cpu).lastFrame;
    if (typeof found === "bigint" && parts.allocator.purposeOf(frame) === "free")
      system.fail("F7", `entry ${o.entry} of its LDT is read by CPU ${cpu} from frame ${frame}, which is free`);
    return found;
  };
  // The CPU has the old table's translation by then.
  load();
  const before = said();
  let found: bigint | "beyond" | "fault" | undefined;
  arm(system, () => {
    if (population.runningOn(cpu) === who) found = load();
  });
  system.perform(o.during);
  system.watch.stopProbe();
  const after = said();
  const words = (value: bigint | string): string => (typeof value === "bigint" ? hex(value) : value);
  if (found !== undefined && found !== before && found !== after)
    system.fail(
      "F7",
      `during the operation CPU ${cpu} finds ${words(found)} in entry ${o.entry} of its LDT, was ${words(before)} and is ${words(after)}`,
    );
  if (population.runningOn(cpu) !== who) return;
  const now = load();
  if (now !== after)
    system.fail("F7", `CPU ${cpu} finds ${words(now)} in entry ${o.entry} of its LDT, which is ${words(after)}`);
}
