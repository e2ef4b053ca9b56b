/// <reference types="node" />
/**
 * The kernel's own suite for the instruction set, lib/test_bpf: its cases lie as data in the module test_bpf.ko of
 * Debian's kernel package, which is fetched and never kept in the repository (GPL). Many cases are written by functions
 * of the module when the suite runs; these functions are executed on a CPU of the model.
 *
 * A case in the section .data (Linux 6.1 and 6.12, struct bpf_test, 4416 bytes):
 *
 *   0 name | 8 512 instructions of 8 bytes, or pointer and count of what was filled in | 4104 flags | 4105 data
 *   4236 three times (data size, result) | 4264 function that fills the case | 4404 stack bytes | 4408 runs
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ElfFile, readElf } from "@kreplica/elf";
import { FlatMemory, FlatMemoryPort, Interpreter as X86 } from "@kreplica/hw-x86/isa";
import { fetchKernel, fetchModule } from "../../../../scripts/fetch-kernel.mjs";
import { type Code, decode } from "../../src/isa/code.js";

const CASE_BYTES = 4416,
  SLOTS = 512,
  FLAGS = 4104,
  RESULTS = 4236,
  FILL = 4264,
  STACK = 4404;
/** Case flags. @source Linux, lib/test_bpf.c: CLASSIC, INTERNAL, FLAG_NO_DATA, FLAG_LARGE_MEM */
const CLASSIC = 0x40,
  INTERNAL = 0x80,
  NO_DATA = 1,
  LARGE_MEM = 16;

export interface KernelCase {
  readonly index: number;
  readonly name: string;
  /** Written in classic BPF, which the kernel translates before it runs it. */
  readonly classic: boolean;
  /** Its code is written by a function of the module. */
  readonly filled: boolean;
  readonly stackBytes: number;
  /** Bytes of memory that r1 leads to; 0: r1 is null; undefined: a packet buffer of the kernel. */
  readonly memory: number | undefined;
  /** Lower half of r0. */
  readonly result: number;
  code(): Code;
}

/**
 * @param release Debian release whose kernel carries the suite; without it the day's kernel of this machine's release
 * @returns why there is no suite, or its file
 */
export function kernelSuite(release?: string): KernelSuite | string {
  try {
    const path =
      release === undefined
        ? join(fetchKernel("amd64").modules, "kernel/lib/test_bpf.ko")
        : fetchModule("test_bpf", release).file;
    return existsSync(path) ? new KernelSuite(new Uint8Array(readFileSync(path))) : `${path} is not in the package`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const BASE = 0xffff_ffff_c040_0000n,
  HEAP = 0xffff_8880_1000_0000n,
  STACK_TOP = 0xffff_c900_0001_0000n,
  STUBS = 0xffff_ffff_8100_0000n,
  PAGE = 4096,
  HEAP_PAGES = 4096;
/** Kernel functions that the module's fill functions call: an allocation, what they never come to, and thunks. */
const RETURN_THUNK = Uint8Array.of(0xc3),
  JUMP: Readonly<Record<string, readonly number[]>> = {
    rax: [0xff, 0xe0],
    rbp: [0xff, 0xe5],
    r12: [0x41, 0xff, 0xe4],
    r14: [0x41, 0xff, 0xe6],
  };

export class KernelSuite {
  readonly cases: readonly KernelCase[];
  private readonly elf: ElfFile;
  private readonly memory: FlatMemory;
  private readonly x86: X86;
  private readonly bases = new Map<number, bigint>();
  private readonly frames = new Map<number, number>();
  private readonly table: number;
  private readonly view: DataView;
  private heap = 0;
  private readonly firstHeap: number;
  private readonly stubs: readonly string[];

  /** @throws Error when the module's table of cases is not laid out as above */
  constructor(bytes: Uint8Array) {
    this.elf = readElf(bytes);
    const tests = this.elf.symbols().find((each) => each.name === "tests");
    if (!tests || Number(tests.size) % CASE_BYTES !== 0)
      throw new Error(
        `test_bpf.ko: the table of cases is ${tests?.size ?? "missing"} bytes, no multiple of ${CASE_BYTES}: another version's layout`,
      );
    let frame = 4,
      at = BASE;
    for (const section of this.elf.sections)
      if (section.allocated && section.size > 0) {
        const pages = Math.ceil(section.size / PAGE);
        this.bases.set(section.index, at);
        this.frames.set(section.index, frame);
        frame += pages;
        at += BigInt(pages * PAGE);
      }
    this.firstHeap = frame;
    this.memory = new FlatMemory(frame + HEAP_PAGES);
    this.view = new DataView(this.memory.bytes.buffer);
    const port = new FlatMemoryPort(this.memory),
      all = { writable: true, executable: true, user: false };
    port.map(BASE, 4, frame - 4, all);
    port.map(HEAP, frame, HEAP_PAGES, all);
    port.map(STACK_TOP - 0x2000n, 2, 2, all);
    port.map(STUBS, 1, 1, all);
    port.map(0n, 0, 1, all); // the stack protector's word, at gs:40
    for (const [index, first] of this.frames)
      this.memory.bytes.set(this.elf.bytesOf(this.elf.sections[index]!), first * PAGE);
    this.stubs = this.relocate();
    this.x86 = new X86(port);
    this.table = this.frames.get(tests.section)! * PAGE + Number(tests.value);
    this.cases = Array.from({ length: Number(tests.size) / CASE_BYTES }, (_, index) => this.read(index));
  }

  /** Resolves the module's references: its own sections, and stubs for the kernel. @returns names of the stubs */
  private relocate(): readonly string[] {
    const names: string[] = ["return to the host"],
      symbols = this.elf.symbols(),
      { bytes } = this.memory;
    const stub = (name: string): bigint => {
      let number = names.indexOf(name);
      if (number < 0) {
        number = names.push(name) - 1;
        const thunk = /^__x86_indirect_thunk_(\w+)$/.exec(name);
        bytes.set(
          name === "__x86_return_thunk" ? RETURN_THUNK : thunk ? JUMP[thunk[1]!]! : [0xf4, 0xc3],
          PAGE + 16 * number,
        );
      }
      return STUBS + BigInt(16 * number);
    };
    bytes.set([0xf4], PAGE);
    for (const [index, first] of this.frames) {
      const section = this.elf.sections[index]!,
        base = this.bases.get(index)!;
      if (![".text", ".data", ".rodata"].includes(section.name)) continue;
      for (const table of this.elf.relocationsOf(section))
        for (let i = 0; i < table.count; i++) {
          const symbol = symbols[table.symbol[i]!]!,
            offset = table.offset[i]!,
            place = base + BigInt(offset),
            addend = BigInt(table.addend[i]!),
            type = table.type[i]!;
          const target =
              (symbol.section === 0 ? stub(symbol.name) : (this.bases.get(symbol.section) ?? 0n) + symbol.value) +
              addend,
            at = first * PAGE + offset;
          if (type === 1) this.view.setBigUint64(at, BigInt.asUintN(64, target), true);
          else if (type === 2 || type === 4) this.view.setInt32(at, Number(BigInt.asIntN(32, target - place)), true);
          else if (type === 10 || type === 11) this.view.setInt32(at, Number(BigInt.asIntN(32, target)), true);
          else throw new Error(`test_bpf.ko: relocation of type ${type} in ${section.name}`);
        }
    }
    return names;
  }

  private read(index: number): KernelCase {
    const at = this.table + index * CASE_BYTES,
      { view } = this,
      flags = view.getUint8(at + FLAGS),
      filled = view.getBigUint64(at + FILL, true) !== 0n;
    const name = this.string(view.getBigUint64(at, true)),
      size = view.getInt32(at + RESULTS, true);
    return {
      index,
      name,
      classic: (flags & (CLASSIC | INTERNAL)) === CLASSIC,
      filled,
      stackBytes: view.getInt32(at + STACK, true),
      memory: (flags & LARGE_MEM) !== 0 ? size : (flags & NO_DATA) !== 0 || size === 0 ? 0 : undefined,
      result: view.getUint32(at + RESULTS + 4, true),
      code: () => this.codeOf(at, filled, name),
    };
  }

  private codeOf(at: number, filled: boolean, name: string): Code {
    let start = at + 8,
      slots = SLOTS;
    if (filled) {
      this.fill(at, name);
      start = this.offset(this.view.getBigUint64(at + 8, true));
      slots = this.view.getUint32(at + 16, true);
    } else while (slots > 1 && this.view.getBigUint64(start + 8 * (slots - 1), true) === 0n) slots--;
    return decode(this.memory.bytes.slice(start, start + 8 * slots));
  }

  /** Executes the case's fill function, with the case as its argument. */
  private fill(at: number, name: string): void {
    const { x86 } = this,
      stop = 2 * PAGE + 0x2000 - 8;
    this.heap = 0;
    this.view.setBigUint64(stop, STUBS, true);
    x86.setRegister(4, STACK_TOP - 8n);
    x86.setRegister(7, this.address(at));
    x86.rip = this.view.getBigUint64(at + FILL, true);
    for (;;) {
      const why = x86.run(1_000_000_000);
      if (why !== "halted")
        throw new Error(`${name}: its fill function ended: ${why} ${x86.stopReason} at 0x${x86.rip.toString(16)}`);
      x86.context.halted = false;
      const stub = Number(x86.rip - 1n - STUBS) / 16;
      if (stub === 0) break;
      // The size is the first argument of kmalloc(), the third of kmalloc_trace(); Linux 6.12 has other names for the
      // same.
      const size = {
        __kmalloc: 7,
        kmalloc_large: 7,
        kmalloc_trace: 2,
        __kmalloc_noprof: 7,
        __kmalloc_large_noprof: 7,
        __kmalloc_cache_noprof: 2,
      }[this.stubs[stub] ?? ""];
      if (size === undefined)
        throw new Error(`${name}: its fill function calls ${this.stubs[stub]}, which is not here`);
      const bytes = Math.ceil(Number(x86.register(size)) / 64) * 64;
      if (this.heap + bytes > HEAP_PAGES * PAGE) throw new Error(`${name}: ${bytes} bytes do not fit the model's heap`);
      x86.setRegister(0, HEAP + BigInt(this.heap));
      this.heap += bytes;
    }
    if (Number(BigInt.asIntN(32, x86.register(0))) !== 0) throw new Error(`${name}: its fill function failed`);
  }

  private address(at: number): bigint {
    return BASE + BigInt(at - 4 * PAGE);
  }
  private offset(address: bigint): number {
    return address >= HEAP && address < HEAP + BigInt(HEAP_PAGES * PAGE)
      ? this.firstHeap * PAGE + Number(address - HEAP)
      : 4 * PAGE + Number(address - BASE);
  }
  private string(address: bigint): string {
    const start = this.offset(address);
    return String.fromCharCode(...this.memory.bytes.subarray(start, this.memory.bytes.indexOf(0, start)));
  }
}
