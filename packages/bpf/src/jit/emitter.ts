/**
 * Writes x86-64 instructions into a growing buffer: only the forms that the JIT needs, registers by their hardware
 * number.
 *
 *   REX 0100 W R X B:   W 64-bit operand | R top bit of `reg` | X of index | B of `rm`
 *   ModRM:              mod(7 6) reg(5..3) rm(2..0)
 *
 * @source Intel SDM vol. 2, "Instruction Format", table "32-Bit Addressing Forms with the ModR/M Byte"
 */
export const Reg = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;
/** Condition codes of Jcc, SETcc. @source Intel SDM vol. 2, appendix "EFLAGS Condition Codes" */
export const Condition = {
  below: 2,
  aboveEqual: 3,
  equal: 4,
  notEqual: 5,
  belowEqual: 6,
  above: 7,
  less: 12,
  greaterEqual: 13,
  lessEqual: 14,
  greater: 15,
} as const;
/** Arithmetic group 1 by its /digit; the opcode of the register form is digit * 8 + 1. */
export const Group = { add: 0, or: 1, and: 4, sub: 5, xor: 6, cmp: 7 } as const;
/** Shift group 2 by its /digit. */
export const Shift = { shl: 4, shr: 5, sar: 7 } as const;

export class Emitter {
  private buffer = new Uint8Array(256);
  length = 0;

  /** Bytes written so far: a copy. */
  get bytes(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }

  byte(...values: number[]): void {
    if (this.length + values.length > this.buffer.length) {
      const larger = new Uint8Array(this.buffer.length * 2);
      larger.set(this.buffer);
      this.buffer = larger;
    }
    for (const value of values) this.buffer[this.length++] = value;
  }
  word(value: number): void {
    this.byte(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
  }
  quad(value: bigint): void {
    this.word(Number(BigInt.asIntN(32, value)));
    this.word(Number(BigInt.asIntN(32, value >> 32n)));
  }

  /**
   * Opcode with two registers, `rm` the destination in most.
   * @param force REX even if empty: bytes of rsi, rdi are meant
   */
  private registers(wide: boolean, opcode: readonly number[], reg: number, rm: number, force = false): void {
    const rex = (wide ? 8 : 0) | ((reg >> 3) << 2) | (rm >> 3);
    if (rex !== 0 || force) this.byte(0x40 | rex);
    this.byte(...opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7));
  }

  /** Opcode with a register and memory at `base + displacement`. */
  private memory(
    wide: boolean,
    opcode: readonly number[],
    reg: number,
    base: number,
    displacement: number,
    force = false,
  ): void {
    const rex = (wide ? 8 : 0) | ((reg >> 3) << 2) | (base >> 3);
    if (rex !== 0 || force) this.byte(0x40 | rex);
    const short = displacement >= -128 && displacement <= 127;
    // rm 100 means that a SIB byte follows; mod 00 with rbp or r13 would mean rip-relative, so a displacement always
    // is.
    this.byte(...opcode, (short ? 0x40 : 0x80) | ((reg & 7) << 3) | (base & 7));
    if ((base & 7) === 4) this.byte(0x24);
    if (short) this.byte(displacement & 255);
    else this.word(displacement);
  }

  move(wide: boolean, to: number, from: number): void {
    this.registers(wide, [0x89], from, to);
  }
  /** Shortest form for the value: zero extended 32 bits, sign extended 32 bits, or all 64. */
  moveImmediate(to: number, value: bigint): void {
    const unsigned = BigInt.asUintN(64, value),
      signed = BigInt.asIntN(64, value);
    if (unsigned === 0n) this.registers(false, [0x31], to, to);
    else if (unsigned <= 0xffff_ffffn) {
      if (to >> 3) this.byte(0x41);
      this.byte(0xb8 | (to & 7));
      this.word(Number(unsigned) | 0);
    } else if (signed >= -0x8000_0000n && signed < 0n) {
      this.registers(true, [0xc7], 0, to);
      this.word(Number(signed));
    } else {
      this.byte(0x48 | (to >> 3), 0xb8 | (to & 7));
      this.quad(unsigned);
    }
  }
  /** movsx, movsxd: low `bits` of `from`, sign extended. */
  signExtend(wide: boolean, bits: number, to: number, from: number): void {
    if (bits === 32) this.registers(true, [0x63], to, from);
    else this.registers(wide, [0x0f, bits === 8 ? 0xbe : 0xbf], to, from, bits === 8);
  }
  /** movzx of the low 16 bits. */
  zeroExtend16(to: number, from: number): void {
    this.registers(false, [0x0f, 0xb7], to, from);
  }
  group(wide: boolean, digit: number, to: number, from: number): void {
    this.registers(wide, [digit * 8 + 1], from, to);
  }
  groupImmediate(wide: boolean, digit: number, to: number, value: number): void {
    const short = value >= -128 && value <= 127;
    this.registers(wide, [short ? 0x83 : 0x81], digit, to);
    if (short) this.byte(value & 255);
    else this.word(value);
  }
  test(wide: boolean, a: number, b: number): void {
    this.registers(wide, [0x85], b, a);
  }
  testImmediate(wide: boolean, a: number, value: number): void {
    this.registers(wide, [0xf7], 0, a);
    this.word(value);
  }
  negate(wide: boolean, to: number): void {
    this.registers(wide, [0xf7], 3, to);
  }
  multiply(wide: boolean, to: number, from: number): void {
    this.registers(wide, [0x0f, 0xaf], to, from);
  }
  multiplyImmediate(wide: boolean, to: number, value: number): void {
    this.registers(wide, [0x69], to, to);
    this.word(value);
  }
  /** rdx:rax divided by `by`: div, or idiv when signed. */
  divide(wide: boolean, signed: boolean, by: number): void {
    this.registers(wide, [0xf7], signed ? 7 : 6, by);
  }
  /** Sign of rax into rdx: cqo or cdq. */
  signIntoRdx(wide: boolean): void {
    if (wide) this.byte(0x48);
    this.byte(0x99);
  }
  shiftImmediate(wide: boolean, digit: number, to: number, count: number): void {
    this.registers(wide, [0xc1], digit, to);
    this.byte(count);
  }
  /** Shift by cl. */
  shift(wide: boolean, digit: number, to: number): void {
    this.registers(wide, [0xd3], digit, to);
  }
  exchange(a: number, b: number): void {
    this.registers(true, [0x87], a, b);
  }
  swapBytes(wide: boolean, to: number): void {
    const rex = (wide ? 8 : 0) | (to >> 3);
    if (rex) this.byte(0x40 | rex);
    this.byte(0x0f, 0xc8 | (to & 7));
  }
  /** Rotates the low 16 bits by 8: swaps their bytes. */
  swapBytes16(to: number): void {
    this.byte(0x66);
    if (to >> 3) this.byte(0x41);
    this.byte(0xc1, 0xc8 | (to & 7), 8);
  }

  /** Load of 1, 2, 4 or 8 bytes, zero or sign extended to 64 bits. */
  load(bytes: number, signed: boolean, to: number, base: number, displacement: number): void {
    if (bytes === 8) this.memory(true, [0x8b], to, base, displacement);
    else if (bytes === 4) this.memory(signed, [signed ? 0x63 : 0x8b], to, base, displacement);
    else this.memory(signed, [0x0f, (signed ? 0xbe : 0xb6) + (bytes === 2 ? 1 : 0)], to, base, displacement);
  }
  store(bytes: number, from: number, base: number, displacement: number): void {
    if (bytes === 2) this.byte(0x66);
    // Without REX, registers 4 to 7 in byte stores mean ah to bh.
    this.memory(bytes === 8, [bytes === 1 ? 0x88 : 0x89], from, base, displacement, bytes === 1);
  }
  storeImmediate(bytes: number, value: number, base: number, displacement: number): void {
    if (bytes === 2) this.byte(0x66);
    this.memory(bytes === 8, [bytes === 1 ? 0xc6 : 0xc7], 0, base, displacement);
    if (bytes === 1) this.byte(value & 255);
    else if (bytes === 2) this.byte(value & 255, (value >> 8) & 255);
    else this.word(value);
  }
  /** lock op [base + displacement], from */
  lockGroup(wide: boolean, digit: number, from: number, base: number, displacement: number): void {
    this.byte(0xf0);
    this.memory(wide, [digit * 8 + 1], from, base, displacement);
  }
  lockExchangeAdd(wide: boolean, from: number, base: number, displacement: number): void {
    this.byte(0xf0);
    this.memory(wide, [0x0f, 0xc1], from, base, displacement);
  }
  lockCompareExchange(wide: boolean, from: number, base: number, displacement: number): void {
    this.byte(0xf0);
    this.memory(wide, [0x0f, 0xb1], from, base, displacement);
  }
  exchangeMemory(wide: boolean, from: number, base: number, displacement: number): void {
    this.memory(wide, [0x87], from, base, displacement);
  }
  addressOf(to: number, base: number, displacement: number): void {
    this.memory(true, [0x8d], to, base, displacement);
  }
  push(register: number): void {
    if (register >> 3) this.byte(0x41);
    this.byte(0x50 | (register & 7));
  }
  pop(register: number): void {
    if (register >> 3) this.byte(0x41);
    this.byte(0x58 | (register & 7));
  }
  /** Conditional jump; the distance counts from the end of the instruction. @returns where its four bytes lie */
  jumpIf(condition: number, distance = 0): number {
    this.byte(0x0f, 0x80 | condition);
    this.word(distance);
    return this.length - 4;
  }
  /** Two-byte conditional jump. @returns where its one byte lies */
  jumpIfShort(condition: number): number {
    this.byte(0x70 | condition, 0);
    return this.length - 1;
  }
  jump(distance = 0): number {
    this.byte(0xe9);
    this.word(distance);
    return this.length - 4;
  }
  jumpShort(): number {
    this.byte(0xeb, 0);
    return this.length - 1;
  }
  call(distance = 0): number {
    this.byte(0xe8);
    this.word(distance);
    return this.length - 4;
  }
  callRegister(register: number): void {
    this.registers(false, [0xff], 2, register);
  }
  jumpRegister(register: number): void {
    this.registers(false, [0xff], 4, register);
  }
  jumpMemory(base: number, displacement: number): void {
    this.memory(false, [0xff], 4, base, displacement);
  }
  groupMemoryImmediate(wide: boolean, digit: number, base: number, displacement: number, value: number): void {
    this.memory(wide, [0x83], digit, base, displacement);
    this.byte(value & 255);
  }
  compareMemory(wide: boolean, register: number, base: number, displacement: number): void {
    this.memory(wide, [0x39], register, base, displacement);
  }
  /** Makes a short jump, whose byte lies at `at`, lead here. */
  landShort(at: number): void {
    this.buffer[at] = this.length - at - 1;
  }
  /** Writes four bytes over earlier ones. */
  patch(at: number, value: number): void {
    for (let i = 0; i < 4; i++) this.buffer[at + i] = (value >> (8 * i)) & 255;
  }
  leave(): void {
    this.byte(0xc9);
  }
  ret(): void {
    this.byte(0xc3);
  }
  /** nopl 0x0(%rax,%rax,1): the five-byte no-op where a call can be written later. */
  nop5(): void {
    this.byte(0x0f, 0x1f, 0x44, 0x00, 0x00);
  }
}
