/**
 * Where Intel's and AMD's processors differ below user mode, and the traps of a single step that both have alike:
 * docs/decisions/016-two-vendors.md.
 */
import { assemble } from "@kreplica/di";
import { describe, expect, test } from "vitest";
import { hwX86, Machine } from "../../src/index.js";
import { MachinePort } from "../../src/isa/index.js";
import { tinyMachine } from "../../src/testing.js";
import type { Vendor } from "../../src/spec.js";
import {
  flatGround,
  FRAME,
  KEEP_FRAME,
  KERNEL_DATA_AT,
  KernelBench,
  machineGround,
  RBX,
  RCX,
  TO_USER,
  USER_CODE,
  type Ground,
} from "./kernel-bench.js";
import { whyNoAssembler } from "./native.js";

const reason = whyNoAssembler();
if (reason !== undefined) console.warn(`VENDOR TESTS OF THE INTERPRETER SKIPPED: ${reason}`);

/** MSRs for SYSCALL to `entry` and SYSRET. @param mask FMASK */
const SYSCALL_SETUP = (mask: number): string => `
  mov ecx, 0xc0000081; xor eax, eax; mov edx, 0x230010; wrmsr
  mov ecx, 0xc0000082; mov eax, offset entry - _start + 0x81000000; mov edx, 0xffffffff; wrmsr
  mov ecx, 0xc0000084; mov eax, ${mask}; xor edx, edx; wrmsr`;

const grounds: readonly (readonly [string, Vendor, () => Ground])[] = (["intel", "amd"] as const).flatMap((vendor) => [
  ["flat", vendor, () => flatGround(true, vendor)] as const,
  ["flat without windows", vendor, () => flatGround(false, vendor)] as const,
  ["machine", vendor, () => machineGround(false, vendor)] as const,
  ["machine timed", vendor, () => machineGround(true, vendor)] as const,
]);

describe.skipIf(reason !== undefined).each(grounds)("on %s, %s", (_kind, vendor, make) => {
  const amd = vendor === "amd";

  test("SYSRET to a non-canonical address: refused in the kernel by Intel, taken and faulting at privilege 3 by AMD", () => {
    const bench = new KernelBench(
      make(),
      `
      mov ecx, 0xc0000081; xor eax, eax; mov edx, 0x230010; wrmsr
      mov rcx, 0x800000000000
      mov r11, 0x202
    at: sysretq
    handler: ${KEEP_FRAME(6)}`,
    );
    bench.gate(13, "handler");
    bench.toHalt();
    const frame = [0, 8, 16, 48 - 8].map((at) => bench.word(FRAME.kernelData, at));
    expect(frame).toEqual(amd ? [0n, 0x8000_0000_0000n, 0x33n, 0x2bn] : [0n, bench.label("at"), 0x10n, 0x18n]);
  });

  test("REP CMPS with a page fault in the middle: the flags are the old ones on Intel's, the last comparison's on AMD's", () => {
    const bench = new KernelBench(
      make(),
      `
      movabs rsi, ${KERNEL_DATA_AT + 0x2000n - 2n}
      movabs rdi, ${KERNEL_DATA_AT}
      mov byte ptr [rsi], 1; mov byte ptr [rsi+1], 1
      mov byte ptr [rdi], 1; mov byte ptr [rdi+1], 1
      mov ecx, 5
      mov eax, 1; cmp eax, 2
      repe cmpsb
    handler: ${KEEP_FRAME(6)}`,
    );
    bench.gate(14, "handler");
    bench.toHalt();
    // CF SF AF of 1 - 2, or ZF PF of 1 - 1; RF is set in both.
    expect(bench.word(FRAME.kernelData, 24) & 0x1_08d5n).toBe(amd ? 0x1_0044n : 0x1_0095n);
  });

  test.each([
    ["SERIALIZE", ".byte 0x0f, 0x01, 0xe8", true],
    ["MOVDIRI", `movabs rbx, ${KERNEL_DATA_AT}; at: movdiri [rbx], eax`, true],
    ["MONITOR", ".byte 0x0f, 0x01, 0xc8", false],
    ["MWAIT", ".byte 0x0f, 0x01, 0xc9", false],
  ])("%s, where CPUID does not report it, is #UD", (_name, text, intels) => {
    const bench = new KernelBench(
      make(),
      `${text.includes("at:") ? "" : "at: "}${text}
      mov ebx, 1; hlt
    handler: mov ebx, 2; mov rcx, [rsp]; hlt`,
    );
    bench.gate(6, "handler");
    bench.toHalt();
    expect(bench.cpu.register(RBX)).toBe(intels && !amd ? 1n : 2n);
    if (amd) expect(bench.cpu.register(RCX)).toBe(bench.label("at"));
  });

  test("SYSENTER is #UD in AMD's long mode; of Intel's the model says that it has none", () => {
    const bench = new KernelBench(make(), "sysenter\nhandler: hlt");
    bench.gate(6, "handler");
    if (amd) bench.toHalt();
    else expect([bench.cpu.run(10), bench.cpu.stopReason]).toEqual(["stopped", "instruction not modelled: SYSENTER"]);
  });

  test("a null selector clears the base of FS and GS, as Intel's processors do, and AMD's since Zen 2", () => {
    const bench = new KernelBench(
      make(),
      `
      movabs rax, ${KERNEL_DATA_AT}; wrfsbase rax; wrgsbase rax
      xor eax, eax; mov fs, eax; mov gs, eax
      rdfsbase rbx; rdgsbase rcx
      hlt`,
    );
    bench.cpu.setRegister(RBX, 1n);
    bench.toHalt();
    expect([bench.cpu.register(RBX), bench.cpu.register(RCX)]).toEqual([0n, 0n]);
  });

  test("MOV SS holds the single-step trap back for one instruction, STI does not", () => {
    const bench = new KernelBench(
      make(),
      `
      mov eax, 0x18
      pushfq; or qword ptr [rsp], 0x100; popfq
      mov ss, eax
      nop
    first: sti
    second: nop
    handler: mov r10, dr6; pop rbx; push rbx; mov [r8], rbx; add r8, 8; cmp r8, r9; je done; iretq
    done: hlt`,
    );
    bench.gate(1, "handler");
    bench.cpu.setRegister(8, KERNEL_DATA_AT);
    bench.cpu.setRegister(9, KERNEL_DATA_AT + 16n);
    bench.toHalt();
    expect([bench.word(FRAME.kernelData, 0), bench.word(FRAME.kernelData, 8)]).toEqual([
      bench.label("first"),
      bench.label("second"),
    ]);
    expect(bench.cpu.register(10)).toBe(0x4000n);
  });

  test("SYSCALL with TF masked is not stepped into; SYSRET that sets TF traps before the user's next instruction", () => {
    const bench = new KernelBench(
      make(),
      `${SYSCALL_SETUP(0x300)}
      ${TO_USER}
    entry: inc r12; cmp r12, 2; je over; or r11, 0x100; sysretq
    over: hlt
    handler: inc r13; mov rbx, [rsp]; mov rdi, [rsp+16]; and qword ptr [rsp+16], ~0x100; iretq`,
      `
      syscall
    back: nop
      pushfq; or qword ptr [rsp], 0x100; popfq
      syscall`,
    );
    bench.gate(1, "handler");
    bench.cpu.setRegister(12, 0n);
    bench.cpu.setRegister(13, 0n);
    bench.toHalt();
    expect(bench.cpu.register(13)).toBe(1n);
    expect(bench.cpu.register(RBX)).toBe(USER_CODE + 2n);
    expect(bench.cpu.register(7) & 0x100n).toBe(0x100n);
  });
});

describe("CPUID of an AMD machine", () => {
  const machine = assemble([
    hwX86(tinyMachine({ nodes: 2, coresPerNode: 2, threadsPerCore: 2, with: { vendor: "amd" } })),
  ]).get(Machine);
  const port = new MachinePort(machine, 5);
  const ask = (leaf: number, subleaf = 0): number[] => {
    port.cpuid(leaf, subleaf);
    return [...port.data].map((word) => word >>> 0);
  };
  const text = (...words: number[]): string =>
    words.flatMap((word) => [0, 8, 16, 24].map((shift) => String.fromCharCode((word >>> shift) & 255))).join("");

  test("names AMD, in both first leaves, and a family of AMD's", () => {
    for (const leaf of [0, 0x8000_0000]) {
      const [, b, c, d] = ask(leaf);
      expect(text(b!, d!, c!)).toBe("AuthenticAMD");
    }
    const signature = ask(1)[0]!;
    expect(((signature >>> 8) & 15) + ((signature >>> 20) & 255)).toBe(0x19);
    expect(ask(0x8000_0001)[0]).toBe(signature);
  });

  test("has caches in leaf 8000_001DH and none in leaf 4, and the topology of leaf BH in 8000_001EH and 8000_0008H too", () => {
    expect(ask(4)).toEqual([0, 0, 0, 0]);
    const [a, b, c] = ask(0x8000_001d, 3);
    expect([a! & 31, (a! >>> 5) & 7, (a! >>> 14) + 1]).toEqual([3, 3, 4]);
    expect(((b! >>> 22) + 1) * 64 * (c! + 1)).toBe(32768);
    expect(ask(0x8000_001e).slice(0, 3)).toEqual([5, 2 | (1 << 8), 1]);
    expect(ask(0x8000_0008)[2]).toBe(3 | (2 << 12));
    expect(ask(0xb, 0)).toEqual([1, 2, 0x100, 5]);
  });

  test("reports nothing that only Intel's processors have, and what code asks of AMD's", () => {
    expect(ask(7)[2]! & ((1 << 25) | (1 << 27))).toBe(0);
    expect(ask(7)[3]! & (1 << 14)).toBe(0);
    // CmpLegacy, AltMovCr8, 3DNowPrefetch, TopologyExtensions.
    expect(ask(0x8000_0001)[2]! & 0x40_0112).toBe(0x40_0112);
    expect(ask(0x8000_0001)[3]! & ask(1)[3]! & 0x0183_f3ff).toBe(ask(1)[3]! & 0x0183_f3ff);
    // A null selector clears the base: Linux would otherwise do it itself.
    expect(ask(0x8000_0021)[0]! & 0x44).toBe(0x44);
    expect(ask(0x15)).toEqual([0, 0, 0, 0]);
  });

  test("an Intel machine has none of AMD's leaves", () => {
    const intel = new MachinePort(assemble([hwX86(tinyMachine())]).get(Machine), 0);
    intel.cpuid(0x8000_001d, 0);
    expect([...intel.data]).toEqual([0, 0, 0, 0]);
    expect([intel.vendor, port.vendor]).toEqual(["intel", "amd"]);
    // MOVDIRI, CLDEMOTE, SERIALIZE.
    intel.cpuid(7, 0);
    expect([intel.data[2]! & ((1 << 25) | (1 << 27)), intel.data[3]! & (1 << 14)]).toEqual([
      (1 << 25) | (1 << 27),
      1 << 14,
    ]);
  });
});
