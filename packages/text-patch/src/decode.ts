/**
 * What patching must know of existing instructions: how long they are and where they branch. Decoding is iced-x86's.
 */
import { Code, Decoder, DecoderOptions, type Instruction } from "@kreplica/hw-x86/iced";
import { TextPatchError } from "./errors.js";

/** Longest x86 instruction. @source Intel SDM vol. 2, "Instruction Format" */
export const LONGEST = 15;

/** Bytes of the instruction at the start of `bytes`; undefined when they are none. */
export function lengthAt(bytes: Uint8Array, offset = 0): number | undefined {
  const decoder = new Decoder(64, bytes.subarray(offset), DecoderOptions.None);
  const instruction = decoder.decode();
  const length = instruction.code === Code.INVALID ? undefined : instruction.length;
  instruction.free();
  decoder.free();
  return length;
}

/**
 * Calls `visit` with the instruction at the start of `bytes`; frees it afterwards.
 * @throws TextPatchError not-decodable
 */
export function withInstruction<T>(
  bytes: Uint8Array,
  address: bigint,
  visit: (instruction: Instruction, decoder: Decoder) => T,
): T {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  decoder.ip = address;
  const instruction = decoder.decode();
  try {
    if (instruction.code === Code.INVALID)
      throw new TextPatchError(
        "not-decodable",
        address,
        `${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")} is no instruction`,
      );
    return visit(instruction, decoder);
  } finally {
    instruction.free();
    decoder.free();
  }
}
