/**
 * A kernel small enough to be believed, for tests of vmalloc and of what stands on it: stub memory, fake allocator and
 * tables on chosen holders.
 */
import { assemble, bindValue, plugin, type Assembly, type Plugin } from "@kreplica/di";
import { PhysMemory, type FrameRange, type NodeId } from "@kreplica/hw-x86/api";
import { KernelLayout, KernelTables, PageAllocator, ReplicaView, TextUserList, TextUsers } from "@kreplica/mm-core/api";
import { StubMemory } from "@kreplica/mm-core/testing";
import { FakeAllocator } from "./testing/fake-allocator.js";
import { FakeTables } from "./testing/fake-tables.js";

export { FakeAllocator, FakeTables };
export type { Owed } from "./testing/fake-tables.js";

/** 4 levels, no KASLR. @source Documentation/arch/x86/x86_64/mm.rst */
export const fakeLayout: KernelLayout = {
  levels: 4,
  pti: false,
  imageOffset: 0n,
  imagePhysical: 0x100_0000n,
  pageOffset: 0xffff_8880_0000_0000n,
  vmallocStart: 0xffff_c900_0000_0000n,
  vmallocEnd: 0xffff_e8ff_ffff_ffffn,
  vmemmapStart: 0xffff_ea00_0000_0000n,
  cpuEntryArea: 0xffff_fe00_0000_0000n,
  espfix: 0xffff_ff00_0000_0000n,
  kernelMap: 0xffff_ffff_8000_0000n,
  modulesStart: 0xffff_ffff_c000_0000n,
  modulesEnd: 0xffff_ffff_ff00_0000n,
  fixmapStart: 0xffff_ffff_ff00_0000n,
  kernelBoundary: 273,
};

/** A kernel of fakes and the parts of it. */
export interface FakeKernel {
  readonly memory: StubMemory;
  readonly allocator: FakeAllocator;
  readonly tables: FakeTables;
  readonly view: ReplicaView;
  readonly layout: KernelLayout;
  readonly assembly: Assembly;
}

/** Which nodes a fake kernel has, and how much it can give. */
export interface FakeKernelOptions {
  /** Nodes with tables of their own, ascending. */
  readonly holders: readonly NodeId[];
  /** Nodes with memory; default: the holders. */
  readonly nodes?: readonly NodeId[];
  readonly framesPerNode?: number;
  readonly plugins: readonly Plugin[];
  readonly layout?: KernelLayout;
}

/** A fake kernel with the plugins under test assembled on it. */
export function fakeKernel({
  holders,
  nodes = holders,
  framesPerNode = 4096,
  plugins,
  layout = fakeLayout,
}: FakeKernelOptions): FakeKernel {
  const ranges = nodes.map((node, i): FrameRange => ({ node, first: 0x1000 + i * 0x10_0000, frames: framesPerNode }));
  const memory = new StubMemory(ranges);
  const allocator = new FakeAllocator(memory);
  const nothing = (): void => {};
  const view: ReplicaView = {
    name: "fixed",
    holders,
    master: holders[0]!,
    roots: holders.map((node) => ({ node, root: 1_000_000 + node, kind: "node" })),
    nearest: (node) => holders.reduce((best, each) => (Math.abs(each - node) < Math.abs(best - node) ? each : best)),
    isPrivate: (address) => holders.length > 1 && address >= layout.kernelMap,
    copies: { text: false, rodata: false },
    replicaFrame: () => undefined,
    addressInReplica: () => undefined,
    kernelRoot: (node) => 1_000_000 + node,
    reserve: nothing,
    replicateKernel: nothing,
    setupCpu: nothing,
    replicateRodata: nothing,
    clearLinearAddresses: nothing,
  };
  const tables = new FakeTables(view, layout, allocator);
  const kernel = plugin("fake-kernel", [
    bindValue(PhysMemory, memory),
    bindValue(PageAllocator, allocator),
    bindValue<KernelTables>(KernelTables, tables),
    bindValue(KernelLayout, layout),
    bindValue(ReplicaView, view),
    bindValue<TextUsers>(TextUsers, new TextUserList()),
  ]);
  return { memory, allocator, tables, view, layout, assembly: assemble([kernel, ...plugins]) };
}
export { vmallocContract, type VmallocSubject } from "./testing/vmalloc-contract.js";
