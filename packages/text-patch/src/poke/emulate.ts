/**
 * What a CPU does that meets the INT3 of a patch under way: the effect of the instruction that will be there.
 * @patch 08/12 arch/x86/kernel/alternative.c text_poke_loc_init, poke_int3_handler
 */
import { CALL, INT3, JMP32, JMP8, nops, RET, targetOf } from "../encode.js";
import { TextPatchError } from "../errors.js";

/** Effect of an instruction that patching may write. */
export type Emulation =
  | { readonly kind: "jump"; readonly to: bigint }
  | { readonly kind: "call"; readonly to: bigint; readonly back: bigint }
  | { readonly kind: "return" }
  /** Condition code as in the opcode's low four bits. */
  | { readonly kind: "conditional"; readonly condition: number; readonly to: bigint; readonly otherwise: bigint }
  /** The new code is an INT3 itself: not ours to handle. */
  | { readonly kind: "breakpoint" };

/**
 * @throws TextPatchError unexpected-code for an instruction that cannot be emulated: it would have to be patched
 *   another way
 */
export function emulationOf(address: bigint, bytes: Uint8Array): Emulation {
  const next = address + BigInt(bytes.length);
  const signed8 = (at: number): bigint => BigInt((bytes[at]! << 24) >> 24);
  const [first, second] = bytes;
  if (first === INT3 && bytes.length === 1) return { kind: "breakpoint" };
  if (first === CALL && bytes.length === 5) return { kind: "call", to: targetOf(bytes, 1, next), back: next };
  if (first === JMP32 && bytes.length === 5) return { kind: "jump", to: targetOf(bytes, 1, next) };
  // A short jump may be padded to the site's length with no-ops or INT3.
  if (first === JMP8) return { kind: "jump", to: BigInt.asUintN(64, address + 2n + signed8(1)) };
  if (first === RET) return { kind: "return" };
  if (first === 0x0f && (second! & 0xf0) === 0x80 && bytes.length === 6)
    return { kind: "conditional", condition: second! & 15, to: targetOf(bytes, 2, next), otherwise: next };
  if ((first! & 0xf0) === 0x70 && bytes.length === 2)
    return { kind: "conditional", condition: first! & 15, to: BigInt.asUintN(64, next + signed8(1)), otherwise: next };
  if (bytes.length <= 8 && nops(bytes.length).every((byte, i) => byte === bytes[i])) return { kind: "jump", to: next };
  throw new TextPatchError(
    "unexpected-code",
    address,
    `${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")} can not be emulated while it is written; give the bytes to emulate, or stop all CPUs`,
  );
}
