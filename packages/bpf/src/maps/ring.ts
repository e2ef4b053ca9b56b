/**
 * Ring buffer: records of a header of eight bytes (length, two flag bits; page offset) and data, read in the order in
 * which they were reserved. A record that is not submitted yet holds back those behind it.
 *
 * The data is mapped twice in a row in the kernel, so that a record never wraps; here a record that would wrap begins
 * anew at the start, and the space before the end is skipped by a discarded record.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import type { BpfMemory } from "../memory.js";
import type { MapDefinition } from "../object/program-type.js";
import { AllocatedMap, align8, badShape, MapResult } from "./map.js";

const HEADER = 8;
interface Entry {
  readonly at: number;
  readonly bytes: number;
  state: "busy" | "ready" | "discarded";
  readonly span: number;
}

/** A map of records that programs write and a reader takes in order. Linux: kernel/bpf/ringbuf.c */
export class RingBuffer extends AllocatedMap {
  /** Reserved and not yet consumed, oldest first. */
  private readonly entries: Entry[] = [];
  private head = 0;
  private used = 0;

  /** @throws BpfError `map-bad-shape` */
  constructor(definition: MapDefinition, memory: BpfMemory) {
    if (
      definition.keyBytes !== 0 ||
      definition.valueBytes !== 0 ||
      definition.entries < 4096 ||
      (definition.entries & (definition.entries - 1)) !== 0
    ) {
      badShape(definition, "a ring buffer has neither key nor value and a size that is a power of two, 4096 or more");
    }
    super(definition, memory, definition.entries);
  }
  lookup(): bigint {
    return 0n;
  }
  update(): number {
    return MapResult.Invalid;
  }
  delete(): number {
    return MapResult.Invalid;
  }
  keys(): Uint8Array[] {
    return [];
  }

  /** Bytes not yet consumed, headers included. */
  get waiting(): number {
    return this.used;
  }

  /**
   * One that would fill the ring to its last byte has no room either: producer and consumer would stand at the same
   * place, as when there is nothing. @source Linux, kernel/bpf/ringbuf.c, __bpf_ringbuf_reserve
   * @returns address of the record's data, or 0n when there is no room
   */
  reserve(bytes: number): bigint {
    const size = this.definition.entries,
      need = align8(bytes + HEADER);
    // Nothing is waiting: nothing need be skipped, and an empty ring has room wherever its last record ended.
    if (this.used === 0) this.head = 0;
    const skip = this.head + need > size ? size - this.head : 0;
    if (this.used + skip + need >= size) return 0n;
    if (skip > 0) {
      this.entries.push({ at: this.head, bytes: 0, state: "discarded", span: skip });
      this.head = 0;
    }
    const entry: Entry = { at: this.head, bytes, state: "busy", span: need };
    this.entries.push(entry);
    this.used += skip + need;
    this.head = (this.head + need) % size;
    const header = new Uint8Array(HEADER);
    // Bit 31 busy, bit 30 discarded. @source Linux, include/uapi/linux/bpf.h, BPF_RINGBUF_BUSY_BIT
    new DataView(header.buffer).setUint32(0, (bytes | 0x8000_0000) >>> 0, true);
    this.memory.write(this.handle + BigInt(entry.at), header);
    return this.handle + BigInt(entry.at + HEADER);
  }

  /** Ends a reservation. @returns false when the address is none of an open one */
  finish(data: bigint, discard: boolean): boolean {
    const entry = this.entries.find((each) => each.state === "busy" && this.handle + BigInt(each.at + HEADER) === data);
    if (!entry) return false;
    entry.state = discard ? "discarded" : "ready";
    const header = new Uint8Array(4);
    new DataView(header.buffer).setUint32(0, (entry.bytes | (discard ? 0x4000_0000 : 0)) >>> 0, true);
    this.memory.write(this.handle + BigInt(entry.at), header);
    return true;
  }

  /** Takes every finished record up to the first that is still busy. */
  consume(): Uint8Array[] {
    const out: Uint8Array[] = [];
    while (this.entries.length > 0 && this.entries[0]!.state !== "busy") {
      const entry = this.entries.shift()!;
      this.used -= entry.span;
      if (entry.state === "ready")
        out.push(this.memory.read(bytesAt(this.handle + BigInt(entry.at + HEADER), entry.bytes))!);
    }
    return out;
  }
}
