/**
 * Compiled code does what interpreted code does: the same registers, flags, memory, counts, faults and stops, after
 * every budget, over a flat memory, with page windows and without, and over a machine, with every access accounted and
 * without.
 */
import * as fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { BlockCache, FlatMemory, FlatMemoryPort, Interpreter, type InterpreterOptions } from "../../src/isa/index.js";
import type { HardwareThread } from "../../src/cpu.js";
import { Slot } from "../../src/isa/context.js";
import {
  FRAME,
  KERNEL_CODE,
  KERNEL_DATA_AT,
  KernelBench,
  grounds,
  machineGround,
  type Ground,
  type MachineGround,
} from "./kernel-bench.js";
import { whyNoAssembler } from "./native.js";

const reason = whyNoAssembler();
if (reason !== undefined) console.warn(`TESTS OF COMPILED CODE SKIPPED: ${reason}`);

const NEVER: InterpreterOptions = { compileAfter: Infinity };
/** The blocks of a loop have all been seen by the time its beginning is compiled. */
const SOON: InterpreterOptions = { compileAfter: 3 };

/** Everything of a CPU but what an instruction leaves in its scratch slots. */
function state(cpu: Interpreter): unknown {
  const { context } = cpu;
  const words = context.s.slice();
  words.fill(0, Slot.Temp, Slot.Rip);
  return [[...words], cpu.executed, cpu.stopReason, context.halted, context.privilege, [...context.selectors]];
}
/** The counters of a machine's CPU, and whatever memory the programs here write. */
const around = (ground: Ground): unknown => [
  "machine" in ground ? [...((ground as MachineGround).machine.cpu(0) as HardwareThread).counters] : [],
  ...Object.values(FRAME).map((frame) => Buffer.from(ground.read(frame, 0, 4096)).toString("base64")),
];

afterEach(() => void vi.unstubAllGlobals());

describe("random loops", () => {
  const low = fc.constantFrom(0, 1, 2, 5);
  const byte = fc.nat(255);
  const near = fc.integer({ min: -100, max: 100 });
  const rex = fc.constantFrom(0x48, 0x40, 0x4d, 0x66);
  /** One instruction; RBX points to data, R15 counts the loop. */
  const piece = fc.oneof(
    fc
      .tuple(
        rex,
        fc.constantFrom(0x00, 0x01, 0x08, 0x11, 0x18, 0x19, 0x21, 0x28, 0x29, 0x31, 0x38, 0x39, 0x85, 0x89),
        low,
        low,
      )
      .map(([prefix, op, a, b]) => [prefix, op, 0xc0 | (a << 3) | b]),
    // 8-bit registers without REX: AH to BH too, but not BL and BH, which addresses hang on.
    fc
      .tuple(
        fc.constantFrom(0x00, 0x10, 0x28, 0x30, 0x3a, 0x88),
        fc.constantFrom(0, 1, 2, 4, 5, 6),
        fc.constantFrom(0, 1, 2, 4, 5, 6),
      )
      .map(([op, a, b]) => [op, 0xc0 | (a << 3) | b]),
    fc.tuple(rex, low, fc.nat(7), byte).map(([prefix, r, op, value]) => [prefix, 0x83, 0xc0 | (op << 3) | r, value]),
    fc
      .tuple(rex, fc.constantFrom(0xc1, 0xd3), low, fc.constantFrom(0, 1, 2, 3, 4, 5, 7), byte)
      .map(([prefix, form, r, op, count]) =>
        form === 0xd3 ? [prefix, form, 0xc0 | (op << 3) | r] : [prefix, form, 0xc0 | (op << 3) | r, count],
      ),
    fc
      .tuple(rex, fc.constantFrom(0x8b, 0x89, 0x01, 0x29, 0x03, 0x33, 0x3b, 0x39, 0x8d), low, near)
      .map(([prefix, op, r, d]) => [prefix & ~5, op, 0x43 | (r << 3), d & 0xff]),
    // Byte loads and stores, MOVZX, MOVSX.
    fc
      .tuple(fc.constantFrom([0x8a], [0x88], [0x00], [0x0f, 0xb6], [0x0f, 0xbe], [0x0f, 0xb7], [0x0f, 0xbf]), low, near)
      .map(([op, r, d]) => [...op, 0x43 | (r << 3), d & 0xff]),
    // MOV r, [rbx + rdi * 8 + d] and LEA r, [r + r * 2 - d].
    fc
      .tuple(fc.constantFrom(0x8b, 0x89, 0x8d), low, near)
      .map(([op, r, d]) => [0x48, op, 0x44 | (r << 3), 0xfb, d & 0xff]),
    fc.tuple(low, low, near).map(([r, a, d]) => [0x48, 0x8d, 0x44 | (r << 3), 0x40 | (a << 3) | a, d & 0xff]),
    fc
      .tuple(fc.constantFrom(0x40, 0x90), fc.nat(15), low)
      .map(([op, cc, r]) => [0x48, 0x0f, op + cc, 0xc0 | (r << 3) | 2]),
    fc
      .tuple(fc.constantFrom(0xf7, 0xff), fc.constantFrom(0, 1, 2, 3), low)
      .map(([op, which, r]) =>
        op === 0xff
          ? [0x48, 0xff, 0xc0 | ((which & 1) << 3) | r]
          : which < 2
            ? [0x48, 0xf7, 0xc0 | r, 0x5a, 1, 0, 0x80]
            : [0x48, 0xf7, 0xc0 | (which << 3) | r],
      ),
    fc.tuple(low, low).map(([a, b]) => [0x48, 0x0f, 0xaf, 0xc0 | (a << 3) | b]),
    fc.tuple(rex, low, low, byte).map(([prefix, a, b, value]) => [prefix, 0x6b, 0xc0 | (a << 3) | b, value]),
    fc.tuple(fc.constantFrom(0x50, 0x58), low).map(([op, r]) => [op + r]),
    // SHLD and SHRD, by an immediate and by CL.
    fc
      .tuple(rex, fc.constantFrom(0xa4, 0xa5, 0xac, 0xad), low, low, byte)
      .map(([prefix, op, a, b, n]) => [prefix & ~5, 0x0f, op, 0xc0 | (a << 3) | b, ...((op & 1) === 0 ? [n] : [])]),
    // MUL and IMUL of double width.
    fc
      .tuple(rex, fc.constantFrom(4, 5), low)
      .map(([prefix, op, r]) => [prefix & ~5, prefix === 0x40 ? 0xf6 : 0xf7, 0xc0 | (op << 3) | r]),
    // DIV and IDIV by RCX or by what RBX points to, of a dividend that mostly fits.
    fc
      .tuple(fc.constantFrom(0x48, 0x40), fc.constantFrom([0x31, 0xd2], [0x99], [0x83, 0xe2, 0x7f]), fc.boolean(), byte)
      .map(([prefix, extend, held, near_]) => [
        ...[0x83, 0xc9, 1, prefix, ...extend],
        ...[prefix, 0xf7, ...(held ? [0xf1 | ((near_ & 1) << 3)] : [0x73 | ((near_ & 1) << 3), near_ & 0x78])],
      ]),
    // A branch over one instruction.
    fc.tuple(fc.nat(15), low).map(([cc, r]) => [0x70 + cc, 3, 0x48, 0xff, 0xc0 | r]),
    fc.constantFrom(
      [0x48, 0xf7, 0xe1],
      [0x48, 0x0f, 0xc8],
      [0x48, 0x98],
      [0x48, 0x99],
      [0x0f, 0xa2, 0x90],
      [0x9c, 0x59],
      [0xfc],
      [0xac],
      [0xff, 0x33, 0x8f, 0x43, 8],
    ),
  );
  const loops = fc.array(piece, { minLength: 1, maxLength: 16, size: "max" }).map((pieces) => {
    const body = pieces.flat();
    const back = -(body.length + 9);
    return Uint8Array.from([
      ...body,
      0x49,
      0xff,
      0xcf,
      0x0f,
      0x85,
      ...new Uint8Array(new Int32Array([back]).buffer),
      0xf4,
    ]);
  });

  test("over a flat memory, with windows and without", () => {
    const DATA = 0x5000n;
    const cpuOf = (
      code: Uint8Array,
      fast: boolean,
      options: InterpreterOptions,
    ): { cpu: Interpreter; memory: FlatMemory } => {
      const memory = new FlatMemory(4);
      memory.bytes.set(code, 4096);
      for (let n = 0; n < 8192; n++) memory.bytes[8192 + n] = (n * 37) ^ (n >> 3);
      const port = new FlatMemoryPort(memory);
      port.fast = fast;
      port.map(KERNEL_CODE, 1, 1, { writable: true, user: false, executable: true });
      port.map(DATA, 2, 2, { writable: true, user: false, executable: false });
      const cpu = new Interpreter(port, undefined, undefined, options);
      cpu.rip = KERNEL_CODE;
      for (let n = 0; n < 16; n++) cpu.setRegister(n, 0x8765_4321_9abc_def1n * BigInt(n + 1));
      cpu.setRegister(3, DATA + 4096n + 128n);
      cpu.setRegister(4, DATA + 4096n);
      cpu.setRegister(6, DATA + 1000n);
      cpu.setRegister(7, BigInt.asUintN(64, -3n));
      cpu.setRegister(15, 12n);
      return { cpu, memory };
    };
    fc.assert(
      fc.property(loops, fc.boolean(), fc.integer({ min: 1, max: 23 }), (code, fast, budget) => {
        const [plain, compiled] = [cpuOf(code, fast, NEVER), cpuOf(code, fast, SOON)];
        for (let runs = 0; runs < 40; runs++) {
          plain.cpu.run(budget);
          compiled.cpu.run(budget);
          expect(state(compiled.cpu)).toEqual(state(plain.cpu));
        }
        expect(Buffer.compare(compiled.memory.bytes, plain.memory.bytes)).toBe(0);
      }),
      { numRuns: process.env["KREPLICA_PROOF"] === "1" ? 2000 : 300 },
    );
  });
});

/** Loops that call, return, fault, store beside and into what they execute, and end in HLT. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "calls and a stack": `
      mov ecx, 40
    again: mov rdi, rcx; call square; add rbx, rax; push rbx; pop rdx; dec ecx; jnz again
      hlt
    square: mov rax, rdi; imul rax, rdi; cmp rax, 900; ja large; ret
    large: xor eax, eax; ret`,
  "page faults in every other round": `
      mov ecx, 30; movabs rbx, ${KERNEL_DATA_AT + 0x1ff0n}; xor edx, edx
    again: mov rax, [rbx]; add [rbx], rcx; mov byte ptr [rbx+9], cl; add rbx, 8; sbb rdx, 3; dec ecx; jnz again
      hlt
    fault: inc r12; mov r13, cr2; mov r14, [rsp]; add r14, [rsp+8]; add rsp, 8; sub rbx, 0x88; iretq`,
  "lines and pages crossed": `
      mov ecx, 64; movabs rbx, ${KERNEL_DATA_AT + 0xfc1n}
    again: mov [rbx], rcx; mov eax, [rbx+3]; add word ptr [rbx+1], ax; inc qword ptr [rbx]; inc rbx; dec ecx; jnz again
      hlt`,
  "data beside code": `
      mov ecx, 50
    again: inc dword ptr [rip+count]; mov [rip+count+4], ecx; dec ecx; jnz again
      hlt
      .balign 64
    count: .quad 0`,
  "a store into the next instruction": `
      mov ecx, 40
    again: mov byte ptr [rip+change+2], cl; add ecx, -1
    change: add edx, 1; jecxz done; jmp again
    done: hlt`,
  "a store that changes the next instruction now and then": `
      mov ecx, 90
    again: mov eax, ecx; shr eax, 4; mov byte ptr [rip+change+2], al
    change: add edx, 1; dec ecx; jnz again
      hlt`,
  "code across lines": `
      mov ecx, 30
      .balign 64
      .skip 50, 0x90
    again: movabs rax, 0x123456789abcdef; add rbx, rax; movabs rdx, 0x123456789abcdef; sub rdx, rbx; dec ecx; jnz again
      hlt`,
  "divisions, one by zero": `
      mov ecx, 30; mov r8, 20
    again: mov rax, rcx; xor edx, edx; div r8; add rbx, rdx; dec r8; jnz on; mov r8, 0
    on: dec ecx; jnz again
      hlt
    fault: inc r12; mov r8, 7; iretq`,
  "divisions of all widths, some that do not fit": `
      mov ecx, 40; movabs rbx, ${KERNEL_DATA_AT + 0x100n}; movabs r8, 0x8123456789abcdef; mov r9, r8
    again: lea rdx, [rcx-5]; mov rax, r9; mov [rbx+8], r8; div qword ptr [rbx+8]; add r10, rax; xor r11, rdx
      lea rax, [rcx-20]; cqo; sub rdx, 3; idiv r8; add r10, rax; xor r11, rdx
      mov eax, r9d; mov edx, ecx; sub edx, 30; mov esi, 3; div esi; add r10, rax; xor r11, rdx
      mov eax, r10d; cdq; lea esi, [rcx-9]; mov [rbx], esi; idiv dword ptr [rbx]; add r10, rax; xor r11, rdx
      ror r8, cl; rol r9, 7; dec ecx; jnz again
      hlt
    fault: inc r12; mov rsi, [rsp]; movzx edi, byte ptr [rsi]
      and edi, 0xf0; cmp edi, 0x40; jne on; inc rsi
    on: cmp byte ptr [rsi+1], 0x80; jae two; inc rsi; cmp byte ptr [rsi], 0x40; jb two; inc rsi
    two: add rsi, 2; mov [rsp], rsi; mov edx, 7; iretq`,
  "shifts by CL, by nothing now and then": `
      mov ecx, 66; movabs rbx, ${KERNEL_DATA_AT + 0x200n}; movabs r8, 0x8123456789abcdef
    again: mov rax, r8; cmp rax, rcx; shl rax, cl; adc r9, rax; mov rax, r8; shr rax, cl; adc r9, rax
      mov rax, r8; sar rax, cl; sbb r9, rax; mov eax, r8d; shl eax, cl; adc r9, rax; sub eax, 5; shr eax, cl; setz dl
      add r9, rdx; mov eax, r8d; sar eax, cl; adc r9, rax; mov [rbx], r9; rol qword ptr [rbx], cl; adc r9, 0
      ror dword ptr [rbx], cl; adc r9, [rbx]; shld r8, r9, cl; seto dl; add r8, rdx; shrd r9, r8, cl; adc r8, 1
      shld eax, ecx, cl; adc r9, rax; shrd [rbx], eax, cl; sets dl; add r9, [rbx]; cmp ecx, 33; ror r8, cl; pushfq
      pop rsi; add r9, rsi; dec ecx; cmp ecx, 31; jne again
      hlt`,
};

describe.skipIf(reason !== undefined).each(grounds)("on %s", (_name, make) => {
  const bench = (text: string, options: InterpreterOptions): KernelBench => {
    const made = new KernelBench(make(), text, "nop", options);
    if (made.symbols.has("fault")) for (const vector of [0, 14]) made.gate(vector, "fault");
    return made;
  };

  test.each(Object.entries(PROGRAMS))("%s: whatever the budget", (_title, text) => {
    for (const budget of [1, 2, 3, 5, 7, 11, 64, 10_000]) {
      const [plain, compiled] = [bench(text, NEVER), bench(text, SOON)];
      let stop = "budget";
      for (let runs = 0; stop === "budget" && runs < 2000; runs++) {
        stop = plain.cpu.run(budget);
        expect(compiled.cpu.run(budget)).toBe(stop);
        expect(state(compiled.cpu)).toEqual(state(plain.cpu));
      }
      expect(stop).toBe("halted");
      expect(plain.cpu.executedCompiled).toBe(0);
      if (budget > 10) expect(compiled.cpu.executedCompiled).toBeGreaterThan(30);
      expect(around(compiled.ground)).toEqual(around(plain.ground));
    }
  });

  test("a return address inside compiled code is stopped at", () => {
    const text = PROGRAMS["calls and a stack"]!;
    const [plain, compiled] = [bench(text, NEVER), bench(text, SOON)];
    for (let n = 0; n < 20; n++)
      for (const each of [plain, compiled]) {
        expect(each.cpu.run(1000, each.label("square"))).toBe("reached");
        expect(each.cpu.rip).toBe(each.label("square"));
        each.cpu.run(1);
      }
    expect(state(compiled.cpu)).toEqual(state(plain.cpu));
  });

  test("bytes changed under compiled code from outside are executed at once", () => {
    const each = bench("again: add eax, 1; add ebx, 2; jmp again", SOON);
    each.cpu.run(300);
    expect(each.cpu.register(0)).toBe(100n);
    each.ground.write(FRAME.kernelCode, 2, Uint8Array.of(5));
    each.cpu.run(300);
    expect(each.cpu.register(0)).toBe(600n);
    // A block of the same loop that it does not begin with.
    const two = bench("again: add eax, 1; jmp next; next: add ebx, 2; jmp again", SOON);
    two.cpu.run(400);
    two.ground.write(FRAME.kernelCode, 7, Uint8Array.of(5));
    two.cpu.run(400);
    expect(two.cpu.register(3)).toBe(700n);
    // INT3 in the middle, without a gate: shutdown at its address.
    each.ground.write(FRAME.kernelCode, 3, Uint8Array.of(0xcc));
    expect(each.cpu.run(300)).toBe("stopped");
    expect(each.cpu.rip).toBe(KERNEL_CODE + 3n);
  });

  test("what does nothing does not keep a loop from being compiled", () => {
    const each = bench(
      "again: endbr64; add eax, 1; nop dword ptr [rax+rax*1+0]; lfence; prefetcht0 [rbx]; jmp again",
      SOON,
    );
    each.cpu.run(600);
    expect(each.cpu.register(0)).toBe(100n);
    expect(each.cpu.executedCompiled).toBeGreaterThan(500);
  });

  test("a page written beside its code is not decoded again", () => {
    const each = bench(PROGRAMS["data beside code"]!, SOON);
    each.cpu.run(41);
    const { decodes } = each.blocks;
    each.cpu.run(120);
    expect(each.blocks.decodes).toBe(decodes);
  });
});

describe("a machine's memory", () => {
  const store = Uint8Array.of(0x48, 0x89, 0x03, 0x48, 0x8b, 0x13, 0xeb, 0xf8);
  const ready = (): { ground: MachineGround; cpu: Interpreter } => {
    const ground = machineGround(false);
    ground.map(KERNEL_CODE, 1, 1, { writable: false, user: false, executable: true });
    ground.map(KERNEL_DATA_AT, 5, 1, { writable: true, user: false, executable: false });
    ground.write(1, 0, store);
    const cpu = new Interpreter(ground.port, new BlockCache(), undefined, SOON);
    cpu.context.set(Slot.Cr4, 0x20n);
    cpu.rip = KERNEL_CODE;
    cpu.setRegister(3, KERNEL_DATA_AT);
    cpu.setRegister(0, 1n);
    cpu.run(60);
    return { ground, cpu };
  };

  test("a frame copied is not written by stores to the one it was copied from", () => {
    const { ground, cpu } = ready();
    const { memory } = ground.machine;
    memory.copyFrame(5, 77);
    cpu.setRegister(0, 2n);
    cpu.run(60);
    expect(memory.read64(77n << 12n)).toBe(1n);
    expect(memory.read64(5n << 12n)).toBe(2n);
    memory.copyFrame(77, 5);
    cpu.run(2);
    expect(cpu.register(2)).toBe(2n);
  });

  test("what others write, and where memory grows, is seen", () => {
    const { ground, cpu } = ready();
    const { memory } = ground.machine;
    memory.clearFrame(5);
    for (let frame = 100; frame < 3000; frame++) memory.write32(frame, 0, frame);
    cpu.rip = KERNEL_CODE + 3n;
    cpu.run(1);
    expect(cpu.register(2)).toBe(0n);
    cpu.setRegister(0, 3n);
    cpu.run(60);
    expect(memory.read64(5n << 12n)).toBe(3n);
    expect(memory.read32(2999, 0)).toBe(2999);
  });
});

test("where text must not become code, everything is interpreted", async () => {
  vi.resetModules();
  vi.stubGlobal("Function", function refused() {
    throw new EvalError("Refused to evaluate a string as JavaScript");
  });
  const { canCompile } = await import("../../src/isa/compiled/compiler.js");
  expect(canCompile()).toBe(false);
});
