/** Calls functions of a booted real kernel on a CPU of the model, from the replica of that CPU's node. */
import { type CpuId, type Frame, NONE, type NodeId } from "@kreplica/hw-x86";
import { Interpreter, MachinePort } from "@kreplica/hw-x86/isa";
import type { BootParts } from "@kreplica/kernel";
import { KERNEL_DATA } from "@kreplica/mm-core";

const PAGE = 4096n;
const ARGUMENTS = [7, 6, 2, 1, 8, 9] as const;
const RAX = 0,
  RCX = 1,
  RDX = 2,
  RSP = 4;
/** Pages of scratch memory: setup code, per-CPU data, stacks, then what callers allocate. */
const SCRATCH_PAGES = 512;
const GS_BASE = 0xc000_0101n;

/** Scratch memory in the vmalloc range, the same on all nodes. */
export class Scratch {
  readonly start: bigint;
  private readonly frames: Frame[] = [];
  private next = 64n * PAGE;

  constructor(
    private readonly parts: BootParts,
    node: NodeId,
  ) {
    this.start = parts.layout.vmallocStart + 0x1000_0000n;
    parts.tables.edit((editor) => {
      for (let page = 0; page < SCRATCH_PAGES; page++) {
        const frame = parts.allocator.allocate(node, 0, { purpose: "kernel", zero: true });
        if (frame === NONE) throw new Error("no memory for the test's scratch pages");
        this.frames.push(frame);
        editor.map(this.start + BigInt(page) * PAGE, {
          ...KERNEL_DATA,
          executable: page === 0,
          writable: page !== 0,
          level: 1,
          frame,
        });
      }
    });
    // wrmsr; then where calls return to: hlt.
    this.write(this.start, Uint8Array.of(0x0f, 0x30));
    this.write(this.start + 0x100n, Uint8Array.of(0xf4));
  }

  /** 64-byte aligned; never given back. */
  take(bytes: number): bigint {
    const at = this.start + this.next;
    this.next += BigInt((bytes + 63) & ~63);
    if (this.next > BigInt(SCRATCH_PAGES) * PAGE) throw new Error("the test's scratch memory is used up");
    return at;
  }
  put(bytes: Uint8Array | string, room = 0): bigint {
    const data = typeof bytes === "string" ? new TextEncoder().encode(`${bytes}\0`) : bytes;
    const at = this.take(Math.max(data.length, room));
    this.write(at, data);
    return at;
  }
  /** Everything taken by callers is free again. */
  reset(): void {
    this.next = 64n * PAGE;
  }

  write(address: bigint, bytes: Uint8Array): void {
    this.each(address, bytes.length, (physical, from, n) =>
      this.parts.machine.memory.writeBytes(physical, bytes.subarray(from, from + n)),
    );
  }
  read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.each(address, length, (physical, from, n) =>
      this.parts.machine.memory.readBytes(physical, bytes.subarray(from, from + n)),
    );
    return bytes;
  }
  text(address: bigint, limit = 4096): string {
    const bytes = this.read(address, limit);
    return new TextDecoder("latin1").decode(bytes.subarray(0, bytes.indexOf(0)));
  }
  quad(address: bigint): bigint {
    return new DataView(this.read(address, 8).buffer).getBigUint64(0, true);
  }
  setQuad(address: bigint, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.write(address, bytes);
  }
  private each(address: bigint, length: number, visit: (physical: bigint, from: number, n: number) => void): void {
    for (let from = 0; from < length;) {
      const at = address + BigInt(from) - this.start;
      const n = Math.min(length - from, 4096 - Number(at % PAGE));
      visit((BigInt(this.frames[Number(at / PAGE)]!) << 12n) + (at % PAGE), from, n);
      from += n;
    }
  }
}

/** One CPU that calls kernel functions. */
export class KernelCaller {
  readonly interpreter: Interpreter;
  /** Frames of kernel code it fetched from. */
  readonly fetched = new Set<Frame>();
  private readonly stack: bigint;

  constructor(
    readonly parts: BootParts,
    readonly scratch: Scratch,
    readonly cpu: CpuId,
    timed = false,
  ) {
    const port = new MachinePort(parts.machine, cpu, { timed });
    for (const way of ["translateFetch", "chargeFetch"] as const) {
      const fetch = port[way].bind(port);
      port[way] = (lo, hi) => {
        const frame = fetch(lo, hi);
        if (hi === -1 && frame >= 0) this.fetched.add(frame);
        return frame;
      };
    }
    this.interpreter = new Interpreter(port);
    const at = this.scratch.start + PAGE * BigInt(1 + 4 * (cpu % 12));
    this.stack = at + 4n * PAGE - 64n;
    // The stack protector reads its canary at GS:0x28.
    this.interpreter.setRegister(RCX, GS_BASE);
    this.interpreter.setRegister(RAX, at & 0xffff_ffffn);
    this.interpreter.setRegister(RDX, at >> 32n);
    this.interpreter.rip = scratch.start;
    this.interpreter.step();
    if (this.interpreter.stopReason !== "")
      throw new Error(`CPU ${cpu} could not set its GS base: ${this.interpreter.stopReason}`);
  }

  get node(): NodeId {
    return this.parts.machine.nodeOfCpu(this.cpu);
  }

  /**
   * @param address of the function
   * @param args integers or addresses; six at most in registers, the rest on the stack
   * @returns RAX, unsigned
   * @throws Error when the function faults or takes more than `budget` instructions
   */
  call(address: bigint, args: readonly (bigint | number)[], budget = 20_000_000): bigint {
    const { interpreter } = this;
    const wide = args.map((each) => BigInt.asUintN(64, BigInt(each)));
    let rsp = this.stack;
    for (const word of wide.slice(6).reverse()) this.scratch.setQuad((rsp -= 8n), word);
    this.scratch.setQuad((rsp -= 8n), this.scratch.start + 0x100n);
    wide.slice(0, 6).forEach((value, i) => interpreter.setRegister(ARGUMENTS[i]!, value));
    // The number of vector registers in use, for functions with variable arguments.
    interpreter.setRegister(RAX, 0n);
    interpreter.setRegister(RSP, rsp);
    interpreter.flags = 2n;
    interpreter.rip = address;
    interpreter.context.halted = false;
    const stop = interpreter.run(budget);
    if (stop !== "halted" || interpreter.rip !== this.scratch.start + 0x101n) {
      throw new Error(
        `CPU ${this.cpu}: 0x${address.toString(16)} ended with "${stop}" ${interpreter.stopReason} at 0x${interpreter.rip.toString(16)}`,
      );
    }
    return interpreter.register(RAX);
  }
}
