/**
 * The direct map's view of a holder's copies: read-only, like the copy itself.
 *
 * The series does this for text only, as a side effect of set_memory_ro walking each replica's table, and leaves rodata copies
 * writable through their alias (defect D9).
 */
import { type Frame, NONE, type NodeId, tableIndex, entryHigh, entryLow, isLeaf, isPresent, leafFrame, frameOf, Bit, NO_EXECUTE } from "@kreplica/hw-x86/api";
import { type BuildContext, directAddress, MmError } from "@kreplica/mm-core/api";

const FRAMES_AT = [0, 1, 512, 262144] as const;
const KERNEL_TABLE = 0x063;

/**
 * Takes W from the direct-map leaves of [first, first + frames), splitting what it covers in part. All roots share these tables.
 * @throws MmError out-of-frames when a leaf cannot be split
 */
export function protectAlias(context: BuildContext, root: Frame, first: Frame, frames: number, node: NodeId): void {
  const { entries, layout } = context;
  const end = first + frames;
  let frame = first;
  while (frame < end) {
    const address = directAddress(layout, frame);
    let table = root;
    for (let level: number = layout.levels; ; level--) {
      const index = tableIndex(address, level);
      let lo = entries.low(table, index);
      const hi = entries.high(table, index);
      if (!isPresent(lo)) { frame++; break; }
      if (isLeaf(lo, level)) {
        const size = FRAMES_AT[level as 1 | 2 | 3];
        const start = leafFrame(lo, hi, level);
        if (!(lo & Bit.Writable)) { frame = start + size; break; }
        if (start >= first && start + size <= end) {
          entries.write(table, index, (lo & ~Bit.Writable) >>> 0, hi);
          frame = start + size;
          break;
        }
        const lower = context.allocator.allocate(node, 0, { purpose: "page-table" });
        if (lower === NONE) throw new MmError("out-of-frames", address, `no table page to split the direct map's leaf over a copy on node ${node}`);
        const step = FRAMES_AT[(level - 1) as 1 | 2];
        const bits = lo & 0xfff & ~(level === 2 ? Bit.PageSize : 0);
        for (let each = 0; each < 512; each++) {
          entries.write(lower, each, entryLow(start + each * step, bits), entryHigh(start + each * step, (hi & NO_EXECUTE) !== 0));
        }
        lo = entryLow(lower, KERNEL_TABLE);
        entries.write(table, index, lo, entryHigh(lower, false));
        table = lower;
        continue;
      }
      table = frameOf(lo, hi);
    }
  }
}
