/** Conditional jumps: which ways are possible, and what each way teaches of the registers compared. */
import { isConditional } from "../isa/opcode.js";
import { constant, isPacket, isPointer, mayBeNull, pointer, type Register, scalars } from "./register.js";
import { MOST_PACKET } from "./arithmetic.js";
import type { Comparison } from "./scalar.js";
import type { State } from "./state.js";
import { readRegister, type Walk } from "./walk.js";

const SIGN: Readonly<Record<number, Comparison>> = {
  0x10: "==",
  0x20: ">",
  0x30: ">=",
  0x40: "&",
  0x50: "!=",
  0x60: "s>",
  0x70: "s>=",
  0xa0: "<",
  0xb0: "<=",
  0xc0: "s<",
  0xd0: "s<=",
};
/** States after the jump: undefined where that way is impossible. */
export interface Ways {
  readonly taken: State | undefined;
  readonly next: State | undefined;
}

/** One conditional jump. The state at hand may be reused as one of the results. */
export function branch(walk: Walk): Ways {
  const { code, at, state } = walk,
    op = code.opcode[at]!,
    dst = code.dst[at]!,
    src = code.src[at]!;
  if (!isConditional(op)) return { taken: state, next: state };
  const low = (op & 7) === 6,
    sign = SIGN[op & 0xf0]!,
    fromRegister = (op & 8) !== 0;
  const left = readRegister(walk, dst),
    right = fromRegister ? readRegister(walk, src) : constant(BigInt(code.imm[at]!));
  const way = (taken: boolean): State | undefined => {
    if (isPointer(left) || isPointer(right)) return withPointers(walk, left, right, sign, low, taken);
    if (left === right && fromRegister && dst === src)
      return decideSame(sign, taken) ? state.copy() : sameUnknown(sign, left, taken, low) ? state.copy() : undefined;
    const both = scalars.assume(sign, left.number, right.number, taken, low);
    if (!both) return undefined;
    const after = state.copy();
    learn(after, left, { ...left, number: both[0] }, dst);
    if (fromRegister) learn(after, right, { ...right, number: both[1] }, src);
    return after;
  };
  return { taken: way(true), next: way(false) };
}

/** A register compared with itself: only `&` depends on its number. */
const decideSame = (sign: Comparison, taken: boolean): boolean =>
  sign !== "&" && (sign === "==" || (sign.endsWith("=") && sign !== "!=")) === taken;
const sameUnknown = (sign: Comparison, r: Register, taken: boolean, low: boolean): boolean => {
  const { umin, umax } = low ? r.number.low : r.number;
  return sign === "&" && (taken ? umax !== 0n : umin === 0n);
};

/** Puts what was learnt into the register and all copies of its value. */
function learn(state: State, old: Register, now: Register, index: number): void {
  state.top.registers[index] = now;
  if (old.id !== 0) state.rewrite((r) => (r.kind === "scalar" && r.id === old.id ? now : r));
}

function withPointers(
  walk: Walk,
  left: Register,
  right: Register,
  sign: Comparison,
  low: boolean,
  taken: boolean,
): State | undefined {
  const state = walk.state.copy();
  const zero = !low && !isPointer(right) && scalars.value(right.number) === 0n;
  if (zero && (sign === "==" || sign === "!=")) {
    const isNull = (sign === "==") === taken;
    if (mayBeNull(left)) {
      settle(state, left, isNull);
      return state;
    }
    return isNull ? undefined : state;
  }
  if (!low && isPacketEnd(left, right)) {
    learnPacket(state, left, right, sign, taken);
    return state;
  }
  if (!walk.privileged)
    walk.reject("verify-pointer-compare", `R${walk.code.dst[walk.at]} pointer comparison prohibited`);
  return state;
}

/** A pointer that might have been null: now every copy of it is null, or is not. */
function settle(state: State, checked: Register, isNull: boolean): void {
  state.rewrite((r) => {
    if (!mayBeNull(r) || r.id !== checked.id) return r;
    if (isNull) return constant(0n);
    return r.kind === "map_value_or_null"
      ? pointer("map_value", { map: r.map, id: 0 })
      : pointer("mem", { range: r.range, reference: r.reference, id: r.id });
  });
  // Where there is nothing, nothing needs to be released.
  if (isNull && checked.reference !== 0) state.held = state.held.filter((held) => held.id !== checked.reference);
}

const isPacketEnd = (left: Register, right: Register): boolean =>
  (left.kind === "pkt" && right.kind === "pkt_end") ||
  (left.kind === "pkt_end" && right.kind === "pkt") ||
  (left.kind === "pkt_meta" && right.kind === "pkt" && right.offset === 0 && scalars.value(right.number) === 0n) ||
  (left.kind === "pkt" && right.kind === "pkt_meta" && left.offset === 0 && scalars.value(left.number) === 0n);

/** `packet <= end` makes the packet's offset readable; `packet < end` one byte more. */
function learnPacket(state: State, left: Register, right: Register, sign: Comparison, taken: boolean): void {
  const metaFirst = left.kind === "pkt_meta" || right.kind === "pkt_meta";
  const packetLeft = metaFirst ? left.kind === "pkt_meta" : left.kind === "pkt";
  const packet = packetLeft ? left : right;
  const negated: Partial<Record<Comparison, Comparison>> = { ">": "<=", ">=": "<", "<": ">=", "<=": ">" };
  const holds = taken ? sign : negated[sign];
  const proven = packetLeft ? { "<=": 0, "<": 1 }[holds as "<="] : { ">=": 0, ">": 1 }[holds as ">="];
  if (proven === undefined || packet.offset < 0 || (packet.offset === 0 && proven === 0)) return;
  if (BigInt(packet.offset) + packet.number.umax > MOST_PACKET) return;
  const range = packet.offset + proven;
  state.rewrite((r) =>
    isPacket(r) && r.kind === packet.kind && r.id === packet.id && r.range < range ? { ...r, range } : r,
  );
}
