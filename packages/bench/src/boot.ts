/** Boots the modelled kernel on a machine and hands out what a replay, a report or a check needs of it. */
import type { Plugin } from "@kreplica/di";
import { type FrameRange, Machine, type MachineSpec, type NodeId, SparseMemory } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import { withFiveLevels } from "@kreplica/machines";
import {
  AddressSpaces,
  type BootEvent,
  BootMemory,
  BuildContext,
  CpuState,
  KernelBoot,
  type KernelImage,
  kernelLayout,
  type KernelOptions,
  KernelTables,
  PageAllocator,
  ReplicaView,
  SwitchMm,
  TableMemory,
} from "@kreplica/mm-core";
import { BootWitness, checkInvariants, type InvariantReport } from "@kreplica/invariants";
import { type RecordedGuest, shippedGuest } from "@kreplica/trace";
import { type MemoryAccount, measureMemory } from "./accounting.js";
import { POLICIES, type Policy, withPolicy } from "./assemble.js";
import type { BootParts } from "./boot-parts.js";
import { bootableCpus, IMAGE_OFFSET, imageRuns, nodeOfAddress } from "./boot-place.js";
import { checkedKernel } from "./checked-kernel.js";
import { sourceOf } from "./inputs/machine/load.js";
import { SUBSYSTEM_INVARIANTS } from "./invariants.js";
import type { SeriesDefect } from "@kreplica/series-as-posted";
import { defaultGuestNodes, framesBeyond, RecordedPages, sparedWindows } from "./recorded-pages.js";
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
  /** The node whose memory the image lies in. When absent the first with memory, with KASLR of text any, as drawn. */
  readonly masterNode?: NodeId;
  /** When absent the first CPU on which the kernel comes up. */
  readonly bootCpu?: number;
  /** The traced kernel when absent. */
  readonly image?: KernelImage;
  /** Ends of text and rodata; ignored with an image of one's own. */
  readonly alignment?: "recorded" | "patch-06";
  readonly kaslr?: { readonly text?: boolean; readonly memory?: boolean };
  /** Nodes whose memory is plugged in later. */
  readonly offlineMemory?: readonly NodeId[];
  /**
   * The kernel checks its accesses: an eighth of memory is shadow. Without vmalloc: its areas have no shadow of their
   * own, as without CONFIG_KASAN_VMALLOC.
   */
  readonly kasan?: boolean | "without vmalloc";
  readonly seed?: number;
  /**
   * The nodes that stand for those of the recorded guest: of its image, and of all other memory; the first two with
   * memory when absent.
   */
  readonly recordedNodes?: readonly [NodeId, NodeId];
  /** The guest of the recording that this kernel is to replay; the shipped ones' when absent. */
  readonly guest?: RecordedGuest;
  /** Defects of the series laid over the kernel, beside those that come with the policy. */
  readonly defects?: readonly SeriesDefect[];
  /**
   * Further frames the kernel may not have: those a recording uses on a machine too small to set the whole guest aside.
   */
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
  /**
   * All invariants from the machine's bytes, at any moment: with areas copied, a CPU inside the firmware, a patch under
   * way.
   */
  checkInvariants(): InvariantReport;
}

/**
 * @throws InputError when options contradict the machine
 * @throws MmError when a step of the boot is refused
 */
export function boot(options: BootOptions): Booted {
  const parts = prepare(options);
  options.before?.(parts);
  const witness = BootWitness.of(parts);
  parts.boot.run();
  const recordedNodes = options.recordedNodes ?? defaultGuestNodes(parts.machine.memory.ranges);
  return {
    ...parts,
    timeline: parts.boot.timeline,
    recorded: new RecordedPages(parts, recordedNodes, options.guest),
    memory: () => measureMemory(parts),
    checkInvariants: () => checkInvariants(checkedKernel(parts, witness), undefined, { others: SUBSYSTEM_INVARIANTS }),
  };
}

/** Assembles without booting. @throws InputError when options contradict the machine */
export function prepare(options: BootOptions): BootParts {
  const { spec } = options;
  const fault = (field: string, reason: string, remedy: string): never => {
    throw new InputError({ file: sourceOf(spec), field, reason, remedy });
  };
  const levels = options.levels ?? 4;
  if (levels === 5 && spec.virtualBits < 57)
    fault(
      "--levels",
      "this machine's addresses have 48 bits, too few for 5 levels",
      `choose 4 levels, or a machine with virtualBits 57, as ${withFiveLevels().join(", ")} has`,
    );
  const policy: Omit<Policy, "summary"> =
    typeof options.policy === "string"
      ? (POLICIES[options.policy] ??
        fault("--policy", `there is no policy ${options.policy}`, `choose one of ${Object.keys(POLICIES).join(", ")}`))
      : { plugin: options.policy };
  const defects = options.defects ?? policy.defects;
  if (options.kasan && options.kaslr?.memory)
    fault(
      "--kasan",
      "the compiler knows where the shadow of each memory region is, so that Linux moves none in a kernel with KASAN",
      "choose --kaslr text or off",
    );
  if (
    options.offlineMemory?.includes(
      options.masterNode ?? options.spec.nodes.find((node) => node.memoryBytes > 0)?.id ?? -1,
    )
  )
    fault(
      "offlineMemory",
      "the node that holds the image cannot be without memory",
      "leave it out, or choose another master node",
    );
  if (options.kasan && options.offlineMemory?.length)
    fault("--kasan", "shadow of memory that is plugged in later is not modelled", "leave one of the two out");
  if (options.kasan && levels === 5 && options.policy === "rfc-v1")
    fault(
      "--kasan",
      "the series as posted cannot be configured with KASAN and 5 levels",
      "choose --levels 4, or another policy",
    );
  const withMemory = spec.nodes.filter((node) => node.memoryBytes > 0).map((node) => node.id);
  const wanted = options.masterNode ?? withMemory[0] ?? fault("nodes", "no node has memory", "give one node memory");
  if (!withMemory.includes(wanted))
    fault("--master-node", `node ${wanted} has no memory`, `choose one of ${withMemory.join(", ")}`);
  const bootCpu = bootCpuOf(options, policy.bootNode, fault);

  const perNode = options.policy !== "single-copy";
  const image = options.image ?? tracedKernel(options.alignment ?? (perNode ? "patch-06" : "recorded"));
  const ranges = frameRangesOf(spec);
  const home = ranges.find((range) => range.node === wanted)!;
  const imageBytes = image.end - image.stext;
  const guest = options.guest ?? shippedGuest;
  const windows = sparedWindows(
    ranges,
    guest,
    options.recordedNodes ?? defaultGuestNodes(ranges),
    framesBeyond(image, guest),
  );
  const seed = options.seed ?? 1;
  const layout = kernelLayout({
    levels,
    pti: options.pti ?? false,
    imagePhysical: (BigInt(home.first) << 12n) + IMAGE_OFFSET,
    imageBytes,
    seed,
    memoryEnd: BigInt(Math.max(...ranges.map((range) => range.first + range.frames))) << 12n,
    physicalRuns: imageRuns(
      ranges,
      options.masterNode === undefined ? withMemory.filter((node) => !options.offlineMemory?.includes(node)) : [wanted],
      windows,
    ),
    kaslrText: options.kaslr?.text ?? false,
    kaslrMemory: options.kaslr?.memory ?? false,
    kasan: options.kasan ?? false,
  });
  const master = (options.kaslr?.text ? nodeOfAddress(ranges, layout.imagePhysical) : undefined) ?? wanted;
  if (
    [layout.imagePhysical, layout.imagePhysical + imageBytes - 1n].some(
      (address) => nodeOfAddress(ranges, address) !== master,
    )
  ) {
    fault(
      `nodes[${spec.nodes.findIndex((node) => node.id === master)}].memoryBytes`,
      `node ${master} is too small for a kernel image of ${imageBytes >> 20n} MiB`,
      "give it at least 128 MiB, or choose another master node",
    );
  }
  const kernelOptions: KernelOptions = {
    master,
    bootCpu,
    pcid: options.pcid ?? true,
    seed,
    reserved: [...windows, ...(options.reserved ?? [])],
    ...(options.offlineMemory ? { offlineMemory: options.offlineMemory } : {}),
  };
  const assembly = withPolicy(spec, { image, layout, options: kernelOptions }, policy.plugin, options.plugins, defects);
  const parts: BootParts = {
    assembly,
    image,
    layout,
    options: kernelOptions,
    machine: assembly.get(Machine),
    tables: assembly.get(KernelTables),
    entries: assembly.get(TableMemory),
    view: assembly.get(ReplicaView),
    allocator: assembly.get(PageAllocator),
    early: assembly.get(BootMemory),
    spaces: assembly.get(AddressSpaces),
    switcher: assembly.get(SwitchMm),
    cpus: assembly.get(CpuState),
    boot: assembly.get(KernelBoot),
    context: assembly.get(BuildContext),
  };
  return parts;
}

/**
 * The CPU that boots: the one asked for, or the first on which the kernel comes up.
 * @param only node whose CPUs alone can boot it (defect D1)
 */
function bootCpuOf(
  { spec, bootCpu }: BootOptions,
  only: NodeId | undefined,
  fault: (field: string, reason: string, remedy: string) => never,
): number {
  const mayBoot = bootableCpus(spec, only);
  const [first] = mayBoot;
  if (first === undefined)
    return fault(
      "--policy",
      `the series as posted comes up only on a CPU of logical node ${only} (D1), and this machine has none: node ids are Linux's logical ones`,
      "choose another policy",
    );
  const chosen = spec.cpus.find((cpu) => cpu.id === (bootCpu ?? first));
  if (!chosen) return fault("--boot-cpu", `there is no CPU ${bootCpu}`, `choose 0 to ${spec.cpus.length - 1}`);
  if (only !== undefined && chosen.node !== only) {
    return fault(
      "--boot-cpu",
      `CPU ${chosen.id} lies on node ${chosen.node}, and the series as posted hangs in trap_init on every CPU that is not on logical node ${only}: no other node has a root yet (D1)`,
      `choose CPU ${first}, or another policy`,
    );
  }
  return chosen.id;
}

/** Where the nodes lie, as the machine itself will say. */
const frameRangesOf = (spec: MachineSpec): readonly FrameRange[] => new SparseMemory(spec.nodes).ranges;
