/**
 * Dispatcher: a page that turns the indirect call of one of up to 48 programs into a direct jump, by a binary search
 * over their addresses; what is not among them is jumped to indirectly. Regenerated in the page's other half on each
 * change.
 *
 *   rdi context | rsi instructions (unused here) | rdx address of the program to run
 */
import { inject, injectable } from "@kreplica/di";
import { hex, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { BpfError } from "../errors.js";
import type { KernelDispatcher } from "../images-api.js";
import { Condition, Emitter, Group, Reg } from "../jit/emitter.js";
import { CodeAreas, CodePermissions, CodeReplication, CodeWriter } from "../ports.js";

/** @source Linux, include/linux/bpf.h, BPF_DISPATCHER_MAX */
export const MOST_DISPATCHED = 48;
const HALF = PAGE_BYTES / 2;

/** Code that jumps to whichever of `programs` rdx names. @param programs ascending */
export function dispatcherCode(programs: readonly bigint[], address: bigint): Uint8Array {
  const out = new Emitter();
  const search = (low: number, high: number): void => {
    if (low > high) {
      out.jumpRegister(Reg.rdx);
      return;
    }
    if (low === high) {
      out.moveImmediate(Reg.r11, programs[low]!);
      out.group(true, Group.cmp, Reg.rdx, Reg.r11);
      const distance = programs[low]! - (address + BigInt(out.length + 6));
      if (distance === BigInt.asIntN(32, distance)) out.jumpIf(Condition.equal, Number(distance));
      out.jumpRegister(Reg.rdx);
      return;
    }
    const pivot = (low + high) >> 1;
    out.moveImmediate(Reg.r11, programs[pivot]!);
    out.group(true, Group.cmp, Reg.rdx, Reg.r11);
    const above = out.jumpIf(Condition.above);
    search(low, pivot);
    out.patch(above, out.length - above - 4);
    search(pivot + 1, high);
  };
  search(0, programs.length - 1);
  return out.bytes;
}

/** A page that turns the indirect call of one of up to 48 programs into a direct jump. */
@injectable()
export class Dispatcher implements KernelDispatcher {
  private readonly programs: { address: bigint; users: number }[] = [];
  private page: bigint | undefined;
  private half = 0;

  constructor(
    @inject(CodeAreas) private readonly areas: CodeAreas,
    @inject(CodePermissions) private readonly permissions: CodePermissions,
    @inject(CodeWriter) private readonly writer: CodeWriter,
    @inject(CodeReplication) private readonly replication: CodeReplication,
  ) {}

  /** Where to jump for the programs known now; undefined before the first. */
  get entry(): bigint | undefined {
    return this.page === undefined ? undefined : this.page + BigInt(this.half * HALF);
  }

  /** @throws BpfError `dispatcher-full`, `dispatcher-no-space` */
  add(program: bigint): void {
    const known = this.programs.find((each) => each.address === program);
    if (known) {
      known.users++;
      return;
    }
    if (this.programs.length >= MOST_DISPATCHED)
      throw new BpfError("dispatcher-full", {}, `${MOST_DISPATCHED} programs are dispatched already`);
    if (this.page === undefined) {
      const page = this.areas.allocate(PAGE_BYTES, "bpf dispatcher");
      if (page === undefined)
        throw new BpfError("dispatcher-no-space", {}, "no page for a dispatcher in the module range");
      this.areas.write(page, new Uint8Array(PAGE_BYTES).fill(0xcc));
      this.replication.replicate(page);
      this.permissions.readOnlyExecutable({ start: page, pages: 1 });
      this.page = page;
    }
    this.programs.push({ address: program, users: 1 });
    this.regenerate();
  }

  /** @throws BpfError `dispatcher-not-attached` */
  remove(program: bigint): void {
    const at = this.programs.findIndex((each) => each.address === program);
    if (at < 0) throw new BpfError("dispatcher-not-attached", {}, `program ${hex(program)} is not dispatched`);
    if (--this.programs[at]!.users > 0) return;
    this.programs.splice(at, 1);
    this.regenerate();
  }

  /** Gives the page back. */
  dispose(): void {
    if (this.page !== undefined) this.areas.release(this.page);
    this.page = undefined;
    this.programs.length = 0;
  }

  private regenerate(): void {
    const half = 1 - this.half,
      address = this.page! + BigInt(half * HALF);
    // The other half has not been used since the last settle, so nobody runs what is written over.
    const code = new Uint8Array(HALF).fill(0xcc);
    code.set(
      dispatcherCode(
        this.programs.map((each) => each.address).sort((a, b) => (a < b ? -1 : 1)),
        address,
      ),
    );
    this.writer.copy(address, code);
    this.half = half;
    this.writer.settle();
  }
}
