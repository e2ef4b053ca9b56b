/** Exceptions and interrupts, over a flat memory and over a machine's page tables, TLBs and caches. */
import { describe, expect, test } from "vitest";
import {
  ALTERNATE_TOP,
  FRAME,
  KEEP_FRAME,
  KERNEL_DATA_AT,
  KernelBench,
  RAX,
  RBX,
  RCX,
  RSI,
  RSP,
  STACK_TOP,
  TO_USER,
  USER_CODE,
  USER_DATA,
  USER_STACK_TOP,
  grounds,
} from "./kernel-bench.js";
import { whyNoAssembler } from "./native.js";

const reason = whyNoAssembler();
if (reason !== undefined) console.warn(`EVENT TESTS OF THE INTERPRETER SKIPPED: ${reason}`);

describe.skipIf(reason !== undefined).each(grounds)("on %s", (_name, make) => {
  test("a page fault pushes its error code and address, and IRETQ goes back to the instruction", () => {
    const bench = new KernelBench(
      make(),
      `
      mov rbx, 0x123000
      mov rax, [rbx+8]
      hlt
    handler:
      mov rcx, cr2
      pop rsi
      mov rbx, ${KERNEL_DATA_AT}
      iretq`,
    );
    bench.gate(14, "handler");
    bench.ground.write(FRAME.kernelData, 8, Uint8Array.of(0x2a));
    bench.toHalt();
    expect(bench.cpu.register(RCX)).toBe(0x12_3008n);
    expect(bench.cpu.register(RSI)).toBe(0n);
    expect(bench.cpu.register(RAX)).toBe(0x2an);
    expect(bench.cpu.register(RSP)).toBe(STACK_TOP);
  });

  test.each([
    ["a kernel write to a read-only page with CR0.WP", "mov qword ptr [rbx], 1", 3n],
    ["a kernel fetch from data", "jmp rbx", 0x11n],
    ["a read-modify-write of a read-only page", "lock inc dword ptr [rbx]", 3n],
  ])("%s is refused", (_what, instruction, code) => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
      movabs rbx, ${KERNEL_DATA_AT + 0x1000n}
    at: ${instruction}
      ud2
    handler: ${KEEP_FRAME(6)}`,
    );
    ground.map(KERNEL_DATA_AT + 0x1000n, FRAME.kernelData + 1, 1, { writable: false, user: false, executable: false });
    bench.gate(14, "handler");
    bench.toHalt();
    expect(bench.word(FRAME.kernelData, 0)).toBe(code);
    expect(bench.word(FRAME.kernelData, 8)).toBe(
      instruction === "jmp rbx" ? KERNEL_DATA_AT + 0x1000n : bench.label("at"),
    );
    // RF is set in the image of a fault.
    expect(bench.word(FRAME.kernelData, 24) & 0x1_0000n).toBe(0x1_0000n);
  });

  test("user mode: fault into the kernel switches to RSP0, with U/S and P in the error code", () => {
    // The kernel reads the page first: what it was allowed must not be remembered for the user.
    const bench = new KernelBench(
      make(),
      `movabs rax, [${KERNEL_DATA_AT}]\n${TO_USER}\nhandler: ${KEEP_FRAME(6)}`,
      `
      movabs rax, [${KERNEL_DATA_AT}]`,
    );
    bench.gate(14, "handler");
    bench.toHalt();
    expect(bench.cpu.context.privilege).toBe(0);
    expect([0, 8, 16, 32, 40].map((at) => bench.word(FRAME.kernelData, at))).toEqual([
      5n,
      USER_CODE,
      0x33n,
      USER_STACK_TOP,
      0x2bn,
    ]);
    expect(bench.cpu.register(RSP)).toBe(STACK_TOP - 48n);
    expect(bench.cpu.context.selectors[2]).toBe(0);
  });

  test("SMAP refuses user data until STAC, and again after CLAC; SMEP refuses user code", () => {
    const bench = new KernelBench(
      make(),
      `
      mov rax, cr4; bts rax, 20; bts rax, 21; mov cr4, rax
      mov rbx, ${USER_DATA}
      stac
      mov rsi, [rbx]
      clac
      mov rdi, [rbx]
      hlt
    handler:
      pop rcx
      cmp rcx, 1
      jne second
      mov qword ptr [rsp], offset jump
      iretq
    jump:
      mov rbx, ${USER_CODE}
      jmp rbx
    second:
      hlt`,
    );
    bench.gate(14, "handler");
    bench.ground.write(FRAME.userData, 0, Uint8Array.of(9));
    bench.toHalt();
    expect(bench.cpu.register(RSI)).toBe(9n);
    expect(bench.cpu.register(RCX)).toBe(0x11n);
  });

  test("INT n checks the gate's level; INT3 saves the address after it; an IST stack is used", () => {
    const bench = new KernelBench(
      make(),
      `${TO_USER}
    three: mov rbx, [rsp]; mov rdi, rsp; iretq
    refused: pop rcx; mov rsi, [rsp]; hlt`,
      `int3
    after: int 0x40`,
    );
    bench.gate(3, "three", { level: 3, alternate: 1 });
    bench.gate(0x40, "refused");
    bench.gate(13, "refused");
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(USER_CODE + 1n);
    expect(bench.cpu.register(7)).toBe(ALTERNATE_TOP - 40n);
    expect(bench.cpu.register(RCX)).toBe(0x202n);
    expect(bench.cpu.register(RSI)).toBe(USER_CODE + 1n);
  });

  test("a fault while delivering a page fault is a double fault; one more shuts down", () => {
    const text = `
      mov rsp, 0x5000
      mov rax, [0x123000]
    handler: hlt`;
    const bench = new KernelBench(make(), text);
    bench.gate(14, "handler");
    bench.gate(8, "handler", { alternate: 1 });
    bench.toHalt();
    expect(bench.cpu.register(RSP)).toBe(ALTERNATE_TOP - 48n);
    const other = new KernelBench(make(), text);
    other.gate(14, "handler");
    other.gate(8, "handler");
    expect(other.cpu.run(100)).toBe("stopped");
    expect(other.cpu.stopReason).toContain("double fault");
  });

  test("an absent gate is #NP with the gate's number, EXT set for a fault's delivery", () => {
    const bench = new KernelBench(
      make(),
      `
      ud2
    handler: pop rcx; hlt`,
    );
    bench.gate(6, "handler", { present: false });
    bench.gate(11, "handler");
    bench.toHalt();
    expect(bench.cpu.register(RCX)).toBe(BigInt(6 * 8 + 3));
  });

  test("interrupts wait for IF, for the instruction after STI, and wake HLT", () => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
      cli
      nop
      sti
      mov rax, 1
      mov rax, 2
      hlt
      mov rsi, 7
      cli
      hlt
    handler: mov rbx, rax; inc rcx; iretq`,
    );
    bench.gate(0x41, "handler");
    const post = (): void => {
      if ("interrupts" in ground.port) (ground.port.interrupts as number[]).push(0x41);
      else (ground.port as unknown as { post(vector: number): void }).post(0x41);
      bench.cpu.signal();
    };
    post();
    expect(bench.cpu.run(1000)).toBe("halted");
    expect(bench.cpu.register(RBX)).toBe(1n);
    expect(bench.cpu.register(RCX)).toBe(1n);
    expect(bench.cpu.register(RSI)).toBe(0n);
    post();
    expect(bench.cpu.run(1000)).toBe("halted");
    expect(bench.cpu.register(RCX)).toBe(2n);
    expect(bench.cpu.register(RSI)).toBe(7n);
  });

  test("a non-maskable interrupt comes without IF, and the next one only after IRET", () => {
    const bench = new KernelBench(
      make(),
      `
      cli
      nop
      hlt
    handler:
      inc rbx
      nop
      nop
      mov rcx, rbx
      iretq`,
    );
    bench.gate(2, "handler");
    bench.cpu.setRegister(RBX, 0n);
    bench.cpu.run(2);
    bench.cpu.nonMaskable();
    bench.cpu.step();
    bench.cpu.step();
    bench.cpu.nonMaskable();
    bench.cpu.step();
    bench.cpu.step();
    expect(bench.cpu.register(RBX)).toBe(1n);
    bench.toHalt();
    expect(bench.cpu.register(RCX)).toBe(2n);
  });

  test("an interrupt gate clears IF, a trap gate does not; both clear TF", () => {
    const bench = new KernelBench(
      make(),
      `
      sti
      int 0x50
      int 0x51
      hlt
    one: pushfq; pop rbx; iretq
    two: pushfq; pop rcx; iretq`,
    );
    bench.gate(0x50, "one");
    bench.gate(0x51, "two", { type: 15 });
    bench.toHalt();
    expect([RBX, RCX].map((n) => bench.cpu.register(n) & 0x300n)).toEqual([0n, 0x200n]);
  });

  test("delivery is the CPU's own access: user pages under SMAP with AC set do not serve as stack", () => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
      mov rax, cr4; bts rax, 21; mov cr4, rax
      stac
      mov rsp, ${USER_STACK_TOP}
      ud2
    handler: mov rbx, 6; hlt
    double: mov rbx, 8; hlt`,
    );
    bench.gate(6, "handler");
    bench.gate(14, "double", { alternate: 1 });
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(8n);
  });

  test("the frame is pushed from a 16-byte boundary, with RSP as it was in it", () => {
    const bench = new KernelBench(
      make(),
      `
      sub rsp, 5
      ud2
    handler: mov rbx, [rsp+24]; mov rcx, rsp; hlt`,
    );
    bench.gate(6, "handler");
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(STACK_TOP - 5n);
    expect(bench.cpu.register(RCX)).toBe(STACK_TOP - 16n - 40n);
  });
});
