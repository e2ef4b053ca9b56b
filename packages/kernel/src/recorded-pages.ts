/**
 * Pages of a recording in the model: where each virtual page of the recorded guest is here, mapped where nothing maps
 * it yet.
 *
 * The memory of each of the guest's nodes is a window of the machine's: guest-windows.ts. What the model's kernel maps
 * itself is addressed through its own tables: the image at its offset, the direct map and the page descriptors at the
 * frame's new place.
 */
import { LARGE_PAGES, PAGE } from "@kreplica/hw-x86/api";
import { addressOfFrame, type CpuId, type Frame, type FrameRange, NONE, type NodeId } from "@kreplica/hw-x86";
import {
  descriptorAddress,
  type AddressSpace,
  entryPageOf,
  imageFrame,
  invariant,
  type Mapping,
  MmError,
} from "@kreplica/mm-core";
import {
  CPU_ENTRY_AREA,
  DESCRIPTOR_BYTES,
  type GuestMappings,
  guestNodeOfPage,
  imagePages,
  MAPPINGS,
  type RecordedGuest,
  shippedGuest,
  tailOfPage,
} from "@kreplica/trace";
import type { BootParts } from "./boot-parts.js";
import { framesBeyond, type GuestWindow, guestWindows, tailsWindow } from "./guest-windows.js";
import type { RunnerPlaces } from "./runner-places.js";

/** The top-level entry of 4 levels that has the entry areas has nothing else. */
const CPU_ENTRY_AREA_END = CPU_ENTRY_AREA + 0x80_0000_0000n;

/** PCID of the recorded address space: Linux gives the first space on a CPU 1, and its user half 0x801. */
export const RECORDED_PCID = 1;
const USER_PCID = RECORDED_PCID | 0x800;

/** The nodes that stand for those of the image and of the data, unless told otherwise: the first two with memory. */
export function defaultGuestNodes(ranges: readonly FrameRange[]): readonly [NodeId, NodeId] {
  const nodes = [...new Set(ranges.map((range) => range.node))];
  invariant(nodes[0] !== undefined, "a machine without memory booted");
  return [nodes[0], nodes[1] ?? nodes[0]];
}

/** What a page is, when the recording knows better than its address. */
export interface RecordedPage {
  readonly writable?: boolean;
  readonly executable?: boolean;
  /** Address space of a user page; one that all share when absent. */
  readonly space?: AddressSpace;
}

/**
 * Where each virtual page of the recorded guest is in the model; a page that nothing maps yet is mapped when it is
 * first asked for.
 */
export class RecordedPages {
  private readonly windows: readonly GuestWindow[];
  private readonly tails: GuestWindow | undefined;
  private readonly beyond: number;
  private readonly mappings: GuestMappings;
  private shared: AddressSpace | undefined;
  /** CPUs that run recordings: only they can have translated a recorded page. */
  private readonly running = new Set<CpuId>();

  /**
   * @param nodes that stand for those of the recorded image and of all other memory
   * @param order of the guest's frames, where it is not as recorded; page descriptors stay where they were
   * @param runner whose pages they are, where several CPUs run the recording, each with a process of its own
   */
  constructor(
    private readonly parts: BootParts,
    private readonly nodes: readonly [NodeId, NodeId],
    readonly guest: RecordedGuest = shippedGuest,
    private readonly order: (recorded: Frame) => Frame = (recorded) => recorded,
    private readonly runner?: RunnerPlaces,
  ) {
    this.beyond = framesBeyond(parts.image, guest);
    this.windows = runner?.windows ?? guestWindows(parts.machine.memory.ranges, guest, nodes, this.beyond);
    this.tails = tailsWindow(parts.machine.memory.ranges, guest, nodes, this.beyond);
    this.mappings = MAPPINGS[guest.levels];
  }

  /** To be called before a CPU runs a recording; for the one that is measured before any page is mapped. */
  runsOn(cpu: CpuId): void {
    // Of several runners one has done so already: the image is everybody's.
    if (this.running.size === 0 && !this.runner) this.keepImage();
    this.running.add(cpu);
  }

  /**
   * What the booted kernel gave back of its image (init memory, tails) it may have no more: the recorded kernel did,
   * and used it.
   */
  private keepImage(): void {
    const { image, layout, allocator } = this.parts;
    const first = imageFrame(layout, image.stext, image.stext);
    for (let frame = first; frame < imageFrame(layout, image.stext, image.end); frame++)
      allocator.claim(frame, "kernel");
  }

  /** The address space of user pages that were given none. @throws MmError out-of-frames */
  get userSpace(): AddressSpace {
    // Made where the recorded process runs: policies may give it that node's PGD alone.
    const [cpu] = this.running;
    this.shared ??= this.parts.spaces.create(cpu === undefined ? this.nodes[1] : this.parts.machine.nodeOfCpu(cpu));
    if (!this.shared) throw new MmError("out-of-frames", 0n, "no PGD for the recording's address space");
    return this.shared;
  }

  /** Frame of the model that stands for a recorded frame; devices stay where they are. */
  frame(recorded: Frame): Frame {
    return this.placeOf(this.order(recorded));
  }

  /** The same where the guest's frames are in the order in which they were recorded. */
  private placeOf(recorded: Frame): Frame {
    const { image, layout } = this.parts;
    const { guest } = this;
    const first = guest.image.firstPage;
    if (recorded >= first && recorded < first + Math.min(imagePages(image), imagePages(guest.image))) {
      const tail = this.tails ? tailOfPage(guest, recorded) : -1;
      return tail >= 0
        ? this.tails!.first + tail * LARGE_PAGES + (recorded % LARGE_PAGES)
        : imageFrame(layout, image.stext, image.stext) + recorded - first;
    }
    const node = guestNodeOfPage(guest, recorded);
    if (node < 0) return recorded;
    const behindImage = recorded >= first && guestNodeOfPage(guest, first) === node;
    return this.windows[node]!.first + recorded - guest.nodes[node]!.firstPage + (behindImage ? this.beyond : 0);
  }

  /** Node on which the model has what the recording had in a frame. */
  node(recorded: Frame): NodeId {
    return this.windows[guestNodeOfPage(this.guest, recorded)]?.node ?? this.nodes[1];
  }

  /**
   * Address in the model of a recorded one, mapped. Ask again whenever the recording names a new frame for the page.
   *
   * @param address virtual, canonical, any byte of the page
   * @param recorded frame the recording had behind it
   * @throws MmError out-of-frames
   */
  map(address: bigint, recorded: Frame, page: RecordedPage = {}): bigint {
    const moved = this.move(address, recorded);
    if (moved.builtIn) return moved.address;
    const frame = this.frame(recorded);
    const user = address >> 63n === 0n;
    const mapping: Mapping = {
      frame,
      level: 1,
      present: true,
      cache: "wb",
      user,
      global: !user && !this.parts.layout.pti,
      writable: page.writable ?? true,
      executable: page.executable ?? (user || this.isModule(moved.address)),
    };
    const start = moved.address & ~(PAGE - 1n);
    if (user) this.setUser(page.space ?? this.userSpace, start, mapping, this.node(recorded));
    else this.setKernel(start, mapping);
    return moved.address;
  }

  /**
   * Why an access would fault that is made in the mode its address belongs to; undefined when it would not.
   * @param address in the model
   */
  denies(address: bigint, access: "fetch" | "load" | "store"): string | undefined {
    const { tables, view } = this.parts;
    const found = address >> 63n === 0n ? this.userSpace.lookup(address) : tables.lookup(view.master, address);
    if (!found) return "which this kernel maps nothing at";
    if (access === "fetch" && !found.executable) return "which holds no code in this kernel";
    return access === "store" && !found.writable ? "which is read-only in this kernel" : undefined;
  }

  private setUser(space: AddressSpace, start: bigint, mapping: Mapping, node: NodeId): void {
    const old = space.lookup(start);
    if (old?.frame === mapping.frame) return;
    if (!space.set(start, mapping, node))
      throw new MmError("out-of-frames", start, "no table page for a user page of the recording");
    if (old) this.forget(start);
  }

  private setKernel(start: bigint, mapping: Mapping): void {
    const { tables, view } = this.parts;
    const old = tables.lookup(view.master, start);
    if (old) {
      // Modules and the like have one address for all runners, who differ in what lay there: the first one's stays.
      if (old.frame === mapping.frame || (this.runner && !this.isOwn(start))) return;
      const done = tables.editLazily((editor) => editor.repoint({ start, pages: 1 }, () => mapping.frame));
      invariant(done, "a leaf that is there needs no table page");
      this.forget(start);
      return;
    }
    if (!tables.editLazily((editor) => editor.map(start, mapping)))
      throw new MmError("out-of-frames", start, "no table page for a kernel page of the recording");
  }

  /**
   * Every CPU that could hold it drops the page, in both halves, at no cost: what the recorded kernel paid for its
   * shootdown is in the recording.
   */
  private forget(start: bigint): void {
    const { machine, options, layout } = this.parts;
    for (const id of this.running) {
      const cpu = machine.cpu(id);
      cpu.invlpg(start);
      // INVLPG is about the PCID that is loaded, which depends on the mode the recording is in just now.
      if (options.pcid)
        for (const pcid of layout.pti ? [RECORDED_PCID, USER_PCID] : [RECORDED_PCID]) cpu.invpcid(0, pcid, start);
    }
  }

  private isModule(address: bigint): boolean {
    const { layout } = this.parts;
    return address >= layout.modulesStart && address < layout.modulesEnd;
  }

  /** Whether no other runner has the address, in this layout. */
  private isOwn(address: bigint): boolean {
    const { layout } = this.parts;
    return (
      (address >= layout.vmallocStart && address < layout.vmallocEnd) ||
      (address >= CPU_ENTRY_AREA && address < CPU_ENTRY_AREA_END)
    );
  }

  /** Where an address is in this layout, and whether the kernel's own tables map it. */
  private move(address: bigint, recorded: Frame): { address: bigint; builtIn: boolean } {
    const { layout, image } = this.parts;
    if (address >> 63n === 0n) return { address, builtIn: false };
    if (address >= image.stext && address < image.end) {
      return { address: address + layout.imageOffset, builtIn: true };
    }
    const { pageOffset, directMapEnd, vmallocStart, vmallocEnd, vmemmapStart, vmemmapEnd } = this.mappings;
    if (address >= pageOffset && address < directMapEnd) {
      return {
        address:
          layout.pageOffset +
          addressOfFrame(this.frame(Number((address - pageOffset) >> 12n))) +
          (address & (PAGE - 1n)),
        builtIn: true,
      };
    }
    if (address >= vmemmapStart && address < vmemmapEnd) {
      const byte = address - vmemmapStart;
      // Pages of descriptors are placed whole.
      const frame = this.placeOf(Number(byte / DESCRIPTOR_BYTES));
      return {
        address: descriptorAddress(layout, frame) + (byte % DESCRIPTOR_BYTES),
        builtIn: true,
      };
    }
    if (address >= vmallocStart && address < vmallocEnd)
      return {
        address: layout.vmallocStart + (address - vmallocStart) + (this.runner?.vmallocBytes ?? 0n),
        builtIn: false,
      };
    if (address >= CPU_ENTRY_AREA) {
      // cpu_entry_area, modules and fixmap lie alike everywhere; what the boot did not build, the recording's frame
      // fills.
      const here = this.runner ? entryAddress(address, this.runner.position) : address;
      const known = this.parts.tables.lookup(this.parts.view.master, here);
      return { address: here, builtIn: known !== undefined && !this.isModule(address) && recorded !== NONE };
    }
    return { address, builtIn: false };
  }
}

/** An address of any CPU's entry area as that of the CPU at a position among all; others stay. */
function entryAddress(address: bigint, position: number): bigint {
  if (address >= CPU_ENTRY_AREA_END) return address;
  const page = entryPageOf(Number((address - CPU_ENTRY_AREA) >> 12n), position);
  return CPU_ENTRY_AREA + (BigInt(page) << 12n) + (address & (PAGE - 1n));
}
