/**
 * Register state of one executing CPU: one Int32Array that every handler indexes, with byte and 16-bit views on it.
 *
 * A 64-bit register is two neighbouring words, low half first, so AL, AH, AX, EAX and RAX are the same memory seen
 * through the three views. Flags are kept as the values they are computed from:
 *
 *   ZF = Fz is 0       SF = bit 31 of Fs      PF = even parity of the low byte of Fp      AF = bit 4 of Fa
 *   CF = bit 31 of Fc  OF = bit 31 xor bit 30 of Fc      (Fc is the carry vector, aligned to the top)
 *
 * so that an addition costs five stores and a branch reads one word.
 */
import type { CpuPort, PageWindow, WindowHolder } from "./port.js";

/** Word index of each piece of state. Two words each unless said. */
export const enum Slot {
  Rax = 0,
  Rcx = 2,
  Rdx = 4,
  Rbx = 6,
  Rsp = 8,
  Rbp = 10,
  Rsi = 12,
  Rdi = 14,
  R11 = 22,
  /** Always zero: base or index "none", and the base of the flat segments. */
  Zero = 32,
  /** Memory operand of the instruction under way. */
  Temp = 34,
  Temp2 = 36,
  /** Effective address. */
  Ea = 38,
  Rip = 40,
  /** One word each. */
  Fz = 42,
  Fs = 43,
  Fp = 44,
  Fc = 45,
  Fa = 46,
  /** RFLAGS without the six arithmetic flags. One word. */
  Flags = 47,
  FsBase = 48,
  GsBase = 50,
  KernelGsBase = 52,
  Cr0 = 54,
  Cr2 = 56,
  Cr3 = 58,
  Cr4 = 60,
  Cr8 = 62,
  Efer = 64,
  Star = 66,
  Lstar = 68,
  Cstar = 70,
  Fmask = 72,
  TscAux = 74,
  /** Base, then limit in the word after it. */
  Gdt = 76,
  GdtLimit = 78,
  Idt = 80,
  IdtLimit = 82,
  Tr = 84,
  TrLimit = 86,
  Ldt = 88,
  LdtLimit = 90,
  Dr0 = 92,
  /** Descriptor last read. */
  Descriptor = 108,
  Xcr0 = 110,
  Count = 112,
}

/** RFLAGS bits held in {@link Slot.Flags}. @source SDM vol. 1, "EFLAGS Register" */
export const enum Flag {
  Carry = 1,
  Fixed = 2,
  Parity = 4,
  Adjust = 0x10,
  Zero = 0x40,
  Sign = 0x80,
  Trap = 0x100,
  Interrupt = 0x200,
  Direction = 0x400,
  Overflow = 0x800,
  Iopl = 0x3000,
  Nested = 0x4000,
  Resume = 0x1_0000,
  Virtual = 0x2_0000,
  Alignment = 0x4_0000,
  Id = 0x20_0000,
  Arithmetic = 0x8d5,
}

/** Index into {@link Context.selectors}. */
export const enum Segment {
  Es = 0,
  Cs = 1,
  Ss = 2,
  Ds = 3,
  Fs = 4,
  Gs = 5,
  Tr = 6,
  Ldt = 7,
}

/** Entries of each window table; a power of two. 256 pages are 1 MiB of working set. */
const WINDOWS = 256;
const NOWHERE = new Int32Array(0);
const NO_VERSIONS = new Uint32Array(0);
/** Never a page address. */
const NO_TAG = 1;

/** All state of a CPU between two instructions; memory is not part of it. */
export interface SavedContext {
  readonly words: Int32Array;
  readonly selectors: Uint16Array;
  readonly privilege: number;
  readonly halted: boolean;
  readonly shadow: boolean;
  readonly interruptLine: boolean;
  readonly nonMaskable: boolean;
  readonly nonMaskableBlocked: boolean;
  readonly stop: string;
}

/** See the head of this file. */
export class Context implements WindowHolder {
  readonly s = new Int32Array(Slot.Count);
  readonly u8 = new Uint8Array(this.s.buffer);
  readonly u16 = new Uint16Array(this.s.buffer);
  /** ES CS SS DS FS GS TR LDT. */
  readonly selectors = new Uint16Array(8);
  /** Page address halves, by window; {@link NO_TAG} in the low half when empty. */
  readonly readTags = new Int32Array(2 * WINDOWS).fill(NO_TAG);
  readonly writeTags = new Int32Array(2 * WINDOWS).fill(NO_TAG);
  readonly readPages: (PageWindow | undefined)[] = new Array<PageWindow | undefined>(WINDOWS).fill(undefined);
  readonly writePages: (PageWindow | undefined)[] = new Array<PageWindow | undefined>(WINDOWS).fill(undefined);
  /** The same for compiled code: index of each window's first word in {@link words}. */
  readonly readBases = new Int32Array(WINDOWS);
  readonly writeBases = new Int32Array(WINDOWS);
  /** Index of each window's page in {@link versions}. */
  readonly writeSlots = new Int32Array(WINDOWS);
  /** What all windows open now lie in. */
  words: Int32Array = NOWHERE;
  versions: Uint32Array = NO_VERSIONS;
  /** Of compiled code on its way out: instructions left of its budget, and the status of a fault. */
  left = 0;
  status = 0;
  /** Counts {@link dropWindows}: a block entry of an older epoch must be translated again. */
  epoch = 0;
  /** Current privilege level: 0 or 3 (1 and 2 are carried, not used). */
  privilege = 0;
  halted = false;
  /** Interrupts are held back for one instruction (after STI, MOV SS, POP SS). */
  shadow = false;
  /** An interrupt may be waiting at the port. */
  interruptLine = false;
  nonMaskable = false;
  nonMaskableBlocked = false;
  /** Iterations of a repeated string instruction before it lets interrupts in. */
  repeatLimit = 4096;
  /** Whether this is an AMD processor: what it does otherwise than Intel's hangs on this alone. */
  readonly amd: boolean;
  /**
   * Whether a single-step trap follows the instruction under way: TF before it, unless it says otherwise (MOV SS,
   * SYSCALL, SYSRET).
   */
  stepping = false;
  /** Events delivered so far: tells a single step whether its instruction ended in one. */
  deliveries = 0;
  /** Why execution cannot go on, for {@link Interpreter}. Empty when it can. */
  stop = "";

  constructor(readonly port: CpuPort) {
    this.amd = port.vendor === "amd";
    this.s[Slot.Flags] = Flag.Fixed;
    this.s[Slot.Fz] = 1;
    this.s[Slot.Fp] = 1;
    this.s[Slot.Xcr0] = 1;
    port.attach(this);
  }

  dropWindows(): void {
    this.epoch = (this.epoch + 1) | 0;
    this.closeWindows();
  }

  closeWindows(): void {
    this.readTags.fill(NO_TAG);
    this.writeTags.fill(NO_TAG);
  }

  /** Sets the privilege level and tells the port. */
  setPrivilege(level: number): void {
    if (level === this.privilege) return;
    this.privilege = level;
    this.modeChanged();
  }

  /** After a change of privilege or RFLAGS.AC. */
  modeChanged(): void {
    this.dropWindows();
    this.port.modeChanged(this.privilege, (this.s[Slot.Flags]! & Flag.Alignment) !== 0);
  }

  /** A 64-bit slot. Cold. */
  get(slot: number): bigint {
    return (BigInt(this.s[slot + 1]! >>> 0) << 32n) | BigInt(this.s[slot]! >>> 0);
  }

  /** Sets a 64-bit slot. Cold. */
  set(slot: number, value: bigint): void {
    this.s[slot] = Number(BigInt.asIntN(32, value));
    this.s[slot + 1] = Number(BigInt.asIntN(32, value >> 32n));
  }

  /** A copy of the state, to go back to: interleavings are explored this way. */
  save(): SavedContext {
    const { privilege, halted, shadow, interruptLine, nonMaskable, nonMaskableBlocked, stop } = this;
    return {
      words: this.s.slice(),
      selectors: this.selectors.slice(),
      privilege,
      halted,
      shadow,
      interruptLine,
      nonMaskable,
      nonMaskableBlocked,
      stop,
    };
  }

  /** Goes back to a saved state. The port's registers (CR3, EFER, MSRs it holds) are the caller's to put back. */
  restore(saved: SavedContext): void {
    const mode =
      this.privilege !== saved.privilege || ((this.s[Slot.Flags]! ^ saved.words[Slot.Flags]!) & Flag.Alignment) !== 0;
    this.s.set(saved.words);
    this.selectors.set(saved.selectors);
    this.privilege = saved.privilege;
    this.halted = saved.halted;
    this.shadow = saved.shadow;
    this.interruptLine = saved.interruptLine;
    this.nonMaskable = saved.nonMaskable;
    this.nonMaskableBlocked = saved.nonMaskableBlocked;
    this.stop = saved.stop;
    if (mode) this.modeChanged();
  }
}
