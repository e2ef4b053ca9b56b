/**
 * The replica view of a kernel with the series: tables of their own for every holder, copies of text and rodata behind
 * them.
 *
 * Which nodes hold copies, and of what, is the policy's; this class does the steps. The master keeps the tables it
 * booted with, below a PGD of its own: a CPU there walks the same lines as with a single copy, and the boot table stays
 * in step by itself. The series clones them for the master too, and leaves the booted ones behind (defect D4). Copies
 * and cloned tables cannot fail after `reserve`: their frames are set aside then, and a node that could not get its own
 * is no holder. Only when rodata is final is it known which leaves the copies divide, so `replicateRodata` takes those
 * few pages itself: all before its first change, or it is refused as a whole.
 */
import { inject, injectable } from "@kreplica/di";
import {
  type AddressRange,
  type CpuId,
  type Frame,
  Machine,
  type NodeId,
  NONE,
  PAGE,
  PAGE_BYTES,
  pagesBetween,
} from "@kreplica/hw-x86/api";
import {
  bootRoot,
  brkRoom,
  BuildContext,
  copyImageToUser,
  directAddress,
  frameAt,
  imageAddress,
  imageFrame,
  PGD_PAGES,
  type ReplicaView,
  type TableRoot,
  userImageRange,
} from "@kreplica/mm-core/api";
import { cloneRoot, countBelow, WINDOW_START } from "./clone-tables.js";
import { copyPages } from "./copy-pages.js";
import { countAliasTables, protectAlias } from "./linear-alias.js";
import { type CopiedPart, copiedRanges, type HolderRoom, placesOf } from "./placement.js";
import { memoryNodes, type PageRun, ReplicationPolicy } from "./policy.js";
import { CopySteps } from "./copy-steps.js";
import { countPartTables, repointPart } from "./repoint.js";
import { reserveRooms } from "./reserve.js";
import { nextPage, takeTablePages } from "./table-pages.js";

/**
 * The replica view of a kernel with the series: tables of its own for every holder, copies of text and rodata behind
 * them.
 */
@injectable()
export class CopyPerNode implements ReplicaView {
  readonly name: string;
  readonly master: NodeId;
  holders: readonly NodeId[];
  groups: readonly (readonly NodeId[])[] = [];
  roots: readonly TableRoot[];
  private readonly bootTable: Frame;
  private readonly parts: Record<"text" | "rodata", CopiedPart>;
  private rooms: readonly HolderRoom[] = [];
  private readonly near: NodeId[] = [];
  private replicated = false;
  private linearKnown = false;

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(BuildContext) private readonly context: BuildContext,
    @inject(ReplicationPolicy) private readonly policy: ReplicationPolicy,
    @inject(CopySteps) private readonly steps: CopySteps,
  ) {
    const { layout, image, master } = context;
    this.name = policy.name;
    this.master = master;
    this.holders = [master];
    this.bootTable = bootRoot(layout, image);
    this.roots = [{ node: master, root: this.bootTable, kind: "boot" }];
    const part = (purpose: "text" | "rodata", { start, end }: AddressRange, runs?: readonly PageRun[]): CopiedPart => {
      const places = placesOf(pagesBetween(start, end).pages, runs);
      return {
        purpose,
        start: imageAddress(layout, start),
        pages: places.length,
        original: imageFrame(layout, image.stext, start),
        places,
        copied: places.reduce((sum, place) => sum + Number(place !== -1), 0),
      };
    };
    this.parts = {
      text: part("text", { start: image.stext, end: image.etext }, policy.textPages),
      rodata: part("rodata", { start: image.startRodata, end: image.endRodata }),
    };
  }

  /** @patch 03/12 mm/numa_replication.c numa_reserve_memory */
  reserve(): void {
    const { context, policy, steps } = this;
    const { levels, pti } = context.layout;
    const wanted = new Set([this.master, ...policy.chooseHolders(this.machine, this.master, this.copyBytes)]);
    const candidates = memoryNodes(this.machine).filter((node) => wanted.has(node));
    if (candidates.length < 2) return;
    const kernelTables = countBelow(context.entries, levels, this.bootTable);
    // The user half gets P4D (5 levels), PUD and one PMD page; nothing of it exists yet that could be counted.
    const userTables = pti && steps.userHalf === "its own" ? levels - 2 : 0;
    const tails = this.copiesText
      ? countPartTables(context.entries, levels, this.bootTable, this.bootTable, this.parts.text)
      : 0;
    this.rooms = reserveRooms(context.early, this.machine, candidates, {
      parts: [...(this.copiesText ? [this.parts.text] : []), ...(policy.copies.rodata ? [this.parts.rodata] : [])],
      rootFrames: PGD_PAGES,
      tables: kernelTables + userTables + tails,
      master: this.master,
      later: policy.onDemand !== undefined,
      anyNode: steps.memory === "any node's",
      // In the image's brk, so that the master's node hands out the same frames as with a single copy from here on.
      ...(steps.master === "booted tables" ? { masterRoot: brkRoom(context.layout, context.image, PGD_PAGES) } : {}),
    });
  }

  /** @patch 03/12 mm/numa_replication.c numa_replicate_kernel */
  replicateKernel(): void {
    const { entries, layout, image } = this.context;
    const { steps } = this;
    if (this.rooms.length === 0) return;
    let masterTables: readonly Frame[] = [];
    for (const room of this.rooms) {
      const own: Frame[] = Array.from({ length: PGD_PAGES }, (_, half) => room.root + half);
      for (const table of own) entries.adopt(table);
      const make = (): Frame => {
        const table = nextPage(room.tables);
        entries.adopt(table);
        own.push(table);
        return table;
      };
      // The very list: what is cloned below joins it.
      if (room.node === this.master) masterTables = own;
      if (room.node === this.master && steps.master === "booted tables") {
        for (let half = 0; half <= (layout.pti ? 1 : 0); half++)
          entries.copy(this.bootTable + half, room.root + half, layout.kernelBoundary, 512);
        continue;
      }
      cloneRoot(entries, layout.levels, layout.kernelBoundary, this.bootTable, room.root, make);
      if (layout.pti) {
        if (steps.userHalf !== "its own") entries.copy(this.bootTable + 1, room.root + 1, layout.kernelBoundary, 512);
        else cloneRoot(entries, layout.levels, layout.kernelBoundary, this.bootTable + 1, room.root + 1, make);
      }
      if (room.node === this.master || !this.copiesText) continue;
      const { text } = this.parts;
      copyPages(entries.memory, text, room.text);
      if (steps.mapsCopies) repointPart(entries, layout.levels, room.root, this.bootTable, text, room.text, make);
      if (layout.pti && steps.userHalf === "its own") {
        copyImageToUser(this.context, room.root, room.root + 1, userImageRange(layout, image, true), make);
      }
    }
    const nodes = this.rooms.map((room) => room.node);
    this.groups = this.policy.groups?.(this.machine, this.master, this.copyBytes) ?? [];
    for (const node of this.machine.nodes) {
      const group = this.groups.find((each) => each.includes(node));
      const shared = nodes.filter((each) => group?.includes(each));
      this.near[node] = (shared.length > 0 ? shared : nodes).reduce((best, each) =>
        this.machine.distance(node, each) < this.machine.distance(node, best) ? each : best,
      );
    }
    // Only now may anyone see it: lookups before this line use the boot table (to answer from an empty list is defect
    // D1).
    this.holders = nodes;
    const own = this.rooms.map(({ node, root }): TableRoot => ({ node, root, kind: "node" }));
    this.roots = steps.master === "booted tables" ? [this.roots[0]!, ...own] : own;
    // The boot table is no root any more: what a single copy would store there goes to the master's clones now.
    if (steps.master === "cloned tables") for (const table of masterTables) entries.disown(table);
    this.replicated = true;
    this.linearKnown = true;
  }

  /** @patch 07/12 arch/x86/kernel/smpboot.c start_secondary; 03/12 mm/numa_replication.c numa_setup_pgd */
  setupCpu(cpu: CpuId): void {
    this.machine.cpu(cpu).writeCr3(this.context.entries.cr3(this.kernelRoot(this.machine.nodeOfCpu(cpu))));
  }

  /**
   * @patch 03/12 mm/numa_replication.c numa_replicate_kernel_rodata
   * @throws MmError out-of-frames when a table page could not be had; nothing is changed then
   */
  replicateRodata(): void {
    const { entries, layout, allocator } = this.context;
    const { text, rodata } = this.parts;
    const { copies } = this.policy;
    const { steps } = this;
    if (!this.replicated) return;
    const repoints = copies.rodata && steps.mapsCopies;
    const divided = new Set<string>();
    const works = this.rooms
      .filter((room) => room.node !== this.master)
      .map((room) => ({
        room,
        aliases: [
          ...(this.copiesText && !this.policy.onDemand && steps.sealed.text
            ? [{ first: room.text, frames: text.copied }]
            : []),
          ...(copies.rodata && steps.sealed.rodata ? [{ first: room.rodata, frames: rodata.copied }] : []),
        ],
      }));
    const pages = takeTablePages(
      allocator,
      works.flatMap(({ room, aliases }) => [
        {
          node: room.node,
          pages: repoints ? countPartTables(entries, layout.levels, room.root, this.bootTable, rodata) : 0,
          exact: true,
        },
        {
          node: room.node,
          pages: aliases.reduce((sum, run) => sum + countAliasTables(this.context, this.bootTable, run, divided), 0),
          exact: false,
        },
      ]),
    );
    works.forEach(({ room, aliases }, nth) => {
      const [forPart, forAliases] = [pages[2 * nth]!, pages[2 * nth + 1]!];
      if (copies.rodata) copyPages(entries.memory, rodata, room.rodata);
      if (repoints) {
        for (const table of forPart) entries.adopt(table);
        repointPart(entries, layout.levels, room.root, this.bootTable, rodata, room.rodata, () => nextPage(forPart));
      }
      // The direct map is everybody's; what it says of a copy's frames is the copy's.
      entries.forCopy(() => {
        for (const run of aliases) protectAlias(this.context, this.bootTable, run, () => nextPage(forAliases));
      });
    });
  }

  /** @patch 03/12 mm/numa_replication.c numa_clear_linear_addresses */
  clearLinearAddresses(): void {
    this.linearKnown = false;
  }

  /**
   * Direct-map address of a text byte in a node's copy, for patching while the kernel boots.
   * @patch 03/12 mm/numa_replication.c numa_addr_in_replica
   * @returns undefined outside text, for a node that holds no copy, before there are copies and after the addresses
   *   were cleared
   */
  addressInReplica(address: bigint, node: NodeId): bigint | undefined {
    const { text } = this.parts;
    const page = Number((address - text.start) >> 12n);
    const room = this.rooms.find((each) => each.node === node);
    if (!this.linearKnown || !room || address < text.start || page >= text.pages) return undefined;
    const place = room.node === this.master || !this.copiesText ? -1 : text.places[page]!;
    const frame = place === -1 ? text.original + page : room.text + place;
    return directAddress(this.context.layout, frame) + (address & (PAGE - 1n));
  }

  /** Not when no page that the policy names is of this kernel's text. */
  private get copiesText(): boolean {
    return this.policy.copies.text && this.parts.text.copied > 0;
  }

  /** Bytes of one holder's copies. */
  private get copyBytes(): number {
    const { text, rodata } = this.parts;
    return PAGE_BYTES * ((this.copiesText ? text.copied : 0) + (this.policy.copies.rodata ? rodata.copied : 0));
  }

  get copies(): ReplicaView["copies"] {
    return this.replicated
      ? {
          text: this.copiesText,
          rodata: this.policy.copies.rodata,
          ...(this.policy.textPages ? { textRanges: copiedRanges(this.parts.text) } : {}),
          userTables: this.steps.userHalf === "its own",
        }
      : { text: false, rodata: false };
  }

  /** Memory that comes later makes no holder: who holds copies was settled when they were made. */
  memoryAdded(_node: NodeId): void {}

  nearest(node: NodeId): NodeId {
    return this.near[node] ?? this.master;
  }

  isPrivate(address: bigint): boolean {
    return this.replicated && address >= WINDOW_START;
  }

  replicaFrame(address: bigint, node: NodeId): Frame | undefined {
    return frameAt(this.context.entries.memory, this.kernelRoot(node), this.context.layout.levels, address);
  }

  kernelRoot(node: NodeId): Frame {
    if (!this.replicated) return this.bootTable;
    const holder = this.nearest(node);
    const room = this.rooms.find((each) => each.node === holder);
    return room?.root ?? NONE;
  }
}
