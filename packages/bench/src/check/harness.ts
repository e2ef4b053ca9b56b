/**
 * One kernel under check: does operations, compares what they do with the model, and looks at the machine's bytes after each.
 *
 * After every operation only what it may have changed is looked at: address spaces whose PGDs were stored to, table pages that were
 * freed, the roots CPUs run on. The full check of groups A to C runs at the end of a run when a kernel table outside the module area
 * was stored to, and always at the end of a campaign.
 */
import { type Frame, NONE, type NodeId } from "@kreplica/hw-x86";
import { type AccessKind, type AddressSpace, InvariantError, KERNEL_DATA, LDT_SLOT, type NumaPolicy, type Process, Processes, SwitchMm, UserFrames, walkRange } from "@kreplica/mm-core";
import { BootWitness, checkInvariants, INVARIANTS } from "@kreplica/numa-replication";
import { type BootOptions, type BootParts, prepare } from "../boot.js";
import { KERNEL_PLACES, type Operation, pageOf } from "./operations.js";
import { UserModel, WORD_BYTES, WORDS } from "./user-model.js";

/** A rule that was broken. */
export class CheckFailure extends Error {
  override readonly name = "CheckFailure";
  constructor(readonly invariant: string, readonly detail: string) { super(`${invariant}: ${detail}`); }
}

const MODULE_PAGES = 0x40n;

interface Live { readonly process: Process; readonly model: UserModel }

export class CheckedSystem {
  readonly parts: BootParts;
  private readonly processes: Processes;
  private readonly switcher: SwitchMm;
  private readonly userFrames: UserFrames;
  private readonly witness: BootWitness;
  private live: Live[] = [];
  private readonly dirty = new Set<AddressSpace>();
  private readonly tables = new Set<Frame>();
  /** Space of each PGD page, user halves included. */
  private readonly owners = new Map<Frame, AddressSpace>();
  private readonly kernelPages = new Map<number, { writable: boolean; frames: Map<NodeId, Frame> }>();
  private readonly spareFrames: Map<NodeId, Frame>[] = [];
  private readonly holders: readonly NodeId[];
  private readonly ldt = new Set<Process>();
  private kernelStores = false;
  private stores = 0;
  private probe: { readonly store: number; readonly run: () => void } | undefined;
  private probing = false;
  private baseline: readonly number[] = [];
  /** Operations done. */
  steps = 0;

  /** @throws CheckFailure when the boot itself breaks a rule */
  constructor(options: BootOptions) {
    this.parts = prepare(options);
    this.witness = BootWitness.of(this.parts);
    try {
      this.parts.boot.run();
    } catch (error) {
      if (error instanceof InvariantError) throw new CheckFailure("B7", error.message);
      throw error;
    }
    this.processes = this.parts.assembly.get(Processes);
    this.switcher = this.parts.assembly.get(SwitchMm);
    this.userFrames = this.parts.assembly.get(UserFrames);
    this.holders = [...this.parts.view.holders];
    this.fullCheck();
    this.watch();
    this.warmUp();
    this.baseline = this.account();
  }

  /** Everything from the start, but on the same kernel: what a run leaves behind would be a leak. */
  run(operations: readonly Operation[]): void {
    for (const operation of operations) this.step(operation);
    this.finish();
  }

  step(operation: Operation): void {
    this.steps++;
    this.stores = 0;
    try {
      this.perform(operation);
    } catch (error) {
      if (error instanceof InvariantError) throw new CheckFailure("F6", error.message);
      throw error;
    } finally {
      this.probe = undefined;
    }
    if (["spawn", "fork", "exec", "exit", "run", "touch", "shrink", "racing"].includes(operation.op)) this.noteOwners();
    this.afterStep();
  }

  finish(): void {
    try {
      this.end();
    } catch (error) {
      if (error instanceof InvariantError) throw new CheckFailure("F6", error.message);
      throw error;
    }
  }

  /** Ends the run: every process exits, every kernel page goes, every CPU is on line; then nothing may be left. */
  private end(): void {
    this.parts.allocator.refuse(0);
    for (const { process, model } of this.live) {
      this.compareAll(process, model);
      this.compareAccounts(process);
    }
    for (const { process } of this.live) this.processes.exit(process);
    this.live = [];
    this.ldt.clear();
    for (const page of [...this.kernelPages.keys()]) this.unmapKernel(page);
    for (const cpu of this.parts.machine.cpuIds) {
      if (!this.parts.cpus.online.has(cpu)) this.processes.online(cpu);
      this.switcher.leave(cpu);
    }
    this.afterStep();
    const now = this.account();
    const leak = now.findIndex((frames, index) => frames !== this.baseline[index]);
    if (leak >= 0) this.fail("F6", `after every process exited, node ${this.parts.machine.nodes[leak]!} has ${this.baseline[leak]! - now[leak]!} frames less than before`);
    if (this.userFrames.size !== 0) this.fail("F6", `${this.userFrames.size} user frames are still counted`);
    this.windowCheck();
    if (this.kernelStores) this.fullCheck();
    this.kernelStores = false;
  }

  /** Groups A to C in full. */
  fullCheck(): void {
    const report = checkInvariants({ ...this.parts, reached: this.parts.boot.reached, witness: this.witness });
    const first = report.violated[0];
    if (first) throw new CheckFailure(first.id, first.detail);
  }

  private windowCheck(): void {
    const report = checkInvariants({ ...this.parts, reached: this.parts.boot.reached, witness: this.witness }, ["A4", "B2", "B6"]);
    const first = report.violated[0];
    if (first) throw new CheckFailure(first.id, first.detail);
  }

  private fail(invariant: string, detail: string): never { throw new CheckFailure(invariant, detail); }

  private account(): number[] {
    return this.parts.machine.nodes.map((node) => this.parts.allocator.freeFrames(node));
  }

  /** Tables of the module area and frames to map there exist before the first run, so that runs are alike. */
  private warmUp(): void {
    const { allocator, machine } = this.parts;
    const nodes = [...new Set(machine.memory.ranges.map((range) => range.node))];
    for (let page = 0; page < KERNEL_PLACES; page++) {
      this.spareFrames.push(new Map(nodes.map((node) => [node, allocator.allocate(node, 0, { purpose: "module" })])));
      this.mapKernel(page, false);
      this.unmapKernel(page);
    }
  }

  /** Notes stores to PGDs and to kernel tables, and table pages as they come and go. */
  private watch(): void {
    const { entries, allocator } = this.parts;
    const allocate = allocator.allocate.bind(allocator);
    const free = allocator.free.bind(allocator);
    allocator.allocate = (node, order, gfp) => {
      const frame = allocate(node, order, gfp);
      if (frame !== NONE && gfp.purpose === "page-table") for (let each = 0; each < 1 << order; each++) this.tables.add(frame + each);
      return frame;
    };
    allocator.free = (frame, order) => {
      for (let each = frame; each < frame + (1 << order); each++) if (this.tables.delete(each)) this.notPointedTo(each);
      free(frame, order);
    };
    entries.observe((table) => {
      if (this.probing) return;
      this.stores++;
      const space = this.owners.get(table);
      if (space) this.dirty.add(space);
      else if (!this.tables.has(table)) this.kernelStores = true;
      const { probe } = this;
      if (probe && this.stores === probe.store) {
        this.probing = true;
        try { probe.run(); } finally { this.probing = false; }
      }
    });
  }

  /** F5: when a table page is freed no PGD of any live space names it, in either half. */
  private notPointedTo(frame: Frame): void {
    const { memory } = this.parts.machine;
    const low = (frame << 12) >>> 0;
    for (const [pgd, space] of this.owners) {
      for (let slot = 0; slot < 273; slot++) {
        const lo = memory.read32(pgd, slot * 2);
        if ((lo & 1) === 0 || ((lo & 0xffff_f000) >>> 0) !== low || (memory.read32(pgd, slot * 2 + 1) & 0xfffff) !== frame >>> 20) continue;
        if (this.parts.spaces.all.has(space)) this.fail("F5", `table frame ${frame} is freed while slot ${slot} of a PGD of space ${space.id} (frame ${pgd}) names it`);
      }
    }
  }

  private afterStep(): void {
    const { machine, cpus, view } = this.parts;
    if (view.holders.length !== this.holders.length || view.holders.some((node, index) => node !== this.holders[index])) this.fail("I4", `replica nodes were ${this.holders.join(", ")} when room was reserved, now ${view.holders.join(", ")}`);
    for (const space of this.dirty) if (this.parts.spaces.all.has(space)) this.checkSpace(space);
    this.dirty.clear();
    for (const cpu of cpus.online) {
      const root = machine.cpu(cpu).rootFrame;
      const space = this.switcher.loaded(cpu);
      const node = machine.nodeOfCpu(cpu);
      const wanted = space ? space.pgd(node) : view.kernelRoot(node);
      if (root !== wanted) this.fail("G1", `CPU ${cpu} of node ${node} runs on root ${root}, its node's is ${wanted}`);
      const expected = this.switcher.expectedRoot(cpu);
      if (expected !== root) this.fail("G8", `the debug check on CPU ${cpu} of node ${node} expects root ${expected} in CR3, which rightly holds ${root}`);
    }
    for (const { process } of this.live) {
      for (const node of process.space.pgdNodes) {
        const pgd = process.space.pgd(node);
        if (!this.tables.has(pgd)) this.fail("F6", `the PGD of node ${node} of a live process (space ${process.space.id}) was freed`);
      }
    }
  }

  /** Remembers which pages are PGDs; spaces come, go, grow and shrink in few operations. */
  private noteOwners(): void {
    this.owners.clear();
    for (const space of this.parts.spaces.all) {
      for (const node of space.pgdNodes) {
        this.owners.set(space.pgd(node), space);
        if (this.parts.layout.pti) this.owners.set(space.pgd(node) + 1, space);
      }
    }
  }

  /** F1, F3, F9, C7, and that each PGD lies on its node. */
  private checkSpace(space: AddressSpace): void {
    const { entries, layout, machine } = this.parts;
    const [first, ...others] = space.pgdNodes;
    const canonical = space.pgd(first!);
    for (const node of space.pgdNodes) {
      const pgd = space.pgd(node);
      if (machine.memory.nodeOf(pgd) !== node && this.holders.length > 1) this.fail("F6", `the PGD of node ${node} of space ${space.id} lies on node ${machine.memory.nodeOf(pgd)}`);
      for (let slot = 0; slot < layout.kernelBoundary; slot++) {
        const lo = entries.low(pgd, slot);
        if (!layout.pti || !(lo & 1) || slot >= 256) continue;
        if (!(entries.high(pgd, slot) >>> 31)) this.fail("C7", `slot ${slot} of node ${node}'s PGD of space ${space.id} is executable in the kernel's half`);
        if (entries.low(pgd + 1, slot) !== lo || entries.high(pgd + 1, slot) >>> 31) this.fail("C7", `slot ${slot} of node ${node}'s PGD of space ${space.id} is missing or not executable in the user half`);
      }
    }
    for (const node of others) {
      const pgd = space.pgd(node);
      for (let half = 0; half <= (layout.pti ? 1 : 0); half++) {
        for (let slot = 0; slot < layout.kernelBoundary; slot++) {
          if (entries.low(pgd + half, slot) === entries.low(canonical + half, slot) && entries.high(pgd + half, slot) === entries.high(canonical + half, slot)) continue;
          const present = (entries.low(pgd + half, slot) & 1) !== 0;
          if (slot === LDT_SLOT) this.fail("F9", `the LDT's slot of space ${space.id} is ${present ? "another" : "missing"} in the ${half ? "user" : "kernel"} half of node ${node}'s pair`);
          this.fail(present && !(entries.low(canonical + half, slot) & 1) ? "F3" : "F1", `slot ${slot} of space ${space.id} differs between nodes ${first} and ${node} (${half ? "user" : "kernel"} half)`);
        }
      }
    }
  }

  private pick(p: number): Live | undefined { return this.live[p % Math.max(1, this.live.length)]; }
  private cpu(number: number): number {
    const up = [...this.parts.cpus.online].sort((a, b) => a - b);
    return up[number % up.length]!;
  }
  private address(place: number): bigint { return pageOf(place, this.parts.layout.levels) << 12n; }

  private perform(o: Operation): void {
    const { processes, switcher, parts } = this;
    if (o.op === "racing") return this.race(o);
    if (o.op === "refuse") return parts.allocator.refuse(o.nth);
    const who = "p" in o ? this.pick(o.p) : undefined;
    if ("p" in o && !who) return;
    const cpu = "cpu" in o ? this.cpu(o.cpu) : 0;
    switch (o.op) {
      case "spawn": {
        if (this.live.length >= 4) return;
        const process = this.unchanged(() => processes.spawn(cpu));
        if (process) this.born(process, new UserModel(), cpu);
        return;
      }
      case "fork": {
        if (this.live.length >= 4) return;
        const process = this.unchanged(() => processes.fork(who!.process, cpu));
        if (process) this.born(process, who!.model.copy(), cpu);
        return;
      }
      case "exec":
        if (this.unchanged(() => processes.exec(who!.process, cpu))) {
          who!.model.pages.clear();
          who!.model.brkPages = 0;
          this.ldt.delete(who!.process);
          this.dirty.add(who!.process.space);
        }
        return;
      case "exit":
        processes.exit(who!.process);
        this.live = this.live.filter((each) => each !== who);
        return;
      case "run": {
        const same = switcher.loaded(cpu) === who!.process.space && !switcher.isLazy(cpu);
        const writes = switcher.counts.writes;
        const stores = parts.entries.stores;
        // A plan that makes PGDs at the first switch stores there; all others must not.
        const grown = who!.process.space.pgdNodes.length;
        processes.run(who!.process, cpu);
        if (same && switcher.counts.writes !== writes) this.fail("G3", `CPU ${cpu} wrote CR3 for a thread of the process it ran`);
        if (parts.entries.stores !== stores && who!.process.space.pgdNodes.length === grown) this.fail("G4", `a migration to CPU ${cpu} stored to a page table`);
        return;
      }
      case "idle": return switcher.idle(cpu);
      case "mmap": {
        const start = pageOf(o.page, parts.layout.levels);
        const free = who!.model.isFree(start, o.pages);
        const done = this.unchanged(() => processes.mmap(who!.process, start << 12n, o.pages, { writable: o.writable, large: o.large, locked: o.locked && o.pages < 100, policy: this.numaPolicy(o.policy) }, cpu));
        if (done && !free) this.fail("F8", `mmap over pages that are mapped`);
        if (done) who!.model.map(start, o.pages, o.writable);
        return;
      }
      case "munmap": {
        const start = pageOf(o.page, parts.layout.levels);
        if (processes.munmap(who!.process, start << 12n, o.pages, cpu)) who!.model.unmap(start, o.pages);
        return;
      }
      case "mprotect": {
        const start = pageOf(o.page, parts.layout.levels);
        const covered = who!.model.isCovered(start, o.pages);
        const done = processes.mprotect(who!.process, start << 12n, o.pages, { writable: o.writable, executable: o.executable }, cpu);
        if (done && !covered) this.fail("F8", "mprotect over a hole");
        if (done) who!.model.protect(start, o.pages, o.writable, o.executable);
        return;
      }
      case "mremap": {
        const start = pageOf(o.page, parts.layout.levels);
        const to = pageOf(o.to, parts.layout.levels);
        const allowed = who!.model.isCovered(start, o.pages) && who!.model.isFree(to, o.pages);
        const done = processes.mremap(who!.process, start << 12n, o.pages, to << 12n, cpu);
        if (done && !allowed) this.fail("F8", "mremap from a hole or onto pages that are mapped");
        if (done) who!.model.move(start, o.pages, to);
        return;
      }
      case "mlock":
        processes.mlock(who!.process, this.address(o.page), o.pages, o.on, cpu);
        return;
      case "brk": {
        const start = who!.process.brkStart >> 12n;
        if (!processes.setBrk(who!.process, (start + BigInt(o.pages)) << 12n, cpu)) return;
        const { model } = who!;
        if (o.pages > model.brkPages) model.map(start + BigInt(model.brkPages), o.pages - model.brkPages, true);
        else model.unmap(start + BigInt(o.pages), model.brkPages - o.pages);
        model.brkPages = o.pages;
        return;
      }
      case "touch": return this.touch(cpu, this.address(o.page), o.kind, o.value);
      case "ldt":
        if (parts.layout.pti && processes.modifyLdt(who!.process)) this.dirty.add(who!.process.space);
        return;
      case "offline":
        if (parts.cpus.online.size > 1) processes.offline(cpu);
        return;
      case "online": {
        const down = parts.machine.cpuIds.filter((each) => !parts.cpus.online.has(each));
        if (down.length === 0) return;
        const back = down[o.cpu % down.length]!;
        processes.online(back);
        if (parts.machine.cpu(back).rootFrame !== parts.view.kernelRoot(parts.machine.nodeOfCpu(back))) this.fail("G7", `CPU ${back} came back on another root than its node's`);
        return;
      }
      case "shrink": {
        const node = parts.view.nearest(parts.machine.nodeOfCpu(cpu));
        const used = [...parts.cpus.online].some((each) => switcher.loaded(each) === who!.process.space && parts.view.nearest(parts.machine.nodeOfCpu(each)) === node);
        if (!used) who!.process.space.shrink(node);
        return;
      }
      case "plug": {
        const bare = parts.machine.nodes.filter((node) => !parts.machine.memory.ranges.some((range) => range.node === node));
        if (bare.length > 0) parts.view.memoryAdded?.(bare[o.node % bare.length]!);
        return;
      }
      case "kmap":
        if (!this.kernelPages.has(o.page)) this.mapKernel(o.page, o.perNode);
        return;
      case "kunmap": return this.unmapKernel(o.page);
      case "kprotect": {
        const page = this.kernelPages.get(o.page);
        if (page && parts.tables.edit((editor) => editor.protect(this.kernelAddress(o.page), 1, { writable: o.writable }))) page.writable = o.writable;
        return;
      }
      case "kread": return this.readKernel(cpu, o.page);
      case "krelax": return this.relax(cpu, o.page);
    }
  }

  private numaPolicy(number: number): NumaPolicy {
    const nodes = [...new Set(this.parts.machine.memory.ranges.map((range) => range.node))];
    const last = nodes.at(-1)!;
    return ([{ kind: "local" }, { kind: "bind", nodes }, { kind: "interleave", nodes }, { kind: "preferred", node: last }] as const)[number % 4]!;
  }

  private born(process: Process, model: UserModel, cpu: number): void {
    this.live.push({ process, model });
    this.dirty.add(process.space);
    this.processes.run(process, cpu);
    const { entries, layout, view } = this.parts;
    for (const node of process.space.pgdNodes) {
      for (let slot = layout.kernelBoundary; slot < 512; slot++) {
        if (entries.low(process.space.pgd(node), slot) !== entries.low(view.kernelRoot(node), slot)) this.fail("F2", `kernel slot ${slot} of a new PGD differs from node ${node}'s root`);
      }
    }
  }

  /** A refused operation gives every frame back. */
  private unchanged<T>(work: () => T | undefined | false): T | undefined | false {
    const before = this.account();
    const result = work();
    if (result !== undefined && result !== false) return result;
    const after = this.account();
    const node = after.findIndex((frames, index) => frames !== before[index]);
    if (node >= 0) this.fail("F6", `a refused operation kept ${before[node]! - after[node]!} frames of node ${this.parts.machine.nodes[node]!}`);
    return result;
  }

  private runningOn(cpu: number): Live | undefined {
    const space = this.switcher.loaded(cpu);
    return space && !this.switcher.isLazy(cpu) ? this.live.find((each) => each.process.space === space) : undefined;
  }

  private touch(cpu: number, address: bigint, kind: AccessKind, value: number): void {
    const who = this.runningOn(cpu) ?? this.pick(cpu);
    if (!who) return;
    this.processes.run(who.process, cpu);
    const word = value % WORDS;
    const outcome = this.processes.access(cpu, address + BigInt(word * WORD_BYTES), kind, value);
    const page = who.model.pages.get(address >> 12n);
    const allowed = who.model.allows(address >> 12n, kind);
    if (outcome === "oom") return;
    if ((outcome === "ok") !== allowed) this.fail("F4", `${kind} of 0x${address.toString(16)} on CPU ${cpu} came to ${outcome}, and ${allowed ? "is" : "is not"} allowed`);
    if (outcome !== "ok" || !page) return;
    if (kind === "write") page.values[word] = value;
    else if (this.processes.lastValue !== page.values[word]) this.fail("F7", `0x${address.toString(16)} on CPU ${cpu} reads ${this.processes.lastValue}, was written ${page.values[word]!}`);
    const frame = this.parts.machine.cpu(cpu).lastFrame;
    const truth = who.process.space.lookup(address);
    const within = truth?.level === 2 ? Number((address >> 12n) & 511n) : 0;
    if (!truth || truth.frame + within !== frame) this.fail("G6", `CPU ${cpu} reached frame ${frame} for 0x${address.toString(16)}, the tables say ${truth ? truth.frame + within : "nothing"}`);
  }

  /** Every page of a process against the model, through the canonical tables. */
  private compareAll(process: Process, model: UserModel): void {
    for (const [page, wanted] of model.pages) {
      const found = process.space.lookup(page << 12n);
      wanted.values.forEach((value, word) => {
        const frame = found && found.frame + (found.level === 2 ? Number(page & 511n) : 0);
        const held = frame === undefined ? 0 : this.parts.machine.memory.read32(frame, (word * WORD_BYTES) / 4);
        if (held !== value) this.fail(found ? "F7" : "F8", `page 0x${page.toString(16)} ${found ? `holds ${held}` : "is not mapped"}, was written ${value}`);
      });
      if (!found) continue;
      if (found.writable && !wanted.writable) this.fail("F8", `page 0x${page.toString(16)} is writable and should not be`);
    }
  }

  private compareAccounts(process: Process): void {
    const { entries, layout } = this.parts;
    let mapped = 0;
    walkRange(entries.memory, process.space.pgd(process.space.pgdNodes[0]!), layout.levels, 0n, (1n << 47n) * (layout.levels === 5 ? 512n : 1n) - 1n, { leaf(_address, level) { mapped += level === 2 ? 512 : 1; } });
    if (mapped !== process.rss) this.fail("F8", `process ${process.id} counts ${process.rss} pages, its tables map ${mapped}`);
    const locked = process.vmas.all().reduce((sum, vma) => sum + (vma.locked ? Number((vma.end - vma.start) >> 12n) : 0), 0);
    if (locked !== process.locked) this.fail("F8", `process ${process.id} counts ${process.locked} locked pages, its areas ${locked}`);
  }

  private kernelAddress(page: number): bigint { return this.parts.layout.modulesStart + (MODULE_PAGES + BigInt(page)) * 4096n; }

  private mapKernel(page: number, perNode: boolean): void {
    const spare = this.spareFrames[page]!;
    const shared = spare.values().next().value!;
    const frames = (node: NodeId): Frame => (perNode ? spare.get(node)! : shared);
    const address = this.kernelAddress(page);
    const done = this.parts.tables.edit((editor) => (perNode
      ? editor.mapPerNode(address, { ...KERNEL_DATA, level: 1 }, frames)
      : editor.map(address, { ...KERNEL_DATA, level: 1, frame: shared })));
    if (!done) return;
    this.kernelPages.set(page, { writable: true, frames: new Map(this.holders.map((node) => [node, frames(node)])) });
  }

  private unmapKernel(page: number): void {
    if (!this.kernelPages.delete(page)) return;
    this.parts.tables.edit((editor) => editor.unmap(this.kernelAddress(page), 1));
  }

  /** E1, G6: a page in the window is there on every node or on none, and no CPU reaches what was taken away. */
  private readKernel(cpu: number, page: number): void {
    const { machine, view } = this.parts;
    const address = this.kernelAddress(page);
    const core = machine.cpu(cpu);
    const outcome = core.load(Number(address & 0xffff_ffffn), Number(address >> 32n));
    const known = this.kernelPages.get(page);
    if ((outcome === 0) !== (known !== undefined)) this.fail(known ? "E1" : "G6", `CPU ${cpu} ${outcome === 0 ? "still reaches" : "cannot reach"} module page ${page}`);
    // The copy it runs is that of the PGD it has loaded: its node's, or under some policies another's.
    const holder = this.switcher.loaded(cpu)?.pgdNodes.find((node) => this.switcher.loaded(cpu)!.pgd(node) === core.rootFrame) ?? view.nearest(machine.nodeOfCpu(cpu));
    const wanted = known?.frames.get(holder);
    if (known && core.lastFrame !== wanted) this.fail("G6", `CPU ${cpu} reached frame ${core.lastFrame} for module page ${page}, its root's is ${wanted}`);
  }

  /** G9: a store refused by a stale entry, where the tables allow it, is known to be spurious on every node. */
  private relax(cpu: number, page: number): void {
    const known = this.kernelPages.get(page);
    if (!known) return;
    const address = this.kernelAddress(page);
    const { tables, machine } = this.parts;
    if (!tables.edit((editor) => editor.protect(address, 1, { writable: false }))) return;
    const core = machine.cpu(cpu);
    const [lo, hi] = [Number(address & 0xffff_ffffn), Number(address >> 32n)];
    core.load(lo, hi);
    tables.editLazily((editor) => editor.protect(address, 1, { writable: true }));
    known.writable = true;
    if (core.store(lo, hi) === 0) return;
    if (!this.processes.isSpuriousKernelFault(cpu, address, true, false)) this.fail("G9", `a store of CPU ${cpu} to module page ${page} was refused by a stale entry, and the fault handler would not see that`);
    tables.flush(address, address + 4096n);
    if (core.store(lo, hi) !== 0) this.fail("G6", `CPU ${cpu} still holds the entry after the flush`);
  }

  /** Another CPU reads a page in user mode between two stores of an operation: it may fault, and may not reach a wrong frame. */
  private race(o: Operation & { op: "racing" }): void {
    const cpu = this.cpu(o.cpu);
    const who = this.runningOn(cpu);
    if (!who || ("cpu" in o.during && this.cpu(o.during.cpu) === cpu)) return this.perform(o.during);
    const { machine } = this.parts;
    const address = this.address(o.page);
    const before = who.process.space.lookup(address)?.frame;
    let reached: Frame | undefined;
    this.probe = {
      store: o.store,
      run: () => {
        this.switcher.enterUser(cpu);
        const core = machine.cpu(cpu);
        if (core.load(Number(address & 0xffff_ffffn), Number(address >> 32n)) === 0) reached = core.lastFrame;
        this.switcher.enterKernel(cpu);
      },
    };
    this.perform(o.during);
    this.probe = undefined;
    if (reached === undefined || !this.live.includes(who)) return;
    const after = who.process.space.lookup(address)?.frame;
    const within = Number((address >> 12n) & 511n);
    if (![before, after].some((frame) => frame !== undefined && (frame === reached || frame + within === reached))) this.fail("G5", `during the operation CPU ${cpu} reached frame ${reached} for 0x${address.toString(16)}, which was mapped neither before nor after`);
    if (this.runningOn(cpu) === who) this.touch(cpu, address, "read", 0);
  }
}

/** The rule behind an id. */
export const sentenceOf = (id: string): string => INVARIANTS.find((each) => each.id === id)?.sentence ?? "";
