/**
 * Instructions that talk to the processor rather than to memory: control, debug and model-specific registers, TLB
 * invalidation, CPUID, time stamp, interrupt flag, HLT. Source: SDM vol. 2, each instruction's page.
 */
import { isCanonical } from "./branch.js";
import { Flag, Slot, type Context } from "./context.js";
import { forbidden } from "./descriptor.js";
import { setCarry, setFlags, unpackArithmetic } from "./flags.js";
import type { Handler } from "./instruction.js";
import { advance, effectiveAddress, load } from "./memory.js";
import { put, putAny } from "./operand.js";
import { Access, faultStatus } from "./port.js";

const generalProtection = faultStatus(13);
const undefinedOpcode = faultStatus(6);

const CR4_TSD = 1 << 2;
const CR4_FSGSBASE = 1 << 16;
const CR4_OSXSAVE = 1 << 18;
const EFER = 0xc000_0080 | 0;
const SLOT_OF_MSR = new Map<number, number>([
  [EFER, Slot.Efer],
  [0xc000_0081 | 0, Slot.Star],
  [0xc000_0082 | 0, Slot.Lstar],
  [0xc000_0083 | 0, Slot.Cstar],
  [0xc000_0084 | 0, Slot.Fmask],
  [0xc000_0100 | 0, Slot.FsBase],
  [0xc000_0101 | 0, Slot.GsBase],
  [0xc000_0102 | 0, Slot.KernelGsBase],
  [0xc000_0103 | 0, Slot.TscAux],
]);
const TIME_STAMP = 0x10;

/** A handler only privilege level 0 may use. */
const privileged =
  (handler: Handler): Handler =>
  (c, i) =>
    c.privilege !== 0 ? generalProtection : handler(c, i);

/** EDX:EAX from the port's data. */
function intoPair(c: Context): number {
  const lo = c.port.data[0]!,
    hi = c.port.data[1]!;
  put(c, 4, Slot.Rax, lo);
  put(c, 4, Slot.Rdx, hi);
  return 0;
}

/** RDMSR: the interpreter's own, the clock, or the port's; ECX names it. */
export const rdmsr = privileged((c) => {
  const index = c.s[Slot.Rcx]!;
  const slot = SLOT_OF_MSR.get(index);
  if (slot !== undefined) {
    c.port.data[0] = c.s[slot]!;
    c.port.data[1] = c.s[slot + 1]!;
    return intoPair(c);
  }
  if (index === TIME_STAMP) c.port.timeStamp();
  else {
    const status = c.port.readMsr(index >>> 0);
    if (status !== 0) return status;
  }
  return intoPair(c);
});

/** WRMSR; addresses must be canonical. */
export const wrmsr = privileged((c) => {
  const index = c.s[Slot.Rcx]!;
  const lo = c.s[Slot.Rax]!,
    hi = c.s[Slot.Rdx]!;
  const slot = SLOT_OF_MSR.get(index);
  if (slot === undefined) return c.port.writeMsr(index >>> 0, lo, hi);
  const address =
    slot === Slot.Lstar ||
    slot === Slot.Cstar ||
    slot === Slot.FsBase ||
    slot === Slot.GsBase ||
    slot === Slot.KernelGsBase;
  if (address && !isCanonical(c, hi)) return generalProtection;
  if (index === EFER) {
    const status = c.port.writeMsr(index >>> 0, lo, hi);
    if (status !== 0) return status;
    c.dropWindows();
  }
  c.s[slot] = lo;
  c.s[slot + 1] = hi;
  return 0;
});

/** Slot of a control register by number; -1 for one there is not. */
const controlSlot = (index: number): number =>
  index === 0
    ? Slot.Cr0
    : index === 2
      ? Slot.Cr2
      : index === 3
        ? Slot.Cr3
        : index === 4
          ? Slot.Cr4
          : index === 8
            ? Slot.Cr8
            : -1;

function writeControl(c: Context, index: number, lo: number, hi: number): number {
  const slot = controlSlot(index);
  if (slot < 0) return undefinedOpcode;
  if (index !== 2) {
    const status = c.port.controlRegister(index, lo, hi);
    if (status !== 0) return status;
    c.dropWindows();
  }
  c.s[slot] = lo;
  // Bit 63 of CR3 is a request (keep the TLB), not state.
  c.s[slot + 1] = index === 3 ? hi & 0x7fff_ffff : hi;
  return 0;
}

/** Bits of CR0 and CR4 the port holds; the rest is only stored here. */
const PORT_BITS = new Map([
  [0, 0x8001_0000n],
  [3, (1n << 63n) - 1n],
  [4, 0x20n | 0x80n | 0x1000n | 0x2_0000n | 0x10_0000n | 0x20_0000n],
]);

/**
 * Takes over what the port's control register has become since it was last written from here.
 * @param index 0, 3 or 4
 */
export function refreshControl(c: Context, index: number): void {
  const value = c.port.controlValue?.(index);
  const held = PORT_BITS.get(index);
  if (value === undefined || held === undefined) return;
  const slot = controlSlot(index);
  c.set(slot, (c.get(slot) & ~held) | (value & held));
}

/** MOV CRn, register: `dst` is n. */
export const movToControl = privileged((c, i) => writeControl(c, i.dst, c.s[i.src]!, c.s[i.src + 1]!));
/** MOV register, CRn: `src` is n. */
export const movFromControl = privileged((c, i) => {
  const slot = controlSlot(i.src);
  if (slot < 0) return undefinedOpcode;
  refreshControl(c, i.src);
  c.s[i.dst] = c.s[slot]!;
  c.s[i.dst + 1] = c.s[slot + 1]!;
  return 0;
});
/** Debug registers are storage: breakpoints in them do not fire. DR4 and DR5 are DR6 and DR7. */
const debugSlot = (index: number): number => Slot.Dr0 + 2 * (index === 4 || index === 5 ? index + 2 : index);
/** MOV DRn, register. */
export const movToDebug = privileged((c, i) => {
  c.s[debugSlot(i.dst)] = c.s[i.src]!;
  c.s[debugSlot(i.dst) + 1] = c.s[i.src + 1]!;
  return c.s[i.src + 1] === 0 || (i.dst & 7) < 4 ? 0 : generalProtection;
});
/** MOV register, DRn. */
export const movFromDebug = privileged((c, i) => {
  c.s[i.dst] = c.s[debugSlot(i.src)]!;
  c.s[i.dst + 1] = c.s[debugSlot(i.src) + 1]!;
  return 0;
});

/** SMSW and LMSW move CR0's low bits; LMSW cannot clear PE. */
export const smsw: Handler = (c, i) => {
  if (forbidden(c)) return generalProtection;
  putAny(c, i.size, i.dst, c.s[Slot.Cr0]!, c.s[Slot.Cr0 + 1]!);
  return 0;
};
/** LMSW: low four bits of CR0. */
export const lmsw = privileged((c, i) => {
  const old = c.s[Slot.Cr0]!;
  return writeControl(c, 0, (old & ~0xe) | (c.u16[i.src]! & 0xf) | (old & 1), 0);
});
/** CLTS: CR0.TS off. */
export const clts = privileged((c) => writeControl(c, 0, c.s[Slot.Cr0]! & ~8, 0));

/** INVLPG: the address is not accessed. */
export const invlpg = privileged((c, i) => {
  effectiveAddress(c, i);
  c.port.invlpg(c.s[Slot.Ea]!, c.s[Slot.Ea + 1]!);
  c.dropWindows();
  return 0;
});

/** INVPCID: `dst` holds the type, memory the descriptor: PCID, then address. */
export const invpcid = privileged((c, i) => {
  effectiveAddress(c, i);
  let status = load(c, 8, Access.Read);
  if (status !== 0) return status;
  const pcid = c.s[Slot.Temp]!,
    rest = c.s[Slot.Temp + 1]!;
  advance(c, 8);
  status = load(c, 8, Access.Read);
  if (status !== 0) return status;
  const type = c.s[i.dst]!;
  if (c.s[i.dst + 1] !== 0 || type < 0 || type > 3 || pcid >>> 12 !== 0 || rest !== 0) return generalProtection;
  if (type === 0 && !isCanonical(c, c.s[Slot.Temp + 1]!)) return generalProtection;
  status = c.port.invpcid(type, pcid, c.s[Slot.Temp]!, c.s[Slot.Temp + 1]!);
  c.dropWindows();
  return status;
});

/** SWAPGS: GS base and KernelGSBase change places. */
export const swapgs = privileged((c) => {
  const s = c.s;
  for (let n = 0; n < 2; n++) {
    const held = s[Slot.GsBase + n]!;
    s[Slot.GsBase + n] = s[Slot.KernelGsBase + n]!;
    s[Slot.KernelGsBase + n] = held;
  }
  return 0;
});

const baseAllowed = (c: Context): boolean => (c.s[Slot.Cr4]! & CR4_FSGSBASE) !== 0;
/** RDFSBASE, RDGSBASE: slot `src` into a register. */
export const readBase: Handler = (c, i) => {
  if (!baseAllowed(c)) return undefinedOpcode;
  putAny(c, i.size, i.dst, c.s[i.src]!, c.s[i.src + 1]!);
  return 0;
};
/** WRFSBASE, WRGSBASE: a register into slot `dst`. */
export const writeBase: Handler = (c, i) => {
  if (!baseAllowed(c)) return undefinedOpcode;
  const hi = i.size === 8 ? c.s[i.src + 1]! : 0;
  if (!isCanonical(c, hi)) return generalProtection;
  c.s[i.dst] = c.s[i.src]!;
  c.s[i.dst + 1] = hi;
  return 0;
};

/** CPUID: the port answers. */
export const cpuid: Handler = (c) => {
  c.port.cpuid(c.s[Slot.Rax]! >>> 0, c.s[Slot.Rcx]! >>> 0);
  const data = c.port.data;
  put(c, 4, Slot.Rax, data[0]!);
  put(c, 4, Slot.Rbx, data[1]!);
  put(c, 4, Slot.Rcx, data[2]!);
  put(c, 4, Slot.Rdx, data[3]!);
  return 0;
};

/** RDTSC; CR4.TSD keeps users from it. */
export const rdtsc: Handler = (c) => {
  if (c.privilege !== 0 && (c.s[Slot.Cr4]! & CR4_TSD) !== 0) return generalProtection;
  c.port.timeStamp();
  return intoPair(c);
};
/** RDTSCP: RDTSC, and TSC_AUX into ECX. */
export const rdtscp: Handler = (c, i) => {
  const status = rdtsc(c, i);
  if (status === 0) put(c, 4, Slot.Rcx, c.s[Slot.TscAux]!);
  return status;
};
/** RDPID: always 8 bytes wide in 64-bit mode. */
export const rdpid: Handler = (c, i) => {
  c.s[i.dst] = c.s[Slot.TscAux]!;
  c.s[i.dst + 1] = 0;
  return 0;
};

/** RDRAND and RDSEED: CF says whether there was entropy; the other arithmetic flags are cleared. */
export const random: Handler = (c, i) => {
  const some = c.port.random();
  unpackArithmetic(c.s, some ? 1 : 0);
  putAny(c, i.size, i.dst, some ? c.port.data[0]! : 0, some ? c.port.data[1]! : 0);
  return 0;
};

/** XGETBV of XCR0 or its in-use form. */
export const xgetbv: Handler = (c) => {
  if ((c.s[Slot.Cr4]! & CR4_OSXSAVE) === 0) return undefinedOpcode;
  if (c.s[Slot.Rcx]! >>> 0 > 1) return generalProtection;
  put(c, 4, Slot.Rax, c.s[Slot.Xcr0]!);
  put(c, 4, Slot.Rdx, c.s[Slot.Xcr0 + 1]!);
  return 0;
};
/** XSETBV of XCR0; x87 cannot be turned off. */
export const xsetbv = privileged((c) => {
  if ((c.s[Slot.Cr4]! & CR4_OSXSAVE) === 0) return undefinedOpcode;
  if (c.s[Slot.Rcx] !== 0 || (c.s[Slot.Rax]! & 1) === 0) return generalProtection;
  c.s[Slot.Xcr0] = c.s[Slot.Rax]!;
  c.s[Slot.Xcr0 + 1] = c.s[Slot.Rdx]!;
  return 0;
});

const mayTouchInterrupts = (c: Context): boolean => c.privilege <= (c.s[Slot.Flags]! & Flag.Iopl) >> 12;
/** CLI: #GP(0) above IOPL. */
export const cli: Handler = (c) => {
  if (!mayTouchInterrupts(c)) return generalProtection;
  c.s[Slot.Flags]! &= ~Flag.Interrupt;
  return 0;
};
/** STI: the instruction after it is done before an interrupt is taken, when IF was clear. */
export const sti: Handler = (c) => {
  if (!mayTouchInterrupts(c)) return generalProtection;
  if ((c.s[Slot.Flags]! & Flag.Interrupt) === 0) c.shadow = true;
  c.s[Slot.Flags]! |= Flag.Interrupt;
  return 0;
};

/** CF = 0. */
export const clc: Handler = (c) => {
  setCarry(c.s, 0);
  return 0;
};
/** CF = 1. */
export const stc: Handler = (c) => {
  setCarry(c.s, 1);
  return 0;
};
/** CF complemented. */
export const cmc: Handler = (c) => {
  setCarry(c.s, c.s[Slot.Fc]! < 0 ? 0 : 1);
  return 0;
};
/** DF = 0. */
export const cld: Handler = (c) => {
  c.s[Slot.Flags]! &= ~Flag.Direction;
  return 0;
};
/** DF = 1. */
export const std: Handler = (c) => {
  c.s[Slot.Flags]! |= Flag.Direction;
  return 0;
};

/** CLAC and STAC: #UD outside level 0. */
const access =
  (value: number): Handler =>
  (c) => {
    if (c.privilege !== 0) return undefinedOpcode;
    setFlags(c, value, Flag.Alignment);
    return 0;
  };
/** AC = 0. */
export const clac = access(0);
/** AC = 1. */
export const stac = access(Flag.Alignment);

/** HLT: until the next interrupt. */
export const hlt = privileged((c) => {
  c.halted = true;
  return 0;
});

/** Does nothing: NOP, PAUSE, ENDBR, fences, prefetches, WBINVD at level 0. */
export const nothing: Handler = () => 0;
/** As {@link nothing}, at level 0 only. */
export const nothingPrivileged = privileged(nothing);

/** CLFLUSH and its like: checked as a load, nothing is moved. */
export const touch: Handler = (c, i) => {
  effectiveAddress(c, i);
  return load(c, 1, Access.Read);
};

/** IN: no device answers, so all ones come back. The TSS I/O permission map is not consulted: above IOPL it is #GP. */
export const input: Handler = (c, i) => {
  if (!mayTouchInterrupts(c)) return generalProtection;
  putAny(c, i.size, 0, -1, 0);
  return 0;
};
/** OUT: nobody listens. */
export const output: Handler = (c) => (mayTouchInterrupts(c) ? 0 : generalProtection);

/** RDPMC of a counter there is not. */
export const noCounter: Handler = () => generalProtection;
