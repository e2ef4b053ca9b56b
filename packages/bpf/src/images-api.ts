/** Images of BPF code in the kernel, and the memory and helpers of programs there: interfaces and tokens. */
import { token } from "@kreplica/di";
import type { BpfMemory } from "./memory.js";
import type { StructOpsDefinition } from "./object/read-struct-ops.js";

/** A place for code. */
export interface CodePlace {
  readonly address: bigint;
  /** Whole chunks or pages, bytes. */ readonly bytes: number;
  readonly pack: boolean;
}

/** One pack, as shown to users. */
export interface PackReport {
  readonly address: bigint;
  readonly usedBytes: number;
  readonly bytes: number;
}

/**
 * Room for programs in pages that many share.
 * @patch 12/12 kernel/bpf/core.c bpf_prog_pack_alloc, bpf_prog_pack_free
 */
export interface Packs {
  /** Room for `bytes` of code, full of traps. @throws BpfError `image-no-space`; nothing is kept then */
  allocate(bytes: number): CodePlace;
  /** Puts code into a place. */
  write(place: CodePlace, bytes: Uint8Array): void;
  /** Traps over the code and the room free again. @throws BpfError `image-not-ours` */
  free(place: CodePlace): void;
  /** Gives everything back; all programs must be gone. */
  dispose(): void;
  report(): PackReport[];
}
export const Packs = token<Packs>("bpf/Packs");

/** A kernel function that can be traced. */
export interface TraceTarget {
  /** Address of its five-byte no-op, which is its first instruction. */
  readonly address: bigint;
  /** Arguments in registers, 0 to 6. */
  readonly arguments: number;
}

/** Programs around kernel functions. @patch 12/12 kernel/bpf/trampoline.c bpf_trampoline_update */
export interface KernelTrampolines {
  /**
   * @throws BpfError `trampoline-bad-site`, `trampoline-too-many`, `trampoline-no-space`; the function is as before
   *   then
   */
  attach(target: TraceTarget, when: "entry" | "exit", program: bigint): void;
  /** @throws BpfError `trampoline-not-attached` */
  detach(target: TraceTarget, program: bigint): void;
  /** Address of the image on a function, undefined when none is attached. */
  imageOf(target: TraceTarget): bigint | undefined;
}
export const KernelTrampolines = token<KernelTrampolines>("bpf/KernelTrampolines");

/** One page that jumps directly to whichever of its programs is asked for. Linux: bpf_dispatcher */
export interface KernelDispatcher {
  /** Where to jump for the programs known now; undefined before the first. */
  readonly entry: bigint | undefined;
  /** @throws BpfError `dispatcher-full`, `dispatcher-no-space` */
  add(program: bigint): void;
  /** @throws BpfError `dispatcher-not-attached` */
  remove(program: bigint): void;
  /** Gives the page back. */
  dispose(): void;
}
export const KernelDispatcher = token<KernelDispatcher>("bpf/KernelDispatcher");

/** A published structure. */
export interface StructOpsImage {
  readonly name: string;
  readonly address: bigint;
  /** The structure's bytes, function pointers leading into the image. */
  readonly value: Uint8Array;
}

/**
 * Kernel structures whose function pointers are programs.
 * @patch 12/12 kernel/bpf/bpf_struct_ops.c bpf_struct_ops_map_update_elem
 */
export interface KernelStructOps {
  /**
   * @param entries code address of each program by name
   * @throws BpfError `struct-ops-no-program`, `struct-ops-no-space`; nothing is kept then
   */
  publish(definition: StructOpsDefinition, entries: ReadonlyMap<string, bigint>): StructOpsImage;
  /** Takes a structure back. @throws BpfError `struct-ops-not-published` */
  retract(image: StructOpsImage): void;
}
export const KernelStructOps = token<KernelStructOps>("bpf/KernelStructOps");

/** Memory of programs in the kernel's own address range. */
export interface ProgramMemory extends BpfMemory {
  /** Count of areas handed out and not given back. */
  readonly inUse: number;
}
export const ProgramMemory = token<ProgramMemory>("bpf/ProgramMemory");

/** Entries of helpers: what compiled code calls where the kernel's functions would be. */
export interface Helpers {
  /** Where helper 0 begins. @throws BpfError `helper-page-no-space` */
  readonly stubs: bigint;
  /** @returns undefined for a number that there is no room for */
  address(id: number): bigint | undefined;
  dispose(): void;
}
export const Helpers = token<Helpers>("bpf/Helpers");
