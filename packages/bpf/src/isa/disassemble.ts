/**
 * Text of eBPF instructions in the notation that kernel, libbpf and LLVM share, one line a slot; `assemble` reads it
 * back.
 */
import { hex } from "@kreplica/hw-x86/api";
import {
  Alu,
  Atomic,
  bytesOf,
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
  SOURCE_REGISTER,
} from "./opcode.js";
import type { Code } from "./code.js";

const ALU_SIGN: Readonly<Record<number, string>> = {
  [Alu.Add]: "+=",
  [Alu.Sub]: "-=",
  [Alu.Mul]: "*=",
  [Alu.Div]: "/=",
  [Alu.Or]: "|=",
  [Alu.And]: "&=",
  [Alu.Lsh]: "<<=",
  [Alu.Rsh]: ">>=",
  [Alu.Mod]: "%=",
  [Alu.Xor]: "^=",
  [Alu.Mov]: "=",
  [Alu.Arsh]: "s>>=",
};
const JMP_SIGN: Readonly<Record<number, string>> = {
  [Jmp.Jeq]: "==",
  [Jmp.Jgt]: ">",
  [Jmp.Jge]: ">=",
  [Jmp.Jset]: "&",
  [Jmp.Jne]: "!=",
  [Jmp.Jsgt]: "s>",
  [Jmp.Jsge]: "s>=",
  [Jmp.Jlt]: "<",
  [Jmp.Jle]: "<=",
  [Jmp.Jslt]: "s<",
  [Jmp.Jsle]: "s<=",
};
const ATOMIC_SIGN: Readonly<Record<number, string>> = {
  [Atomic.Add]: "+=",
  [Atomic.Or]: "|=",
  [Atomic.And]: "&=",
  [Atomic.Xor]: "^=",
};
const ATOMIC_NAME: Readonly<Record<number, string>> = {
  [Atomic.Add]: "add",
  [Atomic.Or]: "or",
  [Atomic.And]: "and",
  [Atomic.Xor]: "xor",
};
const PSEUDO: Readonly<Record<number, string>> = {
  [Pseudo.None]: "",
  [Pseudo.MapFd]: "map_fd ",
  [Pseudo.MapValue]: "map_value ",
  [Pseudo.BtfId]: "btf_id ",
  [Pseudo.Func]: "func ",
  [Pseudo.MapIndex]: "map_index ",
  [Pseudo.MapIndexValue]: "map_index_value ",
};

const signed = (n: number): string => (n < 0 ? `-${-n}` : `+${n}`);
const place = (bits: number, prefix: string, register: number, offset: number): string =>
  `*(${prefix}${bits} *)(r${register} ${signed(offset)})`;

/**
 * The instruction in slot `at` as text. The second slot of a 64-bit load is the empty string; an opcode that is no
 * instruction shows as `.slot` with its raw fields, so that every stream has a text.
 */
export function disassembleOne(code: Code, at: number): string {
  const op = code.opcode[at]!,
    dst = code.dst[at]!,
    src = code.src[at]!,
    off = code.offset[at]!,
    imm = code.imm[at]!;
  const raw = `.slot ${hex(op)} ${dst} ${src} ${off} ${imm}`;
  const clean = (text: string, canonical: boolean): string => (canonical ? text : raw);
  const bits = bytesOf(op) * 8;
  switch (op & 7) {
    case Class.Ld: {
      if (op === LD_IMM64) {
        if (at + 1 >= code.length || src > Pseudo.MapIndexValue || off !== 0) return raw;
        if (code.opcode[at + 1] !== 0 || code.dst[at + 1] !== 0 || code.src[at + 1] !== 0 || code.offset[at + 1] !== 0)
          return raw;
        const value = src === Pseudo.None ? hex(code.imm64(at)) : `${imm} ${code.imm[at + 1]}`;
        return `r${dst} = ${PSEUDO[src]}${value} ll`;
      }
      if ((op & 0xe0) === Mode.Abs && bits < 64)
        return clean(`r0 = *(u${bits} *)skb[${imm}]`, dst === 0 && src === 0 && off === 0);
      if ((op & 0xe0) === Mode.Ind && bits < 64)
        return clean(`r0 = *(u${bits} *)skb[r${src} ${signed(imm)}]`, dst === 0 && off === 0);
      return raw;
    }
    case Class.Ldx:
      if ((op & 0xe0) === Mode.Mem) return clean(`r${dst} = ${place(bits, "u", src, off)}`, imm === 0);
      if ((op & 0xe0) === Mode.MemSx && bits < 64) return clean(`r${dst} = ${place(bits, "s", src, off)}`, imm === 0);
      return raw;
    case Class.St:
      return (op & 0xe0) === Mode.Mem ? clean(`${place(bits, "u", dst, off)} = ${imm}`, src === 0) : raw;
    case Class.Stx:
      if ((op & 0xe0) === Mode.Mem) return clean(`${place(bits, "u", dst, off)} = r${src}`, imm === 0);
      return (op & 0xe0) === Mode.Atomic && bits >= 32 ? (atomicText(bits, dst, src, off, imm) ?? raw) : raw;
    case Class.Alu:
    case Class.Alu64:
      return aluText(op, dst, src, off, imm) ?? raw;
    default:
      return jumpText(op, dst, src, off, imm) ?? raw;
  }
}

function atomicText(bits: number, dst: number, src: number, off: number, imm: number): string | undefined {
  const where = place(bits, "u", dst, off);
  const letter = bits === 64 ? "r" : "w";
  const call = (name: string): string =>
    `atomic${bits === 64 ? "64" : ""}_${name}((u${bits} *)(r${dst} ${signed(off)})`;
  if (imm === Atomic.Cmpxchg) return `${letter}0 = ${call("cmpxchg")}, ${letter}0, ${letter}${src})`;
  if (imm === Atomic.Xchg) return `${letter}${src} = ${call("xchg")}, ${letter}${src})`;
  const name = ATOMIC_NAME[imm & ~Atomic.Fetch];
  if ((imm & Atomic.Fetch) !== 0 && name) return `${letter}${src} = ${call(`fetch_${name}`)}, ${letter}${src})`;
  return ATOMIC_SIGN[imm] ? `lock ${where} ${ATOMIC_SIGN[imm]} ${letter}${src}` : undefined;
}

function aluText(op: number, dst: number, src: number, off: number, imm: number): string | undefined {
  const wide = (op & 7) === Class.Alu64;
  const letter = wide ? "r" : "w";
  const fromRegister = (op & SOURCE_REGISTER) !== 0;
  const kind = op & 0xf0;
  if (kind === Alu.Neg)
    return fromRegister || src !== 0 || off !== 0 || imm !== 0 ? undefined : `${letter}${dst} = -${letter}${dst}`;
  if (kind === Alu.End) {
    if (src !== 0 || off !== 0 || (imm !== 16 && imm !== 32 && imm !== 64) || (wide && fromRegister)) return undefined;
    return `r${dst} = ${wide ? "bswap" : fromRegister ? "be" : "le"}${imm} r${dst}`;
  }
  let sign = ALU_SIGN[kind];
  if (sign === undefined || (fromRegister ? imm !== 0 : src !== 0)) return undefined;
  const divides = kind === Alu.Div || kind === Alu.Mod;
  if (divides && off === 1) sign = `s${sign}`;
  else if (kind === Alu.Mov && off !== 0) {
    if (!fromRegister || (off !== 8 && off !== 16 && (off !== 32 || !wide))) return undefined;
    return `${letter}${dst} = (s${off})${letter}${src}`;
  } else if (off !== 0) return undefined;
  return `${letter}${dst} ${sign} ${fromRegister ? `${letter}${src}` : imm}`;
}

function jumpText(op: number, dst: number, src: number, off: number, imm: number): string | undefined {
  if (op === EXIT) return dst === 0 && src === 0 && off === 0 && imm === 0 ? "exit" : undefined;
  if (op === JA) return dst === 0 && src === 0 && imm === 0 ? `goto ${signed(off)}` : undefined;
  if (op === JA_LONG) return dst === 0 && src === 0 && off === 0 ? `gotol ${signed(imm)}` : undefined;
  if (op === CALL) {
    if (dst !== 0 || off !== 0) return undefined;
    if (src === CallKind.Helper) return `call ${imm}`;
    return src === CallKind.Local ? `call pc${signed(imm)}` : src === CallKind.Kfunc ? `call kfunc ${imm}` : undefined;
  }
  const sign = JMP_SIGN[op & 0xf0];
  if (sign === undefined) return undefined;
  const letter = (op & 7) === Class.Jmp ? "r" : "w";
  const fromRegister = (op & SOURCE_REGISTER) !== 0;
  if (fromRegister ? imm !== 0 : src !== 0) return undefined;
  return `if ${letter}${dst} ${sign} ${fromRegister ? `${letter}${src}` : imm} goto ${signed(off)}`;
}

/** Whole listing: `slot: (opcode) text`, a line for each instruction. */
export function disassemble(code: Code): string[] {
  const lines: string[] = [];
  for (let i = 0; i < code.length; i++) {
    const text = disassembleOne(code, i);
    lines.push(`${i}: (${code.opcode[i]!.toString(16).padStart(2, "0")}) ${text}`);
    if (code.opcode[i] === LD_IMM64 && !text.startsWith(".slot")) i++;
  }
  return lines;
}
