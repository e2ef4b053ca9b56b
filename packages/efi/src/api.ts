/** EFI runtime services: interface, token, refusals. */
import { token } from "@kreplica/di";
import { type CpuId, type Frame, hex, type NodeId } from "@kreplica/hw-x86/api";

/** One code, one meaning; the detail names the place. */
export type EfiErrorCode = "misaligned" | "no-room" | "out-of-frames";

/** Thrown by cold-path operations; nothing is kept then. */
export class EfiError extends Error {
  override readonly name = "EfiError";
  constructor(
    readonly code: EfiErrorCode,
    readonly address: bigint,
    detail: string,
  ) {
    super(`${code}: ${hex(address)}: ${detail}`);
  }
}

/** Top and bottom of the window, which grows down. @source Documentation/arch/x86/x86_64/mm.rst */
export const EFI_VA_START = 0xffff_ffff_0000_0000n;
/** First address below which the firmware's regions are placed, downwards. */
export const EFI_VA_END = 0xffff_ffef_0000_0000n;

/** A run of memory the firmware runs in or uses. */
export interface EfiRegion {
  /** 4 KiB aligned. */
  readonly physical: bigint;
  readonly pages: number;
  readonly writable: boolean;
  readonly executable: boolean;
}

/** Calls into the firmware, on tables that no process has. */
export interface Efi {
  /**
   * Maps a region below the last one, at the same offset within 2 MiB as its physical address, so that large leaves
   * fit.
   * @returns its virtual address
   * @throws EfiError misaligned, no-room, out-of-frames
   */
  map(region: EfiRegion): bigint;
  /** Root a node's CPUs load for a call. @patch 09/12 arch/x86/platform/efi/efi_64.c efi_alloc_page_tables */
  root(node: NodeId): Frame;
  /** Distinct roots. */
  readonly roots: readonly Frame[];
  /** Roots made so far, by the node that has one: none before the first call or region. Looking at them makes none. */
  readonly made: ReadonlyMap<NodeId, Frame>;
  /** Brings the kernel's part up to date; every call does it first. Linux: efi_sync_low_kernel_mappings. */
  refresh(): void;
  /**
   * Runs `service` with a CPU on its EFI root, then puts the CPU back where it was, or on init_mm when that process has
   * ended meanwhile.
   * @throws InvariantError when the CPU is in a call or a poke already
   */
  call<T>(cpu: CpuId, service: () => T): T;
}
export const Efi = token<Efi>("efi/Efi");

/** Which roots there are. Bindings: those of the plugins `efi` (the series) and `efiPerHolder`. */
export interface EfiRoots {
  /** Nodes that get a root of their own; all others use the nearest holder's. */
  nodes(holders: readonly NodeId[], master: NodeId): readonly NodeId[];
}
export const EfiRoots = token<EfiRoots>("efi/EfiRoots");
