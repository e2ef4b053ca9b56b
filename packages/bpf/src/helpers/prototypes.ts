/** Helpers by number: name, what each argument must be, what comes back. @source Linux, bpf-helpers(7) */

import type { ProgramType } from "../object/program-type.js";

/** What a helper demands of an argument. */
export type ArgumentKind =
  /** Any initialised register. */
  | "anything"
  | "context"
  /** A map handle. */
  | "map"
  /** Memory to read, as long as the map's key or value. */
  | "map_key"
  | "map_value"
  /** Memory the helper fills, as long as the map's value. */
  | "map_value_out"
  /** Memory to read or to fill, whose length is the next argument. */
  | "memory"
  | "memory_out"
  /** As `memory`, or null when the length is 0. */
  | "memory_or_null"
  /** Length of the memory before it, at least 1; or at least 0. */
  | "size"
  | "size_or_zero"
  /** A constant the verifier knows, which becomes the length of the record returned. */
  | "constant_size"
  /** The record that a reserve call returned; released by this call. */
  | "record_release";
/** What a helper leaves in r0. */
export type ResultKind = "scalar" | "void" | "map_value_or_null" | "record_or_null";
/** A helper as the verifier knows it. */
export interface HelperPrototype {
  readonly name: string;
  readonly arguments: readonly ArgumentKind[];
  readonly result: ResultKind;
  /** Kinds of map it works on; empty: any. */
  readonly maps?: readonly string[];
  /** Types of program that may call it; absent: all. */
  readonly types?: readonly ProgramType[];
}

const KEYED = ["array", "hash", "percpu_array", "percpu_hash", "lru_hash", "lpm_trie"];
const prototype = (
  name: string,
  args: readonly ArgumentKind[],
  result: ResultKind = "scalar",
  maps?: readonly string[],
): HelperPrototype => ({ name, arguments: args, result, ...(maps ? { maps } : {}) });

const HELPERS: ReadonlyMap<number, HelperPrototype> = new Map([
  [1, prototype("map_lookup_elem", ["map", "map_key"], "map_value_or_null", KEYED)],
  [2, prototype("map_update_elem", ["map", "map_key", "map_value", "anything"], "scalar", KEYED)],
  [3, prototype("map_delete_elem", ["map", "map_key"], "scalar", KEYED)],
  [4, prototype("probe_read", ["memory_out", "size_or_zero", "anything"])],
  [5, prototype("ktime_get_ns", [])],
  [6, prototype("trace_printk", ["memory", "size", "anything", "anything", "anything"])],
  [7, prototype("get_prandom_u32", [])],
  [8, prototype("get_smp_processor_id", [])],
  [12, prototype("tail_call", ["context", "map", "anything"], "void", ["prog_array"])],
  [14, prototype("get_current_pid_tgid", [])],
  [16, prototype("get_current_comm", ["memory_out", "size"])],
  [
    26,
    {
      ...prototype("skb_load_bytes", ["context", "anything", "memory_out", "size"]),
      types: ["sched_cls", "socket_filter"],
    },
  ],
  [42, prototype("get_numa_node_id", [])],
  [113, prototype("probe_read_kernel", ["memory_out", "size_or_zero", "anything"])],
  [130, prototype("ringbuf_output", ["map", "memory", "size_or_zero", "anything"], "scalar", ["ringbuf"])],
  [131, prototype("ringbuf_reserve", ["map", "constant_size", "anything"], "record_or_null", ["ringbuf"])],
  [132, prototype("ringbuf_submit", ["record_release", "anything"], "void")],
  [133, prototype("ringbuf_discard", ["record_release", "anything"], "void")],
  [134, prototype("ringbuf_query", ["map", "anything"], "scalar", ["ringbuf"])],
]);

/** @returns undefined for a number that is no helper here */
export const helperPrototype = (id: number): HelperPrototype | undefined => HELPERS.get(id);
/** All numbers, lowest first. */
export const helperIds = (): number[] => [...HELPERS.keys()];
