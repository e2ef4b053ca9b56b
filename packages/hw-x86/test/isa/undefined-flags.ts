/**
 * Which arithmetic flags an instruction leaves undefined, so that processors may differ and the proof does not compare
 * them. Source: Intel SDM vol. 2, "Flags Affected" of each instruction (revision 078 and later).
 */
const CF = 1,
  PF = 4,
  AF = 0x10,
  ZF = 0x40,
  SF = 0x80,
  OF = 0x800;

const ALWAYS: Readonly<Record<string, number>> = {
  and: AF,
  or: AF,
  xor: AF,
  test: AF,
  andn: AF | PF,
  mul: SF | ZF | AF | PF,
  imul: SF | ZF | AF | PF,
  div: CF | OF | SF | ZF | AF | PF,
  idiv: CF | OF | SF | ZF | AF | PF,
  bsf: CF | OF | SF | AF | PF,
  bsr: CF | OF | SF | AF | PF,
  bt: OF | SF | AF | PF,
  bts: OF | SF | AF | PF,
  btr: OF | SF | AF | PF,
  btc: OF | SF | AF | PF,
  tzcnt: OF | SF | AF | PF,
  lzcnt: OF | SF | AF | PF,
  bextr: AF | SF | PF,
  blsi: AF | PF,
  blsr: AF | PF,
  blsmsk: AF | PF,
  bzhi: AF | PF,
};

/** @param bits operand size @param count shift or rotate count, unmasked @returns mask of RFLAGS bits */
export function undefinedFlags(mnemonic: string, bits: number, count: number): number {
  const fixed = ALWAYS[mnemonic];
  if (fixed !== undefined) return fixed;
  const masked = count & (bits === 64 ? 63 : 31);
  switch (mnemonic) {
    case "shl":
    case "sal":
    case "shr":
      return masked === 0 ? 0 : AF | (masked !== 1 ? OF : 0) | (masked >= bits ? CF : 0);
    case "sar":
      return masked === 0 ? 0 : AF | (masked !== 1 ? OF : 0);
    case "rol":
    case "ror":
    case "rcl":
    case "rcr":
      return masked === 1 ? 0 : masked === 0 ? 0 : OF;
    case "shld":
    case "shrd":
      return masked === 0 ? 0 : AF | (masked !== 1 ? OF : 0) | (masked > bits ? CF | SF | ZF | PF : 0);
    default:
      return 0;
  }
}

/**
 * Whether the destination itself is undefined: double shifts of 16 bits by more than 16.
 * @source SDM vol. 2, "SHLD", "SHRD"
 */
export function undefinedResult(mnemonic: string, bits: number, count: number): boolean {
  return (mnemonic === "shld" || mnemonic === "shrd") && (count & (bits === 64 ? 63 : 31)) > bits;
}
