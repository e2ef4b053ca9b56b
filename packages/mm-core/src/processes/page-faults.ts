/**
 * Page faults of user mode: first touch by NUMA policy, copy on write, pages of files, stack growth, and faults that
 * were none.
 */
import { type CpuId, type Frame, type Machine, NONE, type NodeId } from "@kreplica/hw-x86/api";
import type { Mapping } from "../tables/kernel-tables-api.js";
import { LARGE, LARGE_PAGES, PAGE } from "@kreplica/hw-x86/api";
import { pagesOf } from "./leaves.js";
import type { AccessKind, AccessOutcome, NumaPolicy, Process, Vma } from "./process-api.js";
import type { PageCache, UserFile } from "./page-cache-api.js";
import type { SwitchMm } from "./switch-api.js";
import type { UserFrames } from "./user-frames-api.js";

/** A stack may grow by a fault this far below it. */
const STACK_GAP = 64n * PAGE;

/** A page of an area, as it is mapped first. */
const userPage = (
  { writable, executable }: Pick<Vma, "writable" | "executable">,
  frame: Frame,
  level: 1 | 2,
): Mapping => ({
  frame,
  level,
  present: true,
  writable,
  user: true,
  global: false,
  executable,
  cache: "wb",
});

/** Handles one process's faults after the other; keeps nothing but counts. */
export class PageFaults {
  constructor(
    private readonly machine: Machine,
    private readonly switcher: SwitchMm,
    private readonly frames: UserFrames,
    private readonly cache: PageCache,
    private readonly counts: { spurious: number },
  ) {}

  /** Makes an access possible, or says why not. */
  handle(process: Process, cpu: CpuId, address: bigint, kind: AccessKind): AccessOutcome {
    let vma = process.vmas.atOrAbove(address);
    if (
      vma &&
      vma.start > address &&
      vma.stack &&
      vma.start - address <= STACK_GAP &&
      process.vmas.meeting({ start: address, end: vma.start }).length === 0
    ) {
      process.vmas.remove(vma);
      if (vma.locked) process.locked += Number((vma.start - address) / PAGE);
      vma = { ...vma, start: address };
      process.vmas.insert(vma);
    }
    if (!vma || vma.start > address) return "segv";
    if (kind === "write" ? !vma.writable : kind === "execute" ? !vma.executable : !(vma.readable || vma.writable))
      return "segv";
    const index = vma.offset + Number((address - vma.start) / PAGE);
    if (vma.file && index >= vma.file.pages) return "sigbus";
    const mapping = process.space.lookup(address);
    if (!mapping)
      return vma.file
        ? this.touchFile(process, cpu, address, vma, vma.file, index, kind)
        : this.firstTouch(process, cpu, address, vma);
    if (kind === "write" && !mapping.writable) return this.writeProtected(process, cpu, address, mapping, vma.shared);
    // The tables allow it already: another CPU was faster, or this one held a stale entry.
    this.counts.spurious++;
    this.machine.cpu(cpu).invlpg(address);
    this.switcher.flush(process.space, { start: address, pages: 1 }, false, cpu);
    return "ok";
  }

  private firstTouch(process: Process, cpu: CpuId, address: bigint, vma: Vma): AccessOutcome {
    const node = this.machine.nodeOfCpu(cpu);
    const base = address & ~(LARGE - 1n);
    if (
      vma.large &&
      base >= vma.start &&
      base + LARGE <= vma.end &&
      !process.space.nextLeaf(Number(base / PAGE), Number(base / PAGE) + LARGE_PAGES - 1)
    ) {
      const frame = this.frameFor(vma.policy, node, base, 9);
      if (frame !== NONE) {
        if (process.space.set(base, userPage(vma, frame, 2), node)) {
          process.rss += 512;
          return "ok";
        }
        this.frames.drop(frame);
      }
    }
    const frame = this.frameFor(vma.policy, node, address, 0);
    if (frame === NONE) return "oom";
    if (!process.space.set(address, userPage(vma, frame, 1), node)) {
      this.frames.drop(frame);
      return "oom";
    }
    process.rss += 1;
    return "ok";
  }

  /**
   * Maps the cache's page, which a private area may not write to, or for a store to a private area a copy of it.
   * @source Linux 6.5 mm/memory.c do_read_fault, do_cow_fault, do_shared_fault
   */
  private touchFile(
    process: Process,
    cpu: CpuId,
    address: bigint,
    { policy, shared, writable, executable }: Vma,
    file: UserFile,
    index: number,
    kind: AccessKind,
  ): AccessOutcome {
    const node = this.machine.nodeOfCpu(cpu);
    let cached = this.cache.find(file, index);
    if (cached === undefined) {
      cached = this.frameFor(policy, node, address, 0);
      if (cached === NONE) return "oom";
      this.cache.insert(file, index, cached);
    }
    const copies = kind === "write" && !shared;
    const frame = copies ? this.frameFor(policy, node, address, 0) : cached;
    if (frame === NONE) return "oom";
    if (copies) this.machine.memory.copyFrame(cached, frame);
    else this.frames.share(frame);
    const mapping = userPage({ writable: writable && (shared || copies), executable }, frame, 1);
    if (!process.space.set(address, mapping, node)) {
      this.frames.drop(frame);
      return "oom";
    }
    process.rss += 1;
    return "ok";
  }

  /** @source Documentation/admin-guide/mm/numa_memory_policy.rst */
  private frameFor(policy: NumaPolicy, node: NodeId, address: bigint, order: 0 | 9): Frame {
    switch (policy.kind) {
      case "local":
        return this.frames.allocate(node, order);
      case "preferred":
        return this.frames.allocate(policy.node, order);
      case "interleave":
        return this.frames.allocate(
          policy.nodes[Number((address >> (order === 9 ? 21n : 12n)) % BigInt(policy.nodes.length))]!,
          order,
        );
      case "bind":
        for (const each of policy.nodes) {
          const frame = this.frames.allocate(each, order, true);
          if (frame !== NONE) return frame;
        }
        return NONE;
    }
  }

  /** A store to a page that is there: of a private area it must be nobody else's, the cache's neither. */
  private writeProtected(
    process: Process,
    cpu: CpuId,
    address: bigint,
    mapping: Mapping,
    shared: boolean,
  ): AccessOutcome {
    const at = mapping.level === 2 ? address & ~(LARGE - 1n) : address;
    if (!shared && this.frames.count(mapping.frame) > 1 && !this.ownCopy(process, at, mapping, cpu)) return "oom";
    const own = process.space.lookup(at)!;
    process.space.set(at, { ...own, writable: true }, this.machine.nodeOfCpu(cpu));
    this.switcher.flush(process.space, { start: at, pages: 1 }, false, cpu);
    return "ok";
  }

  /** Replaces a shared page by a copy, its protection kept. */
  ownCopy(process: Process, address: bigint, mapping: Mapping, cpu: CpuId): boolean {
    const node = this.machine.nodeOfCpu(cpu);
    const pages = pagesOf(mapping);
    const frame = this.frames.allocate(node, mapping.level === 2 ? 9 : 0);
    if (frame === NONE) return false;
    for (let each = 0; each < pages; each++) this.machine.memory.copyFrame(mapping.frame + each, frame + each);
    process.space.set(address, { ...mapping, frame }, node);
    this.switcher.flush(process.space, { start: address, pages }, false, cpu);
    this.frames.drop(mapping.frame);
    return true;
  }
}
