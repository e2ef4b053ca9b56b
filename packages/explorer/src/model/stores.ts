/** Hears of every store to page tables and of every write of bytes on a machine, in their order. */
import { hex } from "@kreplica/hw-x86/api";
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
      const before = word(entries.low(table, index), entries.high(table, index));
      write(table, index, lo, hi);
      const after = word(lo, hi);
      if (before !== after) this.stored.add(table * 512 + index);
      this.add({ frame: table, node: memory.nodeOf(table), index, before, after });
    };
    const writeBytes = memory.writeBytes.bind(memory);
    memory.writeBytes = (physical, bytes) => {
      const shown = Math.min(bytes.length, 16);
      const before = new Uint8Array(shown);
      memory.readBytes(physical, before);
      writeBytes(physical, bytes);
      const frame = Number(physical >> 12n);
      const offset = Number(physical & 0xfffn);
      this.add({
        frame,
        node: memory.nodeOf(frame),
        offset,
        before: text(before),
        after: text(bytes.subarray(0, shown)),
      });
    };
  }

  /** Starts the list of a step. */
  begin(): void {
    this.count = 0;
    this.changes = [];
    this.stored.clear();
  }

  private add(change: Omit<ChangeView, "nth">): void {
    this.count++;
    if (change.before !== change.after && this.changes.length < KEPT) this.changes.push({ nth: this.count, ...change });
    this.onStore?.();
  }
}
