/**
 * CPUs that execute kernel text one instruction at a time, while others change it: descriptor tables in modelled
 * memory, breakpoints delivered through them, and the kernel's breakpoint handler played by its caller. They execute
 * what they have fetched until a rule of the manual ends that, not what memory holds.
 *
 *   page 0        GDT at 0, operands of LGDT and LIDT at 0xf00
 *   page 1        IDT: vector 3 to HANDLER, all others 16 bytes behind it
 *   page 2        handler: never executed, a CPU that stands there has trapped; setup code at 0x100
 *   page 3 ..     a stack for each CPU
 */
import { addressOfFrame, type AddressRange, lengthOf, type Machine, PAGE } from "@kreplica/hw-x86/api";
import { type CpuId, type Frame, NONE } from "@kreplica/hw-x86";
import { type FetchedCode, type FetchedCodeOptions, FetchingPort, Interpreter } from "@kreplica/hw-x86/isa";
import type { BootParts } from "@kreplica/kernel";
import { frameAt, invariant, KERNEL_DATA } from "@kreplica/mm-core";
import type { Emulation } from "@kreplica/text-patch";

const RAX = 0,
  RBX = 3,
  RSP = 4;
/** Behind the pages of other families, in the module area. */
const FIRST = 0x1_8000n * PAGE;

/** Pages of one kernel that executing CPUs share. */
export class ExecutionPages {
  readonly start: bigint;
  readonly handler: bigint;
  private readonly frames: readonly Frame[];

  /** @param stacks CPUs that will execute @throws RangeError when memory gives out */
  constructor(
    readonly parts: BootParts,
    stacks: number,
  ) {
    const { tables, allocator, layout, view } = parts;
    this.start = layout.modulesStart + FIRST;
    this.handler = this.start + 2n * PAGE;
    this.frames = Array.from({ length: 3 + stacks }, () => {
      const frame = allocator.allocate(view.master, 0, { purpose: "kernel", zero: true });
      if (frame === NONE) throw new RangeError("no memory for the pages of executing CPUs");
      return frame;
    });
    tables.edit((editor) => {
      this.frames.forEach((frame, page) =>
        editor.map(this.start + BigInt(page) * PAGE, {
          ...KERNEL_DATA,
          writable: page !== 2,
          executable: page === 2,
          level: 1,
          frame,
        }),
      );
    });
    // Code of 64 bits at selector 0x10; present interrupt gates.
    this.setQuad(this.start + 0x10n, 0x00af_9b00_0000_ffffn);
    for (let vector = 0n; vector < 32n; vector++) {
      const target = vector === 3n ? this.handler : this.handler + 0x10n;
      this.setQuad(
        this.start + PAGE + 16n * vector,
        (target & 0xffffn) | (0x10n << 16n) | (0x8e00n << 32n) | (((target >> 16n) & 0xffffn) << 48n),
      );
      this.setQuad(this.start + PAGE + 16n * vector + 8n, target >> 32n);
    }
    const pointer = (at: bigint, limit: number, base: bigint): void => {
      this.write(
        at,
        Uint8Array.of(
          limit & 255,
          limit >> 8,
          ...Array.from({ length: 8 }, (_, i) => Number((base >> BigInt(8 * i)) & 255n)),
        ),
      );
    };
    pointer(this.start + 0xf00n, 0x17, this.start);
    pointer(this.start + 0xf10n, 0x1ff, this.start + PAGE);
    // lgdt [rax]; lidt [rbx]
    this.write(this.handler + 0x100n, Uint8Array.of(0x0f, 0x01, 0x10, 0x0f, 0x01, 0x1b));
  }

  stackOf(which: number): bigint {
    return this.start + BigInt(3 + which) * PAGE + 0x800n;
  }
  quad(address: bigint): bigint {
    return this.parts.machine.memory.read64(this.physical(address));
  }
  setQuad(address: bigint, value: bigint): void {
    this.parts.machine.memory.write64(this.physical(address), value);
  }
  private write(address: bigint, bytes: Uint8Array): void {
    this.parts.machine.memory.writeBytes(this.physical(address), bytes);
  }
  /** A stack may be the caller's own, elsewhere in shared memory. */
  private physical(address: bigint): bigint {
    const { entries, layout, view } = this.parts;
    const own = this.frames[Number((address - this.start) / PAGE)];
    const frame = own ?? frameAt(entries.memory, view.kernelRoot(view.master), layout.levels, address) ?? NONE;
    invariant(frame !== NONE, `nothing is mapped at 0x${address.toString(16)}, where a CPU should have its stack`);
    return addressOfFrame(frame) + (address & (PAGE - 1n));
  }
}

/**
 * What CPUs keep of fetched instructions, one after the other: few windows, so that some bytes of an instruction are
 * fetched again while others are old, and all there are, as the manual allows; narrow ones, which an instruction
 * crosses more often.
 */
const FETCHES: readonly FetchedCodeOptions[] = [
  { windowBytes: 8, windows: 2 },
  { windowBytes: 8 },
  { windowBytes: 16, windows: 3 },
];

/** The first CPU of each node, those of the first nodes and the last. @param most CPUs that are chosen, 2 or more */
export function cpusOfNodes(machine: Machine, most: number): CpuId[] {
  const first = machine.nodes
    .map((node) => machine.cpuIds.find((cpu) => machine.nodeOfCpu(cpu) === node))
    .filter((cpu) => cpu !== undefined);
  return [...new Set([...first.slice(0, most - 1), ...first.slice(-1)])];
}

/** A CPU that executes what it has fetched: pages of code of its own, a stack, an interpreter. */
export class ExecutingCpu {
  readonly interpreter: Interpreter;
  readonly stack: bigint;
  readonly fetched: FetchedCode;

  /**
   * @param which stack
   * @param answer what the kernel's handler does about a breakpoint at an address; undefined is a crash
   * @param crash called with what went wrong; does not return
   */
  constructor(
    private readonly pages: ExecutionPages,
    readonly id: CpuId,
    which: number,
    private readonly answer: (site: bigint) => Emulation | undefined,
    private readonly crash: (detail: string) => never,
  ) {
    this.stack = pages.stackOf(which);
    const port = new FetchingPort(pages.parts.machine, id, FETCHES[which % FETCHES.length]);
    this.interpreter = new Interpreter(port);
    this.fetched = port.fetched;
    this.interpreter.setRegister(RAX, pages.start + 0xf00n);
    this.interpreter.setRegister(RBX, pages.start + 0xf10n);
    this.goTo(pages.handler + 0x100n, this.stack);
    this.asKernel(() => {
      this.interpreter.step();
      this.interpreter.step();
    });
    if (this.interpreter.stopReason !== "" || this.interpreter.rip !== pages.handler + 0x106n)
      crash(`CPU ${id} could not load its descriptor tables: ${this.interpreter.stopReason}`);
  }

  get rip(): bigint {
    return this.interpreter.rip;
  }
  get rsp(): bigint {
    return this.interpreter.register(RSP);
  }
  goTo(rip: bigint, rsp: bigint): void {
    this.interpreter.rip = rip;
    this.interpreter.setRegister(RSP, rsp);
  }

  /** Whether it took a breakpoint it has not handled yet. */
  get trapped(): boolean {
    return this.rip === this.pages.handler;
  }

  /** Bytes it would execute: those it holds, and of memory, through the root it runs on, what it does not. */
  bytes(range: AddressRange): Uint8Array {
    const { machine, entries, layout } = this.pages.parts;
    const bytes = new Uint8Array(lengthOf(range));
    for (let i = 0; i < bytes.length; i++) {
      const at = range.start + BigInt(i);
      const held = this.fetched.byteAt(at);
      if (held !== undefined) {
        bytes[i] = held;
        continue;
      }
      const frame = frameAt(entries.memory, machine.cpu(this.id).rootFrame, layout.levels, at);
      if (frame === undefined) this.crash(`CPU ${this.id} has nothing mapped at 0x${at.toString(16)}`);
      machine.memory.readBytes(addressOfFrame(frame) + (at & (PAGE - 1n)), bytes.subarray(i, i + 1));
    }
    return bytes;
  }

  /** One instruction, or the handling of the breakpoint it is in. */
  step(): void {
    if (this.trapped) return this.handle();
    this.asKernel(() => {
      this.interpreter.step();
    });
    if (this.interpreter.stopReason !== "")
      this.crash(`CPU ${this.id} stopped: ${this.interpreter.stopReason} at 0x${this.rip.toString(16)}`);
    if (this.rip > this.pages.handler && this.rip < this.pages.handler + 0x100n) {
      // An error code, when there is one, lies below the address.
      const [top, next] = [this.pages.quad(this.rsp), this.pages.quad(this.rsp + 8n)];
      this.crash(
        `CPU ${this.id} took an exception at 0x${(top < 0x1_0000n ? next : top).toString(16)}${top < 0x1_0000n ? `, error code ${top}` : ""}`,
      );
    }
  }

  /** exc_int3: the frame holds the address behind the INT3, and the stack to go back to; it returns by IRET. */
  private handle(): void {
    this.fetched.serialise();
    const frame = this.rsp;
    const site = this.pages.quad(frame) - 1n;
    const effect =
      this.answer(site) ??
      this.crash(`CPU ${this.id} met a breakpoint at 0x${site.toString(16)} that nobody answers for`);
    let rsp = this.pages.quad(frame + 24n);
    if (effect.kind === "jump") this.goTo(effect.to, rsp);
    else if (effect.kind === "call") {
      this.pages.setQuad((rsp -= 8n), effect.back);
      this.goTo(effect.to, rsp);
    } else if (effect.kind === "return") this.goTo(this.pages.quad(rsp), rsp + 8n);
    else
      this.crash(
        `CPU ${this.id} met a breakpoint at 0x${site.toString(16)} whose effect (${effect.kind}) no code here needs`,
      );
  }

  /** Kernel code runs in ring 0, whatever process the CPU has loaded. */
  private asKernel(work: () => void): void {
    const core = this.pages.parts.machine.cpu(this.id);
    const { privilege } = core;
    core.privilege = 0;
    try {
      work();
    } finally {
      core.privilege = privilege;
    }
  }
}
