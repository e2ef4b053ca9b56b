/**
 * What is compiled together: blocks of one page that jumps with a fixed target join, from one of them on.
 */
import type { Block } from "../block.js";
import * as branch from "../branch.js";
import type { Handler, Instruction } from "../instruction.js";

const MOST_BLOCKS = 32;
/** Regions a block may be in: a loop's, and that of the loop around it. */
const MOST_REGIONS = 2;
/** Places a RET looks for its return address at. */
const MOST_RETURNS = 4;

const CONDITIONAL = new Set<Handler>(branch.jcc);
/** Whether the instruction goes to its target or on. */
export const isConditional = (i: Instruction): boolean => CONDITIONAL.has(i.op);
/** Whether it ends its block in a way that has a translation. */
export const isTransfer = (i: Instruction): boolean =>
  isConditional(i) || [branch.jmp, branch.jmpIndirect, branch.call, branch.ret].includes(i.op);

/** One block of a region. */
export interface Part {
  readonly block: Block;
  /** Ways to it from within the region, and two where it can be entered from outside. */
  entries: number;
}

/** See the head of this file. */
export class Region {
  /** By low half of the address: all lie in one page. */
  readonly parts = new Map<number, Part>();
  readonly blocks: readonly Block[];
  readonly frame: number;
  /** Of the frame, when all blocks were last known to be unchanged. */
  version: number;
  /** What follows the calls of the region and is in it. */
  readonly returns: Part[] = [];
  /** Where its code lies in the page, in words of 4 bytes. */
  readonly firstWord: number;
  readonly words: number;
  private readonly pageLo: number;
  private readonly hi: number;

  /**
   * @param first where it is entered
   * @param known a block that is decoded already, unchanged, of the same frame
   * @param most instructions in it, if it has more blocks than one
   */
  constructor(
    readonly first: Block,
    known: (lo: number, hi: number) => Block | undefined,
    private readonly most: number,
  ) {
    this.frame = first.frame;
    this.version = first.version;
    this.pageLo = first.lo & ~0xfff;
    this.hi = first.hi;
    this.collect(known);
    for (const { block } of this.parts.values()) {
      for (const part of waysOut(block).map((to) => this.at(...to))) if (part !== undefined) part.entries++;
      const after = this.afterCall(block);
      if (after === undefined || this.returns.includes(after)) continue;
      after.entries += 2;
      this.returns.push(after);
    }
    this.returns.splice(MOST_RETURNS);
    const blocks = (this.blocks = [...this.parts.values()].map(({ block }) => block));
    this.firstWord = Math.min(...blocks.map(({ lo }) => lo & 0xfff)) >> 2;
    this.words =
      (Math.max(...blocks.map(({ lo, endLo }) => (lo & 0xfff) + ((endLo - lo) | 0) - 1)) >> 2) - this.firstWord + 1;
  }

  private collect(known: (lo: number, hi: number) => Block | undefined): void {
    const waiting = [this.first];
    let instructions = 0;
    for (let block = waiting.shift(); block !== undefined; block = waiting.shift()) {
      if (this.parts.has(block.lo)) continue;
      instructions += block.list.length;
      if (this.parts.size > 0 && (instructions > this.most || this.parts.size >= MOST_BLOCKS)) return;
      this.parts.set(block.lo, { block, entries: block === this.first ? 2 : 0 });
      const ways = waysOut(block);
      if (block.list.at(-1)!.op === branch.call) ways.push([block.endLo, block.endHi]);
      for (const [lo, hi] of ways) {
        if ((lo & ~0xfff) !== this.pageLo || hi !== this.hi || this.parts.has(lo)) continue;
        const next = known(lo, hi);
        if (next !== undefined && next.regions < MOST_REGIONS) waiting.push(next);
      }
    }
  }

  at(lo: number, hi: number): Part | undefined {
    return hi === this.hi ? this.parts.get(lo) : undefined;
  }

  has(lo: number, hi: number): boolean {
    return this.at(lo, hi) !== undefined;
  }

  private afterCall(block: Block): Part | undefined {
    return block.list.at(-1)!.op === branch.call ? this.at(block.endLo, block.endHi) : undefined;
  }
}

/** Fixed addresses control goes to after a block. */
function waysOut(block: Block): [number, number][] {
  const last = block.list.at(-1)!;
  const on: [number, number] = [block.endLo, block.endHi];
  if (!last.ends) return [on];
  const target: [number, number] = [last.targetLo, last.targetHi];
  if (isConditional(last)) return [target, on];
  return last.op === branch.jmp || last.op === branch.call ? [target] : [];
}
