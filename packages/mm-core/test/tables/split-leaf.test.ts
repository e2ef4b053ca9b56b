/**
 * A divided leaf against a list of the small leaves it stands for: all 512 say what the large one said, and no more.
 */
import { type Frame, isPresent } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Mapping, type Protection, TableMemory } from "../../src/api.js";
import { leafEntry, mappingOf } from "../../src/tables/protection.js";
import { writeSplit } from "../../src/tables/split-leaf.js";
import { testKernel } from "../../src/testing.js";

const TABLE: Frame = 0x3000;
const nodes = [{ id: 0, memoryMiB: 64, cpus: 1 }];
const cache = fc.constantFrom("wb", "wt", "uc-", "uc", "wc") as fc.Arbitrary<Protection["cache"]>;
const large = (level: 2 | 3): fc.Arbitrary<Mapping> =>
  fc.record({
    writable: fc.boolean(),
    executable: fc.boolean(),
    global: fc.boolean(),
    user: fc.boolean(),
    present: fc.boolean(),
    cache,
    level: fc.constant(level),
    frame: fc.nat(0x3fff).map((number) => number * 512 ** (level - 1)),
  });

describe.each([2, 3] as const)("a leaf of level %i", (level) => {
  test("each small leaf has its share of the frames and every other word of the large one", () => {
    const { entries, machine } = testKernel({ nodes });
    fc.assert(
      fc.property(large(level), fc.constantFrom(0, 0x20, 0x40, 0x60), (whole, unused) => {
        // The table's page was somebody's: what is not written stays wrong.
        machine.memory.writeBytes(BigInt(TABLE) << 12n, new Uint8Array(4096).fill(0xa5));
        const entry = leafEntry(whole);
        // The CPU's own bits, accessed and dirty, go along.
        const lo = (entry.lo & ~unused) >>> 0;
        const before = entries.stores;
        const written: string[] = [];
        entries.observe((table, index) => written.push(`${table}/${index}`));
        writeSplit(entries, TABLE, lo, entry.hi, level);
        entries.observe(undefined);
        expect(entries.stores - before).toBe(512);
        expect(new Set(written)).toEqual(new Set(Array.from({ length: 512 }, (_, index) => `${TABLE}/${index}`)));
        const small = (level - 1) as 1 | 2;
        const step = small === 1 ? 1 : 512;
        for (let index = 0; index < 512; index++) {
          const wanted: Mapping = { ...whole, level: small, frame: whole.frame + index * step };
          const bits = leafEntry(wanted);
          const found = [entries.low(TABLE, index) >>> 0, entries.high(TABLE, index) >>> 0];
          if (found[0] !== (bits.lo & ~unused) >>> 0 || found[1] !== bits.hi)
            throw new Error(
              `entry ${index} of ${JSON.stringify(whole)}: ${found.map((each) => each.toString(16)).join()}`,
            );
          // As software reads it, and as the hardware does.
          if (index % 73 === 0) expect(mappingOf(found[0], found[1]!, small)).toEqual(wanted);
          if (isPresent(found[0]) !== whole.present)
            throw new Error(`entry ${index} is ${whole.present ? "" : "not "}absent`);
        }
      }),
      { numRuns: 40, seed: 33 + level },
    );
  });
});

test("what is divided for a copy is counted for the copy, and nothing else is", () => {
  const kernel = testKernel({ nodes });
  const entries = kernel.assembly.get(TableMemory);
  const { lo, hi } = leafEntry({
    writable: true,
    executable: false,
    global: true,
    user: false,
    present: true,
    cache: "wb",
    level: 2,
    frame: 512,
  });
  writeSplit(entries, TABLE, lo, hi, 2);
  expect([entries.stores, entries.replicaStores]).toEqual([512, 0]);
  entries.adopt(TABLE);
  writeSplit(entries, TABLE, lo, hi, 2);
  expect([entries.stores, entries.replicaStores]).toEqual([1024, 512]);
});
