/**
 * Writes a region as the text of one function: its blocks, and the ways between them and out of it.
 *
 * A block with one way in lies where that way comes from; one with several is a case of a switch in a loop.
 */
import { type Block, Ending } from "../block.js";
import * as branch from "../branch.js";
import { Slot } from "../context.js";
import type { Instruction } from "../instruction.js";
import { runLoad, runModify, runStore } from "../operand.js";
import * as stack from "../stack.js";
import { address, load, modify, stackAddress, store } from "./access-text.js";
import { CodeText, type Halves } from "./code-text.js";
import { conditionOf, IN_VARIABLES, intoVariables } from "./flag-words.js";
import { isConditional, type Part, type Region } from "./region.js";
import { translations } from "./translations.js";
import { STORES, touchedBy, wayOf } from "./ways.js";

/** See the head of this file. */
export class RegionWriter {
  readonly instructions: Instruction[] = [];
  private readonly text: CodeText;
  /** Blocks with a case of their own: those with several ways in. */
  private readonly cases: Part[];
  private readonly called = new Set<number>();

  constructor(
    private readonly region: Region,
    private readonly accounted: boolean,
  ) {
    this.text = new CodeText(accounted);
    this.cases = [...region.parts.values()].filter(({ entries }) => entries > 1);
  }

  get entries(): readonly Block[] {
    return this.cases.map(({ block }) => block);
  }

  write(): string {
    const { text } = this;
    const single = this.cases.length === 1;
    this.cases.forEach((part, number) => {
      text.flags = IN_VARIABLES;
      text.add(single ? "{" : `case ${number}:{`);
      this.block(part);
      text.add("}");
    });
    const inner = text.finish(
      `let G=R.version;const pb=P.firstWord(F);let fz=s[42],fs=s[43],fp=s[44],fc=s[45],fa=s[46],w=${this.accounted ? "P.words" : "c.words"},V=c.versions,` +
        `n=budget,st=0,q=0,stale=0;L:for(;;){${single ? "" : "switch(entry){"}`,
      `${single ? "" : "}"}}`,
    );
    const handlers = [...this.called].map((number) => `i${number}=I[${number}],`).join("");
    return (
      `const ${handlers}s=c.s,rt=c.readTags,wt=c.writeTags,rb=c.readBases,wb=c.writeBases,ws=c.writeSlots,` +
      `F=${this.region.frame},CS=${this.region.firstWord},CN=${this.region.words};return function compiled(budget,entry){${inner}};`
    );
  }

  /** All instructions of a block, and where control goes after it. */
  private block({ block }: Part): void {
    const { list } = block;
    list.forEach((i, k) => {
      const number = this.instructions.push(i) - 1;
      this.text.begin(number, list.length - k - 1);
      if (i.ends) this.transfer(i);
      else this.instruction(i, number);
    });
    if (!list.at(-1)!.ends) this.go(block.endLo, block.endHi);
  }

  private instruction(i: Instruction, number: number): void {
    const { text } = this;
    const leave = (): void => text.leaveStored(String(i.nextLo), String(i.nextHi));
    if (wayOf(i) === "handler") {
      this.called.add(number);
      text.call(`i${number}`, touchedBy(i));
      if (i.writes) {
        text.add("if(P.version(F)!==G){");
        leave();
        text.add("}");
      }
      return;
    }
    if (i.op === stack.pushOperand) this.push(text.keepPair(text.sourcePair(i)), i.nextLo, i.nextHi);
    else if (i.op === stack.popRegister) this.pop(i);
    else if (STORES.has(i.run)) {
      const value = i.size === 8 ? text.sourcePair(i) : { lo: text.source(i), hi: "0" };
      store(text, address(text, i), i.size, text.keepPair(value), leave);
    } else {
      const translate = translations.get(i.op)!;
      if (i.run === i.op) translate(text, i);
      else if (i.run === runModify) {
        const again = modify(text, address(text, i), i.memory, leave);
        translate(text, i);
        again();
      } else if (i.run === runStore) {
        const name = text.fresh("t");
        text.add(`let ${name}=0,${name}h=0;`);
        text.operand = { lo: name, hi: `${name}h` };
        translate(text, i);
        const { operand } = text;
        store(text, address(text, i), i.memory, operand, leave);
      } else {
        load(text, address(text, i), i.memory);
        translate(text, i);
      }
    }
  }

  private push(value: Halves, lo: number, hi: number): void {
    const { text } = this;
    const at = stackAddress(text, -8);
    const moved = (): void => text.setPair(Slot.Rsp, at);
    const leave = (): void => {
      moved();
      text.leaveStored(String(lo), String(hi));
    };
    store(text, at, 8, value, leave, "stack");
    moved();
  }

  private pop(i: Instruction): void {
    const { text } = this;
    load(text, stackAddress(text, 0), 8, "stack");
    text.setPair(Slot.Rsp, stackAddress(text, 8));
    text.setPair(i.dst, text.operand);
  }

  private transfer(i: Instruction): void {
    const { text } = this;
    if (isConditional(i)) {
      const before = text.flags;
      text.add(`if(${conditionOf(text.flags, i.cc)}){`);
      this.go(i.targetLo, i.targetHi);
      text.add("}else{");
      text.flags = before;
      this.go(i.nextLo, i.nextHi);
      text.add("}");
    } else if (i.op === branch.jmp) this.go(i.targetLo, i.targetHi);
    else if (i.op === branch.call) {
      this.push({ lo: String(i.nextLo), hi: String(i.nextHi) }, i.targetLo, i.targetHi);
      this.go(i.targetLo, i.targetHi);
    } else if (i.op === branch.jmpIndirect) {
      if (i.run === runLoad) load(text, address(text, i), 8);
      const target = text.keepPair(text.pair(i.src));
      this.refuseNonCanonical(target);
      text.leave(target.lo, target.hi);
    } else this.ret(i);
  }

  private ret(i: Instruction): void {
    const { text } = this;
    load(text, stackAddress(text, 0), 8, "stack");
    const target = text.keepPair(text.operand);
    this.refuseNonCanonical(target);
    text.setPair(Slot.Rsp, stackAddress(text, 8 + i.immLo));
    const before = text.flags;
    for (const { block } of this.region.returns) {
      text.add(`if(${target.lo}===${block.lo}&&${target.hi}===${block.hi}){`);
      this.go(block.lo, block.hi);
      text.add("}");
      text.flags = before;
    }
    text.leave(target.lo, target.hi);
  }

  /** #GP(0); how many bits have to agree, isCanonical in branch.ts says. */
  private refuseNonCanonical({ hi }: Halves): void {
    this.text.add(`q=(s[60]&0x1000)!==0?7:16;if((${hi}<<q)>>q!==${hi}){st=0x10d0000;`);
    this.text.leaveFaulted();
    this.text.add("}");
  }

  /** To the block at an address: on within the function, or out of it. */
  private go(lo: number, hi: number): void {
    const { text, region } = this;
    const part = region.at(lo, hi);
    if (part === undefined) {
      text.leave(String(lo), String(hi), Ending.Left, 0);
      return;
    }
    const { length } = part.block.list;
    text.add(`if(n<${length}||${this.accounted ? "P.version(F)!==G" : "stale!==0"}){`);
    text.leave(String(lo), String(hi), Ending.Left, 0);
    text.add("}");
    if (this.accounted) this.fetch(part.block);
    text.add(`n-=${length};`);
    const number = this.cases.indexOf(part);
    if (number < 0) this.block(part);
    else text.add(`${intoVariables(text.flags)}${this.cases.length === 1 ? "" : `entry=${number};`}continue L;`);
  }

  /** Charges the fetch of a block's lines, as `find` in interpreter.ts does. */
  private fetch({ lo, hi, endLo }: Block): void {
    const { text } = this;
    const out = (ending: Ending): void => {
      text.leave(String(lo), String(hi), ending, 0);
      text.add("}");
    };
    text.add(`if((st=P.chargeFetch(${lo},${hi}))!==F){`);
    out(Ending.Fetched);
    const bytes = ((lo & 63) + (endLo - lo)) | 0;
    for (let at = 64; at < bytes; at += 64) {
      text.add(`if((st=P.fetchLine(${((lo & -64) + at) | 0},${hi}))!==0){`);
      out(Ending.LineFaulted);
    }
  }
}
