/**
 * One kernel as a value, before it is booted: machine, image, layout, options, and the list of plugins it is assembled
 * from, of which one is its policy. What boots, replays, measures or checks takes this.
 */
import { bindValue, plugin, type Plugin } from "@kreplica/di";
import {
  hex,
  addressOfFrame,
  type FrameRange,
  hwX86,
  type MachineSpec,
  type NodeId,
  SparseMemory,
} from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import { sourceOf, withFiveLevels } from "@kreplica/machines";
import { MOST_MEMORY, KernelImage, KernelLayout, kernelLayout, KernelOptions, mmCore } from "@kreplica/mm-core";
import { layOver } from "@kreplica/series-as-posted";
import { type RecordedGuest, shippedGuest } from "@kreplica/trace";
import type { BootOptions } from "./boot-options.js";
import { bootableCpus, IMAGE_OFFSET, imageRuns, nodeOfAddress } from "./boot-place.js";
import { extensions } from "./extensions.js";
import { calledOf, type KernelPolicy, policyOf } from "./policies.js";
import { framesBeyond, sparedWindows, tailsWindow } from "./guest-windows.js";
import { defaultGuestNodes } from "./recorded-pages.js";

/** A kernel, before it is booted. */
export interface Kernel {
  readonly machine: MachineSpec;
  /** The plugin of {@link plugins} that is its policy. */
  readonly policy: KernelPolicy;
  readonly image: KernelImage;
  readonly layout: KernelLayout;
  readonly options: KernelOptions;
  /** All it is assembled from, in order. */
  readonly plugins: readonly Plugin[];
  /** The guest of a recording it is to replay, and the nodes that stand for those of the guest. */
  readonly recorded: { readonly guest: RecordedGuest; readonly nodes: readonly [NodeId, NodeId] };
  /** What it was made from. */
  readonly choices: BootOptions;
  /** The same kernel but for these choices. */
  with(choices: Partial<BootOptions>): Kernel;
}

/** What a kernel can be given as: the value itself, or the choices that make one. */
export type KernelSource = Kernel | BootOptions;

/**
 * The kernel that the choices come to. Nothing is worked out until it is asked for.
 *
 * @throws InputError, when image, layout, options or plugins are asked for, where choices contradict the machine or
 *   each other
 */
export const kernelFrom = (source: KernelSource): Kernel => ("choices" in source ? source : new ChosenKernel(source));

/** What of a kernel is worked out from its choices. */
type Made = Pick<Kernel, "image" | "layout" | "options">;

class ChosenKernel implements Kernel {
  private made: Made | undefined;
  private listed: readonly Plugin[] | undefined;

  constructor(readonly choices: BootOptions) {}

  get machine(): MachineSpec {
    return this.choices.spec;
  }
  get policy(): KernelPolicy {
    return policyOf(this.choices.policy);
  }
  get image(): KernelImage {
    return this.all.image;
  }
  get layout(): KernelLayout {
    return this.all.layout;
  }
  get options(): KernelOptions {
    return this.all.options;
  }
  get recorded(): Kernel["recorded"] {
    const { guest = shippedGuest, recordedNodes } = this.choices;
    return { guest, nodes: recordedNodes ?? defaultGuestNodes(frameRangesOf(this.machine)) };
  }
  get plugins(): readonly Plugin[] {
    return (this.listed ??= pluginsOf(this));
  }
  with(choices: Partial<BootOptions>): Kernel {
    return new ChosenKernel({ ...this.choices, ...choices });
  }

  private get all(): Made {
    return (this.made ??= worked(this));
  }
}

/** Kernels differ in one line of this list, the policy's. */
function pluginsOf({ machine, image, layout, options, policy, choices }: Kernel): readonly Plugin[] {
  const inputs = plugin("inputs", [
    bindValue(KernelImage, image),
    bindValue(KernelLayout, layout),
    bindValue(KernelOptions, options),
  ]);
  const base = [hwX86(machine), inputs, mmCore, policy, ...(choices.plugins ?? [])];
  const laid = layOver(base, choices.defects ?? policy.defects ?? []);
  const bound = new Set(base.flatMap(({ bindings }) => bindings.map(({ token }) => token.key)));
  const overlays = extensions().overlays.filter(({ token }) => bound.has(token.key));
  return overlays.length === 0 ? laid : [...laid, plugin("plugin files", overlays)];
}

type Fault = (field: string, reason: string, remedy: string) => never;

/** @throws InputError when choices contradict the machine, or each other */
function worked(kernel: Kernel): Made {
  const { machine: spec, policy, choices } = kernel;
  const fault: Fault = (field, reason, remedy) => {
    throw new InputError({ file: sourceOf(spec), field, reason, remedy });
  };
  const levels = choices.levels ?? 4;
  refuseContradictions(choices, policy, fault);
  const withMemory = spec.nodes.filter((node) => node.memoryBytes > 0).map((node) => node.id);
  const wanted = choices.masterNode ?? withMemory[0] ?? fault("nodes", "no node has memory", "give one node memory");
  if (!withMemory.includes(wanted))
    fault("--master-node", `node ${wanted} has no memory`, `choose one of ${withMemory.join(", ")}`);
  const bootCpu = bootCpuOf(choices, policy, fault);

  const alignment = choices.alignment ?? policy.alignment;
  const image = typeof choices.image === "function" ? choices.image(alignment) : choices.image;
  const ranges = frameRangesOf(spec);
  const home = ranges.find((range) => range.node === wanted)!;
  const imageBytes = image.end - image.stext;
  const { guest, nodes } = kernel.recorded;
  const beyond = framesBeyond(image, guest);
  const tails = tailsWindow(ranges, guest, nodes, beyond);
  const windows = [...sparedWindows(ranges, guest, nodes, beyond), ...(tails ? [tails] : [])];
  const seed = choices.seed ?? 1;
  const memoryEnd = addressOfFrame(Math.max(...ranges.map((range) => range.first + range.frames)));
  if (memoryEnd > MOST_MEMORY[levels])
    fault(
      "--levels",
      `memory ends at ${hex(memoryEnd)}, beyond the 64 TiB that a kernel with 4 levels maps; Linux leaves out what lies there`,
      "choose --levels 5, or lower addresses in nodes",
    );
  const layout = kernelLayout({
    levels,
    pti: choices.pti ?? false,
    imagePhysical: addressOfFrame(home.first) + IMAGE_OFFSET,
    imageBytes,
    seed,
    memoryEnd,
    physicalRuns: imageRuns(
      ranges,
      choices.masterNode === undefined ? withMemory.filter((node) => !choices.offlineMemory?.includes(node)) : [wanted],
      windows,
    ),
    kaslrText: choices.kaslr?.text ?? false,
    kaslrMemory: choices.kaslr?.memory ?? false,
    kasan: choices.kasan ?? false,
  });
  const master = (choices.kaslr?.text ? nodeOfAddress(ranges, layout.imagePhysical) : undefined) ?? wanted;
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
  return {
    image,
    layout,
    options: {
      master,
      bootCpu,
      pcid: choices.pcid ?? true,
      seed,
      reserved: [...windows, ...(choices.reserved ?? [])],
      ...(choices.offlineMemory ? { offlineMemory: choices.offlineMemory } : {}),
    },
  };
}

/** What cannot be together, whatever the image. */
function refuseContradictions(choices: BootOptions, policy: KernelPolicy, fault: Fault): void {
  const { spec, levels = 4, kasan, offlineMemory = [] } = choices;
  if (levels === 5 && spec.virtualBits < 57)
    fault(
      "--levels",
      "this machine's addresses have 48 bits, too few for 5 levels",
      `choose 4 levels, or a machine with virtualBits 57: ${withFiveLevels().join(", ")}`,
    );
  if (kasan && choices.kaslr?.memory)
    fault(
      "--kasan",
      "the compiler knows where the shadow of each memory region is, so that Linux moves none in a kernel with KASAN",
      "choose --kaslr text or off",
    );
  if (offlineMemory.includes(choices.masterNode ?? spec.nodes.find((node) => node.memoryBytes > 0)?.id ?? -1))
    fault(
      "offlineMemory",
      "the node that holds the image cannot be without memory",
      "leave it out, or choose another master node",
    );
  const unfit = policy.unfit?.(spec);
  if (unfit) fault("--policy", unfit.reason, unfit.remedy);
  const faulty = kasanFault(policy, levels, kasan !== undefined && kasan !== false);
  if (faulty) fault("--kasan", faulty.reason, faulty.remedy);
}

/** Why a kernel with KASAN cannot have so many levels under a policy; undefined where it can. */
export function kasanFault(
  policy: KernelPolicy,
  levels: 4 | 5,
  kasan: boolean,
): { readonly reason: string; readonly remedy: string } | undefined {
  const { kasanLevels } = policy;
  if (!kasan || kasanLevels === undefined || kasanLevels.includes(levels)) return undefined;
  return {
    reason: `${calledOf(policy)} cannot be configured with KASAN and ${levels} levels`,
    remedy: `choose --levels ${kasanLevels.join(" or ")}, or another policy`,
  };
}

/**
 * The CPU that boots: the one asked for, or the first on which the kernel comes up.
 * @throws InputError where the policy's kernel comes up on others alone
 */
function bootCpuOf({ spec, bootCpu }: BootOptions, policy: KernelPolicy, fault: Fault): number {
  const { bootNode } = policy;
  const mayBoot = bootableCpus(spec, bootNode?.node);
  const [first] = mayBoot;
  if (first === undefined)
    return fault(
      "--policy",
      `${calledOf(policy)} comes up only on a CPU of logical node ${bootNode?.node} (${bootNode?.because}), and this machine has none: node ids are Linux's logical ones`,
      "choose another policy",
    );
  const chosen = spec.cpus.find((cpu) => cpu.id === (bootCpu ?? first));
  if (!chosen) return fault("--boot-cpu", `there is no CPU ${bootCpu}`, `choose 0 to ${spec.cpus.length - 1}`);
  if (bootNode !== undefined && chosen.node !== bootNode.node) {
    return fault(
      "--boot-cpu",
      `CPU ${chosen.id} lies on node ${chosen.node}, and ${calledOf(policy)} ${bootNode.elsewhere} (${bootNode.because})`,
      `choose CPU ${first}, or another policy`,
    );
  }
  return chosen.id;
}

/** Where the nodes lie, as the machine itself will say. */
const frameRangesOf = (spec: MachineSpec): readonly FrameRange[] => new SparseMemory(spec.nodes).ranges;
