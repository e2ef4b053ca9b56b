/**
 * Trampolines: programs around a kernel function. The five-byte no-op at its entry becomes a call of an image that
 * saves the arguments, runs the entry programs, calls the function itself when there are exit programs, and returns for
 * it.
 *
 * Frame of an image, from rbp down: result (8 bytes) | arguments from last to first, so that the context (lowest
 * address) is an array of 64-bit words with the result behind the arguments
 *
 * Each change builds a new image and turns the call to it: a CPU inside the old one finishes there, and only then is
 * the old page given back.
 *
 * @patch 12/12 kernel/bpf/trampoline.c bpf_trampoline_update
 */
import { inject, injectable } from "@kreplica/di";
import { bytesAt, hex, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { BpfError } from "../errors.js";
import type { KernelTrampolines, TraceTarget } from "../images-api.js";
import { Emitter, Group, Reg } from "../jit/emitter.js";
import { CodeAreas, CodePermissions, CodeReplication, CodeWriter } from "../ports.js";

const ARGUMENTS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.rcx, Reg.r8, Reg.r9] as const;
/** Programs on one function. @source Linux, include/linux/bpf.h, BPF_MAX_TRAMP_LINKS */
export const MOST_PROGRAMS = 38;
const NOP5 = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);

/** Addresses of the programs that run before and after the traced function, in order. */
export interface TrampolinePrograms {
  readonly entry: readonly bigint[];
  readonly exit: readonly bigint[];
}

/** Machine code of an image at `address`. */
export function trampolineCode(target: TraceTarget, programs: TrampolinePrograms, address: bigint): Uint8Array {
  const out = new Emitter(),
    count = target.arguments,
    context = -8 * (count + 1);
  const call = (to: bigint): void => {
    const distance = to - (address + BigInt(out.length + 5));
    if (distance === BigInt.asIntN(32, distance)) out.call(Number(distance));
    else {
      out.moveImmediate(Reg.rax, to);
      out.callRegister(Reg.rax);
    }
  };
  const run = (program: bigint): void => {
    out.addressOf(Reg.rdi, Reg.rbp, context);
    call(program);
  };
  const restore = (): void => {
    for (let i = 0; i < count; i++) out.load(8, false, ARGUMENTS[i]!, Reg.rbp, context + 8 * i);
  };
  // The call at the function's entry pushed its return address on top of the caller's: rsp is a multiple of 16 here, so
  // that an odd count of words follows rbp.
  out.push(Reg.rbp);
  out.move(true, Reg.rbp, Reg.rsp);
  const words = (count + 1) | 1;
  out.groupImmediate(true, Group.sub, Reg.rsp, 8 * words);
  for (let i = 0; i < count; i++) out.store(8, ARGUMENTS[i]!, Reg.rbp, context + 8 * i);
  for (const program of programs.entry) run(program);
  restore();
  if (programs.exit.length === 0) {
    out.leave();
    out.ret();
    return out.bytes;
  }
  call(target.address + 5n);
  out.store(8, Reg.rax, Reg.rbp, -8);
  for (const program of programs.exit) run(program);
  out.load(8, false, Reg.rax, Reg.rbp, -8);
  out.leave();
  // Past the return into the function's body: it has run already.
  out.groupImmediate(true, Group.add, Reg.rsp, 8);
  out.ret();
  return out.bytes;
}

interface Attached {
  readonly target: TraceTarget;
  entry: bigint[];
  exit: bigint[];
  image: bigint | undefined;
}

/**
 * Programs around kernel functions: the no-op at a function's entry calls an image made for them.
 * @patch 12/12 kernel/bpf/trampoline.c bpf_trampoline_update
 */
@injectable()
export class Trampolines implements KernelTrampolines {
  private readonly attached = new Map<bigint, Attached>();

  constructor(
    @inject(CodeAreas) private readonly areas: CodeAreas,
    @inject(CodePermissions) private readonly permissions: CodePermissions,
    @inject(CodeWriter) private readonly writer: CodeWriter,
    @inject(CodeReplication) private readonly replication: CodeReplication,
  ) {}

  /**
   * @throws BpfError `trampoline-bad-site`, `trampoline-too-many`, `trampoline-no-space`; the function is as before
   *   then
   */
  attach(target: TraceTarget, when: "entry" | "exit", program: bigint): void {
    const known = this.attached.get(target.address);
    if (!known && this.writer.read(bytesAt(target.address, 5)).some((byte, i) => byte !== NOP5[i])) {
      throw new BpfError(
        "trampoline-bad-site",
        {},
        `no five-byte no-op at ${hex(target.address)}: the function cannot be traced or another tracer has it`,
      );
    }
    const now = known ?? { target, entry: [], exit: [], image: undefined };
    if (now.entry.length + now.exit.length >= MOST_PROGRAMS)
      throw new BpfError(
        "trampoline-too-many",
        {},
        `${MOST_PROGRAMS} programs are attached to ${hex(target.address)} already`,
      );
    this.update(now, {
      entry: when === "entry" ? [...now.entry, program] : now.entry,
      exit: when === "exit" ? [...now.exit, program] : now.exit,
    });
  }

  /** @throws BpfError `trampoline-not-attached` */
  detach(target: TraceTarget, program: bigint): void {
    const now = this.attached.get(target.address);
    if (!now || !(now.entry.includes(program) || now.exit.includes(program)))
      throw new BpfError(
        "trampoline-not-attached",
        {},
        `program ${hex(program)} is not attached to ${hex(target.address)}`,
      );
    const without = (list: bigint[]): bigint[] => {
      const at = list.indexOf(program);
      return at < 0 ? list : list.toSpliced(at, 1);
    };
    const entry = without(now.entry);
    this.update(now, { entry, exit: entry === now.entry ? without(now.exit) : now.exit });
  }

  /** Address of the image on a function, undefined when none is attached. */
  imageOf(target: TraceTarget): bigint | undefined {
    return this.attached.get(target.address)?.image;
  }

  private update(now: Attached, next: { entry: bigint[]; exit: bigint[] }): void {
    const { target } = now,
      old = now.image;
    const image = next.entry.length + next.exit.length === 0 ? undefined : this.build(target, next);
    if (image === undefined) this.writer.live(target.address, NOP5);
    else {
      const call = new Emitter();
      call.call(Number(image - target.address - 5n));
      this.writer.live(target.address, call.bytes);
    }
    Object.assign(now, next, { image });
    if (image === undefined) this.attached.delete(target.address);
    else this.attached.set(target.address, now);
    if (old === undefined) return;
    this.writer.settle();
    this.permissions.writableNoExecute({ start: old, pages: 1 });
    this.areas.release(old);
  }

  private build(target: TraceTarget, programs: TrampolinePrograms): bigint {
    const image = this.areas.allocate(PAGE_BYTES, "bpf trampoline");
    if (image === undefined)
      throw new BpfError("trampoline-no-space", {}, "no page for a trampoline in the module range");
    const code = new Uint8Array(PAGE_BYTES).fill(0xcc);
    code.set(trampolineCode(target, programs, image));
    this.areas.write(image, code);
    this.replication.replicate(image);
    this.permissions.readOnlyExecutable({ start: image, pages: 1 });
    return image;
  }
}
