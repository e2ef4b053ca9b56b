/**
 * What happens in WebAssembly when a line is not in L1: core.ts once more, over the same bytes. What lies beyond L2,
 * and a first store that somebody else has to hear of, is the TypeScript model's.
 */
import type { BinaryWriter, Callee, Local } from "../wasm/binary-writer.js";
import { block, branch, branchIf, type Code, leave, loop, when, type Variables } from "../wasm/code.js";
import { i32 } from "../wasm/operations.js";
import { Pattern } from "../bit-patterns.js";
import { Kind, Source } from "../counters.js";
import { Control } from "./control.js";
import type { CachePlace, Places } from "./places.js";
import {
  add,
  and,
  bitOf,
  clear,
  count,
  fill,
  type Filled,
  fits,
  type I32,
  MODIFIED,
  number,
  ORDER,
  originOf,
  promoted,
  raise,
  setOf,
  SHARED,
  shl,
  shrU,
} from "./set-code.js";
import { control, counted } from "./control-code.js";
import { outerCode } from "./outer-code.js";

/** What the binary asks TypeScript for; places of sets are indices of words, as the model's are. */
export interface Beyond {
  /** Brings a line whose place in L2 is made: frame, line, set, way, victim, modified, write. @returns the source */
  readonly outside: Callee<readonly ["i32", "i32", "i32", "i32", "i32", "i32", "i32"], "i32">;
  /** A line that left an inclusive L3 and may be in the core: frame, line, modified. */
  readonly evicted: Callee<readonly ["i32", "i32", "i32"], undefined>;
  /**
   * Uses a line in an L2 that TypeScript keeps: frame, line, write.
   * @returns the source, and in bit 16 whether shared
   */
  readonly second: Callee<readonly ["i32", "i32", "i32"], "i32">;
  /** A modified line of L1D that L2 lacks, or of which only TypeScript knows: frame, line. */
  readonly fromL2: Callee<readonly ["i32", "i32"], undefined>;
  /** A store to a line that is shared, or in L1I: frame, line, set, way. @returns L1 or an upgrade source */
  readonly firstStore: Callee<readonly ["i32", "i32", "i32", "i32"], "i32">;
}

/** What a batch goes through where L1 has not the line, or has it clean. */
export interface Misses {
  /** A line that is not in L1D: frame, line, 1 for a store, address of the row of counts. */
  readonly data: Callee<readonly ["i32", "i32", "i32", "i32"], undefined>;
  /** A store to a line of L1D that is not modified: frame, line, set, way. @returns L1, or an upgrade source */
  readonly firstStore: Callee<readonly ["i32", "i32", "i32", "i32"], "i32">;
  /** A line that is not in L1I: frame, line. */
  readonly code: Callee<readonly ["i32", "i32"], undefined>;
}

/** Address of the first region's counts of a kind. */
export const rowAt = (places: Places, kind: Kind): number => places.counts + kind * places.sources * 4;

/** Counts a reference under the region. @param row {@link rowAt} of its kind */
export const countSource = (places: Places, row: I32, source: I32): Code =>
  count(i32.add(i32.add(row, shl(source, 2)), control(places, Control.Row)), 0);

const filledOf = (variables: Variables): Filled => ({
  way: variables.local("i32"),
  victim: variables.local("i32"),
  modified: variables.local("i32"),
});

/** Index of a set's first word in its cache's array. */
const wordOf = ({ at }: CachePlace, set: I32): I32 => shrU(add(set, -at), 2);

/** The ways to an L2 whose sets lie in the memory. */
function secondLevel(
  writer: BinaryWriter,
  places: Places,
  l2: CachePlace,
  beyond: Beyond,
): Pick<Beyond, "second"> & { readonly fromL1: Beyond["fromL2"] } {
  // A modified line leaves L1D, or is cleaned there: frame, line.
  const fromL1 = writer.inline(["i32", "i32"], undefined, (variables, frame, line) => {
    const set = variables.local("i32");
    const mask = variables.local("i32");
    return [
      set.set(setOf(l2, frame, line)),
      mask.set(fits(set, frame)),
      when(mask, raise(set, MODIFIED, mask), beyond.fromL2.run(frame, line)),
    ];
  });

  const outside = places.outer && outerCode(writer, places, places.outer, l2, beyond.evicted);

  // Uses a line in L2, bringing it in: frame, line, 1 for a store. The source, and in bit 16 whether L2 has it shared.
  const second = writer.inline(["i32", "i32", "i32"], "i32", (variables, frame, line, write) => {
    const set = variables.local("i32");
    const mask = variables.local("i32");
    const order = variables.local("i32");
    const source = variables.local("i32");
    const filled = filledOf(variables);
    const { way, victim, modified } = filled;
    const scratch = [variables.local("i32"), variables.local("i32")] as const;
    return [
      set.set(setOf(l2, frame, line)),
      mask.set(fits(set, frame)),
      when(
        mask,
        [
          way.set(i32.ctz(mask)),
          order.set(i32.load(set, ORDER)),
          i32.store(set, promoted(order, way, scratch), ORDER),
          source.set(number(Source.L2)),
        ],
        [
          fill(l2, set, frame, filled, order),
          outside === null ? [] : source.set(outside.value(frame, line, set, way, victim, modified)),
          when(
            i32.isZero(source),
            source.set(
              beyond.outside.value(frame, line, wordOf(l2, set), way, victim, i32.ne(modified, number(0)), write),
            ),
          ),
        ],
      ),
      i32.or(source, shl(and(i32.shrU(i32.load(set, SHARED), way), 1), 16)).code,
    ];
  });
  return { fromL1, second };
}

/** Writes the ways a miss of L1 goes. */
export function misses(writer: BinaryWriter, places: Places, beyond: Beyond): Misses {
  const { l1i, l1d, l2 } = places;
  const replaced = replacement(writer, places);

  const { fromL1, second } =
    l2 === null ? { fromL1: beyond.fromL2, second: beyond.second } : secondLevel(writer, places, l2, beyond);

  const firstStore = writer.inline(["i32", "i32", "i32", "i32"], "i32", (variables, frame, line, set, way) => {
    const code = variables.local("i32");
    return [
      code.set(setOf(l1i, frame, line)),
      when(
        i32.or(i32.and(i32.load(set, SHARED), bitOf(way)), fits(code, frame)),
        leave(beyond.firstStore.value(frame, line, wordOf(l1d, set), way)),
      ),
      raise(set, MODIFIED, bitOf(way)),
      number(Source.L1).code,
    ];
  });

  const data = writer.inline(["i32", "i32", "i32", "i32"], undefined, (variables, frame, line, write, row) => {
    const set = variables.local("i32");
    const order = variables.local("i32");
    const source = variables.local("i32");
    const upgrade = variables.local("i32");
    const filled = filledOf(variables);
    const { way, victim, modified } = filled;
    return [
      set.set(setOf(l1d, frame, line)),
      fill(l1d, set, frame, filled, order),
      when(control(places, Control.Counting), replaced.run(victim, frame, line)),
      when(modified, fromL1.run(victim, line)),
      source.set(second.value(frame, line, write)),
      when(shrU(source, 16), [raise(set, SHARED, bitOf(way)), source.set(and(source, 0xffff))]),
      when(write, [
        upgrade.set(firstStore.value(frame, line, set, way)),
        when(i32.ne(upgrade, number(Source.L1)), source.set(upgrade)),
      ]),
      counted(places),
      countSource(places, row, source),
    ];
  });

  // Brings a line that is new in L1I; what L1D changed in it goes below first. The source.
  const fetchLine = writer.inline(["i32", "i32"], "i32", (variables, frame, line) => {
    const set = variables.local("i32");
    const mask = variables.local("i32");
    return [
      set.set(setOf(l1d, frame, line)),
      mask.set(fits(set, frame)),
      when(i32.and(mask, i32.load(set, MODIFIED)), [
        clear(set, MODIFIED, mask),
        clear(set, SHARED, mask),
        fromL1.run(frame, line),
      ]),
      and(second.value(frame, line, number(0)), 0xffff).code,
    ];
  });

  // Brings a line to L1I ahead of its use, where it is not there.
  const bring = writer.inline(["i32", "i32"], undefined, (variables, frame, line) => {
    const set = variables.local("i32");
    const order = variables.local("i32");
    const source = variables.local("i32");
    const filled = filledOf(variables);
    return [
      set.set(setOf(l1i, frame, line)),
      when(fits(set, frame), leave()),
      fill(l1i, set, frame, filled, order),
      when(control(places, Control.Counting), replaced.run(filled.victim, frame, line)),
      source.set(fetchLine.value(frame, line)),
      i32.store8(originOf(l1i.at, set, filled.way), add(source, 1), l1i.originsAt),
      countSource(places, number(rowAt(places, Kind.Prefetch)), source),
    ];
  });

  const code = writer.inline(["i32", "i32"], undefined, (variables, frame, line) => {
    const set = variables.local("i32");
    const order = variables.local("i32");
    const last = variables.local("i32");
    const filled = filledOf(variables);
    const ahead =
      places.prefetchLines === 0
        ? []
        : [
            last.set(add(line, places.prefetchLines)),
            when(i32.gtS(last, number(63)), last.set(number(63))),
            block((end) =>
              loop((head) => [
                branchIf(i32.geS(line, last), end),
                line.set(add(line, 1)),
                bring.run(frame, line),
                branch(head),
              ]),
            ),
          ];
    return [
      set.set(setOf(l1i, frame, line)),
      fill(l1i, set, frame, filled, order),
      when(control(places, Control.Counting), replaced.run(filled.victim, frame, line)),
      counted(places),
      order.set(fetchLine.value(frame, line)),
      countSource(places, number(rowAt(places, Kind.Fetch)), order),
      ahead,
    ];
  });

  return { data, firstStore, code };
}

/** Keeps the account of what L1I, L1D and L2 have, by hash: victim or -1, frame, line. */
function replacement(writer: BinaryWriter, { present, presentShift }: Places) {
  const place = (frame: Local<"i32">, line: I32): I32 =>
    shl(shrU(i32.mul(i32.or(shl(frame, 6), line), number(Pattern.Hash)), presentShift), 1);
  const change = (at: I32, more: number): Code => i32.store16(at, add(i32.load16(at, present), more), present);
  return writer.inline(["i32", "i32", "i32"], undefined, (_, victim, frame, line) => [
    change(place(frame, line), 1),
    when(i32.ne(victim, number(-1)), change(place(victim, line), -1)),
  ]);
}
