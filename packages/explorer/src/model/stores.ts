/** Hears of every store to page tables and of every write of bytes on a machine, in their order. */
import { frameOfAddress, hex } from "@kreplica/hw-x86/api";
import type { BootParts } from "@kreplica/kernel";
import type { ChangeView } from "./view.js";

/** Stores that are kept in words; of more there is a count. */
const KEPT = 200;
const word = (lo: number, hi: number): string => hex((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
const text = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** Stores since {@link begin}. */
export class StoreLog {
  /** All, those that are not kept and those that changed nothing included. */
  count = 0;
  /** The first that changed something. */
  changes: ChangeView[] = [];
  /** Entries of tables that are others now, as frame * 512 + index. */
  readonly stored = new Set<number>();
  /** Called after each store. */
  onStore: (() => void) | undefined;

  constructor({ entries, machine }: BootParts) {
    const { memory } = machine;
    // The parts are this story's own: what is put before their methods is heard by nobody else.
    const write = entries.write.bind(entries);
    entries.write = (table, index, lo, hi) => {
      const [low, high] = [entries.low(table, index), entries.high(table, index)];
      write(table, index, lo, hi);
      if ((low | 0) === (lo | 0) && (high | 0) === (hi | 0)) return void this.hear();
      this.stored.add(table * 512 + index);
      this.hear(() => ({
        frame: table,
        node: memory.nodeOf(table),
        index,
        before: word(low, high),
        after: word(lo, hi),
      }));
    };
    const writeBytes = memory.writeBytes.bind(memory);
    memory.writeBytes = (physical, bytes) => {
      const before = this.changes.length < KEPT ? new Uint8Array(Math.min(bytes.length, 16)) : undefined;
      if (before) memory.readBytes(physical, before);
      writeBytes(physical, bytes);
      if (!before || before.every((byte, at) => byte === bytes[at])) return void this.hear();
      const frame = frameOfAddress(physical);
      this.hear(() => ({
        frame,
        node: memory.nodeOf(frame),
        offset: Number(physical & 0xfffn),
        before: text(before),
        after: text(bytes.subarray(0, before.length)),
      }));
    };
  }

  /** Starts the list of a step. */
  begin(): void {
    this.count = 0;
    this.changes = [];
    this.stored.clear();
  }

  /** @param change the words of what is another now, which the first alone are told in */
  private hear(change?: () => Omit<ChangeView, "nth">): void {
    this.count++;
    if (change && this.changes.length < KEPT) this.changes.push({ nth: this.count, ...change() });
    this.onStore?.();
  }
}
