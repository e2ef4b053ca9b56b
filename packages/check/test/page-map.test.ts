/** Pages kept by stretch against a plain map, with copies that go their own ways, as a property. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { PageMap } from "../src/page-map.js";

interface Both {
  readonly map: PageMap<{ readonly value: number }>;
  readonly plain: Map<number, { readonly value: number }>;
}

/** Pages around the first borders of stretches, and far away. */
const page = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 2 ** 35 - 70, max: 2 ** 35 + 70 }));
const count = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 200 }));
const step = fc.record({
  which: fc.nat(),
  op: fc.constantFrom("set", "fill", "delete", "deleteRange", "copy", "clear"),
  page,
  count,
  value: fc.record({ value: fc.nat() }),
});

const everyPage = (first: number, pages: number) => Array.from({ length: pages }, (_, at) => first + at);

test("any sequence of changes of several copies leaves in each what a plain map has", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), page, count, (steps, first, pages) => {
      const all: Both[] = [{ map: new PageMap(), plain: new Map() }];
      for (const { which, op, page, count, value } of steps) {
        const { map, plain } = all[which % all.length]!;
        if (op === "set") {
          map.set(page, value);
          plain.set(page, value);
        } else if (op === "fill") {
          map.fill(page, count, value);
          for (const each of everyPage(page, count)) plain.set(each, value);
        } else if (op === "delete") {
          map.delete(page);
          plain.delete(page);
        } else if (op === "deleteRange") {
          map.deleteRange(page, count);
          for (const each of everyPage(page, count)) plain.delete(each);
        } else if (op === "copy") all.push({ map: map.copy(), plain: new Map(plain) });
        else {
          map.clear();
          plain.clear();
        }
      }
      for (const { map, plain } of all) {
        const found: (readonly [number, unknown])[] = [];
        map.forEach((value, page) => found.push([page, value]));
        expect(found.sort(([a], [b]) => a - b)).toEqual([...plain].sort(([a], [b]) => a - b));
        expect(map.size).toBe(plain.size);
        const there = everyPage(first, pages).filter((each) => plain.has(each));
        expect(map.hasAny(first, pages)).toBe(there.length > 0);
        expect(map.hasAll(first, pages)).toBe(there.length === pages);
        expect(everyPage(first, pages).filter((each) => map.has(each))).toEqual(there);
        expect(map.get(first)).toBe(plain.get(first));
        const isEven = ({ value }: { readonly value: number }): boolean => value % 2 === 0;
        expect(map.some(isEven)).toBe([...plain.values()].some(isEven));
      }
    }),
  );
});

test("what is visited may be given something else by the visitor", () => {
  const map = new PageMap<{ readonly value: number }>();
  map.fill(60, 8, { value: 1 });
  const copy = map.copy();
  map.forEach(({ value }, page) => map.set(page, { value: value + page }));
  expect([60, 63, 64, 67].map((each) => map.get(each)!.value)).toEqual([61, 64, 65, 68]);
  expect(copy.get(60)!.value).toBe(1);
});
