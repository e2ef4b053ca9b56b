/**
 * Reads what one CPU has cached and holds each entry against the tables that its PCID stands for. Cheap enough to be
 * done after every operation: entries are few, and a walk reads words.
 */
import {
  frameOf,
  type CachedEntry,
  type CachedTranslations,
  type CpuId,
  entryPages,
  type Frame,
  type Machine,
  NONE,
  overlap,
} from "@kreplica/hw-x86/api";
import type {
  KernelLayout,
  KernelTables,
  PageAllocator,
  ReplicaView,
  SwitchMm,
  TableMemory,
} from "@kreplica/mm-core/api";

/** Invariants that a look at one CPU decides. */
export type CachedRule = "G12" | "G13" | "G14";

/** Parts of a kernel that a look needs. */
export interface CachingKernel {
  readonly machine: Machine;
  readonly entries: TableMemory;
  readonly layout: KernelLayout;
  readonly view: ReplicaView;
  readonly allocator: PageAllocator;
  readonly switcher: Pick<SwitchMm, "useOf">;
  readonly tables: Pick<KernelTables, "unflushed">;
}

// Bits of an entry's low half, and of its high half.
const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
const DIRTY = 0x40;
const PAGE_SIZE = 0x80;
const GLOBAL = 0x100;
const NO_EXECUTE = 0x8000_0000;

const SIZES = ["", "4 KiB", "2 MiB", "1 GiB"];

/** What is said of a broken rule, or not. */
type Report = (rule: CachedRule, detail: string) => void;

/** Looks at CPUs of one kernel. */
export class CachedReader {
  // What the last walk came to: level 0 for a hole.
  private level = 0;
  private frame: Frame = NONE;
  private writable = true;
  private user = true;
  private executable = true;
  private dirty = false;
  private global = false;
  private encrypted = true;

  // What is looked at now.
  private cpu: CpuId = 0;
  private cached: CachedTranslations | undefined;
  private report: Report = () => undefined;
  /** Of the entry before: those of one PCID come in a row. */
  private pcid = -1;
  private use: ReturnType<SwitchMm["useOf"]> = "owed";
  private root: Frame = NONE;
  private before: Frame = NONE;
  /** PCIDs of which it was said that they stood for another root. */
  private readonly reused = new Set<number>();

  constructor(private readonly kernel: CachingKernel) {}

  /** Looks at everything a CPU has cached. @param report called for each entry that breaks a rule */
  look(cpu: CpuId, report: Report): void {
    this.cpu = cpu;
    this.cached = this.kernel.machine.cpu(cpu).cached;
    this.report = report;
    this.pcid = -1;
    if (this.reused.size > 0) this.reused.clear();
    this.cached.forEach(this.entry);
  }

  private readonly entry = (entry: CachedEntry): void => {
    const { cpu, report } = this;
    if (entry.global) {
      this.everywhere(cpu, entry, report);
      return;
    }
    const { pcid } = entry;
    if (pcid !== this.pcid) {
      this.pcid = pcid;
      this.use = this.kernel.switcher.useOf(cpu, pcid);
      this.root = this.cached!.rootOf(pcid);
      this.before = this.cached!.keptFrom(pcid);
    }
    const { use, root, before } = this;
    if (use === "owed") return;
    if (before !== NONE) {
      if (!this.reused.has(pcid))
        report(
          "G14",
          `CPU ${cpu} keeps ${this.words(entry)}, cached under PCID ${pcid}, which stood for root ${before} and now stands for ${root}`,
        );
      this.reused.add(pcid);
      return;
    }
    if (entry.structure) this.structure(cpu, entry, root, use, report);
    else this.translation(cpu, entry, root, use, report);
  };

  /**
   * A global translation is used whatever is loaded: it says what the node's own root says. A process may have run on
   * another holder's root (a policy that has it run its home's, a PGD there was no memory for), whose copy it then
   * names.
   */
  private everywhere(cpu: CpuId, entry: CachedEntry, report: Report): void {
    const { view, machine } = this.kernel;
    const own = view.kernelRoot(machine.nodeOfCpu(cpu));
    this.walk(own, entry, 1);
    if (this.wrong(entry) === undefined) return;
    for (const holder of view.holders) {
      this.walk(view.kernelRoot(holder), entry, 1);
      if (this.wrong(entry) === undefined) return;
    }
    this.translation(cpu, entry, own, "used", report);
  }

  private translation(cpu: CpuId, entry: CachedEntry, root: Frame, use: "used" | "lazy", report: Report): void {
    this.walk(root, entry, 1);
    const why = this.wrong(entry);
    if (why === undefined || use === "lazy" || this.isUnflushed(entry)) return;
    report("G12", `CPU ${cpu} has cached ${this.words(entry)}${this.under(entry)}, ${why}`);
  }

  /** Whether and how a translation says something else than the walk did. */
  private wrong(entry: CachedEntry): string | undefined {
    if (this.level === 0) return "the tables map nothing there";
    if (this.level !== entry.level) return `the tables have a ${SIZES[this.level]!} page there`;
    if (this.frame !== entry.frame) return `the tables say frame ${this.frame}`;
    if (entry.writable && !this.writable) return "writable, the tables say read-only";
    if (entry.executable && !this.executable) return "executable, the tables say NX";
    if (entry.user !== this.user)
      return this.user ? "the kernel's alone, the tables say user" : "for user mode, the tables say the kernel's alone";
    if (entry.dirty && !this.dirty) return "dirty, so that a store would set no D, which the tables have clear";
    if (entry.global && !this.global) return "global, the tables say it is not";
    if (entry.encrypted !== this.encrypted)
      return this.encrypted ? "shared, the tables say encrypted" : "encrypted, the tables say shared";
    return undefined;
  }

  private structure(cpu: CpuId, entry: CachedEntry, root: Frame, use: "used" | "lazy", report: Report): void {
    const leads = (): string =>
      `CPU ${cpu} has cached the way to table ${entry.frame} of level ${entry.level} for ${this.at(entry)}${this.under(entry)}`;
    const found = this.walk(root, entry, entry.level + 1);
    if (found !== entry.frame) {
      const purpose = this.kernel.allocator.purposeOf(entry.frame);
      if (purpose !== undefined && purpose !== "page-table")
        report("G13", `${leads()}, which is ${purpose === "free" ? "free" : `handed out as ${purpose}`}`);
      else if (use === "used")
        report("G13", `${leads()}, the tables lead ${found === NONE ? "to none there" : `to table ${found}`}`);
    } else if (
      use === "used" &&
      ((entry.writable && !this.writable) || (entry.executable && !this.executable) || (entry.user && !this.user))
    )
      report("G13", `${leads()} with a right that the tables no longer give on it`);
  }

  /**
   * @param last level of the last entry to read
   * @returns the table that an entry of that level leads to, NONE where there is none; {@link level} is that of a leaf
   *   met on the way
   */
  private walk(root: Frame, { page, pageHigh }: CachedEntry, last: number): Frame {
    const { memory, encryption } = this.kernel.entries;
    let table = root;
    this.writable = this.user = this.executable = true;
    this.level = 0;
    for (let level: number = this.kernel.layout.levels; level >= last; level--) {
      const index =
        level === 1
          ? page & 511
          : level === 2
            ? (page >>> 9) & 511
            : level === 3
              ? (page >>> 18) & 511
              : level === 4
                ? ((page >>> 27) | (pageHigh << 5)) & 511
                : (pageHigh >>> 4) & 511;
      const lo = memory.read32(table, index * 2);
      const hi = memory.read32(table, index * 2 + 1);
      if ((lo & PRESENT) === 0) return NONE;
      if ((lo & WRITABLE) === 0) this.writable = false;
      if ((lo & USER) === 0) this.user = false;
      if ((hi & NO_EXECUTE) !== 0) this.executable = false;
      const frame = frameOf(lo, hi);
      if (level === 1 || (level <= 3 && (lo & PAGE_SIZE) !== 0)) {
        this.level = level;
        this.frame = level === 1 ? frame : level === 2 ? frame - (frame % 512) : frame - (frame % 0x4_0000);
        this.dirty = (lo & DIRTY) !== 0;
        this.global = (lo & GLOBAL) !== 0;
        // Without such a bit in the machine none is missing.
        this.encrypted = (hi & encryption) === encryption;
        return NONE;
      }
      table = frame;
    }
    return table;
  }

  /** Whether the page lies in what was changed lazily. */
  private isUnflushed(entry: CachedEntry): boolean {
    const { unflushed } = this.kernel.tables;
    if (unflushed.length === 0) return false;
    const range = { start: addressOf(entry), pages: entryPages(entry.level) };
    return unflushed.some((run) => overlap(run, range));
  }

  private at(entry: CachedEntry): string {
    return `0x${addressOf(entry).toString(16)}`;
  }
  private words(entry: CachedEntry): string {
    return entry.structure
      ? `the way to table ${entry.frame} for ${this.at(entry)}`
      : `${this.at(entry)} as ${entry.level === 1 ? "" : `${SIZES[entry.level]!} at `}frame ${entry.frame}`;
  }
  private under(entry: CachedEntry): string {
    return entry.global ? "" : ` under PCID ${entry.pcid}`;
  }
}

/** Canonical address of an entry: page numbers have 45 bits. */
const addressOf = ({ page, pageHigh }: CachedEntry): bigint =>
  BigInt.asUintN(64, BigInt.asIntN(57, ((BigInt(pageHigh) << 32n) | BigInt(page)) << 12n));
