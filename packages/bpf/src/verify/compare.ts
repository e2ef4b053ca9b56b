/** When a state may be called done because an earlier one, already followed to its end, covers it. */
import type { Liveness } from "./liveness.js";
import { isPointer, type Register, scalars, ZERO } from "./register.js";
import { Byte, type Frame, type StackSlot, type State } from "./state.js";

/** Ids of the old state and what they are called in the new one; one to one. */
class Names {
  private readonly forward = new Map<number, number>();
  private readonly taken = new Set<number>();
  same(old: number, now: number): boolean {
    if (old === 0) return true; // nothing depended on a link here
    if (now === 0) return false;
    const known = this.forward.get(old);
    if (known !== undefined) return known === now;
    if (this.taken.has(now)) return false;
    this.forward.set(old, now);
    this.taken.add(now);
    return true;
  }
}

/**
 * Whether everything that can happen from `now` has been seen from `old`, both at slot `at`.
 *
 * @param loose numbers that can decide nothing any more count as equal
 */
export function covers(old: State, now: State, at: number, liveness: Liveness, loose: boolean): boolean {
  if (old.frames.length !== now.frames.length || old.held.length !== now.held.length) return false;
  const names = new Names();
  for (let depth = old.frames.length - 1; depth >= 0; depth--) {
    const before = old.frames[depth]!,
      after = now.frames[depth]!;
    if (before.start !== after.start || before.returnTo !== after.returnTo) return false;
    // A caller goes on where its call returns; what it needs is what lives there.
    const place = depth === old.frames.length - 1 ? at : old.frames[depth + 1]!.returnTo;
    const { live, exact, exactNear, exactFar } = liveness;
    if (
      !frameCovers(
        before,
        after,
        live[place]!,
        loose ? exact[place]! : -1,
        loose ? exactNear[place]! : -1,
        loose ? exactFar[place]! : -1,
        names,
      )
    )
      return false;
  }
  return old.held.every((held, i) => names.same(held.id, now.held[i]!.id));
}

function frameCovers(
  old: Frame,
  now: Frame,
  live: number,
  exact: number,
  near: number,
  far: number,
  names: Names,
): boolean {
  for (let r = 0; r < 10; r++) {
    if ((live >> r) & 1 && !registerCovers(old.registers[r]!, now.registers[r]!, ((exact >> r) & 1) !== 0, names))
      return false;
  }
  for (let i = 0; i < old.stack.length; i++) {
    const before = old.stack[i]!,
      after = now.stack[i]!;
    if (before !== after && !slotCovers(before, after, ((i < 32 ? near >> i : far >> (i - 32)) & 1) !== 0, names))
      return false;
    if (before === after && before.spill && !registerCovers(before.spill, before.spill, true, names)) return false;
  }
  return true;
}

function registerCovers(old: Register, now: Register, exact: boolean, names: Names): boolean {
  if (old.kind === "unset") return true;
  if (old.kind !== now.kind) return false;
  if (old.kind === "scalar") return !exact || (names.same(old.id, now.id) && scalars.includes(old.number, now.number));
  if (
    old.map !== now.map ||
    old.frame !== now.frame ||
    old.offset !== now.offset ||
    !names.same(old.reference, now.reference)
  )
    return false;
  // Packet and record pointers: what was proven to lie behind the old one lies behind the new one too.
  if (old.kind === "mem" || old.kind === "mem_or_null" ? old.range !== now.range : old.range > now.range) return false;
  return (
    (old.reference !== 0 || names.same(old.id, now.id)) &&
    (old.number === now.number ||
      (old.number !== ZERO || now.number === ZERO ? scalars.includes(old.number, now.number) : false))
  );
}

function slotCovers(old: StackSlot, now: StackSlot, exact: boolean, names: Names): boolean {
  // A spill of eight bytes or of the lower four, on both sides the same.
  const both =
    old.spill !== undefined &&
    now.spill !== undefined &&
    old.bytes.every((byte, i) => (byte === Byte.Spill) === (now.bytes[i] === Byte.Spill));
  if (both && !registerCovers(old.spill!, now.spill!, exact, names)) return false;
  return old.bytes.every((byte, i) => {
    const other = now.bytes[i]!;
    if (both && byte === Byte.Spill) return true;
    switch (byte) {
      case Byte.Unset:
        return true;
      case Byte.Misc:
        return (
          other === Byte.Misc ||
          other === Byte.Zero ||
          (other === Byte.Spill && now.spill !== undefined && !isPointer(now.spill))
        );
      case Byte.Zero:
        return other === Byte.Zero || (!exact && other !== Byte.Unset && !(now.spill && isPointer(now.spill)));
      case Byte.Spill:
        return false;
    }
  });
}

/**
 * Whether nothing changed between two visits of the same slot that can still be read: a loop that makes no progress.
 */
export function unchanged(old: State, now: State, at: number, liveness: Liveness): boolean {
  if (old.frames.length !== now.frames.length || old.held.length !== now.held.length) return false;
  for (let depth = old.frames.length - 1; depth >= 0; depth--) {
    const before = old.frames[depth]!,
      after = now.frames[depth]!;
    if (before.start !== after.start || before.returnTo !== after.returnTo) return false;
    const live = liveness.live[depth === old.frames.length - 1 ? at : old.frames[depth + 1]!.returnTo]!;
    for (let r = 0; r < 10; r++) if ((live >> r) & 1 && !same(before.registers[r]!, after.registers[r]!)) return false;
    for (let i = 0; i < before.stack.length; i++) {
      const a = before.stack[i]!,
        b = after.stack[i]!;
      if (a === b) continue;
      if (
        (a.spill === undefined) !== (b.spill === undefined) ||
        (a.spill && b.spill && !same(a.spill, b.spill)) ||
        a.bytes.some((byte, j) => byte !== b.bytes[j])
      )
        return false;
    }
  }
  return true;
}

const same = (a: Register, b: Register): boolean =>
  a === b ||
  (a.kind === b.kind &&
    a.offset === b.offset &&
    a.map === b.map &&
    a.frame === b.frame &&
    a.range === b.range &&
    (a.number === b.number ||
      (a.number.umin === b.number.umin &&
        scalars.includes(a.number, b.number) &&
        scalars.includes(b.number, a.number))));
