/** Which instructions can be in a compiled function, and how each gets there: as text, or as a call of its handler. */
import { Mnemonic } from "@kreplica/hw-x86/iced";
import type { Block } from "../block.js";
import type { Instruction } from "../instruction.js";
import { unmodelled } from "../lower.js";
import * as move from "../move.js";
import { runLoad, runModify, runStore } from "../operand.js";
import { Access } from "../port.js";
import * as stack from "../stack.js";
import { isTooNarrow } from "./count-translations.js";
import { isTransfer } from "./region.js";
import { translations } from "./translations.js";

const RAX = 0,
  RCX = 1,
  RDX = 2,
  RBX = 3,
  RSP = 4,
  RBP = 5,
  RSI = 6,
  RDI = 7;
/**
 * Instructions their handlers do, from within compiled code, and the registers they touch beside their operands: they
 * change registers, flags and memory, nothing else.
 */
const HANDLED: readonly (readonly [names: string, implied: readonly number[]])[] = [
  ["Adc Adcx Add Adox And Andn Bextr Blsi Blsmsk Blsr Bsf Bsr Bswap Bt Btc Btr Bts Bzhi Crc32 Dec Inc Lzcnt", []],
  ["Movbe Movdiri Movnti Neg Not Or Pdep Pext Popcnt Rorx Sarx Sbb Shlx Shrx Sub Tzcnt Xadd Xchg Xor", []],
  ["Rcl Rcr Rol Ror Sal Sar Shl Shld Shr Shrd", [RCX]],
  ["Div Idiv Imul Mul Mulx", [RAX, RDX]],
  ["Cmpxchg Lahf Sahf", [RAX]],
  ["Cmpxchg16b Cmpxchg8b", [RAX, RBX, RCX, RDX]],
  ["Lodsb Lodsd Lodsq Lodsw Stosb Stosd Stosq Stosw", [RAX, RSI, RDI]],
  ["Xlatb", [RAX, RBX]],
  ["Pop Push Pushfq", [RSP]],
  ["Leave", [RSP, RBP]],
];

let handled: ReadonlyMap<number, readonly number[]> | undefined;
/**
 * {@link HANDLED} by mnemonic. Made when the first block is compiled: asked by name, iced-x86 is loaded, which a page
 * does only when it has code to decode.
 */
const byHandler = (): ReadonlyMap<number, readonly number[]> =>
  (handled ??= new Map(
    HANDLED.flatMap(([names, implied]) =>
      names.split(" ").map((name) => [Mnemonic[name as keyof typeof Mnemonic], implied] as const),
    ),
  ));

/** All registers an instruction's handler may touch, and perhaps some more: a slot's meaning hangs on its size. */
export function touchedBy(i: Instruction): Set<number> {
  const touched = new Set<number>(byHandler().get(i.mnemonic));
  for (const slot of [i.dst, i.src, i.src2]) for (const unit of [1, 2, 3]) touched.add(slot >> unit);
  touched.add(i.base >> 1);
  touched.add(i.index >> 1);
  return new Set([...touched].filter((number) => number < 16));
}

const SHIFTS = new Set<number>([Mnemonic.Shl, Mnemonic.Sal, Mnemonic.Shr, Mnemonic.Sar, Mnemonic.Rol, Mnemonic.Ror]);
/** Handlers that store without an operation. */
export const STORES = new Set([move.movStore64, move.movStore32, move.movStore16, move.movStore8]);
const OWN_LOADS = new Set([move.movLoad64, move.movLoad32, move.movzxLoad8, move.movzxLoad16]);

type Way = "text" | "handler" | "none";
/** How an instruction gets into a function. */
export function wayOf(i: Instruction): Way {
  if (i.ends) return isTransfer(i) && i.size !== 2 ? "text" : "none";
  const locked = (i.access & Access.Locked) !== 0;
  const byCount = SHIFTS.has(i.mnemonic) && !i.imm;
  const ownStack = (i.op === stack.pushOperand || i.op === stack.popRegister) && i.size === 8;
  const shaped =
    i.run === i.op ||
    i.run === runLoad ||
    i.run === runModify ||
    i.run === runStore ||
    STORES.has(i.run) ||
    OWN_LOADS.has(i.run);
  if (ownStack || (translations.has(i.op) && shaped && !locked && !isTooNarrow(i, byCount))) return "text";
  return byHandler().has(i.mnemonic) && i.op !== unmodelled && i.repeat === 0 ? "handler" : "none";
}
/** Whether all of a block can be in a function. */
export const isCompilable = (block: Block): boolean =>
  block.secondFrame < 0 && block.list.every((i) => wayOf(i) !== "none");
