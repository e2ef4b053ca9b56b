/** Stores a single copy would not have made, by whose table they hit, against a model that watches every link. */
import { addressOfFrame, type Frame, frameOf, isLeaf, isPresent, LARGE, LARGE_PAGES, PAGE } from "@kreplica/hw-x86/api";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { AddressSpace, Mapping } from "../../src/api.js";
import { fixedHolders, testKernel, type TestKernel } from "../../src/testing.js";

const LEAF = { present: true, writable: true, executable: false, global: true, user: false, cache: "wb" } as const;
const HOLDERS = [0, 1, 2];

/**
 * A table is a copy's when the first table that led to it is: roots beyond the first are, and the PGDs of a process for
 * holders other than the one it was made on. Knows nothing of who said so.
 */
class SlowAttribution {
  private copies = new Map<Frame, boolean>();
  private readonly roots: ReadonlySet<Frame>;
  private readonly seen = new Set<Frame>();
  private readonly pgds = new Set<Frame>();
  /** Stores to tables that nothing led to yet. */
  private readonly waiting = new Map<Frame, number>();
  replica = 0;

  constructor(private readonly kernel: TestKernel) {
    const { view, layout } = kernel;
    view.roots.forEach(({ root }, nth) => {
      for (let half = 0; half <= (layout.pti ? 1 : 0); half++) this.know(root + half, nth > 0);
    });
    this.roots = new Set(this.copies.keys());
    kernel.entries.observe((table, index) => this.store(table, index));
  }

  private know(table: Frame, copy: boolean): void {
    this.copies.set(table, copy);
    if (copy) this.replica += this.waiting.get(table) ?? 0;
    this.waiting.delete(table);
  }

  private store(table: Frame, index: number): void {
    this.seen.add(table);
    const copy = this.copies.get(table);
    if (copy === undefined) this.waiting.set(table, (this.waiting.get(table) ?? 0) + 1);
    else if (copy) this.replica++;
    const lower = this.lowerOf(table, index);
    if (lower !== undefined && copy !== undefined && !this.copies.has(lower))
      // User tables are everybody's, whichever PGD got its slot first.
      this.know(lower, copy && !(this.pgds.has(table) && index < this.kernel.layout.kernelBoundary));
  }

  /** Whatever looks like a pointer: leaves of a PTE page name frames that are no tables, which does no harm. */
  private lowerOf(table: Frame, index: number): Frame | undefined {
    const { entries } = this.kernel;
    const lo = entries.low(table, index);
    const lower = frameOf(lo, entries.high(table, index));
    return isPresent(lo) && !isLeaf(lo, 3) && this.kernel.allocator.purposeOf(lower) === "page-table"
      ? lower
      : undefined;
  }

  made(space: AddressSpace, home: number): void {
    const pgds = space.pgdNodes.map((holder): [Frame, boolean] => [space.pgd(holder), holder !== home]);
    for (const [pgd, copy] of pgds)
      for (let half = 0; half < 2; half++) {
        this.know(pgd + half, copy);
        this.pgds.add(pgd + half);
        for (let index = 0; index < 512; index++) {
          const lower = this.lowerOf(pgd + half, index);
          if (lower !== undefined && !this.copies.has(lower)) this.know(lower, copy);
        }
      }
  }

  /** Tables stored to so far that are none now. */
  gone(): Frame[] {
    return [...this.seen].filter(
      (table) => !this.roots.has(table) && this.kernel.allocator.purposeOf(table) !== "page-table",
    );
  }

  /** What was given back is forgotten: its frames may become anything. */
  sweep(): void {
    this.copies = new Map(
      [...this.copies].filter(([table]) => {
        const purpose = this.kernel.allocator.purposeOf(table);
        return this.roots.has(table) || purpose === "page-table";
      }),
    );
    this.waiting.clear();
  }
}

const op = fc.record({
  kind: fc.constantFrom(
    "map",
    "map",
    "per node",
    "unmap",
    "protect",
    "large",
    "room",
    "fork",
    "exit",
    "user",
    "refuse",
  ),
  window: fc.boolean(),
  at: fc.nat(5),
  pages: fc.integer({ min: 1, max: 4 }),
  node: fc.constantFrom(...HOLDERS),
});

test.each([
  [4, false],
  [4, true],
  [5, true],
] as const)("%i levels, KPTI %s: stores of copies are those to tables that only copies lead to", (levels, pti) => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 25, size: "max" }), (ops) => {
      const nodes = HOLDERS.map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
      const kernel = testKernel({ nodes, levels, pti, view: fixedHolders(...HOLDERS) });
      kernel.allocator.start();
      const { tables, entries, layout, allocator, spaces } = kernel;
      const before = entries.replicaStores;
      const model = new SlowAttribution(kernel);
      const live: AddressSpace[] = [];
      for (const { kind, window, at, pages, node } of ops) {
        const base = window ? layout.modulesStart : layout.vmallocStart;
        const small = base + BigInt(at) * PAGE;
        const large = base + BigInt(1 + (at % 3)) * LARGE;
        const each = (level: 1 | 2): Omit<Mapping, "frame"> => ({ ...LEAF, level });
        try {
          if (kind === "map") tables.edit((editor) => editor.map(small, { ...each(1), frame: 9 }));
          else if (kind === "per node") {
            if (window) tables.edit((editor) => editor.mapPerNode(small, each(1), (holder) => 9 + holder));
          } else if (kind === "unmap") tables.edit((editor) => editor.unmap(small, 1));
          else if (kind === "large") tables.edit((editor) => editor.map(large, { ...each(2), frame: 512 * at }));
          else if (kind === "protect")
            tables.edit((editor) =>
              editor.protect({ start: large + BigInt(at) * PAGE, pages }, { writable: at % 2 === 0 }),
            );
          else if (kind === "room") tables.makeRoomForLarge({ start: base, pages: LARGE_PAGES });
          else if (kind === "fork") {
            const made = spaces.create(node);
            if (made) {
              live.push(made);
              model.made(made, node);
            } else model.replica = entries.replicaStores - before; // PGDs that came and went: nobody saw whose they were
          } else if (kind === "exit") live.shift()?.free();
          else if (kind === "user") live[0]?.set(small & 0xffff_ffffn, { ...each(1), user: true, frame: 9 }, node);
          else allocator.refuse(pages);
        } catch (error) {
          // A place that is taken: nothing was changed.
          expect((error as { code?: string }).code).toBe("already-mapped");
        }
        expect([kind, entries.replicaStores - before]).toEqual([kind, model.replica]);
        model.sweep();
        expect(model.gone().filter((table) => entries.isCopy(table))).toEqual([]);
      }
    }),
    { numRuns: 40, seed: 1 },
  );
});

test("what shared tables say of a copy's memory counts as a copy's, and what is taken back of it too", () => {
  const kernel = testKernel({
    nodes: HOLDERS.map((id) => ({ id, memoryMiB: 64, cpus: 1 })),
    view: fixedHolders(...HOLDERS),
  });
  kernel.allocator.start();
  const { tables, entries, layout, allocator } = kernel;
  const start = layout.modulesStart;
  const frames = HOLDERS.map((node) => allocator.allocate(node, 0, { purpose: "module" }));
  for (const frame of frames) {
    const first = frame - (frame % LARGE_PAGES);
    tables.edit((editor) => editor.map(layout.pageOffset + addressOfFrame(first), { ...LEAF, level: 2, frame: first }));
  }
  tables.edit((editor) => editor.mapPerNode(start, { ...LEAF, level: 1 }, (node) => frames[node]!));
  const [total, replica] = [entries.stores, entries.replicaStores];
  tables.edit((editor) => editor.protect({ start, pages: 1 }, { writable: false }, true));
  const stored = entries.stores - total;
  const copies = entries.replicaStores - replica;
  // A leaf on each of four roots; and three times the direct map: a split, a pointer to it, a leaf.
  expect([stored, copies]).toEqual([4 + 3 * 514, 3 + 2 * 514]);
  expect(() =>
    tables.edit((editor) =>
      editor.together(() => {
        editor.protect({ start, pages: 1 }, { writable: true }, true);
        throw new Error("no");
      }),
    ),
  ).toThrow("no");
  // Four leaves and three aliases, there and back.
  expect([entries.stores - total - stored, entries.replicaStores - replica - copies]).toEqual([14, 10]);
});

test("a copy's tables are forgotten with it: what gets their frames next is no copy's", () => {
  const kernel = testKernel({
    nodes: HOLDERS.map((id) => ({ id, memoryMiB: 64, cpus: 1 })),
    view: fixedHolders(...HOLDERS),
  });
  kernel.allocator.start();
  const { spaces, entries } = kernel;
  const pgdsOf = (space: AddressSpace): Frame[] => space.pgdNodes.map((node) => space.pgd(node));
  const first = spaces.create(0)!;
  const pgds = pgdsOf(first);
  expect(pgds.map((pgd) => [entries.isCopy(pgd), entries.isCopy(pgd + 1)])).toEqual([
    [false, false],
    [true, true],
    [true, true],
  ]);
  first.free();
  expect(pgds.some((pgd) => entries.isCopy(pgd) || entries.isCopy(pgd + 1))).toBe(false);
});

test("who stands before the stores hears of each entry, copied ones included", () => {
  const { entries, view } = testKernel({ nodes: HOLDERS.map((id) => ({ id, memoryMiB: 64, cpus: 1 })) });
  const heard: number[] = [];
  const write = entries.write.bind(entries);
  entries.write = (table, index, lo, hi) => {
    heard.push(index);
    write(table, index, lo, hi);
  };
  const { root } = view.roots[0]!;
  entries.copy(root, root, 508, 512);
  expect(heard).toEqual([508, 509, 510, 511]);
});
