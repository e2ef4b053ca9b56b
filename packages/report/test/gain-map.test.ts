/** A gain's map as a page and as a file: every figure, lines where signs differ, every processor by its number. */
import { expect, test } from "vitest";
import { gainMapPage, gainMapPicture, nearestPlace, writtenSign } from "../src/index.js";

const panel = {
  title: "cold <1>",
  xs: [1024, 2048],
  ys: [2, 1],
  cells: [
    [5, 7],
    [0.04, -3],
  ],
  marks: [
    { name: "mine & yours", number: 1, x: 1100, y: 1.9 },
    { name: "other", number: 3, x: 900, y: 2.1 },
    { name: "third", number: 4, x: 5000, y: 0 },
  ],
};
const shown = {
  title: "Gain",
  about: ["Modelled."],
  x: "L2",
  y: "far",
  panels: [panel, { ...panel, title: "hot", marks: [], cells: panel.cells.map((row) => row.map((each) => -each)) }],
};

test("an SVG file: figures, and a line for each two neighbours whose written signs differ", () => {
  const svg = gainMapPicture(shown);
  expect(svg.startsWith("<svg xmlns=")).toBe(true);
  for (const figure of ["5.0", "7.0", "0.0", "-3.0", "-7.0"]) expect(svg).toContain(`>${figure}</text>`);
  // 5 over 0.0, 7 over -3, 0.0 beside -3: three in each of two maps.
  expect(svg.match(/class="turn"/g)).toHaveLength(6);
  expect(svg).toContain("cold &lt;1&gt;");
  expect(svg).not.toMatch(/<script|https?:(?!\/\/www\.w3\.org\/2000\/svg)/);
});

test("a page: processors of one place stand beside each other, and are listed once by their numbers", () => {
  const page = gainMapPage(shown);
  expect(page).toContain(">1, 3<title>mine &amp; yours, other</title>");
  expect(page).toContain(">4<title>third</title>");
  expect(page.match(/<li value=/g)).toHaveLength(3);
  expect(page).toContain('<li value="3">other, 2.10</li>');
  expect(page).toContain("<p>Modelled.</p>");
});

test("a colour means the same in all maps: the largest figure of all is the strongest", () => {
  const weak = { ...shown, panels: [panel, { ...panel, title: "weak", cells: [[14, 0]], ys: [1] }] };
  expect(gainMapPicture(weak)).toContain('fill-opacity="0.55"/><text');
  expect(gainMapPicture(weak).match(/fill-opacity="0.55"/g)).toHaveLength(1);
});

test("places and signs as they are written", () => {
  expect([nearestPlace([1, 2, 4], 2.9), nearestPlace(["a"], 1)]).toEqual([1, -1]);
  expect([0.049, -0.04, 0.05, -0.06].map(writtenSign).map((each) => each + 0)).toEqual([0, 0, 1, -1]);
});
