/**
 * A recording made ready to run: one 32-bit word an operation, pages by number, so that it can run often and on several
 * kernels.
 *
 *   31 .. 8      7 .. 2         1 .. 0
 *   page number  line of page   0 fetch, 1 load, 2 store
 *   argument     control        3
 */

import { PAGE } from "@kreplica/hw-x86/api";
import type { KernelVisit } from "./kernel-visit.js";

/** Low bits of an operation. */
export const enum Op {
  Fetch = 0,
  Load = 1,
  Store = 2,
  Control = 3,
}

/** What a control operation does, in bits 7 to 2. */
export const enum Control {
  /** Argument: region register from here on. */
  Region = 0,
  /** Argument: 0 the CPU enters the kernel, 3 it leaves it. */
  Privilege = 1,
  /** Argument: index of the page to map. */
  Map = 2,
  /** Argument: virtual CPU that goes on. */
  Vcpu = 3,
  /** Argument: index of the visit behind which the model's kernel does what it adds. */
  Visit = 4,
}

/**
 * Values of the region register while a recording runs: whose memory is referred to, or that no recorded kernel refers
 * to it. Fetch, load and walk are told apart by kind.
 */
export const enum Region {
  User = 0,
  Kernel = 1,
  Rodata = 2,
  Module = 3,
  Replication = 4,
}

/**
 * Place among a virtual CPU's instructions by region that says how many more it executes in the kernel where no-ops
 * stayed short (defect N1).
 */
export const SHORT_NO_OPS = 7;

/** Operations in one chunk at most. Chunks, so that growing copies no more than one of them. */
export const CHUNK = 1 << 20;
/**
 * Operations that a chunk has room for at first, then twice as many each time: a long run has dozens of programs of a
 * few thousand operations, and what is freed and given out again by the host is written with zeros throughout.
 */
const FIRST_ROOM = 1 << 13;
/** Operations can name so many pages. */
export const MAX_PAGES = 1 << 24;

/** A page of the recording and where the model has it. */
export interface ProgramPage {
  /** As recorded, 4 KiB aligned. */
  readonly recorded: bigint;
  /** Physical page of the recording; -1 when it named none. */
  readonly frame: number;
  /** In the model, 4 KiB aligned. */
  readonly address: bigint;
}

/** Operations, and the tables they index. */
export class Program {
  readonly chunks: Uint32Array[] = [];
  length = 0;
  /** Address of each page in the model, halves; index is the page number. */
  pageLo = new Int32Array(1 << 10);
  pageHi = new Int32Array(1 << 10);
  readonly pages: ProgramPage[] = [];
  /** Visits that {@link Control.Visit} names. */
  readonly visits: KernelVisit[] = [];
  /** Instructions by virtual CPU and region, `[vcpu * 8 + region]`; behind the regions {@link SHORT_NO_OPS}. */
  readonly instructions = new Float64Array(64 * 8);
  /**
   * Throws what a fault of one of its operations means, naming the record it comes from.
   * @param what went wrong, a clause
   */
  blame: ((operation: number, what: string) => never) | undefined;
  /** Device accesses left out: they go past the caches. */
  devices = 0;
  /**
   * By operation, in chunks: which byte of a fetched line is executed first, so that a line that two functions share
   * is the one's that was entered. Undefined where nobody asks.
   */
  entries: Uint8Array[] | undefined;

  /** The operation pushed last fetches a line for its byte `offset`, 0 to 63. */
  enterAt(offset: number): void {
    if (this.entries === undefined) return;
    const at = this.length - 1;
    while (this.entries.length < this.chunks.length) this.entries.push(new Uint8Array(CHUNK));
    this.entries[Math.floor(at / CHUNK)]![at % CHUNK] = offset;
  }

  push(word: number): void {
    const at = this.length++ % CHUNK;
    if (at === 0) this.chunks.push(new Uint32Array(FIRST_ROOM));
    const last = this.chunks.length - 1;
    let chunk = this.chunks[last]!;
    if (at === chunk.length) {
      const larger = new Uint32Array(at * 2);
      larger.set(chunk);
      this.chunks[last] = chunk = larger;
    }
    chunk[at] = word;
  }

  /** @returns its number */
  addPage(page: ProgramPage): number {
    const number = this.pages.push(page) - 1;
    if (number >= this.pageLo.length) {
      this.pageLo = grown(this.pageLo);
      this.pageHi = grown(this.pageHi);
    }
    this.pageLo[number] = Number(BigInt.asIntN(32, page.address));
    this.pageHi[number] = Number(BigInt.asIntN(32, page.address >> 32n));
    return number;
  }

  /**
   * Nobody will ask for operations before this one: gives the chunks back that have no other. For a program that has no
   * copy yet.
   */
  forget(before: number): void {
    this.chunks.fill(new Uint32Array(0), 0, Math.floor(before / CHUNK));
  }

  /**
   * The same operations with the pages where another kernel has them.
   * @param place asked for each page in the order of their numbers
   */
  placed(place: (recorded: bigint, frame: number) => bigint): Program {
    const other = new Program();
    other.chunks.push(...this.chunks);
    other.length = this.length;
    other.entries = this.entries;
    for (const page of this.pages) {
      // A page that a long run fills in has no place of its own; one that stands for a line keeps the line.
      if (page.address === 0n) other.addPage(page);
      else {
        const line = page.address & (PAGE - 1n);
        other.addPage({ ...page, address: place(page.recorded, page.frame) | line });
      }
    }
    other.visits.push(...this.visits);
    other.instructions.set(this.instructions);
    other.blame = this.blame;
    other.devices = this.devices;
    return other;
  }

  /** What {@link enterAt} said of an operation; 0 where nobody asks. */
  entryAt(at: number): number {
    return this.entries?.[Math.floor(at / CHUNK)]?.[at % CHUNK] ?? 0;
  }

  word(at: number): number {
    return this.chunks[Math.floor(at / CHUNK)]![at % CHUNK]!;
  }
}

const grown = (from: Int32Array): Int32Array<ArrayBuffer> => {
  const larger = new Int32Array(from.length * 2);
  larger.set(from);
  return larger;
};
