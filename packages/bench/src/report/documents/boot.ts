/** What `kreplica boot --json` prints. */
import type { Booted, Kernel, MemoryAccount, MemoryCost } from "@kreplica/kernel";
import type { BootEvent } from "@kreplica/mm-core/api";
import type { InvariantReport } from "@kreplica/invariants/api";

/** A kernel that came up: what each step did, what it cost in memory, and whether the replicas are right. */
export interface BootDocument {
  readonly schema: "kreplica.boot/1";
  /** Name of the machine. */
  readonly machine: string;
  /** Name of the kernel's image. */
  readonly kernel: string;
  /** Who holds copies. */
  readonly policy: string;
  /** Of page tables. */
  readonly levels: 4 | 5;
  /** Kernel page-table isolation. */
  readonly pti: boolean;
  /** Whether there is a shadow of a kernel that checks its accesses. */
  readonly kasan: boolean;
  /** Node that holds the image. */
  readonly masterNode: number;
  /** CPU that booted. */
  readonly bootCpu: number;
  readonly image: BootedImage;
  /** Nodes that hold a copy, the master node among them. */
  readonly holders: readonly number[];
  /** Steps in their order. */
  readonly timeline: readonly BootEvent[];
  readonly memory: MemoryDocument;
  readonly invariants: InvariantReport;
}

/** Where an image lies. */
export interface BootedImage {
  /** Physical address of its first byte, hexadecimal. */
  readonly physical: string;
  /** What KASLR added to the linked addresses, hexadecimal. */
  readonly offset: string;
}

/** What replication costs in memory, counted, worked out from sizes, and cause by cause. */
export interface MemoryDocument extends MemoryAccount {
  /** All of it, against a booted kernel with one copy. */
  readonly cost: MemoryCost;
}

/** What was found of a kernel that came up. */
export interface BootFindings {
  readonly memory: MemoryAccount;
  readonly cost: MemoryCost;
  readonly report: InvariantReport;
}

/** @param of what was booted: the names that the user knows both by */
export const bootDocument = (
  { image, layout, options, timeline, view }: Booted,
  { machine, policy }: Kernel,
  { memory, cost, report }: BootFindings,
): BootDocument => ({
  schema: "kreplica.boot/1",
  machine: machine.name,
  kernel: image.name,
  policy: policy.name,
  levels: layout.levels,
  pti: layout.pti,
  kasan: layout.kasan !== undefined,
  masterNode: view.master,
  bootCpu: options.bootCpu,
  image: {
    physical: `0x${layout.imagePhysical.toString(16)}`,
    offset: `0x${layout.imageOffset.toString(16)}`,
  },
  holders: view.holders,
  timeline,
  memory: { ...memory, cost },
  invariants: report,
});
