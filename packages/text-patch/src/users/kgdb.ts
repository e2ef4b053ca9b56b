/** The debugger's breakpoints: set while all CPUs stand still, so that one write in each copy is enough. */
import { type AddressRange, bytesAt } from "@kreplica/hw-x86/api";
import type { TextUser } from "@kreplica/mm-core/api";
import { INT3 } from "../encode.js";
import { TextPatchError } from "../errors.js";
import type { TextPoke } from "../poke/poke-api.js";

export class DebuggerBreakpoints implements TextUser {
  readonly name = "a debugger's breakpoint";
  private readonly saved = new Map<bigint, number>();
  constructor(private readonly poke: TextPoke) {
    poke.users.add(this);
  }

  sites(): Iterable<bigint> {
    return this.saved.keys();
  }
  refusal(): undefined {
    return undefined;
  }
  /** The code goes, and its breakpoints with it. */
  forget({ start, end }: AddressRange): void {
    for (const address of [...this.saved.keys()]) if (address >= start && address < end) this.saved.delete(address);
  }

  /** @patch 08/12 arch/x86/kernel/kgdb.c kgdb_arch_set_breakpoint @throws TextPatchError taken, busy */
  set(address: bigint): void {
    if (this.saved.has(address)) throw new TextPatchError("taken", address, "has a breakpoint already");
    const [byte] = this.poke.read(bytesAt(address, 1));
    this.poke.pokeStopped(address, Uint8Array.of(INT3));
    this.saved.set(address, byte!);
  }

  /** @patch 08/12 arch/x86/kernel/kgdb.c kgdb_arch_remove_breakpoint @throws TextPatchError no-site, busy */
  remove(address: bigint): void {
    const byte = this.saved.get(address);
    if (byte === undefined) throw new TextPatchError("no-site", address, "has no breakpoint");
    this.poke.pokeStopped(address, Uint8Array.of(byte));
    this.saved.delete(address);
  }
}
