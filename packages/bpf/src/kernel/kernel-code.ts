/**
 * The ports of images on the kernel's own parts: areas from vmalloc's module range, permissions by set-memory, writes
 * by text-patch.
 */
import { bind, bindValue, inject, injectable, type Plugin, plugin } from "@kreplica/di";
import { type AddressRange, contains, hex, Machine, type NodeId, type PageRange } from "@kreplica/hw-x86/api";
import { KernelLayout, ReplicaView, type TextUser } from "@kreplica/mm-core/api";
import { SetMemory } from "@kreplica/set-memory/api";
import { CALL, TextPoke } from "@kreplica/text-patch/api";
import { moduleArea, Vmalloc, VmallocError } from "@kreplica/vmalloc/api";
import { invariant } from "../errors.js";
import { PACK_BYTES } from "../image/prog-pack.js";
import { CodeAreas, CodeHome, CodePermissions, CodeReplication, CodeWriter, PackSize } from "../ports.js";

/** Codes of vmalloc that mean "no room", not "wrong request". */
const SHORTAGES: readonly string[] = ["no-space", "out-of-frames", "out-of-tables"];

/**
 * Areas lie in the replication window: mapped on every node, one copy until replication is asked for.
 *
 * @patch 12/12 kernel/bpf/core.c bpf_jit_alloc_exec
 */
@injectable()
export class ModuleRangeAreas implements CodeAreas {
  constructor(
    @inject(Vmalloc) private readonly vmalloc: Vmalloc,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(CodeHome) private readonly home: CodeHome,
  ) {}

  allocate(bytes: number): bigint | undefined {
    try {
      return moduleArea(this.vmalloc, {
        bytes,
        low: this.layout.modulesStart,
        high: this.layout.modulesEnd,
        placement: { node: this.home.node === undefined ? this.view.master : this.view.nearest(this.home.node) },
        purpose: "module",
        resetPermissions: true,
      }).start;
    } catch (error) {
      if (error instanceof VmallocError && SHORTAGES.includes(error.code)) return undefined;
      throw error;
    }
  }
  release(address: bigint): void {
    this.vmalloc.free(this.area(address));
  }
  write(address: bigint, bytes: Uint8Array): void {
    const area = this.area(address);
    this.vmalloc.write(area, Number(address - area.start), bytes);
  }
  private area(address: bigint) {
    const area = this.vmalloc.find(address);
    invariant(area !== undefined, `${hex(address)} is no code area`);
    return area;
  }
}

/**
 * @patch 12/12 kernel/bpf/core.c, trampoline.c, bpf_struct_ops.c: set_memory_* become numa_set_memory_*; here SetMemory
 *   reaches every root
 */
@injectable()
export class EveryRootPermissions implements CodePermissions {
  constructor(@inject(SetMemory) private readonly setMemory: SetMemory) {}
  readOnlyExecutable(range: PageRange): void {
    this.setMemory.readOnlyExecutable(range);
  }
  writableNoExecute(range: PageRange): void {
    this.setMemory.readWriteNonExecutable(range);
  }
}

/**
 * A function to whose entry a program is attached may not go: the attachment holds its module. Linux:
 * kernel/bpf/trampoline.c, btf_try_get_module.
 */
@injectable()
export class PokeWriter implements CodeWriter, TextUser {
  readonly name = "a BPF trampoline";
  /** Entries that call generated code now. */
  private readonly entries = new Set<bigint>();
  constructor(@inject(TextPoke) private readonly poke: TextPoke) {
    poke.users.add(this);
  }

  sites(): Iterable<bigint> {
    return this.entries;
  }
  refusal(range: AddressRange): string | undefined {
    const attached = [...this.entries].find((address) => contains(range, address));
    return attached === undefined ? undefined : `a BPF program is attached to ${hex(attached)}: detach it first`;
  }
  forget(): void {
    /* whoever is attached has refused */
  }

  copy(address: bigint, bytes: Uint8Array): void {
    this.poke.copy(address, bytes);
  }
  set(range: AddressRange, byte: number): void {
    this.poke.set(range, byte);
  }
  live(address: bigint, bytes: Uint8Array): void {
    this.poke.batch([{ address, bytes }]);
    if (bytes[0] === CALL) this.entries.add(address);
    else this.entries.delete(address);
  }
  read(range: AddressRange): Uint8Array {
    return this.poke.read(range);
  }
  settle(): void {
    this.poke.synchronise();
  }
}

/**
 * A copy of each image on every holder. "Easily done by existing APIs", says the series, and leaves it out.
 * @patch 10/12 mm/vmalloc.c __vmalloc_node_replicate_range
 */
@injectable()
export class AreaReplication implements CodeReplication {
  constructor(@inject(Vmalloc) private readonly vmalloc: Vmalloc) {}
  replicate(address: bigint): void {
    const area = this.vmalloc.find(address);
    // Where no node has tables of its own there is nothing to replicate to; short memory leaves the area shared and
    // usable.
    if (area?.state === "shared") this.vmalloc.replicate(area);
  }
}

/** The series' choice: images stay shared. @patch 12/12 cover letter */
@injectable()
export class SharedImages implements CodeReplication {
  replicate(): void {
    /* one copy serves every node */
  }
}

/** A pack of the kernel's. @source kernel/bpf/core.c BPF_PROG_PACK_SIZE */
@injectable()
export class PackForEachNode implements PackSize {
  readonly bytes: number;
  constructor(@inject(Machine) { nodes }: Machine) {
    this.bytes = PACK_BYTES * nodes.length;
  }
}

/**
 * Needs mm-core, vmalloc, set-memory and text-patch.
 * @param replicate a copy of each image on every holder; a pack of 2 MiB then gives each node its page
 * @param node of every image; the master when absent. The series takes node 0. @patch 11/12 arch/x86/kernel/module.c
 *   module_alloc
 */
export const kernelCode = (replicate: boolean, node?: NodeId): Plugin =>
  plugin("bpf on kernel", [
    bind(CodeAreas, ModuleRangeAreas),
    bind(CodePermissions, EveryRootPermissions),
    bind(CodeWriter, PokeWriter),
    bind(CodeReplication, replicate ? AreaReplication : SharedImages),
    replicate ? bindValue(PackSize, { bytes: PACK_BYTES }) : bind(PackSize, PackForEachNode),
    bindValue(CodeHome, node === undefined ? {} : { node }),
  ]);
