/**
 * One decoded instruction in the interpreter's own form: what to run, and every operand resolved to a slot or a
 * constant.
 */
import type { Context } from "./context.js";

/** Executes one instruction. @returns 0 or a status as in port.ts */
export type Handler = (c: Context, i: Instruction) => number;

/** Status: a repeated string instruction let go before its count was used up; RIP stays on it. */
export const REPEAT = 1 << 25;
/** Status: execution stops (shutdown or something the interpreter does not do); the reason is in the context. */
export const STOPPED = 1 << 26;

/** No handler. Never run. */
const nothing: Handler = () => 0;

/**
 * All fields are always present, so every handler sees one shape. Register operands are indices in units of their own
 * size (bytes into `u8`, 16-bit units into `u16`, words into `s`).
 */
export class Instruction {
  /** Does the whole instruction. */
  run: Handler = nothing;
  /** The operation on registers, for handlers that add a memory access around it. */
  op: Handler = nothing;
  dst = 0;
  src = 0;
  /** Third operand. */
  src2 = 0;
  /** Whether the source is the immediate. */
  imm = false;
  immLo = 0;
  immHi = 0;
  /** Operand size, bytes: 1, 2, 4 or 8. */
  size = 0;
  /** 32 less the operand's bits, for operands up to 32 bits. */
  shift = 0;
  /** Size of the memory operand, bytes. */
  memory = 0;
  /** Bits of Access for it. */
  access = 0;
  base = 32;
  index = 32;
  scale = 0;
  dispLo = 0;
  dispHi = 0;
  /** Slot of the segment base. */
  segment = 32;
  /** Address size 4 or 8, bytes. */
  addressSize = 8;
  /** Whether the operand is reached through SS: a non-canonical address is then #SS. */
  stack = false;
  /** Condition code 0 to 15, as in Jcc opcodes. */
  cc = 0;
  /** 0 none, 1 REP or REPE, 2 REPNE. */
  repeat = 0;
  /** May store to memory. */
  writes = false;
  /** Last of its block. */
  ends = false;
  /** First of its block: what it reads includes the instructions before it. */
  first = false;
  /** Bytes. */
  length = 0;
  ipLo = 0;
  ipHi = 0;
  nextLo = 0;
  nextHi = 0;
  targetLo = 0;
  targetHi = 0;
  /** iced's Mnemonic, for messages. */
  mnemonic = 0;
}
