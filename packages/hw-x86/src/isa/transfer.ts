/**
 * Transfers between privilege levels and code segments that are no events: IRET, far RET, JMP and CALL, SYSCALL,
 * SYSRET. Source: SDM vol. 2, "IRET", "SYSCALL", "SYSRET", "RET", "JMP", "CALL".
 */
import { hex } from "../addr.js";
import { isCanonical } from "./branch.js";
import { Flag, Segment, Slot, type Context } from "./context.js";
import { isLong, isPresent, levelOf, loadSegment, readDescriptor, selectorFault, typeOf } from "./descriptor.js";
import { singleStepTrap } from "./exception.js";
import { packFlags, setFlags } from "./flags.js";
import { STOPPED, type Handler, type Instruction } from "./instruction.js";
import { advance, load, store } from "./memory.js";
import { moveStack, peek, writableFlags } from "./stack.js";
import { Access, faultStatus } from "./port.js";

const GP = 13;
const generalProtection = faultStatus(GP);

/**
 * Checks the code selector of a return. Leaves the descriptor read.
 * @returns status; sets `c.stop` for a 32-bit target
 */
function checkReturn(c: Context, selector: number): number {
  if ((selector & 0xfffc) === 0) return generalProtection;
  const status = readDescriptor(c, selector);
  if (status !== 0) return status;
  const hi = c.s[Slot.Descriptor + 1]!;
  const type = typeOf(hi);
  const level = selector & 3;
  if ((type & 0x18) !== 0x18 || level < c.privilege) return selectorFault(GP, selector);
  if ((type & 4) === 0 ? levelOf(hi) !== level : levelOf(hi) > level) return selectorFault(GP, selector);
  if (!isPresent(hi)) return selectorFault(11, selector);
  if (!isLong(hi)) {
    c.stop = `return to a 32-bit code segment (selector ${hex(selector)}): compatibility mode is not modelled`;
    return STOPPED;
  }
  return 0;
}

/** SS on a return to `level`: null is allowed below level 3. @returns status; nothing is loaded yet */
function checkStack(c: Context, selector: number, level: number): number {
  if ((selector & 0xfffc) === 0) return level === 3 || (selector & 3) !== level ? generalProtection : 0;
  const status = readDescriptor(c, selector);
  if (status !== 0) return status;
  const hi = c.s[Slot.Descriptor + 1]!;
  if ((typeOf(hi) & 0x1a) !== 0x12 || levelOf(hi) !== level || (selector & 3) !== level)
    return selectorFault(GP, selector);
  return isPresent(hi) ? 0 : selectorFault(12, selector);
}

/**
 * Data segments that the lower privilege may not keep become null. FS and GS bases stay, as on Intel processors only
 * their selectors are checked.
 */
function dropSegments(c: Context, level: number): void {
  for (const segment of [Segment.Es, Segment.Ds, Segment.Fs, Segment.Gs]) {
    const selector = c.selectors[segment]!;
    if ((selector & 0xfffc) === 0 || readDescriptor(c, selector) !== 0) continue;
    const hi = c.s[Slot.Descriptor + 1]!;
    if ((typeOf(hi) & 0x1c) !== 0x1c && levelOf(hi) < level) loadSegment(c, segment, 0);
  }
}

/** IRETQ and IRETD by `size`. All five words are always popped in 64-bit mode. */
export const iret: Handler = (c, i) => {
  const s = c.s;
  if ((s[Slot.Flags]! & Flag.Nested) !== 0) return generalProtection;
  const bytes = i.size;
  const frame: number[] = [];
  for (let n = 0; n < 5; n++) {
    const status = peek(c, bytes, n * bytes);
    if (status !== 0) return status;
    frame.push(s[Slot.Temp]!, s[Slot.Temp + 1]!);
  }
  const [ipLo, ipHi, codeSelector, , flags, , stackLo, stackHi, stackSelector] = frame as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const selector = codeSelector & 0xffff;
  let status = checkReturn(c, selector);
  if (status !== 0) return status;
  const level = selector & 3;
  status = checkStack(c, stackSelector & 0xffff, level);
  if (status !== 0) return status;
  if (!isCanonical(c, ipHi)) return generalProtection;
  const mask = writableFlags(c) | Flag.Resume;
  c.selectors[Segment.Cs] = selector;
  c.selectors[Segment.Ss] = stackSelector;
  s[Slot.Rip] = ipLo;
  s[Slot.Rip + 1] = ipHi;
  s[Slot.Rsp] = stackLo;
  s[Slot.Rsp + 1] = stackHi;
  c.nonMaskableBlocked = false;
  if (level > c.privilege) dropSegments(c, level);
  setFlags(c, flags, mask);
  c.setPrivilege(level);
  return 0;
};

/** Far RET of `size` operands; `immLo` more bytes are dropped. An outer level's stack is popped too. */
export const farReturn: Handler = (c, i) => {
  const s = c.s;
  const bytes = i.size;
  let status = peek(c, bytes, 0);
  if (status !== 0) return status;
  const ipLo = s[Slot.Temp]!,
    ipHi = s[Slot.Temp + 1]!;
  status = peek(c, bytes, bytes);
  if (status !== 0) return status;
  const selector = s[Slot.Temp]! & 0xffff;
  const level = selector & 3;
  let stackLo = 0,
    stackHi = 0,
    stackSelector = 0;
  if (level > c.privilege) {
    status = peek(c, bytes, 2 * bytes + i.immLo);
    if (status !== 0) return status;
    stackLo = s[Slot.Temp]!;
    stackHi = s[Slot.Temp + 1]!;
    status = peek(c, bytes, 3 * bytes + i.immLo);
    if (status !== 0) return status;
    stackSelector = s[Slot.Temp]! & 0xffff;
  }
  status = checkReturn(c, selector);
  if (status !== 0) return status;
  if (level > c.privilege) status = checkStack(c, stackSelector, level);
  if (status !== 0) return status;
  if (!isCanonical(c, ipHi)) return generalProtection;
  s[Slot.Rip] = ipLo;
  s[Slot.Rip + 1] = ipHi;
  c.selectors[Segment.Cs] = selector;
  if (level > c.privilege) {
    c.selectors[Segment.Ss] = stackSelector;
    s[Slot.Rsp] = stackLo;
    s[Slot.Rsp + 1] = stackHi;
    moveStack(c, i.immLo);
    dropSegments(c, level);
    c.setPrivilege(level);
  } else moveStack(c, 2 * bytes + i.immLo);
  return 0;
};

/**
 * Far JMP (`cc` 0) and CALL (`cc` 1) through memory, to code of the same privilege level; `size` is the offset's.
 * REX.W makes it 8 bytes on Intel's processors only: AMD's read the 4 of a plain one (and write 8 all the same where
 * CALL pushes). Source: SDM vol. 2, "JMP", "CALL"; AMD64 APM vol. 3, "JMP (Far)", "CALL (Far)".
 */
export const farTransfer: Handler = (c, i: Instruction) => {
  const s = c.s;
  // The run wrapper has computed the address into Ea.
  const bytes = c.amd && i.size === 8 ? 4 : i.size;
  let status = load(c, bytes, Access.Read);
  if (status !== 0) return status;
  const ipLo = s[Slot.Temp]!;
  const ipHi = bytes === 8 ? s[Slot.Temp + 1]! : 0;
  advance(c, bytes);
  status = load(c, 2, Access.Read);
  if (status !== 0) return status;
  const selector = s[Slot.Temp]!;
  if ((selector & 0xfffc) === 0) return generalProtection;
  status = readDescriptor(c, selector);
  if (status !== 0) return status;
  const hi = s[Slot.Descriptor + 1]!;
  const type = typeOf(hi);
  if ((type & 0x18) !== 0x18) {
    if (type === 12) {
      c.stop = "far transfer through a call gate is not modelled";
      return STOPPED;
    }
    return selectorFault(GP, selector);
  }
  if ((type & 4) === 0 ? levelOf(hi) !== c.privilege || (selector & 3) > c.privilege : levelOf(hi) > c.privilege)
    return selectorFault(GP, selector);
  if (!isPresent(hi)) return selectorFault(11, selector);
  if (!isLong(hi)) {
    c.stop = "far transfer to a 32-bit code segment: compatibility mode is not modelled";
    return STOPPED;
  }
  if (!isCanonical(c, ipHi)) return generalProtection;
  if (i.cc === 1) {
    moveStack(c, -2 * i.size);
    s[Slot.Ea] = s[Slot.Rsp]!;
    s[Slot.Ea + 1] = s[Slot.Rsp + 1]!;
    status = store(c, i.size, i.nextLo, i.nextHi, Access.Write);
    advance(c, i.size);
    if (status === 0) status = store(c, i.size, c.selectors[Segment.Cs]!, 0, Access.Write);
    if (status !== 0) {
      moveStack(c, 2 * i.size);
      return status;
    }
  }
  c.selectors[Segment.Cs] = (selector & 0xfffc) | c.privilege;
  s[Slot.Rip] = ipLo;
  s[Slot.Rip + 1] = ipHi;
  return 0;
};

/**
 * SYSCALL: RIP from LSTAR, flags masked, RCX and R11 keep what was. A single step goes by TF as masked: code at LSTAR
 * that had it masked is not stepped into.
 */
export const syscall: Handler = (c, i) => {
  const s = c.s;
  if ((s[Slot.Efer]! & 1) === 0) return faultStatus(6);
  s[Slot.Rcx] = i.nextLo;
  s[Slot.Rcx + 1] = i.nextHi;
  const flags = packFlags(s);
  s[Slot.R11] = flags & ~Flag.Resume;
  s[Slot.R11 + 1] = 0;
  s[Slot.Rip] = s[Slot.Lstar]!;
  s[Slot.Rip + 1] = s[Slot.Lstar + 1]!;
  const selector = s[Slot.Star + 1]! & 0xfffc;
  c.selectors[Segment.Cs] = selector;
  c.selectors[Segment.Ss] = selector + 8;
  setFlags(c, flags & ~s[Slot.Fmask]! & ~Flag.Resume, -1);
  c.stepping = (s[Slot.Flags]! & Flag.Trap) !== 0;
  c.setPrivilege(0);
  return 0;
};

/**
 * SYSRETQ: RIP from RCX, RFLAGS from R11, privilege 3. TF out of R11 traps at once, before the user's first
 * instruction. A non-canonical RCX is Intel's to refuse, #GP(0) with the CS of privilege 0 and the RSP of privilege 3;
 * AMD's processors go there and the fetch faults at privilege 3. Source: SDM vol. 2, "SYSRET"; AMD64 APM vol. 2,
 * "Single Stepping"; US-CERT VU#649219, "SYSRET 64-bit operating system privilege escalation".
 */
export const sysret: Handler = (c, i) => {
  const s = c.s;
  if ((s[Slot.Efer]! & 1) === 0) return faultStatus(6);
  if (c.privilege !== 0) return generalProtection;
  if (i.size !== 8) {
    c.stop = "SYSRET to compatibility mode is not modelled";
    return STOPPED;
  }
  if (!c.amd && !isCanonical(c, s[Slot.Rcx + 1]!)) return generalProtection;
  s[Slot.Rip] = s[Slot.Rcx]!;
  s[Slot.Rip + 1] = s[Slot.Rcx + 1]!;
  const selector = s[Slot.Star + 1]! >>> 16;
  c.selectors[Segment.Cs] = (selector + 16) | 3;
  c.selectors[Segment.Ss] = (selector + 8) | 3;
  setFlags(c, s[Slot.R11]! & 0x3c_7fd7, -1);
  c.setPrivilege(3);
  c.stepping = false;
  return (s[Slot.Flags]! & Flag.Trap) !== 0 ? singleStepTrap(c) : 0;
};
