/**
 * Memory as one hardware thread of a machine gives it to the interpreter: every fetch and access goes through the
 * thread's TLBs, page tables, permissions and caches.
 *
 * With `timed`, each access is the thread's own load, store or fetch, and counters are exact. Without, an address is
 * translated by the thread once (faults, A and D bits and permissions are the thread's) and the frame is remembered
 * until the thread says that translations changed; results are the same, counters are not kept. Where memory shows its
 * bytes, the interpreter gets windows on them, which end with the translation and whenever memory moves.
 */
import { addressOfFrame, PAGE_BYTES } from "../addr.js";
import type { CpuId } from "../ids.js";
import { FAULT, NOT_CANONICAL, type Cpu, type Machine } from "../machine-api.js";
import type { FrameWindow, PhysMemory } from "../memory-api.js";
import type { Vendor } from "../spec.js";
import { Access, NON_CANONICAL, pageFault, type WindowHolder } from "./port.js";

const LINE = 64;
/** Remembered translations of each kind; a power of two. */
const ENTRIES = 256;
const EMPTY = 1;
const FETCH = 2;
const STORE = 1;
const LOAD = 0;
/** An index no word is near of. */
const NOWHERE = -(2 ** 30);

/** The part of a thread that counts translation changes; a CPU without it makes the port forget at every entry. */
interface Counting {
  readonly translationChanges?: number;
}

/** The memory half of MachinePort; see the head of this file. */
export class MachineAccess {
  readonly data = new Int32Array(4);
  readonly vendor: Vendor;
  readonly cpu: Cpu & Counting;
  protected readonly memory: PhysMemory;
  private holder: WindowHolder | undefined;
  /** Page address halves by kind and entry, and the frame. */
  private readonly tags = new Int32Array(3 * 2 * ENTRIES).fill(EMPTY);
  private readonly frames = new Int32Array(3 * ENTRIES);
  private seen = -1;
  /** {@link PhysMemory.moves} when windows were closed last. */
  private moves: number | undefined;
  /** Frame of the last translation. */
  private located = 0;
  /** The read-modify-write under way: its store was checked and charged by its load. */
  private pairedLo = 0;
  private pairedHi = 0;
  private pairedFrame = 0;
  private pairedSecond = 0;
  private paired = false;

  constructor(
    readonly machine: Machine,
    id: CpuId,
    readonly timed: boolean,
  ) {
    this.cpu = machine.cpu(id);
    this.vendor = machine.spec.vendor ?? "intel";
    this.memory = machine.memory;
  }

  attach(holder: WindowHolder): void {
    this.holder = holder;
  }

  synchronise(privilege: number, alignmentCheck: boolean): void {
    const level = privilege === 3 ? 3 : 0;
    if (this.cpu.privilege !== level) this.cpu.privilege = level;
    if (this.cpu.alignmentCheck !== alignmentCheck) this.cpu.alignmentCheck = alignmentCheck;
    this.paired = false;
    const changes = this.cpu.translationChanges;
    if (changes === undefined || changes !== this.seen) this.forget();
    else this.followMoves();
  }

  /** Closes windows on bytes that memory keeps elsewhere by now. */
  protected followMoves(): void {
    if (this.memory.moves === this.moves) return;
    this.moves = this.memory.moves;
    this.holder?.closeWindows();
  }

  /** Drops remembered translations, here and in the interpreter. */
  protected forget(): void {
    this.tags.fill(EMPTY);
    this.paired = false;
    this.seen = this.cpu.translationChanges ?? -1;
    this.moves = this.memory.moves;
    this.holder?.dropWindows();
  }

  modeChanged(privilege: number, alignmentCheck: boolean): void {
    this.cpu.privilege = privilege === 3 ? 3 : 0;
    this.cpu.alignmentCheck = alignmentCheck;
    this.tags.fill(EMPTY);
    this.paired = false;
    this.seen = this.cpu.translationChanges ?? -1;
  }

  /** The thread's status as ours, with the address of the fault. */
  private failed(status: number, lo: number, hi: number): number {
    this.data[2] = lo;
    this.data[3] = hi;
    return status === NOT_CANONICAL ? NON_CANONICAL : pageFault(status & ~FAULT);
  }

  /**
   * Sets {@link located} to the frame of the address, through memory of earlier translations unless timed.
   * @returns status
   */
  private locate(lo: number, hi: number, kind: number): number {
    const { cpu } = this;
    const entry = kind * ENTRIES + ((lo >>> 12) & (ENTRIES - 1));
    if (!this.timed && this.tags[2 * entry] === (lo & -PAGE_BYTES) && this.tags[2 * entry + 1] === hi) {
      this.located = this.frames[entry]!;
      return 0;
    }
    const status = kind === LOAD ? cpu.load(lo, hi) : kind === STORE ? cpu.store(lo, hi) : cpu.fetch(lo, hi);
    // A walk may have stored A and D bits.
    this.followMoves();
    if (status !== 0) return this.failed(status, lo, hi);
    this.located = cpu.lastFrame;
    if (!this.timed) {
      this.tags[2 * entry] = lo & -PAGE_BYTES;
      this.tags[2 * entry + 1] = hi;
      this.frames[entry] = this.located;
    }
    return 0;
  }

  read(lo: number, hi: number, bytes: number, access: number): number {
    if ((access & Access.System) !== 0) return this.asSystem(() => this.readAs(lo, hi, bytes, access));
    return this.readAs(lo, hi, bytes, access);
  }

  private readAs(lo: number, hi: number, bytes: number, access: number): number {
    const write = (access & Access.Write) !== 0;
    const offset = lo & (PAGE_BYTES - 1);
    const crosses = (lo & (LINE - 1)) + bytes > LINE;
    let status = this.locate(lo, hi, write ? STORE : LOAD);
    if (status !== 0) return status;
    // The load of a read-modify-write: checked as a store above, counted as a load too.
    if (write && this.timed) this.cpu.load(lo, hi);
    const frame = this.located;
    let second = frame;
    if (crosses) {
      const nextLo = ((lo & -LINE) + LINE) | 0;
      const nextHi = (hi + (nextLo === 0 ? 1 : 0)) | 0;
      status = this.locate(nextLo, nextHi, write ? STORE : LOAD);
      if (status !== 0) return status;
      if (write && this.timed) this.cpu.load(nextLo, nextHi);
      second = this.located;
    }
    this.paired = write;
    this.pairedLo = lo;
    this.pairedHi = hi;
    this.pairedFrame = frame;
    this.pairedSecond = second;
    this.data[1] = 0;
    if ((offset & 3) === 0 && bytes >= 4) {
      this.data[0] = this.memory.read32(frame >>> 0, offset >>> 2);
      if (bytes === 8) {
        const next = offset + 4;
        this.data[1] = this.memory.read32((next < PAGE_BYTES ? frame : second) >>> 0, (next & (PAGE_BYTES - 1)) >>> 2);
      }
      return 0;
    }
    this.data[0] = this.gather(frame, second, offset, Math.min(bytes, 4));
    if (bytes === 8)
      this.data[1] = this.gather(offset + 4 < PAGE_BYTES ? frame : second, second, (offset + 4) & (PAGE_BYTES - 1), 4);
    return 0;
  }

  /** Up to 4 bytes at any offset; what lies beyond the frame comes from `second`. */
  private gather(frame: number, second: number, offset: number, bytes: number): number {
    const shift = (offset & 3) * 8;
    let value = this.memory.read32(frame >>> 0, offset >>> 2) >>> shift;
    if (shift + bytes * 8 > 32) {
      const next = (offset & ~3) + 4;
      value |=
        this.memory.read32((next < PAGE_BYTES ? frame : second) >>> 0, (next & (PAGE_BYTES - 1)) >>> 2) << (32 - shift);
    }
    return bytes === 4 ? value : value & ((1 << (bytes * 8)) - 1);
  }

  write(lo: number, hi: number, bytes: number, valueLo: number, valueHi: number, access: number): number {
    const status =
      (access & Access.System) !== 0
        ? this.asSystem(() => this.writeAs(lo, hi, bytes, valueLo, valueHi))
        : this.writeAs(lo, hi, bytes, valueLo, valueHi);
    this.followMoves();
    return status;
  }

  private writeAs(lo: number, hi: number, bytes: number, valueLo: number, valueHi: number): number {
    const crosses = (lo & (LINE - 1)) + bytes > LINE;
    const offset = lo & (PAGE_BYTES - 1);
    const nextLo = ((lo & -LINE) + LINE) | 0;
    const nextHi = (hi + (nextLo === 0 ? 1 : 0)) | 0;
    const already = this.paired && lo === this.pairedLo && hi === this.pairedHi;
    this.paired = false;
    let frame = this.pairedFrame;
    let second = this.pairedSecond;
    if (!already) {
      let status = this.locate(lo, hi, STORE);
      if (status !== 0) return status;
      frame = second = this.located;
      if (crosses) {
        status = this.locate(nextLo, nextHi, STORE);
        if (status !== 0) return status;
        second = this.located;
      }
    }
    if ((offset & 3) === 0 && bytes >= 4) {
      this.memory.write32(frame >>> 0, offset >>> 2, valueLo);
      if (bytes === 8) {
        const next = offset + 4;
        this.memory.write32((next < PAGE_BYTES ? frame : second) >>> 0, (next & (PAGE_BYTES - 1)) >>> 2, valueHi);
      }
      return 0;
    }
    for (let n = 0; n < bytes; n++) {
      const at = offset + n;
      const owner = (at < PAGE_BYTES ? frame : second) >>> 0;
      const word = (at & (PAGE_BYTES - 1)) >>> 2;
      const shift = (at & 3) * 8;
      const byte = ((n < 4 ? valueLo : valueHi) >>> (8 * (n & 3))) & 0xff;
      this.memory.write32(owner, word, (this.memory.read32(owner, word) & ~(0xff << shift)) | (byte << shift));
    }
    return 0;
  }

  /** Runs an access of the CPU itself: supervisor, and SMAP not lifted by RFLAGS.AC. */
  private asSystem(access: () => number): number {
    const { cpu } = this;
    const { privilege, alignmentCheck } = cpu;
    if (privilege === 0 && !alignmentCheck) return access();
    cpu.privilege = 0;
    cpu.alignmentCheck = false;
    this.tags.fill(EMPTY);
    const status = access();
    cpu.privilege = privilege;
    cpu.alignmentCheck = alignmentCheck;
    this.tags.fill(EMPTY);
    this.seen = cpu.translationChanges ?? -1;
    return status;
  }

  get charges(): boolean {
    return this.timed && this.memory.words !== undefined;
  }

  get words(): Int32Array {
    return this.memory.words!;
  }

  chargeLoad(lo: number, hi: number): number {
    const status = this.cpu.load(lo, hi);
    if (status !== 0) return -this.failed(status, lo, hi);
    this.paired = false;
    return this.memory.firstWord!(this.cpu.lastFrame);
  }

  chargeStore(lo: number, hi: number): number {
    if (this.paired && lo === this.pairedLo && hi === this.pairedHi) {
      this.paired = false;
      return this.memory.firstWordToWrite!(this.pairedFrame >>> 0);
    }
    this.paired = false;
    const status = this.cpu.store(lo, hi);
    return status !== 0 ? -this.failed(status, lo, hi) : this.memory.firstWordToWrite!(this.cpu.lastFrame);
  }

  chargeModify(lo: number, hi: number): number {
    const status = this.cpu.store(lo, hi);
    if (status !== 0) return -this.failed(status, lo, hi);
    const frame = this.cpu.lastFrame;
    this.cpu.load(lo, hi);
    this.paired = false;
    return this.memory.firstWordToWrite!(frame);
  }

  // No window is open while accesses are charged, and no translation is remembered: there is nothing to follow.
  chargeFetch(lo: number, hi: number): number {
    const { cpu } = this;
    const status = cpu.fetch(lo, hi);
    return status !== 0 ? -this.failed(status, lo, hi) : cpu.lastFrame;
  }

  window(lo: number, hi: number, write: boolean): FrameWindow | undefined {
    if (this.timed || this.memory.window === undefined || this.locate(lo, hi, write ? STORE : LOAD) !== 0)
      return undefined;
    return this.memory.window(this.located >>> 0, write);
  }

  translateFetch(lo: number, hi: number): number {
    const status = this.locate(lo, hi, FETCH);
    return status !== 0 ? -status : this.located >>> 0;
  }

  fetchLine(lo: number, hi: number): number {
    const status = this.cpu.fetch(lo, hi);
    return status !== 0 ? this.failed(status, lo, hi) : 0;
  }

  readCode(frame: number, offset: number, into: Uint8Array): number {
    const bytes = Math.min(into.length, PAGE_BYTES - offset);
    this.memory.readBytes(addressOfFrame(frame) + BigInt(offset), into.subarray(0, bytes));
    return bytes;
  }

  firstWord(frame: number): number {
    return this.memory.firstWord?.(frame) ?? NOWHERE;
  }

  version(frame: number): number {
    return this.memory.version(frame);
  }
}
