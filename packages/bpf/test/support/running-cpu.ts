/**
 * A CPU that executes kernel text one instruction at a time while that text is patched. The breakpoint of text patching
 * takes two steps, entering the handler and leaving it, so that a schedule can come between; the handler is the test's.
 */
import type { Machine } from "@kreplica/hw-x86";
import { Interpreter as X86, MachinePort } from "@kreplica/hw-x86/isa";
import type { KernelTables } from "@kreplica/mm-core";
import type { Emulation } from "@kreplica/text-patch/api";

const RSP = 4,
  INT3 = 0xcc;

export class RunningCpu {
  readonly x86: X86;
  private site: bigint | undefined;

  /**
   * @param stack top of its stack, which is empty
   * @param answer what a CPU does whose breakpoint was there, as text patching says
   */
  constructor(
    private readonly machine: Machine,
    private readonly tables: KernelTables,
    readonly id: number,
    readonly stack: bigint,
    private readonly answer: (site: bigint) => Emulation | undefined,
  ) {
    this.x86 = new X86(new MachinePort(machine, id));
    this.x86.setRegister(RSP, stack);
  }

  get rip(): bigint {
    return this.x86.rip;
  }
  set rip(value: bigint) {
    this.x86.rip = value;
  }
  get rsp(): bigint {
    return this.x86.register(RSP);
  }
  /** Words on its stack. */
  get words(): readonly bigint[] {
    const words: bigint[] = [];
    for (let at = this.rsp; at < this.stack; at += 8n) words.push(this.machine.memory.read64(this.physical(at)));
    return words;
  }
  /** Whether it took a breakpoint and is in its handler. */
  get trapped(): boolean {
    return this.site !== undefined;
  }

  /** @throws Error when the CPU stops, or met a breakpoint that nobody answers for */
  step(): void {
    if (this.site !== undefined) {
      this.handle(this.site);
      return;
    }
    const byte = new Uint8Array(1);
    this.machine.memory.readBytes(this.physical(this.rip), byte);
    if (byte[0] === INT3) {
      this.site = this.rip;
      return;
    }
    this.x86.step();
    if (this.x86.stopReason !== "")
      throw new Error(`CPU ${this.id} stopped: ${this.x86.stopReason} at 0x${this.rip.toString(16)}`);
  }

  private handle(site: bigint): void {
    const effect = this.answer(site);
    this.site = undefined;
    if (effect?.kind === "jump") {
      this.rip = effect.to;
      return;
    }
    if (effect?.kind !== "call")
      throw new Error(`CPU ${this.id} met a breakpoint at 0x${site.toString(16)} that no patch answers for`);
    this.x86.setRegister(RSP, this.rsp - 8n);
    this.machine.memory.write64(this.physical(this.rsp), effect.back);
    this.rip = effect.to;
  }

  private physical(address: bigint): bigint {
    const leaf = this.tables.lookup(this.machine.nodeOfCpu(this.id), address);
    if (!leaf?.present)
      throw new Error(`CPU ${this.id} reaches 0x${address.toString(16)}, which is not mapped on its node`);
    // A leaf of level 2 begins at its own first frame.
    return (BigInt(leaf.frame) << 12n) + (address & ((4096n << BigInt(9 * (leaf.level - 1))) - 1n));
  }
}
