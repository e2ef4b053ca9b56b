/** What the verifier accepts and refuses, a case for each rule, and how its log reads. */
import { describe, expect, test } from "vitest";
import { BpfError, type VerifierErrorCode } from "../src/errors.js";
import { assemble } from "../src/isa/assemble.js";
import { Code } from "../src/isa/code.js";
import type { MapDefinition, ProgramType } from "../src/object/program-type.js";
import { Random } from "../src/testing/random.js";
import { verify, type VerifyRequest } from "../src/verify/verifier.js";

const maps: MapDefinition[] = [
  { name: "values", kind: "array", keyBytes: 4, valueBytes: 16, entries: 4, flags: 0 },
  { name: "ring", kind: "ringbuf", keyBytes: 0, valueBytes: 0, entries: 4096, flags: 0 },
  { name: ".rodata", kind: "array", keyBytes: 4, valueBytes: 8, entries: 1, flags: 0x80, initial: new Uint8Array(8) },
  { name: "next", kind: "prog_array", keyBytes: 4, valueBytes: 4, entries: 2, flags: 0 },
];
const outcome = (
  text: string | Code,
  type: ProgramType = "raw_tracepoint",
  more: Partial<VerifyRequest> = {},
): VerifierErrorCode | "accepted" => {
  try {
    verify({ code: typeof text === "string" ? assemble(text) : text, type, maps, ...more });
    return "accepted";
  } catch (error) {
    if (error instanceof BpfError) return error.code as VerifierErrorCode;
    throw error;
  }
};
const lookup = "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = map_index 0 0 ll; call 1";
const reserve = "r1 = map_index 1 0 ll; r2 = 16; r3 = 0; call 131";
const packet = "r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 4)";

type Row = readonly [
  what: string,
  text: string,
  wanted: VerifierErrorCode | "accepted",
  type?: ProgramType,
  more?: Partial<VerifyRequest>,
];
const TABLE: readonly Row[] = [
  ["the smallest program", "r0 = 0; exit", "accepted"],
  ["no instruction", "", "verify-empty"],
  ["an unknown opcode", ".slot 0xff 0 0 0 0; r0 = 0; exit", "verify-bad-opcode"],
  ["a reserved field that is set", ".slot 0x95 0 0 1 0", "verify-bad-opcode"],
  ["register 11", ".slot 0xb7 11 0 0 0; r0 = 0; exit", "verify-bad-register"],
  ["a jump out of the program", "r0 = 0; goto +5; exit", "verify-jump-range"],
  ["a jump into the middle of a 64-bit load", "goto +1; r0 = 1 ll; exit", "verify-jump-range"],
  ["a jump into another function", "call f; goto in; f: r0 = 0; in: exit", "verify-jump-range"],
  ["no exit at the end", "r0 = 0", "verify-fall-through"],
  ["unreachable code", "r0 = 0; exit; r0 = 1; exit", "verify-unreachable"],
  [
    "code that only an impossible branch reaches",
    "r0 = 0; if r0 == 0 goto a; r0 = *(u64 *)(r0 + 0); a: exit",
    "accepted",
  ],
  ["a call to no function", "r0 = 0; call pc+20; exit", "verify-bad-subprogram"],
  ["r0 not set at exit", "exit", "verify-uninitialised-register"],
  ["an argument register after a call", "r1 = 1; call 5; r0 = r1; exit", "verify-uninitialised-register"],
  [
    "a register that only one path sets",
    "r3 = *(u64 *)(r1 + 0); if r3 == 0 goto a; r2 = 1; a: r0 = r2; exit",
    "verify-uninitialised-register",
  ],
  ["caller's r6 in a function", "r6 = 1; call f; exit; f: r0 = r6; exit", "verify-uninitialised-register"],
  ["a write to r10", "r10 += 8; r0 = 0; exit", "verify-frame-pointer-write"],
  ["stack that was not written", "r0 = *(u64 *)(r10 - 8); exit", "verify-uninitialised-stack"],
  ["half of it written", "*(u32 *)(r10 - 8) = 0; r0 = *(u64 *)(r10 - 8); exit", "verify-uninitialised-stack"],
  [
    "stack that was not written, where Linux 6.5 lets privileged programs read it",
    "r0 = *(u64 *)(r10 - 8); exit",
    "accepted",
    "raw_tracepoint",
    { staleStack: true },
  ],
  [
    "and by a helper",
    "r1 = map_index 0 0 ll; r2 = r10; r2 += -4; call 1; r0 = 0; exit",
    "accepted",
    "raw_tracepoint",
    { staleStack: true },
  ],
  [
    "what was read so is a number, no pointer",
    "r1 = *(u64 *)(r10 - 8); r0 = *(u64 *)(r1 + 0); exit",
    "verify-bad-access",
    "raw_tracepoint",
    { staleStack: true },
  ],
  [
    "and never by unprivileged ones",
    "r0 = *(u64 *)(r10 - 8); exit",
    "verify-uninitialised-stack",
    "raw_tracepoint",
    { staleStack: true, privileged: false },
  ],
  [
    "an index bounded before it was spilled with four bytes",
    `r6 = *(u64 *)(r1 + 0); if r6 > 12 goto a; *(u32 *)(r10 - 16) = r6; ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "accepted",
  ],
  [
    "a constant stored with four bytes",
    `*(u32 *)(r10 - 16) = 12; ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "accepted",
  ],
  [
    "one too high",
    `*(u32 *)(r10 - 16) = 13; ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-access-range",
  ],
  [
    "bounded after it was spilled, through the copy",
    `r6 = *(u32 *)(r1 + 0); r6 &= 0xffff; r7 = r6; *(u32 *)(r10 - 16) = r7; if r6 > 12 goto a; ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "accepted",
    "kprobe",
  ],
  [
    "a number of 64 bits spilled with four: the bound of the whole says nothing of another half",
    `r6 = *(u64 *)(r1 + 0); r7 = r6; *(u32 *)(r10 - 16) = r7; if r6 s> 12 goto a; ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-offset-above",
  ],
  [
    "what is learnt of 64 bits after four were spilled",
    `r6 = *(u64 *)(r1 + 0); r7 = r6; *(u32 *)(r10 - 16) = r7; r8 = 0x100000004 ll; if r6 != r8 goto a; ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 16); r8 = 0x100000000 ll; r6 -= r8; r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-offset-below",
  ],
  [
    "eight bytes spilled on one path, four on the other",
    `r6 = *(u64 *)(r1 + 0); *(u64 *)(r10 - 16) = r6; if r6 == 7 goto b; *(u64 *)(r10 - 16) = 4; goto c; b: *(u32 *)(r10 - 16) = 4; c: ${lookup}; if r0 == 0 goto a; r6 = *(u64 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-offset-below",
  ],
  [
    "eight bytes where four were spilled",
    `*(u64 *)(r10 - 16) = r1; *(u32 *)(r10 - 16) = 4; ${lookup}; if r0 == 0 goto a; r6 = *(u64 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-offset-below",
  ],
  [
    "the other four",
    `*(u64 *)(r10 - 16) = -1; *(u32 *)(r10 - 16) = 4; ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 12); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-offset-above",
  ],
  [
    "paths that spilled different numbers with four bytes",
    `r6 = *(u64 *)(r1 + 0); *(u32 *)(r10 - 16) = 4; if r6 == 0 goto b; *(u32 *)(r10 - 16) = 40; b: ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-access-range",
  ],
  [
    "and in the other order",
    `r6 = *(u64 *)(r1 + 0); *(u32 *)(r10 - 16) = 40; if r6 == 0 goto b; *(u32 *)(r10 - 16) = 4; b: ${lookup}; if r0 == 0 goto a; r6 = *(u32 *)(r10 - 16); r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-access-range",
  ],
  ["stack that was written", "*(u64 *)(r10 - 8) = 0; r0 = *(u64 *)(r10 - 8); exit", "accepted"],
  [
    "stack that one path left unwritten",
    "r2 = *(u64 *)(r1 + 0); if r2 == 0 goto a; *(u32 *)(r10 - 8) = 7; *(u32 *)(r10 - 4) = 7; a: r0 = *(u64 *)(r10 - 8); exit",
    "verify-uninitialised-stack",
  ],
  [
    "and the other way round",
    "r2 = *(u64 *)(r1 + 0); if r2 != 0 goto a; *(u32 *)(r10 - 8) = 7; *(u32 *)(r10 - 4) = 7; a: r0 = *(u64 *)(r10 - 8); exit",
    "verify-uninitialised-stack",
  ],
  [
    "stack that a write at an unknown offset may not have reached",
    "r2 = *(u64 *)(r1 + 0); r2 &= 7; r3 = r10; r3 -= 8; r3 += r2; *(u8 *)(r3 + 0) = 1; r0 = *(u8 *)(r10 - 8); exit",
    "verify-uninitialised-stack",
  ],
  ["below the stack", "*(u64 *)(r10 - 520) = 0; r0 = 0; exit", "verify-stack-range"],
  ["above the frame pointer", "*(u64 *)(r10 + 0) = 0; r0 = 0; exit", "verify-stack-range"],
  ["a misaligned stack access", "*(u64 *)(r10 - 9) = 0; r0 = 0; exit", "verify-misaligned"],
  [
    "stack at an offset bounded by a mask",
    "*(u64 *)(r10 - 16) = 1; *(u64 *)(r10 - 8) = 2; r1 = *(u64 *)(r1 + 0); r1 &= 15; r2 = r10; r2 -= 16; r2 += r1; r0 = *(u8 *)(r2 + 0); exit",
    "accepted",
  ],
  [
    "stack at an offset one too large",
    "*(u64 *)(r10 - 16) = 1; *(u64 *)(r10 - 8) = 2; r1 = *(u64 *)(r1 + 0); r1 &= 15; r2 = r10; r2 -= 16; r2 += r1; r0 = *(u16 *)(r2 + 0); exit",
    "verify-stack-range",
  ],
  ["a map value without a null check", `${lookup}; r0 = *(u64 *)(r0 + 0); exit`, "verify-null-access"],
  ["with one", `${lookup}; if r0 == 0 goto a; r0 = *(u64 *)(r0 + 8); a: r0 = 0; exit`, "accepted"],
  ["with one on a copy", `${lookup}; r6 = r0; if r6 == 0 goto a; r0 = *(u64 *)(r0 + 8); a: r0 = 0; exit`, "accepted"],
  [
    "in the branch where it is null",
    `${lookup}; if r0 != 0 goto a; r0 = *(u64 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-bad-access",
  ],
  ["past the value", `${lookup}; if r0 == 0 goto a; r1 = *(u64 *)(r0 + 9); a: r0 = 0; exit`, "verify-access-range"],
  ["before the value", `${lookup}; if r0 == 0 goto a; r1 = *(u64 *)(r0 - 1); a: r0 = 0; exit`, "verify-access-below"],
  [
    "arithmetic before the null check",
    `${lookup}; r0 += 8; if r0 == 0 goto a; a: r0 = 0; exit`,
    "verify-nullable-arithmetic",
  ],
  [
    "a variable index that is bounded",
    `r6 = *(u64 *)(r1 + 0); ${lookup}; if r0 == 0 goto a; if r6 > 12 goto a; r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "accepted",
  ],
  [
    "bounded one too high",
    `r6 = *(u64 *)(r1 + 0); ${lookup}; if r0 == 0 goto a; if r6 > 13 goto a; r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-access-range",
  ],
  [
    "bounded, signed, only above",
    `r6 = *(u64 *)(r1 + 0); ${lookup}; if r0 == 0 goto a; if r6 s> 12 goto a; r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "verify-offset-below",
  ],
  [
    "a bound learnt from a spilled copy",
    `r6 = *(u64 *)(r1 + 0); *(u64 *)(r10 - 16) = r6; r7 = r6; ${lookup}; if r0 == 0 goto a; if r7 > 12 goto a; r0 += r6; r1 = *(u32 *)(r0 + 0); a: r0 = 0; exit`,
    "accepted",
  ],
  ["a write to read-only data", "r1 = map_index_value 2 0 ll; *(u8 *)(r1 + 0) = 1; r0 = 0; exit", "verify-read-only"],
  ["a read of it", "r1 = map_index_value 2 0 ll; r0 = *(u64 *)(r1 + 0); exit", "accepted"],
  ["a value address in a map of several elements", "r1 = map_index_value 0 0 ll; r0 = 0; exit", "verify-bad-map"],
  ["a map that is not there", "r1 = map_index 9 0 ll; r0 = 0; exit", "verify-no-map"],
  ["a load through a number", "r1 = 16; r0 = *(u64 *)(r1 + 0); exit", "verify-bad-access"],
  ["a load through a map handle", "r1 = map_index 0 0 ll; r0 = *(u64 *)(r1 + 0); exit", "verify-bad-access"],
  ["context past its end", "r0 = *(u64 *)(r1 + 96); exit", "verify-context-access"],
  ["a write to a read-only context", "*(u64 *)(r1 + 0) = 1; r0 = 0; exit", "verify-context-write"],
  [
    "context at a variable offset",
    "r2 = *(u64 *)(r1 + 0); r2 &= 8; r1 += r2; r0 = *(u64 *)(r1 + 0); exit",
    "verify-context-offset",
  ],
  ["pointer times number", "r1 *= 2; r0 = 0; exit", "verify-pointer-arithmetic"],
  ["pointer plus pointer", "r1 += r10; r0 = 0; exit", "verify-two-pointers"],
  ["32-bit pointer arithmetic", "w1 += 4; r0 = 0; exit", "verify-half-pointer"],
  ["a pointer moved too far", "r1 = map_index_value 2 0 ll; r1 += 0x20000000; r0 = 0; exit", "verify-pointer-far"],
  ["division by zero", "r0 = 1; r0 /= 0; exit", "verify-division-by-zero"],
  ["division by a register that may be zero", "r0 = 1; r1 = *(u64 *)(r1 + 0); r0 /= r1; exit", "accepted"],
  ["a shift by the width", "r0 = 1; w0 <<= 32; exit", "verify-shift-range"],
  ["packet bytes not compared with the end", `${packet}; r0 = *(u8 *)(r2 + 0); exit`, "verify-packet-range", "xdp"],
  [
    "packet bytes that were",
    `${packet}; r4 = r2; r4 += 14; if r4 > r3 goto a; r0 = *(u16 *)(r2 + 12); a: r0 = 0; exit`,
    "accepted",
    "xdp",
  ],
  [
    "one byte more than was proven",
    `${packet}; r4 = r2; r4 += 14; if r4 > r3 goto a; r0 = *(u16 *)(r2 + 13); a: r0 = 0; exit`,
    "verify-packet-range",
    "xdp",
  ],
  [
    "on the wrong branch",
    `${packet}; r4 = r2; r4 += 14; if r4 > r3 goto a; r0 = 0; exit; a: r0 = *(u16 *)(r2 + 12); exit`,
    "verify-packet-range",
    "xdp",
  ],
  [
    "with the comparison turned round",
    `${packet}; r4 = r2; r4 += 14; if r3 >= r4 goto a; r0 = 0; exit; a: r0 = *(u16 *)(r2 + 12); exit`,
    "accepted",
    "xdp",
  ],
  [
    "strictly below the end proves one more",
    `${packet}; r4 = r2; r4 += 13; if r4 >= r3 goto a; r0 = *(u16 *)(r2 + 12); a: r0 = 0; exit`,
    "accepted",
    "xdp",
  ],
  [
    "a packet pointer moved by an unknown number, compared anew",
    `${packet}; r4 = r2; r4 += 1; if r4 > r3 goto a; r5 = *(u8 *)(r2 + 0); r2 += r5; r4 = r2; r4 += 4; if r4 > r3 goto a; r0 = *(u32 *)(r2 + 0); a: r0 = 0; exit`,
    "accepted",
    "xdp",
  ],
  [
    "and not compared anew",
    `${packet}; r4 = r2; r4 += 8; if r4 > r3 goto a; r5 = *(u8 *)(r2 + 0); r2 += r5; r0 = *(u32 *)(r2 + 0); a: r0 = 0; exit`,
    "verify-packet-range",
    "xdp",
  ],
  [
    "bytes of a packet by helper",
    "*(u64 *)(r10 - 8) = 0; r2 = 3; r3 = r10; r3 += -8; r4 = 4; call 26; r0 = *(u32 *)(r10 - 8); exit",
    "accepted",
    "socket_filter",
  ],
  [
    "where there is no socket buffer",
    "*(u64 *)(r10 - 8) = 0; r2 = 3; r3 = r10; r3 += -8; r4 = 4; call 26; r0 = 1; exit",
    "verify-helper-type",
    "xdp",
  ],
  ["an unknown helper", "call 9999; exit", "verify-unknown-helper"],
  [
    "a helper with a number for a map",
    "r1 = 1; r2 = r10; r2 += -4; *(u32 *)(r10 - 4) = 0; call 1; r0 = 0; exit",
    "verify-helper-argument",
  ],
  [
    "a key that was not written",
    "r1 = map_index 0 0 ll; r2 = r10; r2 += -4; call 1; r0 = 0; exit",
    "verify-uninitialised-memory",
  ],
  [
    "a lookup in a ring buffer",
    "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = map_index 1 0 ll; call 1; r0 = 0; exit",
    "verify-map-helper",
  ],
  [
    "memory of a size that has no bound",
    "r6 = *(u64 *)(r1 + 0); r1 = r10; r1 += -8; r2 = r6; r3 = 0; call 113; r0 = 0; exit",
    "verify-helper-size",
  ],
  [
    "memory of size zero where one is needed",
    "r6 = *(u64 *)(r1 + 0); r6 &= 7; *(u64 *)(r10 - 8) = 0; r1 = r10; r1 += -8; r2 = r6; call 6; r0 = 0; exit",
    "verify-size-zero",
  ],
  [
    "the helper fills the stack",
    "r1 = r10; r1 += -8; r2 = 8; r3 = 0; call 113; r0 = *(u64 *)(r10 - 8); exit",
    "accepted",
  ],
  ["a record never released", `${reserve}; r0 = 0; exit`, "verify-reference-leak"],
  [
    "released where it is not null",
    `${reserve}; if r0 == 0 goto a; *(u64 *)(r0 + 8) = 1; r1 = r0; r2 = 0; call 132; a: r0 = 0; exit`,
    "accepted",
  ],
  [
    "released twice",
    `${reserve}; if r0 == 0 goto a; r6 = r0; r1 = r0; r2 = 0; call 132; r1 = r6; r2 = 0; call 132; a: r0 = 0; exit`,
    "verify-helper-argument",
  ],
  [
    "used after release",
    `${reserve}; if r0 == 0 goto a; r6 = r0; r1 = r0; r2 = 0; call 132; *(u64 *)(r6 + 0) = 1; a: r0 = 0; exit`,
    "verify-bad-access",
  ],
  ["released without the null check", `${reserve}; r1 = r0; r2 = 0; call 132; r0 = 0; exit`, "verify-helper-argument"],
  [
    "past a record",
    `${reserve}; if r0 == 0 goto a; *(u64 *)(r0 + 9) = 1; r1 = r0; r2 = 0; call 132; a: r0 = 0; exit`,
    "verify-access-range",
  ],
  [
    "a record of unknown size",
    "r2 = *(u64 *)(r1 + 0); r1 = map_index 1 0 ll; r3 = 0; call 131; r0 = 0; exit",
    "verify-size-not-constant",
  ],
  [
    "a tail call with a record in hand",
    `r7 = r1; ${reserve}; if r0 == 0 goto a; r6 = r0; r1 = r7; r2 = map_index 3 0 ll; r3 = 0; call 12; r1 = r6; r2 = 0; call 132; a: r0 = 0; exit`,
    "verify-tail-call",
  ],
  ["a tail call", "r2 = map_index 3 0 ll; r3 = 0; call 12; r0 = 0; exit", "accepted"],
  ["an endless loop", "r0 = 0; a: goto a", "verify-infinite-loop", "raw_tracepoint", { limit: 1000 }],
  [
    "an endless loop with a condition that never changes",
    "r2 = *(u64 *)(r1 + 0); r0 = 0; a: if r2 != 5 goto a; exit",
    "verify-infinite-loop",
    "raw_tracepoint",
    { limit: 1000 },
  ],
  ["a bounded loop", "r0 = 0; a: r0 += 1; if r0 < 1000 goto a; exit", "accepted"],
  [
    "a loop whose sum decides nothing",
    "r0 = 0; r2 = *(u64 *)(r1 + 0); r3 = 0; a: r4 = r2; r4 &= 1; if r4 == 0 goto b; r0 += 3; b: r2 >>= 1; r3 += 1; if r3 < 60 goto a; exit",
    "accepted",
  ],
  [
    "a loop longer than the limit",
    "r0 = 0; a: r0 += 1; if r0 < 100000 goto a; exit",
    "verify-too-complex",
    "raw_tracepoint",
    { limit: 5000 },
  ],
  ["nine frames", "f: call f; exit", "verify-call-depth"],
  [
    "too much stack in all frames together",
    "*(u64 *)(r10 - 400) = 0; call f; exit; f: *(u64 *)(r10 - 200) = 0; r0 = 0; exit",
    "verify-stack-depth",
  ],
  ["a function that returns its stack", "call f; exit; f: r0 = r10; exit", "verify-stack-returned"],
  [
    "a function given a pointer to the caller's stack",
    "r1 = r10; r1 += -8; call f; r0 = *(u64 *)(r10 - 8); exit; f: *(u64 *)(r1 + 0) = 3; r0 = 0; exit",
    "accepted",
  ],
  [
    "its own stack pointer stored there",
    "r1 = r10; r1 += -8; call f; exit; f: *(u64 *)(r1 + 0) = r10; r0 = 0; exit",
    "verify-spill-to-caller",
  ],
  ["half a pointer spilled", "*(u32 *)(r10 - 4) = r1; r0 = 0; exit", "verify-spill-size"],
  ["half a spilled pointer read", "*(u64 *)(r10 - 8) = r1; r0 = *(u32 *)(r10 - 8); exit", "verify-spill-partly-read"],
  [
    "a spilled pointer filled again",
    "*(u64 *)(r10 - 8) = r1; r2 = *(u64 *)(r10 - 8); r0 = *(u64 *)(r2 + 0); exit",
    "accepted",
  ],
  ["fentry must return 0", "r0 = 1; exit", "verify-return-value", "tracing"],
  ["an atomic on the context", "r0 = 0; lock *(u64 *)(r1 + 0) += r0; exit", "verify-atomic-pointer"],
  ["classic packet loads", ".slot 0x30 0 0 0 0; r0 = 0; exit", "verify-classic-load", "sched_cls"],
  ["minus a pointer", "r1 = -r1; r0 = 0; exit", "verify-pointer-negated"],
  ["a pointer's bytes swapped", "r1 = bswap64 r1; r0 = 0; exit", "verify-pointer-swapped"],
  ["a number minus a pointer", "r2 = 5; r2 -= r1; r0 = 0; exit", "verify-pointer-subtracted"],
  ["a map handle moved", "r1 = map_index 0 0 ll; r1 += 4; r0 = 0; exit", "verify-fixed-pointer"],
  [
    "two steps that are too far together",
    "r2 = *(u64 *)(r1 + 0); r2 &= 0x1fffffff; r1 = map_index_value 2 0 ll; r1 += r2; r1 += r2; r0 = 0; exit",
    "verify-pointer-bounds",
  ],
  [
    "a packet pointer moved beyond any packet",
    `${packet}; r5 = *(u32 *)(r1 + 12); r5 &= 0x1ffff; r2 += r5; r0 = 0; exit`,
    "verify-packet-move",
    "xdp",
  ],
  [
    "unprivileged: an address given to a helper",
    "r3 = r1; *(u64 *)(r10 - 8) = 0; r1 = r10; r1 += -8; r2 = 8; r4 = 0; r5 = 0; call 6; r0 = 0; exit",
    "verify-leak-to-helper",
    "raw_tracepoint",
    { privileged: false },
  ],
  [
    "unprivileged: half an address copied",
    "w2 = w1; r0 = 0; exit",
    "verify-leak-partial",
    "raw_tracepoint",
    { privileged: false },
  ],
  [
    "unprivileged: a byte that may be one of a spilled address",
    "r2 = *(u64 *)(r1 + 0); r2 &= 15; *(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 16) = 0; r3 = r10; r3 += -16; r3 += r2; r0 = *(u8 *)(r3 + 0); exit",
    "verify-leak-spilled",
    "raw_tracepoint",
    { privileged: false },
  ],
  [
    "unprivileged: an address stored in the context",
    "*(u64 *)(r1 + 0) = r10; r0 = 0; exit",
    "verify-leak-to-context",
    "syscall",
    { privileged: false, contextBytes: 64 },
  ],
  [
    "unprivileged: an address stored in a map",
    `${lookup}; if r0 == 0 goto a; *(u64 *)(r0 + 0) = r10; a: r0 = 0; exit`,
    "verify-leak-to-memory",
    "raw_tracepoint",
    { privileged: false },
  ],
  [
    "unprivileged: a spilled address given as a value",
    "*(u64 *)(r10 - 16) = r1; *(u64 *)(r10 - 8) = 0; *(u32 *)(r10 - 20) = 0; r1 = map_index 0 0 ll; r2 = r10; r2 += -20; r3 = r10; r3 += -16; r4 = 0; call 2; r0 = 0; exit",
    "verify-leak-from-stack",
    "raw_tracepoint",
    { privileged: false },
  ],
  [
    "unprivileged: a spilled address partly written over",
    "*(u64 *)(r10 - 8) = r1; *(u8 *)(r10 - 8) = 0; r0 = 0; exit",
    "verify-spill-corrupted",
    "raw_tracepoint",
    { privileged: false },
  ],
  [
    "an address spilled to one of two places",
    "r2 = *(u64 *)(r1 + 0); r2 &= 8; r3 = r10; r3 += -16; r3 += r2; *(u64 *)(r3 + 0) = r1; r0 = 0; exit",
    "verify-spill-variable",
  ],
  [
    "more branches waiting than may",
    `r2 = *(u64 *)(r1 + 0); ${Array.from({ length: 9000 }, (_, i) => `if r2 == ${i} goto a`).join("; ")}; a: r0 = 0; exit`,
    "verify-too-many-branches",
  ],
  ["a load of a kernel symbol", "r1 = btf_id 5 ll; r0 = 0; exit", "verify-bad-load-kind"],
  [
    "an atomic on a spilled address",
    "*(u64 *)(r10 - 8) = r1; r0 = 0; lock *(u64 *)(r10 - 8) += r0; exit",
    "verify-atomic-memory",
  ],
  [
    "an atomic with a pointer",
    "*(u64 *)(r10 - 8) = 0; lock *(u64 *)(r10 - 8) += r1; r0 = 0; exit",
    "verify-atomic-operand",
  ],
  [
    "one load from context and stack",
    "*(u64 *)(r10 - 8) = 0; r2 = *(u64 *)(r1 + 0); r3 = r10; r3 += -8; if r2 == 0 goto a; r3 = r1; a: r0 = *(u64 *)(r3 + 0); exit",
    "verify-mixed-pointers",
  ],
  [
    "unprivileged: an address returned",
    "r0 = r1; exit",
    "verify-leak-returned",
    "raw_tracepoint",
    { privileged: false },
  ],
  [
    "unprivileged: addresses compared",
    "if r1 == r10 goto a; a: r0 = 0; exit",
    "verify-pointer-compare",
    "raw_tracepoint",
    { privileged: false },
  ],
  ["kernel functions", "call kfunc 5; exit", "verify-kernel-function"],
];

describe("rules", () => {
  for (const [what, text, wanted, type, more] of TABLE)
    test(`${what}: ${wanted}`, () => {
      expect(outcome(text, type, more)).toBe(wanted);
    });
  test("the table reaches nearly every code of the verifier", () => {
    expect(new Set(TABLE.map((row) => row[2])).size).toBeGreaterThan(34);
  });
});

test("the log reads like the kernel's", () => {
  const { log } = verify({
    code: assemble(
      `r6 = *(u64 *)(r1 + 0); ${lookup}; if r0 == 0 goto a; r6 &= 8; r0 += r6; r1 = *(u64 *)(r0 + 0); a: r0 = 0; exit`,
    ),
    type: "raw_tracepoint",
    maps,
    log: true,
    lines: new Map([[0, { file: "a.c", line: 3, text: "u64 first = context[0];" }]]),
  });
  expect(log).toEqual([
    "0: R1=ctx(off=0,imm=0) R10=fp0",
    "; u64 first = context[0];",
    "0: (79) r6 = *(u64 *)(r1 +0)             ; R6_w=scalar()",
    "1: (62) *(u32 *)(r10 -4) = 0             ; fp-8_w=0000????",
    "2: (bf) r2 = r10                         ; R2_w=fp0",
    "3: (07) r2 += -4                         ; R2_w=fp-4",
    "4: (18) r1 = map_index 0 0 ll            ; R1_w=map_ptr(off=0,ks=4,vs=16,imm=0)",
    "6: (85) call bpf_map_lookup_elem#1       ; R0_w=map_value_or_null(id=1,off=0,ks=4,vs=16,imm=0)",
    "7: (15) if r0 == 0 goto pc+3             ; R0_w=map_value(off=0,ks=4,vs=16,imm=0)",
    "8: (57) r6 &= 8                          ; R6_w=scalar(smin=0,smax=8,umax=8,var_off=(0x0; 0x8))",
    "9: (0f) r0 += r6                         ; R0_w=map_value(off=0,ks=4,vs=16,smin=0,smax=8,umax=8,var_off=(0x0; 0x8))",
    "10: (79) r1 = *(u64 *)(r0 +0)            ; R1_w=scalar()",
    "11: (b7) r0 = 0                          ; R0_w=0",
    "12: (95) exit",
    "",
    "from 7 to 11: R0=0 R6=scalar() R10=fp0 fp-8=0000????",
    "11: safe",
    "processed 13 insns (limit 1000000) max_states_per_insn 1 total_states 3 peak_states 3 mark_read 0",
  ]);
});

test("a refusal's log ends with what was wrong and with the count; peak_states is what was kept at a time", () => {
  const refused = (text: string): readonly string[] => {
    try {
      verify({ code: assemble(text), type: "raw_tracepoint", maps, log: true });
      return [];
    } catch (error) {
      return (error as BpfError).log;
    }
  };
  expect(refused("r0 = 1; r2 = r0; r0 = r3; exit").slice(-3)).toEqual([
    "1: (bf) r2 = r0                          ; R2_w=1",
    "R3 !read_ok",
    "processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0",
  ]);
  expect(refused("exit; exit").slice(-2)).toEqual([
    "unreachable insn 1",
    "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0",
  ]);
  // Each way out of the loop leaves a state at its end that never covers another: those are dropped, so that fewer are
  // kept than were made.
  const { statistics } = verify({
    code: assemble(
      "r6 = 0; a: r3 = *(u64 *)(r1 + 0); if r3 == 0 goto out; r6 += 1; if r6 < 300 goto a; out: r0 = r6; exit",
    ),
    type: "raw_tracepoint",
    maps,
    strictPruning: true,
    limit: 10_000,
  });
  expect(statistics.kept).toBeLessThan(statistics.states);
  expect(statistics.mostKept).toBeGreaterThanOrEqual(statistics.kept);
});

test("loads of context pointers go to the kernel's words, code that no path reaches loops to itself", () => {
  const { code, reached } = verify({
    code: assemble(
      "r2 = *(u32 *)(r1 + 4); r3 = r1; r3 += 8; r4 = *(u32 *)(r3 - 8); r0 = 0; if r0 == 0 goto a; r0 = 7 ll; a: exit",
    ),
    type: "xdp",
    maps,
  });
  expect([code.opcode[0], code.offset[0], code.opcode[3], code.offset[3]]).toEqual([0x79, 32, 0x79, 16]);
  expect([reached[6], code.opcode[6], code.offset[6], code.opcode[7], code.offset[7]]).toEqual([0, 5, -1, 5, -1]);
});

test("fuzz: any stream of instructions is accepted or refused with its place, within the limit", () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 20_000; seed++) {
    const random = new Random(seed),
      code = new Code(1 + random.below(14));
    for (let i = 0; i < code.length; i++) {
      const opcode = random.chance(70)
        ? random.pick([
            0xb7, 0xbf, 0x07, 0x0f, 0x79, 0x7b, 0x72, 0x15, 0x25, 0x05, 0x85, 0x95, 0x95, 0x18, 0x00, 0xdb, 0x57, 0x77,
            0xb4, 0x56,
          ])
        : random.below(256);
      code.set(
        i,
        opcode,
        random.below(11),
        random.chance(50) ? 0 : random.below(11),
        random.chance(50) ? 0 : random.chance(70) ? random.below(9) * 8 - 40 : (random.next() << 16) >> 16,
        random.chance(60) ? random.below(14) : random.immediate(),
      );
    }
    if (random.chance(70)) code.set(code.length - 1, 0x95);
    try {
      verify({
        code,
        type: random.pick(["xdp", "raw_tracepoint", "sched_cls", "syscall"]),
        maps,
        limit: 2000,
        contextBytes: 32,
        privileged: random.chance(50),
      });
      seen.add("accepted");
    } catch (error) {
      if (!(error instanceof BpfError)) throw new Error(`seed ${seed}`, { cause: error });
      expect(error.place.instruction).toBeDefined();
      seen.add(error.code);
    }
  }
  expect(seen.size).toBeGreaterThan(12);
  expect(seen).toContain("accepted");
});
