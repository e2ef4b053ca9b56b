/** The verifier at its bounds: the last that is allowed beside the first that is not, and what a refusal says. */
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { assemble } from "../src/isa/assemble.js";
import type { MapDefinition, ProgramType } from "../src/object/program-type.js";
import { unchanged } from "../src/verify/compare.js";
import { contextShape } from "../src/verify/context.js";
import { analyseFlow } from "../src/verify/flow.js";
import { analyseLiveness } from "../src/verify/liveness.js";
import { constant, pointer, registerText, scalar, scalars, UNKNOWN, UNSET } from "../src/verify/register.js";
import { Byte, Frame, State, stateText } from "../src/verify/state.js";
import { verify, type Verified, type VerifyRequest } from "../src/verify/verifier.js";

const maps: MapDefinition[] = [
  { name: "values", kind: "array", keyBytes: 4, valueBytes: 16, entries: 4, flags: 0 },
  { name: "ring", kind: "ringbuf", keyBytes: 0, valueBytes: 0, entries: 4096, flags: 0 },
  { name: ".rodata", kind: "array", keyBytes: 4, valueBytes: 8, entries: 1, flags: 0x80, initial: new Uint8Array(8) },
  { name: "next", kind: "prog_array", keyBytes: 4, valueBytes: 4, entries: 2, flags: 0 },
  { name: "one", kind: "hash", keyBytes: 4, valueBytes: 8, entries: 1, flags: 0 },
  { name: ".data", kind: "array", keyBytes: 4, valueBytes: 8, entries: 1, flags: 0 },
];
type More = Partial<VerifyRequest>;
const verified = (text: string, type: ProgramType = "raw_tracepoint", more: More = {}): Verified =>
  verify({ code: assemble(text), type, maps, ...more });
/** `instruction: detail` of a refusal, or "accepted". */
const said = (text: string, type?: ProgramType, more?: More): string => {
  try {
    verified(text, type, more);
    return "accepted";
  } catch (error) {
    if (error instanceof BpfError) return `${error.place.instruction}: ${error.detail}`;
    throw error;
  }
};
const lookup = "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = map_index 0 0 ll; call 1; if r0 == 0 goto out";
const reserve = "r1 = map_index 1 0 ll; r2 = 16; r3 = 0; call 131";
const give = "r2 = 0; call 132";
const packet = "r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 4)";
const end = "out: r0 = 0; exit";

type Row = readonly [text: string, says: string, type?: ProgramType, more?: More];
const rows = (list: readonly Row[]): void => {
  for (const [text, says, type, more] of list)
    test(`${text}: ${says}`, () => {
      expect(said(text, type, more)).toBe(says);
    });
};
const unprivileged: More = { privileged: false };

describe("what lies before the walk", () => {
  rows([
    ["", "0: the program has no instruction"],
    [".slot 0xb7 11 0 0 0; r0 = 0; exit", "0: R11 is invalid"],
    [".slot 0xbf 0 12 0 0; r0 = 0; exit", "0: R12 is invalid"],
    ["r0 = 0; .slot 0xff 0 0 0 0; exit", "1: opcode ff with these fields is no instruction"],
    [".slot 0x08 0 0 0 0; exit", "0: opcode 08 with these fields is no instruction"],
    ["r0 = 0; goto +5; exit", "1: jump out of range from insn 1 to 7"],
    ["r0 = 0; goto -3; exit", "1: jump out of range from insn 1 to -1"],
    ["r0 = 0; if r0 == 0 goto +1; exit", "1: jump out of range from insn 1 to 3"],
    ["goto +1; r0 = 1 ll; exit", "0: jump out of range from insn 0 to 2"],
    ["call f; goto in; f: r0 = 0; in: exit", "1: jump out of range from insn 1 to 3"],
    ["r0 = 0; gotol +2; r0 = 1; exit", "1: jump out of range from insn 1 to 4"],
    ["r0 = 0; call pc+20; exit", "2: a call leads to 22, where no instruction begins"],
    ["r0 = 0; call pc-3; exit", "0: a call leads to -1, where no instruction begins"],
    ["r0 = 0; call pc+1; r0 = 1 ll; exit", "3: a call leads to 3, where no instruction begins"],
    ["r0 = 0", "0: the last instruction of a function is neither exit nor jump"],
    [
      "call f; exit; f: r0 = 0; call g; g: r0 = 0; exit",
      "3: the last instruction of a function is neither exit nor jump",
    ],
    ["r0 = 0; exit; r0 = 1; exit", "2: unreachable insn 2"],
    ["r0 = 0; exit; r0 = 1 ll; exit", "2: unreachable insn 2"],
    ["r0 = 1; r0 /= 0; exit", "1: div by zero"],
    ["r0 = 1; r0 %= 0; exit", "1: div by zero"],
    ["r0 = 1; w0 /= 0; exit", "1: div by zero"],
    ["r0 = 1; w0 <<= 32; exit", "1: invalid shift 32"],
    ["r0 = 1; r0 <<= 64; exit", "1: invalid shift 64"],
    ["r0 = 1; r0 >>= -1; exit", "1: invalid shift -1"],
    ["r0 = 1; r0 s>>= 64; exit", "1: invalid shift 64"],
    ["r0 = 1; w0 <<= 31; r0 <<= 63; r0 >>= 0; r0 s>>= 63; r0 /= 1; r0 += 0; r0 *= 0; exit", "accepted"],
    ["r0 = 64; r1 = 64; r0 <<= r1; r0 = 0; exit", "accepted"],
    ["goto a; a: gotol b; b: r0 = 0; exit", "accepted"],
  ]);

  test("a program may be a million slots long, and no slot more", () => {
    const code = (length: number) =>
      ({ length, opcode: [], dst: [], src: [], imm: [], offset: [] }) as unknown as Parameters<typeof analyseFlow>[0];
    const stop = (length: number): string => {
      try {
        analyseFlow(
          code(length),
          () => {
            throw new Error("looked at");
          },
          (kind, at, detail) => {
            throw new Error(`${kind} ${at} ${detail}`);
          },
        );
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    };
    expect(stop(1_000_001)).toBe("verify-too-long 1000000 1000001 instructions, 1000000 at most");
    expect(stop(1_000_000)).toBe("looked at");
  });

  test("functions begin where calls lead; paths meet where jumps lead and behind them", () => {
    const code = assemble("r0 = 1 ll; if r0 == 2 goto a; call f; a: exit; f: r0 = 0; goto b; b: exit");
    const flow = analyseFlow(
      code,
      () => true,
      () => {
        throw new Error("refused");
      },
    );
    expect(flow.functions).toEqual([0, 5]);
    expect(Array.from({ length: 8 }, (_, slot) => flow.functionOf(slot))).toEqual([0, 0, 0, 0, 0, 5, 5, 5]);
    expect([...flow.meets]).toEqual([0, 0, 1, 1, 1, 1, 0, 1]);
    // A function's address, too, says that one begins there.
    const address = analyseFlow(
      assemble("r1 = func 3 ll; r0 = 0; exit; r0 = 1; exit"),
      () => true,
      (kind) => {
        throw new Error(kind);
      },
    );
    expect(address.functions).toEqual([0, 4]);
  });
});

describe("the stack", () => {
  const variable = (mask: number, base: number): string =>
    `r2 = *(u64 *)(r1 + 0); r2 &= ${mask}; r3 = r10; r3 -= ${base}; r3 += r2`;
  rows([
    ["*(u64 *)(r10 - 512) = 1; r0 = *(u64 *)(r10 - 512); exit", "accepted"],
    ["*(u8 *)(r10 - 1) = 1; r0 = *(u8 *)(r10 - 1); exit", "accepted"],
    [
      "*(u8 *)(r10 - 513) = 1; r0 = 0; exit",
      "0: invalid stack access through R10, off=-513 size=1: the stack is fp-512 to fp-1",
    ],
    [
      "*(u16 *)(r10 - 1) = 1; r0 = 0; exit",
      "0: invalid stack access through R10, off=-1 size=2: the stack is fp-512 to fp-1",
    ],
    ["*(u32 *)(r10 - 6) = 1; r0 = 0; exit", "0: misaligned stack access off -6 size 4"],
    ["*(u64 *)(r10 - 8) = 1; r0 = *(u16 *)(r10 - 5); exit", "1: misaligned stack access off -5 size 2"],
    [
      "*(u32 *)(r10 - 8) = 1; r0 = *(u64 *)(r10 - 8); exit",
      "1: invalid read from stack off -8+4 size 8: never written",
    ],
    [
      "*(u32 *)(r10 - 4) = 1; r0 = *(u32 *)(r10 - 8); exit",
      "1: invalid read from stack off -8+0 size 4: never written",
    ],
    [`*(u64 *)(r10 - 8) = 0; ${variable(7, 8)}; r0 = *(u8 *)(r3 + 0); exit`, "accepted"],
    [
      `*(u64 *)(r10 - 8) = 0; ${variable(7, 8)}; r0 = *(u16 *)(r3 + 0); exit`,
      "6: invalid stack access through R3, off=-8 size=2: the stack is fp-512 to fp-1",
    ],
    [`*(u64 *)(r10 - 8) = 0; ${variable(3, 8)}; r0 = *(u16 *)(r3 + 1); exit`, "accepted"],
    [`${variable(8, 512)}; *(u64 *)(r3 + 0) = 1; r0 = 0; exit`, "accepted"],
    [
      `${variable(8, 513)}; *(u8 *)(r3 + 0) = 1; r0 = 0; exit`,
      "5: invalid stack access through R3, off=-513 size=1: the stack is fp-512 to fp-1",
    ],
    [
      `*(u64 *)(r10 - 8) = r1; ${variable(7, 8)}; r0 = *(u8 *)(r3 + 0); exit`,
      "6: R3 would read parts of a spilled ctx",
      "raw_tracepoint",
      unprivileged,
    ],
    [`*(u64 *)(r10 - 8) = r1; ${variable(7, 8)}; r0 = *(u8 *)(r3 + 0); exit`, "accepted"],
    [`${variable(8, 16)}; *(u64 *)(r3 + 0) = r1; r0 = 0; exit`, "5: a ctx cannot be stored at a variable stack offset"],
    ["*(u32 *)(r10 - 8) = r1; r0 = 0; exit", "0: invalid size of register spill: 4 bytes of a ctx"],
    [
      "*(u64 *)(r10 - 8) = r1; r0 = *(u32 *)(r10 - 4); exit",
      "1: invalid size of register fill: 4 bytes of a spilled ctx",
    ],
    ["*(u64 *)(r10 - 8) = r1; *(u8 *)(r10 - 8) = 0; r0 = *(u64 *)(r10 - 8); exit", "accepted"],
    [
      "*(u64 *)(r10 - 8) = r1; *(u8 *)(r10 - 8) = 0; r2 = *(u64 *)(r10 - 8); r0 = *(u64 *)(r2 + 0); exit",
      "3: R2 invalid mem access 'scalar'",
    ],
    [
      "*(u64 *)(r10 - 8) = r1; *(u32 *)(r10 - 4) = 0; r0 = 0; exit",
      "1: attempt to corrupt spilled pointer on stack at fp-4",
      "raw_tracepoint",
      unprivileged,
    ],
    ["*(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 8) = 0; r0 = 0; exit", "accepted", "raw_tracepoint", unprivileged],
    ["*(u64 *)(r10 - 8) = r1; *(u32 *)(r10 - 12) = 0; r0 = 0; exit", "accepted", "raw_tracepoint", unprivileged],
    [
      "r1 = r10; r1 += -8; call f; exit; f: *(u64 *)(r1 + 0) = r10; r0 = 0; exit",
      "4: cannot spill a pointer to this stack into the caller's",
    ],
    ["r1 = r10; r1 += -8; call f; r0 = 0; exit; f: *(u64 *)(r1 + 0) = r1; r0 = 0; exit", "accepted"],
    ["*(u64 *)(r10 - 8) = r10; r0 = 0; exit", "accepted"],
    ["call f; exit; f: r0 = r10; exit", "3: cannot return stack pointer to the caller"],
    // A function's 256 bytes and its caller's come to 512, one slot more is rounded up to 32.
    ["*(u64 *)(r10 - 256) = 0; call f; exit; f: *(u64 *)(r10 - 256) = 0; r0 = 0; exit", "accepted"],
    [
      "*(u64 *)(r10 - 256) = 0; call f; exit; f: *(u64 *)(r10 - 264) = 0; r0 = 0; exit",
      "0: combined stack size of the call chain is 544. Too large, 512 at most",
    ],
    ["*(u64 *)(r10 - 480) = 0; call f; exit; f: r0 = 0; exit", "accepted"],
    [
      "*(u64 *)(r10 - 488) = 0; call f; exit; f: r0 = 0; exit",
      "0: combined stack size of the call chain is 544. Too large, 512 at most",
    ],
    // The deepest of the functions called counts, not all of them.
    [
      "call f; call g; exit; f: *(u64 *)(r10 - 480) = 0; r0 = 0; exit; g: *(u64 *)(r10 - 320) = 0; r0 = 0; exit",
      "accepted",
    ],
    [
      "call f; exit; f: call g; exit; g: *(u64 *)(r10 - 480) = 0; r0 = 0; exit",
      "0: combined stack size of the call chain is 544. Too large, 512 at most",
    ],
    ["f: call f; exit", "0: the call stack of 9 frames is too deep, 8 at most"],
  ]);

  test("eight frames are allowed", () => {
    const chain = (count: number): string =>
      `${Array.from({ length: count - 1 }, (_, i) => `f${i}: call f${i + 1}; exit`).join("; ")}; f${count - 1}: r0 = 0; exit`;
    expect(said(chain(8))).toBe("accepted");
    expect(said(chain(9))).toBe("14: the call stack of 9 frames is too deep, 8 at most");
  });

  test("what each function needs is told in whole slots, its own accesses and those through pointers to it", () => {
    const { functions, stackBytes } = verified(
      "*(u8 *)(r10 - 9) = 0; r1 = r10; r1 += -40; call f; exit; f: *(u64 *)(r1 + 0) = 1; *(u64 *)(r10 - 8) = 1; r0 = 0; exit",
    );
    expect([functions, stackBytes]).toEqual([
      [0, 5],
      [40, 8],
    ]);
    expect(verified("r0 = 0; exit").stackBytes).toEqual([0]);
  });
});

describe("values of maps, records, packets", () => {
  rows([
    [`${lookup}; r1 = *(u64 *)(r0 + 8); ${end}`, "accepted"],
    [`${lookup}; r1 = *(u64 *)(r0 + 9); ${end}`, "7: invalid access to map_value, R0 size=16 off=9 size=8"],
    [`${lookup}; r1 = *(u8 *)(r0 + 16); ${end}`, "7: invalid access to map_value, R0 size=16 off=16 size=1"],
    [`${lookup}; *(u8 *)(r0 + 16) = 1; ${end}`, "7: invalid access to map_value, R0 size=16 off=16 size=1"],
    [`${lookup}; r1 = *(u8 *)(r0 - 1); ${end}`, "7: R0 min value is -1: before the start of its map_value"],
    [
      `r6 = *(u64 *)(r1 + 0); ${lookup}; if r6 s< -3 goto out; if r6 s> 3 goto out; r0 += r6; r1 = *(u8 *)(r0 + 0); ${end}`,
      "11: R0 min value is -3: before the start of its map_value",
    ],
    [
      `r6 = *(u64 *)(r1 + 0); ${lookup}; if r6 s< -3 goto out; if r6 s> 3 goto out; r0 += r6; r1 = *(u8 *)(r0 + 3); ${end}`,
      "accepted",
    ],
    [
      `r6 = *(u64 *)(r1 + 0); ${lookup}; if r6 s< -0x1fffffff goto out; if r6 s> 3 goto out; r0 += r6; r0 += -2; r1 = *(u8 *)(r0 + 0); ${end}`,
      "12: R0 min value is unbounded: before the start of its map_value",
    ],
    [
      `r6 = *(u64 *)(r1 + 0); ${lookup}; if r6 s< -0x1fffffff goto out; if r6 s> 3 goto out; r0 += r6; r0 += -1; r1 = *(u8 *)(r0 + 0); ${end}`,
      `12: R0 min value is ${-(1 << 29)}: before the start of its map_value`,
    ],
    [
      "r1 = map_index_value 2 0 ll; *(u8 *)(r1 + 0) = 1; r0 = 0; exit",
      "2: write into map '.rodata' forbidden: it is read-only for programs",
    ],
    ["r1 = map_index_value 5 0 ll; *(u8 *)(r1 + 0) = 1; r0 = 0; exit", "accepted"],
    [
      "r1 = map_index_value 2 0 ll; r2 = 8; r3 = 0; call 113; r0 = 0; exit",
      "4: write into map '.rodata' forbidden: it is read-only for programs",
    ],
    ["r1 = map_index_value 2 0 ll; r2 = 8; call 6; r0 = 0; exit", "3: R3 !read_ok"],
    ["r1 = map_index_value 2 7 ll; r0 = *(u8 *)(r1 + 0); exit", "accepted"],
    [
      "r1 = map_index_value 2 7 ll; r0 = *(u16 *)(r1 + 0); exit",
      "2: invalid access to map_value, R1 size=8 off=7 size=2",
    ],
    [
      "r1 = map_index_value 2 8 ll; r0 = 0; exit",
      "0: direct value pointer to offset 8 of map 2: only arrays of one element have one",
    ],
    [
      "r1 = map_index_value 2 -1 ll; r0 = 0; exit",
      "0: direct value pointer to offset -1 of map 2: only arrays of one element have one",
    ],
    [
      "r1 = map_index_value 0 0 ll; r0 = 0; exit",
      "0: direct value pointer to offset 0 of map 0: only arrays of one element have one",
    ],
    [
      "r1 = map_index_value 4 0 ll; r0 = 0; exit",
      "0: direct value pointer to offset 0 of map 4: only arrays of one element have one",
    ],
    [
      "r1 = map_index_value 9 0 ll; r0 = 0; exit",
      "0: direct value pointer to offset 0 of map 9: only arrays of one element have one",
    ],
    ["r1 = map_index 6 0 ll; r0 = 0; exit", "0: map 6 of 6 does not exist"],
    ["r1 = map_index 5 0 ll; r0 = 0; exit", "accepted"],
    [
      "r1 = btf_id 5 ll; r0 = 0; exit",
      "0: a 64-bit load of kind 3 cannot be verified: only maps of the program and their values",
    ],
    [
      ".slot 0x30 0 0 0 0; r0 = 0; exit",
      "0: packet loads of classic BPF are not supported; read through data and data_end",
      "sched_cls",
    ],
    [
      `*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = map_index 0 0 ll; call 1; r0 = *(u64 *)(r0 + 0); exit`,
      "6: R0 invalid mem access 'map_value_or_null': compare it with null first",
    ],
    [`${reserve}; r0 = *(u64 *)(r0 + 0); exit`, "5: R0 invalid mem access 'mem_or_null': compare it with null first"],
    ["r1 = 16; r0 = *(u64 *)(r1 + 0); exit", "1: R1 invalid mem access 'scalar'"],
    ["r1 = map_index 0 0 ll; *(u64 *)(r1 + 0) = 0; r0 = 0; exit", "2: R1 invalid mem access 'map_ptr'"],
    [`${packet}; r0 = *(u8 *)(r3 + 0); exit`, "2: R3 invalid mem access 'pkt_end'", "xdp"],
    [
      `${reserve}; if r0 == 0 goto out; *(u64 *)(r0 + 9) = 1; r1 = r0; ${give}; ${end}`,
      "6: invalid access to mem, R0 size=16 off=9 size=8",
    ],
    [`${reserve}; if r0 == 0 goto out; *(u64 *)(r0 + 8) = 1; r1 = r0; ${give}; ${end}`, "accepted"],
    [`${reserve}; r0 = 0; exit`, "6: Unreleased reference id=1 alloc_insn=4"],
    [
      `${packet}; r0 = *(u8 *)(r2 + 3); exit`,
      "2: invalid access to packet, off=3 size=1, R2(id=0,off=0,r=0): compare with data_end first",
      "xdp",
    ],
    [
      `${packet}; r4 = r2; r4 += 14; if r4 > r3 goto out; r0 = *(u8 *)(r2 - 1); ${end}`,
      "5: invalid access to packet, off=-1 size=1, R2(id=0,off=0,r=14): compare with data_end first",
      "xdp",
    ],
    [`${packet}; r4 = r2; r4 += 14; if r4 > r3 goto out; r0 = *(u8 *)(r2 + 13); ${end}`, "accepted", "xdp"],
    [
      `${packet}; r4 = r2; r4 += 14; if r4 > r3 goto out; r0 = *(u8 *)(r2 + 14); ${end}`,
      "5: invalid access to packet, off=14 size=1, R2(id=0,off=0,r=14): compare with data_end first",
      "xdp",
    ],
    [`${packet}; r4 = r2; r4 += 14; if r4 > r3 goto out; *(u8 *)(r2 + 13) = 1; ${end}`, "accepted", "xdp"],
  ]);
});

describe("comparing a packet with its end", () => {
  const ways = (compare: string, at: number): [number, number] => {
    const far = (way: string): number => {
      for (let bytes = 20; bytes > 0; bytes--) {
        const use = `r0 = *(u8 *)(r2 + ${bytes - 1})`;
        const text = `${packet}; r4 = r2; r4 += ${at}; ${compare}; ${way === "next" ? use : "r0 = 0"}; exit; taken: ${way === "taken" ? use : "r0 = 0"}; exit`;
        if (said(text, "xdp") === "accepted") return bytes;
      }
      return 0;
    };
    return [far("taken"), far("next")];
  };
  test.each<[string, number, number]>([
    ["if r4 > r3 goto taken", 0, 10],
    ["if r4 >= r3 goto taken", 0, 11],
    ["if r4 < r3 goto taken", 11, 0],
    ["if r4 <= r3 goto taken", 10, 0],
    ["if r3 > r4 goto taken", 11, 0],
    ["if r3 >= r4 goto taken", 10, 0],
    ["if r3 < r4 goto taken", 0, 10],
    ["if r3 <= r4 goto taken", 0, 11],
    ["if r4 == r3 goto taken", 0, 0],
    ["if r4 != r3 goto taken", 0, 0],
    ["if r4 s> r3 goto taken", 0, 0],
    ["if r4 s<= r3 goto taken", 0, 0],
    ["if w4 > w3 goto taken", 0, 0],
  ])("%s proves %i bytes where it is taken, %i where not", (compare, taken, next) => {
    expect(ways(compare, 10)).toEqual([taken, next]);
  });
  test("the packet's first byte is there where it lies strictly below the end; what lies before it never", () => {
    expect(ways("if r4 < r3 goto taken", 0)).toEqual([1, 0]);
    expect(ways("if r4 <= r3 goto taken", 0)).toEqual([0, 0]);
    expect(ways("if r4 < r3 goto taken", -1)).toEqual([0, 0]);
    expect(ways("if r4 <= r3 goto taken", 1)).toEqual([1, 0]);
  });
  test("what was proven before stays, also where less is proven afterwards", () => {
    const twice = `${packet}; r4 = r2; r4 += 14; if r4 > r3 goto out; r4 = r2; r4 += 2; if r4 > r3 goto out; r0 = *(u8 *)(r2 + 13); ${end}`;
    expect(said(twice, "xdp")).toBe("accepted");
  });
  test("of the metadata before a packet, compared with its first byte and nothing behind it", () => {
    const meta = (compare: string, use = "r0 = *(u32 *)(r5 + 0)", first = "") =>
      said(
        `r5 = *(u32 *)(r1 + 8); r2 = *(u32 *)(r1 + 0); ${first === "" ? "r3 = *(u32 *)(r1 + 4)" : first}; r4 = r5; r4 += 4; ${compare}; ${use}; ${end}`,
        "xdp",
      );
    expect(meta("if r4 > r2 goto out")).toBe("accepted");
    expect(meta("if r2 < r4 goto out")).toBe("accepted");
    expect(meta("if r4 > r2 goto out", "r0 = *(u32 *)(r5 + 1)")).toMatch(/^6: invalid access to packet, off=1/);
    expect(meta("if r4 > r2 goto out", "r0 = *(u8 *)(r2 + 0)")).toMatch(/^6: invalid access to packet, off=0/);
    expect(meta("if r4 > r2 goto out", undefined, "r2 += 4")).toMatch(/^6: invalid access to packet, off=0/);
    expect(meta("if r2 < r4 goto out", undefined, "r2 += 4")).toMatch(/^6: invalid access to packet, off=0/);
    expect(meta("if r4 > r3 goto out")).toMatch(/^6: invalid access to packet, off=0/);
    const moved = "r7 = *(u32 *)(r1 + 12); r7 &= 4; r2 += r7";
    for (const compare of ["if r4 > r2 goto out", "if r2 < r4 goto out"])
      expect(meta(compare, undefined, moved)).toMatch(/^8: invalid access to packet, off=0/);
  });
  test("a pointer that moved by an unknown number is proven as far as any packet reaches", () => {
    const moved = (mask: number, add: number) =>
      said(
        `${packet}; r5 = *(u32 *)(r1 + 12); r5 &= ${mask}; r2 += r5; r4 = r2; r4 += ${add}; if r4 > r3 goto out; r0 = *(u8 *)(r2 + 0); ${end}`,
        "xdp",
      );
    expect(moved(0xff00, 0xff)).toBe("accepted");
    expect(moved(0xff00, 0x100)).toMatch(/^8: invalid access to packet/);
    expect(moved(0xffff, 0)).toMatch(/^8: invalid access to packet/);
    expect(moved(0x1_0000, 0)).toBe("4: a pkt pointer may move by 0 to 65535; this one by 0 to 65536");
  });
});

describe("arithmetic on pointers", () => {
  const value = "r1 = map_index_value 5 0 ll";
  const index = (mask: string): string => `r2 = *(u64 *)(r1 + 0); r2 &= ${mask}; ${value}`;
  rows([
    [`${value}; r1 += 0x1fffffff; r0 = 0; exit`, "accepted"],
    [`${value}; r1 += 0x20000000; r0 = 0; exit`, "2: value 536870912 makes map_value pointer be out of bounds"],
    [`${value}; r1 += -0x1fffffff; r0 = 0; exit`, "accepted"],
    [`${value}; r1 += -0x20000000; r0 = 0; exit`, "2: value -536870912 makes map_value pointer be out of bounds"],
    [`${value}; r1 -= 0x1fffffff; r0 = 0; exit`, "accepted"],
    [`${value}; r1 -= 0x20000000; r0 = 0; exit`, "2: value 536870912 makes map_value pointer be out of bounds"],
    [`${value}; r1 += 0x10000000; r1 += 0x0fffffff; r0 = 0; exit`, "accepted"],
    [
      `${value}; r1 += 0x10000000; r1 += 0x10000000; r0 = 0; exit`,
      "3: value 268435456 makes map_value pointer be out of bounds",
    ],
    [
      `${value}; r1 -= 0x10000000; r1 -= 0x10000000; r0 = 0; exit`,
      "3: value 268435456 makes map_value pointer be out of bounds",
    ],
    [`${value}; r1 += 8; r1 -= 8; r0 = *(u64 *)(r1 + 0); exit`, "accepted"],
    [`${value}; r1 -= 8; r1 += 8; r0 = *(u64 *)(r1 + 0); exit`, "accepted"],
    [`${value}; r2 = 4; r2 += r1; r0 = *(u32 *)(r2 + 0); exit`, "accepted"],
    [`${index("0x1fffffff")}; r1 += r2; r0 = 0; exit`, "accepted"],
    [
      `${index("0x3fffffff")}; r1 += r2; r0 = 0; exit`,
      "4: math between map_value pointer and register with unbounded max value is not allowed",
    ],
    [
      `r2 = *(u64 *)(r1 + 0); ${value}; r1 += r2; r0 = 0; exit`,
      "3: math between map_value pointer and register with unbounded min value is not allowed",
    ],
    [
      `${index("0x1fffffff")}; r1 += r2; r1 += r2; r0 = 0; exit`,
      "5: the variable part of the map_value pointer grows out of bounds",
    ],
    [
      `${index("0x1fffffff")}; r1 -= r2; r1 -= r2; r0 = 0; exit`,
      "5: the variable part of the map_value pointer grows out of bounds",
    ],
    [`${index("0xfffffff")}; r1 += r2; r1 += r2; r0 = 0; exit`, "accepted"],
    ["r2 = *(u64 *)(r1 + 0); r2 &= 8; r1 += r2; r0 = 0; exit", "2: R1 variable offset into ctx prohibited"],
    ["r1 += 8; r0 = *(u64 *)(r1 - 8); exit", "accepted"],
    ["r1 *= 2; r0 = 0; exit", "0: R1 bitwise or other operator on pointer prohibited"],
    ["r1 += r10; r0 = 0; exit", "0: R1 pointer with pointer prohibited"],
    ["r1 -= r10; r0 = r1; exit", "accepted", "raw_tracepoint"],
    ["r1 -= r10; r0 = r1; exit", "0: R1 pointer -= pointer prohibited", "raw_tracepoint", unprivileged],
    ["w1 -= 4; r0 = r1; exit", "accepted"],
    ["w1 -= 4; r0 = r1; exit", "0: R1 32-bit pointer arithmetic prohibited", "raw_tracepoint", unprivileged],
    ["w1 += 4; r0 = 0; exit", "0: R1 32-bit pointer arithmetic prohibited"],
    ["r2 = 5; r2 -= r1; r0 = 0; exit", "1: R2 tried to subtract pointer from scalar"],
    ["r1 = map_index 0 0 ll; r1 += 4; r0 = 0; exit", "2: R1 pointer arithmetic on map_ptr prohibited"],
    [`${packet}; r3 += 4; r0 = 0; exit`, "2: R3 pointer arithmetic on pkt_end prohibited", "xdp"],
    [`${reserve}; r0 += 4; exit`, "5: R0 pointer arithmetic on mem_or_null prohibited, null-check it first"],
    ["r1 = -r1; r0 = 0; exit", "0: R1 pointer arithmetic with neg operator"],
    ["r1 = bswap64 r1; r0 = 0; exit", "0: R1 pointer arithmetic with byte swap"],
    ["w2 = w1; r0 = 0; exit", "0: R1 partial copy of pointer", "raw_tracepoint", unprivileged],
    ["w2 = w1; r0 = r2; exit", "accepted"],
    ["r10 += 8; r0 = 0; exit", "0: frame pointer is read only"],
    ["r10 = 8; r0 = 0; exit", "0: frame pointer is read only"],
    ["r10 = *(u64 *)(r1 + 0); r0 = 0; exit", "0: frame pointer is read only"],
    ["if r1 == r10 goto a; a: r0 = 0; exit", "0: R1 pointer comparison prohibited", "raw_tracepoint", unprivileged],
    ["if r1 == r10 goto a; a: r0 = 0; exit", "accepted"],
    // No pointer but one that may be is null.
    ["if r1 != 0 goto a; r0 = *(u64 *)(r0 + 0); a: r0 = 0; exit", "accepted", "raw_tracepoint", unprivileged],
    ["if r1 == 1 goto a; r0 = 0; exit; a: r0 = r2; exit", "3: R2 !read_ok"],
    ["if w1 == 0 goto a; r0 = 0; exit; a: r0 = r2; exit", "3: R2 !read_ok"],
  ]);
});

describe("what is known of numbers decides branches", () => {
  /** Whether both ways of a comparison are followed: each then reads what nobody wrote. */
  const followed = (before: string, compare: string): string[] =>
    ["taken", "next"].filter((way) => {
      const bad = "r0 = r9";
      const text = `r6 = *(u64 *)(r1 + 0); ${before}; ${compare} goto taken; ${way === "next" ? bad : "r0 = 0"}; exit; taken: ${way === "taken" ? bad : "r0 = 0"}; exit`;
      return said(text) !== "accepted";
    });
  const both = ["taken", "next"];
  test.each<[string, string, string[]]>([
    ["r6 &= 15", "if r6 > 15", ["next"]],
    ["r6 &= 15", "if r6 > 14", both],
    ["r6 &= 15", "if r6 <= 15", ["taken"]],
    ["r6 &= 15", "if r6 s< 0", ["next"]],
    ["r6 &= 15", "if r6 & 16", ["next"]],
    ["r6 |= 16", "if r6 & 16", ["taken"]],
    ["r6 |= 16", "if r6 & 8", both],
    ["r6 = r6", "if r6 == r6", ["taken"]],
    ["r6 = r6", "if r6 != r6", ["next"]],
    ["r6 = r6", "if r6 > r6", ["next"]],
    ["r6 = r6", "if r6 >= r6", ["taken"]],
    ["r6 = r6", "if r6 < r6", ["next"]],
    ["r6 = r6", "if r6 <= r6", ["taken"]],
    ["r6 = r6", "if r6 s< r6", ["next"]],
    ["r6 = r6", "if r6 s>= r6", ["taken"]],
    ["r6 = r6", "if r6 & r6", both],
    ["r6 = 4", "if r6 & r6", ["taken"]],
    ["r6 = 0", "if r6 & r6", ["next"]],
    ["r6 |= 1", "if r6 & r6", ["taken"]],
    ["r6 = 0x100000000 ll", "if w6 & w6", ["next"]],
    ["r6 <<= 32", "if w6 == 0", ["taken"]],
    ["r6 >>= 63", "if r6 > 1", ["next"]],
    ["r6 <<= 4; r6 >>= 2", "if r6 & 3", ["next"]],
    ["r6 <<= 4; r6 >>= 2", "if r6 & 4", both],
    ["r6 <<= 4; r6 s>>= 2", "if r6 & 3", ["next"]],
    ["w6 <<= 4; w6 >>= 2", "if r6 & 3", ["next"]],
    ["w6 <<= 4; w6 s>>= 2", "if r6 & 3", ["next"]],
    ["r6 s>>= 63", "if r6 s> 0", ["next"]],
    ["r6 s>>= 63", "if r6 s< -1", ["next"]],
    ["w6 = w6", "if r6 > 0x7fffffff", both],
    ["w6 = w6; r7 = 0xffffffff ll", "if r6 > r7", ["next"]],
    ["w6 >>= 31", "if r6 > 1", ["next"]],
    ["r6 = -r6", "if r6 == 5", both],
    ["r6 = 12; w6 = -w6; r7 = 0xffffffff ll", "if r6 > r7", ["next"]],
    ["r6 = 5; r6 /= 2", "if r6 == 2", both],
    ["r6 = 5; w6 %= 2; r7 = 0xffffffff ll", "if r6 > r7", ["next"]],
    ["r6 = (s8)r6", "if r6 s> 127", ["next"]],
    ["r6 = (s8)r6", "if r6 s< -128", ["next"]],
    ["r6 = (s8)r6", "if r6 s> 126", both],
    ["w6 = (s8)w6", "if r6 s< 0", ["next"]],
    ["r6 = be16 r6", "if r6 > 65535", ["next"]],
    ["r6 = be16 r6", "if r6 > 65534", both],
    ["r6 = le16 r6", "if r6 > 65535", ["next"]],
    ["r6 = 0x12345 ll; r6 = le16 r6", "if r6 == 0x2345", ["taken"]],
    ["r6 = 0x12345 ll; r6 = le64 r6", "if r6 == 0x12345", ["taken"]],
    ["r6 = 0x12345 ll; r6 = be64 r6", "if r6 == 0x12345", both],
    ["r6 = 0x12345 ll; r6 = bswap16 r6", "if r6 > 65535", ["next"]],
    ["r6 &= 63; r7 = 1; r7 <<= r6", "if r7 == 0", ["next"]],
    ["r6 &= 64; r7 = 1; r7 <<= r6", "if r7 == 7", both],
    ["r6 = 66; r7 = 1; r7 <<= r6", "if r7 == 4", ["taken"]],
    ["r6 = 33; w7 = 1; w7 <<= w6", "if r7 == 2", ["taken"]],
    ["r6 = *(u8 *)(r1 + 0); r6 = 7", "if r6 == 7", ["taken"]],
    ["w6 = -1; r7 = 0xffffffff ll", "if r6 == r7", ["taken"]],
    ["r6 = -1", "if r6 s< 0", ["taken"]],
  ])("after %s, %s: %j", (before, compare, ways) => {
    expect(followed(before.replace("r6 = *(u8 *)(r1 + 0); ", ""), compare)).toEqual(ways);
  });

  test("a test of bits tells of them on either way", () => {
    const then = (text: string) => said(`r6 = *(u64 *)(r1 + 0); ${text}; bad: r0 = r9; exit; fine: r0 = 0; exit`);
    const refused = expect.stringMatching(/R9 !read_ok$/) as string;
    expect(then("if r6 & 7 goto fine; if r6 & 4 goto bad; goto fine")).toBe("accepted");
    expect(then("if w6 & 7 goto fine; if w6 & 4 goto bad; goto fine")).toBe("accepted");
    expect(then("if r6 & 7 goto fine; if r6 & 8 goto bad; goto fine")).toEqual(refused);
    expect(then("if r6 & 4 goto a; goto fine; a: if r6 & 4 goto fine")).toBe("accepted");
    expect(then("if w6 & 4 goto a; goto fine; a: if w6 & 4 goto fine")).toBe("accepted");
    expect(then("if r6 & 6 goto a; goto fine; a: if r6 & 4 goto fine")).toEqual(refused);
  });

  test("loads are as wide as they are, and signed where they say so", () => {
    const bound = (load: string, compare: string) =>
      followed(
        `*(u64 *)(r10 - 8) = r6; r7 = r10; r7 += -8; r6 = *(u64 *)(r1 + 8); *(u64 *)(r10 - 16) = r6; *(u8 *)(r10 - 16) = r6; r6 = *(${load} *)(r10 - 16)`,
        compare,
      );
    expect(bound("u8", "if r6 > 255")).toEqual(["next"]);
    expect(bound("u8", "if r6 > 254")).toEqual(both);
    expect(bound("u16", "if r6 > 65535")).toEqual(["next"]);
    expect(bound("u16", "if r6 > 255")).toEqual(both);
    expect(bound("s8", "if r6 s> 127")).toEqual(["next"]);
    expect(bound("s8", "if r6 s< -127")).toEqual(both);
    expect(bound("u64", "if r6 s< 0")).toEqual(both);
    // A number that lies there whole is known, and its lower bytes where they begin; elsewhere only their width is.
    const spilled = (load: string, at: number, compare: string) =>
      followed(`*(u64 *)(r10 - 8) = 0x1234; r6 = *(${load} *)(r10 - ${at})`, compare);
    expect(spilled("u64", 8, "if r6 == 0x1234")).toEqual(["taken"]);
    expect(spilled("u16", 8, "if r6 == 0x1234")).toEqual(["taken"]);
    expect(spilled("u8", 8, "if r6 == 0x34")).toEqual(["taken"]);
    expect(spilled("u8", 7, "if r6 == 0x12")).toEqual(both);
    expect(spilled("u8", 7, "if r6 > 255")).toEqual(["next"]);
    const zero = (store: string) => followed(`*(u64 *)(r10 - 8) = r6; ${store}; r6 = *(u16 *)(r10 - 8)`, "if r6 == 0");
    expect(zero("*(u16 *)(r10 - 8) = 0")).toEqual(["taken"]);
    expect(zero("*(u8 *)(r10 - 8) = 0")).toEqual(both);
    expect(zero("*(u16 *)(r10 - 8) = 1")).toEqual(both);
  });
});

describe("helpers", () => {
  const key = "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4";
  rows([
    ["call 9999; exit", "0: unknown func #9999"],
    ["call kfunc 5; exit", "0: kernel functions (kfuncs) cannot be called here"],
    [
      "r1 = r10; r2 = 0; r3 = r10; r4 = 4; call 26; r0 = 0; exit",
      "4: program of type xdp cannot use helper skb_load_bytes#26",
      "xdp",
    ],
    [`${key}; r1 = 1; call 1; r0 = 0; exit`, "4: R1 type=scalar expected=map_ptr"],
    [
      `${key}; r1 = map_index 1 0 ll; call 1; r0 = 0; exit`,
      "5: cannot pass map 'ring' (ringbuf) into func map_lookup_elem#1",
    ],
    [`${key}; r1 = map_index 4 0 ll; call 3; r0 = 0; exit`, "accepted"],
    ["r1 = map_index 0 0 ll; r2 = 4; call 1; r0 = 0; exit", "3: R2 type=scalar expected=fp, map_value, mem or packet"],
    [
      "r1 = map_index 0 0 ll; r2 = r10; r2 += -3; call 1; r0 = 0; exit",
      "4: invalid stack access through R2, off=-3 size=4: the stack is fp-512 to fp-1",
    ],
    [
      "r1 = map_index 0 0 ll; r2 = r10; r2 += -4; call 1; r0 = 0; exit",
      "4: invalid indirect read from stack R2 off -4+0 size 4: never written",
    ],
    [
      `*(u16 *)(r10 - 4) = 0; r1 = map_index 0 0 ll; r2 = r10; r2 += -4; call 1; r0 = 0; exit`,
      "5: invalid indirect read from stack R2 off -4+2 size 4: never written",
    ],
    // The value is as long as the map's.
    [
      `${key}; *(u64 *)(r10 - 16) = 0; r1 = map_index 4 0 ll; r3 = r10; r3 += -16; r4 = 0; call 2; r0 = 0; exit`,
      "accepted",
    ],
    [
      `${key}; *(u64 *)(r10 - 24) = 0; r1 = map_index 0 0 ll; r3 = r10; r3 += -24; r4 = 0; call 2; r0 = 0; exit`,
      "9: invalid indirect read from stack R3 off -24+8 size 16: never written",
    ],
    [
      `r7 = r1; ${reserve}; r6 = r0; if r6 == 0 goto out; r1 = r7; r2 = map_index 3 0 ll; r3 = 0; call 12; r1 = r6; ${give}; ${end}`,
      "12: tail_call would lead to reference leak",
    ],
    ["r1 += 8; r2 = map_index 3 0 ll; r3 = 0; call 12; r0 = 0; exit", "4: R1 type=ctx expected=ctx"],
    ["r1 = r10; r2 = map_index 3 0 ll; r3 = 0; call 12; r0 = 0; exit", "4: R1 type=fp expected=ctx"],
    ["r2 = map_index 3 0 ll; r3 = 0; call 12; exit", "4: R0 !read_ok"],
    [
      "r2 = map_index 0 0 ll; r3 = 0; call 12; r0 = 0; exit",
      "3: cannot pass map 'values' (array) into func tail_call#12",
    ],
    [
      `${reserve}; if r0 == 0 goto out; r1 = r0; r1 += 8; ${give}; ${end}`,
      "9: R1 type=mem expected=mem with a reference, as reserved",
    ],
    [`${reserve}; r1 = r0; ${give}; r0 = 0; exit`, "7: R1 type=mem_or_null expected=mem with a reference, as reserved"],
    [
      `${reserve}; if r0 == 0 goto out; r6 = r0; r1 = r0; ${give}; r1 = r6; ${give}; ${end}`,
      "12: R1 type=scalar expected=mem with a reference, as reserved",
    ],
    [
      `${reserve}; if r0 == 0 goto out; r6 = r0; r1 = r0; ${give}; r0 = r6; exit; out: r0 = 0; exit`,
      "10: R6 !read_ok",
      "raw_tracepoint",
      unprivileged,
    ],
    [
      `${reserve}; if r0 == 0 goto out; *(u64 *)(r10 - 8) = r0; r1 = r0; ${give}; r6 = *(u64 *)(r10 - 8); *(u64 *)(r6 + 0) = 1; ${end}`,
      "11: R6 invalid mem access 'scalar'",
    ],
    // Two records: each is its own to give back.
    [
      `${reserve}; r6 = r0; ${reserve}; r7 = r0; if r6 == 0 goto a; r1 = r6; ${give}; a: if r7 == 0 goto out; r1 = r7; ${give}; ${end}`,
      "accepted",
    ],
    [
      `${reserve}; r6 = r0; ${reserve}; r7 = r0; if r6 == 0 goto a; r1 = r6; ${give}; a: r0 = 0; exit`,
      "17: Unreleased reference id=2 alloc_insn=10",
    ],
    ["r2 = 0; r1 = map_index 1 0 ll; r3 = 0; call 131; r0 = 0; exit", "4: R2 is not a known constant that is a size"],
    ["r2 = r10; r1 = map_index 1 0 ll; r3 = 0; call 131; r0 = 0; exit", "4: R2 is not a known constant that is a size"],
    [
      "r2 = 0x20000001; r1 = map_index 1 0 ll; r3 = 0; call 131; if r0 == 0 goto out; r1 = r0; r2 = 0; call 132; out: r0 = 0; exit",
      "4: R2 is not a known constant that is a size",
    ],
    [
      "r2 = 0x20000000; r1 = map_index 1 0 ll; r3 = 0; call 131; if r0 == 0 goto out; r1 = r0; r2 = 0; call 132; out: r0 = 0; exit",
      "accepted",
    ],
    // Sizes.
    ["r1 = r10; r1 += -8; r2 = 8; r3 = 0; call 113; r0 = *(u64 *)(r10 - 8); exit", "accepted"],
    [
      "r1 = r10; r1 += -8; r2 = 9; r3 = 0; call 113; r0 = 0; exit",
      "4: invalid stack access through R1, off=-8 size=9: the stack is fp-512 to fp-1",
    ],
    ["r1 = r10; r1 += -8; r2 = 0; r3 = 0; call 113; r0 = 0; exit", "accepted"],
    ["r1 = r10; r1 += -8; r2 = 0; call 16; r0 = 0; exit", "3: R2 invalid zero-sized read: compare it with 0 first"],
    ["r1 = r10; r1 += -8; r2 = 1; call 16; r0 = *(u8 *)(r10 - 8); exit", "accepted"],
    [
      "r1 = r10; r1 += -8; r2 = 1; call 16; r0 = *(u8 *)(r10 - 7); exit",
      "4: invalid read from stack off -7+0 size 1: never written",
    ],
    ["r1 = r10; r1 += -8; r2 = r10; call 16; r0 = 0; exit", "3: R2 type=fp expected=scalar"],
    ["r1 = 0; r2 = 8; r3 = 0; call 113; r0 = 0; exit", "3: R1 type=scalar expected=fp, map_value, mem or packet"],
    [
      "r6 = *(u64 *)(r1 + 0); r1 = r10; r1 += -8; r2 = r6; r3 = 0; call 113; r0 = 0; exit",
      "5: R2 unbounded memory size: use 'var &= const' or compare it with its bounds",
    ],
    [
      "r2 = *(u64 *)(r1 + 0); r2 &= 0x1fffffff; r1 = r10; r1 += -8; r3 = 0; call 113; r0 = 0; exit",
      "5: invalid stack access through R1, off=-8 size=536870911: the stack is fp-512 to fp-1",
    ],
    [
      "r2 = *(u64 *)(r1 + 0); r2 &= 0x20000000; r1 = r10; r1 += -8; r3 = 0; call 113; r0 = 0; exit",
      "5: R2 unbounded memory size: use 'var &= const' or compare it with its bounds",
    ],
    // A helper that may fill less than it is given leaves the rest as it was.
    [
      "r2 = *(u64 *)(r1 + 0); r2 &= 7; r1 = r10; r1 += -8; r3 = 0; call 113; r0 = 0; exit",
      "5: invalid indirect read from stack R1 off -8+0 size 7: never written",
    ],
    [
      "*(u64 *)(r10 - 8) = 0; r2 = *(u64 *)(r1 + 0); r2 &= 7; r1 = r10; r1 += -8; r3 = 0; call 113; r0 = *(u64 *)(r10 - 8); exit",
      "accepted",
    ],
    [
      "r2 = *(u64 *)(r1 + 0); r2 &= 8; r1 = r10; r1 += -16; r1 += r2; r2 = 8; r3 = 0; call 113; r0 = 0; exit",
      "7: invalid indirect read from stack R1 off -16+0 size 8: never written",
    ],
    // What a helper filled is no number that was known before, and no pointer.
    [
      `*(u64 *)(r10 - 8) = 0; r1 = r10; r1 += -8; r2 = 8; r3 = 0; call 113; r6 = *(u64 *)(r10 - 8); ${lookup}; r0 += r6; r1 = *(u8 *)(r0 + 0); ${end}`,
      "14: math between map_value pointer and register with unbounded min value is not allowed",
    ],
    ["*(u64 *)(r10 - 8) = r1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = 0; r5 = 0; call 6; r0 = 0; exit", "accepted"],
    [
      "*(u64 *)(r10 - 8) = r1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = 0; r5 = 0; call 6; r0 = 0; exit",
      "7: R1 hands a spilled pointer to a helper",
      "raw_tracepoint",
      unprivileged,
    ],
    [
      "*(u64 *)(r10 - 16) = r1; *(u64 *)(r10 - 8) = 1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = 0; r5 = 0; call 6; r0 = 0; exit",
      "accepted",
      "raw_tracepoint",
      unprivileged,
    ],
    [
      "r3 = r1; *(u64 *)(r10 - 8) = 0; r1 = r10; r1 += -8; r2 = 8; r4 = 0; r5 = 0; call 6; r0 = 0; exit",
      "7: R3 leaks addr into helper function",
      "raw_tracepoint",
      unprivileged,
    ],
    // Registers 1 to 5 hold nothing after a call, 6 to 9 what they held.
    ["r6 = 5; r5 = 5; call 5; r0 = r6; exit", "accepted"],
    ["r5 = 5; call 5; r0 = r5; exit", "2: R5 !read_ok"],
    ["r1 = 5; call f; exit; f: r0 = r1; exit", "accepted"],
    ["r5 = 5; call f; exit; f: r0 = r5; exit", "accepted"],
    ["r6 = 5; call f; exit; f: r0 = r6; exit", "3: R6 !read_ok"],
    ["r0 = 5; call f; exit; f: exit", "3: R0 !read_ok"],
    ["r5 = 5; call f; r0 = r5; exit; f: r0 = 0; exit", "2: R5 !read_ok"],
    ["r6 = 5; call f; r0 = r6; exit; f: r6 = 0; r0 = 0; exit", "accepted"],
  ]);
  test("the way out of a program", () => {
    expect(said("exit")).toBe("0: R0 !read_ok");
    expect(said("r0 = r1; exit", "raw_tracepoint", unprivileged)).toBe("1: R0 leaks addr as return value");
    expect(said("r0 = r1; exit")).toBe("accepted");
    const refused = "1: At program exit the register R0 has a value outside [0, 0]";
    for (const value of ["1", "-1", "r1"]) expect(said(`r0 = ${value}; exit`, "tracing"), value).toBe(refused);
    expect(said("r0 = 0; exit", "tracing")).toBe("accepted");
  });
  rows([
    ["r0 = 0; lock *(u64 *)(r1 + 0) += r0; exit", "1: atomic through R1, a ctx pointer, is not allowed"],
    [
      `${packet}; r0 = 0; lock *(u64 *)(r2 + 0) += r0; exit`,
      "3: atomic through R2, a pkt pointer, is not allowed",
      "xdp",
    ],
    [
      "r2 = *(u32 *)(r1 + 8); r0 = 0; lock *(u64 *)(r2 + 0) += r0; exit",
      "2: atomic through R2, a pkt_meta pointer, is not allowed",
      "xdp",
    ],
    [
      "*(u64 *)(r10 - 8) = r1; r0 = 0; lock *(u64 *)(r10 - 8) += r0; exit",
      "2: R10 leads to a spilled ctx; atomics change numbers",
    ],
    [
      "*(u64 *)(r10 - 8) = 0; lock *(u64 *)(r10 - 8) += r1; r0 = 0; exit",
      "1: R1 leaks addr into mem through an atomic",
    ],
    [
      "*(u64 *)(r10 - 8) = 0; r0 = r10; r2 = 0; r0 = atomic_cmpxchg((u64 *)(r10 - 8), r0, r2); r0 = 0; exit",
      "3: R0 leaks addr into mem through an atomic",
    ],
    ["*(u64 *)(r10 - 8) = 0; r2 = 0; r0 = atomic_cmpxchg((u64 *)(r10 - 8), r0, r2); r0 = 0; exit", "2: R0 !read_ok"],
    [
      "*(u64 *)(r10 - 8) = 0; r0 = 0; lock *(u64 *)(r10 - 8) += r0; if r0 != 0 goto a; exit; a: r0 = r9; exit",
      "accepted",
    ],
    ["r0 = 0; lock *(u64 *)(r10 - 8) += r0; exit", "1: invalid read from stack off -8+0 size 8: never written"],
  ]);
  test("after an atomic what lay there is unknown, and so is what it fetched; what it did not fetch stays", () => {
    const decides = (atomic: string, read: string) =>
      said(`*(u64 *)(r10 - 8) = 3; r0 = 3; r2 = 3; ${atomic}; ${read} == 3 goto out; r0 = r9; exit; ${end}`);
    const unknown = expect.stringMatching(/R9 !read_ok$/) as string;
    expect(decides("lock *(u64 *)(r10 - 8) += r2", "if r2")).toBe("accepted");
    expect(decides("r2 = atomic_fetch_add((u64 *)(r10 - 8), r2)", "if r2")).toEqual(unknown);
    expect(decides("lock *(u64 *)(r10 - 8) += r2", "r4 = *(u64 *)(r10 - 8); if r4")).toEqual(unknown);
    expect(decides("lock *(u64 *)(r10 - 8) += r2", "if r0")).toBe("accepted");
    expect(decides("r0 = atomic_cmpxchg((u64 *)(r10 - 8), r0, r2)", "if r0")).toEqual(unknown);
    expect(decides("r0 = atomic_cmpxchg((u64 *)(r10 - 8), r0, r2)", "if r2")).toBe("accepted");
  });
});

describe("contexts: the bytes that programs of a type may touch", () => {
  /** Offsets from 0 on that may be loaded with a width. */
  const allowed = (type: ProgramType, bytes: number, write: boolean, until = 300): number[] =>
    Array.from({ length: until + 16 }, (_, at) => at - 16).filter((at) => contextShape(type).allows(at, bytes, write));
  const every = (step: number, end: number, from = 0): number[] =>
    Array.from({ length: Math.ceil((end - from) / step) }, (_, i) => from + i * step);
  test("xdp: its words that are no pointers", () => {
    expect(allowed("xdp", 4, false)).toEqual([12, 16, 20]);
    for (const bytes of [1, 2, 8]) expect(allowed("xdp", bytes, false)).toEqual([]);
    expect(allowed("xdp", 4, true)).toEqual([]);
    expect(contextShape("xdp")).toMatchObject({ bytes: 24, kernelBytes: 48, packet: { data: 24, end: 32 } });
    expect(contextShape("xdp").pointers).toEqual([
      { offset: 0, kind: "pkt", word: 24 },
      { offset: 4, kind: "pkt_end", word: 32 },
      { offset: 8, kind: "pkt_meta", word: 40 },
    ]);
  });
  test("socket buffers: words but for the pointers; the program's type says which may be written", () => {
    const pointers = [76, 80, 140];
    const words = every(4, 192).filter((at) => !pointers.includes(at));
    expect(allowed("sched_cls", 4, false)).toEqual(words);
    expect(allowed("sched_cls", 4, true)).toEqual([8, 32, 44, 48, 52, 56, 60, 64, 72]);
    expect(allowed("socket_filter", 4, false)).toEqual(words.filter((at) => at !== 72));
    expect(allowed("socket_filter", 4, true)).toEqual([48, 52, 56, 60, 64]);
    for (const bytes of [1, 2, 8]) expect(allowed("sched_cls", bytes, false)).toEqual([]);
    expect(contextShape("sched_cls")).toMatchObject({ kernelBytes: 216, packet: { data: 192, end: 200 } });
    expect(contextShape("socket_filter")).toMatchObject({ kernelBytes: 216, packet: { data: 192, end: 200 } });
    expect(contextShape("sched_cls").pointers.map(({ offset, kind, word }) => [offset, kind, word])).toEqual([
      [76, "pkt", 192],
      [80, "pkt_end", 200],
      [140, "pkt_meta", 208],
    ]);
    expect(contextShape("socket_filter").pointers).toEqual([]);
  });
  test("arguments in words of 64 bits", () => {
    for (const type of ["raw_tracepoint", "tracing", "struct_ops"] as const) {
      expect(allowed(type, 8, false)).toEqual(every(8, 96));
      for (const bytes of [1, 2, 4]) expect(allowed(type, bytes, false)).toEqual([]);
      expect(allowed(type, 8, true)).toEqual([]);
    }
    expect([contextShape("tracing").result, contextShape("raw_tracepoint").result]).toEqual([[0n, 0n], undefined]);
  });
  test("registers, in any width that is aligned; a sample has two words more; a tracepoint's begin at 8", () => {
    for (const bytes of [1, 2, 4, 8]) {
      expect(allowed("kprobe", bytes, false)).toEqual(every(bytes, 168));
      expect(allowed("perf_event", bytes, false)).toEqual(every(bytes, 184));
      expect(allowed("tracepoint", bytes, false, 8300)).toEqual(every(bytes, 8192, 8));
      for (const type of ["kprobe", "perf_event", "tracepoint"] as const)
        expect(allowed(type, bytes, true)).toEqual([]);
    }
    expect(contextShape("perf_event")).toMatchObject({ bytes: 184, kernelBytes: 184 });
  });
  test("what a system call is given is as long as it says, to be read and written", () => {
    const at = (offset: number, contextBytes?: number) =>
      said(
        `*(u64 *)(r1 ${offset < 0 ? "-" : "+"} ${Math.abs(offset)}) = 1; r0 = *(u8 *)(r1 + ${offset + 7}); exit`,
        "syscall",
        contextBytes === undefined ? {} : { contextBytes },
      );
    expect([at(56, 64), at(57, 64), at(0)]).toEqual([
      "accepted",
      "0: invalid bpf_context access off=57 size=8: not writable",
      "0: invalid bpf_context access off=0 size=8: not writable",
    ]);
    expect(at(-1, 64)).toBe("0: invalid bpf_context access off=-1 size=8: not writable");
    const whole = contextShape("syscall");
    expect([whole.allows(65534, 1, true), whole.allows(65535, 1, true), whole.allows(-1, 2, true)]).toEqual([
      true,
      false,
      false,
    ]);
    expect([whole.bytes, whole.kernelBytes]).toEqual([65535, 65535]);
  });
  rows([
    ["r0 = *(u64 *)(r1 + 88); exit", "accepted"],
    ["r0 = *(u64 *)(r1 + 96); exit", "0: invalid bpf_context access off=96 size=8"],
    ["r0 = *(u64 *)(r1 - 8); exit", "0: invalid bpf_context access off=-8 size=8"],
    ["*(u64 *)(r1 + 0) = 1; r0 = 0; exit", "0: invalid bpf_context access off=0 size=8: not writable"],
    ["r0 = *(u16 *)(r1 + 0); exit", "0: invalid bpf_context access off=0 size=2", "xdp"],
    [
      "*(u64 *)(r1 + 0) = r10; r0 = 0; exit",
      "0: R10 leaks addr into ctx",
      "syscall",
      { privileged: false, contextBytes: 64 },
    ],
    ["*(u64 *)(r1 + 0) = r10; r0 = 0; exit", "accepted", "syscall", { contextBytes: 64 }],
    [`${lookup}; *(u64 *)(r0 + 0) = r10; ${end}`, "7: R10 leaks addr into map_value", "raw_tracepoint", unprivileged],
    [`${lookup}; *(u64 *)(r0 + 0) = r10; ${end}`, "accepted"],
    [
      "*(u64 *)(r10 - 8) = 0; r2 = *(u64 *)(r1 + 0); r3 = r10; r3 += -8; if r2 == 0 goto a; r3 = r1; a: r0 = *(u64 *)(r3 + 0); exit",
      "6: same insn cannot be used with different pointers: context on one path, other memory on another",
    ],
    [
      "r2 = *(u32 *)(r1 + 12); r3 = r1; if r2 == 0 goto a; r3 += 4; a: r0 = *(u32 *)(r3 + 0); r0 = 0; exit",
      "4: same insn cannot be used with different pointers: context on one path, other memory on another",
      "xdp",
    ],
    ["r2 = *(u32 *)(r1 + 12); r3 = r1; if r2 == 0 goto a; r3 += 4; a: r0 = *(u32 *)(r3 + 12); exit", "accepted", "xdp"],
  ]);
});

test("a refusal names the line of the source, that of its slot or the last before it in its function", () => {
  const lines = new Map([
    [0, { file: "a.c", line: 3, text: "first" }],
    [2, { file: "b.c", line: 7, text: "second" }],
  ]);
  const placeOf = (text: string): unknown => {
    try {
      verified(text, "raw_tracepoint", { lines });
    } catch (error) {
      return (error as BpfError).place;
    }
    return undefined;
  };
  expect(placeOf("r0 = r9; exit")).toEqual({ instruction: 0, source: "a.c:3: first" });
  expect(placeOf("r0 = 0; r0 = r9; exit")).toEqual({ instruction: 1, source: "a.c:3: first" });
  expect(placeOf("r0 = 0; r1 = 0; r2 = 0; r0 = r9; exit")).toEqual({ instruction: 3, source: "b.c:7: second" });
  expect(placeOf("r1 = 0; call f; exit; f: r0 = r9; exit")).toEqual({ instruction: 3 });
});

describe("a path that another covers ends there; one that it does not is followed", () => {
  /**
   * Two ways lead to one place, the second followed last; what each did before is given, and then what needs it.
   * @returns what is said where the way not taken does `first`, and the other `second`
   */
  const joined = (first: string, second: string, then: string): string =>
    said(
      `r6 = *(u64 *)(r1 + 0); r7 = *(u64 *)(r1 + 8); r9 = r1; if r6 == 0 goto a; ${first}; goto b; a: ${second}; goto b; b: ${then}`,
    );
  const both = (one: string, two: string, then: string): string[] => [joined(one, two, then), joined(two, one, then)];
  const use = `${lookup}; r0 += r8; r1 = *(u8 *)(r0 + 0); ${end}`;
  const wrong = (found: string[]): boolean[] => found.map((each) => each !== "accepted");
  test.each<[what: string, one: string, two: string, then: string, refused: boolean]>([
    ["numbers, of which one is too high", "r8 = 3", "r8 = 16", use, true],
    ["numbers, of which both will do", "r8 = 3", "r8 = 15", use, false],
    ["ranges, of which one is too wide", "r8 = r7; r8 &= 15", "r8 = r7; r8 &= 31", use, true],
    ["a number and a pointer", "r8 = 3", "r8 = r10", use, true],
    ["a register that one way did not write", "r8 = 3", "w0 = 0", "r0 = r8; exit", true],
    ["one that nobody reads then", "r8 = 3", "w0 = 0", "r0 = 0; exit", false],
    [
      "pointers at different offsets",
      "r8 = map_index_value 5 0 ll",
      "r8 = map_index_value 5 1 ll",
      "r0 = *(u64 *)(r8 + 0); exit",
      true,
    ],
    [
      "of different maps",
      "r8 = map_index_value 5 0 ll",
      "r8 = map_index_value 2 0 ll",
      "*(u64 *)(r8 + 0) = 1; r0 = 0; exit",
      true,
    ],
    [
      "with different unknown parts",
      "r8 = map_index_value 5 0 ll; r7 &= 7; r8 += r7",
      "r8 = map_index_value 5 0 ll; r7 &= 15; r8 += r7",
      "r0 = *(u8 *)(r8 + 0); exit",
      true,
    ],
    [
      "one with an unknown part and one without",
      "r8 = map_index_value 5 7 ll",
      "r8 = map_index_value 5 7 ll; r7 &= 15; r8 += r7",
      "r0 = *(u8 *)(r8 + 0); exit",
      true,
    ],
    ["stack that one way did not write", "*(u64 *)(r10 - 16) = 3", "w0 = 0", "r0 = *(u64 *)(r10 - 16); exit", true],
    ["half of it", "*(u64 *)(r10 - 16) = 3", "*(u32 *)(r10 - 16) = 3", "r0 = *(u64 *)(r10 - 16); exit", true],
    [
      "a spilled pointer and a number",
      "*(u64 *)(r10 - 16) = r10",
      "*(u64 *)(r10 - 16) = 3",
      "r8 = *(u64 *)(r10 - 16); *(u64 *)(r8 - 8) = 1; r0 = 0; exit",
      true,
    ],
    [
      "spilled numbers of which one is too high",
      "*(u64 *)(r10 - 16) = 3",
      "*(u64 *)(r10 - 16) = 16",
      `r8 = *(u64 *)(r10 - 16); ${use}`,
      true,
    ],
    [
      "far down the stack",
      "*(u64 *)(r10 - 504) = 3",
      "*(u64 *)(r10 - 504) = 16",
      `r8 = *(u64 *)(r10 - 504); ${use}`,
      true,
    ],
    [
      "zeroes and other bytes",
      "*(u16 *)(r10 - 16) = 0",
      "*(u16 *)(r10 - 16) = 77",
      `r8 = *(u16 *)(r10 - 16); ${use}`,
      true,
    ],
    [
      "zeroes and other bytes that decide nothing",
      "*(u16 *)(r10 - 16) = 0",
      "*(u16 *)(r10 - 16) = 77",
      "r0 = *(u16 *)(r10 - 16); exit",
      false,
    ],
    [
      "zeroes and a spilled pointer's bytes",
      "*(u64 *)(r10 - 16) = 0",
      "*(u64 *)(r10 - 16) = r10",
      "r0 = *(u16 *)(r10 - 16); exit",
      true,
    ],
    [
      "copies of one number and two of which one was bounded",
      "r8 = r7",
      "r8 = *(u64 *)(r9 + 16)",
      `if r7 > 15 goto out; ${use}`,
      true,
    ],
  ])("%s: %s | %s", (_, one, two, then, refused) => {
    const found = wrong(both(one, two, then));
    expect(found).toEqual([refused, refused]);
  });

  test("a record in hand on one way alone, and null checks of copies", () => {
    const held = `r1 = map_index 1 0 ll; r2 = 16; r3 = 0; call 131; r8 = r0`;
    const drop = `if r8 == 0 goto out; r1 = r8; ${give}; ${end}`;
    expect(wrong(both(held, "r8 = 0", drop))).toEqual([false, false]);
    expect(wrong(both(held, "r8 = 0", end))).toEqual([true, true]);
    const larger = held.replace("16", "17");
    expect(wrong(both(held, larger, `if r8 == 0 goto out; *(u8 *)(r8 + 16) = 1; r1 = r8; ${give}; ${end}`))).toEqual([
      true,
      true,
    ]);
    const found = (other: string) =>
      `*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = map_index 0 0 ll; call 1; r8 = r0; ${other}`;
    const again = "*(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4; r1 = map_index 0 0 ll; call 1; r7 = r0";
    expect(wrong(both(found("r7 = r8"), found(again), "if r8 == 0 goto out; r1 = *(u8 *)(r7 + 0); " + end))).toEqual([
      true,
      true,
    ]);
  });

  test("proven bytes of a packet: more is as good, less is not", () => {
    const way = (one: number, two: number) =>
      said(
        `r7 = *(u32 *)(r1 + 12); ${packet}; if r7 == 0 goto a; r4 = r2; r4 += ${one}; if r4 > r3 goto out; goto b; a: r4 = r2; r4 += ${two}; if r4 > r3 goto out; goto b; b: r4 = 0; r0 = *(u8 *)(r2 + 9); ${end}`,
        "xdp",
      );
    expect(wrong([way(10, 10), way(10, 14), way(14, 10), way(9, 10), way(10, 9)])).toEqual([
      false,
      false,
      false,
      true,
      true,
    ]);
  });

  test("calls from two places return to each; loops that get nowhere are told from those that do", () => {
    const calls = (bad: string) =>
      said(`r6 = 0; call f; r7 = r0; call f; ${bad}; r0 = r7; exit; f: r0 = 1; goto g; g: exit`);
    expect([calls("w1 = 0"), calls("r0 = r9")]).toEqual(["accepted", "4: R9 !read_ok"]);
    expect(said("r0 = 0; a: goto a", "raw_tracepoint", { limit: 1000 })).toBe("1: infinite loop detected at insn 1");
    expect(said("r2 = *(u64 *)(r1 + 0); r0 = 0; a: if r2 != 5 goto a; exit", "raw_tracepoint", { limit: 1000 })).toBe(
      "2: infinite loop detected at insn 2",
    );
    expect(
      said("r2 = *(u64 *)(r1 + 0); r3 = 0; a: r3 += 1; if r2 != 5 goto a; r0 = r3; exit", "raw_tracepoint", {
        limit: 500,
      }),
    ).toBe("4: BPF program is too large. Processed 501 insn");
    const counted = (load: string) =>
      said(
        `*(u64 *)(r10 - 8) = 0; a: r3 = *(u64 *)(r10 - 8); r3 += 1; *(u64 *)(r10 - 8) = r3; ${load} < 20 goto a; r0 = 0; exit`,
      );
    expect(counted("if r3")).toBe("accepted");
    expect(said("r0 = 0; a: r0 += 1; if r0 < 100 goto a; exit", "raw_tracepoint", { limit: 201 })).toBe(
      "3: BPF program is too large. Processed 202 insn",
    );
    expect(said("r0 = 0; a: r0 += 1; if r0 < 100 goto a; exit", "raw_tracepoint", { limit: 202 })).toBe("accepted");
  });

  test("nothing changed only where all that can still be read is as it was", () => {
    const need = (live: number) =>
      ({ live: Uint16Array.of(0, 0, live, 0, 0, 0) }) as unknown as Parameters<typeof unchanged>[3];
    const made = (change: (state: State) => void = () => undefined): State => {
      const state = new State([Frame.enter(0, -1, 0)]);
      state.top.registers[6] = scalar(scalars.range(1n, 9n));
      state.spill(0, -8, scalar(scalars.range(1n, 9n)));
      state.mark(0, -16, -8, Byte.Misc);
      change(state);
      return state;
    };
    const seen = (change: (state: State) => void, live = 1 << 6): boolean =>
      unchanged(made(), made(change), 2, need(live));
    expect(seen(() => undefined)).toBe(true);
    expect(seen((state) => (state.top.registers[7] = UNKNOWN))).toBe(true);
    expect(seen((state) => (state.top.registers[7] = UNKNOWN), 1 << 7)).toBe(false);
    for (const [least, most] of [
      [0n, 9n],
      [1n, 10n],
      [2n, 9n],
      [1n, 8n],
    ] as const) {
      expect(seen((state) => (state.top.registers[6] = scalar(scalars.range(least, most))))).toBe(false);
      expect(seen((state) => (state.top.registers[6] = scalar(scalars.range(least, most))), 0)).toBe(true);
      expect(seen((state) => state.spill(0, -8, scalar(scalars.range(least, most))))).toBe(false);
    }
    for (const part of [{ kind: "ctx" }, { offset: 1 }, { map: 1 }, { frame: 1 }, { range: 1 }] as const) {
      const other = { ...made().top.registers[6]!, ...part };
      expect(
        seen((state) => (state.top.registers[6] = other)),
        JSON.stringify(part),
      ).toBe(false);
      expect(seen((state) => (state.top.registers[6] = { ...made().top.registers[6]! }))).toBe(true);
    }
    expect(seen((state) => state.mark(0, -16, -15, Byte.Zero))).toBe(false);
    expect(seen((state) => state.mark(0, -9, -8, Byte.Unset))).toBe(false);
    expect(seen((state) => state.mark(0, -8, 0, Byte.Misc))).toBe(false);
    expect(seen((state) => (state.held = [{ id: 1, instruction: 0 }]))).toBe(false);
    expect(seen((state) => state.frames.push(Frame.enter(3, 1, 1)))).toBe(false);
    // Of a caller, what is live where its call returns.
    const called = (change: (state: State) => void, start = 3, returnTo = 4): boolean => {
      const call = (state: State, ...at: [number, number]): State => {
        state.frames.push(Frame.enter(...at, 1));
        return state;
      };
      const live = { live: Uint16Array.of(0, 0, 0, 0, 1 << 6, 0) } as unknown as Parameters<typeof unchanged>[3];
      return unchanged(call(made(), 3, 4), call(made(change), start, returnTo), 2, live);
    };
    const other = (state: State): void => {
      state.top.registers[6] = UNKNOWN;
    };
    expect([called(() => undefined), called(other), called(() => undefined, 2), called(() => undefined, 3, 5)]).toEqual(
      [true, false, false, false],
    );
  });

  test("a swap that changes nothing leaves a number what it was, with its copies", () => {
    const swapped = (by: string) => said(`r6 = *(u64 *)(r1 + 0); r8 = r6; r6 = ${by} r6; if r6 > 15 goto out; ${use}`);
    expect(swapped("le64")).toBe("accepted");
    expect([swapped("be64"), swapped("le32")].map((each) => each === "accepted")).toEqual([false, false]);
  });

  test("a function left for another place is another path; one that was covered is not followed again", () => {
    const left = (bad: string) =>
      said(
        `r6 = *(u64 *)(r1 + 0); if r6 == 0 goto a; call f; r0 = 0; exit; a: call f; ${bad}; exit; f: r0 = 1; goto g; g: exit`,
      );
    expect([left("r0 = 0"), left("r0 = r9")]).toEqual(["accepted", "6: R9 !read_ok"]);
    const followed = (one: string, two: string, then: string) =>
      verified(
        `r6 = *(u64 *)(r1 + 0); r7 = *(u64 *)(r1 + 8); if r6 == 0 goto a; ${one}; goto b; a: ${two}; goto b; b: ${then}; exit`,
      ).statistics.processed;
    const ten = Array.from({ length: 10 }, () => "w0 = 0").join("; ");
    // Three in front, two on each way, and what follows: once, and one look more.
    const once = 3 + 4 + 11 + 1;
    expect(followed("r8 = 3", "r8 = 3", ten)).toBe(once);
    expect(followed("r8 = 3", "r8 = 4", ten)).toBe(once);
    expect(followed("r8 = r10", "r8 = r10", `${ten}; *(u64 *)(r8 - 8) = 1`)).toBe(once + 1);
    expect(followed("r8 = r10", "r8 = r1", ten)).toBe(once);
    // Where the number decides something, both go there, and meet behind it.
    expect(followed("r8 = 3", "r8 = 4", `${ten}; if r8 == 9 goto c; c: w0 = 0`)).toBe(3 + 4 + 13 + 12);
  });

  test("8192 branches may wait, one more may not", () => {
    const waiting = (count: number) =>
      said(
        `r2 = *(u64 *)(r1 + 0); ${Array.from({ length: count }, (_, i) => `if r2 == ${i} goto out`).join("; ")}; ${end}`,
      );
    expect(waiting(8192)).toBe("accepted");
    expect(waiting(8193)).toBe("8193: The sequence of 8193 jumps is too complex.");
  });
});

describe("what is needed at a slot", () => {
  const liveness = (text: string, exactResult = false) => {
    const code = assemble(text);
    const { live, exact, exactNear, exactFar } = analyseLiveness(code, exactResult, () => 0);
    return { live: [...live], exact: [...exact], near: [...exactNear], far: [...exactFar] };
  };
  const bits = (...registers: number[]): number => registers.reduce((sum, r) => sum | (1 << r), 0);
  test("registers that may still be read, before each instruction", () => {
    expect(liveness("r0 = r1; r0 += r2; exit").live).toEqual([bits(1, 2), bits(0, 2), bits(0)]);
    expect(liveness("r0 = *(u64 *)(r6 + 0); *(u64 *)(r7 + 0) = r8; *(u64 *)(r9 + 0) = 1; exit").live).toEqual([
      bits(6, 7, 8, 9),
      bits(0, 7, 8, 9),
      bits(0, 9),
      bits(0),
    ]);
    expect(liveness("if r1 > r2 goto a; r0 = r3; exit; a: r0 = r4; exit").live).toEqual([
      bits(1, 2, 3, 4),
      bits(3),
      bits(0),
      bits(4),
      bits(0),
    ]);
    expect(liveness("if r1 > 5 goto a; a: r0 = 0; exit").live[0]).toBe(bits(1));
    expect(liveness("r3 = 1 ll; goto a; a: r0 = r3; exit").live.filter((_, at) => at !== 1)).toEqual([
      0,
      bits(3),
      bits(3),
      bits(0),
    ]);
    expect(liveness("gotol a; a: r0 = r3; exit").live).toEqual([bits(3), bits(3), bits(0)]);
    // A helper reads its arguments, leaves none, and gives r0; of a function here, all five.
    expect(liveness("call 1; exit").live[0]).toBe(bits(1, 2));
    expect(liveness("call 5; r0 = r6; exit").live[0]).toBe(bits(6));
    expect(liveness("call f; exit; f: r0 = 0; exit").live[0]).toBe(bits(1, 2, 3, 4, 5));
    expect(liveness("call 9999; exit").live[0]).toBe(bits(1, 2, 3, 4, 5));
    expect(liveness("r0 = be16 r0; exit").live[0]).toBe(bits(0));
    expect(liveness("r0 = atomic_cmpxchg((u64 *)(r6 - 8), r0, r7); r0 = 0; exit").live[0]).toBe(bits(0, 6, 7));
    expect(liveness("r7 = atomic_fetch_add((u64 *)(r6 - 8), r7); r0 = 0; exit").live[0]).toBe(bits(6, 7));
  });
  test("numbers that may still decide something: addresses, conditions, arguments, results that are checked", () => {
    expect(liveness("r0 = r1; r0 += r2; exit").exact).toEqual([0, 0, 0]);
    expect(liveness("r0 = r1; r0 += r2; exit", true).exact).toEqual([bits(1, 2), bits(0, 2), bits(0)]);
    expect(liveness("r1 += r2; r0 = *(u64 *)(r1 + 0); exit").exact).toEqual([bits(1, 2), bits(1), 0]);
    expect(liveness("*(u64 *)(r1 + 0) = 5; r0 = 0; exit").exact[0]).toBe(bits(1));
    expect(liveness("*(u64 *)(r1 + 0) = r2; r0 = 0; exit").exact[0]).toBe(bits(1));
    expect(liveness("if r1 > r2 goto a; a: r0 = 0; exit").exact[0]).toBe(bits(1, 2));
    expect(liveness("if r1 > 2 goto a; a: r0 = 0; exit").exact[0]).toBe(bits(1));
    expect(liveness("call 5; r0 = 0; exit").exact[0]).toBe(bits(1, 2, 3, 4, 5));
    expect(liveness("r6 = r7; r7 = 0; call 5; if r6 == 0 goto a; a: r0 = 0; exit").exact[0]).toBe(
      bits(1, 2, 3, 4, 5, 7),
    );
    const inCall = liveness("call f; exit; f: r0 = 0; exit");
    expect([inCall.exact[0], inCall.near[0], inCall.far[0]]).toEqual([0x7ff, -1, -1]);
  });
  test("slots of the stack whose number may, by the load that reads it", () => {
    const load = (access: string, at: string) =>
      liveness(`r2 = *(${access} *)(r10 ${at}); if r2 == 0 goto a; a: r0 = 0; exit`);
    expect([load("u64", "- 8").near[0], load("u64", "- 8").far[0]]).toEqual([1, 0]);
    expect([load("u64", "- 256").near[0], load("u64", "- 256").far[0]]).toEqual([1 << 31, 0]);
    expect([load("u64", "- 264").near[0], load("u64", "- 264").far[0]]).toEqual([0, 1]);
    expect([load("u64", "- 512").near[0], load("u64", "- 512").far[0]]).toEqual([0, 1 << 31]);
    expect([load("u64", "- 520").near[0], load("u64", "+ 0").near[0]]).toEqual([-1, -1]);
    expect([load("u8", "- 1").near[0], load("u8", "- 8").near[0], load("u8", "- 9").near[0]]).toEqual([1, 1, 2]);
    // One that lies across two slots, as it may through a pointer, needs both.
    expect(load("u32", "- 10").near[0]).toBe(3);
    expect(liveness("r2 = *(u64 *)(r6 - 8); if r2 == 0 goto a; a: r0 = 0; exit").near[0]).toBe(-1);
    expect(liveness("r2 = *(u64 *)(r10 - 8); r0 = 0; exit").near[0]).toBe(0);
    // A store of all of it makes what was there before matter no more; a part does not.
    const stored = (store: string) => liveness(`${store}; r2 = *(u64 *)(r10 - 8); if r2 == 0 goto a; a: r0 = 0; exit`);
    expect([stored("*(u64 *)(r10 - 8) = r3").near[0], stored("*(u64 *)(r10 - 8) = r3").exact[0]]).toEqual([
      0,
      bits(3, 10),
    ]);
    expect([stored("*(u32 *)(r10 - 8) = r3").near[0], stored("*(u32 *)(r10 - 8) = r3").exact[0]]).toEqual([
      1,
      bits(3, 10),
    ]);
    expect([stored("*(u64 *)(r10 - 16) = r3").near[0], stored("*(u64 *)(r10 - 16) = r3").exact[0]]).toEqual([
      1,
      bits(10),
    ]);
    expect(stored("*(u64 *)(r10 - 8) = 5").near[0]).toBe(1);
    expect(stored("lock *(u64 *)(r10 - 16) += r3").near[0]).toBe(3);
    expect(stored("lock *(u64 *)(r10 - 16) += r3").exact[0]).toBe(bits(0, 3, 10));
  });
});

describe("the log's words for a register", () => {
  const of = (r: Parameters<typeof registerText>[0]): string => registerText(r, maps);
  test("numbers: what is known, and bounds only where they say something", () => {
    expect([of(UNSET), of(UNKNOWN), of(constant(5n)), of(constant(-5n))]).toEqual(["?", "scalar()", "5", "-5"]);
    expect(of(scalar(scalars.unknown, 3))).toBe("scalar(id=3)");
    expect(of(scalar(scalars.range(4n, 9n), 3))).toBe("scalar(id=3,smin=4,smax=9,umin=4,umax=9,var_off=(0x0; 0xf))");
    const [negative] = scalars.assume("s<", scalars.unknown, scalars.constant(-1n), true, false)!;
    expect(of(scalar(negative))).toBe(
      `scalar(smax=-2,umin=${1n << 63n},umax=${(1n << 64n) - 2n},var_off=(0x8000000000000000; 0x7fffffffffffffff))`,
    );
    const [low] = scalars.assume("s>", scalars.unknown, scalars.constant(-7n), true, true)!;
    expect(of(scalar(low))).toBe("scalar(s32_min=-6)");
    const [half] = scalars.assume("<", scalars.unknown, scalars.constant(7n), true, true)!;
    expect(of(scalar(half))).toBe(
      "scalar(smax=9223372032559808519,umax=18446744069414584326,var_off=(0x0; 0xffffffff00000007),s32_min=0,s32_max=6,u32_max=6)",
    );
  });
  test("pointers: where they lead, and how far", () => {
    expect([of(pointer("fp", { offset: -8 })), of(pointer("fp", { offset: -8, frame: 2 }))]).toEqual([
      "fp-8",
      "fp[2]-8",
    ]);
    expect(of(pointer("fp", { offset: -8, number: scalars.range(0n, 7n) }))).toBe(
      "fp(off=-8,smin=0,smax=7,umax=7,var_off=(0x0; 0x7))",
    );
    expect(of(pointer("ctx", { offset: 4 }))).toBe("ctx(off=4,imm=0)");
    expect(of(pointer("map_value", { map: 0, offset: 4, id: 2 }))).toBe("map_value(id=2,off=4,ks=4,vs=16,imm=0)");
    expect(of(pointer("pkt", { range: 14, id: 1 }))).toBe("pkt(id=1,off=0,r=14,imm=0)");
    expect(of(pointer("pkt_meta", { range: 4 }))).toBe("pkt_meta(off=0,r=4,imm=0)");
    expect(of(pointer("pkt_end"))).toBe("pkt_end(off=0,imm=0)");
    expect(of(pointer("mem_or_null", { range: 16, reference: 3, id: 3 }))).toBe(
      "mem_or_null(id=3,ref_obj_id=3,off=0,mem_size=16,imm=0)",
    );
    expect(of(pointer("mem", { range: 16, number: scalars.constant(-2n) }))).toBe("mem(off=0,mem_size=16,imm=-2)");
  });
});

describe("a state", () => {
  const make = (): State => new State([Frame.enter(0, -1, 0), Frame.enter(5, 2, 1)]);
  test("has a stack of bytes for each frame, of which the highest slot is the first", () => {
    const state = make();
    state.mark(0, -10, -6, Byte.Misc);
    const at = (low: number, high: number) => state.bytes(0, low, high).map(({ byte, index }) => `${index}${byte}`);
    expect(at(-12, -4)).toEqual(["10", "10", "11", "11", "01", "01", "00", "00"]);
    expect(state.bytes(1, -12, -4).every(({ byte }) => byte === Byte.Unset)).toBe(true);
    state.mark(0, -16, -4, Byte.Zero, true);
    expect(at(-12, -4)).toEqual(["10", "10", "12", "12", "02", "02", "00", "00"]);
    expect(() => state.bytes(0, -513, -512)).toThrow("stack bytes outside the frame");
    expect(() => state.bytes(0, -1, 1)).toThrow("stack bytes outside the frame");
    expect(state.bytes(0, -512, -511)).toHaveLength(1);
  });
  test("a spilled value falls apart where a byte of it is written; four bytes of a number leave the others", () => {
    const state = make();
    const value = scalar(scalars.range(1n, 9n));
    state.spill(1, -16, value);
    const slot = () => state.frames[1]!.stack[1]!;
    expect(slot()).toEqual({ bytes: Array.from({ length: 8 }, () => Byte.Spill), spill: value });
    state.mark(1, -16, -15, Byte.Zero);
    expect(slot()).toEqual({ bytes: [2, 1, 1, 1, 1, 1, 1, 1], spill: undefined });
    state.spillLow(1, -16, value);
    expect(slot()).toEqual({ bytes: [3, 3, 3, 3, 1, 1, 1, 1], spill: value });
    state.spill(1, -16, value);
    state.spillLow(1, -16, constant(3n));
    expect(slot()).toEqual({ bytes: [3, 3, 3, 3, 1, 1, 1, 1], spill: constant(3n) });
  });
  test("a copy is its own; what is rewritten is so in all frames, registers and slots", () => {
    const state = make();
    const one = scalar(scalars.unknown, 7);
    state.frames[0]!.registers[6] = one;
    state.spill(0, -8, one);
    state.spill(1, -8, one);
    const copy = state.copy();
    copy.rewrite((r) => (r.id === 7 ? constant(1n) : r));
    expect(state.frames[0]!.registers[6]).toBe(one);
    expect(state.frames[1]!.stack[0]!.spill).toBe(one);
    expect(copy.frames[0]!.registers[6]).toEqual(constant(1n));
    for (const depth of [0, 1])
      expect(copy.frames[depth]!.stack[0]).toEqual({ bytes: Array.from({ length: 8 }, () => 3), spill: constant(1n) });
    copy.rewrite((r) => (r.kind === "scalar" ? UNSET : r));
    expect(copy.frames[0]!.stack[0]).toEqual({ bytes: Array.from({ length: 8 }, () => Byte.Misc), spill: undefined });
    expect(copy.top.start).toBe(5);
  });
  test("in the log: frame, registers that hold something, slots by their bytes or their value; what changed alone", () => {
    const state = make();
    state.top.registers[0] = constant(3n);
    state.mark(1, -4, 0, Byte.Misc);
    state.mark(1, -5, -4, Byte.Zero);
    state.spill(1, -16, pointer("ctx"));
    expect(stateText(state, maps)).toBe("frame1: R0=3 R10=fp[1]0 fp-8=mmmm0??? fp-16=ctx(off=0,imm=0)");
    const before = state.copy();
    expect(stateText(state, maps, before)).toBe("");
    state.top.registers[1] = constant(4n);
    state.spillLow(1, -24, constant(9n));
    expect(stateText(state, maps, before)).toBe("R1_w=4 fp-24_w=????rrrr");
    state.frames.pop();
    expect(stateText(state, maps, before)).toBe("R10=fp0");
  });
});
