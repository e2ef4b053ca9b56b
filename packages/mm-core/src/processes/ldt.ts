/**
 * Local descriptor tables of processes: pages of their own, a new table for every change, a copy for every child.
 *
 * A changed table is mapped beside the old one, loaded by every CPU that runs the process or borrows its space, and
 * only then does the old one go: no CPU ever has half of one.
 * Under KPTI the pages are mapped in the process's own slot, where the descriptors are found from user mode too.
 * Source: Documentation/arch/x86/x86_64/mm.rst, "LDT remap for PTI"; Linux 6.5 arch/x86/kernel/ldt.c for sizes and
 * order; Intel SDM vol. 3A, "Segment Descriptor Tables" and "Access Rights" for how a CPU reads one.
 */
import {
  addressOfFrame,
  type CpuId,
  type Frame,
  highOf,
  lowOf,
  type Machine,
  NONE,
  type NodeId,
  PAGE,
} from "@kreplica/hw-x86/api";
import { type AddressSpace, LDT_PAGES, ldtAddress } from "./address-space-api.js";
import { directAddress } from "../image/layout.js";
import type { KernelLayout } from "../image/kernel-layout-api.js";
import type { PageAllocator } from "../memory/page-allocator-api.js";
import type { Ldt, Process } from "./process-api.js";
import type { SwitchMm } from "./switch-api.js";

const PER_PAGE = 512;

export class LocalDescriptors {
  constructor(
    private readonly machine: Machine,
    private readonly layout: KernelLayout,
    private readonly allocator: PageAllocator,
    private readonly switcher: SwitchMm,
  ) {}

  /** See {@link Processes.modifyLdt}. */
  modify(process: Process, entry: number, descriptor: bigint, cpu: CpuId): boolean {
    if (entry < 0 || entry >= LDT_PAGES * PER_PAGE) return false;
    const old = process.ldt;
    const made = this.make(process.space, Math.max(old?.entries ?? 0, entry + 1), old, this.machine.nodeOfCpu(cpu));
    if (!made) return false;
    this.machine.memory.write64(
      addressOfFrame(made.frames[Math.floor(entry / PER_PAGE)]!) + BigInt((entry % PER_PAGE) * 8),
      BigInt.asUintN(64, descriptor),
    );
    process.ldt = made;
    this.switcher.loadLdt(process.space, made, cpu);
    if (old) {
      process.space.unmapLdt(old.place);
      if (this.layout.pti)
        this.switcher.flush(
          process.space,
          { start: ldtAddress(this.layout.levels, old.place), pages: old.frames.length },
          false,
          cpu,
        );
      this.free(old);
    }
    return true;
  }

  /** A child's own, in its space. @returns false when memory could not be had; nothing is kept then */
  copy(parent: Process, space: AddressSpace, cpu: CpuId): Ldt | undefined | false {
    if (!parent.ldt) return undefined;
    const made = this.make(space, parent.ldt.entries, parent.ldt, this.machine.nodeOfCpu(cpu), 0);
    if (made) this.switcher.loadLdt(space, made, cpu);
    return made ?? false;
  }

  /** See {@link Processes.loadSegment}. */
  read(cpu: CpuId, entry: number): bigint | "beyond" | "fault" {
    const ldt = this.switcher.ldt(cpu);
    if (!ldt || entry >= ldt.entries) return "beyond";
    const page = Math.floor(entry / PER_PAGE);
    const offset = BigInt((entry % PER_PAGE) * 8);
    // Without KPTI LDTR leads to where the kernel has the pages in any case.
    const address = this.layout.pti
      ? ldtAddress(this.layout.levels, ldt.place) + BigInt(page) * PAGE + offset
      : directAddress(this.layout, ldt.frames[page]!) + offset;
    const core = this.machine.cpu(cpu);
    this.switcher.enterUser(cpu);
    // Descriptors are read with the kernel's rights, whoever loads the segment, and through user mode's tables.
    core.privilege = 0;
    const outcome = core.load(lowOf(address), highOf(address));
    const frame = core.lastFrame;
    this.switcher.enterKernel(cpu);
    return outcome === 0 ? this.machine.memory.read64(addressOfFrame(frame) + offset) : "fault";
  }

  /** Once no CPU has the space any more. */
  free({ frames }: Ldt): void {
    for (const frame of frames) this.allocator.free(frame, 0);
  }

  private make(
    space: AddressSpace,
    entries: number,
    from: Ldt | undefined,
    node: NodeId,
    place = from?.place === 0 ? (1 as const) : (0 as const),
  ): Ldt | undefined {
    const frames: Frame[] = [];
    for (let page = 0; page * PER_PAGE < entries; page++) {
      const frame = this.allocator.allocate(node, 0, { purpose: "kernel", zero: true });
      if (frame === NONE) break;
      frames.push(frame);
    }
    const made: Ldt = { entries, frames, place };
    if (frames.length * PER_PAGE < entries || !space.mapLdt(frames, place, node)) {
      this.free(made);
      return undefined;
    }
    from?.frames.forEach((frame, page) => {
      this.machine.memory.copyFrame(frame, frames[page]!);
    });
    return made;
  }
}
