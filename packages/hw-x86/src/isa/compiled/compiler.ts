/**
 * Writes a region as one JavaScript function and has the engine compile it. Where the surroundings forbid that (a page
 * whose content policy has no 'unsafe-eval'), there is no compiled code, and everything is interpreted.
 *
 * The function executes until control leaves the region, the budget does not cover the next block, a store changes the
 * region's own code, or an instruction faults; registers, flags and memory are then as if each instruction had been
 * interpreted. JavaScript, not WebAssembly: what an access touches (memory, TLBs, caches, counters) are arrays and
 * objects of this program, which one function can reach without a call (docs/decisions/).
 */
import type { Block, CompiledCode, CompiledFunction } from "../block.js";
import type { Context } from "../context.js";
import { divide, divideSigned, divideSignedWord, divideWord, result } from "../division.js";
import type { Instruction } from "../instruction.js";
import { faulted, load, store } from "../memory.js";
import { exceedsPair, highProduct, multiplyPairs, multiplySigned, product } from "../multiply.js";
import type { CpuPort } from "../port.js";
import { stackFault } from "../stack.js";
import { RegionWriter } from "./region-writer.js";
import { Region } from "./region.js";
import { isCompilable } from "./ways.js";

/** Instructions of a region: the engine takes some milliseconds for each. */
const MOST_INSTRUCTIONS = 128;
/**
 * Characters of a function: V8 takes long over larger ones, and optimises none that has more than 60 KiB of bytecode.
 */
const LONGEST_TEXT = 45_000;

/** What compiled code calls. */
const HELPERS = {
  load,
  store,
  faulted,
  stackFault,
  highProduct,
  exceedsPair,
  multiplyPairs,
  multiplySigned,
  product,
  divide,
  divideSigned,
  divideWord,
  divideSignedWord,
  result,
};
/** Their names, as the text has them. */
const NAMES = Object.keys(HELPERS).join(",");
type Maker = (
  c: Context,
  port: CpuPort,
  instructions: readonly Instruction[],
  helpers: typeof HELPERS,
  region: Region,
) => CompiledFunction;

let allowed: boolean | undefined;
/** Whether text can become a function here. */
export function canCompile(): boolean {
  if (allowed === undefined) {
    try {
      allowed = typeof build("return 1") === "function";
    } catch {
      allowed = false;
    }
  }
  return allowed;
}

/**
 * The text as a function: the one place where text becomes code. It is made of numbers and words of these files only.
 */
function build(body: string): Maker {
  return new Function("c", "P", "I", "helpers", "R", `"use strict";const {${NAMES}}=helpers;${body}`) as Maker;
}

/**
 * Compiles what can be reached from a block.
 * @param accounted every access and fetch is charged: the port has {@link CpuPort.charges}
 * @param known a block that is decoded already, unchanged, of the same frame
 * @returns null where the block itself cannot be compiled
 */
export function compile(
  first: Block,
  accounted: boolean,
  known: (lo: number, hi: number) => Block | undefined,
): CompiledCode | null {
  if (!isCompilable(first)) return null;
  const usable = (lo: number, hi: number): Block | undefined => {
    const block = known(lo, hi);
    return block !== undefined && isCompilable(block) ? block : undefined;
  };
  let most = MOST_INSTRUCTIONS;
  let region = new Region(first, usable, most);
  let writer = new RegionWriter(region, accounted);
  let text = writer.write();
  while (text.length > LONGEST_TEXT && region.blocks.length > 1) {
    region = new Region(first, usable, (most >>= 1));
    writer = new RegionWriter(region, accounted);
    text = writer.write();
  }
  for (const block of region.blocks) block.regions++;
  const maker = build(text);
  const { instructions, entries } = writer;
  return {
    accounted,
    instructions,
    entries,
    region,
    make: (context, port) => maker(context, port, instructions, HELPERS, region),
  };
}
