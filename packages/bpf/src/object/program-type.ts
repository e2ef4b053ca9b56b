/**
 * Kinds of programs and maps, and how section names select a program's kind.
 * @source libbpf documentation, "Program Types and ELF Sections"
 */

/** What a program is attached to, which decides its context, helpers and return value. */
export type ProgramType =
  | "socket_filter"
  | "kprobe"
  | "sched_cls"
  | "tracepoint"
  | "xdp"
  | "perf_event"
  | "raw_tracepoint"
  | "tracing"
  | "struct_ops"
  | "syscall";

/** First part of the section name, up to the slash. */
const SECTIONS: Readonly<Record<string, ProgramType>> = {
  socket: "socket_filter",
  kprobe: "kprobe",
  kretprobe: "kprobe",
  ksyscall: "kprobe",
  uprobe: "kprobe",
  uretprobe: "kprobe",
  tc: "sched_cls",
  classifier: "sched_cls",
  tcx: "sched_cls",
  tracepoint: "tracepoint",
  tp: "tracepoint",
  xdp: "xdp",
  "xdp.frags": "xdp",
  perf_event: "perf_event",
  raw_tracepoint: "raw_tracepoint",
  raw_tp: "raw_tracepoint",
  fentry: "tracing",
  fexit: "tracing",
  struct_ops: "struct_ops",
  syscall: "syscall",
};

/** @returns undefined when the section name selects no kind known here */
export const programTypeOf = (section: string): ProgramType | undefined =>
  SECTIONS[section.replace(/^\?/, "").split("/")[0]!];
/** The function or event behind the slash, or the empty string. */
export const attachTargetOf = (section: string): string =>
  section.includes("/") ? section.slice(section.indexOf("/") + 1) : "";

/** Kinds of maps the model has. */
export type MapKind =
  "array" | "hash" | "percpu_array" | "percpu_hash" | "lru_hash" | "ringbuf" | "prog_array" | "lpm_trie";
/** Numbers of BPF_MAP_TYPE_*. @source Linux, include/uapi/linux/bpf.h */
const KINDS: Readonly<Record<number, MapKind>> = {
  1: "hash",
  2: "array",
  3: "prog_array",
  5: "percpu_hash",
  6: "percpu_array",
  9: "lru_hash",
  11: "lpm_trie",
  27: "ringbuf",
};
export const mapKindOf = (type: number): MapKind | undefined => KINDS[type];

/** Shape of a map as the object declares it. */
export interface MapDefinition {
  readonly name: string;
  readonly kind: MapKind;
  /** Bytes of a key. */
  readonly keyBytes: number;
  /** Bytes of a value. */
  readonly valueBytes: number;
  /** Most elements; for a ring buffer its size in bytes. */
  readonly entries: number;
  /** BPF_F_*: 1 no preallocation, 0x80 read-only from programs. */
  readonly flags: number;
  /** First value of global data; else undefined. */
  readonly initial?: Uint8Array;
}
/** BPF_F_RDONLY_PROG: programs may not write the values. */
export const READ_ONLY_FROM_PROGRAM = 0x80;
