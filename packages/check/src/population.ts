/**
 * The processes of a kernel under check, each with the model of what it may see; and what a user's access comes to,
 * against that model.
 */
import { type Frame, fromHalves, leafFrame, PAGE, type PageRange, slotRange, walkRange } from "@kreplica/hw-x86/api";
import type { CpuId } from "@kreplica/hw-x86";
import type { BootParts } from "@kreplica/kernel";
import {
  type AccessKind,
  LDT_PAGES,
  LDT_SLOT,
  ldtAddress,
  PageCache,
  type Process,
  Processes,
  SwitchMm,
  type UserFile,
  UserFrames,
} from "@kreplica/mm-core";
import { CheckFailure } from "./check-failure.js";
import type { TableWatch } from "./table-watch.js";
import { ModelFile, pageNumber, type UserModel, WORD_BYTES, WORDS } from "./user-model.js";

/** Steps between two walks through all pages of a process. */
const PAGES_EVERY = 25;

/** Of each page of an LDT. */
const COMPARED_DESCRIPTORS = [0, 1, 510, 511];

/** Files there are, and pages each has when a run begins. */
export const FILES = 2;
export const FILE_PAGES = 3;

/** A file and what is in it. */
export interface LiveFile {
  readonly file: UserFile;
  model: ModelFile;
}

/** A process and what it may see. */
export interface Live {
  readonly process: Process;
  readonly model: UserModel;
}

/** The processes of a run, each with the slow model of what its user may see. */
export class Population {
  readonly processes: Processes;
  readonly switcher: SwitchMm;
  readonly userFrames: UserFrames;
  readonly pageCache: PageCache;
  /** All that can be mapped by a number. */
  readonly files: readonly LiveFile[];
  live: readonly Live[] = [];
  /** Pages that a reader reached in the middle of an operation, in this run. */
  readonly probed = new Set<bigint>();
  /** All that user mode may map. */
  private readonly users: PageRange;
  private turn = 0;
  private faultsBefore = { taken: 0, spurious: 0 };

  constructor(
    private readonly parts: BootParts,
    private readonly watch: TableWatch,
  ) {
    this.processes = parts.assembly.get(Processes);
    this.switcher = parts.assembly.get(SwitchMm);
    this.userFrames = parts.assembly.get(UserFrames);
    this.pageCache = parts.assembly.get(PageCache);
    this.files = Array.from({ length: FILES }, () => ({
      file: this.pageCache.create(FILE_PAGES),
      model: new ModelFile(FILE_PAGES),
    }));
    this.users = slotRange(parts.layout.levels, 0, 255);
  }

  /** Page faults since the run began. */
  get faultsOfRun(): { readonly taken: number; readonly spurious: number } {
    const { taken, spurious } = this.processes.faults;
    return { taken: taken - this.faultsBefore.taken, spurious: spurious - this.faultsBefore.spurious };
  }

  /** The process a number stands for; undefined when none is alive. */
  pick(p: number): Live | undefined {
    return this.live[p % Math.max(1, this.live.length)];
  }

  /** The file a number stands for. */
  file(number: number): LiveFile {
    return this.files[number % FILES]!;
  }

  /** What runs on a CPU, unless that runs a kernel thread. */
  runningOn(cpu: CpuId): Live | undefined {
    const space = this.switcher.loaded(cpu);
    return space && !this.switcher.isLazy(cpu) ? this.live.find((each) => each.process.space === space) : undefined;
  }

  /** Takes a new process in and runs it. */
  add(process: Process, model: UserModel, cpu: CpuId): void {
    this.live = [...this.live, { process, model }];
    this.watch.touch(process.space);
    this.processes.run(process, cpu);
    this.checkSlotsOf(process);
  }

  /** F2, of every process: after the kernel's own slots changed. */
  checkKernelSlots(): void {
    for (const { process } of this.live) this.checkSlotsOf(process);
  }

  /** F2: kernel slots are those of each node's root. */
  private checkSlotsOf({ space }: Process): void {
    const { entries, layout, view } = this.parts;
    for (const node of space.pgdNodes) {
      const pgd = space.pgd(node);
      const root = view.kernelRoot(node);
      const slot = entries.memory.nextDifference(pgd, root, layout.kernelBoundary, 511);
      if (slot < 512) throw new CheckFailure("F2", `kernel slot ${slot} of a PGD differs from node ${node}'s root`);
    }
  }

  /** Lets a process end. */
  remove(who: Live): void {
    this.processes.exit(who.process);
    this.live = this.live.filter((each) => each !== who);
  }

  /** One access in user mode by what runs on the CPU, or by a process put there. F4, F7, G6. */
  access(cpu: CpuId, address: bigint, kind: AccessKind, value: number): void {
    const who = this.runningOn(cpu) ?? this.pick(cpu);
    if (!who) return;
    this.processes.run(who.process, cpu);
    const word = value % WORDS;
    const outcome = this.processes.access(cpu, address + BigInt(word * WORD_BYTES), kind, value);
    const number = pageNumber(address);
    who.model.grow(number);
    const wanted = who.model.outcome(number, kind);
    if (outcome === "oom") return;
    if (outcome !== wanted)
      throw new CheckFailure(
        "F4",
        `${kind} of 0x${address.toString(16)} on CPU ${cpu} came to ${outcome}, and ${wanted === "ok" ? "is allowed" : wanted === "segv" ? "is not allowed" : "lies behind the end of the file"}`,
      );
    if (outcome !== "ok") return;
    const values = who.model.read(number);
    if (kind === "write") who.model.write(number, word, value);
    else if (this.processes.lastValue !== values?.[word])
      throw new CheckFailure(
        "F7",
        `0x${address.toString(16)} on CPU ${cpu} reads ${this.processes.lastValue}, was written ${values?.[word] ?? 0}`,
      );
    const frame = this.parts.machine.cpu(cpu).lastFrame;
    const truth = who.process.space.lookup(address);
    const within = truth?.level === 2 ? number % 512 : 0;
    if (!truth || truth.frame + within !== frame)
      throw new CheckFailure(
        "G6",
        `CPU ${cpu} reached frame ${frame} for 0x${address.toString(16)}, the tables say ${truth ? truth.frame + within : "nothing"}`,
      );
  }

  /** Every page of every process against its model, and what is counted against what is mapped. */
  compare(): void {
    this.checkFiles();
    for (const { process, model } of this.live) {
      this.comparePages(process, model);
      this.compareDescriptors(process, model);
      this.compareAccounts(process);
    }
  }

  /** F7: the LDT's own pages, and under KPTI what each half of each PGD leads to at one of its two places. */
  private compareDescriptors({ id, space, ldt }: Process, { descriptors }: UserModel): void {
    const { entries, layout, machine } = this.parts;
    const pages = descriptors.size === 0 ? 0 : Math.floor(Math.max(...descriptors.keys()) / 512) + 1;
    const read = (frames: readonly Frame[], whose: () => string): void => {
      if (frames.length !== pages)
        throw new CheckFailure(
          "F7",
          `the LDT of process ${id}, ${whose()}, has ${frames.length} pages, and should have ${pages}`,
        );
      frames.forEach((frame, page) => {
        for (const within of COMPARED_DESCRIPTORS) {
          const entry = page * 512 + within;
          const wanted = descriptors.get(entry) ?? 0n;
          const lo = machine.memory.read32(frame, within * 2);
          const hi = machine.memory.read32(frame, within * 2 + 1);
          if ((lo === 0 && hi === 0 && wanted === 0n) || fromHalves(lo, hi) === wanted) continue;
          throw new CheckFailure(
            "F7",
            `entry ${entry} of the LDT of process ${id}, ${whose()}, is 0x${fromHalves(lo, hi).toString(16)}, was set to 0x${wanted.toString(16)}`,
          );
        }
      });
    };
    read(ldt?.frames ?? [], () => "in memory");
    if (!layout.pti) return;
    const places = { start: ldtAddress(layout.levels, 0), pages: 2 * LDT_PAGES };
    for (const node of space.pgdNodes) {
      for (const half of [0, 1]) {
        const root = space.pgd(node) + half;
        const mapped: Frame[] = [];
        // Nothing in the slot maps nothing at either place.
        if (entries.low(root, LDT_SLOT) !== 0)
          walkRange(entries.memory, root, layout.levels, places, {
            leaf: (_address, level, lo, hi) => void mapped.push(leafFrame(lo, hi, level)),
          });
        read(mapped, () => `in the ${half ? "user" : "kernel"} half on node ${node}`);
      }
    }
  }

  /** The frame that the cache has for the page of a file that a process has at an address. */
  private cached(process: Process, address: bigint): Frame | undefined {
    const area = process.vmas.at(address);
    return area?.file && this.pageCache.find(area.file, area.offset + Number((address - area.start) / PAGE));
  }

  /** Whether a process has a page, and that of the file is another. */
  hasCopy(process: Process, page: number): boolean {
    const found = process.space.lookup(BigInt(page) * PAGE);
    return found !== undefined && found.frame !== this.cached(process, BigInt(page) * PAGE);
  }

  /**
   * F10: a page of a file is the cache's in every process that has no copy, and nobody has one behind the file's end.
   */
  checkFiles(): void {
    for (const { process, model } of this.live) {
      if (!model.mapsFiles) continue;
      model.pages.forEach(({ of, copied }, page) => {
        const address = BigInt(page) * PAGE;
        const found = of && process.space.lookup(address);
        if (!found) return;
        const where = `page 0x${page.toString(16)} of process ${process.id}, page ${of.index} of a file`;
        if (of.index >= of.file.pages)
          throw new CheckFailure("F10", `${where} that has ${of.file.pages}, is frame ${found.frame}`);
        const cached = this.cached(process, address);
        if (!copied && found.frame !== cached)
          throw new CheckFailure("F10", `${where}, is frame ${found.frame}, the file's is ${cached ?? "none"}`);
        if (copied && found.frame === cached)
          throw new CheckFailure("F10", `${where}, was copied, and is the file's frame ${found.frame}`);
      });
    }
  }

  private comparePages(process: Process, model: UserModel): void {
    model.pages.forEach((wanted, page) => {
      const found = process.space.nextLeaf(page, page);
      const frame = found
        ? found.frame + (found.level === 2 ? page % 512 : 0)
        : wanted.of && !wanted.copied
          ? this.cached(process, BigInt(page) * PAGE)
          : undefined;
      const values = model.read(page);
      for (let word = 0; word < WORDS; word++) {
        const held = frame === undefined ? 0 : this.parts.machine.memory.read32(frame, (word * WORD_BYTES) / 4);
        if (values && held !== values[word])
          throw new CheckFailure(
            found ? "F7" : "F8",
            `page 0x${page.toString(16)} ${found ? `holds ${held}` : "is not mapped"}, was written ${values[word]!}`,
          );
      }
      if (found?.writable && !wanted.writable)
        throw new CheckFailure("F8", `page 0x${page.toString(16)} is writable and should not be`);
    });
  }

  /** After a step: what is counted as locked, of one process in turn; now and then its pages too. F8. */
  compareInTurn(): void {
    const who = this.pick(this.turn++);
    if (!who) return;
    this.compareLocked(who.process);
    if (this.turn % PAGES_EVERY === 0) this.compareAccounts(who.process);
  }

  private compareAccounts(process: Process): void {
    const { entries, layout } = this.parts;
    let mapped = 0;
    walkRange(entries.memory, process.space.pgd(process.space.pgdNodes[0]!), layout.levels, this.users, {
      leaf(_address, level) {
        mapped += level === 2 ? 512 : 1;
      },
    });
    if (mapped !== process.rss)
      throw new CheckFailure("F8", `process ${process.id} counts ${process.rss} pages, its tables map ${mapped}`);
    this.compareLocked(process);
  }

  private compareLocked(process: Process): void {
    let locked = 0;
    process.vmas.forEach((vma) => {
      if (vma.locked) locked += Number((vma.end - vma.start) >> 12n);
    });
    if (locked !== process.locked)
      throw new CheckFailure("F8", `process ${process.id} counts ${process.locked} locked pages, its areas ${locked}`);
  }

  /** Every process ends, every CPU is on line and on its node's root. */
  clear(): void {
    for (const { process } of this.live) this.processes.exit(process);
    this.live = [];
    for (const each of this.files) {
      this.processes.truncate(each.file, 0, 0);
      this.processes.truncate(each.file, FILE_PAGES, 0);
      each.model = new ModelFile(FILE_PAGES);
    }
    for (const cpu of this.parts.machine.cpuIds) {
      if (!this.parts.cpus.online.has(cpu)) this.processes.online(cpu);
      this.switcher.leave(cpu);
    }
    this.probed.clear();
    this.faultsBefore = { ...this.processes.faults };
  }
}
