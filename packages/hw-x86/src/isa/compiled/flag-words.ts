/**
 * The five words flags are computed from (context.ts), as expressions over constants of the function being written: a
 * word costs nothing where nobody reads it, since the engine computes an expression where it is used.
 */

/** Expressions of 32-bit integers; the optional ones are conditions that need no such word. */
export interface FlagWords {
  readonly zero: string;
  readonly sign: string;
  readonly parity: string;
  readonly carry: string;
  readonly adjust: string;
  /** ZF, CF, and SF not equal to OF, where they can be had more simply. */
  readonly equal?: string;
  readonly below?: string;
  readonly less?: string;
}

/** As the function's own variables hold them: at the start of a piece of code that has several ways in. */
export const IN_VARIABLES: FlagWords = { zero: "fz", sign: "fs", parity: "fp", carry: "fc", adjust: "fa" };

/** Statements that bring the variables up to date. */
export function intoVariables(flags: FlagWords): string {
  const parts: string[] = [];
  for (const key of ["zero", "sign", "parity", "carry", "adjust"] as const)
    if (flags[key] !== IN_VARIABLES[key]) parts.push(`${IN_VARIABLES[key]}=${flags[key]};`);
  return parts.join("");
}

/** CF, 0 or 1. */
export const carryOf = (flags: FlagWords): string => `(${flags.carry})>>>31`;
/** OF in bit 31 of a word whose other bits say nothing. */
const overflowWord = (flags: FlagWords): string => `((${flags.carry})^((${flags.carry})<<1))`;

/** CF and OF as the carry word holds them. @param apart CF xor OF; both 0 or 1 */
export const carryWord = (carry: string, apart: string): string => `((${carry})<<31)|((${apart})<<30)`;

/** A Boolean expression. @param code as in Jcc. @source SDM vol. 1, "EFLAGS Condition Codes" */
export function conditionOf(flags: FlagWords, code: number): string {
  const expression = positive(flags, code >> 1);
  return (code & 1) === 0 ? expression : `!(${expression})`;
}

function positive(flags: FlagWords, pair: number): string {
  const equal = flags.equal ?? `(${flags.zero})===0`;
  const below = flags.below ?? `(${flags.carry})<0`;
  const less = flags.less ?? `((${flags.sign})^${overflowWord(flags)})<0`;
  switch (pair) {
    case 0:
      return `${overflowWord(flags)}<0`;
    case 1:
      return below;
    case 2:
      return equal;
    case 3:
      return `(${below})||(${equal})`;
    case 4:
      return `(${flags.sign})<0`;
    case 5:
      return `((0x9669>>(((${flags.parity})^((${flags.parity})>>4))&15))&1)!==0`;
    case 6:
      return less;
    default:
      return `(${equal})||(${less})`;
  }
}
