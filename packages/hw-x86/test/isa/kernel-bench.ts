/**
 * A minimal kernel environment for system tests: GDT, IDT, TSS, stacks, a page of code at a kernel and one at a user
 * address, over a flat port or over a machine with real page tables.
 */
import { assemble } from "@kreplica/di";
import { hwX86, Machine } from "../../src/index.js";
import { tinyMachine } from "../../src/testing.js";
import type { Vendor } from "../../src/spec.js";
import { Slot } from "../../src/isa/context.js";
import {
  BlockCache,
  FlatMemory,
  FlatMemoryPort,
  Interpreter,
  MachinePort,
  type CpuPort,
  type InterpreterOptions,
} from "../../src/isa/index.js";
import { assembleAt } from "./assembly.js";

export interface Rights {
  readonly writable: boolean;
  readonly user: boolean;
  readonly executable: boolean;
}
const KERNEL_DATA: Rights = { writable: true, user: false, executable: false };

/** What a bench stands on: bytes by frame, mappings, and a port for each CPU. */
export interface Ground {
  readonly kind: string;
  readonly port: CpuPort;
  map(address: bigint, frame: number, pages: number, rights: Rights): void;
  /** Takes a mapping away; the machine's keeps its TLB entries until they are flushed. */
  unmap(address: bigint): void;
  write(frame: number, offset: number, bytes: Uint8Array): void;
  read(frame: number, offset: number, bytes: number): Uint8Array;
  /** A second CPU on the same memory and tables. */
  another(): CpuPort;
}

/** Pages by hand. @param fast whether page windows are handed out */
export function flatGround(fast: boolean, vendor: Vendor = "intel"): Ground {
  const memory = new FlatMemory(64);
  const port = new FlatMemoryPort(memory, vendor);
  port.fast = fast;
  const mapped: [bigint, number, number, Rights][] = [];
  return {
    kind: fast ? "flat" : "flat, without windows",
    port,
    map(address, frame, pages, rights) {
      mapped.push([address, frame, pages, rights]);
      port.map(address, frame, pages, rights);
    },
    unmap(address) {
      port.unmap(address);
    },
    write(frame, offset, bytes) {
      memory.bytes.set(bytes, frame * 4096 + offset);
      memory.versions[frame]!++;
    },
    read: (frame, offset, bytes) => memory.bytes.slice(frame * 4096 + offset, frame * 4096 + offset + bytes),
    another() {
      const other = new FlatMemoryPort(memory, vendor);
      for (const each of mapped) other.map(...each);
      return other;
    },
  };
}

/** A two-node machine; tables from frame 1000, node 1's memory from frame 131072. */
export function machineGround(
  timed: boolean,
  vendor: Vendor = "intel",
): Ground & { readonly machine: Machine; readonly port: MachinePort; setEntry(address: bigint, entry: bigint): void } {
  const machine = assemble([hwX86(tinyMachine({ with: { vendor } }))]).get(Machine);
  const { memory } = machine;
  const ROOT = 1000;
  let free = ROOT + 1;
  const slotOf = (address: bigint): bigint => {
    let table = BigInt(ROOT) * 4096n;
    for (let level = 4; level > 1; level--) {
      const at = table + ((address >> BigInt(12 + 9 * (level - 1))) & 511n) * 8n;
      if ((memory.read64(at) & 1n) === 0n) memory.write64(at, (BigInt(free++) << 12n) | 7n);
      table = memory.read64(at) & 0xf_ffff_ffff_f000n;
    }
    return table + ((address >> 12n) & 511n) * 8n;
  };
  const boot = (id: number): MachinePort => {
    const cpu = machine.cpu(id);
    cpu.cr4 = 0x20 | 0x80 | (1 << 20) | (1 << 21);
    cpu.writeCr3(BigInt(ROOT) << 12n);
    cpu.efer = 0x100 | 0x800;
    cpu.cr0 = 0x8001_0000;
    return new MachinePort(machine, id, { timed });
  };
  const port = boot(0);
  return {
    kind: timed ? "machine, timed" : "machine",
    port,
    machine,
    map(address, frame, pages, rights) {
      for (let n = 0; n < pages; n++) {
        const entry =
          (BigInt(frame + n) << 12n) |
          1n |
          (rights.writable ? 2n : 0n) |
          (rights.user ? 4n : 0n) |
          (rights.executable ? 0n : 1n << 63n);
        memory.write64(slotOf(address + BigInt(n * 4096)), entry);
      }
    },
    unmap(address) {
      memory.write64(slotOf(address), 0n);
    },
    setEntry(address, entry) {
      memory.write64(slotOf(address), entry);
    },
    write(frame, offset, bytes) {
      memory.writeBytes((BigInt(frame) << 12n) + BigInt(offset), bytes);
    },
    read(frame, offset, bytes) {
      const out = new Uint8Array(bytes);
      memory.readBytes((BigInt(frame) << 12n) + BigInt(offset), out);
      return out;
    },
    another: () => boot(2),
  };
}

/** What {@link machineGround} gives. */
export type MachineGround = ReturnType<typeof machineGround>;

export const KERNEL_CODE = 0xffff_ffff_8100_0000n,
  USER_CODE = 0x40_0000n;
export const KERNEL_DATA_AT = 0xffff_ffff_8200_0000n,
  USER_DATA = 0x60_0000n;
const TABLES = 0xffff_ffff_8300_0000n;
export const STACK_TOP = 0xffff_ffff_8400_2000n,
  ALTERNATE_TOP = 0xffff_ffff_8500_1000n,
  USER_STACK_TOP = 0x70_1000n;
const GDT = TABLES,
  TSS = TABLES + 0x800n,
  IDT = TABLES + 0x1000n;
export const FRAME = {
  kernelCode: 1,
  userCode: 3,
  kernelData: 5,
  userData: 7,
  tables: 9,
  stack: 12,
  alternate: 14,
  userStack: 15,
} as const;

const DESCRIPTORS: readonly (readonly [number, bigint])[] = [
  [1, 0x00cf_9b00_0000_ffffn],
  [2, 0x00af_9b00_0000_ffffn],
  [3, 0x00cf_9300_0000_ffffn],
  [4, 0x00cf_fb00_0000_ffffn],
  [5, 0x00cf_f300_0000_ffffn],
  [6, 0x00af_fb00_0000_ffffn],
  [8, 0x0000_8b00_0000_0067n | ((TSS & 0xff_ffffn) << 16n) | (((TSS >> 24n) & 0xffn) << 56n)],
  [9, TSS >> 32n],
];

/** One CPU with tables in place, at privilege 0, RIP at the kernel code. */
export class KernelBench {
  readonly cpu: Interpreter;
  readonly symbols = new Map<string, bigint>();
  readonly blocks = new BlockCache();

  constructor(
    readonly ground: Ground,
    kernelText: string,
    userText = "nop",
    options: InterpreterOptions = {},
  ) {
    ground.map(KERNEL_CODE, FRAME.kernelCode, 2, { writable: true, user: false, executable: true });
    ground.map(USER_CODE, FRAME.userCode, 1, { writable: true, user: true, executable: true });
    ground.map(KERNEL_DATA_AT, FRAME.kernelData, 2, KERNEL_DATA);
    ground.map(USER_DATA, FRAME.userData, 2, { writable: true, user: true, executable: false });
    ground.map(TABLES, FRAME.tables, 3, KERNEL_DATA);
    ground.map(STACK_TOP - 0x2000n, FRAME.stack, 2, KERNEL_DATA);
    ground.map(ALTERNATE_TOP - 0x1000n, FRAME.alternate, 1, KERNEL_DATA);
    ground.map(USER_STACK_TOP - 0x1000n, FRAME.userStack, 1, { writable: true, user: true, executable: false });
    this.load(kernelText, KERNEL_CODE, FRAME.kernelCode);
    this.load(userText, USER_CODE, FRAME.userCode);
    const tables = new DataView(new ArrayBuffer(4096));
    for (const [index, value] of DESCRIPTORS) tables.setBigUint64(8 * index, BigInt.asUintN(64, value), true);
    tables.setBigUint64(0x804, STACK_TOP, true);
    tables.setBigUint64(0x824, ALTERNATE_TOP, true);
    ground.write(FRAME.tables, 0, new Uint8Array(tables.buffer));
    this.cpu = new Interpreter(ground.port, this.blocks, undefined, options);
    this.prepare(this.cpu);
  }

  /** Assembles text at an address and remembers its labels. */
  load(text: string, address: bigint, frame: number): void {
    const { bytes, symbols } = assembleAt(text, address);
    this.ground.write(frame, 0, bytes);
    for (const [name, value] of symbols) this.symbols.set(name, value);
  }

  label(name: string): bigint {
    const value = this.symbols.get(name);
    if (value === undefined) throw new Error(`no label ${name}`);
    return value;
  }

  /** Registers of a CPU about to run the kernel code. */
  prepare(cpu: Interpreter): void {
    const c = cpu.context;
    c.set(Slot.Gdt, GDT);
    c.s[Slot.GdtLimit] = 127;
    c.set(Slot.Idt, IDT);
    c.s[Slot.IdtLimit] = 4095;
    c.set(Slot.Tr, TSS);
    c.s[Slot.TrLimit] = 103;
    c.selectors.set([0, 0x10, 0x18, 0, 0, 0, 0x40, 0]);
    c.set(Slot.Cr0, 0x8005_003bn);
    c.set(Slot.Cr4, 0x31_00a0n);
    c.set(Slot.Efer, 0xd01n);
    cpu.setRegister(4, STACK_TOP);
    cpu.rip = KERNEL_CODE;
  }

  /** Points a vector at a label. @param options gate privilege, IST number, type 14 interrupt or 15 trap */
  gate(
    vector: number,
    label: string,
    options: { level?: number; alternate?: number; type?: number; present?: boolean } = {},
  ): void {
    const target = this.label(label);
    const { level = 0, alternate = 0, type = 14, present = true } = options;
    const view = new DataView(new ArrayBuffer(16));
    view.setUint16(0, Number(target & 0xffffn), true);
    view.setUint16(2, 0x10, true);
    view.setUint16(4, alternate | ((type | (level << 5) | (present ? 0x80 : 0)) << 8), true);
    view.setUint16(6, Number((target >> 16n) & 0xffffn), true);
    view.setBigUint64(8, (target >> 32n) & 0xffff_ffffn, true);
    this.ground.write(FRAME.tables + 1, 16 * vector, new Uint8Array(view.buffer));
  }

  /** A 64-bit word of a frame. */
  word(frame: number, offset: number): bigint {
    return new DataView(this.ground.read(frame, offset, 8).buffer).getBigUint64(0, true);
  }

  /** Runs to HLT. @throws when it ends otherwise */
  toHalt(budget = 10_000): void {
    const stop = this.cpu.run(budget);
    if (stop !== "halted") throw new Error(`${stop} at 0x${this.cpu.rip.toString(16)} ${this.cpu.stopReason}`);
  }
}

/** What system tests run on. */
export const grounds: readonly (readonly [string, () => Ground])[] = [
  ["flat", () => flatGround(true)],
  ["flat without windows", () => flatGround(false)],
  ["machine", () => machineGround(false)],
  ["machine timed", () => machineGround(true)],
];
/** Register numbers. */
export const RAX = 0,
  RCX = 1,
  RBX = 3,
  RSP = 4,
  RSI = 6;

/** Goes to user mode at USER_CODE with IRETQ. */
export const TO_USER = `
  push 0x2b; push ${USER_STACK_TOP}; push 0x202; push 0x33; push ${USER_CODE}
  iretq`;
/** Stores the frame's words from RSP up into kernel data and halts. */
export const KEEP_FRAME = (words: number): string =>
  Array.from(
    { length: words },
    (_, n) => `mov rax, [rsp+${8 * n}]; movabs [${KERNEL_DATA_AT + BigInt(8 * n)}], rax`,
  ).join("\n") + "\n hlt";
