/**
 * The few instructions that patching writes, as bytes.
 *
 * Source: Intel SDM vol. 2, "CALL", "JMP", "RET", "INT n/INTO/INT3/INT1", "Jcc", "NOP" (table "Recommended Multi-Byte
 * Sequence of NOP Instruction").
 */
import { hex } from "@kreplica/hw-x86/api";
import { TextPatchError } from "./errors.js";

/** Opcode of the breakpoint, one byte. */
export const INT3 = 0xcc;
/** Opcode of a near return, one byte. */
export const RET = 0xc3;
/** Opcode of a call with a 32-bit distance, five bytes in all. */
export const CALL = 0xe8;
/** Opcode of a jump with a 32-bit distance, five bytes in all. */
export const JMP32 = 0xe9;
/** Opcode of a jump with an 8-bit distance, two bytes in all. */
export const JMP8 = 0xeb;

/** No-ops of 1 to 8 bytes; the kernel uses no longer ones. */
export const NOPS: readonly (readonly number[])[] = [
  [],
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/** Fills bytes [from, to) with the longest no-ops. */
export function fillNops(bytes: Uint8Array, from = 0, to = bytes.length): void {
  while (from < to) {
    const length = Math.min(8, to - from);
    bytes.set(NOPS[length]!, from);
    from += length;
  }
}

/** @returns exactly `length` bytes of no-ops */
export function nops(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  fillNops(bytes);
  return bytes;
}

/** Five bytes: CALL or JMP. @throws TextPatchError out-of-reach beyond 2 GiB */
export function branch32(opcode: typeof CALL | typeof JMP32, from: bigint, to: bigint): Uint8Array {
  const bytes = new Uint8Array(5);
  bytes[0] = opcode;
  setRelative(bytes, 1, from + 5n, to);
  return bytes;
}

/** Two bytes. @throws TextPatchError out-of-reach beyond 127 bytes */
export function jump8(from: bigint, to: bigint): Uint8Array {
  const distance = BigInt.asIntN(64, to - from - 2n);
  if (distance < -128n || distance > 127n)
    throw new TextPatchError("out-of-reach", from, `${hex(to)} is ${distance} bytes away, a short jump reaches 127`);
  return Uint8Array.of(JMP8, Number(distance) & 255);
}

/** Writes the 32-bit distance from `next` to `to`. */
export function setRelative(bytes: Uint8Array, at: number, next: bigint, to: bigint): void {
  new DataView(bytes.buffer, bytes.byteOffset).setInt32(at, relative(next, to), true);
}

function relative(next: bigint, to: bigint): number {
  const distance = BigInt.asIntN(64, to - next);
  if (distance !== BigInt.asIntN(32, distance))
    throw new TextPatchError("out-of-reach", next, `${hex(to)} is more than 2 GiB away`);
  return Number(distance);
}

/** Address that a 32-bit displacement at `at` names, from an instruction that ends at `next`. */
export const targetOf = (bytes: Uint8Array, at: number, next: bigint): bigint =>
  BigInt.asUintN(64, next + BigInt(new DataView(bytes.buffer, bytes.byteOffset).getInt32(at, true)));
