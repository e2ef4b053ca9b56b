/** Sockets, cores and L3s of CPUs as the accounts tell them; where they do not, by the rules of `placeCpus`. */
import type { CpuSpec, MachineSpec } from "@kreplica/hw-x86/api";
import { placeCpus, type PlacedCpus } from "../cpu-places.js";
import type { FoundNode } from "../found-node.js";
import type { JoinedAccount } from "./joined.js";

/** Numbers from 0 in the order in which keys are first asked for. */
function numbering(): (key: string) => number {
  const numbers = new Map<string, number>();
  return (key) => {
    const known = numbers.get(key) ?? numbers.size;
    numbers.set(key, known);
    return known;
  };
}

/** @param distance in the order of the nodes */
export function placeAsTold(
  nodes: readonly FoundNode[],
  distance: readonly (readonly number[])[],
  base: MachineSpec,
  said: JoinedAccount,
  fromFirmware: boolean,
): PlacedCpus {
  const byRule = placeCpus(nodes, distance, base, fromFirmware);
  const told = (kind: "packageOf" | "coreOf" | "l3Of"): boolean =>
    byRule.cpus.every(({ id }) => said.get(kind, id) !== undefined);
  const [packages, cores, l3s] = [told("packageOf"), told("coreOf"), told("l3Of")];
  const socketOf = numbering();
  const coreOf = numbering();
  const l3Of = numbering();
  const firstOf = (kind: "packageOf" | "coreOf" | "l3Of", cpu: number): string => `${said.get(kind, cpu)![0]!}`;
  const placed = byRule.cpus.map((cpu): CpuSpec => {
    const socket = socketOf(packages ? firstOf("packageOf", cpu.id) : `${cpu.socket}`);
    // What is assumed must fit into what is told: a core by rule is within node and socket.
    const core = coreOf(cores ? firstOf("coreOf", cpu.id) : `${socket} ${cpu.node} ${cpu.core}`);
    return { ...cpu, socket, core };
  });
  const { coresPerL3, wholeNode } = l3OfBase(base);
  const before = new Map<string, Map<number, number>>();
  const cpus = placed.map((cpu): CpuSpec => {
    if (l3s) return { ...cpu, l3: l3Of(firstOf("l3Of", cpu.id)) };
    const part = `${cpu.socket} ${cpu.node}`;
    const inPart = before.get(part) ?? new Map<number, number>();
    before.set(part, inPart);
    const position = inPart.get(cpu.core) ?? inPart.size;
    inPart.set(cpu.core, position);
    return { ...cpu, l3: l3Of(wholeNode ? part : `${part} ${Math.floor(position / coresPerL3)}`) };
  });
  const [bySocketRule, byCoreRule] = (byRule.assumed ?? "").split("; ");
  const assumed = [
    ...(packages ? [] : [bySocketRule]),
    ...(cores ? [] : [byCoreRule]),
    ...(l3s ? [] : [`L3s: ${wholeNode ? "one a node" : `${coresPerL3} cores each`}, as in ${base.name}`]),
  ].filter((each) => each !== undefined && each !== "");
  return { cpus, assumed: assumed.length > 0 ? assumed.join("; ") : undefined };
}

function l3OfBase(base: MachineSpec): { coresPerL3: number; wholeNode: boolean } {
  const first = base.cpus[0]!;
  const count = (of: (cpu: CpuSpec) => boolean): number => new Set(base.cpus.filter(of).map(({ core }) => core)).size;
  const coresPerL3 = count(({ l3 }) => l3 === first.l3);
  return { coresPerL3, wholeNode: coresPerL3 >= count(({ node }) => node === first.node) };
}
