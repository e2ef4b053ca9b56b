/**
 * Entry bits against a model that names each bit as the manual numbers it, over every mapping and every change there
 * is: leaves, leaves made absent, and what becomes of either.
 */
import { addressOfFrame } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Mapping, Protection } from "../../src/api.js";
import { changedHigh, changedLow, invertHigh, invertLow, leafEntry, mappingOf } from "../../src/tables/protection.js";

/** Intel SDM vol. 3A, "Format of a Page-Table Entry that Maps a 4-KByte Page" and its sister tables. */
const BIT = { P: 0n, W: 1n, U: 2n, PWT: 3n, PCD: 4n, A: 5n, D: 6n, PS: 7n, G: 8n, XD: 63n } as const;
/** Which of PAT, PCD and PWT a memory type sets, as Documentation/arch/x86/pat.rst has Linux program the PAT. */
const TYPES = { wb: "", wc: "PWT", "uc-": "PCD", uc: "PCD PWT", wt: "PAT PCD PWT" } as const;
const LEVELS = [1, 2, 3] as const;
const FRAME = ((1n << 40n) - 1n) << 12n;

/** The entry of a leaf that is present, as one number. */
function model(mapping: Mapping): bigint {
  const pat = mapping.level === 1 ? 7n : 12n;
  const bits: [boolean, bigint][] = [
    [true, BIT.P],
    [mapping.writable, BIT.W],
    [mapping.user, BIT.U],
    [TYPES[mapping.cache].includes("PWT"), BIT.PWT],
    [TYPES[mapping.cache].includes("PCD"), BIT.PCD],
    [TYPES[mapping.cache].includes("PAT"), pat],
    [true, BIT.A],
    [true, BIT.D],
    [mapping.level > 1, BIT.PS],
    [mapping.global, BIT.G],
    [!mapping.executable, BIT.XD],
  ];
  return bits.reduce((entry, [on, bit]) => entry | (on ? 1n << bit : 0n), addressOfFrame(mapping.frame));
}
/** Not present, the frame's bits the other way round: Documentation/admin-guide/hw-vuln/l1tf.rst. */
const absent = (entry: bigint): bigint => (entry & ~1n) ^ FRAME;
const together = ({ lo, hi }: { readonly lo: number; readonly hi: number }): bigint => (BigInt(hi) << 32n) | BigInt(lo);
const halves = (entry: bigint): [number, number] => [Number(entry & 0xffff_ffffn), Number(entry >> 32n)];

const frames = (level: number): fc.Arbitrary<number> =>
  fc
    .constantFrom(0, 1, 0x1_2345, 0xf_ffff, 0x10_0000, 0x7654_3210, 0xf123_4567, 0xffff_ffff)
    .map((frame) => frame - (frame % 512 ** (level - 1)));
const flags = { writable: fc.boolean(), executable: fc.boolean(), global: fc.boolean(), user: fc.boolean() };
const cache = fc.constantFrom("wb", "wt", "uc-", "uc", "wc" as const) as fc.Arbitrary<Protection["cache"]>;
const mapping = fc
  .constantFrom(...LEVELS)
  .chain((level) =>
    fc.record({ ...flags, cache, present: fc.boolean(), level: fc.constant(level), frame: frames(level) }),
  ) as fc.Arbitrary<Mapping>;
const change = fc.record({ ...flags, cache, present: fc.boolean() }, { requiredKeys: [] }) as fc.Arbitrary<
  Partial<Protection>
>;

describe.each(LEVELS)("level %i", (level) => {
  test("all mappings there are: the model's bits, and back again", () => {
    const yesNo = [false, true];
    let count = 0;
    for (const writable of yesNo)
      for (const executable of yesNo)
        for (const global of yesNo)
          for (const user of yesNo)
            for (const present of yesNo)
              for (const type of Object.keys(TYPES) as Protection["cache"][]) {
                const frame = 0x7654_3210 - (0x7654_3210 % 512 ** (level - 1));
                const one: Mapping = { writable, executable, global, user, present, cache: type, level, frame };
                const entry = leafEntry(one);
                expect(together(entry)).toBe(present ? model(one) : absent(model({ ...one, present: true })) & ~1n);
                expect(mappingOf(entry.lo, entry.hi, level)).toEqual(one);
                count++;
              }
    expect(count).toBe(160);
  });
});

test("a change says what the changed mapping says, and leaves what it does not name", () => {
  fc.assert(
    fc.property(mapping, change, fc.boolean(), fc.boolean(), (before, to, accessed, dirty) => {
      // Accessed and dirty are the CPU's: a change leaves them as they are.
      const own = (accessed ? 0n : 1n << BIT.A) | (dirty ? 0n : 1n << BIT.D);
      const [lo, hi] = halves(model({ ...before, present: true }) & ~own);
      const after = { ...before, present: true, ...to };
      // Who is absent is nobody's global page: set_memory_np takes G as well.
      if (to.present === false) Object.assign(after, { global: false });
      const changed = (BigInt(changedHigh(hi, to)) << 32n) | BigInt(changedLow(lo, before.level, to));
      expect(changed).toBe(model({ ...after, present: true }) & ~own & (after.present ? ~0n : ~1n));
    }),
    { numRuns: 2000, seed: 31 },
  );
});

test("an absent entry keeps every bit, shows a CPU no frame there is, and comes back as it was", () => {
  fc.assert(
    fc.property(mapping, (one) => {
      const entry = leafEntry({ ...one, present: false });
      expect(entry.lo & 1).toBe(0);
      const shown = (together(entry) & FRAME) >> 12n;
      // What a CPU that speculates would read lies above all memory when the frame itself lies below its middle.
      expect(shown).toBe(
        ((1n << 40n) - 1n) ^ (addressOfFrame(one.frame) >> 12n) ^ (one.level > 1 && one.cache === "wt" ? 1n : 0n),
      );
      const [lo, hi] = [invertLow(entry.lo), invertHigh(entry.hi)];
      expect([invertLow(lo), invertHigh(hi)]).toEqual([entry.lo, entry.hi]);
      expect(together({ lo: (lo | 1) >>> 0, hi })).toBe(model({ ...one, present: true }));
    }),
    { numRuns: 500, seed: 32 },
  );
});
