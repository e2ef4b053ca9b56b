/**
 * Translation of a core's threads with bigints and lists: slow, and plain enough to be read against the SDM's paging
 * chapter.
 */
import type { TlbSpec, TranslationSpec } from "../spec.js";

/** Address bits of an entry. */
const ADDRESS = 0x000f_ffff_ffff_f000n;
/** Whether the model has a frame for an address: below 15 TiB, and 128 GiB from each of six powers of two. */
const hasFrame = (physical: bigint): boolean =>
  physical < 15n << 40n ||
  [4n, 5n, 6n, 8n, 9n, 10n].some(
    (exponent) => physical >= 1n << (40n + exponent) && physical < (1n << (40n + exponent)) + (1n << 37n),
  );

/** Control registers of one thread, as plain fields. */
export interface SlowRegisters {
  root: bigint;
  pcid: number;
  user: boolean;
  writeProtect: boolean;
  noExecute: boolean;
  globals: boolean;
  pcids: boolean;
  smep: boolean;
  smap: boolean;
  accessAllowed: boolean;
  levels: 4 | 5;
}

/** What an access does. */
export type SlowAccess = "fetch" | "load" | "store";

/** How an access ended and what it took. */
export interface SlowOutcome {
  /** Physical address, or undefined for a fault. */
  readonly physical?: bigint;
  /** Page-fault error code, or "GP" for a non-canonical address. */
  readonly fault?: number | "GP";
  readonly secondTlb: boolean;
  readonly walked: boolean;
  /** Entries read and written by the walk. */
  readonly walkReferences: number;
}

interface Rights {
  writable: boolean;
  user: boolean;
  executable: boolean;
}
interface Entry extends Rights {
  readonly thread: number;
  /** undefined: global. */
  readonly pcid: number | undefined;
  readonly level: number;
  readonly page: bigint;
  readonly physical: bigint;
  readonly dirty: boolean;
}
interface Pointer extends Rights {
  readonly thread: number;
  readonly pcid: number;
  readonly level: number;
  readonly page: bigint;
  readonly table: bigint;
}

const pageBits = (level: number): bigint => BigInt(12 + 9 * (level - 1));

/** One TLB: a list a set, most recently used first. */
class SlowTlb {
  private readonly sets: Entry[][];

  constructor(private readonly shape: TlbSpec) {
    this.sets = Array.from({ length: shape.entries / shape.ways }, () => []);
  }

  private set(page: bigint): Entry[] {
    return this.sets[Number(page % BigInt(this.sets.length))]!;
  }

  use(level: number, address: bigint, thread: number, pcid: number): Entry | undefined {
    const page = address >> pageBits(level);
    const set = this.set(page);
    const at = set.findIndex(
      (each) =>
        each.level === level &&
        each.page === page &&
        each.thread === thread &&
        (each.pcid === undefined || each.pcid === pcid),
    );
    if (at < 0) return undefined;
    set.unshift(set.splice(at, 1)[0]!);
    return set[0];
  }

  add(entry: Entry): void {
    const set = this.set(entry.page);
    set.unshift(entry);
    if (set.length > this.shape.ways) set.pop();
  }

  drop(which: (entry: Entry) => boolean): void {
    for (const set of this.sets) set.splice(0, set.length, ...set.filter((each) => !which(each)));
  }
}

/** TLBs and paging-structure caches of a core, and the registers of its threads. */
export class SlowTranslation {
  readonly registers: SlowRegisters[];
  private readonly tlbs: Record<
    "code1" | "code2" | "data1" | "data2" | "data3" | "second" | "second3",
    SlowTlb | undefined
  >;
  private readonly pointers: Record<1 | 2 | 3, Pointer[]> = { 1: [], 2: [], 3: [] };

  /**
   * @param words the tables: 64-bit words by physical address, changed where A and D are set
   * @param width physical address bits
   */
  constructor(
    private readonly spec: TranslationSpec,
    private readonly words: Map<bigint, bigint>,
    private readonly width: number,
    threads: number,
  ) {
    const make = (shape: TlbSpec | undefined): SlowTlb | undefined => (shape ? new SlowTlb(shape) : undefined);
    const { instruction, data, second } = spec;
    this.tlbs = {
      code1: make(instruction.small),
      code2: make(instruction.large),
      data1: make(data.small),
      data2: make(data.large),
      data3: make(data.huge),
      second: make(second),
      second3: make(second.huge),
    };
    this.registers = Array.from({ length: threads }, () => ({
      root: 0n,
      pcid: 0,
      user: false,
      writeProtect: true,
      noExecute: true,
      globals: false,
      pcids: false,
      smep: false,
      smap: false,
      accessAllowed: false,
      levels: 4 as const,
    }));
  }

  access(thread: number, address: bigint, access: SlowAccess): SlowOutcome {
    const state = this.registers[thread]!;
    const none = { secondTlb: false, walked: false, walkReferences: 0 };
    const top = BigInt.asIntN(64, address) >> (state.levels === 5 ? 56n : 47n);
    if (top !== 0n && top !== -1n) return { fault: "GP", ...none };
    const { entry, second } = this.lookup(thread, address, access === "fetch");
    if (entry) {
      if (!this.allowed(state, entry, access))
        return { fault: this.fault(thread, address, access, 1), ...none, secondTlb: second };
      if (access !== "store" || entry.dirty)
        return { physical: this.physical(entry, address), ...none, secondTlb: second };
      this.dropTlb(
        (each) =>
          this.covers(each, address) && each.thread === thread && (each.pcid === undefined || each.pcid === state.pcid),
      );
    }
    const { leaf, code, references } = this.walk(thread, address, access);
    if (!leaf)
      return {
        fault: this.fault(thread, address, access, code),
        secondTlb: second,
        walked: true,
        walkReferences: references,
      };
    this.enter(leaf, access === "fetch");
    return { physical: this.physical(leaf, address), secondTlb: second, walked: true, walkReferences: references };
  }

  /** Forgets translations. */
  dropTlb(which: (entry: { thread: number; pcid: number | undefined; level: number; page: bigint }) => boolean): void {
    for (const tlb of Object.values(this.tlbs)) tlb?.drop(which);
  }

  /** Forgets entries of the paging-structure caches. */
  dropPointers(which: (pointer: { thread: number; pcid: number; level: number; page: bigint }) => boolean): void {
    for (const level of [1, 2, 3] as const) this.pointers[level] = this.pointers[level].filter((each) => !which(each));
  }

  covers(entry: { level: number; page: bigint }, address: bigint): boolean {
    return entry.page === address >> pageBits(entry.level);
  }

  private lookup(thread: number, address: bigint, code: boolean): { entry: Entry | undefined; second: boolean } {
    const { pcid } = this.registers[thread]!;
    const first = code ? [this.tlbs.code1, this.tlbs.code2] : [this.tlbs.data1, this.tlbs.data2, this.tlbs.data3];
    for (const [index, tlb] of first.entries()) {
      const entry = tlb?.use(index + 1, address, thread, pcid);
      if (entry) return { entry, second: false };
    }
    const second =
      this.tlbs.second!.use(1, address, thread, pcid) ??
      (this.spec.second.large ? this.tlbs.second!.use(2, address, thread, pcid) : undefined) ??
      this.tlbs.second3?.use(3, address, thread, pcid);
    if (second) first[second.level - 1]?.add(second);
    return { entry: second, second: second !== undefined };
  }

  private enter(entry: Entry, code: boolean): void {
    const { tlbs } = this;
    const second =
      entry.level === 1
        ? tlbs.second
        : entry.level === 2
          ? this.spec.second.large
            ? tlbs.second
            : undefined
          : tlbs.second3;
    const first =
      entry.level === 1
        ? code
          ? tlbs.code1
          : tlbs.data1
        : entry.level === 2
          ? code
            ? tlbs.code2
            : tlbs.data2
          : code
            ? undefined
            : tlbs.data3;
    second?.add(entry);
    first?.add(entry);
  }

  private physical(entry: Entry, address: bigint): bigint {
    return entry.physical | (address & ((1n << pageBits(entry.level)) - 1n));
  }

  private allowed(state: SlowRegisters, page: Rights, access: SlowAccess): boolean {
    if (state.user && !page.user) return false;
    if (access === "fetch") return page.executable && !(!state.user && state.smep && page.user);
    if (!state.user && state.smap && !state.accessAllowed && page.user) return false;
    return access === "load" || page.writable || (!state.user && !state.writeProtect);
  }

  private fault(thread: number, address: bigint, access: SlowAccess, code: number): number {
    const state = this.registers[thread]!;
    this.dropTlb(
      (each) =>
        this.covers(each, address) && each.thread === thread && (each.pcid === undefined || each.pcid === state.pcid),
    );
    this.dropPointers(
      (each) => each.page === address >> pageBits(each.level + 1) && each.thread === thread && each.pcid === state.pcid,
    );
    return (
      code |
      (access === "store" ? 2 : 0) |
      (state.user ? 4 : 0) |
      (access === "fetch" && (state.noExecute || state.smep) ? 16 : 0)
    );
  }

  private walk(
    thread: number,
    address: bigint,
    access: SlowAccess,
  ): { leaf?: Entry; code: number; references: number } {
    const state = this.registers[thread]!;
    let references = 0;
    let table = state.root;
    let level: number = state.levels;
    let rights: Rights = { writable: true, user: true, executable: true };
    for (const lower of [1, 2, 3] as const) {
      const list = this.pointers[lower];
      const at = list.findIndex(
        (each) => each.thread === thread && each.pcid === state.pcid && each.page === address >> pageBits(lower + 1),
      );
      if (at < 0) continue;
      const found = list.splice(at, 1)[0]!;
      list.unshift(found);
      ({ table } = found);
      rights = { writable: found.writable, user: found.user, executable: found.executable };
      level = lower;
      break;
    }
    for (; ; level--) {
      const place = table + ((address >> pageBits(level)) & 511n) * 8n;
      const entry = this.words.get(place) ?? 0n;
      references++;
      if ((entry & 1n) === 0n) return { code: 0, references };
      const leaf = level === 1 || (entry & 0x80n) !== 0n;
      const tooWide = (entry & 0x000f_ffff_ffff_ffffn) >> BigInt(this.width) !== 0n || !hasFrame(entry & ADDRESS);
      const misaligned = leaf && level > 1 && (level > 3 || (entry & ((1n << pageBits(level)) - 1n) & ~0x1fffn) !== 0n);
      if (tooWide || misaligned || (!state.noExecute && entry >> 63n !== 0n)) return { code: 9, references };
      rights = {
        writable: rights.writable && (entry & 2n) !== 0n,
        user: rights.user && (entry & 4n) !== 0n,
        executable: rights.executable && entry >> 63n === 0n,
      };
      const mark = (bits: bigint): void => {
        if ((entry & bits) === bits) return;
        references++;
        this.words.set(place, entry | bits);
      };
      if (leaf) {
        if (!this.allowed(state, rights, access)) return { code: 1, references };
        mark(access === "store" ? 0x60n : 0x20n);
        const size = 1n << pageBits(level);
        return {
          leaf: {
            ...rights,
            thread,
            pcid: state.globals && (entry & 0x100n) !== 0n ? undefined : state.pcid,
            level,
            page: address >> pageBits(level),
            physical: entry & ADDRESS & ~(size - 1n),
            dirty: access === "store" || (entry & 0x40n) !== 0n,
          },
          code: 0,
          references,
        };
      }
      mark(0x20n);
      table = entry & ADDRESS;
      const below = level - 1;
      if (below > 3) continue;
      const capacity = this.spec.pagingStructure[(["pde", "pdpte", "pml4e"] as const)[below - 1]!];
      if (capacity === 0) continue;
      const list = this.pointers[below as 1 | 2 | 3];
      list.unshift({ ...rights, thread, pcid: state.pcid, level: below, page: address >> pageBits(level), table });
      if (list.length > capacity) list.pop();
    }
  }
}
