/**
 * Pages of the module area, the same frame on every node or one for each: mapped, protected, reached from every CPU.
 */
import { type AddressRange, PAGE } from "@kreplica/hw-x86/api";
import type { CpuId, Frame, NodeId } from "@kreplica/hw-x86";
import { KERNEL_DATA } from "@kreplica/mm-core";
import { ownRootsOnly } from "./own-copy.js";
import type { Subject } from "../subject.js";
import type { FamilyAtWork, OperationFamily } from "../family.js";

export type KernelPageOperation =
  | { readonly op: "kmap"; readonly page: number; readonly perNode: boolean }
  | { readonly op: "kunmap"; readonly page: number }
  | { readonly op: "kprotect"; readonly page: number; readonly writable: boolean }
  | { readonly op: "kread"; readonly page: number; readonly cpu: number }
  | { readonly op: "krelax"; readonly page: number; readonly cpu: number };

/**
 * Pages operations work on, and the first of them, counted from the start of the module area: far from what vmalloc
 * hands out there.
 */
const PAGES = 4;
const FIRST = 0x1_0040n;

export const kernelPageFamily: OperationFamily<KernelPageOperation> = {
  name: "kernel-pages",
  kinds: {
    kmap: { weight: 2, fields: { page: "number", perNode: "boolean" } },
    kunmap: { weight: 1, fields: { page: "number" } },
    kprotect: { weight: 2, fields: { page: "number", writable: "boolean" } },
    kread: { weight: 4, fields: { page: "number", cpu: "number" } },
    krelax: { weight: 1, fields: { page: "number", cpu: "number" } },
  },
  draw(op, drawing) {
    const page = drawing.random(PAGES);
    switch (op) {
      case "kmap":
        return { op, page, perNode: drawing.flag() };
      case "kunmap":
        return { op, page };
      case "kprotect":
        return { op, page, writable: drawing.flag() };
      case "kread":
      case "krelax":
        return { op, page, cpu: drawing.cpu() };
    }
  },
  describe(o) {
    const page = o.page % PAGES;
    switch (o.op) {
      case "kmap":
        return `the kernel maps module page ${page}${o.perNode ? ", a frame for each node" : ""}`;
      case "kunmap":
        return `the kernel unmaps module page ${page}`;
      case "kprotect":
        return `the kernel makes module page ${page} ${o.writable ? "writable" : "read-only"}`;
      case "kread":
        return `CPU ${o.cpu} reads module page ${page}`;
      case "krelax":
        return `module page ${page} becomes writable without a flush, CPU ${o.cpu} writes it`;
    }
  },
  start: (system) => new KernelPagesAtWork(system),
};

class KernelPagesAtWork implements FamilyAtWork<KernelPageOperation> {
  private readonly mapped = new Map<number, ReadonlyMap<NodeId, Frame>>();
  private readonly spare: readonly ReadonlyMap<NodeId, Frame>[];
  /**
   * Whether a CPU only ever runs on its own node's roots. Where it does not, a global entry of one root serves under
   * the next.
   */
  private readonly ownRootsOnly: boolean;

  /** Tables of the area and frames to map there exist before the first run, so that runs are alike. */
  constructor(private readonly system: Subject) {
    const { allocator, machine } = system.parts;
    this.ownRootsOnly = ownRootsOnly(system);
    const nodes = [...new Set(machine.memory.ranges.map((range) => range.node))];
    this.spare = Array.from(
      { length: PAGES },
      () => new Map(nodes.map((node) => [node, allocator.allocate(node, 0, { purpose: "module" })])),
    );
    for (let page = 0; page < PAGES; page++) {
      this.map(page, false);
      this.unmap(page);
    }
  }

  perform(o: KernelPageOperation): void {
    const page = o.page % PAGES;
    switch (o.op) {
      case "kmap":
        if (!this.mapped.has(page)) this.map(page, o.perNode);
        return;
      case "kunmap":
        return this.unmap(page);
      case "kprotect":
        if (this.mapped.has(page))
          this.system.parts.tables.edit((editor) =>
            editor.protect({ start: this.address(page), pages: 1 }, { writable: o.writable }),
          );
        return;
      case "kread":
        return this.read(this.system.cpu(o.cpu), page);
      case "krelax":
        return this.relax(this.system.cpu(o.cpu), page);
    }
  }

  replicated(): readonly AddressRange[] {
    return [...this.mapped]
      .filter(([, frames]) => new Set(frames.values()).size > 1)
      .map(([page]) => ({ start: this.address(page), end: this.address(page) + PAGE }));
  }

  undo(): void {
    for (const page of [...this.mapped.keys()]) this.unmap(page);
  }

  private address(page: number): bigint {
    return this.system.parts.layout.modulesStart + (FIRST + BigInt(page)) * PAGE;
  }

  private map(page: number, perNode: boolean): void {
    const spare = this.spare[page]!;
    const shared = spare.values().next().value!;
    const frames = (node: NodeId): Frame => (perNode ? spare.get(node)! : shared);
    const address = this.address(page);
    const done = this.system.parts.tables.edit((editor) =>
      perNode
        ? editor.mapPerNode(address, { ...KERNEL_DATA, level: 1 }, frames)
        : editor.map(address, { ...KERNEL_DATA, level: 1, frame: shared }),
    );
    if (done) this.mapped.set(page, new Map(this.system.holders.map((node) => [node, frames(node)])));
  }

  private unmap(page: number): void {
    if (this.mapped.delete(page)) this.system.parts.tables.edit((editor) => editor.unmap(this.address(page), 1));
  }

  /** E1, G6: a page in the window is there on every node or on none, and no CPU reaches what was taken away. */
  private read(cpu: CpuId, page: number): void {
    const { system } = this;
    const { machine, view } = system.parts;
    const { switcher } = system.population;
    const address = this.address(page);
    const core = machine.cpu(cpu);
    const outcome = core.load(Number(address & 0xffff_ffffn), Number(address >> 32n));
    const known = this.mapped.get(page);
    if ((outcome === 0) !== (known !== undefined))
      system.fail(
        known ? "E1" : "G6",
        `CPU ${cpu} ${outcome === 0 ? "still reaches" : "cannot reach"} module page ${page}`,
      );
    // The copy it runs is that of the PGD it has loaded: its node's, or under some policies another's.
    const space = switcher.loaded(cpu);
    const holder =
      space?.pgdNodes.find((node) => space.pgd(node) === core.rootFrame) ?? view.nearest(machine.nodeOfCpu(cpu));
    const wanted = known?.get(holder);
    if (!known || core.lastFrame === wanted) return;
    // The bytes are equal, so that another holder's copy is a matter of locality (as D15 is), where roots of several
    // holders are loaded.
    if (this.ownRootsOnly || ![...known.values()].includes(core.lastFrame))
      system.fail("G6", `CPU ${cpu} reached frame ${core.lastFrame} for module page ${page}, its root's is ${wanted}`);
  }

  /** G9: a store refused by a stale entry, where the tables allow it, is known to be spurious on every node. */
  private relax(cpu: CpuId, page: number): void {
    if (!this.mapped.has(page)) return;
    const { system } = this;
    const { tables, machine } = system.parts;
    const address = this.address(page);
    if (!tables.edit((editor) => editor.protect({ start: address, pages: 1 }, { writable: false }))) return;
    const core = machine.cpu(cpu);
    const [lo, hi] = [Number(address & 0xffff_ffffn), Number(address >> 32n)];
    core.load(lo, hi);
    tables.editLazily((editor) => editor.protect({ start: address, pages: 1 }, { writable: true }));
    if (core.store(lo, hi) === 0) return;
    if (!system.population.processes.isSpuriousKernelFault(cpu, address, true, false))
      system.fail(
        "G9",
        `a store of CPU ${cpu} to module page ${page} was refused by a stale entry, and the fault handler would not see that`,
      );
    tables.flush({ start: address, pages: 1 });
    if (core.store(lo, hi) !== 0) system.fail("G6", `CPU ${cpu} still holds the entry after the flush`);
  }
}
