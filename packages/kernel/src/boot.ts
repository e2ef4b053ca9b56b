/** Boots the modelled kernel on a machine and hands out what a replay, a report or a check needs of it. */
import { assemble } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86";
import {
  AddressSpaces,
  type BootEvent,
  BootMemory,
  BuildContext,
  CpuState,
  KernelBoot,
  KernelTables,
  PageAllocator,
  ReplicaView,
  SwitchMm,
  TableMemory,
} from "@kreplica/mm-core";
import { BootWitness, checkInvariants, type InvariantReport } from "@kreplica/invariants";
import { type MemoryAccount, measureMemory } from "./accounting.js";
import type { BootParts } from "./boot-parts.js";
import { checkedKernel } from "./checked-kernel.js";
import { stateInvariants, SUBSYSTEM_INVARIANTS } from "./invariants.js";
import { kernelFrom, type KernelSource } from "./kernel.js";
import { RecordedPages } from "./recorded-pages.js";

export type { BootOptions } from "./boot-options.js";
export type { BootParts } from "./boot-parts.js";

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
 * @throws InputError when the kernel's choices contradict the machine
 * @throws MmError when a step of the boot is refused
 */
export function boot(source: KernelSource): Booted {
  const kernel = kernelFrom(source);
  const parts = prepare(kernel);
  kernel.choices.before?.(parts);
  const witness = BootWitness.of(parts);
  parts.boot.run();
  return {
    ...parts,
    timeline: parts.boot.timeline,
    recorded: new RecordedPages(parts, kernel.recorded.nodes, kernel.recorded.guest, kernel.choices.recordedFrames),
    memory: () => measureMemory(parts),
    checkInvariants: () =>
      checkInvariants(checkedKernel(parts, witness), undefined, {
        rows: stateInvariants(),
        others: SUBSYSTEM_INVARIANTS,
      }),
  };
}

/** Assembles without booting. @throws InputError when the kernel's choices contradict the machine */
export function prepare(source: KernelSource): BootParts {
  const { image, layout, options, plugins } = kernelFrom(source);
  const assembly = assemble(plugins);
  return {
    assembly,
    image,
    layout,
    options,
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
}
