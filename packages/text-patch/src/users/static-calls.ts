/** Static calls: calls whose target is written into them. */
import { type AddressRange, bytesAt, hex } from "@kreplica/hw-x86/api";
import type { TextUser } from "@kreplica/mm-core/api";
import { staticCallBytes, isStaticCall } from "../boot/calls.js";
import { returnAt } from "../boot/branches.js";
import type { PatchState } from "../boot/patchable-text.js";
import { branch32, CALL, JMP32 } from "../encode.js";
import { TextPatchError } from "../errors.js";
import type { TextPoke } from "../poke/poke-api.js";
import type { StaticCallSite, StaticCallTrampoline } from "../sites/site.js";

/** Static calls: sites that call what a key names, rewritten when it changes. */
export class StaticCalls implements TextUser {
  readonly name = "a static call";
  private readonly byKey = new Map<bigint, StaticCallSite[]>();
  private readonly trampolines = new Map<bigint, bigint>();
  /** What a key was aimed at last. */
  private readonly targets = new Map<bigint, bigint>();

  constructor(
    private readonly poke: TextPoke,
    sites: readonly StaticCallSite[],
    trampolines: readonly StaticCallTrampoline[],
    private readonly state: PatchState,
  ) {
    for (const site of sites) this.byKey.set(site.key, [...(this.byKey.get(site.key) ?? []), site]);
    for (const { key, address } of trampolines) this.trampolines.set(key, address);
    poke.users.add(this);
  }

  *sites(): Iterable<bigint> {
    yield* this.trampolines.values();
    for (const list of this.byKey.values()) for (const { address, init } of list) if (!init) yield address;
    for (const target of this.targets.values())
      if (target !== 0n && target !== this.state.staticCallReturn0) yield target;
  }

  /** A call from text that stays leads into what is to go: aim it elsewhere first. Linux leaves that to the module. */
  refusal({ start, end }: AddressRange): string | undefined {
    const goes = (address: bigint | undefined): boolean => address !== undefined && address >= start && address < end;
    for (const [key, target] of this.targets) {
      const from = [this.trampolines.get(key), ...(this.byKey.get(key) ?? []).map(({ address }) => address)].find(
        (address) => address !== undefined && !goes(address),
      );
      if (goes(target) && !goes(key) && from !== undefined)
        return `a static call at ${hex(from)} is aimed at ${hex(target)}: aim it elsewhere first`;
    }
    return undefined;
  }

  /** @source kernel/static_call_inline.c static_call_del_module */
  forget({ start, end }: AddressRange): void {
    const goes = (address: bigint): boolean => address >= start && address < end;
    for (const [key, address] of [...this.trampolines]) if (goes(address) || goes(key)) this.trampolines.delete(key);
    for (const [key, list] of [...this.byKey]) {
      const left = goes(key) ? [] : list.filter(({ address }) => !goes(address));
      if (left.length > 0) this.byKey.set(key, left);
      else this.byKey.delete(key);
    }
    for (const key of [...this.targets.keys()])
      if (!this.byKey.has(key) && !this.trampolines.has(key)) this.targets.delete(key);
  }

  get keys(): readonly bigint[] {
    return [...new Set([...this.byKey.keys(), ...this.trampolines.keys()])];
  }

  /**
   * Aims every site, and the trampoline, at another function; 0 for none.
   * @patch 08/12 arch/x86/kernel/static_call.c arch_static_call_transform
   * @throws TextPatchError no-site, unexpected-code
   */
  update(key: bigint, target: bigint): void {
    const sites = this.byKey.get(key) ?? [];
    const trampoline = this.trampolines.get(key);
    if (sites.length === 0 && trampoline === undefined)
      throw new TextPatchError("no-site", key, "no static call has this key");
    if (trampoline !== undefined) {
      this.poke.batch([
        {
          address: trampoline,
          bytes: target === 0n ? returnAt(trampoline, 5, this.state) : branch32(JMP32, trampoline, target),
        },
      ]);
    }
    for (const site of sites) {
      if (site.init) continue;
      const old = this.poke.read(bytesAt(site.address, 6));
      if (!isStaticCall(old))
        throw new TextPatchError(
          "unexpected-code",
          site.address,
          "a static-call site to be changed holds no call, jump, return or no-op",
        );
      const bytes = staticCallBytes(site, old, target, this.state);
      // A site that returns 0 in place is met half-written as the call it stands for.
      const zero = !site.tail && target === this.state.staticCallReturn0;
      this.poke.batch([
        { address: site.address, bytes, ...(zero ? { emulate: branch32(CALL, site.address, target) } : {}) },
      ]);
    }
    this.targets.set(key, target);
  }
}
