/**
 * Pages of the kernel's are shared with who is outside, and taken back before they are given back: set_memory_decrypted
 * and set_memory_encrypted, of pages in the direct map and of areas in the window. Drawn where memory is encrypted.
 *
 * The slow model is a set of frames. After each of its operations every root says of each page that is or was shared,
 * by each of its addresses, and of its neighbours, what the model says; and all trees are looked through (C9). What
 * CPUs keep of them is looked at after every operation (G12).
 */
import { highOf, lowOf, PAGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { type CpuId, type Frame, type NodeId, NONE } from "@kreplica/hw-x86";
import { countText } from "@kreplica/inputs";
import { directAddress, SharedMemory } from "@kreplica/mm-core";
import { SetMemory, SetMemoryError } from "@kreplica/set-memory";
import { moduleArea, Vmalloc, VmallocError, type VmArea } from "@kreplica/vmalloc";
import type { FamilyAtWork, OperationFamily } from "../family.js";
import type { Subject } from "../subject.js";
import { AREA_PLUGINS } from "./area-plugins.js";
import { firstWindowTable, quietly, splitDirectMap } from "./splits.js";

const WHERE = ["direct map", "window"] as const;
type Where = (typeof WHERE)[number];

export type EncryptionOperation =
  | { readonly op: "share"; readonly node: number; readonly pages: number; readonly where: Where }
  | { readonly op: "unshare"; readonly shared: number }
  | {
      readonly op: "useshared";
      readonly cpu: number;
      readonly shared: number;
      readonly page: number;
      readonly alias: boolean;
      readonly kind: "read" | "write";
    };

/** Runs of pages shared at once. */
const MOST = 4;
/** Of them in the direct map each is as large as a buddy of this order at most. */
const ORDERS = 3;

export const encryptionFamily: OperationFamily<EncryptionOperation> = {
  name: "encryption",
  kinds: {
    share: { weight: 3, fields: { node: "number", pages: "number", where: WHERE } },
    unshare: { weight: 2, fields: { shared: "number" } },
    useshared: {
      weight: 6,
      fields: { cpu: "number", shared: "number", page: "number", alias: "boolean", kind: ["read", "write"] },
    },
  },
  draw(op, drawing) {
    const shared = drawing.random(MOST);
    switch (op) {
      case "share":
        return { op, node: drawing.random(8), pages: drawing.pages(), where: drawing.oneOf(WHERE) };
      case "unshare":
        return { op, shared };
      case "useshared":
        return {
          op,
          cpu: drawing.cpu(),
          shared,
          page: drawing.random(10),
          alias: drawing.flag(),
          kind: drawing.oneOf(["read", "write"] as const),
        };
    }
  },
  describe(o) {
    switch (o.op) {
      case "share":
        return `${countText(o.pages, "page")} of node ${o.node} ${o.pages === 1 ? "is" : "are"} shared with who is outside, by ${o.where === "window" ? "an address in the window" : "the direct map"} (set_memory_decrypted)`;
      case "unshare":
        return `shared pages ${o.shared} are private again (set_memory_encrypted), and given back`;
      case "useshared":
        return `CPU ${o.cpu}: ${o.kind} page ${o.page} of shared pages ${o.shared}${o.alias ? " through the direct map" : ""}`;
    }
  },
  scenes: [
    (drawing) => {
      // CPUs use what is shared, by both addresses, and it is private again.
      const cpu = drawing.cpu();
      const use = (page: number, alias: boolean): EncryptionOperation => ({
        op: "useshared",
        cpu,
        shared: 0,
        page,
        alias,
        kind: "read",
      });
      const scene: EncryptionOperation[] = [
        { op: "share", node: drawing.random(8), pages: drawing.pages(), where: drawing.oneOf(WHERE) },
        use(0, false),
        use(0, true),
        { op: "unshare", shared: 0 },
      ];
      return scene;
    },
  ],
  plugins: AREA_PLUGINS,
  start: (system) => new EncryptionAtWork(system),
};

/** A run of pages that is shared now. */
interface Run {
  /** First address it is shared by. */
  readonly start: bigint;
  /** By page. */
  readonly frames: readonly Frame[];
  readonly area?: VmArea;
  /** Without an area: of the allocation. */
  readonly order: number;
}

class EncryptionAtWork implements FamilyAtWork<EncryptionOperation> {
  private readonly runs: Run[] = [];
  private readonly shared = new Set<Frame>();
  private readonly setMemory: SetMemory;
  private readonly vmalloc: Vmalloc;
  private readonly host: SharedMemory;
  private used = false;

  constructor(private readonly system: Subject) {
    const { assembly } = system.parts;
    this.setMemory = assembly.get(SetMemory);
    this.vmalloc = assembly.get(Vmalloc);
    this.host = assembly.get(SharedMemory);
    splitDirectMap(system);
    firstWindowTable(system, this.vmalloc);
  }

  perform(o: EncryptionOperation): void {
    if (this.system.parts.entries.encryption === 0) return;
    quietly(this.system, () => {
      if (o.op === "share") return this.share(o.node, o.pages, o.where);
      const nth = o.shared % Math.max(1, this.runs.length);
      const run = this.runs[nth];
      if (!run) return;
      if (o.op === "unshare") this.takeBack(nth);
      else this.use(this.system.cpu(o.cpu), run, o.page, o.alias, o.kind);
    });
  }

  told(o: EncryptionOperation): Readonly<Record<string, number>> {
    if (o.op === "share") return { node: this.holder(o.node) };
    if (this.runs.length === 0) return {};
    const shared = o.shared % this.runs.length;
    return { shared, ...(o.op === "useshared" ? { page: o.page % this.runs[shared]!.frames.length } : {}) };
  }

  compare(): void {
    if (this.used) this.system.checkRules(["C9"]);
  }

  undo(): void {
    quietly(this.system, () => {
      while (this.runs.length > 0) this.takeBack(this.runs.length - 1);
    });
    this.used = false;
  }

  private holder(number: number): NodeId {
    const { holders } = this.system;
    return holders[number % holders.length]!;
  }

  private share(number: number, pages: number, where: Where): void {
    if (this.runs.length >= MOST) return;
    const node = this.holder(number);
    const run = where === "window" ? this.areaOf(node, pages) : this.pagesOf(node, pages);
    if (!run) return;
    try {
      this.setMemory.decrypted({ start: run.start, pages: run.frames.length });
    } catch (error) {
      if (!(error instanceof SetMemoryError)) throw error;
      this.look(run);
      this.giveBack(run);
      return;
    }
    this.used = true;
    this.runs.push(run);
    for (const frame of run.frames) this.shared.add(frame);
    this.look(run);
  }

  private areaOf(node: NodeId, pages: number): Run | undefined {
    const { layout, tables } = this.system.parts;
    try {
      const area = moduleArea(this.vmalloc, {
        bytes: pages * PAGE_BYTES,
        low: layout.modulesStart,
        high: layout.modulesEnd,
        placement: { node },
        purpose: "module",
      });
      const frames = Array.from(
        { length: pages },
        (_, page) => tables.lookup(this.system.holders[0]!, area.start + BigInt(page) * PAGE)!.frame,
      );
      return { start: area.start, frames, area, order: 0 };
    } catch (error) {
      if (!(error instanceof VmallocError)) throw error;
      return undefined;
    }
  }

  private pagesOf(node: NodeId, pages: number): Run | undefined {
    const { allocator, layout } = this.system.parts;
    const order = Math.min(ORDERS, Math.ceil(Math.log2(pages)));
    const first = allocator.allocate(node, order, { purpose: "kernel" });
    if (first === NONE) return undefined;
    const frames = Array.from({ length: Math.min(pages, 1 << order) }, (_, page) => first + page);
    return { start: directAddress(layout, first), frames, order };
  }

  private takeBack(nth: number): void {
    const [run] = this.runs.splice(nth, 1);
    this.setMemory.encrypted({ start: run!.start, pages: run!.frames.length });
    for (const frame of run!.frames) this.shared.delete(frame);
    this.look(run!);
    this.giveBack(run!);
  }

  private giveBack({ area, frames, order }: Run): void {
    if (!area) return this.system.parts.allocator.free(frames[0]!, order);
    this.vmalloc.free(area);
    this.vmalloc.purge();
  }

  private use(cpu: CpuId, run: Run, number: number, alias: boolean, kind: "read" | "write"): void {
    const { machine, layout } = this.system.parts;
    const page = number % run.frames.length;
    const frame = run.frames[page]!;
    const address = alias ? directAddress(layout, frame) : run.start + BigInt(page) * PAGE;
    const core = machine.cpu(cpu);
    const [lo, hi] = [lowOf(address), highOf(address)];
    const outcome = kind === "read" ? core.load(lo, hi) : core.store(lo, hi);
    if (outcome !== 0 || core.lastFrame !== frame)
      this.system.fail(
        "G6",
        `CPU ${cpu} ${outcome === 0 ? `reaches frame ${core.lastFrame}` : "reaches nothing"} at shared page 0x${address.toString(16)}, not frame ${frame}`,
      );
  }

  /** What every root says of a run and its neighbours, against the model; and what the host was told. */
  private look({ start, frames, area }: Run): void {
    const { layout, tables, machine } = this.system.parts;
    const pages = new Map<bigint, Frame>();
    for (const frame of frames)
      for (const each of [frame - 1, frame, frame + 1])
        if (machine.memory.nodeOf(each) !== NONE) pages.set(directAddress(layout, each), each);
    if (area) frames.forEach((frame, page) => pages.set(start + BigInt(page) * PAGE, frame));
    for (const [address, frame] of pages)
      for (const holder of this.system.holders) {
        const found = tables.lookup(holder, address);
        const isShared = this.shared.has(frame);
        if (found && (found.encrypted === false) !== isShared)
          this.system.fail(
            "C9",
            `node ${holder} has frame ${frame} ${isShared ? "encrypted" : "shared"} at 0x${address.toString(16)}, which is ${isShared ? "shared" : "private"}`,
          );
      }
    const { frames: said } = this.host;
    if (said.size !== this.shared.size || [...said].some((frame) => !this.shared.has(frame)))
      this.system.fail("C9", `the host was told that ${said.size} frames are shared, which are ${this.shared.size}`);
    this.system.checkRules(["C9"]);
  }
}
