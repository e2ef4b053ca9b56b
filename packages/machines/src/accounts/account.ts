/** What one tool or table says about a machine: facts, each with the place it was read from, and nothing filled in. */
import type { TlbSpec, Vendor } from "@kreplica/hw-x86/api";
import type { LoadedRow } from "../loaded-latencies.js";

/** Where a fact stands. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line?: number;
  /** Byte in a binary file, from 0. */
  readonly offset?: number;
}

/** The caches a core sees. */
export type CacheName = "l1i" | "l1d" | "l2" | "l3";

/**
 * The name of a cache that a tool tells of by its level.
 * @param level as the tool writes it @param holds of a first-level cache what lies in it
 * @returns undefined where no core has such a cache here
 */
export function cacheNameOf(level: number | string, holds: "data" | "instructions" | undefined): CacheName | undefined {
  if (Number(level) === 1) return holds === "instructions" ? "l1i" : holds === "data" ? "l1d" : undefined;
  return ({ 2: "l2", 3: "l3" } as const)[Number(level)];
}

/** The TLBs of a core, as the machine's description names them. */
export type TlbName =
  "instruction.small" | "instruction.large" | "data.small" | "data.large" | "data.huge" | "second" | "second.huge";

/** Kinds of facts, and what the value of each is. `of` in a {@link Fact} says whose it is. */
export interface FactValues {
  /** CPUs that are there, ascending; of "". */
  readonly cpus: readonly number[];
  /** A node's CPUs, ascending; of the node's id. */
  readonly nodeCpus: readonly number[];
  /** Bytes; of the node's id. */
  readonly nodeMemory: number;
  /** CPUs of the same package, core or L3, ascending, itself among them; of the CPU's id. */
  readonly packageOf: readonly number[];
  readonly coreOf: readonly number[];
  readonly l3Of: readonly number[];
  /** SLIT's, 255 where unreachable; of "FROM TO": the node of the CPU, the node of the memory. */
  readonly distance: number;
  /** Idle read latency, nanoseconds; of "FROM TO". */
  readonly latencyNs: number;
  /** Read bandwidth, MB/s of 1,000,000 bytes; of "FROM TO". */
  readonly bandwidthMBs: number;
  /** Latency beside the bandwidth drawn, row by row; of "". */
  readonly loadedLatencies: readonly LoadedRow[];
  /** Of a {@link CacheName}: one cache, not all of a machine. */
  readonly cacheBytes: number;
  readonly cacheWays: number;
  /** Core cycles from access to use on a hit; of l1d, l2 or l3. */
  readonly cacheCycles: { readonly value: number; readonly low: number; readonly high: number };
  /** Of l3. */
  readonly inclusion: "inclusive" | "independent";
  /** Of a {@link TlbName}. */
  readonly tlb: TlbSpec;
  /** Whether 2 MiB pages share the second-level TLB; of "". */
  readonly secondLarge: boolean;
  /** Nanoseconds for a line another cache has; of sameSocket or otherSocket. */
  readonly cacheToCacheNs: number;
  /** Of "". */
  readonly physicalBits: number;
  readonly virtualBits: number;
  readonly vendor: Vendor;
  /** CPUID's display family and model; of "". */
  readonly family: number;
  readonly model: number;
  /** Nominal clock and the highest, hertz; of "". */
  readonly hertz: number;
  readonly mostHertz: number;
}
/** What an account can say of a machine. */
export type FactKind = keyof FactValues;

/** One thing that was said. */
export interface Fact<K extends FactKind = FactKind> {
  readonly kind: K;
  readonly of: string;
  readonly value: FactValues[K];
  readonly place: Place;
}

/** All that one input says. */
export interface MachineAccount {
  /** Who said it, for people: `lscpu`, `ACPI SRAT`. */
  readonly tool: string;
  readonly file: string;
  readonly facts: readonly Fact[];
  /** What was passed over or taken for granted while reading, for people. */
  readonly remarks: readonly string[];
}

/** Collects the facts of one input. */
export class AccountOf implements MachineAccount {
  readonly facts: Fact[] = [];
  readonly remarks: string[] = [];

  constructor(
    readonly tool: string,
    readonly file: string,
  ) {}

  /** @param at line from 1, or what else is known of the place */
  say<K extends FactKind>(kind: K, of: string | number, value: FactValues[K], at: number | Place): void {
    this.facts.push({
      kind,
      of: String(of),
      value,
      place: typeof at === "number" ? { file: this.file, line: at } : at,
    });
  }

  /** Something the machine's description has no place for, or that had to be taken for granted. */
  remark(text: string): void {
    if (!this.remarks.includes(text)) this.remarks.push(text);
  }

  /** One fact for every CPU of a group. @param cpus ascending */
  group(kind: "packageOf" | "coreOf" | "l3Of", cpus: readonly number[], at: number | Place): void {
    for (const cpu of cpus) this.say(kind, cpu, cpus, at);
  }
}

/** The highest numbers a machine here may have. */
export const MOST_CPU = 4095;
export const MOST_NODE = 63;
/** Bytes a node may have; more is a damaged figure. */
export const MOST_MEMORY = 2 ** 44;
/** Bytes a cache may have. */
export const MOST_CACHE = 2 ** 32;
