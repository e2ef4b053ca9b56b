/** What a check looks at: the machine's bytes, the roots its CPUs use, and what was witnessed while booting. */
import { type AddressRange, type Frame, type NodeId, PAGE, pagesBetween } from "@kreplica/hw-x86/api";
import type {
  AddressSpaces,
  BootStep,
  CpuState,
  KernelTables,
  SharedMemory,
  SwitchMm,
  TextUsers,
} from "@kreplica/mm-core/api";
import { BOOT_STEPS, bootRoot, imageAddress, imageFrame } from "@kreplica/mm-core/api";
import { PageReader, type WindowTables } from "./page-reader.js";
import type { WatchedKernel } from "./watched.js";
import type { BootWitness } from "./witness.js";

/** A kernel under check. */
export interface CheckedKernel extends WatchedKernel {
  readonly spaces: AddressSpaces;
  /** Which address space, or other tables for a while, each CPU has loaded: what CR3 is held against. */
  readonly switcher: Pick<SwitchMm, "loaded" | "temporary" | "useOf">;
  /** What was changed and not flushed yet. */
  readonly tables: Pick<KernelTables, "unflushed">;
  /** CPUs whose caches are looked at. */
  readonly cpus: Pick<CpuState, "online">;
  /** Roots beside those of init_mm and of processes that a CPU may load: EFI's. */
  readonly otherRoots?: readonly OtherRoot[];
  /** Roots CPUs load while they patch text; what they map of the kernel is brought up to date when they are. */
  readonly pokingRoots?: readonly OtherRoot[];
  /** Boot step done last. */
  readonly reached: BootStep | undefined;
  /** What was seen while booting; without it the invariants about single steps are not reached. */
  readonly witness?: BootWitness;
  /** Areas of modules that have a copy on each holder. */
  readonly replicatedAreas?: readonly AddressRange[];
  /** Nodes whose memory has yet to come, or is gone. */
  readonly offlineMemory?: ReadonlySet<NodeId>;
  /** Which frames are shared with who is outside, where memory is encrypted; absent: none. */
  readonly sharedMemory?: Pick<SharedMemory, "frames">;
  /** Who keeps addresses of text. */
  readonly textUsers?: TextUsers;
  /** Sites of a patch under way: between two steps of it copies may differ there. */
  readonly patchedNow?: readonly AddressRange[];
}

/** A root a CPU runs on while it calls the firmware or patches text. */
export interface OtherRoot {
  readonly name: string;
  readonly root: Frame;
}

/** A part of the image, live addresses. */
export interface Part {
  readonly name: string;
  readonly start: bigint;
  readonly pages: number;
  /** First booted frame. */ readonly original: Frame;
}

/** A kernel with what checks keep asking for. */
export class Subject {
  /** Tables whose leaves were looked through for W+X in this check. */
  readonly searched = new Set<Frame>();
  readonly reader: PageReader;
  private readonly windows = new Map<Frame, WindowTables>();
  readonly bootTable: Frame;
  /** Holders, when there are several. */
  readonly holders: readonly NodeId[];
  /** Those that should have copies by now. */
  readonly copyHolders: readonly NodeId[];
  readonly text: Part;
  readonly rodata: Part;
  /** Parts of which {@link copyHolders} should have their own copies by now. */
  readonly copied: readonly Part[];

  constructor(readonly kernel: CheckedKernel) {
    const { layout, image, view, entries } = kernel;
    this.reader = new PageReader(entries.memory, layout);
    this.bootTable = bootRoot(layout, image);
    this.holders = view.holders;
    this.copyHolders = view.copyHolders ?? view.holders;
    this.text = this.part("text", { start: image.stext, end: image.etext });
    this.rodata = this.part("rodata", { start: image.startRodata, end: image.endRodata });
    this.copied = [
      ...(view.copies.text && this.isPast("numa-replicate-kernel") ? this.copiedText() : []),
      ...(view.copies.rodata && this.isPast("numa-replicate-rodata") ? [this.rodata] : []),
    ];
  }

  /** Text, or the pages of it that are copied. */
  private copiedText(): readonly Part[] {
    const { name, start, original } = this.text;
    const ranges = this.kernel.view.copies.textRanges;
    if (!ranges) return [this.text];
    return ranges.map((range) => ({ ...range, name, original: original + Number((range.start - start) / PAGE) }));
  }

  part(name: string, { start, end }: AddressRange): Part {
    const { layout, image } = this.kernel;
    return {
      name,
      start: imageAddress(layout, start),
      pages: pagesBetween(start, end).pages,
      original: imageFrame(layout, image.stext, start),
    };
  }

  isPast(step: BootStep): boolean {
    return this.kernel.reached !== undefined && BOOT_STEPS.indexOf(this.kernel.reached) >= BOOT_STEPS.indexOf(step);
  }

  /** Node whose memory a node's CPUs should have what is copied from. */
  copyNode(node: NodeId): NodeId {
    const holder = this.kernel.view.nearest(node);
    return this.copyHolders.includes(holder) ? holder : this.kernel.view.master;
  }

  /** Whether there are several roots that could differ. */
  get isReplicated(): boolean {
    return this.holders.length > 1;
  }

  /**
   * First address of the window whose tables are each holder's own: the last 2 GiB.
   * @patch 03/12 arch/x86/include/asm/numa_replication.h PAGE_TABLE_REPLICATION_LEFT
   */
  get windowStart(): bigint {
    return this.kernel.layout.kernelMap;
  }

  /** A root's entries in the window, read once a check: several rules compare them. */
  window(root: Frame): WindowTables {
    let window = this.windows.get(root);
    if (!window) this.windows.set(root, (window = this.reader.window(root)));
    return window;
  }

  root(node: NodeId): Frame {
    return this.kernel.view.kernelRoot(node);
  }

  /** Roots that are live: every holder's, and the one CPUs start on. */
  get liveRoots(): readonly { readonly name: string; readonly root: Frame; readonly node: NodeId }[] {
    const own = this.holders
      .map((node) => ({ name: `node ${node}`, root: this.root(node), node }))
      .filter(({ root }) => root !== this.bootTable);
    return [...own, { name: "the boot table", root: this.bootTable, node: this.kernel.view.master }];
  }
}
