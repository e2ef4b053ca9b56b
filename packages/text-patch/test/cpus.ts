/**
 * CPUs of the machine that execute text while it is patched, one instruction at a time, with the kernel's INT3 handler
 * played by the test.
 */
import { bytesAt, type CpuId } from "@kreplica/hw-x86";
import { type FetchedCode, FetchingPort, Interpreter, MachinePort, type SavedFetches } from "@kreplica/hw-x86/isa";
import { KERNEL_DATA } from "@kreplica/mm-core/api";
import type { Emulation } from "../src/api.js";
import type { PatchKernel } from "./kernel.js";

/** One page each: descriptor tables, the handler, a stack for every CPU. Shared by all holders. */
const SYSTEM = 0xffff_ffff_c0c0_0000n;
const HANDLER = SYSTEM + 0x2000n;
const STACKS = SYSTEM + 0x10_000n;
const RSP = 4;

/** One CPU's position: all that decides what it does next in the loops of these tests. */
export interface Position {
  readonly rip: bigint;
  readonly rsp: bigint;
  /** Words of the stack in use, from the top down to RSP. */
  readonly stack: readonly bigint[];
  /** Instructions it has fetched; none where it keeps none. */
  readonly held: SavedFetches;
}

export class RunningCpu {
  readonly interpreter: Interpreter;
  readonly stack: bigint;
  readonly fetched: FetchedCode | undefined;
  /** @param keeps it executes what it has fetched until a rule of the manual ends that, not what memory holds */
  constructor(
    private readonly kernel: PatchKernel,
    readonly id: CpuId,
    private readonly answer: (site: bigint) => Emulation | undefined,
    keeps = false,
  ) {
    this.stack = STACKS + BigInt(id) * 0x1000n + 0x800n;
    const port = keeps ? new FetchingPort(kernel.machine, id) : new MachinePort(kernel.machine, id);
    this.interpreter = new Interpreter(port);
    this.fetched = port instanceof FetchingPort ? port.fetched : undefined;
    // lgdt [rax]; lidt [rbx], from the setup page.
    this.interpreter.setRegister(0, SYSTEM + 0xf00n);
    this.interpreter.setRegister(3, SYSTEM + 0xf10n);
    this.interpreter.setRegister(RSP, this.stack);
    this.interpreter.rip = HANDLER + 0x100n;
    this.interpreter.step();
    this.interpreter.step();
    if (this.interpreter.stopReason !== "" || this.interpreter.rip !== HANDLER + 0x106n)
      throw new Error(
        `CPU ${id} did not take its descriptor tables: ${this.interpreter.stopReason} at ${this.interpreter.rip.toString(16)}`,
      );
  }

  get node(): number {
    return this.kernel.machine.nodeOfCpu(this.id);
  }
  get position(): Position {
    const rsp = this.interpreter.register(RSP);
    const stack: bigint[] = [];
    for (let at = this.stack - 8n; at >= rsp; at -= 8n) stack.push(this.word(at));
    return { rip: this.interpreter.rip, rsp, stack, held: this.fetched?.save() ?? [] };
  }
  set position({ rip, rsp, stack, held }: Position) {
    this.goTo(rip, rsp);
    this.fetched?.restore(held);
    stack.forEach((word, i) => this.setWord(this.stack - BigInt(8 * (i + 1)), word));
  }
  goTo(rip: bigint, rsp: bigint): void {
    this.interpreter.rip = rip;
    this.interpreter.setRegister(RSP, rsp);
  }

  /** Whether it took an INT3 and has not handled it yet. */
  get trapped(): boolean {
    return this.interpreter.rip === HANDLER;
  }

  /**
   * One instruction, or the handling of the INT3 it is in.
   * @throws Error when it stops, or met an INT3 nobody answers for
   */
  step(): void {
    if (this.trapped) {
      this.handle();
      return;
    }
    this.interpreter.step();
    if (this.interpreter.stopReason !== "") throw new Error(`CPU ${this.id} stopped: ${this.interpreter.stopReason}`);
    if (this.interpreter.rip > HANDLER && this.interpreter.rip < HANDLER + 0x100n)
      throw new Error(
        `CPU ${this.id} took an exception that is no breakpoint, at ${this.word(this.interpreter.register(RSP)).toString(16)}`,
      );
  }

  /** Bytes it would execute: those it holds, and of memory what it does not. */
  bytes(address: bigint, length: number): Uint8Array {
    const memory = this.kernel.bytes(this.kernel.view.nearest(this.node), address, length);
    return memory.map((byte, i) => this.fetched?.byteAt(address + BigInt(i)) ?? byte);
  }

  /** What exc_int3 does: the frame holds the address behind the INT3; it returns by IRET. */
  private handle(): void {
    this.fetched?.serialise();
    const frame = this.interpreter.register(RSP);
    const site = this.word(frame) - 1n;
    const effect = this.answer(site);
    if (!effect) throw new Error(`CPU ${this.id} met an INT3 at ${site.toString(16)} that no patch answers for`);
    let rsp = this.word(frame + 24n);
    let rip: bigint;
    if (effect.kind === "jump") rip = effect.to;
    else if (effect.kind === "call") {
      rsp -= 8n;
      this.setWord(rsp, effect.back);
      rip = effect.to;
    } else if (effect.kind === "return") {
      rip = this.word(rsp);
      rsp += 8n;
    } else throw new Error(`the tests have no code that needs ${effect.kind}`);
    this.goTo(rip, rsp);
  }

  word(address: bigint): bigint {
    return this.kernel.machine.memory.read64(this.physical(address));
  }
  setWord(address: bigint, value: bigint): void {
    this.kernel.machine.memory.write64(this.physical(address), value);
  }
  private physical(address: bigint): bigint {
    const leaf = this.kernel.tables.lookup(this.node, address)!;
    return (BigInt(leaf.frame) << 12n) + (address & 4095n);
  }
}

/**
 * Descriptor tables, handler and stacks; then a CPU for each id.
 * @param answer what the kernel's handler finds out about an INT3
 */
export function startCpus(
  kernel: PatchKernel,
  ids: readonly CpuId[],
  answer: (site: bigint) => Emulation | undefined,
  keeps = false,
): RunningCpu[] {
  const first = kernel.frame(kernel.view.master, 64);
  kernel.tables.edit((editor) => {
    for (let page = 0; page < 32; page++)
      editor.map(SYSTEM + BigInt(page) * 4096n, {
        ...KERNEL_DATA,
        executable: page === 2,
        level: 1,
        frame: first + page,
      });
  });
  const physical = (address: bigint): bigint => (BigInt(first) << 12n) + (address - SYSTEM);
  const { memory } = kernel.machine;
  // GDT: null, null, 64-bit code at 0x10. IDT on the second page: every vector to the handler's ud2s, vector 3 to its
  // start.
  memory.write64(physical(SYSTEM + 0x10n), 0x00af_9b00_0000_ffffn);
  for (let vector = 0n; vector < 32n; vector++) {
    const target = vector === 3n ? HANDLER : HANDLER + 0x10n;
    memory.write64(
      physical(SYSTEM + 0x1000n + 16n * vector),
      (target & 0xffffn) | (0x10n << 16n) | (0x8e00n << 32n) | (((target >> 16n) & 0xffffn) << 48n),
    );
    memory.write64(physical(SYSTEM + 0x1000n + 16n * vector + 8n), target >> 32n);
  }
  const pointer = (at: bigint, limit: number, base: bigint): void => {
    memory.writeBytes(
      physical(at),
      Uint8Array.of(
        limit & 255,
        limit >> 8,
        ...Array.from({ length: 8 }, (_, i) => Number((base >> BigInt(8 * i)) & 255n)),
      ),
    );
  };
  pointer(SYSTEM + 0xf00n, 0x17, SYSTEM);
  pointer(SYSTEM + 0xf10n, 0x1ff, SYSTEM + 0x1000n);
  memory.writeBytes(physical(HANDLER), Uint8Array.of(0xeb, 0xfe));
  memory.writeBytes(physical(HANDLER + 0x10n), Uint8Array.of(0xeb, 0xfe));
  memory.writeBytes(physical(HANDLER + 0x100n), Uint8Array.of(0x0f, 0x01, 0x10, 0x0f, 0x01, 0x1b));
  return ids.map((id) => new RunningCpu(kernel, id, answer, keeps));
}

/** Writes code into every holder's copy, before anything runs. */
export function placeCode(kernel: PatchKernel, address: bigint, code: Uint8Array): void {
  for (const copy of kernel.poke.copies(bytesAt(address, code.length))) {
    for (let i = 0; i < code.length; i++) {
      const within = Number(address & 4095n) + i;
      kernel.machine.memory.writeBytes(
        (BigInt(copy.frames[within >> 12]!) << 12n) + BigInt(within & 4095),
        code.subarray(i, i + 1),
      );
    }
  }
}
