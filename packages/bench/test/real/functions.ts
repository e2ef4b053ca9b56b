/// <reference types="node" />
/**
 * Leaf functions of a real kernel, each with the same computation by JavaScript, Node or a command to compare it with.
 */
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { seededRandom } from "@kreplica/mm-core";
import type { KernelCaller, Scratch } from "./kernel-calls.js";

/** What a case may use. `random(n)` is 0 to n - 1. */
export interface Ground {
  readonly call: (name: string, ...args: (bigint | number)[]) => bigint;
  readonly memory: Scratch;
  readonly random: (below: number) => number;
}
/** @returns pairs of what the kernel said and what it should have said */
type Case = (ground: Ground) => readonly (readonly [unknown, unknown])[];

const signed = (value: bigint, bits = 64): number => Number(BigInt.asIntN(bits, value));
const bytesOf = (random: Ground["random"], length: number, below = 256): Uint8Array =>
  Uint8Array.from({ length }, () => random(below));
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
/** Text over few letters, so that comparisons meet. */
const word = (random: Ground["random"], length = 1 + random(12)): string =>
  Array.from({ length }, () => "abcAB "[random(6)]!).join("");
const sign = (value: number): number => Math.sign(value);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function reflectedCrc(bytes: Uint8Array, crc: number, polynomial: number): number {
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
  }
  return crc >>> 0;
}

const bitsOf = (bytes: Uint8Array): number[] =>
  [...bytes].flatMap((byte) => Array.from({ length: 8 }, (_, bit) => (byte >> bit) & 1));
const packed = (bits: readonly number[]): Uint8Array =>
  Uint8Array.from({ length: bits.length / 8 }, (_, i) =>
    bits.slice(8 * i, 8 * i + 8).reduce((sum, bit, at) => sum | (bit << at), 0),
  );

const M64 = (1n << 64n) - 1n;
const rotate = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) & M64;

/** SipHash-2-4 of one word. */
function siphash(key0: bigint, key1: bigint, message: bigint): bigint {
  let [v0, v1, v2, v3] = [
    0x736f6d6570736575n ^ key0,
    0x646f72616e646f6dn ^ key1,
    0x6c7967656e657261n ^ key0,
    0x7465646279746573n ^ key1,
  ];
  const round = (): void => {
    v0 = (v0 + v1) & M64;
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = (v2 + v3) & M64;
    v3 = rotate(v3, 16n) ^ v2;
    v0 = (v0 + v3) & M64;
    v3 = rotate(v3, 21n) ^ v0;
    v2 = (v2 + v1) & M64;
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  };
  for (const block of [message, 8n << 56n]) {
    v3 ^= block;
    round();
    round();
    v0 ^= block;
  }
  v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

/** XXH64. */
function xxh64(data: Uint8Array, seed: bigint): bigint {
  const [p1, p2, p3, p4, p5] = [
    0x9e3779b185ebca87n,
    0xc2b2ae3d27d4eb4fn,
    0x165667b19e3779f9n,
    0x85ebca77c2b2ae63n,
    0x27d4eb2f165667c5n,
  ];
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const round = (sum: bigint, lane: bigint): bigint => (rotate((sum + lane * p2) & M64, 31n) * p1) & M64;
  let at = 0;
  let hash: bigint;
  if (data.length >= 32) {
    const lanes = [(seed + p1 + p2) & M64, (seed + p2) & M64, seed, (seed - p1) & M64];
    for (; at + 32 <= data.length; at += 32)
      for (let lane = 0; lane < 4; lane++) lanes[lane] = round(lanes[lane]!, view.getBigUint64(at + 8 * lane, true));
    hash = (rotate(lanes[0]!, 1n) + rotate(lanes[1]!, 7n) + rotate(lanes[2]!, 12n) + rotate(lanes[3]!, 18n)) & M64;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * p1 + p4) & M64;
  } else hash = (seed + p5) & M64;
  hash = (hash + BigInt(data.length)) & M64;
  for (; at + 8 <= data.length; at += 8)
    hash = (rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * p1 + p4) & M64;
  if (at + 4 <= data.length) {
    hash = (rotate(hash ^ ((BigInt(view.getUint32(at, true)) * p1) & M64), 23n) * p2 + p3) & M64;
    at += 4;
  }
  for (; at < data.length; at++) hash = (rotate(hash ^ ((BigInt(data[at]!) * p5) & M64), 11n) * p1) & M64;
  hash = ((hash ^ (hash >> 33n)) * p2) & M64;
  hash = ((hash ^ (hash >> 29n)) * p3) & M64;
  return hash ^ (hash >> 32n);
}

/** Code of ours that compares two unsigned 32-bit numbers by pointer: what sort and bsearch call back. */
export const COMPARE = Uint8Array.of(
  0x8b,
  0x07,
  0x31,
  0xc9,
  0x3b,
  0x06,
  0x0f,
  0x97,
  0xc0,
  0x0f,
  0x92,
  0xc1,
  0x0f,
  0xb6,
  0xc0,
  0x29,
  0xc8,
  0xc3,
);
/** Where it lies in the scratch area's executable page. */
export const COMPARE_AT = 0x200n;

const numbers = (values: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const read32 = (memory: Scratch, at: bigint, count: number): number[] => [
  ...new Uint32Array(memory.read(at, 4 * count).buffer),
];

/**
 * In-order walk of the kernel's red-black tree, checking that no red node has a red child and all paths have as many
 * black ones.
 */
function walkTree(memory: Scratch, node: bigint): { readonly keys: number[]; readonly black: number } {
  if (node === 0n) return { keys: [], black: 1 };
  const red = (at: bigint): boolean => at !== 0n && (memory.quad(at) & 1n) === 0n;
  const [right, left] = [memory.quad(node + 8n), memory.quad(node + 16n)];
  if (red(node) && (red(left) || red(right))) throw new Error("a red node has a red child");
  const [a, b] = [walkTree(memory, left), walkTree(memory, right)];
  if (a.black !== b.black) throw new Error("paths with unequal numbers of black nodes");
  return { keys: [...a.keys, Number(memory.quad(node + 24n)), ...b.keys], black: a.black + (red(node) ? 0 : 1) };
}

const tree: Case = ({ call, memory, random }) => {
  const root = memory.put(new Uint8Array(16));
  const nodes = new Map<number, bigint>();
  const results: [unknown, unknown][] = [];
  for (let step = 0; step < 40; step++) {
    const key = random(24);
    const known = nodes.get(key);
    if (known !== undefined) {
      call("rb_erase", known, root);
      nodes.delete(key);
    } else {
      const node = memory.put(new Uint8Array(32));
      memory.setQuad(node + 24n, BigInt(key));
      let parent = 0n;
      let link = root;
      for (let at = memory.quad(root); at !== 0n; at = memory.quad(link)) {
        parent = at;
        link = at + (key < Number(memory.quad(at + 24n)) ? 16n : 8n);
      }
      memory.setQuad(node, parent);
      memory.setQuad(link, node);
      call("rb_insert_color", node, root);
      nodes.set(key, node);
    }
    results.push([walkTree(memory, memory.quad(root)).keys, [...nodes.keys()].sort((a, b) => a - b)]);
  }
  return results;
};

const bitmap =
  (name: string, expected: (a: number[], b: number[]) => number[]): Case =>
  ({ call, memory, random }) => {
    const [a, b] = [bytesOf(random, 32), bytesOf(random, 32)];
    const out = memory.put(new Uint8Array(32));
    call(name, out, memory.put(a), memory.put(b), 256);
    return [[hexOf(memory.read(out, 32)), hexOf(packed(expected(bitsOf(a), bitsOf(b))))]];
  };
const findBit =
  (name: string, wanted: 0 | 1, next: boolean): Case =>
  ({ call, memory, random }) => {
    const bytes = random(4) === 0 ? new Uint8Array(32).fill(wanted ? 0 : 255) : bytesOf(random, 32, 1 + random(256));
    const size = 1 + random(256);
    const from = next ? random(size) : 0;
    const found = bitsOf(bytes).findIndex((bit, i) => i >= from && i < size && bit === wanted);
    return [
      [
        signed(next ? call(name, memory.put(bytes), size, from) : call(name, memory.put(bytes), size)),
        found < 0 ? size : found,
      ],
    ];
  };
const format =
  (template: string, args: (ground: Ground) => (bigint | number)[], expected: string): Case =>
  (ground) => {
    const out = ground.memory.put(new Uint8Array(256));
    const length = ground.call("snprintf", out, 256, ground.memory.put(template), ...args(ground));
    return [
      [ground.memory.text(out, 256), expected],
      [signed(length, 32), expected.length],
    ];
  };
const text =
  (name: string, run: (a: string, b: string, result: bigint, at: bigint) => readonly [unknown, unknown]): Case =>
  ({ call, memory, random }) => {
    const [a, b] = [word(random), word(random, 1 + random(3))];
    const at = memory.put(a);
    return [run(a, b, call(name, at, memory.put(b)), at)];
  };
const offset = (index: number, at: bigint): bigint => (index < 0 ? 0n : at + BigInt(index));

/** Name of the kernel's function -> cases. */
export const FUNCTIONS: Readonly<Record<string, readonly Case[]>> = {
  memcpy: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, 1 + random(5000));
      const out = memory.put(new Uint8Array(data.length));
      return [
        [call("memcpy", out, memory.put(data), data.length), out],
        [hexOf(memory.read(out, data.length)), hexOf(data)],
      ];
    },
  ],
  memmove: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, 600);
      const at = memory.put(data);
      const [from, to, length] = [random(200), random(200), random(400)];
      call("memmove", at + BigInt(to), at + BigInt(from), length);
      return [[hexOf(memory.read(at, 600)), hexOf(data.slice().copyWithin(to, from, from + length))]];
    },
  ],
  memset: [
    ({ call, memory, random }) => {
      const at = memory.put(bytesOf(random, 300));
      const [value, length] = [random(256), random(300)];
      call("memset", at, value, length);
      return [[hexOf(memory.read(at, length)), hexOf(new Uint8Array(length).fill(value))]];
    },
  ],
  memcmp: [
    ({ call, memory, random }) => {
      const a = bytesOf(random, 40, 2);
      const b = random(2) ? a.slice() : bytesOf(random, 40, 2);
      return [[sign(signed(call("memcmp", memory.put(a), memory.put(b), 40), 32)), Buffer.compare(a, b)]];
    },
  ],
  memchr: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, 50, 40);
      const at = memory.put(data);
      const wanted = random(40);
      return [[call("memchr", at, wanted, 50), offset(data.indexOf(wanted), at)]];
    },
  ],
  memchr_inv: [
    ({ call, memory, random }) => {
      const data = new Uint8Array(100).fill(7);
      if (random(3)) data[random(100)] = 8;
      const at = memory.put(data);
      return [
        [
          call("memchr_inv", at, 7, 100),
          offset(
            data.findIndex((byte) => byte !== 7),
            at,
          ),
        ],
      ];
    },
  ],
  strlen: [
    ({ call, memory, random }) => {
      const each = word(random, random(60));
      return [[signed(call("strlen", memory.put(each))), each.length]];
    },
  ],
  strnlen: [
    ({ call, memory, random }) => {
      const each = word(random, random(60));
      const limit = random(60);
      return [[signed(call("strnlen", memory.put(each), limit)), Math.min(limit, each.length)]];
    },
  ],
  strcmp: [text("strcmp", (a, b, result) => [sign(signed(result, 32)), compare(a, b)])],
  strncmp: [
    ({ call, memory, random }) => {
      const [a, b, n] = [word(random), word(random), random(6)];
      return [
        [sign(signed(call("strncmp", memory.put(a), memory.put(b), n), 32)), compare(a.slice(0, n), b.slice(0, n))],
      ];
    },
  ],
  strcasecmp: [
    text("strcasecmp", (a, b, result) => [sign(signed(result, 32)), compare(a.toLowerCase(), b.toLowerCase())]),
  ],
  strchr: [
    ({ call, memory, random }) => {
      const each = word(random);
      const at = memory.put(each);
      const letter = "abcAB z"[random(7)]!;
      return [
        [call("strchr", at, letter.charCodeAt(0)), offset(each.indexOf(letter), at)],
        [call("strrchr", at, letter.charCodeAt(0)), offset(each.lastIndexOf(letter), at)],
      ];
    },
  ],
  strstr: [text("strstr", (a, b, result, at) => [result, offset(a.indexOf(b), at)])],
  strspn: [
    text("strspn", (a, b, result) => [
      signed(result),
      [...a].findIndex((letter) => !b.includes(letter)) < 0
        ? a.length
        : [...a].findIndex((letter) => !b.includes(letter)),
    ]),
  ],
  strpbrk: [
    text("strpbrk", (a, b, result, at) => [
      result,
      offset(
        [...a].findIndex((letter) => b.includes(letter)),
        at,
      ),
    ]),
  ],
  strscpy: [
    ({ call, memory, random }) => {
      const each = word(random, random(30));
      const out = memory.put(new Uint8Array(64));
      const room = 1 + random(30);
      const result = signed(call("strscpy", out, memory.put(each), room));
      return [
        [result, each.length < room ? each.length : -7],
        [memory.text(out, 64), each.slice(0, room - 1)],
      ];
    },
  ],
  skip_spaces: [
    ({ call, memory, random }) => {
      const each = " ".repeat(random(9)) + word(random);
      const at = memory.put(each);
      return [[call("skip_spaces", at), at + BigInt(each.length - each.trimStart().length)]];
    },
  ],
  sort: [
    ({ call, memory, random }) => {
      const values = Array.from({ length: 1 + random(200) }, () => (random(2) ? random(0x1_0000_0000) : random(8)));
      const at = memory.put(numbers(values));
      call("sort", at, values.length, 4, memory.start + COMPARE_AT, 0);
      return [[read32(memory, at, values.length), [...values].sort((a, b) => a - b)]];
    },
  ],
  bsearch: [
    ({ call, memory, random }) => {
      const values = [...new Set(Array.from({ length: 60 }, () => random(100)))].sort((a, b) => a - b);
      const wanted = random(100);
      const at = memory.put(numbers(values));
      const index = values.indexOf(wanted);
      return [
        [
          call("bsearch", memory.put(numbers([wanted])), at, values.length, 4, memory.start + COMPARE_AT),
          offset(index < 0 ? -1 : 4 * index, at),
        ],
      ];
    },
  ],
  rb_insert_color: [tree],
  rb_erase: [tree],
  __crc32c_le: [
    ({ call, memory, random }) => {
      const [data, start] = [bytesOf(random, random(500)), random(0x1_0000_0000)];
      return [
        [
          Number(call("__crc32c_le", start, memory.put(data), data.length) & 0xffff_ffffn),
          reflectedCrc(data, start, 0x82f6_3b78),
        ],
      ];
    },
  ],
  crc32_le: [
    ({ call, memory, random }) => {
      const [data, start] = [bytesOf(random, random(500)), random(0x1_0000_0000)];
      return [
        [
          Number(call("crc32_le", start, memory.put(data), data.length) & 0xffff_ffffn),
          reflectedCrc(data, start, 0xedb8_8320),
        ],
      ];
    },
  ],
  crc16: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, random(200));
      return [
        [Number(call("crc16", 0x1234, memory.put(data), data.length) & 0xffffn), reflectedCrc(data, 0x1234, 0xa001)],
      ];
    },
  ],
  crc_ccitt: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, random(200));
      return [
        [
          Number(call("crc_ccitt", 0xffff, memory.put(data), data.length) & 0xffffn),
          reflectedCrc(data, 0xffff, 0x8408),
        ],
      ];
    },
  ],
  sha256: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, random(400));
      const out = memory.put(new Uint8Array(32));
      call("sha256", memory.put(data, 1), data.length, out);
      return [[hexOf(memory.read(out, 32)), createHash("sha256").update(data).digest("hex")]];
    },
  ],
  xxh64: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, random(200));
      return [[call("xxh64", memory.put(data, 1), data.length, 0x1234_5678_9abcn), xxh64(data, 0x1234_5678_9abcn)]];
    },
  ],
  siphash_1u64: [
    ({ call, memory, random }) => {
      const key = bytesOf(random, 16);
      const view = new DataView(key.buffer);
      const message = BigInt(random(0x7fff_ffff)) << 20n;
      return [
        [
          call("siphash_1u64", message, memory.put(key)),
          siphash(view.getBigUint64(0, true), view.getBigUint64(8, true), message),
        ],
      ];
    },
  ],
  hex_to_bin: [
    ({ call, random }) => {
      const each = random(256);
      const letter = String.fromCharCode(each);
      return [[signed(call("hex_to_bin", each), 32), /^[0-9a-fA-F]$/.test(letter) ? Number.parseInt(letter, 16) : -1]];
    },
  ],
  hex2bin: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, 20);
      const out = memory.put(new Uint8Array(20));
      return [
        [signed(call("hex2bin", out, memory.put(hexOf(data)), 20), 32), 0],
        [hexOf(memory.read(out, 20)), hexOf(data)],
      ];
    },
  ],
  bin2hex: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, 20);
      const out = memory.put(new Uint8Array(64));
      call("bin2hex", out, memory.put(data), 20);
      return [[new TextDecoder().decode(memory.read(out, 40)), hexOf(data)]];
    },
  ],
  kstrtoull: [
    ({ call, memory, random }) => {
      const value = (BigInt(random(0x1_0000_0000)) << 32n) | BigInt(random(0x1_0000_0000));
      const base = [10, 16, 8][random(3)]!;
      const out = memory.put(new Uint8Array(8));
      const bad = random(4) === 0;
      const result = signed(call("kstrtoull", memory.put(value.toString(base) + (bad ? "!" : "\n")), base, out), 32);
      return bad
        ? [[result, -22]]
        : [
            [result, 0],
            [memory.quad(out), value],
          ];
    },
  ],
  simple_strtoull: [
    ({ call, memory, random }) => {
      const value = BigInt(random(0x1_0000_0000)) * 77n;
      const at = memory.put(`0x${value.toString(16)}xyz`);
      const end = memory.put(new Uint8Array(8));
      return [
        [call("simple_strtoull", at, end, 0), value],
        [memory.quad(end), at + BigInt(value.toString(16).length + 2)],
      ];
    },
  ],
  memparse: [
    ({ call, memory, random }) => {
      const [value, unit] = [random(1000), random(4)];
      return [
        [call("memparse", memory.put(`${value}${["", "K", "M", "G"][unit]}`), 0), BigInt(value) << BigInt(10 * unit)],
      ];
    },
  ],
  _find_first_bit: [findBit("_find_first_bit", 1, false)],
  _find_first_zero_bit: [findBit("_find_first_zero_bit", 0, false)],
  _find_next_bit: [findBit("_find_next_bit", 1, true)],
  _find_next_zero_bit: [findBit("_find_next_zero_bit", 0, true)],
  __bitmap_weight: [
    ({ call, memory, random }) => {
      const [data, size] = [bytesOf(random, 32), random(257)];
      return [
        [
          signed(call("__bitmap_weight", memory.put(data), size), 32),
          bitsOf(data)
            .slice(0, size)
            .reduce((sum, bit) => sum + bit, 0),
        ],
      ];
    },
  ],
  __bitmap_and: [bitmap("__bitmap_and", (a, b) => a.map((bit, i) => bit & b[i]!))],
  __bitmap_xor: [bitmap("__bitmap_xor", (a, b) => a.map((bit, i) => bit ^ b[i]!))],
  __sw_hweight64: [
    ({ call, random }) => {
      const value = (BigInt(random(0x1_0000_0000)) << 32n) | BigInt(random(0x1_0000_0000));
      return [[signed(call("__sw_hweight64", value)), [...value.toString(2)].filter((bit) => bit === "1").length]];
    },
  ],
  int_sqrt: [
    ({ call, random }) => {
      const value = random(0x7fff_ffff);
      return [[signed(call("int_sqrt", value)), Math.floor(Math.sqrt(value))]];
    },
  ],
  gcd: [
    ({ call, random }) => {
      const [a, b] = [random(100_000), random(100_000)];
      const euclid = (x: number, y: number): number => (y === 0 ? x : euclid(y, x % y));
      return [[signed(call("gcd", a, b)), euclid(a, b)]];
    },
  ],
  int_pow: [
    ({ call, random }) => {
      const [base, exponent] = [random(1000), random(12)];
      return [[call("int_pow", base, exponent), BigInt.asUintN(64, BigInt(base) ** BigInt(exponent))]];
    },
  ],
  snprintf: [
    format(
      "%d %5u %-6x|%08lx %lld %c%%",
      () => [-42, 17, 0xbeef, 0x1234_5678_9abn, -(1n << 62n), 65],
      "-42    17 beef  |123456789ab -4611686018427387904 A%",
    ),
    format(
      "%s|%10.3s|%-8s|%pK",
      ({ memory }) => [memory.put("hello"), memory.put("abcdef"), memory.put("left"), 0],
      "hello|       abc|left    |0000000000000000",
    ),
    format("%*ph", ({ memory }) => [5, memory.put(Uint8Array.of(1, 2, 0xab, 0xff, 0))], "01 02 ab ff 00"),
    format(
      "%pI4 %pUb",
      ({ memory }) => [
        memory.put(Uint8Array.of(192, 168, 0, 1)),
        memory.put(Uint8Array.from({ length: 16 }, (_, i) => i)),
      ],
      "192.168.0.1 00010203-0405-0607-0809-0a0b0c0d0e0f",
    ),
  ],
  glob_match: [
    ({ call, memory, random }) => {
      const [pattern, each] = [["a*b", "?b*", "[ab]*", "*A", "a?[!b]*"][random(5)]!, word(random)];
      const expression = new RegExp(`^${pattern.replace(/\[!/g, "[^").replace(/\?/g, ".").replace(/\*/g, ".*")}$`);
      return [[(call("glob_match", memory.put(pattern), memory.put(each)) & 0xffn) !== 0n, expression.test(each)]];
    },
  ],
  base64_encode: [
    ({ call, memory, random }) => {
      const data = bytesOf(random, 1 + random(40));
      const out = memory.put(new Uint8Array(128));
      const length = signed(call("base64_encode", memory.put(data), data.length, out), 32);
      return [[new TextDecoder().decode(memory.read(out, length)), Buffer.from(data).toString("base64")]];
    },
  ],
  utf8s_to_utf16s: [
    ({ call, memory }) => {
      const each = "kr\u00e9plica \u20ac \u{1f427} end";
      const data = new TextEncoder().encode(each);
      const out = memory.put(new Uint8Array(128));
      const units = signed(call("utf8s_to_utf16s", memory.put(data), data.length, 1, out, 60), 32);
      return [[Buffer.from(memory.read(out, 2 * units)).toString("utf16le"), each]];
    },
  ],
  LZ4_decompress_safe: [
    ({ call, memory, random }) => {
      const data = Buffer.from(
        Array.from({ length: 300 }, () => word(random, 3))
          .join("")
          .repeat(3),
      );
      // A legacy frame is magic, length, block.
      const packedData = execFileSync("lz4", ["-l", "-c", "-9"], { input: data }).subarray(8);
      const out = memory.put(new Uint8Array(data.length));
      return [
        [
          signed(call("LZ4_decompress_safe", memory.put(packedData), out, packedData.length, data.length), 32),
          data.length,
        ],
        [hexOf(memory.read(out, data.length)), hexOf(data)],
      ];
    },
  ],
};

/**
 * Runs every case of a function `rounds` times on one CPU.
 * @returns calls made
 * @throws Error at the first difference
 */
export function check(
  caller: KernelCaller,
  symbol: (name: string) => bigint,
  name: string,
  rounds: number,
  seed: number,
): number {
  const random = seededRandom(seed ^ [...name].reduce((sum, letter) => Math.imul(sum, 31) + letter.charCodeAt(0), 7));
  let calls = 0;
  for (let round = 0; round < rounds; round++) {
    for (const each of FUNCTIONS[name]!) {
      caller.scratch.reset();
      const results = each({
        call: (wanted, ...args) => {
          calls++;
          return caller.call(symbol(wanted), args);
        },
        memory: caller.scratch,
        random,
      });
      for (const [ours, theirs] of results) {
        const [a, b] = [ours, theirs].map((value) =>
          JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? `${part}n` : part)),
        );
        if (a !== b)
          throw new Error(`${name} on CPU ${caller.cpu}, round ${round}: the kernel says ${a}, it should be ${b}`);
      }
    }
  }
  return calls;
}
