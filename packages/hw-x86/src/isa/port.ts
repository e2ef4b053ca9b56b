/**
 * What the instruction interpreter needs from the machine around it: memory, interrupts, control registers, counters.
 *
 * Every outcome is a status number, so that nothing on the access path throws:
 *
 *   31 .. 28 | 27            | 26      | 25     | 24    | 23 .. 16 | 15 .. 0
 *   0        | non-canonical | stopped | repeat | fault | vector   | error code
 *
 * 0 is success. A page fault is FAULT | 14 << 16 | error code.
 */
import type { FrameWindow } from "../memory-api.js";
import type { Vendor } from "../spec.js";
import type { FetchedCode } from "./fetched-code.js";

const FAULT_BIT = 1 << 24;

/**
 * Status: an exception of the vector with an error code (0 where the exception has none).
 * @param vector 0 to 31
 * @param errorCode 16 bits
 */
export const faultStatus = (vector: number, errorCode = 0): number => FAULT_BIT | (vector << 16) | errorCode;
/** Status of a page fault. @param errorCode bits as in the SDM. @source SDM vol. 3A, "Page-Fault Error Code" */
export const pageFault = (errorCode: number): number => FAULT_BIT | (14 << 16) | errorCode;
/** Status of an access to a non-canonical address: #GP(0), or #SS(0) when the access was through the stack segment. */
export const NON_CANONICAL = FAULT_BIT | (1 << 27) | (13 << 16);

/** How memory is accessed; bits, since a locked access is also one for writing. */
export const enum Access {
  Read = 0,
  /** A store, or the load of a read-modify-write: checked as a write, as hardware does. */
  Write = 1,
  /** Part of a locked read-modify-write. */
  Locked = 2,
  /** Done by the CPU itself (descriptor tables, TSS, interrupt frames): supervisor whatever the privilege level. */
  System = 4,
}

/**
 * One page of memory that may be accessed without asking the port again, until the port calls
 * {@link WindowHolder.dropWindows}. The port hands one out only while neither permissions nor timing need its
 * attention. All windows that are open at a time are on one buffer.
 */
export type PageWindow = FrameWindow;

/** The side of the interpreter a port may call back. */
export interface WindowHolder {
  /**
   * Forgets every page window and translated block entry: call it whenever a translation, a permission or the storage
   * of a frame changed.
   */
  dropWindows(): void;
  /** Forgets the windows alone: storage has moved, translations hold. */
  closeWindows(): void;
}

/** The machine as seen by one CPU's interpreter. Addresses are virtual, as 32-bit halves. */
export interface CpuPort {
  /** Whose processor this is; it never changes. */
  readonly vendor: Vendor;
  /**
   * Result of the last successful read or control call: value halves in 0 and 1; after a fault, its address in 2 and 3.
   * CPUID leaves eax, ebx, ecx, edx in 0 to 3.
   */
  readonly data: Int32Array;
  /**
   * Whether every fetch must pass through {@link fetchLine}, and no window is handed out: the exact account of caches
   * and cycles.
   */
  readonly timed: boolean;
  /**
   * What the CPU keeps of the instructions it has fetched; absent: it executes what memory holds. Such a port hands out
   * no window.
   */
  readonly fetched?: FetchedCode;
  /** Called once by the interpreter that will use this port. */
  attach(holder: WindowHolder): void;
  /** Asked whenever the interpreter is entered: others may have used the CPU since. Optional. */
  synchronise?(privilege: number, alignmentCheck: boolean): void;
  /**
   * CR0, CR3 or CR4 as the port has it, when it may change without the interpreter; undefined: as last written.
   * Optional.
   */
  controlValue?(index: number): bigint | undefined;
  /**
   * Loads `bytes` (1, 2, 4, 8) into `data`, zero-extended; may cross pages.
   * @param access bits of {@link Access}
   * @returns status
   */
  read(lo: number, hi: number, bytes: number, access: number): number;
  /** Stores `bytes` (1, 2, 4, 8); either all of it or, when it faults, none. @returns status */
  write(lo: number, hi: number, bytes: number, valueLo: number, valueHi: number, access: number): number;
  /** A window on the page, or undefined. Asked only after an access to the page succeeded. */
  window(lo: number, hi: number, write: boolean): PageWindow | undefined;
  /** Translates for execution. @returns frame number, or a negative number: minus the fault status */
  translateFetch(lo: number, hi: number): number;
  /**
   * Copies code bytes of a frame.
   * @param offset 0 to 4095
   * @returns bytes copied: up to `into.length` and the end of the frame
   */
  readCode(frame: number, offset: number, into: Uint8Array): number;
  /** Index of a frame's first word in the words of its windows, or a number far below 0 where there are none. */
  firstWord(frame: number): number;
  /** Times the frame was written, modulo 2^32. */
  version(frame: number): number;
  /** Charges the fetch of the 64-byte line that holds the address; asked when `timed`. @returns status */
  fetchLine(lo: number, hi: number): number;
  /**
   * Whether the next ones are there: a `timed` port then has what compiled code charges its accesses with. Each access
   * lies within a line and is aligned to its size.
   * @returns index in {@link words} of the page's first word, or minus a status
   */
  readonly charges?: boolean;
  chargeLoad?(lo: number, hi: number): number;
  /** The page's version counts on. */
  chargeStore?(lo: number, hi: number): number;
  /** The load of a read-modify-write, and its store. */
  chargeModify?(lo: number, hi: number): number;
  /** The fetch of the first line of a block. @returns as {@link translateFetch}, which does the same */
  chargeFetch?(lo: number, hi: number): number;
  /** Words of memory, until the next access. */
  readonly words?: Int32Array;
  /** Charges instructions done. */
  retire(count: number): void;
  /** Privilege level or RFLAGS.AC changed; the interpreter has dropped its windows. */
  modeChanged(privilege: number, alignmentCheck: boolean): void;
  /**
   * MOV to CR0, CR3, CR4 or CR8, EFER and the like were checked for reserved bits by the port.
   * @returns status; on 0 the interpreter drops its windows. May throw for a mode that is not modelled.
   */
  controlRegister(index: number, lo: number, hi: number): number;
  /** MSRs the interpreter does not hold itself. @returns status, #GP(0) for an unknown one */
  readMsr(index: number): number;
  writeMsr(index: number, lo: number, hi: number): number;
  invlpg(lo: number, hi: number): void;
  /** @param type 0 address, 1 context, 2 all with globals, 3 all without @returns status */
  invpcid(type: number, pcid: number, lo: number, hi: number): number;
  /** eax, ebx, ecx, edx into `data`. */
  cpuid(leaf: number, subleaf: number): void;
  /** Time-stamp counter into `data`. */
  timeStamp(): void;
  /** Next entropy word into `data` for RDRAND and RDSEED, deterministic. @returns whether there is any (CF) */
  random(): boolean;
  /**
   * Vector of the interrupt to take now, removed from the queue; -1 for none. Asked only after {@link
   * Interpreter.signal}, with IF set.
   */
  acknowledge(): number;
}
