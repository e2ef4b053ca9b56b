/**
 * Executes eBPF instruction by instruction on a {@link BpfMemory}. It checks what a machine would check and no more: a
 * wrong address faults, a wrong opcode traps; that a program cannot do either is the verifier's promise.
 *
 * Registers are pairs of 32-bit halves (0 .. 10 the program's, 11 the second operand at hand). The loop allocates
 * nothing; helper calls go through bigint, being cold beside the work of a helper.
 *
 * @source RFC 9669; limits of call depth (8), stack (512 bytes a frame) and tail calls (33): Linux, include/linux/bpf.h
 */
import { alu32, alu64, byteOrder, jumps } from "./isa/alu.js";
import type { Code } from "./isa/code.js";
import { bytesOf } from "./isa/opcode.js";
import type { BpfMemory } from "./memory.js";

const FRAMES = 8,
  FRAME_BYTES = 512,
  TAIL_CALLS = 33,
  OPERAND = 11,
  FRAME_POINTER = 10;
const TAIL_CALL_HELPER = 12;

/** How a run ended. */
export enum Outcome {
  /** The program returned; r0 holds its value. */
  Exit,
  /** An access to memory that is not mapped or not writable; `pc` is the instruction. */
  Fault,
  /** An opcode, register or helper that does not exist. */
  Illegal,
  /** The budget of instructions is used up. */
  Budget,
  /** A ninth call frame. */
  CallDepth,
}

/** What helpers can reach, and how programs reach each other. */
export interface Environment {
  /** @returns r0, or undefined when there is no such helper */
  helper(id: number, r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint): bigint | undefined;
  /** Program in `slot` of the prog array whose handle is `map`, or undefined. */
  tailTarget(map: bigint, slot: number): Code | undefined;
}

/** An environment with no helper and no other program. */
export const emptyEnvironment: Environment = { helper: () => undefined, tailTarget: () => undefined };

/**
 * Executes eBPF instruction by instruction on a {@link BpfMemory}; its loop allocates nothing. A wrong address faults,
 * a wrong opcode traps.
 * @source RFC 9669
 */
export class Interpreter {
  readonly lo = new Int32Array(12);
  readonly hi = new Int32Array(12);
  /** Instruction at hand; after a run, the one that ended it. */
  pc = 0;
  /** Instructions executed by the last run. */
  executed = 0;
  /** Call frames above the entry frame. */
  depth = 0;
  /** Called before each instruction when set: tests compare the state with what the verifier promised. */
  observer: ((code: Code, pc: number) => void) | undefined = undefined;
  /** Address of the stack: {@link FRAMES} frames of 512 bytes, the entry frame highest. */
  readonly stack: bigint;
  private readonly savedLo = new Int32Array(FRAMES * 5);
  private readonly savedHi = new Int32Array(FRAMES * 5);
  private readonly returnTo = new Int32Array(FRAMES);

  /**
   * @param garbage what registers hold that a program may not read, entry and after calls: two runs of an accepted
   * program with different garbage end alike
   */
  constructor(
    readonly memory: BpfMemory,
    private readonly environment: Environment = emptyEnvironment,
    private garbage = 0x6b6b_6b6b,
  ) {
    this.stack = memory.allocate(FRAMES * FRAME_BYTES, "bpf stack");
  }

  /** Gives the stack back; the interpreter may not run again. */
  dispose(): void {
    this.memory.release(this.stack);
  }

  /** r0 after {@link Outcome.Exit}, unsigned. */
  get result(): bigint {
    return this.register(0);
  }

  /** Register 0 .. 10 as unsigned 64 bits. */
  register(index: number): bigint {
    return (BigInt(this.hi[index]! >>> 0) << 32n) | BigInt(this.lo[index]! >>> 0);
  }

  /**
   * Runs from slot `entry`.
   *
   * @param context value of r1
   * @param budget most instructions to execute
   */
  run(code: Code, context: bigint, budget = 1_000_000, entry = 0): Outcome {
    const lo = this.lo,
      hi = this.hi,
      memory = this.memory;
    for (let r = 0; r < 12; r++) this.poison(r);
    setRegister(lo, hi, 1, context);
    setRegister(lo, hi, FRAME_POINTER, this.stack + BigInt(FRAMES * FRAME_BYTES));
    this.depth = 0;
    let tailCalls = 0,
      pc = entry,
      executed = 0;
    // In locals: a field of a field costs two loads an instruction.
    let { opcode: opcodes, dst: dsts, src: srcs, offset: offsets, imm: imms, length } = code;
    const observer = this.observer;
    for (;;) {
      if (executed >= budget) return this.end(Outcome.Budget, pc, executed);
      if (pc < 0 || pc >= length) return this.end(Outcome.Illegal, pc, executed);
      if (observer !== undefined) observer(code, pc);
      executed++;
      const op = opcodes[pc]!,
        dst = dsts[pc]!,
        src = srcs[pc]!,
        offset = offsets[pc]!,
        imm = imms[pc]!;
      if (dst > FRAME_POINTER || src > FRAME_POINTER) return this.end(Outcome.Illegal, pc, executed);
      const kind = op & 0xf0;
      switch (op & 7) {
        case 7: // ALU64
          if (kind === 0xd0) byteOrder(lo, hi, dst, imm, true);
          else if ((op & 8) !== 0) alu64(lo, hi, dst, kind, offset, lo[src]!, hi[src]!);
          else alu64(lo, hi, dst, kind, offset, imm, imm >> 31);
          pc++;
          break;
        case 4: // ALU
          if (kind === 0xd0) byteOrder(lo, hi, dst, imm, (op & 8) !== 0);
          else alu32(lo, hi, dst, kind, offset, (op & 8) !== 0 ? lo[src]! : imm);
          pc++;
          break;
        case 5: // JMP
          if (kind === 0x00) {
            pc += 1 + offset;
            break;
          }
          if (kind === 0x90) {
            if (this.depth === 0) return this.end(Outcome.Exit, pc, executed);
            pc = this.leave();
            break;
          }
          if (kind === 0x80) {
            if (src === 1) {
              if (this.depth === FRAMES - 1) return this.end(Outcome.CallDepth, pc, executed);
              this.enter(pc + 1);
              pc += 1 + imm;
              break;
            }
            if (src !== 0) return this.end(Outcome.Illegal, pc, executed);
            if (imm === TAIL_CALL_HELPER) {
              const target =
                tailCalls < TAIL_CALLS ? this.environment.tailTarget(this.register(2), lo[3]! >>> 0) : undefined;
              if (target) {
                tailCalls++;
                code = target;
                ({ opcode: opcodes, dst: dsts, src: srcs, offset: offsets, imm: imms, length } = code);
                pc = 0;
                break;
              }
              for (let r = 0; r <= 5; r++) this.poison(r);
              pc++;
              break;
            }
            const value = this.environment.helper(
              imm,
              this.register(1),
              this.register(2),
              this.register(3),
              this.register(4),
              this.register(5),
            );
            if (value === undefined) return this.end(Outcome.Illegal, pc, executed);
            for (let r = 1; r <= 5; r++) this.poison(r);
            setRegister(lo, hi, 0, value);
            pc++;
            break;
          }
          pc += jumps(kind, lo[dst]!, hi[dst]!, (op & 8) !== 0 ? lo[src]! : imm, (op & 8) !== 0 ? hi[src]! : imm >> 31)
            ? 1 + offset
            : 1;
          break;
        case 6: {
          // JMP32: the sign bits make the 64-bit comparison of the low halves right, signed and unsigned
          if (kind === 0x00) {
            pc += 1 + imm;
            break;
          }
          const a = lo[dst]!,
            b = (op & 8) !== 0 ? lo[src]! : imm;
          pc += jumps(kind, a, a >> 31, b, b >> 31) ? 1 + offset : 1;
          break;
        }
        case 1: {
          // LDX
          const base = lo[src]! >>> 0,
            low = base + offset,
            size = bytesOf(op);
          if (!memory.load((hi[src]! + Math.floor(low / 4294967296)) | 0, low | 0, size))
            return this.end(Outcome.Fault, pc, executed);
          const sign = (op & 0xe0) === 0x80;
          lo[dst] = sign && size < 4 ? (memory.lo << (32 - 8 * size)) >> (32 - 8 * size) : memory.lo;
          hi[dst] = sign ? lo[dst]! >> 31 : memory.hi;
          pc++;
          break;
        }
        case 2: // ST
        case 3: {
          // STX
          const base = lo[dst]! >>> 0,
            low = base + offset,
            size = bytesOf(op);
          const addressHi = (hi[dst]! + Math.floor(low / 4294967296)) | 0,
            addressLo = low | 0;
          if ((op & 7) === 3 && (op & 0xe0) === 0xc0) {
            if (!this.atomic(addressHi, addressLo, size, src, imm)) return this.end(Outcome.Fault, pc, executed);
          } else if (
            (op & 7) === 3
              ? !memory.store(addressHi, addressLo, size, hi[src]!, lo[src]!)
              : !memory.store(addressHi, addressLo, size, imm >> 31, imm)
          ) {
            return this.end(Outcome.Fault, pc, executed);
          }
          pc++;
          break;
        }
        default: // LD
          if (op !== 0x18 || pc + 1 >= length) return this.end(Outcome.Illegal, pc, executed);
          lo[dst] = imm;
          hi[dst] = imms[pc + 1]!;
          pc += 2;
      }
    }
  }

  private end(outcome: Outcome, pc: number, executed: number): Outcome {
    this.pc = pc;
    this.executed = executed;
    return outcome;
  }

  /** Read, change, write; one CPU runs at a time, so nothing can come between. */
  private atomic(addressHi: number, addressLo: number, bytes: number, src: number, operation: number): boolean {
    const memory = this.memory,
      lo = this.lo,
      hi = this.hi;
    if (!memory.load(addressHi, addressLo, bytes)) return false;
    const oldLo = memory.lo,
      oldHi = memory.hi;
    let store = true;
    if (operation === 0xf1) {
      store = lo[0] === oldLo && (bytes === 4 || hi[0] === oldHi);
      lo[OPERAND] = lo[src]!;
      hi[OPERAND] = hi[src]!;
    } else if (operation === 0xe1) {
      lo[OPERAND] = lo[src]!;
      hi[OPERAND] = hi[src]!;
    } else {
      lo[OPERAND] = oldLo;
      hi[OPERAND] = oldHi;
      alu64(lo, hi, OPERAND, operation & 0xf0, 0, lo[src]!, hi[src]!);
    }
    // x86 writes the old value back when the comparison fails; a page that is not writable faults either way.
    if (!memory.store(addressHi, addressLo, bytes, store ? hi[OPERAND]! : oldHi, store ? lo[OPERAND]! : oldLo))
      return false;
    const into = operation === 0xf1 ? 0 : (operation & 1) !== 0 ? src : -1;
    if (into >= 0) {
      lo[into] = oldLo;
      hi[into] = bytes === 4 ? 0 : oldHi;
    }
    return true;
  }

  private enter(returnTo: number): void {
    const at = this.depth * 5;
    this.returnTo[this.depth] = returnTo;
    for (let r = 6; r <= FRAME_POINTER; r++) {
      this.savedLo[at + r - 6] = this.lo[r]!;
      this.savedHi[at + r - 6] = this.hi[r]!;
    }
    for (let r = 6; r < FRAME_POINTER; r++) this.poison(r);
    this.depth++;
    setRegister(this.lo, this.hi, FRAME_POINTER, this.stack + BigInt((FRAMES - this.depth) * FRAME_BYTES));
  }

  private leave(): number {
    this.depth--;
    const at = this.depth * 5;
    for (let r = 6; r <= FRAME_POINTER; r++) {
      this.lo[r] = this.savedLo[at + r - 6]!;
      this.hi[r] = this.savedHi[at + r - 6]!;
    }
    for (let r = 1; r <= 5; r++) this.poison(r);
    return this.returnTo[this.depth]!;
  }

  /** A step of a 32-bit linear congruential generator: garbage, but the same garbage for the same seed. */
  private poison(register: number): void {
    this.garbage = (Math.imul(this.garbage, 1664525) + 1013904223) | 0;
    this.lo[register] = this.garbage;
    this.hi[register] = this.garbage ^ 0x5bd1e995;
  }
}

/** Writes 64 bits of a bigint into a register pair. */
function setRegister(lo: Int32Array, hi: Int32Array, index: number, value: bigint): void {
  lo[index] = Number(BigInt.asIntN(32, value));
  hi[index] = Number(BigInt.asIntN(32, value >> 32n));
}
