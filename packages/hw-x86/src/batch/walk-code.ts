/**
 * The hardware page walk in WebAssembly: walker.ts and pwc.ts once more, over the same bytes, tables included. A walk
 * is read through first, which changes nothing: where it would fault, or set A or D, the TypeScript model is asked for
 * all of it. Then it is done.
 *
 * Where tables lie is kept by frame, until the memory says that something moved.
 */
import type { BinaryWriter, Callee } from "../wasm/binary-writer.js";
import { block, branch, type Code, leave, loop, select, when } from "../wasm/code.js";
import { i32, i64 } from "../wasm/operations.js";
import { Kind, Source } from "../counters.js";
import { Denial } from "../literals.js";
import { Below } from "../pwc.js";
import { countSource, type Misses, rowAt } from "./cache-code.js";
import { lruCode } from "./lru-code.js";
import { Control } from "./control.js";
import { type Places, TABLES, type WalkPlace } from "./places.js";
import { add, and, fits, type I32, number, or, ORDER, promoted, setOf, shl, shrU } from "./set-code.js";
import { control, counted, setControl } from "./control-code.js";

/** Bits of an entry, pte.ts; and what must be zero in one of 2 MiB and of 1 GiB. */
const enum Entry {
  Present = 1,
  Accessed = 0x20,
  Dirty = 0x40,
  PageSize = 0x80,
  Global = 0x100,
  Reserved2 = 0x001f_e000,
  Reserved3 = 0x3fff_e000,
}

/** Page bits below those that choose an entry of the level whose table is cached. */
const BELOW = [Below.Pde, Below.Pdpte, Below.Pml4e] as const;

/** What whoever enters the page has to know. */
export interface Walks {
  /**
   * Walks: address halves, tag of the context, denials of which one refuses, 1 for a store. Then Control.WalkFrame,
   * WalkGlobal and WalkDenials are set.
   * @returns the leaf's level, or 0: nothing was done, and only TypeScript knows
   */
  readonly walk: Callee<readonly ["i32", "i32", "i32", "i32", "i32"], "i32">;
}

/** Writes the walk. @param table tells a byte address, or 0: of a table's frame */
export function walks(
  writer: BinaryWriter,
  places: Places,
  { steps, tables, structures }: WalkPlace,
  table: Callee<readonly ["i32"], "i32">,
  missed: Misses,
): Walks {
  const caches = structures.map((each) => each && lruCode(writer, each));
  const step = (level: I32): I32 => shl(level, 3);
  const indexOf = (lo: I32, hi: I32, level: I32): I32 => {
    const address = i64.or(i64.shl(i64.extendU(hi), i64.const(32n)), i64.extendU(lo));
    return and(i32.wrap(i64.shrU(address, i64.extendU(add(i32.mul(level, number(9)), 3)))), 511);
  };

  // Address halves, page, tag, denials, 1 for a store. The leaf's level, or 0.
  const read = writer.inline(["i32", "i32", "i32", "i32", "i32", "i32"], "i32", (v, lo, hi, page, tag, deny, write) => {
    const [level, frame, denials] = [v.local("i32"), v.local("i32"), v.local("i32")];
    const [slot, at, entry, high, known] = [
      v.local("i32"),
      v.local("i32"),
      v.local("i32"),
      v.local("i32"),
      v.local("i32"),
    ];
    const giveUp = leave(number(0));
    const leaf: Code = [
      when(i32.ne(level, number(1)), [
        when(i32.gtU(level, number(3)), giveUp),
        // The first of its kind makes TypeScript count what it kept no count of.
        when(i32.isZero(control(places, Control.AnyLarge)), giveUp),
        when(
          i32.eq(level, number(2)),
          [when(and(entry, Entry.Reserved2), giveUp), frame.set(and(frame, ~0x1ff))],
          [when(and(entry, Entry.Reserved3), giveUp), frame.set(and(frame, ~0x3_ffff))],
        ),
      ]),
      when(i32.isZero(and(denials, Denial.NotUser)), denials.set(or(denials, Denial.UserPage))),
      when(and(i32.and(denials, deny), ~Denial.NotDirty), giveUp),
      when(i32.isZero(and(entry, Entry.Dirty)), [when(write, giveUp), denials.set(or(denials, Denial.NotDirty))]),
      setControl(places, Control.WalkFrame, frame),
      setControl(places, Control.WalkGlobal, and(entry, Entry.Global)),
      setControl(places, Control.WalkDenials, denials),
      leave(level),
    ];
    return [
      block((found) => [
        caches.map((cache, below) =>
          cache === null
            ? []
            : [
                slot.set(cache.find.value(and(page, ~BELOW[below]!), tag)),
                when(slot, [
                  level.set(number(below + 1)),
                  frame.set(i32.load(shl(slot, 2), structures[below]!.value)),
                  denials.set(i32.load(shl(slot, 2), structures[below]!.extra)),
                  branch(found),
                ]),
              ],
        ),
        level.set(control(places, Control.WalkLevels)),
        frame.set(control(places, Control.WalkRoot)),
      ]),
      setControl(places, Control.WalkStart, level),
      setControl(places, Control.WalkSlot, slot),
      loop((next) => [
        i32.store(step(level), frame, steps),
        i32.store(step(level), denials, steps + 4),
        known.set(shl(and(frame, TABLES - 1), 3)),
        when(i32.eq(i32.load(known, tables), frame), at.set(i32.load(known, tables + 4)), [
          at.set(table.value(frame)),
          when(i32.isZero(at), giveUp),
          i32.store(known, frame, tables),
          i32.store(known, at, tables + 4),
        ]),
        at.set(i32.add(at, shl(indexOf(lo, hi, level), 3))),
        entry.set(i32.load(at)),
        high.set(i32.load(at, 4)),
        when(i32.ne(and(entry, Entry.Present | Entry.Accessed), number(Entry.Present | Entry.Accessed)), giveUp),
        when(i32.and(high, control(places, Control.WalkReserved)), giveUp),
        // Not writable, not for users, no execute.
        denials.set(
          i32.or(
            i32.or(denials, and(shrU(i32.xor(entry, number(-1)), 1), Denial.NotWritable | Denial.NotUser)),
            shl(shrU(high, 31), 3),
          ),
        ),
        frame.set(i32.or(shrU(entry, 12), shl(high, 20))),
        when(i32.or(i32.eq(level, number(1)), and(entry, Entry.PageSize)), leaf),
        level.set(add(level, -1)),
        branch(next),
      ]),
      number(0).code,
    ];
  });

  const walk = writer.inline(["i32", "i32", "i32", "i32", "i32"], "i32", (v, lo, hi, tag, deny, write) => {
    const [leaf, level, page, frame, line] = [
      v.local("i32"),
      v.local("i32"),
      v.local("i32"),
      v.local("i32"),
      v.local("i32"),
    ];
    const [set, mask, order] = [v.local("i32"), v.local("i32"), v.local("i32")];
    const scratch = [v.local("i32"), v.local("i32")] as const;
    const { l1d } = places;
    return [
      page.set(i32.or(shrU(lo, 12), shl(hi, 20))),
      leaf.set(read.value(lo, hi, page, tag, deny, write)),
      when(i32.isZero(leaf), leave(number(0))),
      level.set(control(places, Control.WalkStart)),
      when(
        control(places, Control.WalkSlot),
        caches.map((cache, below) =>
          cache === null
            ? []
            : when(i32.eq(level, number(below + 1)), cache.use.run(control(places, Control.WalkSlot))),
        ),
      ),
      counted(places),
      block((end) =>
        loop((next) => [
          frame.set(i32.load(step(level), steps)),
          line.set(shrU(indexOf(lo, hi, level), 3)),
          set.set(setOf(l1d, frame, line)),
          mask.set(fits(set, frame)),
          when(
            mask,
            [
              order.set(i32.load(set, ORDER)),
              i32.store(set, promoted(order, i32.ctz(mask), scratch), ORDER),
              countSource(places, number(rowAt(places, Kind.Walk)), number(Source.L1)),
            ],
            missed.data.run(frame, line, number(0), number(rowAt(places, Kind.Walk))),
          ),
          when(i32.eq(level, leaf), branch(end)),
          level.set(add(level, -1)),
          caches.map((cache, below) =>
            cache === null
              ? []
              : when(
                  i32.eq(level, number(below + 1)),
                  cache.insert.run(
                    and(page, ~BELOW[below]!),
                    tag,
                    i32.load(step(level), steps),
                    i32.load(step(level), steps + 4),
                  ),
                ),
          ),
          branch(next),
        ]),
      ),
      leaf.code,
    ];
  });
  return { walk };
}

/** The one of two tags that a walked page's entry has. */
export const walkedTag = (places: Places, tag: I32, globalTag: I32): I32 =>
  select(i32.and(control(places, Control.WalkGlobal), control(places, Control.Globals)), globalTag, tag);
