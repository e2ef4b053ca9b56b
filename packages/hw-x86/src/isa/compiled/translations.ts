/**
 * What the frequent instructions do, as text: by the handler that does the same in the interpreter, whose flags and
 * order of effects they keep. An instruction that is not here is done by its handler.
 */
import * as alu from "../alu.js";
import * as move from "../move.js";
import * as system from "../system.js";
import type { Instruction } from "../instruction.js";
import type { Sized } from "../operand.js";
import { Slot } from "../context.js";
import { address } from "./access-text.js";
import type { CodeText, Halves } from "./code-text.js";
import { shiftTranslations } from "./shift-translations.js";
import { carryOf, carryWord, conditionOf, type FlagWords } from "./flag-words.js";
import { flagsOf, flagsOfPair, simple, sized, type Translation, type Translations } from "./translation.js";

/** Every translation there is. */
const table: Translations = new Map(shiftTranslations);
export { table as translations };

const carries = (a: string, b: string, r: string): string => `((${a}&${b})|((${a}|${b})&~${r}))`;
const borrows = (a: string, b: string, r: string): string => `((~${a}&${b})|((~${a}|${b})&${r}))`;

/** Addition, with or without CF. */
const sum =
  (withCarry: boolean): Translation =>
  (text, i) => {
    const extra = withCarry ? `+${text.keep("c", carryOf(text.flags))}` : "";
    const a = text.keep("a", text.narrow(i.size, i.dst));
    const b = text.keep("b", text.source(i));
    const r = text.keep("r", `(${a}+${b}${extra})|0`);
    text.setNarrow(i.size, i.dst, r);
    text.flags = flagsOf(i, r, carries(a, b, r), `(${a}^${b}^${r})`);
  };
const sumPair =
  (withCarry: boolean): Translation =>
  (text, i) => {
    const extra = withCarry ? `+${text.keep("c", carryOf(text.flags))}` : "";
    const a = text.keepPair(text.pair(i.dst));
    const b = text.keepPair(text.sourcePair(i));
    const lo = text.keep("r", `(${a.lo}+${b.lo}${extra})|0`);
    const hi = text.keep("r", `(${a.hi}+${b.hi}+(${carries(a.lo, b.lo, lo)}>>>31))|0`);
    text.setPair(i.dst, { lo, hi });
    text.flags = flagsOfPair(lo, hi, carries(a.hi, b.hi, hi), `(${a.lo}^${b.lo}^${lo})`);
  };
sized(table, alu.add, sum(false), sumPair(false));
sized(table, alu.adc, sum(true), sumPair(true));

/** Subtraction. @param keeps whether the difference goes anywhere: not for CMP */
const difference =
  (withBorrow: boolean, keeps: boolean): Translation =>
  (text, i) => {
    const extra = withBorrow ? `-${text.keep("c", carryOf(text.flags))}` : "";
    const a = text.keep("a", text.narrow(i.size, i.dst));
    const b = text.keep("b", text.source(i));
    const r = text.keep("r", `(${a}-${b}${extra})|0`);
    if (keeps) text.setNarrow(i.size, i.dst, r);
    const flags = flagsOf(i, r, borrows(a, b, r), `(${a}^${b}^${r})`);
    const [x, y] = i.shift === 0 ? [a, b] : [`(${a}<<${i.shift})`, `(${b}<<${i.shift})`];
    text.flags = withBorrow
      ? flags
      : { ...flags, equal: `${x}===${y}`, below: `(${x}>>>0)<(${y}>>>0)`, less: `${x}<${y}` };
  };
const differencePair =
  (withBorrow: boolean, keeps: boolean): Translation =>
  (text, i) => {
    const extra = withBorrow ? `-${text.keep("c", carryOf(text.flags))}` : "";
    const a = text.keepPair(text.pair(i.dst));
    const b = text.keepPair(text.sourcePair(i));
    const lo = text.keep("r", `(${a.lo}-${b.lo}${extra})|0`);
    const hi = text.keep("r", `(${a.hi}-${b.hi}-(${borrows(a.lo, b.lo, lo)}>>>31))|0`);
    if (keeps) text.setPair(i.dst, { lo, hi });
    const flags = flagsOfPair(lo, hi, borrows(a.hi, b.hi, hi), `(${a.lo}^${b.lo}^${lo})`);
    text.flags = withBorrow
      ? flags
      : {
          ...flags,
          equal: `((${a.lo}^${b.lo})|(${a.hi}^${b.hi}))===0`,
          below: `${a.hi}===${b.hi}?(${a.lo}>>>0)<(${b.lo}>>>0):(${a.hi}>>>0)<(${b.hi}>>>0)`,
          less: `${a.hi}===${b.hi}?(${a.lo}>>>0)<(${b.lo}>>>0):${a.hi}<${b.hi}`,
        };
  };
sized(table, alu.sub, difference(false, true), differencePair(false, true));
sized(table, alu.sbb, difference(true, true), differencePair(true, true));
sized(table, alu.cmp, difference(false, false), differencePair(false, false));

/** Flags after a bitwise operation: CF, OF and AF are clear. */
function logicFlags(flags: FlagWords): FlagWords {
  return { ...flags, below: "false", less: `(${flags.sign})<0` };
}
function logic(of: Sized, operator: string, keeps: boolean): void {
  sized(
    table,
    of,
    (text, i) => {
      const r = text.keep("r", `${text.narrow(i.size, i.dst)}${operator}${text.source(i)}`);
      if (keeps) text.setNarrow(i.size, i.dst, r);
      text.flags = logicFlags(flagsOf(i, r, "0", "0"));
    },
    (text, i) => {
      const a = text.pair(i.dst);
      const b = text.sourcePair(i);
      const lo = text.keep("r", `${a.lo}${operator}${b.lo}`);
      const hi = text.keep("r", `${a.hi}${operator}${b.hi}`);
      if (keeps) text.setPair(i.dst, { lo, hi });
      text.flags = logicFlags(flagsOfPair(lo, hi, "0", "0"));
    },
  );
}
logic(alu.and, "&", true);
logic(alu.or, "|", true);
logic(alu.xor, "^", true);
logic(alu.test, "&", false);

/** CF stays as it was: INC, DEC. */
const keepingCarry =
  (translation: Translation): Translation =>
  (text, i) => {
    const before = text.keep("c", `(${carryOf(text.flags)})`);
    translation(text, i);
    const vector = text.keep("v", text.flags.carry);
    text.flags = {
      ...simple(text.flags),
      carry: `(${carryWord(before, `${before}^((${vector}^(${vector}<<1))>>>31)`)})`,
    };
  };
sized(table, alu.inc, keepingCarry(sum(false)), keepingCarry(sumPair(false)));
sized(table, alu.dec, keepingCarry(difference(false, true)), keepingCarry(differencePair(false, true)));

sized(
  table,
  alu.neg,
  (text, i) => {
    const b = text.keep("b", text.narrow(i.size, i.dst));
    const r = text.keep("r", `(0-${b})|0`);
    text.setNarrow(i.size, i.dst, r);
    text.flags = flagsOf(i, r, `(${b}|${r})`, `(${b}^${r})`);
  },
  (text, i) => {
    const b = text.keepPair(text.pair(i.dst));
    const lo = text.keep("r", `(0-${b.lo})|0`);
    const hi = text.keep("r", `(0-${b.hi}-(${b.lo}!==0?1:0))|0`);
    text.setPair(i.dst, { lo, hi });
    text.flags = flagsOfPair(lo, hi, `(${b.hi}|${hi})`, `(${b.lo}^${lo})`);
  },
);
sized(
  table,
  alu.not,
  (text, i) => text.setNarrow(i.size, i.dst, text.keep("r", `~${text.narrow(i.size, i.dst)}`)),
  (text, i) => {
    const { lo, hi } = text.pair(i.dst);
    text.setPair(i.dst, text.keepPair({ lo: `~${lo}`, hi: `~${hi}` }));
  },
);

// NOP, ENDBR64, fences and prefetches: compilers put the first two in loops and before functions.
table.set(system.nothing, () => undefined);
sized(
  table,
  move.mov,
  (text, i) => text.setNarrow(i.size, i.dst, text.source(i)),
  (text, i) => text.setPair(i.dst, text.sourcePair(i)),
);
const putAny = (text: CodeText, i: Instruction, value: Halves): void => {
  if (i.size === 8) text.setPair(i.dst, value);
  else text.setNarrow(i.size, i.dst, value.lo);
};
table.set(move.movzx, (text, i) => putAny(text, i, { lo: text.narrow(i.memory, i.src), hi: "0" }));
table.set(move.movsx, (text, i) => {
  const up = 32 - 8 * i.memory;
  const value = text.keep("r", `(${text.narrow(i.memory, i.src)}<<${up})>>${up}`);
  putAny(text, i, { lo: value, hi: `${value}>>31` });
});
table.set(move.lea, (text, i) => putAny(text, i, address(text, i)));
sized(
  table,
  move.xchg,
  (text, i) => {
    const [a, b] = [text.keep("a", text.narrow(i.size, i.dst)), text.keep("b", text.narrow(i.size, i.src))];
    text.setNarrow(i.size, i.dst, b);
    text.setNarrow(i.size, i.src, a);
  },
  (text, i) => {
    const [a, b] = [text.keepPair(text.pair(i.dst)), text.keepPair(text.pair(i.src))];
    text.setPair(i.dst, b);
    text.setPair(i.src, a);
  },
);
table.set(move.cmov, (text, i) => {
  const holds = text.keep("z", conditionOf(text.flags, i.cc));
  if (i.size === 8) {
    const [a, b] = [text.pair(i.dst), text.pair(i.src)];
    text.setPair(i.dst, { lo: `${holds}?${b.lo}:${a.lo}`, hi: `${holds}?${b.hi}:${a.hi}` });
  } else {
    const [a, b] = [text.narrow(i.size, i.dst), text.narrow(i.size, i.src)];
    text.setNarrow(i.size, i.dst, `${holds}?${b}:${a}`);
  }
});
table.set(move.setcc, (text, i) => text.setNarrow(1, i.dst, `${conditionOf(text.flags, i.cc)}?1:0`));
table.set(move.extendAccumulator, (text, i) => {
  if (i.size === 8) {
    const { lo } = text.pair(Slot.Rax);
    text.setPair(Slot.Rax, { lo, hi: `${lo}>>31` });
  } else {
    const up = i.size === 4 ? 16 : 24;
    text.setNarrow(i.size, 0, `(${text.narrow(i.size >> 1, 0)}<<${up})>>${up}`);
  }
});
table.set(move.spreadSign, (text, i) => {
  const { lo, hi } = text.pair(Slot.Rax);
  const sign = text.keep("r", `${i.size === 8 ? hi : i.size === 4 ? lo : `(${lo}<<16)`}>>31`);
  if (i.size === 2) text.setNarrow(2, Slot.Rdx * 2, sign);
  else if (i.size === 4) text.setNarrow(4, Slot.Rdx, sign);
  else text.setPair(Slot.Rdx, { lo: sign, hi: sign });
});
