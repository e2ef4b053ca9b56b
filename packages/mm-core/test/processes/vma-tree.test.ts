/** The tree of areas against a sorted list. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { VmaTree } from "../../src/index.js";

test("finds what a list finds", () => {
  const op = fc.record({
    kind: fc.constantFrom("insert", "insert", "remove", "at", "above", "meeting"),
    at: fc.nat(60),
    pages: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 150, size: "max" }), (ops) => {
      const tree = new VmaTree<{ start: bigint; end: bigint }>();
      let list: { start: bigint; end: bigint }[] = [];
      for (const { kind, at, pages } of ops) {
        const start = BigInt(at);
        const end = start + BigInt(pages);
        const meets = (area: { start: bigint; end: bigint }): boolean => area.start < end && area.end > start;
        if (kind === "insert") {
          if (list.some(meets)) continue;
          tree.insert({ start, end });
          list = [...list, { start, end }].sort((a, b) => Number(a.start - b.start));
        } else if (kind === "remove") {
          const found = list.find((area) => area.start === start);
          expect(tree.remove({ start, end: start })).toBe(found !== undefined);
          list = list.filter((area) => area !== found);
        } else if (kind === "at")
          expect(tree.at(start)).toEqual(list.find((area) => area.start <= start && area.end > start));
        else if (kind === "above") expect(tree.atOrAbove(start)).toEqual(list.find((area) => area.end > start));
        else expect(tree.meeting({ start, end })).toEqual(list.filter(meets));
        expect(tree.all()).toEqual(list);
        expect(tree.size).toBe(list.length);
      }
    }),
    { numRuns: 150, seed: 2 },
  );
});
