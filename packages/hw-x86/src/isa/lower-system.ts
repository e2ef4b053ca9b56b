/**
 * Lowering of what privileged code does and users may not, or seldom: segments, tables, control registers, gates, cache
 * control.
 */
import { Code, Mnemonic, OpKind, Register, type Instruction as Decoded } from "@kreplica/hw-x86/iced";
import * as descriptor from "./descriptor.js";
import * as exception from "./exception.js";
import * as system from "./system.js";
import * as transfer from "./transfer.js";
import { Segment, Slot, type Context } from "./context.js";
import type { Handler, Instruction } from "./instruction.js";
import { access, fixed, general, plain, stackSize, unmodelled, viaAddress, type Lowering } from "./lower.js";
import { isMemory, operandSlot, registerNumber, registerSize, registerSlot, setMemory, setSize } from "./operands.js";
import { moveStack, peek, undefinedInstruction } from "./stack.js";

/** Ends the block: what follows may run under other rules. */
const last =
  (lowering: Lowering): Lowering =>
  (d, i) => {
    lowering(d, i);
    i.ends = true;
  };

/**
 * Nothing that was fetched before the instruction is executed after it.
 * @param unless operands with which it does not serialise
 * @source SDM vol. 3A, "Serializing Instructions"
 */
const serialising =
  (lowering: Lowering, unless?: (c: Context, i: Instruction) => boolean): Lowering =>
  (d, i) => {
    lowering(d, i);
    const { run } = i;
    i.run = (c, same) => {
      const exempt = unless?.(c, same) ?? false;
      const status = run(c, same);
      if (status === 0 && !exempt) c.port.fetched?.serialise();
      return status;
    };
  };
/** Of the x2APIC, and the deadline of its timer. */
const ofInterruptController = ({ s }: Context): boolean =>
  (s[Slot.Rcx]! >= 0x802 && s[Slot.Rcx]! <= 0x83f) || s[Slot.Rcx] === 0x6e0;
const isTaskPriority = (_: Context, i: Instruction): boolean => i.dst === 8;

/** A block of its own: instructions are counted by blocks, and it reads the count. */
const alone =
  (lowering: Lowering): Lowering =>
  (d, i) => {
    lowering(d, i);
    i.first = i.ends = true;
  };

/** A 16-bit source register of whatever width it is written, or 2 bytes of memory, into `src`. */
function selectorSource(d: Decoded, i: Instruction, n: number): void {
  if (isMemory(d, n)) {
    i.src = operandSlot(d, i, n, 2);
    access(i, d, "load");
  } else i.src = registerNumber(d.opRegister(n)) * 4;
}

const takesSelector =
  (handler: Handler, dst: number, cc = 0): Lowering =>
  (d, i) => {
    plain(i, handler);
    i.dst = dst;
    i.cc = cc;
    selectorSource(d, i, 0);
  };

/** Stores 2 bytes to memory, or a register of its own size. */
const givesSelector =
  (handler: Handler, src: number): Lowering =>
  (d, i) => {
    plain(i, handler);
    i.src = src;
    setSize(i, isMemory(d, 0) ? 2 : registerSize(d.opRegister(0)));
    i.dst = operandSlot(d, i, 0, i.size);
    if (isMemory(d, 0)) access(i, d, "store");
  };

const isSegment = (register: number): boolean => register >= Register.ES && register <= Register.GS;
const isControl = (register: number): boolean => register >= Register.CR0 && register < Register.DR0;
const isDebug = (register: number): boolean => register >= Register.DR0 && register < Register.DR0 + 16;

/** MOV with a segment, control or debug register; everything else is the general MOV. */
const lowerMov: Lowering = (d, i) => {
  const to = d.opKind(0) === OpKind.Register ? d.op0Register : 0;
  const from = d.opKind(1) === OpKind.Register ? d.op1Register : 0;
  if (isSegment(to)) {
    plain(i, descriptor.movToSegment);
    i.dst = to - Register.ES;
    i.ends = true;
    selectorSource(d, i, 1);
  } else if (isSegment(from)) givesSelector(descriptor.movFromSegment, from - Register.ES)(d, i);
  else if (isControl(to) || isDebug(to)) {
    const move = isControl(to) ? system.movToControl : system.movToDebug;
    serialising((_, same) => plain(same, move), isControl(to) ? isTaskPriority : undefined)(d, i);
    i.dst = to - (isControl(to) ? Register.CR0 : Register.DR0);
    i.src = registerSlot(from);
    i.ends = true;
  } else if (isControl(from) || isDebug(from)) {
    plain(i, isControl(from) ? system.movFromControl : system.movFromDebug);
    i.src = from - (isControl(from) ? Register.CR0 : Register.DR0);
    i.dst = registerSlot(to);
  } else generalMov(d, i);
};
const generalMov = general.get(Mnemonic.Mov)!;
const generalPop = general.get(Mnemonic.Pop)!;
const generalJmp = general.get(Mnemonic.Jmp)!;
const generalCall = general.get(Mnemonic.Call)!;

/** POP FS and POP GS. */
const popSegment: Handler = (c: Context, i) => {
  const status = peek(c, i.size, 0) || descriptor.loadSegment(c, i.dst, c.s[Slot.Temp]! & 0xffff);
  if (status === 0) moveStack(c, i.size);
  return status;
};
const lowerPop: Lowering = (d, i) => {
  if (d.opKind(0) !== OpKind.Register || !isSegment(d.op0Register)) return generalPop(d, i);
  setSize(i, stackSize(d));
  i.dst = d.op0Register - Register.ES;
  plain(i, popSegment);
};

const FAR = new Map<number, number>([
  [Code.Jmp_m1616, 2],
  [Code.Jmp_m1632, 4],
  [Code.Jmp_m1664, 8],
  [Code.Call_m1616, 2],
  [Code.Call_m1632, 4],
  [Code.Call_m1664, 8],
]);
const maybeFar =
  (near: Lowering, cc: number): Lowering =>
  (d, i) => {
    const size = FAR.get(d.code);
    if (size === undefined) return near(d, i);
    setSize(i, size);
    setMemory(d, i, size);
    i.cc = cc;
    i.writes = cc === 1;
    plain(i, viaAddress(transfer.farTransfer));
  };

const RETURN_SIZE = new Map<number, number>([
  [Code.Retfw, 2],
  [Code.Retfw_imm16, 2],
  [Code.Retfd, 4],
  [Code.Retfd_imm16, 4],
  [Code.Retfq, 8],
  [Code.Retfq_imm16, 8],
]);
const lowerRetf: Lowering = (d, i) => {
  setSize(i, RETURN_SIZE.get(d.code)!);
  i.immLo = d.opCount > 0 ? Number(d.immediate(0)) : 0;
  plain(i, transfer.farReturn);
};

const lowerInt =
  (vector: number, cc = 0): Lowering =>
  (d, i) => {
    i.immLo = vector < 0 ? Number(d.immediate(0)) : vector;
    i.cc = cc;
    i.ends = true;
    plain(i, exception.softwareInterrupt);
  };

/** An address the handler computes itself. */
const address =
  (handler: Handler, slot = 0, bytes = 1): Lowering =>
  (d, i) => {
    setMemory(d, i, bytes);
    i.dst = i.src = slot;
    plain(i, handler);
  };
const stores =
  (lowering: Lowering): Lowering =>
  (d, i) => {
    lowering(d, i);
    i.writes = true;
  };

const lowerInvpcid: Lowering = (d, i) => {
  i.dst = registerSlot(d.op0Register);
  setMemory(d, i, 16);
  plain(i, system.invpcid);
};

/** A register destination and a state slot as source, or the other way. */
const readsSlot =
  (handler: Handler, slot: number): Lowering =>
  (d, i) => {
    setSize(i, registerSize(d.op0Register));
    i.dst = registerSlot(d.op0Register);
    i.src = slot;
    plain(i, handler);
  };
const writesSlot =
  (handler: Handler, slot: number): Lowering =>
  (d, i) => {
    setSize(i, registerSize(d.op0Register));
    i.src = registerSlot(d.op0Register);
    i.dst = slot;
    plain(i, handler);
  };

const lowerLookup =
  (handler: Handler): Lowering =>
  (d, i) => {
    plain(i, handler);
    setSize(i, registerSize(d.op0Register));
    i.dst = registerSlot(d.op0Register);
    selectorSource(d, i, 1);
  };

const lowerInput: Lowering = (d, i) => {
  setSize(i, registerSize(d.op0Register));
  plain(i, system.input);
};

const nothing = fixed(system.nothing);
const stops: Lowering = (_d, i) => {
  plain(i, unmodelled);
};

/** What AMD's processors do not have, or not in long mode (SYSENTER, SYSEXIT): #UD there. */
const intelOnly =
  (lowering: Lowering): Lowering =>
  (d, i) => {
    lowering(d, i);
    const { run } = i;
    i.run = (c, each) => (c.amd ? undefinedInstruction(c, each) : run(c, each));
  };

/**
 * Instructions of extensions that CPUID does not report here: #UD, as on a processor without them. Vector instructions
 * are not among them: the SSE bits are set, so they stop the machine by name.
 */
const absent: readonly number[] = [
  Mnemonic.Encls,
  Mnemonic.Enclu,
  Mnemonic.Enclv,
  Mnemonic.Vmcall,
  Mnemonic.Vmmcall,
  Mnemonic.Vmgexit,
  Mnemonic.Vmxon,
  Mnemonic.Vmxoff,
  Mnemonic.Vmlaunch,
  Mnemonic.Vmresume,
  Mnemonic.Vmread,
  Mnemonic.Vmwrite,
  Mnemonic.Vmptrld,
  Mnemonic.Vmptrst,
  Mnemonic.Vmclear,
  Mnemonic.Vmfunc,
  Mnemonic.Invept,
  Mnemonic.Invvpid,
  Mnemonic.Vmrun,
  Mnemonic.Vmload,
  Mnemonic.Vmsave,
  Mnemonic.Stgi,
  Mnemonic.Clgi,
  Mnemonic.Skinit,
  Mnemonic.Invlpga,
  Mnemonic.Invlpgb,
  Mnemonic.Tlbsync,
  Mnemonic.Pvalidate,
  Mnemonic.Rmpadjust,
  Mnemonic.Rmpupdate,
  Mnemonic.Psmash,
  Mnemonic.Getsec,
  Mnemonic.Monitor,
  Mnemonic.Mwait,
  Mnemonic.Monitorx,
  Mnemonic.Mwaitx,
  Mnemonic.Tpause,
  Mnemonic.Umonitor,
  Mnemonic.Umwait,
  Mnemonic.Rdpkru,
  Mnemonic.Wrpkru,
  Mnemonic.Rdpru,
  Mnemonic.Pconfig,
  Mnemonic.Xbegin,
  Mnemonic.Xend,
  Mnemonic.Xtest,
  Mnemonic.Xsave,
  Mnemonic.Xsave64,
  Mnemonic.Xsaveopt,
  Mnemonic.Xsaveopt64,
  Mnemonic.Xsavec,
  Mnemonic.Xsavec64,
  Mnemonic.Xsaves,
  Mnemonic.Xsaves64,
  Mnemonic.Xrstor,
  Mnemonic.Xrstor64,
  Mnemonic.Xrstors,
  Mnemonic.Xrstors64,
  Mnemonic.Tilerelease,
  Mnemonic.Enqcmd,
  Mnemonic.Enqcmds,
  Mnemonic.Movdir64b,
  Mnemonic.Incsspd,
  Mnemonic.Incsspq,
  Mnemonic.Saveprevssp,
  Mnemonic.Rstorssp,
  Mnemonic.Wrssd,
  Mnemonic.Wrssq,
  Mnemonic.Wrussd,
  Mnemonic.Wrussq,
  Mnemonic.Setssbsy,
  Mnemonic.Clrssbsy,
];

/** All instructions by mnemonic: the general ones, those overlaid here, and the system's. */
export const lowerings = new Map<number, Lowering>([
  ...general,
  [Mnemonic.Mov, lowerMov],
  [Mnemonic.Pop, lowerPop],
  [Mnemonic.Jmp, maybeFar(generalJmp, 0)],
  [Mnemonic.Call, maybeFar(generalCall, 1)],
  [Mnemonic.Retf, lowerRetf],
  [Mnemonic.Iret, serialising(fixed(transfer.iret, 2))],
  [Mnemonic.Iretd, serialising(fixed(transfer.iret, 4))],
  [Mnemonic.Iretq, serialising(fixed(transfer.iret, 8))],
  [Mnemonic.Int, lowerInt(-1)],
  [Mnemonic.Int3, lowerInt(3)],
  [Mnemonic.Int1, lowerInt(1, 1)],
  [Mnemonic.Ud0, last(fixed(undefinedInstruction))],
  [Mnemonic.Ud1, last(fixed(undefinedInstruction))],
  [Mnemonic.Ud2, last(fixed(undefinedInstruction))],
  [Mnemonic.Syscall, last(fixed(transfer.syscall))],
  [Mnemonic.Sysret, last(fixed(transfer.sysret, 4))],
  [Mnemonic.Sysretq, last(fixed(transfer.sysret, 8))],
  [Mnemonic.Swapgs, fixed(system.swapgs)],
  [Mnemonic.Rdmsr, alone(fixed(system.rdmsr))],
  [Mnemonic.Wrmsr, last(serialising(fixed(system.wrmsr), ofInterruptController))],
  [Mnemonic.Rdfsbase, readsSlot(system.readBase, Slot.FsBase)],
  [Mnemonic.Rdgsbase, readsSlot(system.readBase, Slot.GsBase)],
  [Mnemonic.Wrfsbase, writesSlot(system.writeBase, Slot.FsBase)],
  [Mnemonic.Wrgsbase, writesSlot(system.writeBase, Slot.GsBase)],
  [Mnemonic.Lgdt, serialising(address(descriptor.loadTable, Slot.Gdt, 10))],
  [Mnemonic.Lidt, serialising(address(descriptor.loadTable, Slot.Idt, 10))],
  [Mnemonic.Sgdt, stores(address(descriptor.storeTable, Slot.Gdt, 10))],
  [Mnemonic.Sidt, stores(address(descriptor.storeTable, Slot.Idt, 10))],
  [Mnemonic.Lldt, serialising(takesSelector(descriptor.loadSystemSelector, Segment.Ldt))],
  [Mnemonic.Ltr, serialising(takesSelector(descriptor.loadSystemSelector, Segment.Tr))],
  [Mnemonic.Sldt, givesSelector(descriptor.storeSystemSelector, Segment.Ldt)],
  [Mnemonic.Str, givesSelector(descriptor.storeSystemSelector, Segment.Tr)],
  [Mnemonic.Smsw, givesSelector(system.smsw, 0)],
  [Mnemonic.Lmsw, last(takesSelector(system.lmsw, 0))],
  [Mnemonic.Clts, last(fixed(system.clts))],
  [Mnemonic.Verr, takesSelector(descriptor.verify, 0, 0)],
  [Mnemonic.Verw, takesSelector(descriptor.verify, 0, 1)],
  [Mnemonic.Lar, lowerLookup(descriptor.lar)],
  [Mnemonic.Lsl, lowerLookup(descriptor.lsl)],
  [Mnemonic.Invlpg, last(serialising(address(system.invlpg)))],
  [Mnemonic.Invpcid, last(lowerInvpcid)],
  [Mnemonic.Cpuid, serialising(fixed(system.cpuid))],
  [Mnemonic.Rdtsc, alone(fixed(system.rdtsc))],
  [Mnemonic.Rdtscp, alone(fixed(system.rdtscp))],
  [Mnemonic.Rdpid, readsSlot(system.rdpid, 0)],
  [Mnemonic.Rdrand, readsSlot(system.random, 0)],
  [Mnemonic.Rdseed, readsSlot(system.random, 0)],
  [Mnemonic.Xgetbv, fixed(system.xgetbv)],
  [Mnemonic.Xsetbv, last(fixed(system.xsetbv))],
  [Mnemonic.Cli, fixed(system.cli)],
  [Mnemonic.Sti, last(fixed(system.sti))],
  [Mnemonic.Clc, fixed(system.clc)],
  [Mnemonic.Stc, fixed(system.stc)],
  [Mnemonic.Cmc, fixed(system.cmc)],
  [Mnemonic.Cld, fixed(system.cld)],
  [Mnemonic.Std, fixed(system.std)],
  [Mnemonic.Clac, fixed(system.clac)],
  [Mnemonic.Stac, fixed(system.stac)],
  [Mnemonic.Hlt, last(fixed(system.hlt))],
  [Mnemonic.Popf, last(general.get(Mnemonic.Popf)!)],
  [Mnemonic.Popfq, last(general.get(Mnemonic.Popfq)!)],
  [Mnemonic.Nop, nothing],
  [Mnemonic.Reservednop, nothing],
  [Mnemonic.Endbr64, nothing],
  [Mnemonic.Endbr32, nothing],
  [Mnemonic.Rdsspd, nothing],
  [Mnemonic.Rdsspq, nothing],
  [Mnemonic.Pause, last(nothing)],
  [Mnemonic.Lfence, nothing],
  [Mnemonic.Mfence, nothing],
  [Mnemonic.Sfence, nothing],
  [Mnemonic.Serialize, last(serialising(intelOnly(nothing)))],
  [Mnemonic.Movdiri, intelOnly(general.get(Mnemonic.Movdiri)!)],
  [Mnemonic.Sysenter, last(intelOnly(stops))],
  [Mnemonic.Sysexit, last(intelOnly(stops))],
  [Mnemonic.Prefetch, nothing],
  [Mnemonic.Prefetchnta, nothing],
  [Mnemonic.Prefetcht0, nothing],
  [Mnemonic.Prefetcht1, nothing],
  [Mnemonic.Prefetcht2, nothing],
  [Mnemonic.Prefetchw, nothing],
  [Mnemonic.Prefetchwt1, nothing],
  [Mnemonic.Cldemote, nothing],
  [Mnemonic.Clflush, address(system.touch)],
  [Mnemonic.Clflushopt, address(system.touch)],
  [Mnemonic.Clwb, address(system.touch)],
  [Mnemonic.Wbinvd, serialising(fixed(system.nothingPrivileged))],
  [Mnemonic.Wbnoinvd, fixed(system.nothingPrivileged)],
  [Mnemonic.Invd, serialising(fixed(system.nothingPrivileged))],
  [Mnemonic.In, lowerInput],
  [Mnemonic.Out, fixed(system.output)],
  // No performance counters: leaf 0AH of CPUID is empty.
  [Mnemonic.Rdpmc, fixed(system.noCounter)],
  ...absent.map((mnemonic) => [mnemonic, last(fixed(undefinedInstruction))] as const),
  [Mnemonic.INVALID, last(fixed(undefinedInstruction))],
]);

/** Fills `i` from `d`; an instruction with no lowering gets one that stops the machine and says which it was. */
export function lower(d: Decoded, i: Instruction): void {
  const lowering = lowerings.get(d.mnemonic);
  if (lowering !== undefined) lowering(d, i);
  else plain(i, unmodelled);
}
