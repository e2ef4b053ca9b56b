/**
 * Near control transfer: jumps, calls, returns, loops. The decoder has worked out direct targets; RIP holds the next
 * block already. An operand-size prefix is ignored by Intel's processors; on AMD's the target has 16 bits, and CALL and
 * RET move 2 bytes of stack (`size` 2). Source: SDM vol. 2 and AMD64 APM vol. 3, "CALL (Near)", "JMP (Near)", "RET
 * (Near)", "Jcc".
 */
import { Slot, type Context } from "./context.js";
import { condition, overflow, parity } from "./flags.js";
import type { Handler, Instruction } from "./instruction.js";
import { load } from "./memory.js";
import { moveStack, peek, push, stackAddress, stackFault } from "./stack.js";
import { Access, faultStatus } from "./port.js";

const generalProtection = faultStatus(13);

/** Whether bits 63 to 47 (56 with 5-level paging) agree. @source SDM vol. 1, "Canonical Addressing" */
export function isCanonical(c: Context, hi: number): boolean {
  const bits = (c.s[Slot.Cr4]! & (1 << 12)) !== 0 ? 7 : 16;
  return (hi << bits) >> bits === hi;
}

function jump(c: Context, i: Instruction): number {
  c.s[Slot.Rip] = i.targetLo;
  c.s[Slot.Rip + 1] = i.targetHi;
  return 0;
}

/** Jumps to an address held in a slot. */
function jumpTo(c: Context, lo: number, hi: number): number {
  if (!isCanonical(c, hi)) return generalProtection;
  c.s[Slot.Rip] = lo;
  c.s[Slot.Rip + 1] = hi;
  return 0;
}

/** The 2 bytes of a narrow target, else all 8, of a slot. */
const targetIn = (c: Context, i: Instruction, slot: number): number =>
  i.size === 2 ? jumpTo(c, c.s[slot]! & 0xffff, 0) : jumpTo(c, c.s[slot]!, c.s[slot + 1]!);

/** To the direct target. */
export const jmp: Handler = jump;
/** To the address in `src`; #GP(0) when it is not canonical. */
export const jmpIndirect: Handler = (c, i) => targetIn(c, i, i.src);

/** Pushes the next address, then as JMP. */
export const call: Handler = (c, i) => {
  const status = push(c, i.size, i.nextLo, i.nextHi);
  return status !== 0 ? status : jump(c, i);
};
/**
 * A refused target: Intel's processors have stored the return address by then, and RSP comes back; AMD's have only
 * looked whether it could be.
 */
export const callIndirect: Handler = (c, i) => {
  const lo = i.size === 2 ? c.s[i.src]! & 0xffff : c.s[i.src]!,
    hi = i.size === 2 ? 0 : c.s[i.src + 1]!;
  if (c.amd && !isCanonical(c, hi)) {
    stackAddress(c, -i.size);
    const refused = load(c, i.size, Access.Write);
    return refused !== 0 ? stackFault(refused) : generalProtection;
  }
  let status = push(c, i.size, i.nextLo, i.nextHi);
  if (status !== 0) return status;
  status = jumpTo(c, lo, hi);
  if (status !== 0) moveStack(c, i.size);
  return status;
};

/** RET; `immLo` more bytes are dropped. */
export const ret: Handler = (c, i) => {
  let status = peek(c, i.size, 0);
  if (status !== 0) return status;
  status = targetIn(c, i, Slot.Temp);
  if (status === 0) moveStack(c, i.size + i.immLo);
  return status;
};

/** Jcc by condition code, each its own function: a branch is the commonest instruction there is. */
export const jcc: readonly Handler[] = [
  (c, i) => (overflow(c.s) !== 0 ? jump(c, i) : 0),
  (c, i) => (overflow(c.s) === 0 ? jump(c, i) : 0),
  (c, i) => (c.s[Slot.Fc]! < 0 ? jump(c, i) : 0),
  (c, i) => (c.s[Slot.Fc]! >= 0 ? jump(c, i) : 0),
  (c, i) => (c.s[Slot.Fz] === 0 ? jump(c, i) : 0),
  (c, i) => (c.s[Slot.Fz] !== 0 ? jump(c, i) : 0),
  (c, i) => (c.s[Slot.Fc]! < 0 || c.s[Slot.Fz] === 0 ? jump(c, i) : 0),
  (c, i) => (c.s[Slot.Fc]! >= 0 && c.s[Slot.Fz] !== 0 ? jump(c, i) : 0),
  (c, i) => (c.s[Slot.Fs]! < 0 ? jump(c, i) : 0),
  (c, i) => (c.s[Slot.Fs]! >= 0 ? jump(c, i) : 0),
  (c, i) => (parity(c.s[Slot.Fp]!) !== 0 ? jump(c, i) : 0),
  (c, i) => (parity(c.s[Slot.Fp]!) === 0 ? jump(c, i) : 0),
  (c, i) => (condition(c.s, 12) ? jump(c, i) : 0),
  (c, i) => (condition(c.s, 13) ? jump(c, i) : 0),
  (c, i) => (condition(c.s, 14) ? jump(c, i) : 0),
  (c, i) => (condition(c.s, 15) ? jump(c, i) : 0),
];

/** JRCXZ and JECXZ, by address size. */
export const jrcxz: Handler = (c, i) =>
  c.s[Slot.Rcx] === 0 && (i.addressSize === 4 || c.s[Slot.Rcx + 1] === 0) ? jump(c, i) : 0;

/** LOOP, LOOPE (`cc` 4), LOOPNE (`cc` 5): counts RCX or ECX down. `cc` -1 asks for no flag. */
export const loop: Handler = (c, i) => {
  const s = c.s;
  const lo = s[Slot.Rcx]!;
  s[Slot.Rcx] = lo - 1;
  if (i.addressSize === 4) s[Slot.Rcx + 1] = 0;
  else if (lo === 0) s[Slot.Rcx + 1]!--;
  const done = s[Slot.Rcx] === 0 && s[Slot.Rcx + 1] === 0;
  return !done && (i.cc < 0 || condition(s, i.cc)) ? jump(c, i) : 0;
};
