/** Areas of kernel addresses on every holder: allocate, map, replicate, free. */
import { inject, injectable } from "@kreplica/di";
import {
  addressOfFrame,
  type AddressRange,
  bytesOf,
  type Frame,
  hex,
  LARGE,
  LARGE_PAGES,
  type NodeId,
  NONE,
  PAGE,
  PAGE_BYTES,
  type PageRange,
  PhysMemory,
} from "@kreplica/hw-x86/api";
import {
  invariant,
  KernelLayout,
  KernelTables,
  MmError,
  PageAllocator,
  ReplicaView,
  TextUsers,
  type Mapping,
  type Protection,
} from "@kreplica/mm-core/api";
import { AddressSpace } from "./address-space.js";
import {
  AliasFlush,
  AreaBits,
  AreaReplicator,
  PageAccount,
  ShadowMemory,
  VmallocLimits,
  type AreaRequest,
  type FrameBlock,
  type MapRequest,
  type Placement,
  type ReplicationOutcome,
  type Vmalloc,
  type VmallocCounters,
  type VmArea,
} from "./api.js";
import { Area } from "./area.js";
import { allocateBlocks, freeBlocks, HUGE_ORDER, type Blocks } from "./blocks.js";
import { VmallocError } from "./errors.js";
import { FreeList } from "./free-list.js";
import { LeakBook } from "./leak-book.js";
import { RangeTree } from "./range-tree.js";
import { DirectMapAliases } from "./reset-aliases.js";

/** PAGE_KERNEL: writable, not executable, global. @source arch/x86/include/asm/pgtable_types.h */
const PAGE_KERNEL: Protection = {
  writable: true,
  executable: false,
  global: true,
  user: false,
  present: true,
  cache: "wb",
};

/**
 * Keeps areas in one ordered tree and gaps in another. What differs between designs is bound: replicator, flush,
 * account, shadow.
 */
@injectable()
export class AreaVmalloc implements Vmalloc {
  readonly counters: VmallocCounters;
  readonly leaks = new LeakBook();
  private readonly space: AddressSpace;
  private readonly busy = new RangeTree<Area>();
  private readonly freed: FreeList;

  constructor(
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(PhysMemory) private readonly memory: PhysMemory,
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(AreaReplicator) private readonly replicator: AreaReplicator,
    @inject(AliasFlush) aliasFlush: AliasFlush,
    @inject(PageAccount) private readonly account: PageAccount,
    @inject(ShadowMemory) private readonly shadow: ShadowMemory,
    @inject(AreaBits) private readonly bits: AreaBits,
    @inject(VmallocLimits) private readonly limits: VmallocLimits,
    @inject(TextUsers) private readonly textUsers: TextUsers,
  ) {
    this.space = new AddressSpace([
      { start: layout.vmallocStart, end: (layout.vmallocEnd + 1n) & ~(PAGE - 1n) },
      { start: layout.modulesStart, end: layout.modulesEnd },
    ]);
    this.freed = new FreeList(tables, allocator, view, this.space, new DirectMapAliases(tables, layout), aliasFlush);
    const owners = [...new Set(memory.ranges.map((range) => range.node))];
    const { busy, freed } = this;
    this.counters = {
      pages: (node) => account.pages(node),
      get used() {
        return owners.reduce((sum, node) => sum + account.pages(node), 0);
      },
      get lazyPages() {
        return freed.pages;
      },
      get areas() {
        return busy.size;
      },
    };
  }

  allocate(request: AreaRequest): VmArea {
    const pages = Math.ceil(request.bytes / PAGE_BYTES);
    if (!(pages >= 1) || !Number.isSafeInteger(pages))
      throw new VmallocError(
        "bad-request",
        request.at ?? 0n,
        `${request.bytes} bytes are no area; ask for at least one`,
      );
    const huge = request.huge === true && pages % LARGE_PAGES === 0;
    const taken = this.takeAddresses(pages, request, huge ? LARGE : PAGE);
    const { start } = taken;
    // Small leaves that were here before have left their tables: they go back first, as in vmap_try_huge_pmd.
    const level = huge && start % LARGE === 0n && this.tables.makeRoomForLarge({ start, pages }) ? 2 : 1;
    // Fragmentation is no reason to fail a large area: small leaves will do. @source mm/vmalloc.c __vmalloc_node_range,
    // "retry with smaller pages"
    return (
      (level === 2 ? this.back({ start, pages }, 2, request) : undefined) ??
      this.back({ start, pages }, 1, request) ??
      this.refuse(taken, pages)
    );
  }

  map(request: MapRequest): VmArea {
    const pages = request.frames.length;
    if (pages === 0) throw new VmallocError("bad-request", request.at ?? 0n, "no frames to map");
    const taken = this.takeAddresses(pages, request, PAGE);
    const { start } = taken;
    const node = this.view.nearest(Math.max(0, this.memory.nodeOf(request.frames[0]!)));
    const area = new Area(
      { start, pages },
      request.noGuard !== true,
      "mapped",
      node,
      1,
      request.purpose,
      request.frames,
      [],
    );
    return this.install(area, request) ? area : this.refuse(taken, pages);
  }

  free(area: VmArea): void {
    this.freeAll([area]);
  }

  freeAll(areas: readonly VmArea[]): void {
    this.textUsers.release(areas.map(bytesOf));
    for (const area of areas) {
      const own = area as Area;
      if (!own.alive || this.busy.containing(area.start)?.value !== area)
        throw new VmallocError("no-area", area.start, "freed already, or not from here");
      own.alive = false;
      this.busy.remove(area.start);
      this.leaks.forget(area);
      this.unmap(own, area.pages);
      this.shadow.uncover(area);
      if (area.kind === "allocated") {
        this.account.remove(area.frames, "base");
        for (const copy of area.copies.values()) this.account.remove(copy, "replica");
      }
      this.freed.add(own);
    }
    if (areas.some((area) => area.resetPermissions) || this.freed.pages > this.limits.lazyPages) this.purge();
  }

  purge(): void {
    this.freed.purge();
  }

  find(address: bigint): VmArea | undefined {
    const area = this.busy.containing(address)?.value;
    return area && address < area.end ? area : undefined;
  }

  toFrame(address: bigint): Frame {
    return this.toFrameOn(this.view.holders[0]!, address);
  }

  toFrameOn(node: NodeId, address: bigint): Frame {
    const mapping = this.tables.lookup(node, address);
    if (!mapping) return NONE;
    const inside = mapping.level === 1 ? 0n : (address >> 12n) & (mapping.level === 2 ? 0x1ffn : 0x3_ffffn);
    return mapping.frame + Number(inside);
  }

  resetPermissions(area: VmArea): void {
    (area as Area).resetPermissions = true;
  }

  track(area: VmArea): void {
    if (((area as Area).flags & this.bits.deferTracking) !== 0) this.leaks.tell(area);
  }

  replicate(area: VmArea): ReplicationOutcome {
    return this.replicateAll([area])[0]!;
  }

  replicateAll(areas: readonly VmArea[]): readonly ReplicationOutcome[] {
    for (const area of areas) this.checkReplicable(area);
    if (this.view.holders.length === 1) return areas.map(() => "single");
    // Interleaved pages, and those that came from elsewhere for want of memory, are remote for the base holder as well:
    // it gets a copy too.
    const jobs = areas.map((area) => {
      const strays = area.frames.some((frame) => this.memory.nodeOf(frame) !== area.node);
      return { area, strays, targets: this.view.holders.filter((holder) => strays || holder !== area.node) };
    });
    return this.replicator.replicate(jobs).map((copies, nth) => {
      if (!copies) return "no-memory";
      const { area, strays } = jobs[nth]!;
      if (strays)
        this.rebase(
          area as Area,
          copies.find((copy) => copy.node === area.node)!,
        );
      const others = copies.filter((copy) => copy.node !== area.node);
      for (const copy of others) this.account.add(copy.frames, "replica");
      (area as Area).adopt(others);
      return "replicated";
    });
  }

  private checkReplicable(area: VmArea): void {
    const own = area as Area;
    if (!own.alive || this.busy.containing(area.start)?.value !== area)
      throw new VmallocError("no-area", area.start, "only a live area can be replicated");
    if (area.state === "replicated")
      throw new VmallocError("already-replicated", area.start, "every holder has its copy");
    if (area.state !== "shared")
      throw new VmallocError(
        "not-in-window",
        area.start,
        "all nodes share the tables there, so no node can have a frame of its own",
      );
    if (area.kind !== "allocated") throw new VmallocError("not-owned", area.start, "mapped frames stay their owner's");
  }

  write(area: VmArea, offset: number, bytes: Uint8Array): void {
    invariant(
      area.state !== "replicated",
      `a direct write at ${hex(area.start)} would reach one copy of many; patch the text instead`,
    );
    this.eachPage(area, offset, bytes.length, (page, within, from, length) => {
      this.memory.writeBytes(addressOfFrame(area.frames[page]!) + BigInt(within), bytes.subarray(from, from + length));
    });
  }

  read(node: NodeId, area: VmArea, offset: number, into: Uint8Array): void {
    this.eachPage(area, offset, into.length, (page, within, from, length) => {
      const frame = this.toFrameOn(node, area.start + BigInt(page) * PAGE);
      invariant(frame !== NONE, `node ${node} has a hole at page ${page} of ${hex(area.start)}`);
      this.memory.readBytes(addressOfFrame(frame) + BigInt(within), into.subarray(from, from + length));
    });
  }

  areas(): readonly VmArea[] {
    return [...this.busy].map((range) => range.value);
  }

  private eachPage(
    area: VmArea,
    offset: number,
    length: number,
    visit: (page: number, within: number, from: number, length: number) => void,
  ): void {
    invariant(
      offset >= 0 && offset + length <= area.pages * PAGE_BYTES,
      `${length} bytes at ${offset} leave the area of ${area.pages} pages`,
    );
    for (let from = 0; from < length;) {
      const within = (offset + from) % PAGE_BYTES;
      const step = Math.min(PAGE_BYTES - within, length - from);
      visit(Math.floor((offset + from) / PAGE_BYTES), within, from, step);
      from += step;
    }
  }

  private takeAddresses(pages: number, request: Omit<AreaRequest, "bytes" | "placement">, least: bigint): AddressRange {
    const length = BigInt(pages + (request.noGuard === true ? 0 : 1)) * PAGE;
    if (request.at !== undefined) {
      const { at } = request;
      if (at % PAGE !== 0n) throw new VmallocError("bad-request", at, "an area begins on a page");
      const range = { start: at, end: at + length };
      if (this.space.takeAt(range)) return range;
      this.purge();
      if (this.space.takeAt(range)) return range;
      throw new VmallocError("taken", at, `${length} bytes from there are not free`);
    }
    const align = [request.align ?? PAGE, least, this.shadow.align].reduce((a, b) => (a > b ? a : b));
    const [low, high] = [request.low ?? this.layout.vmallocStart, request.high ?? this.layout.vmallocEnd + 1n];
    const within = { start: low, end: high };
    let start = this.space.takeLowest(length, align, within);
    if (start === undefined) {
      this.purge();
      start = this.space.takeLowest(length, align, within);
    }
    if (start === undefined) throw new VmallocError("no-space", low, `no gap of ${length} bytes below ${hex(high)}`);
    return { start, end: start + length };
  }

  /**
   * Frames, shadow and mappings of a new area; undefined, with nothing kept but the addresses, when memory gave out.
   */
  private back({ start, pages }: PageRange, level: 1 | 2, request: AreaRequest): Area | undefined {
    const got =
      this.framesFor(request.placement, pages, level, request) ??
      (this.freed.pages > 0 ? (this.purge(), this.framesFor(request.placement, pages, level, request)) : undefined);
    if (!got) {
      this.lacking = "out-of-frames";
      return undefined;
    }
    const wanted = "node" in request.placement ? request.placement.node : request.placement.interleave[0]!;
    const area = new Area(
      { start, pages },
      request.noGuard !== true,
      "allocated",
      this.view.nearest(wanted),
      level,
      request.purpose,
      got.frames,
      got.blocks,
    );
    if (this.install(area, request)) {
      this.account.add(area.frames, "base");
      if ((area.flags & this.bits.deferTracking) === 0) this.leaks.tell(area);
      return area;
    }
    freeBlocks(this.allocator, got.blocks);
    return undefined;
  }

  /** What the last failed attempt lacked. */
  private lacking: "out-of-frames" | "out-of-tables" | "taken" = "out-of-frames";

  private refuse(taken: AddressRange, pages: number): never {
    const { start } = taken;
    this.space.release(taken);
    if (this.lacking === "out-of-tables")
      throw new VmallocError("out-of-tables", start, `no table pages for ${pages} pages`);
    if (this.lacking === "taken")
      throw new VmallocError(
        "taken",
        start,
        "it was to be shared, and a second root leads to the leaves that the first was just given",
      );
    throw new VmallocError("out-of-frames", start, `no frames for ${pages} pages`);
  }

  private framesFor(placement: Placement, pages: number, level: 1 | 2, request: AreaRequest): Blocks | undefined {
    const gfp = { purpose: request.purpose, zero: true };
    if ("node" in placement)
      return allocateBlocks(this.allocator, placement.node, pages, gfp, level === 2 ? HUGE_ORDER : 0);
    const step = level === 2 ? LARGE_PAGES : 1;
    const frames: Frame[] = [];
    const blocks: FrameBlock[] = [];
    for (let page = 0; page < pages; page += step) {
      const node = placement.interleave[(page / step) % placement.interleave.length]!;
      const one = allocateBlocks(this.allocator, node, step, gfp, level === 2 ? HUGE_ORDER : 0);
      if (!one) {
        freeBlocks(this.allocator, blocks);
        return undefined;
      }
      frames.push(...one.frames);
      blocks.push(...one.blocks);
    }
    return { frames, blocks };
  }

  /**
   * Maps an area on every holder and enters it; nothing is flushed, because an absent entry is never cached.
   * @patch 10/12 mm/vmalloc.c vmalloc_map_area_pages
   */
  private install(
    area: Area,
    request: Pick<AreaRequest, "protection" | "resetPermissions" | "deferTracking">,
  ): boolean {
    const protection = { ...PAGE_KERNEL, ...request.protection };
    const step = area.level === 2 ? LARGE_PAGES : 1;
    area.flags =
      (this.view.isPrivate(area.start) ? this.bits.shared : 0) |
      (request.deferTracking === true ? this.bits.deferTracking : 0);
    area.state = (area.flags & this.bits.shared) !== 0 ? "shared" : "unshared";
    area.resetPermissions = request.resetPermissions === true;
    this.lacking = "out-of-tables";
    if (!this.shadow.cover(area, area.node)) return false;
    const mapped = this.tables.editLazily((editor) => {
      for (let page = 0; page < area.pages; page += step) {
        const mapping: Mapping = { ...protection, frame: area.frames[page]!, level: area.level };
        if (!editor.map(area.start + BigInt(page) * PAGE, mapping)) return page;
      }
      return area.pages;
    });
    if (mapped < area.pages || this.isMetAgain(area, protection)) {
      // Nobody was told of these addresses, but a CPU may have guessed ahead through the entries: flush before they are
      // used again.
      if (mapped > 0) {
        this.unmap(area, mapped);
        this.tables.flush({ start: area.start, pages: mapped });
      }
      this.shadow.uncover(area);
      return false;
    }
    this.busy.insert({ start: area.start, end: area.limit }, area);
    return true;
  }

  /**
   * A shared area is mapped root by root. In the window each root has tables of its own, and the one edit above is the
   * same; elsewhere a second pass meets what the first left, and Linux gives the whole area up (-EBUSY, with a
   * warning).
   * @patch 10/12 mm/vmalloc.c vmalloc_map_area_pages; @source mm/vmalloc.c vmap_pages_pte_range
   */
  private isMetAgain(area: Area, protection: Protection): boolean {
    if (area.state !== "shared" || this.view.isPrivate(area.start)) return false;
    const mapping: Mapping = { ...protection, frame: area.frames[0]!, level: area.level };
    try {
      if (this.view.holders.length > 1) this.tables.editLazily((editor) => editor.map(area.start, mapping));
      return false;
    } catch (error) {
      if (!(error instanceof MmError) || error.code !== "already-mapped") throw error;
      this.lacking = "taken";
      return true;
    }
  }

  /** @patch 10/12 mm/vmalloc.c free_unmap_vmap_area_per_pgd */
  private unmap(area: Area, pages: number): void {
    const step = area.level === 2 ? LARGE_PAGES : 1;
    this.tables.editLazily((editor) => {
      for (let page = 0; page < pages; page += step) {
        const address = area.start + BigInt(page) * PAGE;
        const level = step === 1 ? 1 : (this.tables.lookup(this.view.holders[0]!, address)?.level ?? 2);
        if (level === area.level) editor.unmap(address, level);
        // A permission change may have split the leaf since.
        else for (let i = 0; i < step; i++) editor.unmap(address + BigInt(i) * PAGE, 1);
      }
    });
  }

  /** The base holder's copy becomes the base; the frames it had are free, since the replicator has flushed. */
  private rebase(
    area: Area,
    copy: { readonly frames: readonly Frame[]; readonly blocks: readonly FrameBlock[] },
  ): void {
    this.account.remove(area.frames, "base");
    freeBlocks(this.allocator, area.blocks);
    area.replaceBase(copy.frames, copy.blocks);
    this.account.add(area.frames, "base");
  }
}
