/** The stretch of every CPU's unit that is kept for modules: offsets, lowest fit first. */
import { alignTo } from "./layout.js";

/** Bytes reserved for the per-CPU variables of modules. @source include/linux/percpu.h PERCPU_MODULE_RESERVE */
export const PERCPU_MODULE_RESERVE = 8192;

export class PercpuReserve {
  private readonly taken: { start: number; end: number }[] = [];

  /** @param start offset of the reserve in a unit: where the kernel's own variables end */
  constructor(
    private readonly start: number,
    private readonly bytes = PERCPU_MODULE_RESERVE,
  ) {}

  /** @returns the offset, or undefined when the reserve has no room */
  take(bytes: number, align: number): number | undefined {
    let at = alignTo(this.start, align);
    for (const { start, end } of this.taken) {
      if (at + bytes <= start) break;
      at = alignTo(Math.max(at, end), align);
    }
    if (at + bytes > this.start + this.bytes) return undefined;
    this.taken.push({ start: at, end: at + bytes });
    this.taken.sort((a, b) => a.start - b.start);
    return at;
  }

  give(at: number): void {
    const index = this.taken.findIndex(({ start }) => start === at);
    if (index >= 0) this.taken.splice(index, 1);
  }

  /** Bytes in use. */
  get used(): number {
    return this.taken.reduce((sum, { start, end }) => sum + end - start, 0);
  }
}
