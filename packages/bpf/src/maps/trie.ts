/**
 * Longest-prefix-match trie. A key is a 32-bit prefix length and the data, most significant bit of the first byte
 * first.
 *
 * Elements are kept by length and looked up from the longest down: as many steps as there are lengths in use, not a
 * walk down a binary trie. The answers are the same; the model counts no cycles here.
 */
import type { BpfMemory } from "../memory.js";
import type { MapDefinition } from "../object/program-type.js";
import { align8, AllocatedMap, badShape, MapResult, text, u32, u32Bytes, untext, UpdateFlag } from "./map.js";

export class PrefixTrie extends AllocatedMap {
  private readonly byLength = new Map<number, Map<string, number>>();
  private readonly free: number[] = [];
  private readonly stride: number;

  /** @throws BpfError `map-bad-shape` */
  constructor(definition: MapDefinition, memory: BpfMemory) {
    if (
      definition.keyBytes < 5 ||
      definition.keyBytes > 260 ||
      definition.valueBytes === 0 ||
      definition.entries === 0 ||
      !(definition.flags & 1)
    ) {
      badShape(
        definition,
        "a trie has keys of 5 to 260 bytes, values, at least one entry and the flag BPF_F_NO_PREALLOC (1)",
      );
    }
    super(definition, memory, align8(definition.valueBytes) * definition.entries);
    this.stride = align8(definition.valueBytes);
    for (let i = definition.entries - 1; i >= 0; i--) this.free.push(i);
  }

  private get mostBits(): number {
    return (this.definition.keyBytes - 4) * 8;
  }

  /** The first `bits` of the data, the rest zero. */
  private prefix(key: Uint8Array, bits: number): string {
    const data = key.slice(4);
    for (let i = 0; i < data.length; i++) {
      const keep = Math.max(0, Math.min(8, bits - 8 * i));
      data[i] = data[i]! & (0xff00 >> keep);
    }
    return text(data);
  }

  lookup(key: Uint8Array): bigint {
    const bits = Math.min(u32(key), this.mostBits);
    for (const length of [...this.byLength.keys()].filter((each) => each <= bits).sort((a, b) => b - a)) {
      const element = this.byLength.get(length)!.get(this.prefix(key, length));
      if (element !== undefined) return this.handle + BigInt(element * this.stride);
    }
    return 0n;
  }

  update(key: Uint8Array, value: Uint8Array, flags: number): number {
    const bits = u32(key);
    if (bits > this.mostBits || flags > UpdateFlag.Exist) return MapResult.Invalid;
    const level = this.byLength.get(bits) ?? new Map<string, number>(),
      name = this.prefix(key, bits);
    let element = level.get(name);
    if (element !== undefined && flags === UpdateFlag.NoExist) return MapResult.Exists;
    if (element === undefined) {
      if (flags === UpdateFlag.Exist) return MapResult.NoEntry;
      element = this.free.pop();
      // Another number than a full hash gives. @source Linux, kernel/bpf/lpm_trie.c, trie_update_elem
      if (element === undefined) return MapResult.NoSpace;
    }
    level.set(name, element);
    this.byLength.set(bits, level);
    this.memory.write(this.handle + BigInt(element * this.stride), value);
    return MapResult.Ok;
  }

  delete(key: Uint8Array): number {
    const bits = u32(key);
    if (bits > this.mostBits) return MapResult.Invalid;
    const level = this.byLength.get(bits),
      name = this.prefix(key, bits),
      element = level?.get(name);
    if (!level || element === undefined) return MapResult.NoEntry;
    level.delete(name);
    if (level.size === 0) this.byLength.delete(bits);
    this.free.push(element);
    return MapResult.Ok;
  }

  keys(): Uint8Array[] {
    return [...this.byLength].flatMap(([bits, level]) =>
      [...level.keys()].map((name) => Uint8Array.of(...u32Bytes(bits), ...untext(name))),
    );
  }
}
