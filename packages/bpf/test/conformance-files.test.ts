/// <reference types="node" />
/**
 * Case files of the public conformance suite bpf_conformance (github.com/Alan-Jowett/bpf_conformance, cases under MIT
 * and Apache-2.0), interpreted and compiled on the model's CPU. None of them is in this repository:
 *
 *   git clone https://github.com/Alan-Jowett/bpf_conformance
 *   KREPLICA_BPF_CONFORMANCE=bpf_conformance/tests npx vitest run test/conformance-files.test.ts
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { Interpreter, Outcome } from "../src/interpreter.js";
import { assemble } from "../src/isa/assemble.js";
import { encode } from "../src/isa/code.js";
import { disassemble } from "../src/isa/disassemble.js";
import { CALL, CallKind } from "../src/isa/opcode.js";
import { compile } from "../src/jit/compile.js";
import { RegionMemory } from "../src/memory.js";
import { type ConformanceCase, readConformanceFile } from "./support/conformance-file.js";
import { CODE, FlatCpu } from "./support/flat-cpu.js";

const MEMORY_BYTES = 4096,
  MEMORY = 0xffff_8880_0001_0000n;

/** r0 by the interpreter and by the model's CPU, or how they ended. */
function both({ code, memory }: ConformanceCase): readonly [string, string] {
  const region = new RegionMemory(),
    flat = new FlatCpu(8, [{ address: MEMORY, bytes: MEMORY_BYTES }]),
    starts = new Set([0]);
  for (let i = 0; i < code.length; i++)
    if (code.opcode[i] === CALL && code.src[i] === CallKind.Local) starts.add(i + 1 + code.imm[i]!);
  const context = memory.length > 0 ? MEMORY : 0n,
    functions = [...starts].sort((a, b) => a - b);
  if (memory.length > 0) region.map(MEMORY, memory.slice(), true, "memory");
  flat.data[0]!.page.set(memory);
  const machine = new Interpreter(region),
    outcome = machine.run(code, context);
  flat.load(
    CODE,
    compile({ code, functions, stackBytes: functions.map(() => 512), address: CODE, helperAddress: () => undefined })
      .bytes,
  );
  const done = flat.call(CODE, context, () => undefined);
  return [
    outcome === Outcome.Exit ? machine.result.toString(16) : Outcome[outcome],
    done.outcome === "exit" ? done.result.toString(16) : `${done.outcome} ${done.reason}`,
  ];
}

test("the notation of the suite: every form means what our own notation says", () => {
  const same: readonly (readonly [string, string])[] = [
    ["mov %r0, 0xffffffff", "r0 = -1"],
    ["add32 r3, -5", "w3 += -5"],
    ["sdiv %r1, %r2", "r1 s/= r2"],
    ["smod32 r1, r2", "w1 s%= w2"],
    ["arsh r1, 3", "r1 s>>= 3"],
    ["neg32 r4", "w4 = -w4"],
    ["lddw r2, 0x1122334455667788", "r2 = 0x1122334455667788 ll"],
    ["be16 r3", "r3 = be16 r3"],
    ["swap32 r3", "r3 = bswap32 r3"],
    ["movsx1632 r1, r2", "w1 = (s16)w2"],
    ["movsx3264 r1, r2", "r1 = (s32)r2"],
    ["ldxsh r0, [r10-2]", "r0 = *(s16 *)(r10 - 2)"],
    ["ldxdw r0, [r1+0x10]", "r0 = *(u64 *)(r1 + 16)"],
    ["ldxb r0, [r1]", "r0 = *(u8 *)(r1 + 0)"],
    ["stw [r10-4], 7", "*(u32 *)(r10 - 4) = 7"],
    ["stxh [r1+2], r3", "*(u16 *)(r1 + 2) = r3"],
    ["lock add [r10-8], r1", "lock *(u64 *)(r10 - 8) += r1"],
    ["lock fetch_xor32 [r10-8], r1", "w1 = atomic_fetch_xor((u32 *)(r10 - 8), w1)"],
    ["lock xchg [r10-8], r1", "r1 = atomic64_xchg((u64 *)(r10 - 8), r1)"],
    ["lock cmpxchg32 [r10-8], r1", "w0 = atomic_cmpxchg((u32 *)(r10 - 8), w0, w1)"],
    ["jsgt32 r1, 5, +1\nexit\nexit", "if w1 s> 5 goto +1; exit; exit"],
    ["jset r1, r2, lbl\nexit\nlbl:\nexit", "if r1 & r2 goto a; exit; a: exit"],
    ["ja32 +0\nexit", "gotol +0; exit"],
    ["call local f\nexit\nf:\nexit", "call f; exit; f: exit"],
  ];
  for (const [theirs, ours] of same)
    expect(disassemble(readConformanceFile(`-- asm\n${theirs}\n-- result 0x0`).code), theirs).toEqual(
      disassemble(readConformanceFile(`-- raw\n${rawOf(ours)}\n-- result\n0x0\n`).code),
    );
  expect(() => readConformanceFile("-- asm\nfrobnicate r1, r2\n")).toThrow(/frobnicate r1, r2/);
  const file = readConformanceFile(
    "# a comment\n-- asm\nldxw r0, [r1+1] # here too\nexit\n-- mem\n00 11 22\n33 44\n-- result\n0x44332211\n",
  );
  expect([file.result, both(file)]).toEqual([0x4433_2211n, ["44332211", "44332211"]]);
});

const directory = process.env["KREPLICA_BPF_CONFORMANCE"];
test.skipIf(directory === undefined)("every file of KREPLICA_BPF_CONFORMANCE", () => {
  const files = readdirSync(directory!, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".data"))
      .sort(),
    wrong: string[] = [],
    outside: string[] = [];
  for (const name of files) {
    const text = readFileSync(join(directory!, name), "utf8");
    // By register, by helper of the suite's own, and by BTF: out of scope, as in README.md.
    if (/\bcallx\b|^call \d|^call %?r/m.test(text) || /-- error/.test(text) || /lddw-src/.test(name)) {
      outside.push(name);
      continue;
    }
    try {
      const one = readConformanceFile(text),
        found = both(one),
        wanted = one.result?.toString(16);
      if (found.some((each) => each !== wanted)) wrong.push(`${name}: ${found.join(", ")}; the file wants ${wanted}`);
    } catch (error) {
      wrong.push(`${name}: ${(error as Error).message}`);
    }
  }
  console.log(
    `${relative(process.cwd(), directory!)}: ${files.length - wrong.length - outside.length} of ${files.length} files pass; out of scope: ${outside.join(" ") || "none"}`,
  );
  expect(wrong).toEqual([]);
});

function rawOf(text: string): string {
  const bytes = encode(assemble(text)),
    view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 8 }, (_, i) => `0x${view.getBigUint64(8 * i, true).toString(16)}`).join(
    "\n",
  );
}
