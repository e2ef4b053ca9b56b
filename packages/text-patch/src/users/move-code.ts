/** Moves instructions to another address so that they do the same there: addresses relative to RIP are counted anew. */
import type { AddressRange } from "@kreplica/hw-x86/api";
import { FlowControl } from "@kreplica/hw-x86/iced";
import { LONGEST, withInstruction } from "../decode.js";
import { branch32, JMP32, setRelative } from "../encode.js";
import { TextPatchError } from "../errors.js";

/** How an instruction goes on. */
export type Flow = "next" | "branch" | "call" | "return" | "other";

/** An instruction that does the same at its new address. */
export interface MovedInstruction {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly flow: Flow;
  /** Target of a direct branch. */
  readonly target: bigint | undefined;
}

/**
 * @param bytes at least one instruction; up to 15 bytes are looked at
 * @throws TextPatchError not-decodable, out-of-reach
 */
export function moveInstruction(bytes: Uint8Array, from: bigint, to: bigint): MovedInstruction {
  return withInstruction(bytes.subarray(0, LONGEST), from, (instruction, decoder) => {
    const length = instruction.length;
    const copy = bytes.slice(0, length);
    const control = instruction.flowControl;
    const direct =
      control === FlowControl.ConditionalBranch ||
      control === FlowControl.UnconditionalBranch ||
      control === FlowControl.Call;
    if (instruction.isIpRelMemoryOperand) {
      const offsets = decoder.getConstantOffsets(instruction);
      const at = offsets.displacementOffset;
      offsets.free();
      setRelative(copy, at, to + BigInt(length), instruction.ipRelMemoryAddress);
    }
    return {
      bytes: copy,
      length,
      target: direct ? instruction.nearBranchTarget : undefined,
      flow:
        control === FlowControl.Next
          ? "next"
          : control === FlowControl.Call || control === FlowControl.IndirectCall
            ? "call"
            : control === FlowControl.Return
              ? "return"
              : control === FlowControl.ConditionalBranch ||
                  control === FlowControl.UnconditionalBranch ||
                  control === FlowControl.IndirectBranch
                ? "branch"
                : "other",
    };
  });
}

/**
 * Moves whole instructions until `least` bytes are displaced, and jumps back behind them.
 * @throws TextPatchError unexpected-code for one that does not simply go on
 */
export function moveRun(
  bytes: Uint8Array,
  from: bigint,
  to: bigint,
  least: number,
): { readonly code: Uint8Array; readonly displaced: number } {
  const parts: Uint8Array[] = [];
  let displaced = 0;
  while (displaced < least) {
    const moved = moveInstruction(bytes.subarray(displaced), from + BigInt(displaced), to + BigInt(displaced));
    if (moved.flow !== "next")
      throw new TextPatchError(
        "unexpected-code",
        from + BigInt(displaced),
        "an instruction that branches, calls or returns cannot be displaced",
      );
    parts.push(moved.bytes);
    displaced += moved.length;
  }
  parts.push(branch32(JMP32, to + BigInt(displaced), from + BigInt(displaced)));
  const code = new Uint8Array(displaced + 5);
  let at = 0;
  for (const part of parts) {
    code.set(part, at);
    at += part.length;
  }
  return { code, displaced };
}

/**
 * Whether any direct branch of a function goes into (start, end), which a jump over those bytes would break.
 * @throws TextPatchError not-decodable
 */
export function branchesInto(bytes: Uint8Array, functionStart: bigint, { start, end }: AddressRange): boolean {
  for (let at = 0; at < bytes.length;) {
    const { length, target } = moveInstruction(
      bytes.subarray(at),
      functionStart + BigInt(at),
      functionStart + BigInt(at),
    );
    if (target !== undefined && target > start && target < end) return true;
    at += length;
  }
  return false;
}
