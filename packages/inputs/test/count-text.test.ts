/** Numbers of things in words. */
import { expect, test } from "vitest";
import { countText } from "../src/index.js";

test("one is one, none and more are several", () => {
  expect([0, 1, 2].map((count) => countText(count, "page"))).toEqual(["0 pages", "1 page", "2 pages"]);
});
