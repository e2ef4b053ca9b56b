/**
 * Instances beside the random ones, the same in every run: instructions in which the vendors differ and no compiler
 * writes, and what is easily got wrong for both. Bytes, not names: assemblers refuse or correct some of them.
 */
import { CODE, DATA, type Shape, type State } from "./instance-operands.js";
import type { Random } from "./random.js";

/** From the end of the instruction to the "taken" stub: see native/runner.c. */
const TAKEN = 14n;
/** Nothing is mapped there, nor at its low 16 bits. */
const NOWHERE = 0x1234_5678n;

const shape = (
  text: string,
  mnemonic: string,
  prepare: (state: State, r: Random) => void = () => undefined,
  codeAt?: bigint,
): Shape => ({ text, mnemonic, bits: 64, prepare, ...(codeAt === undefined ? {} : { codeAt: () => codeAt }) });
const toNowhere = (state: State): void => {
  state.registers[0] = NOWHERE;
};
const stackNowhere = (state: State): void => {
  state.pokeAt = state.registers[4]!;
  state.pokeBytes = 8;
  state.poke = [NOWHERE, 0n, 0n, 0n];
};
const FAR_AT = CODE + 64n;
/** A far pointer at RAX with an offset of 8 bytes: to the stub behind the 3 bytes of the instruction. */
const farPointer = (state: State): void => {
  state.registers[0] = DATA + 512n;
  state.pokeAt = DATA + 512n;
  state.pokeBytes = 16;
  state.poke = [FAR_AT + 3n + TAKEN, 0x33n, 0n, 0n];
};
/** The same with 4 bytes, which is what AMD's processors read. */
const shortFarPointer = (state: State): void => {
  farPointer(state);
  state.poke = [(FAR_AT + 3n + TAKEN) | (0x33n << 32n), 0n, 0n, 0n];
};
const stepped = (state: State): void => {
  state.flags |= 0x100n;
  state.registers[0] = 0x2bn;
};
const nonCanonical = (state: State): void => {
  state.registers[0] = 0x8000_0000_0000n;
};

export const vendorShapes: readonly Shape[] = [
  shape(".byte 0x66, 0xeb, 0 # jmp rel8 with an operand-size prefix", "jmp"),
  shape(".byte 0x66, 0x74, 0 # je", "je"),
  shape(".byte 0x66, 0xe2, 0 # loop", "loop"),
  shape(".byte 0x66, 0xe3, 0 # jrcxz", "jrcxz"),
  shape(".byte 0x66, 0xe8, 0, 0, 0, 0 # call", "call"),
  shape(".byte 0x66, 0x48, 0xe8, 0, 0, 0, 0 # call, REX.W after the prefix", "call"),
  shape(".byte 0x66, 0xff, 0xe0 # jmp rax", "jmp", toNowhere),
  shape(".byte 0x66, 0xff, 0xd0 # call rax", "call", toNowhere),
  shape(".byte 0x66, 0xc3 # ret", "ret", stackNowhere),
  shape(".byte 0x66, 0xc2, 6, 0 # ret 6", "ret", stackNowhere),
  shape(".byte 0x48, 0xff, 0x28 # jmp m16:64", "jmp", farPointer, FAR_AT),
  shape(".byte 0x48, 0xff, 0x28 # jmp m16:64 over m16:32", "jmp", shortFarPointer, FAR_AT),
  shape(".byte 0x48, 0xff, 0x18 # call m16:64", "call", farPointer, FAR_AT),
  shape(".byte 0x48, 0xff, 0x18 # call m16:64 over m16:32", "call", shortFarPointer, FAR_AT),
  shape(
    ".byte 0xff, 0x18 # call m16:32",
    "call",
    (state) => {
      shortFarPointer(state);
      state.poke = [(FAR_AT + 2n + TAKEN) | (0x33n << 32n), 0n, 0n, 0n];
    },
    FAR_AT,
  ),
  shape("call rax # to a non-canonical address", "call", nonCanonical),
  shape("call rax # to a non-canonical address, stack read-only", "call", (state) => {
    nonCanonical(state);
    state.registers[4] = DATA + 4096n + 800n;
  }),
  shape("mov ss, eax; nop # single-stepped", "mov", stepped),
  shape(".byte 0x0f, 0x01, 0xc8 # monitor", "privileged"),
  shape(".byte 0x0f, 0x01, 0xc9 # mwait", "privileged"),
];
