/** The walk over tables against a list of all entries that stand for a page of the range. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  ALL_PAGES,
  endOf,
  entryAddress,
  entryBytes,
  entryPages,
  isCanonical,
  overlap,
  pagesBetween,
  slotRange,
  SparseMemory,
  walkRange,
  walkTables,
} from "../src/index.js";

/** Few indices, so that ranges end in the tables that entries lead to. */
const INDEX = fc.constantFrom(0, 1, 255, 256, 510, 511);
const page = (levels: number): fc.Arbitrary<bigint> =>
  fc.tuple(fc.array(INDEX, { minLength: levels, maxLength: levels }), fc.boolean()).map(([indices, hole]) => {
    const raw = indices.reduce((sum, index, at) => sum + (BigInt(index) << BigInt(12 + 9 * at)), 0n);
    // Any page, a non-canonical one too.
    return BigInt.asUintN(64, hole ? raw ^ (1n << 62n) : BigInt.asIntN(12 + 9 * levels, raw));
  });

/** What a table would be found to lead to: chosen by its place, so that both walks meet the same tree. */
const leads = (level: number, index: number, address: bigint): boolean =>
  level > 1 && (index + level + Number(address % 7n)) % 3 !== 0;

/** Every entry of a tree, range or not, by recursion over all indices that the test uses. */
function* all(levels: number, level = levels, base = 0n): Generator<{ level: number; index: number; address: bigint }> {
  for (const index of [0, 1, 255, 256, 510, 511]) {
    const raw = base + BigInt(index) * (1n << BigInt(12 + 9 * (level - 1)));
    const address = BigInt.asUintN(64, BigInt.asIntN(12 + 9 * levels, raw));
    yield { level, index, address };
    if (leads(level, index, address)) yield* all(levels, level - 1, raw);
  }
}

test.each([1, 2, 3, 4, 5])("%d levels: visits what stands for a page of the range, in order, and no more", (levels) => {
  const tree = [...all(levels)];
  fc.assert(
    fc.property(page(levels), page(levels), fc.boolean(), (a, b, whole) => {
      const range = whole ? ALL_PAGES : pagesBetween(a < b ? a : b, (a < b ? b : a) + 4096n);
      const met: { level: number; index: number; address: bigint }[] = [];
      const ended = walkTables(levels, range, true, (_, level, index, base) => {
        const address = entryAddress(base, level, index);
        if ([0, 1, 255, 256, 510, 511].includes(index)) met.push({ level, index, address });
        else return undefined;
        return leads(level, index, address) || undefined;
      });
      const end = endOf(range);
      expect(met).toEqual(
        tree.filter(
          ({ level, address }) => address < end && address + (1n << BigInt(12 + 9 * (level - 1))) > range.start,
        ),
      );
      expect(ended).toBe(true);
      for (const { address } of met) if (levels > 3) expect(isCanonical(address, levels as 4 | 5)).toBe(true);
    }),
    { numRuns: 30 },
  );
});

test("what lies below is walked with what the visitor said, and left after it and before the next", () => {
  const seen: string[] = [];
  const range = { start: 0xffff_ffff_ffdf_f000n, pages: 2 };
  walkTables(
    4,
    range,
    "root",
    (at, level, index) => {
      seen.push(`${at} ${level}/${index}`);
      return level === 1 ? undefined : `${at} ${index}`;
    },
    (at, level, index, below) => seen.push(`left ${at} ${level}/${index}: ${below}`),
  );
  expect(seen).toEqual([
    "root 4/511",
    "root 511 3/511",
    "root 511 511 2/510",
    "root 511 511 510 1/511",
    "left root 511 511 2/510: root 511 511 510",
    "root 511 511 2/511",
    "root 511 511 511 1/0",
    "left root 511 511 2/511: root 511 511 511",
    "left root 511 3/511: root 511 511",
    "left root 4/511: root 511",
  ]);
});

test("false ends the whole walk at once, and is told", () => {
  let seen = 0;
  expect(
    walkTables(3, { start: 0n, pages: 2 ** 20 }, 1, (at, level) => (++seen === 700 ? false : level > 1 && at)),
  ).toBe(false);
  // False of a visitor at level 1 ends it too: `level > 1 && at` says so at the first entry there.
  expect(seen).toBe(3);
});

test("an empty range is nothing, and neither is one between the halves", () => {
  const none = (): never => expect.unreachable();
  expect(walkTables(4, { start: 0x1000n, pages: 0 }, 0, none)).toBe(true);
  expect(walkTables(4, { start: 0x0000_8000_0000_0000n, pages: 0x1000 }, 0, none)).toBe(true);
});

test("a range walk reads tables: leaves with their words, tables entered unless passed over, left behind", () => {
  const memory = new SparseMemory([]);
  const entry = (table: number, index: number, value: bigint): void =>
    memory.write64((BigInt(table) << 12n) + BigInt(index) * 8n, value);
  entry(1, 256, 0x2063n); // to a PUD page
  entry(2, 0, 0x8000_0000_4000_01e3n); // a leaf of 1 GiB, NX
  entry(2, 1, 0x3063n);
  entry(2, 2, 0x4063n);
  entry(3, 7, 0x60_01a2n); // not present
  entry(3, 8, 0x60_01e3n);
  entry(4, 511, 0x5063n);
  entry(5, 511, 0x7161n);
  const seen: string[] = [];
  walkRange(memory, 1, 4, ALL_PAGES, {
    leaf: (address, level, lo, hi, table, index) =>
      void seen.push(`${address.toString(16)} ${level} ${hi.toString(16)}:${lo.toString(16)} ${table}/${index}`),
    table: (address, level, lower, table, index, lo, hi) => {
      seen.push(`${address.toString(16)} ${level} to ${lower} ${hi}:${lo.toString(16)} ${table}/${index}`);
      return lower !== 3;
    },
    left: (level, lower, table, index) => void seen.push(`left ${level} ${lower} ${table}/${index}`),
  });
  expect(seen).toEqual([
    "ffff800000000000 4 to 2 0:2063 1/256",
    "ffff800000000000 3 80000000:400001e3 2/0",
    "ffff800040000000 3 to 3 0:3063 2/1",
    "ffff800080000000 3 to 4 0:4063 2/2",
    "ffff8000bfe00000 2 to 5 0:5063 4/511",
    "ffff8000bffff000 1 0:7161 5/511",
    "left 2 5 4/511",
    "left 3 4 2/2",
    "left 4 2 1/256",
  ]);
});

test("entries by level, and ranges of slots", () => {
  expect([1, 2, 3, 4, 5].map(entryBytes)).toEqual([12n, 21n, 30n, 39n, 48n].map((bits) => 1n << bits));
  expect([1, 2, 3].map(entryPages)).toEqual([1, 512, 262144]);
  expect(slotRange(4, 0, 511)).toEqual(ALL_PAGES);
  expect(slotRange(4, 511, 511)).toEqual({ start: 0xffff_ff80_0000_0000n, pages: 2 ** 27 });
  expect(slotRange(5, 3, 255)).toEqual({ start: 3n << 48n, pages: 253 * 2 ** 36 });
});

test("ranges meet where they have a page in common", () => {
  const range = pagesBetween(0x3000n, 0x4001n);
  expect(range).toEqual({ start: 0x3000n, pages: 2 });
  expect(endOf(range)).toBe(0x5000n);
  expect([0x1000n, 0x2000n, 0x4000n, 0x5000n].map((start) => overlap(range, { start, pages: 2 }))).toEqual([
    false,
    true,
    true,
    false,
  ]);
  expect(overlap({ start: 0n, pages: 9 }, range)).toBe(true);
});
