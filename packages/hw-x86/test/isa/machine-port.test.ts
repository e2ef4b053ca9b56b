/// <reference types="node" />
/**
 * The interpreter inside a machine: replicas of code by node, the account of a timed run, invalidations from outside,
 * interrupts, CPUID.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assemble } from "@kreplica/di";
import { expect, test } from "vitest";
import { Counters, hwX86, Kind, Machine, Place } from "../../src/index.js";
import { tinyMachine } from "../../src/testing.js";
import { Interpreter, MachinePort } from "../../src/isa/index.js";
import { KERNEL_CODE, KERNEL_DATA_AT, KernelBench, FRAME, machineGround } from "./kernel-bench.js";
import { whyNoAssembler } from "./native.js";
import { compile, PROGRAMS, ProgramMachine } from "./programs.js";
import { TwoNodes } from "./two-nodes.js";

const reason = whyNoAssembler();
if (reason !== undefined) console.warn(`MACHINE TESTS OF THE INTERPRETER SKIPPED: ${reason}`);

test.skipIf(reason !== undefined)(
  "compiled programs give the same memory on either node, timed or not, as on a flat memory",
  () => {
    const directory = mkdtempSync(join(tmpdir(), "kreplica-machine-"));
    const image = compile(directory, ["-O2"]);
    rmSync(directory, { recursive: true });
    const flat = new ProgramMachine(image);
    const two = new TwoNodes();
    two.place(image);
    for (const [n, seed, timed] of [
      [1, 1, false],
      [4, 2, false],
      [5, 3, false],
      [9, 4, false],
      [9, 5, true],
      [5, 6, true],
    ] as const) {
      for (const [id, node] of [
        [0, 0],
        [2, 1],
      ] as const) {
        const cpu = two.cpu(id, node, timed);
        const scratch = two.run(cpu, n, seed);
        expect(Buffer.compare(scratch, flat.run(n, seed)), `${PROGRAMS[n]} on node ${node}`).toBe(0);
      }
    }
  },
);

test.skipIf(reason !== undefined)(
  "each node executes its own replica, and a poke reaches only the copy it is made to",
  () => {
    const two = new TwoNodes();
    const { memory } = two.machine;
    const at = 0xffff_ffff_8100_0000n;
    const frames = [4000, 135_000];
    for (const node of [0, 1]) {
      two.map(node, at, frames[node]!, 1, 1n);
      // mov eax, imm32; hlt
      memory.writeBytes(BigInt(frames[node]!) << 12n, Uint8Array.of(0xb8, 7, 0, 0, 0, 0xf4));
    }
    const cpus = [two.cpu(0, 0, false), two.cpu(2, 1, false)];
    const results = (): bigint[] =>
      cpus.map((cpu) => {
        cpu.context.halted = false;
        cpu.rip = at;
        expect(cpu.run(10)).toBe("halted");
        return cpu.register(0);
      });
    expect(results()).toEqual([7n, 7n]);
    memory.writeBytes((135_000n << 12n) + 1n, Uint8Array.of(9));
    expect(results()).toEqual([7n, 9n]);
    memory.copyFrame(135_000, 4000);
    expect(results()).toEqual([9n, 9n]);
  },
);

test.skipIf(reason !== undefined)("a timed run counts every access once", () => {
  const ground = machineGround(true);
  const bench = new KernelBench(
    ground,
    `
    movabs rbx, ${KERNEL_DATA_AT}
    mov rax, [rbx]
    mov rcx, [rbx+60]
    mov [rbx+8], rax
    lock add dword ptr [rbx+128], 1
    push rax
    pop rdx
    mov rsi, [rbx+0xffc]
    hlt`,
  );
  const two = assemble([hwX86(tinyMachine())]);
  const { layout } = two.get(Counters);
  const counters = (ground.machine.cpu(0) as unknown as { counters: Float64Array }).counters;
  const sum = (kind: Kind): number =>
    counters.subarray(layout.row(0, kind), layout.row(0, kind) + layout.sources).reduce((a, b) => a + b, 0);
  bench.toHalt();
  // Loads: 1 + 2 (crosses a line) + 1 (of the locked addition) + 1 (pop) + 2 (crosses a page). Stores: 1 + 1 + 1
  // (push).
  expect([sum(Kind.Load), sum(Kind.Store)]).toEqual([7, 3]);
  expect(counters[layout.place(0, Place.Instructions)]).toBe(9);
  // 41 bytes of code in one line: one fetch of the line for each block entered.
  expect(sum(Kind.Fetch)).toBe(1);
});

test.skipIf(reason !== undefined)(
  "a mapping changed from outside is seen after the CPU's INVLPG, whoever executes it",
  () => {
    const ground = machineGround(false);
    const bench = new KernelBench(
      ground,
      `
    movabs rbx, ${KERNEL_DATA_AT}
  again:
    mov rax, [rbx]
    jmp again`,
    );
    ground.write(FRAME.kernelData, 0, Uint8Array.of(1));
    ground.write(30, 0, Uint8Array.of(2));
    bench.cpu.run(100);
    expect(bench.cpu.register(0)).toBe(1n);
    ground.map(KERNEL_DATA_AT, 30, 1, { writable: true, user: false, executable: false });
    ground.machine.cpu(0).invlpg(KERNEL_DATA_AT);
    bench.cpu.run(100);
    expect(bench.cpu.register(0)).toBe(2n);
    // And the code page itself, with the same loop reading elsewhere.
    const bytes = ground.read(FRAME.kernelCode, 0, 64);
    bytes[bytes.indexOf(0x8b) - 1] = 0x90;
    ground.write(31, 0, bytes);
    ground.map(KERNEL_CODE, 31, 1, { writable: true, user: false, executable: true });
    ground.machine.cpu(0).invlpg(KERNEL_CODE);
    bench.cpu.setRegister(0, 0n);
    bench.cpu.run(100);
    expect(bench.cpu.register(0) >> 32n).toBe(0n);
  },
);

test.skipIf(reason !== undefined)("an interrupt command reaches the other CPU, which runs its handler", () => {
  const ground = machineGround(false);
  const sent: [number, number][] = [];
  const text = `
    mov ecx, 0x830; mov eax, 0x42; mov edx, 2; wrmsr
    hlt
  wait: sti; hlt; cli; hlt
  handler: inc rbx; mov ecx, 0x80b; xor eax, eax; wrmsr; iretq`;
  const bench = new KernelBench(ground, text);
  bench.gate(0x42, "handler");
  const port = new MachinePort(ground.machine, 0, {
    onInterprocessor: (vector, to) => {
      sent.push([vector, to]);
    },
  });
  const sender = new Interpreter(port);
  bench.prepare(sender);
  const otherPort = ground.another() as MachinePort;
  const other = new Interpreter(otherPort);
  bench.prepare(other);
  other.setRegister(3, 0n);
  other.rip = bench.label("wait");
  expect(other.run(10)).toBe("halted");
  expect(sender.run(10)).toBe("halted");
  expect(sent).toEqual([[0x42, 2]]);
  otherPort.post(0x42);
  other.signal();
  expect(other.run(20)).toBe("halted");
  expect(other.register(3)).toBe(1n);
});

test("CPUID is the specification's: widths, caches, topology; features only the interpreter has", () => {
  const machine = assemble([hwX86(tinyMachine({ nodes: 2, coresPerNode: 2, threadsPerCore: 2 }))]).get(Machine);
  const port = new MachinePort(machine, 5);
  const ask = (leaf: number, subleaf = 0): number[] => {
    port.cpuid(leaf, subleaf);
    return [...port.data].map((word) => word >>> 0);
  };
  expect(ask(0)).toEqual([0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]);
  expect(ask(0x8000_0008)[0]).toBe(44 | (57 << 8));
  const l1 = ask(4, 0);
  expect([(l1[1]! >>> 22) + 1, l1[2]! + 1]).toEqual([2, 64]);
  expect(((l1[1]! >>> 22) + 1) * 64 * (l1[2]! + 1)).toBe(8192);
  expect(ask(0xb, 0)).toEqual([1, 2, 0x100, 5]);
  expect(ask(0xb, 1).slice(0, 2)).toEqual([2, 4]);
  expect((ask(7)[2]! >>> 16) & 1).toBe(1);
  // No AVX, no XSAVE, no SHA: code that asked would execute what stops the machine.
  expect(ask(1)[2]! & ((1 << 28) | (1 << 26))).toBe(0);
  expect(ask(0x1234)).toEqual([0, 0, 0, 0]);
});

test("a clock that repeats with the run, and entropy that repeats with the CPU", () => {
  const draw = (id: number): number[] => {
    const port = new MachinePort(assemble([hwX86(tinyMachine())]).get(Machine), id);
    port.retire(1000);
    port.timeStamp();
    const time = port.data[0]!;
    port.random();
    return [time, port.data[0]!, port.data[1]!];
  };
  expect(draw(0)).toEqual(draw(0));
  expect(draw(0)[0]).toBe(500);
  expect(draw(0).slice(1)).not.toEqual(draw(1).slice(1));
});

test.skipIf(reason !== undefined).each([false, true])(
  "MOV CR3 in executed code goes on in the other node's replica (timed: %s)",
  (timed) => {
    const two = new TwoNodes();
    const at = 0xffff_ffff_8100_0000n;
    // Both: mov cr3, rax; mov ebx, n; hlt
    for (const [node, frame] of [
      [0, 4000],
      [1, 135_000],
    ] as const) {
      two.map(node, at, frame, 1, 1n);
      two.machine.memory.writeBytes(
        BigInt(frame) << 12n,
        Uint8Array.of(0x0f, 0x22, 0xd8, 0xbb, node + 1, 0, 0, 0, 0xf4),
      );
    }
    const cpu = two.cpu(0, 0, timed);
    cpu.setRegister(0, BigInt(two.roots[1]!) << 12n);
    cpu.rip = at;
    expect(cpu.run(10)).toBe("halted");
    expect(cpu.register(3)).toBe(2n);
    expect(two.machine.cpu(0).cr3).toBe(BigInt(two.roots[1]!) << 12n);
  },
);

test.skipIf(reason !== undefined)("INVLPG and INVPCID in executed code make a changed entry count", () => {
  const ground = machineGround(false);
  const bench = new KernelBench(
    ground,
    `
    movabs rbx, ${KERNEL_DATA_AT + 0x1000n}
    movabs rcx, ${KERNEL_DATA_AT}
    mov [rcx+8], rbx
    mov r8, [rbx]
    hlt
    invlpg [rbx]
    mov rsi, [rbx]
    hlt
    xor eax, eax
    invpcid rax, [rcx]
    mov rdi, [rbx]
    hlt`,
  );
  const turn = (frame: number): void => {
    ground.map(KERNEL_DATA_AT + 0x1000n, frame, 1, { writable: true, user: false, executable: false });
    bench.cpu.context.halted = false;
    bench.toHalt();
  };
  for (const n of [1, 2, 3]) ground.write(30 + n, 0, Uint8Array.of(n));
  turn(31);
  turn(32);
  turn(33);
  expect([8, 6, 7].map((n) => bench.cpu.register(n))).toEqual([1n, 2n, 3n]);
});

test("the waiting interrupt of highest vector comes first", () => {
  const port = new MachinePort(assemble([hwX86(tinyMachine())]).get(Machine), 0);
  for (const vector of [0x40, 0xfb, 0x41]) port.post(vector);
  expect([0, 1, 2, 3].map(() => port.acknowledge())).toEqual([0xfb, 0x41, 0x40, -1]);
});
