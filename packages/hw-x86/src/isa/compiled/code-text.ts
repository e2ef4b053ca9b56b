/**
 * The text of one compiled function as it grows: registers in variables, constants, flags, ways out. What an
 * instruction does to them is in translations.ts.
 *
 * Names in the text: `s` the register file, `c` the context, `l0`/`h0` to `l15`/`h15` the halves of the registers,
 * `fz fs fp fc fa` the flag words, `n` instructions left, `st` a status, `w` words of memory, `V` its write counters. A
 * constant of an instruction is a letter and a number.
 */
import { Ending } from "../block.js";
import { Slot } from "../context.js";
import type { Instruction } from "../instruction.js";
import { slotFor } from "../operand.js";
import { IN_VARIABLES, type FlagWords } from "./flag-words.js";

/** Where the text has to write registers back: which, is known when it is complete. */
const WRITE_BACK = "/*write back*/";

/** A 64-bit value as two expressions of signed words. */
export interface Halves {
  readonly lo: string;
  readonly hi: string;
}

/** See the head of this file. */
export class CodeText {
  private readonly parts: string[] = [];
  private readonly registers = new Set<number>();
  private readonly written = new Set<number>();
  private count = 0;
  flags: FlagWords = IN_VARIABLES;
  /** The loaded memory operand, or what is to be stored: variables of the instruction under way. */
  operand: Halves = { lo: "0", hi: "0" };
  /**
   * What every way out of the instruction under way says: its number in the function, and how many follow it in its
   * block.
   */
  private number = 0;
  private following = 0;

  /** @param accounted every access is charged */
  constructor(readonly accounted: boolean) {}

  begin(number: number, following: number): void {
    this.number = number;
    this.following = following;
  }

  add(text: string): void {
    this.parts.push(text);
  }

  /** A name nobody else has. */
  fresh(letter: string): string {
    return `${letter}_${++this.count}`;
  }

  /** Names a value that is used more than once, or has to be kept while its sources change. */
  keep(letter: string, expression: string): string {
    const name = this.fresh(letter);
    this.parts.push(`const ${name}=${expression};`);
    return name;
  }

  /** A value of two halves, kept. */
  keepPair({ lo, hi }: Halves): Halves {
    return { lo: this.keep("a", lo), hi: this.keep("b", hi) };
  }

  private register(slot: number): number {
    const number = slot >> 1;
    this.registers.add(number);
    return number;
  }

  /** The 64 bits of a word slot: a register, the operand, nothing, or a segment's base. */
  pair(slot: number): Halves {
    if (slot === Slot.Temp) return this.operand;
    if (slot === Slot.Zero) return { lo: "0", hi: "0" };
    if (slot > Slot.Zero) return { lo: `s[${slot}]`, hi: `s[${slot + 1}]` };
    const number = this.register(slot);
    return { lo: `l${number}`, hi: `h${number}` };
  }

  setPair(slot: number, { lo, hi }: Halves): void {
    if (slot === Slot.Temp) {
      this.add(`${this.operand.lo}=${lo};${this.operand.hi}=${hi};`);
      return;
    }
    const number = this.register(slot);
    this.written.add(number);
    this.add(`l${number}=${lo};h${number}=${hi};`);
  }

  /** A register operand of 1, 2 or 4 bytes, zero-extended; see `get` in operand.ts. */
  narrow(size: number, slot: number): string {
    if (slot === slotFor(Slot.Temp, size))
      return size === 4 ? this.operand.lo : `(${this.operand.lo}&${size === 1 ? 255 : 65535})`;
    if (size === 4) return `l${this.register(slot)}`;
    if (size === 2) return `(l${this.register(slot >> 1)}&65535)`;
    const number = this.register(slot >> 2);
    return (slot & 1) === 0 ? `(l${number}&255)` : `((l${number}>>>8)&255)`;
  }

  /** See `put` in operand.ts. */
  setNarrow(size: number, slot: number, value: string): void {
    const held = slot === slotFor(Slot.Temp, size);
    if (size === 4) {
      this.setPair(slot, { lo: value, hi: "0" });
      return;
    }
    const number = held ? -1 : this.register(slot >> (size === 2 ? 1 : 2));
    if (!held) this.written.add(number);
    const name = held ? this.operand.lo : `l${number}`;
    if (size === 2) this.add(`${name}=(${name}&~65535)|((${value})&65535);`);
    else if ((slot & 1) === 0 || held) this.add(`${name}=(${name}&~255)|((${value})&255);`);
    else this.add(`${name}=(${name}&~65280)|(((${value})&255)<<8);`);
  }

  /** The source of an instruction of up to 4 bytes. */
  source(i: Instruction): string {
    return i.imm ? String(i.immLo) : this.narrow(i.size, i.src);
  }

  /** The source of an instruction of 8 bytes. */
  sourcePair(i: Instruction): Halves {
    return i.imm ? { lo: String(i.immLo), hi: String(i.immHi) } : this.pair(i.src);
  }

  /** Leaves the function with RIP at an address, the instruction under way being done. */
  leave(lo: string, hi: string, ending: number = Ending.Left, following = this.following): void {
    this.add(`s[40]=${lo};s[41]=${hi};`);
    this.out(ending, following);
  }

  /** Leaves where the region's code may have changed: says so, where others of its block follow. */
  leaveStored(lo: string, hi: string): void {
    this.leave(lo, hi, this.following === 0 ? Ending.Left : Ending.Stored - this.number);
  }

  /** Leaves with the status in `st`, which the instruction under way ended in. */
  leaveFaulted(): void {
    this.out(this.number, this.following);
  }

  /**
   * Each way out writes back for itself: one place for all would be a join of every register from hundreds of places,
   * which takes the engine's optimiser ten times as long.
   */
  private out(ending: number, following: number): void {
    const left = following === 0 ? "n" : `n+${following}`;
    this.add(
      `${WRITE_BACK}${storeFlags(this.flags)}c.left=${left};${ending === Ending.Left ? "" : "c.status=st;"}return ${ending};`,
    );
  }

  /** A handler does the instruction. @param touched all registers it may read or write */
  call(name: string, touched: Iterable<number>): void {
    const each = [...touched];
    for (const n of each) this.written.add(this.register(2 * n));
    this.add(each.map((n) => `s[${2 * n}]=l${n};s[${2 * n + 1}]=h${n};`).join(""));
    this.add(`${storeFlags(this.flags)}st=${name}.run(c,${name});`);
    this.add(each.map((n) => `l${n}=s[${2 * n}];h${n}=s[${2 * n + 1}];`).join(""));
    const words = [42, 43, 44, 45, 46].map((slot) => this.keep("f", `s[${slot}]`));
    this.flags = { zero: words[0]!, sign: words[1]!, parity: words[2]!, carry: words[3]!, adjust: words[4]! };
    this.add("w=c.words;V=c.versions;if(st!==0){");
    this.leaveFaulted();
    this.add("}");
  }

  /** The whole text, its places for registers filled in. @param frame around what was added, without registers */
  finish(before: string, after: string): string {
    const each = (of: Iterable<number>, line: (n: number) => string): string => [...of].map(line).join("");
    const back = each(this.written, (n) => `s[${2 * n}]=l${n};s[${2 * n + 1}]=h${n};`);
    const loaded = each(this.registers, (n) => `let l${n}=s[${2 * n}],h${n}=s[${2 * n + 1}];`);
    const body = this.parts.join("").replaceAll(WRITE_BACK, back);
    return `${loaded}${before}${body}${after}`;
  }
}

/** Statements that put the flag words where handlers look for them. */
export const storeFlags = (flags: FlagWords): string =>
  `s[42]=${flags.zero};s[43]=${flags.sign};s[44]=${flags.parity};s[45]=${flags.carry};s[46]=${flags.adjust};`;
