/**
 * What images of BPF code need of the kernel below, as small ports: vmalloc, set-memory and text-patch stand behind
 * them in an assembly, an in-memory fake in tests. Replication is a port as well: none by default, as in the series.
 */
import { token } from "@kreplica/di";
import type { AddressRange, NodeId, PageRange } from "@kreplica/hw-x86/api";

/**
 * Areas for code in the module range. Linux: module_alloc(), vfree().
 * @patch 12/12 kernel/bpf/core.c bpf_jit_alloc_exec
 */
export interface CodeAreas {
  /**
   * Writable, not executable, zeroed; permissions go back to that when freed.
   * @returns undefined when there is no room or no memory
   */
  allocate(bytes: number, what: string): bigint | undefined;
  release(address: bigint): void;
  /** Direct write while the area is writable. */
  write(address: bigint, bytes: Uint8Array): void;
}
export const CodeAreas = token<CodeAreas>("bpf/CodeAreas");

/** How large a pack is. */
export interface PackSize {
  /** A multiple of 2 MiB. */
  readonly bytes: number;
}
export const PackSize = token<PackSize>("bpf/PackSize");

/** Permissions on every node's tables. @patch 12/12 numa_set_memory_rox, numa_set_memory_nx, numa_set_memory_rw */
export interface CodePermissions {
  readOnlyExecutable(range: PageRange): void;
  writableNoExecute(range: PageRange): void;
}
export const CodePermissions = token<CodePermissions>("bpf/CodePermissions");

/** Writes to code that is read-only and may be running. */
export interface CodeWriter {
  /** Code that nobody runs yet. @patch 08/12 arch/x86/kernel/alternative.c text_poke_copy */
  copy(address: bigint, bytes: Uint8Array): void;
  /** @patch 08/12 arch/x86/kernel/alternative.c text_poke_set */
  set(range: AddressRange, byte: number): void;
  /** One instruction that other CPUs may be about to execute, by the breakpoint protocol. Linux: text_poke_bp() */
  live(address: bigint, bytes: Uint8Array): void;
  /** What stands at the address, as any node reads it. */
  read(range: AddressRange): Uint8Array;
  /** Returns when no CPU can still be inside code it was in when this was called. Linux: RCU tasks grace period */
  settle(): void;
}
export const CodeWriter = token<CodeWriter>("bpf/CodeWriter");

/** Where images lie. */
export interface CodeHome {
  /** Node of every image; the master when absent. */
  readonly node?: NodeId;
}
export const CodeHome = token<CodeHome>("bpf/CodeHome");

/** Gives each node its own copy of an area. Bound to one that does nothing unless the user asks for it. */
export interface CodeReplication {
  /**
   * After the last direct write and before the permissions are tightened. Not an error when memory is short: the area
   * stays shared.
   */
  replicate(address: bigint): void;
}
export const CodeReplication = token<CodeReplication>("bpf/CodeReplication");

/** The series' own choice: BPF images stay shared, "off by default". @patch 12/12 cover letter */
export const noReplication: CodeReplication = { replicate: () => undefined };
