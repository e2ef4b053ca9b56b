/** Writing kernel text: interface and token. */
import { token } from "@kreplica/di";
import type { AddressRange, CpuId, Frame, NodeId } from "@kreplica/hw-x86/api";
import type { TextUsers } from "@kreplica/mm-core/api";
import type { TextCopy } from "./copies.js";
import type { Emulation } from "./emulate.js";

/** One site of a batch. */
export interface PokeItem {
  readonly address: bigint;
  /** The new instruction, 1 to 15 bytes. */
  readonly bytes: Uint8Array;
  /** What a CPU that meets the INT3 does, when it is not what `bytes` do. */
  readonly emulate?: Uint8Array;
}

/** One step after which other CPUs may run: a byte stored in one copy, or a synchronisation done. */
export interface PokeStep {
  readonly phase: "poke" | "int3" | "tail" | "first" | "sync";
  readonly address: bigint;
  /** Holder whose copy was written; -1 for a synchronisation. */
  readonly node: NodeId;
  readonly synchronised?: boolean;
}

/** What patching has cost since boot. */
export interface PokeCost {
  readonly framesWritten: number;
  readonly bytesWritten: number;
  /** text_poke_sync calls. */
  readonly syncs: number;
  /** Interrupts sent by them. */
  readonly interrupts: number;
  /** CR3 writes for the poking address space, there and back. */
  readonly rootSwitches: number;
}

/**
 * Two pages of user addresses through which read-only text is written, in tables that no other CPU has loaded. Linux:
 * poking_mm
 */
export interface PokingAlias {
  /** Of the first page. */
  readonly address: bigint;
  /** Root a CPU loads to write there. */
  rootOf(cpu: CpuId): Frame;
  /** Entries of the two pages now: 0 but while a poke is under way. */
  aliasEntries(): readonly bigint[];
}

/**
 * Text patching on every replica.
 *
 * Every operation throws {@link TextPatchError} before anything was written, and InvariantError when a copy does not
 * hold the new bytes afterwards.
 */
export interface TextPoke {
  /** text_poke_early: boot and module load, while text is still writable. Plain stores, no lock. */
  early(address: bigint, bytes: Uint8Array): void;
  /**
   * text_poke: run time, one write in each copy; other CPUs must not execute the bytes meanwhile, or it is one byte.
   */
  poke(address: bigint, bytes: Uint8Array): void;
  /** text_poke_kgdb. */
  pokeStopped(address: bigint, bytes: Uint8Array): void;
  /** text_poke_copy: read-only text that nobody executes yet, of any length. */
  copy(address: bigint, bytes: Uint8Array): void;
  /** text_poke_set. */
  set(range: AddressRange, value: number): void;
  /** text_poke_bp_batch: sites in ascending order, while CPUs execute them. */
  batch(items: readonly PokeItem[]): void;
  /** text_poke_queue: gathers; a site that does not ascend, or a full vector, sends what was gathered. */
  queue(item: PokeItem): void;
  /** text_poke_finish. */
  finish(): void;
  /** As {@link batch} for at most 256 sites, one step at a time, for whoever interleaves CPUs with it. */
  batchSteps(items: readonly PokeItem[]): Generator<PokeStep, void>;
  /** As {@link poke}, one step at a time, without the lock. */
  pokeSteps(address: bigint, bytes: Uint8Array): Generator<PokeStep, void>;
  /** What a CPU does whose INT3 was at `address`; undefined when no batch has it. */
  breakpoint(address: bigint): Emulation | undefined;
  /** text_poke_sync: every CPU executes a serialising instruction. */
  synchronise(): void;
  /** Reads every copy. @throws InvariantError for the first byte that differs, naming the node */
  verify(address: bigint, expected: Uint8Array): void;
  /** Bytes as the lowest holder has them. */
  read(range: AddressRange): Uint8Array;
  /** Distinct copies of at most two pages. */
  copies(range: AddressRange): readonly TextCopy[];
  readonly cost: PokeCost;
  /** Sites of the patch under way: between its first store and its last copies may differ there. Empty otherwise. */
  readonly underWay: readonly AddressRange[];
  /** Where whoever keeps addresses of text it patches is listed, so that it hears of text that goes. */
  readonly users: TextUsers;
  /** Roots of the poking address space by holder; none before the boot's step `poking-init`. */
  readonly roots: ReadonlyMap<NodeId, Frame>;
  /** What run-time patching writes through; undefined where it writes another way. */
  readonly pokingSpace: PokingAlias | undefined;
}
export const TextPoke = token<TextPoke>("text-patch/TextPoke");
