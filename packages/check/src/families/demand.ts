/**
 * Copies on demand: CPUs wait for far text, memory is wanted. Held to a sum a node; and by the tables' bytes each node
 * fetches from its copy while it has one and from the master's text while it has none.
 *
 * Of kernels whose copies come on demand alone: on all others there is nothing to do.
 */
import type { NodeId } from "@kreplica/hw-x86";
import { DemandCopies, type DemandOutcome } from "@kreplica/kernel";
import { imageAddress, TextUsers } from "@kreplica/mm-core";
import type { OperationFamily } from "../family.js";
import { fullCheckNowAndThen, splitDirectMap } from "./splits.js";

export type DemandOperation =
  /** @param kilocycles that the CPU's node waited, or saved */
  | { readonly op: "wait-for-text"; readonly cpu: number; readonly kilocycles: number }
  | { readonly op: "want-memory"; readonly node: number };

/** Of the state's rules those about where copies are and whose bytes they hold. */
const RULES = ["A1", "A2", "A3", "A4", "A6", "A9", "G10", "G11", "I3"];

export const demandFamily: OperationFamily<DemandOperation> = {
  name: "demand",
  kinds: {
    "wait-for-text": { weight: 3, fields: { cpu: "number", kilocycles: "number" } },
    "want-memory": { weight: 1, fields: { node: "number" } },
  },
  draw: (op, drawing) =>
    op === "want-memory"
      ? { op, node: drawing.random(8) }
      : { op, cpu: drawing.cpu(), kilocycles: drawing.oneOf([0, 1, 500, 5000, 60_000]) },
  describe: (o) =>
    o.op === "want-memory"
      ? `memory of node ${o.node} is wanted`
      : `CPU ${o.cpu} has waited ${o.kilocycles},000 cycles for text`,
  start(system) {
    const { assembly, machine, view, layout, image, boot, tables } = system.parts;
    const demand = assembly.find(DemandCopies);
    if (!demand) return { perform: () => undefined };
    splitDirectMap(system);
    const users = assembly.get(TextUsers);
    const waited = new Map<NodeId, number>();
    const held = new Set<NodeId>();
    const giveBack = (node: NodeId): void => {
      const wanted = held.has(node) && !users.writing;
      const went = demand.giveBack(node);
      if (went !== wanted)
        system.fail("A2", `the copy of node ${node} ${went ? "went" : "stayed"}, against its account`);
      if (went) held.delete(node);
    };
    const count = (node: NodeId, cycles: number): void => {
      const holder = view.nearest(node);
      const outcome = system.unchangedWhenRefused(() => {
        const came = demand.counted(node, cycles);
        return came === "refused" ? false : (came ?? "nothing");
      });
      const sum = (waited.get(holder) ?? 0) + cycles;
      const pays = sum >= demand.price(holder);
      const wanted: readonly (DemandOutcome | "nothing" | false)[] =
        holder === view.master || boot.reached !== "running"
          ? ["nothing"]
          : held.has(holder)
            ? [cycles < demand.keep && !users.writing ? "given back" : "kept"]
            : pays
              ? // Memory may have run out, and text that is being written is waited for.
                ["copied", false]
              : ["waits"];
      if (!wanted.includes(outcome ?? false))
        system.fail("A2", `node ${node}: ${String(outcome)} where ${wanted.join(" or ")} was due after ${sum} cycles`);
      if (outcome === "copied") {
        held.add(holder);
        waited.delete(holder);
      } else if (outcome === "given back") held.delete(holder);
      else if (outcome === "waits" || outcome === false) waited.set(holder, sum);
    };
    const look = (): void => {
      const address = imageAddress(layout, image.stext);
      for (const node of machine.nodes) {
        const holder = view.nearest(node);
        const from = machine.memory.nodeOf(tables.lookup(node, address)!.frame);
        const wanted = held.has(holder) ? holder : view.master;
        if (from !== wanted) system.fail("A2", `node ${node} has its text from node ${from}, not from node ${wanted}`);
      }
      system.checkRules(RULES);
    };
    return {
      told: (o) => (o.op === "want-memory" ? { node: machine.nodes[o.node % machine.nodes.length]! } : {}),
      perform(o) {
        const before = held.size;
        if (o.op === "want-memory") giveBack(machine.nodes[o.node % machine.nodes.length]!);
        else count(machine.nodeOfCpu(system.cpu(o.cpu)), 1000 * o.kilocycles);
        if (held.size !== before) look();
      },
      compare() {
        look();
        fullCheckNowAndThen(system);
      },
      undo() {
        for (const node of [...held]) giveBack(node);
        if (held.size > 0) system.fail("F6", `copies of nodes ${[...held].join(", ")} could not be given back`);
      },
    };
  },
};
