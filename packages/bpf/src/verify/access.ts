/** Loads and stores: whether each byte that an instruction or a helper may touch is the program's to touch. */
import { invariant } from "../errors.js";
import { constant, isPointer, mayBeNull, pointer, type Register, scalar, scalars, UNKNOWN } from "./register.js";
import { READ_ONLY_FROM_PROGRAM } from "../object/program-type.js";
import { Byte, STACK_BYTES } from "./state.js";
import type { Walk } from "./walk.js";

/** Variable offsets beyond this make a pointer useless. @source Linux, include/linux/bpf_verifier.h */
export const MOST_OFFSET = 1n << 29n;

/** How an access treats memory. `fill` writes without looking; `inspect` reads bytes for a helper. */
export type Purpose = "read" | "write" | "inspect" | "fill";

/** Refuses unless `[offset + number, + bytes)` lies in `[0, length)` for every number possible. */
function within(walk: Walk, name: string, r: Register, offset: number, bytes: number, length: number): void {
  const least = BigInt(r.offset + offset) + r.number.smin,
    most = BigInt(r.offset + offset + bytes) + r.number.smax;
  if (least < 0n)
    walk.reject(
      "verify-access-below",
      `${name} min value is ${least < -MOST_OFFSET ? "unbounded" : `${least}`}: before the start of its ${r.kind}`,
    );
  if (most > BigInt(length))
    walk.reject(
      "verify-access-range",
      `invalid access to ${r.kind}, ${name} size=${length} off=${most - BigInt(bytes)} size=${bytes}`,
    );
}

/** Range of stack offsets that an access may begin at. */
function stackRange(
  walk: Walk,
  name: string,
  r: Register,
  offset: number,
  bytes: number,
): readonly [low: number, high: number] {
  const low = r.offset + offset + Number(r.number.smin),
    high = r.offset + offset + Number(r.number.smax);
  if (low < -STACK_BYTES || high + bytes > 0)
    walk.reject(
      "verify-stack-range",
      `invalid stack access through ${name}, off=${low} size=${bytes}: the stack is fp-${STACK_BYTES} to fp-1`,
    );
  walk.deepen(r.frame, low);
  return [low, high];
}

function checkAlignment(walk: Walk, offset: number, bytes: number): void {
  if (offset % bytes !== 0) walk.reject("verify-misaligned", `misaligned stack access off ${offset} size ${bytes}`);
}

/** Checks that memory behind `r` may be used so. Stack contents are looked at by the callers below. */
function checkRegion(walk: Walk, name: string, r: Register, offset: number, bytes: number, purpose: Purpose): void {
  const writes = purpose === "write" || purpose === "fill";
  switch (r.kind) {
    case "map_value": {
      const map = walk.maps[r.map]!;
      if (writes && map.flags & READ_ONLY_FROM_PROGRAM)
        walk.reject("verify-read-only", `write into map '${map.name}' forbidden: it is read-only for programs`);
      return within(walk, name, r, offset, bytes, map.valueBytes);
    }
    case "mem":
      return within(walk, name, r, offset, bytes, r.range);
    case "pkt":
    case "pkt_meta":
      if (r.number.smin < 0n || r.offset + offset < 0 || r.offset + offset + bytes > r.range) {
        walk.reject(
          "verify-packet-range",
          `invalid access to packet, off=${r.offset + offset} size=${bytes}, ${name}(id=${r.id},off=${r.offset},r=${r.range}): compare with data_end first`,
        );
      }
      return;
    default:
      if (mayBeNull(r))
        walk.reject("verify-null-access", `${name} invalid mem access '${r.kind}': compare it with null first`);
      walk.reject("verify-bad-access", `${name} invalid mem access '${r.kind}'`);
  }
}

/** Result of a load of `bytes` through register `name`. */
export function load(walk: Walk, index: number, r: Register, offset: number, bytes: number, signed: boolean): Register {
  const name = `R${index}`;
  const value = loadUnsigned(walk, name, r, offset, bytes);
  if (!signed || value.kind !== "scalar") return value;
  return scalar(scalars.signExtend(value.number, 8 * bytes));
}

const ofBytes = (bytes: number): Register =>
  bytes === 8 ? UNKNOWN : scalar(scalars.zeroExtend(scalars.unknown, 8 * bytes));

function loadUnsigned(walk: Walk, name: string, r: Register, offset: number, bytes: number): Register {
  if (r.kind === "ctx") return loadContext(walk, r, offset, bytes);
  walk.through("other");
  if (r.kind !== "fp") {
    checkRegion(walk, name, r, offset, bytes, "read");
    return ofBytes(bytes);
  }
  const [low, high] = stackRange(walk, name, r, offset, bytes);
  const touched = walk.state.bytes(r.frame, low, high + bytes);
  const unset = touched.findIndex(({ byte }) => byte === Byte.Unset);
  if (unset >= 0 && !walk.staleStack)
    walk.reject(
      "verify-uninitialised-stack",
      `invalid read from stack off ${low}+${unset} size ${bytes}: never written`,
    );
  if (low === high) checkAlignment(walk, low, bytes);
  const spill = touched[0]!.slot.spill;
  if (low === high && spill && touched.every(({ byte }) => byte === Byte.Spill)) {
    // All of it: eight bytes, or the four that a 32-bit spill has.
    if (bytes === 8 || (bytes === 4 && low % 8 === 0 && touched[0]!.slot.bytes[7] !== Byte.Spill)) return spill;
    if (isPointer(spill))
      walk.reject(
        "verify-spill-partly-read",
        `invalid size of register fill: ${bytes} bytes of a spilled ${spill.kind}`,
      );
    if (low % 8 === 0) return scalar(scalars.zeroExtend(spill.number, 8 * bytes));
    return ofBytes(bytes);
  }
  const leaked = touched.find(({ slot, byte }) => byte === Byte.Spill && slot.spill && isPointer(slot.spill));
  if (leaked && !walk.privileged)
    walk.reject("verify-leak-spilled", `${name} would read parts of a spilled ${leaked.slot.spill!.kind}`);
  return touched.every(({ byte }) => byte === Byte.Zero) ? constant(0n) : ofBytes(bytes);
}

function loadContext(walk: Walk, r: Register, offset: number, bytes: number): Register {
  const at = fixedContextOffset(r, offset);
  const field = walk.shape.pointers.find((each) => each.offset === at);
  if (field && bytes === 4) {
    // The rewritten load goes through the same register, which may already point into the structure.
    walk.through("context", field.word - (at - offset));
    return pointer(field.kind);
  }
  if (!walk.shape.allows(at, bytes, false))
    walk.reject("verify-context-access", `invalid bpf_context access off=${at} size=${bytes}`);
  walk.through("context");
  return ofBytes(bytes);
}

function fixedContextOffset(r: Register, offset: number): number {
  const variable = scalars.value(r.number);
  invariant(variable !== undefined, "arithmetic lets no context pointer have a variable offset");
  return r.offset + offset + Number(BigInt.asIntN(64, variable));
}

/** A store of `value` through register `index`. */
export function store(walk: Walk, index: number, r: Register, offset: number, bytes: number, value: Register): void {
  const name = `R${index}`;
  if (r.kind === "ctx") {
    const at = fixedContextOffset(r, offset);
    if (isPointer(value) && !walk.privileged)
      walk.reject("verify-leak-to-context", `R${walk.code.src[walk.at]} leaks addr into ctx`);
    if (!walk.shape.allows(at, bytes, true))
      walk.reject("verify-context-write", `invalid bpf_context access off=${at} size=${bytes}: not writable`);
    walk.through("context");
    return;
  }
  walk.through("other");
  if (r.kind === "fp") return storeStack(walk, name, r, offset, bytes, value);
  checkRegion(walk, name, r, offset, bytes, "write");
  if (isPointer(value) && !walk.privileged)
    walk.reject("verify-leak-to-memory", `R${walk.code.src[walk.at]} leaks addr into ${r.kind}`);
}

function storeStack(walk: Walk, name: string, r: Register, offset: number, bytes: number, value: Register): void {
  const [low, high] = stackRange(walk, name, r, offset, bytes);
  const state = walk.state,
    depth = state.frames.length - 1;
  if (value.kind === "fp" && value.frame === depth && r.frame !== depth)
    walk.reject("verify-spill-to-caller", "cannot spill a pointer to this stack into the caller's");
  if (low === high) {
    checkAlignment(walk, low, bytes);
    if (isPointer(value) && bytes !== 8)
      walk.reject("verify-spill-size", `invalid size of register spill: ${bytes} bytes of a ${value.kind}`);
    const old = state.bytes(r.frame, low, low + 1)[0]!.slot;
    if (bytes !== 8 && old.spill && isPointer(old.spill) && !walk.privileged)
      walk.reject("verify-spill-corrupted", `attempt to corrupt spilled pointer on stack at fp${low}`);
    if (bytes === 8) state.spill(r.frame, low, value);
    else if (bytes === 4 && low % 8 === 0 && value.kind === "scalar" && scalars.value(value.number) !== 0n)
      state.spillLow(r.frame, low, narrowed(value));
    else state.mark(r.frame, low, low + bytes, scalars.value(value.number) === 0n ? Byte.Zero : Byte.Misc);
    return;
  }
  if (isPointer(value))
    walk.reject("verify-spill-variable", `a ${value.kind} cannot be stored at a variable stack offset`);
  // Any of the bytes may be written, none must: what was set stays set, what was unset stays unset.
  state.mark(r.frame, low, high + bytes, Byte.Misc, true);
}

/** The lower half of a number, as a 32-bit spill keeps it; still a copy of the register when nothing was cut off. */
const narrowed = (value: Register): Register =>
  value.number.umax <= 0xffff_ffffn ? value : scalar(scalars.zeroExtend(value.number, 32));

/** An atomic read, change and write. */
export function atomic(walk: Walk, index: number, r: Register, offset: number, bytes: number): Register {
  if (r.kind === "ctx" || r.kind === "pkt" || r.kind === "pkt_meta")
    walk.reject("verify-atomic-pointer", `atomic through R${index}, a ${r.kind} pointer, is not allowed`);
  const old = load(walk, index, r, offset, bytes, false);
  if (isPointer(old))
    walk.reject("verify-atomic-memory", `R${index} leads to a spilled ${old.kind}; atomics change numbers`);
  store(walk, index, r, offset, bytes, UNKNOWN);
  return old.kind === "scalar" ? ofBytes(bytes) : old;
}

/**
 * Memory handed to a helper: `bytes` readable and initialised (`inspect`), or to be filled (`fill`).
 *
 * @param exact whether the helper fills all the bytes, so that a stack needs no earlier value
 */
export function helperMemory(
  walk: Walk,
  index: number,
  r: Register,
  bytes: number,
  purpose: "inspect" | "fill",
  exact: boolean,
): void {
  const name = `R${index}`;
  if (bytes === 0) return;
  if (r.kind !== "fp") return checkRegion(walk, name, r, 0, bytes, purpose);
  const [low, high] = stackRange(walk, name, r, 0, bytes);
  if (purpose === "fill" && exact && low === high) return walk.state.mark(r.frame, low, low + bytes, Byte.Misc);
  const touched = walk.state.bytes(r.frame, low, high + bytes);
  const unset = touched.findIndex(({ byte }) => byte === Byte.Unset);
  if (unset >= 0 && !walk.staleStack)
    walk.reject(
      "verify-uninitialised-memory",
      `invalid indirect read from stack ${name} off ${low}+${unset} size ${bytes}: never written`,
    );
  if (purpose === "fill") walk.state.mark(r.frame, low, high + bytes, Byte.Misc);
  else if (
    !walk.privileged &&
    touched.some(({ slot, byte }) => byte === Byte.Spill && slot.spill && isPointer(slot.spill))
  ) {
    walk.reject("verify-leak-from-stack", `${name} hands a spilled pointer to a helper`);
  }
}
