/** Processes come, copy themselves, change their program, move between CPUs, and end. */
import { UserModel } from "../user-model.js";
import type { CpuId } from "@kreplica/hw-x86";
import type { Process } from "@kreplica/mm-core";
import type { Subject } from "../subject.js";
import type { OperationFamily } from "../family.js";
import { fullCheckNowAndThen } from "./splits.js";

export type ProcessOperation =
  | { readonly op: "spawn"; readonly cpu: number }
  | { readonly op: "fork"; readonly p: number; readonly cpu: number }
  | { readonly op: "exec"; readonly p: number; readonly cpu: number }
  | { readonly op: "exit"; readonly p: number }
  | { readonly op: "run"; readonly p: number; readonly cpu: number }
  | { readonly op: "idle"; readonly cpu: number }
  | { readonly op: "shrink"; readonly p: number; readonly cpu: number }
  | { readonly op: "ldt"; readonly p: number; readonly cpu: number; readonly entry: number; readonly value: number };

/** More would only spread operations thinner. */
const MOST = 4;
/** Of a first page, of one behind it, and the last: tables of 1, 2 and 16 pages. */
const LDT_ENTRIES = [0, 1, 511, 512, 8191];
const on = { cpu: "number" } as const;
const of = { p: "number" } as const;

export const processFamily: OperationFamily<ProcessOperation> = {
  name: "processes",
  seenByUsers: true,
  kinds: {
    spawn: { weight: 2, fields: on },
    fork: { weight: 8, fields: { ...of, ...on } },
    exec: { weight: 2, fields: { ...of, ...on } },
    exit: { weight: 3, fields: of },
    run: { weight: 12, fields: { ...of, ...on } },
    idle: { weight: 6, fields: on },
    shrink: { weight: 1, fields: { ...of, ...on } },
    ldt: { weight: 2, fields: { ...of, ...on, entry: "number", value: "number" } },
  },

  draw(op, drawing) {
    switch (op) {
      case "spawn":
      case "idle":
        return { op, cpu: drawing.cpu() };
      case "exit":
        return { op, p: drawing.process() };
      case "ldt":
        return {
          op,
          p: drawing.process(),
          cpu: drawing.cpu(),
          entry: drawing.oneOf(LDT_ENTRIES),
          value: 1 + drawing.random(1000),
        };
      default:
        return { op, p: drawing.process(), cpu: drawing.cpu() };
    }
  },

  describe(o) {
    switch (o.op) {
      case "spawn":
        return `a new process, asked for on CPU ${o.cpu}`;
      case "fork":
        return `process ${o.p} forks on CPU ${o.cpu}`;
      case "exec":
        return `process ${o.p} execs on CPU ${o.cpu}`;
      case "exit":
        return `process ${o.p} exits`;
      case "run":
        return `CPU ${o.cpu} switches to process ${o.p}`;
      case "idle":
        return `CPU ${o.cpu} runs a kernel thread`;
      case "shrink":
        return `process ${o.p} gives up its PGD for CPU ${o.cpu}'s node`;
      case "ldt":
        return `process ${o.p} sets entry ${o.entry} of its LDT to ${o.value}, on CPU ${o.cpu}`;
    }
  },

  start(system) {
    const { population, parts, watch } = system;
    const { processes, switcher } = population;
    return {
      perform(o) {
        const cpu = "cpu" in o ? system.cpu(o.cpu) : 0;
        const hasRoom = roomAt(system, cpu);
        if (o.op === "idle") return switcher.idle(cpu);
        if (o.op === "spawn") {
          const process = population.live.length < MOST && system.unchangedWhenRefused(() => processes.spawn(cpu));
          if (!process) return;
          if (hasRoom) checkPlace(system, process, cpu);
          population.add(process, new UserModel(), cpu);
          return;
        }
        const who = population.pick(o.p);
        if (!who) return;
        const { process, model } = who;
        switch (o.op) {
          case "fork": {
            const child =
              population.live.length < MOST && system.unchangedWhenRefused(() => processes.fork(process, cpu));
            if (!child) return;
            if (hasRoom) checkPlace(system, child, cpu);
            population.add(child, model.copy(), cpu);
            return;
          }
          case "exec":
            if (!system.unchangedWhenRefused(() => processes.exec(process, cpu))) return;
            if (hasRoom) checkPlace(system, process, cpu);
            model.clear();
            watch.touch(process.space);
            return;
          case "exit":
            return population.remove(who);
          case "run": {
            const same = switcher.loaded(cpu) === process.space && !switcher.isLazy(cpu);
            const { writes } = switcher.counts;
            const { stores } = parts.entries;
            // A plan that makes PGDs at the first switch stores there; all others must not.
            const grown = process.space.pgdNodes.length;
            processes.run(process, cpu);
            if (same && switcher.counts.writes !== writes)
              system.fail("G3", `CPU ${cpu} wrote CR3 for a thread of the process it ran`);
            if (parts.entries.stores !== stores && process.space.pgdNodes.length === grown)
              system.fail("G4", `a migration to CPU ${cpu} stored to a page table`);
            checkToggle(system, cpu);
            return;
          }
          case "shrink": {
            const node = parts.view.nearest(parts.machine.nodeOfCpu(cpu));
            const used = [...parts.cpus.online].some(
              (each) =>
                switcher.loaded(each) === process.space && parts.view.nearest(parts.machine.nodeOfCpu(each)) === node,
            );
            if (!used) process.space.shrink(node);
            return;
          }
          case "ldt":
            if (!system.unchangedWhenRefused(() => processes.modifyLdt(process, o.entry, BigInt(o.value), cpu))) return;
            model.descriptors.set(o.entry, BigInt(o.value));
            watch.touch(process.space);
        }
      },
      // C6, F2 and B11 are about processes that are there.
      compare: () => {
        fullCheckNowAndThen(system);
      },
    };
  },
};

/**
 * G2: to user mode and back moves within the pair under KPTI, by bit 12 and the PCID's bit 11, and otherwise nowhere;
 * the way back ends where it began.
 */
function checkToggle({ parts: { machine, layout }, population: { switcher }, fail }: Subject, cpu: CpuId): void {
  const core = machine.cpu(cpu);
  const before = core.cr3;
  switcher.enterUser(cpu);
  const toggled = before ^ core.cr3;
  switcher.enterKernel(cpu);
  const wanted = !layout.pti ? 0n : (before & 0xfffn) === 0n ? 0x1000n : 0x1800n;
  if (toggled !== wanted)
    fail("G2", `to user mode CR3 of CPU ${cpu} changes by 0x${toggled.toString(16)}, not 0x${wanted.toString(16)}`);
  if (core.cr3 !== before)
    fail("G2", `CR3 of CPU ${cpu} is 0x${core.cr3.toString(16)} after user mode, was 0x${before.toString(16)}`);
}

/** A node with fewer frames than that may have to send whoever asks elsewhere. */
const ROOM = 64;

/** Whether what is asked for on a CPU has to lie on its node: there is memory, and none is refused. */
function roomAt({ parts: { allocator, machine }, refusedUntil }: Subject, cpu: CpuId): boolean {
  return allocator.requests >= refusedUntil && allocator.freeFrames(machine.nodeOfCpu(cpu)) >= ROOM;
}

/** F6, with one holder: the only PGD lies where its maker runs, as any page does. */
function checkPlace({ parts: { machine, view }, fail }: Subject, { space }: Process, cpu: CpuId): void {
  if (view.holders.length > 1) return;
  const [wanted, node] = [machine.nodeOfCpu(cpu), machine.memory.nodeOf(space.pgd(space.pgdNodes[0]!))];
  if (node !== wanted) fail("F6", `CPU ${cpu} of node ${wanted} made a process, whose PGD lies on node ${node}`);
}
