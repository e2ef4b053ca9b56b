/**
 * A fully associative TLB whose entries leave in the order they came, and which counts what it is asked. A queue is the
 * least hardware there is; whether it costs walks, a machine with it says.
 */
import { regionAt, type TranslationBuffer } from "@kreplica/hw-x86";

/** A tag that no entry has. */
const EMPTY = -1;

/** What one buffer was asked. An access to the page used last asks nothing: the core finds it by the order word. */
export interface Asked {
  found: number;
  missed: number;
  /** Entries that had to go for others. */
  evicted: number;
}

/** One set of as many ways as there are entries: `setMask` is 0. */
export class FifoTlb implements TranslationBuffer {
  readonly entries: Int32Array;
  /** One word: the way used last. Its use again changes nothing in a queue, which is what the port asks. */
  readonly order = new Int32Array(1);
  readonly lastMask = 0xffff;
  readonly ways: number;
  readonly setMask = 0;
  readonly regions: Uint16Array;
  used = 0;
  readonly asked: Asked = { found: 0, missed: 0, evicted: 0 };
  /** Way that the next entry takes: the one that came first. */
  private next = 0;
  private counting = false;

  /** @param regions the core will want {@link regions} kept */
  constructor(entries: number, regions: boolean) {
    this.ways = entries;
    this.entries = new Int32Array(entries * 4).fill(EMPTY);
    this.regions = new Uint16Array(regions ? 1024 : 0);
  }

  get hostBytes(): number {
    return this.entries.byteLength + this.order.byteLength + this.regions.byteLength;
  }

  lookup(_index: number, page: number, tag: number, globalTag: number): number {
    const { entries } = this;
    for (let at = 0; at < entries.length; at += 4) {
      if (entries[at] !== page || (entries[at + 1] !== tag && entries[at + 1] !== globalTag)) continue;
      this.order[0] = at >> 2;
      this.asked.found++;
      return at;
    }
    this.asked.missed++;
    return -1;
  }

  insert(_index: number, page: number, tag: number, frame: number, denials: number): void {
    const at = this.next * 4;
    if (this.entries[at + 1] !== EMPTY) {
      this.asked.evicted++;
      this.remove(at);
    }
    this.entries[at] = page;
    this.entries[at + 1] = tag;
    this.entries[at + 2] = frame;
    this.entries[at + 3] = denials;
    this.order[0] = this.next;
    this.next = (this.next + 1) % this.ways;
    this.used = 1;
    this.count(page, 1);
  }

  drop(_index: number, page: number, mask: number, bits: number): void {
    this.removeWhere((at) => this.entries[at] === page, mask, bits);
  }

  flush(mask: number, bits: number): void {
    this.removeWhere(() => true, mask, bits);
  }

  countRegions(): void {
    if (this.counting) return;
    this.counting = true;
    for (let at = 0; at < this.entries.length; at += 4)
      if (this.entries[at + 1] !== EMPTY) this.count(this.entries[at]!, 1);
  }

  private removeWhere(which: (at: number) => boolean, mask: number, bits: number): void {
    for (let at = 0; at < this.entries.length; at += 4) {
      const tag = this.entries[at + 1]!;
      if (tag !== EMPTY && (tag & mask) === bits && which(at)) this.remove(at);
    }
  }

  private remove(at: number): void {
    this.count(this.entries[at]!, -1);
    this.entries[at] = EMPTY;
    this.entries[at + 1] = EMPTY;
  }

  private count(page: number, more: number): void {
    if (this.counting && this.regions.length > 0) this.regions[regionAt(page)]! += more;
  }
}
