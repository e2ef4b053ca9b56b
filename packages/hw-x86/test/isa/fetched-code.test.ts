/** A CPU that keeps what it has fetched: when bytes that memory no longer holds are executed, and what ends it. */
import { describe, expect, test } from "vitest";
import { FetchedCode, FetchingPort, Interpreter, MachinePort } from "../../src/isa/index.js";
import { TwoNodes } from "./two-nodes.js";

const TEXT = 0xffff_ffff_8100_0000n;
/** The same frame, writable, by another address. */
const ALIAS = 0xffff_ffff_8200_0000n;
const STACK = 0xffff_ffff_8300_0000n;
const FRAME = 4000;
const [RAX, RCX, RDX, RBX, RSP] = [0, 1, 2, 3, 4] as const;
/** `mov eax, imm32` in a window of its own. */
const TARGET = TEXT + 0x40n;
/** What is executed in between. */
const BETWEEN = TEXT + 0x80n;

/**
 * One page of text that its CPU may write, by two addresses; a CPU that keeps what it fetches, or one that does not.
 */
function bench(options: { keeps?: boolean; windows?: number; windowBytes?: number } = {}) {
  const two = new TwoNodes();
  const { machine } = two;
  two.map(0, TEXT, FRAME, 1, 3n);
  two.map(0, ALIAS, FRAME, 1, 3n);
  two.map(0, STACK, 5000, 1, 3n);
  two.cpu(0, 0, false);
  const { keeps = true, ...kept } = options;
  const fetching = new FetchingPort(machine, 0, kept);
  const cpu = new Interpreter(keeps ? fetching : new MachinePort(machine, 0));
  const store = (at: bigint, ...bytes: number[]): void =>
    machine.memory.writeBytes((BigInt(FRAME) << 12n) + (at & 4095n), Uint8Array.from(bytes));
  const stepAt = (rip: bigint): void => {
    cpu.rip = rip;
    cpu.step();
    expect(cpu.stopReason).toBe("");
  };
  store(TARGET, 0xb8, 1, 0, 0, 0);
  /** EAX after the target. */
  const target = (): number => {
    stepAt(TARGET);
    return Number(cpu.register(RAX));
  };
  return { two, machine, cpu, fetched: fetching.fetched, store, stepAt, target };
}

test("another CPU's store is executed at once by a CPU that keeps nothing, and not by one that keeps what it fetched", () => {
  for (const keeps of [false, true]) {
    const { target, store } = bench({ keeps });
    expect(target()).toBe(1);
    store(TARGET + 1n, 2);
    expect(target(), `keeps: ${keeps}`).toBe(keeps ? 1 : 2);
  }
});

describe("instructions", () => {
  const between = (
    code: readonly number[],
    prepare: (b: ReturnType<typeof bench>) => void = () => undefined,
  ): number => {
    const b = bench();
    b.store(BETWEEN, ...code);
    expect(b.target()).toBe(1);
    b.store(TARGET + 1n, 2);
    prepare(b);
    b.stepAt(BETWEEN);
    return b.target();
  };
  const cr3 = ({ machine, cpu }: ReturnType<typeof bench>): void => cpu.setRegister(RAX, machine.cpu(0).cr3);
  test.each<[string, readonly number[], ((b: ReturnType<typeof bench>) => void)?]>([
    ["CPUID", [0x0f, 0xa2]],
    ["SERIALIZE", [0x0f, 0x01, 0xe8]],
    ["MOV CR3", [0x0f, 0x22, 0xd8], cr3],
    ["MOV CR2", [0x0f, 0x22, 0xd0]],
    ["MOV DR0", [0x0f, 0x23, 0xc0]],
    ["INVLPG", [0x0f, 0x01, 0x3b], ({ cpu }) => cpu.setRegister(RBX, STACK)],
    ["WBINVD", [0x0f, 0x09]],
    ["INVD", [0x0f, 0x08]],
    ["LGDT", [0x0f, 0x01, 0x13], ({ cpu }) => cpu.setRegister(RBX, STACK)],
    ["LIDT", [0x0f, 0x01, 0x1b], ({ cpu }) => cpu.setRegister(RBX, STACK)],
    ["WRMSR of LSTAR", [0x0f, 0x30], ({ cpu }) => cpu.setRegister(RCX, 0xc000_0082n)],
  ])("%s serialises", (_name, code, prepare) => {
    expect(between(code, prepare)).toBe(2);
  });
  test.each<[string, readonly number[], ((b: ReturnType<typeof bench>) => void)?]>([
    ["a no-op", [0x90]],
    ["a jump", [0xeb, 0x10]],
    ["LFENCE", [0x0f, 0xae, 0xe8]],
    ["MFENCE", [0x0f, 0xae, 0xf0]],
    ["MOV CR8", [0x44, 0x0f, 0x22, 0xc0]],
    [
      "WRMSR of the interrupt controller",
      [0x0f, 0x30],
      ({ cpu }) => {
        cpu.setRegister(RCX, 0x80bn);
        cpu.setRegister(RDX, 0n);
      },
    ],
    ["INVPCID", [0x66, 0x0f, 0x38, 0x82, 0x03], ({ cpu }) => cpu.setRegister(RBX, STACK)],
  ])("%s does not", (_name, code, prepare) => {
    expect(between(code, prepare)).toBe(1);
  });

  test("IRET serialises", () => {
    const prepare = ({ machine, cpu }: ReturnType<typeof bench>): void => {
      // A GDT with 64-bit code at 0x10; the frame: RIP, CS, RFLAGS, RSP, SS.
      const at = (offset: number): bigint => (5000n << 12n) + BigInt(offset);
      machine.memory.write64(at(0x10), 0x00af_9b00_0000_ffffn);
      machine.memory.writeBytes(at(0x100), Uint8Array.of(0x17, 0, 0, 0, 0, 0x83, 0xff, 0xff, 0xff, 0xff));
      [TARGET, 0x10n, 2n, STACK + 0x800n, 0n].forEach((word, i) => machine.memory.write64(at(0x200 + 8 * i), word));
      cpu.setRegister(RBX, STACK + 0x100n);
      cpu.setRegister(RSP, STACK + 0x200n);
      machine.memory.writeBytes((BigInt(FRAME) << 12n) + 0xc0n, Uint8Array.of(0x0f, 0x01, 0x13));
      cpu.rip = TEXT + 0xc0n;
      cpu.step();
      // LGDT has serialised: the target is fetched again, and changed again.
      cpu.rip = TARGET;
      cpu.step();
      machine.memory.writeBytes((BigInt(FRAME) << 12n) + 0x41n, Uint8Array.of(3));
    };
    expect(between([0x48, 0xcf], prepare)).toBe(3);
    expect(between([0x90], prepare)).toBe(2);
  });
});

test.each<[string, (b: ReturnType<typeof bench>) => void, number]>([
  ["CR3 is written", ({ machine }) => machine.cpu(0).writeCr3(machine.cpu(0).cr3), 2],
  ["CR4 is written", ({ machine }) => (machine.cpu(0).cr4 = machine.cpu(0).cr4), 2],
  ["CR0 is written", ({ machine }) => (machine.cpu(0).cr0 = machine.cpu(0).cr0), 2],
  ["EFER is written", ({ machine }) => (machine.cpu(0).efer = machine.cpu(0).efer), 2],
  ["a page is invalidated", ({ machine }) => machine.cpu(0).invlpg(STACK), 2],
  ["an interrupt is taken", ({ machine }) => machine.interrupt(2, [0]), 2],
  ["an interrupt is sent to another CPU", ({ machine }) => machine.interrupt(0, [2]), 1],
  ["a PCID is invalidated", ({ machine }) => machine.cpu(0).invpcid(2, 0, 0n), 1],
  [
    "the thread's privilege changes and changes back",
    ({ machine }) => {
      machine.cpu(0).privilege = 3;
      machine.cpu(0).privilege = 0;
    },
    1,
  ],
])("from outside: %s", (_name, event, expected) => {
  const b = bench();
  expect(b.target()).toBe(1);
  b.store(TARGET + 1n, 2);
  event(b);
  expect(b.target()).toBe(expected);
});

describe("a CPU's own store into code it has fetched", () => {
  // mov dword [rbx], 7; inc ecx / mov edx, imm32 (changed); jmp to it.
  const run = (through: bigint, jump: readonly number[]): [number, number] => {
    const b = bench({ windowBytes: 32 });
    const edx = TEXT + 0x106n;
    b.store(TEXT + 0x100n, 0xc7, 0x03, 7, 0, 0, 0, 0xba, 5, 0, 0, 0, ...jump);
    b.cpu.setRegister(RBX, through + 0x107n);
    b.stepAt(TEXT + 0x100n);
    expect(b.cpu.rip).toBe(edx);
    b.cpu.step();
    const first = Number(b.cpu.register(RDX));
    b.cpu.step();
    for (let left = 3; b.cpu.rip !== edx && left-- > 0;) b.cpu.step();
    expect(b.cpu.rip).toBe(edx);
    b.cpu.step();
    return [first, Number(b.cpu.register(RDX))];
  };
  const back = [0xeb, 0xf9];
  test("by the address it is fetched by: it goes on with the old bytes, and a jump brings the new", () => {
    expect(run(TEXT, back)).toEqual([5, 7]);
  });
  test("by another address: not even a jump does, CPUID does", () => {
    expect(run(ALIAS, back)).toEqual([5, 5]);
    expect(run(ALIAS, [0x0f, 0xa2, 0xeb, 0xf7])).toEqual([5, 7]);
  });
  test("a jump to the next instruction is a jump; going on is none", () => {
    const after = (between: readonly number[]): number => {
      const b = bench({ windowBytes: 32 });
      b.store(TEXT + 0x100n, 0xc7, 0x03, 7, 0, 0, 0, ...between, 0xba, 5, 0, 0, 0);
      b.cpu.setRegister(RBX, TEXT + 0x107n + BigInt(between.length));
      b.stepAt(TEXT + 0x100n);
      b.cpu.step();
      b.cpu.step();
      return Number(b.cpu.register(RDX));
    };
    expect(after([0xeb, 0x00])).toBe(7);
    expect(after([0x66, 0x90])).toBe(5);
    // A conditional jump that is not taken: ZF is clear.
    expect(after([0x74, 0x00])).toBe(5);
  });
});

test("an instruction across two windows is torn when one of them is fetched again", () => {
  const b = bench();
  const site = TEXT + 0x10dn;
  b.store(site, 0xb8, 0x11, 0x22, 0x33, 0x44);
  b.stepAt(site);
  expect(b.cpu.register(RAX)).toBe(0x4433_2211n);
  b.store(site, 0xb8, 0x55, 0x66, 0x77, 0x88);
  b.stepAt(site);
  expect(b.cpu.register(RAX)).toBe(0x4433_2211n);
  expect([0, 1, 2, 3, 4].map((i) => b.fetched.byteAt(site + BigInt(i)))).toEqual([0xb8, 0x11, 0x22, 0x33, 0x44]);
  const saved = b.fetched.save();
  b.fetched.forget(site + 4n);
  expect(b.fetched.byteAt(site + 3n)).toBeUndefined();
  b.stepAt(site);
  expect(b.cpu.register(RAX)).toBe(0x8877_2211n);
  b.fetched.restore(saved);
  b.stepAt(site);
  expect(b.cpu.register(RAX)).toBe(0x4433_2211n);
  b.fetched.serialise();
  b.stepAt(site);
  expect(b.cpu.register(RAX)).toBe(0x8877_6655n);
});

test("the oldest window goes when there are too many", () => {
  const b = bench({ windows: 2 });
  const places = [0n, 0x40n, 0x80n].map((offset) => TEXT + 0x200n + offset);
  for (const at of places) b.store(at, 0x90);
  for (const at of places) b.stepAt(at);
  expect(places.map((at) => b.fetched.byteAt(at))).toEqual([undefined, 0x90, 0x90]);
  expect(b.fetched.save().map(({ address, frame, overwritten }) => ({ address, frame, overwritten }))).toEqual(
    places.slice(1).map((address) => ({ address, frame: FRAME, overwritten: false })),
  );
});

test("an instruction that runs into a page that is not there faults; one that is held does not need its page", () => {
  const b = bench();
  b.store(TEXT + 0xffdn, 0xb8, 1, 2);
  b.cpu.rip = TEXT + 0xffdn;
  b.cpu.step();
  expect(b.cpu.stopReason).toMatch(/^shutdown/);
  const held = bench();
  expect(held.target()).toBe(1);
  held.two.map(0, TEXT, FRAME, 1, 0n);
  expect(held.target()).toBe(1);
});

test("runs of many instructions keep what they fetched as single steps do", () => {
  const b = bench();
  b.store(TEXT + 0x300n, 0xb8, 1, 0, 0, 0, 0xff, 0xc1, 0xeb, 0xf7);
  b.cpu.rip = TEXT + 0x300n;
  expect(b.cpu.run(30)).toBe("budget");
  expect([b.cpu.executed, b.cpu.register(RAX), b.cpu.register(RCX)]).toEqual([30, 1n, 10n]);
  b.store(TEXT + 0x301n, 2);
  b.cpu.run(30);
  expect(b.cpu.register(RAX)).toBe(1n);
  b.machine.cpu(0).invlpg(STACK);
  b.cpu.run(30);
  expect(b.cpu.register(RAX)).toBe(2n);
});

test("windows that no processor has are refused", () => {
  expect(() => new FetchedCode({ windowBytes: 12 })).toThrow("a window of 12 bytes; give 8, 16, 32 or 64");
  expect(() => new FetchedCode({ windows: 0 })).toThrow("0 windows; give 1 or more");
});
