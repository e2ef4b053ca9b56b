/** Privilege changes, segments, tables and system registers, over a flat memory and over a machine. */
import { describe, expect, test } from "vitest";
import {
  FRAME,
  KERNEL_DATA_AT,
  KernelBench,
  RBX,
  RCX,
  RSI,
  TO_USER,
  USER_CODE,
  USER_DATA,
  USER_STACK_TOP,
  grounds,
  type MachineGround,
} from "./kernel-bench.js";
import { whyNoAssembler } from "./native.js";

const reason = whyNoAssembler();
if (reason !== undefined) console.warn(`SYSTEM TESTS OF THE INTERPRETER SKIPPED: ${reason}`);

describe.skipIf(reason !== undefined).each(grounds)("on %s", (_name, make) => {
  test("CR0.WP off lets the kernel write", () => {
    const ground = make();
    const bench = new KernelBench(
      ground,
      `
      mov rax, cr0; btr rax, 16; mov cr0, rax
      movabs rbx, ${KERNEL_DATA_AT + 0x1000n}
      mov qword ptr [rbx], 7
      bts rax, 16; mov cr0, rax
      mov rcx, cr0
      hlt`,
    );
    ground.map(KERNEL_DATA_AT + 0x1000n, FRAME.kernelData + 1, 1, { writable: false, user: false, executable: false });
    bench.toHalt();
    expect(bench.word(FRAME.kernelData + 1, 0)).toBe(7n);
    expect(bench.cpu.register(RCX)).toBe(0x8005_003bn);
  });

  test("SYSCALL and SYSRETQ with SWAPGS", () => {
    const bench = new KernelBench(
      make(),
      `
      mov ecx, 0xc0000081; xor eax, eax; mov edx, 0x230010; wrmsr
      mov ecx, 0xc0000082; mov eax, offset entry - _start + 0x81000000; mov edx, 0xffffffff; wrmsr
      mov ecx, 0xc0000084; mov eax, 0x600; xor edx, edx; wrmsr
      mov ecx, 0xc0000102; mov eax, 0x1000; xor edx, edx; wrmsr
      ${TO_USER}
    entry:
      swapgs
      rdgsbase rbx
      swapgs
      pushfq
      pop r12
      sysretq
    done: hlt`,
      `
      std
      mov rax, 5
      syscall
      inc rax
      mov [${USER_DATA}], rax
      mov [${USER_DATA + 8n}], r11
      mov rsi, cs
      int 0x80
      `,
    );
    bench.gate(0x80, "done", { level: 3 });
    // SYSCALL does not switch stacks; PUSHFQ in the entry code uses the user's, which SMAP would refuse: lift it.
    bench.cpu.context.s[60]! &= ~(1 << 21);
    if (bench.ground.kind.startsWith("machine")) (bench.ground as MachineGround).port.cpu.cr4 &= ~(1 << 21);
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(0x1000n);
    expect(bench.word(FRAME.userData, 0)).toBe(6n);
    expect(bench.word(FRAME.userData, 8) & 0x600n).toBe(0x600n);
    expect(bench.cpu.register(12) & 0x600n).toBe(0n);
    expect(bench.cpu.register(RSI)).toBe(0x33n);
  });

  test("tables and segments: LGDT, SGDT, LTR, LAR, VERW, MOV to SS and FS, far return", () => {
    const bench = new KernelBench(
      make(),
      `
      movabs rbx, ${KERNEL_DATA_AT}
      sgdt [rbx]
      movzx esi, word ptr [rbx]
      lgdt [rbx]
      sidt [rbx+16]
      mov eax, 0x40
      str cx
      mov eax, 0x2b
      mov fs, eax
      lar edi, eax
      verw ax
      setz r8b
      mov eax, 0x18
      mov ss, eax
      mov r9d, ss
      push 0x10
      lea rax, [rip+beyond]
      push rax
      .byte 0x48, 0xcb
    beyond: mov r10d, cs
      hlt`,
    );
    bench.toHalt();
    const { cpu } = bench;
    expect([RSI, 1, 7, 8, 9, 10].map((n) => cpu.register(n) & 0xff_ffffn)).toEqual([
      127n,
      0x40n,
      0xcf_f300n,
      1n,
      0x18n,
      0x10n,
    ]);
    expect(bench.word(FRAME.kernelData, 2)).toBe(0xffff_ffff_8300_0000n);
    expect(bench.word(FRAME.kernelData, 18)).toBe(0xffff_ffff_8300_1000n);
  });

  test("privileged registers: EFER, unknown MSRs, CR8, debug registers", () => {
    const bench = new KernelBench(
      make(),
      `
      mov ecx, 0xc0000080; rdmsr; mov rbx, rax
      mov eax, 9; mov cr8, rax; mov rsi, cr8
      mov eax, 0x1234; mov dr2, rax; mov rdi, dr2
      mov ecx, 0x12345; rdmsr
    handler: pop r8; hlt`,
    );
    bench.gate(13, "handler");
    bench.toHalt();
    expect([RBX, RSI, 7, 8].map((n) => bench.cpu.register(n))).toEqual([0xd01n, 9n, 0x1234n, 0n]);
  });

  test("a user changes neither IF nor IOPL, by POPF or by IRET; the kernel's data selectors do not follow it out", () => {
    const bench = new KernelBench(
      make(),
      `
      mov eax, 0x18; mov ds, eax
      ${TO_USER}
    done: mov r8d, ds; hlt`,
      `
      mov r9d, ds
      pushfq; pop rax; mov rbx, rax
      and eax, ~0x200; or eax, 0x3000
      push rax; popfq
      pushfq; pop rcx
      push 0x2b; push ${USER_STACK_TOP}; push 0x3000; push 0x33; lea rdx, [rip+next]; push rdx
      iretq
    next: pushfq; pop rsi
      int 0x80`,
    );
    bench.gate(0x80, "done", { level: 3 });
    bench.toHalt();
    expect([RBX, RCX, RSI].map((n) => bench.cpu.register(n) & 0x3200n)).toEqual([0x200n, 0x200n, 0x200n]);
    expect([8, 9].map((n) => bench.cpu.register(n))).toEqual([0n, 0n]);
  });

  test.each([
    ["IRET with NT set", "pushfq; or qword ptr [rsp], 0x4000; popfq; at: iretq", 0n],
    ["a return to a null code selector", "push 0x18; push rsp; push 2; push 0; push 0; at: iretq", 0n],
    ["a return to data as code", "push 0x18; push rsp; push 2; push 0x18; push 0; at: iretq", 0x18n],
    ["a return to a stack of another level", "push 0x2b; push rsp; push 2; push 0x10; push 0; at: iretq", 0x28n],
    ["a selector beyond the table", "mov eax, 0x1000; at: mov ds, eax", 0x1000n],
    ["a stack segment of another level", "mov eax, 0x2b; at: mov ss, eax", 0x28n],
    ["a code segment as stack", "mov eax, 0x10; at: mov ss, eax", 0x10n],
    ["a null stack segment of another level", "mov eax, 3; at: mov ss, eax", 0n],
    ["GS base set to a non-canonical address", "mov ecx, 0xc0000101; xor eax, eax; mov edx, 0x8000; at: wrmsr", 0n],
    ["LTR of a busy task", "mov eax, 0x40; at: ltr ax", 0x40n],
    ["INVPCID of a type there is not", `mov eax, 4; movabs rbx, ${KERNEL_DATA_AT}; at: invpcid rax, [rbx]`, 0n],
    [
      "a far jump to data",
      `movabs rbx, ${KERNEL_DATA_AT}; mov word ptr [rbx+8], 0x18; at: rex.w jmp fword ptr [rbx]`,
      0x18n,
    ],
  ])("%s is #GP, with the saved address on the instruction", (_what, text, code) => {
    const bench = new KernelBench(
      make(),
      `${text}
      hlt
    handler: pop rcx; mov rbx, [rsp]; hlt`,
    );
    bench.gate(13, "handler");
    bench.toHalt();
    expect(bench.cpu.register(RCX)).toBe(code);
    expect(bench.cpu.register(RBX)).toBe(bench.label("at"));
  });

  test("CR4.UMIP keeps SGDT from users", () => {
    const bench = new KernelBench(
      make(),
      `
      mov rax, cr4; bts rax, 11; mov cr4, rax
      ${TO_USER}
    handler: pop rcx; mov rbx, [rsp]; hlt`,
      `sgdt [rsp-16]`,
    );
    bench.gate(13, "handler");
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(USER_CODE);
  });

  test("LTR marks its descriptor busy; FS and GS bases; a far jump; RDTSC goes forward", () => {
    const bench = new KernelBench(
      make(),
      `
      movabs rbx, 0xffffffff83000045
      mov byte ptr [rbx], 0x89
      mov eax, 0x40; ltr ax
      movzx r8d, byte ptr [rbx]
      movabs rax, ${KERNEL_DATA_AT}
      mov qword ptr [rax+0x18], 0x77
      wrfsbase rax
      mov r9, fs:[0x18]
      rdfsbase r10
      movabs rcx, ${KERNEL_DATA_AT + 0x100n}
      lea rdx, [rip+away]
      mov [rcx], rdx
      mov word ptr [rcx+8], 0x10
      rex.w jmp fword ptr [rcx]
      ud2
    away:
      rdtsc; mov r11d, eax; nop; nop; nop; nop; rdtsc; sub eax, r11d; mov r12d, eax
      mov rax, cr3; bts rax, 63; mov cr3, rax; mov r13, cr3; shr r13, 63
      hlt`,
    );
    if (bench.ground.kind.startsWith("flat")) bench.cpu.context.set(58, 0x3e_8000n);
    bench.toHalt();
    expect([8, 9, 10].map((n) => bench.cpu.register(n))).toEqual([0x8bn, 0x77n, KERNEL_DATA_AT]);
    // Six instructions at one cycle on flat memory, half a cycle on the tiny machine.
    expect(bench.cpu.register(12)).toBe(bench.ground.kind.startsWith("flat") ? 6n : 3n);
    expect(bench.cpu.register(13)).toBe(0n);
  });
});
