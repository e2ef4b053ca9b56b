/**
 * Register operands of 1, 2 and 4 bytes through the view of their size, and the two-operand shapes all handlers share.
 */
import { Slot, type Context } from "./context.js";
import type { Handler, Instruction } from "./instruction.js";
import { effectiveAddress, load, store, storeTemp } from "./memory.js";

/** Reads a register operand of 1, 2 or 4 bytes; zero-extended (4: as a signed word). */
export function get(c: Context, size: number, slot: number): number {
  return size === 4 ? c.s[slot]! : size === 1 ? c.u8[slot]! : c.u16[slot]!;
}

/** Writes a register operand of 1, 2 or 4 bytes; 4 clears the high half, as hardware does. */
export function put(c: Context, size: number, slot: number, value: number): void {
  if (size === 4) {
    c.s[slot] = value;
    c.s[slot + 1] = 0;
  } else if (size === 1) c.u8[slot] = value;
  else c.u16[slot] = value;
}

/** Source of up to 4 bytes: register, Temp or immediate. Only the operand's bits are meaningful. */
export const source = (c: Context, i: Instruction): number => (i.imm ? i.immLo : get(c, i.size, i.src));

/** Stores a result of any size to a register operand. */
export function putAny(c: Context, size: number, slot: number, lo: number, hi: number): void {
  if (size === 8) {
    c.s[slot] = lo;
    c.s[slot + 1] = hi;
  } else put(c, size, slot, lo);
}

/** Slot number of a word slot in units of an operand size. */
export const slotFor = (word: number, size: number): number => (size === 1 ? word * 4 : size === 2 ? word * 2 : word);

/** One implementation for 1, 2 and 4 bytes, or one for 4 alone, and one for 8. */
export interface Sized {
  readonly narrow: Handler;
  readonly word?: Handler;
  readonly quad: Handler;
}

/** @param size bytes */
export const pick = (of: Sized, size: number): Handler =>
  size === 8 ? of.quad : size === 4 ? (of.word ?? of.narrow) : of.narrow;

/** Loads the memory operand into Temp, then the operation. */
export function runLoad(c: Context, i: Instruction): number {
  effectiveAddress(c, i);
  const status = load(c, i.memory, i.access);
  return status !== 0 ? status : i.op(c, i);
}

/** Loads for writing, operates on Temp, stores it. The store cannot fault after such a load. */
export function runModify(c: Context, i: Instruction): number {
  effectiveAddress(c, i);
  let status = load(c, i.memory, i.access);
  if (status !== 0) return status;
  status = i.op(c, i);
  return status !== 0 ? status : storeTemp(c, i.memory, i.access);
}

/** Operates on Temp without loading it, then stores: MOV, SETcc, segment register moves. */
export function runStore(c: Context, i: Instruction): number {
  const status = i.op(c, i);
  if (status !== 0) return status;
  effectiveAddress(c, i);
  return store(c, i.memory, c.s[Slot.Temp]!, c.s[Slot.Temp + 1]!, i.access);
}
