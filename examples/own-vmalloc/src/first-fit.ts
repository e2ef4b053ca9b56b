/**
 * Kernel areas as one writes them first: a sorted list, the lowest gap that fits, and everything done at once. Freed
 * addresses and frames are back when `free` returns, for the price of a shootdown each time; kreplica's own gathers
 * what is freed and flushes once for many.
 */
import { type Frame, NONE, type NodeId, type PhysMemory } from "@kreplica/hw-x86/api";
import {
  invariant,
  type KernelLayout,
  type KernelTables,
  type PageAllocator,
  type Protection,
  type ReplicaView,
  type TextUsers,
} from "@kreplica/mm-core/api";
import {
  type AreaRequest,
  type LeakTracker,
  type MapRequest,
  type ReplicationOutcome,
  type Vmalloc,
  type VmallocCounters,
  VmallocError,
  type VmArea,
} from "@kreplica/vmalloc/api";

const PAGE = 4096n;
/** What an area's leaves say unless it asks for something else: read and write, by the kernel alone. */
const DATA: Protection = { writable: true, executable: false, global: true, user: false, present: true, cache: "wb" };

/** An area while this keeps it: the port's fields, of which two change. */
interface Area extends VmArea {
  state: VmArea["state"];
  resetPermissions: boolean;
  node: NodeId;
  frames: readonly Frame[];
  readonly copies: Map<NodeId, readonly Frame[]>;
  readonly tracked: { told: boolean };
}
type Wanted = Omit<AreaRequest, "bytes" | "placement">;

/** First address behind an area and its guard page. */
const limit = ({ start, pages, guard }: VmArea): bigint => start + BigInt(pages + (guard ? 1 : 0)) * PAGE;

/** The ports it stands on; all of them the core's. */
export interface Ground {
  readonly allocator: PageAllocator;
  readonly memory: PhysMemory;
  readonly tables: KernelTables;
  readonly layout: KernelLayout;
  readonly view: ReplicaView;
  readonly textUsers: TextUsers;
}

/** Areas in address order; each page is a frame of its own, so that any memory will do. */
export class FirstFitVmalloc implements Vmalloc {
  readonly counters: VmallocCounters;
  readonly leaks: LeakTracker = { knows: (area) => this.list.includes(area as Area) && (area as Area).tracked.told };
  private list: Area[] = [];

  constructor(private readonly on: Ground) {
    const pages = (node?: NodeId): number =>
      this.list
        .filter(({ kind }) => kind === "allocated")
        .flatMap(({ frames, copies }) => [frames, ...copies.values()].flat())
        .filter((frame) => node === undefined || on.memory.nodeOf(frame) === node).length;
    const count = (): number => this.list.length;
    this.counters = {
      pages,
      get used() {
        return pages();
      },
      get areas() {
        return count();
      },
      lazyPages: 0,
    };
  }

  allocate(request: AreaRequest): VmArea {
    const pages = Math.ceil(request.bytes / 4096);
    const { placement } = request;
    if (!(pages >= 1)) throw new VmallocError("bad-request", request.at ?? 0n, `${request.bytes} bytes are no area`);
    const start = this.place(pages, request);
    const wanted = "node" in placement ? [placement.node] : placement.interleave;
    const frames = this.take(
      Array.from({ length: pages }, (_, page) => wanted[page % wanted.length]!),
      request,
    );
    if (!frames) throw new VmallocError("out-of-frames", start, `no frames for ${pages} pages`);
    const area = this.enter("allocated", start, frames, this.on.view.nearest(wanted[0]!), request);
    if (area) return area;
    this.giveBack(frames);
    throw new VmallocError("out-of-tables", start, `no table pages for ${pages} pages`);
  }

  map(request: MapRequest): VmArea {
    const { frames } = request;
    if (frames.length === 0) throw new VmallocError("bad-request", request.at ?? 0n, "no frames to map");
    const start = this.place(frames.length, request);
    const node = this.on.view.nearest(Math.max(0, this.on.memory.nodeOf(frames[0]!)));
    const area = this.enter("mapped", start, frames, node, request);
    if (area) return area;
    throw new VmallocError("out-of-tables", start, `no table pages for ${frames.length} pages`);
  }

  free(area: VmArea): void {
    this.freeAll([area]);
  }

  freeAll(areas: readonly VmArea[]): void {
    const { tables, textUsers } = this.on;
    const own = areas.map((area) => this.live(area));
    textUsers.release(own.map(({ start, pages }) => ({ start, end: start + BigInt(pages) * PAGE })));
    this.list = this.list.filter((each) => !own.includes(each));
    tables.edit((editor) => {
      for (const { start, pages } of own)
        for (let page = 0; page < pages; page++) editor.unmap(start + BigInt(page) * PAGE, 1);
    });
    for (const { kind, frames, copies, resetPermissions } of own) {
      const all = [frames, ...copies.values()].flat();
      if (resetPermissions) this.writableAgain(all);
      if (kind === "allocated") this.giveBack(all);
    }
  }

  /** Nothing is ever held back. */
  purge(): void {}

  find(address: bigint): VmArea | undefined {
    return this.list.find(({ start, pages }) => address >= start && address < start + BigInt(pages) * PAGE);
  }

  toFrame(address: bigint): Frame {
    return this.toFrameOn(this.on.view.holders[0]!, address);
  }

  toFrameOn(node: NodeId, address: bigint): Frame {
    const leaf = this.on.tables.lookup(node, address);
    if (!leaf) return NONE;
    return leaf.frame + Number((address >> 12n) & (512n ** BigInt(leaf.level - 1) - 1n));
  }

  resetPermissions(area: VmArea): void {
    this.live(area).resetPermissions = true;
  }

  track(area: VmArea): void {
    this.live(area).tracked.told = true;
  }

  replicate(area: VmArea): ReplicationOutcome {
    return this.replicateAll([area])[0]!;
  }

  replicateAll(areas: readonly VmArea[]): readonly ReplicationOutcome[] {
    const own = areas.map((area) => this.replicable(area));
    return own.map((area) => (this.on.view.holders.length === 1 ? "single" : this.copy(area)));
  }

  write(area: VmArea, offset: number, bytes: Uint8Array): void {
    invariant(area.state !== "replicated", "a write to a replicated area would reach one copy of many");
    this.pieces(area, offset, bytes, (page, within, piece) => {
      this.on.memory.writeBytes(BigInt(area.frames[page]!) * PAGE + within, piece);
    });
  }

  read(node: NodeId, area: VmArea, offset: number, into: Uint8Array): void {
    this.pieces(area, offset, into, (page, within, piece) => {
      const frame = this.toFrameOn(node, area.start + BigInt(page) * PAGE);
      this.on.memory.readBytes(BigInt(frame) * PAGE + within, piece);
    });
  }

  areas(): readonly VmArea[] {
    return [...this.list];
  }

  /** The lowest address that will do, or the one asked for. */
  private place(pages: number, { at, low, high, align = PAGE, noGuard }: Wanted): bigint {
    const length = BigInt(pages + (noGuard === true ? 0 : 1)) * PAGE;
    const { vmallocStart, vmallocEnd, modulesStart, modulesEnd } = this.on.layout;
    if (at !== undefined) {
      if (at % PAGE !== 0n) throw new VmallocError("bad-request", at, "an area begins on a page");
      const inside = (start: bigint, end: bigint): boolean => at >= start && at + length <= end;
      if (
        (inside(vmallocStart, vmallocEnd + 1n) || inside(modulesStart, modulesEnd)) &&
        this.list.every((each) => at + length <= each.start || limit(each) <= at)
      )
        return at;
      throw new VmallocError("taken", at, `${length} bytes from there are not free`);
    }
    const end = high ?? vmallocEnd + 1n;
    const up = (address: bigint): bigint => ((address + align - 1n) / align) * align;
    let start = up(low ?? vmallocStart);
    for (const each of this.list) {
      if (limit(each) <= start) continue;
      if (start + length <= each.start) break;
      start = up(limit(each));
    }
    if (start + length <= end) return start;
    throw new VmallocError("no-space", low ?? vmallocStart, `no gap of ${length} bytes below 0x${end.toString(16)}`);
  }

  /** One frame a page, on or near its node; undefined, with nothing kept, when memory gives out. */
  private take(nodes: readonly NodeId[], { purpose }: Pick<VmArea, "purpose">, thisNode = false): Frame[] | undefined {
    const frames: Frame[] = [];
    for (const node of nodes) {
      const frame = this.on.allocator.allocate(node, 0, { purpose, zero: true, thisNode });
      if (frame === NONE) {
        this.giveBack(frames);
        return undefined;
      }
      frames.push(frame);
    }
    return frames;
  }

  private giveBack(frames: readonly Frame[]): void {
    for (const frame of frames) this.on.allocator.free(frame, 0);
  }

  private enter(
    kind: VmArea["kind"],
    start: bigint,
    frames: readonly Frame[],
    node: NodeId,
    request: Wanted & { readonly purpose: VmArea["purpose"] },
  ): Area | undefined {
    const { tables, view } = this.on;
    const leaf = { ...DATA, ...request.protection, level: 1 } as const;
    const done = tables.edit((editor) =>
      editor.together(() => frames.every((frame, page) => editor.map(start + BigInt(page) * PAGE, { ...leaf, frame }))),
    );
    if (!done) return undefined;
    const area: Area = {
      start,
      pages: frames.length,
      guard: request.noGuard !== true,
      kind,
      state: view.isPrivate(start) ? "shared" : "unshared",
      node,
      level: 1,
      purpose: request.purpose,
      frames,
      copies: new Map(),
      resetPermissions: request.resetPermissions === true,
      tracked: { told: kind === "allocated" && request.deferTracking !== true },
    };
    this.list = [...this.list, area].sort((a, b) => (a.start < b.start ? -1 : 1));
    return area;
  }

  /** Every holder gets frames of its own node; the base's, too, where a page of it lies elsewhere. */
  private copy(area: Area): ReplicationOutcome {
    const { memory, tables, view } = this.on;
    const astray = area.frames.some((frame) => memory.nodeOf(frame) !== area.node);
    const made = new Map<NodeId, Frame[]>();
    for (const holder of view.holders) {
      if (holder === area.node && !astray) continue;
      const frames = this.take(Array<NodeId>(area.pages).fill(holder), area, true);
      if (!frames) return this.without(made);
      frames.forEach((frame, page) => {
        memory.copyFrame(area.frames[page]!, frame);
      });
      made.set(holder, frames);
    }
    if (!tables.edit((editor) => editor.repoint(area, (page, node) => made.get(node)?.[page])))
      return this.without(made);
    if (astray) {
      this.giveBack(area.frames);
      area.frames = made.get(area.node)!;
      made.delete(area.node);
    }
    for (const [holder, frames] of made) area.copies.set(holder, frames);
    area.state = "replicated";
    return "replicated";
  }

  private without(made: ReadonlyMap<NodeId, readonly Frame[]>): "no-memory" {
    for (const frames of made.values()) this.giveBack(frames);
    return "no-memory";
  }

  /** The direct map's view of frames whose protection an area had changed: data again, before anybody else has them. */
  private writableAgain(frames: readonly Frame[]): void {
    const { layout, tables } = this.on;
    tables.edit((editor) => {
      for (const frame of frames)
        editor.protect(
          { start: layout.pageOffset + BigInt(frame) * PAGE, pages: 1 },
          { writable: true, executable: false },
        );
    });
  }

  private replicable(area: VmArea): Area {
    const own = this.live(area);
    const no = (code: "already-replicated" | "not-in-window" | "not-owned", why: string): never => {
      throw new VmallocError(code, area.start, why);
    };
    if (own.state === "replicated") return no("already-replicated", "every holder has its copy");
    if (own.state === "unshared") return no("not-in-window", "all nodes share the tables there");
    if (own.kind === "mapped") return no("not-owned", "mapped frames stay their owner's");
    return own;
  }

  /** @throws VmallocError no-area for what was freed, or came from elsewhere */
  private live(area: VmArea): Area {
    const found = this.list.find((each) => each === area);
    if (!found) throw new VmallocError("no-area", area.start, "freed already, or not from here");
    return found;
  }

  private pieces(
    area: VmArea,
    offset: number,
    bytes: Uint8Array,
    each: (page: number, within: bigint, piece: Uint8Array) => void,
  ): void {
    invariant(offset >= 0 && offset + bytes.length <= area.pages * 4096, "that leaves the area");
    for (let done = 0; done < bytes.length;) {
      const within = (offset + done) % 4096;
      const length = Math.min(4096 - within, bytes.length - done);
      each(Math.floor((offset + done) / 4096), BigInt(within), bytes.subarray(done, done + length));
      done += length;
    }
  }
}
