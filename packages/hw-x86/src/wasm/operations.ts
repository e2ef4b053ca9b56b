/**
 * WebAssembly's operations as functions of expressions, by the type they work on: what fits together is the
 * compiler's to check. Addresses are bytes of the memory.
 *
 * Source: WebAssembly Core Specification 2.0, "Binary Format", "Numeric Instructions", "Memory Instructions", "Vector
 * Instructions".
 */
import { type Code, type Expression, signed, unsigned, type ValueType } from "./code.js";

type I32 = Expression<"i32">;

const make = <T extends ValueType>(type: T, ...code: Code): Expression<T> => ({ type, code });

const unary =
  <A extends ValueType, T extends ValueType>(type: T, ...opcode: number[]) =>
  (a: Expression<A>): Expression<T> =>
    make(type, a.code, opcode);

const binary =
  <A extends ValueType, T extends ValueType>(type: T, ...opcode: number[]) =>
  (a: Expression<A>, b: Expression<A>): Expression<T> =>
    make(type, a.code, b.code, opcode);

const load =
  <T extends ValueType>(type: T, ...opcode: number[]) =>
  /** @param offset added to the address, 0 to 2^32 - 1 */
  (address: I32, offset = 0): Expression<T> =>
    // An alignment of one byte promises nothing, and costs nothing where the host does not care.
    make(type, address.code, opcode, 0, unsigned(offset));

const store =
  <T extends ValueType>(...opcode: number[]) =>
  (address: I32, value: Expression<T>, offset = 0): Code => [address.code, value.code, opcode, 0, unsigned(offset)];

/** A vector operation's opcode. */
const vector = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];

/** 32-bit integers; comparisons give 1 or 0. */
export const i32 = {
  const: (value: number): I32 => make("i32", 0x41, signed(BigInt(value | 0))),
  load: load("i32", 0x28),
  load8: load("i32", 0x2d),
  load16: load("i32", 0x2f),
  store: store<"i32">(0x36),
  store8: store<"i32">(0x3a),
  store16: store<"i32">(0x3b),
  isZero: unary<"i32", "i32">("i32", 0x45),
  eq: binary<"i32", "i32">("i32", 0x46),
  ne: binary<"i32", "i32">("i32", 0x47),
  ltS: binary<"i32", "i32">("i32", 0x48),
  ltU: binary<"i32", "i32">("i32", 0x49),
  gtS: binary<"i32", "i32">("i32", 0x4a),
  gtU: binary<"i32", "i32">("i32", 0x4b),
  leS: binary<"i32", "i32">("i32", 0x4c),
  leU: binary<"i32", "i32">("i32", 0x4d),
  geS: binary<"i32", "i32">("i32", 0x4e),
  geU: binary<"i32", "i32">("i32", 0x4f),
  clz: unary<"i32", "i32">("i32", 0x67),
  ctz: unary<"i32", "i32">("i32", 0x68),
  popcnt: unary<"i32", "i32">("i32", 0x69),
  add: binary<"i32", "i32">("i32", 0x6a),
  sub: binary<"i32", "i32">("i32", 0x6b),
  mul: binary<"i32", "i32">("i32", 0x6c),
  divS: binary<"i32", "i32">("i32", 0x6d),
  divU: binary<"i32", "i32">("i32", 0x6e),
  remS: binary<"i32", "i32">("i32", 0x6f),
  remU: binary<"i32", "i32">("i32", 0x70),
  and: binary<"i32", "i32">("i32", 0x71),
  or: binary<"i32", "i32">("i32", 0x72),
  xor: binary<"i32", "i32">("i32", 0x73),
  shl: binary<"i32", "i32">("i32", 0x74),
  shrS: binary<"i32", "i32">("i32", 0x75),
  shrU: binary<"i32", "i32">("i32", 0x76),
  rotl: binary<"i32", "i32">("i32", 0x77),
  rotr: binary<"i32", "i32">("i32", 0x78),
  /** The low half of 64 bits. */
  wrap: unary<"i64", "i32">("i32", 0xa7),
  extend8S: unary<"i32", "i32">("i32", 0xc0),
  extend16S: unary<"i32", "i32">("i32", 0xc1),
} as const;

/** 64-bit integers; comparisons give an i32, 1 or 0. */
export const i64 = {
  /** @param value 64 bits, signed or not */
  const: (value: bigint): Expression<"i64"> => make("i64", 0x42, signed(BigInt.asIntN(64, value))),
  load: load("i64", 0x29),
  load8: load("i64", 0x31),
  load16: load("i64", 0x33),
  load32: load("i64", 0x35),
  store: store<"i64">(0x37),
  store8: store<"i64">(0x3c),
  store16: store<"i64">(0x3d),
  store32: store<"i64">(0x3e),
  isZero: unary<"i64", "i32">("i32", 0x50),
  eq: binary<"i64", "i32">("i32", 0x51),
  ne: binary<"i64", "i32">("i32", 0x52),
  ltS: binary<"i64", "i32">("i32", 0x53),
  ltU: binary<"i64", "i32">("i32", 0x54),
  gtS: binary<"i64", "i32">("i32", 0x55),
  gtU: binary<"i64", "i32">("i32", 0x56),
  leS: binary<"i64", "i32">("i32", 0x57),
  leU: binary<"i64", "i32">("i32", 0x58),
  geS: binary<"i64", "i32">("i32", 0x59),
  geU: binary<"i64", "i32">("i32", 0x5a),
  clz: unary<"i64", "i64">("i64", 0x79),
  ctz: unary<"i64", "i64">("i64", 0x7a),
  popcnt: unary<"i64", "i64">("i64", 0x7b),
  add: binary<"i64", "i64">("i64", 0x7c),
  sub: binary<"i64", "i64">("i64", 0x7d),
  mul: binary<"i64", "i64">("i64", 0x7e),
  divS: binary<"i64", "i64">("i64", 0x7f),
  divU: binary<"i64", "i64">("i64", 0x80),
  remS: binary<"i64", "i64">("i64", 0x81),
  remU: binary<"i64", "i64">("i64", 0x82),
  and: binary<"i64", "i64">("i64", 0x83),
  or: binary<"i64", "i64">("i64", 0x84),
  xor: binary<"i64", "i64">("i64", 0x85),
  shl: binary<"i64", "i64">("i64", 0x86),
  shrS: binary<"i64", "i64">("i64", 0x87),
  shrU: binary<"i64", "i64">("i64", 0x88),
  rotl: binary<"i64", "i64">("i64", 0x89),
  rotr: binary<"i64", "i64">("i64", 0x8a),
  extendS: unary<"i32", "i64">("i64", 0xac),
  extendU: unary<"i32", "i64">("i64", 0xad),
  extend8S: unary<"i64", "i64">("i64", 0xc2),
  extend16S: unary<"i64", "i64">("i64", 0xc3),
  extend32S: unary<"i64", "i64">("i64", 0xc4),
} as const;

/** Doubles. */
export const f64 = {
  const: (value: number): Expression<"f64"> => make("f64", 0x44, [...new Uint8Array(new Float64Array([value]).buffer)]),
  load: load("f64", 0x2b),
  store: store<"f64">(0x39),
  add: binary<"f64", "f64">("f64", 0xa0),
  sub: binary<"f64", "f64">("f64", 0xa1),
  mul: binary<"f64", "f64">("f64", 0xa2),
  convertI32S: unary<"i32", "f64">("f64", 0xb7),
  convertI32U: unary<"i32", "f64">("f64", 0xb8),
} as const;

/** Vectors of 128 bits, as whole and as 16, 8 or 4 lanes. A bit mask has the top bit of lane n in bit n. */
export const v128 = {
  load: load("v128", ...vector(0x00)),
  store: store<"v128">(...vector(0x0b)),
  not: unary<"v128", "v128">("v128", ...vector(0x4d)),
  and: binary<"v128", "v128">("v128", ...vector(0x4e)),
  or: binary<"v128", "v128">("v128", ...vector(0x50)),
  xor: binary<"v128", "v128">("v128", ...vector(0x51)),
  /** Whether any bit is set. */
  any: unary<"v128", "i32">("i32", ...vector(0x53)),
  splat8: unary<"i32", "v128">("v128", ...vector(0x0f)),
  splat16: unary<"i32", "v128">("v128", ...vector(0x10)),
  splat32: unary<"i32", "v128">("v128", ...vector(0x11)),
  /** @param bytes 16, the first lane's low byte first */
  const: (bytes: readonly number[]): Expression<"v128"> => make("v128", vector(0x0c), bytes),
  /** The first's bits where the third has ones, the second's where it has zeros. */
  bitselect: (a: Expression<"v128">, b: Expression<"v128">, mask: Expression<"v128">): Expression<"v128"> =>
    make("v128", a.code, b.code, mask.code, vector(0x52)),
  eq8: binary<"v128", "v128">("v128", ...vector(0x23)),
  eq16: binary<"v128", "v128">("v128", ...vector(0x2d)),
  /** Signed lanes, ones where the first is no larger; no smaller. */
  leS16: binary<"v128", "v128">("v128", ...vector(0x33)),
  geS16: binary<"v128", "v128">("v128", ...vector(0x35)),
  eq32: binary<"v128", "v128">("v128", ...vector(0x37)),
  mask8: unary<"v128", "i32">("i32", ...vector(0x64)),
  mask16: unary<"v128", "i32">("i32", ...vector(0x84)),
  mask32: unary<"v128", "i32">("i32", ...vector(0xa4)),
  /** Two vectors of 8 signed lanes become one of 16, each held to -128 to 127. */
  narrow16: binary<"v128", "v128">("v128", ...vector(0x65)),
  /** Two vectors of 4 signed lanes become one of 8, each held to 16 signed bits. */
  narrow32: binary<"v128", "v128">("v128", ...vector(0x85)),
} as const;
