/** The rows' form: what every list of invariants must be, and what a row more needs. */
import { describe, expect, test } from "vitest";
import {
  findingOf,
  findings,
  groupOf,
  GROUPS,
  inOrder,
  type Invariant,
  invariantOf,
  KERNEL_INVARIANTS,
  report,
} from "../src/index.js";

const row = (id: string, check?: Invariant<number[]>["check"]): Invariant<number[]> => ({
  id,
  when: "always",
  where: [check ? "state" : "run"],
  sentence: `sentence of ${id}`,
  ...(check ? { check } : {}),
});
const even = row("A1", (numbers, verdict) => {
  if (numbers.length === 0) return verdict.skip();
  for (const number of numbers) if (number % 2 !== 0) verdict.fail(`${number} is odd`);
});

describe.each(KERNEL_INVARIANTS.map((each) => [each.id, each] as const))(
  "%s",
  (id, { where, sentence, when, check }) => {
    test("belongs to a group, says when, where and what", () => {
      expect(GROUPS.get(groupOf(id))).toMatch(/\w/);
      expect(where.length).toBeGreaterThan(0);
      for (const each of where) expect(each).toMatch(/^(state|run|boot|areas|patching|test packages\/\S+\.test\.ts)$/);
      expect(when).not.toBe("");
      expect(sentence).not.toMatch(/^$|\n|\.$/);
    });
    test("has a check exactly where it is looked at in a kernel at rest", () => {
      expect(check !== undefined).toBe(where.includes("state") || where.includes("boot"));
    });
  },
);

test("rows stand by group and number, strange groups last, and no id stands twice", () => {
  expect(KERNEL_INVARIANTS.map(({ id }) => id)).toEqual(inOrder(KERNEL_INVARIANTS).map(({ id }) => id));
  expect(inOrder([row("X2"), row("I1"), row("B10"), row("B9"), row("X1")]).map(({ id }) => id)).toEqual([
    "B9",
    "B10",
    "I1",
    "X1",
    "X2",
  ]);
  expect(() => inOrder([row("A1"), row("A1")])).toThrow(new RangeError("two invariants have the id A1"));
});

test("a row is found by its id", () => {
  expect(invariantOf("B6").sentence).toMatch(/leaf flags/);
  expect(() => invariantOf("B99")).toThrow(RangeError);
});

test("findings are all places, a report each row once with its first place and how many more", () => {
  const rows = [even, row("A2")];
  expect(findings(rows, [1, 2, 3])).toEqual([
    findingOf(even, "1 is odd"),
    { id: "A1", sentence: "sentence of A1", detail: "3 is odd" },
  ]);
  expect(report(rows, [1, 2, 3])).toEqual({
    checked: ["A1"],
    notReached: ["A2"],
    violated: [findingOf(even, "1 is odd (and 1 more)")],
  });
  expect(report(rows, [1, 2])).toEqual({
    checked: ["A1"],
    notReached: ["A2"],
    violated: [findingOf(even, "1 is odd")],
  });
  expect(report(rows, [2])).toEqual({ checked: ["A1"], notReached: ["A2"], violated: [] });
  expect(report(rows, [])).toEqual({ checked: [], notReached: ["A1", "A2"], violated: [] });
});
