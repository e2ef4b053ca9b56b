/**
 * What lies beyond the L2 of a core that has its L3 to itself, in WebAssembly: coherence.ts and last-level-cache.ts
 * once more, over the same bytes. Before anything changes it is seen whether all is known here: other cores, and frames
 * so far up that their tags are short for others, are the TypeScript model's.
 */
import type { BinaryWriter, Callee, Local } from "../wasm/binary-writer.js";
import { type Code, type Expression, leave, when, type Variables } from "../wasm/code.js";
import { i32, v128 } from "../wasm/operations.js";
import { Pattern } from "../bit-patterns.js";
import { Source } from "../counters.js";
import { Bits } from "../last-level-cache.js";
import { control } from "./control-code.js";
import { Control } from "./control.js";
import type { CachePlace, OuterPlace, Places } from "./places.js";
import { add, and, bitOf, count, fits, type I32, MODIFIED, number, or, raise, setOf, shl, shrU } from "./set-code.js";

/** Tags of a vector, and bytes. */
const LANES = 8;
const VECTOR = 16;
const MODIFIED_TAG = Bits.ShortEmpty + 1;

/** Brings a line: frame, line, address of its set in L2, way there, victim, its bit if modified. */
export type Outside = Callee<readonly ["i32", "i32", "i32", "i32", "i32", "i32"], "i32">;

/** A line's set in L3: the byte address, the frame's group and its tag. */
interface Located {
  readonly set: Local<"i32">;
  readonly group: Local<"i32">;
  readonly tag: Local<"i32">;
}

/** Sets of L3, and what is done with them. */
class SetCode {
  private readonly vectors: readonly number[];

  constructor(private readonly l3: OuterPlace) {
    this.vectors = Array.from({ length: Math.ceil(l3.ways / LANES) }, (_, nth) => nth);
  }

  /** Looks for a frame's set. */
  locate({ set, group, tag }: Located, frame: I32, line: I32): Code {
    const { at, ways, groups, groupBits } = this.l3;
    const place = add(i32.mul(i32.or(shl(group, 6), line), number(2 * ways)), at);
    if (groupBits >= 0) return [tag.set(shrU(frame, groupBits)), group.set(and(frame, groups - 1)), set.set(place)];
    return [
      tag.set(i32.divU(frame, number(groups))),
      group.set(i32.add(i32.sub(frame, i32.mul(tag, number(groups))), this.spread(tag))),
      when(i32.geS(group, number(groups)), group.set(add(group, -groups))),
      set.set(place),
    ];
  }

  /** A frame of a group by its short tag. */
  frameOf(tag: I32, group: I32, scratch: Local<"i32">): I32 {
    const { groups, groupBits } = this.l3;
    if (groupBits >= 0) return i32.or(shl(tag, groupBits), group);
    return {
      type: "i32",
      code: [
        scratch.set(i32.sub(group, this.spread(tag))),
        when(i32.ltS(scratch, number(0)), scratch.set(add(scratch, groups))),
        i32.add(i32.mul(tag, number(groups)), scratch).code,
      ],
    };
  }

  /** Whether a tag says by itself which frame it is. */
  isPlain(tag: I32): I32 {
    return i32.ltU(tag, number(Bits.Plain));
  }

  /** What stands in the last way. */
  last(set: I32): I32 {
    return i32.load16(set, 2 * (this.l3.ways - 1));
  }

  /** Whether the line that would leave a set is known by its tag, or nothing would. */
  canEvict(set: I32, scratch: Local<"i32">): I32 {
    return {
      type: "i32",
      code: [
        scratch.set(and(this.last(set), Bits.ShortEmpty)),
        i32.or(this.isPlain(scratch), i32.eq(scratch, number(Bits.ShortEmpty))).code,
      ],
    };
  }

  /** Bit n: the way used n-th last has the tag. @param wanted scratch */
  find(set: I32, tag: I32, wanted: Local<"v128">): I32 {
    const { ways } = this.l3;
    const equal = (nth: number): Expression<"v128"> =>
      v128.eq16(v128.and(v128.load(set, VECTOR * nth), v128.splat16(number(Bits.ShortEmpty))), wanted);
    const pairs = this.vectors.filter((nth) => nth % 2 === 0);
    const lanes = pairs
      .map((nth) => {
        const both = this.vectors.includes(nth + 1)
          ? v128.mask8(v128.narrow16(equal(nth), equal(nth + 1)))
          : v128.mask16(equal(nth));
        return shl(both, LANES * nth);
      })
      .reduce((a, b) => i32.or(a, b));
    const found = ways % LANES === 0 ? lanes : and(lanes, (1 << ways) - 1);
    return { type: "i32", code: [wanted.set(v128.splat16(tag)), found.code] };
  }

  /** Puts a tag in front; those before a way move up by one, and what was in that way is gone. */
  putFirst(set: I32, way: I32, tag: I32): Code {
    return [
      // From the end on: each takes the last lane of the vector before it.
      [...this.vectors]
        .reverse()
        .map((nth) =>
          v128.store(
            set,
            v128.bitselect(
              v128.load(add(set, -2), VECTOR * nth),
              v128.load(set, VECTOR * nth),
              v128.leS16(lanesOf(nth), v128.splat16(way)),
            ),
            VECTOR * nth,
          ),
        ),
      i32.store16(set, tag),
    ];
  }

  /** Takes a way out; those behind it move down, and the last is empty. */
  takeOut(set: I32, way: I32): Code {
    const { ways } = this.l3;
    const whole = ways % LANES === 0;
    return [
      this.vectors.map((nth) => {
        const behind = v128.geS16(lanesOf(nth), v128.splat16(way));
        const moving =
          whole || nth < this.vectors.length - 1
            ? behind
            : v128.and(behind, v128.leS16(lanesOf(nth), v128.splat16(number(ways - 1))));
        return v128.store(
          set,
          v128.bitselect(v128.load(set, VECTOR * nth + 2), v128.load(set, VECTOR * nth), moving),
          VECTOR * nth,
        );
      }),
      i32.store16(set, number(Bits.ShortEmpty), 2 * (ways - 1)),
    ];
  }

  private spread(tag: I32): I32 {
    return shrU(i32.mul(shrU(i32.mul(tag, number(Pattern.Hash)), 16), number(this.l3.groups)), 16);
  }
}

/** Numbers of a vector's lanes within the set. */
const lanesOf = (nth: number): Expression<"v128"> =>
  v128.const(Array.from({ length: VECTOR }, (_, byte) => (byte % 2 === 0 ? LANES * nth + byte / 2 : 0)));

/** @returns a function that brings a line, or tells 0: it did nothing, and TypeScript has to */
export function outerCode(
  writer: BinaryWriter,
  places: Places,
  l3: OuterPlace,
  l2: CachePlace,
  evictedFromCore: Callee<readonly ["i32", "i32", "i32"], undefined>,
): Outside {
  const sets = new SetCode(l3);
  const located = (variables: Variables): Located => ({
    set: variables.local("i32"),
    group: variables.local("i32"),
    tag: variables.local("i32"),
  });
  const home = (frame: I32, scratch: Local<"i32">): I32 => ({
    type: "i32",
    code: [
      scratch.set(shrU(frame, l3.homesShift)),
      when(
        i32.ltU(scratch, number(l3.homesLength)),
        scratch.set(i32.load8(scratch, l3.homes)),
        scratch.set(number(l3.ownHome)),
      ),
      scratch.code,
    ],
  });
  const writeBack = (frame: I32, scratch: Local<"i32">): Code => count(shl(home(frame, scratch), 2), l3.writeBacks);

  /** Uses a line, bringing it in; what had to leave goes home. @param mark the bit of a tag that comes in modified */
  const touch = (
    variables: Variables,
    at: Located,
    mask: I32,
    line: I32,
    mark: I32,
    wanted: { readonly here: Code; readonly brought: Code },
  ): Code => {
    const [found, way, before] = [variables.local("i32"), variables.local("i32"), variables.local("i32")];
    const [frame, scratch] = [variables.local("i32"), variables.local("i32")];
    const left = [
      frame.set(sets.frameOf(and(before, Bits.ShortEmpty), at.group, scratch)),
      l3.inclusion === "inclusive"
        ? when(
            i32.or(
              i32.or(fits(setOf(places.l1i, frame, line), frame), fits(setOf(places.l1d, frame, line), frame)),
              fits(setOf(l2, frame, line), frame),
            ),
            evictedFromCore.run(frame, line, shrU(before, 15)),
            when(and(before, MODIFIED_TAG), writeBack(frame, scratch)),
          )
        : when(and(before, MODIFIED_TAG), writeBack(frame, scratch)),
    ];
    return [
      found.set(mask),
      when(
        found,
        [
          way.set(i32.ctz(found)),
          before.set(i32.or(i32.load16(i32.add(at.set, shl(way, 1))), mark)),
          when(way, sets.putFirst(at.set, way, before), i32.store16(at.set, before)),
          wanted.here,
        ],
        [
          before.set(sets.last(at.set)),
          sets.putFirst(at.set, number(l3.ways - 1), i32.or(at.tag, mark)),
          when(i32.ne(before, number(Bits.ShortEmpty)), left),
          wanted.brought,
        ],
      ),
    ];
  };

  return writer.inline(
    ["i32", "i32", "i32", "i32", "i32", "i32"],
    "i32",
    (variables, frame, line, set2, way2, victim, modified) => {
      const [own, theirs] = [located(variables), located(variables)];
      const [source, scratch, mask] = [variables.local("i32"), variables.local("i32"), variables.local("i32")];
      const wanted = variables.local("v128");
      const giveUp = leave(number(0));
      const unless = (condition: I32): Code => when(i32.isZero(condition), giveUp);
      const fromMemory = source.set(add(home(frame, scratch), Source.Memory));
      const begin = [
        unless(control(places, Control.Alone)),
        sets.locate(own, frame, line),
        unless(sets.isPlain(own.tag)),
      ];
      const hasVictim = i32.ne(victim, number(-1));
      if (l3.inclusion === "victim")
        return [
          begin,
          when(hasVictim, [
            sets.locate(theirs, victim, line),
            unless(sets.isPlain(theirs.tag)),
            unless(sets.canEvict(theirs.set, scratch)),
          ]),
          mask.set(sets.find(own.set, own.tag, wanted)),
          when(
            mask,
            [
              scratch.set(i32.ctz(mask)),
              mask.set(shrU(i32.load16(i32.add(own.set, shl(scratch, 1))), 15)),
              sets.takeOut(own.set, scratch),
              when(mask, raise(set2, MODIFIED, bitOf(way2))),
              source.set(number(Source.OwnL3)),
            ],
            fromMemory,
          ),
          when(hasVictim, [
            touch(
              variables,
              theirs,
              sets.find(theirs.set, theirs.tag, wanted),
              line,
              shl(i32.ne(modified, number(0)), 15),
              { here: [], brought: [] },
            ),
          ]),
          source.code,
        ];
      return [
        begin,
        unless(sets.canEvict(own.set, scratch)),
        when(modified, [
          sets.locate(theirs, victim, line),
          unless(sets.isPlain(theirs.tag)),
          mask.set(sets.find(theirs.set, theirs.tag, wanted)),
          when(
            mask,
            [
              scratch.set(i32.add(theirs.set, shl(i32.ctz(mask), 1))),
              i32.store16(scratch, or(i32.load16(scratch), MODIFIED_TAG)),
            ],
            writeBack(victim, scratch),
          ),
        ]),
        touch(variables, own, sets.find(own.set, own.tag, wanted), line, number(0), {
          here: source.set(number(Source.OwnL3)),
          brought: fromMemory,
        }),
        source.code,
      ];
    },
  );
}
