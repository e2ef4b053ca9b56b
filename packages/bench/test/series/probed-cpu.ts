/**
 * A CPU that calls kernel functions with probes in them: its INT3 goes through an interrupt table, and the test plays
 * the handler.
 */
import type { BootParts } from "@kreplica/kernel";
import { KernelCaller, type Scratch } from "../real/kernel-calls.js";
import type { CpuId } from "@kreplica/hw-x86";
import type { ProbeAction } from "@kreplica/text-patch";

const ARGUMENTS = [7, 6, 2, 1, 8, 9] as const;
const RAX = 0,
  RBX = 3,
  RSP = 4;
/** In the scratch area's executable page: setup, handler of INT3, handler of everything else. */
const SETUP = 0x300n,
  INT3_HANDLER = 0x400n,
  OTHER_HANDLER = 0x410n;
const RETURN = 0x100n;

/** Tables every CPU of a kernel may share. @returns addresses of the two pseudo-descriptors */
export function interruptTables(scratch: Scratch): readonly [gdt: bigint, idt: bigint] {
  const { start } = scratch;
  // lgdt [rax]; lidt [rbx]; and a hlt to stop at in each handler.
  scratch.write(start + SETUP, Uint8Array.of(0x0f, 0x01, 0x10, 0x0f, 0x01, 0x1b));
  for (const at of [INT3_HANDLER, OTHER_HANDLER]) scratch.write(start + at, Uint8Array.of(0xf4));
  const gdt = scratch.take(24);
  scratch.setQuad(gdt + 16n, 0x00af_9b00_0000_ffffn);
  const idt = scratch.take(512);
  for (let vector = 0n; vector < 32n; vector++) {
    const target = start + (vector === 3n ? INT3_HANDLER : OTHER_HANDLER);
    scratch.setQuad(
      idt + 16n * vector,
      (target & 0xffffn) | (0x10n << 16n) | (0x8e00n << 32n) | (((target >> 16n) & 0xffffn) << 48n),
    );
    scratch.setQuad(idt + 16n * vector + 8n, target >> 32n);
  }
  const pointer = (limit: number, base: bigint): bigint =>
    scratch.put(
      Uint8Array.of(
        limit & 255,
        limit >> 8,
        ...Array.from({ length: 8 }, (_, i) => Number((base >> BigInt(8 * i)) & 255n)),
      ),
    );
  return [pointer(23, gdt), pointer(511, idt)];
}

export class ProbedCaller {
  readonly caller: KernelCaller;
  /** Addresses of the INT3s it took. */
  readonly hits: bigint[] = [];

  /** @param answer what the kernel's handler does about an INT3 */
  constructor(
    parts: BootParts,
    private readonly scratch: Scratch,
    cpu: CpuId,
    tables: readonly [bigint, bigint],
    private readonly answer: (site: bigint) => ProbeAction | undefined,
  ) {
    this.caller = new KernelCaller(parts, scratch, cpu);
    const { interpreter } = this.caller;
    interpreter.setRegister(RAX, tables[0]);
    interpreter.setRegister(RBX, tables[1]);
    interpreter.rip = scratch.start + SETUP;
    interpreter.step();
    interpreter.step();
    if (interpreter.stopReason !== "") throw new Error(`CPU ${cpu} did not take its tables: ${interpreter.stopReason}`);
  }

  /** As KernelCaller.call for at most six arguments. @throws Error for an exception that no probe answers for */
  call(address: bigint, args: readonly (bigint | number)[], stackTop: bigint): bigint {
    const { interpreter } = this.caller;
    const rsp = stackTop - 8n;
    this.scratch.setQuad(rsp, this.scratch.start + RETURN);
    args.forEach((value, i) => interpreter.setRegister(ARGUMENTS[i]!, BigInt.asUintN(64, BigInt(value))));
    interpreter.setRegister(RAX, 0n);
    interpreter.setRegister(RSP, rsp);
    interpreter.flags = 2n;
    interpreter.rip = address;
    for (;;) {
      interpreter.context.halted = false;
      const stop = interpreter.run(1_000_000);
      if (stop !== "halted")
        throw new Error(
          `CPU ${this.caller.cpu} ended with "${stop}" ${interpreter.stopReason} at 0x${interpreter.rip.toString(16)}`,
        );
      if (interpreter.rip === this.scratch.start + RETURN + 1n) return interpreter.register(RAX);
      if (interpreter.rip !== this.scratch.start + INT3_HANDLER + 1n)
        throw new Error(
          `CPU ${this.caller.cpu} took an exception that is no breakpoint, at 0x${this.scratch.quad(interpreter.register(RSP)).toString(16)}`,
        );
      this.handle();
    }
  }

  /** exc_int3 and kprobe_int3_handler; the frame has RIP, CS, RFLAGS, RSP, SS. */
  private handle(): void {
    const { interpreter } = this.caller;
    const frame = interpreter.register(RSP);
    const site = this.scratch.quad(frame) - 1n;
    this.hits.push(site);
    const action = this.answer(site);
    if (!action) throw new Error(`CPU ${this.caller.cpu} met an INT3 at 0x${site.toString(16)} that is nobody's`);
    interpreter.flags = this.scratch.quad(frame + 16n);
    let rsp = this.scratch.quad(frame + 24n);
    let rip: bigint;
    if (action.kind === "boosted") rip = action.slot;
    else if (action.kind === "single-step") {
      interpreter.setRegister(RSP, rsp);
      interpreter.rip = action.slot;
      interpreter.step();
      rsp = interpreter.register(RSP);
      rip = action.next;
    } else if (action.effect.kind === "jump") rip = action.effect.to;
    else if (action.effect.kind === "return") {
      rip = this.scratch.quad(rsp);
      rsp += 8n;
    } else if (action.effect.kind === "call") {
      rsp -= 8n;
      this.scratch.setQuad(rsp, action.effect.back);
      rip = action.effect.to;
    } else if (action.effect.kind === "conditional")
      rip = holds(action.effect.condition, Number(interpreter.flags)) ? action.effect.to : action.effect.otherwise;
    else throw new Error(`no probe of these tests needs ${action.effect.kind}`);
    interpreter.setRegister(RSP, rsp);
    interpreter.rip = rip;
  }
}

/** Whether a branch is taken. @param condition low four bits of the opcode @source SDM vol. 1, "Condition Codes" */
function holds(condition: number, flags: number): boolean {
  const [carry, parity, zero, sign, overflow] = [0, 2, 6, 7, 11].map((bit) => ((flags >> bit) & 1) === 1) as [
    boolean,
    boolean,
    boolean,
    boolean,
    boolean,
  ];
  const base = [overflow, carry, zero, carry || zero, sign, parity, sign !== overflow, zero || sign !== overflow][
    condition >> 1
  ]!;
  return (condition & 1) === 1 ? !base : base;
}
