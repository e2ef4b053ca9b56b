/// <reference types="node" />
/** Compiled programs against the interpreter: the same program, the same memory, run by this machine's own CPU. */
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { Interpreter, Outcome } from "../src/interpreter.js";
import { assemble } from "../src/isa/assemble.js";
import type { Code } from "../src/isa/code.js";
import { Pseudo } from "../src/isa/opcode.js";
import { compile } from "../src/jit/compile.js";
import { RegionMemory } from "../src/memory.js";
import { CONTEXT_BYTES, generateProgram, generatorMaps, VALUE_BYTES } from "../src/testing/generate.js";
import { Random } from "../src/testing/random.js";
import { verify } from "../src/verify/verifier.js";
import { ARENA, CODE, haveNative, modelHelper, nativeHelper, type NativeCase, runNative } from "./support/native.js";

const CONTEXT = ARENA,
  VALUE = ARENA + 0x1000n;
const HELPERS = { helper: modelHelper, tailTarget: () => undefined };

function place(code: Code): Code {
  const out = code.slice();
  for (let i = 0; i < out.length; i++)
    if (out.opcode[i] === 0x18) {
      if (out.src[i] === Pseudo.MapIndexValue) {
        out.setImm64(i, VALUE + BigInt(out.imm[i + 1]!));
        out.src[i] = 0;
      }
      i++;
    }
  return out;
}
interface Ready {
  readonly text: string;
  readonly placed: Code;
  readonly functions: readonly number[];
  readonly stackBytes: readonly number[];
}
function ready(code: Code, text: string): Ready | undefined {
  try {
    const verified = verify({
      code,
      type: "syscall",
      maps: generatorMaps,
      contextBytes: CONTEXT_BYTES,
      privileged: false,
      limit: 2000,
    });
    return { text, placed: place(verified.code), functions: verified.functions, stackBytes: verified.stackBytes };
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

/** Runs all both ways. @returns bytes of machine code and instructions executed, for the report */
function compare(programs: readonly Ready[], inputs: number): { bytes: number; slots: number } {
  const cases: NativeCase[] = [],
    wants: { text: string; r0: bigint; context: Uint8Array; value: Uint8Array }[] = [];
  let bytes = 0,
    slots = 0;
  programs.forEach((program, p) => {
    const compiled = compile({
      code: program.placed,
      functions: program.functions,
      stackBytes: program.stackBytes,
      address: CODE,
      helperAddress: nativeHelper,
    });
    bytes += compiled.bytes.length;
    slots += program.placed.length;
    for (let i = 0; i < inputs; i++) {
      const random = new Random(p * 31 + i),
        fill = (n: number): Uint8Array =>
          Uint8Array.from({ length: n }, () => (random.chance(30) ? random.below(3) : random.below(256)));
      const context = fill(CONTEXT_BYTES),
        value = fill(VALUE_BYTES);
      cases.push({
        regions: [
          { address: CODE, bytes: compiled.bytes },
          { address: CONTEXT, bytes: context.slice() },
          { address: VALUE, bytes: value.slice() },
        ],
        entry: CODE,
        argument: CONTEXT,
      });
      const memory = new RegionMemory();
      memory.map(CONTEXT, context, true, "context");
      memory.map(VALUE, value, true, "value");
      const machine = new Interpreter(memory, HELPERS);
      expect(machine.run(program.placed, CONTEXT, 100_000), program.text).toBe(Outcome.Exit);
      wants.push({ text: program.text, r0: machine.result, context, value });
    }
  });
  const results = runNative(cases);
  results.forEach(({ r0, regions }, i) => {
    const want = wants[i]!;
    if (
      r0 !== want.r0 ||
      Buffer.compare(regions[1]!, want.context) !== 0 ||
      Buffer.compare(regions[2]!, want.value) !== 0
    ) {
      throw new Error(
        `native r0 ${r0.toString(16)}, interpreter ${want.r0.toString(16)}; memory ${Buffer.from(regions[2]!).toString("hex")} / ${Buffer.from(want.value).toString("hex")}\n${want.text}`,
      );
    }
  });
  return { bytes, slots };
}

describe.skipIf(!haveNative)("compiled code on a real CPU", () => {
  test("every operation with every pair of registers that the mapping makes special", () => {
    const programs: Ready[] = [],
      ops = ["+=", "-=", "*=", "/=", "%=", "s/=", "s%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "="];
    const values = ["0x8000000000000000", "0xffffffffffffffff", "0x7fffffff80000000", "0x100000003", "0", "35"];
    for (const letter of ["r", "w"])
      for (const op of ops)
        for (const a of [0, 2, 3, 4, 5, 6, 9])
          for (const b of [0, 3, 4, 7]) {
            const x = values[(a * 5 + b + op.length) % 6]!,
              y = values[(a + b * 7 + op.charCodeAt(0)) % 6]!;
            const others = [0, 2, 3, 4, 5, 6, 7, 8, 9].map((r) => `r${r} = ${100 + r}`).join("\n");
            const text = `${others}\nr${a} = ${x} ll\n${a === b ? "" : `r${b} = ${y} ll\n`}${letter}${a} ${op} ${letter}${b}\nr1 = 0\n${[0, 2, 3, 4, 5, 6, 7, 8, 9].map((r) => `r1 *= 31\nr1 += r${r}`).join("\n")}\nr0 = r1\nexit`;
            const shift = op.includes("<<") || op.includes(">>");
            programs.push(ready(assemble(text), text)!);
            const imm = shift ? 5 : op.includes("/") || op.includes("%") ? -1 : -70000;
            const second = text.replace(`${letter}${a} ${op} ${letter}${b}`, `${letter}${a} ${op} ${imm}`);
            programs.push(ready(assemble(second), second)!);
          }
    expect(programs.every((p) => p !== undefined)).toBe(true);
    compare(programs, 1);
  });

  const COUNT = Number(process.env["KREPLICA_BPF_PROGRAMS"] ?? 3000);
  test("generated programs: same result and same memory as the interpreter", () => {
    let accepted = 0,
      tried = 0,
      bytes = 0,
      slots = 0;
    while (accepted < COUNT) {
      const batch: Ready[] = [];
      for (let i = 0; i < 2000 && accepted + batch.length < COUNT; i++) {
        const { code, text } = generateProgram(5_000_000 + tried++, { wild: 0, helpers: [5, 7, 8] });
        const made = ready(code, text);
        if (made) batch.push(made);
      }
      const made = compare(batch, 2);
      bytes += made.bytes;
      slots += made.slots;
      accepted += batch.length;
    }
    console.log(
      `jit: ${accepted} programs accepted of ${tried}, two inputs each; ${(bytes / slots).toFixed(2)} bytes of x86-64 a slot`,
    );
    expect(accepted).toBe(COUNT);
  });

  test("tail calls go on in the other program with the same context, 33 times and no more; a hole or a far index falls through", () => {
    const self = assemble(
      "r6 = r1; r0 = *(u64 *)(r6 + 0); r0 += 1; *(u64 *)(r6 + 0) = r0; r2 = 0x10002000 ll; r3 = *(u64 *)(r6 + 8); call 12; r0 = *(u64 *)(r6 + 0); r0 += 1000; exit",
    );
    const array = new Uint8Array(8 + 8 * 3),
      view = new DataView(array.buffer);
    view.setUint32(0, 3, true);
    view.setBigUint64(8, CODE, true);
    const compiled = compile({
      code: self,
      functions: [0],
      stackBytes: [0],
      address: CODE,
      helperAddress: nativeHelper,
    });
    const context = (index: number): Uint8Array => {
      const c = new Uint8Array(64);
      new DataView(c.buffer).setBigUint64(8, BigInt(index), true);
      return c;
    };
    const one = (index: number): NativeCase => ({
      regions: [
        { address: CODE, bytes: compiled.bytes },
        { address: CONTEXT, bytes: context(index) },
        { address: 0x1000_2000n, bytes: array },
      ],
      entry: CODE,
      argument: CONTEXT,
    });
    const results = runNative([0, 1, 2, 3, 1000].map(one));
    expect(results.map((each) => each.r0)).toEqual([1034n, 1001n, 1001n, 1001n, 1001n]);
    const memory = new RegionMemory();
    memory.map(CONTEXT, context(0), true, "context");
    const machine = new Interpreter(memory, {
      helper: () => undefined,
      tailTarget: (_map, slot) => (slot === 0 ? self : undefined),
    });
    machine.run(self, CONTEXT);
    expect(machine.result).toBe(1034n);
  });

  test("a loop of 1,000 turns", () => {
    const code = assemble(
      "r0 = 0; r2 = 0; a: r3 = r2; r3 *= 7; r0 ^= r3; r0 += 5; w0 = w0; r2 += 1; if r2 < 1000 goto a; exit",
    );
    const { bytes } = compile({ code, functions: [0], stackBytes: [0], address: CODE, helperAddress: nativeHelper });
    const machine = new Interpreter(new RegionMemory());
    machine.run(code, 0n);
    expect(machine.executed).toBe(2 + 7 * 1000 + 1);
    expect(runNative([{ regions: [{ address: CODE, bytes }], entry: CODE, argument: 0n }])[0]!.r0).toBe(machine.result);
  });
});

test("what cannot be compiled is refused with its place", () => {
  const request = { functions: [0], stackBytes: [0], address: CODE, helperAddress: nativeHelper };
  expect(() => compile({ ...request, code: assemble("r0 = 0; r1 = map_index 0 0 ll; exit") })).toThrow(
    /jit-unsupported: instruction 1/,
  );
  expect(() => compile({ ...request, code: assemble("call 999; exit") })).toThrow(/jit-unsupported: instruction 0/);
  // Only code that was not verified: it leads where there is no code, or names what does not exist.
  for (const [text, at] of [
    ["r0 = 0; goto -5; exit", 1],
    ["r0 = 0; goto +5; exit", 1],
    ["r0 = 0; if r0 == 0 goto +1; r0 = 1 ll; exit", 1],
    ["r0 = 0; call pc+1; exit; r0 = 1; exit", 1],
    [".slot 0xb7 11 0 0 0; exit", 0],
    [".slot 0xbf 0 12 0 0; exit", 0],
    ["r0 = 0; .slot 0xe5 0 0 0 0; exit", 1],
    ["r0 = 0; .slot 0x96 0 0 0 0; exit", 1],
    ["r0 = 0; .slot 0x18 0 0 0 0", 1],
  ] as const) {
    expect(() => compile({ ...request, code: assemble(text) }), text).toThrow(
      new RegExp(`jit-unsupported: instruction ${at}`),
    );
  }
});
