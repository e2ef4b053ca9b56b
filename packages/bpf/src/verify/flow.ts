/**
 * What can be said of a program before following it: every instruction is one, jumps stay inside their function, every
 * instruction can be reached, and where two paths can meet.
 */
import type { Code } from "../isa/code.js";
import { CALL, CallKind, EXIT, isAlu, isConditional, isJump, JA, JA_LONG, LD_IMM64, Pseudo } from "../isa/opcode.js";
import type { VerifierErrorCode } from "../errors.js";

/** Throws the verifier's error for an instruction. */
export type Reject = (code: VerifierErrorCode, instruction: number, detail: string) => never;

export interface Flow {
  /** First slots of all functions, ascending; the program's own is 0. */
  readonly functions: readonly number[];
  /** 1 where paths can meet: states are compared there. */
  readonly meets: Uint8Array;
  /** First slot of the function that holds a slot. */
  functionOf(slot: number): number;
}

/** Most slots of a program for a privileged user. @source Linux, BPF design questions and answers */
export const MOST_SLOTS = 1_000_000;

/** @param known whether this opcode with these fields is an instruction; the notation decides that: it has a text */
export function analyseFlow(code: Code, known: (slot: number) => boolean, reject: Reject): Flow {
  if (code.length === 0) return reject("verify-empty", 0, "the program has no instruction");
  if (code.length > MOST_SLOTS)
    return reject("verify-too-long", MOST_SLOTS, `${code.length} instructions, ${MOST_SLOTS} at most`);
  const second = new Uint8Array(code.length);
  const starts = new Set([0]);
  for (let i = 0; i < code.length; i++) {
    const op = code.opcode[i]!;
    if (code.dst[i]! > 10 || code.src[i]! > 10)
      reject("verify-bad-register", i, `R${Math.max(code.dst[i]!, code.src[i]!)} is invalid`);
    if (!known(i))
      reject("verify-bad-opcode", i, `opcode ${op.toString(16).padStart(2, "0")} with these fields is no instruction`);
    if (isAlu(op)) checkAlu(code, i, reject);
    if (op === LD_IMM64) {
      second[++i] = 1;
      if (code.src[i - 1] === Pseudo.Func) starts.add(i + code.imm[i - 1]!);
    } else if (op === CALL && code.src[i] === CallKind.Local) starts.add(i + 1 + code.imm[i]!);
  }
  const functions = [...starts].sort((a, b) => a - b);
  const bad = functions.find((start) => start < 0 || start >= code.length || second[start]);
  if (bad !== undefined)
    reject(
      "verify-bad-subprogram",
      Math.min(Math.max(bad, 0), code.length - 1),
      `a call leads to ${bad}, where no instruction begins`,
    );
  const owner = new Int32Array(code.length);
  for (let i = 0, f = 0; i < code.length; i++) {
    while (f + 1 < functions.length && functions[f + 1]! <= i) f++;
    owner[i] = functions[f]!;
  }
  const meets = new Uint8Array(code.length),
    seen = new Uint8Array(code.length),
    work = [0];
  const go = (from: number, to: number): void => {
    if (to < 0 || to >= code.length || second[to] || owner[to] !== owner[from])
      return reject("verify-jump-range", from, `jump out of range from insn ${from} to ${to}`);
    if (!seen[to]) {
      seen[to] = 1;
      work.push(to);
    }
  };
  seen[0] = 1;
  while (work.length > 0) {
    const i = work.pop()!,
      op = code.opcode[i]!;
    if (op === EXIT) continue;
    if (op === JA || op === JA_LONG) {
      const to = i + 1 + (op === JA ? code.offset[i]! : code.imm[i]!);
      go(i, to);
      meets[to] = 1;
      continue;
    }
    if (isConditional(op)) {
      const to = i + 1 + code.offset[i]!;
      go(i, to);
      meets[to] = 1;
      meets[i] = 1;
    }
    if (op === CALL && code.src[i] === CallKind.Local) {
      const to = i + 1 + code.imm[i]!;
      meets[to] = 1;
      if (!seen[to]) {
        seen[to] = 1;
        work.push(to);
      }
    }
    if (op === LD_IMM64 && code.src[i] === Pseudo.Func) {
      const to = i + 1 + code.imm[i]!;
      if (!seen[to]) {
        seen[to] = 1;
        work.push(to);
      }
    }
    const next = i + (op === LD_IMM64 ? 2 : 1);
    if (next >= code.length || owner[next] !== owner[i])
      reject("verify-fall-through", i, "the last instruction of a function is neither exit nor jump");
    go(i, next);
    if (isJump(op)) meets[next] = 1;
  }
  for (let i = 0; i < code.length; i++)
    if (!seen[i] && !second[i]) reject("verify-unreachable", i, `unreachable insn ${i}`);
  return { functions, meets, functionOf: (slot) => owner[slot]! };
}

function checkAlu(code: Code, i: number, reject: Reject): void {
  const op = code.opcode[i]!,
    kind = op & 0xf0,
    imm = code.imm[i]!,
    bits = (op & 7) === 7 ? 64 : 32;
  if ((op & 8) !== 0) return;
  if ((kind === 0x30 || kind === 0x90) && imm === 0) reject("verify-division-by-zero", i, "div by zero");
  if ((kind === 0x60 || kind === 0x70 || kind === 0xc0) && (imm < 0 || imm >= bits))
    reject("verify-shift-range", i, `invalid shift ${imm}`);
}
