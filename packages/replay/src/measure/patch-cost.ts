/**
 * What one change of kernel text costs, under a policy and with so many CPUs to tell: the patching itself is carried
 * out, in the booted kernel's copies, and the machine's counters say what it took. What runs and is no access to memory
 * comes from poke-pass.ts.
 */
import { bytesAt, Counters, difference, type Sourced } from "@kreplica/hw-x86";
import { boot, type BootParts, type Kernel, kernelFrom, type KernelSource, type PolicyChoice } from "@kreplica/kernel";
import { TextUsers } from "@kreplica/mm-core";
import { ReplicaTextPoke } from "@kreplica/text-patch";
import { branch32, CALL, INT3, JMP32, nops } from "@kreplica/text-patch/api";
import { kernelCycles } from "./kernel-cycles.js";
import { CR3_WRITE_CYCLES, FIRST_PASS, FURTHER_PASS, RECORDED_POKES, SYNC_CORE_CYCLES } from "./poke-pass.js";

/** Patching of a kernel's text in every copy, before the kernel boots. */
export const textPokeOf = (parts: BootParts): ReplicaTextPoke =>
  new ReplicaTextPoke(
    parts.machine,
    parts.tables,
    parts.view,
    parts.cpus,
    parts.entries,
    parts.allocator,
    parts.layout,
    parts.image,
    parts.options,
    parts.boot,
    parts.switcher,
    parts.assembly.get(TextUsers),
  );

/** What is written: which protocol, how many bytes. */
export const PATCH_SITES = {
  jump_label: "a static key's branch: five bytes, no-op to jump and back, INT3 protocol",
  static_call: "a static call aimed at another function: five bytes, INT3 protocol",
  ftrace: "a traced function's entry: five bytes, no-op to call and back, INT3 protocol",
  kprobe: "a probe armed and disarmed: one byte, then one synchronisation",
  text_poke: "five bytes that nobody executes: no protocol, no synchronisation",
} as const;
/** What of the kernel's text is changed: a name of {@link PATCH_SITES}. */
export type PatchSite = keyof typeof PATCH_SITES;

/** Cycles with the ends of their range. */
export interface Cycles {
  readonly low: number;
  readonly value: number;
  readonly high: number;
}

/** One thing a change takes: how many of it, and what they cost the CPU that patches. */
export interface PatchCostLine {
  readonly what: string;
  readonly count: number;
  readonly cycles: Cycles;
  /** Where the cost comes from: measured, modelled, assumed, and by whom. */
  readonly source: string;
}

/** One policy with one number of CPUs online; all figures are for one change, mean of those measured. */
export interface PatchCost {
  readonly policy: string;
  readonly cpusOnline: number;
  /** Copies behind the site. */
  readonly copies: number;
  readonly framesWritten: number;
  readonly rootSwitches: number;
  readonly synchronisations: number;
  readonly interrupts: number;
  /** Instructions of the passes that write, in the kernel's own code. */
  readonly instructions: number;
  /** What adds up to {@link cycles}. */
  readonly lines: readonly PatchCostLine[];
  /** Cycles of the CPU that patches: low, value, high over all uncertain costs. */
  readonly cycles: Cycles;
  /** Of these, sending interrupts. */
  readonly interruptCycles: number;
  /** Cycles of all other CPUs together. */
  readonly elsewhere: number;
}

/** What is patched, under which policies. */
export interface PatchOptions {
  readonly site: PatchSite;
  readonly policies: readonly PolicyChoice[];
  /** Numbers of CPUs online to measure with, the patching one included. */
  readonly cpus: readonly number[];
  /** Changes measured, after as many to warm up. */
  readonly changes: number;
}

/** A place in text that crosses no page and no line. */
const OFFSET = 0x1_0040n;

/** @param source a kernel, whose own policy does not matter @throws InputError when a policy is unknown */
export function patchCosts(source: KernelSource, { policies, site, cpus, changes }: PatchOptions): PatchCost[] {
  const kernel = kernelFrom(source);
  return policies.flatMap((policy) =>
    cpus.map((online) => measure(kernel.with({ policy }), { site, changes }, online)),
  );
}

function measure(kernel: Kernel, { site, changes }: Pick<PatchOptions, "site" | "changes">, online: number): PatchCost {
  const { machine: spec, policy } = kernel;
  let poke: ReplicaTextPoke | undefined;
  const booted = boot(
    kernel.with({
      before: (parts) => {
        kernel.choices.before?.(parts);
        poke = textPokeOf(parts);
      },
    }),
  );
  const text = poke!;
  const { machine, cpus } = booted;
  for (const cpu of machine.cpuIds.slice(online)) cpus.takeDown(cpu);
  cpus.current = machine.cpuIds[0]!;
  const address = booted.image.stext + booted.layout.imageOffset + OFFSET;
  const [first, second] = states(site, address);
  text.poke(address, first);
  const change = (nth: number): void => {
    const bytes = nth % 2 === 0 ? second : first;
    if (site === "text_poke") text.poke(address, bytes);
    else if (site === "kprobe") {
      text.poke(address, bytes);
      text.synchronise();
    } else text.batch([{ address, bytes }]);
  };
  for (let nth = 0; nth < changes; nth++) change(nth);
  const counters = booted.assembly.get(Counters);
  const before = machine.cpuIds.map((cpu) => counters.snapshot(cpu));
  const costBefore = text.cost;
  for (let nth = 0; nth < changes; nth++) change(changes + nth);
  const cost = text.cost;
  const cycles = (cpu: number, side?: "low" | "high"): { total: number; interrupts: number } => {
    const nth = machine.cpuIds.indexOf(cpu);
    const nodeIndex = spec.nodes.findIndex(({ id }) => id === machine.nodeOfCpu(cpu));
    const { cycles: total, interrupts } = kernelCycles(
      difference(before[nth]!, counters.snapshot(cpu)),
      spec,
      nodeIndex,
      side,
    );
    return { total: total / changes, interrupts: interrupts / changes };
  };
  const mine = machine.cpuIds[0]!;
  const own = { low: cycles(mine, "low"), value: cycles(mine), high: cycles(mine, "high") };
  const copies = text.copies(bytesAt(address, 1)).length;
  const each = (total: (counts: typeof cost) => number): number => (total(cost) - total(costBefore)) / changes;
  const rootSwitches = each((counts) => counts.rootSwitches);
  const synchronisations = each((counts) => counts.syncs);
  const interrupts = each((counts) => counts.interrupts);
  // A pass there and back: so many for each write, the first of them what a single copy takes.
  const passes = rootSwitches / 2;
  const further = passes - passes / copies;
  const perInstruction = { ...spec.costs.cyclesPerInstruction };
  const lines: PatchCostLine[] = [
    {
      what: "instructions of a first pass",
      count: (passes - further) * FIRST_PASS[0],
      cycles: times(perInstruction, (passes - further) * FIRST_PASS[0]),
      source: RECORDED_POKES,
    },
    {
      what: "instructions of further passes",
      count: further * FURTHER_PASS[0],
      cycles: times(perInstruction, further * FURTHER_PASS[0]),
      source: RECORDED_POKES,
    },
    {
      what: "writes of CR3",
      count: rootSwitches,
      cycles: times(CR3_WRITE_CYCLES, rootSwitches),
      source: CR3_WRITE_CYCLES.source,
    },
    {
      what: "stores, table entries and page walks",
      count: passes,
      cycles: sides((side) => own[side].total - own[side].interrupts),
      source:
        "modelled: the accesses of the poke through the machine's TLBs and caches, the walk of the alias and what the flush makes to be walked again",
    },
    {
      what: "sync_core on this CPU",
      count: synchronisations,
      cycles: times(SYNC_CORE_CYCLES, synchronisations),
      source: SYNC_CORE_CYCLES.source,
    },
    {
      what: "interrupts sent",
      count: interrupts,
      cycles: sides((side) => own[side].interrupts),
      source: spec.costs.ipiCycles.source,
    },
  ];
  return {
    policy: policy.name,
    cpusOnline: Math.min(online, machine.cpuIds.length),
    copies,
    framesWritten: each((counts) => counts.framesWritten),
    rootSwitches,
    synchronisations,
    interrupts,
    instructions: lines[0]!.count + lines[1]!.count,
    lines,
    cycles: sides((side) => lines.reduce((sum, line) => sum + line.cycles[side], 0)),
    interruptCycles: own.value.interrupts,
    elsewhere:
      machine.cpuIds.slice(1).reduce((sum, cpu) => sum + cycles(cpu).total, 0) + interrupts * SYNC_CORE_CYCLES.value,
  };
}

const sides = (at: (side: keyof Cycles) => number): Cycles => ({
  low: at("low"),
  value: at("value"),
  high: at("high"),
});
const times = (each: Sourced, count: number): Cycles => sides((side) => count * (each[side] ?? each.value));

function states(site: PatchSite, address: bigint): readonly [Uint8Array, Uint8Array] {
  if (site === "kprobe") return [Uint8Array.of(0x90), Uint8Array.of(INT3)];
  if (site === "static_call")
    return [branch32(CALL, address, address + 0x1000n), branch32(CALL, address, address + 0x2000n)];
  return [nops(5), branch32(site === "ftrace" ? CALL : JMP32, address, address + 0x1000n)];
}
