/**
 * The model side of the proof: an interpreter in user mode with the memory layout of native/runner.c, whose faults come
 * out of its own IDT.
 */
import { FlatMemory, FlatMemoryPort, Interpreter } from "../../src/isa/index.js";
import { Slot } from "../../src/isa/context.js";
import type { Vendor } from "../../src/spec.js";
import { CODE, DATA, SEALED } from "./instance-operands.js";
import type { Instance, Outcome } from "./native.js";

/** Kernel addresses: handler of vector v at HANDLERS + 16 v. */
const HANDLERS = 0xffff_8000_0000_0000n;
const TABLES = 0xffff_8000_0001_0000n;
const STACK = 0xffff_8000_0002_0000n;
const [DATA_FRAME, SEALED_FRAME, CODE_FRAME, TABLE_FRAME, STACK_FRAME, FRAMES] = [1, 2, 3, 5, 8, 10] as const;
const GDT = TABLES,
  IDT = TABLES + 0x1000n,
  TSS = TABLES + 0x800n;

/** Linux's GDT as far as users see it. @source Linux arch/x86/kernel/cpu/common.c's selectors, by number */
const DESCRIPTORS: readonly (readonly [index: number, value: bigint])[] = [
  [1, 0x00cf_9b00_0000_ffffn],
  [2, 0x00af_9b00_0000_ffffn],
  [3, 0x00cf_9300_0000_ffffn],
  [4, 0x00cf_fb00_0000_ffffn],
  [5, 0x00cf_f300_0000_ffffn],
  [6, 0x00af_fb00_0000_ffffn],
];

/** A user-mode CPU of one vendor for instances. */
export class Model {
  readonly memory = new FlatMemory(FRAMES);
  readonly port: FlatMemoryPort;
  readonly cpu: Interpreter;
  private readonly view = new DataView(this.memory.bytes.buffer);

  constructor(vendor: Vendor) {
    const port = (this.port = new FlatMemoryPort(this.memory, vendor));
    port.map(DATA, DATA_FRAME, 1, { writable: true, user: true, executable: false });
    port.map(SEALED, SEALED_FRAME, 1, { writable: false, user: true, executable: false });
    port.map(CODE, CODE_FRAME, 2, { writable: true, user: true, executable: true });
    port.map(TABLES, TABLE_FRAME, 3, { writable: true, user: false, executable: false });
    port.map(STACK, STACK_FRAME, 1, { writable: true, user: false, executable: false });
    this.cpu = new Interpreter(port);
    for (let n = 0; n < 1024; n++) this.view.setUint32(SEALED_FRAME * 4096 + 4 * n, Math.imul(n, 2_654_435_761), true);
    const tables = TABLE_FRAME * 4096;
    for (const [index, value] of DESCRIPTORS) this.view.setBigUint64(tables + 8 * index, value, true);
    for (let v = 0; v < 256; v++) {
      const target = HANDLERS + BigInt(16 * v);
      const level = v === 3 || v === 4 || v === 128 ? 3n : 0n;
      this.view.setBigUint64(
        tables + 0x1000 + 16 * v,
        (target & 0xffffn) | (0x10n << 16n) | ((0x8en | (level << 5n)) << 40n) | (((target >> 16n) & 0xffffn) << 48n),
        true,
      );
      this.view.setBigUint64(tables + 0x1000 + 16 * v + 8, target >> 32n, true);
    }
    this.view.setBigUint64(tables + 0x804, STACK + 4096n, true);
  }

  /** Runs one instance. @param throughBlocks by the block cache and `run`, else by `step` */
  run({ state, code, codeAt, seed }: Instance, throughBlocks: boolean): Outcome {
    const { cpu, view, memory } = this;
    const c = cpu.context;
    const s = c.s;
    const data = DATA_FRAME * 4096;
    const words = memory.words;
    for (let n = 0; n < 1024; n++) words[data / 4 + n] = Math.imul(n, 2_654_435_761) ^ seed;
    const base = state.pokeAt >= SEALED ? SEALED_FRAME * 4096 - 4096 : data;
    for (let n = 0; n < state.pokeBytes; n++)
      memory.bytes[base + Number(state.pokeAt - DATA) + n] = Number(
        (state.poke[n >> 3]! >> BigInt(8 * (n & 7))) & 0xffn,
      );
    memory.bytes.set(code, CODE_FRAME * 4096 + Number(codeAt - CODE));
    for (let n = 0; n < 2; n++) memory.versions[CODE_FRAME + n]!++;
    state.registers.forEach((value, n) => {
      cpu.setRegister(n, value);
    });
    c.setPrivilege(3);
    cpu.flags = state.flags;
    cpu.rip = codeAt;
    c.selectors.set([0, 0x33, 0x2b, 0, 0, 0, 0x40, 0]);
    c.set(Slot.GsBase, DATA);
    c.set(Slot.Gdt, GDT);
    s[Slot.GdtLimit] = 127;
    c.set(Slot.Idt, IDT);
    s[Slot.IdtLimit] = 4095;
    c.set(Slot.Tr, TSS);
    s[Slot.TrLimit] = 103;
    s[Slot.Cr4] = 1 << 16;
    s[Slot.Efer] = 1;
    c.stop = "";
    if (throughBlocks && (state.flags & 0x100n) === 0n) cpu.run(1);
    // The trap comes after one instruction, or after two where the first is MOV SS.
    else if ((state.flags & 0x100n) !== 0n) for (let n = 0; n < 2 && cpu.rip < HANDLERS; n++) cpu.step();
    else
      for (let n = 0; n < 64; n++) {
        cpu.step();
        if (cpu.rip !== codeAt) break;
      }
    // A branch to where no code is faults on the fetch, which on the processor is part of the same run.
    if (cpu.rip < HANDLERS && (cpu.rip < CODE || cpu.rip >= CODE + 8192n)) cpu.step();
    if (c.stop !== "") throw new Error(`${c.stop} at ${codeAt.toString(16)}`);
    let hash = 2_166_136_261;
    for (let n = 0; n < 1024; n++) hash = Math.imul(hash ^ words[data / 4 + n]!, 16_777_619);
    const registers = Array.from({ length: 16 }, (_, n) => cpu.register(n));
    const rip = cpu.rip;
    if (rip < HANDLERS || rip >= HANDLERS + 4096n)
      return { registers, flags: cpu.flags, rip, trap: 255, error: 0, cr2: 0n, hash: hash >>> 0 };
    const trap = Number(rip - HANDLERS) / 16;
    const withCode = cpu.register(4) === STACK + 4096n - 48n;
    const frame = STACK_FRAME * 4096 + 4096 - 40;
    registers[4] = view.getBigUint64(frame + 24, true);
    return {
      registers,
      flags: view.getBigUint64(frame + 16, true),
      rip: view.getBigUint64(frame, true),
      trap,
      error: withCode ? Number(view.getBigUint64(frame - 8, true)) : 0,
      cr2: trap === 14 ? c.get(Slot.Cr2) : 0n,
      hash: hash >>> 0,
    };
  }
}
