/**
 * Hash, per-CPU hash and LRU hash. Elements lie in a slab: key, then value (one a CPU in per-CPU maps); which element
 * holds which key is kept beside it in insertion order, which makes "least recently used" exact where the kernel
 * approximates with lists per CPU.
 */
import type { BpfMemory } from "../memory.js";
import type { MapDefinition } from "../object/program-type.js";
import { align8, AllocatedMap, badShape, MapResult, text, untext, UpdateFlag } from "./map.js";

export class HashMap extends AllocatedMap {
  private readonly elements = new Map<string, number>();
  private readonly free: number[] = [];
  private readonly keyStride: number;
  private readonly valueStride: number;
  private readonly stride: number;
  private readonly copies: number;

  /** @throws BpfError `map-bad-shape` */
  constructor(definition: MapDefinition, memory: BpfMemory, cpus: number) {
    if (
      definition.keyBytes === 0 ||
      definition.keyBytes > 512 ||
      definition.valueBytes === 0 ||
      definition.entries === 0
    )
      badShape(definition, "a hash has keys of 1 to 512 bytes, values and at least one entry");
    const copies = definition.kind === "percpu_hash" ? cpus : 1;
    const stride = align8(definition.keyBytes) + align8(definition.valueBytes) * copies;
    super(definition, memory, stride * definition.entries);
    this.keyStride = align8(definition.keyBytes);
    this.valueStride = align8(definition.valueBytes);
    this.stride = stride;
    this.copies = copies;
    for (let i = definition.entries - 1; i >= 0; i--) this.free.push(i);
  }

  lookup(key: Uint8Array, cpu: number): bigint {
    const name = text(key),
      element = this.elements.get(name);
    if (element === undefined) return 0n;
    if (this.definition.kind === "lru_hash") {
      this.elements.delete(name);
      this.elements.set(name, element);
    }
    return this.valueAt(element, cpu);
  }

  update(key: Uint8Array, value: Uint8Array, flags: number, cpu: number): number {
    if (flags > UpdateFlag.Exist) return MapResult.Invalid;
    const name = text(key);
    let element = this.elements.get(name);
    if (element !== undefined && flags === UpdateFlag.NoExist) return MapResult.Exists;
    if (element === undefined) {
      if (flags === UpdateFlag.Exist) return MapResult.NoEntry;
      if (this.free.length === 0 && this.definition.kind === "lru_hash")
        this.delete(untext(this.elements.keys().next().value!));
      element = this.free.pop();
      if (element === undefined) return MapResult.TooBig;
      this.memory.write(this.handle + BigInt(element * this.stride), new Uint8Array(this.stride));
      this.memory.write(this.handle + BigInt(element * this.stride), key);
    }
    this.elements.delete(name);
    this.elements.set(name, element);
    this.memory.write(this.valueAt(element, cpu), value);
    return MapResult.Ok;
  }

  delete(key: Uint8Array): number {
    const name = text(key),
      element = this.elements.get(name);
    if (element === undefined) return MapResult.NoEntry;
    this.elements.delete(name);
    this.free.push(element);
    return MapResult.Ok;
  }

  keys(): Uint8Array[] {
    return [...this.elements.keys()].map(untext);
  }

  private valueAt(element: number, cpu: number): bigint {
    return (
      this.handle + BigInt(element * this.stride + this.keyStride + (this.copies > 1 ? cpu * this.valueStride : 0))
    );
  }
}
