/**
 * Kprobes: an INT3 in every copy, the displaced instruction in a slot that all nodes share, and, where the code allows,
 * a jump instead.
 *
 * Handlers are the caller's; this is what happens to text. What a CPU does that hits a probe is returned as data, so
 * that the interpreter, or a model of one, can do it.
 */
import { type AddressRange, bytesAt, hex, lengthOf } from "@kreplica/hw-x86/api";
import type { TextUser } from "@kreplica/mm-core/api";
import { branch32, INT3, JMP32 } from "../encode.js";
import { LONGEST } from "../decode.js";
import { TextPatchError } from "../errors.js";
import { type Emulation, emulationOf } from "../poke/emulate.js";
import type { TextPoke } from "../poke/poke-api.js";
import type { InsnPages } from "./insn-pages.js";
import { branchesInto, moveInstruction, moveRun } from "./move-code.js";

/** Bytes of the jump that an optimised probe writes. */
const JUMP_BYTES = 5;

/** What a CPU does after the handler. */
export type ProbeAction =
  /** Runs the slot with TF set, then goes to `next`. */
  | { readonly kind: "single-step"; readonly slot: bigint; readonly next: bigint }
  /** Runs on from the slot, which jumps back by itself. */
  | { readonly kind: "boosted"; readonly slot: bigint }
  /** Branches, calls and returns have their effect computed: they would do something else in a slot. */
  | { readonly kind: "emulate"; readonly effect: Emulation };

interface Probe {
  readonly address: bigint;
  readonly original: Uint8Array;
  readonly slot: bigint | undefined;
  readonly action: ProbeAction;
  users: number;
  /** Detour of an optimised probe, and the bytes its jump covers. */
  detour: { readonly slot: bigint; readonly covered: Uint8Array } | undefined;
}

/**
 * Kprobes: an INT3 in every copy, the displaced instruction in a slot that all nodes share, and a jump instead where
 * the code allows.
 */
export class Kprobes implements TextUser {
  readonly name = "a probe";
  private readonly probes = new Map<bigint, Probe>();

  /**
   * @param slots at least 32 bytes each
   * @param detours at least 128 bytes each
   * @param grace returns when nobody is in a slot or detour any more that nothing leads to: synchronize_rcu_tasks
   */
  constructor(
    private readonly poke: TextPoke,
    private readonly slots: InsnPages,
    private readonly detours: InsnPages,
    private readonly grace: () => void = () => undefined,
  ) {
    poke.users.add(this);
  }

  sites(): Iterable<bigint> {
    return this.probes.keys();
  }

  refusal(range: AddressRange): string | undefined {
    // Slots are given back by patching them.
    const [first] = this.poke.underWay.length > 0 ? this.within(range) : [];
    return (
      first &&
      `a probe is at ${hex(first.address)}, and its slot cannot be given back while a patch is under way: let it finish first`
    );
  }

  /** A probe of text that goes is gone: nothing is written where it was. @source kernel/kprobes.c kill_kprobe */
  forget(range: AddressRange): void {
    const gone = this.within(range);
    for (const { address } of gone) this.probes.delete(address);
    if (gone.some(({ slot, detour }) => slot !== undefined || detour)) this.grace();
    for (const { slot, detour } of gone) {
      if (detour) this.detours.give(detour.slot);
      if (slot !== undefined) this.slots.give(slot);
    }
  }

  private within({ start, end }: AddressRange): Probe[] {
    return [...this.probes.values()].filter(
      ({ address, detour, original }) =>
        address < end && address + BigInt(detour?.covered.length ?? original.length) > start,
    );
  }

  /** @patch 08/12 arch/x86/kernel/kprobes/core.c arch_arm_kprobe @throws TextPatchError taken, not-decodable */
  arm(address: bigint): void {
    const known = this.probes.get(address);
    if (known) {
      known.users++;
      return;
    }
    for (const other of this.probes.values()) {
      if (other.detour && address > other.address && address < other.address + BigInt(other.detour.covered.length))
        this.unoptimise(other.address);
    }
    const bytes = this.poke.read(bytesAt(address, LONGEST));
    if (bytes[0] === INT3) throw new TextPatchError("taken", address, "holds a breakpoint already");
    const moved = moveInstruction(bytes, address, address);
    const original = bytes.slice(0, moved.length);
    const next = address + BigInt(moved.length);
    let slot: bigint | undefined;
    let action: ProbeAction;
    if (moved.flow === "next") {
      slot = this.slots.take();
      const copy = moveInstruction(bytes, address, slot).bytes;
      // An instruction that simply goes on is followed by a jump back: no second trap is needed.
      const boosted = copy.length + JUMP_BYTES <= this.slots.slotBytes;
      this.slots.write(
        slot,
        boosted ? Uint8Array.of(...copy, ...branch32(JMP32, slot + BigInt(copy.length), next)) : copy,
      );
      action = boosted ? { kind: "boosted", slot } : { kind: "single-step", slot, next };
    } else if (moved.target !== undefined || moved.flow === "return")
      action = { kind: "emulate", effect: emulationOf(address, original) };
    else {
      slot = this.slots.take();
      this.slots.write(slot, moveInstruction(bytes, address, slot).bytes);
      action = { kind: "single-step", slot, next };
    }
    this.probes.set(address, { address, original, slot, action, users: 1, detour: undefined });
    this.poke.poke(address, Uint8Array.of(INT3));
    this.poke.synchronise();
  }

  /**
   * Puts the original back in every copy when the last user goes.
   * @patch 08/12 arch/x86/kernel/kprobes/core.c arch_disarm_kprobe
   * @throws TextPatchError no-site
   */
  disarm(address: bigint): void {
    const probe = this.need(address);
    if (--probe.users > 0) return;
    if (probe.detour) this.unoptimise(address);
    this.poke.poke(address, probe.original.subarray(0, 1));
    this.poke.synchronise();
    this.probes.delete(address);
    if (probe.slot === undefined) return;
    this.grace();
    this.slots.give(probe.slot);
  }

  /** What a CPU does whose INT3 was at the address; undefined for no probe of ours. */
  hit(address: bigint): ProbeAction | undefined {
    return this.probes.get(address)?.action;
  }

  /**
   * Replaces the INT3 by a jump to a detour: `before`, the displaced instructions, a jump back.
   * @param before code to run first, independent of its address
   * @param functionStart the function's bytes are searched for branches into the displaced instructions
   * @patch 08/12 arch/x86/kernel/kprobes/opt.c arch_optimize_kprobes
   * @throws TextPatchError no-site, unexpected-code
   */
  optimise(address: bigint, before: Uint8Array, functionStart: bigint, functionBytes: number): void {
    const probe = this.need(address);
    if (probe.detour) return;
    const whole = this.clean(bytesAt(functionStart, functionBytes));
    const at = Number(address - functionStart);
    let displaced = 0;
    while (displaced < JUMP_BYTES)
      displaced += moveInstruction(
        whole.subarray(at + displaced),
        address + BigInt(displaced),
        address + BigInt(displaced),
      ).length;
    if (
      at + displaced > functionBytes ||
      branchesInto(whole, functionStart, { start: address, end: address + BigInt(displaced) })
    ) {
      throw new TextPatchError(
        "unexpected-code",
        address,
        "the function jumps into the instructions a jump would cover, or ends in them; the probe stays an INT3",
      );
    }
    for (const other of this.probes.values()) {
      if (other !== probe && other.address > address && other.address < address + BigInt(displaced))
        throw new TextPatchError("taken", other.address, "another probe lies in the instructions a jump would cover");
    }
    const slot = this.detours.take();
    try {
      const run = moveRun(whole.subarray(at), address, slot + BigInt(before.length), JUMP_BYTES);
      this.detours.write(slot, Uint8Array.of(...before, ...run.code));
      const covered = whole.slice(at, at + displaced);
      this.poke.batch([{ address, bytes: branch32(JMP32, address, slot) }]);
      probe.detour = { slot, covered };
    } catch (error) {
      this.detours.give(slot);
      throw error;
    }
  }

  /**
   * Back to the INT3.
   * @patch 08/12 arch/x86/kernel/kprobes/opt.c arch_unoptimize_kprobe
   * @throws TextPatchError no-site
   */
  unoptimise(address: bigint): void {
    const probe = this.need(address);
    const { detour } = probe;
    if (!detour) return;
    // INT3 first, then the tail: a CPU that decodes meanwhile takes the probe.
    this.poke.poke(address, Uint8Array.of(INT3));
    this.poke.synchronise();
    this.poke.poke(address + 1n, detour.covered.subarray(1, JUMP_BYTES));
    this.poke.synchronise();
    probe.detour = undefined;
    this.grace();
    this.detours.give(detour.slot);
  }

  /** A function's bytes without our probes in them. */
  private clean(range: AddressRange): Uint8Array {
    const { start } = range;
    const bytes = lengthOf(range);
    const code = this.poke.read(range);
    for (const { address, original, detour } of this.probes.values()) {
      const at = Number(address - start);
      if (at >= 0 && at < bytes) code.set((detour?.covered ?? original).subarray(0, bytes - at), at);
    }
    return code;
  }

  private need(address: bigint): Probe {
    const probe = this.probes.get(address);
    if (!probe) throw new TextPatchError("no-site", address, "no probe is armed there");
    return probe;
  }
}

/** Return probes: a call's return address exchanged for a trampoline's, and given back when the function returns. */
export class ReturnProbes {
  private readonly pending: bigint[] = [];
  /** @param trampoline code that ends in a jump to what {@link leave} returns */
  constructor(readonly trampoline: bigint) {}
  /** At the function's entry. @param back the return address on the stack @returns what to put there instead */
  enter(back: bigint): bigint {
    this.pending.push(back);
    return this.trampoline;
  }
  /** In the trampoline. @throws TextPatchError no-site when nobody entered */
  leave(): bigint {
    const back = this.pending.pop();
    if (back === undefined) throw new TextPatchError("no-site", this.trampoline, "no probed function is to return");
    return back;
  }
}
