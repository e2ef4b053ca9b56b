/**
 * Properties of the interpreter that need no processor beside it: stepping is running, changed code is never stale,
 * nothing throws.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BlockCache, callFunction, FlatMemory, FlatMemoryPort, Interpreter } from "../../src/isa/index.js";
import { packFlags, setFlags } from "../../src/isa/flags.js";
import { Context } from "../../src/isa/context.js";

const CODE = 0xffff_ffff_8100_0000n,
  DATA = 0x5000n;
const RUNS = process.env["KREPLICA_PROOF"] === "1" ? 2000 : 200;

/** Code in frame 1, data in frames 2 and 3, the code again at 0x9000 for writing. */
function cpuOf(code: Uint8Array, fast: boolean, blocks = new BlockCache()): { cpu: Interpreter; memory: FlatMemory } {
  const memory = new FlatMemory(4);
  memory.bytes.set(code, 4096);
  const port = new FlatMemoryPort(memory);
  port.fast = fast;
  port.map(CODE, 1, 1, { writable: true, user: false, executable: true });
  port.map(DATA, 2, 2, { writable: true, user: false, executable: false });
  port.map(0x9000n, 1, 1, { writable: true, user: false, executable: false });
  const cpu = new Interpreter(port, blocks);
  cpu.rip = CODE;
  for (let n = 0; n < 16; n++) cpu.setRegister(n, 0x1234_5678_9abcn * BigInt(n + 1));
  cpu.setRegister(3, DATA + 128n);
  cpu.setRegister(4, DATA + 4096n);
  cpu.setRegister(6, 0x9000n);
  cpu.setRegister(7, DATA + 64n);
  return { cpu, memory };
}

const state = ({ cpu, memory }: { cpu: Interpreter; memory: FlatMemory }): unknown => [
  cpu.rip,
  cpu.flags,
  cpu.stopReason,
  cpu.context.halted,
  ...Array.from({ length: 16 }, (_, n) => cpu.register(n)),
  Buffer.from(memory.bytes).toString("base64"),
];

/** Registers that addresses do not hang on: rax, rcx, rdx, rbp, and r8 to r15 by REX.B. */
const low = fc.constantFrom(0, 1, 2, 5);
const byte = fc.nat(255);
/**
 * One instruction as bytes: arithmetic between registers, immediates, shifts, stores and loads near RBX, stack, short
 * branches, strings.
 */
const piece = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(0x48, 0x40, 0x4d, 0x66),
      fc.constantFrom(0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85, 0x89),
      low,
      low,
    )
    .map(([rex, op, a, b]) => [rex, op, 0xc0 | (a << 3) | b]),
  fc.tuple(low, fc.nat(7), byte).map(([r, op, value]) => [0x48, 0x83, 0xc0 | (op << 3) | r, value]),
  fc
    .tuple(low, fc.constantFrom(0, 1, 2, 3, 4, 5, 7), byte)
    .map(([r, op, count]) => [0x48, 0xc1, 0xc0 | (op << 3) | r, count]),
  fc
    .tuple(low, fc.constantFrom(0x8b, 0x89, 0x01, 0x29), fc.integer({ min: -100, max: 100 }))
    .map(([r, op, d]) => [0x48, op, 0x43 | (r << 3), d & 0xff]),
  fc.tuple(fc.constantFrom(0x50, 0x58), low).map(([op, r]) => [op + r]),
  fc.tuple(fc.nat(15), fc.integer({ min: -12, max: 12 })).map(([cc, d]) => [0x70 + cc, d & 0xff]),
  fc.constantFrom(
    [0xf3, 0xaa],
    [0x9c, 0x9d],
    [0x0f, 0xaf, 0xc1],
    [0xfc],
    [0xb1, 5],
    [0xc6, 0x06, 0x90],
    [0xff, 0xc1],
    [0xfb],
    [0xf4],
  ),
  // A store into the code itself, through its other address: MOV byte [RSI + disp8], imm8.
  fc.tuple(fc.nat(120), byte).map(([at, value]) => [0xc6, 0x46, at, value]),
);
const program = fc
  .array(piece, { minLength: 1, maxLength: 40, size: "max" })
  .map((pieces) => Uint8Array.from(pieces.flat()));

test("running in blocks, stepping, and going through the port all do the same", () => {
  fc.assert(
    fc.property(program, fc.integer({ min: 1, max: 300 }), (code, budget) => {
      const run = cpuOf(code, true);
      const plain = cpuOf(code, false);
      const steps = cpuOf(code, true);
      run.cpu.context.repeatLimit = plain.cpu.context.repeatLimit = 1;
      run.cpu.run(budget);
      for (let left = budget; left > 0 && plain.cpu.stopReason === "";) {
        const now = Math.min(left, 7);
        plain.cpu.run(now);
        left -= now;
      }
      for (let n = 0; n < budget; n++) steps.cpu.step();
      expect(state(steps)).toEqual(state(run));
      expect(state(plain)).toEqual(state(run));
    }),
    { numRuns: RUNS },
  );
});

test("code changed between runs is never executed stale", () => {
  const change = fc.record({
    at: fc.nat(127),
    value: fc.oneof(byte, fc.constantFrom(0x90, 0xcc, 0xeb, 0x05)),
    run: fc.integer({ min: 1, max: 40 }),
  });
  fc.assert(
    fc.property(program, fc.array(change, { minLength: 1, maxLength: 20, size: "max" }), (code, changes) => {
      const kept = cpuOf(code, true);
      const fresh = cpuOf(code, true);
      for (const { at, value, run } of changes) {
        for (const each of [kept, fresh]) {
          each.memory.bytes[4096 + at] = value;
          each.memory.versions[1]!++;
          each.cpu.context.stop = "";
          each.cpu.context.halted = false;
          each.cpu.rip = CODE;
        }
        // A CPU that has never decoded anything, from the same state.
        const cold = cpuOf(fresh.memory.bytes.slice(4096, 8192), true);
        cold.memory.bytes.set(fresh.memory.bytes);
        cold.cpu.context.restore(fresh.cpu.context.save());
        kept.cpu.run(run);
        cold.cpu.run(run);
        expect(state(cold)).toEqual(state(kept));
        fresh.memory.bytes.set(cold.memory.bytes);
        fresh.cpu.context.restore(cold.cpu.context.save());
      }
    }),
    { numRuns: RUNS },
  );
});

test("random bytes end in a machine outcome, never in a JavaScript exception", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 200, size: "max" }),
      fc.constantFrom(0, 3),
      fc.bigInt(0n, (1n << 64n) - 1n),
      (code, privilege, value) => {
        const each = cpuOf(code, true);
        for (let n = 0; n < 16; n++) if (n !== 4 && n !== 3) each.cpu.setRegister(n, value >> BigInt(n));
        if (privilege === 3) each.cpu.context.setPrivilege(3);
        const stop = each.cpu.run(200);
        expect(["budget", "halted", "stopped"]).toContain(stop);
        if (stop === "stopped") expect(each.cpu.stopReason).not.toBe("");
      },
    ),
    { numRuns: 10 * RUNS },
  );
});

test("a saved state is all there is: going back repeats the same future", () => {
  fc.assert(
    fc.property(program, fc.nat(50), fc.nat(50), (code, before, after) => {
      const each = cpuOf(code, true);
      each.cpu.run(before);
      const saved = each.cpu.context.save();
      const bytes = each.memory.bytes.slice();
      each.cpu.run(after);
      const first = state(each);
      each.cpu.context.restore(saved);
      each.memory.bytes.set(bytes);
      for (let n = 0; n < each.memory.frames; n++) each.memory.versions[n]!++;
      each.cpu.run(after);
      expect(state(each)).toEqual(first);
    }),
    { numRuns: RUNS },
  );
});

test("RFLAGS written are RFLAGS read, arithmetic flags and all others", () => {
  const context = new Context(new FlatMemoryPort(new FlatMemory(1)));
  for (let value = 0; value < 0x1000; value++) {
    setFlags(context, value, 0x8d5);
    expect(packFlags(context.s)).toBe((value & 0x8d5) | 2);
  }
  setFlags(context, 0x2004_4600, ~0x8d5);
  expect(packFlags(context.s) & ~0x8d5).toBe(0x2004_4602);
});

test("a C call: six registers, the rest on an aligned stack, back at the return address", () => {
  // mov rax, [rsp+8]; add rax, [rsp+16]; lea rax, [rax+rdi*2]; sub rax, r9; mov rdx, rsp; ret
  const code = Uint8Array.of(
    0x48,
    0x8b,
    0x44,
    0x24,
    8,
    0x48,
    0x03,
    0x44,
    0x24,
    16,
    0x48,
    0x8d,
    0x04,
    0x78,
    0x4c,
    0x29,
    0xc8,
    0x48,
    0x89,
    0xe2,
    0xc3,
  );
  const { cpu } = cpuOf(code, true);
  const site = { stackTop: DATA + 4096n, returnTo: 0x7777_0000n };
  expect(callFunction(cpu, CODE, [10n, 0n, 0n, 0n, 0n, 3n, 100n, 1000n], site)).toEqual({
    stop: "reached",
    value: 1117n,
    instructions: 6,
  });
  expect((cpu.register(2) + 8n) % 16n).toBe(0n);
  expect(cpu.rip).toBe(0x7777_0000n);
  expect(callFunction(cpu, CODE, [10n, 0n, 0n, 0n, 0n, 3n, 100n], { ...site, budget: 2 }).stop).toBe("budget");
  expect((cpu.register(4) + 8n) % 16n).toBe(0n);
  expect(() => callFunction(cpu, CODE, [], { ...site, stackTop: 0x100n })).toThrow(
    /stack address 0xf8 cannot be written/,
  );
});
