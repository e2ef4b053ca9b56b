/** Paging-structure caches in WebAssembly: what lru-table.ts says, over the same bytes. Slots are numbers as there. */
import type { BinaryWriter, Callee, Local } from "../wasm/binary-writer.js";
import { block, branch, branchIf, type Code, leave, loop, when } from "../wasm/code.js";
import { i32 } from "../wasm/operations.js";
import { Pattern } from "../bit-patterns.js";
import type { LruPlace } from "./places.js";
import { add, type I32, number, shl, shrU } from "./set-code.js";

/** What a walk does with one of them. */
export interface LruCode {
  /** Finds a key and changes nothing: key, tag. @returns the slot, or 0 */
  readonly find: Callee<readonly ["i32", "i32"], "i32">;
  /** Makes a slot the one used last. */
  readonly use: Callee<readonly ["i32"], undefined>;
  /** Enters a key that is not there, in place of the entry unused longest: key, tag, value, extra. */
  readonly insert: Callee<readonly ["i32", "i32", "i32", "i32"], undefined>;
}

/** Writes what a walk does with one of them. */
export function lruCode(writer: BinaryWriter, place: LruPlace): LruCode {
  const word = (slot: I32, at: number): I32 => i32.load(shl(slot, 2), at);
  const setWord = (slot: I32, at: number, value: I32): Code => i32.store(shl(slot, 2), value, at);
  const link = (slot: I32, at: number): I32 => i32.load16(shl(slot, 1), at);
  const setLink = (slot: I32, at: number, value: I32): Code => i32.store16(shl(slot, 1), value, at);
  const first = number(0);
  const bucketOf = (key: I32, tag: I32): I32 =>
    shrU(i32.mul(i32.xor(key, i32.mul(tag, number(Pattern.Hash))), number(Pattern.Hash)), place.shift);
  const has = (slot: I32, key: I32, tag: I32): I32 =>
    i32.and(i32.eq(word(slot, place.key), key), i32.eq(word(slot, place.tag), tag));

  const find = writer.inline(["i32", "i32"], "i32", (variables, key, tag) => {
    const slot = variables.local("i32");
    return [
      slot.set(link(first, place.older)),
      when(has(slot, key, tag), leave(slot)),
      slot.set(link(bucketOf(key, tag), place.buckets)),
      block((end) =>
        loop((next) => [
          branchIf(i32.isZero(slot), end),
          branchIf(has(slot, key, tag), end),
          slot.set(link(slot, place.chain)),
          branch(next),
        ]),
      ),
      slot.code,
    ];
  });

  const use = writer.inline(["i32"], undefined, (variables, slot) => {
    const newer = variables.local("i32");
    const older = variables.local("i32");
    return [
      newer.set(link(slot, place.newer)),
      older.set(link(slot, place.older)),
      setLink(newer, place.older, older),
      setLink(older, place.newer, newer),
      older.set(link(first, place.older)),
      setLink(first, place.older, slot),
      setLink(slot, place.newer, first),
      setLink(slot, place.older, older),
      setLink(older, place.newer, slot),
    ];
  });

  const unchain = (slot: I32, bucket: Local<"i32">, before: Local<"i32">): Code => [
    bucket.set(bucketOf(word(slot, place.key), word(slot, place.tag))),
    before.set(link(bucket, place.buckets)),
    when(i32.eq(before, slot), setLink(bucket, place.buckets, link(slot, place.chain)), [
      block((end) =>
        loop((next) => [
          branchIf(i32.eq(link(before, place.chain), slot), end),
          before.set(link(before, place.chain)),
          branch(next),
        ]),
      ),
      setLink(before, place.chain, link(slot, place.chain)),
    ]),
  ];

  const insert = writer.inline(["i32", "i32", "i32", "i32"], undefined, (variables, key, tag, value, extra) => {
    const slot = variables.local("i32");
    const bucket = variables.local("i32");
    const before = variables.local("i32");
    return [
      slot.set(link(first, place.newer)),
      when(add(word(slot, place.tag), 1), unchain(slot, bucket, before)),
      use.run(slot),
      bucket.set(bucketOf(key, tag)),
      setLink(slot, place.chain, link(bucket, place.buckets)),
      setLink(bucket, place.buckets, slot),
      setWord(slot, place.key, key),
      setWord(slot, place.tag, tag),
      setWord(slot, place.value, value),
      setWord(slot, place.extra, extra),
    ];
  });
  return { find, use, insert };
}
