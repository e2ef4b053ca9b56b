/** From iced's operands to slots: registers, memory operands, immediates of a decoded instruction. */
import { MemorySizeExt, OpKind, Register, type Instruction as Decoded } from "@kreplica/hw-x86/iced";
import { Slot } from "./context.js";
import type { Instruction } from "./instruction.js";
import { slotFor } from "./operand.js";

/** Registers come in runs of 16 (8-bit ones in 20): AL..BH, SPL..R15L, AX.., EAX.., RAX... */
export function registerSize(register: number): number {
  return register >= Register.RAX ? 8 : register >= Register.EAX ? 4 : register >= Register.AX ? 2 : 1;
}

/** Number 0 to 15 of a general register of 2, 4 or 8 bytes, or of a low byte register. */
export function registerNumber(register: number): number {
  if (register >= Register.RAX) return register - Register.RAX;
  if (register >= Register.EAX) return register - Register.EAX;
  if (register >= Register.AX) return register - Register.AX;
  return register >= Register.SPL ? register - Register.SPL + 4 : register - Register.AL;
}

/** A register in units of its own size. */
export function registerSlot(register: number): number {
  if (register >= Register.AH && register <= Register.BH) return (register - Register.AH) * 8 + 1;
  const size = registerSize(register);
  return registerNumber(register) * (size === 1 ? 8 : size === 2 ? 4 : 2);
}

/** Bytes of operand `n`: the register's size or the memory operand's. */
export function operandSize(d: Decoded, n: number): number {
  return d.opKind(n) === OpKind.Register ? registerSize(d.opRegister(n)) : MemorySizeExt.size(d.memorySize);
}

/** Whether operand `n` is an explicit memory operand. */
export const isMemory = (d: Decoded, n: number): boolean => d.opKind(n) === OpKind.Memory;
/** Whether there is an operand `n` and it is a register. */
export const isRegister = (d: Decoded, n: number): boolean => n < d.opCount && d.opKind(n) === OpKind.Register;

/** Sets operand size and shift. */
export function setSize(i: Instruction, size: number): void {
  i.size = size;
  i.shift = size < 4 ? 32 - 8 * size : 0;
}

/** Slot of a segment's base: only FS and GS have one in 64-bit mode. */
export const segmentSlot = (segment: number): number =>
  segment === Register.FS ? Slot.FsBase : segment === Register.GS ? Slot.GsBase : Slot.Zero;

const wordSlot = (register: number): number =>
  register === Register.None || register === Register.RIP || register === Register.EIP
    ? Slot.Zero
    : registerNumber(register) * 2;

/** Resolves the memory operand. @param bytes accessed */
export function setMemory(d: Decoded, i: Instruction, bytes: number): void {
  i.memory = bytes;
  i.base = wordSlot(d.memoryBase);
  i.index = wordSlot(d.memoryIndex);
  i.scale = 31 - Math.clz32(d.memoryIndexScale);
  const displacement = d.memoryDisplacement;
  i.dispLo = Number(BigInt.asIntN(32, displacement));
  i.dispHi = Number(BigInt.asIntN(32, displacement >> 32n));
  i.segment = segmentSlot(d.memorySegment);
  i.stack = d.memorySegment === Register.SS;
  const by = d.memoryBase !== Register.None ? d.memoryBase : d.memoryIndex;
  const narrow =
    by === Register.None
      ? d.memoryDisplSize === 4
      : by === Register.EIP || (by !== Register.RIP && registerSize(by) === 4);
  i.addressSize = narrow ? 4 : 8;
}

/** Takes operand `n` as the immediate source. */
export function setImmediate(d: Decoded, i: Instruction, n: number): void {
  const value = d.immediate(n);
  i.imm = true;
  i.immLo = Number(BigInt.asIntN(32, value));
  i.immHi = Number(BigInt.asIntN(32, value >> 32n));
}

/** Slot of operand `n`: its register, or Temp for memory, which is resolved on the way. */
export function operandSlot(d: Decoded, i: Instruction, n: number, size: number): number {
  if (d.opKind(n) === OpKind.Register) return registerSlot(d.opRegister(n));
  setMemory(d, i, size);
  return slotFor(Slot.Temp, size);
}
