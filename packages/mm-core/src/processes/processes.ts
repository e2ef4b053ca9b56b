/** Whether areas of a process leave no hole in a range. */
const isCovered = ({ vmas }: Process, { start, end }: AddressRange): boolean =>
  vmas
    .meeting({ start, end })
    .reduce((sum, vma) => sum + (vma.end < end ? vma.end : end) - (vma.start > start ? vma.start : start), 0n) ===
  end - start;

/**
 * Processes: areas, first touch, copy on write, pages of files, fork, exec and exit, over address spaces with a PGD for
 * each holder.
 */
import { inject, injectable } from "@kreplica/di";
import {
  type AddressRange,
  bytesOf,
  type CpuId,
  type Frame,
  hex,
  highOf,
  LARGE,
  lowOf,
  Machine,
  meet,
  PAGE,
  type PageRange,
  pagesBetween,
} from "@kreplica/hw-x86/api";
import { type AddressSpace, AddressSpaces } from "./address-space-api.js";
import { BuildContext } from "../boot/build-context-api.js";
import { CpuState } from "../tables/cpu-state-api.js";
import { bootRoot } from "../boot/early-map.js";
import { invariant } from "../errors.js";
import type { Mapping } from "../tables/kernel-tables-api.js";
import { PageAllocator } from "../memory/page-allocator-api.js";
import { ReplicaView } from "../tables/replica-view-api.js";
import { lookup } from "../tables/walk.js";
import { FileMappings } from "./file-mappings.js";
import { LocalDescriptors } from "./ldt.js";
import { addressOfLeaf, eachLeaf, pagesOf } from "./leaves.js";
import { PageCache, type UserFile } from "./page-cache-api.js";
import { PageFaults } from "./page-faults.js";
import type {
  AccessKind,
  AccessOutcome,
  Ldt,
  NumaPolicy,
  Process,
  Processes,
  Vma,
  VmaProperties,
} from "./process-api.js";
import { SwitchMm } from "./switch-api.js";
import { UserFrames } from "./user-frames-api.js";
import { VmaTree } from "./vma-tree.js";

const LOCAL: NumaPolicy = { kind: "local" };
const HEAP = 0x5555_0000_0000n;

@injectable()
export class UserProcesses implements Processes {
  readonly alive = new Set<Process>();
  readonly faults = { taken: 0, spurious: 0 };
  private readonly faultHandler: PageFaults;
  private readonly files: FileMappings;
  private readonly descriptors: LocalDescriptors;
  lastValue = 0;
  private next = 1;
  private readonly running = new Map<CpuId, Process>();

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(BuildContext) private readonly context: BuildContext,
    @inject(AddressSpaces) private readonly spaces: AddressSpaces,
    @inject(SwitchMm) private readonly switcher: SwitchMm,
    @inject(UserFrames) private readonly frames: UserFrames,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(CpuState) private readonly cpus: CpuState,
    @inject(PageCache) private readonly cache: PageCache,
  ) {
    this.faultHandler = new PageFaults(machine, switcher, frames, cache, this.faults);
    this.files = new FileMappings(this.alive, cache, frames, switcher);
    this.descriptors = new LocalDescriptors(machine, context.layout, allocator, switcher);
  }

  spawn(cpu: CpuId): Process | undefined {
    const space = this.spaces.create(this.machine.nodeOfCpu(cpu));
    if (!space) return undefined;
    return this.added(space, new VmaTree(), HEAP, undefined);
  }

  private added(space: AddressSpace, vmas: VmaTree<Vma>, brk: bigint, ldt: Ldt | undefined): Process {
    const process: Process = { id: this.next++, space, vmas, rss: 0, locked: 0, brkStart: HEAP, brk, ldt, alive: true };
    this.alive.add(process);
    return process;
  }

  fork(parent: Process, cpu: CpuId): Process | undefined {
    const space = this.spaces.create(this.machine.nodeOfCpu(cpu), parent.space);
    if (!space) return undefined;
    const vmas = new VmaTree<Vma>();
    const node = this.machine.nodeOfCpu(cpu);
    const shared: { address: bigint; mapping: Mapping }[] = [];
    const ldt = this.descriptors.copy(parent, space, cpu);
    if (ldt === false) {
      space.free();
      return undefined;
    }
    for (const vma of parent.vmas.all()) {
      vmas.insert({ ...vma, locked: false });
      if (vma.shared) continue;
      const done = eachLeaf(parent.space, vma, (leaf) => {
        const { mapping } = leaf;
        const address = addressOfLeaf(leaf);
        if (!space.set(address, { ...mapping, writable: false }, node)) return false;
        this.frames.share(mapping.frame);
        shared.push({ address, mapping });
        return true;
      });
      if (done) continue;
      for (const each of shared) this.frames.drop(each.mapping.frame);
      space.free();
      if (ldt) this.descriptors.free(ldt);
      return undefined;
    }
    // Only now is the parent touched: from here on nothing can fail.
    for (const { address, mapping } of shared)
      if (mapping.writable) parent.space.set(address, { ...mapping, writable: false }, node);
    if (shared.length > 0) this.switcher.flush(parent.space, { start: 0n, pages: 1 << 20 }, false, cpu);
    const child = this.added(space, vmas, parent.brk, ldt);
    child.rss = shared.reduce((sum, { mapping }) => sum + pagesOf(mapping), 0);
    return child;
  }

  exec(process: Process, cpu: CpuId): boolean {
    const space = this.spaces.create(this.machine.nodeOfCpu(cpu));
    if (!space) return false;
    const users = this.cpusOf(process);
    const borrowers = users.filter((each) => this.switcher.isLazy(each));
    this.end(process);
    process.space = space;
    process.brk = process.brkStart;
    for (const each of users) {
      // A kernel thread that only borrowed the old space is no thread of the process: its CPU is left on init_mm, or
      // comes back to that from below the firmware.
      if (borrowers.includes(each) || this.switcher.temporary(each)) this.running.delete(each);
      else this.switcher.switchTo(each, space);
    }
    return true;
  }

  exit(process: Process): void {
    invariant(process.alive, () => `process ${process.id} exits twice`);
    for (const cpu of this.cpusOf(process)) this.running.delete(cpu);
    this.end(process);
    process.alive = false;
    this.alive.delete(process);
  }

  private cpusOf(process: Process): CpuId[] {
    return [...this.running].filter(([, each]) => each === process).map(([cpu]) => cpu);
  }

  /** Takes a process's space from it, from all CPUs, and frees all that is in it. */
  private end(process: Process): void {
    // Its threads end first: a page is nobody's only when no CPU can reach it.
    this.switcher.forget(process.space);
    this.dropAll(process);
    const areas = process.vmas.all();
    process.vmas = new VmaTree();
    this.files.forget(areas);
    process.space.free();
    if (process.ldt) this.descriptors.free(process.ldt);
    process.ldt = undefined;
  }

  private dropAll(process: Process): void {
    for (const vma of process.vmas.all())
      eachLeaf(process.space, vma, ({ frame }) => {
        this.frames.drop(frame);
      });
    process.rss = 0;
    process.locked = 0;
  }

  mmap(process: Process, range: PageRange, properties: VmaProperties, cpu: CpuId): boolean {
    const area = bytesOf(range);
    const { start, end } = area;
    if (range.pages < 1 || start % PAGE !== 0n || !this.isUser(end - 1n) || process.vmas.meeting(area).length > 0)
      return false;
    const vma: Vma = {
      start,
      end,
      readable: true,
      writable: true,
      executable: false,
      locked: false,
      large: false,
      stack: false,
      policy: LOCAL,
      file: properties.shared ? this.cache.create(range.pages, true) : undefined,
      offset: 0,
      shared: false,
      ...properties,
    };
    process.vmas.insert(vma);
    if (vma.locked) {
      process.locked += range.pages;
      if (!this.populate(process, vma, cpu)) {
        this.munmap(process, range, cpu);
        return false;
      }
    }
    return true;
  }

  private isUser(address: bigint): boolean {
    return address >= 0n && address < 1n << (this.context.layout.levels === 5 ? 56n : 47n);
  }

  munmap(process: Process, range: PageRange, cpu: CpuId): boolean {
    const area = bytesOf(range);
    if (!this.cutLarge(process, area, cpu)) return false;
    this.cutAreas(process, area);
    const areas = process.vmas.meeting(area);
    for (const vma of areas) {
      process.vmas.remove(vma);
      if (vma.locked) process.locked -= Number((vma.end - vma.start) / PAGE);
    }
    const gone: Frame[] = [];
    eachLeaf(process.space, area, (leaf) => {
      const mapping = process.space.clear(addressOfLeaf(leaf))!;
      process.rss -= pagesOf(mapping);
      gone.push(mapping.frame);
    });
    const tables = process.space.trim(area);
    if (gone.length + tables.length > 0) this.switcher.flush(process.space, range, tables.length > 0, cpu);
    for (const frame of gone) this.frames.drop(frame);
    for (const table of tables) this.allocator.free(table, 0);
    this.files.forget(areas);
    return true;
  }

  /** Splits areas so that none crosses either end of a range. */
  private cutAreas(process: Process, { start, end }: AddressRange): void {
    for (const at of [start, end]) {
      const vma = process.vmas.at(at);
      if (!vma || vma.start === at) continue;
      process.vmas.remove(vma);
      process.vmas.insert({ ...vma, end: at });
      process.vmas.insert({ ...vma, start: at, offset: vma.offset + Number((at - vma.start) / PAGE) });
    }
  }

  /**
   * Splits 2 MiB pages that cross either end of a range; a shared one is copied first.
   * @returns false when there is no memory for it
   */
  private cutLarge(process: Process, { start, end }: AddressRange, cpu: CpuId): boolean {
    for (const at of [start, end]) {
      const mapping = process.space.lookup(at);
      if (mapping?.level !== 2 || at % LARGE === 0n) continue;
      const base = at & ~(LARGE - 1n);
      if (this.frames.count(mapping.frame) > 1 && !this.faultHandler.ownCopy(process, base, mapping, cpu)) return false;
      const own = process.space.lookup(base)!;
      const flush = (): void => {
        this.switcher.flush(process.space, { start: base, pages: 512 }, false, cpu);
      };
      if (!process.space.splitLarge(base, this.machine.nodeOfCpu(cpu), flush)) return false;
      this.frames.split(own.frame);
    }
    return true;
  }

  mprotect(process: Process, range: PageRange, change: VmaProperties, cpu: CpuId): boolean {
    const area = bytesOf(range);
    if (!isCovered(process, area) || !this.cutLarge(process, area, cpu)) return false;
    this.cutAreas(process, area);
    const node = this.machine.nodeOfCpu(cpu);
    let touched = false;
    for (const vma of process.vmas.meeting(area)) {
      const next = { ...vma, ...change };
      process.vmas.remove(vma);
      process.vmas.insert(next);
      eachLeaf(process.space, vma, (leaf) => {
        const { mapping } = leaf;
        // W is only taken away here; a write fault gives it back when the page is its owner's alone. No access at all:
        // P goes, the page stays where it is and counts as resident. @source Linux 6.5
        // arch/x86/include/asm/pgtable_types.h _PAGE_PROTNONE
        const present = next.readable || next.writable || next.executable;
        process.space.set(
          addressOfLeaf(leaf),
          { ...mapping, present, writable: mapping.writable && next.writable, executable: next.executable },
          node,
        );
        touched = true;
      });
    }
    if (touched) this.switcher.flush(process.space, range, false, cpu);
    return true;
  }

  mremap(process: Process, range: PageRange, to: bigint, cpu: CpuId): boolean {
    const area = bytesOf(range);
    const { start, end } = area;
    const target = { start: to, pages: range.pages };
    const taken = bytesOf(target);
    const vma = process.vmas.at(start);
    if (
      !vma ||
      vma.end < end ||
      !this.isUser(taken.end - 1n) ||
      meet(taken, area) ||
      process.vmas.meeting(taken).length > 0
    )
      return false;
    if (!this.cutLarge(process, area, cpu)) return false;
    const node = this.machine.nodeOfCpu(cpu);
    const moved: { address: bigint; mapping: Mapping }[] = [];
    eachLeaf(process.space, area, (leaf) => {
      moved.push({ address: addressOfLeaf(leaf), mapping: leaf.mapping });
    });
    if (moved.some(({ mapping }) => mapping.level === 2) && (to - start) % LARGE !== 0n) return false;
    const done: bigint[] = [];
    for (const { address, mapping } of moved) {
      if (!process.space.set(to + (address - start), mapping, node)) {
        for (const each of done) process.space.clear(to + (each - start));
        const unused = process.space.trim(taken);
        // Another thread may have reached what was there for a moment, and a walker its tables.
        if (done.length + unused.length > 0) this.switcher.flush(process.space, target, unused.length > 0, cpu);
        for (const table of unused) this.allocator.free(table, 0);
        return false;
      }
      done.push(address);
    }
    this.cutAreas(process, area);
    const source = process.vmas.at(start)!;
    process.vmas.remove(source);
    process.vmas.insert({ ...source, ...taken });
    for (const { address } of moved) process.space.clear(address);
    const tables = process.space.trim(area);
    this.switcher.flush(process.space, range, tables.length > 0, cpu);
    for (const table of tables) this.allocator.free(table, 0);
    return true;
  }

  truncate(file: UserFile, pages: number, cpu: CpuId): void {
    this.files.truncate(file, pages, cpu);
  }

  setBrk(process: Process, end: bigint, cpu: CpuId): boolean {
    const wanted = (end + PAGE - 1n) & ~(PAGE - 1n);
    if (wanted < process.brkStart) return false;
    if (wanted < process.brk) {
      if (!this.munmap(process, pagesBetween(wanted, process.brk), cpu)) return false;
    } else if (wanted > process.brk && !this.mmap(process, pagesBetween(process.brk, wanted), {}, cpu)) return false;
    process.brk = wanted;
    return true;
  }

  mlock(process: Process, range: PageRange, on: boolean, cpu: CpuId): boolean {
    const area = bytesOf(range);
    if (!isCovered(process, area)) return false;
    if (on && !this.populate(process, area, cpu)) return false;
    // No large page may cross from one area into the next.
    if (!this.cutLarge(process, area, cpu)) return false;
    this.cutAreas(process, area);
    for (const vma of process.vmas.meeting(area)) {
      if (vma.locked === on) continue;
      process.vmas.remove(vma);
      process.vmas.insert({ ...vma, locked: on });
      process.locked += (on ? 1 : -1) * Number((vma.end - vma.start) / PAGE);
    }
    return true;
  }

  private populate(process: Process, { start, end }: AddressRange, cpu: CpuId): boolean {
    for (let at = start; at < end; at += PAGE) {
      const vma = process.vmas.at(at)!;
      const kind = vma.writable ? "write" : vma.readable ? "read" : vma.executable ? "execute" : undefined;
      if (kind !== undefined && this.faultHandler.handle(process, cpu, at, kind) === "oom") return false;
    }
    return true;
  }

  modifyLdt(process: Process, entry = 0, descriptor = 0n, cpu: CpuId = this.cpus.current): boolean {
    return this.descriptors.modify(process, entry, descriptor, cpu);
  }

  loadSegment(cpu: CpuId, entry: number): bigint | "beyond" | "fault" {
    return this.descriptors.read(cpu, entry);
  }

  run(process: Process, cpu: CpuId): void {
    invariant(this.cpus.online.has(cpu), () => `CPU ${cpu} is off line`);
    this.switcher.switchTo(cpu, process.space);
    this.running.set(cpu, process);
  }

  access(cpu: CpuId, address: bigint, kind: AccessKind, value = 0): AccessOutcome {
    const process = this.running.get(cpu);
    invariant(process !== undefined, () => `nothing runs on CPU ${cpu}`);
    const core = this.machine.cpu(cpu);
    const lo = lowOf(address);
    const hi = highOf(address);
    for (let round = 0; ; round++) {
      invariant(round < 8, () => `an access to ${hex(address)} never ends`);
      this.switcher.enterUser(cpu);
      const outcome = kind === "read" ? core.load(lo, hi) : kind === "write" ? core.store(lo, hi) : core.fetch(lo, hi);
      const frame = core.lastFrame;
      this.switcher.enterKernel(cpu);
      if (outcome === 0) {
        const word = Number((address & (PAGE - 1n)) >> 2n);
        if (kind === "write") this.machine.memory.write32(frame, word, value);
        else this.lastValue = this.machine.memory.read32(frame, word);
        return "ok";
      }
      this.faults.taken++;
      const handled = this.faultHandler.handle(process, cpu, address & ~(PAGE - 1n), kind);
      if (handled !== "ok") return handled;
    }
  }

  isSpuriousKernelFault(cpu: CpuId, address: bigint, write: boolean, fetch: boolean): boolean {
    const found = lookup(
      this.context.entries.memory,
      this.view.kernelRoot(this.machine.nodeOfCpu(cpu)),
      this.context.layout.levels,
      address,
    );
    return found !== undefined && (!write || found.writable) && (!fetch || found.executable);
  }

  offline(cpu: CpuId): void {
    this.switcher.leave(cpu);
    this.running.delete(cpu);
    this.cpus.takeDown(cpu);
    if (this.cpus.current === cpu) this.cpus.current = [...this.cpus.online][0]!;
  }

  online(cpu: CpuId): void {
    this.cpus.bringUp(cpu);
    const core = this.machine.cpu(cpu);
    core.flushTranslations();
    core.writeCr3(this.context.entries.cr3(bootRoot(this.context.layout, this.context.image)));
    this.view.setupCpu(cpu);
    this.switcher.leave(cpu);
  }
}
