/**
 * Array and per-CPU array: values side by side, by index. All elements exist from the start, zero, and cannot be
 * deleted.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import type { BpfMemory } from "../memory.js";
import type { MapDefinition } from "../object/program-type.js";
import { align8, AllocatedMap, badShape, MapResult, u32, u32Bytes, UpdateFlag } from "./map.js";

export class ArrayMap extends AllocatedMap {
  private readonly stride: number;
  private readonly copies: number;
  /** @param cpus copies of each value in a per-CPU array @throws BpfError `map-bad-shape` */
  constructor(definition: MapDefinition, memory: BpfMemory, cpus: number) {
    if (definition.keyBytes !== 4 || definition.valueBytes === 0 || definition.entries === 0)
      badShape(definition, "an array has keys of 4 bytes, values and at least one entry");
    const copies = definition.kind === "percpu_array" ? cpus : 1;
    super(definition, memory, align8(definition.valueBytes) * definition.entries * copies);
    this.stride = align8(definition.valueBytes);
    this.copies = copies;
    if (definition.initial) memory.write(this.handle, definition.initial);
  }
  /** Address of the first value: what direct references to global data point to. */
  get values(): bigint {
    return this.handle;
  }
  lookup(key: Uint8Array, cpu: number): bigint {
    const index = u32(key);
    return index < this.definition.entries
      ? this.handle + BigInt(this.stride * (index + (this.copies > 1 ? cpu * this.definition.entries : 0)))
      : 0n;
  }
  update(key: Uint8Array, value: Uint8Array, flags: number, cpu: number): number {
    if (flags > UpdateFlag.Exist) return MapResult.Invalid;
    const at = this.lookup(key, cpu);
    if (at === 0n) return MapResult.TooBig;
    if (flags === UpdateFlag.NoExist) return MapResult.Exists;
    this.memory.write(at, value);
    return MapResult.Ok;
  }
  delete(): number {
    return MapResult.Invalid;
  }
  keys(): Uint8Array[] {
    return Array.from({ length: this.definition.entries }, (_, i) => u32Bytes(i));
  }
}

/** Array of programs: count of slots, then an entry address for each; what the JIT's tail call reads. */
export class ProgramArray extends AllocatedMap {
  constructor(definition: MapDefinition, memory: BpfMemory) {
    if (definition.keyBytes !== 4 || definition.valueBytes !== 4 || definition.entries === 0)
      badShape(definition, "a prog array has keys and values of 4 bytes and at least one entry");
    super(definition, memory, 8 + 8 * definition.entries);
    memory.write(this.handle, u32Bytes(definition.entries));
  }
  lookup(): bigint {
    return 0n;
  }
  update(): number {
    return MapResult.Invalid;
  }
  /** An empty slot has nothing to delete. @source Linux, kernel/bpf/arraymap.c, fd_array_map_delete_elem */
  delete(key: Uint8Array): number {
    const slot = u32(key);
    if (slot >= this.definition.entries) return MapResult.TooBig;
    const isEmpty = this.memory.read(bytesAt(this.slotAt(slot), 8))!.every((byte) => byte === 0);
    this.set(slot, 0n);
    return isEmpty ? MapResult.NoEntry : MapResult.Ok;
  }
  keys(): Uint8Array[] {
    return Array.from({ length: this.definition.entries }, (_, i) => u32Bytes(i));
  }
  /** @param entry address of a program's code, or 0n @returns false when there is no such slot */
  set(slot: number, entry: bigint): boolean {
    if (slot >= this.definition.entries) return false;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, entry, true);
    return this.memory.write(this.slotAt(slot), bytes);
  }
  private slotAt(slot: number): bigint {
    return this.handle + 8n + 8n * BigInt(slot);
  }
}
