/** Near control transfer: jumps, calls, returns, loops. The decoder has worked out direct targets; RIP holds the next block already. */
import { Slot, type Context } from "./context.js";
import { condition, overflow, parity } from "./flags.js";
import type { Handler, Instruction } from "./instruction.js";
import { moveStack, peek, push } from "./stack.js";
import { faultStatus } from "./port.js";

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

/** To the direct target. */
export const jmp: Handler = jump;
/** To the address in `src`; #GP(0) when it is not canonical. */
export const jmpIndirect: Handler = (c, i) => jumpTo(c, c.s[i.src]!, c.s[i.src + 1]!);

/** Pushes the next address, then as JMP. */
export const call: Handler = (c, i) => {
  const status = push(c, 8, i.nextLo, i.nextHi);
  return status !== 0 ? status : jump(c, i);
};
/** The return address is stored before the target is checked, as Intel processors do; RSP comes back when it is refused. */
export const callIndirect: Handler = (c, i) => {
  const lo = c.s[i.src]!, hi = c.s[i.src + 1]!;
  let status = push(c, 8, i.nextLo, i.nextHi);
  if (status !== 0) return status;
  status = jumpTo(c, lo, hi);
  if (status !== 0) moveStack(c, 8);
  return status;
};

/** RET; `immLo` more bytes are dropped. */
export const ret: Handler = (c, i) => {
  let status = peek(c, 8, 0);
  if (status !== 0) return status;
  status = jumpTo(c, c.s[Slot.Temp]!, c.s[Slot.Temp + 1]!);
  if (status === 0) moveStack(c, 8 + i.immLo);
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
export const jrcxz: Handler = (c, i) => (c.s[Slot.Rcx] === 0 && (i.addressSize === 4 || c.s[Slot.Rcx + 1] === 0) ? jump(c, i) : 0);

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
