/**
 * Runs programs of a BPF object on one CPU of each node, called as they are and attached to hot paths, their code
 * shared or with a copy on every node.
 */
import { bytesAt, hexBytes, PAGE_BYTES } from "@kreplica/hw-x86/api";
import {
  bpf,
  fixedHost,
  type BpfMap,
  type BpfObject,
  Helpers,
  LoadedObject,
  type LoadedProgram,
  Packs,
  ProgramMemory,
} from "@kreplica/bpf";
import { boot, kernelFrom, type KernelSource } from "@kreplica/kernel";
import { setMemory } from "@kreplica/set-memory";
import { textPatch } from "@kreplica/text-patch";
import { Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { type BpfPathRun, costOf, type ImageCost, runPaths } from "./bpf-images.js";
import { type BpfBench, type BpfNodeRun, inputFor, runOnCpu } from "./bpf-node-run.js";

/** What is run, and how its images lie. */
export interface BpfRunOptions {
  /** A copy of packs, trampolines, dispatcher and struct_ops images on every node. */
  readonly replicate: boolean;
  readonly object: BpfObject;
  readonly programs: readonly string[];
  /** Context bytes, or the packet for programs that have one. */
  readonly input: Uint8Array;
  /** Runs after the cold one. */
  readonly repeat: number;
}
/** One program of an object, compiled and run on every node. */
export interface BpfProgramRun {
  readonly name: string;
  readonly section: string;
  readonly slots: number;
  readonly bytes: number;
  readonly processed: number;
  readonly address: string;
  readonly nodes: readonly BpfNodeRun[];
}
/** A map after all calls. */
export interface BpfMapState {
  readonly name: string;
  readonly kind: string;
  readonly bytes: number;
  readonly keys: number;
  /**
   * Elements whose value is not all zeros, the first {@link MOST_ELEMENTS}: bytes in hexadecimal, lowest address first;
   * per-CPU maps with the CPU.
   */
  readonly elements: readonly { readonly key: string; readonly value: string; readonly cpu?: number }[];
}
/** An object's programs, compiled and run on a booted kernel. */
export interface BpfRun {
  readonly replicate: boolean;
  readonly programs: readonly BpfProgramRun[];
  /** The same programs on hot paths, those that have one. */
  readonly paths: readonly BpfPathRun[];
  readonly maps: readonly BpfMapState[];
  /** What images of each kind cost, packs first. */
  readonly costs: readonly ImageCost[];
  /** Bytes of frames that code areas still take after everything was given back, over all nodes. */
  readonly leftBytes: number;
}

/** Elements of a map that are kept for the report. */
export const MOST_ELEMENTS = 64;

/** @param source a kernel without subsystems @throws BpfError what loading refuses @throws InputError as a boot does */
export function runBpf(source: KernelSource, options: BpfRunOptions): BpfRun {
  const { object, input, repeat } = options;
  const given = kernelFrom(source);
  const { machine: spec, policy, choices } = given;
  const kernel = boot(
    given.with({
      plugins: [setMemory, vmalloc, textPatch, bpf(options.replicate, policy.codeNode), ...(choices.plugins ?? [])],
    }),
  );
  const { machine, assembly, allocator } = kernel,
    memory = assembly.get(ProgramMemory),
    helpers = assembly.get(Helpers),
    packs = assembly.get(Packs);
  const host = fixedHost(machine, memory);
  const used = (): number =>
      machine.nodes.reduce((sum, node) => sum + allocator.usedFrames(node, "module"), 0) * PAGE_BYTES,
    before = used();
  const { stubs } = helpers,
    loading: { loaded?: LoadedObject } = {};
  const packCost = costOf(kernel, "pack", () => {
    loading.loaded = new LoadedObject(object, host, {
      packs,
      helperAddress: (id) => helpers.address(id),
      programs: options.programs,
    });
    return packs.report().map(({ address }) => address);
  });
  const loaded = loading.loaded!,
    bench: BpfBench = { kernel, spec, memory, loaded, host, stubs, input, repeat };
  const cpus = machine.nodes
    .map((node) => machine.cpuIds.find((cpu) => machine.nodeOfCpu(cpu) === node))
    .filter((cpu) => cpu !== undefined);
  const direct = (program: LoadedProgram): BpfNodeRun[] =>
    cpus.map((cpu) => {
      const { context, release } = inputFor(program, input, memory);
      try {
        return runOnCpu(bench, cpu, { entry: program.entry, code: program.entry, arguments: [context] });
      } finally {
        release();
      }
    });
  const programs = loaded.programs.map((program): BpfProgramRun => ({
    name: program.name,
    section: program.source.section,
    slots: program.code.length,
    bytes: program.machineCode!.length,
    processed: program.verified.statistics.processed,
    address: `0x${program.entry.toString(16)}`,
    nodes: direct(program),
  }));
  const { paths, costs } = runPaths(bench, object, cpus);
  const maps = loaded.maps.map((map) => ({
    name: map.definition.name,
    kind: map.definition.kind,
    bytes: map.bytes,
    keys: map.keys().length,
    elements: elementsOf(map, memory, cpus),
  }));
  loaded.unload();
  packs.dispose();
  helpers.dispose();
  assembly.get(Vmalloc).purge();
  return {
    replicate: options.replicate,
    programs,
    paths,
    maps,
    costs: [packCost, ...costs],
    leftBytes: used() - before,
  };
}

function elementsOf(map: BpfMap, memory: ProgramMemory, cpus: readonly number[]): BpfMapState["elements"] {
  const { kind, valueBytes } = map.definition;
  // What prog arrays hold are addresses of code, what rings hold are records.
  if (kind === "prog_array" || kind === "ringbuf") return [];
  const perCpu = kind.startsWith("percpu"),
    out: BpfMapState["elements"][number][] = [];
  for (const key of map.keys())
    for (const cpu of perCpu ? cpus : cpus.slice(0, 1)) {
      const at = map.lookup(key, cpu),
        value = at === 0n ? undefined : memory.read(bytesAt(at, valueBytes));
      if (value?.some((byte) => byte !== 0) && out.length < MOST_ELEMENTS)
        out.push({ key: hexBytes(key), value: hexBytes(value), ...(perCpu ? { cpu } : {}) });
    }
  return out;
}
