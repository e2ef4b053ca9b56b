/**
 * The stack: PUSH, POP, PUSHF, POPF, ENTER, LEAVE. Memory is touched before RSP moves, so a fault leaves nothing half
 * done. Operands are 8 bytes, or 2 with a 66 prefix.
 */
import { Flag, Slot, type Context } from "./context.js";
import { packFlags, setFlags } from "./flags.js";
import type { Handler, Instruction } from "./instruction.js";
import { effectiveAddress, load, load64, store } from "./memory.js";
import { putAny } from "./operand.js";
import { Access, faultStatus, NON_CANONICAL } from "./port.js";

/** A non-canonical address reached through RSP or RBP is #SS(0). */
export const stackFault = (status: number): number => (status === NON_CANONICAL ? faultStatus(12) : status);

/** Ea = RSP + offset. @param offset small, signed, bytes */
export function stackAddress(c: Context, offset: number): void {
  const s = c.s;
  const lo = s[Slot.Rsp]!;
  const moved = (lo + offset) | 0;
  s[Slot.Ea] = moved;
  s[Slot.Ea + 1] = s[Slot.Rsp + 1]! + (offset < 0 ? (moved >>> 0 > lo >>> 0 ? -1 : 0) : moved >>> 0 < lo >>> 0 ? 1 : 0);
}

/** RSP += bytes. */
export function moveStack(c: Context, bytes: number): void {
  stackAddress(c, bytes);
  c.s[Slot.Rsp] = c.s[Slot.Ea]!;
  c.s[Slot.Rsp + 1] = c.s[Slot.Ea + 1]!;
}

/** Pushes a value of 8 (or 2, 4) bytes. @returns status; on a fault RSP is as before */
export function push(c: Context, bytes: number, lo: number, hi: number): number {
  const s = c.s;
  stackAddress(c, -bytes);
  const status = store(c, bytes, lo, hi, Access.Write);
  if (status !== 0) return stackFault(status);
  s[Slot.Rsp] = s[Slot.Ea]!;
  s[Slot.Rsp + 1] = s[Slot.Ea + 1]!;
  return 0;
}

/** Loads the top of the stack into Temp without moving RSP. @returns status */
export function peek(c: Context, bytes: number, offset: number): number {
  stackAddress(c, offset);
  return stackFault(bytes === 8 ? load64(c) : load(c, bytes, Access.Read));
}

/** PUSH of a register or immediate. */
export const pushOperand: Handler = (c, i) => {
  if (i.imm) return push(c, i.size, i.immLo, i.immHi);
  return i.size === 8 ? push(c, 8, c.s[i.src]!, c.s[i.src + 1]!) : push(c, i.size, c.u16[i.src]!, 0);
};
/** PUSH of memory: the address uses RSP as it was. */
export const pushMemory: Handler = (c, i) => {
  effectiveAddress(c, i);
  const status = load(c, i.size, Access.Read);
  return status !== 0 ? status : push(c, i.size, c.s[Slot.Temp]!, c.s[Slot.Temp + 1]!);
};

/** POP of a register; into RSP, the popped value wins. */
export const popRegister: Handler = (c, i) => {
  const status = peek(c, i.size, 0);
  if (status !== 0) return status;
  moveStack(c, i.size);
  putAny(c, i.size, i.dst, c.s[Slot.Temp]!, c.s[Slot.Temp + 1]!);
  return 0;
};
/** POP of memory: the address uses RSP as it is afterwards. */
export const popMemory: Handler = (c, i) => {
  let status = peek(c, i.size, 0);
  if (status !== 0) return status;
  const s = c.s;
  const lo = s[Slot.Temp]!,
    hi = s[Slot.Temp + 1]!;
  const oldLo = s[Slot.Rsp]!,
    oldHi = s[Slot.Rsp + 1]!;
  moveStack(c, i.size);
  effectiveAddress(c, i);
  status = store(c, i.size, lo, hi, Access.Write);
  if (status !== 0) {
    s[Slot.Rsp] = oldLo;
    s[Slot.Rsp + 1] = oldHi;
  }
  return status;
};

/** PUSHF: RF and VM read as 0. */
export const pushf: Handler = (c, i) => push(c, i.size, packFlags(c.s) & ~(Flag.Resume | Flag.Virtual), 0);

/** RFLAGS bits POPF and IRET may change at a privilege level. @source SDM vol. 2, "POPF/POPFD/POPFQ" */
export function writableFlags(c: Context): number {
  const iopl = (c.s[Slot.Flags]! & Flag.Iopl) >> 12;
  let mask = Flag.Arithmetic | Flag.Trap | Flag.Direction | Flag.Nested | Flag.Alignment | Flag.Id;
  if (c.privilege <= iopl) mask |= Flag.Interrupt;
  if (c.privilege === 0) mask |= Flag.Iopl;
  return mask;
}

/** POPF: what the privilege level may not change stays, without a fault; RF is cleared. */
export const popf: Handler = (c, i) => {
  const status = peek(c, i.size, 0);
  if (status !== 0) return status;
  const value = c.s[Slot.Temp]!;
  moveStack(c, i.size);
  setFlags(c, value & ~Flag.Resume, writableFlags(c) & (i.size === 2 ? 0xffff : -1));
  return 0;
};

/** LEAVE: RSP from RBP, then POP RBP. */
export const leave: Handler = (c, i) => {
  const s = c.s;
  s[Slot.Ea] = s[Slot.Rbp]!;
  s[Slot.Ea + 1] = s[Slot.Rbp + 1]!;
  const status = load(c, i.size, Access.Read);
  if (status !== 0) return stackFault(status);
  s[Slot.Rsp] = s[Slot.Rbp]!;
  s[Slot.Rsp + 1] = s[Slot.Rbp + 1]!;
  moveStack(c, i.size);
  putAny(c, i.size, i.size === 8 ? Slot.Rbp : Slot.Rbp * 2, s[Slot.Temp]!, s[Slot.Temp + 1]!);
  return 0;
};

/** ENTER: `immLo` bytes of frame, `immHi` (0 to 31) nesting level. A fault restores RSP and RBP. */
export const enter: Handler = (c, i) => {
  const s = c.s;
  const saved = [s[Slot.Rsp]!, s[Slot.Rsp + 1]!, s[Slot.Rbp]!, s[Slot.Rbp + 1]!] as const;
  const status = enterFrame(c, i);
  if (status !== 0) {
    s[Slot.Rsp] = saved[0];
    s[Slot.Rsp + 1] = saved[1];
    s[Slot.Rbp] = saved[2];
    s[Slot.Rbp + 1] = saved[3];
  }
  return status;
};

function enterFrame(c: Context, i: Instruction): number {
  const s = c.s;
  const level = i.immHi & 31;
  const bytes = i.size;
  let status = push(c, bytes, s[Slot.Rbp]!, s[Slot.Rbp + 1]!);
  if (status !== 0) return status;
  const frameLo = s[Slot.Rsp]!,
    frameHi = s[Slot.Rsp + 1]!;
  for (let n = 1; n < level; n++) {
    const before = s[Slot.Rbp]!;
    s[Slot.Rbp] = before - bytes;
    if (before >>> 0 < bytes) s[Slot.Rbp + 1]!--;
    s[Slot.Ea] = s[Slot.Rbp]!;
    s[Slot.Ea + 1] = s[Slot.Rbp + 1]!;
    status = load(c, bytes, Access.Read);
    if (status !== 0) return stackFault(status);
    status = push(c, bytes, s[Slot.Temp]!, s[Slot.Temp + 1]!);
    if (status !== 0) return status;
  }
  if (level > 0) {
    status = push(c, bytes, frameLo, frameHi);
    if (status !== 0) return status;
  }
  moveStack(c, -i.immLo);
  // The last thing ENTER does is probe the new top of stack for writing.
  stackAddress(c, 0);
  status = load(c, bytes, Access.Write);
  if (status !== 0) return stackFault(status);
  putAny(c, bytes, bytes === 8 ? Slot.Rbp : Slot.Rbp * 2, frameLo, frameHi);
  return 0;
}

/** PUSH FS and PUSH GS; `src` is the selector's index. */
export const pushSegment: Handler = (c, i) => push(c, i.size, c.selectors[i.src]!, 0);

/** #UD: what is not an instruction in 64-bit mode. */
export const undefinedInstruction: Handler = () => faultStatus(6);
