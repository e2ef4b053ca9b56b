/** A kernel image as the kernel's builders see it: interface and token. */
import { token } from "@kreplica/di";

/** What a run of the kernel image holds. */
export type SectionKind = "text" | "rodata" | "data" | "init" | "bss" | "brk";

/** A run of the image with one purpose; addresses as linked, before KASLR. */
export interface ImageSection {
  readonly name: string;
  readonly kind: SectionKind;
  readonly start: bigint;
  /** First byte behind it. */
  readonly end: bigint;
  readonly writable: boolean;
  readonly executable: boolean;
}

/** A run of one-byte no-ops: padding in a site of the alternatives. */
export interface NoOps {
  /** As linked. */
  readonly address: bigint;
  readonly bytes: number;
}

/** A kernel image: where everything lies, and its bytes when it has them. All addresses as linked. */
export interface KernelImage {
  /** One-byte no-ops in text that the kernel makes long ones while it boots, ascending; unknown where absent. */
  readonly noOps?: readonly NoOps[];
  readonly name: string;
  readonly sections: readonly ImageSection[];
  /** Replicated text is [stext, etext), replicated rodata [startRodata, endRodata); patch 06 puts all four on 2 MiB. */
  readonly stext: bigint;
  readonly etext: bigint;
  readonly startRodata: bigint;
  readonly endRodata: bigint;
  /** Freed after boot: [initBegin, initEnd). */
  readonly initBegin: bigint;
  readonly initEnd: bigint;
  /** First byte behind .bss and .brk. */
  readonly end: bigint;
  /** Address of a symbol as linked, or undefined. */
  symbol(name: string): bigint | undefined;
  /** 4096 bytes of the page at a linked address; synthetic but position-dependent where the image carries none. */
  readPage(address: bigint, into: Uint8Array): void;
  /** Whether readPage gives the real bytes. */
  readonly hasBytes: boolean;
}
export const KernelImage = token<KernelImage>("mm-core/KernelImage");
