/**
 * The numbers of the eBPF instruction set: classes, sizes, modes, operations, and what the `src` field means in the
 * instructions that use it as a tag.
 *
 *   opcode of ALU, JMP:   7 .. 4 operation | 3 source (0 immediate, 1 register) | 2 .. 0 class
 *   opcode of LD, ST:     7 .. 5 mode      | 4 3 size                           | 2 .. 0 class
 *
 * @source RFC 9669, "BPF Instruction Set Architecture (ISA)", tables of opcodes.
 */
export const enum Class {
  Ld = 0,
  Ldx = 1,
  St = 2,
  Stx = 3,
  Alu = 4,
  Jmp = 5,
  Jmp32 = 6,
  Alu64 = 7,
}
export const enum Size {
  Word = 0x00,
  Half = 0x08,
  Byte = 0x10,
  Double = 0x18,
}
export const enum Mode {
  Imm = 0x00,
  Abs = 0x20,
  Ind = 0x40,
  Mem = 0x60,
  MemSx = 0x80,
  Atomic = 0xc0,
}
/** Bit 3 of ALU and JMP opcodes: the second operand is a register. */
export const SOURCE_REGISTER = 0x08;
export const enum Alu {
  Add = 0x00,
  Sub = 0x10,
  Mul = 0x20,
  Div = 0x30,
  Or = 0x40,
  And = 0x50,
  Lsh = 0x60,
  Rsh = 0x70,
  Neg = 0x80,
  Mod = 0x90,
  Xor = 0xa0,
  Mov = 0xb0,
  Arsh = 0xc0,
  End = 0xd0,
}
export const enum Jmp {
  Ja = 0x00,
  Jeq = 0x10,
  Jgt = 0x20,
  Jge = 0x30,
  Jset = 0x40,
  Jne = 0x50,
  Jsgt = 0x60,
  Jsge = 0x70,
  Call = 0x80,
  Exit = 0x90,
  Jlt = 0xa0,
  Jle = 0xb0,
  Jslt = 0xc0,
  Jsle = 0xd0,
}
/** Immediate of an atomic instruction; `Fetch` says that the old value goes into the source register. */
export const enum Atomic {
  Add = 0x00,
  Or = 0x40,
  And = 0x50,
  Xor = 0xa0,
  Fetch = 0x01,
  Xchg = 0xe1,
  Cmpxchg = 0xf1,
}
/** `src` of a call. */
export const enum CallKind {
  Helper = 0,
  Local = 1,
  Kfunc = 2,
}
/** `src` of a 64-bit immediate load: what the number stands for until the loader has put an address there. */
export const enum Pseudo {
  None = 0,
  MapFd = 1,
  MapValue = 2,
  BtfId = 3,
  Func = 4,
  MapIndex = 5,
  MapIndexValue = 6,
}

/** First byte of the two-slot 64-bit immediate load. */
export const LD_IMM64 = 0x18;
export const CALL = 0x85;
export const EXIT = 0x95;
/** Unconditional jumps: by `offset` (class JMP) and by `imm` (class JMP32, version 4). */
export const JA = 0x05;
export const JA_LONG = 0x06;

/** Bytes of an access, from the size field of a load or store opcode. */
export const bytesOf = (opcode: number): number => {
  const size = opcode & 0x18;
  return size === 0x18 ? 8 : size === 0 ? 4 : size === 8 ? 2 : 1;
};
/** Whether the opcode's class is one that computes (ALU or ALU64). */
export const isAlu = (opcode: number): boolean => ((opcode & 3) === 0 && (opcode & 4) !== 0) || (opcode & 7) === 7;
/** Whether the opcode's class is one that jumps, calls or exits. */
export const isJump = (opcode: number): boolean => (opcode & 7) === 5 || (opcode & 7) === 6;
/** Whether the instruction is a two-way branch. */
export const isConditional = (opcode: number): boolean =>
  isJump(opcode) && (opcode & 0xf0) !== 0x00 && (opcode & 0xf0) !== 0x80 && (opcode & 0xf0) !== 0x90;
