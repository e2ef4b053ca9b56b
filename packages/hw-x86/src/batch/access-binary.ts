/**
 * The access path of one core in WebAssembly, for many references at a time: cpu.ts once more, over the same bytes,
 * with the core's shape and places as constants. What it does not know it asks of the TypeScript model.
 */
import { BinaryWriter } from "../wasm/binary-writer.js";
import { block, branch, branchIf, type Code, type Label, loop, when } from "../wasm/code.js";
import { i32 } from "../wasm/operations.js";
import { Kind, KINDS, Source } from "../counters.js";
import { countSource, misses, rowAt } from "./cache-code.js";
import { Control } from "./control.js";
import type { CachePlace, Places, TlbPlace } from "./places.js";
import {
  add,
  and,
  count,
  fits,
  type I32,
  MODIFIED,
  number,
  ORDER,
  originOf,
  promoted,
  setOf,
  shl,
  shrU,
} from "./set-code.js";
import { control, counted, setControl } from "./control-code.js";
import { canonical, isWanted, lastEntry, translation, want } from "./tlb-code.js";
import { walks } from "./walk-code.js";

/** Kinds of references, as machine-api.ts has them. */
const enum Reference {
  Load = 1,
  Region = 3,
}

/** Pages of 64 KiB that the places take. @param behind bytes that follow them */
export const pagesOf = ({ end }: Places, behind = 0): number => Math.ceil((end + behind) / 0x1_0000);

/**
 * The binary: `run(from, to)` runs references of the input and tells the index of the first it did not run, or that
 * faulted.
 */
export function accessBinary(places: Places): Uint8Array<ArrayBuffer> {
  const { l1i, l1d, codeSmall, dataSmall } = places;
  const writer = new BinaryWriter(pagesOf(places));
  const host = writer.import("translate", ["i32", "i32", "i32"], "i32");
  const beyond = {
    outside: writer.import("outside", ["i32", "i32", "i32", "i32", "i32", "i32", "i32"], "i32"),
    evicted: writer.import("evicted", ["i32", "i32", "i32"]),
    second: writer.import("second", ["i32", "i32", "i32"], "i32"),
    fromL2: writer.import("fromL2", ["i32", "i32"]),
    firstStore: writer.import("firstStore", ["i32", "i32", "i32", "i32"], "i32"),
  };
  const table = writer.import("table", ["i32"], "i32");
  const missed = misses(writer, places, beyond);
  const walk = places.walk && walks(writer, places, places.walk, table, missed);
  const ofCode = translation(writer, places, host, walk, true);
  const ofData = translation(writer, places, host, walk, false);

  writer.add("run", ["i32", "i32"], "i32", (variables, from, to) => {
    const make = () => variables.local("i32");
    const [at, end, lo, hi, kind, frame, line] = [make(), make(), make(), make(), make(), make(), make()];
    const [entry, set, mask, way, order, fault, apart] = [make(), make(), make(), make(), make(), make(), make()];
    const scratch = [make(), make()] as const;
    const wanted = { page: make(), tag: make(), globalTag: make() };
    // Hits of L1 are counted in registers, and what was fetched last is kept there.
    const hits = { fetch: make(), load: make(), store: make() };
    const kept = { lo: make(), hi: make(), frame: make() };
    const more = (hit: typeof at): Code => hit.set(add(hit, 1));
    const lineOf = line.set(and(shrU(lo, 6), 63));

    /** The entry used last in its set, or whatever else translates it. */
    const translate = (tlb: TlbPlace, deny: I32, otherwise: I32, done: Label, told: Code): Code =>
      block((translated) => [
        want(places, lo, hi, wanted),
        lastEntry(tlb, wanted.page, entry),
        when(
          i32.and(
            isWanted(tlb, entry, wanted.page, wanted, 0),
            i32.and(i32.isZero(i32.and(i32.load(entry, tlb.entriesAt + 12), deny)), canonical(places, hi)),
          ),
          [frame.set(i32.load(entry, tlb.entriesAt + 8)), told, branch(translated)],
        ),
        setControl(places, Control.Frame, frame),
        fault.set(otherwise),
        frame.set(control(places, Control.Frame)),
        branchIf(fault, done),
      ]);

    const look = (cache: CachePlace): Code => [set.set(setOf(cache, frame, line)), mask.set(fits(set, frame))];

    const promote: Code = [
      way.set(i32.ctz(mask)),
      order.set(i32.load(set, ORDER)),
      i32.store(set, promoted(order, way, scratch), ORDER),
    ];

    const fetched: Code =
      l1i.originsAt === 0
        ? more(hits.fetch)
        : [
            entry.set(originOf(l1i.at, set, way)),
            mask.set(i32.load8(entry, l1i.originsAt)),
            when(
              mask,
              [
                i32.store8(entry, number(0), l1i.originsAt),
                counted(places),
                // An origin is a source plus 1.
                countSource(places, number(rowAt(places, Kind.PrefetchedFetch) - 4), mask),
              ],
              more(hits.fetch),
            ),
          ];

    const fetch = (done: Label, served: Label): Code => [
      block((translated) => [
        when(i32.and(control(places, Control.Kept), i32.eq(hi, kept.hi)), [
          apart.set(i32.xor(lo, kept.lo)),
          when(i32.isZero(apart), [frame.set(kept.frame), more(hits.fetch), branch(served)]),
          // The same page again: its entry is the last one used, so looking it up would change nothing.
          when(i32.isZero(and(apart, ~4095)), [frame.set(kept.frame), branch(translated)]),
        ]),
        translate(
          codeSmall,
          control(places, Control.DenyFetch),
          ofCode.value(lo, hi, number(2)),
          done,
          setControl(places, Control.CodeKept, number(1)),
        ),
      ]),
      lineOf,
      look(l1i),
      when(mask, [promote, fetched], missed.code.run(frame, line)),
      setControl(places, Control.Kept, control(places, Control.CodeKept)),
      kept.lo.set(lo),
      kept.hi.set(hi),
      kept.frame.set(frame),
    ];

    const tell: Code = [
      [[hits.fetch, Kind.Fetch] as const, [hits.load, Kind.Load] as const, [hits.store, Kind.Store] as const].map(
        ([hit, kind]) => [
          count(control(places, Control.Row), rowAt(places, kind) + Source.L1 * 4, hit),
          hit.set(number(0)),
        ],
      ),
      setControl(
        places,
        Control.Touched,
        i32.or(control(places, Control.Touched), i32.shl(number(1), control(places, Control.Region))),
      ),
    ];

    /** Another region from here on; or the end. */
    const turn = (done: Label): Code => [
      branchIf(i32.ltS(hi, number(0)), done),
      tell,
      setControl(places, Control.Region, hi),
      setControl(places, Control.Row, i32.mul(hi, number(KINDS * places.sources * 4))),
    ];

    const access = add(kind, -1);
    const data = (done: Label): Code => [
      translate(
        dataSmall,
        i32.load(shl(kind, 2), places.control + (Control.DenyLoad - 1) * 4),
        ofData.value(lo, hi, access),
        done,
        [],
      ),
      lineOf,
      look(l1d),
      when(
        mask,
        [
          promote,
          when(
            i32.eq(kind, number(Reference.Load)),
            more(hits.load),
            when(i32.and(i32.load(set, MODIFIED), mask), more(hits.store), [
              mask.set(missed.firstStore.value(frame, line, set, way)),
              counted(places),
              countSource(places, number(rowAt(places, Kind.Store)), mask),
            ]),
          ),
        ],
        missed.data.run(
          frame,
          line,
          access,
          add(i32.mul(access, number(places.sources * 4)), rowAt(places, Kind.Load)),
        ),
      ),
    ];

    return [
      at.set(add(shl(from, 3), places.input)),
      end.set(add(shl(to, 3), places.input)),
      kept.lo.set(control(places, Control.FetchLo)),
      kept.hi.set(control(places, Control.FetchHi)),
      kept.frame.set(control(places, Control.FetchFrame)),
      frame.set(control(places, Control.Frame)),
      block((done) => [
        loop((next) => [
          branchIf(i32.geU(at, end), done),
          lo.set(i32.load(at)),
          hi.set(i32.load(at, 4)),
          kind.set(and(lo, 3)),
          block((served) => [
            when(kind, when(i32.eq(kind, number(Reference.Region)), turn(done), data(done)), fetch(done, served)),
          ]),
          at.set(add(at, 8)),
          branch(next),
        ]),
      ]),
      setControl(places, Control.FetchLo, kept.lo),
      setControl(places, Control.FetchHi, kept.hi),
      setControl(places, Control.FetchFrame, kept.frame),
      setControl(places, Control.Frame, frame),
      setControl(places, Control.Fault, fault),
      tell,
      shrU(add(at, -places.input), 3).code,
    ];
  });
  return writer.bytes();
}
