/**
 * The hardware page walk: reads entries out of physical memory, through the core's data caches, and sets A and D there.
 * Allocates nothing.
 *
 *   level    5        4        3        2        1
 *   index  56..48   47..39   38..30   29..21   20..12        of the address; a leaf at 3 is 1 GiB, at 2 is 2 MiB
 *
 * A translation is kept as denials, so that a later access is refused by one AND:
 *
 *   4 not dirty | 3 no execute | 2 user page | 1 not user | 0 not writable         each over all levels; 2 is the opposite of 1
 *
 * and 5, on a machine that has an encryption bit: not encrypted, of the leaf alone. It refuses nothing.
 *
 * Source: Intel SDM vol. 3A, "4-Level Paging and 5-Level Paging", "Access Rights", "Accessed and Dirty Flags",
 * "Page-Fault Exceptions".
 */
import type { PhysMemory } from "./memory-api.js";
import type { PageWalker, WalkedCore } from "./parts.js";
import { Denial } from "./literals.js";
import { frameHighOf } from "./frame-number.js";
import { FaultBit } from "./fault-bit.js";

// Bits of an entry, pte.ts.
const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
const ACCESSED = 0x20;
const DIRTY = 0x40;
const PAGE_SIZE = 0x80;
const GLOBAL = 0x100;
/** Addresses with more bits than this are looked at one by one. */
const FOLDED_BITS = 43;
/**
 * No high half: bits 20 to 30 of what {@link Walker.folded} returns are clear, whether or not the entry has an
 * encryption bit.
 */
const RESERVED = 0x7fff_ffff;

/**
 * The hardware page walk of one thread, as ours is: one reference through the data caches for each entry read.
 * Allocates nothing.
 */
export class Walker implements PageWalker {
  /**
   * After a successful walk: level of the leaf, first frame of its page (32 signed bits), whether its G bit is set,
   * denials.
   */
  level = 1;
  frame = 0;
  global = 0;
  denials = 0;

  // Where a walk begins, and where it counts: with them as arguments each walk pushed nine.
  /** Frame of the root table, 32 signed bits; its level, 4 or 5. */
  root = 0;
  levels = 4;
  /** First index of the walk's references in {@link counters}. */
  row = 0;

  /**
   * High-half bits with which a walk cannot go on as it is: those of {@link impossible}, and addresses from 8 TiB on,
   * among which are those whose frames are not their pages' numbers. Batches ask TypeScript for all of them.
   */
  reserved = 0;
  /** High-half bits that must be zero: what exceeds the physical width, and NX while EFER.NXE is clear. */
  private impossible = 0;

  /**
   * @param memory where the tables are
   * @param counters of the thread
   * @param physicalBits MAXPHYADDR, 36 to 52; addresses within it that have no frame count as reserved
   */
  constructor(
    readonly memory: PhysMemory,
    private readonly core: WalkedCore,
    private readonly physicalBits: number,
    private readonly counters: Float64Array,
    /** The high half's encryption bit, no bit of the address; 0: the machine has none. */
    readonly encryption = 0,
  ) {
    this.setNoExecute(false);
  }

  /** @param enabled EFER.NXE */
  setNoExecute(enabled: boolean): void {
    const beyond = (width: number): number =>
      (0xf_ffff & ~((1 << (width - 32)) - 1) & ~this.encryption) | (enabled ? 0 : 0x8000_0000);
    this.impossible = beyond(this.physicalBits);
    this.reserved = beyond(Math.min(FOLDED_BITS, this.physicalBits));
  }

  /**
   * @param tag context of the address, for the paging-structure caches
   * @param write a store: sets D @param deny denials of which one is enough to refuse
   * @returns 0, or the error-code bits this walk decides (P and RSVD) plus {@link WALK_FAULT}
   */
  walk(lo: number, hi: number, tag: number, write: number, deny: number): number {
    const { memory, core, counters } = this;
    const row = this.row | 0;
    const structures = core.tlbs.structures;
    const page = (lo >>> 12) | (hi << 20);
    let level = structures.find(page, tag);
    let table = structures.table;
    let denials = structures.denials;
    if (level === 0) {
      level = this.levels;
      table = this.root;
      denials = 0;
    }
    for (;;) {
      const index =
        level === 1
          ? (lo >>> 12) & 511
          : level === 2
            ? (lo >>> 21) & 511
            : level === 3
              ? ((lo >>> 30) | (hi << 2)) & 511
              : level === 4
                ? (hi >>> 7) & 511
                : (hi >>> 16) & 511;
      // Read before it is charged: the host's own miss on the entry then passes while the model's caches are worked
      // through.
      const entry = memory.read32(table >>> 0, index << 1) | 0;
      let high = memory.read32(table >>> 0, (index << 1) | 1) | 0;
      core.data(table, index >>> 3, 0, counters, row);
      if ((entry & PRESENT) === 0) return WALK_FAULT;
      const leaf = level === 1 || (entry & PAGE_SIZE) !== 0;
      if (
        ((high & this.reserved) !== 0 && (high = this.folded(high)) === RESERVED) ||
        (leaf && level > 1 && (level > 3 || (entry & (level === 2 ? 0x001f_e000 : 0x3fff_e000)) !== 0))
      ) {
        return WALK_FAULT | FaultBit.Protection | FaultBit.Reserved;
      }
      if ((entry & WRITABLE) === 0) denials |= Denial.NotWritable;
      if ((entry & USER) === 0) denials |= Denial.NotUser;
      if (high < 0) denials |= Denial.NoExecute;
      const frame = (entry >>> 12) | (high << 20);
      if (leaf) {
        if ((denials & Denial.NotUser) === 0) denials |= Denial.UserPage;
        if ((~high & this.encryption) !== 0) denials |= Denial.NotEncrypted;
        if ((denials & deny & ~Denial.NotDirty) !== 0) return WALK_FAULT | FaultBit.Protection;
        const wanted = entry | (write !== 0 ? ACCESSED | DIRTY : ACCESSED);
        if (wanted !== entry) this.mark(table, index, wanted);
        this.level = level;
        this.frame = level === 1 ? frame : level === 2 ? frame & ~0x1ff : frame & ~0x3_ffff;
        this.global = entry & GLOBAL;
        this.denials = (wanted & DIRTY) === 0 ? denials | Denial.NotDirty : denials;
        return 0;
      }
      if ((entry & ACCESSED) === 0) this.mark(table, index, entry | ACCESSED);
      level--;
      table = frame;
      structures.insert(level, page, tag, table, denials);
    }
  }

  /**
   * What the page's number takes the place of in an entry's high half, or that it must not be: reserved, or of an
   * address that has no frame. Apart from the walk, which pays for it only where an address is that high.
   */
  private folded(high: number): number {
    if ((high & this.impossible) !== 0) return RESERVED;
    const frameHigh = frameHighOf(high & 0xf_ffff & ~this.encryption);
    return frameHigh < 0 ? RESERVED : (high & (0x8000_0000 | this.encryption)) | frameHigh;
  }

  /** A locked read-modify-write of the entry, in the table's bytes and in the caches. */
  private mark(table: number, index: number, entry: number): void {
    this.core.data(table, index >>> 3, 1, this.counters, this.row);
    this.memory.write32(table >>> 0, index << 1, entry);
  }
}

/** Set in every refusal of {@link Walker.walk}, so that "not present" (error code 0) differs from success. */
export const WALK_FAULT = 0x4000_0000;
