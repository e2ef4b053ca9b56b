/**
 * Permissions of kernel memory change while CPUs use it: 2 MiB of the module area, mapped by one large leaf that
 * changes split and joins mend, and rodata, which nobody may write. After each change every root says the same (B6),
 * nothing is writable and executable (C1), the direct map follows (C3), a refusal has changed nothing (C5), and CPUs
 * see it at once (G6).
 */
import { addressOfFrame, LARGE, PAGE } from "@kreplica/hw-x86/api";
import { type CpuId, type Frame, NONE } from "@kreplica/hw-x86";
import { countText } from "@kreplica/inputs";
import {
  type AddressSpace,
  directAddress,
  imageAddress,
  KERNEL_DATA,
  lookup,
  pageWithin,
  type Protection,
} from "@kreplica/mm-core";
import { findWritableExecutable, SetMemory, SetMemoryError } from "@kreplica/set-memory";
import type { Subject } from "../subject.js";
import type { FamilyAtWork, OperationFamily } from "../family.js";
import { AREA_PLUGINS } from "./area-plugins.js";
import { quietly, splitDirectMap } from "./splits.js";

const CHANGES = ["ro", "rw", "x", "nx", "rox", "np", "p", "global", "nonglobal", "uc", "wc", "wb"] as const;
type Change = (typeof CHANGES)[number];
export type ProtectionOperation =
  | { readonly op: "setmem"; readonly change: Change; readonly page: number; readonly pages: number }
  | { readonly op: "joinmem" }
  | { readonly op: "usemem"; readonly cpu: number; readonly page: number; readonly kind: "read" | "write" | "execute" }
  | {
      readonly op: "pcidmem";
      readonly cpu: number;
      readonly page: number;
      readonly kind: "read" | "write" | "execute";
      readonly pcid: number;
    }
  | { readonly op: "scribble"; readonly cpu: number; readonly page: number };

/** Pages worked on: the first and last of the leaf, and some between. */
const PLACES = [0, 1, 2, 255, 256, 510, 511];
const PAGES = 512;
/**
 * Pages that are looked at: the places with what four pages from there reach, and the neighbours; the others only ever
 * change all together.
 */
const LOOKED_AT = Array.from({ length: PAGES }, (_, page) => page).filter(
  (page) => page % 64 === 37 || PLACES.some((place) => page >= place - 1 && page <= place + 4),
);
/** What one page is to be; its view in the direct map has writability, presence and memory type of its own. */
interface Page {
  writable: boolean;
  executable: boolean;
  present: boolean;
  global: boolean;
  cache: Protection["cache"];
}

export const protectionFamily: OperationFamily<ProtectionOperation> = {
  name: "protection",
  rare: true,
  kinds: {
    setmem: { weight: 4, fields: { change: CHANGES, page: "number", pages: "number" } },
    joinmem: { weight: 1, fields: {} },
    usemem: { weight: 6, fields: { cpu: "number", page: "number", kind: ["read", "write", "execute"] } },
    pcidmem: {
      weight: 4,
      fields: { cpu: "number", page: "number", kind: ["read", "write", "execute"], pcid: "number" },
    },
    scribble: { weight: 1, fields: { cpu: "number", page: "number" } },
  },
  draw(op, drawing) {
    const page = drawing.random(PLACES.length);
    switch (op) {
      case "setmem":
        return { op, change: drawing.oneOf(CHANGES), page, pages: drawing.random(8) === 0 ? PAGES : drawing.pages() };
      case "joinmem":
        return { op };
      case "usemem":
        return { op, cpu: drawing.cpu(), page, kind: drawing.oneOf(["read", "write", "execute"] as const) };
      case "pcidmem":
        return {
          op,
          cpu: drawing.cpu(),
          page,
          kind: drawing.oneOf(["read", "write", "execute"] as const),
          pcid: drawing.random(2),
        };
      case "scribble":
        return { op, cpu: drawing.cpu(), page: drawing.random(512) };
    }
  },
  describe(o) {
    switch (o.op) {
      case "setmem":
        return `set_memory_${o.change} of ${countText(o.pages, "page")} from page ${PLACES[o.page % PLACES.length]!} of the 2 MiB`;
      case "joinmem":
        return "what agrees in the 2 MiB becomes one leaf again";
      case "usemem":
        return `CPU ${o.cpu}: ${o.kind} page ${PLACES[o.page % PLACES.length]!} of the 2 MiB`;
      case "pcidmem":
        return `CPU ${o.cpu}, in process ${o.pcid & 1} of two that only run the kernel: ${o.kind} page ${PLACES[o.page % PLACES.length]!} of the 2 MiB`;
      case "scribble":
        return `CPU ${o.cpu} writes page ${o.page} of rodata`;
    }
  },
  scenes: [
    (drawing) => {
      // A page that is not global is written under two PCIDs of a CPU and then taken away.
      const [cpu, page] = [drawing.cpu(), drawing.random(PLACES.length)];
      const use = (pcid: number): ProtectionOperation => ({ op: "pcidmem", cpu, page, kind: "write", pcid });
      const scene: ProtectionOperation[] = [
        { op: "setmem", change: drawing.oneOf(["nonglobal", "np"] as const), page, pages: 1 },
        { op: "setmem", change: "p", page, pages: 1 },
        use(0),
        use(1),
        { op: "setmem", change: drawing.oneOf(["ro", "np"] as const), page, pages: 1 },
        use(1),
        use(0),
      ];
      return scene;
    },
  ],
  plugins: AREA_PLUGINS,
  start: (system) => new ProtectionAtWork(system),
};

class ProtectionAtWork implements FamilyAtWork<ProtectionOperation> {
  private readonly setMemory: SetMemory;
  private readonly start: bigint;
  private readonly alias: bigint;
  private readonly first: Frame;
  private pages: Page[] = [];
  private aliases: Page[] = [];
  private readonly aliasLarge: boolean;
  /** Pages a run has changed. */
  private touched = { from: PAGES, end: 0 };
  private readonly initial: { readonly page: Page; readonly alias: Page };
  /** Two processes that never run user mode: each has a PCID on every CPU that ran the kernel in it. */
  private readonly spaces: readonly AddressSpace[];

  constructor(private readonly system: Subject) {
    const { assembly, allocator, tables, layout, view, spaces } = system.parts;
    splitDirectMap(system);
    this.spaces = [0, 1].map(() => {
      const space = spaces.create(view.master);
      if (!space) throw new RangeError("no memory for the two processes of the family protection");
      return space;
    });
    this.setMemory = assembly.get(SetMemory);
    this.start = layout.modulesStart + 0x1_c000n * PAGE;
    this.first = allocator.allocate(view.master, 9, { purpose: "module" });
    if (this.first === NONE) throw new RangeError("no 2 MiB for the pages of the family protection");
    this.alias = directAddress(layout, this.first);
    this.aliasLarge = tables.lookup(view.holders[0]!, this.alias)?.level !== 1;
    tables.edit((editor) => editor.map(this.start, { ...KERNEL_DATA, level: 2, frame: this.first }));
    const page = (address: bigint): Page => {
      const { writable, executable, present, global, cache } = tables.lookup(view.holders[0]!, address)!;
      return { writable, executable, present, global, cache };
    };
    this.initial = { page: page(this.start), alias: page(this.alias) };
    this.begin();
    this.look(0, PAGES);
  }

  /** The model of a run's first moment. */
  private begin(): void {
    this.pages = Array.from({ length: PAGES }, () => this.initial.page);
    this.aliases = Array.from({ length: PAGES }, () => this.initial.alias);
  }

  perform(o: ProtectionOperation): void {
    quietly(this.system, () => {
      this.act(o);
    });
  }

  private act(o: ProtectionOperation): void {
    switch (o.op) {
      case "setmem":
        return this.change(o.change, PLACES[o.page % PLACES.length]!, o.pages);
      case "joinmem":
        return this.join();
      case "usemem":
        return this.use(this.system.cpu(o.cpu), PLACES[o.page % PLACES.length]!, o.kind);
      case "pcidmem":
        return this.useUnder(this.system.cpu(o.cpu), PLACES[o.page % PLACES.length]!, o.kind, this.spaces[o.pcid & 1]!);
      case "scribble":
        return this.scribble(this.system.cpu(o.cpu), o.page);
    }
  }

  compare(): void {
    if (this.touched.end === 0) return;
    this.look(0, PAGES);
    this.noWriteAndExecute();
  }

  undo(): void {
    const { from, end } = this.touched;
    if (end === 0) return;
    const range = { start: this.start + BigInt(from) * PAGE, pages: end - from };
    const { page, alias } = this.initial;
    quietly(this.system, () => {
      this.restore(range, from, page, alias);
    });
  }

  private restore(
    range: { readonly start: bigint; readonly pages: number },
    from: number,
    page: Page,
    alias: Page,
  ): void {
    this.setMemory.changeAll([
      { range, change: { ...page }, alias: false },
      { range: { ...range, start: this.alias + BigInt(from) * PAGE }, change: { ...alias }, alias: false },
    ]);
    this.begin();
    this.join();
    this.touched = { from: PAGES, end: 0 };
  }

  private change(change: Change, from: number, pages: number): void {
    const count = Math.min(pages, PAGES - from);
    const range = { start: this.start + BigInt(from) * PAGE, pages: count };
    const run = this.pages.slice(from, from + count);
    const becomes = (page: Page): Page => changed(page, change);
    // The kernel's callers never ask for what is writable and executable: this family is no exception.
    if (
      run.some((page) => {
        const next = becomes(page);
        return next.writable && next.executable;
      })
    )
      return;
    try {
      this.call(change, range);
    } catch (error) {
      if (!(error instanceof SetMemoryError)) throw error;
      this.look(from, count, "C5");
      return;
    }
    this.touched = { from: Math.min(this.touched.from, from), end: Math.max(this.touched.end, from + count) };
    for (let i = from; i < from + count; i++) {
      this.pages[i] = becomes(this.pages[i]!);
      if (!["x", "nx", "global", "nonglobal"].includes(change))
        this.aliases[i] = { ...becomes(this.aliases[i]!), executable: this.aliases[i]!.executable };
    }
    this.look(Math.max(0, from - 1), Math.min(PAGES - Math.max(0, from - 1), count + 2));
  }

  private call(change: Change, range: { readonly start: bigint; readonly pages: number }): void {
    const { setMemory } = this;
    switch (change) {
      case "ro":
        return setMemory.readOnly(range);
      case "rw":
        return setMemory.readWrite(range);
      case "x":
        return setMemory.executable(range);
      case "nx":
        return setMemory.nonExecutable(range);
      case "rox":
        return setMemory.readOnlyExecutable(range);
      case "np":
        return setMemory.notPresent(range);
      case "p":
        return setMemory.present(range);
      case "global":
        return setMemory.global(range);
      case "nonglobal":
        return setMemory.nonGlobal(range);
      case "uc":
        return setMemory.uncached(range);
      case "wc":
        return setMemory.writeCombined(range);
      case "wb":
        return setMemory.writeBack(range);
    }
  }

  /** Joins what agrees; what the direct map had as one leaf is one again. */
  private join(): void {
    this.setMemory.join({ start: this.start, pages: PAGES });
    if (this.aliasLarge) this.setMemory.join({ start: this.alias & ~(LARGE - 1n), pages: PAGES });
    if (this.touched.end > 0) this.look(0, PAGES);
    const uniform = this.pages.every((page) => same(page, this.pages[0]!));
    const level = this.system.parts.tables.lookup(this.system.holders[0]!, this.start)?.level;
    if (uniform && this.pages[0]!.present && level !== 2)
      this.system.fail(
        "C5",
        `512 pages that agree stay ${level === undefined ? "unmapped" : `leaves of level ${level}`} after a join`,
      );
  }

  /** B6, C3: what every root says of a run of pages and of their views in the direct map. */
  private look(from: number, count: number, rule = "B6"): void {
    const { view, entries, layout } = this.system.parts;
    for (const { root, node, kind } of view.roots) {
      for (const i of LOOKED_AT) {
        if (i < from || i >= from + count) continue;
        for (const [address, wanted, id] of [
          [this.start, this.pages[i]!, rule],
          [this.alias, this.aliases[i]!, "C3"],
        ] as const) {
          const at = address + BigInt(i) * PAGE;
          const found = lookup(entries.memory, root, layout.levels, at);
          const frame = found && found.frame + pageWithin(at, found.level);
          const right = found
            ? wanted.present &&
              found.writable === wanted.writable &&
              found.executable === wanted.executable &&
              found.global === wanted.global &&
              found.cache === wanted.cache &&
              frame === this.first + i
            : !wanted.present;
          if (!right)
            this.system.fail(
              id,
              `${kind === "boot" ? "the boot table" : `node ${node}`} says ${found ? said(found) : "absent"} of 0x${at.toString(16)}, not ${wanted.present ? said(wanted) : "absent"}`,
            );
        }
      }
    }
  }

  /** C1, over every root a CPU may run on. */
  private noWriteAndExecute(): void {
    const { machine, view, layout } = this.system.parts;
    const [found] = findWritableExecutable(
      machine.memory,
      view.roots.map(({ root, node, kind }) => ({ root, name: kind === "boot" ? "the boot table" : `node ${node}` })),
      layout.levels,
    );
    if (found)
      this.system.fail(
        "C1",
        `${found.root}: 0x${found.start.toString(16)} to 0x${found.end.toString(16)} is writable and executable`,
      );
  }

  /** G6: a CPU may do at once what the tables allow, and nothing else. */
  private use(cpu: CpuId, page: number, kind: "read" | "write" | "execute"): void {
    const core = this.system.parts.machine.cpu(cpu);
    const at = this.start + BigInt(page) * PAGE;
    const [lo, hi] = [Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n))];
    const { present, writable, executable } = this.pages[page]!;
    const allowed = present && (kind === "read" || (kind === "write" ? writable : executable));
    const { privilege } = core;
    core.privilege = 0;
    const status = kind === "read" ? core.load(lo, hi) : kind === "write" ? core.store(lo, hi) : core.fetch(lo, hi);
    core.privilege = privilege;
    if ((status === 0) !== allowed)
      this.system.fail(
        "G6",
        `CPU ${cpu}: ${kind} of 0x${at.toString(16)}, which is ${present ? said(this.pages[page]!) : "absent"}, ${status === 0 ? "succeeds" : "faults"}`,
      );
    if (status === 0 && core.lastFrame !== this.first + page)
      this.system.fail(
        "G6",
        `CPU ${cpu} reaches frame ${core.lastFrame} at 0x${at.toString(16)}, not ${this.first + page}`,
      );
  }

  /**
   * The same in a process: under a PCID that its CPU knows from before, and comes back to. Nothing where there are no
   * PCIDs, or while the CPU is away.
   */
  private useUnder(cpu: CpuId, page: number, kind: "read" | "write" | "execute", space: AddressSpace): void {
    const { options, switcher } = this.system.parts;
    if (!options.pcid || switcher.temporary(cpu)) return;
    const [before, lazy] = [switcher.loaded(cpu), switcher.isLazy(cpu)];
    switcher.switchTo(cpu, space);
    try {
      this.use(cpu, page, kind);
    } finally {
      if (before) switcher.switchTo(cpu, before);
      else switcher.leave(cpu);
      if (lazy) switcher.idle(cpu);
    }
  }

  /** A5: a stray store to rodata is refused on every node; where it is not, copies differ from then on. */
  private scribble(cpu: CpuId, page: number): void {
    const { parts } = this.system;
    const core = parts.machine.cpu(cpu);
    const { startRodata, endRodata } = parts.image;
    const at =
      imageAddress(parts.layout, startRodata) + (BigInt(page) % ((endRodata - startRodata) >> 12n)) * PAGE + 0x18n;
    const { privilege } = core;
    core.privilege = 0;
    const status = core.store(Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n)));
    core.privilege = privilege;
    if (status !== 0) return;
    parts.machine.memory.writeBytes(addressOfFrame(core.lastFrame) + (at & (PAGE - 1n)), Uint8Array.of(0x6b, 0x72));
    const frames = new Set(parts.view.holders.map((node) => parts.view.replicaFrame(at, node)));
    if (frames.size > 1)
      this.system.fail(
        "A5",
        `CPU ${cpu} wrote rodata at 0x${at.toString(16)}: its node's copy differs from the ${frames.size - 1} others`,
      );
    this.system.fail("C1", `CPU ${cpu} wrote rodata at 0x${at.toString(16)}`);
  }
}

function changed(page: Page, change: Change): Page {
  switch (change) {
    case "ro":
      return { ...page, writable: false };
    case "rw":
      return { ...page, writable: true };
    case "x":
      return { ...page, executable: true };
    case "nx":
      return { ...page, executable: false };
    case "rox":
      return { ...page, writable: false, executable: true };
    // What is absent is not global either, and does not become so again by itself.
    case "np":
      return { ...page, present: false, global: false };
    case "p":
      return { ...page, present: true };
    case "global":
      return { ...page, global: true };
    case "nonglobal":
      return { ...page, global: false };
    case "uc":
      return { ...page, cache: "uc-" };
    case "wc":
      return { ...page, cache: "wc" };
    case "wb":
      return { ...page, cache: "wb" };
  }
}

const same = (a: Page, b: Page): boolean =>
  a.writable === b.writable &&
  a.executable === b.executable &&
  a.present === b.present &&
  a.global === b.global &&
  a.cache === b.cache;
const said = ({ writable, executable, global, cache }: Omit<Page, "present">): string =>
  `r${writable ? "w" : "-"}${executable ? "x" : "-"}${global ? " global" : ""} ${cache}`;
