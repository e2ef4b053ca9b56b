/**
 * Patterns for working on several small numbers in one word. An enum, not constants: bundlers write its values out
 * where they are used, while a `const` with a long value becomes a variable that V8 loads, checks and takes for a
 * double.
 */
export const enum Pattern {
  /** Knuth's multiplicative hash, 2^32 divided by the golden ratio. */
  Hash = 0x9e37_79b1 | 0,
  Bytes = 0x0101_0101,
  ByteTops = 0x8080_8080 | 0,
  Nibbles = 0x1111_1111,
  NibbleTops = 0x8888_8888 | 0,
}
