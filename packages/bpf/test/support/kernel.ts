/**
 * A kernel with real tables on a machine of four nodes, with BPF in it, and calls of compiled code on any of its CPUs.
 */
import { assemble as wire, type Assembly, bindValue, type Plugin, plugin } from "@kreplica/di";
import { hwX86, Machine, type NodeId, PhysMemory } from "@kreplica/hw-x86";
import { Interpreter as X86, MachinePort } from "@kreplica/hw-x86/isa";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import {
  CpuState,
  KernelImage,
  KernelLayout,
  kernelLayout,
  KernelOptions,
  KernelTables,
  mmCore,
  ReplicaView,
} from "@kreplica/mm-core";
import { fixedHolders, tinyImage } from "@kreplica/mm-core/testing";
import { setMemory } from "@kreplica/set-memory";
import { textPatch } from "@kreplica/text-patch";
import { vmalloc } from "@kreplica/vmalloc";
import {
  bpf,
  fixedHost,
  type FixedHost,
  type CompiledResult,
  Helpers,
  type LoadedObject,
  ProgramMemory,
  runCompiled,
} from "../../src/index.js";
import { executing } from "./flat-cpu.js";

export const NODES = 4;

export interface Kernel {
  readonly assembly: Assembly;
  readonly machine: Machine;
  readonly memory: ProgramMemory;
  readonly host: FixedHost;
  readonly holders: readonly NodeId[];
  call(cpu: number, entry: bigint, context: bigint, helper?: LoadedObject, rdx?: bigint): CompiledResult;
}

export function makeKernel(holders: readonly NodeId[], replicate: boolean): Kernel {
  const machine = wire([hwX86(tinyMachine({ nodes: NODES, coresPerNode: 1, bytesPerNode: 64 << 20 }))]).get(Machine);
  const image = tinyImage(),
    home = machine.memory.ranges.find((range) => range.node === holders[0])!,
    last = machine.memory.ranges.at(-1)!;
  const layout = kernelLayout({
    levels: 4,
    pti: false,
    imagePhysical: (BigInt(home.first) << 12n) + 0x100_0000n,
    imageBytes: image.end - image.stext,
    memoryEnd: BigInt(last.first + last.frames) << 12n,
    seed: 1,
  });
  const inputs: Plugin = plugin("test", [
    bindValue(Machine, machine),
    bindValue(PhysMemory, machine.memory),
    bindValue(KernelImage, image),
    bindValue(KernelLayout, layout),
    bindValue(KernelOptions, { master: holders[0]!, bootCpu: 0, pcid: true, seed: 1, reserved: [] }),
  ]);
  const assembly = wire([inputs, mmCore, fixedHolders(...holders), setMemory, vmalloc, textPatch, bpf(replicate)]);
  const view = assembly.get(ReplicaView),
    cpus = assembly.get(CpuState);
  for (const id of machine.cpuIds) {
    const cpu = machine.cpu(id);
    cpu.cr4 = 0x20 | 0x80;
    cpu.writeCr3(BigInt(view.kernelRoot(machine.nodeOfCpu(id))) << 12n);
    cpu.efer = 0x100 | 0x800;
    cpu.cr0 = 0x8001_0001 | 0;
    cpus.bringUp(id);
  }
  const memory = assembly.get(ProgramMemory),
    helpers = assembly.get(Helpers);
  const host = fixedHost(machine, memory, { now: () => 5n });
  const running = new Map<number, X86>();
  return {
    assembly,
    machine,
    memory,
    host,
    holders,
    call(cpu, entry, context, object, rdx) {
      const x86 = running.get(cpu) ?? new X86(new MachinePort(machine, cpu));
      running.set(cpu, x86);
      host.current = cpu;
      if (rdx !== undefined) x86.setRegister(2, rdx);
      const stack = memory.allocate(8192, "stack");
      const word = new Uint8Array(8);
      const result = runCompiled({
        cpu: executing(x86),
        entry,
        context,
        stackTop: stack + 8192n,
        stubs: helpers.stubs,
        budget: 100_000,
        writeWord: (address, value) => {
          new DataView(word.buffer).setBigUint64(0, value, true);
          memory.write(address, word);
        },
        helper: (id, ...args) => object?.helper(id, ...args),
      });
      memory.release(stack);
      return result;
    },
  };
}
/** Frame and permissions behind an address on each node. */
export const leaves = (k: Kernel, address: bigint) =>
  Array.from({ length: NODES }, (_, node) => {
    const leaf = k.assembly.get(KernelTables).lookup(node, address)!;
    return {
      frame: leaf.frame,
      owner: k.machine.memory.nodeOf(leaf.frame),
      allows: `${leaf.writable ? "w" : "r"}${leaf.executable ? "x" : "-"}`,
    };
  });
