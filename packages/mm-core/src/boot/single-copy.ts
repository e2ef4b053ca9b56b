/** The replica view of a kernel without the series: one set of tables, one copy of everything. */
import { inject, injectable } from "@kreplica/di";
import { type CpuId, type Frame, Machine, type NodeId } from "@kreplica/hw-x86/api";
import { bootRoot } from "./early-map.js";
import { imageFrame } from "../image/layout.js";
import { KernelOptions } from "../options-api.js";
import { KernelImage } from "../image/kernel-image-api.js";
import { KernelLayout } from "../image/kernel-layout-api.js";
import type { ReplicaView, TableRoot } from "../tables/replica-view-api.js";
import { TableMemory } from "../tables/table-memory-api.js";

/** @patch 03/12 include/linux/numa_replication.h the stubs without CONFIG_KERNEL_REPLICATION */
@injectable()
export class SingleCopy implements ReplicaView {
  readonly name: string = "single-copy";
  readonly master: NodeId;
  readonly holders: readonly NodeId[];
  readonly copies = { text: false, rodata: false };
  readonly roots: readonly TableRoot[];
  private readonly root: Frame;

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(KernelImage) private readonly image: KernelImage,
    @inject(KernelOptions) options: KernelOptions,
    @inject(TableMemory) private readonly entries: TableMemory,
  ) {
    this.master = options.master;
    this.holders = [options.master];
    this.root = bootRoot(layout, image);
    this.roots = [{ node: options.master, root: this.root, kind: "boot" }];
  }

  nearest(): NodeId {
    return this.master;
  }
  isPrivate(): boolean {
    return false;
  }
  replicaFrame(address: bigint): Frame | undefined {
    const linked = address - this.layout.imageOffset;
    const { stext, end } = this.image;
    return linked >= stext && linked < end ? imageFrame(this.layout, stext, linked) : undefined;
  }
  addressInReplica(): bigint | undefined {
    return undefined;
  }
  kernelRoot(): Frame {
    return this.root;
  }
  reserve(): void {}
  replicateKernel(): void {}
  setupCpu(cpu: CpuId): void {
    this.machine.cpu(cpu).writeCr3(this.entries.cr3(this.root));
  }
  replicateRodata(): void {}
  clearLinearAddresses(): void {}
}
