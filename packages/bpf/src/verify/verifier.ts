/**
 * Follows every path of a program with what is known of registers and stack, and refuses the program at the first
 * instruction that some path could not be allowed to execute. What it accepts never faults and never reads what it did
 * not write.
 */
import { BpfError, type VerifierErrorCode } from "../errors.js";
import { helperPrototype } from "../helpers/prototypes.js";
import type { Code } from "../isa/code.js";
import { disassembleOne } from "../isa/disassemble.js";
import { CALL, EXIT, isAlu, isConditional, JA, JA_LONG, LD_IMM64, Pseudo, bytesOf } from "../isa/opcode.js";
import type { MapDefinition, ProgramType } from "../object/program-type.js";
import type { SourceLine } from "../object/read-object.js";
import { atomic, load, store } from "./access.js";
import { arithmetic } from "./arithmetic.js";
import { branch } from "./branches.js";
import { call, leaveLocal } from "./calls.js";
import { covers, unchanged } from "./compare.js";
import { contextShape } from "./context.js";
import { analyseFlow, type Flow } from "./flow.js";
import { analyseLiveness, type Liveness } from "./liveness.js";
import { constant, isPointer, pointer } from "./register.js";
import { Frame, STACK_BYTES, State, stateText } from "./state.js";
import { type RunningStatistics, summaryLine, type VerifyStatistics } from "./statistics.js";
import { readRegister, type Walk, writeRegister } from "./walk.js";

/** Most instructions followed, over all paths. @source Linux, include/linux/bpf.h, BPF_COMPLEXITY_LIMIT_INSNS */
export const COMPLEXITY_LIMIT = 1_000_000;
/** Most branches waiting. @source Linux, kernel/bpf/verifier.c, BPF_COMPLEXITY_LIMIT_JMP_SEQ */
const MOST_WAITING = 8192;
/** No pointer field: outside what an offset field can hold. */
const NO_WORD = 0x10000;

/** A program to be verified, and what it may count on. */
export interface VerifyRequest {
  readonly code: Code;
  readonly type: ProgramType;
  readonly maps: readonly MapDefinition[];
  readonly lines?: ReadonlyMap<number, SourceLine>;
  /** Addresses may become numbers. Default: true, as for programs that root loads. */
  readonly privileged?: boolean;
  /**
   * Stack that was never written may be read, as Linux 6.5 allows to privileged programs; what is read is then whatever
   * lies there. Default: false.
   */
  readonly staleStack?: boolean;
  /** Lines of the log: none, or all. Default: none. */
  readonly log?: boolean;
  /** Instructions to follow at most; default {@link COMPLEXITY_LIMIT}. */
  readonly limit?: number;
  /** Bytes of the context, for programs of type syscall. */
  readonly contextBytes?: number;
  /** Tests: compare numbers even where they decide nothing, so that every recorded state bounds the machine. */
  readonly strictPruning?: boolean;
  /** Tests: called with each state, before its instruction is followed. */
  readonly visit?: (at: number, state: State) => void;
}
/** A program of which every path was followed: it never faults and never reads what it did not write. */
export interface Verified {
  /**
   * As given, but: context pointers are loaded from the kernel's words, code that no path reaches is a loop to itself.
   */
  readonly code: Code;
  /** First slots of the functions, ascending. */
  readonly functions: readonly number[];
  /** Stack bytes of each function, multiples of 8, in the order of `functions`. */
  readonly stackBytes: readonly number[];
  /** Slots that some path reached. */
  readonly reached: Uint8Array;
  readonly log: readonly string[];
  readonly statistics: VerifyStatistics;
  readonly liveness: Liveness;
}

/** A visited state with the count of ways on from it that are not yet followed to their end. */
interface Node {
  readonly state: State | undefined;
  open: number;
  readonly parent: Node | undefined;
  hits: number;
  misses: number;
}
interface Waiting {
  readonly state: State;
  readonly at: number;
  readonly from: number;
  readonly node: Node;
}

/** @throws BpfError with a code of VerifierErrorCode, its `log` filled */
export function verify(request: VerifyRequest): Verified {
  return new Verifier(request).run();
}

class Verifier implements Walk {
  readonly code: Code;
  readonly maps: readonly MapDefinition[];
  readonly shape;
  readonly type: ProgramType;
  readonly privileged: boolean;
  readonly staleStack: boolean;
  at = 0;
  state: State;
  private ids = 0;
  private readonly log: string[] = [];
  private readonly lines: ReadonlyMap<number, SourceLine>;
  private readonly deepest = new Map<number, number>();
  /** 0 not yet, 1 context, 2 other; and the context word that stands for a pointer field. */
  private readonly throughKind: Uint8Array;
  private readonly word: Int32Array;
  private flow!: Flow;
  private liveness!: Liveness;
  private shownLine: SourceLine | undefined;
  private readonly statistics: RunningStatistics;

  constructor(private readonly request: VerifyRequest) {
    this.code = request.code;
    this.maps = request.maps;
    this.statistics = {
      processed: 0,
      limit: request.limit ?? COMPLEXITY_LIMIT,
      mostStates: 0,
      states: 0,
      kept: 0,
      mostKept: 0,
      waiting: 0,
    };
    this.type = request.type;
    const shape = contextShape(request.type);
    const bytes = request.type === "syscall" ? (request.contextBytes ?? 0) : shape.bytes;
    this.shape =
      bytes === shape.bytes
        ? shape
        : {
            ...shape,
            bytes,
            kernelBytes: bytes,
            allows: (offset: number, size: number) => offset >= 0 && offset + size <= bytes,
          };
    this.privileged = request.privileged ?? true;
    this.staleStack = this.privileged && (request.staleStack ?? false);
    this.lines = request.lines ?? new Map();
    this.throughKind = new Uint8Array(request.code.length);
    this.word = new Int32Array(request.code.length).fill(NO_WORD);
    this.state = new State([Frame.enter(0, -1, 0)]);
    this.state.top.registers[1] = pointer("ctx");
  }

  fresh(): number {
    return ++this.ids;
  }

  reject(code: VerifierErrorCode, detail: string): never {
    const source = this.lineOf(this.at);
    if (this.request.log) this.log.push(detail, summaryLine(this.statistics));
    const error = new BpfError(
      code,
      { instruction: this.at, ...(source ? { source: `${source.file}:${source.line}: ${source.text}` } : {}) },
      detail,
    );
    error.log = this.log;
    throw error;
  }

  deepen(frame: number, offset: number): void {
    const start = this.state.frames[frame]!.start;
    if (offset < (this.deepest.get(start) ?? 0)) this.deepest.set(start, offset);
  }

  through(kind: "context" | "other", pointerWord = NO_WORD): void {
    const now = kind === "context" ? 1 : 2,
      old = this.throughKind[this.at]!;
    if (old !== 0 && (old !== now || this.word[this.at] !== pointerWord))
      this.reject(
        "verify-mixed-pointers",
        "same insn cannot be used with different pointers: context on one path, other memory on another",
      );
    this.throughKind[this.at] = now;
    this.word[this.at] = pointerWord;
  }

  private lineOf(at: number): SourceLine | undefined {
    const start = this.flow ? this.flow.functionOf(at) : 0;
    for (let i = at; i >= start; i--) {
      const line = this.lines.get(i);
      if (line) return line;
    }
    return undefined;
  }

  run(): Verified {
    const code = this.code;
    this.flow = analyseFlow(
      code,
      (slot) => !disassembleOne(code, slot).startsWith(".slot"),
      (kind, at, detail) => {
        this.at = at;
        return this.reject(kind, detail);
      },
    );
    this.liveness = analyseLiveness(code, this.shape.result !== undefined, this.flow.functionOf);
    const count = this.statistics,
      { limit } = count;
    const visited = new Map<number, Node[]>(),
      reached = new Uint8Array(code.length);
    const waiting: Waiting[] = [];
    let node: Node = { state: undefined, open: 1, parent: undefined, hits: 0, misses: 0 };
    let sinceState = 0;
    if (this.request.log) this.log.push(`0: ${stateText(this.state, this.maps)}`);
    for (;;) {
      let goOn = true;
      if (++count.processed > limit)
        this.reject("verify-too-complex", `BPF program is too large. Processed ${count.processed} insn`);
      if (this.flow.meets[this.at]) {
        const list = visited.get(this.at) ?? [];
        let done = false;
        for (let i = list.length - 1; i >= 0 && !done; i--) {
          const old = list[i]!;
          // Ways are followed depth first: a state with open ways lies on the path that leads here.
          if (old.open > 0) {
            if (unchanged(old.state!, this.state, this.at, this.liveness))
              this.reject("verify-infinite-loop", `infinite loop detected at insn ${this.at}`);
          } else if (covers(old.state!, this.state, this.at, this.liveness, !this.request.strictPruning)) {
            done = true;
            old.hits++;
            continue;
          }
          // A state that never covers another only costs comparisons.
          if (++old.misses > old.hits * 3 + 32 && old.open === 0) {
            list.splice(i, 1);
            count.kept--;
          }
        }
        if (done) goOn = false;
        else if (sinceState >= 8 || list.length < 4) {
          node = { state: this.state.copy(), open: 1, parent: node, hits: 0, misses: 0 };
          list.push(node);
          visited.set(this.at, list);
          count.states++;
          count.mostKept = Math.max(count.mostKept, ++count.kept);
          count.mostStates = Math.max(count.mostStates, list.length);
          sinceState = 0;
        }
      }
      if (goOn) {
        sinceState++;
        reached[this.at] = 1;
        this.request.visit?.(this.at, this.state.copy());
        const before = this.request.log ? this.state.copy() : undefined,
          at = this.at;
        if (this.request.log) this.showLine();
        const next = this.step((state, target) => {
          node.open++;
          waiting.push({ state, at: target, from: at, node });
          count.waiting = Math.max(count.waiting, waiting.length);
          if (waiting.length > MOST_WAITING)
            this.reject("verify-too-many-branches", `The sequence of ${waiting.length} jumps is too complex.`);
        });
        if (before) this.show(at, before);
        if (next !== undefined) {
          this.at = next;
          continue;
        }
      }
      if (this.request.log && !goOn) this.log.push(`${this.at}: safe`);
      for (let n: Node | undefined = node; n && --n.open === 0;) n = n.parent;
      const other = waiting.pop();
      if (!other) break;
      this.state = other.state;
      this.at = other.at;
      node = other.node;
      this.shownLine = undefined;
      if (this.request.log) this.log.push("", `from ${other.from} to ${other.at}: ${stateText(this.state, this.maps)}`);
    }
    const stackBytes = this.flow.functions.map((start) => 8 * Math.ceil(0 - (this.deepest.get(start) ?? 0) / 8));
    this.checkStackDepth(stackBytes);
    if (this.request.log) this.log.push(summaryLine(count));
    return {
      code: this.finish(reached),
      functions: this.flow.functions,
      stackBytes,
      reached,
      log: this.log,
      statistics: count,
      liveness: this.liveness,
    };
  }

  /** Follows one instruction. @returns where the path goes on, or undefined where it ends */
  private step(fork: (state: State, at: number) => void): number | undefined {
    const code = this.code,
      at = this.at,
      op = code.opcode[at]!,
      dst = code.dst[at]!,
      src = code.src[at]!,
      offset = code.offset[at]!;
    if (isAlu(op)) {
      arithmetic(this);
      return at + 1;
    }
    switch (op & 7) {
      case 0:
        this.loadImmediate();
        return at + 2;
      case 1: {
        const base = readRegister(this, src);
        writeRegister(this, dst, load(this, src, base, offset, bytesOf(op), (op & 0xe0) === 0x80));
        return at + 1;
      }
      case 2:
        store(this, dst, readRegister(this, dst), offset, bytesOf(op), constant(BigInt(code.imm[at]!)));
        return at + 1;
      case 3: {
        const base = readRegister(this, dst),
          value = readRegister(this, src);
        if ((op & 0xe0) !== 0xc0) {
          store(this, dst, base, offset, bytesOf(op), value);
          return at + 1;
        }
        this.stepAtomic();
        return at + 1;
      }
    }
    if (op === JA) return at + 1 + offset;
    if (op === JA_LONG) return at + 1 + code.imm[at]!;
    if (op === CALL) return call(this);
    if (op === EXIT) {
      if (this.state.frames.length > 1) return leaveLocal(this);
      this.exit();
      return undefined;
    }
    if (!isConditional(op)) return at + 1;
    const { taken, next } = branch(this);
    const target = at + 1 + offset;
    if (next) {
      if (taken) fork(taken, target);
      this.state = next;
      return at + 1;
    }
    this.state = taken!;
    return target;
  }

  private loadImmediate(): void {
    const { code, at, maps } = this,
      src = code.src[at]!,
      dst = code.dst[at]!;
    if (code.opcode[at] !== LD_IMM64)
      this.reject(
        "verify-classic-load",
        "packet loads of classic BPF are not supported; read through data and data_end",
      );
    const map = maps[code.imm[at]!];
    if (src === Pseudo.None) return writeRegister(this, dst, constant(code.imm64(at)));
    if (src === Pseudo.MapIndex) {
      if (!map) this.reject("verify-no-map", `map ${code.imm[at]} of ${maps.length} does not exist`);
      return writeRegister(this, dst, pointer("map_ptr", { map: code.imm[at]! }));
    }
    if (src !== Pseudo.MapIndexValue)
      this.reject(
        "verify-bad-load-kind",
        `a 64-bit load of kind ${src} cannot be verified: only maps of the program and their values`,
      );
    const inside = code.imm[at + 1]!;
    if (!map || map.kind !== "array" || map.entries !== 1 || inside < 0 || inside >= map.valueBytes)
      return this.reject(
        "verify-bad-map",
        `direct value pointer to offset ${inside} of map ${code.imm[at]}: only arrays of one element have one`,
      );
    writeRegister(this, dst, pointer("map_value", { map: code.imm[at]!, offset: inside }));
  }

  private stepAtomic(): void {
    const { code, at } = this,
      dst = code.dst[at]!,
      src = code.src[at]!,
      bytes = bytesOf(code.opcode[at]!),
      operation = code.imm[at]!;
    const base = readRegister(this, dst),
      value = readRegister(this, src);
    const compared = operation === 0xf1 ? readRegister(this, 0) : undefined;
    if (isPointer(value) || (compared && isPointer(compared)))
      this.reject("verify-atomic-operand", `R${isPointer(value) ? src : 0} leaks addr into mem through an atomic`);
    const old = atomic(this, dst, base, code.offset[at]!, bytes);
    if (operation === 0xf1) writeRegister(this, 0, old);
    else if ((operation & 1) !== 0) writeRegister(this, src, old);
  }

  private exit(): void {
    const result = readRegister(this, 0);
    const held = this.state.held[0];
    if (held) this.reject("verify-reference-leak", `Unreleased reference id=${held.id} alloc_insn=${held.instruction}`);
    if (isPointer(result) && !this.privileged) this.reject("verify-leak-returned", "R0 leaks addr as return value");
    const range = this.shape.result;
    if (range && (isPointer(result) || result.number.smin < range[0] || result.number.smax > range[1])) {
      this.reject(
        "verify-return-value",
        `At program exit the register R0 has a value outside [${range[0]}, ${range[1]}]`,
      );
    }
  }

  /** Stack of every chain of calls, each frame rounded to 32 bytes. @source Linux, check_max_stack_depth */
  private checkStackDepth(stackBytes: readonly number[]): void {
    const { code, flow } = this,
      depth = new Map<number, number>();
    const below = (index: number, chain: number): number => {
      const known = depth.get(index);
      if (known !== undefined || chain > 8) return known ?? 0;
      let most = 0;
      for (let i = flow.functions[index]!; i < (flow.functions[index + 1] ?? code.length); i++) {
        if (code.opcode[i] === LD_IMM64) {
          i++;
          continue;
        }
        if (code.opcode[i] === CALL && code.src[i] === 1)
          most = Math.max(most, below(flow.functions.indexOf(i + 1 + code.imm[i]!), chain + 1));
      }
      const own = Math.max(32, Math.ceil(stackBytes[index]! / 32) * 32) + most;
      depth.set(index, own);
      return own;
    };
    const total = below(0, 0);
    this.at = 0;
    if (total > STACK_BYTES)
      this.reject(
        "verify-stack-depth",
        `combined stack size of the call chain is ${total}. Too large, ${STACK_BYTES} at most`,
      );
  }

  private finish(reached: Uint8Array): Code {
    const out = this.code.slice();
    for (let i = 0; i < out.length; i++) {
      const wide = out.opcode[i] === LD_IMM64;
      if (!reached[i]) {
        out.set(i, JA, 0, 0, -1, 0);
        if (wide) out.set(++i, JA, 0, 0, -1, 0);
        continue;
      }
      if (this.throughKind[i] === 1 && this.word[i] !== NO_WORD)
        out.set(i, 0x79, out.dst[i]!, out.src[i]!, this.word[i]!, 0);
      if (wide) i++;
    }
    return out;
  }

  private showLine(): void {
    const line = this.lines.get(this.at);
    if (line && line !== this.shownLine) this.log.push(`; ${line.text}`);
    this.shownLine = line ?? this.shownLine;
  }

  private show(at: number, before: State): void {
    const text = `${at}: (${this.code.opcode[at]!.toString(16).padStart(2, "0")}) ${inKernelsWords(disassembleOne(this.code, at))}`;
    const change = stateText(this.state, this.maps, before);
    this.log.push(change === "" ? text : `${text.padEnd(40)} ; ${change}`);
  }
}

/**
 * The kernel's log names helpers and writes distances from the instruction pointer, where listings of objects do not.
 */
function inKernelsWords(text: string): string {
  return text.replace(/\b(gotol?) ([+-]\d+)$/, "$1 pc$2").replace(/^call (\d+)$/, (whole, id: string) => {
    const name = helperPrototype(Number(id))?.name;
    return name === undefined ? whole : `call bpf_${name}#${id}`;
  });
}
