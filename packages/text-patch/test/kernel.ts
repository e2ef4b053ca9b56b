/** A kernel on a real machine with given holders and some text, for the tests of this folder. */
import { assemble } from "@kreplica/di";
import { hwX86, type Frame, Machine, type NodeId } from "@kreplica/hw-x86";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { KERNEL_DATA } from "@kreplica/mm-core/api";
import { fixedHolders, testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { ReplicaTextPoke } from "../src/index.js";

/** First address of four pages of read-only text that every holder has its own copy of. */
export const TEXT = 0xffff_ffff_c000_0000n;
/** First address of two pages of read-only text that all holders share. */
export const SHARED = 0xffff_ffff_c040_0000n;
/** Writable on every holder, each its own: a module before it is formed. */
export const YOUNG = 0xffff_ffff_c080_0000n;

export interface PatchKernel extends TestKernel {
  readonly poke: ReplicaTextPoke;
  frame(node: NodeId, page: number): Frame;
  /** Bytes through one holder's tables. */
  bytes(node: NodeId, address: bigint, length: number): Uint8Array;
}

export function makeKernel(holders: readonly NodeId[]): PatchKernel {
  const machine = assemble([hwX86(tinyMachine({ nodes: 4, coresPerNode: 1, bytesPerNode: 64 << 20 }))]).get(Machine);
  const kernel = testKernel({ machine: machine as never, master: holders[0]!, view: fixedHolders(...holders) });
  const base = (node: NodeId): Frame => machine.memory.ranges.find((range) => range.node === node)!.first + 8192;
  const text = { ...KERNEL_DATA, writable: false, executable: true, level: 1 as const };
  kernel.tables.edit((editor) => {
    for (let page = 0n; page < 4n; page++)
      editor.mapPerNode(TEXT + page * 4096n, text, (node) => base(node) + Number(page));
    for (let page = 0n; page < 2n; page++) {
      editor.map(SHARED + page * 4096n, { ...text, frame: base(holders[0]!) + 16 + Number(page) });
      editor.mapPerNode(
        YOUNG + page * 4096n,
        { ...text, writable: true, executable: false },
        (node) => base(node) + 24 + Number(page),
      );
    }
  });
  for (const cpu of machine.cpuIds) {
    const core = machine.cpu(cpu);
    core.cr4 = 0x20 | 0x80;
    core.writeCr3(BigInt(kernel.view.kernelRoot(machine.nodeOfCpu(cpu))) << 12n);
    core.efer = 0x100 | 0x800;
    core.cr0 = 0x8001_0001 | 0;
    kernel.cpus.bringUp(cpu);
  }
  const poke = new ReplicaTextPoke(
    machine,
    kernel.tables,
    kernel.view,
    kernel.cpus,
    kernel.entries,
    kernel.allocator,
    kernel.layout,
    kernel.image,
    kernel.options,
    kernel.boot,
    kernel.switcher,
    kernel.textUsers,
  );
  return {
    ...kernel,
    poke,
    frame: (node, page) => base(node) + page,
    bytes(node, address, length) {
      const bytes = new Uint8Array(length);
      for (let i = 0; i < length; i++) {
        const at = address + BigInt(i);
        const leaf = kernel.tables.lookup(node, at)!;
        machine.memory.readBytes((BigInt(leaf.frame) << 12n) + (at & 4095n), bytes.subarray(i, i + 1));
      }
      return bytes;
    },
  };
}
