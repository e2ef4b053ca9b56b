/**
 * One call after another of compiled BPF code on one CPU, cold and then warm, and where the lines of its code came
 * from.
 */
import { PAGE } from "@kreplica/hw-x86/api";
import {
  type FixedHost,
  contextShape,
  type LoadedObject,
  type LoadedProgram,
  type ProgramMemory,
  runCompiled,
} from "@kreplica/bpf";
import { account, Counters, difference, Kind, type MachineSpec, Source } from "@kreplica/hw-x86";
import { Interpreter, MachinePort } from "@kreplica/hw-x86/isa";
import type { Booted } from "@kreplica/kernel";
import { KernelTables } from "@kreplica/mm-core";

/** Lines of code fetched, by where they came from. */
export interface Fetches {
  readonly caches: number;
  readonly otherCaches: number;
  readonly local: number;
  readonly remote: number;
}
/** One program run on one CPU of a node. */
export interface BpfNodeRun {
  readonly node: number;
  readonly cpu: number;
  readonly outcome: string;
  /** rax at the end, as the 32-bit result of a program. */
  readonly result: number;
  readonly instructions: number;
  readonly cold: Fetches;
  /** Sum over the warm calls. */
  readonly warm: Fetches;
  /** Cycles of the cold call, modelled. */
  readonly coldCycles: number;
  /** Cycles of a warm call, modelled, the mean; 0 without warm calls. */
  readonly warmCycles: number;
  /** Node whose memory holds the code that this CPU runs. */
  readonly codeOn: number;
}

/** What every call of a measurement shares. */
export interface BpfBench {
  readonly kernel: Booted;
  readonly spec: MachineSpec;
  readonly memory: ProgramMemory;
  readonly loaded: LoadedObject;
  readonly host: FixedHost;
  /** Entries of helpers, as runCompiled wants them. */
  readonly stubs: bigint;
  /** Context bytes, or the packet for programs that have one. */
  readonly input: Uint8Array;
  /** Calls after the cold one. */
  readonly repeat: number;
}
/** What is called, and what the first six argument registers hold. */
export interface Callee {
  readonly entry: bigint;
  /** Code whose place is reported. */
  readonly code: bigint;
  /** Values of rdi, rsi, rdx, rcx, r8, r9; further ones stay as they are. */
  readonly arguments: readonly bigint[];
}

const STACK_BYTES = 8192,
  LONGEST_RUN = 10_000_000;
/** Hardware numbers of the argument registers behind rdi. @source System V ABI AMD64, "Register Usage" */
const ARGUMENTS = [6, 2, 1, 8, 9];

/** Calls it once with every cache empty, then `repeat` times. Outcomes that are no exit end it. */
export function runOnCpu(bench: BpfBench, cpu: number, callee: Callee): BpfNodeRun {
  const { kernel, memory, host, spec, repeat } = bench,
    { machine, assembly } = kernel,
    counters = assembly.get(Counters);
  const node = machine.nodeOfCpu(cpu),
    nodeIndex = spec.nodes.findIndex((each) => each.id === node);
  const x86 = new Interpreter(new MachinePort(machine, cpu, { timed: true })),
    inner = x86.context;
  const executing = {
    get rip() {
      return x86.rip;
    },
    set rip(value: bigint) {
      x86.rip = value;
    },
    register: (n: number) => x86.register(n),
    setRegister: (n: number, v: bigint) => {
      x86.setRegister(n, v);
    },
    run: (n: number) => x86.run(n),
    wake: () => {
      inner.halted = false;
    },
    get executed() {
      return x86.executed;
    },
    get stopReason() {
      return x86.stopReason;
    },
  };
  host.current = cpu;
  const stack = memory.allocate(STACK_BYTES, "stack"),
    word = new Uint8Array(8);
  const once = () => {
    ARGUMENTS.forEach((register, i) => {
      const value = callee.arguments[i + 1];
      if (value !== undefined) x86.setRegister(register, value);
    });
    return runCompiled({
      cpu: executing,
      entry: callee.entry,
      context: callee.arguments[0] ?? 0n,
      stackTop: stack + BigInt(STACK_BYTES),
      stubs: bench.stubs,
      budget: LONGEST_RUN,
      writeWord: (address, value) => {
        new DataView(word.buffer).setBigUint64(0, value, true);
        memory.write(address, word);
      },
      helper: (id, ...args) => bench.loaded.helper(id, ...args),
    });
  };
  machine.chill();
  const start = counters.snapshot(cpu),
    first = once(),
    middle = counters.snapshot(cpu);
  const warmCalls = first.outcome === "exit" ? repeat : 0;
  for (let i = 0; i < warmCalls; i++) once();
  const cold = difference(start, middle),
    warm = difference(middle, counters.snapshot(cpu));
  memory.release(stack);
  const fetched = (counts: Float64Array): Fetches => {
    const sum = { caches: 0, otherCaches: 0, local: 0, remote: 0 };
    for (const kind of [Kind.Fetch, Kind.PrefetchedFetch])
      for (let source = 0; source < counters.layout.sources; source++) {
        const place =
          source <= Source.OwnL3
            ? "caches"
            : source >= Source.Memory && source < counters.layout.cleanSameSocket
              ? source - Source.Memory === nodeIndex
                ? "local"
                : "remote"
              : "otherCaches";
        sum[place] += counts[counters.layout.row(0, kind) + source]!;
      }
    return sum;
  };
  return {
    node,
    cpu,
    outcome: first.outcome === "stopped" ? `stopped: ${first.reason}` : first.outcome,
    result: Number(BigInt.asIntN(32, first.result)),
    instructions: first.executed,
    cold: fetched(cold),
    warm: fetched(warm),
    coldCycles: account(cold, spec, nodeIndex).cycles,
    warmCycles: warmCalls === 0 ? 0 : account(warm, spec, nodeIndex).cycles / warmCalls,
    codeOn: homeOf(kernel, node, callee.code),
  };
}

/** Node whose memory a node's tables lead to at the address. */
export function homeOf(kernel: Booted, node: number, address: bigint): number {
  const leaf = kernel.assembly.get(KernelTables).lookup(node, address)!;
  return kernel.machine.memory.nodeOf(leaf.frame + (leaf.level === 1 ? 0 : Number((address / PAGE) & 511n)));
}

/**
 * Puts the input where the program looks for it: packets behind the context's pointers, all else as the context itself.
 */
export function inputFor(
  program: LoadedProgram,
  input: Uint8Array,
  memory: ProgramMemory,
): { context: bigint; release(): void } {
  const shape = contextShape(program.source.type),
    bytes = new Uint8Array(Math.max(shape.kernelBytes, 8)),
    view = new DataView(bytes.buffer);
  const context = memory.allocate(bytes.length, "context"),
    addresses = [context];
  if (shape.packet) {
    const packet = memory.allocate(Math.max(1, input.length), "packet");
    memory.write(packet, input);
    addresses.push(packet);
    for (const { kind, word } of shape.pointers) if (kind === "pkt_meta") view.setBigUint64(word, packet, true);
    view.setBigUint64(shape.packet.data, packet, true);
    view.setBigUint64(shape.packet.end, packet + BigInt(input.length), true);
    // The public structure of a socket buffer begins with the packet's length.
    if (program.source.type !== "xdp") view.setUint32(0, input.length, true);
  } else bytes.set(input.subarray(0, bytes.length));
  memory.write(context, bytes);
  return {
    context,
    release: () => {
      for (const address of addresses) memory.release(address);
    },
  };
}
