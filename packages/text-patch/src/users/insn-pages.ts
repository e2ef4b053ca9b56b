/**
 * Pages of generated code in the module area: kprobe slots, ftrace trampolines, detours. Shared by all nodes, read-only
 * and executable on every holder from the first byte, written through the poking space.
 *
 * The series converts kprobes' page and forgets ftrace's (D5): here all come from the same place.
 */
import { bytesAt, type NodeId, PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { KernelLayout } from "@kreplica/mm-core/api";
import type { SetMemory } from "@kreplica/set-memory/api";
import { moduleArea, type Vmalloc, type VmArea } from "@kreplica/vmalloc/api";
import { INT3 } from "../encode.js";
import { TextPatchError } from "../errors.js";
import type { TextPoke } from "../poke/poke-api.js";

/** Slots of one size. */
export class InsnPages {
  private readonly pages: { readonly area: VmArea; readonly used: boolean[] }[] = [];

  /** @param slotBytes a power of two, 16 to 4096 @param node where pages come from */
  constructor(
    private readonly vmalloc: Vmalloc,
    private readonly setMemory: SetMemory,
    private readonly poke: TextPoke,
    private readonly layout: KernelLayout,
    readonly slotBytes: number,
    private readonly node: NodeId,
  ) {}

  get areas(): readonly VmArea[] {
    return this.pages.map(({ area }) => area);
  }

  /**
   * A free slot, filled with INT3. @patch 05/12 arch/x86/kernel/kprobes/core.c alloc_insn_page
   * @throws VmallocError, SetMemoryError when a page cannot be had; nothing is kept then
   */
  take(): bigint {
    for (const { area, used } of this.pages) {
      const slot = used.indexOf(false);
      if (slot < 0) continue;
      used[slot] = true;
      return area.start + BigInt(slot * this.slotBytes);
    }
    const area = moduleArea(this.vmalloc, {
      bytes: PAGE_BYTES,
      low: this.layout.modulesStart,
      high: this.layout.modulesEnd,
      placement: { node: this.node },
      purpose: "module",
      resetPermissions: true,
    });
    try {
      this.vmalloc.write(area, 0, new Uint8Array(PAGE_BYTES).fill(INT3));
      this.setMemory.readOnlyExecutable({ start: area.start, pages: 1 });
    } catch (error) {
      this.vmalloc.free(area);
      throw error;
    }
    const used = new Array<boolean>(PAGE_BYTES / this.slotBytes).fill(false);
    used[0] = true;
    this.pages.push({ area, used });
    return area.start;
  }

  /** Writes a slot's code. @throws TextPatchError too-long */
  write(slot: bigint, code: Uint8Array): void {
    if (code.length > this.slotBytes)
      throw new TextPatchError("too-long", slot, `${code.length} bytes do not fit a slot of ${this.slotBytes}`);
    this.poke.copy(slot, code);
  }

  /** Gives a slot back; a page without used slots goes too. @throws TextPatchError no-slot */
  give(slot: bigint): void {
    const at = this.pages.findIndex(({ area }) => slot >= area.start && slot < area.start + BigInt(PAGE_BYTES));
    const page = this.pages[at];
    const index = page ? Number(slot - page.area.start) / this.slotBytes : -1;
    if (!page || page.used[index] !== true) throw new TextPatchError("no-slot", slot, "is no slot in use");
    page.used[index] = false;
    if (page.used.some((each) => each)) {
      this.poke.set(bytesAt(slot, this.slotBytes), INT3);
      return;
    }
    this.pages.splice(at, 1);
    this.vmalloc.free(page.area);
  }
}
