/** References to map values become addresses, as the loader makes them, for programs of the generator. */
import type { Code } from "../../src/isa/code.js";
import { LD_IMM64, Pseudo } from "../../src/isa/opcode.js";

/** What stands for the map itself: programs pass it on and cannot look behind it. */
const HANDLE = 0xffff_c900_0000_0040n;

export function place(code: Code, value: bigint): Code {
  const out = code.slice();
  for (let i = 0; i < out.length; i++)
    if (out.opcode[i] === LD_IMM64) {
      if (out.src[i] === Pseudo.MapIndexValue) {
        out.setImm64(i, value + BigInt(out.imm[i + 1]!));
        out.src[i] = Pseudo.None;
      }
      if (out.src[i] === Pseudo.MapIndex) {
        out.setImm64(i, HANDLE);
        out.src[i] = Pseudo.None;
      }
      i++;
    }
  return out;
}
