/** Lists and masks of CPUs against their slow definitions. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { formatCpuList, parseCpuList, parseCpuMask } from "../src/cpu-list.js";

const set = fc.uniqueArray(fc.nat(40), { maxLength: 40, size: "max" }).map((numbers) => numbers.sort((a, b) => a - b));

test("a list is read back as it was, and names every run once", () => {
  fc.assert(
    fc.property(set, (numbers) => {
      const text = formatCpuList(numbers);
      expect(parseCpuList(text)).toEqual(numbers);
      const runs = numbers.filter((number) => !numbers.includes(number - 1)).length;
      expect(text === "" ? 0 : text.split(",").length).toBe(runs);
    }),
  );
});

test("a list may overlap and be unordered", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(30), fc.nat(5)), { maxLength: 8, size: "max" }), (ranges) => {
      const truth = new Set(ranges.flatMap(([first, more]) => Array.from({ length: more + 1 }, (_, i) => first + i)));
      const text = ranges.map(([first, more]) => (more === 0 ? `${first}` : `${first}-${first + more}`)).join(",");
      expect(parseCpuList(text)).toEqual([...truth].sort((a, b) => a - b));
    }),
  );
});

test("a mask is read most significant word first, with or without leading zeros", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(100), { maxLength: 30, size: "max" }), fc.boolean(), (numbers, padded) => {
      let mask = 0n;
      for (const number of numbers) mask |= 1n << BigInt(number);
      const digits = mask.toString(16).padStart(padded ? 32 : 1, "0");
      const words: string[] = [];
      for (let end = digits.length; end > 0; end -= 8) words.unshift(digits.slice(Math.max(0, end - 8), end));
      expect(parseCpuMask(words.join(","))).toEqual(numbers.sort((a, b) => a - b));
    }),
  );
});

test("what is no list is refused, and so is one that would not end", () => {
  for (const text of ["a", "1-", "-1", "3-1", "1,,2", "0-4000000000", "1;2", "0x10", "1.5", "0-99999"])
    expect(parseCpuList(text), text).toBeUndefined();
  for (const text of ["", "xyz", "123456789", "1,", "0-3"]) expect(parseCpuMask(text), text).toBeUndefined();
  expect(parseCpuList("\n")).toEqual([]);
});
