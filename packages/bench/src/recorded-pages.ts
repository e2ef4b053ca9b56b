/**
 * Pages of a recording in the model: where each virtual page of the recorded guest is here, mapped where nothing maps it yet.
 *
 * The recorded guest has 512 MiB on each of two nodes. Each half is a window of the same size on one node of the machine, set aside
 * while booting, so that frames of the recording and frames of the model never meet. What the model's kernel maps itself is
 * addressed through its own tables: the image at its offset, the direct map and the page descriptors at the frame's new place.
 */
import { addressOfFrame, type CpuId, type Frame, type FrameRange, NONE, type NodeId } from "@kreplica/hw-x86";
import { type AddressSpace, imageFrame, invariant, type Mapping, MmError } from "@kreplica/mm-core";
import type { BootParts } from "./boot-parts.js";

/** The recorded guest's physical memory: node 0 below, node 1 from here. */
export const RECORDED_NODE_FRAMES = 0x2_0000;
/** Frames of the traced kernel's image, _text to _end: they are the model's image. @source System.map-6.1.0-56-cloud-amd64 */
export const RECORDED_IMAGE = { first: 0x1000, end: 0x3830 } as const;
const RECORDED_IMAGE_PAGES = RECORDED_IMAGE.end - RECORDED_IMAGE.first;
/** Where the traced kernel had its mappings. */
export const RECORDED = {
  pageOffset: 0xffff_8880_0000_0000n, vmallocStart: 0xffff_c900_0000_0000n, vmemmapStart: 0xffff_ea00_0000_0000n, cpuEntryArea: 0xffff_fe00_0000_0000n,
} as const;
/** Of a page descriptor. */
export const DESCRIPTOR_BYTES = 64n;
/** PCID of the recorded address space: Linux gives the first space on a CPU 1, and its user half 0x801. */
export const RECORDED_PCID = 1;
const USER_PCID = RECORDED_PCID | 0x800;

/** Frames by which an image is larger than the recorded one, in whole large pages: recorded frames behind the image lie so much later. */
export const framesBeyond = ({ stext, end }: { readonly stext: bigint; readonly end: bigint }): number =>
  Math.max(0, Math.ceil((Number((end - stext + 4095n) >> 12n) - RECORDED_IMAGE_PAGES) / 512) * 512);

/**
 * Windows to set aside: 512 MiB at the start of each of the two nodes, where they are large enough to spare it.
 * @param beyond what {@link framesBeyond} says of the image
 */
export function recordedWindows(ranges: readonly FrameRange[], chosen?: readonly [NodeId, NodeId], beyond = 0): { first: Frame; frames: number }[] {
  const nodes = [...new Set(ranges.map((range) => range.node))];
  const [a, b] = chosen ?? [nodes[0]!, nodes[1] ?? nodes[0]!];
  return windowPlaces(ranges, [a, b], beyond).map((first, which) => ({ first, frames: RECORDED_NODE_FRAMES + (which === 0 ? beyond : 0) }))
    .filter(({ first }) => ranges.some((range) => first >= range.first && first + 2 * RECORDED_NODE_FRAMES <= range.first + range.frames));
}

/** First frame of each window; both on one node lie behind one another. */
export function windowPlaces(ranges: readonly FrameRange[], [a, b]: readonly [NodeId, NodeId], beyond = 0): [Frame, Frame] {
  const start = (node: NodeId): Frame => ranges.find((range) => range.node === node)?.first ?? 0;
  return [start(a), a === b ? start(a) + RECORDED_NODE_FRAMES + beyond : start(b)];
}

/** What a page is, when the recording knows better than its address. */
export interface RecordedPage {
  readonly writable?: boolean;
  readonly executable?: boolean;
  /** Address space of a user page; one that all share when absent. */
  readonly space?: AddressSpace;
}

export class RecordedPages {
  private readonly windows: readonly [Frame, Frame];
  private readonly beyond: number;
  private shared: AddressSpace | undefined;
  /** CPUs that run recordings: only they can have translated a recorded page. */
  private readonly running = new Set<CpuId>();

  constructor(private readonly parts: BootParts, private readonly nodes: readonly [NodeId, NodeId]) {
    this.beyond = framesBeyond(parts.image);
    this.windows = windowPlaces(parts.machine.memory.ranges, nodes, this.beyond);
  }

  /** To be called before a CPU runs a recording; for the one that is measured before any page is mapped. */
  runsOn(cpu: CpuId): void {
    if (this.running.size === 0) this.keepImage();
    this.running.add(cpu);
  }

  /** What the booted kernel gave back of its image (init memory, tails) it may have no more: the recorded kernel did, and used it. */
  private keepImage(): void {
    const { image, layout, allocator } = this.parts;
    const first = imageFrame(layout, image.stext, image.stext);
    for (let frame = first; frame < imageFrame(layout, image.stext, image.end); frame++) allocator.claim(frame, "kernel");
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
    const { image, layout } = this.parts;
    const pages = Math.min(Number((image.end - image.stext) >> 12n), RECORDED_IMAGE_PAGES);
    const { first } = RECORDED_IMAGE;
    if (recorded >= first && recorded < first + pages) return imageFrame(layout, image.stext, image.stext) + recorded - first;
    if (recorded < RECORDED_NODE_FRAMES) return this.windows[0] + recorded + (recorded < first ? 0 : this.beyond);
    if (recorded < 2 * RECORDED_NODE_FRAMES) return this.windows[1] + recorded - RECORDED_NODE_FRAMES;
    return recorded;
  }

  /** Node on which the model has what the recording had on node 0 or 1. */
  node(recorded: Frame): NodeId { return recorded < RECORDED_NODE_FRAMES ? this.nodes[0] : this.nodes[1]; }

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
      frame, level: 1, present: true, cache: "wb", user, global: !user && !this.parts.layout.pti,
      writable: page.writable ?? true, executable: page.executable ?? (user || this.isModule(moved.address)),
    };
    const start = moved.address & ~4095n;
    if (user) this.setUser(page.space ?? this.userSpace, start, mapping, this.node(recorded));
    else this.setKernel(start, mapping);
    return moved.address;
  }

  /** Why an access would fault that is made in the mode its address belongs to; undefined when it would not. @param address in the model */
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
    if (!space.set(start, mapping, node)) throw new MmError("out-of-frames", start, "no table page for a user page of the recording");
    if (old) this.forget(start);
  }

  private setKernel(start: bigint, mapping: Mapping): void {
    const { tables, view } = this.parts;
    const old = tables.lookup(view.master, start);
    if (old) {
      if (old.frame === mapping.frame) return;
      const done = tables.editLazily((editor) => editor.repoint(start, 1, () => mapping.frame));
      invariant(done, "a leaf that is there needs no table page");
      this.forget(start);
      return;
    }
    if (!tables.editLazily((editor) => editor.map(start, mapping))) throw new MmError("out-of-frames", start, "no table page for a kernel page of the recording");
  }

  /** Every CPU that could hold it drops the page, in both halves, at no cost: what the recorded kernel paid for its shootdown is in the recording. */
  private forget(start: bigint): void {
    const { machine, options, layout } = this.parts;
    for (const id of this.running) {
      const cpu = machine.cpu(id);
      cpu.invlpg(start);
      // INVLPG is about the PCID that is loaded, which depends on the mode the recording is in just now.
      if (options.pcid) for (const pcid of layout.pti ? [RECORDED_PCID, USER_PCID] : [RECORDED_PCID]) cpu.invpcid(0, pcid, start);
    }
  }

  private isModule(address: bigint): boolean {
    const { layout } = this.parts;
    return address >= layout.modulesStart && address < layout.modulesEnd;
  }

  /** Where an address is in this layout, and whether the kernel's own tables map it. */
  private move(address: bigint, recorded: Frame): { address: bigint; builtIn: boolean } {
    const { layout, image } = this.parts;
    if (address >> 63n === 0n) return { address, builtIn: false };
    if (address >= image.stext && address < image.end) {
      return { address: address + layout.imageOffset, builtIn: true };
    }
    if (address >= RECORDED.pageOffset && address < RECORDED.vmallocStart) {
      return { address: layout.pageOffset + addressOfFrame(this.frame(Number((address - RECORDED.pageOffset) >> 12n))) + (address & 4095n), builtIn: true };
    }
    if (address >= RECORDED.vmemmapStart && address < RECORDED.cpuEntryArea) {
      const byte = address - RECORDED.vmemmapStart;
      const frame = this.frame(Number(byte / DESCRIPTOR_BYTES));
      return { address: layout.vmemmapStart + BigInt(frame) * DESCRIPTOR_BYTES + (byte % DESCRIPTOR_BYTES), builtIn: true };
    }
    if (address >= RECORDED.vmallocStart && address < RECORDED.vmemmapStart) return { address: layout.vmallocStart + (address - RECORDED.vmallocStart), builtIn: false };
    if (address >= RECORDED.cpuEntryArea) {
      // cpu_entry_area, modules and fixmap lie alike everywhere; what the boot did not build, the recording's frame fills.
      const known = this.parts.tables.lookup(this.parts.view.master, address);
      return { address, builtIn: known !== undefined && !this.isModule(address) && recorded !== NONE };
    }
    return { address, builtIn: false };
  }
}
