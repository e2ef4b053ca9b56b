/** Processes as the rest of the kernel and a checker see them. */
import { token } from "@kreplica/di";
import type { CpuId, Frame, NodeId, PageRange } from "@kreplica/hw-x86/api";
import type { AddressSpace, LdtPlace } from "./address-space-api.js";
import type { UserFile } from "./page-cache-api.js";
import type { VmaTree } from "./vma-tree.js";

/** Where a page's frame comes from. */
export type NumaPolicy =
  | { readonly kind: "local" }
  | { readonly kind: "bind"; readonly nodes: readonly NodeId[] }
  | { readonly kind: "interleave"; readonly nodes: readonly NodeId[] }
  | { readonly kind: "preferred"; readonly node: NodeId };

/** One mapped area of a process. */
export interface Vma {
  readonly start: bigint;
  readonly end: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  readonly locked: boolean;
  /** 2 MiB pages where they fit. */
  readonly large: boolean;
  /** Grows down on a fault just below it. */
  readonly stack: boolean;
  readonly policy: NumaPolicy;
  /** What its pages are of; undefined for anonymous memory that is private. */
  readonly file: UserFile | undefined;
  /** Page of the file at `start`. */
  readonly offset: number;
  /** Stores reach the file, and all who map it; otherwise the first makes a copy of the page. */
  readonly shared: boolean;
}
/** What an area is, but for where it is. */
export type VmaProperties = Partial<Omit<Vma, "start" | "end">>;

/** A local descriptor table; never changed, only replaced. @source Linux 6.5 arch/x86/kernel/ldt.c */
export interface Ldt {
  /** Descriptors of 8 bytes it has room for, 1 to 8192. */
  readonly entries: number;
  /** Its own, enough of them. */
  readonly frames: readonly Frame[];
  /** Where it is mapped under KPTI. */
  readonly place: LdtPlace;
}

/** A process: its space, its areas, and what its CPUs need to run it. */
export interface Process {
  readonly id: number;
  space: AddressSpace;
  vmas: VmaTree<Vma>;
  /** Pages of 4 KiB that are there, with or without access, and locked ones among them. */
  rss: number;
  locked: number;
  /** Heap: [brkStart, brk). */
  readonly brkStart: bigint;
  brk: bigint;
  /** Undefined before the first {@link Processes.modifyLdt}. */
  ldt: Ldt | undefined;
  alive: boolean;
}

/**
 * What an access came to. `segv`: not allowed. `sigbus`: allowed, and behind the end of the file. `oom`: a frame or
 * table could not be had.
 */
export type AccessOutcome = "ok" | "segv" | "sigbus" | "oom";
/** What a user access does. */
export type AccessKind = "read" | "write" | "execute";

/** Processes, their memory, and the CPUs they run on. All refusals are values and leave everything as it was. */
export interface Processes {
  readonly alive: ReadonlySet<Process>;
  /** exec of the first program. @param cpu on which it is asked for */
  spawn(cpu: CpuId): Process | undefined;
  /**
   * A copy that shares every page until one side writes, and for good what is shared; of that the child has areas, and
   * no leaves before it faults. @source Linux 6.5 mm/memory.c vma_needs_copy
   */
  fork(parent: Process, cpu: CpuId): Process | undefined;
  /** A fresh address space in the same process. */
  exec(process: Process, cpu: CpuId): boolean;
  exit(process: Process): void;
  /**
   * Maps private memory, or a file that `properties` names; shared without a file, memory of its own that children
   * share. Of 4 KiB pages where it is not private and anonymous.
   * @param range pages of 4 KiB
   * @returns false where something is mapped already
   */
  mmap(process: Process, range: PageRange, properties: VmaProperties, cpu: CpuId): boolean;
  munmap(process: Process, range: PageRange, cpu: CpuId): boolean;
  /**
   * A page keeps its contents whatever is allowed, no access at all included.
   * @returns false over a hole, or when there is no memory to split a large page
   */
  mprotect(
    process: Process,
    range: PageRange,
    change: Pick<VmaProperties, "readable" | "writable" | "executable">,
    cpu: CpuId,
  ): boolean;
  /** Moves a mapping. @returns false when the source is not one area or the target is taken */
  mremap(process: Process, range: PageRange, to: bigint, cpu: CpuId): boolean;
  /**
   * Sets where a file ends. Pages behind it leave every area, copies of private ones too, and every CPU; accesses there
   * come to `sigbus` until the file is longer again, and then to zeroes.
   * @param pages of 4 KiB, 0 or more @param cpu sends the flushes
   */
  truncate(file: UserFile, pages: number, cpu: CpuId): void;
  setBrk(process: Process, end: bigint, cpu: CpuId): boolean;
  mlock(process: Process, range: PageRange, on: boolean, cpu: CpuId): boolean;
  /**
   * Sets one descriptor, in a new table that takes the place of the old one; a child gets a copy, exec starts without.
   * @param entry 0 to 8191; 0 when absent @param descriptor 64 bits, 0 when absent @param cpu the current one when
   *   absent
   * @returns false for no such entry, or when memory could not be had; nothing is changed then
   */
  modifyLdt(process: Process, entry?: number, descriptor?: bigint, cpu?: CpuId): boolean;
  /**
   * What a CPU finds that loads a segment register with an entry of the LDT in user mode.
   * @param entry 0 to 8191
   * @returns 64 bits; `beyond` where LDTR's limit ends before, `fault` where its address is not mapped
   * @source Intel SDM vol. 3A, "Segment Descriptor Tables"
   */
  loadSegment(cpu: CpuId, entry: number): bigint | "beyond" | "fault";
  /** Runs a thread of the process on a CPU; any number of CPUs may. */
  run(process: Process, cpu: CpuId): void;
  /**
   * One access in user mode by what runs on the CPU, faults handled.
   * @param value stored by a write; what a read found is in {@link lastValue}
   */
  access(cpu: CpuId, address: bigint, kind: AccessKind, value?: number): AccessOutcome;
  readonly lastValue: number;
  /** Page faults taken, and those where nothing had to be done. */
  readonly faults: { readonly taken: number; readonly spurious: number };
  /**
   * Whether a kernel fault was raised by a stale entry: the tables allow what was refused.
   * @patch 07/12 arch/x86/mm/fault.c spurious_kernel_fault
   */
  isSpuriousKernelFault(cpu: CpuId, address: bigint, write: boolean, fetch: boolean): boolean;
  /** Takes a CPU off line: it leaves every address space. */
  offline(cpu: CpuId): void;
  /** Brings it back, from the boot table to its node's root. */
  online(cpu: CpuId): void;
}
export const Processes = token<Processes>("mm-core/Processes");
