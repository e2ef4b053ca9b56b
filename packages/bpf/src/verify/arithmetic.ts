/**
 * Arithmetic as the verifier follows it: numbers by their bounds, pointers only in ways that keep their bounds known.
 */
import { MOST_OFFSET } from "./access.js";
import { constant, isPacket, isPointer, type Register, scalar, scalars, UNKNOWN } from "./register.js";
import type { Operation, Scalar } from "./scalar.js";
import { readRegister, type Walk, writeRegister } from "./walk.js";

const OPERATION: Readonly<Record<number, Operation>> = {
  0x00: "add",
  0x10: "sub",
  0x20: "mul",
  0x40: "or",
  0x50: "and",
  0x60: "lsh",
  0x70: "rsh",
  0xa0: "xor",
  0xc0: "arsh",
};
const LOW_UNKNOWN = scalar(scalars.zeroExtend(scalars.unknown, 32));
/** Most bytes of a packet. @source Linux, include/linux/bpf_verifier.h */
export const MOST_PACKET = 0xffffn;

/** One instruction of class ALU or ALU64. */
export function arithmetic(walk: Walk): void {
  const { code, at } = walk,
    op = code.opcode[at]!,
    dst = code.dst[at]!,
    wide = (op & 7) === 7,
    kind = op & 0xf0,
    imm = code.imm[at]!;
  if (kind === 0xd0) return swap(walk, dst, imm, wide);
  const fromRegister = (op & 8) !== 0;
  if (kind === 0xb0) return move(walk, dst, wide, fromRegister);
  const left = readRegister(walk, dst);
  if (dst === 10) writeRegister(walk, 10, left);
  if (kind === 0x80) {
    if (isPointer(left)) walk.reject("verify-pointer-negated", `R${dst} pointer arithmetic with neg operator`);
    return writeRegister(walk, dst, wide ? UNKNOWN : LOW_UNKNOWN);
  }
  const right = fromRegister ? readRegister(walk, code.src[at]!) : constant(BigInt(imm));
  if (isPointer(left) || isPointer(right)) return writeRegister(walk, dst, withPointer(walk, left, right, kind, wide));
  const operation = OPERATION[kind];
  // Division and modulo: nothing is kept of the operands, as in Linux 6.5.
  if (!operation) return writeRegister(walk, dst, wide ? UNKNOWN : LOW_UNKNOWN);
  const known = wide ? scalars.value(right.number) : scalars.lowValue(right.number);
  const shift = operation === "lsh" || operation === "rsh" || operation === "arsh";
  // The machine takes shift counts modulo the width; a count that may exceed it tells nothing here.
  if (shift && (wide ? right.number.umax : right.number.low.umax) >= (wide ? 64n : 32n) && known === undefined)
    return writeRegister(walk, dst, wide ? UNKNOWN : LOW_UNKNOWN);
  const count: Scalar = shift && known !== undefined ? scalars.constant(known % (wide ? 64n : 32n)) : right.number;
  writeRegister(
    walk,
    dst,
    scalar(wide ? scalars.apply(operation, left.number, count) : scalars.applyLow(operation, left.number, count)),
  );
}

function swap(walk: Walk, dst: number, bits: number, always: boolean): void {
  const r = readRegister(walk, dst);
  if (isPointer(r)) walk.reject("verify-pointer-swapped", `R${dst} pointer arithmetic with byte swap`);
  const keeps = !always && (walk.code.opcode[walk.at]! & 8) === 0;
  if (keeps) return writeRegister(walk, dst, bits === 64 ? r : scalar(scalars.zeroExtend(r.number, bits)));
  writeRegister(walk, dst, bits === 64 ? UNKNOWN : scalar(scalars.zeroExtend(scalars.unknown, bits)));
}

function move(walk: Walk, dst: number, wide: boolean, fromRegister: boolean): void {
  const { code, at } = walk,
    src = code.src[at]!,
    extension = code.offset[at]!,
    imm = code.imm[at]!;
  if (!fromRegister) return writeRegister(walk, dst, constant(wide ? BigInt(imm) : BigInt(imm >>> 0)));
  const r = readRegister(walk, src);
  if (isPointer(r)) {
    if (wide && extension === 0) return writeRegister(walk, dst, r);
    if (!walk.privileged) walk.reject("verify-leak-partial", `R${src} partial copy of pointer`);
    return writeRegister(walk, dst, wide ? UNKNOWN : LOW_UNKNOWN);
  }
  if (extension !== 0) {
    const extended = scalars.signExtend(r.number, extension);
    return writeRegister(walk, dst, scalar(wide ? extended : scalars.zeroExtend(extended, 32)));
  }
  if (!wide && r.number.umax > 0xffff_ffffn) return writeRegister(walk, dst, scalar(scalars.zeroExtend(r.number, 32)));
  // Copies of one unknown number share an id: what a comparison tells of one, it tells of all.
  const shared = r.id !== 0 || r.number.bits.mask === 0n ? r : { ...r, id: walk.fresh() };
  if (shared !== r && src !== 10) walk.state.top.registers[src] = shared;
  writeRegister(walk, dst, shared);
}

function withPointer(walk: Walk, left: Register, right: Register, kind: number, wide: boolean): Register {
  const dst = walk.code.dst[walk.at]!,
    subtract = kind === 0x10;
  if (isPointer(left) && isPointer(right)) {
    if (subtract && walk.privileged) return wide ? UNKNOWN : LOW_UNKNOWN;
    return walk.reject("verify-two-pointers", `R${dst} pointer ${subtract ? "-=" : "with"} pointer prohibited`);
  }
  if (!wide) {
    if (subtract && walk.privileged) return LOW_UNKNOWN;
    return walk.reject("verify-half-pointer", `R${dst} 32-bit pointer arithmetic prohibited`);
  }
  if (kind !== 0x00 && !subtract) {
    return walk.reject("verify-pointer-arithmetic", `R${dst} bitwise or other operator on pointer prohibited`);
  }
  if (subtract && !isPointer(left))
    return walk.reject("verify-pointer-subtracted", `R${dst} tried to subtract pointer from scalar`);
  const p = isPointer(left) ? left : right,
    n = isPointer(left) ? right.number : left.number;
  if (p.kind.endsWith("_or_null"))
    walk.reject(
      "verify-nullable-arithmetic",
      `R${dst} pointer arithmetic on ${p.kind} prohibited, null-check it first`,
    );
  if (p.kind === "map_ptr" || p.kind === "pkt_end")
    walk.reject("verify-fixed-pointer", `R${dst} pointer arithmetic on ${p.kind} prohibited`);
  const known = scalars.value(n);
  if (known !== undefined) {
    const change = BigInt.asIntN(64, known),
      offset = BigInt(p.offset) + (subtract ? -change : change);
    if (change >= MOST_OFFSET || change <= -MOST_OFFSET || offset >= MOST_OFFSET || offset <= -MOST_OFFSET) {
      walk.reject("verify-pointer-far", `value ${change} makes ${p.kind} pointer be out of bounds`);
    }
    return { ...p, offset: Number(offset) };
  }
  if (p.kind === "ctx") walk.reject("verify-context-offset", `R${dst} variable offset into ctx prohibited`);
  if (n.smin <= -MOST_OFFSET)
    walk.reject(
      "verify-offset-below",
      `math between ${p.kind} pointer and register with unbounded min value is not allowed`,
    );
  if (n.smax >= MOST_OFFSET)
    walk.reject(
      "verify-offset-above",
      `math between ${p.kind} pointer and register with unbounded max value is not allowed`,
    );
  const number = scalars.apply(subtract ? "sub" : "add", p.number, n);
  if (number.smin <= -MOST_OFFSET || number.smax >= MOST_OFFSET)
    walk.reject("verify-pointer-bounds", `the variable part of the ${p.kind} pointer grows out of bounds`);
  if (!isPacket(p)) return { ...p, number };
  // A packet pointer that moved by an unknown number is a new one: nothing is known to lie behind it.
  if (number.smin < 0n || number.umax > MOST_PACKET)
    walk.reject(
      "verify-packet-move",
      `a ${p.kind} pointer may move by 0 to ${MOST_PACKET}; this one by ${number.smin} to ${number.smax}`,
    );
  return { ...p, number, id: walk.fresh(), range: 0 };
}
