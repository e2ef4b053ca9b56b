/**
 * What the verifier knows of one register or spilled value. Values are never changed in place, so states share them.
 *
 * A pointer is: where it points (`kind` and its data) + `offset` (known) + the scalar `number` (the variable part).
 */
import { hex } from "@kreplica/hw-x86/api";
import type { MapDefinition } from "../object/program-type.js";
import { type Scalar, Scalars } from "./scalar.js";

/** The 64-bit domain of the verifier. */
export const scalars = new Scalars(64);
export const ZERO = scalars.constant(0n);

/** What the verifier knows a register to hold. */
export type RegisterKind =
  | "unset"
  | "scalar"
  | "ctx"
  | "fp"
  | "map_ptr"
  | "map_value"
  | "map_value_or_null"
  | "pkt"
  | "pkt_meta"
  | "pkt_end"
  | "mem"
  | "mem_or_null";

/** What is known of a register or of a spilled value. Never changed in place: states share them. */
export interface Register {
  readonly kind: RegisterKind;
  /** Scalar: the number. Pointer: its variable part. */
  readonly number: Scalar;
  /** Known part of a pointer's offset, bytes. */
  readonly offset: number;
  /** Same nonzero id: copies of one value; what is learnt of one holds for all. */
  readonly id: number;
  /** Nonzero: a reference that must be released. */
  readonly reference: number;
  /** Call frame whose stack it points to, for `fp`. */
  readonly frame: number;
  /** Index of the map, for the map kinds; -1 elsewhere. */
  readonly map: number;
  /** Bytes known to lie behind a packet pointer, counted from offset 0; or the length of `mem`. */
  readonly range: number;
}

const BASE: Register = {
  kind: "unset",
  number: scalars.unknown,
  offset: 0,
  id: 0,
  reference: 0,
  frame: 0,
  map: -1,
  range: 0,
};
export const UNSET: Register = BASE;
export const UNKNOWN: Register = { ...BASE, kind: "scalar" };
export const scalar = (number: Scalar, id = 0): Register => ({ ...BASE, kind: "scalar", number, id });
export const constant = (value: bigint): Register => scalar(scalars.constant(value));
export const pointer = (kind: RegisterKind, fields: Partial<Register> = {}): Register => ({
  ...BASE,
  kind,
  number: ZERO,
  ...fields,
});

export const isPointer = (r: Register): boolean => r.kind !== "scalar" && r.kind !== "unset";
export const isPacket = (r: Register): boolean => r.kind === "pkt" || r.kind === "pkt_meta";
export const mayBeNull = (r: Register): boolean => r.kind === "map_value_or_null" || r.kind === "mem_or_null";

const LEAST = -(1n << 63n),
  MOST = (1n << 63n) - 1n,
  ALL = (1n << 64n) - 1n;

/** Bounds as the kernel's log writes them: only those that say something. */
function parts(n: Scalar): string[] {
  const out: string[] = [];
  if (n.smin !== LEAST) out.push(`smin=${n.smin}`);
  if (n.smax !== MOST) out.push(`smax=${n.smax}`);
  if (n.umin !== 0n) out.push(`umin=${n.umin}`);
  if (n.umax !== ALL) out.push(`umax=${n.umax}`);
  if (n.bits.mask !== ALL) out.push(`var_off=(${hex(n.bits.value)}; ${hex(n.bits.mask)})`);
  if (n.low.smin !== n.smin && n.low.smin !== -(1n << 31n)) out.push(`s32_min=${n.low.smin}`);
  if (n.low.smax !== n.smax && n.low.smax !== (1n << 31n) - 1n) out.push(`s32_max=${n.low.smax}`);
  if (n.low.umin !== n.umin && n.low.umin !== 0n) out.push(`u32_min=${n.low.umin}`);
  if (n.low.umax !== n.umax && n.low.umax !== (1n << 32n) - 1n) out.push(`u32_max=${n.low.umax}`);
  return out;
}

/** The register as the log shows it: `scalar(umax=255,...)`, `map_value(off=0,ks=4,vs=8,imm=0)`, `fp-8`. */
export function registerText(r: Register, maps: readonly MapDefinition[]): string {
  if (r.kind === "unset") return "?";
  const known = scalars.value(r.number);
  if (r.kind === "scalar") {
    if (known !== undefined) return `${BigInt.asIntN(64, known)}`;
    return `scalar(${[...(r.id ? [`id=${r.id}`] : []), ...parts(r.number)].join(",")})`;
  }
  if (r.kind === "fp" && known === 0n) return `${r.frame ? `fp[${r.frame}]` : "fp"}${r.offset}`;
  const map = maps[r.map];
  const fields = [
    ...(r.id ? [`id=${r.id}`] : []),
    ...(r.reference ? [`ref_obj_id=${r.reference}`] : []),
    `off=${r.offset}`,
    ...(r.kind === "pkt" || r.kind === "pkt_meta" ? [`r=${r.range}`] : []),
    ...(map ? [`ks=${map.keyBytes}`, `vs=${map.valueBytes}`] : []),
    ...(r.kind === "mem" || r.kind === "mem_or_null" ? [`mem_size=${r.range}`] : []),
    ...(known !== undefined ? [`imm=${BigInt.asIntN(64, known)}`] : parts(r.number)),
  ];
  return `${r.kind}(${fields.join(",")})`;
}
