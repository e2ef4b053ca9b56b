/**
 * Lowering: one function per shape of instruction, from iced's decoded form to handler and slots; and the table that
 * says which mnemonic has which.
 */
import { Code, ConditionCode, Mnemonic, OpKind, Register, type Instruction as Decoded } from "@kreplica/hw-x86/iced";
import * as alu from "./alu.js";
import * as bits from "./bits.js";
import * as branch from "./branch.js";
import * as move from "./move.js";
import * as multiply from "./multiply.js";
import * as shift from "./shift.js";
import * as stack from "./stack.js";
import * as text from "./string.js";
import { Slot } from "./context.js";
import * as division from "./division.js";
import { STOPPED, type Handler, type Instruction } from "./instruction.js";
import { effectiveAddress } from "./memory.js";
import { get, pick, put, runLoad, runModify, runStore, slotFor, type Sized } from "./operand.js";
import {
  isMemory,
  isRegister,
  operandSize,
  operandSlot,
  registerNumber,
  registerSize,
  registerSlot,
  segmentSlot,
  setImmediate,
  setMemory,
  setSize,
} from "./operands.js";
import { Access } from "./port.js";

/** Fills an instruction of ours from iced's. */
export type Lowering = (d: Decoded, i: Instruction) => void;

const both = (handler: Handler): Sized => ({ narrow: handler, quad: handler });
const plain = (i: Instruction, handler: Handler): void => {
  i.run = handler;
  i.op = handler;
};

/** Wraps the operation in the access its memory operand needs. */
function access(i: Instruction, d: Decoded, kind: "load" | "modify" | "store"): void {
  i.run = kind === "load" ? runLoad : kind === "modify" ? runModify : runStore;
  i.access = kind === "load" ? Access.Read : Access.Write | (d.hasLockPrefix ? Access.Locked : 0);
  i.writes = kind !== "load";
}

/** dst op= src. @param reads the destination is only looked at: CMP, TEST, BT */
const two =
  (op: Sized, reads = false): Lowering =>
  (d, i) => {
    const size = operandSize(d, 0);
    setSize(i, size);
    plain(i, pick(op, size));
    i.dst = operandSlot(d, i, 0, size);
    if (isMemory(d, 0)) access(i, d, reads ? "load" : "modify");
    if (isMemory(d, 1)) access(i, d, "load");
    if (d.opKind(1) === OpKind.Register || isMemory(d, 1)) i.src = operandSlot(d, i, 1, size);
    else setImmediate(d, i, 1);
  };

/** op dst. @param value immediate the operation takes */
const one =
  (op: Sized, value = 0): Lowering =>
  (d, i) => {
    const size = operandSize(d, 0);
    setSize(i, size);
    plain(i, pick(op, size));
    i.dst = operandSlot(d, i, 0, size);
    i.imm = true;
    i.immLo = value;
    if (isMemory(d, 0)) access(i, d, "modify");
  };

/** op src: MUL, DIV. */
const sourceOnly =
  (op: Sized): Lowering =>
  (d, i) => {
    const size = operandSize(d, 0);
    setSize(i, size);
    plain(i, pick(op, size));
    i.src = operandSlot(d, i, 0, size);
    if (isMemory(d, 0)) access(i, d, "load");
  };

/** Shifts: operand 1 is CL or an immediate. Double shifts have it as operand 2. */
const shifted =
  (op: Sized, countAt: number): Lowering =>
  (d, i) => {
    const size = operandSize(d, 0);
    setSize(i, size);
    plain(i, pick(op, size));
    i.dst = operandSlot(d, i, 0, size);
    if (isMemory(d, 0)) access(i, d, "modify");
    if (countAt === 2) i.src = registerSlot(d.opRegister(1));
    if (d.opKind(countAt) !== OpKind.Register) setImmediate(d, i, countAt);
  };

/** dst, src, src2, of which one of the sources may be memory or an immediate: VEX-coded BMI. */
const three =
  (op: Sized): Lowering =>
  (d, i) => {
    const size = registerSize(d.opRegister(0));
    setSize(i, size);
    plain(i, pick(op, size));
    i.dst = registerSlot(d.opRegister(0));
    i.src = operandSlot(d, i, 1, size);
    if (isMemory(d, 1)) access(i, d, "load");
    if (d.opCount < 3) return;
    if (d.opKind(2) === OpKind.Immediate8) setImmediate(d, i, 2);
    else i.src2 = operandSlot(d, i, 2, size);
    if (isMemory(d, 2)) access(i, d, "load");
  };

const testBit = (change: bits.BitChange): Lowering => {
  const op = bits.bitTest(change);
  const reads = change === bits.BitChange.None;
  return (d, i) => {
    two(op, reads)(d, i);
    if (isMemory(d, 0) && !i.imm) i.run = bits.bitTestString;
  };
};

const lowerMov: Lowering = (d, i) => {
  two(move.mov)(d, i);
  if (isMemory(d, 0)) {
    i.access = Access.Write;
    i.run =
      i.size === 8 ? move.movStore64 : i.size === 4 ? move.movStore32 : i.size === 2 ? move.movStore16 : move.movStore8;
  } else if (isMemory(d, 1) && i.size >= 4) i.run = i.size === 8 ? move.movLoad64 : move.movLoad32;
};

/** MOVZX, MOVSX, MOVSXD: two sizes. */
const extend =
  (handler: Handler): Lowering =>
  (d, i) => {
    setSize(i, registerSize(d.opRegister(0)));
    plain(i, handler);
    i.dst = registerSlot(d.opRegister(0));
    i.memory = operandSize(d, 1);
    i.src = operandSlot(d, i, 1, i.memory);
    if (!isMemory(d, 1)) return;
    access(i, d, "load");
    if (handler === move.movzx && i.size >= 4) i.run = i.memory === 1 ? move.movzxLoad8 : move.movzxLoad16;
  };

const lowerXadd: Sized = {
  narrow: (c, i) => exchangeAdd(c, i, alu.add),
  quad: (c, i) => exchangeAdd(c, i, alu.add),
};
/** XADD: the sum goes to the destination last, so that it wins when both are one register. */
const exchangeAdd = (c: Parameters<Handler>[0], i: Instruction, add: Sized): number => {
  const lo = i.size === 8 ? c.s[i.dst]! : get(c, i.size, i.dst);
  const hi = i.size === 8 ? c.s[i.dst + 1]! : 0;
  pick(add, i.size)(c, i);
  if (i.src === i.dst) return 0;
  if (i.size === 8) {
    c.s[i.src] = lo;
    c.s[i.src + 1] = hi;
  } else put(c, i.size, i.src, lo);
  return 0;
};

const lowerImul: Lowering = (d, i) => {
  if (d.opCount === 1) return sourceOnly(multiply.imul1)(d, i);
  if (d.opCount === 2) return two(multiply.imul2)(d, i);
  const size = registerSize(d.opRegister(0));
  setSize(i, size);
  plain(i, pick(multiply.imul3, size));
  i.dst = registerSlot(d.opRegister(0));
  i.src = operandSlot(d, i, 1, size);
  if (isMemory(d, 1)) access(i, d, "load");
  setImmediate(d, i, 2);
};

const lowerXchg: Lowering = (d, i) => {
  two(move.xchg)(d, i);
  if (isMemory(d, 1)) {
    // XCHG is symmetric; memory is always the destination here.
    i.src = registerSlot(d.opRegister(0));
    i.dst = slotFor(Slot.Temp, i.size);
    access(i, d, "modify");
  }
  if (i.writes) i.access |= Access.Locked;
};

const lowerCmpxchgPair: Lowering = (d, i) => {
  setMemory(d, i, d.mnemonic === Mnemonic.Cmpxchg16b ? 16 : 8);
  i.access = Access.Write | (d.hasLockPrefix ? Access.Locked : 0);
  i.writes = true;
  plain(i, move.cmpxchgPair);
};

const lowerCmov: Lowering = (d, i) => {
  two(both(move.cmov))(d, i);
  i.cc = conditionOf(d);
};
const conditionOf = (d: Decoded): number => d.conditionCode - ConditionCode.o;

const lowerSetcc: Lowering = (d, i) => {
  setSize(i, 1);
  plain(i, move.setcc);
  i.cc = conditionOf(d);
  i.dst = operandSlot(d, i, 0, 1);
  if (isMemory(d, 0)) access(i, d, "store");
};

const lowerLea: Lowering = (d, i) => {
  setSize(i, registerSize(d.opRegister(0)));
  setMemory(d, i, 0);
  i.segment = Slot.Zero;
  i.dst = registerSlot(d.opRegister(0));
  plain(i, move.lea);
};

const lowerBswap: Lowering = (d, i) => {
  setSize(i, registerSize(d.opRegister(0)));
  i.dst = i.src = registerSlot(d.opRegister(0));
  plain(i, i.size === 2 ? (c) => ((c.u16[i.dst] = 0), 0) : pick(bits.swap, i.size));
};

const lowerMovbe: Lowering = (d, i) => {
  two(bits.swap)(d, i);
  if (isMemory(d, 0)) access(i, d, "store");
};

const lowerCrc32: Lowering = (d, i) => {
  setSize(i, operandSize(d, 1));
  plain(i, bits.crc32);
  i.dst = registerSlot(d.opRegister(0));
  i.src = operandSlot(d, i, 1, i.size);
  if (isMemory(d, 1)) access(i, d, "load");
};

const fixed =
  (handler: Handler, size = 0, value = 0): Lowering =>
  (_d, i) => {
    setSize(i, size);
    i.immLo = value;
    plain(i, handler);
  };

/** Targets of 2 bytes: decoded on AMD processors only. */
const NARROW = new Set<number>([Code.Jmp_rm16, Code.Call_rm16, Code.Retnw, Code.Retnw_imm16]);
const setTarget = (d: Decoded, i: Instruction): void => {
  const target = d.nearBranchTarget;
  i.targetLo = Number(BigInt.asIntN(32, target));
  i.targetHi = Number(BigInt.asIntN(32, target >> 32n));
};
const jump =
  (direct: Handler, indirect: Handler): Lowering =>
  (d, i) => {
    i.writes = direct === branch.call;
    const kind = d.opKind(0);
    setSize(i, kind === OpKind.NearBranch16 || NARROW.has(d.code) ? 2 : 8);
    if (kind === OpKind.NearBranch64 || kind === OpKind.NearBranch16) {
      setTarget(d, i);
      plain(i, direct);
      return;
    }
    plain(i, indirect);
    if (isMemory(d, 0)) {
      setMemory(d, i, i.size);
      i.src = Slot.Temp;
      i.run = runLoad;
    } else i.src = registerNumber(d.op0Register) * 2;
  };
const conditional: Lowering = (d, i) => {
  setTarget(d, i);
  i.cc = conditionOf(d);
  plain(i, branch.jcc[i.cc]!);
};
/** @param cc condition besides the count, -1 for none. Address size by code: iced names them by count register. */
const counted =
  (handler: Handler, cc: number, narrow: readonly number[]): Lowering =>
  (d, i) => {
    setTarget(d, i);
    i.cc = cc;
    i.addressSize = narrow.includes(d.code) ? 4 : 8;
    plain(i, handler);
  };

const WORD_STACK = new Set<number>([
  Code.Push_r16,
  Code.Push_rm16,
  Code.Push_imm16,
  Code.Pushw_imm8,
  Code.Pushw_FS,
  Code.Pushw_GS,
  Code.Pop_r16,
  Code.Pop_rm16,
  Code.Popw_FS,
  Code.Popw_GS,
  Code.Pushfw,
  Code.Popfw,
  Code.Enterw_imm16_imm8,
  Code.Leavew,
]);
/** Bytes a stack instruction moves. */
export const stackSize = (d: Decoded): number => (WORD_STACK.has(d.code) ? 2 : 8);

const lowerPush: Lowering = (d, i) => {
  setSize(i, stackSize(d));
  i.writes = true;
  if (isMemory(d, 0)) {
    setMemory(d, i, i.size);
    plain(i, stack.pushMemory);
  } else if (d.opKind(0) !== OpKind.Register) {
    setImmediate(d, i, 0);
    plain(i, stack.pushOperand);
  } else if (d.op0Register === Register.FS || d.op0Register === Register.GS) {
    i.src = d.op0Register - Register.ES;
    plain(i, stack.pushSegment);
  } else {
    i.src = registerSlot(d.op0Register);
    plain(i, stack.pushOperand);
  }
};

const lowerPop: Lowering = (d, i) => {
  setSize(i, stackSize(d));
  if (isMemory(d, 0)) {
    setMemory(d, i, i.size);
    i.writes = true;
    plain(i, stack.popMemory);
  } else {
    i.dst = registerSlot(d.op0Register);
    plain(i, stack.popRegister);
  }
};

const sizedStack =
  (handler: Handler, writes: boolean): Lowering =>
  (d, i) => {
    setSize(i, stackSize(d));
    i.writes = writes;
    plain(i, handler);
  };

const lowerEnter: Lowering = (d, i) => {
  setSize(i, stackSize(d));
  i.immLo = Number(d.immediate(0));
  i.immHi = Number(d.immediate(1));
  i.writes = true;
  plain(i, stack.enter);
};

const lowerRet: Lowering = (d, i) => {
  setSize(i, NARROW.has(d.code) ? 2 : 8);
  i.immLo = d.opCount > 0 ? Number(d.immediate(0)) : 0;
  plain(i, branch.ret);
};

/** String instructions; iced puts the address size into the operand kind. */
const string =
  (handler: Handler, size: number): Lowering =>
  (d, i) => {
    setSize(i, size);
    i.repeat = d.hasRepnePrefix ? 2 : d.hasRepPrefix ? 1 : 0;
    for (let n = 0; n < d.opCount; n++) {
      const kind = d.opKind(n);
      if (kind === OpKind.MemorySegESI || kind === OpKind.MemorySegEDI || kind === OpKind.MemoryESEDI)
        i.addressSize = 4;
      if (kind === OpKind.MemorySegESI || kind === OpKind.MemorySegRSI) i.segment = segmentSlot(d.memorySegment);
    }
    i.writes = handler === text.movs || handler === text.stos;
    plain(i, handler);
  };

const lowerXlat: Lowering = (d, i) => {
  setMemory(d, i, 1);
  i.index = Slot.Zero;
  plain(i, move.xlat);
};

/** MOVNTI and MOVDIRI: plain stores here, ordering being sequential anyway. */
const lowerStoreOnly: Lowering = lowerMov;

/**
 * What the interpreter does not do stops the machine with a message: no exception the real processor would not raise.
 */
export const unmodelled: Handler = (c, i) => {
  c.stop = `instruction not modelled: ${(Mnemonic[i.mnemonic] ?? "?").toUpperCase()}`;
  return STOPPED;
};

/** 4- and 8-byte string moves share their names with SSE instructions; operand kinds tell them apart. */
const unlessVector =
  (lowering: Lowering): Lowering =>
  (d, i) => {
    if (isRegister(d, 0) && d.op0Register >= Register.XMM0) plain(i, unmodelled);
    else if (isMemory(d, 0) || isMemory(d, 1)) plain(i, unmodelled);
    else lowering(d, i);
  };

/** User-mode instructions by mnemonic. */
export const general = new Map<number, Lowering>([
  [Mnemonic.Add, two(alu.add)],
  [Mnemonic.Adc, two(alu.adc)],
  [Mnemonic.Sub, two(alu.sub)],
  [Mnemonic.Sbb, two(alu.sbb)],
  [Mnemonic.And, two(alu.and)],
  [Mnemonic.Or, two(alu.or)],
  [Mnemonic.Xor, two(alu.xor)],
  [Mnemonic.Cmp, two(alu.cmp, true)],
  [Mnemonic.Test, two(alu.test, true)],
  [Mnemonic.Inc, one(alu.inc, 1)],
  [Mnemonic.Dec, one(alu.dec, 1)],
  [Mnemonic.Neg, one(alu.neg)],
  [Mnemonic.Not, one(alu.not)],
  [Mnemonic.Adcx, two(alu.adcx)],
  [Mnemonic.Adox, two(alu.adox)],
  [Mnemonic.Xadd, two(lowerXadd)],
  [Mnemonic.Xchg, lowerXchg],
  [Mnemonic.Cmpxchg, two(move.cmpxchg)],
  [Mnemonic.Cmpxchg8b, lowerCmpxchgPair],
  [Mnemonic.Cmpxchg16b, lowerCmpxchgPair],
  [Mnemonic.Mov, lowerMov],
  [Mnemonic.Movzx, extend(move.movzx)],
  [Mnemonic.Movsx, extend(move.movsx)],
  [Mnemonic.Movsxd, extend(move.movsx)],
  [Mnemonic.Lea, lowerLea],
  [Mnemonic.Movnti, lowerStoreOnly],
  [Mnemonic.Movdiri, lowerStoreOnly],
  [Mnemonic.Xlatb, lowerXlat],
  [Mnemonic.Shl, shifted(shift.shl, 1)],
  [Mnemonic.Sal, shifted(shift.shl, 1)],
  [Mnemonic.Shr, shifted(shift.shr, 1)],
  [Mnemonic.Sar, shifted(shift.sar, 1)],
  [Mnemonic.Rol, shifted(shift.rol, 1)],
  [Mnemonic.Ror, shifted(shift.ror, 1)],
  [Mnemonic.Rcl, shifted(shift.rcl, 1)],
  [Mnemonic.Rcr, shifted(shift.rcr, 1)],
  [Mnemonic.Shld, shifted(shift.shld, 2)],
  [Mnemonic.Shrd, shifted(shift.shrd, 2)],
  [Mnemonic.Shlx, three(shift.shlx)],
  [Mnemonic.Shrx, three(shift.shrx)],
  [Mnemonic.Sarx, three(shift.sarx)],
  [Mnemonic.Rorx, three(shift.rorx)],
  [Mnemonic.Mul, sourceOnly(multiply.mul)],
  [Mnemonic.Imul, lowerImul],
  [Mnemonic.Div, sourceOnly(division.div)],
  [Mnemonic.Idiv, sourceOnly(division.idiv)],
  [Mnemonic.Mulx, three(multiply.mulx)],
  [Mnemonic.Bt, testBit(bits.BitChange.None)],
  [Mnemonic.Bts, testBit(bits.BitChange.Set)],
  [Mnemonic.Btr, testBit(bits.BitChange.Reset)],
  [Mnemonic.Btc, testBit(bits.BitChange.Complement)],
  [Mnemonic.Bsf, two(bits.bsf)],
  [Mnemonic.Bsr, two(bits.bsr)],
  [Mnemonic.Tzcnt, two(bits.tzcnt)],
  [Mnemonic.Lzcnt, two(bits.lzcnt)],
  [Mnemonic.Popcnt, two(bits.popcnt)],
  [Mnemonic.Andn, three(both(bits.andn))],
  [Mnemonic.Bextr, three(both(bits.bextr))],
  [Mnemonic.Bzhi, three(both(bits.bzhi))],
  [Mnemonic.Blsi, three(both(bits.blsi))],
  [Mnemonic.Blsr, three(both(bits.blsr))],
  [Mnemonic.Blsmsk, three(both(bits.blsmsk))],
  [Mnemonic.Pdep, three(both(bits.pdep))],
  [Mnemonic.Pext, three(both(bits.pext))],
  [Mnemonic.Crc32, lowerCrc32],
  [Mnemonic.Bswap, lowerBswap],
  [Mnemonic.Movbe, lowerMovbe],
  [Mnemonic.Cbw, fixed(move.extendAccumulator, 2)],
  [Mnemonic.Cwde, fixed(move.extendAccumulator, 4)],
  [Mnemonic.Cdqe, fixed(move.extendAccumulator, 8)],
  [Mnemonic.Cwd, fixed(move.spreadSign, 2)],
  [Mnemonic.Cdq, fixed(move.spreadSign, 4)],
  [Mnemonic.Cqo, fixed(move.spreadSign, 8)],
  [Mnemonic.Lahf, fixed(move.lahf)],
  [Mnemonic.Sahf, fixed(move.sahf)],
  [Mnemonic.Jmp, jump(branch.jmp, branch.jmpIndirect)],
  [Mnemonic.Call, jump(branch.call, branch.callIndirect)],
  [Mnemonic.Ret, lowerRet],
  [Mnemonic.Jrcxz, counted(branch.jrcxz, 0, [])],
  [Mnemonic.Jecxz, counted(branch.jrcxz, 0, [Code.Jecxz_rel8_64, Code.Jecxz_rel8_16])],
  [Mnemonic.Loop, counted(branch.loop, -1, [Code.Loop_rel8_64_ECX, Code.Loop_rel8_16_ECX])],
  [Mnemonic.Loope, counted(branch.loop, 4, [Code.Loope_rel8_64_ECX, Code.Loope_rel8_16_ECX])],
  [Mnemonic.Loopne, counted(branch.loop, 5, [Code.Loopne_rel8_64_ECX, Code.Loopne_rel8_16_ECX])],
  [Mnemonic.Push, lowerPush],
  [Mnemonic.Pop, lowerPop],
  [Mnemonic.Enter, lowerEnter],
  [Mnemonic.Leave, sizedStack(stack.leave, false)],
  [Mnemonic.Pushf, sizedStack(stack.pushf, true)],
  [Mnemonic.Pushfq, sizedStack(stack.pushf, true)],
  [Mnemonic.Popf, sizedStack(stack.popf, false)],
  [Mnemonic.Popfq, sizedStack(stack.popf, false)],
  [Mnemonic.Movsb, string(text.movs, 1)],
  [Mnemonic.Movsw, string(text.movs, 2)],
  [Mnemonic.Movsd, unlessVector(string(text.movs, 4))],
  [Mnemonic.Movsq, string(text.movs, 8)],
  [Mnemonic.Stosb, string(text.stos, 1)],
  [Mnemonic.Stosw, string(text.stos, 2)],
  [Mnemonic.Stosd, string(text.stos, 4)],
  [Mnemonic.Stosq, string(text.stos, 8)],
  [Mnemonic.Lodsb, string(text.lods, 1)],
  [Mnemonic.Lodsw, string(text.lods, 2)],
  [Mnemonic.Lodsd, string(text.lods, 4)],
  [Mnemonic.Lodsq, string(text.lods, 8)],
  [Mnemonic.Cmpsb, string(text.cmps, 1)],
  [Mnemonic.Cmpsw, string(text.cmps, 2)],
  [Mnemonic.Cmpsd, unlessVector(string(text.cmps, 4))],
  [Mnemonic.Cmpsq, string(text.cmps, 8)],
  [Mnemonic.Scasb, string(text.scas, 1)],
  [Mnemonic.Scasw, string(text.scas, 2)],
  [Mnemonic.Scasd, string(text.scas, 4)],
  [Mnemonic.Scasq, string(text.scas, 8)],
]);

for (const name of ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"] as const) {
  general.set(Mnemonic[`J${name}`], conditional);
  general.set(Mnemonic[`Set${name}`], lowerSetcc);
  general.set(Mnemonic[`Cmov${name}`], lowerCmov);
}

/** The shapes the system table needs too. */
export { access, fixed, plain };
/** Reads through Ea as given: for handlers that take a descriptor or pointer in memory apart themselves. */
export const viaAddress =
  (handler: Handler): Handler =>
  (c, i) => {
    effectiveAddress(c, i);
    return handler(c, i);
  };
