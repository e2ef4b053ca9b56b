/** Sets of caches and TLBs in WebAssembly: what cache.ts and tlb.ts say of up to 8 ways, over the same bytes. */
import { Pattern } from "../bit-patterns.js";
import type { Code, Expression } from "../wasm/code.js";
import type { Local } from "../wasm/binary-writer.js";
import { i32, v128 } from "../wasm/operations.js";
import type { CachePlace } from "./places.js";

export type I32 = Expression<"i32">;

/** Bytes of a cache set's record; where in it modified, shared, order, marks and tags lie (cache.ts draws them). */
export const SET_BYTES = 13 * 4;
export const MODIFIED = 0;
export const SHARED = 4;
export const ORDER = 8;
export const MARKS = 12;
export const TAGS = 20;

export const number = i32.const;
export const add = (a: I32, b: number): I32 => (b === 0 ? a : i32.add(a, number(b)));
export const and = (a: I32, b: number): I32 => i32.and(a, number(b));
export const shl = (a: I32, b: number): I32 => (b === 0 ? a : i32.shl(a, number(b)));
export const shrU = (a: I32, b: number): I32 => (b === 0 ? a : i32.shrU(a, number(b)));
export const or = (a: I32, b: number): I32 => i32.or(a, number(b));

/** Byte address of the record of a line's set. */
export const setOf = ({ at, groupMask }: CachePlace, frame: I32, line: I32): I32 => {
  const set = groupMask === 0 ? line : i32.or(shl(and(frame, groupMask), 6), line);
  return add(i32.mul(set, number(SET_BYTES)), at);
};

/** Bit w: way w of the set has the frame. */
export const fits = (set: I32, frame: I32): I32 => {
  const wanted = v128.splat32(frame);
  const lanes = v128.narrow32(v128.eq32(v128.load(set, TAGS), wanted), v128.eq32(v128.load(set, TAGS + 16), wanted));
  return v128.mask16(lanes);
};

/**
 * An order word with `way` as the one used last. Source: Knuth, TAOCP 4A, 7.1.3, on finding a zero byte.
 * @param scratch two variables that it may use
 */
export function promoted(order: Local<"i32">, way: I32, [other, zero]: readonly [Local<"i32">, Local<"i32">]): I32 {
  return {
    type: "i32",
    code: [
      other.set(i32.xor(order, i32.mul(way, number(Pattern.Nibbles)))),
      zero.set(and(i32.and(add(other, -Pattern.Nibbles), i32.xor(other, number(-1))), Pattern.NibbleTops)),
      // From here on the nibbles up to the one that becomes the lowest.
      zero.set(add(shl(i32.and(zero, i32.sub(number(0), zero)), 1), -1)),
      i32.or(i32.or(i32.and(order, i32.xor(zero, number(-1))), i32.and(shl(order, 4), zero)), way).code,
    ],
  };
}

/** Nibbles of an order word that hold ways. */
export const orderMask = (ways: number): number => (ways === 8 ? -1 : (1 << (4 * ways)) - 1);

/** The way unused longest. */
export const oldest = (order: I32, ways: number): I32 => and(shrU(order, 4 * (ways - 1)), 15);

/** The order word in which that way was used last. */
export const turned = (order: I32, way: I32, ways: number): I32 => {
  const mask = orderMask(ways);
  const next = i32.or(shl(order, 4), way);
  return mask === -1 ? next : or(and(next, mask), ~mask);
};

/** A way's bit. */
export const bitOf = (way: I32): I32 => i32.shl(number(1), way);

/** Clears bits of a word in memory. */
export const clear = (set: I32, offset: number, bits: I32): Code =>
  i32.store(set, i32.and(i32.load(set, offset), i32.xor(bits, number(-1))), offset);

/** Sets bits of a word in memory. */
export const raise = (set: I32, offset: number, bits: I32): Code =>
  i32.store(set, i32.or(i32.load(set, offset), bits), offset);

/** What a line that is not there takes, and who had it. */
export interface Filled {
  readonly way: Local<"i32">;
  readonly victim: Local<"i32">;
  /** The way's bit where the victim was modified, else 0. */
  readonly modified: Local<"i32">;
}

/** A line comes in with no state, in the way unused longest. @param order scratch */
export function fill(
  { ways, originsAt, at }: CachePlace,
  set: Local<"i32">,
  frame: I32,
  { way, victim, modified }: Filled,
  order: Local<"i32">,
): Code {
  const tag = i32.add(set, shl(way, 2));
  return [
    order.set(i32.load(set, ORDER)),
    way.set(oldest(order, ways)),
    i32.store(set, turned(order, way, ways), ORDER),
    i32.store8(i32.add(set, way), shrU(i32.mul(frame, number(Pattern.Hash)), 24), MARKS),
    victim.set(i32.load(tag, TAGS)),
    i32.store(tag, frame, TAGS),
    modified.set(i32.and(i32.load(set, MODIFIED), bitOf(way))),
    clear(set, MODIFIED, bitOf(way)),
    clear(set, SHARED, bitOf(way)),
    originsAt === 0 ? [] : i32.store8(originOf(at, set, way), number(0), originsAt),
  ];
}

/** Byte of a tag's origin, from the origins' first. */
export const originOf = (at: number, set: I32, way: I32): I32 => i32.add(shrU(add(set, TAGS - at), 2), way);

/** Adds to a counter of 32 bits. @param address is computed twice: it has no calls */
export const count = (address: I32, offset: number, more: I32 = number(1)): Code =>
  i32.store(address, i32.add(i32.load(address, offset), more), offset);
