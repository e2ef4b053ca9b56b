/**
 * Recorded addresses in another kernel: against a map of symbols written down slowly, and nothing that cannot be there.
 */
import { smallImage } from "@kreplica/kernel";
import { Access, Batch, Kind } from "@kreplica/trace";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NamedImage, nothingCarried, OtherKernel } from "../src/replay/other-kernel.js";

const image = smallImage();
const PARTS = [
  [image.stext, image.etext],
  [image.startRodata, image.endRodata],
  [image.endRodata, image.initBegin],
  [image.initEnd, image.end],
] as const;
const partOf = (at: bigint): number => PARTS.findIndex(([start, end]) => at >= start && at < end);

/** Few names and few places, so that both kernels share some, lack some, and have some twice. */
const symbols = fc
  .uniqueArray(fc.record({ name: fc.constantFrom("a", "b", "c", "d", "e"), part: fc.nat(3), slot: fc.nat(7) }), {
    maxLength: 30,
    size: "max",
    selector: ({ part, slot }) => 8 * part + slot,
  })
  .map((list) =>
    list.map(({ name, part, slot }) => ({
      name,
      address: PARTS[part]![0] + BigInt(slot) * 0x40n + (slot % 2 === 0 ? 0n : 8n),
    })),
  );
const named = (list: NamedImage["symbols"]): NamedImage => ({ image, symbols: list });

/** What an address becomes: nothing when it is stood in for. */
function expected(
  from: NamedImage["symbols"],
  to: NamedImage["symbols"],
  at: bigint,
): { address: bigint; exact: boolean } | undefined {
  const inOrder = (list: NamedImage["symbols"]) => [...list].sort((a, b) => Number(a.address - b.address));
  const key = (list: NamedImage["symbols"], symbol: NamedImage["symbols"][number]): string => {
    const group = (each: NamedImage["symbols"][number]): string => `${Math.min(partOf(each.address), 2)}${each.name}`;
    return `${group(symbol)}${inOrder(list)
      .filter((each) => group(each) === group(symbol))
      .indexOf(symbol)}`;
  };
  const symbol = inOrder(from).findLast((each) => each.address <= at && partOf(each.address) === partOf(at));
  if (!symbol) return undefined;
  const there = to.find((each) => key(to, each) === key(from, symbol));
  if (!there) return undefined;
  const next =
    inOrder(to).find((each) => each.address > there.address && partOf(each.address) === partOf(there.address))
      ?.address ?? PARTS[partOf(there.address)]![1];
  const offset = at - symbol.address;
  const size = next - there.address;
  return { address: there.address + (offset % size), exact: offset < size };
}

function moved(kernel: OtherKernel, kind: Kind, at: bigint, a: number, b: number, carried = nothingCarried()): Batch {
  const batch = new Batch(1);
  batch.length = 1;
  batch.kind[0] = kind;
  batch.lo[0] = Number(at & 0xffff_ffffn);
  batch.hi[0] = Number(at >> 32n);
  batch.a[0] = a;
  batch.b[0] = b;
  kernel.move(batch, carried);
  return batch;
}
const addressOf = (batch: Batch): bigint => (BigInt(batch.hi[0]!) << 32n) | BigInt(batch.lo[0]!);

test("an address keeps its symbol and offset, comes round in a shorter one, and is stood in for in the same part where the symbol is missing", () => {
  let exact = 0,
    around = 0,
    standIn = 0;
  fc.assert(
    fc.property(
      symbols,
      symbols,
      fc.array(fc.tuple(fc.nat(3), fc.nat(0x300)), { minLength: 1, maxLength: 40, size: "max" }),
      (from, to, places) => {
        const kernel = new OtherKernel(named(from), named(to));
        for (const [part, offset] of places) {
          const at = PARTS[part]![0] + BigInt(offset);
          const carried = nothingCarried();
          const found = addressOf(moved(kernel, Kind.Load, at, 1, 0, carried));
          const wanted = expected(from, to, at);
          if (wanted) expect(found).toBe(wanted.address);
          else expect(Math.min(partOf(found), 2)).toBe(Math.min(part, 2));
          const { accesses } = carried;
          expect([accesses.exact, accesses.pastEnd, accesses.standIn]).toEqual(
            wanted ? (wanted.exact ? [1, 0, 0] : [0, 1, 0]) : [0, 0, 1],
          );
          if (!wanted) standIn++;
          else if (wanted.exact) exact++;
          else around++;
        }
      },
    ),
  );
  for (const seen of [exact, around, standIn]) expect(seen).toBeGreaterThan(20);
});

describe("rows of a recording", () => {
  const kernel = new OtherKernel(
    named([
      { name: "f", address: image.stext + 0x100n },
      { name: "g", address: image.stext + 0x200n },
    ]),
    named([
      { name: "f", address: image.etext - 0x10n },
      { name: "g", address: image.stext },
    ]),
  );
  test("a run of instructions never leaves text", () => {
    const carried = nothingCarried();
    expect(addressOf(moved(kernel, Kind.Fetch, image.stext + 0x100n, 7, 0x30, carried))).toBe(image.etext - 0x30n);
    expect(carried.instructions).toEqual({ exact: 7, pastEnd: 0, standIn: 0 });
    expect(addressOf(moved(kernel, Kind.Fetch, image.stext + 0x208n, 1, 4))).toBe(image.stext + 8n);
  });
  test("frames behind the image are dropped, those elsewhere kept", () => {
    expect(moved(kernel, Kind.FetchPage, image.stext, 0, 0x1000).kind[0]).toBe(Kind.Repeat);
    expect(moved(kernel, Kind.Store, image.stext + 0x200n, 8 | Access.NewPage, 0x1000).a[0]).toBe(8);
    const elsewhere = moved(kernel, Kind.Store, 0xffff_8880_0000_1000n, 8 | Access.NewPage, 7);
    expect([addressOf(elsewhere), elsewhere.a[0], elsewhere.b[0]]).toEqual([
      0xffff_8880_0000_1000n,
      8 | Access.NewPage,
      7,
    ]);
    const module = 0xffff_ffff_c000_0000n;
    expect(addressOf(moved(kernel, Kind.Fetch, module, 1, 4))).toBe(module);
  });
  test("the same symbols at the same addresses: the same kernel", () => {
    const list = [
      { name: "f", address: image.stext },
      { name: "f", address: image.stext + 8n },
    ];
    expect(new OtherKernel(named(list), named(list)).isSame).toBe(true);
    expect(new OtherKernel(named(list), named([list[0]!, { name: "f", address: image.stext + 16n }])).isSame).toBe(
      false,
    );
    expect(kernel.isSame).toBe(false);
  });
});
