/**
 * Compiles verified eBPF to x86-64.
 *
 *   eBPF   r0   r1   r2   r3   r4   r5   r6   r7   r8   r9   r10
 *   x86    rax  rdi  rsi  rdx  rcx  r8   rbx  r13  r14  r15  rbp     r10 r11 r12 scratch of the compiler
 *
 * Frame of a function, from rbp down: eBPF stack | tail-call counter (8 bytes) | saved rbx r13 r14 r15.
 * The counter goes in rax from the caller's frame to the callee's and survives tail calls, so that a chain ends after
 * 33.
 *
 * Jumps have 32-bit distances throughout: code does not change length when addresses become known, so that one pass of
 * writing and one of patching are enough. The kernel's JIT iterates to shorter jumps instead.
 *
 * @source System V ABI AMD64, "Register Usage"; Linux documentation, "Classic BPF vs eBPF" on the register mapping
 */
import { hex } from "@kreplica/hw-x86/api";
import { BpfError } from "../errors.js";
import type { Code } from "../isa/code.js";
import { bytesOf, CALL, CallKind, EXIT, JA, JA_LONG, LD_IMM64, Pseudo } from "../isa/opcode.js";
import { Condition, Emitter, Group, Reg, Shift } from "./emitter.js";

const X: readonly number[] = [
  Reg.rax,
  Reg.rdi,
  Reg.rsi,
  Reg.rdx,
  Reg.rcx,
  Reg.r8,
  Reg.rbx,
  Reg.r13,
  Reg.r14,
  Reg.r15,
  Reg.rbp,
];
const SAVED = [Reg.rbx, Reg.r13, Reg.r14, Reg.r15] as const;
const SCRATCH = Reg.r11,
  SECOND = Reg.r10;
const CONDITION: Readonly<Record<number, number>> = {
  0x10: Condition.equal,
  0x20: Condition.above,
  0x30: Condition.aboveEqual,
  0x40: Condition.notEqual,
  0x50: Condition.notEqual,
  0x60: Condition.greater,
  0x70: Condition.greaterEqual,
  0xa0: Condition.below,
  0xb0: Condition.belowEqual,
  0xc0: Condition.less,
  0xd0: Condition.lessEqual,
};
const GROUP: Readonly<Record<number, number>> = {
  0x00: Group.add,
  0x10: Group.sub,
  0x40: Group.or,
  0x50: Group.and,
  0xa0: Group.xor,
};
const SHIFT: Readonly<Record<number, number>> = { 0x60: Shift.shl, 0x70: Shift.shr, 0xc0: Shift.sar };
const TAIL_CALL_HELPER = 12,
  TAIL_CALLS = 33;

/** A verified program to be compiled, and the addresses its code is to hold. */
export interface CompileRequest {
  /** Verified and with addresses in place of map references. */
  readonly code: Code;
  /** First slots of the functions, ascending, and stack bytes of each (multiples of 8). */
  readonly functions: readonly number[];
  readonly stackBytes: readonly number[];
  /** Address of the first byte. */
  readonly address: bigint;
  /** Address of a helper, or undefined where there is none. */
  helperAddress(id: number): bigint | undefined;
  /** Offsets in a prog array: count of slots (4 bytes) and first slot (8-byte pointers to entries). Default 0 and 8. */
  readonly progArray?: { readonly count: number; readonly slots: number };
}
/** x86-64 code of a program, for the address that was asked for. */
export interface Compiled {
  readonly bytes: Uint8Array;
  /** Offset of each function in `bytes`, in the order of `functions`. */
  readonly entries: readonly number[];
  /** Offset of the code of each slot; that of a second slot is that of the next. */
  readonly offsets: Int32Array;
}

/** Bytes of the prologue that a tail call skips: no-op and setting of the counter. */
export const TAIL_CALL_SKIP = 5 + 2;

/**
 * @throws BpfError `jit-unsupported` for an instruction that this compiler has no code for, or that leads where none
 *   is: of a program that was not verified
 */
export function compile(request: CompileRequest): Compiled {
  return new Compiler(request).run();
}

class Compiler {
  private readonly out = new Emitter();
  private readonly offsets: Int32Array;
  private readonly fixups: { at: number; slot: number; from: number }[] = [];
  /** Second slots of 64-bit loads, where nothing may jump to. */
  private readonly second: Uint8Array;
  private function = 0;

  constructor(private readonly request: CompileRequest) {
    this.offsets = new Int32Array(request.code.length + 1);
    this.second = new Uint8Array(request.code.length + 1);
  }

  run(): Compiled {
    const { code, functions } = this.request,
      out = this.out;
    const entries: number[] = [];
    for (let i = 0; i < code.length; i++) {
      const index = functions.indexOf(i);
      if (index >= 0) {
        this.function = index;
        entries.push(out.length);
        this.prologue(index);
      }
      this.offsets[i] = out.length;
      this.instruction(i);
      if (code.opcode[i] === LD_IMM64) {
        this.offsets[++i] = out.length;
        this.second[i] = 1;
      }
    }
    this.offsets[code.length] = out.length;
    for (const { at, slot, from } of this.fixups) {
      // A call (negative: function number) leads to a prologue; a jump to a function's first slot leads behind it.
      if (slot >= code.length || (slot >= 0 && this.second[slot] === 1)) this.unsupported(from);
      const target = slot < 0 ? entries[-slot - 1]! : this.offsets[slot]!;
      out.patch(at, target - at - 4);
    }
    return { bytes: out.bytes, entries, offsets: this.offsets };
  }

  private prologue(index: number): void {
    const out = this.out;
    // Five bytes that a trampoline's call can replace, then the counter: zero on entry from outside.
    out.nop5();
    if (index === 0)
      out.byte(0x31, 0xc0); // xor eax, eax
    else out.byte(0x66, 0x90); // two-byte no-op: a caller of ours has the counter in rax
    out.push(Reg.rbp);
    out.move(true, Reg.rbp, Reg.rsp);
    const stack = this.request.stackBytes[index]!;
    if (stack > 0) out.groupImmediate(true, Group.sub, Reg.rsp, stack);
    out.push(Reg.rax);
    for (const register of SAVED) out.push(register);
    // Calls need rsp on a multiple of 16: return address, rbp, counter and four registers are 7 words.
    if ((stack / 8) % 2 === 0) out.groupImmediate(true, Group.sub, Reg.rsp, 8);
  }

  private restore(): void {
    const out = this.out,
      stack = this.request.stackBytes[this.function]!;
    SAVED.forEach((register, i) => out.load(8, false, register, Reg.rbp, -stack - 16 - 8 * i));
  }

  private instruction(i: number): void {
    const { code } = this.request,
      out = this.out;
    if (code.dst[i]! >= X.length || code.src[i]! >= X.length) return this.unsupported(i);
    const op = code.opcode[i]!,
      dst = X[code.dst[i]!]!,
      src = X[code.src[i]!]!,
      offset = code.offset[i]!,
      imm = code.imm[i]!;
    switch (op & 7) {
      case 4:
      case 7:
        return this.alu(i, op, dst, src, offset, imm);
      case 0:
        if (op !== LD_IMM64 || code.src[i] !== Pseudo.None || i + 1 >= code.length) return this.unsupported(i);
        return out.moveImmediate(dst, code.imm64(i));
      case 1:
        return out.load(bytesOf(op), (op & 0xe0) === 0x80, dst, src, offset);
      case 2:
        return out.storeImmediate(bytesOf(op), imm, dst, offset);
      case 3:
        if ((op & 0xe0) === 0xc0) return this.atomic(i, bytesOf(op) === 8, dst, src, offset, imm);
        return out.store(bytesOf(op), src, dst, offset);
    }
    if (op === EXIT) {
      this.restore();
      out.leave();
      out.ret();
      return;
    }
    if (op === JA) return this.jumpTo(i, out.jump(), i + 1 + offset);
    if (op === JA_LONG) return this.jumpTo(i, out.jump(), i + 1 + imm);
    if (op === CALL) return this.call(i, code.src[i]!, imm);
    const kind = op & 0xf0,
      wide = (op & 7) === 5,
      fromRegister = (op & 8) !== 0;
    if (CONDITION[kind] === undefined) return this.unsupported(i);
    if (kind === 0x40) {
      if (fromRegister) out.test(wide, dst, src);
      else out.testImmediate(wide, dst, imm);
    } else if (fromRegister) out.group(wide, Group.cmp, dst, src);
    else out.groupImmediate(wide, Group.cmp, dst, imm);
    this.jumpTo(i, out.jumpIf(CONDITION[kind]!), i + 1 + offset);
  }

  private jumpTo(from: number, at: number, slot: number): void {
    if (slot < 0) this.unsupported(from);
    this.fixups.push({ at, slot, from });
  }
  private unsupported(i: number): never {
    throw new BpfError(
      "jit-unsupported",
      { instruction: i },
      `opcode ${hex(this.request.code.opcode[i]!)} cannot be compiled; was the program verified and linked?`,
    );
  }

  private alu(i: number, op: number, dst: number, src: number, offset: number, imm: number): void {
    const out = this.out,
      wide = (op & 7) === 7,
      fromRegister = (op & 8) !== 0,
      kind = op & 0xf0;
    switch (kind) {
      case 0x00:
      case 0x10:
      case 0x40:
      case 0x50:
      case 0xa0:
        return fromRegister
          ? out.group(wide, GROUP[kind]!, dst, src)
          : out.groupImmediate(wide, GROUP[kind]!, dst, imm);
      case 0x20:
        return fromRegister ? out.multiply(wide, dst, src) : out.multiplyImmediate(wide, dst, imm);
      case 0x30:
      case 0x90:
        return this.divide(wide, offset === 1, kind === 0x90, dst, fromRegister ? src : undefined, imm);
      case 0x60:
      case 0x70:
      case 0xc0: {
        // A 32-bit shift clears the upper half on x86 as well, by a count of 0 too.
        if (!fromRegister) return out.shiftImmediate(wide, SHIFT[kind]!, dst, imm);
        return this.shiftByRegister(wide, SHIFT[kind]!, dst, src);
      }
      case 0x80:
        return out.negate(wide, dst);
      case 0xb0:
        if (!fromRegister) return out.moveImmediate(dst, wide ? BigInt(imm) : BigInt(imm >>> 0));
        if (offset !== 0) return out.signExtend(wide, offset, dst, src);
        return out.move(wide, dst, src);
      case 0xd0:
        return this.byteOrder(wide || fromRegister, dst, imm);
      default:
        return this.unsupported(i);
    }
  }

  private byteOrder(swap: boolean, dst: number, bits: number): void {
    const out = this.out;
    if (bits === 64) {
      if (swap) out.swapBytes(true, dst);
    } else if (bits === 32) {
      if (swap) out.swapBytes(false, dst);
      else out.move(false, dst, dst);
    } else {
      if (swap) out.swapBytes16(dst);
      out.zeroExtend16(dst, dst);
    }
  }

  private shiftByRegister(wide: boolean, digit: number, dst: number, src: number): void {
    const out = this.out;
    // The count must be in cl, which holds eBPF r4.
    if (dst === Reg.rcx) {
      out.move(true, SCRATCH, Reg.rcx);
      out.move(true, Reg.rcx, src);
      out.shift(wide, digit, SCRATCH);
      out.move(true, Reg.rcx, SCRATCH);
      return;
    }
    if (src !== Reg.rcx) {
      out.move(true, SCRATCH, Reg.rcx);
      out.move(true, Reg.rcx, src);
    }
    out.shift(wide, digit, dst);
    if (src !== Reg.rcx) out.move(true, Reg.rcx, SCRATCH);
  }

  /** rdx:rax / divisor with rax and rdx kept for the program; 0 and -1 as divisors do not reach the instruction. */
  private divide(
    wide: boolean,
    signed: boolean,
    modulo: boolean,
    dst: number,
    src: number | undefined,
    imm: number,
  ): void {
    const out = this.out;
    if (src === undefined) out.moveImmediate(SCRATCH, wide ? BigInt(imm) : BigInt(imm >>> 0));
    else out.move(wide, SCRATCH, src);
    if (dst !== Reg.rax) out.push(Reg.rax);
    if (dst !== Reg.rdx) out.push(Reg.rdx);
    if (dst !== Reg.rax) out.move(wide, Reg.rax, dst);
    else if (!wide) out.move(false, Reg.rax, Reg.rax);
    // From here: dividend in rax, divisor in r11, result goes to r10.
    const ends: number[] = [];
    out.test(wide, SCRATCH, SCRATCH);
    const notZero = out.jumpIfShort(Condition.notEqual);
    if (modulo) out.move(wide, SECOND, Reg.rax);
    else out.moveImmediate(SECOND, 0n);
    ends.push(out.jumpShort());
    out.landShort(notZero);
    if (signed) {
      out.groupImmediate(wide, Group.cmp, SCRATCH, -1);
      const other = out.jumpIfShort(Condition.notEqual);
      // x / -1 is -x, which leaves the smallest number as it is; the instruction would trap on it.
      if (modulo) out.moveImmediate(SECOND, 0n);
      else {
        out.move(wide, SECOND, Reg.rax);
        out.negate(wide, SECOND);
      }
      ends.push(out.jumpShort());
      out.landShort(other);
      out.signIntoRdx(wide);
    } else out.moveImmediate(Reg.rdx, 0n);
    out.divide(wide, signed, SCRATCH);
    out.move(wide, SECOND, modulo ? Reg.rdx : Reg.rax);
    for (const end of ends) out.landShort(end);
    if (dst !== Reg.rdx) out.pop(Reg.rdx);
    if (dst !== Reg.rax) out.pop(Reg.rax);
    out.move(true, dst, SECOND);
  }

  private atomic(i: number, wide: boolean, dst: number, src: number, offset: number, operation: number): void {
    const out = this.out,
      zero = (register: number): void => {
        if (!wide) out.move(false, register, register);
      };
    switch (operation) {
      case 0x00:
      case 0x40:
      case 0x50:
      case 0xa0:
        return out.lockGroup(wide, GROUP[operation]!, src, dst, offset);
      // Add with fetch and exchange write their register with 32 or 64 bits, which also clears the upper half.
      case 0x01:
        return out.lockExchangeAdd(wide, src, dst, offset);
      case 0xe1:
        return out.exchangeMemory(wide, src, dst, offset);
      // When the comparison succeeds x86 does not write eax: its upper half would stay.
      case 0xf1:
        out.lockCompareExchange(wide, src, dst, offset);
        return zero(Reg.rax);
      case 0x41:
      case 0x51:
      case 0xa1: {
        // No such instruction with the old value: compare and exchange until nothing came between.
        const base = dst === Reg.rax ? Reg.r12 : dst,
          value = src === Reg.rax ? SECOND : src;
        if (base === Reg.r12) {
          out.push(Reg.r12);
          out.move(true, Reg.r12, Reg.rax);
        }
        if (value === SECOND) out.move(true, SECOND, Reg.rax);
        out.push(Reg.rax);
        out.load(wide ? 8 : 4, false, Reg.rax, base, offset);
        const again = out.length;
        out.move(true, SCRATCH, Reg.rax);
        out.group(wide, GROUP[operation & 0xf0]!, SCRATCH, value);
        out.lockCompareExchange(wide, SCRATCH, base, offset);
        out.jumpIf(Condition.notEqual, again - out.length - 6);
        out.move(wide, SCRATCH, Reg.rax);
        out.pop(Reg.rax);
        if (base === Reg.r12) out.pop(Reg.r12);
        return out.move(true, src, SCRATCH);
      }
      default:
        return this.unsupported(i);
    }
  }

  private call(i: number, kind: number, imm: number): void {
    const out = this.out,
      stack = this.request.stackBytes[this.function]!;
    if (kind === CallKind.Local) {
      out.load(8, false, Reg.rax, Reg.rbp, -stack - 8);
      const index = this.request.functions.indexOf(i + 1 + imm);
      if (index < 0) return this.unsupported(i);
      this.fixups.push({ at: out.call(), slot: -index - 1, from: i });
      return;
    }
    if (kind !== CallKind.Helper) return this.unsupported(i);
    if (imm === TAIL_CALL_HELPER) return this.tailCall(stack);
    const target = this.request.helperAddress(imm);
    if (target === undefined) return this.unsupported(i);
    const distance = target - (this.request.address + BigInt(out.length + 5));
    if (distance === BigInt.asIntN(32, distance)) out.call(Number(distance));
    else {
      out.moveImmediate(Reg.rax, target);
      out.callRegister(Reg.rax);
    }
  }

  /** rdi context, rsi prog array, edx index: on to the program there, this frame gone; or past it. */
  private tailCall(stack: number): void {
    const out = this.out,
      { count, slots } = this.request.progArray ?? { count: 0, slots: 8 };
    const misses: number[] = [];
    out.compareMemory(false, Reg.rdx, Reg.rsi, count); // count <= index
    misses.push(out.jumpIf(Condition.belowEqual));
    out.groupMemoryImmediate(false, Group.cmp, Reg.rbp, -stack - 8, TAIL_CALLS);
    misses.push(out.jumpIf(Condition.aboveEqual));
    out.move(false, Reg.rdx, Reg.rdx);
    out.shiftImmediate(true, Shift.shl, Reg.rdx, 3);
    out.group(true, Group.add, Reg.rdx, Reg.rsi);
    out.load(8, false, SCRATCH, Reg.rdx, slots);
    out.test(true, SCRATCH, SCRATCH);
    misses.push(out.jumpIf(Condition.equal));
    out.load(8, false, Reg.rax, Reg.rbp, -stack - 8);
    out.groupImmediate(true, Group.add, Reg.rax, 1);
    this.restore();
    out.leave();
    out.groupImmediate(true, Group.add, SCRATCH, TAIL_CALL_SKIP);
    out.jumpRegister(SCRATCH);
    for (const at of misses) out.patch(at, out.length - at - 4);
  }
}
