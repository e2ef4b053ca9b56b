/**
 * Memory of programs in the kernel's vmalloc range: maps, contexts and stacks lie in frames of the machine, so that
 * compiled code reaches them through page tables and the interpreter finds the same bytes.
 *
 * The interpreter's accesses go by table look-up on the lowest holder, with the leaf's own permission, and charge no
 * CPU.
 */
import { inject, injectable } from "@kreplica/di";
import {
  addressOfFrame,
  type AddressRange,
  bytesAt,
  entryBytes,
  hex,
  lengthOf,
  Machine,
  PAGE,
} from "@kreplica/hw-x86/api";
import { KernelTables, ReplicaView } from "@kreplica/mm-core/api";
import { Vmalloc, type VmArea } from "@kreplica/vmalloc/api";
import { BpfError, invariant } from "../errors.js";
import type { ProgramMemory } from "../images-api.js";

/**
 * Maps, contexts and stacks in frames of the machine: compiled code reaches them through page tables, the interpreter
 * finds the same bytes.
 */
@injectable()
export class KernelMemory implements ProgramMemory {
  lo = 0;
  hi = 0;
  private readonly word = new Uint8Array(8);
  private readonly view = new DataView(this.word.buffer);
  private readonly areas = new Map<bigint, VmArea>();

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(Vmalloc) private readonly vmalloc: Vmalloc,
    @inject(ReplicaView) private readonly replicas: ReplicaView,
  ) {}

  load(addressHi: number, addressLo: number, bytes: number): boolean {
    const address = (BigInt(addressHi >>> 0) << 32n) | BigInt(addressLo >>> 0);
    this.word.fill(0);
    if (
      !this.each(bytesAt(address, bytes), false, (physical, from, count) => {
        this.machine.memory.readBytes(physical, this.word.subarray(from, from + count));
      })
    )
      return false;
    this.lo = this.view.getInt32(0, true);
    this.hi = this.view.getInt32(4, true);
    return true;
  }

  store(addressHi: number, addressLo: number, bytes: number, valueHi: number, valueLo: number): boolean {
    const address = (BigInt(addressHi >>> 0) << 32n) | BigInt(addressLo >>> 0);
    this.view.setInt32(0, valueLo, true);
    this.view.setInt32(4, valueHi, true);
    return this.each(bytesAt(address, bytes), true, (physical, from, count) => {
      this.machine.memory.writeBytes(physical, this.word.slice(from, from + count));
    });
  }

  /** @throws BpfError `map-no-memory` */
  allocate(bytes: number, what: string): bigint {
    try {
      const area = this.vmalloc.allocate({ bytes, placement: { node: this.replicas.master }, purpose: "kernel" });
      this.areas.set(area.start, area);
      return area.start;
    } catch (error) {
      throw new BpfError(
        "map-no-memory",
        { section: what },
        `${bytes} bytes: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  release(address: bigint): void {
    const area = this.areas.get(address);
    invariant(area !== undefined, `${hex(address)} was not allocated here`);
    this.areas.delete(address);
    this.vmalloc.free(area);
  }

  read(range: AddressRange): Uint8Array | undefined {
    const out = new Uint8Array(lengthOf(range));
    return this.each(range, false, (physical, from, count) => {
      this.machine.memory.readBytes(physical, out.subarray(from, from + count));
    })
      ? out
      : undefined;
  }
  write(address: bigint, bytes: Uint8Array): boolean {
    return this.each(bytesAt(address, bytes.length), false, (physical, from, count) => {
      this.machine.memory.writeBytes(physical, bytes.slice(from, from + count));
    });
  }

  /** Count of areas handed out and not given back. */
  get inUse(): number {
    return this.areas.size;
  }

  /** Visits the range page by page, after all of it was found mapped (and writable, if asked). */
  private each(
    range: AddressRange,
    writing: boolean,
    visit: (physical: bigint, from: number, count: number) => void,
  ): boolean {
    const address = range.start;
    const bytes = lengthOf(range);
    const pieces: [bigint, number, number][] = [];
    for (let from = 0; from < bytes;) {
      const at = BigInt.asUintN(64, address + BigInt(from)),
        count = Math.min(bytes - from, Number(PAGE - (at % PAGE)));
      const leaf = this.tables.lookup(this.replicas.master, at);
      if (!leaf?.present || (writing && !leaf.writable)) return false;
      pieces.push([this.physical(at, leaf.frame, leaf.level), from, count]);
      from += count;
    }
    for (const piece of pieces) visit(...piece);
    return true;
  }

  /** A leaf of level 2 or 3 begins at its own first frame. */
  private physical(address: bigint, frame: number, level: number): bigint {
    return addressOfFrame(frame) + (address % entryBytes(level));
  }
}
