/**
 * What each policy costs in memory and in stores to page tables: counted by doing it on a booted kernel, beside the
 * same done with a single copy.
 */
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { CpuId, MachineSpec, NodeId } from "@kreplica/hw-x86";
import {
  boot,
  type Booted,
  type Footprint,
  type Kernel,
  kernelFrom,
  type KernelPolicy,
  type KernelSource,
  memoryCost,
  type MemoryCost,
  type PolicyChoice,
  policyOf,
  takeFootprint,
} from "@kreplica/kernel";
import { invariant, type Process, Processes, singleCopy } from "@kreplica/mm-core";

/** All figures are what a policy adds to a single copy. */
export interface PolicyCost {
  readonly policy: string;
  /** Nodes that hold a copy. */
  readonly holders: readonly NodeId[];
  /** Bytes of copies and tables once the kernel is up. */
  readonly bootBytes: number;
  /** The same by the closed form I3. */
  readonly closedForm: number;
  /** All bytes that are free less then, by cause. */
  readonly memory: MemoryCost;
  /** Bytes of tables of a process that has run on one node, and on every node. */
  readonly processBytes: number;
  readonly everywhereBytes: number;
  /** Stores of 8 bytes to page tables in each of these; clearing a new table aside. */
  readonly stores: {
    /** Of a process with two top-level slots, by a parent on the same node. */
    readonly fork: number;
    /** The child's old tables go, new ones come. */
    readonly exec: number;
    readonly exit: number;
    /** A first page under a top-level slot: 512 GiB, with 5 levels 256 TiB. */
    readonly slot: number;
    /** The last page under it goes. */
    readonly slotGone: number;
    /** First switches of a process to all other nodes. */
    readonly switches: number;
  };
}

const LOW = 0x40_0000n;

/**
 * @param source a kernel, whose own policy does not matter
 * @param look called with each policy's kernel when all of it has been counted
 * @throws InputError as {@link boot} does, MmError when the machine is too small
 */
export function policyCosts(
  source: KernelSource,
  policies: readonly PolicyChoice[],
  look: (policy: KernelPolicy, booted: Booted) => void = () => undefined,
): PolicyCost[] {
  const kernel = kernelFrom(source);
  const plain = measureOne(kernel.with({ policy: singleCopy }), look);
  return policies.map((choice) => {
    const policy = policyOf(choice);
    const of = policy === singleCopy ? plain : measureOne(kernel.with({ policy }), look);
    const { footprint, ...cost } = of;
    return {
      ...cost,
      memory: memoryCost(plain.footprint, footprint),
      processBytes: of.processBytes - plain.processBytes,
      everywhereBytes: of.everywhereBytes - plain.everywhereBytes,
    };
  });
}

/** As {@link PolicyCost}, but for what the kernel takes and the bytes of a process, which are all it has. */
function measureOne(
  given: Kernel,
  look: (policy: KernelPolicy, booted: Booted) => void,
): Omit<PolicyCost, "memory"> & { readonly footprint: Footprint } {
  const { machine: spec, policy } = given;
  const kernel = boot(given);
  const { levels } = kernel.layout;
  const footprint = takeFootprint(kernel);
  const processes = kernel.assembly.get(Processes);
  const top = 1n << (levels === 5 ? 56n : 47n);
  const slotBytes = 1n << (levels === 5 ? 48n : 39n);
  const onePerNode = cpuOfEachNode(spec);
  // Away from the image: there a single copy serves worst.
  const cpu = onePerNode.at(-1)!;
  const stores = (work: () => void): number => {
    const before = kernel.entries.replicaStores;
    work();
    return kernel.entries.replicaStores - before;
  };
  const map = (process: Process, address: bigint): void => {
    invariant(
      processes.mmap(process, { start: address, pages: 1 }, {}, cpu) &&
        processes.access(cpu, address, "write") === "ok",
      "no memory for a page of a measured process",
    );
  };
  const must = <T>(value: T | undefined): T => {
    invariant(value !== undefined, "no memory for a measured process");
    return value;
  };

  const before = tableFrames(kernel);
  const parent = must(processes.spawn(cpu));
  processes.run(parent, cpu);
  map(parent, LOW);
  map(parent, top - slotBytes);
  const processBytes = (tableFrames(kernel) - before) * PAGE_BYTES;
  const slot = stores(() => map(parent, slotBytes));
  const slotGone = stores(() => {
    processes.munmap(parent, { start: slotBytes, pages: 1 }, cpu);
  });
  let child: Process | undefined;
  const fork = stores(() => {
    child = must(processes.fork(parent, cpu));
  });
  const exec = stores(() => {
    invariant(processes.exec(child!, cpu), "no memory for a measured process");
  });
  processes.run(child!, cpu);
  map(child!, LOW);
  map(child!, top - slotBytes);
  const exit = stores(() => processes.exit(child!));
  const switches = stores(() => {
    for (const each of onePerNode) processes.run(parent, each);
  });
  const memory = kernel.memory();
  const everywhereBytes = (tableFrames(kernel) - before) * PAGE_BYTES;
  look(policy, kernel);
  return {
    policy: policy.name,
    holders: kernel.view.holders,
    footprint,
    bootBytes: memory.extraBytes,
    closedForm: memory.closedForm,
    processBytes,
    everywhereBytes,
    stores: { fork, exec, exit, slot, slotGone, switches },
  };
}

/**
 * Bytes of page tables that a process with two top-level slots has more in one kernel than in another: when it has run
 * on one node, and on every node.
 * @param plain with one copy @param cpu that makes and runs it
 */
export function processBytes(
  plain: Booted,
  kernel: Booted,
  cpu: CpuId,
): { readonly bytes: number; readonly everywhereBytes: number } {
  const [one, other] = [plain, kernel].map((booted) => {
    const before = tableFrames(booted);
    const grown = (): number => (tableFrames(booted) - before) * PAGE_BYTES;
    const processes = booted.assembly.get(Processes);
    const process = processes.spawn(cpu);
    invariant(process !== undefined, "no memory for a measured process");
    processes.run(process, cpu);
    const bytes = grown();
    for (const each of cpuOfEachNode(booted.machine.spec)) processes.run(process, each);
    return { bytes, everywhereBytes: grown() };
  }) as [{ bytes: number; everywhereBytes: number }, { bytes: number; everywhereBytes: number }];
  return { bytes: other.bytes - one.bytes, everywhereBytes: other.everywhereBytes - one.everywhereBytes };
}

const tableFrames = ({ allocator, machine }: Booted): number =>
  machine.nodes.reduce((sum, node) => sum + allocator.usedFrames(node, "page-table"), 0);

/** The first CPU of each node that has one, by node. */
function cpuOfEachNode(spec: MachineSpec): CpuId[] {
  return spec.nodes.flatMap(({ id }) =>
    spec.cpus
      .filter((cpu) => cpu.node === id)
      .map((cpu) => cpu.id)
      .sort((a, b) => a - b)
      .slice(0, 1),
  );
}
