/**
 * Shifts and rotates by CL, double shifts, products of double width and divisions, of 4 and 8 bytes, as text; see
 * translations.ts. Narrower ones are their handlers'.
 */
import { Slot } from "../context.js";
import * as division from "../division.js";
import type { Handler, Instruction } from "../instruction.js";
import * as multiply from "../multiply.js";
import type { Sized } from "../operand.js";
import * as shift from "../shift.js";
import type { CodeText, Halves } from "./code-text.js";
import { carryWord, type FlagWords } from "./flag-words.js";
import { flagsOf, flagsOfPair, type Translations } from "./translation.js";

const table: Translations = new Map();
export { table as countTranslations };

/** Handlers of 1, 2 and 4 bytes of which only those of 4 are text. */
const ONLY_WORDS = new Set<Handler>([shift.shld, shift.shrd, multiply.mul, multiply.imul1].map(({ narrow }) => narrow));
/** Whether an instruction that has a translation is too narrow for it. */
export const isTooNarrow = (i: Instruction, byCount: boolean): boolean =>
  i.size < 4 && (byCount || ONLY_WORDS.has(i.op));

const CL = 8;
/** The count, kept: a constant, or CL. */
const countOf = (text: CodeText, i: Instruction, mask: number): string =>
  text.keep("k", i.imm ? String(i.immLo & mask) : `${text.narrow(1, CL)}&${mask}`);

/**
 * (`high`, `low`) shifted left by 0 to 31, or right: the upper and the lower word of it. JavaScript counts modulo 32.
 */
const upperOf = (high: string, low: string, n: string): string => `(${high}<<${n})|((${low}>>>1)>>>(31-${n}))`;
const lowerOf = (low: string, high: string, n: string): string => `(${low}>>>${n})|((${high}<<1)<<(31-${n}))`;

interface Shifted {
  readonly lo: string;
  readonly hi: string;
  /** CF, and CF xor OF; of the result, which is `$lo` and `$hi`. */
  readonly carry: string;
  readonly apart: string;
}
interface ShiftedWord {
  readonly r: string;
  readonly carry: string;
  readonly apart: string;
}
/** A shift by 1 to 63 and by 1 to 31: by 0, what it gives is what it was given. */
interface ByCount {
  readonly quad: (a: Halves, n: string) => Shifted;
  readonly word: (a: string, n: string) => ShiftedWord;
  /** SF, ZF and PF stay. */
  readonly rotates?: boolean;
}

/** The last bit out of a pair to the left, and to the right. */
const outLeft = ({ lo, hi }: Halves, n: string): string => `((${n}>32?${lo}:${hi})>>>(64-${n}))&1`;
const outRight = ({ lo, hi }: Halves, n: string): string => `((${n}>32?${hi}:${lo})>>>(${n}-1))&1`;

const SHIFTS = new Map<Sized, ByCount>([
  [
    shift.shl,
    {
      quad: (a, n) => ({
        lo: `${n}<32?${a.lo}<<${n}:0`,
        hi: `${n}<32?${upperOf(a.hi, a.lo, n)}:${a.lo}<<${n}`,
        carry: outLeft(a, n),
        apart: "$hi>>>31",
      }),
      word: (a, n) => ({ r: `${a}<<${n}`, carry: `(${a}>>>(32-${n}))&1`, apart: "$r>>>31" }),
    },
  ],
  [
    shift.shr,
    {
      quad: (a, n) => ({
        lo: `${n}<32?${lowerOf(a.lo, a.hi, n)}:(${a.hi}>>>${n})|0`,
        hi: `${n}<32?(${a.hi}>>>${n})|0:0`,
        carry: outRight(a, n),
        apart: `(${outRight(a, n)})^(${a.hi}>>>31)`,
      }),
      word: (a, n) => ({
        r: `(${a}>>>${n})|0`,
        carry: `(${a}>>>(${n}-1))&1`,
        apart: `((${a}>>>(${n}-1))&1)^(${a}>>>31)`,
      }),
    },
  ],
  [
    shift.sar,
    {
      quad: (a, n) => ({
        lo: `${n}<32?${lowerOf(a.lo, a.hi, n)}:${a.hi}>>${n}`,
        hi: `${a.hi}>>(${n}<32?${n}:31)`,
        carry: outRight(a, n),
        apart: outRight(a, n),
      }),
      word: (a, n) => ({ r: `${a}>>${n}`, carry: `(${a}>>(${n}-1))&1`, apart: `(${a}>>(${n}-1))&1` }),
    },
  ],
  [
    shift.rol,
    {
      quad: (a, n) => ({
        lo: `${n}<32?${upperOf(a.lo, a.hi, n)}:${upperOf(a.hi, a.lo, n)}`,
        hi: `${n}<32?${upperOf(a.hi, a.lo, n)}:${upperOf(a.lo, a.hi, n)}`,
        carry: "$lo&1",
        apart: "$hi>>>31",
      }),
      word: (a, n) => ({ r: upperOf(a, a, n), carry: "$r&1", apart: "$r>>>31" }),
      rotates: true,
    },
  ],
  [
    shift.ror,
    {
      quad: (a, n) => ({
        lo: `${n}<32?${lowerOf(a.lo, a.hi, n)}:${lowerOf(a.hi, a.lo, n)}`,
        hi: `${n}<32?${lowerOf(a.hi, a.lo, n)}:${lowerOf(a.lo, a.hi, n)}`,
        carry: "$hi>>>31",
        apart: "($hi>>>30)&1",
      }),
      word: (a, n) => ({ r: lowerOf(a, a, n), carry: "$r>>>31", apart: "($r>>>30)&1" }),
      rotates: true,
    },
  ],
]);

/** After a shift by `n`: flags as they were where that is 0. */
function flagsAfter(n: string, before: FlagWords, after: FlagWords): FlagWords {
  const either = (key: "zero" | "sign" | "parity" | "carry" | "adjust"): string =>
    before[key] === after[key] ? before[key] : `(${n}===0?${before[key]}:${after[key]})`;
  return {
    zero: either("zero"),
    sign: either("sign"),
    parity: either("parity"),
    carry: either("carry"),
    adjust: either("adjust"),
  };
}

function quadShift(text: CodeText, i: Instruction, n: string, of: Shifted, rotates: boolean): void {
  const lo = text.keep("r", of.lo);
  const hi = text.keep("r", of.hi);
  text.setPair(i.dst, { lo, hi });
  const own = (part: string): string => part.replaceAll("$lo", lo).replaceAll("$hi", hi);
  const before = text.flags;
  const carry = carryWord(own(of.carry), own(of.apart));
  text.flags = flagsAfter(n, before, {
    ...(rotates ? before : flagsOfPair(lo, hi, "0", "0")),
    carry: `(${carry})`,
  });
}
function wordShift(text: CodeText, i: Instruction, n: string, of: ShiftedWord, rotates: boolean): void {
  const r = text.keep("r", of.r);
  text.setNarrow(4, i.dst, r);
  const own = (part: string): string => part.replaceAll("$r", r);
  const before = text.flags;
  text.flags = flagsAfter(n, before, {
    ...(rotates ? before : flagsOf(i, r, "0", "0")),
    carry: `(${carryWord(own(of.carry), own(of.apart))})`,
  });
}

/** A shift or rotation of 4 or 8 bytes by CL. */
export function shiftByCount(text: CodeText, i: Instruction, of: Sized): void {
  const { quad, word, rotates = false } = SHIFTS.get(of)!;
  if (i.size === 8) {
    const n = countOf(text, i, 63);
    const a = text.keepPair(text.pair(i.dst));
    quadShift(text, i, n, quad(a, n), rotates);
  } else {
    const n = countOf(text, i, 31);
    const a = text.keep("a", text.narrow(4, i.dst));
    wordShift(text, i, n, word(a, n), rotates);
  }
}

/** OF of a double shift says whether the sign changed. */
const signChange = (carry: string, before: string, after: string): string => `(${carry})^((${before}^${after})>>>31)`;
function doubleShift(
  of: Sized,
  quad: (a: Halves, b: Halves, n: string) => Halves & { carry: string },
  word: (a: string, b: string, n: string) => { r: string; carry: string },
): void {
  table.set(of.quad, (text, i) => {
    const n = countOf(text, i, 63);
    const [a, b] = [text.keepPair(text.pair(i.dst)), text.keepPair(text.pair(i.src))];
    const shifted = quad(a, b, n);
    quadShift(text, i, n, { ...shifted, apart: signChange(shifted.carry, a.hi, "$hi") }, false);
  });
  table.set(of.narrow, (text, i) => {
    const n = countOf(text, i, 31);
    const [a, b] = [text.keep("a", text.narrow(4, i.dst)), text.keep("b", text.narrow(4, i.src))];
    const shifted = word(a, b, n);
    wordShift(text, i, n, { ...shifted, apart: signChange(shifted.carry, a, "$r") }, false);
  });
}
// By 0 the result is the first operand: words that come from the second are then shifted out altogether.
doubleShift(
  shift.shld,
  (a, b, n) => ({
    lo: `${n}<32?${upperOf(a.lo, b.hi, n)}:${upperOf(b.hi, b.lo, n)}`,
    hi: `${n}<32?${upperOf(a.hi, a.lo, n)}:${upperOf(a.lo, b.hi, n)}`,
    carry: outLeft(a, n),
  }),
  (a, b, n) => ({ r: upperOf(a, b, n), carry: `(${a}>>>(32-${n}))&1` }),
);
doubleShift(
  shift.shrd,
  (a, b, n) => ({
    lo: `${n}<32?${lowerOf(a.lo, a.hi, n)}:${lowerOf(a.hi, b.lo, n)}`,
    hi: `${n}<32?${lowerOf(a.hi, b.lo, n)}:${lowerOf(b.lo, b.hi, n)}`,
    carry: outRight(a, n),
  }),
  (a, b, n) => ({ r: lowerOf(a, b, n), carry: `(${a}>>>(${n}-1))&1` }),
);

const overflowed = (condition: string): string => `((${condition})?-0x80000000:0)`;
/** A product of double width. */
function product(of: Sized, signed: boolean): void {
  table.set(of.quad, (text, i) => {
    const [a, b] = [text.pair(Slot.Rax), text.pair(i.src)];
    text.add(`${signed ? "multiplySigned" : "multiplyPairs"}(${a.lo},${a.hi},${b.lo},${b.hi});`);
    const low = text.keepPair({ lo: "product[0]", hi: "product[1]" });
    const high = text.keepPair({ lo: "product[2]", hi: "product[3]" });
    text.setPair(Slot.Rax, low);
    text.setPair(Slot.Rdx, high);
    const over = signed
      ? `((${high.lo}^(${low.hi}>>31))|(${high.hi}^(${low.hi}>>31)))!==0`
      : `(${high.lo}|${high.hi})!==0`;
    text.flags = { ...flagsOfPair(low.lo, low.hi, "0", "0"), carry: overflowed(over) };
  });
  table.set(of.narrow, (text, i) => {
    const [a, b] = [text.keep("a", text.narrow(4, Slot.Rax)), text.keep("b", text.narrow(4, i.src))];
    const lo = text.keep("r", `Math.imul(${a},${b})`);
    const unsigned = `highProduct(${a},${b})`;
    const hi = text.keep("r", signed ? `(${unsigned}-(${a}<0?${b}:0)-(${b}<0?${a}:0))|0` : unsigned);
    text.setNarrow(4, Slot.Rax, lo);
    text.setNarrow(4, Slot.Rdx, hi);
    text.flags = {
      ...flagsOf(i, lo, "0", "0"),
      carry: overflowed(signed ? `${hi}!==(${lo}>>31)` : `${hi}!==0`),
    };
  });
}
product(multiply.mul, false);
product(multiply.imul1, true);

/** A division; flags stay. */
function quotient(of: Required<Sized>, byPair: string, byWord: string): void {
  const leave = (text: CodeText): void => {
    text.add(`===0){st=${division.divideError};`);
    text.leaveFaulted();
    text.add("}");
  };
  table.set(of.quad, (text, i) => {
    const [top, a, b] = [text.pair(Slot.Rdx), text.pair(Slot.Rax), text.pair(i.src)];
    text.add(`if(${byPair}(${top.hi},${top.lo},${a.hi},${a.lo},${b.hi},${b.lo})`);
    leave(text);
    text.setPair(Slot.Rax, { lo: "result[0]", hi: "result[1]" });
    text.setPair(Slot.Rdx, { lo: "result[2]", hi: "result[3]" });
  });
  table.set(of.word, (text, i) => {
    text.add(`if(${byWord}(${text.narrow(4, Slot.Rdx)},${text.narrow(4, Slot.Rax)},${text.narrow(4, i.src)})`);
    leave(text);
    text.setNarrow(4, Slot.Rax, "result[0]");
    text.setNarrow(4, Slot.Rdx, "result[2]");
  });
}
quotient(division.div, "divide", "divideWord");
quotient(division.idiv, "divideSigned", "divideSignedWord");
