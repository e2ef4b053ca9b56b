/** Static keys: branches switched by writing them, at every site and in every copy. */
import { type AddressRange, bytesAt } from "@kreplica/hw-x86/api";
import type { TextUser } from "@kreplica/mm-core/api";
import { jumpLabelBytes, jumpLabelLength } from "../boot/calls.js";
import { TextPatchError } from "../errors.js";
import type { TextPoke } from "../poke/poke-api.js";
import type { JumpLabelSite } from "../sites/site.js";

/** @patch 08/12 arch/x86/kernel/jump_label.c arch_jump_label_transform_queue */
export class JumpLabels implements TextUser {
  readonly name = "a static key";
  private readonly byKey = new Map<bigint, JumpLabelSite[]>();
  private readonly counts = new Map<bigint, number>();

  /**
   * @param sites in any order; those of init text are left alone once it is freed
   * @param enabled a key's count when the table was read
   */
  constructor(
    private readonly poke: TextPoke,
    sites: readonly JumpLabelSite[],
    enabled: (key: bigint) => number,
  ) {
    for (const site of [...sites].sort((a, b) => (a.address < b.address ? -1 : 1))) {
      const list = this.byKey.get(site.key);
      if (list) list.push(site);
      else this.byKey.set(site.key, [site]);
      if (!this.counts.has(site.key)) this.counts.set(site.key, enabled(site.key));
    }
    poke.users.add(this);
  }

  *sites(): Iterable<bigint> {
    for (const list of this.byKey.values()) for (const { address, init } of list) if (!init) yield address;
  }
  refusal(): undefined {
    return undefined;
  }

  /** Sites of text that goes, and keys of data that goes with it. @source kernel/jump_label.c jump_label_del_module */
  forget({ start, end }: AddressRange): void {
    const goes = (address: bigint): boolean => address >= start && address < end;
    for (const [key, list] of [...this.byKey]) {
      const left = goes(key) ? [] : list.filter(({ address }) => !goes(address));
      if (left.length === list.length) continue;
      if (left.length > 0) this.byKey.set(key, left);
      else {
        this.byKey.delete(key);
        this.counts.delete(key);
      }
    }
  }

  get keys(): readonly bigint[] {
    return [...this.byKey.keys()];
  }
  enabled(key: bigint): boolean {
    return (this.counts.get(key) ?? 0) > 0;
  }
  sitesOf(key: bigint): readonly JumpLabelSite[] {
    return this.byKey.get(key) ?? [];
  }

  /** static_key_slow_inc: the first user switches the branches. @throws TextPatchError no-site */
  increment(key: bigint): void {
    this.count(key, 1);
  }
  /** static_key_slow_dec: so does the last. */
  decrement(key: bigint): void {
    this.count(key, -1);
  }

  private count(key: bigint, by: 1 | -1): void {
    const before = this.counts.get(key);
    if (before === undefined || before + by < 0)
      throw new TextPatchError(
        "no-site",
        key,
        before === undefined ? "no jump label has this key" : "the key is off already",
      );
    this.counts.set(key, before + by);
    if (before > 0 === before + by > 0) return;
    try {
      for (const site of this.byKey.get(key)!) {
        if (site.init) continue;
        const length = jumpLabelLength(this.poke.read(bytesAt(site.address, 5)), site.address);
        this.poke.queue({ address: site.address, bytes: jumpLabelBytes(site, length, by > 0 !== site.branch) });
      }
    } finally {
      this.poke.finish();
    }
  }
}
