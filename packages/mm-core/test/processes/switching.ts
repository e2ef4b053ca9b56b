/**
 * A kernel on CPUs that keep every translation, with address spaces whose mappings a plain map remembers: what tests of
 * switching need.
 */
import type { CpuId, Frame, NodeId } from "@kreplica/hw-x86/api";
import { NONE } from "@kreplica/hw-x86/api";
import { expect } from "vitest";
import type { AddressSpace, PgdPlan } from "../../src/api.js";
import { keepingMachine, plannedHolders, testKernel, type TestKernel } from "../../src/testing.js";

export const PAGE = 4096n;
const USER_PAGE = { present: true, executable: false, global: false, user: true, cache: "wb", level: 1 } as const;

export interface Setup {
  readonly pti: boolean;
  readonly pcid: boolean;
  readonly plan: PgdPlan;
  readonly holders: readonly NodeId[];
}
interface Page {
  readonly frame: Frame;
  readonly writable: boolean;
}
/** A space, and what its pages are now. */
export interface Known {
  readonly space: AddressSpace;
  readonly pages: Map<bigint, Page>;
}

export class Switching {
  readonly kernel: TestKernel;
  /** What runs on each CPU, in user mode or ready to. */
  readonly running = new Map<CpuId, Known>();
  /** A page of the temporary tables, and its frame. */
  readonly alias = { address: 0x7000_0000_0000n, frame: 0x7_0000 };
  readonly tables: { readonly name: string; root(): Frame };
  /** Frames are never used twice: whoever reaches an old one is seen. */
  private next = 0x10_0000;

  constructor({ pti, pcid, plan, holders }: Setup) {
    const nodes = [
      { id: 0, memoryMiB: 64, cpus: 2 },
      { id: 1, memoryMiB: 64, cpus: 2 },
    ];
    this.kernel = testKernel({
      machine: keepingMachine(nodes, 4, pcid),
      pti,
      pcid,
      view: plannedHolders(plan, ...holders),
    });
    for (const cpu of this.kernel.machine.cpuIds) {
      this.kernel.cpus.bringUp(cpu);
      this.kernel.switcher.leave(cpu);
    }
    const temporary = this.space();
    this.map(temporary, this.alias.address, 1, 0, this.alias.frame);
    const root = temporary.space.pgd(0);
    this.tables = { name: "a test", root: () => root };
  }

  space(node: NodeId = 0): Known {
    const space = this.kernel.spaces.create(node);
    expect(space).toBeDefined();
    return { space: space!, pages: new Map() };
  }

  /** Maps holes of a range; replaces nothing. */
  map({ space, pages }: Known, start: bigint, count: number, node: NodeId, frame = (this.next += count)): void {
    for (let page = 0; page < count; page++) {
      const address = start + BigInt(page) * PAGE;
      if (pages.has(address)) continue;
      expect(space.set(address, { ...USER_PAGE, frame: frame + page, writable: true }, node)).toBe(true);
      pages.set(address, { frame: frame + page, writable: true });
    }
  }

  /** As munmap does it. */
  unmap({ space, pages }: Known, start: bigint, count: number, from: CpuId): void {
    for (let page = 0; page < count; page++) {
      space.clear(start + BigInt(page) * PAGE);
      pages.delete(start + BigInt(page) * PAGE);
    }
    const tables = space.trim({ start, end: start + BigInt(count) * PAGE });
    this.kernel.switcher.flush(space, { start, pages: count }, tables.length > 0, from);
    for (const table of tables) this.kernel.allocator.free(table, 0);
  }

  protect({ space, pages }: Known, address: bigint, from: CpuId): void {
    const page = pages.get(address);
    if (!page) return;
    space.set(address, { ...USER_PAGE, frame: page.frame, writable: false }, 0);
    pages.set(address, { ...page, writable: false });
    this.kernel.switcher.flush(space, { start: address, pages: 1 }, false, from);
  }

  run(cpu: CpuId, known: Known): void {
    this.kernel.switcher.switchTo(cpu, known.space);
    this.running.set(cpu, known);
  }

  idle(cpu: CpuId): void {
    this.kernel.switcher.idle(cpu);
    this.running.delete(cpu);
  }

  end(known: Known): void {
    for (const [cpu, each] of this.running) if (each === known) this.running.delete(cpu);
    this.kernel.switcher.forget(known.space);
    known.space.free();
  }

  /** An access in user mode: the frame, or NONE for a fault. */
  access(cpu: CpuId, address: bigint, kind: "load" | "store" = "load"): Frame {
    const { switcher, machine } = this.kernel;
    const core = machine.cpu(cpu);
    switcher.enterUser(cpu);
    const failed = core[kind](Number(address & 0xffff_ffffn), Number(address >> 32n));
    const { lastFrame } = core;
    switcher.enterKernel(cpu);
    return failed === 0 ? lastFrame : NONE;
  }

  /** What a CPU has in CR3 now is walked for an address, as it may be at any time, whoever runs there. */
  speculate(cpu: CpuId, address: bigint): Frame {
    const core = this.kernel.machine.cpu(cpu);
    const { privilege } = core;
    core.privilege = 0;
    const failed = core.load(Number(address & 0xffff_ffffn), Number(address >> 32n));
    core.privilege = privilege;
    return failed === 0 ? core.lastFrame : NONE;
  }

  /** No CPU uses what its tables do not say: every page of what runs there, and of what does not. */
  check(addresses: readonly bigint[]): void {
    const { switcher, machine } = this.kernel;
    for (const [cpu, { pages }] of this.running) {
      if (switcher.temporary(cpu)) continue;
      for (const address of addresses) {
        const wanted = pages.get(address);
        const found = this.access(cpu, address);
        if (found !== (wanted?.frame ?? NONE))
          throw new Error(
            `CPU ${cpu} reads frame ${found} at 0x${address.toString(16)}, the tables say ${wanted?.frame ?? "nothing"}`,
          );
        const written = this.access(cpu, address, "store");
        // A stale entry may still forbid; it may not allow.
        if (written !== NONE && !wanted?.writable)
          throw new Error(
            `CPU ${cpu} writes frame ${written} at 0x${address.toString(16)}, which is read-only or gone`,
          );
      }
    }
    for (const cpu of machine.cpuIds) {
      const { rootFrame } = machine.cpu(cpu);
      if (rootFrame !== switcher.expectedRoot(cpu))
        throw new Error(`CPU ${cpu} is on root ${rootFrame}, not ${switcher.expectedRoot(cpu)}`);
      if (!switcher.temporary(cpu)) continue;
      if (this.speculate(cpu, this.alias.address) !== this.alias.frame)
        throw new Error(`CPU ${cpu} lost the temporary tables it is on`);
    }
  }
}
