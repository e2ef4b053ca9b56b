/**
 * Runs x86-64 machine code of one CPU: finds or decodes blocks, executes them, delivers what they raise and what
 * arrives from outside. The interrupt, trap and fault order is that of the SDM; one instruction is atomic.
 * Source: SDM vol. 3A, "Prioritization of Concurrent Events"; "Single-Step Exception Condition".
 */
import { Mnemonic } from "@kreplica/hw-x86/iced";
import { BlockCache, type Block, type CompiledCode, type CompiledFunction, Ending } from "./block.js";
import { canCompile, compile } from "./compiled/compiler.js";
import { Context, Flag, Slot } from "./context.js";
import { Cause, raise, singleStepTrap } from "./exception.js";
import type { FetchedCode } from "./fetched-code.js";
import { packFlags, setFlags } from "./flags.js";
import { REPEAT, STOPPED, type Instruction } from "./instruction.js";
import { faulted } from "./memory.js";
import { NON_CANONICAL, type CpuPort } from "./port.js";
import { refreshControl } from "./system.js";

const ENTRIES = 4096;
const FAULT_BIT = 1 << 24;
const LINE = 64;
/** Executions of a block before it is compiled, unless said otherwise. */
const OFTEN = 200;
/** No frame and no status. */
const NOTHING = -1;

/** Why {@link Interpreter.run} came back. */
export type Stop = "budget" | "halted" | "stopped" | "reached";

/** How an {@link Interpreter} works; what it does is the same. */
export interface InterpreterOptions {
  /**
   * Executions of a block after which it is compiled, where the surroundings allow that; default 200, Infinity for
   * never.
   */
  readonly compileAfter?: number;
}

/** One CPU that executes. See the head of this file. */
export class Interpreter {
  readonly context: Context;
  /** Instructions done, a repeated string instruction counting once per return to it. */
  executed = 0;
  /** Those of them that compiled code did. */
  executedCompiled = 0;
  private readonly entries: (Block | undefined)[] = new Array<Block | undefined>(ENTRIES).fill(undefined);
  /** Epoch in which the entry was translated. */
  private readonly epochs = new Int32Array(ENTRIES).fill(-1);
  private readonly singles: BlockCache;
  private synchronised = -1;
  private readonly fetched: FetchedCode | undefined;
  /** What was executed last, where fetched instructions are kept. */
  private previous: Instruction | undefined;
  /** Whether blocks executed often are compiled. */
  private readonly compiles: boolean;
  private readonly compileAfter: number;
  private readonly functions = new WeakMap<CompiledCode, CompiledFunction>();
  /** What the fetch of the block at RIP gave, when compiled code has charged it. */
  private arrived = NOTHING;
  /** Where compiled code stored to its region, in the middle of a block. */
  private stored: { readonly block: Block; readonly done: number } | undefined = undefined;

  /** @param blocks shared by all CPUs of one memory, or its own @param singles the same for single steps */
  constructor(
    readonly port: CpuPort,
    private readonly blocks: BlockCache = new BlockCache(),
    singles?: BlockCache,
    options: InterpreterOptions = {},
  ) {
    this.context = new Context(port);
    this.singles = singles ?? new BlockCache(1);
    this.fetched = port.fetched;
    this.compileAfter = options.compileAfter ?? OFTEN;
    this.compiles =
      this.compileAfter < Infinity &&
      this.fetched === undefined &&
      (!port.timed || port.charges === true) &&
      canCompile();
  }

  get rip(): bigint {
    return this.context.get(Slot.Rip);
  }
  set rip(value: bigint) {
    this.context.set(Slot.Rip, value);
  }
  get flags(): bigint {
    return BigInt(packFlags(this.context.s) >>> 0);
  }
  set flags(value: bigint) {
    setFlags(this.context, Number(BigInt.asIntN(32, value)), -1);
  }
  /** @param number 0 RAX, 1 RCX, 2 RDX, 3 RBX, 4 RSP ... 15 R15 */
  register(number: number): bigint {
    return this.context.get(2 * number);
  }
  setRegister(number: number, value: bigint): void {
    this.context.set(2 * number, value);
  }
  /** Why nothing more can be executed, after "stopped". */
  get stopReason(): string {
    return this.context.stop;
  }

  /** Tells the CPU that the port has an interrupt for it. */
  signal(): void {
    this.context.interruptLine = true;
  }
  /** Non-maskable interrupt, vector 2. */
  nonMaskable(): void {
    this.context.nonMaskable = true;
  }
  /** Delivers an exception as if the next instruction had raised it. @returns false after shutdown */
  raise(vector: number, errorCode: number): boolean {
    const s = this.context.s;
    this.synchronise();
    return raise(this.context, vector, errorCode, Cause.Fault, s[Slot.Rip]!, s[Slot.Rip + 1]!) === 0;
  }

  /**
   * Executes until the budget is used up, the CPU halts with nothing pending, or it cannot go on.
   * @param budget instructions
   * @param until "reached" is returned before the instruction at this address, if control comes to it by a transfer: a
   *   return address
   */
  run(budget: number, until?: bigint): Stop {
    const c = this.context;
    const s = c.s;
    const port = this.port;
    this.synchronise();
    const watches = until !== undefined;
    const untilLo = watches ? Number(BigInt.asIntN(32, until)) : 0;
    const untilHi = watches ? Number(BigInt.asIntN(32, until >> 32n)) : 0;
    let left = budget;
    while (left > 0) {
      if (c.stop !== "") return "stopped";
      if (c.interruptLine || c.nonMaskable || c.halted) this.events();
      if (c.stop !== "") return "stopped";
      if (c.halted) return "halted";
      if (watches && s[Slot.Rip] === untilLo && s[Slot.Rip + 1] === untilHi) return "reached";
      if (c.shadow || (s[Slot.Flags]! & Flag.Trap) !== 0) {
        this.single();
        left--;
        continue;
      }
      let block = this.find(this.blocks);
      if (block === undefined) {
        left--;
        continue;
      }
      s[Slot.Flags]! &= ~Flag.Resume;
      let k = 0;
      const compiled = this.compiles ? this.compiledFrom(block) : undefined;
      if (
        compiled !== undefined &&
        left >= block.list.length &&
        !(watches && block.compiled!.region.has(untilLo, untilHi)) &&
        this.stillHolds(block)
      ) {
        left = this.runCompiled(compiled, block, left);
        const { stored } = this;
        if (stored === undefined) continue;
        // In the middle of a block that has its bytes still: nothing is fetched anew.
        this.stored = undefined;
        block = stored.block;
        k = stored.done;
        if (left === 0 || !this.blocks.holds(port, block)) continue;
      }
      s[Slot.Rip] = block.endLo;
      s[Slot.Rip + 1] = block.endHi;
      const list = block.list;
      const before = k;
      const count = Math.min(list.length, k + left);
      while (k < count) {
        const i = list[k++]!;
        const status = i.run(c, i);
        if (status !== 0) {
          this.settle(i, status);
          break;
        }
        if (i.writes && k < list.length && !this.blocks.holds(port, block)) {
          s[Slot.Rip] = i.nextLo;
          s[Slot.Rip + 1] = i.nextHi;
          break;
        }
        if (k === count && k < list.length) {
          s[Slot.Rip] = i.nextLo;
          s[Slot.Rip + 1] = i.nextHi;
        }
      }
      this.executed += k - before;
      left -= k - before;
      port.retire(k - before);
    }
    return c.stop !== "" ? "stopped" : c.halted ? "halted" : "budget";
  }

  /** The function that executes from a block on, made when the block has been interpreted often. */
  private compiledFrom(block: Block): CompiledFunction | undefined {
    if (block.owner === this) return block.run;
    if (block.compiled === undefined) {
      if (++block.executions < this.compileAfter) return undefined;
      this.compile(block);
    }
    const { compiled } = block;
    if (!compiled || compiled.accounted !== this.port.timed) return undefined;
    let run = this.functions.get(compiled);
    if (run === undefined) {
      run = compiled.make(this.context, this.port);
      this.functions.set(compiled, run);
    }
    if (block.owner === undefined) {
      block.owner = this;
      block.run = run;
    }
    return run;
  }

  private compile(block: Block): void {
    const { port } = this;
    const compiled = compile(block, port.timed, (lo, hi) => this.blocks.known(port, block.frame, lo, hi));
    block.compiled = compiled;
    compiled?.entries.forEach((each, number) => {
      if (each.compiled) return;
      each.compiled = compiled;
      each.entry = number;
    });
  }

  /** Whether all blocks of a block's region have their bytes; if not, it is forgotten. */
  private stillHolds({ compiled, version }: Block): boolean {
    const { region } = compiled!;
    if (region.version === version) return true;
    if (region.blocks.every((block) => this.blocks.holds(this.port, block))) {
      region.version = region.blocks[0]!.version;
      return true;
    }
    for (const block of region.blocks) {
      block.regions--;
      if (block.compiled !== compiled) continue;
      block.compiled = block.owner = block.run = undefined;
      block.executions = 0;
    }
    return false;
  }

  /** @returns what is left of the budget */
  private runCompiled(run: CompiledFunction, block: Block, budget: number): number {
    const c = this.context;
    const ending = run(budget - block.list.length, block.entry);
    let { left } = c;
    const done = budget - left;
    if (ending >= 0) this.settle(block.compiled!.instructions[ending]!, c.status);
    else if (ending <= Ending.Stored) this.stored = placeOf(block.compiled!, Ending.Stored - ending);
    else if (ending === Ending.Fetched) this.arrived = c.status;
    else if (ending === Ending.LineFaulted) {
      this.fetchFault(c.status, c.s[Slot.Rip]!, c.s[Slot.Rip + 1]!);
      left--;
    }
    this.executed += done;
    this.executedCompiled += done;
    this.port.retire(done);
    return left;
  }

  /** One instruction, one iteration of a repeated one, or the delivery of one event. */
  step(): Stop {
    const c = this.context;
    this.synchronise();
    if (c.stop !== "") return "stopped";
    if ((c.interruptLine || c.nonMaskable) && this.events()) return c.stop !== "" ? "stopped" : "budget";
    if (c.halted) return "halted";
    const limit = c.repeatLimit;
    c.repeatLimit = 1;
    this.single();
    c.repeatLimit = limit;
    return c.stop !== "" ? "stopped" : c.halted ? "halted" : "budget";
  }

  /** Tells the port who is running, and learns of control registers written behind the interpreter's back. */
  private synchronise(): void {
    const c = this.context;
    this.port.synchronise?.(c.privilege, (c.s[Slot.Flags]! & Flag.Alignment) !== 0);
    if (c.epoch === this.synchronised) return;
    this.synchronised = c.epoch;
    for (const index of [0, 3, 4]) refreshControl(c, index);
  }

  /** Takes a waiting interrupt when it may be taken. @returns whether one was */
  private events(): boolean {
    const c = this.context;
    const s = c.s;
    if (c.shadow) return false;
    if (c.nonMaskable && !c.nonMaskableBlocked) {
      c.nonMaskable = false;
      c.nonMaskableBlocked = true;
      raise(c, 2, 0, Cause.External, s[Slot.Rip]!, s[Slot.Rip + 1]!);
      return true;
    }
    if (!c.interruptLine || (s[Slot.Flags]! & Flag.Interrupt) === 0) return false;
    const vector = this.port.acknowledge();
    if (vector < 0) {
      c.interruptLine = false;
      return false;
    }
    raise(c, vector, 0, Cause.External, s[Slot.Rip]!, s[Slot.Rip + 1]!);
    return true;
  }

  /**
   * One instruction, with the single-step trap after it when TF was set before it; {@link Context.stepping} says where
   * that is otherwise.
   */
  private single(): void {
    const c = this.context;
    const s = c.s;
    const trap = (s[Slot.Flags]! & Flag.Trap) !== 0;
    c.shadow = false;
    c.stepping = trap;
    const block = this.find(this.singles);
    if (block === undefined) return;
    const i = block.list[0]!;
    s[Slot.Flags]! &= ~Flag.Resume;
    s[Slot.Rip] = i.nextLo;
    s[Slot.Rip + 1] = i.nextHi;
    const limit = c.repeatLimit;
    if (trap) c.repeatLimit = 1;
    const delivered = c.deliveries;
    const status = i.run(c, i);
    if (status !== 0) this.settle(i, status);
    c.repeatLimit = limit;
    this.executed++;
    this.port.retire(1);
    if (c.stepping && c.stop === "" && c.deliveries === delivered) singleStepTrap(c);
  }

  /** After a status: RIP back on the instruction, and the fault delivered if it is one. */
  private settle(i: Instruction, status: number): void {
    const c = this.context;
    if (status === STOPPED && c.deliveries !== 0 && c.stop.startsWith("shutdown")) return;
    c.s[Slot.Rip] = i.ipLo;
    c.s[Slot.Rip + 1] = i.ipHi;
    if ((status & FAULT_BIT) === 0) {
      // Whatever interrupts a repeated instruction saves RF set (SDM vol. 3B, "Instruction-Breakpoint Exception
      // Condition").
      if (status === REPEAT) c.s[Slot.Flags]! |= Flag.Resume;
      return;
    }
    const vector = status === NON_CANONICAL && i.stack ? 12 : (status >>> 16) & 0xff;
    raise(c, vector, status & 0xffff, Cause.Fault, i.ipLo, i.ipHi);
  }

  /** The block at RIP; undefined when fetching it faulted, which is delivered. */
  private find(cache: BlockCache): Block | undefined {
    const c = this.context;
    const port = this.port;
    const lo = c.s[Slot.Rip]!;
    const hi = c.s[Slot.Rip + 1]!;
    if (this.fetched !== undefined) return this.held(this.fetched, lo, hi);
    const own = cache === this.blocks;
    const slot = (lo ^ (lo >>> 12)) & (ENTRIES - 1);
    if (own && !port.timed) {
      const entry = this.entries[slot];
      if (
        entry !== undefined &&
        entry.lo === lo &&
        entry.hi === hi &&
        this.epochs[slot] === c.epoch &&
        port.version(entry.frame) === entry.version &&
        (entry.secondFrame < 0 || port.version(entry.secondFrame) === entry.secondVersion)
      )
        return entry;
    }
    const frame = this.arrived === NOTHING ? port.translateFetch(lo, hi) : this.arrived;
    this.arrived = NOTHING;
    const found = frame < 0 ? -frame : cache.at(port, frame, lo, hi);
    if (typeof found === "number") return this.fetchFault(found, lo, hi);
    if (port.timed) {
      let status = 0;
      const bytes = ((lo & (LINE - 1)) + (found.endLo - lo)) | 0;
      for (let at = LINE; at < bytes && status === 0; at += LINE) status = port.fetchLine(((lo & -LINE) + at) | 0, hi);
      if (status !== 0) return this.fetchFault(status, lo, hi);
    } else if (own) {
      this.entries[slot] = found;
      this.epochs[slot] = c.epoch;
    }
    return found;
  }

  /** The instruction at RIP as the CPU has fetched it; undefined when fetching it faulted, which is delivered. */
  private held(fetched: FetchedCode, lo: number, hi: number): Block | undefined {
    const { port, previous } = this;
    fetched.arrive(previous !== undefined && transfers(previous, lo, hi));
    const found = fetched.block(port, lo, hi, (bytes, frame) => this.singles.first(port, bytes, frame, lo, hi));
    if (typeof found === "number") return this.fetchFault(found, lo, hi);
    this.previous = found.list[0];
    return found;
  }

  private fetchFault(status: number, lo: number, hi: number): undefined {
    faulted(this.context, status);
    raise(this.context, (status >>> 16) & 0xff, status & 0xffff, Cause.Fault, lo, hi);
    return undefined;
  }
}

/** Whether control came to an address by a transfer rather than by going on, or by repeating, from an instruction. */
function transfers({ ipLo, ipHi, nextLo, nextHi, repeat, mnemonic }: Instruction, lo: number, hi: number): boolean {
  if (lo === nextLo && hi === nextHi) return mnemonic === Mnemonic.Jmp || mnemonic === Mnemonic.Call;
  return repeat === 0 || lo !== ipLo || hi !== ipHi;
}

/** The block of an instruction of compiled code, and how many of it are done with it. */
function placeOf({ instructions, region }: CompiledCode, number: number): { block: Block; done: number } {
  const instruction = instructions[number]!;
  const block = region.blocks.find(({ list }) => list.includes(instruction))!;
  return { block, done: block.list.indexOf(instruction) + 1 };
}
