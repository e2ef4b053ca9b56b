/** A gain's map as a page and as a file: every figure, lines where signs differ, every processor by its letter. */
import { expect, test } from "vitest";
import type { DrawnMap } from "../src/index.js";
import { gainMapPage, gainMapPicture, nearestPlace, writtenSign } from "../src/index.js";
import { smallMap } from "./small-map.js";

test("an SVG file: figures, and a line for each two neighbours whose written signs differ", () => {
  const svg = gainMapPicture(smallMap);
  expect(svg.startsWith("<svg xmlns=")).toBe(true);
  for (const figure of ["5.0", "7.0", "0.0", "-3.0", "-7.0"]) expect(svg).toContain(`>${figure}</tspan>`);
  // 5 over 0.0, 7 over -3, 0.0 beside -3: three in each of two maps.
  expect(svg.match(/class="turn"/g)).toHaveLength(6);
  expect(svg).toContain("cold, L3 inclusive: L2");
  expect(svg).not.toMatch(/<script|https?:(?!\/\/www\.w3\.org\/2000\/svg)/);
});

test("a page: processors of one place stand beside each other, and are listed once by their letters", () => {
  const page = gainMapPage(smallMap);
  expect(page).toContain(">a, b<title>mine &amp; yours, other</title>");
  expect(page).toContain(">c<title>third</title>");
  expect(page.match(/<li>/g)).toHaveLength(3);
  expect(page).toMatch(/<li>b: <span data-from="processors\.1\.name">other<\/span>, <data [^>]*>2\.10<\/data><\/li>/);
  expect(page).toContain("All &lt;modelled&gt;.");
});

test("a colour means the same in all maps: the largest figure of all is the strongest", () => {
  const weak: DrawnMap = {
    ...smallMap,
    cells: smallMap.cells.map((cell) => (cell.cache === "hot" ? { ...cell, gainPercent: 2 * cell.gainPercent } : cell)),
  };
  expect(gainMapPicture(smallMap).match(/fill-opacity="0.55"/g)).toHaveLength(2);
  expect(gainMapPicture(weak).match(/fill-opacity="0.55"/g)).toHaveLength(1);
});

test("places and signs as they are written", () => {
  expect([nearestPlace([1, 2, 4], 2.9), nearestPlace(["a"], 1)]).toEqual([1, -1]);
  expect([0.049, -0.04, 0.05, -0.06].map(writtenSign).map((each) => each + 0)).toEqual([0, 0, 1, -1]);
});
