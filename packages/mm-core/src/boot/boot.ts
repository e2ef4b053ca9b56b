/**
 * The boot of the modelled kernel, step by step in the order of Linux 6.5 with the series' four calls where it puts
 * them.
 *
 * Each step does what it does to memory and tables; steps whose work is not memory's (interrupts, scheduler) are left
 * out, and steps other packages own (text patching) are empty until their plugin adds to them.
 */
import { inject, injectable } from "@kreplica/di";
import {
  frameOfAddress,
  type AddressRange,
  alignUp,
  bytesOf,
  Cr0,
  Cr4,
  Efer,
  type Frame,
  hex,
  LARGE,
  Machine,
  PAGE,
  pagesBetween,
} from "@kreplica/hw-x86/api";
import { BOOT_STEPS, type BootEvent, type BootStep, type KernelBoot } from "./boot-api.js";
import { BuildContext } from "./build-context-api.js";
import { CpuState } from "../tables/cpu-state-api.js";
import {
  buildCpuEntryAreas,
  buildEspfix,
  type CpuUnits,
  entryAreaPages,
  prepareVmalloc,
  reserveCpuUnits,
} from "./cpu-areas.js";
import { buildDirectMap, buildVmemmap } from "./direct-map.js";
import { bootRoot, newTable } from "./early-map.js";
import { invariant, MmError } from "../errors.js";
import { buildImageTables, loadImage } from "./image-tables.js";
import { buildKasanShadow } from "./kasan.js";
import { imageAddress, imageFrame, imageRange } from "../image/layout.js";
import { KernelOptions } from "../options-api.js";
import { KernelTables } from "../tables/kernel-tables-api.js";
import { PageAllocator } from "../memory/page-allocator-api.js";
import { ReplicaView } from "../tables/replica-view-api.js";
import { TextUsers } from "../image/text-users-api.js";
import { buildUserHalf, copyImageToUser, userImageRange } from "./pti.js";

const ROWS: Record<BootStep, number> = {
  "load-image": 1,
  "setup-arch": 2,
  "numa-reserve-memory": 3,
  "sort-extable": 4,
  "trap-init": 5,
  "mm-core-init": 6,
  "numa-replicate-kernel": 7,
  "poking-init": 8,
  "ftrace-init": 9,
  "init-irq": 9,
  alternatives: 10,
  "smp-init": 11,
  initcalls: 12,
  "free-initmem": 13,
  "mark-rodata-ro": 14,
  "numa-replicate-rodata": 15,
  "numa-clear-linear": 16,
  "pti-finalize": 17,
  running: 17,
};
const FROM_SERIES: readonly BootStep[] = [
  "numa-reserve-memory",
  "numa-replicate-kernel",
  "numa-replicate-rodata",
  "numa-clear-linear",
];

/** What the timeline says of steps that did nothing: a kernel without the subsystem, or an image without the symbol. */
const NOTHING: Partial<Record<BootStep, string>> = {
  "sort-extable": "the image names no exception table",
  "poking-init": "left out: this kernel is booted without text patching",
  "ftrace-init": "left out: this kernel is booted without text patching",
  "init-irq": "the image names no idt_table",
  alternatives: "left out: this kernel is booted without text patching",
  initcalls: "the image names no __ro_after_init",
  "pti-finalize": "nothing to do: KPTI is off",
};

/** The boot, step by step in the order of Linux 6.5, with the series' four calls where it puts them. */
@injectable()
export class OrderedBoot implements KernelBoot {
  readonly timeline: BootEvent[] = [];
  units: CpuUnits = new Map();
  private next = 0;
  private readonly added = new Map<BootStep, (() => string)[]>();
  private readonly root: Frame;

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(BuildContext) private readonly context: BuildContext,
    @inject(KernelOptions) private readonly options: KernelOptions,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(CpuState) private readonly cpus: CpuState,
    @inject(TextUsers) private readonly textUsers: TextUsers,
  ) {
    this.root = bootRoot(context.layout, context.image);
  }

  get reached(): BootStep | undefined {
    return BOOT_STEPS[this.next - 1];
  }

  during(step: BootStep, work: () => string): void {
    this.added.set(step, [...(this.added.get(step) ?? []), work]);
  }

  run(): void {
    this.runTo("running");
  }

  runTo(step: BootStep): void {
    while (this.next <= BOOT_STEPS.indexOf(step)) {
      const now = BOOT_STEPS[this.next]!;
      const before = this.tables.stores;
      const frames = this.tableFrames();
      const said = [this.steps[now](), ...(this.added.get(now) ?? []).map((work) => work())].filter(
        (each) => each !== "",
      );
      this.next++;
      this.timeline.push({
        step: now,
        row: ROWS[now],
        fromSeries: FROM_SERIES.includes(now),
        did: said.join("; ") || (NOTHING[now] ?? "nothing to do"),
        stores: this.tables.stores.total - before.total,
        replicaStores: this.tables.stores.replica - before.replica,
        tableFrames: this.tableFrames() - frames,
      });
    }
  }

  private tableFrames(): number {
    return this.machine.nodes.reduce((sum, node) => sum + this.allocator.usedFrames(node, "page-table"), 0);
  }

  private readonly steps: Record<BootStep, () => string> = {
    "load-image": () => {
      const { early, layout, image } = this.context;
      const first = frameOfAddress(layout.imagePhysical);
      const frames = pagesBetween(image.stext, image.end).pages;
      for (let frame = first; frame < first + frames; frame += 512) {
        if (this.machine.memory.nodeOf(frame) !== this.options.master) {
          throw new MmError(
            "no-room-for-image",
            layout.imagePhysical,
            `node ${this.options.master} has no memory there; choose a master node with at least ${frames / 256} MiB behind it`,
          );
        }
      }
      early.reserve(first, frames, "data");
      early.reserve(0, 256);
      for (const run of this.options.reserved) early.reserve(run.first, run.frames);
      for (const { node, first: start, frames: count } of this.machine.memory.ranges)
        if (this.context.offline.has(node)) early.reserve(start, count);
      const pages = loadImage(this.context);
      buildImageTables(this.context);
      this.cpus.current = this.options.bootCpu;
      this.cpus.bringUp(this.options.bootCpu);
      this.enterBootTable(this.options.bootCpu);
      return `image at ${hex(layout.imagePhysical)} on node ${this.options.master}, ${pages} pages of text and rodata; init_top_pgt is live`;
    },
    "setup-arch": () => {
      const direct = buildDirectMap(this.context, this.root);
      const descriptors = buildVmemmap(this.context, this.root);
      this.units = reserveCpuUnits(this.context);
      const { layout, machine } = this.context;
      const shadow = layout.kasan
        ? buildKasanShadow(this.context, this.root, entryAreaPages(machine.cpuIds.length))
        : undefined;
      return (
        `direct map of ${direct.huge} x 1 GiB, ${direct.large} x 2 MiB and ${direct.small} x 4 KiB leaves; ${descriptors} frames of page descriptors; per-CPU units: ${this.units.size}` +
        (shadow ? `; ${shadow.frames} frames of KASAN shadow, ${shadow.prepared} tables for vmalloc's` : "")
      );
    },
    "numa-reserve-memory": () => {
      this.view.reserve();
      const nodes = this.machine.nodes.filter(
        (node) => this.allocator.usedFrames(node, "text") + this.allocator.usedFrames(node, "rodata") > 0,
      );
      return nodes.length > 0
        ? `room for copies on node ${nodes.join(", ")}; node ${this.view.master} has the original`
        : "no copies to make room for";
    },
    "sort-extable": () => this.scribble("__start___ex_table", ".sorted"),
    "trap-init": () => {
      const leaves = buildCpuEntryAreas(this.context, this.root, this.units);
      const root = this.view.kernelRoot(this.machine.nodeOfCpu(this.options.bootCpu));
      invariant(root === this.root, "a node's root was asked for before there is one, and was not the boot table");
      this.machine.cpu(this.options.bootCpu).writeCr3(this.context.entries.cr3(root));
      return `cpu_entry_area of ${leaves} leaves; CPU ${this.options.bootCpu} initialised on the boot table`;
    },
    "mm-core-init": () => {
      const { layout, image } = this.context;
      this.allocator.start();
      const tables = prepareVmalloc(this.context, this.root);
      const espfix = buildEspfix(this.context, this.root);
      let said = `buddy lists up; ${tables} tables below vmalloc's top-level entries${espfix ? "; espfix" : ""}`;
      if (layout.pti) {
        buildUserHalf(this.context, this.root, this.units);
        this.mustHave(
          this.tables.edit((editor) =>
            editor.protect(imageRange(layout, { start: image.stext, end: alignUp(image.end, LARGE) }), {
              global: false,
            }),
          ),
        );
        const copied = this.copyUserImage(this.root, true);
        said += `; user half of the pair with ${copied} x 2 MiB of the image`;
      }
      return said;
    },
    "numa-replicate-kernel": () => {
      this.view.replicateKernel();
      this.view.setupCpu(this.options.bootCpu);
      return this.view.holders.length > 1
        ? `tables and text of ${this.view.holders.length} nodes; CPU ${this.options.bootCpu} on its node's root`
        : "one copy stays";
    },
    "poking-init": () => "",
    "ftrace-init": () => "",
    "init-irq": () => {
      const address = this.context.image.symbol("idt_table");
      if (address === undefined) return "";
      this.mustHave(
        this.tables.edit((editor) =>
          editor.protect({ start: this.live(address), pages: 1 }, { writable: false }, true),
        ),
      );
      return "idt_table read-only on every root";
    },
    alternatives: () => "",
    "smp-init": () => {
      const others = this.machine.cpuIds.filter((cpu) => cpu !== this.options.bootCpu);
      for (const cpu of others) {
        this.cpus.bringUp(cpu);
        this.enterBootTable(cpu);
        this.view.setupCpu(cpu);
      }
      return `${others.length} CPUs from the boot table to their node's root`;
    },
    initcalls: () => this.scribble("__start_ro_after_init", "__ro_after_init written"),
    "free-initmem": () => {
      const { image, layout } = this.context;
      const freed = this.freeImage({ start: image.initBegin, end: image.initEnd }, layout.pti);
      const from = image.symbol("__start_bss_decrypted_unused");
      const to = image.symbol("__end_bss_decrypted");
      const more =
        from !== undefined && to !== undefined && to > from ? this.freeImage({ start: from, end: to }, false) : 0;
      return `${freed + more} frames of init memory given back`;
    },
    "mark-rodata-ro": () => {
      const { image, layout } = this.context;
      const roEnd = alignUp(image.endRodata, LARGE);
      const textEnd = alignUp(image.etext, PAGE);
      this.mustHave(
        this.tables.edit((editor) =>
          editor.together(
            () =>
              editor.protect(imageRange(layout, { start: image.stext, end: roEnd }), { writable: false }, true) &&
              editor.protect(imageRange(layout, { start: textEnd, end: alignUp(image.end, LARGE) }), {
                executable: false,
              }),
          ),
        ),
      );
      const tails =
        this.freeImage({ start: textEnd, end: image.startRodata }, layout.pti) +
        this.freeImage({ start: alignUp(image.endRodata, PAGE), end: roEnd }, layout.pti);
      return `text R-X, rodata R--, the rest RW-; ${tails} frames of tails given back`;
    },
    "numa-replicate-rodata": () => {
      this.view.replicateRodata();
      this.cpus.flushAll();
      return this.view.holders.length > 1 ? "rodata of every holder is its own" : "one copy stays";
    },
    "numa-clear-linear": () => {
      this.view.clearLinearAddresses();
      return this.view.holders.length > 1
        ? "addresses of the copies in the direct map forgotten"
        : "no copies whose addresses were kept";
    },
    "pti-finalize": () => {
      if (!this.context.layout.pti) return "";
      const { image, layout } = this.context;
      let copied = 0;
      // One user half for all is filled from what pgd_offset_k finds, logical node 0's table: every node's user mode
      // gets node 0's frames (defect D15).
      const shared = this.view.copies.userTables === false;
      const first = this.view.kernelRoot(0);
      const { entries } = this.context;
      for (const { root } of this.view.roots) {
        if (shared && root !== first) continue;
        const copy = (): number => this.copyUserImage(root, this.options.pcid);
        // A copy's root may lead to tables that are not its own: a single copy would not come by here again.
        copied += entries.isCopy(root) ? entries.forCopy(copy) : copy();
      }
      if (!this.options.pcid) {
        this.mustHave(
          this.tables.edit((editor) =>
            editor.protect(imageRange(layout, { start: image.stext, end: image.etext }), { global: true }, true),
          ),
        );
      }
      this.cpus.flushAll();
      return `${copied} entries of user halves brought up to date`;
    },
    running: () => "/sbin/init",
  };

  private enterBootTable(cpu: number): void {
    const { levels } = this.context.layout;
    const core = this.machine.cpu(cpu);
    core.cr4 =
      Cr4.PhysicalAddressExtension |
      Cr4.PageGlobal |
      (levels === 5 ? Cr4.FiveLevels : 0) |
      Cr4.SupervisorExecutePrevention;
    core.writeCr3(this.context.entries.cr3(this.root));
    core.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
    // Paging comes on with a root to walk; PCIDs exist only once long mode is active.
    core.cr0 = Cr0.Paging + Cr0.WriteProtect;
    if (this.options.pcid) core.cr4 |= Cr4.ProcessContext;
    core.privilege = 0;
  }

  private copyUserImage(root: Frame, entryOnly: boolean): number {
    const { entries, layout, image, master } = this.context;
    const node = this.view.roots.find((each) => each.root === root)?.node ?? master;
    return copyImageToUser(this.context, root, root + 1, userImageRange(layout, image, entryOnly), () => {
      const table = newTable(this.context, node);
      if (entries.isCopy(root)) entries.adopt(table);
      return table;
    });
  }

  /**
   * Gives a part of the image back: writable and not executable everywhere, under KPTI not mapped at all.
   * @patch 05/12 arch/x86/mm/init.c free_init_pages
   * @returns frames given back
   */
  private freeImage(part: AddressRange, absent: boolean): number {
    const range = imageRange(this.context.layout, part);
    if (range.pages === 0) return 0;
    this.textUsers.release([bytesOf(range)]);
    this.mustHave(
      this.tables.edit((editor) =>
        editor.together(
          () =>
            editor.protect(range, { executable: false }) &&
            editor.protect(range, { writable: true }, true) &&
            (!absent || editor.protect(range, { present: false })),
        ),
      ),
    );
    // Only now that no CPU can write there as image or fetch from there: the edit flushed.
    this.allocator.donate(imageFrame(this.context.layout, this.context.image.stext, part.start), range.pages);
    return range.pages;
  }

  /** Changes a word of rodata in the booted copy, as code does that runs before rodata is final. */
  private scribble(symbol: string, said: string): string {
    const { image, layout, machine } = this.context;
    const address = image.symbol(symbol);
    if (address === undefined) return "";
    const word = (layout.imagePhysical + (address - image.stext)) & ~7n;
    machine.memory.write64(word, machine.memory.read64(word) ^ 0x6b72_6570_6c69_6361n);
    return said;
  }

  private live(linked: bigint): bigint {
    return imageAddress(this.context.layout, linked);
  }

  private mustHave(done: boolean): void {
    if (!done) throw new MmError("out-of-frames", 0n, "a table page could not be had while protecting the image");
  }
}
