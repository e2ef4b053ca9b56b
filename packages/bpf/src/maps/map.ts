/**
 * What all maps have in common. Keys and values lie in the modelled memory, never in JavaScript objects: a program that
 * looks a value up gets an address and writes through it.
 */
import { BpfError } from "../errors.js";
import type { BpfMemory } from "../memory.js";
import type { MapDefinition } from "../object/program-type.js";

/** Results of map operations: 0 or a negative error number, as system calls give them. */
export const MapResult = {
  Ok: 0,
  NoEntry: -2,
  TooBig: -7,
  NoMemory: -12,
  Exists: -17,
  Invalid: -22,
  NoSpace: -28,
} as const;
/** Flags of update. */
export const UpdateFlag = { Any: 0, NoExist: 1, Exist: 2 } as const;

/**
 * What all maps have in common; keys and values lie in the modelled memory, so that a program gets an address and
 * writes through it.
 */
export interface BpfMap {
  readonly definition: MapDefinition;
  /** What programs hold of the map: an address in the model's memory that is theirs to pass on and not to read. */
  readonly handle: bigint;
  /** Address of the value for this CPU, or 0n. */
  lookup(key: Uint8Array, cpu: number): bigint;
  /** @param cpu whose value to set, for per-CPU maps @returns a {@link MapResult} */
  update(key: Uint8Array, value: Uint8Array, flags: number, cpu: number): number;
  delete(key: Uint8Array): number;
  /** Keys in the order of the map's own memory. */
  keys(): Uint8Array[];
  /** Bytes of the model's memory that it takes. */
  readonly bytes: number;
  /** Gives all memory back. */
  release(): void;
}

/** Base of the maps here: one allocation, holding whatever the map lays out in it. */
export abstract class AllocatedMap implements BpfMap {
  readonly handle: bigint;
  /** @param bytes of the one allocation */
  protected constructor(
    readonly definition: MapDefinition,
    protected readonly memory: BpfMemory,
    readonly bytes: number,
  ) {
    this.handle = memory.allocate(bytes, `map ${definition.name}`);
  }
  abstract lookup(key: Uint8Array, cpu: number): bigint;
  abstract update(key: Uint8Array, value: Uint8Array, flags: number, cpu: number): number;
  abstract delete(key: Uint8Array): number;
  abstract keys(): Uint8Array[];
  release(): void {
    this.memory.release(this.handle);
  }
}

/** Round up to a multiple of eight: values begin on one. */
export const align8 = (bytes: number): number => Math.ceil(bytes / 8) * 8;
export const LARGEST_MAP = 1 << 28;

/** @throws BpfError `map-bad-shape` */
export function badShape(definition: MapDefinition, why: string): never {
  throw new BpfError(
    "map-bad-shape",
    { section: definition.name },
    `map ${definition.name} (${definition.kind}, key ${definition.keyBytes}, value ${definition.valueBytes}, ${definition.entries} entries): ${why}`,
  );
}

export const u32 = (bytes: Uint8Array): number =>
  (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0;
export const u32Bytes = (value: number): Uint8Array =>
  Uint8Array.of(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
/** Bytes as a string, one character a byte: a key for JavaScript's own maps. */
export const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
export const untext = (key: string): Uint8Array => Uint8Array.from(key, (c) => c.charCodeAt(0));
