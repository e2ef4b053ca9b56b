/**
 * Code that changes, is stepped, traps or stops in the middle of an instruction, over a flat memory and over a machine.
 */
import { describe, expect, test } from "vitest";
import { FRAME, KERNEL_CODE, KERNEL_DATA_AT, KernelBench, RAX, RBX, RCX, grounds } from "./kernel-bench.js";
import { whyNoAssembler } from "./native.js";

const reason = whyNoAssembler();
if (reason !== undefined) console.warn(`CODE CHANGE TESTS OF THE INTERPRETER SKIPPED: ${reason}`);

describe.skipIf(reason !== undefined).each(grounds)("on %s", (_name, make) => {
  test("the trap flag stops after each instruction, as kprobes need it", () => {
    const bench = new KernelBench(
      make(),
      `
      pushfq; or qword ptr [rsp], 0x100; popfq
    one: inc rax
    two: inc rax
      pushfq; and qword ptr [rsp], 0xfffffffffffffeff; popfq
    last: hlt
    trap:
      mov r8, [rsp]
      movabs r9, ${KERNEL_DATA_AT}
      mov [r9+rdx*8], r8
      inc rdx
      mov r10, dr6
      iretq`,
    );
    bench.gate(1, "trap");
    bench.toHalt();
    const seen = Array.from({ length: Number(bench.cpu.register(2)) }, (_, n) => bench.word(FRAME.kernelData, 8 * n));
    expect(seen[0]).toBe(bench.label("two"));
    expect(seen.at(-1)).toBe(bench.label("last"));
    expect(seen.length).toBe(5);
    expect(bench.cpu.register(10) & 0x4000n).toBe(0x4000n);
  });

  test("code that writes into its own block executes the new bytes at once", () => {
    const bench = new KernelBench(
      make(),
      `
      lea rbx, [rip+target+1]
      mov dword ptr [rbx], 77
      nop
    target: mov eax, 11
      hlt`,
    );
    bench.toHalt();
    expect(bench.cpu.register(RAX)).toBe(77n);
    const alias = new KernelBench(
      bench.ground,
      `
      movabs rbx, 0xffffffff86000000
      add rbx, offset target - ${KERNEL_CODE} + 1
      mov ecx, 3
    again:
      add dword ptr [rbx], 1
    target: mov eax, 11
      loop again
      hlt`,
    );
    bench.ground.map(0xffff_ffff_8600_0000n, FRAME.kernelCode, 1, { writable: true, user: false, executable: false });
    alias.toHalt();
    expect(alias.cpu.register(RAX)).toBe(14n);
  });

  test("another CPU's write is seen at the next block entry", () => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
    again: mov eax, 1
      jmp again
    store:
      lea rbx, [rip+again+1]
      mov dword ptr [rbx], 2
      hlt`,
    );
    bench.cpu.run(100);
    expect(bench.cpu.register(RAX)).toBe(1n);
    const { Interpreter } = {
      Interpreter: bench.cpu.constructor as new (port: typeof ground.port) => typeof bench.cpu,
    };
    const other = new Interpreter(ground.another());
    bench.prepare(other);
    other.rip = bench.label("store");
    expect(other.run(100)).toBe("halted");
    bench.cpu.run(4);
    expect(bench.cpu.register(RAX)).toBe(2n);
  });

  test("an instruction across two pages: changed in either, and with the second page away", () => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
      movabs rbx, ${KERNEL_CODE + 0x0ffdn}
      jmp rbx
    back: hlt
    handler: mov rcx, cr2; hlt
      .org 0xffd
      mov eax, 0x11223344
      jmp back`,
    );
    bench.gate(14, "handler");
    const again = (): bigint => {
      bench.cpu.context.halted = false;
      bench.cpu.rip = KERNEL_CODE;
      bench.toHalt();
      return bench.cpu.register(RAX);
    };
    expect(again()).toBe(0x1122_3344n);
    ground.write(FRAME.kernelCode + 1, 0, Uint8Array.of(0x99));
    expect(again()).toBe(0x1199_3344n);
    ground.write(FRAME.kernelCode, 0xffe, Uint8Array.of(0x55));
    expect(again()).toBe(0x1199_3355n);
    ground.unmap(KERNEL_CODE + 0x1000n);
    ground.port.invlpg(0x8100_1000 | 0, -1);
    bench.cpu.context.dropWindows();
    again();
    expect(bench.cpu.register(RCX)).toBe(KERNEL_CODE + 0x1000n);
  });

  test("a REP MOVSB that meets an absent page stops on it, and goes on where it was", () => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
      movabs rsi, ${KERNEL_DATA_AT}
      mov rdi, 0x90ff0
      mov ecx, 64
      rep movsb
      hlt
    handler:
      pop rax
      mov rbx, rcx
      mov rdx, cr2
      hlt`,
    );
    ground.map(0x9_0000n, 20, 1, { writable: true, user: false, executable: false });
    bench.gate(14, "handler");
    ground.write(
      FRAME.kernelData,
      0,
      Uint8Array.from({ length: 64 }, (_, n) => n + 1),
    );
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(48n);
    expect(bench.cpu.register(2)).toBe(0x9_1000n);
    expect(bench.cpu.register(RAX)).toBe(2n);
    ground.map(0x9_1000n, 21, 1, { writable: true, user: false, executable: false });
    // Back by hand: the handler's frame is on the stack.
    bench.cpu.context.halted = false;
    bench.cpu.rip = BigInt.asUintN(64, KERNEL_CODE + 18n + 2n);
    bench.load("iretq", KERNEL_CODE + 0x800n, 22);
    ground.write(FRAME.kernelCode, 0x800, Uint8Array.of(0x48, 0xcf));
    bench.cpu.rip = KERNEL_CODE + 0x800n;
    bench.toHalt();
    expect(bench.cpu.register(RCX)).toBe(0n);
    expect([...ground.read(20, 0xff0, 16), ...ground.read(21, 0, 48)]).toEqual(
      Array.from({ length: 64 }, (_, n) => n + 1),
    );
  });

  test("what is not modelled stops with its name instead of pretending", () => {
    const bench = new KernelBench(make(), "movaps xmm0, xmm1");
    expect(bench.cpu.run(10)).toBe("stopped");
    expect(bench.cpu.stopReason).toBe("instruction not modelled: MOVAPS");
    expect(bench.cpu.rip).toBe(KERNEL_CODE);
  });

  test("stepping executes exactly one instruction, one iteration of a repeated one", () => {
    const bench = new KernelBench(
      make(),
      `
      mov ecx, 3
      movabs rdi, ${KERNEL_DATA_AT}
      rep stosb
      hlt`,
    );
    const at: bigint[] = [];
    for (let n = 0; n < 6; n++) {
      bench.cpu.step();
      at.push(bench.cpu.rip - KERNEL_CODE);
    }
    expect(at).toEqual([5n, 15n, 15n, 15n, 17n, 18n]);
  });

  test("code overwritten by REP STOSB and REP MOVSB is executed as it has become", () => {
    const bench = new KernelBench(
      make(),
      `
      call area
      mov r8d, eax
      lea rdi, [rip+area]
      mov byte ptr [rdi], 0xb8
      call area
      inc rdi
      mov eax, 5
      mov ecx, 4
      rep stosb
      call area
      mov r9d, eax
      movabs rsi, ${KERNEL_DATA_AT}
      mov qword ptr [rsi], 0x07070707
      mov rax, [rsi]
      lea rdi, [rip+area+1]
      mov ecx, 4
      rep movsb
      call area
      hlt
      .org 0x900
    area: mov eax, 0x01010101
      ret`,
    );
    bench.toHalt();
    expect([8, 9, RAX].map((n) => bench.cpu.register(n))).toEqual([0x0101_0101n, 0x0505_0505n, 0x0707_0707n]);
  });

  test("one frame executed at two addresses: each sees its own", () => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
      lea rax, [rip+target]
      jmp target
      nop
    target: hlt`,
    );
    ground.map(0x9_0000n, FRAME.kernelCode, 1, { writable: false, user: false, executable: true });
    for (const at of [KERNEL_CODE, 0x9_0000n, KERNEL_CODE]) {
      bench.cpu.context.halted = false;
      bench.cpu.rip = at;
      bench.toHalt();
      expect(bench.cpu.register(RAX)).toBe(at + bench.label("target") - KERNEL_CODE);
      expect(bench.cpu.rip).toBe(at + bench.label("target") - KERNEL_CODE + 1n);
    }
  });

  test("an instruction across two pages, the second mapped to another frame that was written as often", () => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
      .org 0xffd
      mov eax, 0x11223344
      hlt`,
    );
    const other = 40;
    const bytes = ground.read(FRAME.kernelCode + 1, 0, 8);
    bytes[0] = 0x99;
    for (const frame of [other, FRAME.kernelCode + 1]) {
      const content = frame === other ? bytes : ground.read(frame, 0, 8);
      while (ground.port.version(frame) < 20) ground.write(frame, 0, content);
    }
    const run = (): bigint => {
      bench.cpu.context.halted = false;
      bench.cpu.rip = KERNEL_CODE + 0xffdn;
      bench.toHalt();
      return bench.cpu.register(RAX);
    };
    expect(run()).toBe(0x1122_3344n);
    ground.map(KERNEL_CODE + 0x1000n, other, 1, { writable: true, user: false, executable: true });
    ground.port.invlpg(0x8100_1000 | 0, -1);
    bench.cpu.context.dropWindows();
    expect(ground.port.version(other)).toBe(ground.port.version(FRAME.kernelCode + 1));
    expect(run()).toBe(0x1199_3344n);
  });
});
