/** Tables of a page: one of many columns is set smaller, that nothing of it is cut on paper. */
import { expect, test } from "vitest";
import { table } from "../src/html.js";
import { STYLE } from "../src/style.js";

const classOf = (columns: number): string | undefined =>
  /<table class="([^"]*)"/.exec(table("figures", Array<string>(columns).fill("head"), []))?.[1];

test("beyond eleven columns, on the screen and on paper", () => {
  expect([classOf(11), classOf(12)]).toEqual(["sortable", "sortable many"]);
  expect(/<table>/.test(table("figures", ["head"], [], { sortable: false }))).toBe(true);
  const [screen, paper] = STYLE.split("@media print");
  for (const styles of [screen, paper]) expect(styles).toMatch(/\.many\{font-size:/);
});
