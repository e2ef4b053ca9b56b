/**
 * What programs of each type may touch of their context, and where the running kernel keeps it.
 *
 * A field of the public structure that stands for a pointer has 32 bits there; the model's kernel keeps the pointers as
 * 64-bit words behind the public fields, and a load of such a field is rewritten to a load of its word, slot for slot.
 */
import type { ProgramType } from "../object/program-type.js";
import type { RegisterKind } from "./register.js";

/** A pointer field: public offset (4 bytes), what it points to, where its 64-bit word lies. */
export interface PointerField {
  readonly offset: number;
  readonly kind: RegisterKind;
  readonly word: number;
}
/** What programs of one type may touch of their context. */
export interface ContextShape {
  /** Bytes of the public structure. */
  readonly bytes: number;
  /** Whether a scalar access is allowed. */
  allows(offset: number, bytes: number, write: boolean): boolean;
  readonly pointers: readonly PointerField[];
  /**
   * Words that hold the packet's first byte and the byte behind its last, for the kernel; programs reach them by
   * `pointers` or by helpers.
   */
  readonly packet?: { readonly data: number; readonly end: number };
  /** Values that r0 may have at exit; undefined: any. */
  readonly result?: readonly [min: bigint, max: bigint];
  /** Bytes of the structure with the pointer words, as the model's kernel lays it out. */
  readonly kernelBytes: number;
}

const fields =
  (bytes: number, width: number, writable: (offset: number) => boolean, not: readonly number[] = []) =>
  (offset: number, size: number, write: boolean): boolean =>
    size === width &&
    offset >= 0 &&
    offset + size <= bytes &&
    offset % width === 0 &&
    !not.includes(offset) &&
    (!write || writable(offset));
const never = (): boolean => false;

const SKB_BYTES = 192,
  SKB_WRITABLE = [8, 32, 44, 48, 52, 56, 60, 64, 72];
export const SKB_PACKET = { data: SKB_BYTES, end: SKB_BYTES + 8 };
const skbAllows = (pointers: readonly number[], writable: readonly number[]) =>
  fields(SKB_BYTES, 4, (offset) => writable.includes(offset), [76, 80, 140, ...pointers]);
const arguments64: ContextShape = {
  bytes: 96,
  kernelBytes: 96,
  pointers: [],
  allows: (offset, size, write) => !write && offset >= 0 && size === 8 && offset % 8 === 0 && offset + size <= 96,
};
/** pt_regs of x86-64: 21 words. */
const registers: ContextShape = {
  bytes: 168,
  kernelBytes: 168,
  pointers: [],
  allows: (offset, size, write) => !write && offset >= 0 && offset % size === 0 && offset + size <= 168,
};

const SHAPES: Readonly<Record<ProgramType, ContextShape>> = {
  xdp: {
    bytes: 24,
    kernelBytes: 48,
    allows: fields(24, 4, never, [0, 4, 8]),
    packet: { data: 24, end: 32 },
    pointers: [
      { offset: 0, kind: "pkt", word: 24 },
      { offset: 4, kind: "pkt_end", word: 32 },
      { offset: 8, kind: "pkt_meta", word: 40 },
    ],
  },
  sched_cls: {
    bytes: SKB_BYTES,
    kernelBytes: SKB_BYTES + 24,
    allows: skbAllows([], SKB_WRITABLE),
    packet: SKB_PACKET,
    pointers: [
      { offset: 76, kind: "pkt", word: SKB_BYTES },
      { offset: 80, kind: "pkt_end", word: SKB_BYTES + 8 },
      { offset: 140, kind: "pkt_meta", word: SKB_BYTES + 16 },
    ],
  },
  socket_filter: {
    bytes: SKB_BYTES,
    kernelBytes: SKB_BYTES + 24,
    allows: skbAllows([72], [48, 52, 56, 60, 64]),
    pointers: [],
    packet: SKB_PACKET,
  },
  kprobe: registers,
  perf_event: {
    ...registers,
    bytes: 184,
    kernelBytes: 184,
    allows: (offset, size, write) => !write && offset >= 0 && offset % size === 0 && offset + size <= 184,
  },
  tracepoint: {
    bytes: 8192,
    kernelBytes: 8192,
    pointers: [],
    allows: (offset, size, write) => !write && offset >= 8 && offset % size === 0 && offset + size <= 8192,
  },
  raw_tracepoint: arguments64,
  tracing: { ...arguments64, result: [0n, 0n] },
  struct_ops: arguments64,
  syscall: {
    bytes: 65535,
    kernelBytes: 65535,
    pointers: [],
    allows: (offset, size) => offset >= 0 && offset + size <= 65535,
  },
};
/** The context of a type of programs. */
export const contextShape = (type: ProgramType): ContextShape => SHAPES[type];
