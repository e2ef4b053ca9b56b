/**
 * Areas of vmalloc: made, copied, sealed, reached from CPUs, freed; E1, E2, E6, E7, E8 and E12 after every step on
 * them.
 */
import { directAddress } from "@kreplica/mm-core";
import { LARGE, LARGE_BYTES, PAGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { CpuId, Frame, NodeId } from "@kreplica/hw-x86";
import { countText } from "@kreplica/inputs";
import type { Finding } from "@kreplica/invariants";
import { SetMemory, SetMemoryError } from "@kreplica/set-memory";
import {
  type AreaRequest,
  checkArea,
  checkPageCounts,
  moduleArea,
  Vmalloc,
  VmallocError,
  type VmArea,
} from "@kreplica/vmalloc";
import { ownRootsOnly } from "./own-copy.js";
import type { Subject } from "../subject.js";
import type { Drawing } from "../drawing.js";
import type { FamilyAtWork, Operation, OperationFamily } from "../family.js";
import { AREA_PLUGINS } from "./area-plugins.js";
import type { RefusalOperation } from "./refusal.js";
import { dropEmptyTables, fullCheckNowAndThen, quietly, splitDirectMap } from "./splits.js";

export type AreaOperation =
  | {
      readonly op: "area";
      readonly node: number;
      readonly pages: number;
      readonly where: Where;
      readonly base: "local" | "interleaved";
    }
  | { readonly op: "areaodd"; readonly node: number; readonly pages: number; readonly where: "window" | "vmalloc" }
  | { readonly op: "areacopy" | "areafree"; readonly area: number }
  | { readonly op: "areaseal"; readonly area: number; readonly as: "read-only" | "executable" | "writable" }
  | { readonly op: "arearead"; readonly area: number; readonly cpu: number; readonly page: number }
  | { readonly op: "areaalias"; readonly area: number; readonly cpu: number; readonly copy: number }
  | { readonly op: "areapurge" };
/** "window behind": a small one where large ones begin. */
type Where = "window" | "window behind" | "window large" | "vmalloc" | "vmap";

/** Areas alive at once; with few pages each all small ones fit under one table. */
const MOST = 6;

export const areaFamily: OperationFamily<AreaOperation> = {
  name: "areas",
  kinds: {
    area: {
      weight: 2,
      fields: {
        node: "number",
        pages: "number",
        where: ["window", "window behind", "window large", "vmalloc", "vmap"],
        base: ["local", "interleaved"],
      },
    },
    areaodd: { weight: 1, fields: { node: "number", pages: "number", where: ["window", "vmalloc"] } },
    areacopy: { weight: 2, fields: { area: "number" } },
    areafree: { weight: 1, fields: { area: "number" } },
    areaseal: { weight: 1, fields: { area: "number", as: ["read-only", "executable", "writable"] } },
    arearead: { weight: 2, fields: { area: "number", cpu: "number", page: "number" } },
    areaalias: { weight: 1, fields: { area: "number", cpu: "number", copy: "number" } },
    areapurge: { weight: 1, fields: {} },
  },
  rare: true,
  scenes: [sealedScene, refusedScene],
  draw(op, drawing) {
    const area = drawing.random(MOST);
    switch (op) {
      case "area":
        return {
          op,
          node: drawing.random(8),
          pages: drawing.pages(),
          where:
            drawing.random(150) === 0
              ? "window large"
              : drawing.oneOf(["window", "window", "window", "vmalloc", "vmap"] as const),
          base: drawing.oneOf(["local", "local", "interleaved"] as const),
        };
      case "areaodd":
        return {
          op,
          node: drawing.random(8),
          pages: drawing.pages(),
          where: drawing.oneOf(["window", "vmalloc"] as const),
        };
      case "areacopy":
      case "areafree":
        return { op, area };
      case "areaseal":
        return { op, area, as: drawing.oneOf(["read-only", "executable", "writable"] as const) };
      case "arearead":
        return { op, area, cpu: drawing.cpu(), page: drawing.random(4) };
      case "areaalias":
        return { op, area, cpu: drawing.cpu(), copy: drawing.random(8) };
      case "areapurge":
        return { op };
    }
  },
  describe(o) {
    switch (o.op) {
      case "area":
        return o.where === "vmap"
          ? `${countText(o.pages, "page")} of node ${o.node} ${o.pages === 1 ? "is" : "are"} mapped in the window (vmap)`
          : `an area of ${o.where === "window large" ? "2 MiB with large leaves" : countText(o.pages, "page")} in the ${o.where === "vmalloc" ? "vmalloc range" : "window"}, ${o.base === "local" ? `on node ${o.node}` : "interleaved"}`;
      // Only module_alloc asks for what lies in the window on x86, and it defers; nobody else does.
      case "areaodd":
        return `code outside the kernel's tree (no caller in 6.5 for x86) asks for ${countText(o.pages, "page")} in the ${o.where === "window" ? "window, with the leak tracker told at once" : "vmalloc range, to tell the leak tracker itself"}, on node ${o.node}`;
      case "areacopy":
        return `area ${o.area} gets a copy on every node`;
      case "areafree":
        return `area ${o.area} is freed`;
      case "areaseal":
        return `area ${o.area} becomes ${o.as === "executable" ? "read-only and executable" : o.as}`;
      case "arearead":
        return `CPU ${o.cpu} reads page ${o.page} of area ${o.area}`;
      case "areaalias":
        return `CPU ${o.cpu} reads copy ${o.copy} of area ${o.area} through the direct map`;
      case "areapurge":
        return "what was freed is flushed and given back";
    }
  },
  plugins: AREA_PLUGINS,
  start: (system) => new AreasAtWork(system),
};

/** A sealed area whose copies a CPU has seen through the direct map goes. */
function sealedScene(drawing: Drawing): AreaOperation[] {
  const area = drawing.random(MOST);
  const cpu = drawing.cpu();
  return [
    { op: "area", node: drawing.random(8), pages: 1 + drawing.random(2), where: "window", base: "local" },
    { op: "areacopy", area },
    { op: "areaseal", area, as: drawing.oneOf(["read-only", "executable"] as const) },
    ...[0, 1, 2].map((copy): AreaOperation => ({ op: "areaalias", area, cpu, copy })),
    { op: "arearead", area, cpu, page: 0 },
    { op: "areafree", area },
  ];
}

/** Memory gives out while an area gets its copies. */
function refusedScene(drawing: Drawing): Operation[] {
  const area = drawing.random(MOST);
  const steps: (AreaOperation | RefusalOperation)[] = [
    {
      op: "area",
      node: drawing.random(8),
      pages: drawing.pages(),
      where: "window",
      base: drawing.oneOf(["local", "interleaved"] as const),
    },
    { op: "refuse", nth: 1 + drawing.random(6) },
    { op: "areacopy", area },
    { op: "arearead", area, cpu: drawing.cpu(), page: 0 },
  ];
  return steps;
}

interface Live {
  readonly area: VmArea;
  readonly own: readonly Frame[];
  readonly seenBy: Set<CpuId>;
  readonly aliasSeenBy: Set<CpuId>;
  sealed: boolean;
}

class AreasAtWork implements FamilyAtWork<AreaOperation> {
  private readonly live: Live[] = [];
  private readonly vmalloc: Vmalloc;
  private readonly setMemory: SetMemory;
  /** Whether a large area came, which may leave tables behind. */
  private wasLarge = false;
  private readonly ownRootsOnly: boolean;

  constructor(private readonly system: Subject) {
    const { assembly } = system.parts;
    this.vmalloc = assembly.get(Vmalloc);
    this.setMemory = assembly.get(SetMemory);
    this.ownRootsOnly = ownRootsOnly(system);
    splitDirectMap(system);
    // The first tables of both ranges are there before the first run.
    for (const where of ["window", "vmalloc"] as const)
      this.make({ op: "area", node: 0, pages: 4, where, base: "local" });
    this.undo();
  }

  perform(o: AreaOperation): void {
    quietly(this.system, () => {
      this.do(o);
    });
  }

  told(o: AreaOperation): Readonly<Record<string, number>> {
    if ("node" in o) return { node: this.holder(o.node) };
    if (!("area" in o) || this.live.length === 0) return {};
    const at = o.area % this.live.length;
    const { area } = this.live[at]!;
    return {
      area: at,
      ...("page" in o ? { page: o.page % area.pages } : {}),
      ...("copy" in o ? { copy: o.copy % (1 + area.copies.size) } : {}),
    };
  }

  compare(): void {
    for (const { area } of this.live) this.check(area);
    fullCheckNowAndThen(this.system);
  }

  undo(): void {
    quietly(this.system, () => {
      this.clear();
    });
  }

  private do(o: AreaOperation): void {
    if (o.op === "area") return this.make(o);
    if (o.op === "areaodd") return this.makeOdd(o);
    if (o.op === "areapurge") return this.vmalloc.purge();
    const live = this.live[o.area % Math.max(1, this.live.length)];
    if (!live) return;
    switch (o.op) {
      case "areacopy":
        return this.copy(live);
      case "areafree":
        return this.free(live);
      case "areaseal":
        return this.seal(live, o.as);
      case "arearead":
        return this.read(live, this.system.cpu(o.cpu), o.page % live.area.pages);
      case "areaalias":
        return this.readAlias(live, this.system.cpu(o.cpu), o.copy);
    }
  }

  private holder(number: number): NodeId {
    return this.system.holders[number % this.system.holders.length]!;
  }

  private clear(): void {
    for (const { area, own } of this.live.splice(0)) {
      this.vmalloc.free(area);
      this.vmalloc.purge();
      this.giveBack(own);
    }
    this.vmalloc.purge();
    if (this.wasLarge) dropEmptyTables(this.system);
    this.wasLarge = false;
  }

  private make(o: AreaOperation & { op: "area" }): void {
    if (this.live.length >= MOST) return;
    const { layout, allocator, view } = this.system.parts;
    const node = this.holder(o.node);
    // Large leaves behind the first 2 MiB, whose tables every run is to find.
    const range =
      o.where === "vmalloc"
        ? {}
        : {
            low: layout.modulesStart + (o.where === "window large" || o.where === "window behind" ? LARGE : 0n),
            high: layout.modulesEnd,
          };
    const placement = o.base === "local" ? { node } : { interleave: view.holders };
    const own =
      o.where === "vmap"
        ? Array.from({ length: o.pages }, () => allocator.allocate(node, 0, { purpose: "data" })).filter(
            (frame) => frame >= 0,
          )
        : [];
    if (o.where === "vmap" && own.length < o.pages) return this.giveBack(own);
    this.wasLarge ||= o.where === "window large" || o.where === "window behind";
    try {
      const area =
        o.where === "vmap"
          ? this.vmalloc.map({ frames: own, purpose: "data", ...range })
          : this.request(
              {
                bytes: o.where === "window large" ? LARGE_BYTES : o.pages * PAGE_BYTES,
                huge: o.where === "window large",
                placement,
                purpose: "module",
                ...range,
              },
              o.where !== "vmalloc",
            );
      this.keep(area, own);
    } catch (error) {
      this.refused(error);
      this.giveBack(own);
    }
  }

  /** As no caller of the kernel asks: deferred where vmalloc defers nothing, at once where module_alloc defers. */
  private makeOdd(o: AreaOperation & { op: "areaodd" }): void {
    if (this.live.length >= MOST) return;
    const { modulesStart: low, modulesEnd: high } = this.system.parts.layout;
    const node = this.holder(o.node);
    try {
      this.keep(
        this.request(
          {
            bytes: o.pages * PAGE_BYTES,
            placement: { node },
            purpose: "module",
            ...(o.where === "window" ? { low, high } : {}),
          },
          o.where === "vmalloc",
        ),
        [],
      );
    } catch (error) {
      if (error instanceof VmallocError && error.code === "taken")
        this.system.fail(
          "E12",
          `an area in the vmalloc range whose maker defers telling the leak tracker was taken for a shared one: ${error.message}`,
        );
      this.refused(error);
    }
  }

  /** @param deferred as module_alloc asks: the maker tells the leak tracker itself, once the area has its shadow */
  private request(request: AreaRequest, deferred: boolean): VmArea {
    return deferred ? moduleArea(this.vmalloc, request) : this.vmalloc.allocate(request);
  }

  private keep(area: VmArea, own: readonly Frame[]): void {
    if (area.kind === "allocated") this.vmalloc.write(area, 0, Uint8Array.of(this.system.steps & 255, area.pages));
    this.live.push({ area, own, seenBy: new Set(), aliasSeenBy: new Set(), sealed: false });
    this.check(area);
  }

  private giveBack(frames: readonly Frame[]): void {
    for (const frame of frames) this.system.parts.allocator.free(frame, 0);
  }

  /**
   * E7: without memory for every copy the area stays shared and whole. Copies are made before an area is sealed, never
   * after (E3).
   */
  private copy({ area, sealed }: Live): void {
    if (area.state !== "shared" || area.kind !== "allocated" || sealed) return;
    const outcome = this.vmalloc.replicate(area);
    if (outcome === "replicated") return this.check(area);
    const left = this.findings(area)[0];
    if (area.state !== "shared" || left)
      this.system.fail(
        "E7",
        `after copies were refused the area at 0x${area.start.toString(16)} is ${area.state}${left ? `, and ${left.detail}` : ""}`,
      );
  }

  private seal(live: Live, as: "read-only" | "executable" | "writable"): void {
    const { area } = live;
    live.sealed = true;
    // Whoever changes permissions says so, that the direct map is put right when the area goes:
    // set_vm_flush_reset_perms.
    if (area.kind === "allocated") this.vmalloc.resetPermissions(area);
    const range = { start: area.start, pages: area.pages };
    try {
      this.setMemory.change(
        range,
        as === "writable"
          ? { writable: true, executable: false }
          : { writable: false, executable: as === "executable" },
        area.kind === "allocated",
      );
    } catch (error) {
      if (!(error instanceof SetMemoryError) || error.code !== "out-of-frames") throw error;
    }
    this.check(area);
  }

  /** E1 as a CPU sees it: the page is there, and it is the copy of the root the CPU runs on. */
  private read({ area, seenBy }: Live, cpu: CpuId, page: number): void {
    const { system } = this;
    const { machine, view } = system.parts;
    const address = area.start + BigInt(page) * PAGE;
    seenBy.add(cpu);
    const core = machine.cpu(cpu);
    if (core.load(Number(address & 0xffff_ffffn), Number(address >> 32n)) !== 0)
      system.fail("E1", `CPU ${cpu} cannot reach page ${page} of the area at 0x${area.start.toString(16)}`);
    const holder = view.nearest(machine.nodeOfCpu(cpu));
    const wanted = (area.copies.get(holder) ?? area.frames)[page];
    const any = [area.frames, ...area.copies.values()].some((frames) => frames[page] === core.lastFrame);
    if (this.ownRootsOnly ? core.lastFrame !== wanted : !any)
      system.fail(
        "E2",
        `CPU ${cpu} of node ${machine.nodeOfCpu(cpu)} reached frame ${core.lastFrame} for page ${page} of the area at 0x${area.start.toString(16)}, not ${wanted}`,
      );
  }

  private readAlias({ area, aliasSeenBy }: Live, cpu: CpuId, copy: number): void {
    const copies = [area.frames, ...area.copies.values()];
    aliasSeenBy.add(cpu);
    this.access(cpu, this.alias(copies[copy % copies.length]![0]!), "load");
  }

  /** E6: nobody reaches the area any more, all its frames can be written through the direct map again, on every CPU. */
  private free(live: Live): void {
    const { area, own, seenBy, aliasSeenBy } = live;
    const { system } = this;
    const { cpus, tables } = system.parts;
    const frames = area.kind === "allocated" && area.level === 1 ? [area.frames, ...area.copies.values()].flat() : [];
    const resets = area.resetPermissions;
    this.live.splice(this.live.indexOf(live), 1);
    this.vmalloc.free(area);
    if (own.length > 0) this.vmalloc.purge();
    this.giveBack(own);
    const at = `the area at 0x${area.start.toString(16)}`;
    for (const holder of system.holders) {
      for (let page = 0; page < area.pages; page++) {
        if (tables.lookup(holder, area.start + BigInt(page) * PAGE))
          system.fail("E6", `${at} was freed, and node ${holder} still maps page ${page}`);
      }
    }
    this.checkCounts();
    // Before the flush a CPU may go on reading what it has in its TLB.
    if (this.vmalloc.counters.lazyPages > 0) return;
    for (const cpu of seenBy)
      if (cpus.online.has(cpu) && this.access(cpu, area.start, "load") === 0)
        system.fail("E6", `${at} was freed and flushed, and CPU ${cpu} still reaches it`);
    if (!resets) return;
    for (const frame of frames) {
      const alias = tables.lookup(system.holders[0]!, this.alias(frame));
      if (!alias?.writable || alias.executable)
        system.fail(
          "E6",
          `${at} was freed, and its frame ${frame} is ${alias ? "not writable" : "absent"} in the direct map`,
        );
      for (const cpu of aliasSeenBy) {
        if (cpus.online.has(cpu) && this.access(cpu, this.alias(frame), "store") !== 0)
          system.fail(
            "E6",
            `${at} was freed, and CPU ${cpu} still holds the sealed translation of its frame ${frame} of node ${system.parts.machine.memory.nodeOf(frame)} in the direct map`,
          );
      }
    }
  }

  private access(cpu: CpuId, address: bigint, kind: "load" | "store"): number {
    return this.system.parts.machine.cpu(cpu)[kind](Number(address & 0xffff_ffffn), Number(address >> 32n));
  }

  private alias(frame: Frame): bigint {
    return directAddress(this.system.parts.layout, frame);
  }

  private findings(area: VmArea): Finding[] {
    const { parts } = this.system;
    return checkArea({ ...parts, vmalloc: this.vmalloc, memory: parts.machine.memory }, area);
  }

  private check(area: VmArea): void {
    const first = this.findings(area)[0];
    if (first) this.system.fail(first.id, first.detail);
    this.checkCounts();
  }

  private checkCounts(): void {
    const wrong = checkPageCounts({ vmalloc: this.vmalloc, memory: this.system.parts.machine.memory })[0];
    if (wrong) this.system.fail(wrong.id, wrong.detail);
  }

  private refused(error: unknown): void {
    if (!(error instanceof VmallocError) || (error.code !== "out-of-frames" && error.code !== "out-of-tables"))
      throw error;
  }
}
