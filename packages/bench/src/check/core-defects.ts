/**
 * Defects of the series in the core and in replication, each a plugin of a few lines laid over the corrected kernel: it takes hold of the parts
 * it spoils when the kernel is assembled. Ids and what they are: series.md 8.2 and 8.2a.
 */
import { bind, inject, injectable, plugin, type Plugin, token } from "@kreplica/di";
import { Machine, NONE } from "@kreplica/hw-x86";
import {
  AddressSpaces, BootMemory, bootRoot, CpuState, directAddress, imageAddress, invariant, KernelBoot, KernelImage, KernelLayout, KernelOptions, KernelTables, LDT_SLOT, MemoryHotplug,
  PageAllocator, pagesOf, PGD_ORDER, Processes, ReplicaView, SwitchMm, TableMemory, type TableRoot, walk,
} from "@kreplica/mm-core";
import { cloneBelow } from "@kreplica/numa-replication";

/** What Linux fills freed init memory with. */
const POISON_FREE_INITMEM = 0xcc;

/** What a defect may take hold of. */
class Kernel {
  constructor(
    readonly machine: Machine, readonly tables: KernelTables, readonly entries: TableMemory, readonly view: { -readonly [Key in keyof ReplicaView]: ReplicaView[Key] },
    readonly layout: KernelLayout, readonly image: KernelImage, readonly options: KernelOptions, readonly allocator: PageAllocator, readonly early: BootMemory,
    readonly spaces: AddressSpaces, readonly cpus: CpuState, readonly switcher: SwitchMm, readonly processes: Processes, readonly boot: KernelBoot,
    readonly hotplug: MemoryHotplug,
  ) {}
}

function defect(id: string, lay: (kernel: Kernel) => void): Plugin {
  @injectable()
  class Laid {
    constructor(
      @inject(Machine) machine: Machine, @inject(KernelTables) tables: KernelTables, @inject(TableMemory) entries: TableMemory, @inject(ReplicaView) view: ReplicaView,
      @inject(KernelLayout) layout: KernelLayout, @inject(KernelImage) image: KernelImage, @inject(KernelOptions) options: KernelOptions,
      @inject(PageAllocator) allocator: PageAllocator, @inject(BootMemory) early: BootMemory, @inject(AddressSpaces) spaces: AddressSpaces,
      @inject(CpuState) cpus: CpuState, @inject(SwitchMm) switcher: SwitchMm, @inject(Processes) processes: Processes, @inject(KernelBoot) boot: KernelBoot,
      @inject(MemoryHotplug) hotplug: MemoryHotplug,
    ) { lay(new Kernel(machine, tables, entries, view, layout, image, options, allocator, early, spaces, cpus, switcher, processes, boot, hotplug)); }
  }
  return plugin(id, [bind(token<Laid>(`bench/defect/${id}`), Laid)]);
}

/** Lets something happen at the end of a method of an object. */
function after<T, K extends keyof T>(object: T, method: K, then: () => void): void {
  const original = (object[method] as (...given: unknown[]) => unknown).bind(object);
  object[method] = ((...given: unknown[]) => {
    const result = original(...given);
    then();
    return result;
  }) as T[K];
}

export const CORE_DEFECTS = {
  /** A node's root is asked for before there is one; node 0's entry is the boot table by being init_mm.pgd's union. */
  D1: defect("D1", ({ view }) => {
    let replicated = false;
    const kernelRoot = view.kernelRoot.bind(view);
    view.kernelRoot = (node) => (replicated || node === 0 ? kernelRoot(node) : NONE);
    const replicate = view.replicateKernel.bind(view);
    view.replicateKernel = () => { replicated = true; replicate(); };
  }),
  /** A spurious fault is never recognised: the index into the PGD was lost. */
  D2: defect("D2", ({ processes }) => {
    const isSpurious = processes.isSpuriousKernelFault.bind(processes);
    processes.isSpuriousKernelFault = (cpu, address, write, fetch) => isSpurious(cpu, address & 0x7f_ffff_ffffn, write, fetch);
  }),
  /** The debug check of CR3 expects node 0's root everywhere. */
  D3: defect("D3", ({ switcher, view }) => {
    switcher.expectedRoot = (cpu) => switcher.loaded(cpu)?.pgd(view.holders[0]!) ?? view.kernelRoot(view.holders[0]!);
  }),
  /** The boot table learns nothing after it was cloned. */
  D4: defect("D4", ({ view, entries, layout, image, allocator }) => {
    after(view, "replicateKernel", () => {
      const boot = bootRoot(layout, image);
      // The master runs on the booted tables; in the series these are the boot table's alone.
      for (let half = 0; half <= (layout.pti ? 1 : 0); half++) {
        cloneBelow(entries, layout.levels, boot + half, () => allocator.allocate(view.master, 0, { purpose: "page-table", zero: true }));
      }
      view.roots = view.roots.filter((root: TableRoot) => root.kind === "node");
    });
  }),
  /** A failed fork frees the parent's PGDs. */
  D8: defect("D8", ({ spaces, allocator }) => {
    const create = spaces.create.bind(spaces);
    spaces.create = (node, parent) => {
      const made = create(node, parent);
      if (!made && parent) for (const each of parent.pgdNodes) allocator.free(parent.pgd(each), PGD_ORDER);
      return made;
    };
  }),
  /** The direct map's view of rodata copies stays writable. */
  D9: defect("D9", ({ view, tables, image, layout }) => {
    after(view, "replicateRodata", () => {
      for (const node of view.holders.filter((each) => each !== view.master)) {
        const frame = view.replicaFrame(imageAddress(layout, image.startRodata), node)!;
        tables.edit((editor) => editor.protect(directAddress(layout, frame), pagesOf(image.startRodata, image.endRodata), { writable: true }));
      }
    });
  }),
  /** A node that gains memory later joins the holders, without tables. */
  D10: defect("D10", ({ view }) => {
    view.memoryAdded = (node) => {
      const nearest = view.nearest.bind(view);
      view.nearest = (each) => (each === node ? node : nearest(each));
      view.holders = [...view.holders, node].sort((a, b) => a - b);
    };
  }),
  /** The other half of D10: a direct map that grows into another top-level slot reaches processes and one root of the kernel's own, not its clones. */
  "D10-growth": defect("D10-growth", ({ hotplug, view, entries, layout }) => {
    const online = hotplug.online.bind(hotplug);
    hotplug.online = (node) => {
      const slots = Array.from({ length: 512 - layout.kernelBoundary }, (_, above) => layout.kernelBoundary + above);
      const holes = view.holders.slice(1).flatMap((holder) => slots.filter((slot) => (entries.low(view.kernelRoot(holder), slot) & 1) === 0).map((slot) => [view.kernelRoot(holder), slot] as const));
      const done = online(node);
      for (const [root, slot] of holes) entries.write(root, slot, 0, 0);
      return done;
    };
  }),
  /** The LDT is mapped in node 0's user half alone. */
  D11: defect("D11", ({ spaces, entries }) => {
    const create = spaces.create.bind(spaces);
    spaces.create = (...given) => {
      const space = create(...given);
      if (space) after(space, "mapLdt", () => { for (const node of space.pgdNodes.slice(1)) entries.write(space.pgd(node) + 1, LDT_SLOT, 0, 0); });
      return space;
    };
  }),
  /**
   * A kernel without modules keeps numa_pgt in init data (__initdata_or_module): free_initmem gives it back, poisoned, before the step that
   * copies rodata asks it where to. An entry is three pointers, to a node's PGD, text and rodata.
   * @source Linux init.h, __initdata_or_module; mm/page_poison, POISON_FREE_INITMEM
   */
  D13: defect("D13", ({ view, early, boot, image, layout, machine, tables }) => {
    const table = (imageAddress(layout, image.initBegin) - imageAddress(layout, image.stext)) + layout.imagePhysical;
    const entryOf = (node: number): bigint => table + BigInt(24 * machine.nodes.indexOf(node) + 16);
    const asked: number[] = [];
    const allocate = early.allocate.bind(early);
    early.allocate = (node, frames, align, purpose, exact) => {
      const frame = allocate(node, frames, align, purpose, exact);
      if (purpose === "rodata" && frame !== NONE) {
        asked.push(node);
        machine.memory.write64(entryOf(node), directAddress(layout, frame));
      }
      return frame;
    };
    boot.during("free-initmem", () => {
      const bytes = Number(imageAddress(layout, image.initEnd) - imageAddress(layout, image.initBegin));
      machine.memory.writeBytes(table, new Uint8Array(bytes).fill(POISON_FREE_INITMEM));
      return "init memory poisoned";
    });
    const replicate = view.replicateRodata.bind(view);
    view.replicateRodata = () => {
      for (const node of asked) {
        const to = machine.memory.read64(entryOf(node));
        const canonical = BigInt.asUintN(64, BigInt.asIntN(layout.levels === 5 ? 57 : 48, to)) === to;
        invariant(canonical && tables.lookup(view.holders[0]!, to) !== undefined, `numa_pgt lay in init memory, which was given back: rodata of node ${node} is to be copied to 0x${to.toString(16)}, where nothing is mapped`);
      }
      replicate();
    };
  }),
  /** Memory of any node is taken for copies and tables. */
  D14: defect("D14", ({ view, early }) => {
    let reserving = false;
    const allocate = early.allocate.bind(early);
    early.allocate = (node, frames, align, purpose, exact) => allocate(node, frames, align, purpose, reserving ? false : exact);
    const reserve = view.reserve.bind(view);
    view.reserve = () => {
      reserving = true;
      reserve();
      reserving = false;
    };
  }),
  /** The permission call for idt_table reaches one root. */
  N2: defect("N2", ({ boot, image, layout, view, entries }) => {
    boot.during("init-irq", () => {
      for (const { root } of view.roots.filter((each) => each.node !== view.holders[0])) {
        const { table, index, lo, hi } = walk(entries.memory, root, layout.levels, imageAddress(layout, image.symbol("idt_table")!));
        entries.write(table, index, lo | 2, hi);
      }
      return "idt_table read-only on one root";
    });
  }),
  /** Private tables come from the node of the CPU that runs. */
  "remote-table": defect("remote-table", ({ tables, allocator, cpus, machine }) => {
    let editing = 0;
    const allocate = allocator.allocate.bind(allocator);
    allocator.allocate = (node, order, gfp) => (editing > 0 && gfp.purpose === "page-table" ? allocate(machine.nodeOfCpu(cpus.current), order, { ...gfp, thisNode: false }) : allocate(node, order, gfp));
    for (const method of ["edit", "editLazily"] as const) {
      const original = tables[method].bind(tables) as KernelTables["edit"];
      tables[method] = (change) => {
        editing++;
        try { return original(change); } finally { editing--; }
      };
    }
  }),
  /** Copies are made and never mapped: the prototype of 2003. */
  "copied-source": defect("copied-source", ({ view, entries, image, layout }) => {
    after(view, "replicateKernel", () => {
      const first = bootRoot(layout, image);
      for (const node of view.holders) {
        for (let page = 0; page < pagesOf(image.stext, image.etext); page++) {
          const address = imageAddress(layout, image.stext) + BigInt(page) * 4096n;
          const [mine, wanted] = [walk(entries.memory, view.kernelRoot(node), layout.levels, address), walk(entries.memory, first, layout.levels, address)];
          if (mine.level === wanted.level) entries.write(mine.table, mine.index, wanted.lo, wanted.hi);
        }
      }
    });
  }),
} as const satisfies Record<string, Plugin>;
