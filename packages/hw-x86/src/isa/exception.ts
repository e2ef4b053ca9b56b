/**
 * Exceptions and interrupts: delivery through IDT and TSS in modelled memory.
 * Source: SDM vol. 3A, "Interrupt and Exception Handling", "64-Bit Mode Stack Frame", "Interrupt and Exception
 * Classes".
 */
import { isCanonical } from "./branch.js";
import { Flag, Segment, Slot, type Context } from "./context.js";
import { isLong, isPresent, levelOf, readDescriptor, typeOf } from "./descriptor.js";
import { packFlags } from "./flags.js";
import { STOPPED, type Handler } from "./instruction.js";
import { advance, load, store } from "./memory.js";
import { Access, faultStatus } from "./port.js";

const GP = 13;

/** What is delivered: it decides RF, the gate's privilege check and the EXT bit of a fault during delivery. */
export const enum Cause {
  Fault,
  Trap,
  Software,
  External,
}

/** Vectors that push an error code. @source SDM vol. 3A, "Protected-Mode Exceptions and Interrupts" */
const WITH_ERROR_CODE = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17) | (1 << 21);
const CONTRIBUTORY = (1 << 0) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13);
const DOUBLE_FAULT = 8;
const PAGE_FAULT = 14;

const vectorOf = (status: number): number => (status >>> 16) & 0xff;

/**
 * Delivers an event, escalating a fault on the way to a double fault and to shutdown.
 * @param code error code, used where the vector has one
 * @returns 0, or STOPPED after a triple fault
 */
export function raise(c: Context, vector: number, code: number, cause: Cause, ipLo: number, ipHi: number): number {
  let first = vector;
  let status = deliver(c, vector, code, cause, ipLo, ipHi);
  while (status !== 0) {
    const second = vectorOf(status);
    const escalates =
      first === PAGE_FAULT
        ? second === PAGE_FAULT || ((CONTRIBUTORY >> second) & 1) !== 0
        : first < 32 && ((CONTRIBUTORY >> first) & 1) !== 0 && ((CONTRIBUTORY >> second) & 1) !== 0;
    if (first === DOUBLE_FAULT) {
      c.stop = `shutdown: vector ${second} while delivering a double fault`;
      return STOPPED;
    }
    first = escalates ? DOUBLE_FAULT : second;
    status = deliver(c, first, escalates ? 0 : status & 0xffff, Cause.Fault, ipLo, ipHi);
  }
  return 0;
}

/** DR6.BS. */
const SINGLE_STEP = 0x4000;
/** The trap after a single step. @returns 0 or STOPPED */
export function singleStepTrap(c: Context): number {
  c.s[Slot.Dr0 + 12]! |= SINGLE_STEP;
  return raise(c, 1, 0, Cause.Trap, c.s[Slot.Rip]!, c.s[Slot.Rip + 1]!);
}

/** One attempt. Registers change only when all of the frame is written. @returns 0 or the fault met */
function deliver(c: Context, vector: number, code: number, cause: Cause, ipLo: number, ipHi: number): number {
  const s = c.s;
  const external = cause === Cause.Software ? 0 : 1;
  const gateCode = vector * 8 + 2 + external;
  if (vector * 16 + 15 > s[Slot.IdtLimit]! >>> 0) return faultStatus(GP, gateCode);
  s[Slot.Ea] = s[Slot.Idt]!;
  s[Slot.Ea + 1] = s[Slot.Idt + 1]!;
  advance(c, vector * 16);
  let status = load(c, 8, Access.System);
  if (status !== 0) return status;
  const gateLo = s[Slot.Temp]!,
    gateHi = s[Slot.Temp + 1]!;
  advance(c, 8);
  status = load(c, 8, Access.System);
  if (status !== 0) return status;
  const targetLo = (gateLo & 0xffff) | (gateHi & 0xffff_0000);
  const targetHi = s[Slot.Temp]!;
  const type = typeOf(gateHi);
  if (type !== 14 && type !== 15) return faultStatus(GP, gateCode);
  if (cause === Cause.Software && levelOf(gateHi) < c.privilege) return faultStatus(GP, gateCode);
  if (!isPresent(gateHi)) return faultStatus(11, gateCode);
  const selector = gateLo >>> 16;
  if ((selector & 0xfffc) === 0) return faultStatus(GP, external);
  status = readDescriptor(c, selector);
  if (status !== 0) return status | (((status >>> 16) & 0xff) === PAGE_FAULT ? 0 : external);
  const descriptor = s[Slot.Descriptor + 1]!;
  const codeType = typeOf(descriptor);
  if ((codeType & 0x18) !== 0x18 || !isLong(descriptor) || levelOf(descriptor) > c.privilege)
    return faultStatus(GP, (selector & 0xfffc) | external);
  if (!isPresent(descriptor)) return faultStatus(11, (selector & 0xfffc) | external);
  const level = (codeType & 4) !== 0 ? c.privilege : levelOf(descriptor);

  const alternate = gateHi & 7;
  let stackLo = s[Slot.Rsp]!,
    stackHi = s[Slot.Rsp + 1]!;
  if (alternate !== 0 || level < c.privilege) {
    const offset = alternate !== 0 ? 28 + 8 * alternate : 4 + 8 * level;
    if (offset + 7 > s[Slot.TrLimit]! >>> 0) return faultStatus(10, (c.selectors[Segment.Tr]! & 0xfffc) | external);
    s[Slot.Ea] = s[Slot.Tr]!;
    s[Slot.Ea + 1] = s[Slot.Tr + 1]!;
    advance(c, offset);
    status = load(c, 8, Access.System);
    if (status !== 0) return status;
    stackLo = s[Slot.Temp]!;
    stackHi = s[Slot.Temp + 1]!;
    if (!isCanonical(c, stackHi)) return faultStatus(12, external);
  }
  if (!isCanonical(c, targetHi)) return faultStatus(GP, external);
  const flags = packFlags(s) | (cause === Cause.Fault ? Flag.Resume : 0);
  const withCode =
    cause !== Cause.Software && cause !== Cause.External && vector < 32 && ((WITH_ERROR_CODE >> vector) & 1) !== 0;
  const words = withCode ? 6 : 5;
  stackLo &= ~15;
  const topLo = (stackLo - 8 * words) | 0;
  const topHi = stackHi - (topLo >>> 0 > stackLo >>> 0 ? 1 : 0);
  s[Slot.Ea] = topLo;
  s[Slot.Ea + 1] = topHi;
  const push = (lo: number, hi: number): void => {
    if (status !== 0) return;
    status = store(c, 8, lo, hi, Access.System | Access.Write);
    advance(c, 8);
  };
  if (withCode) push(code, 0);
  push(ipLo, ipHi);
  push(c.selectors[Segment.Cs]!, 0);
  push(flags, 0);
  push(s[Slot.Rsp]!, s[Slot.Rsp + 1]!);
  push(c.selectors[Segment.Ss]!, 0);
  if (status !== 0) return status;

  s[Slot.Rsp] = topLo;
  s[Slot.Rsp + 1] = topHi;
  if (level !== c.privilege) c.selectors[Segment.Ss] = level;
  c.selectors[Segment.Cs] = (selector & 0xfffc) | level;
  s[Slot.Flags]! &= ~(Flag.Trap | Flag.Nested | Flag.Resume | Flag.Virtual | (type === 14 ? Flag.Interrupt : 0));
  s[Slot.Rip] = targetLo;
  s[Slot.Rip + 1] = targetHi;
  c.setPrivilege(level);
  c.halted = false;
  c.deliveries++;
  return 0;
}

/**
 * INT n, INT3 and INT1: `immLo` is the vector. The saved RIP is the next instruction's, but this one's if the gate
 * refuses. INT1 passes any gate.
 */
export const softwareInterrupt: Handler = (c, i) =>
  deliver(c, i.immLo, 0, i.cc === 1 ? Cause.Trap : Cause.Software, i.nextLo, i.nextHi);
