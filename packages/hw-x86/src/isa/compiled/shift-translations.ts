/** Shifts and rotates, products of two operands, and byte swaps, as text; see translations.ts. */
import * as bits from "../bits.js";
import type { Instruction } from "../instruction.js";
import * as multiply from "../multiply.js";
import type { Sized } from "../operand.js";
import * as shift from "../shift.js";
import type { CodeText, Halves } from "./code-text.js";
import { countTranslations, shiftByCount } from "./count-translations.js";
import { carryWord, type FlagWords } from "./flag-words.js";
import { flagsOf, flagsOfPair, simple, sized, type Translations } from "./translation.js";

const table: Translations = new Map(countTranslations);
export { table as shiftTranslations };

/** Flags of a shift that moved something: AF is clear. @param apart CF xor OF */
const shiftedFlags = (flags: FlagWords, carry: string, apart: string): FlagWords => ({
  ...flags,
  carry: `(${carryWord(carry, apart)})`,
});
type Shift = (a: string, n: number, bits: number) => { r: string; carry: string; apart: (r: string) => string };
type ShiftPair = (a: Halves, n: number) => { lo: string; hi: string; carry: string; apart: (hi: string) => string };
const bitOf = (a: Halves, n: number): string => (n < 32 ? `(${a.lo}>>>${n})&1` : `(${a.hi}>>>${n - 32})&1`);
const leftLo = (lo: string, n: number): string => (n < 32 ? `${lo}<<${n}` : "0");
const leftHi = (a: Halves, n: number): string =>
  n === 0 ? a.hi : n < 32 ? `(${a.hi}<<${n})|(${a.lo}>>>${32 - n})` : `${a.lo}<<${n - 32}`;
const rightLo = (a: Halves, n: number): string =>
  n === 0 ? a.lo : n < 32 ? `(${a.lo}>>>${n})|(${a.hi}<<${32 - n})` : n === 32 ? a.hi : `(${a.hi}>>>${n - 32})|0`;
const rightHi = (hi: string, n: number): string => (n === 0 ? hi : n < 32 ? `(${hi}>>>${n})|0` : "0");

/**
 * A shift by an immediate, or by CL where {@link shiftByCount} has it.
 * @param signed the operand is sign-extended first
 */
function shifts(of: Sized, narrow: Shift, quad: ShiftPair, { signed = false, rotates = false } = {}): void {
  sized(
    table,
    of,
    (text, i) => {
      if (!i.imm) {
        shiftByCount(text, i, of);
        return;
      }
      const n = i.immLo & 31;
      if (n === 0) {
        if (i.size === 4) text.setNarrow(4, i.dst, text.narrow(4, i.dst));
        return;
      }
      const value = text.narrow(i.size, i.dst);
      const a = text.keep("a", signed && i.shift !== 0 ? `(${value}<<${i.shift})>>${i.shift}` : value);
      const { r: result, carry, apart } = narrow(a, n, 32 - i.shift);
      const r = text.keep("r", `(${result})|0`);
      text.setNarrow(i.size, i.dst, r);
      const top = i.shift === 0 ? r : `(${r}<<${i.shift})`;
      const flags = rotates ? text.flags : { zero: top, sign: top, parity: r, carry: "0", adjust: "0" };
      text.flags = shiftedFlags(simple(flags), text.keep("c", carry.replaceAll("$r", r)), `(${apart(r)})`);
    },
    (text, i) => {
      if (!i.imm) {
        shiftByCount(text, i, of);
        return;
      }
      const n = i.immLo & 63;
      if (n === 0) return;
      const a = text.keepPair(text.pair(i.dst));
      const result = quad(a, n);
      const lo = text.keep("r", result.lo);
      const hi = text.keep("r", result.hi);
      text.setPair(i.dst, { lo, hi });
      const carry = text.keep("c", result.carry.replaceAll("$lo", lo).replaceAll("$hi", hi));
      const flags = rotates ? text.flags : flagsOfPair(lo, hi, "0", "0");
      text.flags = shiftedFlags(simple(flags), carry, `(${result.apart(hi).replaceAll("$lo", lo)})`);
    },
  );
}
shifts(
  shift.shl,
  (a, n, bits_) => ({
    r: `${a}<<${n}`,
    carry: n > bits_ ? "0" : `(${a}>>>${bits_ - n})&1`,
    apart: (r) => `(${r}>>>${bits_ - 1})&1`,
  }),
  (a, n) => ({ lo: leftLo(a.lo, n), hi: leftHi(a, n), carry: bitOf(a, 64 - n), apart: (hi) => `${hi}>>>31` }),
);
shifts(
  shift.shr,
  (a, n, bits_) => ({
    r: `${a}>>>${n}`,
    carry: `(${a}>>>${n - 1})&1`,
    apart: () => `((${a}>>>${n - 1})^(${a}>>>${bits_ - 1}))&1`,
  }),
  (a, n) => ({
    lo: rightLo(a, n),
    hi: rightHi(a.hi, n),
    carry: bitOf(a, n - 1),
    apart: () => `(${bitOf(a, n - 1)})^(${a.hi}>>>31)`,
  }),
);
shifts(
  shift.sar,
  (a, n) => ({ r: `${a}>>${n}`, carry: `(${a}>>${n - 1})&1`, apart: () => `(${a}>>${n - 1})&1` }),
  (a, n) => ({
    lo: n < 32 ? rightLo(a, n) : `${a.hi}>>${n - 32}`,
    hi: n < 32 ? `${a.hi}>>${n}` : `${a.hi}>>31`,
    carry: bitOf(a, n - 1),
    apart: () => bitOf(a, n - 1),
  }),
  { signed: true },
);
const turned = (a: Halves, n: number): Halves => {
  const m = n & 31;
  const [near, far] = n < 32 ? [a.lo, a.hi] : [a.hi, a.lo];
  return m === 0
    ? { lo: near, hi: far }
    : { lo: `(${near}<<${m})|(${far}>>>${32 - m})`, hi: `(${far}<<${m})|(${near}>>>${32 - m})` };
};
shifts(
  shift.rol,
  (a, n, bits_) => {
    const m = n & (bits_ - 1);
    return {
      r: m === 0 ? a : `(${a}<<${m})|(${a}>>>${bits_ - m})`,
      carry: "$r&1",
      apart: (r) => `(${r}>>>${bits_ - 1})&1`,
    };
  },
  (a, n) => ({ ...turned(a, n), carry: "$lo&1", apart: (hi) => `${hi}>>>31` }),
  { rotates: true },
);
shifts(
  shift.ror,
  (a, n, bits_) => {
    const m = n & (bits_ - 1);
    return {
      r: m === 0 ? a : `(${a}>>>${m})|(${a}<<${bits_ - m})`,
      carry: `($r>>>${bits_ - 1})&1`,
      apart: (r) => `(${r}>>>${bits_ - 2})&1`,
    };
  },
  (a, n) => ({ ...turned(a, 64 - n), carry: "$hi>>>31", apart: (hi) => `(${hi}>>>30)&1` }),
  { rotates: true },
);

/** Products: SF, ZF and PF follow the low half, CF and OF say that the upper one matters. */
function product(text: CodeText, i: Instruction, left: string, right: string): void {
  const extended = (value: string): string => (i.shift === 0 ? value : `(${value}<<${i.shift})>>${i.shift}`);
  const [a, b] = [text.keep("a", extended(left)), text.keep("b", extended(right))];
  const r = text.keep("r", `Math.imul(${a},${b})`);
  text.setNarrow(i.size, i.dst, r);
  const over = i.size === 4 ? `${a}*${b}!==${r}` : `(${r}<<${i.shift})>>${i.shift}!==${r}`;
  text.flags = { ...flagsOf(i, r, "0", "0"), carry: `((${over})?-0x80000000:0)` };
}
function productPair(text: CodeText, i: Instruction, left: Halves, right: Halves): void {
  const [a, b] = [text.keepPair(left), text.keepPair(right)];
  const lo = text.keep("r", `Math.imul(${a.lo},${b.lo})`);
  const hi = text.keep("r", `(highProduct(${a.lo},${b.lo})+Math.imul(${a.lo},${b.hi})+Math.imul(${a.hi},${b.lo}))|0`);
  text.setPair(i.dst, { lo, hi });
  text.flags = {
    ...flagsOfPair(lo, hi, "0", "0"),
    carry: `(exceedsPair(${a.lo},${a.hi},${b.lo},${b.hi})?-0x80000000:0)`,
  };
}
sized(
  table,
  multiply.imul2,
  (text, i) => product(text, i, text.narrow(i.size, i.dst), text.source(i)),
  (text, i) => productPair(text, i, text.pair(i.dst), text.sourcePair(i)),
);
sized(
  table,
  multiply.imul3,
  (text, i) => product(text, i, text.narrow(i.size, i.src), String(i.immLo)),
  (text, i) => productPair(text, i, text.pair(i.src), { lo: String(i.immLo), hi: String(i.immHi) }),
);

const swapped = (x: string): string => `(${x}>>>24)|((${x}>>>8)&0xff00)|((${x}&0xff00)<<8)|(${x}<<24)`;
sized(
  table,
  bits.swap,
  (text, i) => {
    const a = text.keep("a", text.narrow(i.size, i.src));
    text.setNarrow(i.size, i.dst, i.size === 4 ? swapped(a) : `(${a}>>>8)|(${a}<<8)`);
  },
  (text, i) => {
    const a = text.keepPair(text.pair(i.src));
    text.setPair(i.dst, { lo: swapped(a.hi), hi: swapped(a.lo) });
  },
);
