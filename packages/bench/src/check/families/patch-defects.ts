/**
 * Defects of the series in patching and protection, each a plugin laid over the corrected kernel.
 *
 * D5 set_memory_rox of generated code reaches one node's tables; D16 rodata=off: rodata is copied, stays writable, and somebody writes it;
 * N1 what is patched early once there are copies reaches the writer's copy alone.
 */
import { bind, inject, injectable, plugin, token, type Plugin } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86";
import { CpuState, imageAddress, KernelBoot, KernelImage, KernelLayout, KernelOptions, KernelTables, PageAllocator, pagesOf, ReplicaView, SwitchMm, TableMemory, TextUsers } from "@kreplica/mm-core";
import { SetMemory, TableSetMemory } from "@kreplica/set-memory";
import { earlyInOneCopy, ReplicaTextPoke, roxOnOneNode, TextPoke } from "@kreplica/text-patch";

/** A class whose instances are what its constructor returns: the corrected part with a method replaced. */
@injectable()
class RoxOnOneNode {
  constructor(
    @inject(KernelTables) tables: KernelTables, @inject(TableMemory) entries: TableMemory, @inject(ReplicaView) view: ReplicaView,
    @inject(KernelLayout) layout: KernelLayout, @inject(KernelImage) image: KernelImage, @inject(PageAllocator) allocator: PageAllocator,
  ) {
    const sound = new TableSetMemory(tables, entries, view, layout, image, allocator);
    const changed = Object.create(sound) as SetMemory;
    changed.readOnlyExecutable = (range) => { roxOnOneNode(sound, entries, view, layout, view.holders[0]!).readOnlyExecutable(range); };
    return changed as unknown as this;
  }
}

@injectable()
class EarlyInOneCopy {
  constructor(
    @inject(Machine) machine: Machine, @inject(KernelTables) tables: KernelTables, @inject(ReplicaView) view: ReplicaView, @inject(CpuState) cpus: CpuState,
    @inject(TableMemory) entries: TableMemory, @inject(PageAllocator) allocator: PageAllocator, @inject(KernelLayout) layout: KernelLayout,
    @inject(KernelImage) image: KernelImage, @inject(KernelOptions) options: KernelOptions, @inject(KernelBoot) boot: KernelBoot, @inject(SwitchMm) switcher: SwitchMm,
    @inject(TextUsers) users: TextUsers,
  ) {
    return earlyInOneCopy(new ReplicaTextPoke(machine, tables, view, cpus, entries, allocator, layout, image, options, boot, switcher, users), machine, cpus, view) as unknown as this;
  }
}

/** rodata=off on the command line, which the series does not look at. */
interface RodataOff { readonly name: "rodata=off" }
const RodataOff = token<RodataOff>("bench/RodataOff");
@injectable()
class WritableRodata implements RodataOff {
  readonly name = "rodata=off";
  constructor(@inject(KernelBoot) boot: KernelBoot, @inject(KernelTables) tables: KernelTables, @inject(KernelImage) image: KernelImage, @inject(KernelLayout) layout: KernelLayout, @inject(ReplicaView) view: ReplicaView, @inject(Machine) machine: Machine) {
    const start = imageAddress(layout, image.startRodata);
    boot.during("numa-replicate-rodata", () => {
      tables.edit((editor) => editor.protect(start, pagesOf(image.startRodata, image.endRodata), { writable: true }));
      return "rodata stays writable";
    });
    boot.during("running", () => {
      const frame = view.replicaFrame(start + 0x18n, view.holders[view.holders.length - 1]!);
      if (frame !== undefined) machine.memory.writeBytes((BigInt(frame) << 12n) + ((start + 0x18n) & 4095n), Uint8Array.of(0x6b, 0x72));
      return "a driver wrote to rodata";
    });
  }
}

export const PATCH_DEFECTS = {
  D5: plugin("set-memory", [bind(SetMemory, RoxOnOneNode as unknown as new (...parts: never[]) => SetMemory)]),
  D16: plugin("rodata-off", [bind(RodataOff, WritableRodata)]),
  N1: plugin("text-patch", [bind(TextPoke, EarlyInOneCopy as unknown as new (...parts: never[]) => TextPoke)]),
} as const satisfies Record<string, Plugin>;
