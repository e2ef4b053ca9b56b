/**
 * Calls a function of the code in memory as a C caller would: System V registers, a return address nobody else uses.
 */
import { hex } from "../addr.js";
import { Access } from "./port.js";
import type { Interpreter, Stop } from "./interpreter.js";

/** RDI, RSI, RDX, RCX, R8, R9. @source System V Application Binary Interface, AMD64, "Parameter Passing" */
const ARGUMENTS = [7, 6, 2, 1, 8, 9] as const;
const RSP = 4;

/** Where a call runs. */
export interface CallSite {
  /** Top of a mapped, writable stack; 16-byte aligned. */
  readonly stackTop: bigint;
  /** Return address; it need not be mapped, and no code of the callee may lie there. */
  readonly returnTo: bigint;
  /** Instructions after which the call is given up; default 10 million. */
  readonly budget?: number;
}

/** How a call ended. */
export interface CallResult {
  /** "reached": it returned. */
  readonly stop: Stop;
  /** RAX. */
  readonly value: bigint;
  readonly instructions: number;
}

/**
 * Runs one function to its return. Registers and memory are left as the callee left them.
 * @param words up to 14 integer arguments, 64 bits each; from the seventh on they go to the stack
 * @throws RangeError when the stack cannot be written
 */
export function callFunction(
  cpu: Interpreter,
  address: bigint,
  words: readonly bigint[],
  { stackTop, returnTo, budget = 10_000_000 }: CallSite,
): CallResult {
  const onStack = words.slice(ARGUMENTS.length);
  // At entry RSP + 8 is a multiple of 16.
  const stack = BigInt.asUintN(64, stackTop - 8n - BigInt((onStack.length + 1) & ~1) * 8n);
  words.slice(0, ARGUMENTS.length).forEach((word, n) => {
    cpu.setRegister(ARGUMENTS[n]!, word);
  });
  [returnTo, ...onStack].forEach((word, n) => {
    const at = BigInt.asUintN(64, stack + BigInt(8 * n));
    const half = (value: bigint, shift: bigint): number => Number(BigInt.asIntN(32, value >> shift));
    const status = cpu.port.write(
      half(at, 0n),
      half(at, 32n),
      8,
      half(word, 0n),
      half(word, 32n),
      Access.Write | Access.System,
    );
    if (status !== 0)
      throw new RangeError(
        `stack address ${hex(at)} cannot be written (status ${hex(status)}); map a writable stack below stackTop`,
      );
  });
  cpu.setRegister(RSP, stack);
  cpu.rip = address;
  const before = cpu.executed;
  const stop = cpu.run(budget, returnTo);
  return { stop, value: cpu.register(0), instructions: cpu.executed - before };
}
