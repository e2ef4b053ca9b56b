/** Assembler for the notation that `disassemble` writes, with labels: what tests and examples are written in. */
import { BpfError } from "../errors.js";
import { Code } from "./code.js";
import {
  Alu,
  Atomic,
  CALL,
  CallKind,
  Class,
  EXIT,
  JA,
  JA_LONG,
  Jmp,
  LD_IMM64,
  Mode,
  Pseudo,
  Size,
  SOURCE_REGISTER,
} from "./opcode.js";

const ALU: Readonly<Record<string, Alu>> = {
  "+=": Alu.Add,
  "-=": Alu.Sub,
  "*=": Alu.Mul,
  "/=": Alu.Div,
  "|=": Alu.Or,
  "&=": Alu.And,
  "<<=": Alu.Lsh,
  ">>=": Alu.Rsh,
  "%=": Alu.Mod,
  "^=": Alu.Xor,
  "=": Alu.Mov,
  "s>>=": Alu.Arsh,
  "s/=": Alu.Div,
  "s%=": Alu.Mod,
};
const JMP: Readonly<Record<string, Jmp>> = {
  "==": Jmp.Jeq,
  ">": Jmp.Jgt,
  ">=": Jmp.Jge,
  "&": Jmp.Jset,
  "!=": Jmp.Jne,
  "s>": Jmp.Jsgt,
  "s>=": Jmp.Jsge,
  "<": Jmp.Jlt,
  "<=": Jmp.Jle,
  "s<": Jmp.Jslt,
  "s<=": Jmp.Jsle,
};
const ATOMIC: Readonly<Record<string, Atomic>> = {
  "+=": Atomic.Add,
  "|=": Atomic.Or,
  "&=": Atomic.And,
  "^=": Atomic.Xor,
  add: Atomic.Add,
  or: Atomic.Or,
  and: Atomic.And,
  xor: Atomic.Xor,
};
const PSEUDO: Readonly<Record<string, Pseudo>> = {
  "": Pseudo.None,
  map_fd: Pseudo.MapFd,
  map_value: Pseudo.MapValue,
  btf_id: Pseudo.BtfId,
  func: Pseudo.Func,
  map_index: Pseudo.MapIndex,
  map_index_value: Pseudo.MapIndexValue,
};
const SIZE: Readonly<Record<string, Size>> = { 8: Size.Byte, 16: Size.Half, 32: Size.Word, 64: Size.Double };

type Slot = readonly [opcode: number, dst: number, src: number, offset: number, imm: number];
/** What a line wants from a label: the distance goes into `offset` (jumps) or `imm` (long jumps, local calls). */
interface Fixup {
  readonly at: number;
  readonly label: string;
  readonly into: "offset" | "imm";
  readonly line: number;
}

const R = "([rw])(\\d+)",
  N = "([+-]?(?:0x[0-9a-f]+|\\d+))",
  PLACE = "\\*\\(([us])(8|16|32|64) ?\\*\\)\\(r(\\d+) ?([+-] ?(?:0x[0-9a-f]+|\\d+))\\)",
  TO = "([+-]\\d+|[a-z_.$][\\w.$]*)";
const form = (source: string): RegExp => new RegExp(`^${source.replaceAll(" ", "\\s*")}$`, "i");
const FORMS = {
  slot: /^\.slot\s+(\S+)\s+(\d+)\s+(\d+)\s+(-?\d+)\s+(-?\d+)$/,
  exit: /^exit$/,
  goto: form(`goto(l)?\\s+${TO}`),
  call: /^call\s+(?:(kfunc)\s+)?(pc[+-]\d+|-?\d+|[a-z_.$][\w.$]*)$/i,
  branch: form(`if\\s+${R} (s?[<>]=?|==|!=|&) (?:([rw])(\\d+)|${N})\\s+goto\\s+${TO}`),
  imm64: form(
    `r(\\d+) = (?:(map_fd|map_value|btf_id|func|map_index|map_index_value)\\s+)?(-?(?:0x[0-9a-f]+|\\d+))(?:\\s+(-?\\d+))?\\s+ll`,
  ),
  skb: form(`r0 = \\*\\(u(8|16|32) \\*\\)skb\\[(?:r(\\d+)\\s*)?${N}?\\]`),
  load: form(`r(\\d+) = ${PLACE}`),
  storeRegister: form(`${PLACE} = r(\\d+)`),
  store: form(`${PLACE} = ${N}`),
  lock: form(`lock\\s+${PLACE} ([+|&^]=) ([rw])(\\d+)`),
  fetch: form(
    `([rw])(\\d+) = atomic(?:64)?_(cmpxchg|xchg|fetch_(?:add|or|and|xor))\\(\\(u(32|64) \\*\\)\\(r(\\d+) ([+-] ?\\d+)\\)(?:, [rw]0(?=,))?, ([rw])(\\d+)\\)`,
  ),
  negate: form(`${R} = -${R}`),
  swap: form(`r(\\d+) = (le|be|bswap)(16|32|64)\\s+r(\\d+)`),
  extend: form(`${R} = \\(s(8|16|32)\\)${R}`),
  alu: form(`${R} (s?[/%]=|s?>>=|<<=|[-+*|&^]=|=) (?:([rw])(\\d+)|${N})`),
};

/**
 * Assembles a text, one instruction a line (or between `;`), `label:` before an instruction, `//` or `#` for comments.
 * Jumps and local calls take `+n`, `-n` (slots, from the next instruction) or a label.
 *
 * @throws BpfError `assemble-syntax`, `assemble-label` or `assemble-range`, with the line from 1
 */
export function assemble(text: string): Code {
  const slots: Slot[] = [],
    fixups: Fixup[] = [],
    labels = new Map<string, number>();
  text.split("\n").forEach((whole, index) => {
    const line = index + 1;
    for (const part of whole.replace(/(\/\/|#).*$/, "").split(";")) {
      let rest = part.trim();
      for (let label = /^([a-z_.$][\w.$]*):/i.exec(rest); label; label = /^([a-z_.$][\w.$]*):/i.exec(rest)) {
        labels.set(label[1]!, slots.length);
        rest = rest.slice(label[0].length).trim();
      }
      if (rest === "") continue;
      const made = instruction(rest, (label, into) => fixups.push({ at: slots.length, label, into, line }));
      if (!made)
        throw new BpfError(
          "assemble-syntax",
          { line },
          `"${rest}" is no instruction; write it as llvm-objdump -d prints it`,
        );
      for (const slot of made) {
        // A byte of opcode, four bits of register, 16 bits of offset, 32 of immediate: anything else would be cut
        // silently.
        const [, dst, src, offset, imm] = slot;
        if (dst > 15 || src > 15 || offset < -0x8000 || offset > 0x7fff || imm < -0x8000_0000 || imm > 0xffff_ffff) {
          throw new BpfError(
            "assemble-range",
            { line },
            `"${rest}" has a register, offset or immediate that does not fit its field`,
          );
        }
        slots.push(slot);
      }
    }
  });
  const code = new Code(slots.length);
  slots.forEach((slot, at) => code.set(at, ...slot));
  for (const { at, label, into, line } of fixups) {
    const target = labels.get(label);
    if (target === undefined) throw new BpfError("assemble-label", { line }, `no label "${label}" in this text`);
    code[into][at] = target - at - 1;
  }
  return code;
}

type Want = (label: string, into: "offset" | "imm") => void;

function instruction(text: string, want: Want): Slot[] | undefined {
  let m: RegExpExecArray | null;
  const reg = (index: number): number => Number(m![index]);
  const num = (index: number): number => number(m![index]!);
  const size = (index: number): number => SIZE[m![index]!]!;
  const jump = (target: string, into: "offset" | "imm"): number => {
    if (/^[+-]/.test(target)) return Number(target);
    want(target, into);
    return 0;
  };
  if ((m = FORMS.slot.exec(text))) return [[num(1) & 255, reg(2), reg(3), num(4), num(5)]];
  if (FORMS.exit.test(text)) return [[EXIT, 0, 0, 0, 0]];
  if ((m = FORMS.goto.exec(text)))
    return m[1] ? [[JA_LONG, 0, 0, 0, jump(m[2]!, "imm")]] : [[JA, 0, 0, jump(m[2]!, "offset"), 0]];
  if ((m = FORMS.call.exec(text))) {
    if (/^-?\d/.test(m[2]!)) return [[CALL, 0, m[1] ? CallKind.Kfunc : CallKind.Helper, 0, Number(m[2])]];
    return m[1] ? undefined : [[CALL, 0, CallKind.Local, 0, jump(m[2]!.replace(/^pc(?=[+-])/, ""), "imm")]];
  }
  if ((m = FORMS.branch.exec(text))) {
    const op = JMP[m[3]!]! | (m[1] === "r" ? Class.Jmp : Class.Jmp32);
    if (m[4] && m[4] !== m[1]) return undefined;
    return [[op | (m[4] ? SOURCE_REGISTER : 0), reg(2), m[4] ? reg(5) : 0, jump(m[7]!, "offset"), m[4] ? 0 : num(6)]];
  }
  if ((m = FORMS.imm64.exec(text))) {
    const value = BigInt.asUintN(64, m[3]!.startsWith("-") ? -BigInt(m[3]!.slice(1)) : BigInt(m[3]!));
    const high = m[4] === undefined ? Number(BigInt.asIntN(32, value >> 32n)) : Number(m[4]);
    return [
      [LD_IMM64, reg(1), PSEUDO[m[2] ?? ""]!, 0, Number(BigInt.asIntN(32, value))],
      [0, 0, 0, 0, high],
    ];
  }
  if ((m = FORMS.skb.exec(text)))
    return [[Class.Ld | size(1) | (m[2] ? Mode.Ind : Mode.Abs), 0, m[2] ? reg(2) : 0, 0, m[3] ? num(3) : 0]];
  if ((m = FORMS.load.exec(text)))
    return [[Class.Ldx | size(3) | (m[2] === "s" ? Mode.MemSx : Mode.Mem), reg(1), reg(4), num(5), 0]];
  if ((m = FORMS.storeRegister.exec(text))) return [[Class.Stx | size(2) | Mode.Mem, reg(3), reg(5), num(4), 0]];
  if ((m = FORMS.store.exec(text))) return [[Class.St | size(2) | Mode.Mem, reg(3), 0, num(4), num(5)]];
  if ((m = FORMS.lock.exec(text))) return [[Class.Stx | size(2) | Mode.Atomic, reg(3), reg(7), num(4), ATOMIC[m[5]!]!]];
  if ((m = FORMS.fetch.exec(text))) {
    const name = m[3]!;
    const imm =
      name === "cmpxchg" ? Atomic.Cmpxchg : name === "xchg" ? Atomic.Xchg : ATOMIC[name.slice(6)]! | Atomic.Fetch;
    return [[Class.Stx | size(4) | Mode.Atomic, reg(5), reg(8), num(6), imm]];
  }
  if ((m = FORMS.negate.exec(text))) return m[2] === m[4] ? [[Alu.Neg | wide(m[1]!), reg(2), 0, 0, 0]] : undefined;
  if ((m = FORMS.swap.exec(text))) {
    return [
      [
        Alu.End | (m[2] === "bswap" ? Class.Alu64 : Class.Alu) | (m[2] === "be" ? SOURCE_REGISTER : 0),
        reg(1),
        0,
        0,
        reg(3),
      ],
    ];
  }
  if ((m = FORMS.extend.exec(text))) return [[Alu.Mov | wide(m[1]!) | SOURCE_REGISTER, reg(2), reg(5), reg(3), 0]];
  if ((m = FORMS.alu.exec(text))) {
    if (m[4] && m[4] !== m[1]) return undefined;
    const offset = /^s[/%]/.test(m[3]!) ? 1 : 0;
    return [
      [ALU[m[3]!]! | wide(m[1]!) | (m[4] ? SOURCE_REGISTER : 0), reg(2), m[4] ? reg(5) : 0, offset, m[4] ? 0 : num(6)],
    ];
  }
  return undefined;
}

const wide = (letter: string): Class => (letter === "r" ? Class.Alu64 : Class.Alu);
const number = (text: string): number => {
  const compact = text.replace(" ", "");
  return compact.startsWith("-") ? -Number(compact.slice(1)) : Number(compact.replace(/^\+/, ""));
};
