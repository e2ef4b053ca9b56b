/**
 * struct_ops images: one page with a small function for each function pointer of a kernel structure, which gathers the
 * arguments into the array that the program expects as its context; and the structure's value with the pointers filled.
 *
 * @patch 12/12 kernel/bpf/bpf_struct_ops.c bpf_struct_ops_map_update_elem
 */
import { inject, injectable } from "@kreplica/di";
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import { BpfError } from "../errors.js";
import type { KernelStructOps, StructOpsImage } from "../images-api.js";
import { Emitter, Group, Reg } from "../jit/emitter.js";
import type { StructOpsDefinition } from "../object/read-struct-ops.js";
import { CodeAreas, CodePermissions, CodeReplication } from "../ports.js";

const ARGUMENTS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.rcx, Reg.r8, Reg.r9] as const;
const ALIGN = 16;

/**
 * A function for each function pointer of a kernel structure, which calls a program.
 * @patch 12/12 kernel/bpf/bpf_struct_ops.c bpf_struct_ops_map_update_elem
 */
@injectable()
export class StructOpsImages implements KernelStructOps {
  private readonly live = new Set<bigint>();
  constructor(
    @inject(CodeAreas) private readonly areas: CodeAreas,
    @inject(CodePermissions) private readonly permissions: CodePermissions,
    @inject(CodeReplication) private readonly replication: CodeReplication,
  ) {}

  /**
   * @param entries code address of each program by name
   * @throws BpfError `struct-ops-no-program`, `struct-ops-no-space`; nothing is kept then
   */
  publish(definition: StructOpsDefinition, entries: ReadonlyMap<string, bigint>): StructOpsImage {
    const missing = definition.members.find((member) => !entries.has(member.program));
    if (missing)
      throw new BpfError(
        "struct-ops-no-program",
        { section: definition.name },
        `member ${missing.name} wants program ${missing.program}, which is not loaded`,
      );
    const address = this.areas.allocate(PAGE_BYTES, "bpf struct_ops");
    if (address === undefined)
      throw new BpfError(
        "struct-ops-no-space",
        { section: definition.name },
        "no page for a struct_ops image in the module range",
      );
    const page = new Uint8Array(PAGE_BYTES).fill(0xcc),
      value = definition.value.slice(),
      view = new DataView(value.buffer);
    let at = 0;
    for (const member of definition.members) {
      const code = thunk(entries.get(member.program)!, address + BigInt(at));
      page.set(code, at);
      view.setBigUint64(member.offset, address + BigInt(at), true);
      at = Math.ceil((at + code.length) / ALIGN) * ALIGN;
    }
    this.areas.write(address, page);
    this.replication.replicate(address);
    this.permissions.readOnlyExecutable({ start: address, pages: 1 });
    this.live.add(address);
    return { name: definition.name, address, value };
  }

  /** Takes a structure back: writable and not executable, then free. */
  retract(image: StructOpsImage): void {
    if (!this.live.delete(image.address))
      throw new BpfError(
        "struct-ops-not-published",
        { section: image.name },
        "it is not published, or was retracted before",
      );
    this.permissions.writableNoExecute({ start: image.address, pages: 1 });
    this.areas.release(image.address);
  }
}

/** Six arguments into an array on the stack, its address to the program. */
function thunk(program: bigint, address: bigint): Uint8Array {
  const out = new Emitter();
  out.nop5();
  out.push(Reg.rbp);
  out.move(true, Reg.rbp, Reg.rsp);
  out.groupImmediate(true, Group.sub, Reg.rsp, 8 * ARGUMENTS.length);
  ARGUMENTS.forEach((register, i) => out.store(8, register, Reg.rbp, -8 * ARGUMENTS.length + 8 * i));
  out.addressOf(Reg.rdi, Reg.rbp, -8 * ARGUMENTS.length);
  const distance = program - (address + BigInt(out.length + 5));
  if (distance === BigInt.asIntN(32, distance)) out.call(Number(distance));
  else {
    out.moveImmediate(Reg.rax, program);
    out.callRegister(Reg.rax);
  }
  out.leave();
  out.ret();
  return out.bytes;
}
