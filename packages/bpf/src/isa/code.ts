/**
 * A run of eBPF instructions as parallel typed arrays, and its wire form of eight bytes a slot.
 *
 *   byte 0 opcode | byte 1 src(7..4) dst(3..0) | bytes 2 3 offset, signed | bytes 4 .. 7 imm, signed     (little endian)
 *
 * A 64-bit immediate load takes two slots; the second has opcode 0 and carries the upper half in `imm`.
 *
 * @source RFC 9669, "Instruction encoding"
 */
import { BpfError } from "../errors.js";

/** Instruction slots; index = slot number. Plain arrays so that the interpreter's loop allocates nothing. */
export class Code {
  readonly opcode: Uint8Array;
  readonly dst: Uint8Array;
  readonly src: Uint8Array;
  readonly offset: Int16Array;
  readonly imm: Int32Array;

  /** @param length count of slots */
  constructor(readonly length: number) {
    this.opcode = new Uint8Array(length);
    this.dst = new Uint8Array(length);
    this.src = new Uint8Array(length);
    this.offset = new Int16Array(length);
    this.imm = new Int32Array(length);
  }

  /** Writes one slot. */
  set(at: number, opcode: number, dst = 0, src = 0, offset = 0, imm = 0): void {
    this.opcode[at] = opcode;
    this.dst[at] = dst;
    this.src[at] = src;
    this.offset[at] = offset;
    this.imm[at] = imm;
  }

  /** Writes a 64-bit immediate over the two slots of the load at `at`; opcode and registers stay. */
  setImm64(at: number, value: bigint): void {
    this.imm[at] = Number(BigInt.asIntN(32, value));
    this.imm[at + 1] = Number(BigInt.asIntN(32, value >> 32n));
  }

  /** The 64-bit immediate of the two-slot load at `at`, unsigned. */
  imm64(at: number): bigint {
    return BigInt.asUintN(64, (BigInt(this.imm[at + 1]!) << 32n) | BigInt(this.imm[at]! >>> 0));
  }

  /** A copy of slots `[from, to)`. */
  slice(from = 0, to = this.length): Code {
    const part = new Code(to - from);
    part.paste(0, this, from, to);
    return part;
  }

  /** Copies slots `[from, to)` of `other` to `at`. */
  paste(at: number, other: Code, from = 0, to = other.length): void {
    this.opcode.set(other.opcode.subarray(from, to), at);
    this.dst.set(other.dst.subarray(from, to), at);
    this.src.set(other.src.subarray(from, to), at);
    this.offset.set(other.offset.subarray(from, to), at);
    this.imm.set(other.imm.subarray(from, to), at);
  }
}

/**
 * Reads the wire form.
 *
 * @throws BpfError `code-size` when the length is not a multiple of 8 bytes
 */
export function decode(bytes: Uint8Array): Code {
  if (bytes.length % 8 !== 0) {
    throw new BpfError(
      "code-size",
      {},
      `${bytes.length} bytes of code are no whole number of 8-byte instructions; was the section cut?`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const code = new Code(bytes.length / 8);
  for (let i = 0; i < code.length; i++) {
    code.set(
      i,
      bytes[8 * i]!,
      bytes[8 * i + 1]! & 15,
      bytes[8 * i + 1]! >> 4,
      view.getInt16(8 * i + 2, true),
      view.getInt32(8 * i + 4, true),
    );
  }
  return code;
}

/** Writes the wire form: 8 bytes a slot. */
export function encode(code: Code): Uint8Array {
  const bytes = new Uint8Array(code.length * 8);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < code.length; i++) {
    bytes[8 * i] = code.opcode[i]!;
    bytes[8 * i + 1] = (code.src[i]! << 4) | (code.dst[i]! & 15);
    view.setInt16(8 * i + 2, code.offset[i]!, true);
    view.setInt32(8 * i + 4, code.imm[i]!, true);
  }
  return bytes;
}
