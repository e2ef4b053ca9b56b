/**
 * Translation in WebAssembly: the TLBs of a core as tlb.ts and tlb-levels.ts have them, over the same bytes. What ends
 * in a walk or a fault, and pages of 1 GiB, is the TypeScript model's: it is asked, and looks everything up itself.
 */
import type { BinaryWriter, Callee, Local } from "../wasm/binary-writer.js";
import { block, branch, branchIf, type Code, leave, loop, when, type Variables } from "../wasm/code.js";
import { i32, v128 } from "../wasm/operations.js";
import { Context } from "../literals.js";
import { REGIONS, Tag } from "../tlb.js";
import { control, counted, setControl } from "./control-code.js";
import { Control } from "./control.js";
import type { Places, TlbPlace } from "./places.js";
import { add, and, count, type I32, number, oldest, or, promoted, shl, shrU, turned } from "./set-code.js";
import { walkedTag, type Walks } from "./walk-code.js";

/** Translates an address: 0, then Control.Frame is set, or what the access ends in. */
export type Translate = Callee<readonly ["i32", "i32", "i32"], "i32">;

/** What is looked for. */
export interface Wanted {
  readonly page: Local<"i32">;
  readonly tag: Local<"i32">;
  readonly globalTag: Local<"i32">;
}

/** Sets what is looked for. */
export const want = (places: Places, lo: I32, hi: I32, { page, tag, globalTag }: Wanted): Code => [
  page.set(i32.or(shrU(lo, 12), shl(hi, 20))),
  globalTag.set(and(shrU(hi, 12), Tag.Page)),
  tag.set(i32.or(globalTag, control(places, Control.Context))),
  globalTag.set(i32.or(globalTag, control(places, Control.GlobalContext))),
];

/** Whether an address is canonical. */
export const canonical = (places: Places, hi: I32): I32 => {
  const shift = control(places, Control.CanonicalShift);
  return i32.eq(i32.shrS(i32.shl(hi, shift), shift), hi);
};

/** Byte address of the entry used last in a set; `set` is set. */
export const lastEntry = (tlb: TlbPlace, index: I32, set: Local<"i32">): Code => [
  set.set(and(index, tlb.setMask)),
  set.set(shl(i32.add(i32.mul(set, number(tlb.ways)), and(i32.load(shl(set, 2), tlb.orderAt), 15)), 4)),
];

/** Whether the entry at a place is the page's. @param large bits that the tag of its size has */
export const isWanted = (tlb: TlbPlace, entry: I32, page: I32, { tag, globalTag }: Wanted, large: number): I32 => {
  const found = i32.load(entry, tlb.entriesAt + 4);
  const sized = (bits: I32): I32 => (large === 0 ? bits : or(bits, large));
  return i32.and(
    i32.eq(i32.load(entry, tlb.entriesAt), page),
    i32.or(i32.eq(found, sized(tag)), i32.eq(found, sized(globalTag))),
  );
};

/** Finds a page: the byte offset of its entry, or -1; the order of use is as it was. */
function search(writer: BinaryWriter, tlb: TlbPlace, large: number) {
  const { ways, setMask, pagesAt } = tlb;
  return writer.inline(["i32", "i32", "i32", "i32"], "i32", (variables, index, page, tag, globalTag) => {
    const first = variables.local("i32");
    const mask = variables.local("i32");
    const entry = variables.local("i32");
    const at = shl(first, 2);
    const lanes = (from: number): I32 => v128.mask32(v128.eq32(v128.load(at, pagesAt + from * 4), v128.splat32(page)));
    const found =
      ways === 8
        ? i32.or(lanes(0), shl(lanes(4), 4))
        : ways === 4
          ? lanes(0)
          : Array.from({ length: ways }, (_, way) => shl(i32.eq(i32.load(at, pagesAt + way * 4), page), way)).reduce(
              (a, b) => i32.or(a, b),
            );
    return [
      first.set(i32.mul(and(index, setMask), number(ways))),
      mask.set(found),
      block((none) =>
        loop((next) => [
          branchIf(i32.isZero(mask), none),
          entry.set(shl(i32.add(first, i32.ctz(mask)), 4)),
          when(isWanted(tlb, entry, page, { page, tag, globalTag }, large), leave(entry)),
          mask.set(i32.and(mask, add(mask, -1))),
          branch(next),
        ]),
      ),
      number(-1).code,
    ];
  });
}

/** Makes an entry the one used last of its set. */
function use(variables: Variables, { ways, setMask, orderAt }: TlbPlace, index: I32, entry: I32): Code {
  const order = variables.local("i32");
  const scratch = [variables.local("i32"), variables.local("i32")] as const;
  const way = i32.sub(shrU(entry, 4), i32.mul(and(index, setMask), number(ways)));
  const place = shl(and(index, setMask), 2);
  return [order.set(i32.load(place, orderAt)), i32.store(place, promoted(order, way, scratch), orderAt)];
}

/** Adds to the count of entries in a page's 2 MiB region. */
const recount = ({ regionsAt }: TlbPlace, page: I32, more: number): Code => {
  const at = shl(and(shrU(page, 9), REGIONS - 1), 1);
  return i32.store16(at, add(i32.load16(at, regionsAt), more), regionsAt);
};

/**
 * Enters a page that is not there.
 * @param index its number in units of its size
 * @param filled writes the entry at a byte offset
 */
function insert(
  variables: Variables,
  places: Places,
  tlb: TlbPlace,
  index: I32,
  page: I32,
  filled: (entry: I32) => Code,
): Code {
  const order = variables.local("i32");
  const slot = variables.local("i32");
  const place = shl(and(index, tlb.setMask), 2);
  const entry = shl(slot, 4);
  const regions =
    tlb.regionsAt === 0
      ? []
      : when(control(places, Control.AnyLarge), [
          when(
            i32.ne(i32.load(entry, tlb.entriesAt + 4), number(-1)),
            recount(tlb, i32.load(entry, tlb.entriesAt), -1),
          ),
          recount(tlb, page, 1),
        ]);
  return [
    order.set(i32.load(place, tlb.orderAt)),
    slot.set(oldest(order, tlb.ways)),
    i32.store(place, turned(order, slot, tlb.ways), tlb.orderAt),
    slot.set(i32.add(i32.mul(and(index, tlb.setMask), number(tlb.ways)), slot)),
    regions,
    i32.store(shl(slot, 2), page, tlb.pagesAt),
    filled(entry),
  ];
}

/** Enters what a walk found: page, tag, frame, denials. @param bits of a page number below those of its size */
function entering(writer: BinaryWriter, places: Places, tlb: TlbPlace, bits: number) {
  return writer.inline(["i32", "i32", "i32", "i32"], undefined, (variables, page, tag, frame, denials) =>
    insert(variables, places, tlb, shrU(page, bits), page, (entry) =>
      [page, tag, frame, denials].map((word, nth) => i32.store(entry, word, tlb.entriesAt + 4 * nth)),
    ),
  );
}

/**
 * Writes the translation of code, or of data: everything but the entry used last, which whoever calls has looked at.
 * @param access what `host` is told: 2 fetch; of data, a parameter of the function says which
 */
export function translation(
  writer: BinaryWriter,
  places: Places,
  host: Translate,
  walks: Walks | null,
  code: boolean,
): Translate {
  const small = code ? places.codeSmall : places.dataSmall;
  const firstLarge = code ? places.codeLarge : places.dataLarge;
  const firstHuge = code ? null : places.dataHuge;
  const { second, secondHuge } = places;
  const findSmall = search(writer, small, 0);
  const findSecond = search(writer, places.second, 0);
  const larger = [
    { tlb: firstLarge, bits: 9 },
    { tlb: firstHuge, bits: 18 },
  ].flatMap(({ tlb, bits }) => (tlb === null ? [] : [{ tlb, bits, find: search(writer, tlb, Tag.Large) }]));
  // The same in the second level, each with where it is copied to.
  const largerSecond = [
    { tlb: places.secondLarge ? second : null, first: firstLarge, bits: 9 },
    { tlb: secondHuge, first: firstHuge, bits: 18 },
  ].flatMap(({ tlb, first, bits }) =>
    tlb === null ? [] : [{ tlb, first, bits, find: search(writer, tlb, Tag.Large) }],
  );
  const walk = walks && walking(writer, places, walks.walk, code);
  // The parameters: address halves, and 0 load, 1 store, 2 fetch.
  return writer.inline(["i32", "i32", "i32"], "i32", (variables, lo, hi, access) => {
    const wanted = { page: variables.local("i32"), tag: variables.local("i32"), globalTag: variables.local("i32") };
    const { page, tag, globalTag } = wanted;
    const deny = variables.local("i32");
    const entry = variables.local("i32");
    const ask = leave(host.value(lo, hi, access));
    const denied = (tlb: TlbPlace): I32 => i32.and(i32.load(entry, tlb.entriesAt + 12), deny);
    const found = (frame: I32, kept = 1): Code => [
      setControl(places, Control.Frame, frame),
      code ? setControl(places, Control.CodeKept, number(kept)) : [],
      leave(number(0)),
    ];
    const countSecond: Code = [counted(places), countPlace(places, code ? 0 : 1)];
    const copied =
      (from: TlbPlace, to: TlbPlace) =>
      (at: I32): Code =>
        v128.store(at, v128.load(entry, from.entriesAt), to.entriesAt);
    // A page of 2 MiB, then one of 1 GiB.
    const tryLarger = larger.map(({ tlb, bits, find }) => {
      const first = and(page, -1 << bits);
      const within = i32.add(i32.load(entry, tlb.entriesAt + 8), and(page, (1 << bits) - 1));
      return [
        lastEntry(tlb, shrU(page, bits), entry),
        when(i32.and(isWanted(tlb, entry, first, wanted, Tag.Large), i32.isZero(denied(tlb))), found(within)),
        entry.set(find.value(shrU(page, bits), first, tag, globalTag)),
        when(i32.geS(entry, number(0)), [
          when(denied(tlb), ask),
          use(variables, tlb, shrU(page, bits), entry),
          found(within),
        ]),
      ];
    });
    const tryLargerSecond = largerSecond.map(({ tlb, first, bits, find }) => {
      const large = and(page, -1 << bits);
      return [
        entry.set(find.value(shrU(page, bits), large, tag, globalTag)),
        when(i32.geS(entry, number(0)), [
          when(denied(tlb), ask),
          use(variables, tlb, shrU(page, bits), entry),
          first === null ? [] : insert(variables, places, first, shrU(page, bits), large, copied(tlb, first)),
          countSecond,
          found(i32.add(i32.load(entry, tlb.entriesAt + 8), and(page, (1 << bits) - 1)), first === null ? 0 : 1),
        ]),
      ];
    });
    return [
      when(i32.or(i32.isZero(canonical(places, hi)), and(control(places, Control.Context), Context.Never)), ask),
      want(places, lo, hi, wanted),
      deny.set(
        code ? control(places, Control.DenyFetch) : i32.load(shl(access, 2), places.control + Control.DenyLoad * 4),
      ),
      // Where a larger page was ever used and none of 4 KiB lies near, none is looked for.
      when(
        i32.or(
          i32.isZero(control(places, Control.AnyLarge)),
          i32.load16(shl(and(shrU(page, 9), REGIONS - 1), 1), small.regionsAt),
        ),
        [
          entry.set(findSmall.value(page, page, tag, globalTag)),
          when(i32.geS(entry, number(0)), [
            when(denied(small), ask),
            use(variables, small, page, entry),
            found(i32.load(entry, small.entriesAt + 8)),
          ]),
        ],
      ),
      when(control(places, Control.AnyLarge), tryLarger),
      entry.set(findSecond.value(page, page, tag, globalTag)),
      when(i32.eq(entry, number(-1)), [
        when(control(places, Control.AnyLarge), tryLargerSecond),
        walk === null ? [] : when(walk.value(lo, hi, page, tag, globalTag, deny, access), leave(number(0))),
        ask,
      ]),
      when(denied(second), ask),
      use(variables, second, page, entry),
      insert(variables, places, small, page, page, copied(second, small)),
      countSecond,
      found(i32.load(entry, second.entriesAt + 8)),
    ];
  });
}

/** Counts one of the four of `secondCounts`. */
const countPlace = (places: Places, nth: number): Code =>
  count(shl(control(places, Control.Region), 4), places.secondCounts + 4 * nth);

/**
 * Walks and enters what was found, in both levels: address halves, page, its tags, denials, access. 0 where TypeScript
 * has to.
 */
function walking(writer: BinaryWriter, places: Places, walk: Walks["walk"], code: boolean) {
  const entered = (tlb: TlbPlace | null, bits: number) => (tlb === null ? [] : [entering(writer, places, tlb, bits)]);
  const first = code
    ? [places.codeSmall, places.codeLarge, null]
    : [places.dataSmall, places.dataLarge, places.dataHuge];
  const second = [places.second, places.secondLarge ? places.second : null, places.secondHuge];
  const into = second.map((tlb, below) => [...entered(tlb, 9 * below), ...entered(first[below]!, 9 * below)]);
  const types = ["i32", "i32", "i32", "i32", "i32", "i32", "i32"] as const;
  return writer.inline(types, "i32", (variables, lo, hi, page, tag, globalTag, deny, access) => {
    const level = variables.local("i32");
    const frame = variables.local("i32");
    const enter = into.map((callees, below) => {
      const large = below === 0 ? number(0) : number(Tag.Large);
      const mask = (1 << (9 * below)) - 1;
      return when(i32.eq(level, number(below + 1)), [
        callees.map((callee) =>
          callee.run(and(page, ~mask), i32.or(tag, large), frame, control(places, Control.WalkDenials)),
        ),
        code ? setControl(places, Control.CodeKept, number(first[below] === null ? 0 : 1)) : [],
        setControl(places, Control.Frame, i32.add(frame, and(page, mask))),
      ]);
    });
    return [
      level.set(walk.value(lo, hi, tag, deny, and(access, 1))),
      when(i32.isZero(level), leave(number(0))),
      countPlace(places, code ? 2 : 3),
      setControl(places, Control.Fills, add(control(places, Control.Fills), 1)),
      frame.set(control(places, Control.WalkFrame)),
      tag.set(walkedTag(places, tag, globalTag)),
      enter,
      number(1).code,
    ];
  });
}
