/** What a check found, as a person reads it. */
import { expect, test } from "vitest";
import { type Finding, findingsText } from "../../src/report/check.js";
import { screenFor } from "../../src/report/terminal.js";

const screen = screenFor({}, {});
const finding = (more: Partial<Finding>): Finding => ({
  invariant: "B2",
  sentence: "…and is located on node n",
  detail: "a page lies on node 0",
  operations: [],
  kernel: "2 nodes, 4 levels, KPTI off",
  what: "",
  alone: true,
  ...more,
});

test("kernels that go wrong in the same way are one paragraph, which says how many they are", () => {
  const text = findingsText(
    [
      finding({}),
      finding({ kernel: "3 nodes", detail: "another" }),
      finding({ operations: ["process 0 forks"] }),
      finding({ invariant: "C1" }),
    ],
    [],
    16,
    screen,
  );
  expect(text.split("\n\n")).toHaveLength(3);
  expect(text).toContain(
    "2 nodes, 4 levels, KPTI off: a page lies on node 0 (and so on 1 more of 16 kinds of kernel)\n  right after the boot\n",
  );
  expect(text).toContain("B2 and is located");
  expect(text).toContain("  1. process 0 forks\n");
  expect(text).not.toContain("another");
});

test("no line is wider than the screen", () => {
  const long = "word ".repeat(60);
  const text = findingsText([finding({ sentence: long, detail: long, operations: [long] })], [], 1, screen);
  expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  expect(text.match(/word/g)).toHaveLength(180);
});
