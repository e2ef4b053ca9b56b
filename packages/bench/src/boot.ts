/** Boots the modelled kernel on a machine and hands out what a replay, a report or a check needs of it. */
import type { Plugin } from "@kreplica/di";
import { type FrameRange, Machine, type MachineSpec, type NodeId, SparseMemory } from "@kreplica/hw-x86";
import {
  AddressSpaces, type BootEvent, BootMemory, BuildContext, CpuState, InvariantError, KernelBoot, type KernelImage, kernelLayout,
  type KernelOptions, KernelTables, PageAllocator, ReplicaView, SwitchMm, TableMemory,
} from "@kreplica/mm-core";
import { BootWitness, checkInvariants, type InvariantReport } from "@kreplica/numa-replication";
import { type MemoryAccount, measureMemory } from "./accounting.js";
import { POLICIES, withPolicy } from "./assemble.js";
import type { BootParts } from "./boot-parts.js";
import { InputError } from "./inputs/input-error.js";
import { sourceOf } from "./inputs/machine/load.js";
import { framesBeyond, RecordedPages, recordedWindows } from "./recorded-pages.js";
import { tracedKernel } from "./traced-kernel.js";

export type { BootParts } from "./boot-parts.js";

export interface BootOptions {
  readonly spec: MachineSpec;
  /** A name of {@link POLICIES}, or a plugin that binds ReplicaView. */
  readonly policy: string | Plugin;
  readonly levels?: 4 | 5;
  readonly pti?: boolean;
  /** CPUs have PCIDs; false is what the recording's emulator had. */
  readonly pcid?: boolean;
  /** The node whose memory the image lies in; the first with memory when absent. */
  readonly masterNode?: NodeId;
  /** The first CPU when absent. */
  readonly bootCpu?: number;
  /** The traced kernel when absent. */
  readonly image?: KernelImage;
  /** Ends of text and rodata; ignored with an image of one's own. */
  readonly alignment?: "recorded" | "patch-06";
  readonly kaslr?: { readonly text?: boolean; readonly memory?: boolean };
  /** Nodes whose memory is plugged in later. */
  readonly offlineMemory?: readonly NodeId[];
  /** The kernel checks its accesses: an eighth of memory is shadow. */
  readonly kasan?: boolean;
  readonly seed?: number;
  /** The nodes that stand for the recorded guest's node 0 and 1; the first two with memory when absent. */
  readonly recordedNodes?: readonly [NodeId, NodeId];
  /** Defects of the series laid over the kernel; those of replication itself come with the policy. */
  readonly defects?: KernelOptions["defects"];
  /** Further frames the kernel may not have: those a recording uses on a machine too small to set the whole guest aside. */
  readonly reserved?: KernelOptions["reserved"];
  /** Subsystems beside the core: set-memory, vmalloc, text-patch and what else a caller wants on this kernel. */
  readonly plugins?: readonly Plugin[];
  /** Called with the kernel before its first step: to add to steps, or to refuse allocations. */
  readonly before?: (parts: BootParts) => void;
}


/** A kernel that came up. */
export interface Booted extends BootParts {
  readonly timeline: readonly BootEvent[];
  /** Pages of a recording, mapped where the model has room for them. */
  readonly recorded: RecordedPages;
  /** Bytes of text, rodata and tables by node, read from the tables; and what the closed form says. */
  memory(): MemoryAccount;
  checkInvariants(): InvariantReport;
}

/** Where the image lies without KASLR: 16 MiB into its node's memory. @source CONFIG_PHYSICAL_START */
const IMAGE_OFFSET = 0x100_0000n;

/**
 * @throws InputError when options contradict the machine
 * @throws MmError when a step of the boot is refused
 */
export function boot(options: BootOptions): Booted {
  const parts = prepare(options);
  options.before?.(parts);
  const witness = BootWitness.of(parts);
  parts.boot.run();
  const recordedNodes = options.recordedNodes ?? defaultRecordedNodes(parts.machine);
  return {
    ...parts,
    timeline: parts.boot.timeline,
    recorded: new RecordedPages(parts, recordedNodes),
    memory: () => measureMemory(parts),
    checkInvariants: () => checkInvariants({ ...parts, reached: parts.boot.reached, witness }),
  };
}

/** Assembles without booting. @throws InputError when options contradict the machine */
export function prepare(options: BootOptions): BootParts {
  const { spec } = options;
  const fault = (field: string, reason: string, remedy: string): never => { throw new InputError({ file: sourceOf(spec), field, reason, remedy }); };
  const levels = options.levels ?? 4;
  if (levels === 5 && spec.virtualBits < 57) fault("--levels", "this machine's addresses have 48 bits, too few for 5 levels", "choose 4 levels, or a machine with virtualBits 57");
  const policy = typeof options.policy === "string"
    ? POLICIES[options.policy] ?? fault("--policy", `there is no policy ${options.policy}`, `choose one of ${Object.keys(POLICIES).join(", ")}`)
    : { plugin: options.policy };
  const defects = options.defects ?? ("defects" in policy ? policy.defects : undefined);
  if (options.kasan && options.kaslr?.memory) fault("--kasan", "the compiler knows where the shadow of each memory region is, so that Linux moves none in a kernel with KASAN", "choose --kaslr text or off");
  if (options.offlineMemory?.includes(options.masterNode ?? options.spec.nodes.find((node) => node.memoryBytes > 0)?.id ?? -1)) fault("offlineMemory", "the node that holds the image cannot be without memory", "leave it out, or choose another master node");
  if (options.kasan && options.offlineMemory?.length) fault("--kasan", "shadow of memory that is plugged in later is not modelled", "leave one of the two out");
  if (options.kasan && levels === 5 && options.policy === "rfc-v1") fault("--kasan", "the series as posted cannot be configured with KASAN and 5 levels", "choose --levels 4, or another policy");
  const withMemory = spec.nodes.filter((node) => node.memoryBytes > 0).map((node) => node.id);
  const master = options.masterNode ?? withMemory[0] ?? fault("nodes", "no node has memory", "give one node memory");
  if (!withMemory.includes(master)) fault("--master-node", `node ${master} has no memory`, `choose one of ${withMemory.join(", ")}`);
  // The series takes a PGD before there are any unless the boot CPU's node has the image (D1): such a kernel does not come up.
  const bootsOnMaster = "bootsOnMaster" in policy;
  const mayBoot = spec.cpus.filter((cpu) => !bootsOnMaster || nearestMemory(spec, cpu.node) === master).map((cpu) => cpu.id);
  if (mayBoot.length === 0) fault("--master-node", `the series as posted boots only on a CPU of the image's node, and node ${master} has none`, "choose a node with CPUs, or another policy");
  const bootCpu = options.bootCpu ?? Math.min(...mayBoot);
  if (!spec.cpus.some((cpu) => cpu.id === bootCpu)) fault("--boot-cpu", `there is no CPU ${bootCpu}`, `choose 0 to ${spec.cpus.length - 1}`);
  if (!mayBoot.includes(bootCpu)) fault("--boot-cpu", `CPU ${bootCpu} is not on node ${master}, and the series as posted boots only on a CPU of the image's node (D1)`, `choose CPU ${Math.min(...mayBoot)}, or another policy`);

  const perNode = options.policy !== "single-copy";
  const image = options.image ?? tracedKernel(options.alignment ?? (perNode ? "patch-06" : "recorded"));
  const ranges = frameRangesOf(spec);
  const home = ranges.find((range) => range.node === master)!;
  const imageBytes = image.end - image.stext;
  if (BigInt(home.frames) * 4096n < IMAGE_OFFSET + imageBytes) {
    fault(`nodes[${spec.nodes.findIndex((node) => node.id === master)}].memoryBytes`, `node ${master} is too small for a kernel image of ${imageBytes >> 20n} MiB`, "give it at least 128 MiB, or choose another master node");
  }
  const base = BigInt(home.first) << 12n;
  const windows = recordedWindows(ranges, options.recordedNodes, framesBeyond(image));
  const seed = options.seed ?? 1;
  const layout = kernelLayout({
    levels, pti: options.pti ?? false, imagePhysical: base + IMAGE_OFFSET, imageBytes, seed,
    memoryEnd: BigInt(Math.max(...ranges.map((range) => range.first + range.frames))) << 12n,
    physicalWindow: { start: base + IMAGE_OFFSET, end: base + (BigInt(Math.min(home.frames, 0x2_0000)) << 12n) },
    kaslrText: options.kaslr?.text ?? false, kaslrMemory: options.kaslr?.memory ?? false,
    kasan: options.kasan ?? false,
  });
  const kernelOptions: KernelOptions = { master, bootCpu, pcid: options.pcid ?? true, seed, reserved: [...windows, ...(options.reserved ?? [])], ...(options.offlineMemory ? { offlineMemory: options.offlineMemory } : {}), ...(defects ? { defects } : {}) };
  const assembly = withPolicy(spec, { image, layout, options: kernelOptions }, policy.plugin, options.plugins);
  return {
    assembly, image, layout, options: kernelOptions,
    machine: assembly.get(Machine), tables: assembly.get(KernelTables), entries: assembly.get(TableMemory), view: assembly.get(ReplicaView),
    allocator: assembly.get(PageAllocator), early: assembly.get(BootMemory), spaces: assembly.get(AddressSpaces), switcher: assembly.get(SwitchMm), cpus: assembly.get(CpuState),
    boot: assembly.get(KernelBoot), context: assembly.get(BuildContext),
  };
}

/** Node with memory that a node's CPUs use: itself, or the nearest by SLIT, as kernels go by. (By latency: measure/placement.ts.) */
function nearestMemory(spec: MachineSpec, node: NodeId): NodeId | undefined {
  const row = spec.distance[spec.nodes.findIndex((each) => each.id === node)]!;
  return spec.nodes.map((each, index) => ({ ...each, distance: each.id === node ? 0 : row[index]! })).filter((each) => each.memoryBytes > 0)
    .sort((a, b) => a.distance - b.distance || a.id - b.id)[0]?.id;
}

/** Where the nodes lie, as the machine itself will say. */
const frameRangesOf = (spec: MachineSpec): readonly FrameRange[] => new SparseMemory(spec.nodes).ranges;

function defaultRecordedNodes(machine: Machine): readonly [NodeId, NodeId] {
  const nodes = [...new Set(machine.memory.ranges.map((range) => range.node))];
  const first = nodes[0];
  if (first === undefined) throw new InvariantError("a machine without memory booted");
  return [first, nodes[1] ?? first];
}
