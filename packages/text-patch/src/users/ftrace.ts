/**
 * Function tracing: call sites at the entry of functions, off until somebody asks, and the trampolines they then call;
 * live patching on top.
 */
import { type AddressRange, bytesAt, hex } from "@kreplica/hw-x86/api";
import type { TextUser, TextUsers } from "@kreplica/mm-core/api";
import { branch32, CALL, JMP32, nops } from "../encode.js";
import { TextPatchError } from "../errors.js";
import type { TextPoke } from "../poke/poke-api.js";
import type { InsnPages } from "./insn-pages.js";

const SITE_BYTES = 5;
/** lea 8(%rsp),%rsp: drops the return address the call site pushed. */
const DROP_RETURN = [0x48, 0x8d, 0x64, 0x24, 0x08];

/** ftrace: calls at the beginning of functions, made where somebody traces and no-ops elsewhere. */
export class Ftrace implements TextUser {
  readonly name = "a traced function";
  private readonly known: Set<bigint>;
  private readonly on = new Map<bigint, bigint>();

  /**
   * @param sites of __mcount_loc, already no-ops
   * @param grace returns when nobody is in generated code any more that no site leads to: synchronize_rcu_tasks
   */
  constructor(
    private readonly poke: TextPoke,
    private readonly trampolines: InsnPages,
    sites: readonly bigint[],
    private readonly grace: () => void = () => undefined,
  ) {
    this.known = new Set(sites);
    poke.users.add(this);
  }

  /** Where those who stand on tracing are listed too. */
  get users(): TextUsers {
    return this.poke.users;
  }
  /** Whether text is being patched: nothing can be given back meanwhile. */
  get busy(): boolean {
    return this.poke.underWay.length > 0;
  }

  sites(): Iterable<bigint> {
    return this.known;
  }
  refusal(): undefined {
    return undefined;
  }

  /** Sites of text that goes. Trampolines stay their owners'. @source kernel/trace/ftrace.c ftrace_release_mod */
  forget({ start, end }: AddressRange): void {
    for (const site of [...this.known]) {
      if (site < start || site >= end) continue;
      this.known.delete(site);
      this.on.delete(site);
    }
  }

  /** A trampoline with code of the caller's, callable from every node. @param code made for the address it will have */
  trampoline(code: (address: bigint) => Uint8Array): bigint {
    const slot = this.trampolines.take();
    try {
      this.trampolines.write(slot, code(slot));
      return slot;
    } catch (error) {
      this.trampolines.give(slot);
      throw error;
    }
  }

  /**
   * Gives a trampoline back, after a grace period: a CPU may be in it still.
   * @throws TextPatchError taken while a site calls it
   */
  dropTrampoline(trampoline: bigint): void {
    for (const [site, target] of this.on)
      if (target === trampoline)
        throw new TextPatchError("taken", site, "still calls this trampoline; disable it first");
    this.grace();
    this.trampolines.give(trampoline);
  }

  /**
   * Makes sites call a trampoline, all in one pass over ascending addresses.
   * @patch 08/12 arch/x86/kernel/ftrace.c ftrace_replace_code
   * @throws TextPatchError no-site, unexpected-code
   */
  enable(sites: readonly bigint[], trampoline: bigint): void {
    this.replace(sites, (site) => branch32(CALL, site, trampoline), trampoline);
  }

  disable(sites: readonly bigint[]): void {
    this.replace(sites, () => nops(SITE_BYTES), undefined);
  }

  /** What a site calls now. */
  target(site: bigint): bigint | undefined {
    return this.on.get(site);
  }

  private replace(sites: readonly bigint[], bytes: (site: bigint) => Uint8Array, target: bigint | undefined): void {
    const sorted = [...new Set(sites)].sort((a, b) => (a < b ? -1 : 1));
    for (const site of sorted) {
      if (!this.known.has(site)) throw new TextPatchError("no-site", site, "is no call of __fentry__");
      const old = this.poke.read(bytesAt(site, SITE_BYTES));
      const known = this.on.get(site);
      const expected = known === undefined ? nops(SITE_BYTES) : branch32(CALL, site, known);
      if (old.some((byte, i) => byte !== expected[i]))
        throw new TextPatchError(
          "unexpected-code",
          site,
          "holds neither the no-op nor the call that was written there",
        );
    }
    this.poke.batch(sorted.map((site) => ({ address: site, bytes: bytes(site) })));
    for (const site of sorted) {
      if (target === undefined) this.on.delete(site);
      else this.on.set(site, target);
    }
  }
}

/** Functions replaced while they run: the entry of the old one leads to the new one. */
export class Livepatch implements TextUser {
  readonly name = "a live patch";
  private readonly patched = new Map<bigint, { readonly trampoline: bigint; readonly replacement: bigint }>();
  constructor(private readonly ftrace: Ftrace) {
    ftrace.users.add(this);
  }

  *sites(): Iterable<bigint> {
    for (const { replacement } of this.patched.values()) yield replacement;
  }

  refusal({ start, end }: AddressRange): string | undefined {
    const goes = (address: bigint): boolean => address >= start && address < end;
    for (const [site, { replacement }] of this.patched) {
      if (goes(replacement) && !goes(site))
        return `a live patch leads from ${hex(site)} to ${hex(replacement)}: revert it first`;
      if (goes(site) && this.ftrace.busy)
        return `the function at ${hex(site)} is live-patched, and its trampoline cannot be given back while a patch is under way: let it finish first`;
    }
    return undefined;
  }

  /** The function goes, and with it its trampoline. @source kernel/livepatch/core.c klp_module_going */
  forget({ start, end }: AddressRange): void {
    for (const [site, { trampoline }] of [...this.patched]) {
      if (site < start || site >= end) continue;
      this.patched.delete(site);
      this.ftrace.dropTrampoline(trampoline);
    }
  }

  /** @param site the old function's call of __fentry__ @param replacement entry of the new function */
  apply(site: bigint, replacement: bigint): void {
    const trampoline = this.ftrace.trampoline((address) =>
      Uint8Array.of(...DROP_RETURN, ...branch32(JMP32, address + BigInt(DROP_RETURN.length), replacement)),
    );
    try {
      this.ftrace.enable([site], trampoline);
    } catch (error) {
      this.ftrace.dropTrampoline(trampoline);
      throw error;
    }
    this.patched.set(site, { trampoline, replacement });
  }

  /** @throws TextPatchError no-site */
  revert(site: bigint): void {
    const patch = this.patched.get(site);
    if (!patch) throw new TextPatchError("no-site", site, "is not patched");
    this.ftrace.disable([site]);
    this.patched.delete(site);
    this.ftrace.dropTrampoline(patch.trampoline);
  }
}
