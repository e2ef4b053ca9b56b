/** Kernels for tests: a booting one on a stub machine, and one with fixed holders and empty tables. */
import {
  assemble,
  type Assembly,
  bind,
  type Binding,
  bindValue,
  inject,
  injectable,
  override,
  plugin,
  type Plugin,
} from "@kreplica/di";
import { addressOfFrame, type CpuId, type Frame, Machine, type NodeId } from "@kreplica/hw-x86/api";
import { AddressSpaces, EAGER_PGDS, PgdPlan } from "../processes/address-space-api.js";
import { KernelBoot } from "../boot/boot-api.js";
import { BuildContext } from "../boot/build-context-api.js";
import { CpuState } from "../tables/cpu-state-api.js";
import { bootRoot } from "../boot/early-map.js";
import { invariant } from "../errors.js";
import { mmCore, singleCopy } from "../index.js";
import { kernelLayout, type LayoutOptions } from "../image/layout.js";
import { Processes } from "../processes/process-api.js";
import { SwitchMm } from "../processes/switch-api.js";
import { UserFrames } from "../processes/user-frames-api.js";
import { KernelOptions } from "../options-api.js";
import { BootMemory } from "../memory/boot-memory-api.js";
import { KernelImage } from "../image/kernel-image-api.js";
import { KernelLayout } from "../image/kernel-layout-api.js";
import { KernelTables } from "../tables/kernel-tables-api.js";
import { PageAllocator } from "../memory/page-allocator-api.js";
import { ReplicaView, type TableRoot } from "../tables/replica-view-api.js";
import { TableMemory } from "../tables/table-memory-api.js";
import { TextUsers } from "../image/text-users-api.js";
import { frameAt } from "../tables/walk.js";
import { type StubMachine, stubMachine, type StubNode } from "./stub-machine.js";
import { tinyImage } from "./tiny-image.js";

/** What a test's kernel is made of; two nodes of 64 MiB and two CPUs each unless said otherwise. */
export interface TestKernelOptions {
  readonly nodes?: readonly StubNode[];
  readonly distance?: readonly (readonly number[])[];
  readonly machine?: Machine;
  readonly levels?: 4 | 5;
  readonly pti?: boolean;
  readonly pcid?: boolean;
  readonly master?: NodeId;
  readonly bootCpu?: CpuId;
  /** Nodes whose memory comes later. */
  readonly offlineMemory?: readonly NodeId[];
  readonly alignment?: "recorded" | "patch-06";
  readonly image?: KernelImage;
  readonly layout?: Partial<LayoutOptions>;
  /** The plugin that binds ReplicaView; a single copy when absent. */
  readonly view?: Plugin;
  /** Subsystems beside the core, and what is laid over it. */
  readonly plugins?: readonly Plugin[];
  /** Stand in place of the core's own bindings of the same tokens, or of the view's. */
  readonly instead?: readonly Binding[];
}

/** A kernel and its parts. */
export interface TestKernel {
  readonly machine: StubMachine;
  readonly layout: KernelLayout;
  readonly image: KernelImage;
  readonly early: BootMemory;
  readonly allocator: PageAllocator;
  readonly entries: TableMemory;
  readonly tables: KernelTables;
  readonly view: ReplicaView;
  readonly cpus: CpuState;
  readonly boot: KernelBoot;
  readonly spaces: AddressSpaces;
  readonly options: KernelOptions;
  readonly processes: Processes;
  readonly userFrames: UserFrames;
  readonly switcher: SwitchMm;
  readonly textUsers: TextUsers;
  /** Where the parts of {@link TestKernelOptions.plugins} are. */
  readonly assembly: Assembly;
}

/** Assembles a kernel on a stub machine; nothing has booted yet. */
export function testKernel(options: TestKernelOptions = {}): TestKernel {
  const machine =
    options.machine ??
    stubMachine(
      options.nodes ?? [
        { id: 0, memoryMiB: 64, cpus: 2 },
        { id: 1, memoryMiB: 64, cpus: 2 },
      ],
      options.distance,
    );
  const image = options.image ?? tinyImage(options.alignment);
  const master = options.master ?? machine.memory.ranges[0]!.node;
  const home = machine.memory.ranges.find((range) => range.node === master);
  invariant(home !== undefined, `node ${master} has no memory`);
  const last = machine.memory.ranges[machine.memory.ranges.length - 1]!;
  const layout = kernelLayout({
    levels: options.levels ?? 4,
    pti: options.pti ?? false,
    imagePhysical: addressOfFrame(home.first) + 0x100_0000n,
    imageBytes: image.end - image.stext,
    memoryEnd: addressOfFrame(last.first + last.frames),
    seed: 1,
    ...options.layout,
  });
  const bootCpu = options.bootCpu ?? machine.cpuIds[0]!;
  const assembly = assemble([
    plugin("test", [
      bindValue(Machine, machine),
      bindValue(KernelImage, image),
      bindValue(KernelLayout, layout),
      bindValue(KernelOptions, {
        master,
        bootCpu,
        pcid: options.pcid ?? true,
        seed: 1,
        reserved: [],
        ...(options.offlineMemory === undefined ? {} : { offlineMemory: options.offlineMemory }),
      }),
    ]),
    ...override([mmCore, options.view ?? singleCopy], ...(options.instead ?? [])),
    ...(options.plugins ?? []),
  ]);
  return {
    machine: machine as StubMachine,
    layout,
    image,
    early: assembly.get(BootMemory),
    allocator: assembly.get(PageAllocator),
    entries: assembly.get(TableMemory),
    tables: assembly.get(KernelTables),
    view: assembly.get(ReplicaView),
    cpus: assembly.get(CpuState),
    boot: assembly.get(KernelBoot),
    spaces: assembly.get(AddressSpaces),
    options: assembly.get(KernelOptions),
    processes: assembly.get(Processes),
    userFrames: assembly.get(UserFrames),
    switcher: assembly.get(SwitchMm),
    textUsers: assembly.get(TextUsers),
    assembly,
  };
}

/**
 * A replica view whose holders are given, with empty tables: what a subsystem's test needs to see its loop over holders
 * work. Roots, and the private path to the window of each (PUD and its last two PMD pages), exist from the start; the
 * first holder is the master.
 */
export const fixedHolders = (...nodes: readonly NodeId[]): Plugin => plannedHolders(EAGER_PGDS, ...nodes);

/** The same with another plan for PGDs. */
export function plannedHolders(plan: PgdPlan, ...nodes: readonly NodeId[]): Plugin {
  @injectable()
  class FixedHolders implements ReplicaView {
    readonly name = "fixed-holders";
    readonly holders = nodes;
    readonly master = nodes[0]!;
    readonly copies = { text: nodes.length > 1, rodata: nodes.length > 1 };
    readonly roots: readonly TableRoot[];
    constructor(@inject(BuildContext) private readonly context: BuildContext) {
      const boot = bootRoot(context.layout, context.image);
      this.roots = [
        { node: this.master, root: boot, kind: "boot" },
        ...(nodes.length < 2
          ? []
          : nodes.map((node): TableRoot => ({
              node,
              kind: "node",
              root: context.allocator.allocate(node, 0, { purpose: "page-table", zero: true, thisNode: true }),
            }))),
      ];
      for (const { kind, root } of this.roots) if (kind === "node") context.entries.adopt(root);
    }
    nearest(node: NodeId): NodeId {
      return nodes.includes(node) ? node : this.master;
    }
    isPrivate(address: bigint): boolean {
      return nodes.length > 1 && address >= 0xffff_ffff_8000_0000n;
    }
    replicaFrame(address: bigint, node: NodeId): Frame | undefined {
      return frameAt(this.context.entries.memory, this.kernelRoot(node), this.context.layout.levels, address);
    }
    addressInReplica(): bigint | undefined {
      return undefined;
    }
    kernelRoot(node: NodeId): Frame {
      return (this.roots.find((each) => each.kind === "node" && each.node === this.nearest(node)) ?? this.roots[0]!)
        .root;
    }
    reserve(): void {}
    replicateKernel(): void {}
    setupCpu(): void {}
    replicateRodata(): void {}
    clearLinearAddresses(): void {}
  }
  return plugin("fixed-holders", [bind(ReplicaView, FixedHolders), bindValue(PgdPlan, plan)]);
}
