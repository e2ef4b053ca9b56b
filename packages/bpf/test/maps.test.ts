/**
 * Maps by what a system call or a program sees of them: results, where values lie, what is left of what was deleted.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import { beforeEach, describe, expect, test } from "vitest";
import type { BpfError } from "../src/errors.js";
import { ArrayMap, ProgramArray } from "../src/maps/array.js";
import { createMap } from "../src/maps/create.js";
import { HashMap } from "../src/maps/hash.js";
import { LARGEST_MAP, type BpfMap, MapResult, u32, u32Bytes, UpdateFlag } from "../src/maps/map.js";
import { RingBuffer } from "../src/maps/ring.js";
import { PrefixTrie } from "../src/maps/trie.js";
import { RegionMemory } from "../src/memory.js";
import type { MapDefinition } from "../src/object/program-type.js";

const CPUS = 3;
let memory = new RegionMemory();
beforeEach(() => {
  memory = new RegionMemory();
});

const shape = (kind: MapDefinition["kind"], more: Partial<MapDefinition> = {}): MapDefinition => ({
  ...{ name: "m", kind, keyBytes: 4, valueBytes: 4, entries: 3, flags: 0 },
  ...(kind === "ringbuf" ? { keyBytes: 0, valueBytes: 0, entries: 4096 } : {}),
  ...(kind === "lpm_trie" ? { keyBytes: 6, flags: 1 } : {}),
  ...more,
});
const made = (kind: MapDefinition["kind"], more: Partial<MapDefinition> = {}): BpfMap =>
  createMap(shape(kind, more), memory, CPUS);
const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values);
const value = (map: BpfMap, key: Uint8Array, cpu = 0): number[] | undefined => {
  const at = map.lookup(key, cpu);
  return at === 0n ? undefined : [...memory.read(bytesAt(at, map.definition.valueBytes))!];
};
const { Any, NoExist, Exist } = UpdateFlag;

describe("shapes", () => {
  test.each<[MapDefinition["kind"], new (...args: never[]) => BpfMap, string, Partial<MapDefinition>[]]>([
    [
      "array",
      ArrayMap,
      "keys of 4 bytes, values and at least one entry",
      [{ keyBytes: 3 }, { valueBytes: 0 }, { entries: 0 }],
    ],
    ["percpu_array", ArrayMap, "keys of 4 bytes", [{ keyBytes: 8 }]],
    [
      "prog_array",
      ProgramArray,
      "keys and values of 4 bytes and at least one entry",
      [{ keyBytes: 8 }, { valueBytes: 8 }, { entries: 0 }],
    ],
    [
      "hash",
      HashMap,
      "keys of 1 to 512 bytes, values and at least one entry",
      [{ keyBytes: 0 }, { keyBytes: 513 }, { valueBytes: 0 }, { entries: 0 }],
    ],
    ["percpu_hash", HashMap, "keys of 1 to 512 bytes", [{ keyBytes: 0 }]],
    ["lru_hash", HashMap, "keys of 1 to 512 bytes", [{ keyBytes: 513 }]],
    [
      "lpm_trie",
      PrefixTrie,
      "keys of 5 to 260 bytes, values, at least one entry and the flag",
      [{ keyBytes: 4 }, { keyBytes: 261 }, { valueBytes: 0 }, { entries: 0 }, { flags: 2 }],
    ],
    [
      "ringbuf",
      RingBuffer,
      "neither key nor value and a size that is a power of two, 4096 or more",
      [{ keyBytes: 4 }, { valueBytes: 4 }, { entries: 2048 }, { entries: 6144 }],
    ],
  ])("%s: made as it is asked for, and refused where it cannot be, by name and figures", (kind, type, why, wrong) => {
    expect(made(kind)).toBeInstanceOf(type);
    for (const more of wrong) {
      const { name, keyBytes, valueBytes, entries } = shape(kind, more);
      try {
        made(kind, more);
        expect.unreachable(JSON.stringify(more));
      } catch (error) {
        expect(error, JSON.stringify(more)).toMatchObject({
          code: "map-bad-shape",
          place: { section: name },
        } satisfies Partial<BpfError>);
        const figures = `map m (${kind}, key ${keyBytes}, value ${valueBytes}, ${entries} entries): `;
        expect((error as BpfError).message).toContain(figures);
        expect((error as BpfError).message).toContain(why);
      }
    }
    expect(memory.regions()).toHaveLength(1);
  });

  test("keys at both ends of what is allowed", () => {
    for (const keyBytes of [1, 512]) expect(made("hash", { keyBytes })).toBeInstanceOf(HashMap);
    for (const keyBytes of [5, 260]) expect(made("lpm_trie", { keyBytes })).toBeInstanceOf(PrefixTrie);
    expect(made("lpm_trie", { flags: 0x81 })).toBeInstanceOf(PrefixTrie);
  });

  test("no map is larger than the model's memory of one, copies a CPU included", () => {
    const each = LARGEST_MAP - 20;
    expect(() => made("array", { entries: 1, valueBytes: each })).not.toThrow();
    expect(() => made("array", { entries: 1, valueBytes: each + 1 })).toThrow(/about 268435457 bytes/);
    expect(() => made("percpu_array", { entries: 1, valueBytes: each / 2 })).toThrow(/at most 268435456/);
    expect(() => made("hash", { entries: LARGEST_MAP, valueBytes: 8 })).toThrow(/at most/);
    expect(() => made("ringbuf", { entries: 2 * LARGEST_MAP })).toThrow(/at most 268435456 bytes/);
    expect(made("ringbuf", { entries: LARGEST_MAP }).bytes).toBe(LARGEST_MAP);
  });

  test("a map takes one piece of memory and gives it back", () => {
    expect(made("array", { valueBytes: 5, entries: 3 }).bytes).toBe(24);
    expect(made("percpu_array", { valueBytes: 5, entries: 3 }).bytes).toBe(24 * CPUS);
    expect(made("hash", { keyBytes: 3, valueBytes: 9, entries: 2 }).bytes).toBe(48);
    expect(made("percpu_hash", { keyBytes: 3, valueBytes: 9, entries: 2 }).bytes).toBe(2 * (8 + 16 * CPUS));
    expect(made("lpm_trie", { valueBytes: 9, entries: 2 }).bytes).toBe(32);
    expect(made("prog_array", { entries: 2 }).bytes).toBe(24);
    const taken = memory.regions().length;
    const map = made("array");
    expect(memory.regions()).toHaveLength(taken + 1);
    expect(memory.regions().find(({ base }) => base === map.handle)!.what).toBe("map m");
    map.release();
    expect(memory.regions()).toHaveLength(taken);
  });
});

describe("array", () => {
  test("all elements are there from the start, zero, side by side, eight bytes or a multiple apart", () => {
    const map = made("array", { valueBytes: 12 });
    expect([0, 1, 2, 3].map((key) => map.lookup(u32Bytes(key), 0))).toEqual([
      map.handle,
      map.handle + 16n,
      map.handle + 32n,
      0n,
    ]);
    expect(value(map, u32Bytes(2))).toEqual(Array(12).fill(0));
    expect(map.keys()).toEqual([0, 1, 2].map(u32Bytes));
    expect((map as ArrayMap).values).toBe(map.handle);
  });

  test("an element is changed, never made or deleted", () => {
    const map = made("array");
    expect(map.update(u32Bytes(2), bytes(1, 2, 3, 4), Any, 0)).toBe(MapResult.Ok);
    expect(map.update(u32Bytes(1), bytes(5, 6, 7, 8), Exist, 0)).toBe(MapResult.Ok);
    expect([0, 1, 2].map((key) => value(map, u32Bytes(key)))).toEqual([
      [0, 0, 0, 0],
      [5, 6, 7, 8],
      [1, 2, 3, 4],
    ]);
    expect(map.update(u32Bytes(2), bytes(9, 9, 9, 9), NoExist, 0)).toBe(MapResult.Exists);
    expect(map.update(u32Bytes(3), bytes(9, 9, 9, 9), Any, 0)).toBe(MapResult.TooBig);
    expect(map.delete(u32Bytes(2))).toBe(MapResult.Invalid);
    expect(value(map, u32Bytes(2))).toEqual([1, 2, 3, 4]);
  });

  test("unknown flags are refused before the index is looked at, as Linux does", () => {
    const map = made("array");
    for (const key of [2, 3]) expect(map.update(u32Bytes(key), bytes(9, 9, 9, 9), 3, 0)).toBe(MapResult.Invalid);
    expect(value(map, u32Bytes(2))).toEqual([0, 0, 0, 0]);
  });

  test("of each CPU its own where it is asked for, and else one for all", () => {
    const map = made("percpu_array");
    for (let cpu = 0; cpu < CPUS; cpu++) map.update(u32Bytes(1), bytes(cpu + 1, 0, 0, 0), Any, cpu);
    expect([0, 1, 2].map((cpu) => value(map, u32Bytes(1), cpu)![0])).toEqual([1, 2, 3]);
    expect([0, 1, 2].map((cpu) => value(map, u32Bytes(0), cpu)![0])).toEqual([0, 0, 0]);
    const common = made("array");
    common.update(u32Bytes(1), bytes(7, 0, 0, 0), Any, 2);
    expect(value(common, u32Bytes(1), 0)![0]).toBe(7);
  });

  test("global data begins with what the object holds", () => {
    const map = made("array", { entries: 1, valueBytes: 6, initial: bytes(1, 2, 3) });
    expect(value(map, u32Bytes(0))).toEqual([1, 2, 3, 0, 0, 0]);
  });
});

describe("array of programs", () => {
  test("has its count of slots before them, where a tail call reads it, then their addresses", () => {
    const map = made("prog_array") as ProgramArray;
    expect(map.set(2, 0x1234_5678_9abc_def0n)).toBe(true);
    expect(map.set(3, 1n)).toBe(false);
    expect([...memory.read(bytesAt(map.handle, 32))!]).toEqual([
      ...[3, 0, 0, 0, 0, 0, 0, 0],
      ...Array<number>(16).fill(0),
      ...[0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12],
    ]);
    expect(map.keys()).toEqual([0, 1, 2].map(u32Bytes));
  });

  test("gives nothing to programs, and lets go of a program that is in a slot", () => {
    const map = made("prog_array") as ProgramArray;
    map.set(1, 1n << 56n);
    expect(map.lookup()).toBe(0n);
    expect(map.update()).toBe(MapResult.Invalid);
    expect([0, 1, 1, 3].map((slot) => map.delete(u32Bytes(slot)))).toEqual([
      MapResult.NoEntry,
      MapResult.Ok,
      MapResult.NoEntry,
      MapResult.TooBig,
    ]);
    expect(memory.read(bytesAt(map.handle + 8n, 24))).toEqual(new Uint8Array(24));
  });
});

describe("hash", () => {
  const [a, b, c, d] = ["aaaa", "bbbb", "cccc", "dddd"].map((each) => new TextEncoder().encode(each)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];

  test("makes, changes and deletes as its flags say", () => {
    const map = made("hash");
    expect(map.update(a, bytes(1, 0, 0, 0), Exist, 0)).toBe(MapResult.NoEntry);
    expect(map.update(a, bytes(1, 0, 0, 0), NoExist, 0)).toBe(MapResult.Ok);
    expect(map.update(a, bytes(2, 0, 0, 0), NoExist, 0)).toBe(MapResult.Exists);
    expect(map.update(a, bytes(3, 0, 0, 0), 3, 0)).toBe(MapResult.Invalid);
    expect(value(map, a)).toEqual([1, 0, 0, 0]);
    expect(map.update(a, bytes(4, 0, 0, 0), Exist, 0)).toBe(MapResult.Ok);
    expect(map.update(b, bytes(5, 0, 0, 0), Any, 0)).toBe(MapResult.Ok);
    expect([a, b, c].map((key) => value(map, key))).toEqual([[4, 0, 0, 0], [5, 0, 0, 0], undefined]);
    expect([a, a, c].map((key) => map.delete(key))).toEqual([MapResult.Ok, MapResult.NoEntry, MapResult.NoEntry]);
    expect(value(map, a)).toBeUndefined();
    expect(map.keys()).toEqual([b]);
  });

  test("has room for as many as it was made for, and again where one was deleted", () => {
    const map = made("hash");
    for (const key of [a, b, c]) expect(map.update(key, bytes(1, 1, 1, 1), Any, 0)).toBe(MapResult.Ok);
    expect(map.update(d, bytes(1, 1, 1, 1), Any, 0)).toBe(MapResult.TooBig);
    expect(map.update(b, bytes(2, 2, 2, 2), Any, 0)).toBe(MapResult.Ok);
    map.delete(a);
    expect(map.update(d, bytes(3, 3, 3, 3), Any, 0)).toBe(MapResult.Ok);
    expect([a, b, c, d].map((key) => value(map, key)?.[0])).toEqual([undefined, 2, 1, 3]);
  });

  test("lays elements out from the first on, key before value, each on eight bytes", () => {
    const map = made("hash", { keyBytes: 3, valueBytes: 9 });
    const key = bytes(7, 8, 9);
    map.update(bytes(1, 1, 1), new Uint8Array(9), Any, 0);
    map.update(key, new Uint8Array(9).fill(5), Any, 0);
    expect(map.lookup(key, 0)).toBe(map.handle + 24n + 8n);
    expect([...memory.read(bytesAt(map.handle + 24n, 24))!]).toEqual([
      7,
      8,
      9,
      0,
      0,
      0,
      0,
      0,
      ...Array<number>(9).fill(5),
      0,
      0,
      0,
      0,
      0,
      0,
      0,
    ]);
  });

  test("of each CPU its own value, zero where that CPU set none, whatever lay there before", () => {
    const map = made("percpu_hash", { entries: 2 });
    map.update(c, bytes(8, 0, 0, 0), Any, 0);
    for (let cpu = 0; cpu < CPUS; cpu++) map.update(a, bytes(cpu + 1, 0, 0, 0), Any, cpu);
    expect([0, 1, 2].map((cpu) => value(map, a, cpu)![0])).toEqual([1, 2, 3]);
    map.delete(a);
    map.update(b, bytes(9, 0, 0, 0), Any, 1);
    expect([0, 1, 2].map((cpu) => value(map, b, cpu)![0])).toEqual([0, 9, 0]);
    const common = made("hash");
    common.update(a, bytes(7, 0, 0, 0), Any, 2);
    expect(value(common, a, 0)![0]).toBe(7);
  });

  test("least recently used goes first: looking up and changing are uses", () => {
    const map = made("lru_hash");
    for (const key of [a, b, c]) map.update(key, bytes(1, 0, 0, 0), Any, 0);
    map.lookup(a, 0);
    map.update(b, bytes(2, 0, 0, 0), Any, 0);
    expect(map.keys()).toEqual([c, a, b]);
    expect(map.update(d, bytes(3, 0, 0, 0), Any, 0)).toBe(MapResult.Ok);
    expect(map.keys()).toEqual([a, b, d]);
    const plain = made("hash");
    for (const key of [a, b]) plain.update(key, bytes(1, 0, 0, 0), Any, 0);
    plain.lookup(a, 0);
    expect(plain.keys()).toEqual([a, b]);
  });
});

describe("longest prefix", () => {
  const key = (bits: number, ...data: number[]): Uint8Array => bytes(...u32Bytes(bits), ...data);
  const set = (map: BpfMap, bits: number, data: readonly [number, number], what: number, flags: number = Any) =>
    map.update(key(bits, ...data), bytes(what, 0, 0, 0), flags, 0);
  const at = (map: BpfMap, bits: number, ...data: number[]) => value(map, key(bits, ...data))?.[0];

  test("the longest that the key begins with, and none longer than the key says", () => {
    const map = made("lpm_trie", { entries: 5 });
    set(map, 9, [0xc0, 0x80], 9);
    set(map, 0, [0, 0], 100);
    set(map, 16, [0xc0, 0xa8], 16);
    set(map, 2, [0xc0, 0], 2);
    expect(at(map, 16, 0xc0, 0xa8)).toBe(16);
    expect(at(map, 16, 0xc0, 0xa9)).toBe(9);
    expect(at(map, 15, 0xc0, 0xa8)).toBe(9);
    expect(at(map, 16, 0xc0, 0x28)).toBe(2);
    expect(at(map, 8, 0xc0, 0x80)).toBe(2);
    expect(at(map, 16, 0x40, 0)).toBe(100);
    expect(at(map, 1, 0xc0, 0)).toBe(100);
    expect(at(map, 40, 0xc0, 0xa8)).toBe(16);
    expect(at(made("lpm_trie"), 16, 1, 2)).toBeUndefined();
  });

  test("what stands behind a prefix is not part of it", () => {
    const map = made("lpm_trie");
    set(map, 4, [0xab, 0xcd], 1);
    expect(map.keys()).toEqual([key(4, 0xa0, 0)]);
    expect(set(map, 4, [0xaf, 0xff], 2, NoExist)).toBe(MapResult.Exists);
    expect(set(map, 4, [0xaf, 0xff], 2, Exist)).toBe(MapResult.Ok);
    expect(at(map, 16, 0xa1, 1)).toBe(2);
    expect(map.delete(key(4, 0xa7, 1))).toBe(MapResult.Ok);
    expect(map.keys()).toEqual([]);
  });

  test("makes, changes and deletes as its flags say; a length beyond the key's is none", () => {
    const map = made("lpm_trie");
    expect(set(map, 8, [1, 0], 1, Exist)).toBe(MapResult.NoEntry);
    expect(set(map, 17, [1, 0], 1)).toBe(MapResult.Invalid);
    expect(set(map, 8, [1, 0], 1, 3)).toBe(MapResult.Invalid);
    expect(map.keys()).toEqual([]);
    expect(set(map, 8, [1, 0], 1, NoExist)).toBe(MapResult.Ok);
    expect(set(map, 8, [2, 0], 2)).toBe(MapResult.Ok);
    expect([key(17, 1, 0), key(9, 1, 0), key(8, 3, 0)].map((each) => map.delete(each))).toEqual([
      MapResult.Invalid,
      MapResult.NoEntry,
      MapResult.NoEntry,
    ]);
    expect(map.delete(key(8, 1, 0))).toBe(MapResult.Ok);
    expect(map.keys()).toEqual([key(8, 2, 0)]);
    expect([at(map, 16, 1, 0), at(map, 16, 2, 0)]).toEqual([undefined, 2]);
  });

  test("full, it says that there is no space, and has some again where one was deleted", () => {
    const map = made("lpm_trie");
    expect([1, 2, 3, 4].map((each) => set(map, 8, [each, 0], each))).toEqual([0, 0, 0, MapResult.NoSpace]);
    expect(set(map, 8, [2, 0], 22)).toBe(MapResult.Ok);
    map.delete(key(8, 1, 0));
    expect(set(map, 16, [4, 4], 4)).toBe(MapResult.Ok);
    expect([at(map, 16, 1, 0), at(map, 16, 2, 0), at(map, 16, 3, 0), at(map, 16, 4, 4)]).toEqual([undefined, 22, 3, 4]);
    expect(map.delete(key(16, 4, 4))).toBe(MapResult.Ok);
  });

  test("values lie from the first on, each on eight bytes", () => {
    const map = made("lpm_trie", { valueBytes: 9 });
    map.update(key(8, 1, 0), new Uint8Array(9), Any, 0);
    map.update(key(8, 2, 0), new Uint8Array(9), Any, 0);
    expect([1, 2].map((each) => map.lookup(key(16, each, 0), 0) - map.handle)).toEqual([0n, 16n]);
  });
});

describe("ring", () => {
  const ring = (): RingBuffer => made("ringbuf") as RingBuffer;
  const header = (at: bigint): number => u32(memory.read(bytesAt(at - 8n, 4))!);
  /** Reserves, fills and ends a record. */
  const put = (of: RingBuffer, length: number, what: number, discard = false): bigint => {
    const at = of.reserve(length);
    if (at !== 0n) {
      memory.write(at, new Uint8Array(length).fill(what));
      expect(of.finish(at, discard)).toBe(true);
    }
    return at;
  };
  const taken = (of: RingBuffer) => of.consume().map((each) => [each.length, each[0]]);

  test("is no map to look up, change or delete in", () => {
    const of = ring();
    expect([of.lookup(), of.update(), of.delete(), of.keys()]).toEqual([0n, MapResult.Invalid, MapResult.Invalid, []]);
  });

  test("a record has a header of its length, busy until it is ended, discarded where it was", () => {
    const of = ring();
    const [one, two] = [of.reserve(10), of.reserve(16)];
    expect([one - of.handle, two - of.handle]).toEqual([8n, 32n]);
    expect([header(one), header(two)]).toEqual([0x8000_000a, 0x8000_0010]);
    expect([of.finish(one, false), of.finish(two, true)]).toEqual([true, true]);
    expect([header(one), header(two)]).toEqual([10, 0x4000_0010]);
    expect([of.finish(one, false), of.finish(two, false), of.finish(one + 8n, false)]).toEqual([false, false, false]);
    expect(of.waiting).toBe(24 + 24);
  });

  test("records are read in the order in which they were reserved; an open one holds back those behind it", () => {
    const of = ring();
    put(of, 4, 1);
    const open = of.reserve(4);
    put(of, 5, 3);
    expect(taken(of)).toEqual([[4, 1]]);
    expect(taken(of)).toEqual([]);
    memory.write(open, bytes(2, 2, 2, 2));
    of.finish(open, false);
    put(of, 6, 4, true);
    expect(taken(of)).toEqual([
      [4, 2],
      [5, 3],
    ]);
    expect(of.waiting).toBe(0);
  });

  test("there is room until the ring would be full to its last byte, as in Linux", () => {
    expect(ring().reserve(4096 - 8)).toBe(0n);
    expect(ring().reserve(4096 - 15)).toBe(0n);
    const of = ring();
    expect(of.reserve(4096 - 16)).toBe(of.handle + 8n);
    expect(of.reserve(0)).toBe(0n);
    expect(ring().reserve(5000)).toBe(0n);
    expect(of.waiting).toBe(4088);
  });

  test("a record that would wrap begins at the start, and what is skipped counts until it is read", () => {
    const of = ring();
    expect(put(of, 2992, 8)).toBe(of.handle + 8n);
    // 1096 bytes are left before the end, and none at the start.
    expect(of.reserve(1100)).toBe(0n);
    const small = of.reserve(1000);
    expect(small).toBe(of.handle + 3008n);
    expect(taken(of)).toEqual([[2992, 8]]);
    // Of 4096 bytes 1008 are open, up to 4008; 88 are skipped.
    expect(of.reserve(2992)).toBe(0n);
    expect(of.waiting).toBe(1008);
    const wrapped = of.reserve(2984);
    expect(wrapped).toBe(of.handle + 8n);
    expect(of.waiting).toBe(1008 + 88 + 2992);
    of.finish(wrapped, false);
    expect(of.consume()).toEqual([]);
    of.finish(small, true);
    expect(of.consume()).toHaveLength(1);
    expect(of.waiting).toBe(0);
  });

  test("a record that ends where the ring does needs not wrap", () => {
    const of = ring();
    put(of, 2992, 1);
    of.reserve(8);
    of.consume();
    expect(of.reserve(4096 - 3016 - 8)).toBe(of.handle + 3024n);
    expect(of.waiting).toBe(4096 - 3000);
  });

  test("an empty ring has room for what a new one has, wherever its last record ended", () => {
    const of = ring();
    put(of, 3000, 1);
    expect(of.consume()).toHaveLength(1);
    expect(of.reserve(4080)).toBe(of.handle + 8n);
  });
});
