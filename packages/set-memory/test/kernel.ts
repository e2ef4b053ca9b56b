/** A kernel with given holders and a SetMemory, for the tests of this folder. */
import { ALL_PAGES, Bit, type Frame, type NodeId, walkRange } from "@kreplica/hw-x86/api";
import { addressOfFrame } from "@kreplica/hw-x86/api";
import {
  KERNEL_DATA,
  type KernelLayout,
  type Mapping,
  mappingOf,
  SharedMemory,
  type WalkEnd,
  walk,
} from "@kreplica/mm-core/api";
import { fixedHolders, stubMachine, testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import type { SetMemory } from "../src/api.js";
import { TableSetMemory } from "../src/index.js";

export { KERNEL_DATA, type Mapping, walk } from "@kreplica/mm-core/api";
export type { NodeId } from "@kreplica/hw-x86/api";

export interface SetMemoryKernel extends TestKernel {
  readonly setMemory: SetMemory;
  /** First of 1,536 frames of a node that nothing else uses. */
  frame(node: NodeId): Frame;
  mapping(end: WalkEnd): Mapping;
  /** All leaves and absent entries of every root as text, accessed and dirty left out. */
  snapshot(): string;
  /** Clears an entry of one root. */
  hole(root: Frame, address: bigint): void;
}

export const addressOf = (layout: KernelLayout, frame: Frame): bigint => layout.pageOffset + addressOfFrame(frame);

/** @param encryptionBit its place; absent: the machine has none */
export function makeKernel(holders: readonly NodeId[], pti = false, encryptionBit?: 47 | 51): SetMemoryKernel {
  const machine = stubMachine([0, 1, 2, 3].map((id) => ({ id, memoryMiB: 64, cpus: 1 })));
  const kernel = testKernel({
    machine: encryptionBit === undefined ? machine : { ...machine, spec: { ...machine.spec, encryptionBit } },
    pti,
    master: holders[0]!,
    view: fixedHolders(...holders),
  });
  const setMemory = new TableSetMemory(
    kernel.tables,
    kernel.entries,
    kernel.view,
    kernel.layout,
    kernel.image,
    kernel.allocator,
    kernel.assembly.get(SharedMemory),
  );
  return {
    ...kernel,
    setMemory,
    frame: (node) => kernel.machine.memory.ranges.find((range) => range.node === node)!.first + 8192,
    mapping: (end) => mappingOf(end.lo, end.hi, end.level as 1 | 2 | 3),
    hole(root, address) {
      const { table, index } = walk(kernel.entries.memory, root, 4, address);
      kernel.entries.write(table, index, 0, 0);
    },
    snapshot() {
      const lines: string[] = [];
      for (const { root } of kernel.view.roots) {
        walkRange(kernel.entries.memory, root, 4, ALL_PAGES, {
          leaf: (address, level, lo, hi) => {
            lines.push(
              `${root} ${address.toString(16)} ${level} ${(lo & ~(Bit.Accessed | Bit.Dirty)).toString(16)} ${hi.toString(16)}`,
            );
          },
        });
      }
      return lines.join("\n");
    },
  };
}

/** Where {@link mapped} maps. */
export const WINDOW = 0xffff_ffff_c000_0000n;

/** Two 2 MiB leaves and 16 small pages in the window, each holder its own frames; their direct-map views exist. */
export function mapped(holders: readonly NodeId[], pti = false, encryptionBit?: 47 | 51): SetMemoryKernel {
  const kernel = makeKernel(holders, pti, encryptionBit);
  kernel.tables.edit((editor) => {
    for (const leaf of [0, 1])
      editor.mapPerNode(
        WINDOW + BigInt(leaf) * 0x20_0000n,
        { ...KERNEL_DATA, level: 2 },
        (node) => kernel.frame(node) + leaf * 512,
      );
    for (let page = 0; page < 16; page++)
      editor.mapPerNode(
        WINDOW + 0x40_0000n + BigInt(page) * 4096n,
        { ...KERNEL_DATA, level: 1 },
        (node) => kernel.frame(node) + 1024 + page,
      );
    for (const node of kernel.view.holders) {
      for (let leaf = 0; leaf < 3; leaf++)
        editor.map(addressOf(kernel.layout, kernel.frame(node) + leaf * 512), {
          ...KERNEL_DATA,
          level: 2,
          frame: kernel.frame(node) + leaf * 512,
        });
    }
  });
  return kernel;
}
