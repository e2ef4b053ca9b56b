/** What all translations of instructions share: how they are kept, and flags of results. */
import type { Handler, Instruction } from "../instruction.js";
import type { Sized } from "../operand.js";
import type { CodeText } from "./code-text.js";
import type { FlagWords } from "./flag-words.js";

/** Writes one instruction. Its memory operand, if it has one, is loaded already, and stored afterwards. */
export type Translation = (text: CodeText, i: Instruction) => void;

/** By {@link Instruction.op}. */
export type Translations = Map<Handler, Translation>;

/** Enters the translations of an operation by size. */
export function sized(table: Translations, of: Sized, narrow: Translation, quad: Translation): void {
  table.set(of.narrow, narrow);
  if (of.word !== undefined) table.set(of.word, narrow);
  table.set(of.quad, quad);
}

/** Result and flags of an operation on up to 4 bytes. @param vector carries out of each bit */
export function flagsOf(i: Instruction, r: string, vector: string, adjust: string): FlagWords {
  const top = i.shift === 0 ? r : `(${r}<<${i.shift})`;
  return {
    zero: top,
    sign: top,
    parity: r,
    carry: i.shift === 0 ? vector : `((${vector})<<${i.shift})`,
    adjust,
  };
}
/** The same on 8 bytes. */
export const flagsOfPair = (lo: string, hi: string, vector: string, adjust: string): FlagWords => ({
  zero: `(${lo}|${hi})`,
  sign: hi,
  parity: lo,
  carry: `(${vector})`,
  adjust,
});

/** Without the conditions that hang on CF or OF. */
export const simple = ({ zero, sign, parity, carry, adjust, equal }: FlagWords): FlagWords => ({
  zero,
  sign,
  parity,
  carry,
  adjust,
  ...(equal === undefined ? {} : { equal }),
});
