/**
 * Kernel tables as one map of leaves a holder, and what a TLB might still hold: an entry that was changed lazily is
 * remembered until a flush covers it, so that a frame given back too early is seen. For tests only; slow and plain on
 * purpose.
 */
import { endOf, type Frame, LEAF_BYTES, type NodeId, NONE, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import {
  InvariantError,
  MmError,
  type KernelLayout,
  type KernelTables,
  type Mapping,
  type Protection,
  type ReplicaView,
  type TableEditor,
} from "@kreplica/mm-core/api";
import type { FakeAllocator } from "./fake-allocator.js";

/** A page whose old translation some CPU may still hold. */
export interface Owed {
  readonly address: bigint;
  readonly frame: Frame;
}

const pageOf = (address: bigint): bigint => address & ~(PAGE - 1n);

/**
 * Kernel tables as one map of leaves a holder, with what a TLB might still hold. For tests; slow and plain on purpose.
 */
export class FakeTables implements KernelTables {
  readonly stores = { total: 0, replica: 0 };
  flushes = 0;
  /** Translations that no flush has covered yet. */
  owed: Owed[] = [];
  /** Frames that were freed while a translation to them was owed, or outside the direct map still there. */
  readonly tooEarly: Owed[] = [];
  /** Holes seen at the end of any single change: [holder, address]. */
  readonly holes: [NodeId, bigint][] = [];
  private readonly leaves = new Map<NodeId, Map<bigint, Mapping>>();
  private readonly absent = new Map<bigint, Mapping>();
  /** Frame of the table page, by holder and 2 MiB. */
  private readonly tablePages = new Map<string, Frame>();

  constructor(
    readonly view: Pick<ReplicaView, "holders" | "isPrivate" | "nearest">,
    private readonly layout: KernelLayout,
    private readonly allocator: FakeAllocator,
  ) {
    for (const holder of view.holders) this.leaves.set(holder, new Map());
    allocator.onFree = (frame) => {
      const owed = this.owed.find((each) => each.frame === frame) ?? this.mapped(frame);
      if (owed) this.tooEarly.push(owed);
    };
  }

  root(node: NodeId): Frame {
    return 1_000_000 + this.view.nearest(node);
  }

  lookup(node: NodeId, address: bigint): Mapping | undefined {
    const leaves = this.leavesOf(this.view.nearest(node), address);
    for (const level of [1, 2, 3] as const) {
      const leaf = leaves.get(address & ~(LEAF_BYTES[level] - 1n));
      if (leaf && leaf.level === level) return leaf;
    }
    if (address >= this.layout.pageOffset && address < this.layout.vmallocStart && !this.absent.has(pageOf(address))) {
      return {
        frame: Number((address - this.layout.pageOffset) >> 12n),
        level: 1,
        writable: true,
        executable: false,
        global: true,
        user: false,
        present: true,
        cache: "wb",
      };
    }
    return undefined;
  }

  edit<T>(change: (editor: TableEditor) => T): T {
    const before = this.owed.length;
    const result = change(this.editor());
    const touched = new Set(this.owed.slice(before).map((each) => each.address));
    this.owed = this.owed.filter(({ address }) => !touched.has(address));
    this.flushes++;
    return result;
  }

  readonly unflushed = [];
  editLazily<T>(change: (editor: TableEditor) => T): T {
    return change(this.editor());
  }

  flush(range: PageRange): void {
    this.flushes++;
    this.drop(range);
  }

  flushRanges(ranges: readonly PageRange[]): void {
    this.flushes++;
    for (const range of ranges) this.drop(range);
  }

  makeRoomForLarge(range: PageRange): boolean {
    const { start } = range;
    const end = endOf(range);
    for (const leaves of this.leaves.values())
      for (const address of leaves.keys()) if (address >= start && address < end) return false;
    for (const [key, frame] of this.tablePages) {
      const address = BigInt(key.slice(key.indexOf("/") + 1)) << 21n;
      if (address < start || address >= end) continue;
      this.tablePages.delete(key);
      this.allocator.free(frame, 0);
    }
    return true;
  }

  /** All leaves a holder has outside the direct map, for comparison of states. */
  snapshot(holder: NodeId): [bigint, Mapping][] {
    return [...this.leaves.get(holder)!].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  private mapped(frame: Frame): Owed | undefined {
    for (const leaves of this.leaves.values()) {
      for (const [address, leaf] of leaves) {
        if (
          address >= this.layout.vmallocStart &&
          frame >= leaf.frame &&
          frame < leaf.frame + Number(LEAF_BYTES[leaf.level] / PAGE)
        )
          return { address, frame };
      }
    }
    return undefined;
  }

  private drop(range: PageRange): void {
    this.owed = this.owed.filter(({ address }) => address < range.start || address >= endOf(range));
  }

  private leavesOf(holder: NodeId, address: bigint): Map<bigint, Mapping> {
    return this.leaves.get(this.view.isPrivate(address) ? holder : this.view.holders[0]!)!;
  }

  /** The holders whose tables a change at the address goes to. */
  private targets(address: bigint): readonly NodeId[] {
    return this.view.isPrivate(address) ? this.view.holders : [this.view.holders[0]!];
  }

  private set(holder: NodeId, address: bigint, leaf: Mapping | undefined, nth: number): void {
    const leaves = this.leavesOf(holder, address);
    const old = this.lookup(holder, address);
    if (old)
      for (let i = 0n; i < LEAF_BYTES[old.level] / PAGE; i++)
        this.owed.push({ address: address + i * PAGE, frame: old.frame + Number(i) });
    if (leaf) leaves.set(address, leaf);
    else leaves.delete(address);
    if (!leaf && old) this.holes.push([holder, address]);
    this.stores.total++;
    if (nth > 0) this.stores.replica++;
  }

  /** One table page for every 2 MiB a holder maps with small leaves. @returns false when refused */
  private tableFor(holder: NodeId, address: bigint): string | undefined {
    const key = this.tableKey(holder, address);
    if (this.tablePages.has(key)) return "";
    const frame = this.allocator.allocate(holder, 0, { purpose: "page-table", thisNode: true });
    if (frame === NONE) return undefined;
    this.tablePages.set(key, frame);
    return key;
  }

  private tableKey(holder: NodeId, address: bigint): string {
    return `${this.view.isPrivate(address) ? holder : "all"}/${address >> 21n}`;
  }

  private editor(): TableEditor {
    const mapEach = (address: bigint, mapping: Omit<Mapping, "frame">, frames: (node: NodeId) => Frame): boolean => {
      if (address % LEAF_BYTES[mapping.level] !== 0n) throw new MmError("misaligned", address, "leaf");
      const targets = this.targets(address);
      for (const holder of targets)
        if (this.lookup(holder, address)) throw new MmError("already-mapped", address, `on node ${holder}`);
      if (mapping.level === 2 && targets.some((holder) => this.tablePages.has(this.tableKey(holder, address))))
        throw new MmError("already-mapped", address, "a table page is in the way");
      if (mapping.level === 1 && targets.some((holder) => this.tableFor(holder, address) === undefined)) return false;
      targets.forEach((holder, nth) => this.set(holder, address, { ...mapping, frame: frames(holder) }, nth));
      return true;
    };
    const eachLeaf = (
      { start, pages }: PageRange,
      visit: (holder: NodeId, address: bigint, leaf: Mapping, page: number, nth: number) => void,
    ): void => {
      for (let page = 0; page < pages;) {
        const address = start + BigInt(page) * PAGE;
        let step = 1;
        this.targets(address).forEach((holder, nth) => {
          const leaf = this.lookup(holder, address) ?? this.absent.get(address);
          if (!leaf) return;
          step = Math.max(step, Number(LEAF_BYTES[leaf.level] / PAGE));
          if (leaf.level > 1 && (address % LEAF_BYTES[leaf.level] !== 0n || page + step > pages))
            throw new InvariantError("this fake splits no leaves");
          visit(holder, address, leaf, page, nth);
        });
        page += step;
      }
    };
    return {
      map: (address, mapping) => mapEach(address, mapping, () => mapping.frame),
      mapPerNode: (address, mapping, frames) => mapEach(address, mapping, frames),
      unmap: (address, level) =>
        this.targets(address).forEach((holder, nth) => {
          if (this.lookup(holder, address)?.level === level) this.set(holder, address, undefined, nth);
        }),
      protect: (range, change, alias) => {
        eachLeaf(range, (holder, address, leaf, _page, nth) =>
          this.protectLeaf(holder, address, leaf, change, nth, alias === true),
        );
        return true;
      },
      repoint: (range, frames) => {
        eachLeaf(range, (holder, address, leaf, page, nth) => {
          const frame = frames(page, holder);
          if (frame !== undefined) this.set(holder, address, { ...leaf, frame }, nth);
        });
        return true;
      },
      // Nothing of this fake is refused half-way: it splits no leaves.
      together: (change) => change(),
    };
  }

  private protectLeaf(
    holder: NodeId,
    address: bigint,
    leaf: Mapping,
    change: Partial<Protection>,
    nth: number,
    alias: boolean,
  ): void {
    const next = { ...leaf, ...change };
    if (next.present) {
      // An absent entry is never cached, so making it present owes nothing.
      if (this.absent.delete(address)) {
        this.leavesOf(holder, address).set(address, next);
        this.stores.total++;
      } else this.set(holder, address, next, nth);
    } else {
      if (this.lookup(holder, address)) this.set(holder, address, undefined, nth);
      this.absent.set(address, next);
    }
    if (alias && change.writable !== undefined) {
      for (let i = 0; i < Number(LEAF_BYTES[leaf.level] / PAGE); i++) {
        const at = this.layout.pageOffset + BigInt(leaf.frame + i) * PAGE;
        const seen = this.lookup(holder, at);
        if (seen) this.protectLeaf(holder, at, seen, { writable: change.writable }, 0, false);
      }
    }
  }
}
