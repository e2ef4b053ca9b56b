/** A port without a machine: pages mapped by hand onto a small memory. For tests, fuzzing and the micro benchmark. */
import type { Vendor } from "../spec.js";
import {
  Access,
  faultStatus,
  NON_CANONICAL,
  pageFault,
  type CpuPort,
  type PageWindow,
  type WindowHolder,
} from "./port.js";

/** Rights of one page, as a page-table entry would give them. */
export interface PageRights {
  readonly writable: boolean;
  readonly user: boolean;
  readonly executable: boolean;
}
interface Page extends PageRights {
  readonly frame: number;
}

const PRESENT = 1,
  WRITE = 2,
  USER = 4,
  FETCH = 16;
const WRITE_PROTECT = 1 << 16;
const SMEP = 1 << 20,
  SMAP = 1 << 21;
const BYTES = 4096;
const pageNumber = (lo: number, hi: number): number => (hi >>> 0) * 0x10_0000 + (lo >>> 12);

/** Physical memory shared by the ports of several CPUs. @param frames 4 KiB each */
export class FlatMemory {
  readonly bytes: Uint8Array;
  readonly halves: Uint16Array;
  readonly words: Int32Array;
  readonly versions: Uint32Array;
  readonly windows: PageWindow[];
  constructor(readonly frames: number) {
    const buffer = new ArrayBuffer(frames * BYTES);
    this.bytes = new Uint8Array(buffer);
    this.halves = new Uint16Array(buffer);
    this.words = new Int32Array(buffer);
    this.versions = new Uint32Array(frames);
    this.windows = Array.from({ length: frames }, (_, slot) => ({
      bytes: this.bytes,
      halves: this.halves,
      words: this.words,
      base: slot * BYTES,
      versions: this.versions,
      slot,
    }));
  }
}

/**
 * See the head of this file. CR0.WP, CR4.SMEP and CR4.SMAP are honoured; there are no TLBs, so mapping changes act at
 * once.
 */
export class FlatMemoryPort implements CpuPort {
  readonly data = new Int32Array(4);
  readonly timed = false;
  private readonly pages = new Map<number, Page>();
  private holder: WindowHolder | undefined;
  private privilege = 0;
  private alignmentCheck = false;
  private cr0 = WRITE_PROTECT;
  private cr4 = 0;
  private retired = 0;
  /** Whether windows are handed out; off, every access goes through {@link read} and {@link write}. */
  fast = true;
  /** MSRs without a meaning here: storage. */
  readonly msrs = new Map<number, bigint>();
  /** Vectors waiting, first come first served. */
  readonly interrupts: number[] = [];
  /** What CPUID leaves answer; leaves not listed give zeros. */
  readonly cpuidLeaves = new Map<number, readonly [number, number, number, number]>();
  /** Log of TLB maintenance, for tests. */
  readonly invalidations: string[] = [];

  constructor(
    readonly memory: FlatMemory,
    readonly vendor: Vendor = "intel",
  ) {}

  /** Maps whole pages from an address onto frames that follow one another. */
  map(address: bigint, frame: number, pages: number, rights: PageRights): void {
    for (let n = 0; n < pages; n++) {
      const at = address + BigInt(n * BYTES);
      this.pages.set(pageNumber(Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n))), {
        ...rights,
        frame: frame + n,
      });
    }
    this.holder?.dropWindows();
  }

  unmap(address: bigint): void {
    this.pages.delete(pageNumber(Number(BigInt.asIntN(32, address)), Number(BigInt.asIntN(32, address >> 32n))));
    this.holder?.dropWindows();
  }

  attach(holder: WindowHolder): void {
    this.holder = holder;
  }
  firstWord(frame: number): number {
    return frame * (BYTES / 4);
  }
  version(frame: number): number {
    return this.memory.versions[frame]!;
  }
  fetchLine(): number {
    return 0;
  }
  retire(count: number): void {
    this.retired += count;
  }

  modeChanged(privilege: number, alignmentCheck: boolean): void {
    this.privilege = privilege;
    this.alignmentCheck = alignmentCheck;
  }

  /** Byte index of the page's first byte plus offset, or a negative status. */
  private locate(lo: number, hi: number, access: number, fetch: boolean): number {
    if ((hi << 16) >> 16 !== hi) return -this.fault(NON_CANONICAL, lo, hi);
    const page = this.pages.get(pageNumber(lo, hi));
    const user = this.privilege === 3 && (access & Access.System) === 0;
    const write = (access & Access.Write) !== 0;
    const code = (write ? WRITE : 0) | (user ? USER : 0) | (fetch ? FETCH : 0);
    if (page === undefined) return -this.fault(pageFault(code), lo, hi);
    const kernelOnUser =
      !user &&
      page.user &&
      (fetch
        ? (this.cr4 & SMEP) !== 0
        : (this.cr4 & SMAP) !== 0 && !(this.alignmentCheck && (access & Access.System) === 0));
    if (
      (user && !page.user) ||
      (write && !page.writable && (user || (this.cr0 & WRITE_PROTECT) !== 0)) ||
      (fetch && !page.executable) ||
      kernelOnUser
    ) {
      return -this.fault(pageFault(code | PRESENT), lo, hi);
    }
    return page.frame * BYTES + (lo & 0xfff);
  }

  private fault(status: number, lo: number, hi: number): number {
    this.data[2] = lo;
    this.data[3] = hi;
    return status;
  }

  /** Index of the byte after a border, for an access that crosses it. */
  private beyond(lo: number, hi: number, access: number): number {
    const nextLo = ((lo & ~0xfff) + BYTES) | 0;
    return this.locate(nextLo, (hi + (nextLo === 0 ? 1 : 0)) | 0, access, false);
  }

  read(lo: number, hi: number, bytes: number, access: number): number {
    const first = this.locate(lo, hi, access, false);
    if (first < 0) return -first;
    const here = Math.min(bytes, BYTES - (lo & 0xfff));
    const second = here < bytes ? this.beyond(lo, hi, access) : 0;
    if (second < 0) return -second;
    this.data[0] = this.data[1] = 0;
    for (let n = 0; n < bytes; n++) {
      const byte = this.memory.bytes[n < here ? first + n : second + n - here]!;
      this.data[n >> 2]! |= byte << (8 * (n & 3));
    }
    return 0;
  }

  write(lo: number, hi: number, bytes: number, valueLo: number, valueHi: number, access: number): number {
    const first = this.locate(lo, hi, access | Access.Write, false);
    if (first < 0) return -first;
    const here = Math.min(bytes, BYTES - (lo & 0xfff));
    const second = here < bytes ? this.beyond(lo, hi, access | Access.Write) : 0;
    if (second < 0) return -second;
    for (let n = 0; n < bytes; n++)
      this.memory.bytes[n < here ? first + n : second + n - here] = (n < 4 ? valueLo : valueHi) >>> (8 * (n & 3));
    this.memory.versions[Math.floor(first / BYTES)]!++;
    if (here < bytes) this.memory.versions[Math.floor(second / BYTES)]!++;
    return 0;
  }

  window(lo: number, hi: number, write: boolean): PageWindow | undefined {
    if (!this.fast) return undefined;
    const at = this.locate(lo, hi, write ? Access.Write : Access.Read, false);
    return at < 0 ? undefined : this.memory.windows[Math.floor(at / BYTES)];
  }

  translateFetch(lo: number, hi: number): number {
    const at = this.locate(lo, hi, Access.Read, true);
    return at < 0 ? at : Math.floor(at / BYTES);
  }

  readCode(frame: number, offset: number, into: Uint8Array): number {
    const bytes = Math.min(into.length, BYTES - offset);
    into.set(this.memory.bytes.subarray(frame * BYTES + offset, frame * BYTES + offset + bytes));
    return bytes;
  }

  controlRegister(index: number, lo: number, hi: number): number {
    if (index === 0) this.cr0 = lo;
    if (index === 4) this.cr4 = lo;
    if (index !== 3) return hi === 0 ? 0 : faultStatus(13);
    return 0;
  }

  readMsr(index: number): number {
    const value = this.msrs.get(index);
    if (value === undefined) return faultStatus(13);
    this.data[0] = Number(BigInt.asIntN(32, value));
    this.data[1] = Number(BigInt.asIntN(32, value >> 32n));
    return 0;
  }

  writeMsr(index: number, lo: number, hi: number): number {
    if (!this.msrs.has(index) && index !== 0xc000_0080) return faultStatus(13);
    this.msrs.set(index, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
    return 0;
  }

  invlpg(lo: number, hi: number): void {
    this.invalidations.push(`invlpg ${hi >>> 0}:${lo >>> 0}`);
  }
  invpcid(type: number, pcid: number): number {
    this.invalidations.push(`invpcid ${type} ${pcid}`);
    return 0;
  }

  cpuid(leaf: number): void {
    this.data.set(this.cpuidLeaves.get(leaf) ?? [0, 0, 0, 0]);
  }
  timeStamp(): void {
    this.data[0] = this.retired;
    this.data[1] = Math.floor(this.retired / 2 ** 32);
  }
  random(): boolean {
    return false;
  }
  acknowledge(): number {
    return this.interrupts.shift() ?? -1;
  }
}
