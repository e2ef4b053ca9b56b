/** Exceptions, interrupts, privilege changes and code changes, over a flat memory and over a machine's page tables, TLBs and caches. */
import { describe, expect, test } from "vitest";
import { flatGround, FRAME, KERNEL_CODE, KERNEL_DATA_AT, KernelBench, machineGround, STACK_TOP, ALTERNATE_TOP, USER_CODE, USER_DATA, USER_STACK_TOP, type Ground } from "./kernel-bench.js";
import { whyNoNative } from "./native.js";

const reason = whyNoNative();
if (reason !== undefined) console.warn(`SYSTEM TESTS OF THE INTERPRETER SKIPPED: ${reason}`);

const grounds: readonly (readonly [string, () => Ground])[] = [
  ["flat", () => flatGround(true)], ["flat without windows", () => flatGround(false)],
  ["machine", () => machineGround(false)], ["machine timed", () => machineGround(true)],
];
const RAX = 0, RCX = 1, RBX = 3, RSP = 4, RSI = 6;

/** Goes to user mode at USER_CODE with IRETQ. */
const TO_USER = `
  push 0x2b; push ${USER_STACK_TOP}; push 0x202; push 0x33; push ${USER_CODE}
  iretq`;
/** Stores the frame's words from RSP up into kernel data and halts. */
const KEEP_FRAME = (words: number): string => Array.from({ length: words }, (_, n) => `mov rax, [rsp+${8 * n}]; movabs [${KERNEL_DATA_AT + BigInt(8 * n)}], rax`).join("\n") + "\n hlt";

describe.skipIf(reason !== undefined).each(grounds)("on %s", (_name, make) => {
  test("a page fault pushes its error code and address, and IRETQ goes back to the instruction", () => {
    const bench = new KernelBench(make(), `
      mov rbx, 0x123000
      mov rax, [rbx+8]
      hlt
    handler:
      mov rcx, cr2
      pop rsi
      mov rbx, ${KERNEL_DATA_AT}
      iretq`);
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
    const bench = new KernelBench(ground, `
      movabs rbx, ${KERNEL_DATA_AT + 0x1000n}
    at: ${instruction}
      ud2
    handler: ${KEEP_FRAME(6)}`);
    ground.map(KERNEL_DATA_AT + 0x1000n, FRAME.kernelData + 1, 1, { writable: false, user: false, executable: false });
    bench.gate(14, "handler");
    bench.toHalt();
    expect(bench.word(FRAME.kernelData, 0)).toBe(code);
    expect(bench.word(FRAME.kernelData, 8)).toBe(instruction === "jmp rbx" ? KERNEL_DATA_AT + 0x1000n : bench.label("at"));
    // RF is set in the image of a fault.
    expect(bench.word(FRAME.kernelData, 24) & 0x1_0000n).toBe(0x1_0000n);
  });

  test("CR0.WP off lets the kernel write", () => {
    const ground = make();
    const bench = new KernelBench(ground, `
      mov rax, cr0; btr rax, 16; mov cr0, rax
      movabs rbx, ${KERNEL_DATA_AT + 0x1000n}
      mov qword ptr [rbx], 7
      bts rax, 16; mov cr0, rax
      mov rcx, cr0
      hlt`);
    ground.map(KERNEL_DATA_AT + 0x1000n, FRAME.kernelData + 1, 1, { writable: false, user: false, executable: false });
    bench.toHalt();
    expect(bench.word(FRAME.kernelData + 1, 0)).toBe(7n);
    expect(bench.cpu.register(RCX)).toBe(0x8005_003bn);
  });

  test("user mode: fault into the kernel switches to RSP0, with U/S and P in the error code", () => {
    const bench = new KernelBench(make(), `${TO_USER}\nhandler: ${KEEP_FRAME(6)}`, `
      movabs rax, [${KERNEL_DATA_AT}]`);
    bench.gate(14, "handler");
    bench.toHalt();
    expect(bench.cpu.context.privilege).toBe(0);
    expect([0, 8, 16, 32, 40].map((at) => bench.word(FRAME.kernelData, at))).toEqual([5n, USER_CODE, 0x33n, USER_STACK_TOP, 0x2bn]);
    expect(bench.cpu.register(RSP)).toBe(STACK_TOP - 48n);
    expect(bench.cpu.context.selectors[2]).toBe(0);
  });

  test("SMAP refuses user data until STAC, and again after CLAC; SMEP refuses user code", () => {
    const bench = new KernelBench(make(), `
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
      hlt`);
    bench.gate(14, "handler");
    bench.ground.write(FRAME.userData, 0, Uint8Array.of(9));
    bench.toHalt();
    expect(bench.cpu.register(RSI)).toBe(9n);
    expect(bench.cpu.register(RCX)).toBe(0x11n);
  });

  test("SYSCALL and SYSRETQ with SWAPGS", () => {
    const bench = new KernelBench(make(), `
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
    done: hlt`, `
      std
      mov rax, 5
      syscall
      inc rax
      mov [${USER_DATA}], rax
      mov [${USER_DATA + 8n}], r11
      mov rsi, cs
      int 0x80
      `);
    bench.gate(0x80, "done", { level: 3 });
    // SYSCALL does not switch stacks; PUSHFQ in the entry code uses the user's, which SMAP would refuse: lift it.
    bench.cpu.context.s[60]! &= ~(1 << 21);
    if (bench.ground.kind.startsWith("machine")) (bench.ground as ReturnType<typeof machineGround>).port.cpu.cr4 &= ~(1 << 21);
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(0x1000n);
    expect(bench.word(FRAME.userData, 0)).toBe(6n);
    expect(bench.word(FRAME.userData, 8) & 0x600n).toBe(0x600n);
    expect(bench.cpu.register(12) & 0x600n).toBe(0n);
    expect(bench.cpu.register(RSI)).toBe(0x33n);
  });

  test("INT n checks the gate's level; INT3 saves the address after it; an IST stack is used", () => {
    const bench = new KernelBench(make(), `${TO_USER}
    three: mov rbx, [rsp]; mov rdi, rsp; iretq
    refused: pop rcx; mov rsi, [rsp]; hlt`, `int3
    after: int 0x40`);
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
    const bench = new KernelBench(make(), `
      ud2
    handler: pop rcx; hlt`);
    bench.gate(6, "handler", { present: false });
    bench.gate(11, "handler");
    bench.toHalt();
    expect(bench.cpu.register(RCX)).toBe(BigInt(6 * 8 + 3));
  });

  test("interrupts wait for IF, for the instruction after STI, and wake HLT", () => {
    const ground = make();
    const bench = new KernelBench(ground, `
      cli
      nop
      sti
      mov rax, 1
      mov rax, 2
      hlt
      mov rsi, 7
      cli
      hlt
    handler: mov rbx, rax; inc rcx; iretq`);
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

  test("the trap flag stops after each instruction, as kprobes need it", () => {
    const bench = new KernelBench(make(), `
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
      iretq`);
    bench.gate(1, "trap");
    bench.toHalt();
    const seen = Array.from({ length: Number(bench.cpu.register(2)) }, (_, n) => bench.word(FRAME.kernelData, 8 * n));
    expect(seen[0]).toBe(bench.label("two"));
    expect(seen.at(-1)).toBe(bench.label("last"));
    expect(seen.length).toBe(5);
    expect(bench.cpu.register(10) & 0x4000n).toBe(0x4000n);
  });

  test("code that writes into its own block executes the new bytes at once", () => {
    const bench = new KernelBench(make(), `
      lea rbx, [rip+target+1]
      mov dword ptr [rbx], 77
      nop
    target: mov eax, 11
      hlt`);
    bench.toHalt();
    expect(bench.cpu.register(RAX)).toBe(77n);
    const alias = new KernelBench(bench.ground, `
      movabs rbx, 0xffffffff86000000
      add rbx, offset target - ${KERNEL_CODE} + 1
      mov ecx, 3
    again:
      add dword ptr [rbx], 1
    target: mov eax, 11
      loop again
      hlt`);
    bench.ground.map(0xffff_ffff_8600_0000n, FRAME.kernelCode, 1, { writable: true, user: false, executable: false });
    alias.toHalt();
    expect(alias.cpu.register(RAX)).toBe(14n);
  });

  test("another CPU's write is seen at the next block entry", () => {
    const ground = make();
    const bench = new KernelBench(ground, `
    again: mov eax, 1
      jmp again
    store:
      lea rbx, [rip+again+1]
      mov dword ptr [rbx], 2
      hlt`);
    bench.cpu.run(100);
    expect(bench.cpu.register(RAX)).toBe(1n);
    const { Interpreter } = { Interpreter: bench.cpu.constructor as new (port: typeof ground.port) => typeof bench.cpu };
    const other = new Interpreter(ground.another());
    bench.prepare(other);
    other.rip = bench.label("store");
    expect(other.run(100)).toBe("halted");
    bench.cpu.run(4);
    expect(bench.cpu.register(RAX)).toBe(2n);
  });

  test("an instruction across two pages: changed in either, and with the second page away", () => {
    const ground = make();
    const bench = new KernelBench(ground, `
      movabs rbx, ${KERNEL_CODE + 0x0ffdn}
      jmp rbx
    back: hlt
    handler: mov rcx, cr2; hlt
      .org 0xffd
      mov eax, 0x11223344
      jmp back`);
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
    const bench = new KernelBench(ground, `
      movabs rsi, ${KERNEL_DATA_AT}
      mov rdi, 0x90ff0
      mov ecx, 64
      rep movsb
      hlt
    handler:
      pop rax
      mov rbx, rcx
      mov rdx, cr2
      hlt`);
    ground.map(0x9_0000n, 20, 1, { writable: true, user: false, executable: false });
    bench.gate(14, "handler");
    ground.write(FRAME.kernelData, 0, Uint8Array.from({ length: 64 }, (_, n) => n + 1));
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
    expect([...ground.read(20, 0xff0, 16), ...ground.read(21, 0, 48)]).toEqual(Array.from({ length: 64 }, (_, n) => n + 1));
  });

  test("tables and segments: LGDT, SGDT, LTR, LAR, VERW, MOV to SS and FS, far return", () => {
    const bench = new KernelBench(make(), `
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
      hlt`);
    bench.toHalt();
    const { cpu } = bench;
    expect([RSI, 1, 7, 8, 9, 10].map((n) => cpu.register(n) & 0xff_ffffn)).toEqual([127n, 0x40n, 0xcf_f300n, 1n, 0x18n, 0x10n]);
    expect(bench.word(FRAME.kernelData, 2)).toBe(0xffff_ffff_8300_0000n);
    expect(bench.word(FRAME.kernelData, 18)).toBe(0xffff_ffff_8300_1000n);
  });

  test("privileged registers: EFER, unknown MSRs, CR8, debug registers", () => {
    const bench = new KernelBench(make(), `
      mov ecx, 0xc0000080; rdmsr; mov rbx, rax
      mov eax, 9; mov cr8, rax; mov rsi, cr8
      mov eax, 0x1234; mov dr2, rax; mov rdi, dr2
      mov ecx, 0x12345; rdmsr
    handler: pop r8; hlt`);
    bench.gate(13, "handler");
    bench.toHalt();
    expect([RBX, RSI, 7, 8].map((n) => bench.cpu.register(n))).toEqual([0xd01n, 9n, 0x1234n, 0n]);
  });

  test("what is not modelled stops with its name instead of pretending", () => {
    const bench = new KernelBench(make(), "movaps xmm0, xmm1");
    expect(bench.cpu.run(10)).toBe("stopped");
    expect(bench.cpu.stopReason).toBe("instruction not modelled: MOVAPS");
    expect(bench.cpu.rip).toBe(KERNEL_CODE);
  });

  test("stepping executes exactly one instruction, one iteration of a repeated one", () => {
    const bench = new KernelBench(make(), `
      mov ecx, 3
      movabs rdi, ${KERNEL_DATA_AT}
      rep stosb
      hlt`);
    const at: bigint[] = [];
    for (let n = 0; n < 6; n++) {
      bench.cpu.step();
      at.push(bench.cpu.rip - KERNEL_CODE);
    }
    expect(at).toEqual([5n, 15n, 15n, 15n, 17n, 18n]);
  });

  test("a non-maskable interrupt comes without IF, and the next one only after IRET", () => {
    const bench = new KernelBench(make(), `
      cli
      nop
      hlt
    handler:
      inc rbx
      nop
      nop
      mov rcx, rbx
      iretq`);
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

  test("a user changes neither IF nor IOPL, by POPF or by IRET; the kernel's data selectors do not follow it out", () => {
    const bench = new KernelBench(make(), `
      mov eax, 0x18; mov ds, eax
      ${TO_USER}
    done: mov r8d, ds; hlt`, `
      mov r9d, ds
      pushfq; pop rax; mov rbx, rax
      and eax, ~0x200; or eax, 0x3000
      push rax; popfq
      pushfq; pop rcx
      push 0x2b; push ${USER_STACK_TOP}; push 0x3000; push 0x33; lea rdx, [rip+next]; push rdx
      iretq
    next: pushfq; pop rsi
      int 0x80`);
    bench.gate(0x80, "done", { level: 3 });
    bench.toHalt();
    expect([RBX, RCX, RSI].map((n) => bench.cpu.register(n) & 0x3200n)).toEqual([0x200n, 0x200n, 0x200n]);
    expect([8, 9].map((n) => bench.cpu.register(n))).toEqual([0n, 0n]);
  });

  test("an interrupt gate clears IF, a trap gate does not; both clear TF", () => {
    const bench = new KernelBench(make(), `
      sti
      int 0x50
      int 0x51
      hlt
    one: pushfq; pop rbx; iretq
    two: pushfq; pop rcx; iretq`);
    bench.gate(0x50, "one");
    bench.gate(0x51, "two", { type: 15 });
    bench.toHalt();
    expect([RBX, RCX].map((n) => bench.cpu.register(n) & 0x300n)).toEqual([0n, 0x200n]);
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
    ["a far jump to data", `movabs rbx, ${KERNEL_DATA_AT}; mov word ptr [rbx+8], 0x18; at: rex.w jmp fword ptr [rbx]`, 0x18n],
  ])("%s is #GP, with the saved address on the instruction", (_what, text, code) => {
    const bench = new KernelBench(make(), `${text}
      hlt
    handler: pop rcx; mov rbx, [rsp]; hlt`);
    bench.gate(13, "handler");
    bench.toHalt();
    expect(bench.cpu.register(RCX)).toBe(code);
    expect(bench.cpu.register(RBX)).toBe(bench.label("at"));
  });

  test("CR4.UMIP keeps SGDT from users", () => {
    const bench = new KernelBench(make(), `
      mov rax, cr4; bts rax, 11; mov cr4, rax
      ${TO_USER}
    handler: pop rcx; mov rbx, [rsp]; hlt`, `sgdt [rsp-16]`);
    bench.gate(13, "handler");
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(USER_CODE);
  });

  test("LTR marks its descriptor busy; FS and GS bases; a far jump; RDTSC goes forward", () => {
    const bench = new KernelBench(make(), `
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
      hlt`);
    if (bench.ground.kind.startsWith("flat")) bench.cpu.context.set(58, 0x3e_8000n);
    bench.toHalt();
    expect([8, 9, 10].map((n) => bench.cpu.register(n))).toEqual([0x8bn, 0x77n, KERNEL_DATA_AT]);
    // Six instructions at one cycle on flat memory, half a cycle on the tiny machine.
    expect(bench.cpu.register(12)).toBe(bench.ground.kind.startsWith("flat") ? 6n : 3n);
    expect(bench.cpu.register(13)).toBe(0n);
  });

  test("delivery is the CPU's own access: user pages under SMAP with AC set do not serve as stack", () => {
    const ground = make();
    const bench = new KernelBench(ground, `
      mov rax, cr4; bts rax, 21; mov cr4, rax
      stac
      mov rsp, ${USER_STACK_TOP}
      ud2
    handler: mov rbx, 6; hlt
    double: mov rbx, 8; hlt`);
    bench.gate(6, "handler");
    bench.gate(14, "double", { alternate: 1 });
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(8n);
  });
});
