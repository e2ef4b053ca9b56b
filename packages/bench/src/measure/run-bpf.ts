/** Runs programs of a BPF object on one CPU of each node, cold and then warm, and counts where their code was fetched from. */
import { plugin } from "@kreplica/di";
import type { KernelMemory} from "@kreplica/bpf";
import { bpf, type BpfHost, type BpfObject, contextShape, Helpers, LoadedObject, type LoadedProgram, Packs, ProgramMemory, runCompiled } from "@kreplica/bpf";
import { Counters, difference, Kind, type MachineSpec, Source } from "@kreplica/hw-x86";
import { Interpreter, MachinePort } from "@kreplica/hw-x86/isa";
import { KernelTables } from "@kreplica/mm-core";
import { setMemory } from "@kreplica/set-memory";
import { textPatch } from "@kreplica/text-patch";
import { vmalloc } from "@kreplica/vmalloc";
import { POLICIES } from "../assemble.js";
import { boot, type Booted } from "../boot.js";
import { InputError } from "../inputs/input-error.js";

export interface BpfRunOptions {
  readonly spec: MachineSpec;
  readonly policy: string;
  readonly masterNode: number;
  /** A copy of packs, trampolines and struct_ops images on every node. */
  readonly replicate: boolean;
  readonly object: BpfObject;
  readonly programs: readonly string[];
  /** Context bytes, or the packet for programs that have one. */
  readonly input: Uint8Array;
  /** Runs after the cold one. */
  readonly repeat: number;
}
/** Lines of code fetched, by where they came from. */
export interface Fetches { readonly caches: number; readonly otherCaches: number; readonly local: number; readonly remote: number }
export interface BpfNodeRun {
  readonly node: number;
  readonly cpu: number;
  readonly outcome: string;
  /** r0, as the program's 32-bit result. */
  readonly result: number;
  readonly instructions: number;
  readonly cold: Fetches;
  /** Sum over the warm runs. */
  readonly warm: Fetches;
  /** Node whose memory holds the code that this CPU runs. */
  readonly codeOn: number;
}
export interface BpfProgramRun {
  readonly name: string;
  readonly section: string;
  readonly slots: number;
  readonly bytes: number;
  readonly processed: number;
  readonly address: string;
  readonly nodes: readonly BpfNodeRun[];
}
export interface BpfRun {
  readonly replicate: boolean;
  readonly programs: readonly BpfProgramRun[];
  readonly maps: readonly { readonly name: string; readonly kind: string; readonly bytes: number; readonly keys: number }[];
  /** Bytes of frames that code areas take, by node. */
  readonly codeBytes: readonly { readonly node: number; readonly bytes: number }[];
}

const STACK_BYTES = 8192, PAGE = 4096n, LONGEST_RUN = 10_000_000;

/** @throws BpfError what loading refuses @throws InputError for an unknown policy */
export function runBpf(options: BpfRunOptions): BpfRun {
  const view = POLICIES[options.policy];
  if (!view) throw new InputError({ file: "--policy", reason: `there is no policy ${options.policy}`, remedy: `choose one of ${Object.keys(POLICIES).join(", ")}` });
  const parts = [view.plugin, setMemory, vmalloc, textPatch, bpf(options.replicate)];
  const kernel = boot({ spec: options.spec, masterNode: options.masterNode, policy: plugin(`${options.policy} with bpf`, parts.flatMap((each) => each.bindings)) });
  const { machine, assembly } = kernel, memory = assembly.get(ProgramMemory), helpers = assembly.get(Helpers), packs = assembly.get(Packs);
  const host: BpfHost & { current: number } = {
    memory, cpus: machine.cpuIds.length, current: 0, cpu() { return this.current; }, node() { return machine.nodeOfCpu(this.current); },
    now: () => 1_000_000n, random: () => 4, task: () => ({ pidTgid: (1n << 32n) | 1n, name: "kreplica" }), trace: () => undefined,
  };
  const used = (): number[] => machine.nodes.map((node) => kernel.allocator.usedFrames(node, "module"));
  const { stubs } = helpers, before = used();
  const loaded = new LoadedObject(options.object, host, { packs, helperAddress: (id) => helpers.address(id), programs: options.programs });
  const codeBytes = used().map((frames, i) => ({ node: machine.nodes[i]!, bytes: (frames - before[i]!) * 4096 }));
  const cpus = machine.nodes.map((node) => machine.cpuIds.find((cpu) => machine.nodeOfCpu(cpu) === node)).filter((cpu) => cpu !== undefined);
  const programs = loaded.programs.map((program): BpfProgramRun => ({
    name: program.name, section: program.source.section, slots: program.code.length, bytes: program.machineCode!.length, processed: program.verified.statistics.processed,
    address: `0x${program.entry.toString(16)}`, nodes: cpus.map((cpu) => runOn(kernel, memory, loaded, program, cpu, options, host, stubs)),
  }));
  const maps = loaded.maps.map((map) => ({ name: map.definition.name, kind: map.definition.kind, bytes: map.bytes, keys: map.keys().length }));
  loaded.unload();
  packs.dispose();
  helpers.dispose();
  return { replicate: options.replicate, programs, maps, codeBytes };
}

function runOn(kernel: Booted, memory: KernelMemory, loaded: LoadedObject, program: LoadedProgram, cpu: number, options: BpfRunOptions, host: { current: number }, stubs: bigint): BpfNodeRun {
  const { machine, assembly } = kernel, counters = assembly.get(Counters), node = machine.nodeOfCpu(cpu), nodeIndex = options.spec.nodes.findIndex((each) => each.id === node);
  const x86 = new Interpreter(new MachinePort(machine, cpu, { timed: true })), inner = x86.context;
  const executing = {
    get rip() { return x86.rip; }, set rip(value: bigint) { x86.rip = value; }, register: (n: number) => x86.register(n), setRegister: (n: number, v: bigint) => { x86.setRegister(n, v); },
    run: (n: number) => x86.run(n), wake: () => { inner.halted = false; }, get executed() { return x86.executed; }, get stopReason() { return x86.stopReason; },
  };
  host.current = cpu;
  const stack = memory.allocate(STACK_BYTES, "stack"), input = inputFor(program, options.input, memory), word = new Uint8Array(8);
  const once = () => runCompiled({
    cpu: executing, entry: program.entry, context: input.context, stackTop: stack + BigInt(STACK_BYTES), stubs, budget: LONGEST_RUN,
    writeWord: (address, value) => { new DataView(word.buffer).setBigUint64(0, value, true); memory.write(address, word); },
    helper: (id, ...args) => loaded.helper(id, ...args),
  });
  machine.chill();
  const start = counters.snapshot(cpu), first = once(), middle = counters.snapshot(cpu);
  for (let i = 0; i < options.repeat && first.outcome === "exit"; i++) once();
  const end = counters.snapshot(cpu);
  for (const address of [...input.addresses, stack]) memory.release(address);
  const fetched = (counts: Float64Array): Fetches => {
    const sum = { caches: 0, otherCaches: 0, local: 0, remote: 0 };
    for (const kind of [Kind.Fetch, Kind.PrefetchedFetch]) for (let source = 0; source < counters.layout.sources; source++) {
      const place = source <= Source.OwnL3 ? "caches" : source >= Source.Memory && source < counters.layout.cleanSameSocket ? (source - Source.Memory === nodeIndex ? "local" : "remote") : "otherCaches";
      sum[place] += counts[counters.layout.row(0, kind) + source]!;
    }
    return sum;
  };
  const leaf = assembly.get(KernelTables).lookup(node, program.entry)!;
  const frame = leaf.frame + (leaf.level === 1 ? 0 : Number((program.entry / PAGE) & 511n));
  return {
    node, cpu, outcome: first.outcome === "stopped" ? `stopped: ${first.reason}` : first.outcome, result: Number(BigInt.asIntN(32, first.result)), instructions: first.executed,
    cold: fetched(difference(start, middle)), warm: fetched(difference(middle, end)), codeOn: machine.memory.nodeOf(frame),
  };
}

/** Puts the input where the program looks for it: packets behind the context's pointers, all else as the context itself. */
function inputFor(program: LoadedProgram, input: Uint8Array, memory: KernelMemory): { context: bigint; addresses: bigint[] } {
  const shape = contextShape(program.source.type), bytes = new Uint8Array(Math.max(shape.kernelBytes, 8)), view = new DataView(bytes.buffer);
  const context = memory.allocate(bytes.length, "context"), addresses = [context];
  if (shape.pointers.length > 0) {
    const packet = memory.allocate(Math.max(1, input.length), "packet");
    memory.write(packet, input);
    addresses.push(packet);
    for (const { kind, word } of shape.pointers) view.setBigUint64(word, packet + (kind === "pkt_end" ? BigInt(input.length) : 0n), true);
    if (program.source.type === "sched_cls") view.setUint32(0, input.length, true);
  } else bytes.set(input.subarray(0, bytes.length));
  memory.write(context, bytes);
  return { context, addresses };
}
