/** Static calls: calls whose target is written into them. */
import { staticCallBytes, isStaticCall } from "../boot/calls.js";
import { returnAt } from "../boot/branches.js";
import type { PatchState } from "../boot/patchable-text.js";
import { branch32, CALL, JMP32 } from "../encode.js";
import { TextPatchError } from "../errors.js";
import type { TextPoke } from "../poke/poke-api.js";
import type { StaticCallSite, StaticCallTrampoline } from "../sites/site.js";

export class StaticCalls {
  private readonly sites = new Map<bigint, StaticCallSite[]>();
  private readonly trampolines = new Map<bigint, bigint>();

  constructor(private readonly poke: TextPoke, sites: readonly StaticCallSite[], trampolines: readonly StaticCallTrampoline[], private readonly state: PatchState) {
    for (const site of sites) this.sites.set(site.key, [...(this.sites.get(site.key) ?? []), site]);
    for (const { key, address } of trampolines) this.trampolines.set(key, address);
  }

  get keys(): readonly bigint[] { return [...new Set([...this.sites.keys(), ...this.trampolines.keys()])]; }

  /**
   * Aims every site, and the trampoline, at another function; 0 for none.
   * @patch 08/12 arch/x86/kernel/static_call.c arch_static_call_transform
   * @throws TextPatchError no-site, unexpected-code
   */
  update(key: bigint, target: bigint): void {
    const sites = this.sites.get(key) ?? [];
    const trampoline = this.trampolines.get(key);
    if (sites.length === 0 && trampoline === undefined) throw new TextPatchError("no-site", key, "no static call has this key");
    if (trampoline !== undefined) {
      this.poke.batch([{ address: trampoline, bytes: target === 0n ? returnAt(trampoline, 5, this.state) : branch32(JMP32, trampoline, target) }]);
    }
    for (const site of sites) {
      if (site.init) continue;
      const old = this.poke.read(site.address, 6);
      if (!isStaticCall(old)) throw new TextPatchError("unexpected-code", site.address, "a static-call site to be changed holds no call, jump, return or no-op");
      const bytes = staticCallBytes(site, old, target, this.state);
      // A site that returns 0 in place is met half-written as the call it stands for.
      const zero = !site.tail && target === this.state.staticCallReturn0;
      this.poke.batch([{ address: site.address, bytes, ...(zero ? { emulate: branch32(CALL, site.address, target) } : {}) }]);
    }
  }
}
