/// <reference types="node" />
/** Compiled programs on the model's own CPU against the eBPF interpreter: result and memory, and that neither leaves its pages. */
import { FlatMemory, FlatMemoryPort, Interpreter as X86 } from "@kreplica/hw-x86/isa";
import { expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { Interpreter, Outcome } from "../src/interpreter.js";
import { Pseudo } from "../src/isa/opcode.js";
import { compile } from "../src/jit/compile.js";
import { type ExecutingCpu, HELPER_STUB, runCompiled, stubAddress } from "../src/jit/run-compiled.js";
import { RegionMemory } from "../src/memory.js";
import { CONTEXT_BYTES, generateProgram, generatorMaps, VALUE_BYTES } from "../src/testing/generate.js";
import { Random } from "../src/testing/random.js";
import { verify } from "../src/verify/verifier.js";
import { modelHelper } from "./support/native.js";

const CODE = 0xffff_ffff_c000_0000n, STUBS = 0xffff_ffff_8100_0000n, STACK = 0xffff_c900_0001_0000n, CONTEXT = 0xffff_8880_0000_0fc0n, VALUE = 0xffff_c900_0002_0fc0n;
const COUNT = Number(process.env["KREPLICA_BPF_PROGRAMS"] ?? 1000);

function modelCpu() {
  const memory = new FlatMemory(24), port = new FlatMemoryPort(memory), rights = (writable: boolean, executable: boolean) => ({ writable, executable, user: false });
  // Code read-only and executable, data writable and not; context and value end where their page ends, the next is a hole.
  port.map(CODE, 0, 8, rights(false, true));
  port.map(STUBS, 8, 1, rights(false, true));
  port.map(STACK - 0x2000n, 10, 2, rights(true, false));
  port.map(CONTEXT - 0xfc0n, 14, 1, rights(true, false));
  port.map(VALUE - 0xfc0n, 16, 1, rights(true, false));
  for (let id = 0; id < 16; id++) memory.bytes.set(HELPER_STUB, 8 * 4096 + 16 * id);
  const x86 = new X86(port), context = x86.context;
  const cpu: ExecutingCpu = {
    get rip() { return x86.rip; }, set rip(value) { x86.rip = value; }, register: (n) => x86.register(n), setRegister: (n, v) => { x86.setRegister(n, v); },
    run: (n) => x86.run(n), wake: () => { context.halted = false; }, get executed() { return x86.executed; }, get stopReason() { return x86.stopReason; },
  };
  const at = (address: bigint): number => address >= STACK - 0x2000n && address < STACK ? 10 * 4096 + Number(address - STACK + 0x2000n) : -1;
  return { memory, cpu, writeWord: (address: bigint, value: bigint) => { new DataView(memory.bytes.buffer).setBigUint64(at(address), value, true); } };
}

test("generated programs give the same result and memory on the model's CPU", () => {
  let accepted = 0, seed = 9_000_000, instructions = 0, slots = 0;
  while (accepted < COUNT) {
    const { code, text } = generateProgram(seed++, { wild: 0, helpers: [5, 7, 8] });
    let verified;
    try { verified = verify({ code, type: "syscall", maps: generatorMaps, contextBytes: CONTEXT_BYTES, privileged: false, limit: 2000 }); } catch (error) { if (error instanceof BpfError) continue; throw error; }
    accepted++;
    const placed = verified.code.slice();
    for (let i = 0; i < placed.length; i++) if (placed.opcode[i] === 0x18) {
      if (placed.src[i] === Pseudo.MapIndexValue) { placed.setImm64(i, VALUE + BigInt(placed.imm[i + 1]!)); placed.src[i] = 0; }
      i++;
    }
    const random = new Random(seed), fill = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => (random.chance(30) ? random.below(3) : random.below(256)));
    const context = fill(CONTEXT_BYTES), value = fill(VALUE_BYTES), { memory, cpu, writeWord } = modelCpu();
    memory.bytes.set(context, 14 * 4096 + 0xfc0);
    memory.bytes.set(value, 16 * 4096 + 0xfc0);
    const compiled = compile({ code: placed, functions: verified.functions, stackBytes: verified.stackBytes, address: CODE, helperAddress: (id) => stubAddress(STUBS, id) });
    memory.bytes.set(compiled.bytes, 0);
    const region = new RegionMemory();
    region.map(CONTEXT, context, true, "context");
    region.map(VALUE, value, true, "value");
    const machine = new Interpreter(region, { helper: modelHelper, tailTarget: () => undefined });
    expect(machine.run(placed, CONTEXT, 100_000)).toBe(Outcome.Exit);
    const done = runCompiled({ cpu, entry: CODE, context: CONTEXT, stackTop: STACK, stubs: STUBS, writeWord, helper: modelHelper });
    if (done.outcome !== "exit" || done.result !== machine.result) throw new Error(`seed ${seed - 1}: ${done.outcome} ${done.reason} at ${done.rip.toString(16)}, ${done.result.toString(16)} / ${machine.result.toString(16)}\n${text}`);
    expect(Buffer.compare(memory.bytes.subarray(14 * 4096 + 0xfc0, 15 * 4096), context), text).toBe(0);
    expect(Buffer.compare(memory.bytes.subarray(16 * 4096 + 0xfc0, 17 * 4096), value), text).toBe(0);
    instructions += done.executed;
    slots += machine.executed;
  }
  console.log(`model's CPU: ${accepted} programs, ${(instructions / slots).toFixed(2)} x86 instructions for an eBPF one`);
}, 3_600_000);
