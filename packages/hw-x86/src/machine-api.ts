/** The assembled machine and one of its CPUs, as other packages see them. */
import { token } from "@kreplica/di";
import type { CachedTranslations } from "./cached.js";
import type { CpuId, Frame, NodeId } from "./ids.js";
import type { PhysMemory } from "./memory-api.js";
import type { MachineSpec } from "./spec.js";

export { FaultBit } from "./fault-bit.js";

/** What an access may end in: 0, or {@link FAULT} with the architectural error-code bits. */
export const FAULT = 0x8000_0000 | 0;

/** What an access to a non-canonical address ends in: a general-protection fault with error code 0, no page fault. */
export const NOT_CANONICAL = FAULT | 0x1_0000;

/** Bytes that a CPU executes as it fetched them, whatever memory holds meanwhile. */
export interface FetchedBytes {
  /** Linear, of the first byte. */
  readonly address: bigint;
  /** Where it came from; all of it lies in this frame. */
  readonly frame: Frame;
  readonly bytes: Uint8Array;
}

/** What a CPU keeps of the instructions it has fetched. */
export interface FetchedInstructions {
  /** Oldest first. */
  save(): readonly FetchedBytes[];
}

/** Kinds of references in a batch, the low two bits of a reference's first word: an instruction fetch. */
export const BATCH_FETCH = 0;
/** A data load. */
export const BATCH_LOAD = 1;
/** A data store. */
export const BATCH_STORE = 2;
/**
 * No reference: from here on the region register is the second word; where that is negative, the batch ends before it.
 */
export const BATCH_REGION = 3;

/**
 * References handed over many at a time, to be run as fast as the host can, under the registers that the CPU has when
 * they are run. What is counted and cached is what one call for each of them does.
 */
export interface ReferenceBatch {
  /**
   * Two words a reference: address bits 31 to 6 with the kind below, and bits 63 to 32. Shared with the core's others.
   */
  readonly input: Int32Array;
  /** References the input has room for. */
  readonly capacity: number;
  /** Runs references `[from, to)`. @returns the index of the first that was not run, or that faulted */
  run(from: number, to: number): number;
  /** What the reference at the index {@link run} returned ended in; 0 where none faulted. */
  readonly fault: number;
}

/**
 * One hardware thread: control registers and the access path through its TLBs, the tables and its caches.
 *
 * After reset all registers are 0: paging is off and addresses are physical. Paging comes on in the order of the
 * hardware, CR4.PAE, CR3, EFER.LME, CR0.PG; CR4.PCIDE is set after that and cleared before PG is. Address halves may be
 * signed or unsigned; signed ones (`lo | 0`) allocate nothing.
 */
export interface Cpu {
  readonly id: CpuId;
  readonly node: NodeId;
  /** 0 to 7: under which counters what follows is counted; the meaning is the caller's. */
  region: number;
  /** 0 supervisor, 3 user. */
  privilege: 0 | 3;
  /** Current root: frame of the PGD. */
  readonly rootFrame: number;
  readonly pcid: number;
  /** CR3 as last written, bit 63 off. */
  readonly cr3: bigint;
  /**
   * MOV CR3 with all it does to TLBs and paging-structure caches; bit 63 keeps this PCID's entries (CR4.PCIDE), and
   * without PCIDE does nothing where hardware refuses it.
   * @throws MachineError "general-protection" for bits 62 to MAXPHYADDR
   * @source SDM vol. 3A, "Operations that Invalidate TLBs and Paging-Structure Caches"
   */
  writeCr3(value: bigint): void;
  /**
   * Bits kept: 16 (WP), 31 (PG).
   * @throws MachineError "general-protection" or "not-modelled" for PG without CR4.PAE or EFER.LME,
   *   "general-protection" for PG cleared with CR4.PCIDE
   */
  cr0: number;
  /**
   * Bits kept: 5 PAE, 7 PGE, 12 LA57, 17 PCIDE, 20 SMEP, 21 SMAP. Changing PGE, PCIDE (to 0), SMEP or LA57 flushes as
   * the SDM says.
   * @throws MachineError "general-protection" where the hardware would
   */
  cr4: number;
  /**
   * Bits kept: 8 LME, 10 LMA (set and cleared by CR0.PG alone), 11 NXE.
   * @throws MachineError "general-protection" for LME changed while paging is on
   */
  efer: number;
  /** RFLAGS.AC for SMAP. */
  alignmentCheck: boolean;
  /**
   * Instruction fetch of the line that holds the address. Hot.
   * @returns 0, FAULT | error code, or {@link NOT_CANONICAL}
   */
  fetch(lo: number, hi: number): number;
  /** Data load. Hot. One line; an access that crosses a line is two calls. */
  load(lo: number, hi: number): number;
  /** Data store. Hot. */
  store(lo: number, hi: number): number;
  /**
   * References in batches; `undefined`, or no such method, where this CPU's parts or the host are not made for it. At
   * the first call the core's state moves to a memory that the host's WebAssembly works on, 64 KiB or more beside it.
   */
  batch?(): ReferenceBatch | undefined;
  /** Frame the last successful access of this CPU went to. */
  readonly lastFrame: number;
  /**
   * Load or store by physical address (bookkeeping that is not worth a translation, device windows): caches and NUMA,
   * no translation.
   */
  loadPhysical(frame: number, line: number): void;
  storePhysical(frame: number, line: number): void;
  /** Charges `count` instructions. */
  retire(count: number): void;
  invlpg(address: bigint): void;
  /**
   * @throws MachineError "general-protection" for a PCID or address that does not exist
   * @param type 0 address, 1 context, 2 all with globals, 3 all without.
   * @source SDM vol. 2, "INVPCID"
   */
  invpcid(type: 0 | 1 | 2 | 3, pcid: number, address: bigint): void;
  /** Everything this thread's core caches about translations. */
  flushTranslations(): void;
  /**
   * Walks for an address that no instruction accesses, as processors do ahead of what they run: what is found is kept,
   * A bits are set, and nothing faults. Nothing is walked for that a TLB has.
   * @param level of the last entry it has read so far, 1 to 5: a walk in the middle goes on from there at the next
   *   access. A leaf above ends it, and nothing is kept of one that is not read
   * @source Intel SDM vol. 3A, "Details of TLB Use", "Caches for Paging Structures"
   */
  walkAhead(lo: number, hi: number, level: number): void;
  /** What it has cached of page tables, for checks; reading it changes nothing. */
  readonly cached: CachedTranslations;
  /** What it keeps of instructions, for checks; absent where nothing runs on it that keeps any. */
  readonly fetched?: FetchedInstructions | undefined;
}

/** The box. */
export interface Machine {
  readonly spec: MachineSpec;
  readonly memory: PhysMemory;
  /** Node ids that exist. */
  readonly nodes: readonly NodeId[];
  readonly cpuIds: readonly CpuId[];
  /** The CPU; its core's caches come into being at first use. @throws RangeError for an id the machine does not have */
  cpu(id: CpuId): Cpu;
  nodeOfCpu(id: CpuId): NodeId;
  /** SLIT distance by node id. */
  distance(from: NodeId, to: NodeId): number;
  /** Sends an interrupt from one CPU to others and charges both sides; the work they do is the caller's. */
  interrupt(from: CpuId, to: readonly CpuId[]): void;
  /**
   * Empties every cache, TLB and paging-structure cache of the machine (written-back, nothing lost): the "cold" of a
   * measurement.
   */
  chill(): void;
  /** Empties every cache, as WBINVD on every CPU would; what is cached of translations and of jumps stays. */
  flushCaches(): void;
}
export const Machine = token<Machine>("hw-x86/Machine");
